"""LightGBM, the strongest of the references: gradient-boosted trees on the inputs of Stats-LR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import lightgbm
import numpy as np

from laser_core.crm.ease import CollaborativeOptions, WithCollaborative
from laser_core.crm.reference import MeansOptions, WithMeans
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.progress import Progress
from laser_core.recommender import check_options


@dataclass(frozen=True)
class LightGBMOptions(MeansOptions):
    """Settings of `LightGBM`."""

    leaves: int = 16
    """most leaves of a tree"""
    shots_per_leaf: int = 512
    """and no more than one leaf for so many shots (but two at least): few shots carry no interactions"""
    leaf_samples: int = 10
    """a leaf holds at least so many shots"""
    learning_rate: float = 0.05
    """what each tree adds is multiplied by it"""
    most_trees: int = 3000
    """grown, if the validation log loss goes on falling"""
    patience: int = 30
    """stop when so many trees have not lowered the validation log loss"""
    bins: int = 63
    """most distinct values of an input that trees can tell apart"""
    threads: int = 1
    """to grow trees with"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, positive=("shots_per_leaf", "leaf_samples", "learning_rate", "most_trees", "patience", "threads"))
        for name in ("leaves", "bins"):
            if getattr(self, name) < 2:
                raise UserError(f"option '{name}' must be 2 or more, not {getattr(self, name)}")


class LightGBM(WithMeans):
    """Gradient-boosted trees (G. Ke et al., 2017, LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 30)."""

    Options = LightGBMOptions
    ARRAYS = ("means_", "trees_")

    def learn(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int, progress: Progress) -> None:
        """Grow trees until the validation log loss stops falling."""
        options = self.options
        settings = {
            "objective": "binary",
            "num_leaves": int(np.clip(len(rows) // options.shots_per_leaf, 2, options.leaves)),
            "min_data_in_leaf": options.leaf_samples,
            "learning_rate": options.learning_rate,
            "max_bin": options.bins,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "num_threads": options.threads,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        train = lightgbm.Dataset(self.training_inputs(dataset, rows, seed), dataset.labels(rows))
        valid = lightgbm.Dataset(self.inputs(dataset, valid_rows), dataset.labels(valid_rows), reference=train)

        def report(state: lightgbm.callback.CallbackEnv) -> None:
            tree, loss = state.iteration + 1, float(state.evaluation_result_list[0][2])
            self.curve_.append({"trees": tree, "valid_log_loss": loss})
            progress(f"tree {tree}, valid log loss {loss:.4f}", tree, options.most_trees)

        stop = lightgbm.early_stopping(options.patience, verbose=False)
        trees = lightgbm.train(settings, train, options.most_trees, valid_sets=[valid], callbacks=[report, stop])
        self.trees_ = np.frombuffer(trees.model_to_string(num_iteration=trees.best_iteration).encode(), np.uint8)
        self._open()

    def score(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """Sum of the trees, through the sigmoid."""
        if len(rows) == 0:  # LightGBM refuses an empty table
            return np.zeros(0)
        return self._booster.predict(self.inputs(dataset, rows), num_threads=self.options.threads)

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before): means, and for each tree its leaves and the feature and threshold of its splits."""
        if self.dataset_version_ is None:
            return 0
        trees = self._booster.dump_model()["tree_info"]
        return self.means_.size + sum(3 * tree["num_leaves"] - 2 for tree in trees)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: The folder is incomplete, damaged or of another model.
        """
        made = super().load(folder)
        made._open()
        return made

    def _open(self) -> None:
        """Read the trees from LightGBM's text format: a fitted and a loaded model score with the very same ones.

        The text is kept among the arrays, whose file has a checksum, because LightGBM ends the process when its text is damaged.
        """
        self._booster = lightgbm.Booster(model_str=self.trees_.tobytes().decode())


@dataclass(frozen=True)
class EaseLightGBMOptions(LightGBMOptions, CollaborativeOptions):
    """Settings of `EaseLightGBM`."""

    def __post_init__(self) -> None:
        LightGBMOptions.__post_init__(self)
        CollaborativeOptions.__post_init__(self)


class EaseLightGBM(WithCollaborative, LightGBM):
    """`LightGBM` on the inputs of Ease-LR."""

    Options = EaseLightGBMOptions
