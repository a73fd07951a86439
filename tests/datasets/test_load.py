"""`load`: the cache is made once, by however many processes, and a damaged one is set aside, made again, and that is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from laser_core import datasets
from laser_core.errors import DataError, FaultError, UserError
from laser_core.study import versions


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_second_time_comes_from_the_cache(monkeypatch):
    first = datasets.load("movielens-small")
    monkeypatch.setattr(datasets, "read_raw", lambda *_: pytest.fail("the raw files were read again"))
    assert datasets.load("movielens-small").version == first.version


def test_asking_again_parses_again(monkeypatch):
    first = datasets.load("movielens-small")
    read, calls = datasets.read_raw, []
    monkeypatch.setattr(datasets, "read_raw", lambda *given: calls.append(given) or read(*given))
    assert datasets.load("movielens-small", again=True).version == first.version
    assert len(calls) == 1


def test_what_another_revision_of_the_reader_parsed_is_parsed_again(home, monkeypatch, caplog):
    first = datasets.load("movielens-small")
    read, calls = datasets.read_raw, []
    monkeypatch.setattr(datasets, "read_raw", lambda *given: calls.append(given) or read(*given))
    path = home / "datasets" / "movielens-small" / "dataset.json"
    meta = json.loads(path.read_text(encoding="utf-8"))
    assert meta.pop("reader") == 1
    path.write_text(json.dumps(meta), encoding="utf-8")  # as before there were revisions
    assert datasets.load("movielens-small").version == first.version and not calls
    assert versions.cached_data_version("movielens-small") == first.version
    monkeypatch.setitem(datasets._REVISIONS, "movielens", 2)
    assert versions.cached_data_version("movielens-small") is None, "a study parses it before it plans"
    assert [datasets.load("movielens-small").version for _ in range(2)] == [first.version] * 2
    assert len(calls) == 1 and json.loads(path.read_text(encoding="utf-8"))["reader"] == 2
    assert versions.cached_data_version("movielens-small") == first.version
    assert caplog.messages == [] and [folder.name for folder in (home / "datasets").iterdir()] == ["movielens-small"]


def test_a_damaged_cache_is_set_aside_made_again_and_said(home, caplog):
    version = datasets.load("movielens-small").version
    damaged = home / "datasets" / "movielens-small" / "event_label.npy"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert datasets.load("movielens-small").version == version
    assert len(caplog.messages) == 1
    assert "is damaged" in caplog.text
    (aside,) = (home / "datasets").glob("movielens-small.damaged-*")
    assert str(aside) in caplog.text
    assert (aside / "event_label.npy").exists()
    assert datasets.names() == datasets.NAMES  # what was set aside is not offered


def test_processes_at_once_do_not_break_each_other(home):
    command = [sys.executable, "-c", "from laser_core import datasets; print(datasets.load('movielens-small').version)"]
    processes = [subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate() for process in processes]
    assert {process.returncode for process in processes} == {0}, answers
    assert len({out for out, _ in answers}) == 1
    assert {err for _, err in answers} == {""}
    assert [path.name for path in (home / "datasets").iterdir()] == ["movielens-small"]


def test_a_cache_that_cannot_be_written(home):
    home.mkdir()
    (home / "datasets").write_text("a file where the folder should be")
    with pytest.raises(FaultError, match="cannot be written"):
        datasets.load("movielens-small")


@pytest.mark.parametrize("name, hint", [("movielens-smal", "did you mean 'movielens-small'"), ("zzz", "known: bookcrossing")])
def test_an_unknown_name(name, hint):
    for ask in (datasets.load, datasets.about):
        with pytest.raises(UserError, match=f"unknown data set '{name}': {hint}"):
            ask(name)


def test_without_network_or_raw_files_there_is_one_clear_line():
    with pytest.raises(FaultError, match=r"MovieLens-1M is not to be had .*LASER_OFFLINE.*--from or LASER_DATA") as caught:
        datasets.load("ml-1m")
    assert "\n" not in str(caught.value)


def test_a_wrong_source(tmp_path):
    with pytest.raises(DataError, match=r"lacks ratings\.dat, users\.dat, movies\.dat of MovieLens-1M"):
        datasets.load("ml-1m", source=tmp_path)


def test_importing_is_light():
    """Naming data sets and opening a cache need neither pandas nor anything heavier."""
    code = "import sys, laser_core.datasets; print(sorted({'pandas', 'torch', 'pandera', 'pooch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# ---- cards -----------------------------------------------------------------------------------------------------------------------


def test_the_card_against_plain_counting(small):
    card = datasets.card(small)
    assert (card["users"], card["items"], card["ratings"]) == (671, 9_066, 100_004)
    assert card["sparsity"] == pytest.approx(1 - 100_004 / (671 * 9_066))
    assert sum(card["rating_share"].values()) == pytest.approx(1)
    assert card["rating_share"]["4"] == pytest.approx(float((small.rating_values[small.event_rating] == 4).mean()))
    trained = {int(item) for item in small.sample_item(small.train)}
    for part in ("train", "valid", "test"):
        rows = getattr(small, part)
        found = card["splits"][part]
        assert found["samples"] == len(rows)
        assert found["positive_share"] == pytest.approx(np.mean([small.event_label[small.sample_event[row]] for row in rows]))
        assert found["new_user_share"] == 0
        assert found["new_item_share"] == pytest.approx(np.mean([int(item) not in trained for item in small.sample_item(rows)]))
    lengths = sorted(len(small.history_events(row, 0)) for row in range(small.samples))
    assert card["history_lengths"]["least"] == lengths[0] == 5
    assert card["history_lengths"]["most"] == lengths[-1]
    assert card["history_lengths"]["half"] == int(np.median(lengths))


@pytest.mark.parametrize("name", datasets.NAMES)
def test_every_data_set_states_its_terms(name):
    about = datasets.about(name)
    assert about.name == name
    assert about.licence and about.citation and about.traps
    assert about.redistributable == (name == "movielens-small")


def test_the_bundled_data_comes_with_its_terms():
    terms = (Path(datasets.__file__).parent / "bundled" / "README.txt").read_text()
    for words in ("10.1145/2827872", "research", "commercial", "endorse", "redistributed"):
        assert words in terms
