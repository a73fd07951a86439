"""Looking after stores: compare two, copy results to hand on, clear away what is of no use any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from laser_core.errors import FaultError
from laser_core.settings import get_settings
from laser_core.study.store import ResultStore, write_atomically

if TYPE_CHECKING:
    import pandas as pd

UNFINISHED = 24 * 3600
"""seconds for which a file without a record may be one that a runner is just writing"""
FORGOTTEN = 7 * 24 * 3600
"""seconds after which a tuning that was broken off is not expected to be gone on with"""
SAME_CELL = ["dataset", "system", "variant", "shots", "seed", "test_rows"]
"""what makes a cell of one store the counterpart of a cell of another, whatever the versions"""


def diff(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Two tables of cells (`ResultStore.cells`) side by side: what is in one only, what came out the same, what came out different.

    Of several results of one cell (other revisions of a system or its data) the latest counts.

    Returns:
        Columns of `SAME_CELL`; `state` ("only first", "only second", "same", "different", "failed"); `auc_first`, `auc_second` and
        `auc_change`; the same of log_loss; `key_first`, `key_second`. The largest change of AUC comes first.
    """
    columns = [*SAME_CELL, "status", "auc", "log_loss", "key"]
    sides = [table.drop_duplicates(SAME_CELL, keep="last")[columns].astype({"shots": str}) for table in (first, second)]
    both = sides[0].merge(sides[1], on=SAME_CELL, how="outer", suffixes=("_first", "_second"), indicator=True)
    for metric in ("auc", "log_loss"):
        both[f"{metric}_change"] = both[f"{metric}_second"] - both[f"{metric}_first"]
    same = (both["auc_change"] == 0) & (both["log_loss_change"] == 0)
    failed = (both[["status_first", "status_second"]] == "failed").any(axis=1)
    both["state"] = np.select(
        [both["_merge"] == "left_only", both["_merge"] == "right_only", failed, same],
        ["only first", "only second", "failed", "same"],
        "different",
    )
    names = [f"{metric}_{side}" for metric in ("auc", "log_loss") for side in ("first", "second", "change")]
    order = both["auc_change"].abs().sort_values(ascending=False, na_position="last", kind="stable").index
    return both.loc[order, [*SAME_CELL, "state", *names, "key_first", "key_second"]].reset_index(drop=True)


def export(store: ResultStore, cells: pd.DataFrame, folder: Path, predictions: bool = True) -> int:
    """Copy results into another store, such as `results/`, and say how many.

    Test sets of data that may not be redistributed are never in a store, so what is copied can be handed on.

    Args:
        cells: Which: rows of `store.cells()`; failed ones are left out.
        predictions: False: only the records, which carry every metric and its bootstrap, not each sample's probability.

    Raises:
        FaultError: The folder cannot be written to, or a file is gone.
    """
    copied = 0
    for row in cells[cells["status"] == "done"].itertuples():
        source, place = Path(row.folder) / row.dataset, folder / row.dataset
        files = [(name, source / name) for name in (f"{row.system}/{row.key}.parquet", f"{row.system}/{row.key}.json")]
        if predictions:
            test_set, asked = f"test-{row.test_set}.parquet", f"{row.system}/at-once/{row.key}.parquet"
            more = [(test_set, source / test_set), (asked, store.at_once_file(row.dataset, row.system, row.key))]
            files = [*((name, path) for name, path in more if path is not None and path.exists()), *files]
        else:
            files = files[1:]
        for name, path in files:  # the record last, as when it was first written
            try:
                content = path.read_bytes()
            except OSError as error:
                raise FaultError(f"cannot read {path} ({error.strerror}): run its study again") from None
            write_atomically(place / name, content)
        copied += 1
    return copied


@dataclass(frozen=True)
class Waste:
    """A file of a store, or a folder of notes, that nothing needs."""

    path: Path
    why: str
    bytes: int


def waste(store: ResultStore, older: bool = False) -> list[Waste]:
    """What no result needs in a store's own folder (half written, damaged and set aside, left without a record, claims of runners that
    were killed; what a runner may be at stays), and notes in the home folder of tunings that were broken off a week ago or earlier.

    Args:
        older: Also results of other revisions of a system, or of other versions of its data, than today's.
    """
    found = [Waste(path, why, _size(path)) for path, why in (*_useless(store), *_left_claims(store.folder), *_forgotten_notes())]
    if older:
        table = store.cells()
        for row in table[~table["current"].astype(bool)].itertuples():
            own = [f"{row.key}.json", f"{row.key}.parquet"] if row.folder == str(store.folder) else []
            paths = [store.folder / row.dataset / row.system / name for name in (*own, f"at-once/{row.key}.parquet")]
            files = [path for path in paths if path.exists()]
            found += [Waste(path, f"of revision {row.revision}, data {row.data_version}", path.stat().st_size) for path in files]
    return found


def remove(found: list[Waste]) -> int:
    """Delete what was found and say how many bytes that freed. A claim that a runner has taken meanwhile stays.

    Raises:
        FaultError: One cannot be deleted.
    """
    for entry in found:
        try:
            with ExitStack() as held:
                if entry.path.is_dir():
                    shutil.rmtree(entry.path)
                elif entry.path.suffix != ".lock" or _hold(entry.path, held):
                    entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise FaultError(f"cannot delete {entry.path} ({error.strerror})") from None
    return sum(entry.bytes for entry in found)


def _useless(store: ResultStore) -> Iterator[tuple[Path, str]]:
    folder = store.folder
    for path in sorted(folder.rglob(".*.partial")):
        if not _in_work(path, folder):
            yield path, "half written when its process ended"
    for path in sorted(folder.rglob("*.corrupt")):
        yield path, "damaged and set aside"
    for path in sorted(folder.glob("*/*/*.parquet")):
        if not path.with_suffix(".json").exists() and not _in_work(path, folder):
            yield path, "predictions without a record"
    for path in sorted(folder.glob("*/*/at-once/*.parquet")):
        record = path.parent.parent.relative_to(folder) / f"{path.stem}.json"
        if not any((place / record).exists() for place in store.folders):
            yield path, "asked at once, but without a record"


def _in_work(path: Path, folder: Path) -> bool:
    """Whether a runner may be at a file that no record names: it is young, or its cell is claimed."""
    claim = folder / ".claims" / f"{path.name.removeprefix('.').partition('.')[0]}.lock"
    try:
        young = time.time() - path.stat().st_mtime < UNFINISHED
    except FileNotFoundError:  # it has just got its name
        return True
    with ExitStack() as held:
        return young or (claim.exists() and not _hold(claim, held))


def _left_claims(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.glob(".claims/*.lock")):
        with ExitStack() as held:
            if not _hold(path, held):
                continue
        yield path, "claim of a runner that was killed"


def _hold(path: Path, held: ExitStack) -> bool:
    """Lock a claim until `held` ends; False where a runner has it."""
    from filelock import FileLock, Timeout

    try:
        held.enter_context(FileLock(path, timeout=0))
    except Timeout:
        return False
    return True


def _forgotten_notes() -> Iterator[tuple[Path, str]]:
    """Notes are made every few minutes while a tuning runs and deleted when it ends: old ones belong to none."""
    for path in sorted(get_settings().home.glob("tuning/*")):
        last = max(entry.stat().st_mtime for entry in (path, *path.rglob("*")))
        if time.time() - last > FORGOTTEN:
            yield path, "notes of a tuning that was broken off"


def _size(path: Path) -> int:
    return sum(entry.stat().st_size for entry in (path, *path.rglob("*")) if entry.is_file())
