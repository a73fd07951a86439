"""What users with other tastes in common say about a sample: a ridge regression of every item's rating on those of all other items.

In the spirit of EASE (H. Steck, 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW, arXiv 1905.03375), on what is left of
ratings when the item's and the user's mean are taken away:

    x[u, i] = rating - mean of i - mean residual of u         of the shots, 0 where u did not rate i
    P       = (X'X + ridge I)^-1
    B[j, t] = -P[j, t] / P[t, t], B[t, t] = 0                 least squares for all targets t at once, none reading itself
    score   = sum_j x[u, j] B[j, t]                           over the events j of the sample's whole earlier history

Only the shots' own events shape the means and B; the user's history says which rows of B are read, as it does for every system. A rating
counts in full (on the scale lowest 0, highest 1), which is finer than the label that derives from it.

A user who gave shots is always scored by means and B of shots of other users only: shots are cut into folds by user, and there is one
B without each fold beside the one of all shots, for everybody else. So a sample's own rating and any later one of the same user are in
none of its numbers, these mean the same for a fitted sample as for a new one, and nothing has to be told apart when scoring.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from laser_core.crm.statistics import ranges, rating_scale
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError

NAMES = ("mean rating of the item", "mean residual of the user", "collaborative score", "sum of the three", "shots of the item (log)")
RIDGE = 300.0  # flat from here to some thousands, with any model and data set tried; below, B follows chance
CATALOGUE = 4096  # B is a square of so many items at most: 34 MB in half precision
FOLDS = 4

_LEAST = 5  # an item with fewer shots is left out of B
_TO_OVERALL = 10.0  # an item's mean is pulled towards the overall one as if by so many more ratings
_TO_ITEMS = 5.0  # a user's mean residual towards 0
_KNEE = 0.01  # scores are linear up to about here and logarithmic beyond: they grow with the history, their meaning does not
_PIECE = 1 << 20  # events worked on at once


@dataclass(frozen=True)
class Collaborative:
    """Item means and B, of all shots and without each fold of users. Model `FOLDS`, the last, is the one of all shots."""

    fold: np.ndarray
    """(users + 1,) int8: the model that a user's samples are scored by"""
    place: np.ndarray
    """(items + 1,) int32 place of an item in B, -1 for none"""
    mean: np.ndarray
    """(models, items + 1) float32 mean rating"""
    count: np.ndarray
    """(models, items + 1) float32 log(1 + ratings)"""
    weight: np.ndarray
    """(models, catalogue, catalogue) float16, B transposed: a target's row holds what each item says about it"""

    @classmethod
    def fit(cls, dataset: CTRDataset, rows: np.ndarray, ridge: float = RIDGE, catalogue: int = CATALOGUE) -> Self:
        """Learn from the ratings of the shots.

        Args:
            rows: `(rows,)` the shots, in any order.
            ridge: Strength of the penalty, in squared units of the rating scale.
            catalogue: B covers so many of the most often rated items.

        Raises:
            UserError: The ridge is too small to invert anything.
        """
        events = dataset.sample_event[np.unique(rows)]
        user, item, rating = dataset.event_user[events], dataset.event_item[events], rating_scale(dataset)[dataset.event_rating[events]]

        givers = np.unique(user)
        fold = np.full(dataset.users + 1, FOLDS, dtype=np.int8)
        fold[givers] = np.random.default_rng(0).permutation(len(givers)) % FOLDS

        count = np.bincount(item, minlength=dataset.items + 1)
        most = np.argsort(-count, kind="stable")[:catalogue]
        most = np.sort(most[count[most] >= _LEAST])
        place = np.full(dataset.items + 1, -1, dtype=np.int32)
        place[most] = np.arange(len(most))

        mean, log_count = np.empty((2, FOLDS + 1, dataset.items + 1), dtype=np.float32)
        weight = np.empty((FOLDS + 1, len(most), len(most)), dtype=np.float16)
        for model in range(FOLDS + 1):
            kept = fold[user] != model
            mean[model], log_count[model] = _item_means(item[kept], rating[kept], dataset.items + 1)
            left = rating[kept] - mean[model, item[kept]]
            left -= _user_means(user[kept], left)[user[kept]]
            weight[model] = _regress(user[kept], place[item[kept]], left, len(most), ridge)
        return cls(fold, place, mean, log_count, weight)

    def features(self, dataset: CTRDataset, rows: np.ndarray) -> np.ndarray:
        """(rows, 5) float32, the columns of `NAMES`. A row's values do not depend on the other rows.

        Ask for many rows at once: a sample takes about 10 nanoseconds for each event of its history.
        """
        targets, where = np.unique(dataset.sample_event[rows], return_inverse=True)
        table = np.empty((len(targets), len(NAMES)), dtype=np.float32)
        model = self.fold[dataset.event_user[targets]]
        for number in np.unique(model):
            mine = np.flatnonzero(model == number)
            left = rating_scale(dataset)[dataset.event_rating] - self.mean[number, dataset.event_item]  # (events,) of the data set
            length = targets[mine] - dataset.user_offsets[dataset.event_user[targets[mine]]]
            cuts = np.flatnonzero(np.diff(np.cumsum(length) // _PIECE)) + 1
            for piece in np.split(mine, cuts):
                table[piece] = self._of(dataset, targets[piece], number, left)
        return table[where]

    def _of(self, dataset: CTRDataset, targets: np.ndarray, model: int, left: np.ndarray) -> np.ndarray:
        """(targets, 5) numbers by one model; `left` is what of each event's rating its item's mean does not explain."""
        item = dataset.event_item[targets]
        start = dataset.user_offsets[dataset.event_user[targets]]
        event, owner = ranges(start, targets - start)  # all events of all histories
        # bincount adds one after another: a sum is the same to the last bit in any company
        user_mean = np.bincount(owner, left[event], len(targets)) / (targets - start + _TO_ITEMS)
        source, target = self.place[dataset.event_item[event]], self.place[item][owner]
        known = (source >= 0) & (target >= 0)
        event, owner = event[known], owner[known]
        weight = self.weight[model, target[known], source[known]].astype(np.float64)
        score = np.bincount(owner, weight * (left[event] - user_mean[owner]), len(targets))
        mean = self.mean[model, item].astype(np.float64)
        shown = np.sign(score) * np.log1p(np.abs(score) / _KNEE)
        return np.stack([mean, user_mean, shown, mean + user_mean + score, self.count[model, item]], axis=1)

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return self.mean.size + self.weight.size

    def arrays(self) -> dict[str, np.ndarray]:
        """What is learned, as named arrays."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray], prefix: str = "") -> Self:
        """The inverse of `arrays`, from among others; its own are named with the prefix.

        Raises:
            KeyError: One is missing.
        """
        return cls(**{entry.name: arrays[prefix + entry.name] for entry in fields(cls)})


def _item_means(item: np.ndarray, rating: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(size,) mean rating of each item, pulled towards the overall one, and log(1 + its ratings)."""
    overall = (rating.sum() + 0.5) / (len(rating) + 1)  # as if of one more rating in the middle: no shots need no special case
    count = np.bincount(item, minlength=size)
    return overall + np.bincount(item, rating - overall, size) / (count + _TO_OVERALL), np.log1p(count)


def _user_means(user: np.ndarray, left: np.ndarray) -> np.ndarray:
    """For each user code: the mean of what the items' means leave, pulled towards 0."""
    return np.bincount(user, left) / (np.bincount(user) + _TO_ITEMS)


def _regress(user: np.ndarray, place: np.ndarray, left: np.ndarray, size: int, ridge: float) -> np.ndarray:
    """(size, size) B transposed, of residuals `left` of users on items at `place` (-1: outside).

    Raises:
        UserError: The ridge is too small to invert anything.
    """
    from scipy.linalg.lapack import spotrf, spotri  # a quarter of a second that models without these numbers need not wait for
    from scipy.sparse import csr_array

    inside = place >= 0
    table = csr_array((left[inside].astype(np.float32), (user[inside], place[inside])), shape=(user.max(initial=0) + 1, size))
    if size == 0:
        return np.zeros((0, 0))
    gram = np.asfortranarray((table.T @ table).toarray())
    gram[np.diag_indices(size)] += ridge
    # LAPACK inverts a positive definite matrix in a third of the time of any other, and writes the lower half only
    factor, failed = spotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise UserError(f"a ridge of {ridge:g} is lost in rounding beside so many ratings: use 1 or more")
    half = np.tril(spotri(factor, lower=1, overwrite_c=1)[0])
    inverse = half + np.tril(half, -1).T
    weight = -inverse / np.diag(inverse)[:, None]
    np.fill_diagonal(weight, 0)
    return weight
