"""Vectors of items from what the data set says of them, without a text and without a language model.

A field of words (genres, author) is one number a word, a field of numbers (year) is smooth: neighbouring years have like vectors, which
counted words do not know. So what this brings as well is in the fields, not in a model that reads them.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, hstack
from sklearn.decomposition import TruncatedSVD

from laser_core.crm.statistics import kindred_fields
from laser_core.datasets.dataset import CTRDataset, Field
from laser_core.knowledge.words import SIZE

_BUMPS = 20  # places between a field's 1st and 99th percentile; a number is how near it is to each
_WIDTH = 1.2  # of a bump, in distances between two


def field_vectors(dataset: CTRDataset) -> np.ndarray:
    """(items + 1, size) float32: all item fields but id and title, each as long as any other; a wide table on its first singular
    vectors."""
    fields = [dataset.field(name) for name in kindred_fields(dataset)]
    table = csr_array(hstack([_unit(_numbers(field) if _is_number(field) else _words(field)) for field in fields]))
    if table.shape[1] <= SIZE:
        return table.toarray().astype(np.float32)
    return TruncatedSVD(SIZE, n_iter=7, random_state=0).fit_transform(table).astype(np.float32)


def _is_number(field: Field) -> bool:
    """Whether nearly every word of the field is a whole number, as years are."""
    return field.offsets is None and np.mean([word.isdecimal() for word in field.vocabulary]) > 0.9


def _numbers(field: Field) -> csr_array:
    """(items + 1, bumps) how near each item's number is to the places of the scale; zeros where it has none."""
    value = np.array([np.nan, *(float(word) if word.isdecimal() else np.nan for word in field.vocabulary)])[field.codes]
    low, high = np.nanquantile(value, [0.01, 0.99])
    places = np.linspace(low, max(high, low + 1), _BUMPS)
    near = np.exp(-0.5 * ((np.clip(value, low, high)[:, None] - places) / (_WIDTH * (places[1] - places[0]))) ** 2)
    return csr_array(np.nan_to_num(near))


def _words(field: Field) -> csr_array:
    """(items + 1, words) 1 where an item has the word."""
    if field.offsets is None:
        item = np.flatnonzero(field.codes)
        word = field.codes[item]
    else:
        item, word = np.repeat(np.arange(len(field.offsets) - 1), np.diff(field.offsets)), field.codes
    return csr_array((np.ones(len(item)), (item, word)), shape=(_items(field), field.size))


def _items(field: Field) -> int:
    return len(field.codes) if field.offsets is None else len(field.offsets) - 1


def _unit(table: csr_array) -> csr_array:
    """Rows of unit length; a row without a value stays empty."""
    length = np.sqrt(table.multiply(table).sum(axis=1))
    return csr_array(table.multiply(1 / np.maximum(length, 1e-9)[:, None]))
