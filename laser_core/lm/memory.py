"""Does a language model know a data set by heart? (after D. Di Palma et al., 2025, "Do LLMs memorize recommendation datasets?")

A model that has read the raw files in its training could answer test samples from memory. So it is asked how likely the end of a line is
after the line's own beginning, and after another line's. The end is the same, so how usual it is cancels: who does not know which belongs
to which prefers the own beginning in half of the pairs. Some lines of the file stand before, so that its form is known.

    title      1::Toy Story (1995)              the title after its item's number, or after the next item's number
    rating     1::1193::5::978300760            rating and time after (user, item), or after another item of the same user
    knowledge  Toy Story (1995): Animation      the genres after the title (books: the author), or after another title: no memory of the
                                                data set, but what any model that knows the items knows, and so the measure of the two above

A book's number (ISBN) is printed on it, so its title is knowledge of the world as well. Titles of MovieLens-small that begin with an
article are left out: the file has the article at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import DataError
from laser_core.lm.likelihood import likelihoods
from laser_core.progress import Progress, no_progress

SHOWN = 8
"""lines before the one in question, of other items (rating: of other users)"""
_SEPARATORS = {"ml-1m": "::", "bookcrossing": '";"', "bookcrossing-explicit": '";"'}


@dataclass(frozen=True)
class Pair:
    """The end of a line, and the two beginnings it is read after."""

    own: str
    other: str
    end: str


@dataclass(frozen=True)
class Found:
    """What the pairs of one question say."""

    share: float
    """of pairs whose end is likelier after its own beginning; .5 is no memory"""
    low: float
    """of the share's 95 % interval (Wilson)"""
    high: float
    nats: float
    """mean log likelihood of a token of the end after its own beginning, minus that after the other"""
    pairs: int


def by_heart(dataset: CTRDataset, backbone: str, question: str, count: int = 200, progress: Progress = no_progress) -> Found:
    """Ask one question about so many lines, no two of the same item (rating: of the same user).

    Args:
        backbone: A causal language model.
        question: A key of `QUESTIONS`.
        count: Pairs, or as many as the data set has.

    Raises:
        DataError: The data set has too few users or items for a single pair.
        FaultError: The model's weights are not to be had.
    """
    from scipy.stats import binomtest

    pairs = list(islice(QUESTIONS[question](dataset, np.random.default_rng(0)), SHOWN + count))
    shown, pairs = pairs[:SHOWN], pairs[SHOWN:]
    if not pairs:
        raise DataError(f"{dataset.name} is too small to ask for a {question} by heart: take another question")
    beginnings = [pair.own for pair in pairs] + [pair.other for pair in pairs]
    values, done = np.zeros(len(beginnings)), 0
    lines = "".join(f"{pair.own}{pair.end}\n" for pair in shown)
    for group, means in likelihoods(backbone, beginnings, 2 * [pair.end for pair in pairs], lines):
        values[group] = means
        done += len(group)
        progress(f"{question} of {dataset.name}", done, len(beginnings))
    difference = values[: len(pairs)] - values[len(pairs) :]
    wins = int((difference > 0).sum())
    interval = binomtest(wins, len(pairs)).proportion_ci(method="wilson")
    return Found(wins / len(pairs), interval.low, interval.high, float(difference.mean()), len(pairs))


def titles(dataset: CTRDataset, generator: np.random.Generator) -> Iterator[Pair]:
    """Is a title likelier after its own item's number than after the next item's? (Far numbers would tell films' ages.)"""
    numbers = dataset.field(dataset.about.item_field)
    items = sorted(_items(dataset), key=lambda item: (len(numbers.text(item)), numbers.text(item)))
    for place in generator.permutation(len(items) - 1):
        own, other = (_begun(dataset, numbers.text(item)) for item in items[place : place + 2])
        yield Pair(own, other, _ended(dataset, dataset.title(items[place])))


def ratings(dataset: CTRDataset, generator: np.random.Generator) -> Iterator[Pair]:
    """Are rating and time likelier after their own (user, item) than after another item of that user?"""
    users, items = (dataset.field(name) for name in (dataset.about.user_field, dataset.about.item_field))
    for user in (generator.permutation(len(dataset.user_offsets) - 2) + 1).tolist():
        first, last = dataset.user_offsets[user : user + 2]
        if last - first < 2:
            continue
        one, other = generator.choice(np.arange(first, last), 2, replace=False).tolist()
        stars, times = dataset.rating_values[dataset.event_rating[one]], dataset.event_time[one : one + 1]
        rating = f"{stars:.1f}" if dataset.name == "movielens-small" else f"{stars:g}"
        own, swapped = (_begun(dataset, users.text(user), items.text(int(dataset.event_item[event]))) for event in (one, other))
        yield Pair(own, swapped, _ended(dataset, rating, *map(str, times)))


def knowledge(dataset: CTRDataset, generator: np.random.Generator) -> Iterator[Pair]:
    """Are a film's genres (a book's author) likelier after its own title than after another's? Whatever knows the items knows that."""
    kind, items = dataset.field(dataset.about.group_field), _items(dataset)
    for one, other in zip(generator.permutation(items).tolist(), generator.permutation(items).tolist(), strict=True):
        if kind.text(one) not in ("", kind.text(other)):
            yield Pair(f"{dataset.title(one)}:", f"{dataset.title(other)}:", f" {kind.text(one)}")


QUESTIONS: dict[str, Callable[[CTRDataset, np.random.Generator], Iterator[Pair]]] = {
    "title": titles,
    "rating": ratings,
    "knowledge": knowledge,
}


def _items(dataset: CTRDataset) -> list[int]:
    """The most rated quarter of the items, what a model may have met at all, without titles that stand otherwise in the raw file."""
    items = np.argsort(-dataset.item_popularity[1:], kind="stable")[: -(-len(dataset.item_popularity) // 4)] + 1
    changed = ("The ", "A ", "An ", "untitled movie") if dataset.name == "movielens-small" else ()
    return [item for item in items.tolist() if not dataset.title(item).startswith(changed)]


def _begun(dataset: CTRDataset, *values: str) -> str:
    """The beginning of a line of the raw file, up to the next value."""
    separator = _SEPARATORS.get(dataset.name, ",")
    return '"' * separator.startswith('"') + separator.join([*values, ""])


def _ended(dataset: CTRDataset, *values: str) -> str:
    """The end of such a line."""
    separator = _SEPARATORS.get(dataset.name, ",")
    return separator.join(values) + '"' * separator.startswith('"')
