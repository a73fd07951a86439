"""Data sets by name: `load("movielens-small")` gives a `CTRDataset`, parsed once and then opened from its cache.

    dataset = load("movielens-small")
    rows = dataset.shots(256, seed=0)

Raw files are looked for in the places that `sources.read_raw` lists.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
from pathlib import Path

from laser_core.datasets.dataset import About, CTRDataset
from laser_core.datasets.sources import Reader, read_raw
from laser_core.errors import DataError, FaultError, unknown
from laser_core.progress import Progress, no_progress
from laser_core.settings import get_settings

_LOG = logging.getLogger(__name__)


_MODULES = {
    "movielens-small": "movielens",
    "ml-1m": "movielens",
    "bookcrossing": "bookcrossing",
    "bookcrossing-explicit": "bookcrossing",
}
NAMES = tuple(_MODULES)


def load(name: str, source: Path | None = None, progress: Progress = no_progress, again: bool = False) -> CTRDataset:
    """A data set, from its cache in `settings.home / "datasets"`; the first time it is obtained, checked, parsed and cached.

    Args:
        source: A folder or zip with the raw files. Not read when the data set is in the cache: the files are checked, so they would
            give the same.
        again: Parse the raw files even when the data set is in the cache.

    Raises:
        UserError: There is no such data set.
        DataError: A raw file is missing, damaged or of another edition.
        FaultError: The raw files cannot be obtained, or the cache cannot be written.
    """
    reader = _reader(name)
    folder = cache_folder(name)
    if folder.exists() and not again:
        try:
            return CTRDataset.load(folder)
        except DataError as error:
            damaged = error
    else:
        damaged = None
    files = read_raw(reader.raw, source, progress)
    progress(f"parsing {name}", 0, 0)
    dataset = reader.read(files)
    try:
        if damaged is not None:
            aside = Path(tempfile.mkdtemp(prefix=f"{name}-damaged-", dir=folder.parent))
            folder.replace(aside)
            _LOG.warning("%s; it was set aside as %s and made again", damaged, aside.name)
        dataset.save(folder)
    except OSError as error:
        raise FaultError(f"{folder} cannot be written ({error.strerror}): free space there or set LASER_HOME to another folder") from None
    return CTRDataset.load(folder)


def about(name: str) -> About:
    """What a data set is, in words, without loading it.

    Raises:
        UserError: There is no such data set.
    """
    return _reader(name).about


def cache_folder(name: str) -> Path:
    """Where the parsed data set is kept."""
    return get_settings().home / "datasets" / name


def _reader(name: str) -> Reader:
    if name not in _MODULES:
        raise unknown("data set", name, NAMES)
    return importlib.import_module(f"laser_core.datasets.{_MODULES[name]}").READERS[name]
