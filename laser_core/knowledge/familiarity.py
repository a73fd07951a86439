"""How well a language model knows an item: the mean log likelihood of its title's tokens after 'The movie "'.

What a model has read often it finds likely, and people write most of what is famous and liked: knowledge of the world, without a label and
without a text written. Of titles equally usual as words the famous one is more likely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from laser_core.knowledge.store import VectorStore, kept_at
from laser_core.lm import backbones
from laser_core.lm.likelihood import likelihoods
from laser_core.progress import Progress, no_progress

_READING = 2  # raised when the same title begins to give another number


def familiarity(name: str, titles: Sequence[str], noun: str, progress: Progress = no_progress) -> np.ndarray:
    """(titles,) float32 mean log likelihood of a token of each title, from the store if it is there, else computed now and kept.

    The model's weights are fetched first in any case: which store it is, their checksum tells.

    Args:
        name: A causal language model.
        noun: What the items are called, such as "movie".

    Raises:
        FaultError: The model's weights are not to be had, or memory does not suffice.
    """
    before = f'The {noun} "'
    weights, precision = backbones.identity(backbones.fetch(name, progress)), backbones.usual_precision()
    number = f"mean log likelihood of a title's tokens after {before}"
    about = {"backbone": name, "weights": weights, "precision": precision, "number": number}
    store = VectorStore(kept_at("familiarity", backbones.get(name).label, weights, precision, before, _READING), 1, about)
    store.add(
        titles,
        lambda missing: compute(name, missing, before),
        lambda done, total: progress(f"reading titles with {name}", done, total),
        lambda: progress(f"waiting for another process that reads titles with {name}", 0, 0),
    )
    return store.read(titles)[:, 0]


def compute(name: str, titles: Sequence[str], before: str) -> Iterator[tuple[list[str], np.ndarray]]:
    """Pass by pass: some of the titles, and their (titles, 1) numbers."""
    for group, means in likelihoods(name, [before] * len(titles), titles):
        yield [titles[number] for number in group], means[:, None]
