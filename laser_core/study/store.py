"""The result store: one JSON and one Parquet file a cell, readable without this code.

    <store>/<dataset>/<system>/<key>.json        settings, metrics, cost, provenance of one cell, with a checksum of its own
    <store>/<dataset>/<system>/<key>.parquet     column `probability` (float32, multiples of 2^-14), in the order of the cell's test set
    <store>/<dataset>/test-<hash>.parquet        columns `row`, `user`, `label`: a test set, shared by all cells that were scored on it
    <store>/<dataset>/<system>/at-once/<key>.parquet    where it was asked for, columns `row`, `probability`: what the system says at the
                                                 moment of each user's first test sample; provenance in the file's metadata
                                                 (and there, as in test sets, the hash of the columns)

A key is the hash of everything that decides a result, so a cell is written once and never changes. Each file appears by a rename, the
JSON last: whatever happens in between, a cell is either there or not. Test sets of data that may not be redistributed stay in
the user's home folder, so a store can always be handed on.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laser_core.errors import FaultError, UserError
from laser_core.settings import get_settings
from laser_core.study import versions

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
STEP = 2.0**-14
"""probabilities are kept as whole multiples of this: half the bytes of 5 decimals, and no metric's fifth digit depends on it as long as
they are not all next to 0 or 1; where they are (logits around -10), steps make ties, and AUC and log loss are those of the kept ones"""
LOWEST = 1e-5  # and inside (0, 1), so that log loss stays finite
log = logging.getLogger("laser")


def canonical(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def cell_key(cell: Mapping[str, Any]) -> str:
    """The key of a cell: a hash of dataset, data_version, system, revision, options (all of them), shots, seed and test_rows."""
    return hashlib.sha256(canonical(cell).encode()).hexdigest()[:20]


def rounded(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as the store keeps them. Metrics are computed on these, so anyone can compute them again from the files."""
    return np.clip(np.round(np.asarray(probabilities) / STEP) * STEP, LOWEST, 1 - LOWEST).astype(np.float32)


def test_set_hash(cell: Mapping[str, Any], rows: np.ndarray) -> str:
    """A short name for a test set: data set, its version, and the rows."""
    digest = hashlib.sha256(f"{cell['dataset']}/{cell['data_version']}/".encode())
    digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return digest.hexdigest()[:12]


