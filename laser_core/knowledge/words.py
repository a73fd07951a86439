"""Vectors of texts without a language model: words counted, and texts with like words put near each other.

Latent semantic analysis (S. Deerwester et al., 1990, "Indexing by latent semantic analysis"): the words of every item's text, rare ones
counting more (TF-IDF), on the first singular vectors of that table. It reads the very texts that a language model reads and knows nothing
else, so a gain that it brings as well is one of the words, not of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

SIZE = 256
"""numbers a vector has, or as many as there are words"""


class Words:
    """The words of some texts, and what any text is by them.

    Args:
        texts: Those that say which words there are, how rare each is, and which go together; no labels.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True)
        table = self._count.fit_transform(texts)
        self._axes = TruncatedSVD(min(SIZE, table.shape[1]), n_iter=7, random_state=0).fit(table)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, size) float32; a text without a known word is all zeros."""
        return self._axes.transform(self._count.transform(texts)).astype(np.float32)


@lru_cache(maxsize=2)
def words_of(texts: tuple[str, ...]) -> Words:
    """`Words`, made once for the same texts."""
    return Words(texts)
