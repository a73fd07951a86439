"""Tuning: low-rank adapters (LoRA, E. J. Hu et al., 2021, arXiv 2106.09685) fitted on answers only.

The weights W of some linear layers become W + (alpha / rank) B A with small matrices A, B that alone are learned. The loss is the binary
log loss of the two-way softmax at the answers, so no word of the prompt itself is ever a target.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peft
import torch
from torch import nn

from laser_core.errors import DataError, FaultError
from laser_core.lm.scoring import AnswerModel, Encoded, passes, stack
from laser_core.progress import Progress, no_progress

_QUERY_VALUE = ["q_proj", "v_proj"]  # as Llama, Mistral, Qwen and Gemma name them


@dataclass(frozen=True)
class Tuning:
    """How an adapter is learned."""

    rank: int
    alpha: float
    dropout: float
    layers: str
    """which linear layers of a block get an adapter: query-value, or all"""
    top_blocks: int
    """only the last so many blocks get adapters, and the backward pass ends there; 0: all"""
    learning_rate: float
    epochs: int
    batch_size: int
    """sequences an optimizer step, at most as many as there are"""
    max_steps: int
    """stop after so many optimizer steps; 0: no limit"""


def add_adapter(model: nn.Module, settings: Tuning, seed: int) -> peft.PeftModel:
    """Put a fresh adapter into a causal language model, in place. Until it is tuned it changes nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        blocks = model.config.get_text_config().num_hidden_layers
        linear = {name.rpartition(".")[2] for name, layer in model.get_decoder().named_modules() if isinstance(layer, nn.Linear)}
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=sorted(linear) if settings.layers == "all" else _QUERY_VALUE,
            layers_to_transform=list(range(blocks))[-settings.top_blocks :],
            task_type="CAUSAL_LM",
        )
        with _deaf_to_peft():
            return peft.get_peft_model(model, config)


def load_adapter(model: nn.Module, folder: Path) -> peft.PeftModel:
    """Put a saved adapter into a causal language model, in place.

    Raises:
        DataError: The folder holds none, or one for another model.
    """
    try:
        with _deaf_to_peft():
            return peft.PeftModel.from_pretrained(model, folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"the adapter in {folder} cannot be used: {str(error).splitlines()[0][:160]}") from None


@contextlib.contextmanager
def _deaf_to_peft() -> Iterator[None]:
    """peft asks transformers for a property by its old name; that is nothing a user of this kit could change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def save_adapter(adapted: peft.PeftModel, folder: Path, backbone: str) -> None:
    """Write `adapter_model.safetensors` and its settings, naming the backbone rather than a folder of this machine."""
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()  # peft's empty model card
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = backbone
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1, sort_keys=True), encoding="utf-8")


def trainable(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of what is being learned, by name."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


def restore(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Set what is being learned back to a copy made by `trainable`."""
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            weights[name].copy_(value)


def tune(
    model: AnswerModel,
    encoded: Sequence[Encoded],
    labels: Sequence[np.ndarray],
    settings: Tuning,
    seed: int,
    size: int,
    validate: Callable[[], float] | None = None,
    progress: Progress = no_progress,
) -> list[dict[str, float]]:
    """Learn the adapter inside `model`; leave it at the epoch with the lowest validation log loss.

    Args:
        labels: For each text, (answers,) 1 yes, 0 no, or -1 where an answer is not to be learned from.
        size: Texts that pass through the model at once.
        validate: Log loss on the validation samples; None keeps the last epoch.

    Returns:
        One entry an epoch: epoch, steps and tokens so far, train_loss and, if validated, valid_loss.

    Raises:
        FaultError: The loss is no number before one epoch was finished. Later, tuning stops and keeps the last good epoch.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _Run(model, encoded, labels, settings, size, validate, progress).epochs(np.random.default_rng(seed))


class _Run:
    """The state of one tuning."""

    def __init__(
        self,
        model: AnswerModel,
        encoded: Sequence[Encoded],
        labels: Sequence[np.ndarray],
        settings: Tuning,
        size: int,
        validate: Callable[[], float] | None,
        progress: Progress,
    ) -> None:
        self.model, self.encoded, self.labels, self.settings = model, encoded, labels, settings
        self.size, self.validate, self.progress = size, validate, progress
        self.batch = min(settings.batch_size, len(encoded))
        planned = settings.epochs * math.ceil(len(encoded) / self.batch)
        self.steps = min(planned, settings.max_steps) if settings.max_steps else planned
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=settings.learning_rate, weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: max(0.0, 1 - step / self.steps))
        self.step = self.tokens = 0

    def epochs(self, generator: np.random.Generator) -> list[dict[str, float]]:
        curve: list[dict[str, float]] = []
        best, kept = math.inf, trainable(self.model)
        for epoch in range(1, self.settings.epochs + 1):
            order = generator.permutation(len(self.encoded))
            losses = []
            for start in range(0, len(order), self.batch):
                if self.step == self.steps:
                    break
                loss = self._step(order[start : start + self.batch])
                if not math.isfinite(loss):
                    where = f"the loss is no number at step {self.step + 1} (learning rate {self.settings.learning_rate:g})"
                    if not curve:
                        raise FaultError(f"tuning failed: {where}; lower the learning rate")
                    self.progress(f"{where}: kept epoch {int(curve[-1]['epoch'])}", self.steps, self.steps)
                    restore(self.model, kept)
                    return [*curve, {"epoch": epoch, "steps": self.step, "tokens": self.tokens, "stopped_by_nan": 1.0}]
                losses.append(loss)
                self.progress(f"tuning, epoch {epoch}, loss {np.mean(losses):.3f}", self.step, self.steps)
            if not losses:
                break
            entry = {"epoch": epoch, "steps": self.step, "tokens": self.tokens, "train_loss": float(np.mean(losses))}
            if self.validate is not None:
                entry["valid_loss"] = self.validate()
            curve.append(entry)
            if entry.get("valid_loss", -math.inf) < best:
                best, kept = entry.get("valid_loss", math.inf), trainable(self.model)
        restore(self.model, kept)
        return curve

    def _step(self, numbers: np.ndarray) -> float:
        """One optimizer step; the batch's loss, averaged over its answers. Nothing is learned from a loss that is no number."""
        self.model.train()
        texts = [self.encoded[number] for number in numbers]
        wanted = [self.labels[number] for number in numbers]
        answers = sum(int((own >= 0).sum()) for own in wanted)
        total = 0.0
        for group, length in passes(texts, self.size):
            tokens, text, place = stack([texts[number] for number in group], length, self.size, self.model.device)
            target = torch.from_numpy(np.concatenate([wanted[number] for number in group])).to(self.model.device)
            learn = target >= 0
            odds = self.model(tokens, text[learn], place[learn])
            loss = nn.functional.binary_cross_entropy_with_logits(odds, target[learn].float(), reduction="sum") / answers
            loss.backward()
            total += loss.item()
            self.tokens += tokens.numel()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        if math.isfinite(total) and torch.isfinite(norm):
            self.optimizer.step()
            self.schedule.step()
            self.step += 1
        else:
            total = math.nan
        self.optimizer.zero_grad(set_to_none=True)
        return total
