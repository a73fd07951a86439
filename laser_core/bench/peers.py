"""The toolkits that the conventional models are timed against, each through its own public interface, as its documentation shows.

They get the very arrays that the kit's models read, gathered and padded beforehand (a head start: the kit gathers while it trains), the
same sizes of tables and layers, AdamW with the same settings, and none of their own regularisation. What they compute:

- DeepFM: DeepCTR-Torch the same function as the kit. torch-rechub has its linear part on the embeddings.
- DIN on rated histories: the kit projects item and rating to one token, W[item; rating]; the toolkits, having no such layer, read a second
  behaviour beside the items, and a rating of 0 for the target.
- DIN on items alone: DeepCTR-Torch the same function as `laser_core.bench.items_only`.
- torch-rechub has batch normalisation in every layer, its DIN no mask, and Dice on top.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

if TYPE_CHECKING:
    from laser_core.crm.inputs import Inputs, Samples

INSTALL = 'pip install -e ".[bench]" -c constraints.txt'


@dataclass(frozen=True)
class Table:
    """Samples as toolkits read them: every history padded with 0 to the same width."""

    fields: dict[str, np.ndarray]
    """(rows,) codes of each field from 1, 0 for never seen; the item first"""
    items: np.ndarray
    """(rows, history) codes of the history's items"""
    ratings: np.ndarray
    """(rows, history)"""
    length: np.ndarray
    """(rows,)"""
    label: np.ndarray
    """(rows,) float32"""

    @classmethod
    def of(cls, inputs: Inputs, samples: Samples) -> Table:
        """The kit's own encoding, padded to the full history."""
        batch = samples.batch(np.arange(len(samples)))
        real = batch.real.numpy()
        missing = [(0, 0), (0, inputs.history - real.shape[1])]
        places = batch.fields.numpy()
        first = np.cumsum([0, *map(len, inputs.known)])
        codes = {name: np.maximum(places[:, column] - first[column], 0) for column, name in enumerate(inputs.names)}
        return cls(
            fields=codes,
            items=np.pad(batch.history.numpy() * real, missing),
            ratings=np.pad(batch.rating.numpy() * real, missing),
            length=batch.length.numpy().astype(np.int32),
            label=samples.label,
        )

    def rows(self, chosen: slice) -> Table:
        """Some of the rows."""
        fields = {name: codes[chosen] for name, codes in self.fields.items()}
        return Table(fields, self.items[chosen], self.ratings[chosen], self.length[chosen], self.label[chosen])

    def save(self, path: Path) -> None:
        """Write as .npz."""
        others = {"items": self.items, "ratings": self.ratings, "length": self.length, "label": self.label}
        np.savez(path, **others, **{f"field.{name}": codes for name, codes in self.fields.items()})

    @classmethod
    def load(cls, path: Path) -> Table:
        """The inverse of `save`."""
        with np.load(path) as arrays:
            fields = {name.removeprefix("field."): arrays[name] for name in arrays.files if name.startswith("field.")}
            return cls(fields, *(arrays[name] for name in ("items", "ratings", "length", "label")))


@dataclass(frozen=True)
class Plan:
    """What is built and how it is trained: the same for the kit and every toolkit."""

    model: str
    """deepfm, din (rated histories) or din-items"""
    sizes: Mapping[str, int]
    """codes of each field, 0 included; the item first"""
    ratings: int
    """rating codes, 0 included"""
    history: int
    options: Mapping[str, Any]
    """the kit's options of the model"""


class Peer(Protocol):
    """A toolkit."""

    name: ClassVar[str]
    package: ClassVar[str]
    """as it is imported"""
    project: ClassVar[str]
    """as it is installed"""
    model: Any
    """the built torch module"""

    def __init__(self, plan: Plan) -> None: ...

    def fit(self, table: Table, batch_size: int, epochs: int, valid: Table | None = None) -> None:
        """Train, validating after each epoch if there is something to validate on."""

    def predict(self, table: Table, batch_size: int) -> np.ndarray:
        """(rows,) probabilities."""


