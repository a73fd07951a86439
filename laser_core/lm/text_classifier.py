"""What CTR-BERT, PTab and P5 share: fine-tuning of a small language model on texts, and scoring with it.

A sample is one text or several; a model reads each text into a vector and answers from the vectors of a sample. Training is AdamW on the
log loss with a linear warm-up and decay, checked on validation samples a fixed number of times, and the best check is what is kept.
Scoring reads every distinct text once: many samples of one item share its vector.
"""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from laser_core.datasets.dataset import CTRDataset
from laser_core.device import torch_device
from laser_core.lm import backbones
from laser_core.lm.halving import halving, within_memory
from laser_core.lm.scoring import grouped
from laser_core.lm.texts import Reader, Text
from laser_core.lm.tuning import NoNumberError, check_blocks, check_numbers, restore, trainable
from laser_core.metrics.ranking import log_loss_of_odds
from laser_core.progress import Progress, no_progress
from laser_core.recommender import Recommender, check_both_classes, check_options, evenly

Sample = tuple[np.ndarray, ...]
"""the tokens of each of a sample's texts"""
_PIECE = 8  # samples that pass through the model at once in training, texts of a GPU's pass in scoring
_ROUND = 32  # on a GPU lengths are rounded up to a multiple of this
_REMEDY = "set a smaller max_tokens or history, learn fewer blocks (top_blocks), or take a smaller backbone"