class ResultStore:
    """Results in one folder that is written to and any number of further ones that are only read.

    A record that was once found sound is listed from memory for as long as its file's size and time of change stay the same.
    A result that is found damaged counts as missing, said so in the log, and is set aside as `*.corrupt` where it may be written.
    """

    def __init__(self, folder: Path | str, *read_only: Path | str) -> None:
        """Open a store; nothing is made on disk before something is written."""
        self.folder = Path(folder)
        self.folders = [self.folder, *(Path(other) for other in read_only if Path(other) != self.folder)]

    # ---- reading ---------------------------------------------------------------------------------------------------------

    def cells(self) -> pd.DataFrame:
        """One row a stored result, failed ones included, in the order they were finished.

        Columns: dataset, system, variant, shots, seed, status, error, the metrics, the counts (`train_rows` is N as a number), the costs,
        revision, data_version, `current` (False: of another revision of the system, other options of its own or another version of the data
        than today's), test_set, options (JSON text), finished, key, folder.
        """
        import pandas as pd

        data_version = cache(versions.cached_data_version)  # asked once a data set, not once a row
        # Of a key that is in several folders, the first folder's comes last and so wins.
        rows = {row["key"]: row for folder in reversed(self.folders) for row in self._rows(folder)}
        rows = {key: row | {"current": versions.is_current(row, data_version(row["dataset"]))} for key, row in rows.items()}
        columns = dict.fromkeys([*_COLUMNS, *(name for row in rows.values() for name in row)])  # a system's own costs come last
        table = pd.DataFrame(list(rows.values()), columns=list(columns))
        table = table.sort_values(["finished", "key"], ignore_index=True)
        # Equal variants with different options: the code's own options have changed in between. Today's are those that agree with the
        # code, as far as its options are known without loading a model, and of these the latest.
        known, same = cache(versions.known_options), cache(_are_todays)
        names = zip(table["system"], table["variant"], table["options"], strict=True)
        todays = [known(system) is None or same(options, variant, canonical(known(system))) for system, variant, options in names]
        latest = table["options"].where(todays).groupby([table["system"], table["variant"]]).transform("last")
        table["current"] &= table["options"] == latest
        return table

    def read(self, key: str) -> dict[str, Any]:
        """The whole record of one result.

        Raises:
            UserError: There is no such result.
        """
        return self._read(key, self._checked)

    def _read(self, key: str, reader: Callable[[Path], dict[str, Any] | None]) -> dict[str, Any]:
        for folder in self.folders:
            for path in folder.glob(f"*/*/{key}.json"):
                record = reader(path)
                if record is not None:
                    return record
        raise UserError(f"there is no result '{key}' in {self.folder}: `laser study status` lists what is there")

    def find(self, cell: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of a cell, done or failed, with its predictions verified; None where it has to be computed."""
        key = cell_key(cell)
        for folder in self.folders:
            path = folder / cell["dataset"] / cell["system"] / f"{key}.json"
            record = self._checked(path) if path.exists() else None
            if record is None or (record["status"] == "done" and not self._predictions_are_sound(path, record)):
                continue
            return record
        return None

    def predictions(self, key: str) -> pd.DataFrame:
        """Columns row, user, label, probability of one result, a row a test sample.

        Raises:
            UserError: There is no such result, or it failed.
            FaultError: The predictions are damaged or were not kept, or the test set cannot be had.
        """
        import pandas as pd

        record = self._read(key, self._skimmed)
        if record["status"] != "done":
            raise UserError(f"result '{key}' failed and has no predictions: {record['error']}")
        cell = record["cell"]
        for folder in self.folders:
            path = folder / cell["dataset"] / cell["system"] / f"{key}.parquet"
            if path.exists() and self._predictions_are_sound(path.with_suffix(".json"), record):
                return self.test_set(record).assign(probability=pd.read_parquet(path)["probability"].to_numpy())
        raise FaultError(f"the predictions of result '{key}' are not in {self.folder}: run its study again")

    def asked_at_once(self) -> set[str]:
        """The keys of results whose systems were asked about all of a user's test samples at once (`laser_core.study.at_once`)."""
        return {path.stem for folder in self.folders for path in folder.glob("*/*/at-once/*.parquet") if self._is_as_written(path)}

    def at_once(self, key: str) -> pd.DataFrame:
        """Columns row, user, label, probability: what a result's system says of each user's test samples, asked at once.

        Raises:
            UserError: There is no such result.
            FaultError: It was not asked at once, the answers are damaged, or the test set cannot be had.
        """
        import pandas as pd

        record = self._read(key, self._skimmed)
        columns, _ = self._answers(key, record)
        return self.test_set(record).merge(pd.DataFrame({name: columns[name] for name in ("row", "probability")}), on="row")

    def asked_how(self, key: str) -> dict[str, Any]:
        """With what and when a result was asked at once, and `refit_differs` (`laser_core.study.at_once`).

        Raises:
            UserError: There is no such result.
            FaultError: It was not asked at once, or the answers are damaged.
        """
        return self._answers(key, self._read(key, self._skimmed))[1]

    def at_once_file(self, dataset: str, system: str, key: str) -> Path | None:
        """The sound file of what a result's system said at once, in whichever folder; None where there is none."""
        paths = [folder / dataset / system / "at-once" / f"{key}.parquet" for folder in self.folders]
        return next((path for path in paths if self._is_as_written(path)), None)

    def _answers(self, key: str, record: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        path = self.at_once_file(record["cell"]["dataset"], record["cell"]["system"], key)
        if path is None:
            raise FaultError(f"result '{key}' was not asked at once, or its answers are damaged: laser study at-once")
        return _columns(path)

    def test_set(self, record: Mapping[str, Any]) -> pd.DataFrame:
        """Columns row, user, label of the samples that a result was scored on.

        Nothing is fetched for it.

        Raises:
            FaultError: It is not stored, and the data set that it could be made from again is not here or has changed.
        """
        cell, name = record["cell"], record["test_set"]
        for folder in [*self.folders, private_folder()]:
            path = folder / cell["dataset"] / f"test-{name}.parquet"
            if path.exists():
                try:
                    table = _kept_table(path, path.stat().st_mtime_ns)
                    if test_set_hash(cell, table["row"].to_numpy()) == name:
                        return table.copy(deep=False)
                except (OSError, ValueError, KeyError):
                    pass
                self._set_aside(path, "is damaged")
        from laser_core import datasets

        about = datasets.about(cell["dataset"])
        if not about.redistributable and versions.cached_data_version(about.name) is None:  # what may be handed on is bundled
            raise FaultError(f"the test samples of {about.title} are not on this machine: laser data get {about.name}")
        dataset = datasets.load(cell["dataset"])
        rows = dataset.test_rows(cell["test_rows"])
        if test_set_hash({**cell, "data_version": dataset.version}, rows) != name:
            raise FaultError(f"result '{record['key']}' was scored on another version of {cell['dataset']} than the one here")
        table = make_test_set(dataset, rows)
        self.write_test_set(cell, table, private=not dataset.about.redistributable)
        return table

    # ---- writing ---------------------------------------------------------------------------------------------------------

    def write(self, record: dict[str, Any], probabilities: np.ndarray | None = None) -> None:
        """Write one result: predictions first, the record last.

        Args:
            record: As the module says, without `schema`, `key`, `predictions_sha256` and `checksum`, which are filled in.
            probabilities: (test rows,) as `rounded` gives them; None for a failed cell.

        Raises:
            FaultError: No space, or the folder cannot be written to.
        """
        key = cell_key(record["cell"])
        path = self.folder / record["cell"]["dataset"] / record["cell"]["system"] / f"{key}.json"
        record = {"schema": SCHEMA, "key": key, **record}
        if probabilities is not None:
            content = _parquet({"probability": probabilities}, byte_stream_split=True)
            record["predictions_sha256"] = hashlib.sha256(content).hexdigest()
            write_atomically(path.with_suffix(".parquet"), content)
        record["checksum"] = _checksum(record)
        # One line a part: diffs stay readable and long lists of numbers do not become long columns.
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in record.items())
        write_atomically(path, f"{{\n{lines}\n}}\n".encode())

    def write_at_once(self, key: str, columns: Mapping[str, np.ndarray], provenance: Mapping[str, Any]) -> None:
        """Keep what the system of a result says when asked at once: columns row, probability.

        Raises:
            FaultError: No space, or the folder cannot be written to.
        """
        cell = self._read(key, self._skimmed)["cell"]
        content = _parquet(columns, byte_stream_split=True, told={"key": key, **provenance, "columns_sha256": _columns_hash(columns)})
        write_atomically(self.folder / cell["dataset"] / cell["system"] / "at-once" / f"{key}.parquet", content)

    def write_test_set(self, cell: Mapping[str, Any], table: pd.DataFrame, private: bool) -> str:
        """Keep a test set if it is not there yet, in the home folder if it is private; returns its hash."""
        name = test_set_hash(cell, table["row"].to_numpy())
        path = (private_folder() if private else self.folder) / cell["dataset"] / f"test-{name}.parquet"
        if not path.exists():
            columns = {column: table[column].to_numpy() for column in table}
            content = _parquet(columns, told={"columns_sha256": _columns_hash(columns)})
            write_atomically(path, content, "LASER_HOME" if private else _STORE)
        return name

    # ---- details ---------------------------------------------------------------------------------------------------------

    def _rows(self, folder: Path) -> list[dict[str, Any]]:
        """A row for each sound record of a folder."""
        known, found = _ROWS.get(folder, {}), {}
        for path in sorted(folder.glob("*/*/*.json")):
            try:
                file = path.stat()
            except FileNotFoundError:
                continue
            stamp, row = known.get(path, (None, {}))
            if stamp != (file.st_mtime_ns, file.st_size):
                stamp, record = (file.st_mtime_ns, file.st_size), self._skimmed(path)
                row = None if record is None else _flat(record, folder)
            found[path] = stamp, row
        _ROWS[folder] = found
        return [row for _, row in found.values() if row is not None]

    def _skimmed(self, path: Path) -> dict[str, Any] | None:
        """As `_checked`, but without the draws, which are nine tenths of a record: ten times as quick.

        In the layout that `write` gives a record, they become canonical as text and only the rest is parsed. Any other is read whole.
        """
        try:
            lines = path.read_text(encoding="utf-8").removeprefix("{\n").removesuffix("\n}\n").split(",\n")
            texts = dict(line.removeprefix('"').split('": ', 1) for line in lines)
            draws = texts.pop("draws").replace(", ", ",").replace(": ", ":")
            record = {name: json.loads(text) for name, text in texts.items()}
            parts = {name: canonical(value) for name, value in record.items() if name != "checksum"} | {"draws": draws}
            whole = "{" + ",".join(f'"{name}":{parts[name]}' for name in sorted(parts)) + "}"
            if record["checksum"] == _hash(whole) and record["key"] == path.stem == cell_key(record["cell"]):
                return record
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return self._checked(path)

    def _checked(self, path: Path) -> dict[str, Any] | None:
        """A record that agrees with its checksum, or None after setting the file aside."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["checksum"] == _checksum(record) and record["key"] == path.stem == cell_key(record["cell"]):
                return record
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FaultError(f"cannot read the result {path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        self._set_aside(path, "is damaged")
        return None

    def _predictions_are_sound(self, path: Path, record: Mapping[str, Any]) -> bool:
        """Whether the predictions beside a record are what was written; a read-only folder may come without them."""
        parquet = path.with_suffix(".parquet")
        if not parquet.exists():
            return self.folder not in path.parents
        if hashlib.sha256(parquet.read_bytes()).hexdigest() == record["predictions_sha256"]:
            return True
        self._set_aside(parquet, "is damaged")
        return False

    def _is_as_written(self, path: Path) -> bool:
        """Whether what was asked at once is there and sound, remembered for as long as the file's size and time of change stay the same."""
        try:
            file = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        stamp = file.st_mtime_ns, file.st_size
        if _AT_ONCE.get(path, (None, False))[0] != stamp:
            try:
                columns, told = _columns(path)
                sound = told["key"] == path.stem and {"row", "probability"} <= set(columns)
            except (OSError, ValueError, KeyError):
                sound = False
            _AT_ONCE[path] = stamp, sound
            if not sound:
                self._set_aside(path, "is damaged")
        return _AT_ONCE[path][1]

    def _set_aside(self, path: Path, why: str) -> None:
        """Rename a damaged file, so that it is in nobody's way; in a folder that is only read it is left as it is."""
        if not {self.folder, private_folder()} & set(path.parents):
            log.warning("%s %s: passed over; %s is only read, so it is left there", path.name, why, path.parent)
            return
        log.warning("%s %s: set aside as %s.corrupt, it will be computed again", path.name, why, path.name)
        try:
            path.replace(path.with_name(path.name + ".corrupt"))
        except OSError as error:
            log.warning("%s could not be renamed (%s)", path.name, error.strerror)


@lru_cache(maxsize=16)
def _kept_table(path: Path, _changed: int) -> pd.DataFrame:
    """A test set, which many results share."""
    import pandas as pd

    return pd.DataFrame(_columns(path)[0])


def _columns(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The columns of a Parquet file and what it tells beside them, such as their hash; files from before there was one tell none.

    Raises:
        OSError, ValueError: It cannot be read, or holds something else than was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    columns = {name: table[name].to_numpy() for name in table.column_names}
    told = json.loads((table.schema.metadata or {}).get(b"laser", b"{}"))
    if told.get("columns_sha256") not in (None, _columns_hash(columns)):
        raise ValueError(f"{path} holds other columns than were written")
    return columns, told


def private_folder() -> Path:
    """Where test sets of data that may not be redistributed are kept."""
    return get_settings().home / "test-sets"


def make_test_set(dataset: Any, rows: np.ndarray) -> pd.DataFrame:
    """Columns row, user, label of some samples of a data set."""
    import pandas as pd

    return pd.DataFrame(
        {
            "row": rows.astype(np.int32),
            "user": dataset.sample_user(rows).astype(np.int32),
            "label": dataset.labels(rows).astype(np.uint8),
        }
    )


_STORE = "--store, or LASER_STORE"


def write_atomically(path: Path, content: bytes, setting: str = _STORE) -> None:
    """Write a file so that it is there whole or not at all, even if the machine stops.

    Args:
        setting: What names its folder, for the error.

    Raises:
        FaultError: No space, or the folder cannot be written to.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some disk space" if full else f"choose a folder that you may write to ({setting})"
        raise FaultError(f"cannot write {path.name} in {path.parent} ({error.strerror}): {remedy}, then run again") from None


def _sync_folder(folder: Path) -> None:
    """Make a rename last; where folders cannot be opened (Windows) the rename is left to the system."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _checksum(record: Mapping[str, Any]) -> str:
    return _hash(canonical({name: value for name, value in record.items() if name != "checksum"}))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _columns_hash(columns: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, values in columns.items():
        digest.update(f"{name}/{values.dtype.str}/".encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _parquet(columns: Mapping[str, np.ndarray], byte_stream_split: bool = False, told: Mapping[str, Any] | None = None) -> bytes:
    """Columns as the bytes of a Parquet file, with what it tells beside them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    split = {"use_dictionary": False, "use_byte_stream_split": True} if byte_stream_split else {}
    metadata = {"laser": canonical(told)} if told else {}
    pq.write_table(pa.table(dict(columns), metadata=metadata), buffer, compression="zstd", **split)
    return buffer.getvalue()


_COUNTS = ("train_rows", "labels_seen", "valid_rows", "test_rows", "parameters")
_METRICS = ("auc", "log_loss", "accuracy", "ece", "auc_low", "auc_high", "log_loss_low", "log_loss_high")
_COSTS = ("fit_seconds", "predict_seconds", "cpu_seconds", "peak_memory_mb")
_COLUMNS = (
    *("dataset", "system", "variant", "shots", "seed", "status", "error", *_METRICS, *_COUNTS, *_COSTS),
    *("revision", "data_version", "current", "test_set", "options", "finished", "key", "folder"),
)
_ROWS: dict[Path, dict[Path, tuple[tuple[int, int], dict[str, Any] | None]]] = {}
"""folder -> record file -> its (time of change, size), and its row, None if damaged: what this process has read"""
_AT_ONCE: dict[Path, tuple[tuple[int, int], bool]] = {}
"""file of what was asked at once -> its (time of change, size), and whether it is sound"""


def _are_todays(options: str, variant: str, usual: str) -> bool:
    return versions.are_todays(json.loads(options), variant, json.loads(usual))


def _flat(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A record as one row of `ResultStore.cells`, all but `current`."""
    cell = record["cell"]
    return {
        **{name: cell[name] for name in ("dataset", "system", "shots", "seed", "revision", "data_version")},
        "variant": record["variant"],
        "status": record["status"],
        "error": record["error"],
        **{name: record["metrics"].get(name, np.nan) for name in _METRICS},
        **{name: record["counts"].get(name, 0) for name in _COUNTS},
        **{name: record["cost"].get(name, np.nan) for name in (*_COSTS, *record["cost"])},
        "test_set": record["test_set"],
        "options": canonical(cell["options"]),
        "finished": record["provenance"]["finished"],
        "key": record["key"],
        "folder": str(folder),
    }
