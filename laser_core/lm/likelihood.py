"""How likely a language model finds the end of a text, given its beginning."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from laser_core.knowledge.encoder import padded, passes
from laser_core.knowledge.generate import open_decoder
from laser_core.lm import backbones
from laser_core.lm.halving import halving, within_memory

if TYPE_CHECKING:
    import torch
    from transformers import Cache

_PASS, _ROUND = 16, 8


def likelihoods(name: str, before: Sequence[str], after: Sequence[str], shared: str = "") -> Iterator[tuple[list[int], np.ndarray]]:
    """Pass by pass: the numbers of some of the texts, and the mean log likelihood of a token of each one's end, (texts,) float32 in nats.

    A token on both sides of the border belongs to the end.

    Args:
        name: A causal language model.
        before: (texts,) beginnings; not empty.
        after: (texts,) ends.
        shared: What stands before each of them; it is read once.

    Raises:
        FaultError: The model's weights are not to be had, or memory does not suffice.
    """
    import torch

    from laser_core.lm.scoring import finished

    model, tokenizer = open_decoder(name), backbones.tokenizer(name)
    encodings = tokenizer.encode_batch([first + last for first, last in zip(before, after, strict=True)], add_special_tokens=not shared)
    tokens = [encoding.ids for encoding in encodings]
    known = [sum(end <= len(first) for _, end in encoding.offsets) for encoding, first in zip(encodings, before, strict=True)]
    head = model.get_output_embeddings()
    with torch.inference_mode():
        kept = _read(model, tokenizer.encode(shared).ids) if shared else None
        size = _PASS
        for group, width in passes([len(ids) for ids in tokens], _PASS, _ROUND):
            ids, real = (part.to(model.device) for part in padded([tokens[number] for number in group], _PASS, width))
            with within_memory("take a smaller backbone"):
                states, size = halving(partial(_states, model, ids, real, kept), size, _PASS)  # (pass, width, size)
            means = []
            for row, number in enumerate(group):
                last = len(tokens[number])
                own = slice(min(known[number], last - 1), last)  # each read from the state before it; of an empty end, the beginning's last
                logits = finished(head(states[row, own.start - 1 : own.stop - 1]).float(), model)  # (the end's tokens, vocabulary)
                means.append(-torch.nn.functional.cross_entropy(logits, ids[row, own]).item())
            yield group, np.array(means, dtype=np.float32)


def _read(model: torch.nn.Module, tokens: Sequence[int]) -> Cache:
    """Keys and values of a beginning."""
    import torch

    return model.base_model(input_ids=torch.tensor([tokens], device=model.device), use_cache=True).past_key_values


def _states(model: torch.nn.Module, ids: torch.Tensor, real: torch.Tensor, kept: Cache | None, most: int) -> torch.Tensor:
    """(pass, width, size) last hidden states, after what was read before (padding comes last, so that nothing real sees it).

    Args:
        most: Texts at once.
    """
    import torch

    states = []
    for own, mask in zip(ids.split(most), real.split(most), strict=True):
        if kept is None:
            states.append(model.base_model(input_ids=own, attention_mask=mask).last_hidden_state)
            continue
        past = copy.deepcopy(kept)  # it grows while it is used
        past.batch_repeat_interleave(len(own))
        place = torch.arange(own.shape[1], device=own.device).expand(len(own), -1) + kept.get_seq_length()
        states.append(model.base_model(input_ids=own, position_ids=place, past_key_values=past, use_cache=True).last_hidden_state)
    return torch.cat(states)
