"""The encoder: a text as the mean of a language model's last hidden states, kept in a `VectorStore`.

Texts go through the model in passes of a fixed shape: `_PASS` texts of about the same length, padded to a multiple of `_ROUND` tokens; a
short pass is filled up with copies. So a vector does not depend on which other texts were asked for, nor on where a killed run went on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from laser_core.knowledge.store import VectorStore, kept_at
from laser_core.lm import backbones
from laser_core.lm.halving import halving, within_memory
from laser_core.progress import Progress, no_progress

if TYPE_CHECKING:
    import torch

MAX_TOKENS = 256  # of a text, unless told otherwise
_PASS, _ROUND = 16, 8
_READING = 2  # raised when the same text begins to give another vector


def encode(name: str, texts: Sequence[str], max_tokens: int = MAX_TOKENS, progress: Progress = no_progress) -> np.ndarray:
    """(texts, size) float32 vectors, from the store if they are there, else computed now and kept.

    The backbone's weights are fetched first in any case: which store it is, their checksum tells.

    Args:
        name: A backbone of any kind.
        max_tokens: A longer text is cut at its end, and so is one longer than the backbone's context.

    Raises:
        FaultError: The backbone's weights are not to be had, or memory does not suffice.
    """
    store = _store(name, backbones.fetch(name, progress), max_tokens)
    store.add(
        texts,
        lambda missing: compute(name, missing, max_tokens),
        lambda done, total: progress(f"encoding texts with {name}", done, total),
        lambda: progress(f"waiting for another process that encodes with {name}", 0, 0),
    )
    return store.read(texts)


def is_stored(name: str, texts: Sequence[str]) -> bool:
    """Whether `encode` would only have to read."""
    folder = backbones.ready(name)
    return folder is not None and _store(name, folder, MAX_TOKENS).holds(texts)


def compute(name: str, texts: Sequence[str], max_tokens: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Pass by pass: some of the texts, and their (texts, size) mean last hidden states."""
    model = _open(name)
    most = min(max_tokens, backbones.context(name) // _ROUND * _ROUND)  # what is padded must fit too
    tokens = [encoding.ids[:most] for encoding in backbones.tokenizer(name).encode_batch(list(texts))]
    size = _PASS
    for group, width in passes([len(ids) for ids in tokens], _PASS, _ROUND):
        ids, real = padded([tokens[number] for number in group], _PASS, width)
        with within_memory("take a smaller backbone, or set a smaller max_tokens"):
            means, size = halving(partial(_means, model, ids.to(model.device), real.to(model.device)), size, _PASS)
        yield [texts[number] for number in group], means[: len(group)]


def _means(model: torch.nn.Module, ids: torch.Tensor, real: torch.Tensor, most: int) -> np.ndarray:
    """(texts, size) mean last hidden states of (texts, width) token ids, `most` texts at once."""
    import torch

    means = []
    with torch.inference_mode():
        for own, mask in zip(ids.split(most), real.split(most), strict=True):
            states = model(input_ids=own, attention_mask=mask).last_hidden_state  # (most, width, size)
            weight = mask.float()[..., None]
            means.append((states.float() * weight).sum(1) / weight.sum(1).clamp(min=1))
    return torch.cat(means).cpu().numpy()


def passes(lengths: Sequence[int], size: int, step: int) -> Iterator[tuple[list[int], int]]:
    """Group texts of like length, short ones first: the numbers of at most `size` texts, and their length as a multiple of `step`."""
    rounded = np.maximum(1, -(-np.asarray(lengths, dtype=np.int64) // step)) * step
    for width in np.unique(rounded):
        numbers = np.flatnonzero(rounded == width).tolist()
        for first in range(0, len(numbers), size):
            yield numbers[first : first + size], int(width)


def padded(tokens: Sequence[Sequence[int]], size: int, width: int, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """(size, width) token ids and (size, width) 1 where they are real, places beyond the given texts being copies of the first."""
    import torch

    ids, real = torch.zeros(size, width, dtype=torch.long), torch.zeros(size, width, dtype=torch.long)
    for row in range(size):
        own = tokens[row if row < len(tokens) else 0]
        place = slice(width - len(own), width) if left else slice(0, len(own))
        ids[row, place], real[row, place] = torch.tensor(own, dtype=torch.long), 1
    return ids, real


@lru_cache(maxsize=1)
def _open(name: str) -> torch.nn.Module:
    import torch

    from laser_core.device import torch_device

    return backbones.load_body(name, getattr(torch, backbones.vector_precision()), torch_device())


def _store(name: str, folder: Path, max_tokens: int) -> VectorStore:
    weights, precision = backbones.identity(folder), backbones.vector_precision()
    about = {
        "backbone": name, "weights": weights, "precision": precision, "vector": "mean of the last hidden states", "max_tokens": max_tokens
    }  # fmt: skip
    place = kept_at("vectors", backbones.get(name).label, weights, precision, max_tokens, _READING)
    return VectorStore(place, _hidden_size(folder), about)


def _hidden_size(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    return next(config[name] for name in ("hidden_size", "d_model", "n_embd", "dim") if name in config)
