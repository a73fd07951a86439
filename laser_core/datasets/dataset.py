"""`CTRDataset`: a click-through-rate data set as flat arrays, where a sample is a place in a user's timeline.

All ratings ("events") of all users lie in one array, user after user, each user's in time order. A sample names one event: its
item is the target, its label is what to predict, and everything the same user rated before it is the history. So a history is a
slice of the event array and never a stored copy, and it cannot contain the sample's own rating or anything later.

Codes start at 1; code 0 is padding everywhere (no user, no item, no rating, no category).
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from laser_core.errors import DataError, UserError, unknown

ALL = "all"
SPLITS = ("train", "valid", "test")
FORMAT = 1  # of the cache folder: raise it when the arrays change their meaning


@dataclass(frozen=True)
class Field:
    """One property of users or items, such as gender or genres.

    Attributes:
        name: The field's name, as people say it ("occupation").
        owner: Whose property it is.
        vocabulary: The words; code c stands for `vocabulary[c - 1]`.
        codes: One code an owner, `(owners + 1,)`, row 0 being padding; for a multi-valued field all values one after another.
        offsets: Only for a multi-valued field, `(owners + 2,)`: owner u has `codes[offsets[u]:offsets[u + 1]]`.
    """

    name: str
    owner: Literal["user", "item"]
    vocabulary: np.ndarray
    codes: np.ndarray
    offsets: np.ndarray | None = None

    @property
    def size(self) -> int:
        """How many codes there are, padding included."""
        return len(self.vocabulary) + 1

    def values(self, owner: int) -> list[str]:
        """The words of one user or item (an empty list for padding)."""
        first, end = (owner, owner + 1) if self.offsets is None else self.offsets[owner : owner + 2]
        return [str(self.vocabulary[code - 1]) for code in self.codes[first:end] if code > 0]

    def text(self, owner: int) -> str:
        """The words of one user or item, comma-separated."""
        return ", ".join(self.values(owner))


@dataclass(frozen=True)
class Batch:
    """Samples as padded arrays; the history is in time order, real events first, padding (0) after them."""

    user: np.ndarray
    """(batch,) user codes"""
    item: np.ndarray
    """(batch,) target item codes"""
    label: np.ndarray
    """(batch,) 0 or 1"""
    history_item: np.ndarray
    """(batch, history) item codes"""
    history_rating: np.ndarray
    """(batch, history) rating codes: code r stands for `rating_values[r]`"""
    history_length: np.ndarray
    """(batch,) how many places of the history are real"""


@dataclass(frozen=True)
class About:
    """What a data set is, in words: everything about it that is not an array."""

    name: str
    title: str
    item_noun: str
    """what an item is called in a prompt: "movie", "book" """
    user_field: str
    item_field: str
    title_field: str
    group_field: str
    """the field that makes two items alike for the reference models and for hard search: genres, author"""
    profile_fields: tuple[str, ...]
    """user fields that a prompt may show"""
    input_fields: tuple[str, ...]
    """fields that conventional models read, in order (user and item ids included)"""
    history_length: int
    """K: how many of the last events a model sees unless told otherwise"""
    label_rule: str
    licence: str
    citation: str
    redistributable: bool
    traps: tuple[str, ...] = ()
    facts: Mapping[str, float | int | str] = field(default_factory=dict)
    """counts known only while reading the raw files"""


@dataclass(frozen=True)
class CTRDataset:
    """A data set ready for any `Recommender`. Arrays may be memory-mapped: treat them as read only.

    Attributes:
        about: The data set in words.
        fields: All fields by name; one is the user id, one the item id.
        user_offsets: `(users + 2,)`; user u has the events `user_offsets[u]:user_offsets[u + 1]`.
        event_user, event_item, event_rating, event_label: `(events,)` codes; label 0 or 1.
        event_time: `(events,)` seconds since 1970, or empty where the source has no time.
        rating_values: `(ratings + 1,)` what a rating code stands for; index 0 is not a number.
        sample_event: `(samples,)` the event each sample asks about.
        train, valid, test: sample numbers of each split, ascending.
        version: hash of every array and word above: two data sets with equal versions are equal.
    """

    about: About
    fields: Mapping[str, Field]
    user_offsets: np.ndarray
    event_user: np.ndarray
    event_item: np.ndarray
    event_rating: np.ndarray
    event_label: np.ndarray
    event_time: np.ndarray
    rating_values: np.ndarray
    sample_event: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    version: str = ""

    # ---- sizes and words -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name it is loaded and stored under."""
        return self.about.name

    @property
    def users(self) -> int:
        """How many users; codes run from 1 to this."""
        return len(self.user_offsets) - 2

    @property
    def items(self) -> int:
        """How many items; codes run from 1 to this."""
        return len(self.fields[self.about.item_field].codes) - 1

    @property
    def events(self) -> int:
        """How many ratings there are, history-only ones included."""
        return len(self.event_item)

    @property
    def samples(self) -> int:
        """How many ratings are samples, over all splits."""
        return len(self.sample_event)

    @cached_property
    def item_popularity(self) -> np.ndarray:
        """(items + 1,) how often each item was rated in events that no validation or test sample asks about, whenever that was.

        Events that are only history can be later than the training period (MovieLens-1M: a new user's first ratings).
        """
        held_out = self.sample_event[np.concatenate([self.valid, self.test])]
        counts = np.bincount(self.event_item, minlength=self.items + 1)
        return counts - np.bincount(self.event_item[held_out], minlength=self.items + 1)

    def title(self, item: int) -> str:
        """The title of an item as a prompt shows it."""
        return self.fields[self.about.title_field].text(int(item))

    # ---- samples ---------------------------------------------------------------------------------------------------------

    def check_rows(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) int64 sample numbers, if that is what they are: a negative one would count from the end, unnoticed.

        Raises:
            UserError: One is not.
        """
        rows = np.asarray(rows)
        if rows.ndim != 1 or (rows.size and not np.issubdtype(rows.dtype, np.integer)):
            raise UserError(f"rows must be a list of whole numbers, not {rows.dtype} of shape {rows.shape}")
        wrong = (rows < 0) | (rows >= self.samples)
        if wrong.any():
            raise UserError(f"{self.name} has the samples 0 to {self.samples - 1:,}, not {rows[wrong][0]}: choose among those")
        return rows.astype(np.int64, copy=False)

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) the labels of samples, 0 or 1."""
        return self.event_label[self.sample_event[rows]]

    def sample_user(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) the user codes of samples."""
        return self.event_user[self.sample_event[rows]]

    def sample_item(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) the target items of samples."""
        return self.event_item[self.sample_event[rows]]

    def history_start(self, rows: np.ndarray, length: int | None = None) -> np.ndarray:
        """(rows,) the first event of each sample's history window; the window ends before `sample_event[rows]`.

        Args:
            length: Keep at most so many of the last events; None keeps `about.history_length`, 0 or less the whole history.
        """
        length = self.about.history_length if length is None else length
        target = self.sample_event[rows]
        first = self.user_offsets[self.event_user[target]]
        return first if length <= 0 else np.maximum(first, target - length)

    def history_events(self, row: int, length: int | None = None) -> np.ndarray:
        """The event numbers of one sample's history, in time order."""
        rows = np.asarray([row])
        return np.arange(self.history_start(rows, length)[0], self.sample_event[rows][0])

    def batch(self, rows: np.ndarray, length: int | None = None) -> Batch:
        """Gather samples into padded arrays.

        Args:
            rows: `(batch,)` sample numbers, in any order, repeats allowed.
            length: K, the width of the history; None takes `about.history_length`, 0 or less the longest history among the rows.
        """
        length = self.about.history_length if length is None else length
        target = self.sample_event[rows]
        start = self.history_start(rows, length)
        width = length if length > 0 else int((target - start).max(initial=0))
        place = start[:, None] + np.arange(width)[None, :]  # (batch, history)
        real = place < target[:, None]
        place = np.where(real, place, 0)
        return Batch(
            user=self.event_user[target],
            item=self.event_item[target],
            label=self.event_label[target],
            history_item=np.where(real, self.event_item[place], 0),
            history_rating=np.where(real, self.event_rating[place], 0),
            history_length=target - start,
        )

    # ---- shots: which labels a model may be fitted on --------------------------------------------------------------------

    def _order(self, rows: np.ndarray, *purpose: object) -> np.ndarray:
        """`rows` in a random order fixed by (data set, purpose): prefixes of it are nested samples."""
        digest = hashlib.sha256("/".join(map(str, (self.name, *purpose))).encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        return generator.permutation(rows)

    def shots(self, n: int | str, seed: int) -> np.ndarray:
        """The N training samples of a seed, ascending. Uniform and nested: the N = 64 set lies inside the N = 256 set.

        N = 0 gives none: zero-shot, for systems that can do without labels.

        Raises:
            UserError: N is not a whole number from 0 or "all", or exceeds the training samples.
        """
        if n == ALL:
            return np.asarray(self.train)
        check_shots(check_count("shots", n, least=0), self.name, len(self.train))
        return np.sort(self._order(self.train, "shots", seed)[:n])

    def validation_rows(self, n: int | str, seed: int) -> np.ndarray:
        """The validation samples that go with N shots: min(max(N, 256), 20,000) of the validation split, nested, ascending.

        Raises:
            UserError: N is not a whole number from 0 or "all".
        """
        count = len(self.train) if n == ALL else check_count("shots", n, least=0)
        count = min(max(count, 256), 20_000, len(self.valid))
        return np.sort(self._order(self.valid, "valid", seed)[:count])

    def test_rows(self, limit: int | str = ALL) -> np.ndarray:
        """The test samples, or a fixed nested subset of them for systems too slow for all; ascending.

        Raises:
            UserError: The limit is not a positive whole number or "all".
        """
        return self.part("test", limit)

    def part(self, split: str, limit: int | str = ALL) -> np.ndarray:
        """The samples of train, valid or test, or a fixed random nested subset of them; ascending.

        Raises:
            UserError: There is no such split, or the limit is not a positive whole number or "all".
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        rows = np.asarray(getattr(self, split))
        if limit == ALL or check_count(f"{split} rows", limit) >= len(rows):
            return rows
        return np.sort(self._order(rows, split)[:limit])

    # ---- keeping -----------------------------------------------------------------------------------------------------------

    _ARRAYS = (
        *("user_offsets", "event_user", "event_item", "event_rating", "event_label", "event_time"),
        *("rating_values", "sample_event", "train", "valid", "test"),
    )
    _ROLES = (
        *("name", "item_noun", "user_field", "item_field", "title_field", "group_field"),
        *("profile_fields", "input_fields", "history_length", "label_rule"),
    )

    def stamped(self) -> CTRDataset:
        """The same data set with `version` computed."""
        return replace(self, version=self._fingerprint())

    def _fingerprint(self) -> str:
        """Hash of everything that a prediction can depend on: all arrays and the names of roles, not the licence or the traps."""
        digest = hashlib.sha256()

        def add(array: np.ndarray) -> None:
            digest.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).data)

        for name in self._ARRAYS:
            add(getattr(self, name))
        for name, entry in self.fields.items():
            digest.update(json.dumps([name, entry.owner, *map(str, entry.vocabulary)]).encode())
            add(entry.codes)
            if entry.offsets is not None:
                add(entry.offsets)
        digest.update(json.dumps([getattr(self.about, name) for name in self._ROLES]).encode())
        return digest.hexdigest()[:16]

    def save(self, folder: Path, reader: int = 1) -> None:
        """Write the data set as a folder of .npy arrays and one JSON.

        The folder appears at once and complete. An existing one is replaced, but for one with the same version and reader: another process
        may have it open.

        Args:
            reader: The revision of what made it of the raw files.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent, ignore_cleanup_errors=True) as scratch:
            partial = Path(scratch) / "new"
            partial.mkdir()
            self._write(partial, reader)
            for turn in itertools.count():  # somebody else may put another version there between two steps, again and again
                if _rename(partial, folder) or _made(folder) == (self.version, reader):
                    return
                _rename(folder, Path(scratch) / f"old-{turn}")

    def _write(self, partial: Path, reader: int) -> None:
        for name in self._ARRAYS:
            np.save(partial / f"{name}.npy", getattr(self, name), allow_pickle=False)
        listing = {}
        for number, entry in enumerate(self.fields.values()):
            np.save(partial / f"field{number}_codes.npy", entry.codes, allow_pickle=False)
            if entry.offsets is not None:
                np.save(partial / f"field{number}_offsets.npy", entry.offsets, allow_pickle=False)
            words = json.dumps([str(word) for word in entry.vocabulary], ensure_ascii=False)
            (partial / f"field{number}_vocabulary.json").write_text(words, encoding="utf-8")
            listing[entry.name] = {"number": number, "owner": entry.owner, "multi": entry.offsets is not None}
        meta = {"format": FORMAT, "version": self.version, "reader": reader, "about": self.about.__dict__, "fields": listing}
        (partial / "dataset.json").write_text(json.dumps(meta, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> CTRDataset:
        """Open a folder written by `save`, memory-mapping its arrays, and check it against its version.

        Raises:
            DataError: The folder is incomplete, damaged or of another format.
        """
        try:
            meta = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            if meta["format"] != FORMAT:
                raise DataError(f"{folder} has cache format {meta['format']}, this kit reads {FORMAT}: delete the folder")
            arrays = {name: _open(folder / f"{name}.npy") for name in cls._ARRAYS}
            fields = {}
            for name, entry in meta["fields"].items():
                stem = f"field{entry['number']}"
                fields[name] = Field(
                    name=name,
                    owner=entry["owner"],
                    vocabulary=np.array(json.loads((folder / f"{stem}_vocabulary.json").read_text(encoding="utf-8")), dtype=object),
                    codes=_open(folder / f"{stem}_codes.npy"),
                    offsets=_open(folder / f"{stem}_offsets.npy") if entry["multi"] else None,
                )
            about = {key: tuple(value) if isinstance(value, list) else value for key, value in meta["about"].items()}
            dataset = cls(about=About(**about), fields=fields, version=meta["version"], **arrays)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"the parsed data set in {folder} is damaged ({error}): delete the folder, it will be made again") from None
        if dataset._fingerprint() != dataset.version:
            raise DataError(
                f"the parsed data set in {folder} is damaged (its content has changed): delete the folder, it will be made again"
            )
        return dataset

    def field(self, name: str) -> Field:
        """A field by name.

        Raises:
            UserError: There is no such field.
        """
        if name not in self.fields:
            raise unknown(f"field of {self.name}", name, self.fields)
        return self.fields[name]


def check_shots(n: int, name: str, most: int) -> None:
    """Whether a data set of this name, with `most` training samples, has N of them.

    Raises:
        UserError: It has not.
    """
    if n > most:
        raise UserError(f"{n:,} shots asked for, but {name} has {most:,} training samples: use at most that, or 'all'")


def check_count(what: str, n: object, least: int = 1) -> int:
    """A number of rows that is not "all".

    Raises:
        UserError: It is no whole number, or less than `least`.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
        raise UserError(f"{what} must be a {'positive whole number' if least else 'whole number from 0'} or 'all', not {n!r}")
    return int(n)


def _open(path: Path) -> np.ndarray:
    """A memory-mapped array, as a plain ndarray: `np.memmap` makes every small access slower."""
    return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)


def _rename(folder: Path, to: Path) -> bool:
    """Move a folder unless the new place is taken or another process was quicker."""
    try:
        folder.rename(to)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            return False
        raise
    return True


def _made(folder: Path) -> tuple[str, int] | None:
    """The version of a saved data set and the revision of its reader."""
    try:
        meta = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        return meta["version"], meta.get("reader", 1)
    except (OSError, ValueError, KeyError):
        return None


def encode(values: list[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number words in order of first appearance: (vocabulary, codes from 1)."""
    import pandas as pd

    codes, words = pd.factorize(np.asarray(values, dtype=object))
    return np.asarray(words, dtype=object), (codes + 1).astype(np.int32)


def with_padding(codes: np.ndarray) -> np.ndarray:
    """Put the padding row 0 in front of per-owner codes."""
    return np.concatenate([np.zeros(1, dtype=codes.dtype), codes])


def multi_valued(lists: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vocabulary, codes, offsets) of a field with any number of values an owner; owner 0 is padding."""
    lengths = np.array([0, 0, *map(len, lists)], dtype=np.int64)
    vocabulary, codes = encode([value for values in lists for value in values])
    return vocabulary, codes, np.cumsum(lengths)
