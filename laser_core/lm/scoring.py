"""Yes/no scoring: P(yes) = exp(s_yes) / (exp(s_yes) + exp(s_no)) at the place where the answer belongs.

Only the two answer rows of the output layer are multiplied, in fp32. Texts are padded on the right and read by a causal model, so no real
token ever sees a padded one and no mask is needed. Every pass has a fixed shape, and a text's numbers depend on the shape and nothing else:
on a CPU one text at its own length, on a GPU always `pass_size` texts at a length rounded up, filled up with copies if need be. So neither
the batch nor the order nor the neighbours of a prompt change its probability.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tokenizers
import torch
from torch import nn

from laser_core.errors import FaultError, UserError
from laser_core.lm.halving import halving, out_of_memory
from laser_core.lm.processes import team
from laser_core.lm.prompts import Prompt

if TYPE_CHECKING:
    from transformers import Cache

_ROUND = 64  # on a GPU lengths are rounded up to a multiple of this
_ALIKE = 0.05  # a difference of this share is rounding, in bf16 and with few bits too


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

    Raises:
        UserError: The model has no such tokens, later tokens change what it makes of earlier ones, or the two rows do not give its own
            scores of the answers.
    """

    def __init__(self, model: nn.Module, yes: int, no: int) -> None:
        super().__init__()
        self.model = model
        self.body = model.get_decoder()
        head = model.get_output_embeddings()
        if not 0 <= min(yes, no) <= max(yes, no) < len(head.weight):
            raise UserError(
                f"the answers are the tokens {yes} and {no}, a {type(model).__name__} with {len(head.weight)} has not both: "
                "the tokenizer or the saved system belongs to another backbone"
            )
        rows = torch.tensor([yes, no], device=head.weight.device)
        self.register_buffer("head", head.weight.detach()[rows].float())  # (2, hidden)
        self.register_buffer("bias", head.bias.detach()[rows].float() if head.bias is not None else torch.zeros(2, device=rows.device))
        self._check(yes, no)

    @torch.no_grad()
    def _check(self, yes: int, no: int) -> None:
        """All that is taken for granted of a model, tried out on two texts of four tokens that differ in the last one."""
        self.eval()  # an adapter's dropout would look like a difference
        name = type(self.model).__name__
        tokens = torch.tensor([[yes, no, no, yes], [yes, no, no, no]], device=self.device)
        text, place = (part.flatten() for part in torch.meshgrid(torch.arange(2), torch.arange(4), indexing="ij"))
        theirs = self.model(input_ids=tokens, use_cache=False).logits[:, :, [yes, no]].float()  # (texts, length, answers)
        own = self._scores(self.body(input_ids=tokens, use_cache=False).last_hidden_state[text, place]).view_as(theirs)
        change = (theirs[0] - theirs[1]).abs().amax(1)  # (length,)
        if change[:3].max() > _ALIKE * change[3]:
            raise UserError(f"a {name} reads a text from both sides, so that answers would reach their own questions: take a causal model")
        if (own - theirs).abs().max() > _ALIKE * theirs.abs().max():
            raise UserError(f"a {name} changes the scores of its output layer in a way that this kit does not know: take another backbone")

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.device

    def forward(self, tokens: torch.Tensor, text: torch.Tensor, place: torch.Tensor, past: Cache | None = None) -> torch.Tensor:
        """Log-odds of yes at each answer.

        Args:
            tokens: (texts, length) padded on the right.
            text, place: (answers,) which text, and its last token before the answer.
            past: Keys and values of what every text begins with; `tokens` and `place` go on from there.

        Returns:
            (answers,) s_yes - s_no in fp32.
        """
        if past is None:
            hidden = self.body(input_ids=tokens, use_cache=False).last_hidden_state  # (texts, length, hidden)
        else:
            begin = past.get_seq_length()
            position = torch.arange(begin, begin + tokens.shape[1], device=tokens.device).expand(len(tokens), -1)  # (texts, length)
            hidden = self.body(input_ids=tokens, position_ids=position, past_key_values=past, use_cache=True).last_hidden_state
        scores = self._scores(hidden[text, place])
        return scores[:, 0] - scores[:, 1]

    def _scores(self, states: torch.Tensor) -> torch.Tensor:
        """(answers, 2) s_yes and s_no in fp32 from (answers, hidden)."""
        return finished(nn.functional.linear(states.float(), self.head, self.bias), self.model)


def finished(scores: torch.Tensor, model: nn.Module) -> torch.Tensor:
    """What a causal language model makes of the scores of its output layer: most leave them."""
    config = model.config.get_text_config()
    factor = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)  # Cohere; Granite
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2 bends them
    if factor != 1:
        scores = scores * factor
    return scores if cap is None else cap * torch.tanh(scores / cap)


