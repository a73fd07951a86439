"""LightGBM, the strongest of the references: gradient-boosted trees on the inputs of Stats-LR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np

from laser_core.crm.reference import MeansOptions, WithMeans, check_positive
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import DataError, UserError
from laser_core.progress import Progress


@dataclass(frozen=True)
class LightGBMOptions(MeansOptions):
    """Settings of `LightGBM`."""

    leaves: tuple[int, ...] = (16, 4, 2)
    """leaves of a tree: sizes tried in this order, until one is no better than the one before"""
    learning_rate: float = 0.1
    most_trees: int = 2000
    patience: int = 30
    """stop when so many trees have not lowered the validation log loss"""
    leaf_samples: int = 10
    """a leaf holds at least so many shots"""
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("learning_rate", "most_trees", "patience", "leaf_samples", "threads"):
            check_positive(name, getattr(self, name))
        if not self.leaves or min(self.leaves) < 2:
            raise UserError(f"option 'leaves' must hold sizes of 2 or more, not {self.leaves}")


class LightGBM(WithMeans):
    """Gradient-boosted trees on the inputs of `StatsLR` (G. Ke et al., 2017, LightGBM, NeurIPS 30)."""

    Options = LightGBMOptions
    ARRAYS = ("means_",)

    def learn(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int, progress: Progress) -> None:
        """Grow trees of each size until the validation log loss stops falling, keep the best size."""
        options = self.options
        shared = {"feature_pre_filter": False, "verbose": -1, "num_threads": options.threads}
        train = lightgbm.Dataset(self.training_inputs(dataset, rows, seed), dataset.labels(rows), params=shared)
        valid = lightgbm.Dataset(self.inputs(dataset, valid_rows), dataset.labels(valid_rows), reference=train)
        best = np.inf
        for size in options.leaves:
            settings = shared | {
                "objective": "binary",
                "num_leaves": size,
                "learning_rate": options.learning_rate,
                "min_data_in_leaf": options.leaf_samples,
                "feature_fraction": 0.7,
                "bagging_fraction": 0.7,
                "bagging_freq": 1,
                "seed": seed,
                "deterministic": True,
                "force_row_wise": True,
            }
            report = self._reporter(size, progress)
            stop = lightgbm.early_stopping(options.patience, verbose=False)
            model = lightgbm.train(settings, train, options.most_trees, valid_sets=[valid], callbacks=[report, stop])
            loss = float(model.best_score["valid_0"]["binary_logloss"])
            self.curve_.append({"leaves": size, "trees": model.best_iteration, "valid_log_loss": loss})
            if loss >= best:
                break
            best, self.trees_ = loss, model.model_to_string(num_iteration=model.best_iteration)
        self._booster = lightgbm.Booster(model_str=self.trees_)

    def score(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """Sum of the trees, through the sigmoid."""
        if len(rows) == 0:
            return np.zeros(0)
        return self._booster.predict(self.inputs(dataset, rows), num_threads=self.options.threads)

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before): means, and for each tree its leaves and the feature and threshold of its splits."""
        if self.dataset_version_ is None:
            return 0
        trees = self._booster.dump_model()["tree_info"]
        return super().parameter_count() + sum(3 * tree["num_leaves"] - 2 for tree in trees)

    def save(self, folder: Path) -> None:
        """Write `model.json`, `model.npz` and LightGBM's own text, `trees.txt`."""
        super().save(folder)
        (folder / "trees.txt").write_text(self.trees_, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: The folder is incomplete, damaged or of another model.
        """
        made = super().load(folder)
        try:
            made.trees_ = (folder / "trees.txt").read_text(encoding="utf-8")
            made._booster = lightgbm.Booster(model_str=made.trees_)
        except (OSError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise DataError(f"the model in {folder} is missing or damaged ({error}): fit it again") from None
        return made

    def _reporter(self, size: int, progress: Progress) -> Any:
        """A LightGBM callback that tells `progress` of every tenth tree."""

        def report(state: lightgbm.callback.CallbackEnv) -> None:
            if state.iteration % 10 == 9:
                loss = state.evaluation_result_list[0][2]
                progress(f"{size} leaves, tree {state.iteration + 1}, valid log loss {loss:.4f}", state.iteration + 1, 0)

        return report
