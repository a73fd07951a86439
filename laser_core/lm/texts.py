"""Samples as short texts for encoders: the same words for CTR-BERT, PTab and P5, each in its own order. Nothing here needs torch.

A text is an opening, which is always read whole, and earlier ratings, newest first: what does not fit is the oldest history, never the
target. A history holds only what the user rated before the sample's own rating, so no text tells its own label or anything later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.lm import backbones


@dataclass(frozen=True)
class Text:
    """What a model reads, in pieces that a space joins."""

    opening: str
    """never left out"""
    history: tuple[str, ...] = ()
    """earlier ratings, newest first; the last ones are left out where there is no room"""

    def __str__(self) -> str:
        """The whole text."""
        return " ".join((self.opening, *self.history))


class Reader:
    """Texts -> tokens. A piece is tokenised once: an item's line in a history comes again and again.

    Args:
        backbone: Whose tokenizer; it must be on this machine.
        max_tokens: A text is no longer than this, nor than the backbone's context.
    """

    def __init__(self, backbone: str, max_tokens: int) -> None:
        self.tokenizer = backbones.tokenizer(backbone)
        self.budget = min(max_tokens, backbones.context(backbone))
        around = self.tokenizer.encode("a")
        special = np.array(around.special_tokens_mask, dtype=bool)
        first, last = np.flatnonzero(~special)[[0, -1]]
        self.before, self.after = around.ids[:first], around.ids[last + 1 :]
        self._pieces: dict[str, list[int]] = {}

    def tokens(self, text: Text) -> np.ndarray:
        """(length,) token ids, with the tokenizer's own marks before and after.

        Raises:
            UserError: Even without any history the text is too long.
        """
        ids = [*self.before, *self._ids(text.opening)]
        room = self.budget - len(self.after)
        if len(ids) > room:
            raise UserError(
                f"a text needs {len(ids) + len(self.after)} tokens without any history, {self.budget} are allowed: raise max_tokens, "
                f"or take a backbone with a longer context ('{text.opening[:60]}...')"
            )
        for piece in text.history:
            own = self._ids(f" {piece}")
            if len(ids) + len(own) > room:
                break
            ids += own
        return np.array([*ids, *self.after], dtype=np.int64)

    def word(self, word: str) -> int:
        """The one token that a word is.

        Raises:
            UserError: It is several tokens.
        """
        ids = self._ids(word)
        if len(ids) != 1:
            raise UserError(f"the answer word '{word}' is {len(ids)} tokens for this backbone, it must be one")
        return ids[0]

    def _ids(self, piece: str) -> list[int]:
        if piece not in self._pieces:
            self._pieces[piece] = self.tokenizer.encode(piece, add_special_tokens=False).ids
        return self._pieces[piece]


def item_fields(dataset: CTRDataset, item: int) -> dict[str, str]:
    """What the data set knows of an item, title first, without its id; not the first genre where all genres stand beside it."""
    about = dataset.about
    own = {
        name: field for name, field in dataset.fields.items() if field.owner == "item" and name not in (about.item_field, about.title_field)
    }
    listed = {value for field in own.values() if field.offsets is not None for value in field.values(item)}
    words = {about.title_field: dataset.title(item), **{name: field.text(item) for name, field in own.items()}}
    return {name: text for name, text in words.items() if text and (name not in own or own[name].offsets is not None or text not in listed)}


def user_fields(dataset: CTRDataset, user: int) -> dict[str, str]:
    """What a prompt may tell of a user: the known fields of the profile."""
    return {name: text for name in dataset.about.profile_fields if (text := dataset.fields[name].text(user))}


def earlier_ratings(dataset: CTRDataset, row: int, history: int) -> tuple[str, tuple[str, ...]]:
    """How the history begins, and its lines, newest first: "liked" or "disliked" and a title.

    Words and not stars, because a small encoder reads them better: from MiniLM's untouched [CLS], a ridge regression on 400 training
    samples of MovieLens-small explains, on 200 others, 65 % of the variance of the liked share where the history is told in words, 15 %
    where in stars.

    Args:
        history: K, how many of the last ratings; 0 takes the data set's own.
    """
    events = dataset.history_events(row, history or None)[::-1]
    if len(events) == 0:
        return "nothing rated earlier", ()
    lines = (f"{'liked' if dataset.event_label[event] else 'disliked'} {dataset.title(dataset.event_item[event])};" for event in events)
    return "rated earlier, newest first:", tuple(lines)
