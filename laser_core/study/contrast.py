"""Questions between systems, answered from stored predictions: paired gaps, who is helped, and where.

Systems are compared on the test samples that both were scored on, seed by seed (equal seeds saw the same labels). Results are read through
a function `read(key)` that returns what `ResultStore.predictions` returns, so that a caller may keep them in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError, unknown
from laser_core.metrics import (
    auc,
    delong,
    evaluate,
    evaluate_with_draws,
    gauc,
    holm,
    log_loss,
    pairs_within_users,
)
from laser_core.metrics.ranking import row_gauc, row_log_loss
from laser_core.metrics.significance import error_over_users
from laser_core.study.summary import POINT, half_width, mean_error, of_series, p_value, pairs_of, student, summarise
from laser_core.systems import SYSTEMS

if TYPE_CHECKING:
    import pandas as pd

    Read = Callable[[str], pd.DataFrame]

GAP_METRICS = ("auc", "gauc", "log_loss", "accuracy")
LM_FAMILIES = ("llm", "llm+crm")
ENOUGH = 3  # seeds from which on a comparison asks for more rows or more systems rather than for more seeds
COMMON = 8  # genres or authors that are parts of their own
COLD = 10  # earlier ratings that a user needs to be warm
SLICES = {
    "history": "earlier ratings of the user",
    "popularity": "ratings of the target, but for those of validation and test samples",
    "liking": "liked share of the user's earlier ratings",
    "cold": f"users with fewer than {COLD} earlier ratings, and the others",
    "seen": "users who are in the training data, and the others",
    "group": "first genre or author of the target",
}
"""what parts of a test set can be made by: three numbers, three kinds"""
_SERIES = ["system", "variant", "test_rows"]


def gaps(read: Read, cells: pd.DataFrame, baseline: tuple[str, str], metric: str = "auc") -> pd.DataFrame:
    """Each system minus a baseline, on common samples, with 95 % intervals over seeds and test users.

    Args:
        cells: Finished cells of one data set and one N, as `ResultStore.cells` gives them.
        baseline: (system, variant) to compare with.
        metric: auc (paired DeLong test, users as clusters), gauc, log_loss or accuracy (paired mean, users as clusters).

    Returns:
        Columns system, variant, test_rows (common ones), seeds, gap, low, high, error and freedom (standard error of the gap and its
        degrees of freedom, Student's t), p, p_holm; a row a system other than the baseline.

    Raises:
        UserError: No cell of the baseline, another metric, or gauc where no test user has samples of both labels.
    """
    import pandas as pd

    if metric not in GAP_METRICS:
        raise unknown("metric of a paired gap", metric, GAP_METRICS)
    base = _by_seed(cells, *baseline)
    rows = []
    for (system, variant, size), group in cells.groupby(_SERIES, sort=False):
        if (system, variant) == tuple(baseline):
            continue
        found = [_gap(read(key), read(base[seed]), metric) for seed, key in zip(group["seed"], group["key"], strict=True) if seed in base]
        if not found:
            continue
        values, errors, common = (np.array(column, dtype=float) for column in zip(*found, strict=True))
        gap, (error, freedom) = float(values.mean()), mean_error(values, errors)
        half = error * student(0.975, freedom)
        rows.append((system, variant, int(min(size, common.min())), len(values), gap, gap - half, gap + half, error, freedom))
    table = pd.DataFrame(rows, columns=["system", "variant", "test_rows", "seeds", "gap", "low", "high", "error", "freedom"])
    table["p"] = [p_value(*entry) for entry in table[["gap", "error", "freedom"]].to_numpy()]
    return table.assign(p_holm=holm(table["p"].to_numpy()) if len(table) else [])


def _by_seed(cells: pd.DataFrame, system: str, variant: str) -> dict[int, str]:
    """seed -> key of one system; of several test sets the largest."""
    own = of_series(cells, (system, variant)).sort_values("test_rows")
    if own.empty:
        raise UserError(f"the baseline {system} {variant} has no result here: choose another")
    return dict(zip(own["seed"], own["key"], strict=True))


def _gap(first: pd.DataFrame, second: pd.DataFrame, metric: str) -> tuple[float, float, int]:
    """(difference, its standard error over users, common samples) of two results."""
    _, users, labels, one, other = paired(first, second)
    if metric == "auc":
        test = delong(labels, one, other, users)
        return test.difference, test.standard_error, len(labels)
    if metric == "gauc":
        difference = row_gauc(labels, one, users) - row_gauc(labels, other, users)
    elif metric == "log_loss":
        difference = row_log_loss(labels, one) - row_log_loss(labels, other)
    else:
        difference = ((one >= 0.5) == labels).astype(float) - ((other >= 0.5) == labels)
    return _mean_over_users(difference, users)


def _mean_over_users(values: np.ndarray, users: np.ndarray) -> tuple[float, float, int]:
    """(mean, its standard error over users, samples) of what samples have; those without a number have no part in it."""
    values, users = values[~np.isnan(values)], users[~np.isnan(values)]
    if len(values) == 0:
        raise UserError("no test user here has samples of both labels: there is nothing to order within a user")
    mean = float(values.mean())
    return mean, error_over_users((values - mean) / len(values), users), len(values)


def _columns(table: pd.DataFrame, *names: str) -> list[np.ndarray]:
    return [table[name].to_numpy() for name in names]


def paired(first: pd.DataFrame, second: pd.DataFrame) -> list[np.ndarray]:
    """Two results' predictions (`ResultStore.predictions`) on common samples, (samples,) each: row, user, label, both probabilities."""
    both = first.merge(second[["row", "probability"]], on="row", suffixes=("_1", "_2"))
    return _columns(both, "row", "user", "label", "probability_1", "probability_2")


def within_users(read: Read, cells: pd.DataFrame) -> pd.DataFrame:
    """How well each system orders the samples of one and the same user: GAUC with 95 % intervals over seeds and test users.

    Args:
        cells: Finished cells of one data set.

    Returns:
        What `summarise` gives for these cells, but test_rows being those of users with samples of both labels, and columns gauc, gauc_low,
        gauc_high, users (how many those are), pairs (share of the pairs that AUC counts which are of one user).

    Raises:
        UserError: No test user has samples of both labels.
    """
    import pandas as pd

    rows = []
    for values, group in cells.groupby(POINT, sort=False, dropna=False):
        found = []
        for key in group["key"]:
            labels, probabilities, users = _columns(read(key), "label", "probability", "user")
            own = row_gauc(labels, probabilities, users)
            found.append(_mean_over_users(own, users)[:2])
        means, errors = np.array(found).T
        value, half = means.mean(), half_width(means, errors)
        mixed = ~np.isnan(own)
        ends = {"gauc": value, "gauc_low": value - half, "gauc_high": value + half}
        parts = {"users": len(np.unique(users[mixed])), "asked": int(mixed.sum()), "pairs": pairs_within_users(labels, users)}
        rows.append({**dict(zip(POINT, values, strict=True)), **ends, **parts})
    table = summarise(cells).merge(pd.DataFrame(rows), on=POINT)
    return table.assign(test_rows=table.pop("asked"))


def user_gaps(read: Read, cells: pd.DataFrame, first: tuple[str, str], second: tuple[str, str]) -> pd.DataFrame:
    """What each test user gains or loses: log loss of `second` minus that of `first`, so that positive means `first` helps.

    Returns:
        Columns user, samples, gain (mean over the user's samples and the seeds), most helped first.
    """
    import pandas as pd

    base = _by_seed(cells, *second)
    parts = []
    for seed, key in _by_seed(cells, *first).items():
        if seed in base:
            rows, users, labels, one, other = paired(read(key), read(base[seed]))
            parts.append(pd.DataFrame({"user": users, "row": rows, "gain": row_log_loss(labels, other) - row_log_loss(labels, one)}))
    if not parts:
        raise UserError(f"{first[0]} and {second[0]} have no seed in common: choose another pair")
    table = pd.concat(parts).groupby("user").agg(samples=("row", "nunique"), gain=("gain", "mean")).reset_index()
    return table.sort_values("gain", ascending=False, ignore_index=True)


def slices(read: Read, dataset: CTRDataset, cells: pd.DataFrame, by: str) -> pd.DataFrame:
    """Quality on parts of the test set: each system on samples with few, some, many of what `by` counts.

    Args:
        cells: Finished cells of one data set and one N.
        by: A key of `SLICES`.

    Returns:
        Columns system, variant, test_rows, slice (words), place, samples, auc, log_loss; means over seeds. A part whose labels are all
        the same has no AUC.
    """
    import pandas as pd

    rows = []
    for (system, variant, size), group in cells.groupby(_SERIES, sort=False):
        for key in group["key"]:
            stored = read(key)
            for place, (words, inside) in enumerate(_slices(dataset, stored["row"].to_numpy(), by)):
                labels, probabilities = stored["label"].to_numpy()[inside], stored["probability"].to_numpy()[inside]
                if len(labels):
                    value = auc(labels, probabilities) if labels.min() < labels.max() else np.nan
                    rows.append((system, variant, size, words, place, len(labels), value, log_loss(labels, probabilities)))
    table = pd.DataFrame(rows, columns=[*_SERIES, "slice", "place", "samples", "auc", "log_loss"])
    return table.groupby([*_SERIES, "slice", "place"], sort=False).mean().reset_index()


def _slices(dataset: CTRDataset, rows: np.ndarray, by: str) -> list[tuple[str, np.ndarray]]:
    """(words, mask) of each part of some samples; the parts of numbers are those of the whole test set."""
    values = slice_values(dataset, rows, by)
    if by in ("history", "popularity", "liking"):
        return _parts(values, slice_values(dataset, dataset.test, by))
    if by == "cold":
        return [("cold users", values == 1), ("warm users", values == 0)]
    if by == "seen":
        return [("seen users", values == 1), ("unseen users", values == 0)]
    vocabulary = dataset.fields[dataset.about.group_field].vocabulary
    common = np.argsort(-np.bincount(slice_values(dataset, dataset.test, by), minlength=len(vocabulary) + 1)[1:], kind="stable")[:COMMON]
    return [*((str(vocabulary[code]), values == code + 1) for code in common), ("all others", ~np.isin(values, common + 1))]


def slice_values(dataset: CTRDataset, rows: np.ndarray, by: str) -> np.ndarray:
    """(rows,) what a slice counts, known before the sample's own label: a number, 0 or 1 (cold, seen), or a code (group).

    Raises:
        UserError: `by` is not a key of `SLICES`.
    """
    if by not in SLICES:
        raise unknown("slice", by, SLICES)
    if by == "seen":
        return np.isin(dataset.sample_user(rows), dataset.sample_user(dataset.train)).astype(int)
    if by == "group":
        field, items = dataset.fields[dataset.about.group_field], dataset.sample_item(rows)
        if field.offsets is None:
            return field.codes[items]
        first = field.offsets[items]
        return np.where(field.offsets[items + 1] > first, field.codes[np.minimum(first, len(field.codes) - 1)], 0)
    if by == "popularity":
        return dataset.item_popularity[dataset.sample_item(rows)]
    target, start = dataset.sample_event[rows], dataset.history_start(rows, 0)
    if by == "history":
        return target - start
    if by == "cold":
        return (target - start < COLD).astype(int)
    liked = np.concatenate([[0], np.cumsum(dataset.event_label, dtype=np.int64)])
    return (liked[target] - liked[start]) / np.maximum(target - start, 1)


def _parts(values: np.ndarray, all_values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(words, mask) of four parts that hold about equally many test samples each."""
    edges = np.unique(np.quantile(all_values, np.linspace(0, 1, 5)))
    if len(edges) == 1:
        return [(f"{edges[0]:g}", np.ones(len(values), dtype=bool))]
    form = "{:.2f}" if np.issubdtype(all_values.dtype, np.floating) else "{:,.0f}"
    found = []
    for place, (low, high) in enumerate(pairwise(edges)):
        last = place == len(edges) - 2
        inside = (values >= low) & ((values <= high) if last else (values < high))
        found.append((f"{form.format(low)} to {'' if last else 'under '}{form.format(high)}", inside))
    return found


def side(system: str, variant: str = "") -> Literal["with", "without", ""]:
    """On which side of the claim a system stands: with a language model, without, or on neither.

    On neither are encoders tuned whole (they are not the claim's language models), and controls whose vectors come from no language model.
    """
    family = _family(system)
    if family in LM_FAMILIES:
        return "" if is_control(system, variant) else "with"
    return "without" if family in ("reference", "crm") else ""


def is_control(system: str, variant: str = "") -> bool:
    """Whether a system has a language model's place filled by something else: vectors that come from none."""
    return _family(system) in LM_FAMILIES and re.search(r'vectors="(words|fields|random|shuffled|none)"', variant) is not None


def _family(system: str) -> str:
    return SYSTEMS[system].family if system in SYSTEMS else ""


def on_same_rows(read: Read, cells: pd.DataFrame, intervals: bool = True) -> tuple[pd.DataFrame, Read]:
    """Results of one data set, each measured on the test rows that all of them have: smaller test sets are parts of larger ones.

    Args:
        intervals: Whether bounds are worked out again too, which is most of the work; else there are none.

    Returns:
        The cells, with quality and `test_rows` on the common rows (`predict_seconds`, which are of all rows, only of those scored on
        these), and what reads their predictions there.
    """
    more = cells["test_rows"] > cells["test_rows"].min()
    if not more.any():
        return cells, read
    rows = read(cells.loc[~more, "key"].iloc[0])["row"]

    def on_them(key: str) -> pd.DataFrame:
        stored = read(key)
        return stored[stored["row"].isin(rows)]

    cells = cells.assign(test_rows=len(rows))
    columns = ("label", "probability", "user")
    found = (_columns(on_them(key), *columns) for key in cells.loc[more, "key"])
    measured = [evaluate_with_draws(*one)[0] if intervals else evaluate(*one[:2]) for one in found]
    if not intervals:
        cells.loc[more, [f"{name}_{end}" for name in ("auc", "log_loss") for end in ("low", "high")]] = np.nan
    for name in measured[0]:
        cells.loc[more, name] = [values[name] for values in measured]
    cells.loc[more, cells.columns.intersection(["predict_seconds"])] = np.nan
    return cells, on_them


def common_ground(read: Read, cells: pd.DataFrame) -> tuple[pd.DataFrame, Read]:
    """The results that may be set beside each other at one N: same test rows, same seeds, so that neither decides who is ahead.

    Not every system was scored on as many rows or fitted on as many subsets. Of all the pairs of rows and seeds on which both sides of the
    claim have a system (or the one side that has results) these come first: those with three seeds, the most rows, the most systems, the
    most seeds. A system scored on more rows takes part with those in common (smaller test sets are parts of larger ones).

    Args:
        cells: Finished cells of one data set and one N.

    Returns:
        A cell a system and seed on the common rows, as `on_same_rows` gives them; none where there is no such ground.
    """
    best, ground = (), cells[:0]
    sides = {side(*place) for place in pairs_of(cells)} - {""}
    for size in cells["test_rows"].unique():
        large = cells[cells["test_rows"] >= size].sort_values("test_rows").drop_duplicates(["system", "variant", "seed"])
        asked = large.groupby(["system", "variant"])["seed"].agg(frozenset)
        for seeds in {one & other for one in set(asked) for other in set(asked)} - {frozenset()}:
            there = asked.index[[seeds <= own for own in asked]]
            rank = (min(len(seeds), ENOUGH), size, len(there), len(seeds), sorted(seeds))
            if sides <= {side(*place) for place in there} and rank > best:
                best, ground = rank, of_series(large[large["seed"].isin(seeds)], *there)
    return on_same_rows(read, ground)


@dataclass(frozen=True)
class Verdict:
    """What a study says about the claim at one N: the best system with a language model against the best without."""

    shots: int | str
    with_lm: tuple[str, str]
    """(system, variant)"""
    with_lm_value: float
    """mean of the metric on the common test rows and seeds, as is the other's"""
    without_lm: tuple[str, str]
    without_lm_value: float
    rivals: int
    """how many systems without a language model there were on these rows and seeds to choose the best from"""
    gap: float
    low: float
    """of the 95 % interval, allowing for having chosen the best of each side"""
    high: float
    test_rows: int
    seeds: int
    labels: tuple[int, int]
    """distinct labels in the fitting loss of the one with a language model, and of the other: means over seeds"""
    alone: tuple[float, float] = (float("nan"), float("nan"))
    """the 95 % interval of the gap as if these two had been the only ones"""

    @property
    def says(self) -> Literal["ahead", "behind", "level"]:
        """Ahead or behind if the interval of the gap leaves out zero, else level."""
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "level"

    @property
    def stands(self) -> str:
        """How the one with a language model stands to the other, in words: what goes between their names."""
        return {"ahead": "is ahead of", "behind": "is behind", "level": "cannot be told apart from"}[self.says]

    def row(self) -> dict[str, Any]:
        """As a row of a table, with what it `says` and how the one `stands` to the other."""
        return {**asdict(self), "says": self.says, "stands": self.stands}

    @property
    def rival_is(self) -> str:
        """Whom the one without a language model stands for, in words."""
        which = "the only system" if self.rivals == 1 else f"the best of {self.rivals} systems"
        return f"{which} without a language model asked about the same test samples"

    @property
    def labels_differ(self) -> str:
        """A sentence where the two learnt from unequal numbers of labels, though from equally many samples; else nothing."""
        one, other = self.labels
        why = ": its prompts ask about ratings of the history too" if one > other else ""
        return "" if one == other else f"With the language model {one:,} labels were learnt from, without {other:,}{why}."


def verdict(read: Read, cells: pd.DataFrame, shots: int | str, metric: Literal["auc", "gauc"] = "auc") -> Verdict | None:
    """AUC of the best system with a language model minus that of the best without, at one N; None where either side is missing.

    The best of each side is the one with the highest mean on the rows and seeds of the test set that all have in common: a choice that
    luck helps. So each end of the interval is corrected (Bonferroni) for how many systems its side could choose from: the low end for
    those with, the high end for those without.

    Args:
        cells: Finished cells of one data set.
        metric: gauc asks the same within users, and has no answer where no test user has samples of both labels.
    """
    ground, read = common_ground(read, cells[cells["shots"] == shots])
    if ground.empty:
        return None
    if metric == "gauc":
        stored = [_columns(read(key), "label", "probability", "user") for key in ground["key"]]
        if pairs_within_users(stored[0][0], stored[0][2]) == 0:
            return None
        ground = ground.assign(gauc=[gauc(*columns) for columns in stored])
    means = ground.groupby(["system", "variant"])[metric].mean()
    lm, rivals = ([place for place in means.index if side(*place) == own] for own in ("with", "without"))
    if not lm or not rivals:
        return None
    one, other = means[lm].idxmax(), means[rivals].idxmax()
    pair = of_series(ground, one, other)
    found = gaps(read, pair, other, metric)
    if found.empty:
        return None
    row = found.iloc[0]
    labels = [round(pair[pair["system"] == system]["labels_seen"].mean()) for system, _ in (one, other)]
    tried = sum(_family(system) in LM_FAMILIES for system, _ in means.index)  # controls cannot win, but they were tried: they count
    low, high = (
        row["gap"] + sign * row["error"] * student(1 - 0.025 / count, row["freedom"]) for sign, count in ((-1, tried), (1, len(rivals)))
    )
    return Verdict(
        shots, one, float(means[one]), other, float(means[other]), len(rivals),
        float(row["gap"]), float(low), float(high), int(row["test_rows"]), int(row["seeds"]), (labels[0], labels[1]),
        (float(row["low"]), float(row["high"])),
    )  # fmt: skip
