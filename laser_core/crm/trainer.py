"""The one training loop: AdamW on the log loss, stopped by the validation log loss."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.optim.adamw import adamw

from laser_core.crm.inputs import Samples
from laser_core.crm.layers import Table
from laser_core.progress import Progress, no_progress
from laser_core.recommender import check_options

PIECE = 1024  # rows scored at once, small enough for the processor's cache


@dataclass(frozen=True)
class Training:
    """How a conventional model is trained."""

    epochs: int = 20
    """at most so many passes"""
    patience: int = 1
    """stop after so many epochs without a better validation log loss"""
    batch_size: int = 1024
    """at most so many samples a step"""
    steps: int = 32
    """few shots make smaller batches: an epoch has at least so many steps, as long as a batch has 16 samples"""
    learning_rate: float = 1e-3
    """of AdamW at the start"""
    learning_rate_decay: float = 0.3
    """factor on the learning rate over an epoch, step by step; over `decay_steps` steps where epochs are shorter than that"""
    decay_steps: int = 300
    """see `learning_rate_decay`"""
    weight_decay: float = 1e-2
    """of dense layers"""
    embedding_decay: float = 1e-2
    """of embedding tables"""

    def __post_init__(self) -> None:
        above = ("epochs", "patience", "batch_size", "steps", "learning_rate", "learning_rate_decay", "decay_steps")
        check_options(self, positive=above, not_negative=("weight_decay", "embedding_decay"))


class AdamW:
    """AdamW (I. Loshchilov and F. Hutter, 2019), fused.

    `torch.optim.AdamW` computes the same but loads torch's compiler first, nearly a second that a few-shot run would mostly consist of.
    """

    def __init__(self, parameters: list[nn.Parameter], weight_decay: float) -> None:
        self.parameters, self.weight_decay = parameters, weight_decay
        self.first = [torch.zeros_like(parameter) for parameter in parameters]
        self.second = [torch.zeros_like(parameter) for parameter in parameters]
        self.count = [torch.zeros((), device=parameter.device) for parameter in parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter along its gradient, and forget the gradient."""
        adamw(
            self.parameters, [parameter.grad for parameter in self.parameters], self.first, self.second, [], self.count,
            foreach=False, fused=True, amsgrad=False, maximize=False,
            beta1=0.9, beta2=0.999, eps=1e-8, lr=learning_rate, weight_decay=self.weight_decay,
        )  # fmt: skip
        for parameter in self.parameters:
            parameter.grad = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Small models are fastest on one thread; runs go in parallel instead."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train(
    model: nn.Module,
    samples: Samples,
    valid: Samples,
    settings: Training,
    seed: int,
    piece: int,
    progress: Progress = no_progress,
) -> list[dict[str, float]]:
    """Train a model in place; at the end it has the state of its best epoch.

    Args:
        model: Maps a `Batch` to (batch,) logits.
        piece: At most so many rows go through the model at once, small enough for the processor's cache; a step adds up their gradients.

    Returns:
        One entry an epoch: training loss, validation log loss, seconds.
    """
    device = next(model.parameters()).device
    tables = [module.weight for module in model.modules() if isinstance(module, Table)]
    dense = [parameter for parameter in model.parameters() if all(parameter is not table for table in tables)]
    optimizers = [AdamW(tables, settings.embedding_decay), AdamW(dense, settings.weight_decay)]
    rows = len(samples)
    batch_size = min(settings.batch_size, max(16, rows // settings.steps))
    steps = math.ceil(rows / batch_size)
    best = copy.deepcopy(model.state_dict())
    curve: list[dict[str, float]] = []

    for epoch in range(settings.epochs):
        if epoch - _best(curve) > settings.patience:
            break
        began = shown = time.perf_counter()
        torch.manual_seed(1_000_003 * seed + epoch)  # for dropout
        order = np.random.default_rng([seed, epoch]).permutation(rows)
        total = 0.0
        model.train()
        for step in range(steps):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            if len(chosen) > piece:
                chosen = chosen[np.argsort(samples.length[chosen], kind="stable")]  # histories of a piece are alike long: little padding
            for first in range(0, len(chosen), piece):
                index = chosen[first : first + piece]
                logits = model(samples.batch(index).to(device))
                target = torch.from_numpy(samples.label[index]).to(device)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
                (loss / len(chosen)).backward()
                total += loss.item()
            rate = settings.learning_rate * settings.learning_rate_decay ** ((epoch * steps + step) / max(steps, settings.decay_steps))
            for optimizer in optimizers:
                optimizer.step(rate)
            if time.perf_counter() - shown > 0.5:
                shown = time.perf_counter()
                done = (step + 1) * batch_size
                speed = f"epoch {epoch + 1}, loss {total / done:.4f}, {done / (shown - began):,.0f} samples/s"
                progress(speed, epoch * rows + done, settings.epochs * rows)
        spent = time.perf_counter() - began
        loss = log_loss(valid.label, predict(model, valid))
        if not curve or loss < curve[_best(curve)]["valid_log_loss"]:
            best = copy.deepcopy(model.state_dict())
        curve.append(
            {"epoch": epoch + 1, "train_loss": total / rows, "valid_log_loss": loss, "seconds": spent, "samples_per_second": rows / spent}
        )
        progress(f"epoch {epoch + 1}, loss {total / rows:.4f}, valid {loss:.4f}", (epoch + 1) * rows, settings.epochs * rows)
    model.load_state_dict(best)
    return curve


@torch.no_grad()
def predict(model: nn.Module, samples: Samples, progress: Progress = no_progress) -> np.ndarray:
    """(rows,) float64 probabilities."""
    device = next(model.parameters()).device
    model.eval()
    order = np.argsort(samples.length, kind="stable")  # histories scored together are alike long: little padding
    probability = np.empty(len(samples))
    for first in range(0, len(samples), PIECE):
        index = order[first : first + PIECE]
        logits = model(samples.batch(index).to(device))
        probability[index] = torch.sigmoid(logits.double()).cpu().numpy()
        progress("score", min(first + PIECE, len(samples)), len(samples))
    return probability


def log_loss(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean negative log likelihood."""
    probability = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(label > 0.5, np.log(probability), np.log1p(-probability))))


def _best(curve: list[dict[str, float]]) -> int:
    """The epoch (from 0) of the lowest validation log loss."""
    return min(range(len(curve)), key=lambda epoch: curve[epoch]["valid_log_loss"], default=0)
