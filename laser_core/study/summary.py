"""Cells to curves: one row per point, with an interval over seeds AND test users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

POINT = ["dataset", "system", "variant", "shots", "train_rows", "test_rows", "revision", "data_version", "current"]
"""what makes cells repetitions of one another: all but the seed"""
MEANS = ["accuracy", "ece", "labels_seen", "parameters", "fit_seconds", "predict_seconds", "cpu_seconds", "peak_memory_mb"]
HIGHEST = {"auc": 1.0, "log_loss": np.inf}
NORMAL = 1.959964  # half the width of a 95 % interval, in standard deviations


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset, system, variant, shots and number of test rows, from the finished cells of `ResultStore.cells()`.

    Columns: those of `POINT`, `seeds`, means of auc, log_loss and of `MEANS`, and `auc_low`, `auc_high`, `log_loss_low`, `log_loss_high`: a
    95 % interval for the mean over all subsets and all users. Other revisions of a system or its data stay rows of their own (`current`).
    With one seed the interval can only speak of users; `seeds` says so.
    """
    import pandas as pd

    done = cells[cells["status"] == "done"]
    rows = []
    for values, group in done.groupby(POINT, sort=False, dropna=False):
        row = dict(zip(POINT, values, strict=True)) | {"seeds": len(group)}
        for metric in ("auc", "log_loss"):
            spread = (group[f"{metric}_high"] - group[f"{metric}_low"]) / (2 * NORMAL)
            half = half_width(group[metric].to_numpy(), spread.to_numpy())
            row[metric] = group[metric].mean()
            row[f"{metric}_low"], row[f"{metric}_high"] = np.clip([row[metric] - half, row[metric] + half], 0, HIGHEST[metric])
        rows.append(row | group[MEANS].mean().to_dict())
    intervals = [f"{metric}{end}" for metric in ("auc", "log_loss") for end in ("", "_low", "_high")]
    table = pd.DataFrame(rows, columns=[*POINT, "seeds", *intervals, *MEANS])
    return table.sort_values(["dataset", "system", "variant", "train_rows", "test_rows", "revision"], ignore_index=True)


def half_width(values: np.ndarray, user_deviation: np.ndarray) -> float:
    """Half of the 95 % interval of a mean over seeds, all scored on the same test users.

    Two independent sources: the seeds' spread shrinks with their number, the test users' does not, as they are the same each time. A few
    seeds know their own spread badly, hence Student's t with Satterthwaite's degrees of freedom.

    Args:
        values: (seeds,) a metric.
        user_deviation: (seeds,) its standard deviation over test users (from the bootstrap).
    """
    from scipy.special import stdtrit

    users = float(np.mean(user_deviation**2))
    seeds = float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else 0.0
    if seeds == 0:
        return NORMAL * users**0.5
    freedom = (seeds + users) ** 2 / (seeds**2 / (len(values) - 1))
    return float(stdtrit(freedom, 0.975)) * (seeds + users) ** 0.5
