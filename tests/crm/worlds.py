"""Small made-up data sets whose right answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from laser_core.datasets.build import assemble
from laser_core.datasets.dataset import About, CTRDataset

ABOUT = About(
    name="made-up",
    title="Made up",
    item_noun="thing",
    user_field="user",
    item_field="thing",
    title_field="title",
    group_field="kind",
    profile_fields=("town",),
    input_fields=("user", "town", "thing", "kind"),
    history_length=8,
    label_rule="rating >= 4",
    licence="none",
    citation="none",
    redistributable=True,
)


def made_up(users: int = 60, items: int = 40, events: int = 30, kinds: int = 4, noise: float = 0.1, seed: int = 0) -> CTRDataset:
    """Every user likes one kind of thing, rates it more often, and dislikes the others, but for some noise.

    Only the history tells what a user likes, since each user is in one split only. The first event is a sample too: it has no history.
    """
    generator = np.random.default_rng(seed)
    kind = np.arange(items) % kinds
    taste = np.arange(users) % kinds
    user = np.repeat(np.arange(users), events)
    weight = np.where(kind == taste[:, None], 3.0, 1.0)  # (users, items)
    item = np.concatenate([generator.choice(items, events, replace=False, p=row / row.sum()) for row in weight])
    liked = (kind[item] == taste[user]) ^ (generator.random(len(user)) < noise)
    ratings = pd.DataFrame({"user": user, "item": item, "rating": np.where(liked, 5, 2), "label": liked, "time": np.arange(len(user))})
    part = generator.permutation(np.repeat(["train", "valid", "test"], [users - 2 * (users // 4), users // 4, users // 4]))
    return assemble(
        ABOUT,
        ratings,
        pd.DataFrame({"town": generator.choice(["here", "there"], users)}, index=range(users)),
        pd.DataFrame({"title": [f"thing {number} of kind {k}" for number, k in enumerate(kind)], "kind": [f"kind {k}" for k in kind]}),
        [1, 2, 3, 4, 5],
        np.ones(len(user), bool),
        part[user],
    )
