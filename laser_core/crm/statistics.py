"""What a user's earlier ratings say about a sample, as dense numbers; and smoothed means of the shots' labels.

`history_statistics` reads nothing but the events of the same user before the sample's own, so it never sees the sample's label or
anything later. `label_means` and `out_of_fold_means` read the labels of the shots and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from laser_core.datasets.dataset import CTRDataset, Field

WINDOWS = (5, 30)  # how many of the last events the short-term statistics cover
_PIECE = 1 << 18  # events worked on at once: bounds the memory, whatever the size of the data set
_FIXED_POINT = 1 << 20  # ratings are summed as whole multiples of 1 / this: exact, so no sum depends on what else is in the piece

# Every share is pulled towards a more general one, as if so many more events of that kind had been seen:
_TO_NEUTRAL = 5.0  # the whole history towards one half
_TO_WHOLE = 2.0  # the last few towards the whole history
_TO_USER = 5.0  # the items like the target towards the whole history


def kindred_fields(dataset: CTRDataset) -> tuple[str, ...]:
    """The item fields by which two items can be alike: the group field, then every other one (but title and id) whose words repeat."""
    about = dataset.about
    others = [
        name
        for name, field in dataset.fields.items()
        if field.owner == "item"
        and name not in (about.item_field, about.title_field, about.group_field)
        and len(field.vocabulary) <= dataset.items / 2
    ]
    return (about.group_field, *others)


def statistic_names(dataset: CTRDataset) -> tuple[str, ...]:
    """The columns of `history_statistics`, in words."""
    names = ["events (log)", "liked share", "mean rating"]
    for window in WINDOWS:
        names += [f"liked share, last {window}", f"mean rating, last {window}"]
    for field in kindred_fields(dataset):
        names += [f"events of the same {field} (log)", f"liked share, same {field}", f"mean rating, same {field}"]
    return tuple(names)


def history_statistics(dataset: CTRDataset, rows: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Statistics of each sample's whole earlier history.

    Liked shares and mean ratings (lowest rating 0, highest 1) of the whole history, of its last 5 and 30 events, and of the events
    whose item shares the target's genre, author, ... For an item of several genres: the mean over them. Counts are log(1 + count).
    A sample without history has the neutral values (one half, zero events).

    Takes about 2 microseconds a sample; ask for many rows at once, not batch by batch.

    Args:
        rows: `(rows,)` sample numbers, in any order, repeats allowed.

    Returns:
        `(rows, statistics)` float32, and the names of the columns. A row's values do not depend on the other rows.
    """
    return event_statistics(dataset, dataset.sample_event[rows]), statistic_names(dataset)


def event_statistics(dataset: CTRDataset, events: np.ndarray) -> np.ndarray:
    """(events, statistics) float32: `history_statistics` of any events, samples or not."""
    targets, place = np.unique(events, return_inverse=True)
    table = np.empty((len(targets), len(statistic_names(dataset))), dtype=np.float32)
    for piece in _pieces(dataset, targets):
        table[piece] = _statistics(dataset, targets[piece])
    return table[place]


def rating_scale(dataset: CTRDataset) -> np.ndarray:
    """(ratings + 1,) what each rating code stands for, the lowest 0 and the highest 1; code 0 (no rating) is 0."""
    return _scaled(tuple(dataset.rating_values))


@lru_cache(maxsize=8)  # asked for with every prediction
def _scaled(rating_values: tuple[float, ...]) -> np.ndarray:
    values = np.asarray(rating_values[1:], dtype=np.float64)
    return np.append(0.0, (values - values[0]) / max(values[-1] - values[0], 1e-9))


def liked_share_alike(dataset: CTRDataset, events: np.ndarray) -> np.ndarray:
    """(events,) liked share of the user's earlier events whose item shares the group (genre, author) of the event's own."""
    column = statistic_names(dataset).index(f"liked share, same {dataset.about.group_field}")
    return event_statistics(dataset, events)[:, column]


