"""Checks of the exercises: each says right, or what to look at again. They know the answer by another way than the solution's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from laser_core.datasets.dataset import CTRDataset


def _say(exercise: int, begun: bool, right: Callable[[], bool], hint: str) -> None:
    """Print the verdict."""
    verdict = "not begun" if not begun else "right" if right() else "not yet"
    print(f"Exercise {exercise}: {verdict}." + ("" if verdict == "right" else f" Hint: {hint}"))


# ---- 00_welcome ----------------------------------------------------------------------------------------------------------------


def history_sees_no_future(answer: Any, dataset: CTRDataset, row: int) -> None:
    """Exercise 1: the titles of a sample's history, oldest first."""
    event = dataset.sample_event[row]
    user = dataset.event_user[event]
    earlier = [place for place in range(event) if dataset.event_user[place] == user][-dataset.about.history_length :]
    titles = [dataset.title(dataset.event_item[place]) for place in earlier]
    _say(
        1,
        answer is not ...,
        lambda: list(answer) == titles,
        "`dataset.history_events(row)` gives event numbers; `event_item` has their items.",
    )


def auc_by_hand(function: Callable) -> None:
    """Exercise 2: AUC as the share of pairs in the right order, ties counted half."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    scores = np.round(generator.random(60), 1)  # one decimal: ties occur
    answer = function(labels, scores)
    _say(
        2,
        answer is not None,
        lambda: np.isclose(answer, roc_auc_score(labels, scores)),
        "compare every positive score with every negative one; a pair with equal scores counts one half.",
    )


def labels_needed(answer: Any, curve: dict[int, float], reference: float) -> None:
    """Exercise 3: the smallest N whose AUC reaches a reference."""
    reached = [n for n, value in sorted(curve.items()) if value >= reference]
    _say(
        3,
        answer is not ...,
        lambda: answer == (reached[0] if reached else None),
        "go through N from the smallest; `None` if none reaches it.",
    )
