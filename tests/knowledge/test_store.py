"""The vector store: every text once, whatever kills the writer, whatever damages the files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from laser_core.errors import DataError
from laser_core.knowledge.store import VectorStore

TEXTS = [f"text {number}" for number in range(30)]


def vector(text: str) -> np.ndarray:
    return np.random.default_rng(sum(text.encode())).normal(size=3).astype(np.float32)


class Counting:
    """Encodes in pieces of four, counts, and breaks when told to."""

    def __init__(self, most: int = 1000) -> None:
        self.seen: list[str] = []
        self.most = most

    def __call__(self, texts):
        for first in range(0, len(texts), 4):
            if len(self.seen) >= self.most:
                raise KeyboardInterrupt
            part = texts[first : first + 4]
            self.seen += part
            yield part, np.array([vector(text) for text in part])


def open_store(folder: Path) -> VectorStore:
    return VectorStore(folder, 3, {"made by": "a test"})


def check(store: VectorStore, texts: list[str]) -> None:
    np.testing.assert_array_equal(store.read(texts), [vector(text) for text in texts])


def test_every_text_is_encoded_once(tmp_path):
    encode = Counting()
    store, told = open_store(tmp_path), []
    store.add([*TEXTS[:10], *TEXTS[:10]], encode, lambda done, total: told.append((done, total)))
    assert told == [(4, 10), (8, 10), (10, 10)]
    store.add(TEXTS[5:], encode)
    assert sorted(encode.seen) == sorted(TEXTS)
    check(store, TEXTS[::-1])
    check(open_store(tmp_path), [*TEXTS, TEXTS[3]])
    assert store.read([]).shape == (0, 3)


def test_a_store_that_was_open_before_sees_what_another_wrote(tmp_path):
    one, other = open_store(tmp_path), open_store(tmp_path)
    one.add(TEXTS[:6], Counting())
    encode = Counting()
    other.add(TEXTS[:8], encode)
    assert encode.seen == TEXTS[6:8]
    check(other, TEXTS[:8])


def test_who_waits_for_another_says_so_and_goes_on_once_its_texts_are_there(tmp_path):
    """The other one still holds the store when the texts that are wanted here have come."""
    other, mine, told = open_store(tmp_path), open_store(tmp_path), []
    with FileLock(tmp_path / "lock"):

        def waiting() -> None:
            told.append(len(mine))
            other._append(TEXTS[:5], np.array([vector(text) for text in TEXTS[:5]]))

        mine.add(TEXTS[:5], lambda texts: pytest.fail("encoded twice"), waiting=waiting)
    assert told == [0]
    check(mine, TEXTS[:5])


def test_reading_while_another_writes(tmp_path):
    """A row that is half there is not in the way of those that are whole."""
    store = open_store(tmp_path)
    store.add(TEXTS[:5], Counting())
    with (tmp_path / "vectors.f32").open("ab") as stream:
        stream.write(b"half a")
    check(store, TEXTS[:5])
    check(open_store(tmp_path), TEXTS[:5])


@given(cut=st.integers(0, 12 * 20), name=st.sampled_from(["vectors.f32", "index.bin"]))
def test_cut_off_at_any_byte_and_taken_up_again(tmp_path_factory, cut, name):
    """However much of a file a killed writer left, the next one ends with the same store."""
    folder = tmp_path_factory.mktemp("store")
    open_store(folder).add(TEXTS[:20], Counting())
    size = (folder / name).stat().st_size
    kept = cut * size // (12 * 20)
    os.truncate(folder / name, kept)
    whole = kept // (size // 20)
    encode = Counting()
    store = open_store(folder)
    assert len(store) == whole
    store.add(TEXTS, encode)
    assert encode.seen == TEXTS[whole:]
    check(open_store(folder), TEXTS)


@pytest.mark.parametrize("most", [0, 4, 12])
def test_interrupted_and_taken_up_again(tmp_path, most):
    first = Counting(most)
    with pytest.raises(KeyboardInterrupt):
        open_store(tmp_path).add(TEXTS, first)
    second = Counting()
    store = open_store(tmp_path)
    store.add(TEXTS, second)
    assert first.seen + second.seen == TEXTS
    check(store, TEXTS)


def test_killed_in_the_middle(tmp_path):
    """SIGKILL between two pieces: what was written stays, the lock is free."""
    program = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.knowledge.test_store import *
def encode(texts):
    yield texts[:7], np.array([vector(text) for text in texts[:7]])
    os.kill(os.getpid(), signal.SIGKILL)
open_store(Path({str(tmp_path)!r})).add(TEXTS, encode)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    encode = Counting()
    store = open_store(tmp_path)
    store.add(TEXTS, encode)
    assert encode.seen == TEXTS[7:]
    check(store, TEXTS)


def test_damage_is_noticed(tmp_path):
    open_store(tmp_path).add(TEXTS, Counting())
    content = bytearray((tmp_path / "vectors.f32").read_bytes())
    content[5 * 12 + 2] ^= 1
    (tmp_path / "vectors.f32").write_bytes(content)
    store = open_store(tmp_path)
    check(store, TEXTS[:5])
    with pytest.raises(DataError, match=r"row 5 .* damaged"):
        store.read(TEXTS)


def test_a_text_that_is_not_there(tmp_path):
    with pytest.raises(KeyError):
        open_store(tmp_path).read(["never"])