def _pieces(dataset: CTRDataset, targets: np.ndarray) -> Iterator[slice]:
    """Cut ascending target events between users, so that the timelines of a piece hold about `_PIECE` events."""
    user = dataset.event_user[targets]
    last = np.flatnonzero(np.diff(user, append=-1))
    timeline = np.cumsum(targets[last] - dataset.user_offsets[user[last]])  # (users,)
    cuts = last[np.flatnonzero(np.diff(timeline // _PIECE, append=-1))] + 1
    yield from map(slice, [0, *cuts[:-1]], cuts)


def _statistics(dataset: CTRDataset, targets: np.ndarray) -> np.ndarray:
    """(targets, statistics) for ascending target events of some users."""
    user = dataset.event_user[targets]
    last = np.flatnonzero(np.diff(user, append=-1))  # (users,) each user's last target
    start, stop = dataset.user_offsets[user[last]], targets[last] + 1
    event, owner = ranges(start, stop - start)  # these users' timelines up to their last target, one after another
    first = np.cumsum(stop - start) - (stop - start)  # (users,) where each begins
    mine = np.searchsorted(last, np.arange(len(targets)))
    begin = first[mine]  # (targets,) where the timeline of each begins
    at = begin + targets - start[mine]  # (targets,) places of the targets

    fixed = np.rint(rating_scale(dataset) * _FIXED_POINT).astype(np.int64)
    # Everything that is counted of an event: itself, liked or not, its rating. (3, events)
    event_tally = np.stack([np.ones(len(event), np.int64), dataset.event_label[event].astype(np.int64), fixed[dataset.event_rating[event]]])
    before = np.cumsum(event_tally, axis=1) - event_tally  # everything earlier, of any user in this piece

    def means(since: np.ndarray, weight: float, towards: tuple[np.ndarray | float, np.ndarray | float]) -> tuple[np.ndarray, np.ndarray]:
        return _shrunken(before[:, at] - before[:, since], weight, towards)

    whole = means(begin, _TO_NEUTRAL, (0.5, 0.5))
    columns = [np.log1p(at - begin), *whole]
    for window in WINDOWS:
        columns += means(np.maximum(begin, at - window), _TO_WHOLE, whole)
    item = dataset.event_item[event]
    for name in kindred_fields(dataset):
        columns += _kindred(dataset.field(name), item, owner, event_tally, at, whole)
    return np.stack(columns, axis=1)


def _kindred(
    field: Field, item: np.ndarray, owner: np.ndarray, event_tally: np.ndarray, at: np.ndarray, whole: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log count, liked share and mean rating of the earlier events that share a value of `field` with the target.

    Args:
        item, owner: `(events,)` item, and place of the user, of each event.
        event_tally: `(3, events)` what is counted of each event.
        at: `(targets,)` places of the targets among the events.
        whole: The same users' share and mean rating of everything, `(targets,)` each.
    """
    value, place = _values(field, item)  # one entry for each value of each event
    key = owner[place] * field.size + value
    order = np.argsort(key, kind="stable")  # by user and value, in time order within
    key, place = key[order], place[order]
    begins = np.diff(key, prepend=-1) != 0
    fresh = begins | (np.diff(place, prepend=-1) != 0)  # an item that names a value twice has it once, or it would read its own rating
    place, begins = place[fresh], begins[fresh]

    first = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    tally = event_tally[:, place]
    before = np.cumsum(tally, axis=1) - tally
    earlier = before - before[:, first]  # (3, entries): of the same user and value, before this event

    target = np.full(len(item), -1)
    target[at] = np.arange(len(at))
    mine = target[place]
    earlier, mine = earlier[:, mine >= 0], mine[mine >= 0]
    share, rating = _shrunken(earlier, _TO_USER, (whole[0][mine], whole[1][mine]))
    many = np.bincount(mine, minlength=len(at))

    def mean(of: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
        return np.where(many > 0, np.bincount(mine, of, len(at)) / np.maximum(many, 1), otherwise)

    return np.log1p(mean(earlier[0], 0.0)), mean(share, whole[0]), mean(rating, whole[1])


def _shrunken(tally: np.ndarray, weight: float, towards: tuple[np.ndarray | float, np.ndarray | float]) -> tuple[np.ndarray, np.ndarray]:
    """Liked share and mean rating of a (3, n) tally, pulled towards other values as by `weight` more events."""
    count, liked, rating = tally
    return (liked + weight * towards[0]) / (count + weight), (rating / _FIXED_POINT + weight * towards[1]) / (count + weight)


def _values(field: Field, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The field's codes of many items, one after another, and the place of the item that each belongs to."""
    if field.offsets is None:
        codes = field.codes[item]
        place = np.flatnonzero(codes)  # code 0: the item has no word
        return codes[place], place
    where, place = ranges(field.offsets[item], field.offsets[item + 1] - field.offsets[item])
    return field.codes[where], place


def ranges(start: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole numbers of many ranges, one range after another, and the number of the range that each is in."""
    owner = np.repeat(np.arange(len(start)), length)
    return np.arange(len(owner)) + (start - (np.cumsum(length) - length))[owner], owner


def label_means(codes: np.ndarray, labels: np.ndarray, size: int, smoothing: float) -> np.ndarray:
    """For each code: the mean label of the samples that have it, and log(1 + their number).

    Args:
        codes: `(samples, fields)`; no two fields use the same code.
        labels: `(samples,)` 0 or 1.
        size: Codes run from 0 to this, exclusive.
        smoothing: So many samples of the overall mean are added to each.

    Returns:
        `(size, 2)` float64; a code that no sample has holds the overall mean and 0.
    """
    count = np.bincount(codes.ravel(), minlength=size)
    liked = np.bincount(codes.ravel(), np.repeat(labels, codes.shape[1]), size)
    return np.stack([(liked + smoothing * labels.mean()) / (count + smoothing), np.log1p(count)], axis=1)


def out_of_fold_means(
    codes: np.ndarray, labels: np.ndarray, size: int, smoothing: float, folds: int, generator: np.random.Generator
) -> np.ndarray:
    """What `label_means` gives for each sample when its own fold is left out: the sample's label is never in its own value.

    Returns:
        `(samples, fields, 2)` float64.
    """
    fold = generator.permutation(len(labels)) % folds
    means = np.empty((*codes.shape, 2))
    for number in np.unique(fold):
        held = fold == number
        means[held] = label_means(codes[~held], labels[~held], size, smoothing)[codes[held]]
    return means
