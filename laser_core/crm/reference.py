"""The references every other system has to beat: item popularity and logistic regressions on the user's history.

They answer in seconds what can be had without learning any representation. All but popularity read the same statistics of the user's
earlier ratings (`laser_core.crm.statistics`); Stats-LR and LightGBM (`boosted_trees.py`) add mean labels of the shots. A system that
does not beat History-LR at the same number of shots has shown nothing.
"""

from __future__ import annotations

import zipfile
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from laser_core.crm.statistics import history_statistics, label_means, out_of_fold_means
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.metrics.ranking import log_loss
from laser_core.progress import Progress, no_progress
from laser_core.recommender import Recommender, check_both_classes, check_options


class Reference(Recommender):
    """What the references share: the checks around `fit` and `predict`, and keeping arrays and words on disk.

    A subclass says how it learns and scores; the names in `ARRAYS` are its learned state.
    """

    ARRAYS: ClassVar[tuple[str, ...]]

    def fit(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Learn from the labels of `rows`; strength or size of the model is what has the least log loss on `valid_rows`.

        Raises:
            UserError: The labels of `rows` are all the same.
        """
        check_both_classes(dataset, rows)
        rows = np.unique(rows)  # shots are a set: neither their order nor a repeat says anything
        self.dataset_name_, self.dataset_version_ = dataset.name, dataset.version
        self.labels_seen_, self.curve_ = len(rows), []
        self.learn(dataset, rows, valid_rows, seed, progress)
        return self

    def predict(self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """(rows,) float64 probabilities of a positive label.

        Raises:
            UserError: The model is not fitted, or was fitted on other data.
        """
        self.check_data(dataset)
        probabilities = self.score(dataset, dataset.check_rows(rows))
        progress("scored", len(probabilities), len(probabilities))
        return probabilities

    @abstractmethod
    def learn(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int, progress: Progress) -> None:
        """Set the learned state from `rows`, ascending and without repeats."""

    @abstractmethod
    def score(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """(rows,) probabilities by the learned state."""

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before)."""
        return sum(getattr(self, name).size for name in self.ARRAYS) if self.dataset_version_ is not None else 0

    def arrays(self) -> dict[str, np.ndarray]:
        """The learned state by name."""
        return {name: getattr(self, name) for name in self.ARRAYS}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `arrays`."""
        for name in self.ARRAYS:
            setattr(self, name, arrays[name])

    def save(self, folder: Path | str) -> None:
        """Write `model.json` and `model.npz`."""
        folder = self.write_words(folder, dataset=[self.dataset_name_, self.dataset_version_])
        np.savez(folder / "model.npz", **self.arrays())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: The folder is incomplete, damaged or of another model.
        """
        folder = Path(folder)
        with cls.reading(folder, zipfile.BadZipFile) as (made, words), np.load(folder / "model.npz", allow_pickle=False) as arrays:
            made.dataset_name_, made.dataset_version_ = words["dataset"]
            made.restore(dict(arrays))
        return made


# ---- item popularity ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PopularityOptions:
    """Settings of `ItemPopularity`."""

    smoothings: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    """how many samples of the overall mean are added to each item's: the values to choose from"""

    def __post_init__(self) -> None:
        check_options(self, positive=("smoothings",))


class ItemPopularity(Reference):
    """The target item's mean label in the shots, smoothed; the overall mean for an item that the shots do not hold."""

    Options = PopularityOptions
    ARRAYS = ("mean_",)

    def learn(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int, progress: Progress) -> None:
        """Choose the smoothing."""
        items, labels = dataset.sample_item(rows)[:, None], dataset.labels(rows)
        best = np.inf
        for smoothing in self.options.smoothings:
            mean = label_means(items, labels, dataset.items + 1, smoothing)[:, 0]
            loss = log_loss(dataset.labels(valid_rows), mean[dataset.sample_item(valid_rows)])
            self.curve_.append({"smoothing": smoothing, "valid_log_loss": loss})
            progress(f"smoothing {smoothing:g}, valid log loss {loss:.4f}", len(self.curve_), len(self.options.smoothings))
            if loss < best:
                best, self.mean_ = loss, mean

    def score(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """Look the item up."""
        return self.mean_[dataset.sample_item(rows)]


# ---- what the models on statistics read --------------------------------------------------------------------------------------


class OnStatistics(Reference):
    """A reference that reads dense numbers: the statistics of the user's history."""

    def training_inputs(self, dataset: CTRDataset, rows: np.ndarray, seed: int) -> np.ndarray:
        """(rows, inputs) numbers of the shots; what of the labels goes into the inputs is learned here."""
        return self.inputs(dataset, rows)

    def inputs(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """(rows, inputs) numbers of samples that are not shots."""
        return history_statistics(dataset, rows)[0]


@dataclass(frozen=True)
class MeansOptions:
    """Which mean labels of the shots a reference reads."""

    means: tuple[str, ...] = ("item",)
    """fields whose values' mean labels are read: "item", "user" or a field by name. The user's mean is off: where most test users are new
    it hurts (MovieLens-1M: AUC -.005), and the history statistics already hold the user's taste."""
    smoothing: float = 10.0
    """how many samples of the overall mean are added to each value's mean"""
    folds: int = 10
    """a shot reads means that were computed without its own fold"""

    def __post_init__(self) -> None:
        check_options(self, positive=("smoothing",))
        if self.folds < 2:
            raise UserError(f"option 'folds' must be 2 or more, not {self.folds}")


class WithMeans(OnStatistics):
    """A reference that reads mean labels too: out of fold for the shots, of all shots for every other sample."""

    def training_inputs(self, dataset: CTRDataset, rows: np.ndarray, seed: int) -> np.ndarray:
        """(rows, inputs) statistics and out-of-fold means; sets the means of all shots."""
        options, labels = self.options, dataset.labels(rows)
        codes, size = self._codes(dataset, rows)
        self.means_ = label_means(codes, labels, size, options.smoothing)
        own = out_of_fold_means(codes, labels, size, options.smoothing, options.folds, np.random.default_rng(seed))
        return np.concatenate([super().inputs(dataset, rows), own.reshape(len(rows), 2 * len(options.means))], axis=1)

    def inputs(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """(rows, inputs) statistics and the means of all shots."""
        means = self.means_[self._codes(dataset, rows)[0]]
        return np.concatenate([super().inputs(dataset, rows), means.reshape(len(rows), 2 * len(self.options.means))], axis=1)

    def _codes(self, dataset: CTRDataset, rows: np.ndarray) -> tuple[np.ndarray, int]:
        """(rows, fields) codes that differ between fields, and how many there are."""
        columns, size = [], 0
        ids = {"item": dataset.about.item_field, "user": dataset.about.user_field}
        for name in self.options.means:
            field = dataset.field(ids.get(name, name))
            if field.offsets is not None:
                raise UserError(f"option 'means' cannot take '{name}': an item of {dataset.name} can have several {name}")
            owner = dataset.sample_user(rows) if field.owner == "user" else dataset.sample_item(rows)
            columns.append(size + field.codes[owner].astype(np.int64))
            size += field.size
        return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0), np.int64), size


# ---- logistic regression -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HistoryLROptions:
    """Settings of `HistoryLR`."""

    strengths: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    """C, the inverse of the L2 penalty: the values to choose from"""

    def __post_init__(self) -> None:
        check_options(self, positive=("strengths",))


class HistoryLR(OnStatistics):
    """Logistic regression on the statistics of the user's history: p = sigmoid(w (x - mean) / scale + b)."""

    Options = HistoryLROptions
    ARRAYS = ("center_", "scale_", "weights_", "bias_")

    def learn(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int, progress: Progress) -> None:
        """Fit one regression for each strength, keep the best."""
        inputs = self.training_inputs(dataset, rows, seed).astype(np.float64)
        self.center_, spread = inputs.mean(axis=0), inputs.std(axis=0)
        self.scale_ = np.where(spread > 1e-6, spread, 1.0)
        inputs = (inputs - self.center_) / self.scale_
        valid_inputs = (self.inputs(dataset, valid_rows) - self.center_) / self.scale_
        best = np.inf
        for number, strength in enumerate(self.options.strengths, start=1):
            model = LogisticRegression(C=strength, solver="newton-cholesky").fit(inputs, dataset.labels(rows))
            weights, bias = model.coef_[0], model.intercept_
            loss = log_loss(dataset.labels(valid_rows), expit(valid_inputs @ weights + bias))
            self.curve_.append({"strength": strength, "valid_log_loss": loss})
            progress(f"C {strength:g}, valid log loss {loss:.4f}", number, len(self.options.strengths))
            if loss < best:
                best, self.weights_, self.bias_ = loss, weights, bias

    def score(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """Sigmoid of the weighted sum."""
        terms = (self.inputs(dataset, rows) - self.center_) / self.scale_ * self.weights_
        return expit(terms.sum(axis=1) + self.bias_)  # not a matrix product: its last bits depend on the number of rows


@dataclass(frozen=True)
class StatsLROptions(HistoryLROptions, MeansOptions):
    """Settings of `StatsLR`."""

    def __post_init__(self) -> None:
        HistoryLROptions.__post_init__(self)
        MeansOptions.__post_init__(self)


class StatsLR(WithMeans, HistoryLR):
    """`HistoryLR` that reads the target item's mean label in the shots too."""

    Options = StatsLROptions
    ARRAYS = (*HistoryLR.ARRAYS, "means_")
