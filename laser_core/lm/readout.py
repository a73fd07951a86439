"""A read-out: a logistic regression on what a frozen language model holds in its middle blocks where an answer belongs.

Linear probing (G. Alain and Y. Bengio, 2016, arXiv 1610.01644). A small model's own words, yes or no, are a narrow window on what it has
worked out of a prompt; its hidden states half-way up say more, and a regression learns to read them from few labels:

    logit p = w . [h_b1; h_b2; ...] + v

with h_b the state after block b at the last token before the answer. Nothing is passed backwards and blocks above the deepest one that is
read need not run, so to learn from a text costs less than to score it with the whole model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import nn

from laser_core.errors import UserError
from laser_core.knowledge.store import VectorStore, kept_at
from laser_core.lm import backbones
from laser_core.lm.scoring import Encoded, log_odds
from laser_core.metrics.ranking import log_loss

_READING = 1  # raised when the same text begins to give other states
FREEDOM = 10.0  # how much larger the weights of counts may be than those of states
FOLDS = 5  # of users: the penalty is chosen by the log loss on users left out


def blocks_at(depths: Sequence[float], blocks: int) -> tuple[int, ...]:
    """After which of a model's blocks to read, for shares of its depth: (.6, .75) of 30 blocks are (18, 22)."""
    return tuple(sorted({max(1, math.floor(depth * blocks + 1e-9)) for depth in depths}))


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The blocks of a causal language model, as most families name them.

    Raises:
        UserError: They have another name (GPT-2's).
    """
    blocks = getattr(model.get_decoder(), "layers", None)
    if blocks is None:
        raise UserError(f"option 'learn': the blocks of a {type(model).__name__} are not known by name: take another backbone")
    return blocks


class States(nn.Module):
    """The lower part of a causal language model: its hidden states at the answers.

    Args:
        model: A causal language model of transformers; what lies above the deepest block is cut off.
        blocks: After which blocks to read, ascending, the first one being 1.
    """

    def __init__(self, model: nn.Module, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.body = model.get_decoder()
        self.body.layers = blocks_of(model)[: blocks[-1]]
        self.blocks = blocks
        self.size = len(blocks) * model.config.get_text_config().hidden_size

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.body.parameters()).device

    def forward(self, tokens: torch.Tensor, text: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """(answers, blocks * hidden) fp32 states; the arguments are those of `scoring.AnswerModel`."""
        read: list[torch.Tensor] = []

        def keep(layer: nn.Module, given: tuple, state: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            state = state if isinstance(state, torch.Tensor) else state[0]
            read.append(state[text, place].float())  # (answers, hidden)

        hooks = [self.body.layers[block - 1].register_forward_hook(keep) for block in self.blocks]
        try:
            self.body(input_ids=tokens, use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat(read, dim=1)


def stored(
    model: States,
    store: VectorStore | None,
    texts: Sequence[tuple[str, np.ndarray]],
    encoded: Sequence[Encoded],
    size: int,
    done: Callable[[int], None] = lambda texts: None,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[list[np.ndarray], float]:
    """States at some answers of each text, from the store if they are there, else worked out now and kept.

    The model is frozen, so whatever is learned from a text, it is read once: more shots, other seeds and another run find it. A kill loses
    at most the texts under way.

    Args:
        store: Made by `state_store`; None keeps nothing.
        texts: A text and which of its answers, `(answers,)`.
        encoded: The same texts as tokens.
        size: Texts a pass.
        done: Called with the number of texts finished so far.
        waiting: Called every second while another process fills the store.

    Returns:
        For each text `(answers, blocks * hidden)` float32, and the seconds it took in earlier runs to work out what the store had.
    """
    keys = [[f"{slot}\n{text}" for slot in slots] for text, slots in texts]
    step, fresh = 8 * size, set()

    def work_out(missing: Sequence[str]) -> Iterator[tuple[list[str], np.ndarray]]:
        wanted = set(missing)
        fresh.update(wanted)
        numbers = [number for number, own in enumerate(keys) if wanted.intersection(own)]
        finished = len(keys) - len(numbers)
        for begin in range(0, len(numbers), step):
            group = numbers[begin : begin + step]
            started = time.perf_counter()
            read = log_odds(model, [encoded[number] for number in group], size, lambda part, begin=begin: done(finished + begin + part))
            answers = [own for number in group for own in keys[number]]
            seconds = np.full((len(answers), 1), (time.perf_counter() - started) / max(len(answers), 1))
            found = np.concatenate([states[texts[number][1]] for number, states in zip(group, read, strict=True)])
            yield answers, np.hstack([found, seconds])

    everything = [key for own in keys for key in own]
    if store is None:
        pieces = list(work_out(everything))
        rows = np.concatenate([piece for _, piece in pieces]).astype(np.float32) if pieces else np.zeros((0, model.size + 1), np.float32)
    else:
        store.add(everything, work_out, waiting=waiting)
        rows = store.read(everything)
    saved = sum(float(row[-1]) for key, row in zip(everything, rows, strict=True) if key not in fresh)
    return np.split(rows[:, :-1], np.cumsum([len(own) for own in keys])[:-1]), saved


def state_store(backbone: str, folder: Path, dtype: str, blocks: tuple[int, ...], size: int, dataset: str) -> VectorStore:
    """Where the states of a backbone's blocks are kept for the prompts of one data set; the last number of a row is its seconds."""
    about = {"backbone": backbone, "weights": backbones.identity(folder), "precision": dtype, "blocks": blocks, "data set": dataset}
    place = kept_at("states", f"{backbones.get(backbone).label}-{dataset}", about["weights"], dtype, blocks, _READING)
    return VectorStore(place, size + 1, about)


def regress(
    states: np.ndarray, labels: np.ndarray, users: np.ndarray, own: np.ndarray, strengths: Sequence[float], statistics: int = 0
) -> tuple[np.ndarray, float, list[dict[str, float]]]:
    """Fit w and v on standardised states by logistic regression with a quadratic penalty.

    The variance that the penalty gives the weights is what has the least log loss on the shots' own answers of users left out: those
    are asked in the way that test samples are. With one strength, or fewer users than folds, there is no choice: the first one.

    Args:
        states: `(answers, size)`.
        statistics: So many of the last columns are not states but counts that are known to matter: their weights may be `FREEDOM` times
            as large.
        labels: `(answers,)` 0 or 1.
        users: `(answers,)` whose answer it is.
        own: `(answers,)` whether it is a shot's own answer (else one of its history).
        strengths: Variances of a weight to choose from.

    Returns:
        w `(size,)` and v for states as they come, and one entry a strength: strength, log_loss on users left out.
    """
    mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
    scale[states.shape[1] - statistics :] /= FREEDOM
    standard = (states - mean) / scale
    tried: list[dict[str, float]] = []
    if len(strengths) > 1 and len(np.unique(users[own])) >= FOLDS:
        for strength in strengths:
            odds = np.full(len(labels), np.nan)
            for rest, held in GroupKFold(FOLDS).split(standard, labels, users):
                held = held[own[held]]
                if len(held) and np.ptp(labels[rest]):
                    odds[held] = _fit(standard[rest], labels[rest], strength).decision_function(standard[held])
            known = np.isfinite(odds)
            tried.append({"strength": strength, "log_loss": log_loss(labels[known], 1 / (1 + np.exp(-odds[known])))})
    best = min(tried, key=lambda entry: entry["log_loss"])["strength"] if tried else strengths[0]
    fitted = _fit(standard, labels, best)
    weight = fitted.coef_[0] / scale
    return weight, float(fitted.intercept_[0] - mean @ weight), tried or [{"strength": best}]


def _fit(standard: np.ndarray, labels: np.ndarray, strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1000).fit(standard, labels)
