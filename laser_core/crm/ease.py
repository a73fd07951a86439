"""Ease-LR: Stats-LR that reads collaborative numbers too, the strongest reference that a logistic regression gives.

Item-item regression alone (`laser_core.crm.collaborative`) is silent where shots are few or items new, and does not know what the user
liked lately. So its numbers stand beside those of Stats-LR: with few shots Ease-LR is Stats-LR, with many it adds what users of like
tastes say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from laser_core.crm.collaborative import CATALOGUE, Collaborative
from laser_core.crm.reference import OnStatistics, StatsLR, StatsLROptions
from laser_core.datasets.dataset import CTRDataset
from laser_core.metrics.ranking import log_loss
from laser_core.progress import Progress
from laser_core.recommender import check_options


@dataclass(frozen=True)
class CollaborativeOptions:
    """How much of the collaborative numbers a reference reads."""

    ridges: tuple[float, ...] = (100.0, 300.0, 1000.0)
    """strength of the penalty on item-item weights: the values to choose from"""
    catalogue: int = CATALOGUE
    """item-item weights cover so many of the most often rated items"""

    def __post_init__(self) -> None:
        check_options(self, positive=("ridges", "catalogue"))


class WithCollaborative(OnStatistics):
    """Adds the collaborative numbers to what a reference reads. They are out of fold by construction: shots need no other treatment."""

    def learn(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int, progress: Progress) -> None:
        """Choose the ridge by a logistic regression on the collaborative numbers alone, then learn on all numbers."""
        options, best = self.options, np.inf
        for number, ridge in enumerate(options.ridges, start=1):
            candidate = Collaborative.fit(dataset, rows, ridge, options.catalogue)
            model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
            model.fit(candidate.features(dataset, rows), dataset.labels(rows))
            loss = log_loss(dataset.labels(valid_rows), model.predict_proba(candidate.features(dataset, valid_rows))[:, 1])
            self.curve_.append({"ridge": ridge, "valid_log_loss": loss})
            progress(f"ridge {ridge:g}, valid log loss {loss:.4f}", number, len(options.ridges))
            if loss < best:
                best, self.collaborative_ = loss, candidate
        super().learn(dataset, rows, valid_rows, seed, progress)

    def training_inputs(self, dataset: CTRDataset, rows: np.ndarray, seed: int) -> np.ndarray:
        """(rows, inputs) numbers of the shots."""
        return np.concatenate([super().training_inputs(dataset, rows, seed), self.collaborative_.features(dataset, rows)], axis=1)

    def inputs(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """(rows, inputs) numbers of samples that are not shots."""
        return np.concatenate([super().inputs(dataset, rows), self.collaborative_.features(dataset, rows)], axis=1)

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before)."""
        learned = super().parameter_count()
        return learned + self.collaborative_.parameter_count() if learned else 0

    def arrays(self) -> dict[str, np.ndarray]:
        """The learned state by name."""
        return super().arrays() | self.collaborative_.arrays()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `arrays`."""
        super().restore(arrays)
        self.collaborative_ = Collaborative.restore(arrays)


@dataclass(frozen=True)
class EaseLROptions(StatsLROptions, CollaborativeOptions):
    """Settings of `EaseLR`."""

    def __post_init__(self) -> None:
        StatsLROptions.__post_init__(self)
        CollaborativeOptions.__post_init__(self)


class EaseLR(WithCollaborative, StatsLR):
    """`StatsLR` that reads the collaborative numbers too."""

    Options = EaseLROptions
