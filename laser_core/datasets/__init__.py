"""Data sets by name: `load("movielens-small")` gives a `CTRDataset`, parsed once and then opened from its cache.

    dataset = load("movielens-small")
    rows = dataset.shots(256, seed=0)

Raw files are looked for in the places that `sources.read_raw` lists.
"""

from __future__ import annotations

import importlib
import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from laser_core.datasets.cards import card
from laser_core.datasets.dataset import About, CTRDataset
from laser_core.datasets.sources import Reader, read_raw
from laser_core.errors import DataError, FaultError, UserError, unknown
from laser_core.progress import Progress, no_progress
from laser_core.settings import get_settings

__all__ = ["NAMES", "about", "cache_folder", "card", "is_outdated", "load", "names"]

_LOG = logging.getLogger(__name__)


_MODULES = {
    "movielens-small": "movielens",
    "ml-1m": "movielens",
    "bookcrossing": "bookcrossing",
    "bookcrossing-explicit": "bookcrossing",
}
NAMES = tuple(_MODULES)
_REVISIONS = {"movielens": 1, "bookcrossing": 1}
"""of each reader, raised when it begins to make another data set of the same files, so that they are parsed again; `custom` has its own"""


def load(name: str | Path, source: Path | None = None, progress: Progress = no_progress, again: bool = False) -> CTRDataset:
    """A data set, from its cache in `settings.home / "datasets"`; the first time it is obtained, checked, parsed and cached.

    Args:
        name: One of `names()`, or the mapping file (.toml) of your own ratings: see `laser_core.datasets.custom`.
        source: A folder or zip with the raw files. Not read when the data set is in the cache: the files are checked, so they would
            give the same.
        again: Parse the raw files even when the data set is in the cache.

    Raises:
        UserError: There is no such data set, or its mapping file is wrong.
        DataError: A raw file is missing, damaged or of another edition.
        FaultError: The raw files cannot be obtained, or the cache cannot be written.
    """
    if str(name).endswith(".toml"):
        return _load_own(Path(name), progress, again)
    folder = cache_folder(str(name))
    known = name in _MODULES
    if not known and not (folder / "dataset.json").exists():
        raise unknown("data set", str(name), names())
    if not again or not known:
        cached = _from_cache(str(name))
        if cached is not None:
            return cached
        if not known:
            raise DataError(f"the parsed data set '{name}' was damaged: load its mapping file again")
    reader = _reader(str(name))
    files = read_raw(reader.raw, source, progress)
    progress(f"parsing {name}", 0, 0)
    return _to_cache(reader.read(files))


def _load_own(path: Path, progress: Progress, again: bool) -> CTRDataset:
    """Your own ratings; parsed anew whenever the mapping file or a file it names has changed."""
    from laser_core.datasets import custom

    own = custom.open_mapping(path)
    if own.mapping.name in NAMES:
        raise UserError(f"{path}: the name '{own.mapping.name}' belongs to a data set of the kit: choose another")
    cached = None if again else _from_cache(own.mapping.name)
    if cached is not None and cached.about.facts.get("source") == own.fingerprint:
        return cached
    progress(f"parsing {own.mapping.name}", 0, 0)
    return _to_cache(custom.build(own))


def _from_cache(name: str) -> CTRDataset | None:
    """The cached data set; None if there is none, its reader has changed, or it is damaged: then it is set aside, and that is said."""
    folder = cache_folder(name)
    if not folder.exists() or is_outdated(name):
        return None
    try:
        return CTRDataset.load(folder)
    except DataError as error:
        damaged = error
    with _writing(folder):
        aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.damaged-", dir=folder.parent))
        try:
            folder.replace(aside)
        except FileNotFoundError:  # another process was quicker
            aside.rmdir()
            return None
    _LOG.warning("%s (set aside as %s)", damaged, aside)
    return None


def _to_cache(dataset: CTRDataset) -> CTRDataset:
    """Save a data set, and open what was saved: its arrays then need no memory."""
    folder = cache_folder(dataset.name)
    with _writing(folder):
        dataset.save(folder, _revision(dataset.name))
    return CTRDataset.load(folder)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FaultError(f"{folder} cannot be written ({error.strerror}): free space there or set LASER_HOME to another folder") from None


def is_outdated(name: str) -> bool:
    """Whether an earlier revision of its reader parsed what is cached of a data set; caches from before there were revisions are of 1."""
    try:
        return json.loads((cache_folder(name) / "dataset.json").read_text(encoding="utf-8")).get("reader", 1) != _revision(name)
    except (OSError, ValueError, AttributeError):  # no cache, or a damaged one
        return False


def _revision(name: str) -> int:
    return _REVISIONS[_MODULES[name]] if name in _MODULES else 1


def about(name: str) -> About:
    """What a data set is, in words, without loading it.

    Raises:
        UserError: There is no such data set.
    """
    return _reader(name).about if name in _MODULES else load(name).about


def names() -> tuple[str, ...]:
    """The data sets of the kit, then your own that have been loaded before."""
    cached = sorted(path.parent.name for path in cache_folder("").glob("*/dataset.json"))
    return (*NAMES, *(name for name in cached if name not in NAMES and "." not in name))  # a dot: what was set aside


def cache_folder(name: str) -> Path:
    """Where the parsed data set is kept."""
    return get_settings().home / "datasets" / name


def _reader(name: str) -> Reader:
    return importlib.import_module(f"laser_core.datasets.{_MODULES[name]}").READERS[name]
