"""`laser bench crm`: what the conventional models cost, beside DeepCTR-Torch and torch-rechub where these are installed.

Each part is a function that returns a `Part`; the heavy work is in the functions below them, which run in processes of their own. The kit's
models run with their default options and everything through the trainer that studies use.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laser_core.bench.measure import Child, Part, call, in_turns, write_part
from laser_core.bench.peers import PEERS, Plan, Table, installed, not_installed
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import unknown
from laser_core.progress import Progress, no_progress

if TYPE_CHECKING:
    from laser_core.crm.base import CRM
    from laser_core.crm.inputs import Inputs, Samples

KIT = "Laser study kit"
LABELS = {"deepfm": "DeepFM", "din": "DIN"}
BATCH = 1024
SHOTS, EPOCHS, TEST_ROWS = 1024, 20, 30_000  # of a few-shot cell
SPEED, SECONDS, MEGABYTES = "rows a CPU-second", "CPU-seconds", "MB"


def run(out: Path, parts: Sequence[str] = (), repeats: int = 5, progress: Progress = no_progress) -> None:
    """Measure the parts (all, if none is named) and write each into the record `out` as soon as it is done.

    Raises:
        UserError: There is no such part, or `out` is no benchmark's record.
        FaultError: A benchmark failed.
    """
    from laser_core.study.cell import made_with

    for name in parts:
        if name not in PARTS:
            raise unknown("part", name, PARTS)
    chosen = [name for name in PARTS if not parts or name in parts]
    with tempfile.TemporaryDirectory(prefix="laser-bench-") as folder:
        world = Path(folder) / "world"
        for number, name in enumerate(chosen):
            progress(f"{name}: {PARTS[name].__doc__.splitlines()[0]}", number, len(chosen))
            started = datetime.now(UTC)
            if not world.exists():
                call("laser_core.bench.crm:make_world", folder=str(world))
            part = PARTS[name](world, repeats)
            packages = ("torch", *(peer.name.lower() for peer in PEERS))
            write_part(out, name, part, {**made_with(started, 1, packages), "repeats": repeats})
        progress("done", len(chosen), len(chosen))


# ---- the parts -----------------------------------------------------------------------------------------------------------------


def train_speed(model: str, goal: float, rows: int, world: Path, repeats: int) -> Part:
    """Training beside the toolkits: one epoch, batches of 1,024, histories of 30."""
    speeds = call("laser_core.bench.crm:training", folder=str(world), model=model, rows=rows, repeats=repeats)
    part = Part(missing=not_installed())
    for who, values in speeds.items():
        part.measured(f"{LABELS[model]}, training", who, SPEED, values)
    for who in list(speeds)[1:]:
        aim = goal if who == "DeepCTR-Torch" else None
        part.compared(f"{LABELS[model]} trains so many times as fast as {who}", speeds[KIT], speeds[who], aim)
    return part


def few_shot(world: Path, repeats: int) -> Part:
    """A few-shot cell from start to end, the start of the process counted: 1,024 rows, 20 epochs with validation, 30,000 test rows."""
    part = Part(missing=not_installed())
    with tempfile.TemporaryDirectory() as folder:
        for model in LABELS:
            plan = call("laser_core.bench.crm:prepare_few_shot", folder=str(world), model=model, to=folder)
            tasks = {KIT: partial(Child, "laser_core.bench.crm:few_shot_cell", folder=str(world), model=model)}
            for peer in installed():
                tasks[peer.name] = partial(Child, "laser_core.bench.crm:few_shot_peer", peer=peer.name, tables=folder, plan=plan)
            seconds = in_turns({who: partial(_cpu_seconds, task) for who, task in tasks.items()}, repeats)
            for who, values in seconds.items():
                part.measured(f"{LABELS[model]}, few-shot cell", who, SECONDS, values)
            for who in list(seconds)[1:]:
                aim = 7.0 if (model, who) == ("deepfm", "DeepCTR-Torch") else None
                part.compared(f"a few-shot cell of {LABELS[model]} costs {who} so many times as much", seconds[who], seconds[KIT], aim)
    return part


def scoring(world: Path, repeats: int) -> Part:
    """Scoring by a fitted model, 1, 256 or 4,096 rows a call."""
    part = Part(missing=not_installed())
    for model in LABELS:
        for batch in (1, 256, 4096):
            speeds = call("laser_core.bench.crm:scoring_speed", folder=str(world), model=model, batch=batch, repeats=repeats)
            for who, values in speeds.items():
                part.measured(f"{LABELS[model]}, {batch:,} a call", who, SPEED, values)
    return part


def history_cost(world: Path, repeats: int) -> Part:
    """Training DIN with longer and longer histories, every one full."""
    part = Part(missing=not_installed())
    lengths = (10, 30, 100, 300)
    long = world.parent / "long"
    if not long.exists():
        call("laser_core.bench.crm:make_world", folder=str(long), users=300, fewest=lengths[-1] + 60)
    cost = {}
    for history in lengths:
        rows = 4096 if history <= 100 else 2048
        speeds = call(
            "laser_core.bench.crm:training", folder=str(long), model="din", rows=rows, repeats=repeats, history=history, full=True
        )
        for who, values in speeds.items():
            part.measured(f"history of {history}", who, "CPU-microseconds a row", [1e6 / value for value in values])
        cost[history] = [1e6 / value for value in speeds[KIT]]
    part.compared("a history of 300 costs so many times as much as one of 10", cost[300], cost[10])
    return part


def two_at_once(world: Path, repeats: int) -> Part:
    """Two runs side by side on two cores, beside one alone (wall seconds from start to end)."""
    start = partial(Child, "laser_core.bench.crm:one_run", folder=str(world))

    def wall(runs: int) -> float:
        begin = time.perf_counter()
        for child in [start() for _ in range(runs)]:
            child.result()
        return time.perf_counter() - begin

    seconds = in_turns({"one": partial(wall, 1), "two": partial(wall, 2)}, repeats)
    part = Part()
    part.measured("DIN, one run alone", KIT, "seconds", seconds["one"])
    part.measured("DIN, two runs at once", KIT, "seconds", seconds["two"])
    part.compared("two runs at once do so many times the work of one", [2 * one for one in seconds["one"]], seconds["two"], 1.7)
    return part


def memory(world: Path, repeats: int) -> Part:
    """Peak memory of training DIN: on MovieLens-1M where it is parsed here, and on 1, 2, 4 and 8 copies of made-up data."""
    from laser_core import datasets

    part = Part()
    real = datasets.cache_folder("ml-1m")
    if real.exists():
        peak = call("laser_core.bench.crm:peak_memory", folder=str(real), epochs=1)
        part.measured("MovieLens-1M, a whole epoch", KIT, MEGABYTES, [peak["megabytes"]])
        part.checked("peak memory of training DIN on MovieLens-1M, MB", [peak["megabytes"]], 1500, at_least=False)
    else:
        part.missing.append("MovieLens-1M is not here (laser data get ml-1m)")
    peaks = {}
    for times in (1, 2, 4, 8):
        copied = world.parent / f"copies{times}"
        call("laser_core.bench.crm:make_copies", folder=str(world), to=str(copied), times=times)
        peaks[times] = call("laser_core.bench.crm:peak_memory", folder=str(copied))
        part.measured(f"made-up data, {times} x {peaks[1]['rows']:,} samples", KIT, MEGABYTES, [peaks[times]["megabytes"]])
        part.measured(f"made-up data, {times} x {peaks[1]['rows']:,} samples, encoding", KIT, SECONDS, [peaks[times]["encode_seconds"]])
    for what in ("megabytes", "encode_seconds"):
        early = peaks[2][what] - peaks[1][what]
        late = (peaks[8][what] - peaks[4][what]) / 4
        part.checked(
            f"{what.replace('_', ' ')} a further copy: the last ones beside the first (1 is linear)", [late / early], 1.3, at_least=False
        )
    return part


PARTS: dict[str, Callable[[Path, int], Part]] = {
    "deepfm": partial(train_speed, "deepfm", 2.3, 65_536),
    "din": partial(train_speed, "din", 3.0, 16_384),
    "few-shot": few_shot,
    "scoring": scoring,
    "history": history_cost,
    "two": two_at_once,
    "memory": memory,
}


def _cpu_seconds(start: Callable[[], Child]) -> float:
    return start().result()["cpu_seconds"]


# ---- what runs in processes of its own -----------------------------------------------------------------------------------------


def make_world(folder: str, **changes: Any) -> None:
    """Write the made-up data set."""
    from laser_core.bench.world import movielens_like

    movielens_like(**changes).save(Path(folder))


def make_copies(folder: str, to: str, times: int) -> None:
    """Write a data set `times` times as large."""
    from laser_core.bench.world import copies

    copies(CTRDataset.load(Path(folder)), times).save(Path(to))


def training(folder: str, model: str, rows: int, repeats: int, history: int = 0, full: bool = False) -> dict[str, list[float]]:
    """Rows a CPU-second of one epoch, in turns.

    Args:
        history: K; 0 for the data set's own.
        full: Only rows whose history has K events.
    """
    dataset = CTRDataset.load(Path(folder))
    system = _system(model, epochs=1, steps=1, batch_size=BATCH, history=history)
    chosen = np.asarray(dataset.train)
    if full:
        chosen = chosen[dataset.sample_event[chosen] - dataset.history_start(chosen, 0) >= history]
    chosen = np.random.default_rng(0).choice(chosen, rows, replace=False)
    inputs = system.fit_inputs(dataset, dataset.train)
    samples = inputs.encode(dataset, chosen)
    valid = inputs.encode(dataset, dataset.valid[:64])

    def kit() -> float:
        module = _module(system, inputs)
        return _speed(rows, lambda: _train(system, module, samples, valid))

    runs = {KIT: kit}
    table, plan = Table.of(inputs, samples), _plan(model, system, inputs)
    for peer in installed():

        def theirs(peer=peer) -> float:
            built = peer(plan)
            return _speed(rows, lambda: built.fit(table, BATCH, epochs=1))

        runs[peer.name] = theirs
    return in_turns(runs, repeats)


def scoring_speed(folder: str, model: str, batch: int, repeats: int) -> dict[str, list[float]]:
    """Rows a CPU-second of calls that score `batch` rows each, through each side's public interface."""
    dataset = CTRDataset.load(Path(folder))
    calls = max(2, min(200, 16_384 // batch))
    system = _system(model, epochs=1, steps=1)
    system.fit(dataset, dataset.train[:BATCH], dataset.valid[:64])
    rows = np.asarray(dataset.test[: calls * batch]).reshape(calls, batch)

    def kit() -> float:
        return _speed(rows.size, lambda: [system.predict(dataset, some) for some in rows])

    runs = {KIT: kit}
    plan = _plan(model, system, system.inputs_)
    table = Table.of(system.inputs_, system.encode(dataset, rows.ravel()))
    tables = [table.rows(slice(first, first + batch)) for first in range(0, rows.size, batch)]
    for peer in installed():
        built = peer(plan)
        built.fit(tables[0].rows(slice(0, 64)) if batch > 1 else table.rows(slice(0, 64)), 64, epochs=1)

        def theirs(built=built) -> float:
            return _speed(rows.size, lambda: [built.predict(some, batch) for some in tables])

        runs[peer.name] = theirs
    return in_turns(runs, repeats)


def few_shot_cell(folder: str, model: str) -> int:
    """What a study does for one few-shot cell."""
    dataset = CTRDataset.load(Path(folder))
    system = _system(model, epochs=EPOCHS, patience=EPOCHS)
    system.fit(dataset, dataset.shots(SHOTS, 0), dataset.validation_rows(SHOTS, 0))
    return len(system.predict(dataset, dataset.test_rows(TEST_ROWS)))


def prepare_few_shot(folder: str, model: str, to: str) -> dict[str, Any]:
    """Write the same cell's samples as the toolkits read them; the plan of the model, ready for JSON."""
    dataset = CTRDataset.load(Path(folder))
    system, rows = _system(model), dataset.shots(SHOTS, 0)
    inputs = system.fit_inputs(dataset, rows)
    parts = {"train": rows, "valid": dataset.validation_rows(SHOTS, 0), "test": dataset.test_rows(TEST_ROWS)}
    for name, chosen in parts.items():
        Table.of(inputs, inputs.encode(dataset, chosen)).save(Path(to) / f"{name}.npz")
    return dataclasses.asdict(_plan(model, system, inputs))


def few_shot_peer(peer: str, tables: str, plan: dict[str, Any]) -> int:
    """The same by a toolkit, from arrays that are ready."""
    (kind,) = (entry for entry in PEERS if entry.name == peer)
    train, valid, test = (Table.load(Path(tables) / f"{name}.npz") for name in ("train", "valid", "test"))
    built = kind(Plan(**plan))
    batch = few_shot_batch(plan["options"])
    built.fit(train, batch, EPOCHS, valid)
    return len(built.predict(test, 4096))


def few_shot_batch(options: dict[str, Any]) -> int:
    """The batch that the kit's trainer makes of so few shots."""
    return min(options["batch_size"], max(16, SHOTS // options["steps"]))


def one_run(folder: str) -> None:
    """A training run of some seconds."""
    dataset = CTRDataset.load(Path(folder))
    _system("din", epochs=1).fit(dataset, dataset.shots(131_072, 0), dataset.validation_rows(256, 0))


def peak_memory(folder: str, epochs: int = 0) -> dict[str, float]:
    """Peak memory of a process that trains DIN on all samples of a data set.

    Args:
        epochs: Train so many; 0: only the first steps, which need as much memory as all others.
    """
    from laser_core.study.cell import Meter

    with Meter() as meter:
        dataset = CTRDataset.load(Path(folder))
        system = _system("din", epochs=max(epochs, 1))
        begin = time.process_time()
        inputs = system.fit_inputs(dataset, dataset.train)
        samples, valid = inputs.encode(dataset, dataset.train), inputs.encode(dataset, dataset.validation_rows("all", 0))
        encode_seconds = time.process_time() - begin
        try:
            _train(system, _module(system, inputs), samples, valid, no_progress if epochs else _stop)
        except _EnoughError:
            pass
    return {"megabytes": meter.peak_memory_mb, "rows": len(samples), "encode_seconds": encode_seconds}


class _EnoughError(Exception):
    """Ends a training run that has shown what it was to show."""


def _stop(message: str, done: int, total: int) -> None:
    raise _EnoughError


def _system(model: str, **options: Any) -> CRM:
    from laser_core.systems import create

    return create(model, **options)


def _module(system: CRM, inputs: Inputs):
    """The untrained torch module."""
    import torch

    torch.manual_seed(0)
    return system.Model(inputs.sizes, system.options)


def _train(system: CRM, module: Any, samples: Samples, valid: Samples, progress: Progress = no_progress) -> None:
    from laser_core.crm.trainer import one_thread, train

    with one_thread():
        train(module, samples, valid, system.options, 0, system.piece, progress=progress)


def _plan(model: str, system: CRM, inputs: Inputs) -> Plan:
    sizes = {name: 1 + len(known) for name, known in zip(inputs.names, inputs.known, strict=True)}
    return Plan(model, sizes, inputs.ratings, inputs.history, dataclasses.asdict(system.options))


def _speed(rows: int, work: Callable[[], Any]) -> float:
    begin = time.process_time()
    work()
    return rows / (time.process_time() - begin)
