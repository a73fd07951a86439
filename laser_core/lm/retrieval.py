"""Retrieval: the K earlier ratings whose items are most like the target, out of the user's whole history.

The semantic user behaviour retrieval (SUBR) of ReLLa (J. Lin et al., 2024, WWW, arXiv 2308.11131, section 3.2):

    z_i = PCA(mean over the tokens of item i's text of a language model's last hidden states)
    shown = the K events h before the target t with the largest cos(z_h, z_t), in history order; of equally similar ones the later

The axes are those of the catalogue's texts (evenly spread items, so that they do not hang on which samples are asked for); no rating and no
label has a part in them. Texts are encoded when a history first needs them and kept in the vector store.

`opinions` says in two numbers what the user thought of the items nearest to any target, without showing them.
"""

from __future__ import annotations

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.knowledge.encoder import encode, is_stored
from laser_core.knowledge.nearby import items_read, nearby
from laser_core.knowledge.vectors import Space
from laser_core.knowledge.writer import item_texts
from laser_core.progress import Progress, no_progress

AXES_FROM = 4096  # items, at most, whose texts decide the principal axes


class Retrieval:
    """Which ratings a prompt shows instead of the last ones; what the user thought of the nearest.

    Args:
        dataset: Whose items are compared.
        encoder: The language model whose hidden states are the items' vectors.
        components: Principal axes kept.
    """

    def __init__(self, dataset: CTRDataset, encoder: str, components: int, progress: Progress = no_progress) -> None:
        self.dataset, self.encoder, self.progress = dataset, encoder, progress
        self._space = Space.fit(self._raw(_catalogue(dataset)), components)
        self._known = np.zeros(dataset.items + 1, dtype=bool)
        self._vectors = np.zeros((dataset.items + 1, self._space.axes.shape[1]), dtype=np.float32)  # (items + 1, components), unit length

    def prepare(self, targets: np.ndarray) -> None:
        """Get the vectors of these events' items and of all that their users rated before at once, not target by target."""
        items = items_read(self.dataset, targets, targets)
        missing = items[~self._known[items]]
        if len(missing):
            self._vectors[missing] = self._space(self._raw(missing))
            self._known[missing] = True

    def events(self, row: int, most: int) -> np.ndarray:
        """(at most `most`,) the events of a sample's whole history most similar to its target, in history order."""
        events = self.dataset.history_events(row, 0)
        if len(events) <= most:
            return events
        self.prepare(self.dataset.sample_event[[row]])
        target = self._vectors[self.dataset.sample_item(np.array([row]))[0]]
        cosine = self._vectors[self.dataset.event_item[events]] @ target  # (events,)
        order = np.lexsort((-events, -np.round(cosine, 6)))  # equal texts are equally similar, whatever rounding made of them
        return np.sort(events[order[:most]])

    def opinions(self, events: np.ndarray, width: float) -> np.ndarray:
        """(events, 2) float32: what `nearby` says of these events, samples or not, from all that their users rated before."""
        self.prepare(events)
        return nearby(self.dataset, events, events, self._vectors, np.arange(self.dataset.items + 1), width)

    def _raw(self, items: np.ndarray) -> np.ndarray:
        """(items, size) as the encoder gives them."""
        return encode(self.encoder, item_texts(self.dataset, items.tolist(), "metadata"), progress=self.progress)


def is_ready(dataset: CTRDataset, encoder: str, row: int) -> bool:
    """Whether the vectors that retrieval needs for a sample are stored, so that it takes no time."""
    events = dataset.history_events(row, 0)
    items = {*_catalogue(dataset).tolist(), *dataset.event_item[events].tolist(), int(dataset.sample_item(np.array([row]))[0])}
    return is_stored(encoder, item_texts(dataset, sorted(items), "metadata"))


def _catalogue(dataset: CTRDataset) -> np.ndarray:
    """Evenly spread items."""
    return np.unique(np.linspace(1, dataset.items, min(dataset.items, AXES_FROM)).astype(int))
