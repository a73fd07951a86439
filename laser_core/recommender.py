"""`Recommender`: the one interface of every system, from a logistic regression to a tuned language model."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import DataError, UserError, unknown
from laser_core.progress import Progress, no_progress


class Recommender(ABC):
    """Fits on labelled samples and predicts the probability of a positive label.

    The constructor stores `options`; `fit` learns and returns self; learned state ends in `_`.
    """

    Options: ClassVar[type]
    """A frozen dataclass of this system's settings, each with a default; checks values in `__post_init__`."""
    dataset_name_: str = ""
    dataset_version_: str | None = None
    """what it was fitted on; None before `fit`"""

    def __init__(self, options: Any = None, **changes: Any) -> None:
        self.options = make_options(type(self).Options, changes) if options is None else dataclasses.replace(options, **changes)
        self.labels_seen_: int = 0
        """how many distinct ratings had their label in the fitting loss"""
        self.curve_: list[dict[str, float]] = []
        """one entry an epoch (or check): training loss, validation log loss, ..."""
        self.cost_: dict[str, float] = {}
        """what `fit` and `predict` know of their own cost beyond seconds and memory, such as tokens"""

    @abstractmethod
    def fit(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Learn from the labels of `rows`; choose and stop by `valid_rows`; read no other label than those and the histories'.

        Raises:
            UserError: The labels of `rows` are all the same.
        """

    @abstractmethod
    def predict(self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """(rows,) float64 probabilities of a positive label. Order, repeats and grouping of `rows` change no value by more than 1e-7.

        Raises:
            UserError: It is not fitted, or `rows` are no samples of the data set (`CTRDataset.check_rows`).
        """

    @abstractmethod
    def save(self, folder: Path | str) -> None:
        """Write options and learned state (JSON, .npz, safetensors; never pickle)."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: The folder is incomplete, damaged or of another system.
        """

    def write_words(self, folder: Path | str, **more: object) -> Path:
        """Write `model.json` for `save`: the options, what `fit` and `predict` tell of themselves, and `more`; returns the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        words = {
            "class": type(self).__name__,
            "options": dataclasses.asdict(self.options),
            "labels_seen": self.labels_seen_,
            "curve": self.curve_,
            "cost": self.cost_,
            **more,
        }
        (folder / "model.json").write_text(json.dumps(words, indent=1), encoding="utf-8")
        return folder

    @classmethod
    @contextmanager
    def reading(cls, folder: Path, *faults: type[Exception]) -> Iterator[tuple[Self, dict[str, Any]]]:
        """For `load`: a system as `model.json` describes it, and the words there; the block reads what else `save` wrote.

        Args:
            faults: What damaged files raise besides Python's own errors.

        Raises:
            DataError: `model.json`, or what the block reads, is missing, damaged or of another system.
        """
        try:
            words = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if not isinstance(words, dict) or not isinstance(words["options"], dict):
                raise ValueError("model.json does not hold what it should")
            if words["class"] != cls.__name__:
                raise DataError(f"{folder} holds a {words['class']}, not a {cls.__name__}")
            made = cls(make_options(cls.Options, words["options"]))
            made.labels_seen_, made.curve_, made.cost_ = words["labels_seen"], words["curve"], words["cost"]
            yield made, words
        except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, *faults) as error:
            raise DataError(f"the model in {folder} is missing or damaged, or an older kit saved it ({error}): fit it again") from None

    def describe(self) -> dict[str, Any]:
        """Options, number of learned parameters, labels seen and cost so far, ready for JSON."""
        return {
            "options": dataclasses.asdict(self.options),
            "parameters": self.parameter_count(),
            "labels_seen": self.labels_seen_,
            "cost": self.cost_,
        }

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before)."""
        return 0

    def check_fitted(self, fitted: bool) -> None:
        """A model has to learn before it scores.

        Raises:
            UserError: It is not fitted.
        """
        if not fitted:
            raise UserError(f"{type(self).__name__} is not fitted: call fit, or load a saved model")

    def check_data(self, dataset: CTRDataset) -> None:
        """A model scores what it was fitted on: the ids of other data, or of another version of it, mean something else.

        Raises:
            UserError: The model is not fitted, or was fitted on other data.
        """
        self.check_fitted(self.dataset_version_ is not None)
        if (dataset.name, dataset.version) != (self.dataset_name_, self.dataset_version_):
            raise UserError(
                f"this model was fitted on {self.dataset_name_} (version {self.dataset_version_}) and cannot score {dataset.name} "
                f"(version {dataset.version}): fit it again"
            )


_MOST = 2**31 - 1  # whole numbers beyond it are too large for arrays' own


def make_options(kind: type, changes: dict[str, Any]) -> Any:
    """Build an Options dataclass from plain values (JSON, TOML, command line text).

    Raises:
        UserError: An unknown name, a value of the wrong type, or a number that is none (NaN), endless or too large.
    """
    hints = typing.get_type_hints(kind)
    names = [entry.name for entry in dataclasses.fields(kind)]
    values = {}
    for name, value in changes.items():
        if name not in names:
            raise unknown("option", name, names)
        values[name] = made = _as_type(name, value, hints[name])
        for number in made if isinstance(made, tuple) else (made,):
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"option '{name}' must be finite, not {number}")
            if isinstance(number, int) and abs(number) > _MOST:
                raise UserError(f"option '{name}' must be at most {_MOST}, not {number}")
    return kind(**values)


def _as_type(name: str, value: Any, hint: Any) -> Any:
    """`value` as the option's type; text is read as a command line would give it."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            raise unknown(f"value of option '{name}'", str(value), map(str, typing.get_args(hint)))
        return value
    for kind in kinds:
        if typing.get_origin(kind) is tuple and (entries := _entries(value, typing.get_args(kind)[0])) is not None:
            return entries
        if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if kind in (int, float) and isinstance(value, str):
            try:
                return kind(value)
            except ValueError:
                continue
        if kind in (int, float, str, bool, type(None)) and _is(value, kind):
            return float(value) if kind is float else value
    wanted = getattr(hint, "__name__", hint)
    if typing.get_origin(hint) is tuple:
        noun, example = _SEVERAL[typing.get_args(hint)[0]]
        wanted = f"several {noun}, such as '{name}={example}'"
    raise UserError(f"option '{name}' must be {wanted}, not {value!r}")


