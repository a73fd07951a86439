"""Made-up data the size and shape of MovieLens-1M, so that benchmarks run anywhere and nothing of the real data is needed.

Users, movies, profile fields and their cardinalities, the skew of both, the history of 30 and the split are MovieLens-1M's; who rates what,
and how, is drawn at random, so nothing can be learned from it and speed is all that it is good for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from laser_core.datasets.build import assemble, split_by_time
from laser_core.datasets.dataset import CTRDataset
from laser_core.datasets.movielens import ABOUT_1M

USERS, MOVIES = 6040, 3706
CARDINALITIES = {"gender": 2, "age": 7, "occupation": 21, "zip": 3439}
GENRES = 18
FEWEST, MEDIAN, MOST = 20, 96, 2314  # ratings of a user
STARS = (0.056, 0.107, 0.261, 0.349, 0.227)  # share of each
HISTORY_ONLY = 5


def movielens_like(seed: int = 0, users: int = USERS, fewest: int = FEWEST) -> CTRDataset:
    """A data set like MovieLens-1M: about a million ratings for 6,040 users.

    Args:
        fewest: Ratings that each user has at least; raise it where every history must be long.
    """
    generator = np.random.default_rng(seed)
    lengths = generator.lognormal(np.log(MEDIAN), 1.0, users).astype(int).clip(fewest, max(MOST, fewest))
    events = int(lengths.sum())
    popularity = (np.arange(MOVIES) + 20.0) ** -0.9
    stars = 1 + generator.choice(len(STARS), events, p=STARS)
    ratings = pd.DataFrame(
        {
            "user": generator.permutation(np.repeat(np.arange(users), lengths)),
            "item": generator.choice(MOVIES, events, p=popularity / popularity.sum()),
            "rating": stars,
            "label": stars >= 4,
            "time": np.arange(events),
        }
    )
    profiles = pd.DataFrame({name: generator.integers(0, size, users).astype(str) for name, size in CARDINALITIES.items()})
    movies = pd.DataFrame(
        {"title": [f"Movie {number}" for number in range(MOVIES)], "genre": generator.integers(0, GENRES, MOVIES).astype(str)}
    )
    sample, split = split_by_time(ratings["user"].to_numpy(), HISTORY_ONLY)
    about = replace(ABOUT_1M, name="movielens-like", title="made-up data", group_field="genre", traps=(), redistributable=True)
    return assemble(about, ratings, profiles, movies, [1, 2, 3, 4, 5], sample, split)


def copies(dataset: CTRDataset, times: int) -> CTRDataset:
    """The same data set with every user, and so every rating and sample, `times` times."""

    def again(array: np.ndarray, step: int = 0) -> np.ndarray:
        """The array once a copy, each `step` above the one before."""
        return (array[None, :] + step * np.arange(times, dtype=array.dtype)[:, None]).ravel()

    fields = {}
    for name, entry in dataset.fields.items():
        if name == dataset.about.user_field:
            words = np.array([str(user) for user in range(times * dataset.users)], dtype=object)
            entry = replace(entry, vocabulary=words, codes=np.arange(len(words) + 1, dtype=np.int32))
        elif entry.owner == "user":
            entry = replace(entry, codes=np.concatenate([entry.codes[:1], again(entry.codes[1:])]))
        fields[name] = entry
    return replace(
        dataset,
        fields=fields,
        user_offsets=np.concatenate([[0], again(dataset.user_offsets[1:-1], dataset.events), [times * dataset.events]]),
        event_user=again(dataset.event_user, dataset.users),
        **{name: again(getattr(dataset, name)) for name in ("event_item", "event_rating", "event_label", "event_time")},
        sample_event=again(dataset.sample_event, dataset.events),
        **{part: again(getattr(dataset, part), dataset.samples) for part in ("train", "valid", "test")},
    ).stamped()
