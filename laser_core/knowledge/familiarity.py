"""How well a language model knows an item: the mean log likelihood of its title's tokens after 'The movie "'.

What a model has read often it finds likely, and people write most of what is famous and liked: knowledge of the world, without a label and
without a text written. Of titles equally usual as words the famous one is more likely.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np

from laser_core.knowledge.encoder import padded, passes
from laser_core.knowledge.generate import open_decoder
from laser_core.knowledge.store import VectorStore
from laser_core.lm import backbones
from laser_core.progress import Progress, no_progress
from laser_core.settings import get_settings

_PASS, _ROUND = 16, 8
_READING = 1  # raised when the same title begins to give another number


def familiarity(name: str, titles: Sequence[str], noun: str, progress: Progress = no_progress) -> np.ndarray:
    """(titles,) float32 mean log likelihood of a token of each title, from the store if it is there, else computed now and kept.

    Args:
        name: A causal language model.
        noun: What the items are called, such as "movie".

    Raises:
        FaultError: A number is not in the store and the model's weights are not to be had.
    """
    before = f'The {noun} "'
    weights = backbones.identity(backbones.fetch(name, progress))
    about = {"backbone": name, "weights": weights, "number": f"mean log likelihood of a title's tokens after {before}"}
    key = hashlib.sha256(json.dumps([weights, before, _READING]).encode()).hexdigest()[:8]
    store = VectorStore(get_settings().home / "familiarity" / f"{backbones.get(name).label}-{key}", 1, about)
    store.add(
        titles,
        lambda missing: compute(name, missing, before),
        lambda done, total: progress(f"reading titles with {name}", done, total),
        lambda: progress(f"waiting for another process that reads titles with {name}", 0, 0),
    )
    return store.read(titles)[:, 0]


def compute(name: str, titles: Sequence[str], before: str) -> Iterator[tuple[list[str], np.ndarray]]:
    """Pass by pass: some of the titles, and their (titles, 1) numbers."""
    import torch

    model = open_decoder(name)
    encodings = backbones.tokenizer(name).encode_batch([before + title for title in titles])
    tokens = [encoding.ids for encoding in encodings]
    known = [sum(end <= len(before) for _, end in encoding.offsets) for encoding in encodings]  # tokens that are not the title's
    head = model.get_output_embeddings()
    with torch.inference_mode():
        for group, width in passes([len(ids) for ids in tokens], _PASS, _ROUND):
            ids, real = (part.to(model.device) for part in padded([tokens[number] for number in group], _PASS, width))
            states = model.base_model(input_ids=ids, attention_mask=real).last_hidden_state  # (pass, width, size)
            means = []
            for row, number in enumerate(group):
                last = len(tokens[number])
                own = slice(min(known[number], last - 1), last)  # each read from the state before it; without a title, its quotation mark
                logits = head(states[row, own.start - 1 : own.stop - 1]).float()  # (the title's tokens, vocabulary)
                means.append(-torch.nn.functional.cross_entropy(logits, ids[row, own]).item())
            yield [titles[number] for number in group], np.array(means, dtype=np.float32)[:, None]
