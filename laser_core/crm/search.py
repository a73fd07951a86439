"""SIM's search unit: which events of a user's whole history are most like the target. Needs no torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from laser_core.datasets.dataset import CTRDataset


def search(dataset: CTRDataset, rows: np.ndarray, vectors: scipy.sparse.csr_array, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The events of each sample's whole history whose items are most similar to the target; of equally similar ones the later.

    Args:
        vectors: (items + 1, words) by item code; similarity is the inner product.
        most: K.

    Returns:
        The events found, all samples' one after another and each sample's in history order; and (rows,) how many each has.
    """
    user, target = dataset.sample_user(rows), dataset.sample_event[rows]
    length = np.minimum(target - dataset.user_offsets[user], most)
    found = np.empty((len(rows), most), dtype=np.int64)  # real events first
    order = np.argsort(user, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(user[order])) + 1) if len(rows) else []:  # one user's samples at a time
        first, last = dataset.user_offsets[user[mine[0]]], target[mine].max()
        events = np.arange(first, last)
        items = dataset.event_item[events]
        alike = (vectors[dataset.event_item[target[mine]]] @ vectors[items].T).toarray()  # (samples, events)
        key = np.where(events < target[mine][:, None], alike + 1e-9 * np.arange(1, len(events) + 1), -1.0)
        if len(events) > most:
            best = np.argpartition(key, len(events) - most, axis=1)[:, len(events) - most :]
            best = np.where(np.take_along_axis(key, best, axis=1) >= 0, best, len(events))
            found[mine] = first + np.sort(best, axis=1)
        else:
            found[mine, : len(events)] = events
    return found[np.arange(most) < length[:, None]].astype(np.int32), length


@lru_cache(maxsize=1)
def _by_version(version: str) -> dict[str, scipy.sparse.csr_array]:
    """A place to keep the item vectors of the data set last used."""
    return {}


def group_vectors(dataset: CTRDataset) -> scipy.sparse.csr_array:
    """(items + 1, group values) unit vectors of the values of the group field."""
    field = dataset.field(dataset.about.group_field)
    offsets = np.arange(len(field.codes) + 1) if field.offsets is None else field.offsets
    ones = np.where(field.codes > 0, np.float32(1), np.float32(0))
    return normalize(scipy.sparse.csr_array((ones, field.codes, offsets), shape=(dataset.items + 1, field.size)))


def text_vectors(dataset: CTRDataset) -> scipy.sparse.csr_array:
    """(items + 1, words) unit TF-IDF vectors of title and group words."""
    kept = _by_version(dataset.version)
    if "text" not in kept:
        group = dataset.field(dataset.about.group_field)
        texts = ["", *(f"{dataset.title(item)} {group.text(item)}" for item in range(1, dataset.items + 1))]
        kept["text"] = scipy.sparse.csr_array(TfidfVectorizer(dtype=np.float32, sublinear_tf=True).fit_transform(texts))
    return kept["text"]
