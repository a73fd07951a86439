"""The writer: items and users as texts, from templates that are plain files in `templates/`.

An item's text says what the data set knows of it. A user's text is a snapshot: it is written anew after every so many events, and a sample
reads the last one that was complete before its own event, so no text holds the sample's label or anything later.

Templates with a [prompt] part let a language model write (`generate.py`); the others need no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.lm.prompts import read_parts

_FOLDER = Path(__file__).with_name("templates")
_TITLES = 15  # liked and disliked titles that a user's text names, each

Write = Callable[[Sequence[str]], list[str]]
"""Prompts -> what a language model writes after each."""


def snapshot_end(dataset: CTRDataset, rows: np.ndarray, every: int) -> np.ndarray:
    """(rows,) where the snapshot that each sample reads ends: it holds the user's events before this one.

    It is the largest multiple of `every` events that lies wholly before the sample's own event; 0 events for the first samples of a user.
    """
    event = dataset.sample_event[rows]
    first = dataset.user_offsets[dataset.event_user[event]]
    return first + (event - first) // every * every


def item_texts(dataset: CTRDataset, items: Sequence[int], template: str, write: Write | None = None) -> list[str]:
    """(items,) texts by one of the templates `item-...`."""
    parts = _template(f"item-{template}")
    values = [{"noun": dataset.about.item_noun, "title": dataset.title(item), "facts": _facts(dataset, item, parts)} for item in items]
    return _fill(parts, values, write)


def user_texts(dataset: CTRDataset, users: Sequence[int], ends: Sequence[int], template: str, write: Write | None = None) -> list[str]:
    """(snapshots,) texts by one of the templates `user-...`, of each user's events before `ends`."""
    parts = _template(f"user-{template}")
    return _fill(parts, [_snapshot(dataset, int(user), int(end), parts) for user, end in zip(users, ends, strict=True)], write)


def _fill(parts: dict[str, str], values: list[dict[str, object]], write: Write | None) -> list[str]:
    """The texts; what a language model has to add is asked for in one go."""
    names = ["no-history" if value.get("count") == 0 else "text" for value in values]
    if "prompt" in parts:
        asked = [value for value, name in zip(values, names, strict=True) if name == "text"]
        for value, written in zip(asked, write([parts["prompt"].format_map(value) for value in asked]), strict=True):
            value["written"] = written
    return [parts[name].format_map(value) for name, value in zip(names, values, strict=True)]


def _facts(dataset: CTRDataset, item: int, parts: dict[str, str]) -> str:
    """Every field of an item but its title and its id, in words."""
    about = dataset.about
    names = [name for name, field in dataset.fields.items() if field.owner == "item" and name not in (about.item_field, about.title_field)]
    known = {name: dataset.fields[name].text(item) for name in names}
    fact = parts.get("fact", "")
    return " ".join(fact.format(name=name.capitalize(), values=values) for name, values in known.items() if values)


def _snapshot(dataset: CTRDataset, user: int, end: int, parts: dict[str, str]) -> dict[str, object]:
    """What the templates can say of a user's events before `end`."""
    about = dataset.about
    profile = ", ".join(f"{name} {text}" for name in about.profile_fields if (text := dataset.fields[name].text(user)))
    events = np.arange(dataset.user_offsets[user], end)
    liked = dataset.event_label[events] == 1

    def titles(of: np.ndarray) -> str:
        return "; ".join(dataset.title(dataset.event_item[event]) for event in of[::-1][:_TITLES]) or "none"

    return {
        "noun": about.item_noun,
        "profile": parts["profile"].format(profile=profile) if profile else "",
        "count": len(events),
        "liked": int(liked.sum()),
        "groups": _favourites(dataset, events, liked) or "nothing in particular",
        "liked_titles": titles(events[liked]),
        "disliked_titles": titles(events[~liked]),
    }


def _favourites(dataset: CTRDataset, events: np.ndarray, liked: np.ndarray) -> str:
    """The group values (genres, authors) that the user likes most: by liked minus disliked events, at most three."""
    field = dataset.fields[dataset.about.group_field]
    score: dict[str, int] = {}
    for event, like in zip(events, liked, strict=True):
        for value in dict.fromkeys(field.values(int(dataset.event_item[event]))):
            score[value] = score.get(value, 0) + (1 if like else -1)
    return ", ".join(value for value in sorted(score, key=lambda value: (-score[value], value))[:3] if score[value] > 0)


@lru_cache
def _template(name: str) -> dict[str, str]:
    return read_parts(_FOLDER / f"{name}.txt")