def passes(encoded: Sequence[Encoded], size: int) -> Iterator[tuple[list[int], int]]:
    """Group texts of like length: (their numbers, the common length) of each pass. Size 1: each alone at its own length."""
    step = 1 if size == 1 else _ROUND
    length = [-(-len(text.tokens) // step) * step for text in encoded]
    for group in grouped(length, size, equal=True) if size > 1 else ([number] for number in range(len(encoded))):
        yield group, length[group[0]]


def grouped(lengths: Sequence[int], size: int, equal: bool = False) -> list[list[int]]:
    """Numbers of texts, long ones first, in groups of at most `size` and of like length; `equal`: of one length."""
    groups: list[list[int]] = []
    for number in np.argsort(lengths, kind="stable")[::-1].tolist():
        if not groups or len(groups[-1]) == size or (equal and lengths[groups[-1][0]] != lengths[number]):
            groups.append([])
        groups[-1].append(number)
    return groups


def stack(texts: Sequence[Encoded], length: int, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(tokens, text, place) of one pass, as `AnswerModel` reads them; places beyond the given texts are copies of the first."""
    tokens = np.zeros((size, length), dtype=np.int64)
    for row in range(size):
        own = texts[row if row < len(texts) else 0].tokens
        tokens[row, : len(own)] = own
    text = np.repeat(np.arange(len(texts)), [len(entry.places) for entry in texts])
    place = np.concatenate([entry.places for entry in texts])
    return torch.from_numpy(tokens).to(device), torch.from_numpy(text).to(device), torch.from_numpy(place).to(device)


def log_odds(
    model: AnswerModel, encoded: Sequence[Encoded], size: int, done: Callable[[int], None] = lambda texts: None
) -> list[np.ndarray]:
    """Log-odds of yes at every answer of every text (with `readout.States` as the model: its states there).

    Launched as several processes (see `processes`), each reads its share and all get everything. Where memory does not suffice, passes of
    half the size are tried, once, and a warning says so.

    Args:
        size: Texts a pass; a text's result depends on this number (by rounding) but on nothing else.
        done: Called with the number of texts finished so far.

    Raises:
        FaultError: Memory does not suffice.
    """
    alone = size == 1 or team().size > 1  # of several processes, one that goes back would be waited for
    try:
        if alone:
            return _log_odds(model, encoded, size, done)
        return halving(lambda most: _log_odds(model, encoded, most, done), size)[0]
    except RuntimeError as error:
        raise (no_memory(size if alone else size // 2) if out_of_memory(error) else error) from None


@torch.inference_mode()
def _log_odds(model: AnswerModel, encoded: Sequence[Encoded], size: int, done: Callable[[int], None]) -> list[np.ndarray]:
    model.eval()
    found: dict[int, np.ndarray] = {}
    for (group, length), _ in team().share(list(passes(encoded, size))):
        texts = [encoded[number] for number in group]
        odds = model(*stack(texts, length, size, model.device)).double().cpu().numpy()
        found.update(zip(group, _by_text(odds, texts), strict=True))
        done(min(len(found) * team().size, len(encoded)))
    found = team().gathered(found)
    return [found[number] for number in range(len(encoded))]


def no_memory(size: int) -> FaultError:
    """The error for who cannot be helped by smaller passes."""
    remedy = "set a smaller pass_size" if size > 1 else "set a smaller max_tokens or history, or take a smaller backbone"
    return FaultError(f"out of memory with passes of {size} prompt{'s' if size > 1 else ''}: {remedy}")


_SHARED_PASS = 16  # texts that go on from a shared beginning at once


@torch.inference_mode()
def shared_log_odds(model: AnswerModel, encoded: Sequence[Encoded], size: int = _SHARED_PASS) -> list[np.ndarray]:
    """`log_odds` of texts that begin alike, such as many targets after one history: what they share is read once.

    The keys and values of the shared beginning are kept and every text goes on from them. Equal to `log_odds` but for rounding: log-odds
    agree in fp32 within 1e-4, in bf16 within .2. Texts that share too little to gain from it are scored by
    `log_odds` itself.

    Args:
        size: Texts that go on at once; half as many where memory does not suffice, and a warning says so.

    Raises:
        FaultError: Memory does not suffice for half as many either.
    """
    prefix = shared_tokens(encoded)
    if len(encoded) < 2 or prefix * (len(encoded) - 1) < sum(len(text.tokens) for text in encoded) / 4:
        return log_odds(model, encoded, 1 if model.device.type == "cpu" else size)
    model.eval()
    rest = [Encoded(text.tokens[prefix:], text.places - prefix, text.events) for text in encoded]
    try:
        beginning = torch.from_numpy(encoded[0].tokens[None, :prefix]).to(model.device)
        kept = model.body(input_ids=beginning, use_cache=True).past_key_values
        return halving(lambda most: _go_on(model, kept, rest, most), size)[0]
    except RuntimeError as error:
        raise (no_memory(max(1, size // 2)) if out_of_memory(error) else error) from None


def _go_on(model: AnswerModel, kept: Cache, rest: Sequence[Encoded], size: int) -> list[np.ndarray]:
    """Log-odds of texts that go on from the keys and values of what they share."""
    result: list[np.ndarray] = [np.zeros(0)] * len(rest)
    order = np.argsort([len(text.tokens) for text in rest], kind="stable")
    for begin in range(0, len(order), size):
        texts = [rest[number] for number in order[begin : begin + size]]
        past = copy.deepcopy(kept)  # it grows while it is used
        past.batch_repeat_interleave(len(texts))
        tokens, text, place = stack(texts, len(texts[-1].tokens), len(texts), model.device)
        odds = model(tokens, text, place, past).double().cpu().numpy()
        for number, part in zip(order[begin : begin + size], _by_text(odds, texts), strict=True):
            result[number] = part
    return result


def shared_tokens(encoded: Sequence[Encoded]) -> int:
    """With how many tokens all texts begin alike, each one's first answer being asked for after them."""
    most = min(int(text.places.min()) for text in encoded)
    first = encoded[0].tokens[:most]
    same = np.all([text.tokens[:most] == first for text in encoded], axis=0)
    return most if same.all() else int(np.argmin(same))


def _by_text(odds: np.ndarray, texts: Sequence[Encoded]) -> list[np.ndarray]:
    """(answers,) of a pass -> each text's own."""
    return np.split(odds, np.cumsum([len(entry.places) for entry in texts])[:-1])
