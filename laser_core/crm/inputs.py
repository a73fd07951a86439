"""What a conventional model reads of a sample: places in one embedding table, the rated history, and dense numbers.

All categorical fields share one table with an offset a field; row 0 stands for "absent or never seen". Only values that occur in the
fitted samples (as a target's or in a history) get a row, so the table grows with the shots and not with the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from laser_core.crm.collaborative import Collaborative
from laser_core.crm.statistics import history_statistics
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError


class Sizes(NamedTuple):
    """What a model must know about its input to build its layers."""

    fields: int
    """categorical fields a sample has; the target item is field 0"""
    values: int
    """rows of the embedding table, row 0 included"""
    ratings: int
    """rating codes, padding (0) included"""
    dense: int
    """dense numbers a sample has"""
    history: int
    """K: the longest history a sample can have"""


@dataclass(frozen=True)
class Batch:
    """Samples as tensors. The history is in time order, real events first; its width is the longest history in the batch."""

    fields: Tensor
    """(batch, fields) places in the embedding table; column 0 is the target item"""
    history: Tensor
    """(batch, history) places of the history's items in the same table, 0 at padding"""
    rating: Tensor
    """(batch, history) rating codes, 0 at padding"""
    real: Tensor
    """(batch, history) True where an event is real, False where it is padding"""
    length: Tensor
    """(batch,) how many events are real"""
    dense: Tensor
    """(batch, dense) standardised numbers"""
    vectors: Tensor = field(default_factory=lambda: torch.zeros(0))
    """(batch, vectors, size) outside knowledge of the sample, such as vectors of texts; empty without"""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(**{name: value.to(device) for name, value in self.__dict__.items()})


@dataclass(frozen=True)
class Samples:
    """Encoded samples of one data set, gathered once so that a batch costs a few array look-ups."""

    fields: np.ndarray
    """(rows, fields) int32 places"""
    start: np.ndarray
    """(rows,) where each history begins in `events`"""
    length: np.ndarray
    """(rows,) how long it is"""
    events: np.ndarray | None
    """the event at each place of all histories, or None: the place is the event"""
    item_place: np.ndarray
    """(items + 1,) place of each item in the table"""
    event_item: np.ndarray
    """(data set's events,) item codes"""
    event_rating: np.ndarray
    """(data set's events,) rating codes"""
    dense: np.ndarray
    """(rows, dense) float32"""
    label: np.ndarray
    """(rows,) float32"""
    vectors: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    """tables (distinct, size) float32 of outside knowledge, each with its (rows,) place of every sample"""

    def __len__(self) -> int:
        return len(self.fields)

    def batch(self, index: np.ndarray | slice) -> Batch:
        """The samples at `index`, padded to the longest history among them (at least one place)."""
        start, length = self.start[index], self.length[index]
        step = np.arange(max(1, length.max(initial=0)))
        real = step < length[:, None]  # (batch, history)
        place = np.where(real, start[:, None] + step, 0)
        if self.events is not None and len(self.events):
            place = self.events[place]
        return Batch(
            fields=torch.from_numpy(self.fields[index]),
            history=torch.from_numpy(self.item_place[self.event_item[place]] * real),
            rating=torch.from_numpy((self.event_rating[place] * real).astype(np.int32)),
            real=torch.from_numpy(real),
            length=torch.from_numpy(length),
            dense=torch.from_numpy(self.dense[index]),
            vectors=torch.from_numpy(np.stack([table[place[index]] for table, place in self.vectors], 1))
            if self.vectors
            else torch.zeros(0),
        )


