"""Yes/no scoring: P(yes) = exp(s_yes) / (exp(s_yes) + exp(s_no)) at the place where the answer belongs.

Only the two answer rows of the output layer are multiplied, in fp32. Texts are padded on the right and read by a causal model, so no real
token ever sees a padded one and no mask is needed. Every pass has a fixed shape, and a text's numbers depend on the shape and nothing else:
on a CPU one text at its own length, on a GPU always `pass_size` texts at a length rounded up, filled up with copies if need be. So neither
the batch nor the order nor the neighbours of a prompt change its probability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers
import torch
from torch import nn

from laser_core.errors import UserError
from laser_core.lm.prompts import Prompt

_ROUND = 64  # on a GPU lengths are rounded up to a multiple of this


@dataclass(frozen=True)
class Encoded:
    """A prompt as tokens."""

    tokens: np.ndarray
    """(length,) token ids"""
    places: np.ndarray
    """(answers,) the last token before each answer"""
    events: np.ndarray
    """(answers,) the event whose label each answer is"""


def encode(tokenizer: tokenizers.Tokenizer, prompts: Sequence[Prompt]) -> list[Encoded]:
    """Prompts -> tokens and the places of their answers.

    Raises:
        UserError: An answer word is not one token of its own at its place.
    """
    encoded = []
    for prompt, encoding in zip(prompts, tokenizer.encode_batch([prompt.text for prompt in prompts]), strict=True):
        ends = np.array([end for _, end in encoding.offsets])
        places = len(ends) - 1 - np.argmax((ends[None, ::-1] > 0) & (ends[None, ::-1] <= prompt.slots[:, None]), axis=1)
        if not np.array_equal(ends[places], prompt.slots):
            slot = int(prompt.slots[np.argmax(ends[places] != prompt.slots)])
            raise UserError(f"the tokenizer joins an answer with the text before it: '{prompt.text[max(0, slot - 20) : slot + 5]}'")
        encoded.append(Encoded(np.array(encoding.ids, dtype=np.int64), places, prompt.events))
    return encoded


def answer_ids(tokenizer: tokenizers.Tokenizer, prompt: Prompt) -> tuple[int, int]:
    """The tokens of the two answer words as they follow a prompt.

    Raises:
        UserError: A word is several tokens, or both begin with the same one.
    """
    before = tokenizer.encode(prompt.text).ids
    end = len(before) - _added_after(tokenizer)
    ids = []
    for word in prompt.answers:
        after = tokenizer.encode(prompt.text + word).ids
        new = after[end : len(after) - _added_after(tokenizer)]
        if after[:end] != before[:end] or len(new) != 1:
            raise UserError(
                f"the answer word '{word}' is {len(new)} tokens for this backbone, it must be one: choose other words (option answers)"
            )
        ids.append(new[0])
    if ids[0] == ids[1]:
        raise UserError(f"the answer words {prompt.answers} are the same token for this backbone: choose other words (option answers)")
    return ids[0], ids[1]


def _added_after(tokenizer: tokenizers.Tokenizer) -> int:
    """How many special tokens the tokenizer puts after a text."""
    mask = tokenizer.encode("a").special_tokens_mask
    return len(mask) - 1 - max(place for place, special in enumerate(mask) if not special)


class AnswerModel(nn.Module):
    """A causal language model with its output layer cut down to the two answer words.

    Args:
        model: A causal language model of transformers.
        yes, no: Token ids of the two answers.
    """

    def __init__(self, model: nn.Module, yes: int, no: int) -> None:
        super().__init__()
        self.model = model
        self.body = model.get_decoder()
        head = model.get_output_embeddings()
        rows = torch.tensor([yes, no], device=head.weight.device)
        self.register_buffer("head", head.weight.detach()[rows].float())  # (2, hidden)
        self.register_buffer("bias", head.bias.detach()[rows].float() if head.bias is not None else torch.zeros(2, device=rows.device))
        self.cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)  # Gemma 2 bends its logits

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.device

    def forward(self, tokens: torch.Tensor, text: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Log-odds of yes at each answer.

        Args:
            tokens: (texts, length) padded on the right.
            text, place: (answers,) which text, and its last token before the answer.

        Returns:
            (answers,) s_yes - s_no in fp32.
        """
        hidden = self.body(input_ids=tokens, use_cache=False).last_hidden_state  # (texts, length, hidden)
        scores = nn.functional.linear(hidden[text, place].float(), self.head, self.bias)  # (answers, 2)
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        return scores[:, 0] - scores[:, 1]


def passes(encoded: Sequence[Encoded], size: int) -> Iterator[tuple[list[int], int]]:
    """Group texts of like length: (their numbers, the common length) of each pass. Size 1: each alone at its own length."""
    step = 1 if size == 1 else _ROUND
    length = np.array([-(-len(text.tokens) // step) * step for text in encoded])
    order = np.argsort(length, kind="stable")[::-1] if size > 1 else np.arange(len(encoded))
    group: list[int] = []
    for number in order:
        if group and (len(group) == size or length[group[0]] != length[number]):
            yield group, int(length[group[0]])
            group = []
        group.append(int(number))
    if group:
        yield group, int(length[group[0]])


def stack(texts: Sequence[Encoded], length: int, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(tokens, text, place) of one pass, as `AnswerModel` reads them; places beyond the given texts are copies of the first."""
    tokens = np.zeros((size, length), dtype=np.int64)
    for row in range(size):
        own = texts[row if row < len(texts) else 0].tokens
        tokens[row, : len(own)] = own
    text = np.repeat(np.arange(len(texts)), [len(entry.places) for entry in texts])
    place = np.concatenate([entry.places for entry in texts])
    return torch.from_numpy(tokens).to(device), torch.from_numpy(text).to(device), torch.from_numpy(place).to(device)


@torch.inference_mode()
def log_odds(
    model: AnswerModel, encoded: Sequence[Encoded], size: int, done: Callable[[int], None] = lambda texts: None
) -> list[np.ndarray]:
    """Log-odds of yes at every answer of every text.

    Args:
        size: Texts a pass; a text's result depends on this number (by rounding) but on nothing else.
        done: Called with the number of texts finished so far.
    """
    model.eval()
    result: list[np.ndarray] = [np.zeros(0)] * len(encoded)
    finished = 0
    for group, length in passes(encoded, size):
        texts = [encoded[number] for number in group]
        odds = model(*stack(texts, length, size, model.device)).double().cpu().numpy()
        for number, part in zip(group, np.split(odds, np.cumsum([len(entry.places) for entry in texts])[:-1]), strict=True):
            result[number] = part
        finished += len(group)
        done(finished)
    return result
