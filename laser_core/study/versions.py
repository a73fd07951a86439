"""What decides whether a stored result is of today - data version, system revision, full options - without loading anything heavy."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laser_core import datasets, systems
from laser_core.settings import get_settings

if TYPE_CHECKING:
    from laser_core.study.spec import Cell

PACKAGE = Path(systems.__file__).parent


def cached_data_version(dataset: str) -> str | None:
    """The version of a data set that today's reader has parsed on this machine, else None."""
    if datasets.is_outdated(dataset):
        return None
    try:
        return json.loads((datasets.cache_folder(dataset) / "dataset.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        return None


def cached_training_samples(dataset: str) -> int | None:
    """How many training samples a data set has that has been parsed on this machine, else None."""
    import numpy as np

    try:
        return len(np.load(datasets.cache_folder(dataset) / "train.npy", mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError):
        return None


def is_current(cell: Mapping[str, Any], data_version: str | None) -> bool:
    """Whether a result is of today's revision of its system and, as far as known here, of today's version of its data."""
    entry = systems.SYSTEMS.get(cell["system"])
    return entry is not None and entry.revision == cell["revision"] and data_version in (None, cell["data_version"])


def full_options(system: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a system after `changes`, as plain JSON values.

    An option that a class got after results were recorded is marked `metadata={"late": True}` and left out at its default, unless the
    system's preset names it: keys of old results still fit, and who sets back what a preset sets has options of his own.

    A model's options live beside the model, whose import may take seconds (torch). So the answer is remembered on disk for as
    long as no source file of the package changes.

    Raises:
        UserError: An option that the system does not have, or a wrong value.
        FaultError: A package that the system needs is not installed.
    """
    entry = systems.get(system)
    if systems.missing_packages(entry):
        systems.recommender_class(system)  # says which, and what to do
    remembered = _remembered(entry, changes)
    try:
        return json.loads(remembered.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    made = systems.create(system, **changes).options
    late = {option.name: option.default for option in dataclasses.fields(made) if option.metadata.get("late")}
    kept = {
        name: value for name, value in dataclasses.asdict(made).items() if name in entry.preset or name not in late or value != late[name]
    }
    options = json.loads(json.dumps(kept))
    try:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        partial = remembered.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(options), encoding="utf-8")
        partial.replace(remembered)
    except OSError:  # only a convenience: without it the next start imports the model again
        pass
    return options


def known_options(system: str) -> dict[str, Any] | None:
    """What `full_options` says of a system as it is, where that is remembered; None where its model would have to be loaded."""
    try:
        return json.loads(_remembered(systems.SYSTEMS[system], {}).read_text(encoding="utf-8"))
    except (KeyError, ImportError, OSError, ValueError):
        return None


def _remembered(entry: systems.System, changes: Mapping[str, Any]) -> Path:
    """The file that holds the answer of `full_options` for today's source."""
    question = json.dumps([entry.name, entry.where, entry.preset, dict(changes)], sort_keys=True)
    name = hashlib.sha256((question + _source_hash(entry.where)).encode()).hexdigest()[:20]
    return get_settings().home / "options" / f"{name}.json"


def are_todays(options: Mapping[str, Any], variant: str, usual: Mapping[str, Any]) -> bool:
    """Whether options of a stored result that its variant does not name are the system's own, `usual`: the code's may have changed."""
    changed = changed_options(options, variant)
    return all(usual.get(name, value) == value for name, value in options.items() if name not in changed)


def changed_options(options: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Those of a stored result's options that its variant names."""
    return {name: value for name, value in options.items() if f", {name}={json.dumps(value)}" in f", {variant}"}


def variant(system: str, options: Mapping[str, Any]) -> str:
    """The options that differ from the system's own, as text: "" for none, else such as "dropout=0.2, epochs=5"."""
    usual = full_options(system, {})
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items() if usual.get(name) != value)


@cache
def _source_hash(where: str) -> str:
    """A hash of every source file that can decide a system's options: the package's, and the system's own where it lies elsewhere."""
    module = importlib.util.find_spec(where.partition(":")[0])
    own = Path(module.origin) if module is not None and module.origin else None
    return _package_hash() if own is None or PACKAGE in own.parents else _package_hash() + hashlib.sha256(own.read_bytes()).hexdigest()


@cache
def _package_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def identity(cell: Cell, data_version: str) -> dict[str, Any]:
    """Everything that decides a cell's result, as the store hashes it into the key.

    Raises:
        UserError: An unknown system or option.
        FaultError: A package is missing.
    """
    return {
        "dataset": cell.dataset,
        "data_version": data_version,
        "system": cell.system,
        "revision": systems.get(cell.system).revision,
        "options": full_options(cell.system, cell.options),
        "shots": cell.shots,
        "seed": cell.seed,
        "test_rows": cell.test_rows,
    }