@dataclass(frozen=True)
class Inputs:
    """The learned half of the input: which values of which fields have a row, and how dense numbers are scaled."""

    names: tuple[str, ...]
    """categorical fields, the item id first"""
    known: tuple[np.ndarray, ...]
    """for each field the codes that have a row, ascending"""
    ratings: int
    history: int
    statistics: bool
    mean: np.ndarray
    """(dense,) of the fitted samples"""
    scale: np.ndarray
    collaborative: Collaborative | None = None

    @classmethod
    def fit(
        cls,
        dataset: CTRDataset,
        rows: np.ndarray,
        history: int = 0,
        user_id: bool = False,
        statistics: bool = False,
        skip: tuple[str, ...] = (),
        collaborative: bool = False,
    ) -> Self:
        """See which values the fitted samples have.

        Args:
            history: K, 0 for the data set's own, -1 for the whole history.
            user_id: Read the user's id too.
            statistics: Read the numbers of `laser_core.crm.statistics` too.
            skip: Fields of `about.input_fields` to leave out.
            collaborative: Read the numbers of `laser_core.crm.collaborative` too.

        Raises:
            UserError: A field in `skip` that the data set does not have, or the item itself.
        """
        about = dataset.about
        for name in skip:
            dataset.field(name)
        if about.item_field in skip:
            raise UserError(f"option 'skip_fields': '{about.item_field}' is the item itself, which every model reads: leave it out there")
        names = [name for name in about.input_fields if name != about.item_field and (user_id or name != about.user_field)]
        names = (about.item_field, *(name for name in names if name not in skip))
        history = history or about.history_length
        learned = Collaborative.fit(dataset, rows) if collaborative else None
        made = cls(names, (), len(dataset.rating_values), history, statistics, np.zeros(0), np.zeros(0), learned)
        dense = made.statistics_of(dataset, rows)
        codes = [made.codes(dataset, rows, name) for name in names]
        codes[0] = np.concatenate([codes[0], dataset.event_item[_covered(dataset, rows, history)]])
        return replace(
            made,
            known=tuple(present[present > 0] for present in map(_distinct, codes)),
            mean=dense.mean(axis=0),
            scale=np.maximum(dense.std(axis=0), 1e-3),
        )

    @property
    def sizes(self) -> Sizes:
        """What a model's layers must fit."""
        values = 1 + sum(map(len, self.known))
        return Sizes(len(self.names), values, self.ratings, len(self.mean), self.history)

    def encode(self, dataset: CTRDataset, rows: np.ndarray, picked: tuple[np.ndarray, np.ndarray] | None = None) -> Samples:
        """Samples as arrays.

        Args:
            picked: Histories other than the last K events: `(events, lengths)`, all histories' events one after another.
        """
        fields = np.empty((len(rows), len(self.names)), dtype=np.int32)
        first = 1
        for column, (name, known) in enumerate(zip(self.names, self.known, strict=True)):
            place = np.zeros(dataset.fields[name].size, dtype=np.int32)  # of each code; 0: never seen
            place[known] = np.arange(first, first + len(known))
            first += len(known)
            fields[:, column] = place[self.codes(dataset, rows, name)]
            if column == 0:
                item_place = place
        if picked is None:
            events, start = None, dataset.history_start(rows, self.history)
            length = dataset.sample_event[rows] - start
        else:
            events, length = picked
            start = np.cumsum(length) - length
        return Samples(
            fields=fields,
            start=start,
            length=length,
            events=events,
            item_place=item_place,
            event_item=dataset.event_item,
            event_rating=dataset.event_rating,
            dense=((self.statistics_of(dataset, rows) - self.mean) / self.scale).astype(np.float32),
            label=dataset.labels(rows).astype(np.float32),
        )

    def codes(self, dataset: CTRDataset, rows: np.ndarray, name: str) -> np.ndarray:
        """(rows,) the codes of one field.

        Raises:
            UserError: The field has several values an owner.
        """
        field = dataset.fields[name]
        if field.offsets is not None:
            raise UserError(f"{dataset.name}: field '{name}' has several values an item, conventional models read single-valued fields")
        owner = dataset.sample_user(rows) if field.owner == "user" else dataset.sample_item(rows)
        return field.codes[owner]

    def statistics_of(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """(rows, dense) the numbers of the enriched input, none in the plain one."""
        parts = [np.zeros((len(rows), 0), dtype=np.float32)]
        if self.statistics:
            parts.append(history_statistics(dataset, rows)[0])
        if self.collaborative is not None:
            parts.append(self.collaborative.features(dataset, rows))
        return np.concatenate(parts, axis=1)

    # ---- keeping -----------------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """What is learned, as named arrays."""
        known = {f"known.{name}": codes for name, codes in zip(self.names, self.known, strict=True)}
        learned = {} if self.collaborative is None else self.collaborative.arrays()
        return {"mean": self.mean, "scale": self.scale} | known | {f"collaborative.{name}": value for name, value in learned.items()}

    def words(self) -> dict[str, object]:
        """What is set, ready for JSON."""
        return {
            "names": list(self.names),
            "ratings": self.ratings,
            "history": self.history,
            "statistics": self.statistics,
            "collaborative": self.collaborative is not None,
        }

    @classmethod
    def restore(cls, words: dict, arrays: dict[str, np.ndarray]) -> Self:
        """The inverse of `words` and `arrays`."""
        names = tuple(words["names"])
        known = tuple(arrays[f"known.{name}"] for name in names)
        learned = Collaborative.restore(arrays, "collaborative.") if words.get("collaborative") else None
        return cls(names, known, words["ratings"], words["history"], words["statistics"], arrays["mean"], arrays["scale"], learned)


def _covered(dataset: CTRDataset, rows: np.ndarray, history: int) -> np.ndarray:
    """(events,) True where an event is in the history of one of the samples."""
    edges = np.zeros(dataset.events + 1, dtype=np.int64)
    np.add.at(edges, dataset.history_start(rows, history), 1)
    np.add.at(edges, dataset.sample_event[rows], -1)
    return np.cumsum(edges[:-1]) > 0


def _distinct(codes: np.ndarray) -> np.ndarray:
    """The distinct values, ascending (codes are small numbers: counting beats sorting)."""
    return np.flatnonzero(np.bincount(codes))