_SEVERAL = {str: ("texts", '["one", "two"]'), int: ("whole numbers", "[1, 2]"), float: ("numbers", "[0.1, 0.3]")}


def _entries(value: Any, kind: type) -> tuple | None:
    """Several values of a type, each as it is given, or None; as text in JSON, with or without the brackets around."""
    if isinstance(value, str):
        try:
            value = json.loads(value if value.startswith("[") else f"[{value}]")
        except ValueError:
            return None
    return tuple(value) if isinstance(value, (list, tuple)) and all(_is(entry, kind) for entry in value) else None


def _is(value: Any, kind: type) -> bool:
    """Whether a plain value is of a type: a whole number is a number too, true and false are neither."""
    return isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))


def check_options(
    options: Any,
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    shares: Sequence[str] = (),
    widths: Sequence[str] = (),
) -> None:
    """Check options that are numbers, or one or more of them.

    Args:
        positive: Names of those that are greater than 0.
        not_negative: Of those that are 0 or more.
        shares: Of those that are at least 0 and less than 1.
        widths: Of those that are the widths of some layers, greater than 0; there may be no layer.

    Raises:
        UserError: One is something else.
    """
    ranges = (
        (positive, "positive", lambda number: number > 0),
        (not_negative, "0 or more", lambda number: number >= 0),
        (shares, "at least 0 and less than 1", lambda number: 0 <= number < 1),
        ([name for name in widths if getattr(options, name)], "positive", lambda number: number > 0),
    )
    for names, words, inside in ranges:
        for name in names:
            value = getattr(options, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or not all(map(inside, numbers)):
                raise UserError(f"option '{name}' must be {words}, not {', '.join(map(str, numbers)) or 'empty'}")


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """(at most `most`,) of some rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]


def check_both_classes(dataset: CTRDataset, rows: np.ndarray) -> None:
    """A model cannot be fitted on labels that are all the same.

    Raises:
        UserError: They are, or there are none.
    """
    labels = dataset.labels(rows)
    if len(labels) == 0:
        raise UserError("this system learns from labels and got none (0 shots): give it some; only an untuned language model needs none")
    if labels.min() == labels.max():
        raise UserError(
            f"the {len(labels):,} shots of {dataset.name} hold one class only (all labels are {int(labels[0])}): take more or another seed"
        )
