"""Running a study: compute the cells that are missing, cheap ones first, and survive whatever happens meanwhile."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from laser_core import datasets
from laser_core.errors import DataError, FaultError
from laser_core.progress import FINE, Progress, no_progress
from laser_core.study import cell as cells
from laser_core.study import versions, worker
from laser_core.study.engine import Engine, LocalEngine
from laser_core.study.planning import Planned, Speed, duration, of_plan, plan, plan_table, results
from laser_core.study.spec import Cell, Study
from laser_core.study.store import ResultStore

__all__ = ["Outcome", "Planned", "default_jobs", "duration", "of_plan", "plan", "plan_table", "results", "run"]

BUSY_SECONDS = 1.0  # between two looks at a cell that another runner is at
JOB_BYTES = 3 << 29  # 1.5 GB: what the hungriest cells of the kit's studies take


@dataclass
class Outcome:
    """What a run did."""

    computed: int = 0
    present: int = 0
    """were there, or were computed by another runner meanwhile"""
    failed: int = 0
    left: int = 0
    """not computed, for one of the `problems`"""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """one line each: what failed or could not be tried, and why"""


def run(
    study: Study,
    store: ResultStore,
    jobs: int | None = None,
    progress: Progress = no_progress,
    retry: bool = False,
    engine: Engine | None = None,
) -> Outcome:
    """Compute every cell of a study that is not in the store.

    A failed cell is recorded with its reason and the rest goes on. What fails for a passing reason (no network, no memory) is tried
    again by the next run, what fails for its own by `retry`. Several runs on one store share the work; one that is stopped loses only
    the cells it is at.

    Args:
        jobs: Threads to use; None takes what `default_jobs` says. A cell takes one unless its study says more.
        progress: Called with (what goes on and how long it will take, how much is done, how much there is), `FINE` steps a cell.
        engine: Where to compute; None takes worker processes on this machine.

    Raises:
        UserError: The study asks for something that does not exist.
        FaultError: The store cannot be written to.
    """
    begin = time.monotonic()
    progress("looking at what is there", 0, 0)
    planned = plan(study, store)
    lacking = _bring({entry.cell.dataset for entry in planned if entry.state == "missing"}, progress)
    if lacking is not None:
        planned = plan(study, store, lacking)
    todo = deque(entry for entry in planned if entry.state == "missing" or (retry and entry.state == "failed"))
    outcome = Outcome(present=sum(entry.state == "done" for entry in planned))
    _note_what_cannot_run(planned, retry, outcome)
    if todo:
        with worker.claim(store, "writable"):  # a folder that cannot be written to is better known before the work than after it
            pass
        engine = LocalEngine(jobs or default_jobs()) if engine is None else engine
        try:
            _Run(todo, len(planned), store, engine, progress, retry, study.profile, outcome).to_the_end()
        finally:
            engine.close()
    outcome.seconds = time.monotonic() - begin
    return outcome


def _bring(names: Iterable[str], progress: Progress) -> dict[str, str] | None:
    """Fetch and parse the data sets that are not on this machine yet: those that cannot be had, and why; None if all were here."""
    absent = [name for name in sorted(names) if versions.cached_data_version(name) is None]
    lacking = {}
    for name in absent:
        try:
            datasets.load(name, progress=progress)
        except (DataError, FaultError) as error:
            lacking[name] = str(error)
    return lacking if absent else None


def default_jobs() -> int:
    """As many as there are cores for this process, but not more than memory allows."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, psutil.virtual_memory().available // JOB_BYTES))


def _note_what_cannot_run(planned: list[Planned], retry: bool, outcome: Outcome) -> None:
    """Count the cells that this run leaves out, with a line for each reason."""
    reasons: dict[str, int] = {}
    for entry in planned:
        if entry.state == "unavailable" or (entry.state == "failed" and not retry):
            reasons[entry.error] = reasons.get(entry.error, 0) + 1
            outcome.failed += entry.state == "failed"
            outcome.left += entry.state == "unavailable"
    outcome.problems += [f"{count} {'cell' if count == 1 else 'cells'}: {reason}" for reason, count in reasons.items()]


@dataclass
class _Running:
    """A cell that is being computed, and how far it is."""

    entry: Planned
    begun: float = field(default_factory=lambda: time.monotonic())
    doing: str = "starting"
    share: float = 0.0
    """of the step it is at, such as fitting or scoring"""
    heard: float = 0.0
    first: tuple[float, float] = (0.0, 0.0)
    """when that step was heard of first, and its share then"""

    def hear(self, message: str, done: int, total: int) -> None:
        """What its worker tells."""
        share, self.heard = done / total if total else 0.0, time.monotonic()
        if share < self.share or not self.first[0]:
            self.first = self.heard, share
        self.doing, self.share = f"{message} {share:.0%}" if total else message, share

    def seconds_left(self, expected: float) -> float:
        """What such cells are expected to take less what this one had, at least what its step still takes at the pace it had so far."""
        now, (since, share) = time.monotonic(), self.first
        pace = (self.heard - since) / (self.share - share) if self.share > share else 0.0
        return max(0.0, expected - (now - self.begun), pace * (1 - self.share) - (now - self.heard))

    def part_done(self, expected: float) -> float:
        """How much of it is done, from 0 to .95: what is overdue is not finished."""
        had, left = time.monotonic() - self.begun, self.seconds_left(expected)
        return min(0.95, had / (had + left)) if had else 0.0


