"""From tables to a `CTRDataset`: the steps that every reader shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from laser_core.datasets.dataset import SPLITS, About, CTRDataset, Field, encode, multi_valued, with_padding
from laser_core.errors import DataError


def assemble(
    about: About,
    ratings: pd.DataFrame,
    users: pd.DataFrame,
    items: pd.DataFrame,
    rating_values: Sequence[float],
    sample: np.ndarray,
    split: np.ndarray,
    multi: Mapping[str, Sequence[Sequence[str]]] | None = None,
) -> CTRDataset:
    """Put events, fields and splits together.

    Args:
        ratings: One row an event in the order that makes each user's timeline, with columns `user`, `item` (raw ids as in the index of
            `users` and `items`), `rating`, `label` and, where known, `time`.
        users, items: One row a user / item; every column becomes a field, the index becomes the id field.
        rating_values: All ratings there can be, ascending; their places become the rating codes.
        sample: (events,) True where an event is a sample.
        split: (events,) "train", "valid" or "test"; read where `sample` is True.
        multi: Multi-valued item fields: for each, one list of words an item, in the order of `items`.

    Raises:
        DataError: A rating that is not among `rating_values`, or no sample in a split.
    """
    user_code = pd.Index(users.index).get_indexer(ratings["user"]) + 1
    item_code = pd.Index(items.index).get_indexer(ratings["item"]) + 1
    if (user_code == 0).any() or (item_code == 0).any():
        raise DataError(f"{about.name}: ratings name users or items that the other tables do not have")
    values = np.asarray(rating_values, dtype=np.float32)
    rating = ratings["rating"].to_numpy(np.float32)
    rating_code = np.searchsorted(values, rating) + 1
    wrong = (rating_code > len(values)) | (values[np.minimum(rating_code, len(values)) - 1] != rating)
    if wrong.any():
        raise DataError(f"{about.name}: rating {rating[wrong][0]:g} is not one of {values.tolist()}")

    order = np.argsort(user_code, kind="stable")
    events = {
        "event_user": user_code[order].astype(np.int32),
        "event_item": item_code[order].astype(np.int32),
        "event_rating": rating_code[order].astype(np.uint8),
        "event_label": ratings["label"].to_numpy(np.uint8)[order],
        "event_time": ratings["time"].to_numpy(np.int64)[order] if "time" in ratings else np.zeros(0, np.int64),
    }
    # Samples keep the order of `ratings` (time order where there is time), so a split by time is a range of sample numbers.
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    chosen = np.flatnonzero(sample)
    parts = {part: np.flatnonzero(split[chosen] == part) for part in SPLITS}
    for part, rows in parts.items():
        if len(rows) == 0:
            raise DataError(f"{about.name}: the {part} split is empty: too few ratings for this split rule")

    counts = np.bincount(user_code, minlength=len(users) + 1)
    return CTRDataset(
        about=about,
        fields=_fields(about, users, items, multi or {}),
        user_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        rating_values=np.concatenate([[np.nan], values]).astype(np.float32),
        sample_event=place[chosen],
        **events,
        **parts,
    ).stamped()


def _fields(about: About, users: pd.DataFrame, items: pd.DataFrame, multi: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, Field]:
    """One field a column, plus the two id fields."""
    fields = {}
    for owner, table, id_name in (("user", users, about.user_field), ("item", items, about.item_field)):
        ids = np.asarray([str(value) for value in table.index], dtype=object)
        fields[id_name] = Field(id_name, owner, ids, np.arange(len(ids) + 1, dtype=np.int32))
        for column in table.columns:
            vocabulary, codes = encode(table[column].to_numpy())
            fields[column] = Field(column, owner, vocabulary, with_padding(codes))
    for name, lists in multi.items():
        fields[name] = Field(name, "item", *multi_valued([list(values) for values in lists]))
    return fields


def split_by_time(user: np.ndarray, history_only: int) -> tuple[np.ndarray, np.ndarray]:
    """Global time split: the first 80 % of the samples train, the next 10 % validate, the rest tests.

    Args:
        user: (events,) user of each event, all events in time order.
        history_only: A user's first so many events are never samples.

    Returns:
        (events,) whether an event is a sample, and (events,) its split, "" where it is none.
    """
    sample = pd.Series(user).groupby(user).cumcount().to_numpy() >= history_only
    samples = int(sample.sum())
    train, valid = int(0.8 * samples), int(0.1 * samples)
    split = np.full(len(user), "", dtype="<U5")
    split[sample] = np.repeat(["train", "valid", "test"], [train, valid, samples - train - valid])
    return sample, split


def split_last_of_each_user(user: np.ndarray, history_only: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Per-user time split: of each user's samples the last tenth tests, the tenth before it validates.

    Args:
        user: (events,) user of each event, each user's events in time order.
        history_only: A user's first so many events are never samples.
        most: At most so many of a user's last events are samples, so that no heavy user owns the test set.

    Returns:
        (events,) whether an event is a sample, and (events,) its split.
    """
    groups = pd.Series(user).groupby(user, sort=False)
    place = groups.cumcount().to_numpy()
    size = groups.transform("size").to_numpy()
    first = np.maximum(history_only, size - most)
    sample = place >= first
    held_out = np.maximum(1, np.round(0.1 * np.maximum(size - first, 0)).astype(int))
    from_end = size - 1 - place
    split = np.where(from_end < held_out, "test", np.where(from_end < 2 * held_out, "valid", "train"))
    return sample, split
