"""How well probabilities rank and how true they are: AUC, within users too, log loss, accuracy, calibration, relative improvement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from laser_core.errors import UserError

TINY = 1e-15  # log loss of a certain and wrong prediction is large, not infinite
BINS = 15  # of the calibration error, as in Guo et al. (2017)


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counted half.

    Raises:
        UserError: The labels are all the same.
    """
    labels = both_classes(labels)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    ranks = midranks(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def midranks(values: np.ndarray) -> np.ndarray:
    """(rows,) the rank of each value, from 1; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def row_gauc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> np.ndarray:
    """(rows,) the AUC among the samples of each sample's own user; no number where that user's labels are all the same."""
    labels, (_, scores), (_, users) = np.asarray(labels) > 0, *(np.unique(part, return_inverse=True) for part in (scores, users))
    size, positives = np.bincount(users), np.bincount(users, weights=labels)
    ranks = midranks(users * (scores.max() + 1) + scores) - (np.cumsum(size) - size)[users]  # among the user's own samples
    wins = np.bincount(users, weights=ranks * labels) - positives * (positives + 1) / 2
    pairs = positives * (size - positives)
    return np.divide(wins, pairs, out=np.full(len(size), np.nan), where=pairs > 0)[users]


def gauc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> float:
    """AUC within users: each user's own AUC, weighted by their samples (Zhou et al. 2018, "Deep Interest Network", section 5.3).

    AUC asks about any two samples, most often of two users, so knowing who likes much is worth a lot there. Here it is worth nothing, if
    a user's samples are asked with one history; where each has a history of its own, earlier answers of the same user move the scores of
    later ones (`laser_core.study.at_once`).

    Raises:
        UserError: No user has labels of both kinds.
    """
    values = row_gauc(labels, scores, users)
    if np.isnan(values).all():
        raise UserError("no user here has samples of both labels, so there is nothing to order within one: GAUC needs such users")
    return float(np.nanmean(values))


def pairs_within_users(labels: np.ndarray, users: np.ndarray) -> float:
    """Share of the (positive, negative) pairs which AUC counts whose two samples are of the same user."""
    labels, (_, users) = both_classes(labels), np.unique(users, return_inverse=True)
    positives = np.bincount(users, weights=labels)
    return float(positives @ (np.bincount(users) - positives) / (labels.sum() * (~labels).sum()))


def row_log_loss(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(rows,) minus the log of the probability given to the true label."""
    probabilities = np.clip(np.asarray(probabilities, dtype=np.float64), TINY, 1 - TINY)
    return -np.log(np.where(np.asarray(labels) > 0, probabilities, 1 - probabilities))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of `row_log_loss`."""
    return float(row_log_loss(labels, probabilities).mean())


def log_loss_of_odds(labels: np.ndarray, odds: np.ndarray) -> float:
    """The log loss from log-odds, which need no clipping; no number where they are none, which is for the caller to judge."""
    with np.errstate(invalid="ignore"):
        return float(np.mean(np.logaddexp(0, np.where(labels == 1, -odds, odds))))


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of samples on the right side of one half (one half itself counts as positive)."""
    return float(((np.asarray(probabilities) >= 0.5) == (np.asarray(labels) > 0)).mean())


@dataclass(frozen=True)
class Reliability:
    """A reliability curve: samples in bins of their probability."""

    predicted: np.ndarray
    """(bins,) mean probability"""
    observed: np.ndarray
    """(bins,) share of positives"""
    count: np.ndarray
    """(bins,) samples; bins without any are left out"""

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of predicted and observed, weighted by samples."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.count))


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Reliability:
    """The reliability curve over `bins` equally wide parts of [0, 1]."""
    labels, probabilities = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    place = np.minimum(probabilities * bins, bins - 1).astype(np.int64)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    predicted = np.bincount(place, weights=probabilities, minlength=bins)[filled] / count[filled]
    observed = np.bincount(place, weights=labels, minlength=bins)[filled] / count[filled]
    return Reliability(predicted, observed, count[filled])


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error (ECE) over the bins of `reliability`.

    A bin's share of positives is never quite its probability, so even true probabilities have an error: about .04 on 1,000 samples and
    .004 on 100,000. Errors compare on equally many samples only.
    """
    return reliability(labels, probabilities, bins).error


def check_probabilities(probabilities: np.ndarray, count: int, whose: str) -> np.ndarray:
    """(count,) the probabilities, if that is what they are: one number from 0 to 1 for each sample.

    Args:
        whose: Who said them, for the message.

    Raises:
        UserError: They are not.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.shape != (count,):
        raise UserError(f"{whose} must give {count:,} probabilities, one a sample, not an array of shape {probabilities.shape}")
    wrong = ~((probabilities >= 0) & (probabilities <= 1))  # of NaN both are false
    if wrong.any():
        raise UserError(
            f"{whose} must give probabilities from 0 to 1: {wrong.sum():,} of {count:,} are not, "
            f"number {wrong.argmax() + 1} is {probabilities[wrong.argmax()]:g}"
        )
    return probabilities


def evaluate(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """auc, log_loss, accuracy and ece (15 equally wide bins) of one set of predictions.

    Raises:
        UserError: The labels are all the same, or the predictions are no probabilities, one a label.
    """
    return {
        "auc": auc(labels, check_probabilities(probabilities, len(labels), "the predictions")),
        **evaluate_without_auc(labels, probabilities),
    }


def evaluate_without_auc(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """log_loss, accuracy and ece: those metrics of `evaluate` that need no two classes."""
    return {
        "log_loss": log_loss(labels, probabilities),
        "accuracy": accuracy(labels, probabilities),
        "ece": calibration_error(labels, probabilities),
    }


def relative_improvement(auc_of_best: Any, auc_of_other: Any) -> Any:
    """The paper's Rel.Impr: AUC(best) / AUC(other) - 1; numbers or arrays."""
    return auc_of_best / auc_of_other - 1


def both_classes(labels: np.ndarray) -> np.ndarray:
    """Labels as booleans, both classes among them."""
    labels = np.asarray(labels) > 0
    if labels.all() or not labels.any():
        raise UserError(f"AUC needs positive and negative samples, all {len(labels):,} have the same label: take more test rows")
    return labels
