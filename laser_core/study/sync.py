"""Results of a study kept in step with an object store (S3, Google Cloud Storage, ...) or any other place that fsspec reaches.

Results are computed in a folder, where a lock tells several runners apart and ends with the process that holds it. Object stores know no
such lock. So machines that share no folder compute each in its own and sync before and after a run: a cell that two of them computed
meanwhile was computed twice, with the same predictions, and the one that was sent first stays. Names say what a result was computed from
and a result never changes, so nothing is ever overwritten; its record is sent last, so a result is either there or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from laser_core.errors import FaultError, UserError
from laser_core.study.planning import Planned
from laser_core.study.store import ResultStore, write_atomically


@dataclass
class Synced:
    """What a sync did."""

    sent: int = 0
    fetched: int = 0
    at_once_sent: int = 0
    """what systems said when asked at once (`laser_core.study.at_once`)"""
    at_once_fetched: int = 0
    damaged: list[str] = field(default_factory=list)
    """addresses of records over there that are not what was sent"""


def sync(store: ResultStore, planned: Iterable[Planned], url: str) -> Synced:
    """Send the finished cells of a study that are not over there, and fetch those that are not here.

    Args:
        planned: The study's cells, as `planning.plan` gives them.
        url: Such as "s3://bucket/laser", "gs://...", "file:///mnt/laser". Credentials are found as the library of that protocol does.

    Raises:
        UserError: No such protocol.
        FaultError: The protocol's library is not installed, the place cannot be reached, or the store cannot be written to.
    """
    place, root = _open(url)
    done = Synced()
    try:
        there = {name.removeprefix(root).lstrip("/") for name in place.find(root)}
        for entry in planned:
            if not entry.key:
                continue
            record = f"{entry.cell.dataset}/{entry.cell.system}/{entry.key}.json"
            here = entry.state == "done"
            if here and record not in there:
                done.sent += _send(store, place, root, record, there)
            elif not here and record in there:
                if here := _fetch(store, place, root, record, there, entry.identity):
                    done.fetched += 1
                else:
                    done.damaged.append(f"{url.rstrip('/')}/{record}")
            if here:
                _share_at_once(store, place, root, record, there, done)
    except FaultError:
        raise
    except Exception as error:  # each protocol's library has errors of its own
        raise FaultError(f"cannot sync with {url} ({type(error).__name__}: {error}): what was sent or fetched so far stays") from error
    return done


def _open(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    try:
        import fsspec
    except ImportError:
        raise FaultError("fsspec is not installed: pip install fsspec -c constraints.txt") from None
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise FaultError(f"cannot open {url}: {error}") from None
    except ValueError as error:
        raise UserError(f"cannot open {url}: {error}") from None


def _send(store: ResultStore, place: Any, root: str, record: str, there: set[str]) -> bool:
    """Send one result: test set, predictions, and last the record. False where it was recorded without its predictions."""
    predictions = _predictions(record)
    home = next((folder for folder in store.folders if (folder / predictions).exists() and (folder / record).exists()), None)
    if home is None:
        return False
    for name in (_test_set((home / record).read_bytes(), record), predictions, record):
        if name not in there and (home / name).exists():
            target = f"{root}/{name}"
            place.makedirs(target.rpartition("/")[0], exist_ok=True)
            place.pipe_file(target, (home / name).read_bytes())
            there.add(name)
    return True


def _fetch(store: ResultStore, place: Any, root: str, record: str, there: set[str], identity: dict[str, Any]) -> bool:
    """Fetch one result in the same order; False where it is damaged, which the store finds by its checksums and sets aside."""
    content = place.cat_file(f"{root}/{record}")
    try:
        test_set = _test_set(content, record)
    except (ValueError, KeyError, TypeError):
        return False
    for name in (test_set, _predictions(record)):
        if name in there and not (store.folder / name).exists():
            write_atomically(store.folder / name, place.cat_file(f"{root}/{name}"))
    write_atomically(store.folder / record, content)
    return store.find(identity) is not None


def _share_at_once(store: ResultStore, place: Any, root: str, record: str, there: set[str], done: Synced) -> None:
    """Send what a result's system said when asked at once, or fetch it: whichever side has it. `done` counts it."""
    head, _, name = _predictions(record).rpartition("/")
    asked = f"{head}/at-once/{name}"
    home = next((folder for folder in store.folders if (folder / asked).exists()), None)
    if home is None and asked in there:
        write_atomically(store.folder / asked, place.cat_file(f"{root}/{asked}"))
        done.at_once_fetched += 1
    elif home is not None and asked not in there:
        place.makedirs(f"{root}/{head}/at-once", exist_ok=True)
        place.pipe_file(f"{root}/{asked}", (home / asked).read_bytes())
        done.at_once_sent += 1


def _predictions(record: str) -> str:
    return record.removesuffix("json") + "parquet"


def _test_set(content: bytes, record: str) -> str:
    """The name of the test set of a record. What is no plain name leads nowhere: records from elsewhere are not trusted with paths."""
    name = json.loads(content)["test_set"]
    return f"{Path(record).parts[0]}/test-{name if name.isalnum() else 'unknown'}.parquet"
