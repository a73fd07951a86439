"""Laser, LLM+CRM: a language model's vectors of items and users as more fields of a conventional model.

    fields of the CRM  =  its own fields  +  adapter(user vector)  +  adapter(item vector)
    dense numbers      =  its own numbers +  <user vector, item vector>                          (option `match`)
                                          +  what the user thought of the nearest items          (option `nearby`)
                                          +  how well a language model knows the item            (option `familiar`)

The language model is frozen and only read while vectors are made; adapter and conventional model are trained together. Any conventional
model can be the backbone (option `backbone_crm`): all of them read a sample's fields through `Embeddings`, where the adapter is put in.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import nn

from laser_core import systems
from laser_core.crm.base import CRM, CRMOptions
from laser_core.crm.inputs import Inputs, Samples
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.knowledge.adapter import LinearAdapter, MixtureOfExperts
from laser_core.knowledge.vectors import Known, Tables, VectorOptions, Vectors
from laser_core.knowledge.writer import snapshot_end
from laser_core.progress import Progress, no_progress
from laser_core.recommender import check_options


@dataclass(frozen=True)
class LaserCRMOptions(VectorOptions, CRMOptions):
    """Settings of Laser, LLM+CRM: those of the conventional model, of the vectors, and of the adapter."""

    backbone_crm: str = "sim"
    """the conventional model"""
    adapter: Literal["moe", "linear"] = "moe"
    """mixture of experts, or one linear layer a vector"""
    experts: int = 4
    """that the mixture has"""
    adapter_hidden: int = 128
    """width inside an expert"""
    adapter_dropout: float = 0.5
    """inside an expert"""
    adapter_scale: float = 0.1
    """factor on the adapter's output: it starts as small as embeddings do, and learns as slowly"""

    def __post_init__(self) -> None:
        CRMOptions.__post_init__(self)
        VectorOptions.__post_init__(self)
        if systems.get(self.backbone_crm).family != "crm":
            known = ", ".join(name for name, system in systems.SYSTEMS.items() if system.family == "crm")
            raise UserError(f"option 'backbone_crm' must be a conventional model ({known}), not '{self.backbone_crm}'")
        check_options(self, positive=("experts", "adapter_hidden"), not_negative=("adapter_scale",), shares=("adapter_dropout",))


