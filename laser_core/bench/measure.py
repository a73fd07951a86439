"""What every benchmark needs: a clock that neighbours cannot move, fresh processes, runs in turns, a record with provenance.

Speed is rows a CPU-second of the process (`time.process_time`, all its threads): on a machine shared with others, wall seconds measure the
others. What is compared runs in turns in one process, so that whatever slows the machine slows both; the ratio of each round is kept.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from laser_core.errors import DataError, FaultError, unknown
from laser_core.progress import Progress, no_progress
from laser_core.study.engine import child_variables

SCHEMA = 1
KIT = "Laser study kit"
"""who is measured, beside others"""


# ---- in a process of its own ---------------------------------------------------------------------------------------------------


class Child:
    """A fresh process with one thread that calls one function."""

    def __init__(self, function: str, **arguments: Any) -> None:
        """Start it.

        Args:
            function: "module:name"; it must return what JSON can hold.
            arguments: Its arguments, likewise.
        """
        self.function = function
        environment = {
            **os.environ,
            **child_variables(1),
            "LASER_DEVICE": "cpu",
            # DeepCTR-Torch asks the network for its newest version at each start: that is not what is measured.
            **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "laser_core.bench.child", function, json.dumps(arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment,
        )  # fmt: skip

    def result(self) -> dict[str, Any]:
        """Wait for `value`, what the function returned, and `cpu_seconds`, of the whole process from its start.

        Raises:
            FaultError: It failed.
        """
        answer, log = self._process.communicate()
        if self._process.returncode:
            last = next((line for line in reversed(log.splitlines()) if line.strip()), "no message")
            raise FaultError(f"the benchmark {self.function} failed (exit code {self._process.returncode}): {last.strip()}")
        return json.loads(answer)


def call(function: str, **arguments: Any) -> Any:
    """What a function returns in a process of its own."""
    return Child(function, **arguments).result()["value"]


# ---- in turns ------------------------------------------------------------------------------------------------------------------


def in_turns(runs: Mapping[str, Callable[[], float]], repeats: int, warm_up: bool = True) -> dict[str, list[float]]:
    """The numbers of `repeats` rounds, every other one backwards; before them, one round that does not count."""
    if warm_up:
        for run in runs.values():
            run()
    numbers: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repeats):
        for name in list(runs)[:: 1 if number % 2 == 0 else -1]:
            numbers[name].append(runs[name]())
    return numbers


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


# ---- records -------------------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """What one part of a benchmark found: numbers, checks against a goal, and what could not be measured here and why."""

    title: str
    measurements: list[dict[str, Any]] = field(default_factory=list)
    """case, who, unit, median, low, high, and what else describes the case"""
    checks: list[dict[str, Any]] = field(default_factory=list)
    """what, median, low, high, and maybe goal, at_least (or at most), met"""
    missing: list[str] = field(default_factory=list)

    def measured(self, case: str, who: str, unit: str, values: Sequence[float], **more: float) -> None:
        """Note what was measured, over repeats."""
        self.measurements.append({"case": case, "who": who, "unit": unit, **spread(values), **more})

    def compared(self, what: str, first: Sequence[float], second: Sequence[float], goal: float | None = None) -> None:
        """Note how many times as large the first numbers are as the second, round by round."""
        self.checked(what, [one / other for one, other in zip(first, second, strict=True)], goal)

    def checked(self, what: str, values: Sequence[float], goal: float | None = None, at_least: bool = True) -> None:
        """Note numbers beside what they should be at least, or at most."""
        check = {"what": what, **spread(values)}
        if goal is not None:
            met = check["median"] >= goal if at_least else check["median"] <= goal
            check |= {"goal": goal, "at_least": at_least, "met": met}
        self.checks.append(check)


def run_parts(
    out: Path,
    parts: Mapping[str, Callable[[Path, int], Part]],
    wanted: Sequence[str],
    repeats: int,
    packages: Sequence[str],
    progress: Progress = no_progress,
) -> None:
    """Measure parts of a benchmark and write each into the record `out` as soon as it is done.

    Args:
        parts: Every part by name: a function of a folder for what it needs on disk, and of how many rounds to make.
        wanted: Which; none: all.
        packages: Whose versions belong to the record.

    Raises:
        UserError: There is no such part, or `out` is no benchmark's record.
        FaultError: A benchmark failed.
    """
    from laser_core.study.cell import made_with

    for name in wanted:
        if name not in parts:
            raise unknown("part", name, parts)
    read_record(out)  # a wrong file is better found before than after the work
    chosen = [name for name in parts if not wanted or name in wanted]
    with tempfile.TemporaryDirectory(prefix="laser-bench-") as folder:
        for number, name in enumerate(chosen):
            progress(f"benchmark {name}", number, len(chosen))
            started = datetime.now(UTC)
            part = parts[name](Path(folder), repeats)
            write_part(out, name, part, {**made_with(started, 1, tuple(packages)), "repeats": repeats})
    progress("done", len(chosen), len(chosen))


def read_record(path: Path) -> dict[str, Any]:
    """A benchmark's record; an empty one where there is none yet.

    Raises:
        DataError: The file is no such record.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise ValueError(f"schema {record['schema']}")
        return record
    except FileNotFoundError:
        return {"schema": SCHEMA, "parts": {}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no benchmark ({error}): name another file with --out") from None


def write_part(path: Path, name: str, part: Part, provenance: Mapping[str, Any]) -> None:
    """Put one part into a record, in the place of an earlier run of it; the others stay.

    Raises:
        DataError: The file is no such record.
        FaultError: It cannot be written.
    """
    from filelock import FileLock

    from laser_core.study.store import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):  # another benchmark may have a part for the same record
        try:
            record = read_record(path)
            record["parts"][name] = {**vars(part), "provenance": dict(provenance)}
            write_atomically(path, json.dumps(_rounded(record), indent=1).encode(), setting="--out")
        finally:
            lock.unlink(missing_ok=True)  # while it is held: whoever waits for the old file sees that it is gone and takes a new one


def _rounded(value: Any) -> Any:
    """Numbers to five significant digits: more is noise."""
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
