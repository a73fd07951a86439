"""Cells to curves: one row per point, with an interval over seeds AND test users."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from laser_core.systems import SYSTEMS

if TYPE_CHECKING:
    import pandas as pd

    from laser_core.study.store import ResultStore

POINT = ["dataset", "system", "variant", "shots", "train_rows", "test_rows", "revision", "data_version", "current"]
"""what makes cells repetitions of one another: all but the seed"""
MEANS = ["accuracy", "ece", "labels_seen", "parameters", "peak_memory_mb"]
TIMES = ["fit_seconds", "predict_seconds", "cpu_seconds"]
"""medians: one busy minute of a machine would be most of a mean"""
HIGHEST = {"auc": 1.0, "log_loss": np.inf}
JUDGED = {"valid_log_loss": "validation", "valid_loss": "validation", "log_loss": "users left out"}
"""what an entry of a fit's curve calls the loss that settings are chosen by, and on which samples that is: a language model's read-out
takes shots of users left out of the regression, all others validation samples (adapters as `valid_loss`)"""
NORMAL = 1.959964  # half the width of a 95 % interval, in standard deviations


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset, system, variant, shots and number of test rows, from the finished cells of `ResultStore.cells()`.

    Columns: those of `POINT`, `seeds`, means of auc, log_loss and of `MEANS`, medians of `TIMES`, `per_thousand` (seconds
    to predict a thousand test rows), and `auc_low`, `auc_high`,
    `log_loss_low`, `log_loss_high`: a 95 % interval for the mean over all subsets and all users. Other revisions of a system or its data
    stay rows of their own (`current`).
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
        rows.append(row | group[MEANS].mean().to_dict() | group[TIMES].median().to_dict())
    intervals = [f"{metric}{end}" for metric in ("auc", "log_loss") for end in ("", "_low", "_high")]
    table = _with_rate(pd.DataFrame(rows, columns=[*POINT, "seeds", *intervals, *MEANS, *TIMES]))
    return table.sort_values(["dataset", "system", "variant", "train_rows", "test_rows", "revision"], ignore_index=True)


def pairs_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(system, variant) of every row: what makes rows one series."""
    return list(zip(table["system"], table["variant"], strict=True))


def of_series(table: pd.DataFrame, *series: tuple[str, str]) -> pd.DataFrame:
    """The rows of some series, each as (system, variant)."""
    return table[np.array([pair in series for pair in pairs_of(table)], dtype=bool)]


