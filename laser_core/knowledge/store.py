"""`VectorStore`: vectors of texts on disk, found by the text itself, appended one by one, read through memory maps.

A folder holds two files that grow together: `vectors.f32`, one row a text, and `index.bin`, one record a row: the SHA-256 of the text and
the CRC-32 of the row. A row is written before its record, and opening cuts both files to what is whole in both: a process may be killed
at any moment, and the next one goes on at the first text that is missing. One process writes at a time; any number read.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from laser_core.errors import DataError
from laser_core.settings import get_settings

_RECORD = np.dtype([("text", "V32"), ("crc", "<u4")])

Encode = Callable[[list[str]], Iterator[tuple[list[str], np.ndarray]]]
"""Missing texts -> pieces: some of the texts, and their (texts, size) vectors."""


def kept_at(kind: str, label: str, *decides: object) -> Path:
    """Where what a model made is kept, `settings.home / kind / label-key`: the key is a hash of all that decides what it makes."""
    key = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:8]
    return get_settings().home / kind / f"{label}-{key}"


class VectorStore:
    """The vectors that one encoder gave to texts.

    Args:
        folder: Made if need be.
        size: Numbers in a vector.
        about: What made the vectors, kept as `about.json` for who browses the folder.
    """

    def __init__(self, folder: Path, size: int, about: dict[str, object]) -> None:
        self.folder, self.size = folder, size
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "about.json").exists():
            partial = folder / f"about.json.{os.getpid()}.partial"
            partial.write_text(json.dumps({**about, "size": size}, indent=1), encoding="utf-8")
            partial.replace(folder / "about.json")
        self._rows: dict[bytes, int] = {}
        self._crc = np.zeros(0, dtype="<u4")
        self._refresh()

    def __len__(self) -> int:
        return len(self._rows)

    def holds(self, texts: Sequence[str]) -> bool:
        """Whether all of the texts are here."""
        return all(_digest(text) in self._rows for text in texts)

    def add(
        self,
        texts: Sequence[str],
        encode: Encode,
        done: Callable[[int, int], None] = lambda done, total: None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Encode and keep the texts that are not yet here; another process that wants the same ones waits until it finds them.

        Args:
            encode: Called at most once, with the missing texts; each piece it yields is kept before it goes on.
            done: Called after each piece with how many of the missing texts are here now, and how many they were.
            waiting: Called every second while another process writes.
        """
        lock = FileLock(self.folder / "lock")
        while not self.holds(texts):
            try:
                with lock.acquire(timeout=1):
                    return self._write(texts, encode, done)
            except Timeout:
                waiting()
                self._refresh()

    def _write(self, texts: Sequence[str], encode: Encode, done: Callable[[int, int], None]) -> None:
        self._refresh()
        self._cut()
        missing = [text for text in dict.fromkeys(texts) if _digest(text) not in self._rows]
        before = len(self)
        for part, vectors in encode(missing):
            self._append(part, np.ascontiguousarray(vectors, dtype="<f4"))
            done(len(self) - before, len(missing))

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, size) float32 vectors of texts that are here.

        Raises:
            KeyError: One is not.
            DataError: A vector is damaged.
        """
        rows = np.array([self._rows[_digest(text)] for text in texts], dtype=np.int64)
        vectors = np.empty((len(rows), self.size), dtype="<f4")
        if len(rows):
            table = np.memmap(self.folder / "vectors.f32", dtype="<f4", mode="r", shape=(int(rows.max()) + 1, self.size))
            np.take(table, rows, axis=0, out=vectors)
        for row, vector in zip(rows, vectors, strict=True):
            if zlib.crc32(vector.data) != self._crc[row]:
                raise DataError(f"row {row} of {self.folder / 'vectors.f32'} is damaged: delete the folder, it will be made again")
        return vectors

    def _append(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        records = np.array([(_digest(text), zlib.crc32(vector.data)) for text, vector in zip(texts, vectors, strict=True)], dtype=_RECORD)
        for name, content in (("vectors.f32", vectors), ("index.bin", records)):
            with (self.folder / name).open("ab") as stream:
                stream.write(content.tobytes())
        self._refresh()

    def _whole(self) -> int:
        """How many rows are whole in both files."""
        sizes = [(self.folder / name).stat().st_size if (self.folder / name).exists() else 0 for name in ("vectors.f32", "index.bin")]
        return min(sizes[0] // (4 * self.size), sizes[1] // _RECORD.itemsize)

    def _cut(self) -> None:
        """Drop what a killed writer left half done."""
        rows = self._whole()
        for name, row in (("vectors.f32", 4 * self.size), ("index.bin", _RECORD.itemsize)):
            if (self.folder / name).exists() and (self.folder / name).stat().st_size != rows * row:
                os.truncate(self.folder / name, rows * row)

    def _refresh(self) -> None:
        """See what has been added since."""
        known, rows = len(self._crc), self._whole()
        if rows > known:
            fresh = np.fromfile(self.folder / "index.bin", dtype=_RECORD, count=rows - known, offset=known * _RECORD.itemsize)
            self._crc = np.concatenate([self._crc, fresh["crc"]])
            self._rows.update(zip((bytes(text) for text in fresh["text"]), range(known, rows), strict=True))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
