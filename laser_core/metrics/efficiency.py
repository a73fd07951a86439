"""How sample-efficient is a system? Curves of a metric against the number of labels N, compared along the N axis.

- match point: the smallest N whose mean reaches a reference
- data multiplier m(N) = N_base(a) / N, where a is the system's value at N and N_base(a) how many labels the baseline needs to reach a
- area under the curve over log N

Curves are made monotone (isotonic regression) and interpolated with PCHIP over log N: more labels do not hurt in expectation, and noise
must not make a value be reached twice. Every function takes the curve of the means and, for intervals, one curve a bootstrap draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from laser_core.errors import UserError
from laser_core.metrics.bootstrap import Interval

FINE = 200  # points between two measured N at which an interpolated curve is read
SAME = 1e-9  # what rounding may take off a value


@dataclass(frozen=True)
class Curve:
    """A metric (higher is better) against N, of one system."""

    shots: np.ndarray
    """(points,) N, ascending"""
    mean: np.ndarray
    """(points,) the metric, mean over seeds"""
    draws: np.ndarray
    """(points, draws) its bootstrap (`seed_and_user_draws`); draw b of every curve on one test set redraws the same users"""

    def __post_init__(self) -> None:
        if len(self.shots) < 2 or (np.diff(self.shots) <= 0).any():
            raise UserError(f"a curve needs two or more numbers of shots, ascending, not {list(self.shots)}")


def isotonic(values: np.ndarray) -> np.ndarray:
    """The nearest non-decreasing values (least squares) along the first axis: max over starts of min over ends of the mean between.

    Args:
        values: (points,) or (points, draws).
    """
    points = len(values)
    total = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    result = np.empty_like(values, dtype=np.float64)
    for place in range(points):
        starts = [
            np.min([(total[end + 1] - total[start]) / (end + 1 - start) for end in range(place, points)], axis=0)
            for start in range(place + 1)
        ]
        result[place] = np.max(starts, axis=0)
    return result


def shots_needed(shots: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(draws,) the smallest N at which each monotone curve reaches what is wanted of it.

    Where a curve starts above it: 0 (at most the first N); where it never gets there: infinity.

    Args:
        values: (points, draws).
        wanted: (draws,).
    """
    from scipy.interpolate import PchipInterpolator  # a second to load: only where a curve is read

    grid = np.linspace(np.log(shots[0]), np.log(shots[-1]), FINE * (len(shots) - 1) + 1)
    fine = PchipInterpolator(np.log(shots), isotonic(values), axis=0)(grid)  # (grid, draws)
    fine = np.maximum.accumulate(fine, axis=0)  # rounding may leave a step down
    place = (fine < wanted - SAME).sum(axis=0)
    after = np.minimum(place, len(grid) - 1)
    before = np.maximum(after - 1, 0)
    columns = np.arange(fine.shape[1])
    low, high = fine[before, columns], fine[after, columns]
    part = np.divide(wanted - low, high - low, out=np.ones_like(low), where=high > low)
    needed = np.exp(grid[before] + np.clip(part, 0, 1) * (grid[after] - grid[before]))
    needed = np.where(wanted < fine[0] - SAME, 0.0, needed)
    return np.where(place == len(grid), np.inf, needed)


def match_point(curve: Curve, reference: float, reference_draws: np.ndarray) -> Interval:
    """The smallest N at which a curve reaches a reference, such as another system on all data; infinity: not within its range."""
    return _interval(
        shots_needed(curve.shots, curve.mean[:, None], np.array([reference]))[0],
        shots_needed(curve.shots, curve.draws, reference_draws),
    )


def data_multiplier(curve: Curve, baseline: Curve, shots: int) -> Interval:
    """How many times as many labels the baseline needs to equal a curve at N = `shots`.

    Infinity: more than the baseline was ever given; 0: fewer than it was ever given. Both are findings, not numbers. At an N beyond those
    of the baseline they leave open whether that is more or fewer than N: there the low end is no more than the baseline's last N / N, the
    high end no less than its first N / N, so that an interval leaves out one only where that is known.

    Raises:
        UserError: The curve was not measured at `shots`.
    """
    places = np.flatnonzero(curve.shots == shots)
    if len(places) == 0:
        raise UserError(f"the curve has no point at N = {shots:,}: it was measured at {', '.join(f'{n:,}' for n in curve.shots)}")
    value, draws = isotonic(curve.mean)[places[0]], isotonic(curve.draws)[places[0]]
    found = _interval(
        shots_needed(baseline.shots, baseline.mean[:, None], np.array([value]))[0] / shots,
        shots_needed(baseline.shots, baseline.draws, draws) / shots,
    )
    first, last = (float(end) / shots for end in baseline.shots[[0, -1]])
    low = min(found.low, last) if last < 1 else found.low
    return Interval(found.value, low, max(found.high, first) if first > 1 else found.high)


def area_under_curve(curve: Curve, shots: tuple[float, float] | None = None) -> Interval:
    """Mean of the metric over log N between two N (the curve's own range unless given), straight lines between the points."""
    low, high = (curve.shots[0], curve.shots[-1]) if shots is None else shots
    if low < curve.shots[0] or high > curve.shots[-1] or low >= high:
        raise UserError(f"the curve was measured from N = {curve.shots[0]:,} to {curve.shots[-1]:,}, not from {low:,} to {high:,}")
    inside = curve.shots[(curve.shots > low) & (curve.shots < high)]
    grid = np.log(np.concatenate([[low], inside, [high]]))
    measured = np.log(curve.shots)

    def area(values: np.ndarray) -> np.ndarray:
        at = np.array([[np.interp(place, measured, column) for place in grid] for column in values.T]).T  # (grid, draws)
        return np.trapezoid(at, grid, axis=0) / (grid[-1] - grid[0])

    return _interval(area(curve.mean[:, None])[0], area(curve.draws))


def _interval(value: float, draws: np.ndarray) -> Interval:
    """The middle 95 % of draws, which may be infinite: an order statistic, never a mean of two."""
    low, high = np.quantile(draws, 0.025, method="lower"), np.quantile(draws, 0.975, method="higher")
    return Interval(float(value), float(low), float(high))