@dataclass(frozen=True)
class TextOptions:
    """Settings that CTR-BERT, PTab and P5 have in common."""

    backbone: str = "minilm-l6"
    """short name, folder or hub id of the language model"""
    history: int = 0
    """K: at most so many of the last ratings are in a text; 0 takes the data set's own"""
    max_tokens: int = 128
    """a longer text loses its oldest ratings: 128 hold about ten of a MovieLens history"""
    epochs: int = 3
    """passes over the shots"""
    least_steps: int = 60
    """few shots are gone over more often than `epochs`: at least so many optimizer steps are planned"""
    batch_size: int = 16
    """samples an optimizer step (at most N)"""
    learning_rate: float = 5e-5
    """of the language model, at its highest"""
    head_learning_rate: float = 1e-3
    """of what is put on top of it and starts from nothing"""
    weight_decay: float = 0.01
    """of AdamW"""
    top_blocks: int = 0
    """only the last so many blocks of the language model are learned; 0: all, and the word vectors"""
    checks: int = 6
    """how often the validation loss is looked at, at even distances"""
    patience: int = 2
    """stop after so many checks without a better validation loss"""
    valid_limit: int = 256
    """at most so many validation samples; 0: no check, the end of the training is kept"""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bf16 where the processor multiplies it fast, else fp32"""

    def __post_init__(self) -> None:
        backbones.get(self.backbone)
        above = ("max_tokens", "epochs", "batch_size", "learning_rate", "head_learning_rate", "checks", "patience")
        check_options(self, positive=above, not_negative=("history", "top_blocks", "valid_limit", "least_steps", "weight_decay"))


class TextModel(nn.Module):
    """A language model and what answers from its vectors."""

    body: nn.Module
    """the language model of transformers; all other parameters are the head"""

    def read(self, ids: Tensor, real: Tensor) -> Tensor:
        """(texts, size) vectors of padded (texts, length) token ids; `real` is 1 at tokens and 0 at padding."""
        raise NotImplementedError

    def answer(self, vectors: Tensor) -> Tensor:
        """(batch,) log-odds of a positive label from (batch, texts, size)."""
        raise NotImplementedError

    def forward(self, *texts: tuple[Tensor, Tensor]) -> Tensor:
        """(batch,) log-odds; each of `texts` is (ids, real) of one text of every sample."""
        vectors = torch.stack([self.read(ids, real) for ids, real in texts], dim=1)  # (batch, texts, size)
        with torch.autocast(vectors.device.type, enabled=False):
            return self.answer(vectors.float())


class TextClassifier(Recommender):
    """A language model fine-tuned to tell a positive label from texts. A subclass says which texts, and which `TextModel`."""

    Options = TextOptions
    kind: ClassVar[str] = "encoder"
    """of the backbones it can be made of"""

    def __init__(self, options: TextOptions | None = None, **changes: object) -> None:
        super().__init__(options, **changes)
        self._check_kind()

    def _check_kind(self) -> None:
        if self.wants_weights():
            backbones.need(self.options.backbone, self.kind, type(self).__name__)

    @abstractmethod
    def texts(self, dataset: CTRDataset, row: int) -> tuple[Text, ...]:
        """What the model reads of one sample. Needs no weights."""

    @abstractmethod
    def build(self, reader: Reader, progress: Progress) -> TextModel:
        """The model before it has learned from labels."""

    def wants_weights(self) -> bool:
        """Whether the backbone's weights are used, or its tokenizer alone."""
        return True

    def adapt(self, samples: Sequence[Sample], reader: Reader, seed: int, progress: Progress) -> dict[str, float]:
        """Learn from the texts of the shots without their labels; what to add to `cost_`."""
        return {}

    # ---- learning and scoring --------------------------------------------------------------------------------------------------------

    @within_memory(_REMEDY)
    def fit(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Fine-tune on the labels of `rows`, keep the check with the lowest log loss on `valid_rows`.

        Raises:
            UserError: The labels of `rows` are all the same, or a text is too long.
            FaultError: The backbone's weights are not to be had, memory does not suffice, or the loss is no number before one check was
                good.
        """
        check_both_classes(dataset, rows)
        rows = np.unique(rows)
        options = self.options
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            reader = self._open(progress)
            samples, labels = self._encode(dataset, rows, reader), torch.from_numpy(dataset.labels(rows)).float()
            more = self.adapt(samples, reader, seed, progress)
            judges = evenly(valid_rows, options.valid_limit)
            valid, target = self._encode(dataset, judges, reader), dataset.labels(judges)
            validate = (lambda: log_loss_of_odds(target, self._log_odds(valid)[0])) if len(valid) else None
            self.curve_ = train(self.model_, samples, labels, options, self.dtype_, seed, validate, progress)
        self.labels_seen_ = len(rows)
        self.cost_ = {"fit_tokens": self.curve_[-1]["tokens"], **more}
        return self

    @within_memory(_REMEDY)
    def predict(self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """(rows,) float64 probabilities of a positive label.

        Raises:
            UserError: It is not fitted, or `rows` are no samples of the data set.
            FaultError: Memory does not suffice.
        """
        self.check_fitted(hasattr(self, "model_"))
        wanted, back = np.unique(dataset.check_rows(rows), return_inverse=True)
        samples = self._encode(dataset, wanted, Reader(self.options.backbone, self.options.max_tokens))
        odds, texts, tokens = self._log_odds(samples, progress)
        self.cost_ = {**self.cost_, "predict_texts": texts, "predict_tokens": tokens}
        return (1 / (1 + np.exp(-odds)))[back]

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before)."""
        return sum(weight.numel() for weight in trainable(self.model_).values()) if hasattr(self, "model_") else 0

    def _encode(self, dataset: CTRDataset, rows: np.ndarray, reader: Reader) -> list[Sample]:
        return [tuple(reader.tokens(text) for text in self.texts(dataset, int(row))) for row in rows]

    @within_memory(_REMEDY)
    def _open(self, progress: Progress) -> Reader:
        """Bring the backbone here and build the model on it."""
        progress("opening the language model", 0, 0)
        backbones.fetch(self.options.backbone, progress)
        self._check_kind()  # of a hub id it is known only now
        reader = Reader(self.options.backbone, self.options.max_tokens)
        device = torch_device()
        self.dtype_ = backbones.precision(self.options.precision, device)
        self.model_ = self.build(reader, progress).to(device)
        if self.options.top_blocks:
            freeze_below(self.model_.body, self.options.top_blocks)
        return reader

    def _log_odds(self, samples: Sequence[Sample], progress: Progress = no_progress) -> tuple[np.ndarray, int, int]:
        """(samples,) log-odds, and how many distinct texts and tokens were read for them.

        On a CPU every text is read alone at its own length, on a GPU in passes of one size filled up with copies: no result depends on
        the other samples.
        """
        alone = next(self.model_.parameters()).device.type == "cpu"
        return halving(lambda size: self._read(samples, size, progress), 1 if alone else _PIECE)[0]

    @torch.no_grad()
    def _read(self, samples: Sequence[Sample], size: int, progress: Progress) -> tuple[np.ndarray, int, int]:
        model, device = self.model_.eval(), next(self.model_.parameters()).device
        numbers: dict[bytes, int] = {}
        place = [[numbers.setdefault(ids.tobytes(), len(numbers)) for ids in sample] for sample in samples]
        distinct = [np.frombuffer(ids, dtype=np.int64) for ids in numbers]
        step = 1 if size == 1 else _ROUND
        vectors: list[Tensor] = [torch.empty(0)] * len(distinct)
        done = 0
        with computing(device, self.dtype_):
            for group in grouped([-(-len(ids) // step) * step for ids in distinct], size, equal=True):
                width = -(-len(distinct[group[0]]) // step) * step
                own = [distinct[number] for number in group]
                read = model.read(*padded([*own, *own[:1] * (size - len(own))], width, device)).float()
                for number, vector in zip(group, read, strict=False):
                    vectors[number] = vector
                done += len(group)
                progress("scoring, texts read", done, len(distinct))
        odds = [model.answer(torch.stack([vectors[number] for number in own])[None]) for own in place]
        tokens = sum(map(len, distinct))
        return (torch.cat(odds).double().cpu().numpy() if odds else np.zeros(0)), len(distinct), tokens

    # ---- keeping -----------------------------------------------------------------------------------------------------------------------

    def save(self, folder: Path | str) -> None:
        """Write `model.json` and what was learned as `model.safetensors`."""
        folder = self.write_words(folder)
        save_file({name: weight.cpu().contiguous() for name, weight in trainable(self.model_).items()}, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote, and open the backbone.

        Raises:
            DataError: The folder is incomplete, damaged or of another system.
            FaultError: The backbone's weights are not to be had.
        """
        folder = Path(folder)
        with cls.reading(folder, SafetensorError) as (made, _):
            weights = load_file(folder / "model.safetensors")
            with torch.random.fork_rng():
                made._open(no_progress)
            if set(weights) != set(trainable(made.model_)):
                raise ValueError("its weights are of another model")
            restore(made.model_, weights)
        return made


# ---- training --------------------------------------------------------------------------------------------------------------------------


def train(
    model: TextModel,
    samples: Sequence[Sample],
    labels: Tensor,
    options: TextOptions,
    dtype: torch.dtype,
    seed: int,
    validate: Callable[[], float] | None = None,
    progress: Progress = no_progress,
) -> list[dict[str, float]]:
    """Fit a model to labels in place; at the end it is that of the best check.

    Returns:
        One entry a check: epoch, steps and tokens so far, train_loss since the last check, and valid_log_loss.

    Raises:
        FaultError: A loss or a weight is no number before one check was good. Where that happens later, training stops and keeps the best
            check, and the last entry says so (`stopped_by_nan`).
    """
    device = next(model.parameters()).device
    body = {id(weight) for weight in model.body.parameters()}
    free = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in free if id(weight) in body], "lr": options.learning_rate},
        {"params": [weight for weight in free if id(weight) not in body], "lr": options.head_learning_rate},
    ]
    batch = min(options.batch_size, len(samples))
    steps = max(options.epochs * math.ceil(len(samples) / batch), options.least_steps)
    every = math.ceil(steps / options.checks)
    curve: list[dict[str, float]] = []
    kept: dict[str, Tensor] = {}
    since: list[float] = []
    tokens, taken, size = 0, 0, _PIECE

    def place() -> dict[str, float]:
        return {"epoch": taken * batch / len(samples), "steps": taken, "tokens": tokens}

    def loss(numbers: np.ndarray) -> float:
        nonlocal tokens, size
        total, size = halving(lambda most: gradients(numbers, most), size, _PIECE)
        tokens += sum(len(ids) for number in numbers for ids in samples[number])
        return total

    def gradients(numbers: np.ndarray, most: int) -> float:
        for weight in free:
            weight.grad = None  # of a pass before memory gave out
        total = 0.0
        for own in grouped([sum(map(len, samples[number])) for number in numbers], most):
            chosen = numbers[own]
            with computing(device, dtype):
                odds = model(*(padded(texts, max(map(len, texts)), device) for texts in zip(*(samples[n] for n in chosen), strict=True)))
            part = nn.functional.binary_cross_entropy_with_logits(odds, labels[chosen].to(device), reduction="sum") / len(numbers)
            part.backward()
            total += part.item()
        return total

    def after(step: int, value: float) -> bool:
        """Look at the validation loss when it is time; whether to stop."""
        nonlocal taken
        taken = step
        since.append(value)
        progress(f"tuning, loss {np.mean(since):.3f}", step, steps)
        if step % every and step < steps:
            return False
        entry = {**place(), "train_loss": float(np.mean(since)), **({"pass_size": size} if size < _PIECE else {})}
        since.clear()
        if validate is not None:
            entry["valid_log_loss"] = validate()
            model.train()
        check_numbers(free, entry.get("valid_log_loss", 0.0), f"after step {step}", options.learning_rate)
        best = min((check["valid_log_loss"] for check in curve), default=math.inf) if validate is not None else math.inf
        if entry.get("valid_log_loss", -math.inf) < best:
            kept.update(trainable(model))
        curve.append(entry)
        return validate is not None and len(curve) - 1 - _best(curve) >= options.patience

    model.train()
    try:
        descend(groups, len(samples), batch, steps, loss, np.random.default_rng(seed), options.weight_decay, after)
    except NoNumberError as error:
        if not curve:
            raise
        progress(f"{error.where}: kept step {curve[-1 if validate is None else _best(curve)]['steps']}", steps, steps)
        curve.append({**place(), "stopped_by_nan": 1.0})
    restore(model, kept)
    model.eval()
    return curve


def descend(
    groups: list[dict],
    count: int,
    batch: int,
    steps: int,
    loss: Callable[[np.ndarray], float],
    generator: np.random.Generator,
    weight_decay: float,
    after: Callable[[int, float], bool],
) -> None:
    """AdamW (I. Loshchilov and F. Hutter, 2019) over shuffled samples: a tenth of the steps warm up, then the rate falls linearly to zero.

    Args:
        groups: Parameters and their highest learning rate, as torch's optimizers take them.
        loss: Numbers of the samples of a batch -> their loss, with gradients added up.
        after: Called with the number of steps done and the loss; true stops.

    Raises:
        NoNumberError: The loss or the gradient is no number; the step has changed nothing.
    """
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm)))
    weights = [weight for group in groups for weight in group["params"]]
    order = np.zeros(0, dtype=np.int64)
    for step in range(1, steps + 1):
        if len(order) < batch:  # a pass over the samples ends in the middle of a batch: the next begins there
            order = np.concatenate([order, generator.permutation(count)])
        numbers, order = order[:batch], order[batch:]
        value = loss(numbers)
        norm = torch.nn.utils.clip_grad_norm_(weights, 1.0)
        if not (math.isfinite(value) and torch.isfinite(norm)):
            raise NoNumberError("the loss", f"at step {step}", groups[0]["initial_lr"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if after(step, value):
            return


def padded(texts: Sequence[np.ndarray], width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(texts, width) token ids, and (texts, width) 1 where they are real."""
    ids, real = np.zeros((len(texts), width), dtype=np.int64), np.zeros((len(texts), width), dtype=np.int64)
    for row, own in enumerate(texts):
        ids[row, : len(own)], real[row, : len(own)] = own, 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(real).to(device)


def computing(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager:
    """Products in bf16 where asked for; the weights stay in fp32."""
    return torch.autocast(device.type, dtype) if dtype == torch.bfloat16 else contextlib.nullcontext()


def freeze_below(body: nn.Module, blocks: int) -> None:
    """Learn only the last `blocks` blocks of every stack of a language model.

    Raises:
        UserError: It has fewer.
    """
    stacks: dict[str, nn.ModuleList] = {}
    for name, module in body.named_modules():  # outer lists come first; a list inside a block is no stack
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{other}.") for other in stacks):
            stacks[name] = module
    fewest = min(map(len, stacks.values()), default=0)
    check_blocks(blocks, fewest)
    body.requires_grad_(False)
    for stack in stacks.values():
        for block in stack[-blocks:]:
            block.requires_grad_(True)


def _best(curve: list[dict[str, float]]) -> int:
    """The first check with the lowest validation loss."""
    return min(range(len(curve)), key=lambda number: curve[number]["valid_log_loss"])