def behind(points: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells whose series are among the rows of another table, such as a summary's."""
    return of_series(cells, *{*pairs_of(points)})


def _with_rate(points: pd.DataFrame) -> pd.DataFrame:
    return points.assign(per_thousand=1000 * points["predict_seconds"] / points["test_rows"])


def widest(points: pd.DataFrame) -> pd.DataFrame:
    """Of each series (system, options) only the points on its largest test set: one line each; untuned (N = 0) it may have another.

    Args:
        points: Rows of `summarise`, or results themselves.
    """
    most = points.groupby(["dataset", "system", "variant", points["train_rows"] == 0])["test_rows"].transform("max")
    return points[points["test_rows"] == most]


def leaders(points: pd.DataFrame, most: int = 8) -> list[tuple[str, str]]:
    """The series to show first where there are too many to tell apart: of each family the highest AUC with the fewest
    labels (not none) and with the most; and for an LLM+CRM among them its own conventional model on the same input.

    A help for the eye only: they are picked by the test set, so being on top of a figure of leaders proves nothing.

    Args:
        points: Rows of `summarise` of one data set.
        most: Up to so many series are all shown.

    Returns:
        (system, variant) of each, in the order of the table.
    """
    points = points[points["current"].astype(bool)] if points["current"].any() else points
    pairs = dict.fromkeys(pairs_of(points))
    if len(pairs) <= most:
        return list(pairs)
    labelled = points[points["train_rows"] > 0] if (points["train_rows"] > 0).any() else points
    family = [SYSTEMS[system].family if system in SYSTEMS else system for system in labelled["system"]]
    found = set()
    for _, own in labelled.groupby(family):
        for n in (own["train_rows"].min(), own["train_rows"].max()):
            best = own[own["train_rows"] == n].sort_values("auc", kind="stable").iloc[-1]
            found.add((best["system"], best["variant"]))
    found |= {backbone_of(*pair) for pair in found}
    return [pair for pair in pairs if pair in found]


def backbone_of(system: str, variant: str) -> tuple[str, str]:
    """(system, variant) of the conventional model inside an LLM+CRM, on the same input; of any other system itself."""
    if system not in SYSTEMS or SYSTEMS[system].family != "llm+crm":
        return system, variant
    inside = re.search(r'backbone_crm="([^"]+)"', variant)
    shared = re.findall(r"(?:statistics|collaborative|choose)=\w+", variant)
    return inside[1] if inside else "sim", ", ".join(shared)


def half_width(values: np.ndarray, user_deviation: np.ndarray) -> float:
    """Half of the 95 % interval of a mean over seeds, all scored on the same test users; arguments as of `mean_error`."""
    error, freedom = mean_error(values, user_deviation)
    return error * student(0.975, freedom)


def mean_error(values: np.ndarray, user_deviation: np.ndarray) -> tuple[float, float]:
    """(standard error, degrees of freedom) of a mean over seeds, all scored on the same test users.

    Two independent sources: the seeds' spread shrinks with their number, the test users' does not, as they are the same each time. A few
    seeds know their own spread badly, hence Student's t with Satterthwaite's degrees of freedom; infinitely many where seeds do not differ.
    Luck that one seed has with these users is in both and counts twice, so an interval is rather too wide than too narrow.

    Args:
        values: (seeds,) a metric.
        user_deviation: (seeds,) its standard deviation over test users (from the bootstrap).
    """
    users = float(np.mean(user_deviation**2))
    seeds = float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else 0.0
    freedom = (seeds + users) ** 2 / (seeds**2 / (len(values) - 1)) if seeds > 0 else np.inf
    return (seeds + users) ** 0.5, freedom


def student(probability: float, freedom: float) -> float:
    """The quantile of Student's t, which is the normal distribution's with infinitely many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def p_value(gap: float, error: float, freedom: float) -> float:
    """Of a two-sided t test, from what `mean_error` gives: below .05 where the 95 % interval leaves out zero; NaN without an error."""
    from scipy.special import stdtr

    return float(gap == 0) if error == 0 else float(2 * stdtr(freedom, -abs(gap) / error))


def on_one_machine(points: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Points whose times are medians over the seeds of one machine: the one that measured the most systems, where it measured this one.

    Args:
        points: Rows of `summarise`, of one data set and one N.
        cells: The cells they are made of, with a column `machine`, which the result has too.
    """
    times = ["fit_seconds", "predict_seconds"]
    pairs = cells.drop_duplicates(["system", "variant", "machine"])
    pairs = pairs.assign(systems=pairs["machine"].map(pairs["machine"].value_counts()))
    preferred = pairs.sort_values(["systems", "machine"]).drop_duplicates(["system", "variant"], keep="last")
    cells = cells.merge(preferred[["system", "variant", "machine"]], on=["system", "variant", "machine"])
    medians = cells.groupby(["system", "variant", "machine"], as_index=False)[times].median()
    return _with_rate(points.drop(columns=times).merge(medians, on=["system", "variant"]))


def settings_by_validation(store: ResultStore, cells: pd.DataFrame) -> pd.DataFrame:
    """Which settings of each system validation prefers: what a tuning study is for. The test set is not looked at.

    Args:
        store: Where the cells' records are.
        cells: Finished cells, such as `runner.results` of a study gives; those without validation (untuned models) are left out.

    Returns:
        A row per dataset, system, shots and variant, the best first: mean `valid_log_loss` of the kept epoch over `seeds` seeds, `on` which
        samples that is (`JUDGED`), and `behind`, how much higher it is than the best one's on such samples.
    """
    group = ["dataset", "system", "shots", "on"]
    done = cells[cells["status"] == "done"]
    judged = [_judged(store.read(key)["curve"]) for key in done["key"]]
    done = done.assign(valid_log_loss=[loss for loss, _ in judged], on=[samples for _, samples in judged]).dropna(subset="valid_log_loss")
    table = done.groupby([*group, "variant"], sort=False)["valid_log_loss"].agg(valid_log_loss="mean", seeds="count").reset_index()
    table = table.sort_values([*group[:3], "valid_log_loss"], kind="stable", ignore_index=True)
    table["behind"] = table["valid_log_loss"] - table.groupby(group)["valid_log_loss"].transform("min")
    return table


def _judged(curve: list[dict[str, float]]) -> tuple[float, str]:
    """The lowest loss of a curve that its settings were chosen by, and on which samples; NaN for none."""
    return min(
        ((entry[name], samples) for entry in curve for name, samples in JUDGED.items() if np.isfinite(entry.get(name, np.nan))),
        default=(np.nan, ""),
    )
