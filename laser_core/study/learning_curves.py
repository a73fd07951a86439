"""Curves of stored results over N, and read sideways: how many labels it takes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from laser_core.errors import UserError
from laser_core.metrics import Curve, Interval, data_multiplier, match_point, seed_and_user_draws
from laser_core.metrics.efficiency import shots_needed
from laser_core.study.contrast import Verdict, common_ground, side
from laser_core.study.summary import of_series, pairs_of

if TYPE_CHECKING:
    import pandas as pd

    from laser_core.study.contrast import Read


def curve(draws: Callable[[str], np.ndarray], cells: pd.DataFrame) -> Curve:
    """AUC against N of one system, with draws over seeds and test users; N = 0 has no place on a logarithmic axis.

    The part of the seeds is drawn for each N by itself, though a seed's subsets are nested: in the recorded runs its luck at one N says
    little of that at another (correlations of 0 to .3 on average). Were it much, an area under the curve would be too sure of itself.

    Args:
        draws: Gives the stored bootstrap draws of a result's AUC by its key (`auc_draws`).
        cells: Finished cells of one data set, system, variant and number of test rows.

    Raises:
        UserError: Fewer than two N.
    """
    shots, means, drawn = [], [], []
    for n, group in cells[cells["train_rows"] > 0].sort_values("train_rows").groupby("train_rows"):
        by_user = np.array([draws(key) for key in group["key"]])
        shots.append(n)
        means.append(group["auc"].mean())
        own = np.random.default_rng(zlib.crc32("".join(sorted(group["key"])).encode()))  # two systems share users, not luck
        drawn.append(seed_and_user_draws(group["auc"].to_numpy(), by_user, own, means=2))
    return Curve(np.array(shots), np.array(means), np.array(drawn))


def curves(draws: Callable[[str], np.ndarray], cells: pd.DataFrame) -> dict[tuple[str, str], Curve]:
    """(system, variant) -> AUC against N, of those with several N on the largest test set: curves on different rows do not compare.

    Args:
        cells: Finished cells of one data set.
    """
    cells = cells[cells["train_rows"] > 0]
    largest = cells[cells["test_rows"] == cells["test_rows"].max()]
    groups = largest.groupby(["system", "variant"], sort=False)
    return {place: curve(draws, own) for place, own in groups if own["train_rows"].nunique() > 1}


def pair_needs(draws: Callable[[str], np.ndarray], cells: pd.DataFrame, one: tuple[str, str], baseline: tuple[str, str]) -> pd.DataFrame:
    """`label_needs` of one system against a baseline, on the largest test set on which both were measured at several N.

    Returns:
        Also a column test_rows; no row where there is no such test set.
    """
    import pandas as pd

    pair = of_series(cells, one, baseline)
    points = pair[pair["train_rows"] > 0].groupby(["test_rows", "system", "variant"])["train_rows"].nunique()
    both = (points[points > 1].groupby("test_rows").size() == 2).loc[lambda found: found].index
    if both.empty:
        return pd.DataFrame(columns=["question", "shots", "value", "low", "high", "test_rows"])
    found = curves(draws, pair[pair["test_rows"] == both.max()])
    return label_needs(found[one], found[baseline]).assign(test_rows=both.max())


def auc_draws(record: Mapping[str, Any]) -> np.ndarray:
    """(draws,) the bootstrap of a stored result's AUC over test users; a draw without both classes counts as the AUC itself."""
    draws = np.array(record["draws"]["auc"], dtype=np.float64)  # None becomes NaN
    return np.where(np.isnan(draws), record["metrics"]["auc"], draws)


def label_needs(one: Curve, baseline: Curve) -> pd.DataFrame:
    """How one curve stands to a baseline: its data multiplier at each N, and where it meets the baseline's last value.

    Returns:
        Columns question ("multiplier" or "match"), shots, value, low, high; infinite and zero values as `laser_core.metrics` defines them.
    """
    import pandas as pd

    rows = []
    for n in one.shots:
        found = data_multiplier(one, baseline, int(n))
        rows.append(("multiplier", int(n), found.value, found.low, found.high))
    met = match_point(one, float(baseline.mean[-1]), baseline.draws[-1])
    rows.append(("match", int(baseline.shots[-1]), met.value, met.low, met.high))
    return pd.DataFrame(rows, columns=["question", "shots", "value", "low", "high"])


def labels_to_equal(
    read: Read, draws: Callable[[str], np.ndarray], cells: pd.DataFrame, found: Verdict
) -> tuple[Interval, np.ndarray] | None:
    """How many labels it takes without a language model to equal the verdict's best system with one, on the verdict's rows and seeds.

    The curve to read is that of the best system without at each N, so it may be another one at each; only N count at which all that the
    verdict chose from were asked, and nobody else about more rows only. The interval is over seeds and test users; it does not allow for
    the choice of the best.

    Args:
        cells: Finished cells of one data set, of every N.

    Returns:
        The labels (0 and infinity as in `laser_core.metrics.match_point`) and the N that were read. None where the verdict is level, and
        where fewer than two N can be read.
    """
    import pandas as pd

    if found.says == "level":
        return None
    ground, _ = common_ground(read, cells[cells["shots"] == found.shots])
    rivals = {place for place in pairs_of(ground) if side(*place) == "without"}
    seeds = ground["seed"].unique()
    asked = cells[cells["seed"].isin(seeds) & (cells["test_rows"] >= found.test_rows)].sort_values("test_rows")
    asked = asked.drop_duplicates(["system", "variant", "train_rows", "seed"])
    best = []
    for _, at_n in asked[asked["train_rows"] > 0].groupby("train_rows"):
        series = {place: own for place, own in at_n.groupby(["system", "variant"]) if side(*place) == "without" and len(own) == len(seeds)}
        if rivals <= series.keys() and all((own["test_rows"] == found.test_rows).all() for own in series.values()):
            best.append(max(series.values(), key=lambda own: own["auc"].mean()))
    own = of_series(asked[asked["shots"] == found.shots], found.with_lm)
    if len(best) < 2 or (own["test_rows"] > found.test_rows).any():
        return None
    by_user = np.array([draws(key) for key in own["key"]])
    wanted = seed_and_user_draws(own["auc"].to_numpy(), by_user, np.random.default_rng(0), means=2)
    rival = curve(draws, pd.concat(best))
    return match_point(rival, found.with_lm_value, wanted), rival.shots


def labels_to_match(cells: pd.DataFrame, baseline: tuple[str, str], value: float) -> float:
    """How many labels a system needs, by the curve of its means, to reach an AUC; 0: fewer than its first N, infinity: more than its last.

    Of several test sets its curve is that on the largest: the AUC has to be from the same rows.

    Raises:
        UserError: It was measured at fewer than two N.
    """
    own = of_series(cells[cells["train_rows"] > 0], baseline)
    means = own[own["test_rows"] == own["test_rows"].max()].groupby("train_rows")["auc"].mean()
    if len(means) < 2:
        raise UserError(f"{baseline[0]} was measured at one N only: a curve needs two")
    return float(shots_needed(means.index.to_numpy(), means.to_numpy()[:, None], np.array([value]))[0])