class LaserCRM(CRM):
    """A conventional model with an adapter for text vectors."""

    Options = LaserCRMOptions

    def __init__(self, options: Any = None, **changes: Any) -> None:
        super().__init__(options, **changes)
        kind = systems.recommender_class(self.options.backbone_crm)
        shared = {entry.name: getattr(self.options, entry.name) for entry in dataclasses.fields(CRMOptions)}
        self.crm: CRM = kind(kind.Options(**shared))
        self.piece = self.crm.piece
        self.vectors = Vectors(self.options)
        self.ready_: Ready | None = None

    def fit(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Train adapter and conventional model together; vectors that are not stored yet are made first.

        Raises:
            UserError: The labels of `rows` are all the same.
            FaultError: The weights of a language model are needed and not to be had.
        """
        self.vectors.progress, self.ready_ = progress, None
        return super().fit(dataset, rows, valid_rows, seed, progress)

    def predict(self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """(rows,) float64 probabilities of a positive label.

        Raises:
            UserError: The model is not fitted, or was fitted on other data.
            FaultError: The weights of a language model are needed and not to be had.
        """
        self.vectors.progress = progress
        return super().predict(dataset, rows, progress)

    def fit_inputs(self, dataset: CTRDataset, rows: np.ndarray) -> Inputs:
        """Also the axes of the vectors."""
        self.crm.inputs_ = self.crm.fit_inputs(dataset, rows)
        if self.options.vectors != "none":
            self.vectors.fit(dataset, rows, self.crm.inputs_.known[0])
        return self.crm.inputs_

    def build(self) -> nn.Module:
        """The backbone's model with room for two more fields, and the adapter in it."""
        options, sizes = self.options, self.inputs_.sizes
        if options.vectors == "none":
            return self.crm.Model(sizes, self.crm.options)
        model = self.crm.Model(sizes._replace(fields=sizes.fields + 2, dense=sizes.dense + options.dense), self.crm.options)
        size = self.vectors.spaces["item"].axes.shape[1]
        if options.adapter == "linear":
            model.embeddings.adapter = LinearAdapter(2, size, options.embedding_size)
        else:
            model.embeddings.adapter = MixtureOfExperts(
                2, size, options.adapter_hidden, options.embedding_size, options.experts, options.adapter_dropout, options.adapter_scale
            )
        return model

    def encode(self, dataset: CTRDataset, rows: np.ndarray) -> Samples:
        """The samples as the backbone reads them, with their vectors."""
        samples = self.crm.encode(dataset, rows)
        if self.options.vectors == "none":
            return samples
        ((users, user_place), (items, item_place)), numbers = self.vectors.samples(dataset, rows)
        size = _size(users)
        return _with_vectors(samples, numbers, ((users * size, user_place), (items * size, item_place)))

    def prepare(self, dataset: CTRDataset, rows: np.ndarray) -> None:
        """Make what serving looks up for these samples, and others of the same snapshots and items, and keep it in memory.

        A prediction then reads two rows a sample, and those of the items that its user rated. Takes 4 * (components + embedding size)
        bytes for each snapshot and item, and 512 for each item.
        """
        self.ready_ = None if self.options.vectors == "none" else self._make_ready(dataset, rows)

    def serve(self, dataset: CTRDataset, rows: np.ndarray) -> tuple[nn.Module, Samples]:
        """The backbone with ready fields in the adapter's place: it goes over every vector once, and serving looks its result up."""
        if self.options.vectors == "none":
            return super().serve(dataset, rows)
        ready = self.ready_
        if ready is None or ready.dataset is not dataset or not ready.holds(rows):
            ready = self._make_ready(dataset, rows)
        users, items = ready.places(rows)
        tables = (ready.vectors[0], users), (ready.vectors[1], items)
        fields = (ready.fields[0], users), (ready.fields[1], items)
        return ready.model, _with_vectors(self.crm.encode(dataset, rows), self.vectors.numbers(dataset, rows, tables, ready.known), fields)

    def _make_ready(self, dataset: CTRDataset, rows: np.ndarray) -> Ready:
        (users, user_place), (items, item_place) = self.vectors.tables(dataset, rows)
        every = self.options.every
        user_rows, item_rows = np.full(len(dataset.event_user), -1, np.int32), np.full(dataset.items + 1, -1, np.int32)
        user_rows[snapshot_end(dataset, rows, every)] = user_place
        item_rows[dataset.sample_item(rows)] = item_place
        adapter = self.model_.eval().embeddings.adapter
        served = copy.deepcopy(self.model_)
        served.embeddings.adapter = nn.Identity()
        fields = tuple(adapted(adapter, number, table * _size(table)) for number, table in enumerate((users, items)))
        return Ready(dataset, every, served, (user_rows, item_rows), (users, items), fields, self.vectors.known(dataset, rows))

    def more_arrays(self) -> dict[str, np.ndarray]:
        """The axes of the vectors."""
        return self.vectors.arrays()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `more_arrays`."""
        self.crm.inputs_ = self.inputs_
        self.vectors.restore(arrays)


@dataclass(frozen=True)
class Ready:
    """What serving looks up instead of computing it."""

    dataset: CTRDataset
    every: int
    """events between two snapshots"""
    model: nn.Module
    """the backbone, which takes ready fields"""
    rows: tuple[np.ndarray, np.ndarray]
    """(events,) of the snapshot that ends there, and (items + 1,) of an item: its row in the tables, -1 where it has none"""
    vectors: tuple[np.ndarray, np.ndarray]
    """(snapshots, components) and (items, components)"""
    fields: tuple[np.ndarray, np.ndarray]
    """(snapshots, embedding) and (items, embedding) what the adapter makes of them"""
    known: Known
    """what the dense numbers read of items"""

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows,) rows of the samples' snapshots and items in the tables."""
        return self.rows[0][snapshot_end(self.dataset, rows, self.every)], self.rows[1][self.dataset.sample_item(rows)]

    def holds(self, rows: np.ndarray) -> bool:
        """Whether all of the samples can be looked up."""
        return all((places >= 0).all() for places in self.places(rows))


def _with_vectors(samples: Samples, numbers: np.ndarray, vectors: Tables) -> Samples:
    """The samples with what the model reads of their vectors."""
    return dataclasses.replace(samples, dense=np.concatenate([samples.dense, numbers], axis=1), vectors=vectors)


def _size(table: np.ndarray) -> np.float32:
    """Unit vectors times this are numbers of the size of 1, as layers expect."""
    return np.float32(table.shape[1] ** 0.5)


@torch.no_grad()
def adapted(adapter: nn.Module, number: int, table: np.ndarray) -> np.ndarray:
    """(distinct, embedding) the fields that an adapter makes of one of a sample's vectors."""
    device = next(adapter.parameters()).device
    pieces = torch.from_numpy(table).split(4096)  # not all of their experts at once
    return np.concatenate([adapter.field(number, part.to(device)).cpu().numpy() for part in pieces])
