"""Search-based Interest Model (Q. Pi et al., 2020, "Search-based User Interest Modeling with Lifelong Sequential Behavior Data for
Click-Through Rate Prediction", CIKM, arXiv 2006.05639).

    search:     the K events of the user's WHOLE history most similar to the target, kept in history order
                hard: values of the group field (genres, author) in common;  soft: cosine of the items' texts
    attention:  DIN over the events found

The paper's hard search keeps events of the target's own category only. This one fills up to K with others: how much they count is left
to the attention, and a target whose category the user never met still has a history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from laser_core.crm.din import DIN, DINOptions
from laser_core.crm.inputs import Inputs, Samples
from laser_core.crm.search import group_vectors, search, text_vectors
from laser_core.datasets.dataset import CTRDataset


@dataclass(frozen=True)
class SIMOptions(DINOptions):
    """SIM's settings; `history` is K, how many events the search keeps."""

    search: Literal["hard", "soft"] = "hard"
    """how earlier events like the target are found: hard, of its genre or author; soft, of like words"""


class SIM(DIN):
    """SIM as a recommender."""

    Options = SIMOptions

    def fit_inputs(self, dataset: CTRDataset, rows: np.ndarray) -> Inputs:
        """Which values get an embedding: every item of the whole histories, where the search looks."""
        options = self.options
        return Inputs.fit(dataset, rows, -1, options.user_id, options.statistics, options.skip_fields, options.collaborative)

    def encode(self, dataset: CTRDataset, rows: np.ndarray) -> Samples:
        """The samples with the histories that the search finds."""
        vectors = group_vectors(dataset) if self.options.search == "hard" else text_vectors(dataset)
        most = self.options.history or dataset.about.history_length
        return self.inputs_.encode(dataset, rows, picked=search(dataset, rows, vectors, most))