class DeepCTRTorch:
    """DeepCTR-Torch (W. Shen, github.com/shenweichen/DeepCTR-Torch)."""

    name = "DeepCTR-Torch"
    package = "deepctr_torch"
    project = "deepctr-torch"

    def __init__(self, plan: Plan) -> None:
        from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
        from deepctr_torch.models import DIN, DeepFM
        from torch.optim import AdamW

        options, item = plan.options, next(iter(plan.sizes))
        size = options["embedding_size"]
        fields = [SparseFeat(name, codes, size) for name, codes in plan.sizes.items()]

        def of_history(field: SparseFeat) -> VarLenSparseFeat:
            column = SparseFeat(f"hist_{field.name}", field.vocabulary_size, size, embedding_name=field.name)
            return VarLenSparseFeat(column, plan.history, "mean", length_name="length")

        rating = SparseFeat("rating", plan.ratings, size)
        deep = {"dnn_hidden_units": options["hidden"], "dnn_dropout": options["dropout"], "l2_reg_embedding": 0, "l2_reg_dnn": 0}
        if plan.model == "deepfm":
            self.model = DeepFM(fields, [*fields, of_history(fields[0]), of_history(rating)], l2_reg_linear=0, **deep)
        else:
            behaviours = [fields[0]] if plan.model == "din-items" else [fields[0], rating]
            columns = [*fields, *behaviours[1:], *map(of_history, behaviours)]
            names = [field.name for field in behaviours]
            self.model = DIN(columns, names, att_hidden_size=options["attention"], att_activation="relu", **deep)
        optimizer = AdamW(self.model.parameters(), lr=options["learning_rate"], weight_decay=options["weight_decay"])
        self.model.compile(optimizer, "binary_crossentropy", metrics=["binary_crossentropy"])
        self._item = item

    def fit(self, table: Table, batch_size: int, epochs: int, valid: Table | None = None) -> None:
        """Train."""
        held_out = None if valid is None else (self._columns(valid), valid.label)
        self.model.fit(self._columns(table), table.label, batch_size, epochs, verbose=0, validation_data=held_out)

    def predict(self, table: Table, batch_size: int) -> np.ndarray:
        """(rows,) probabilities."""
        return self.model.predict(self._columns(table), batch_size)[:, 0]

    def _columns(self, table: Table) -> dict[str, np.ndarray]:
        histories = {f"hist_{self._item}": table.items, "hist_rating": table.ratings, "length": table.length}
        return {**table.fields, **histories, "rating": np.zeros_like(table.length)}


class TorchRecHub:
    """torch-rechub (M. Lai and others, github.com/datawhalechina/torch-rechub)."""

    name = "torch-rechub"
    package = "torch_rechub"
    project = "torch-rechub"

    def __init__(self, plan: Plan) -> None:
        from torch_rechub.basic.features import SequenceFeature, SparseFeature
        from torch_rechub.models.ranking import DIN, DeepFM

        options, item = plan.options, next(iter(plan.sizes))
        size = options["embedding_size"]

        def of_history(field: SparseFeature, pooling: str) -> SequenceFeature:
            return SequenceFeature(f"hist_{field.name}", field.vocab_size, size, pooling, shared_with=field.name, padding_idx=0)

        target, *others = (SparseFeature(name, codes, size, padding_idx=0) for name, codes in plan.sizes.items())
        rating = SparseFeature("rating", plan.ratings, size, padding_idx=0)
        top = {"dims": list(options["hidden"]), "dropout": options["dropout"]}
        if plan.model == "deepfm":
            ratings = SequenceFeature("hist_rating", plan.ratings, size, "mean", padding_idx=0)
            read = [target, *others, of_history(target, "mean"), ratings]
            self.model = DeepFM(read, read, {**top, "activation": "relu"})
        else:
            behaviours = [target] if plan.model == "din-items" else [target, rating]
            histories = [of_history(field, "concat") for field in behaviours]
            self.model = DIN(others, histories, behaviours, top, {"dims": list(options["attention"]), "activation": "relu"})
            read = [*others, *histories, *behaviours]
        self._item = item
        self._read = [feature.name for feature in read]
        self._options = options

    def fit(self, table: Table, batch_size: int, epochs: int, valid: Table | None = None) -> None:
        """Train."""
        from torch.optim import AdamW
        from torch_rechub.trainers import CTRTrainer

        with tempfile.TemporaryDirectory() as folder:
            trainer = CTRTrainer(
                self.model, AdamW, {"lr": self._options["learning_rate"], "weight_decay": self._options["weight_decay"]},
                n_epoch=epochs, earlystop_patience=epochs, model_path=folder,
            )  # fmt: skip
            trainer.fit(self._loader(table, batch_size, shuffle=True), None if valid is None else self._loader(valid, batch_size))

    def predict(self, table: Table, batch_size: int) -> np.ndarray:
        """(rows,) probabilities."""
        from torch_rechub.trainers import CTRTrainer

        return np.array(CTRTrainer(self.model).predict(self.model, self._loader(table, batch_size)))

    def _loader(self, table: Table, batch_size: int, shuffle: bool = False):
        from torch.utils.data import DataLoader
        from torch_rechub.utils.data import TorchDataset

        histories = {f"hist_{self._item}": table.items, "hist_rating": table.ratings}
        columns = {**table.fields, **histories, "rating": np.zeros_like(table.length)}
        columns = {name: columns[name] for name in self._read}  # it fetches row by row and column by column: none too many
        return DataLoader(TorchDataset(columns, table.label), batch_size, shuffle=shuffle)


PEERS: tuple[type[Peer], ...] = (DeepCTRTorch, TorchRecHub)


def installed() -> list[type[Peer]]:
    """The toolkits on this machine."""
    return [peer for peer in PEERS if importlib.util.find_spec(peer.package) is not None]


def not_installed() -> list[str]:
    """Why the others are not compared, and what to do, in words."""
    absent = [peer.name for peer in PEERS if peer not in installed()]
    return [f"{', '.join(absent)}: not installed ({INSTALL})"] if absent else []
