"""Is one system better than another? The paired DeLong test, and Holm's correction for many questions at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from laser_core.metrics.ranking import both_classes, midranks


@dataclass(frozen=True)
class DeLong:
    """Two AUCs on the same samples, and whether they differ."""

    auc_first: float
    auc_second: float
    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray, users: np.ndarray | None = None) -> DeLong:
    """The paired test of AUC(first) = AUC(second).

    DeLong, DeLong and Clarke-Pearson (1988), with the midranks of Sun and Xu (2014): O(n log n). With `users`, samples of one user are
    taken as belonging together (Obuchowski 1997); without, every sample stands alone, which is too sure where users have many. One user
    says nothing of others: error, interval and p are then NaN.

    Raises:
        UserError: The labels are all the same.
    """
    labels = both_classes(labels)
    auc_first, positive_first, negative_first = _placements(labels, first)
    auc_second, positive_second, negative_second = _placements(labels, second)
    positive, negative = positive_first - positive_second, negative_first - negative_second
    difference = auc_first - auc_second
    if users is None:
        error = float(np.sqrt(positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)))
    else:
        share = np.empty(len(labels))
        share[labels] = (positive - difference) / len(positive)
        share[~labels] = (negative - difference) / len(negative)
        error = error_over_users(share, users)
    half = float(ndtri(0.975)) * error
    p_value = float(difference == 0) if error == 0 else float(2 * ndtr(-abs(difference) / error))
    return DeLong(auc_first, auc_second, difference, error, difference - half, difference + half, p_value)


def error_over_users(share: np.ndarray, users: np.ndarray) -> float:
    """The standard error of a sum over samples where a user's belong together; one user says nothing of others: NaN.

    Args:
        share: (rows,) what each sample adds to the sum, beyond its mean.
    """
    _, place = np.unique(users, return_inverse=True)
    by_user = np.bincount(place, weights=share)
    many = len(by_user)
    return float(np.sqrt((by_user**2).sum() * many / (many - 1))) if many > 1 else float("nan")


def _placements(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """AUC; for each positive the share of negatives below it; for each negative the share of positives above it (ties half)."""
    ranks = midranks(scores)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    of_positive = (ranks[labels] - midranks(scores[labels])) / negatives
    of_negative = 1 - (ranks[~labels] - midranks(scores[~labels])) / positives
    return float(of_positive.mean()), of_positive, of_negative


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values corrected so that the chance of any false claim among them stays at the level asked for (Holm 1979)."""
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
