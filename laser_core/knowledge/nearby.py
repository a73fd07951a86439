"""What the user thought of the items nearest to the target: kernel regression in the space of the items' vectors (E. A. Nadaraya, 1964,
"On Estimating Regression"; G. S. Watson, 1964, "Smooth Regression Analysis").

    w_j      = exp((<v_j, v_t> - 1) / width)                            unit vectors of a rated item j and the target t
    numbers  = sum_j w_j (r_j - mean) / (sum_j w_j + caution),          ratings r (lowest 0, highest 1), mean: the user's so far
               log(sum_j w_j + caution)                                 how much there is to go by

A mean of all rated items' vectors says what the user likes on the whole; this listens to the few that resemble the target. Few labels
suffice to learn what such a number means, however many the items.
"""

from __future__ import annotations

import numpy as np

from laser_core.crm.statistics import rating_scale
from laser_core.datasets.dataset import CTRDataset

AXES = 128  # of the space: more change nothing, 32 lose half of the gain
NUMBERS = 2
_CAUTION = 0.02  # as of one neutral event at a similarity of .6


def nearby(dataset: CTRDataset, rows: np.ndarray, ends: np.ndarray, vectors: np.ndarray, place: np.ndarray, width: float) -> np.ndarray:
    """(rows, 2) float32, the numbers above over each user's events before `ends`.

    Takes about 10 microseconds a sample; ask for many samples of a user at once.

    Args:
        ends: (rows,) the first event that is not read, at most the sample's own.
        vectors: (distinct items, axes) float32, of unit length.
        place: (items + 1,) the row of each item in `vectors`; those of the events and the targets are read.
    """
    user, target = dataset.sample_user(rows), place[dataset.sample_item(rows)]
    result = np.empty((len(rows), NUMBERS), dtype=np.float32)
    scale = rating_scale(dataset).astype(np.float32)
    order = np.argsort(user, kind="stable")
    begins = np.flatnonzero(np.diff(user[order], prepend=-1)).tolist()
    for begin, end in zip(begins, [*begins, len(rows)][1:], strict=True):  # one user's samples at a time
        mine = order[begin:end]
        first, many = dataset.user_offsets[user[mine[0]]], ends[mine] - dataset.user_offsets[user[mine[0]]]  # (samples,) events each reads
        events = slice(first, first + many.max())
        rating = scale.take(dataset.event_rating[events])
        read = vectors.take(place.take(dataset.event_item[events]), axis=0)  # (events, axes)
        weight = np.exp((vectors.take(target[mine], axis=0) @ read.T - 1) / np.float32(width))  # (samples, events)
        if len(mine) > 1:
            before = np.arange(len(rating)) < many[:, None]
            weight *= before
            stars = before @ rating
        else:
            stars = rating.sum()
        total = weight.sum(axis=1)
        mean = (stars + 1) / (many + 2)  # as if of two neutral ones more
        result[mine, 0] = (weight @ rating - mean * total) / (total + _CAUTION)
        result[mine, 1] = total
    result[:, 1] = np.log(result[:, 1] + _CAUTION)
    return result
