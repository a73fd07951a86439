"""`CRM`: what makes a torch module with `forward(batch) -> logits` a `Recommender`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from laser_core.crm.inputs import Inputs, Samples, Sizes
from laser_core.crm.layers import check_dropout
from laser_core.crm.trainer import Training, one_thread, predict, train
from laser_core.datasets.dataset import CTRDataset
from laser_core.device import torch_device
from laser_core.progress import Progress, no_progress, part_of
from laser_core.recommender import Recommender, check_both_classes, check_options


@dataclass(frozen=True)
class CRMOptions(Training):
    """Settings that every conventional model has."""

    embedding_size: int = 32
    """width of every embedding"""
    embedding_scale: float = 0.05
    """standard deviation that embeddings start with"""
    hidden: tuple[int, ...] = (128, 64)
    """widths of the final MLP"""
    dropout: float = 0.1
    """share of units left out at each step of the training"""
    history: int = 0
    """K: how many of the last events are read; 0 takes the data set's own"""
    user_id: bool = False
    """read the user's id (it hurts where test users are new)"""
    statistics: bool = True
    """read the enriched input: causal statistics of the whole history beside the plain one"""
    skip_fields: tuple[str, ...] = ()
    """input fields to leave out"""
    collaborative: bool = field(default=False, metadata={"late": True})
    """read an item-item regression on the shots too (`laser_core.crm.collaborative`)"""
    choose: bool = field(default=False, metadata={"late": True})
    """fit once with each of `tried` and keep the fit with the lowest validation log loss: settings for this very N"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, positive=("embedding_size",), not_negative=("embedding_scale", "history"), widths=("hidden",))
        check_dropout("dropout", self.dropout)

    def tried(self) -> list[Self]:
        """The settings to choose from: these; with `choose`, learning rates around this one, decayed as fast or hardly, more patience."""
        if not self.choose:
            return [self]
        changes = [(factor * self.learning_rate, decay) for decay in (self.learning_rate_decay, 0.9) for factor in (0.5, 1, 2, 4)]
        patience = max(self.patience, 5)
        return [dataclasses.replace(self, learning_rate=rate, learning_rate_decay=decay, patience=patience) for rate, decay in changes]


class CRM(Recommender):
    """A conventional recommendation model: `Options`, a `Model` module, and nothing else in the subclass."""

    Options = CRMOptions
    Model: ClassVar[type[nn.Module]]
    """built as Model(sizes, options)"""
    piece: ClassVar[int] = 1024
    """rows at once through the model in training, small enough for the processor's cache"""

    def fit(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Train on the labels of `rows`, stop by the log loss on `valid_rows`.

        Raises:
            UserError: The labels of `rows` are all the same.
        """
        check_both_classes(dataset, rows)
        self.dataset_name_, self.dataset_version_ = dataset.name, dataset.version
        self.inputs_ = self.fit_inputs(dataset, rows)
        device = torch_device()
        fits = []
        with one_thread():
            samples, valid = self.encode(dataset, rows), self.encode(dataset, valid_rows)
            piece = self.piece if device.type == "cpu" else self.options.batch_size
            tried = self.options.tried()
            for number, settings in enumerate(tried):
                torch.manual_seed(seed)
                model = self.build().to(device)
                own = part_of(progress, number, 1, len(tried), f"fit {number + 1} of {len(tried)}") if len(tried) > 1 else progress
                curve = train(model, samples, valid, settings, seed, piece, own)
                fits.append((min(entry["valid_log_loss"] for entry in curve), model, curve, settings))
        _, self.model_, self.curve_, chosen = min(fits, key=lambda fit: np.nan_to_num(fit[0], nan=np.inf))
        self.labels_seen_ = len(np.unique(rows))
        curves = [curve for _, _, curve, _ in fits]
        epochs, seconds = sum(map(len, curves)), sum(entry["seconds"] for curve in curves for entry in curve)
        self.cost_ = {"epochs": epochs, "train_samples_per_second": len(rows) * epochs / seconds}
        if len(fits) > 1:
            self.cost_ |= {"fits": len(fits), "learning_rate": chosen.learning_rate, "learning_rate_decay": chosen.learning_rate_decay}
        return self

    def predict(self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """(rows,) float64 probabilities of a positive label.

        Raises:
            UserError: The model is not fitted, or was fitted on other data.
        """
        self.check_data(dataset)
        with one_thread():
            return predict(*self.serve(dataset, dataset.check_rows(rows)), progress)

    def serve(self, dataset: CTRDataset, rows: np.ndarray) -> tuple[nn.Module, Samples]:
        """The model as it would be served, and the samples as that model reads them."""
        return self.model_.eval(), self.encode(dataset, rows)

    def build(self) -> nn.Module:
        """A fresh model for the fitted inputs."""
        return self.Model(self.inputs_.sizes, self.options)

    def fit_inputs(self, dataset: CTRDataset, rows: np.ndarray) -> Inputs:
        """Which values get an embedding."""
        options = self.options
        return Inputs.fit(dataset, rows, options.history, options.user_id, options.statistics, options.skip_fields, options.collaborative)

    def encode(self, dataset: CTRDataset, rows: np.ndarray) -> Samples:
        """The samples as the model reads them."""
        return self.inputs_.encode(dataset, rows)

    def more_arrays(self) -> dict[str, np.ndarray]:
        """What a subclass learns beside `inputs_` and `model_`."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `more_arrays`; called before `build`."""

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before)."""
        if not hasattr(self, "model_"):
            return 0
        weights = sum(parameter.numel() for parameter in self.model_.parameters())
        return weights + (self.inputs_.collaborative.parameter_count() if self.inputs_.collaborative else 0)

    # ---- keeping -----------------------------------------------------------------------------------------------------------

    def save(self, folder: Path | str) -> None:
        """Write `model.json` and `model.safetensors`."""
        about = {"dataset": self.dataset_name_, "dataset_version": self.dataset_version_, "inputs": self.inputs_.words()}
        folder = self.write_words(folder, **about)
        arrays = {f"inputs.{name}": value for name, value in self.inputs_.arrays().items()}
        arrays |= {f"more.{name}": value for name, value in self.more_arrays().items()}
        arrays |= {f"model.{name}": value.cpu().numpy() for name, value in self.model_.state_dict().items()}
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: The folder is incomplete, damaged or of another model.
        """
        folder = Path(folder)
        with cls.reading(folder, SafetensorError) as (made, words):
            arrays = load_file(folder / "model.safetensors")
            made.dataset_name_, made.dataset_version_ = words["dataset"], words["dataset_version"]
            made.inputs_ = Inputs.restore(words["inputs"], _under("inputs.", arrays))
            made.restore(_under("more.", arrays))
            made.model_ = made.build()
            made.model_.load_state_dict({name: torch.from_numpy(value) for name, value in _under("model.", arrays).items()})
            made.model_.to(torch_device())
        return made


def concatenated(sizes: Sizes, options: CRMOptions, extra: int = 0) -> int:
    """Width of a model's input to its final MLP: all fields, `extra` more embeddings, the dense numbers."""
    return (sizes.fields + extra) * options.embedding_size + sizes.dense


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The entries whose name begins with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
