"""Tuning: low-rank adapters (LoRA, E. J. Hu et al., 2021, arXiv 2106.09685) fitted on answers only.

The weights W of some linear layers become W + (alpha / rank) B A with small matrices A, B that alone are learned. The loss is the binary
log loss of the two-way softmax at the answers, so no word of the prompt itself is ever a target.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peft
import safetensors.torch
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from laser_core.errors import DataError, FaultError, UserError
from laser_core.lm.halving import out_of_memory
from laser_core.lm.processes import fill, team, whole
from laser_core.lm.scoring import AnswerModel, Encoded, no_memory, passes, stack
from laser_core.progress import Progress, no_progress

NOTE_SECONDS = 30  # between two checkpoints: a kill loses at most that much
_LINEAR = (nn.Linear, Conv1D)  # GPT-2's linear layers are called convolutions, and keep their weights the other way round
_QUERY_VALUE = (["q_proj", "v_proj"], ["qkv_proj"])  # as Llama, Mistral, Qwen and Gemma name them; in one piece, as Phi-3 does


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


class NoNumberError(FaultError):
    """A loss or a weight that is no number. Who has a good state from before keeps that and says where it stopped."""

    def __init__(self, what: str, place: str, learning_rate: float) -> None:
        self.where = f"{what} is no number {place} (learning rate {learning_rate:g})"
        super().__init__(f"tuning failed: {self.where}; lower the learning rate")


def check_numbers(weights: Iterable[torch.Tensor], valid_loss: float, place: str, learning_rate: float) -> None:
    """Whether a state is fit to be kept: a last step can spoil the weights after its own loss was still a number.

    Raises:
        NoNumberError: A weight, or the loss on the validation samples, is not finite.
    """
    if not all(bool(torch.isfinite(weight).all()) for weight in weights):
        raise NoNumberError("a weight", place, learning_rate)
    if not math.isfinite(valid_loss):
        raise NoNumberError("the validation loss", place, learning_rate)


def add_adapter(model: nn.Module, settings: Tuning, seed: int) -> peft.PeftModel:
    """Put a fresh adapter into a causal language model, in place. Until it is tuned it changes nothing.

    Raises:
        UserError: The model has no query and value layers under a name that is known, or fewer blocks than asked for.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        blocks = model.config.get_text_config().num_hidden_layers
        check_blocks(settings.top_blocks, blocks)
        layers = {name.rpartition(".")[2]: layer for name, layer in model.get_decoder().named_modules() if isinstance(layer, _LINEAR)}
        linear = set(layers)
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=sorted(linear) if settings.layers == "all" else _query_value(model, linear),
            layers_to_transform=list(range(blocks))[-settings.top_blocks :],
            fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in layers.values()),
            task_type="CAUSAL_LM",
        )
        with _deaf_to_peft():
            return peft.get_peft_model(model, config)


def check_blocks(top_blocks: int, blocks: int) -> None:
    """Whether a backbone has as many blocks as option `top_blocks` says.

    Raises:
        UserError: It has fewer.
    """
    if top_blocks > blocks:
        raise UserError(f"option 'top_blocks' is {top_blocks}, the backbone has {blocks} blocks")


def _query_value(model: nn.Module, linear: set[str]) -> list[str]:
    """What a family calls its query and value layers."""
    for names in _QUERY_VALUE:
        if linear.issuperset(names):
            return names
    raise UserError(f"the query and value layers of a {type(model).__name__} are not known by name: adapt them all (option layers=all)")


