"""Intervals by redrawing test users: a user's samples belong together, so users are drawn, not samples.

A draw gives each user a weight: how often it was drawn. The same seed and the same test set give the same draws, so draws of two
systems can be subtracted one by one (a paired bootstrap), and curves can be compared draw by draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from laser_core.metrics.ranking import both_classes, evaluate, row_log_loss

DRAWS = 1000
TAIL = (1 - 0.95) / 2  # on each side of an interval


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


def percentile_interval(value: float, draws: np.ndarray) -> Interval:
    """The middle 95 % of the draws."""
    low, high = np.quantile(draws[~np.isnan(draws)], [TAIL, 1 - TAIL])
    return Interval(float(value), float(low), float(high))


def user_weights(users: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """For each draw: (users,) how often each of the users 0 .. users.max() was drawn, as many draws as users, with replacement."""
    generator = np.random.default_rng(seed)
    count = int(users.max()) + 1
    for _ in range(draws):
        yield np.bincount(generator.integers(0, count, count), minlength=count)


def bootstrap_auc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws,) the AUC of redrawn users; NaN where a draw holds one class only.

    The samples are sorted once. A draw is then a weighted AUC: each positive counts the weight of the negatives below it, half of those
    beside it.
    """
    labels = both_classes(labels)
    _, users = np.unique(users, return_inverse=True)
    order = np.argsort(scores, kind="stable")
    negative, positive = order[~labels[order]], order[labels[order]]
    below = np.searchsorted(scores[negative], scores[positive], side="left")  # negatives below each positive
    upto = np.searchsorted(scores[negative], scores[positive], side="right")  # ... and beside it
    user_of_negative, user_of_positive = users[negative], users[positive]
    running = np.zeros(len(negative) + 1)
    result = np.empty(draws)
    for number, weight in enumerate(user_weights(users, draws, seed)):
        np.cumsum(weight[user_of_negative], out=running[1:])
        weight_of_positive = weight[user_of_positive]
        wins = np.dot(weight_of_positive, running[below] + running[upto]) / 2
        pairs = weight_of_positive.sum() * running[-1]
        result[number] = wins / pairs if pairs else np.nan
    return result


def bootstrap_mean(values: np.ndarray, users: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws,) the mean over the samples of redrawn users."""
    _, users = np.unique(users, return_inverse=True)
    total, count = np.bincount(users, weights=values), np.bincount(users)
    return np.array([weight @ total / (weight @ count) for weight in user_weights(users, draws, seed)])


def evaluate_with_draws(labels: np.ndarray, probabilities: np.ndarray, users: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """What `evaluate` gives with the 95 % bounds `auc_low`, `auc_high`, `log_loss_low`, `log_loss_high`, and the (draws,) they are of."""
    values = evaluate(labels, probabilities)
    draws = {
        "auc": bootstrap_auc(labels, probabilities, users),
        "log_loss": bootstrap_mean(row_log_loss(labels, probabilities), users),
    }
    for name, draw in draws.items():
        interval = percentile_interval(values[name], draw)
        values |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return values, draws


def seed_and_user_draws(values: np.ndarray, user_draws: np.ndarray, generator: np.random.Generator, means: int = 1) -> np.ndarray:
    """(draws,) of a mean over seeds: the hierarchical bootstrap over seeds and test users.

    Users are redrawn (the same draw for all seeds, which share their test users). A handful of seeds cannot be redrawn usefully - three
    give ten outcomes and two thirds of the true variance - so their part is drawn from Student's t for their mean.

    Args:
        values: (seeds,) the metric.
        user_draws: (seeds, draws) its bootstrap over users.
        means: Of how many such means the interval will be, such as 2 for where two curves meet: together they know their spread that much
            better (Welch-Satterthwaite), and draws from the t of each alone would make intervals too wide (98 % instead of 95).
    """
    seeds, draws = user_draws.shape
    across = user_draws.mean(axis=0)
    result = values.mean() + across - across.mean()
    if seeds > 1:
        result = result + generator.standard_t(means * (seeds - 1), draws) * values.std(ddof=1) / seeds**0.5
    return result