class _Run:
    """The loop of one run: what waits, what is being computed, what another runner is at."""

    def __init__(
        self,
        todo: deque[Planned],
        total: int,
        store: ResultStore,
        engine: Engine,
        progress: Progress,
        retry: bool,
        profile: str,
        outcome: Outcome,
    ) -> None:
        self.todo, self.total, self.store, self.engine = todo, total, store, engine
        self.progress, self.retry, self.profile, self.outcome = progress, retry, profile, outcome
        self.running: dict[int, _Running] = {}
        self.elsewhere: list[tuple[float, Planned]] = []
        self.tries: dict[str, int] = {}
        self.overdue: set[int] = set()
        self.given_up: dict[str, str] = {}
        self.left_out: dict[str, int] = {}
        self.speed = Speed(store.cells())
        self.number = 0
        self.told = 0

    def to_the_end(self) -> None:
        while self.todo or self.running or self.elsewhere:
            self._look_again()
            while self.todo and self._room_for(self.todo[0]):
                self._start(self.todo.popleft())
            self._tell()
            self._end_what_takes_too_long()
            answer = self.engine.next_answer(BUSY_SECONDS)
            if answer is not None:
                self._take(*answer)
        for system, count in self.left_out.items():
            self.outcome.problems.append(f"{count} more {'cell' if count == 1 else 'cells'} of {system}: {self.given_up[system]}")

    def _room_for(self, entry: Planned) -> bool:
        taken = sum(min(other.entry.cell.threads, self.engine.slots) for other in self.running.values())
        return taken + min(entry.cell.threads, self.engine.slots) <= self.engine.slots

    def _start(self, entry: Planned) -> None:
        if (system := _as_optioned(entry.cell)) in self.given_up:
            self.left_out[system] = self.left_out.get(system, 0) + 1
            self.outcome.left += 1
            return
        self.number += 1
        self.running[self.number] = _Running(entry)
        self.engine.submit(self.number, worker.job(entry.cell, entry.identity, self.store, self.retry, self.profile))

    def _look_again(self) -> None:
        """Cells that another runner was at a while ago are asked for once more: finished by now, or left behind."""
        now = time.monotonic()
        self.todo.extend(entry for due, entry in self.elsewhere if due <= now)
        self.elsewhere = [(due, entry) for due, entry in self.elsewhere if due > now]

    def _end_what_takes_too_long(self) -> None:
        for number, at in self.running.items():
            if 0 < at.entry.cell.seconds < time.monotonic() - at.begun and number not in self.overdue:
                self.overdue.add(number)
                self.engine.cancel(number)

    def _take(self, number: int, answer: dict[str, Any]) -> None:
        """What a worker says about a cell."""
        entry, state = self.running[number].entry, answer["state"]
        if state == "progress":
            self.running[number].hear(answer["message"], answer["done"], answer["total"])
            return
        del self.running[number]
        if state == "done":
            self.outcome.computed += 1
            self.speed.learn(entry.cell, answer["seconds"])
        elif state == "present":
            self.outcome.present += 1
        elif state == "busy":
            self.elsewhere.append((time.monotonic() + BUSY_SECONDS, entry))
        elif state == "failed":
            self._failed(entry, answer["error"], answer["missing"])
        elif state == "lost":
            self._lost(entry, answer["error"], number in self.overdue)
        elif state == "stop":
            raise FaultError(answer["error"])

    def _lost(self, entry: Planned, error: str, overdue: bool) -> None:
        """Its process is gone: once more, unless it took too long or that happened before."""
        self.tries[entry.key] = self.tries.get(entry.key, 0) + 1
        if self.tries[entry.key] == 1 and not overdue:
            self.todo.append(entry)
            return
        if overdue:
            error = f"it took longer than the {entry.cell.seconds:g} seconds that the study gives it"
        self.store.write(cells.failure(entry.cell, entry.identity, error, passing=not overdue))
        self._failed(entry, error)

    def _failed(self, entry: Planned, error: str, missing: bool = False) -> None:
        self.outcome.failed += 1
        self.outcome.problems.append(f"{entry.cell}: {error}")
        if missing:  # the system's other cells with these options, such as the same backbone, would wait for the same weights
            self.given_up[_as_optioned(entry.cell)] = error

    def _tell(self) -> None:
        finished = self.outcome.computed + self.outcome.present + self.outcome.failed + self.outcome.left
        ahead = sum(self.speed.seconds(entry.cell) for entry in (*self.todo, *(entry for _, entry in self.elsewhere)))
        expected = [(at, self.speed.seconds(at.entry.cell)) for at in self.running.values()]
        ahead += sum(at.seconds_left(seconds) for at, seconds in expected)
        self.told = max(self.told, int(FINE * (finished + sum(at.part_done(seconds) for at, seconds in expected))))
        doing = [f"{at.entry.cell.system} N={at.entry.cell.shots} seed {at.entry.cell.seed} ({at.doing})" for at in self.running.values()]
        words = f"about {duration(ahead / self.engine.slots)} left: {', '.join(doing) or 'another run is at it'}"
        self.progress(words, self.told, FINE * self.total)


def _as_optioned(cell: Cell) -> str:
    """Such as "din, epochs = 5"."""
    return ", ".join([cell.system, *(f"{name} = {value}" for name, value in cell.options.items())])
