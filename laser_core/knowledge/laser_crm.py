"""Laser, LLM+CRM: a language model's vectors of items and users as more fields of a conventional model.

    fields of the CRM  =  its own fields  +  adapter(user vector)  +  adapter(item vector)
    dense numbers      =  its own numbers +  <user vector, item vector>                          (option `match`)

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
from laser_core.knowledge.vectors import VectorOptions, Vectors
from laser_core.progress import Progress, no_progress


@dataclass(frozen=True)
class LaserCRMOptions(VectorOptions, CRMOptions):
    """Settings of Laser, LLM+CRM: those of the conventional model, of the vectors, and of the adapter."""

    backbone_crm: str = "sim"
    """the conventional model"""
    adapter: Literal["moe", "linear"] = "moe"
    """mixture of experts, or one linear layer a vector"""
    experts: int = 4
    adapter_hidden: int = 128
    """width inside an expert"""
    adapter_dropout: float = 0.5
    """inside an expert"""
    adapter_scale: float = 0.1
    """factor on the adapter's output: it starts as small as embeddings do, and learns as slowly"""
    match: bool = True
    """how alike the two vectors are is one more dense number"""

    def __post_init__(self) -> None:
        CRMOptions.__post_init__(self)
        VectorOptions.__post_init__(self)
        if systems.get(self.backbone_crm).family != "crm":
            known = ", ".join(name for name, system in systems.SYSTEMS.items() if system.family == "crm")
            raise UserError(f"option 'backbone_crm' must be a conventional model ({known}), not '{self.backbone_crm}'")
        for name in ("experts", "adapter_hidden"):
            if getattr(self, name) < 1:
                raise UserError(f"option '{name}' must be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.adapter_dropout < 1:
            raise UserError(f"option 'adapter_dropout' must be at least 0 and less than 1, not {self.adapter_dropout}")


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

    def fit(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Train adapter and conventional model together; vectors that are not stored yet are made first.

        Raises:
            UserError: The labels of `rows` are all the same.
            FaultError: The weights of a language model are needed and not to be had.
        """
        self.vectors.progress = progress
        return super().fit(dataset, rows, valid_rows, seed, progress)

    def predict(self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """(rows,) float64 probabilities of a positive label.

        Raises:
            UserError: The model was fitted on another data set.
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
        model = self.crm.Model(sizes._replace(fields=sizes.fields + 2, dense=sizes.dense + options.match), self.crm.options)
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
        tables = self.vectors.tables(dataset, rows)
        if self.options.match:
            match = self.vectors.matches(tables)[:, None]  # (rows, 1)
            samples = dataclasses.replace(samples, dense=np.concatenate([samples.dense, match], axis=1))
        size = np.float32(tables[0][0].shape[1] ** 0.5)  # unit vectors become numbers of the size of 1, as layers expect
        return dataclasses.replace(samples, vectors=tuple((table * size, place) for table, place in tables))

    def serve(self, dataset: CTRDataset, rows: np.ndarray) -> tuple[nn.Module, Samples]:
        """The backbone with ready fields in the adapter's place: it goes over every vector once, and serving looks its result up."""
        model, samples = super().serve(dataset, rows)
        if self.options.vectors == "none":
            return model, samples
        served = copy.deepcopy(model)
        served.embeddings.adapter = nn.Identity()
        fields = tuple((adapted(model.embeddings.adapter, number, table), place) for number, (table, place) in enumerate(samples.vectors))
        return served, dataclasses.replace(samples, vectors=fields)

    def more_arrays(self) -> dict[str, np.ndarray]:
        """The axes of the vectors."""
        return self.vectors.arrays()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `more_arrays`."""
        self.crm.inputs_ = self.inputs_
        self.vectors.restore(arrays)


@torch.no_grad()
def adapted(adapter: nn.Module, number: int, table: np.ndarray, piece: int = 4096) -> np.ndarray:
    """(distinct, embedding) the fields that an adapter makes of one of a sample's vectors, `piece` rows at once."""
    device = next(adapter.parameters()).device
    pieces = torch.from_numpy(table).split(piece)
    return np.concatenate([adapter.field(number, part.to(device)).cpu().numpy() for part in pieces])