def load_adapter(model: nn.Module, folder: Path) -> peft.PeftModel:
    """Put a saved adapter into a causal language model, in place.

    Raises:
        DataError: The folder holds none, a damaged one, or one for another model.
    """
    try:
        with _deaf_to_peft():
            return peft.PeftModel.from_pretrained(model, folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        why, *_ = str(error).splitlines() or [type(error).__name__]
        raise DataError(f"the adapter in {folder} cannot be used: {why[:160]}; fit it again") from None


@contextlib.contextmanager
def _deaf_to_peft() -> Iterator[None]:
    """peft asks transformers for a property by its old name; that is nothing a user of this kit could change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def save_adapter(adapted: peft.PeftModel, folder: Path, backbone: str) -> None:
    """Write `adapter_model.safetensors` and its settings, naming the backbone rather than a folder of this machine."""
    learned = {name: whole(weight.detach()) for name, weight in adapted.named_parameters() if "lora_" in name}
    adapted.save_pretrained(folder, save_embedding_layers=False, state_dict=learned)
    (folder / "README.md").unlink()  # peft's empty model card
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = backbone
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1, sort_keys=True), encoding="utf-8")


def trainable(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of what is being learned, by name."""
    return {name: whole(weight.detach()).clone() for name, weight in model.named_parameters() if weight.requires_grad}


def restore(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Set what is being learned back to a copy made by `trainable`."""
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            fill(weights[name], value)


def tune(
    model: AnswerModel,
    encoded: Sequence[Encoded],
    labels: Sequence[np.ndarray],
    settings: Tuning,
    seed: int,
    size: int,
    validate: Callable[[], float] | None = None,
    progress: Progress = no_progress,
    checkpoint: Path | None = None,
) -> list[dict[str, float]]:
    """Learn the adapter inside `model`; leave it at the epoch with the lowest validation log loss.

    Launched as several processes (see `processes`), they do it together. Where a pass runs out of memory, passes of half the size are
    tried, once.

    Args:
        labels: For each text, (answers,) 1 yes, 0 no, or -1 where an answer is not to be learned from.
        size: Texts that pass through the model at once.
        validate: Log loss on the validation samples; None keeps the last epoch.
        checkpoint: A file to note the state in from time to time. Where it is there, tuning goes on from it: what comes out is
            exactly what an undisturbed run gives. The caller sees to it that it belongs to these very texts and settings, and removes it.
            One of another number of processes, whose dropout draws otherwise, is as none.

    Returns:
        One entry an epoch: epoch, steps and tokens (of the texts, not of what fills a pass up) so far, train_loss and, if validated,
        valid_loss.

    Raises:
        FaultError: A loss or a weight is no number before one epoch was finished, or memory does not suffice. Where that happens later,
            tuning stops and keeps the best epoch, and the last entry says so (`stopped_by_nan`).
    """
    with torch.random.fork_rng():
        run = _Run(model, encoded, labels, settings, size, validate, progress, checkpoint)
        torch.manual_seed(seed + run.team.rank)
        run.resume()
        try:
            return run.epochs(np.random.default_rng(seed))
        except NoNumberError as error:
            return run.stopped(error)


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
        checkpoint: Path | None,
    ) -> None:
        self.model, self.encoded, self.labels, self.settings = model, encoded, labels, settings
        self.size, self.validate, self.progress, self.checkpoint = size, validate, progress, checkpoint
        self.team = team()
        self.team.shard(model, model.body.layers if self.team.sharded else ())
        self.batch = min(settings.batch_size, len(encoded))
        planned = settings.epochs * math.ceil(len(encoded) / self.batch)
        self.steps = min(planned, settings.max_steps) if settings.max_steps else planned
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=settings.learning_rate, weight_decay=0.0)
        self.step = self.tokens = 0
        self.epoch, self.place, self.losses = 1, 0, []  # where in the epochs, where in the order of this one, its steps' losses
        self.curve: list[dict[str, float]] = []
        self.best, self.kept = math.inf, trainable(model)
        self.halved = False
        self.began = self.noted = time.monotonic()

    def epochs(self, generator: np.random.Generator) -> list[dict[str, float]]:
        for epoch in range(1, self.settings.epochs + 1):
            order = generator.permutation(len(self.encoded))
            if epoch < self.epoch:  # done before a kill
                continue
            while self.place < len(order) and self.step < self.steps:
                loss = self._step(order[self.place : self.place + self.batch])
                if not math.isfinite(loss):
                    raise NoNumberError("the loss", f"at step {self.step + 1}, in epoch {epoch}", self.settings.learning_rate)
                self.losses.append(loss)
                self.place += self.batch
                self._note()
                self.progress(f"tuning, epoch {epoch}, loss {np.mean(self.losses):.3f}", self.step, self.steps)
            if not self.losses:
                break
            entry = {"epoch": epoch, "steps": self.step, "tokens": self.tokens, "train_loss": float(np.mean(self.losses))}
            if self.validate is not None:
                entry["valid_loss"] = self.validate()
            state = trainable(self.model)
            check_numbers(state.values(), entry.get("valid_loss", 0.0), f"after epoch {epoch}", self.settings.learning_rate)
            if self.halved:
                entry["pass_size"] = self.size
            self.curve.append(entry)
            if entry.get("valid_loss", -math.inf) < self.best:
                self.best, self.kept = entry.get("valid_loss", math.inf), state
            self.epoch, self.place, self.losses = epoch + 1, 0, []
            self._note()
        restore(self.model, self.kept)
        self._note(always=self.checkpoint is not None and self.checkpoint.exists())
        return self.curve

    def stopped(self, error: NoNumberError) -> list[dict[str, float]]:
        """Go back to the best epoch, if there is one; a step whose loss or gradient is no number has changed nothing."""
        if not self.curve:
            raise error
        self.progress(f"{error.where}: kept epoch {int(min(self.curve, key=_quality)['epoch'])}", self.steps, self.steps)
        restore(self.model, self.kept)
        return [*self.curve, {"epoch": self.epoch, "steps": self.step, "tokens": self.tokens, "stopped_by_nan": 1.0}]

    def _step(self, numbers: np.ndarray) -> float:
        """One optimizer step; the batch's loss, averaged over its answers. Nothing is learned from a loss that is no number."""
        try:
            total = self._gradients(numbers)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if self.halved or self.size == 1 or self.team.size > 1:
                raise no_memory(self.size) from None
            self.halved, self.size = True, self.size // 2
            self.progress(f"out of memory: passes of {self.size} prompts instead of {2 * self.size}", self.step, self.steps)
            self.optimizer.zero_grad(set_to_none=True)
            return self._step(numbers)
        norm = whole(torch.nn.utils.clip_grad_norm_(self.weights, 1.0))
        if math.isfinite(total) and torch.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * max(0.0, 1 - self.step / self.steps)
            self.optimizer.step()
            self.step += 1
        else:
            total = math.nan
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def _gradients(self, numbers: np.ndarray) -> float:
        """Work out the gradients of a batch; its loss."""
        self.model.train()
        texts = [self.encoded[number] for number in numbers]
        wanted = [self.labels[number] for number in numbers]
        answers = sum(int((own >= 0).sum()) for own in wanted)
        total, read = 0.0, 0
        for (group, length), counts in self.team.share(list(passes(texts, self.size))):
            tokens, text, place = stack(
                [texts[number] for number in group], length, rows(len(group), self.size, self.model.device), self.model.device
            )
            target = torch.from_numpy(np.concatenate([wanted[number] for number in group])).to(self.model.device)
            learn = target >= 0
            odds = self.model(tokens, text[learn], place[learn])
            loss = nn.functional.binary_cross_entropy_with_logits(odds, target[learn].float(), reduction="sum") / answers
            (loss if counts else 0 * loss).backward()
            if counts:
                total += loss.item()
                read += sum(len(texts[number].tokens) for number in group)
        self.team.add_gradients(self.weights)
        total, read = self.team.total(total, read, device=self.model.device)
        self.tokens += int(read)
        return total

    # ---- going on after a kill -----------------------------------------------------------------------------------------------------

    _COUNTS = ("step", "tokens", "epoch", "place", "losses", "curve", "best", "size", "halved")

    def resume(self) -> None:
        """Go on from the checkpoint, if there is a sound one."""
        if self.checkpoint is None:
            return
        saved = self.team.from_first(lambda: _read(self.checkpoint))
        if saved is None:
            return
        counts, tensors = saved
        self.began -= counts["seconds"]
        for name in self._COUNTS:
            setattr(self, name, counts[name])
        parts = {part: {} for part in ("now", "kept", "exp_avg", "exp_avg_sq", "random")}
        for name, value in tensors.items():
            part, _, own = name.partition("/")
            parts[part][own] = value.to(self.model.device)
        self.kept = parts["kept"]
        restore(self.model, parts["now"])
        for number, weight in enumerate(self.weights if parts["exp_avg"] else ()):
            state = self.optimizer.state[weight]
            state["step"] = torch.tensor(float(self.step))
            for moment in ("exp_avg", "exp_avg_sq"):
                state[moment] = torch.zeros_like(weight)
                fill(state[moment], parts[moment][str(number)])
        torch.set_rng_state(parts["random"][f"cpu/{self.team.rank}"].cpu())
        if self.model.device.type == "cuda":
            torch.cuda.set_rng_state(parts["random"][f"cuda/{self.team.rank}"].cpu())
        self.progress(f"going on at step {self.step + 1}", self.step, self.steps)

    def _note(self, always: bool = False) -> None:
        """Write the state down if it is time to: under another name first, so that a kill leaves the old one or the new one."""
        if self.checkpoint is None:
            return
        due = always or time.monotonic() - self.noted >= NOTE_SECONDS
        if not self.team.total(due, device=self.model.device)[0]:
            return
        tensors = {f"now/{name}": value for name, value in trainable(self.model).items()}
        tensors |= {f"kept/{name}": value for name, value in self.kept.items()}
        for number, weight in enumerate(self.weights):
            state = self.optimizer.state.get(weight, {})
            tensors |= {f"{moment}/{number}": whole(state[moment]).clone() for moment in ("exp_avg", "exp_avg_sq") if moment in state}
        random = {"cpu": torch.get_rng_state()}
        if self.model.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state()
        for rank, states in self.team.gathered({self.team.rank: random}).items():
            tensors |= {f"random/{device}/{rank}": state for device, state in states.items()}
        if self.team.rank == 0:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            partial = self.checkpoint.with_suffix(".partial")
            counts = {name: getattr(self, name) for name in self._COUNTS}
            counts |= {"processes": self.team.size, "seconds": time.monotonic() - self.began}
            tensors = {name: value.contiguous() for name, value in tensors.items()}
            safetensors.torch.save_file(tensors, partial, {"counts": json.dumps(counts)})
            partial.replace(self.checkpoint)
        self.noted = time.monotonic()


def noted_seconds(checkpoint: Path) -> float:
    """How long it took to reach the state that `tune` will go on from; 0 if there is none."""
    return team().from_first(lambda: saved[0]["seconds"] if (saved := _read(checkpoint)) else 0.0)


def _read(checkpoint: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """What `_Run._note` wrote, if there is a sound one of as many processes."""
    try:
        with safetensors.safe_open(checkpoint, "pt") as file:
            counts = json.loads(file.metadata()["counts"])
            if counts["processes"] != team().size or not {*_Run._COUNTS, "seconds"}.issubset(counts):
                return None
            return counts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return None  # none yet, or a damaged one: from the beginning


def rows(texts: int, size: int, device: torch.device) -> int:
    """How many rows a pass has for its texts. Scoring fills every pass up to `size`, so that no result depends on its neighbours; tuning
    has no such need, and a GPU is spared the copies. On a CPU they decide what dropout draws and stay, so that no fit there changes."""
    return size if device.type == "cpu" else texts


def _quality(entry: dict[str, float]) -> tuple[float, float]:
    """For sorting epochs: by validation log loss; where there is none, the last first."""
    return entry.get("valid_loss", -math.inf), -entry["epoch"]
