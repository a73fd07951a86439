"""The data card: what one should know of a data set before believing a number measured on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from laser_core.datasets.dataset import SPLITS, CTRDataset

_QUANTILES = {"least": 0.0, "10 %": 0.1, "25 %": 0.25, "half": 0.5, "75 %": 0.75, "90 %": 0.9, "most": 1.0}


def card(dataset: CTRDataset) -> dict[str, Any]:
    """Counts, sparsity, label balance, history lengths, newcomers of each split, licence and traps, ready for JSON."""
    about = dataset.about
    samples = np.arange(dataset.samples)
    lengths = dataset.sample_event - dataset.history_start(samples, 0)
    pairs = np.unique(dataset.event_user.astype(np.int64) * (dataset.items + 1) + dataset.event_item)  # an item rated again counts once
    ratings = np.bincount(dataset.event_rating, minlength=len(dataset.rating_values))[1:]
    return {
        "name": dataset.name,
        "title": about.title,
        "version": dataset.version,
        "users": dataset.users,
        "items": dataset.items,
        "ratings": dataset.events,
        "samples": dataset.samples,
        "sparsity": 1 - len(pairs) / (dataset.users * dataset.items),
        "label_rule": about.label_rule,
        "rating_share": {
            f"{value:g}": float(share) for value, share in zip(dataset.rating_values[1:], ratings / dataset.events, strict=True)
        },
        "splits": {part: _split(dataset, getattr(dataset, part)) for part in SPLITS},
        "history_read": about.history_length,
        "history_lengths": {
            name: int(value) for name, value in zip(_QUANTILES, np.quantile(lengths, list(_QUANTILES.values())), strict=True)
        },
        "fields": {
            field.name: {"of": field.owner, "values": len(field.vocabulary), "several": field.offsets is not None}
            for field in dataset.fields.values()
        },
        "facts": dict(about.facts),
        "licence": about.licence,
        "redistributable": about.redistributable,
        "citation": about.citation,
        "traps": list(about.traps),
    }


def _split(dataset: CTRDataset, rows: np.ndarray) -> dict[str, int | float]:
    """One split: its size, its positives, and what share of its samples has a user or a target without any training sample."""
    return {
        "samples": len(rows),
        "positive_share": float(dataset.labels(rows).mean()),
        "users": len(np.unique(dataset.sample_user(rows))),
        "new_user_share": float(np.isin(dataset.sample_user(rows), dataset.sample_user(dataset.train), invert=True).mean()),
        "new_item_share": float(np.isin(dataset.sample_item(rows), dataset.sample_item(dataset.train), invert=True).mean()),
    }
