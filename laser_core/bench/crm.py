"""`laser bench crm`: what the conventional models cost, beside DeepCTR-Torch and torch-rechub where these are installed.

Each part is a function that returns a `Part`; the heavy work is in the functions below them, which run in processes of their own. The kit's
models run through the trainer that studies use, with their default options but for the input: the plain one, which toolkits read too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from laser_core.bench.measure import KIT, Child, Part, call, in_turns, run_parts
from laser_core.bench.peers import PEERS, DeepCTRTorch, Plan, Table, installed, not_installed
from laser_core.datasets.dataset import CTRDataset
from laser_core.progress import Progress, no_progress
from laser_core.systems import create

if TYPE_CHECKING:
    from torch import nn

    from laser_core.crm.base import CRM
    from laser_core.crm.inputs import Samples

LABELS = {"deepfm": "DeepFM", "din": "DIN", "din-items": "DIN without ratings"}
MODELS = ("deepfm", "din")
BATCH = 1024
SCORED_AT_ONCE = 4096
SHOTS, EPOCHS, TEST_ROWS = 1024, 20, 30_000  # of a few-shot cell
FEW_SHOT_BATCH = 32  # what the kit's trainer makes of so few shots
HISTORIES = (10, 30, 100, 300)
COPIES = (1, 2, 4, 8)
QUIET = 1.5  # load beyond which wall seconds measure others; one run of the benchmark just before makes 1
SPEED, SECONDS, MEGABYTES = "rows a CPU-second", "CPU-seconds", "MB"


def run(out: Path, parts: Sequence[str] = (), repeats: int = 5, progress: Progress = no_progress) -> None:
    """Measure the parts (all, if none is named) and write each into the record `out` as soon as it is done.

    Raises:
        UserError: There is no such part, or `out` is no benchmark's record.
        FaultError: A benchmark failed.
    """
    run_parts(out, PARTS, parts, repeats, ("torch", *(peer.project for peer in PEERS)), progress)


# ---- the parts -----------------------------------------------------------------------------------------------------------------


def train_deepfm(scratch: Path, repeats: int) -> Part:
    """Training DeepFM."""
    part = Part(f"Training DeepFM: batches of {BATCH:,}, histories of 30", missing=not_installed())
    _train_speed(part, "deepfm", 65_536, 2.3, _world(scratch), repeats)
    return part


def train_din(scratch: Path, repeats: int) -> Part:
    """Training DIN."""
    part = Part(f"Training DIN: batches of {BATCH:,}, histories of 30", missing=not_installed())
    _train_speed(part, "din", 16_384, 3.0, _world(scratch), repeats)
    _train_speed(part, "din-items", 16_384, None, _world(scratch), repeats)
    return part


def _train_speed(part: Part, model: str, rows: int, goal: float | None, world: Path, repeats: int) -> None:
    speeds = call(f"{__name__}:training", folder=str(world), model=model, rows=rows, repeats=repeats)
    for who, values in speeds.items():
        part.measured(LABELS[model], who, SPEED, values)
    for who in list(speeds)[1:]:
        against = goal if who == DeepCTRTorch.name else None
        part.compared(f"{LABELS[model]} trains so many times as fast as {who}", speeds[KIT], speeds[who], against)


def few_shot(scratch: Path, repeats: int) -> Part:
    """A few-shot cell from the start of its process to its end."""
    part = Part(
        f"A few-shot cell of DeepFM: {SHOTS:,} rows, {EPOCHS} epochs with validation, {TEST_ROWS:,} test rows, start-up counted",
        missing=not_installed(),
    )
    world, tables = str(_world(scratch)), str(scratch / "few-shot")
    plan = call(f"{__name__}:prepare_few_shot", folder=world, to=tables)
    torch_alone = in_turns({"torch": partial(_cpu_seconds, partial(Child, f"{__name__}:import_torch"))}, repeats, warm_up=False)["torch"]
    part.measured("importing torch, and nothing else", "torch", SECONDS, torch_alone)
    floor = float(np.median(torch_alone))
    for batch in (FEW_SHOT_BATCH, BATCH):
        cells = {KIT: partial(Child, f"{__name__}:few_shot_cell", folder=world, batch=batch)}
        for peer in installed():
            cells[peer.name] = partial(Child, f"{__name__}:few_shot_peer", peer=peer.name, tables=tables, plan=plan, batch=batch)
        seconds = in_turns({who: partial(_cpu_seconds, cell) for who, cell in cells.items()}, repeats, warm_up=False)
        for who, values in seconds.items():
            part.measured(f"batches of {batch:,}", who, SECONDS, values)
        for who in list(seconds)[1:]:
            goal = 7.0 if who == DeepCTRTorch.name else None
            part.compared(f"a cell in batches of {batch:,} costs {who} so many times as much", seconds[who], seconds[KIT], goal)
            beyond = {one: [max(value - floor, 1e-3) for value in seconds[one]] for one in (who, KIT)}
            part.compared(f"the same beyond importing torch ({batch:,}, {who})", beyond[who], beyond[KIT])
    return part


def scoring(scratch: Path, repeats: int) -> Part:
    """Scoring by a fitted model, some rows a call."""
    part = Part("Scoring by a fitted model, 1, 256 or 4,096 rows a call", missing=not_installed())
    for model in MODELS:
        label = LABELS[model]
        for batch in (1, 256, 4096):
            speeds = call(f"{__name__}:scoring_speed", folder=str(_world(scratch)), model=model, batch=batch, repeats=repeats)
            for who, values in speeds.items():
                part.measured(f"{label}, {batch:,} rows a call", who, SPEED, values)
    return part


def history_cost(scratch: Path, repeats: int) -> Part:
    """Training DIN with longer and longer histories."""
    part = Part("Training DIN with longer and longer histories, all of them full", missing=not_installed())
    long = _world(scratch, "long", users=300, fewest=2 * HISTORIES[-1])
    cost = {}
    for history in HISTORIES:
        speeds = call(f"{__name__}:training", folder=str(long), model="din", rows=2048, repeats=repeats, history=history)
        for who, values in speeds.items():
            part.measured(f"history of {history}", who, "CPU-microseconds a row", [1e6 / value for value in values], history=history)
        cost[history] = [1e6 / value for value in speeds[KIT]]
    first, last = HISTORIES[0], HISTORIES[-1]
    part.compared(f"a history of {last} costs so many times as much as one of {first}", cost[last], cost[first])
    return part


def two_at_once(scratch: Path, repeats: int) -> Part:
    """Two runs side by side on two cores, beside one alone."""
    part = Part("Two runs of DIN at once on two cores")
    world, load = str(_world(scratch)), psutil.getloadavg()[0]
    cpu: dict[int, list[float]] = {1: [], 2: []}

    def wall(runs: int) -> float:
        begin = time.perf_counter()
        answers = [child.result() for child in [Child(f"{__name__}:one_run", folder=world) for _ in range(runs)]]
        cpu[runs].append(statistics.mean(answer["cpu_seconds"] for answer in answers))
        return time.perf_counter() - begin

    seconds = in_turns({"one run alone": partial(wall, 1), "two runs at once": partial(wall, 2)}, repeats, warm_up=False)
    for runs, (case, values) in enumerate(seconds.items(), start=1):
        part.measured(case, KIT, "seconds", values)
        part.measured(f"{case}, each", KIT, SECONDS, cpu[runs])
    one, two = seconds.values()
    part.compared("two runs at once do so many times the work of one", [2 * value for value in one], two, 1.7)
    part.compared("the same by CPU-seconds, as if each had its core to itself", [2 * value for value in cpu[1]], cpu[2])
    if load > QUIET:
        part.missing.append(
            f"two runs on a quiet machine: neighbours kept {load:.1f} cores busy just before, and wall seconds measure them too"
        )
    return part


def memory(scratch: Path, repeats: int) -> Part:
    """Peak memory of training DIN."""
    from laser_core import datasets

    part = Part("Peak memory of training DIN: on MovieLens-1M, and on 1, 2, 4 and 8 copies of made-up data")
    real = datasets.cache_folder("ml-1m")
    if real.exists():
        peaks = [call(f"{__name__}:peak_memory", folder=str(real), epochs=1)["megabytes"]]
        part.measured("MovieLens-1M, a whole epoch", KIT, MEGABYTES, peaks)
        part.checked("training DIN on MovieLens-1M peaks at so many MB", peaks, 1500, at_least=False)
    else:
        part.missing.append("MovieLens-1M: not here (laser data get ml-1m)")
    found = {}
    for times in COPIES:
        copied = scratch / f"copies-{times}"
        call(f"{__name__}:make_copies", folder=str(_world(scratch)), to=str(copied), times=times)
        found[times] = call(f"{__name__}:peak_memory", folder=str(copied))
        shutil.rmtree(copied)
        case = f"{times} x {found[COPIES[0]]['rows']:,} samples"
        part.measured(case, KIT, MEGABYTES, [found[times]["megabytes"]])
        part.measured(case, KIT, f"{SECONDS} to encode", [found[times]["encode_seconds"]])
    slopes = [(found[more]["megabytes"] - found[less]["megabytes"]) / (more - less) for less, more in pairwise(COPIES)]
    part.checked("a further copy takes so many times the memory at 8 copies as at 2", [slopes[-1] / slopes[0]], 1.3, at_least=False)
    first, last = (found[times]["encode_seconds"] / times for times in (COPIES[0], COPIES[-1]))
    part.checked("to encode a sample of 8 copies takes so many times as long as one of 1", [last / first], 1.3, at_least=False)
    return part


PARTS: dict[str, Callable[[Path, int], Part]] = {
    "deepfm": train_deepfm,
    "din": train_din,
    "few-shot": few_shot,
    "scoring": scoring,
    "history": history_cost,
    "two": two_at_once,
    "memory": memory,
}


def _world(scratch: Path, name: str = "world", **changes: Any) -> Path:
    """The folder of a made-up data set, made when it is first asked for."""
    folder = scratch / name
    if not folder.exists():
        call(f"{__name__}:make_world", folder=str(folder), **changes)
    return folder


# ---- what runs in processes of its own -----------------------------------------------------------------------------------------


def make_world(folder: str, **changes: Any) -> None:
    """Write the made-up data set."""
    from laser_core.bench.world import movielens_like

    movielens_like(**changes).save(Path(folder))


def make_copies(folder: str, to: str, times: int) -> None:
    """Write a data set `times` times as large."""
    from laser_core.bench.world import copies

    copies(CTRDataset.load(Path(folder)), times).save(Path(to))


def training(folder: str, model: str, rows: int, repeats: int, history: int = 0) -> dict[str, list[float]]:
    """Rows a CPU-second of one epoch, in turns.

    Args:
        history: K, and only rows that have so long a history; 0: the data set's own K, and any rows.
    """
    dataset = CTRDataset.load(Path(folder))
    system = _system(model, epochs=1, steps=1, batch_size=BATCH, history=history)
    inputs = system.inputs_ = system.fit_inputs(dataset, dataset.train)
    enough = dataset.sample_event[dataset.train] - dataset.history_start(dataset.train, 0) >= history
    chosen = np.random.default_rng(0).choice(dataset.train[enough], rows, replace=False)
    samples, valid = system.encode(dataset, chosen), system.encode(dataset, dataset.valid[:64])

    def kit() -> float:
        module = _module(system)
        return _speed(rows, lambda: _train(system, module, samples, valid))

    runs = {KIT: kit}
    table, plan = Table.of(inputs, samples), _plan(model, system)
    for peer in installed():

        def theirs(peer=peer) -> float:
            built = peer(plan)
            return _speed(rows, lambda: built.fit(table, BATCH, epochs=1))

        runs[peer.name] = theirs
    return in_turns(runs, repeats)


def scoring_speed(folder: str, model: str, batch: int, repeats: int) -> dict[str, list[float]]:
    """Rows a CPU-second of calls that score `batch` rows each, through the public interface of each side."""
    dataset = CTRDataset.load(Path(folder))
    system = _system(model, epochs=1, steps=1)
    system.fit(dataset, dataset.train[:BATCH], dataset.valid[:64])
    rows = np.resize(dataset.test, (max(2, min(100, 16_384 // batch)), batch))  # (calls, batch)
    runs = {KIT: lambda: _speed(rows.size, lambda: [system.predict(dataset, some) for some in rows])}
    plan = _plan(model, system)
    tables = [Table.of(system.inputs_, system.encode(dataset, some)) for some in rows]
    start = Table.of(system.inputs_, system.encode(dataset, dataset.train[:BATCH]))
    for peer in installed():
        built = peer(plan)
        built.fit(start, BATCH, epochs=1)
        runs[peer.name] = partial(_speed, rows.size, lambda built=built: [built.predict(table, batch) for table in tables])
    return in_turns(runs, repeats)


def import_torch() -> None:
    """What every cell of every toolkit here pays before it does anything: the floor of its cost."""
    import torch  # noqa: F401


def few_shot_cell(folder: str, batch: int) -> int:
    """What a study does for one few-shot cell."""
    dataset = CTRDataset.load(Path(folder))
    system = _system("deepfm", epochs=EPOCHS, patience=EPOCHS, steps=SHOTS // batch)
    system.fit(dataset, dataset.shots(SHOTS, 0), dataset.validation_rows(SHOTS, 0))
    return len(system.predict(dataset, dataset.test_rows(TEST_ROWS)))


def prepare_few_shot(folder: str, to: str) -> dict[str, Any]:
    """Write the same cell's samples as the toolkits read them; the plan of the model, ready for JSON."""
    dataset = CTRDataset.load(Path(folder))
    system, rows = _system("deepfm"), dataset.shots(SHOTS, 0)
    inputs = system.inputs_ = system.fit_inputs(dataset, rows)
    Path(to).mkdir(parents=True)
    parts = {"train": rows, "valid": dataset.validation_rows(SHOTS, 0), "test": dataset.test_rows(TEST_ROWS)}
    for name, chosen in parts.items():
        Table.of(inputs, system.encode(dataset, chosen)).save(Path(to) / f"{name}.npz")
    return dataclasses.asdict(_plan("deepfm", system))


def few_shot_peer(peer: str, tables: str, plan: dict[str, Any], batch: int) -> int:
    """The same by a toolkit, from arrays that are ready."""
    (toolkit,) = (entry for entry in PEERS if entry.name == peer)
    train, valid, test = (Table.load(Path(tables) / f"{name}.npz") for name in ("train", "valid", "test"))
    built = toolkit(Plan(**plan))
    built.fit(train, batch, EPOCHS, valid)
    return len(built.predict(test, SCORED_AT_ONCE))


def one_run(folder: str) -> None:
    """A training run of some seconds."""
    dataset = CTRDataset.load(Path(folder))
    _system("din", epochs=1).fit(dataset, dataset.shots(131_072, 0), dataset.validation_rows(256, 0))


def peak_memory(folder: str, epochs: int = 0) -> dict[str, float]:
    """Peak memory of a process that trains DIN as studies do on all samples of a data set.

    Args:
        epochs: Train so many; 0: only the first steps, which need as much memory as all others.
    """
    from laser_core.study.cell import Meter

    with Meter() as meter:
        dataset = CTRDataset.load(Path(folder))
        system = create("din", epochs=max(epochs, 1))
        begin = time.process_time()
        system.inputs_ = system.fit_inputs(dataset, dataset.train)
        samples, valid = (system.encode(dataset, rows) for rows in (dataset.train, dataset.validation_rows("all", 0)))
        encode_seconds = time.process_time() - begin
        with contextlib.suppress(_EnoughError):
            _train(system, _module(system), samples, valid, no_progress if epochs else _stop)
    return {"megabytes": meter.peak_memory_mb, "rows": len(samples), "encode_seconds": encode_seconds}


class _EnoughError(Exception):
    """Ends a training run that has shown what it was to show."""


def _stop(message: str, done: int, total: int) -> None:
    raise _EnoughError


def _system(model: str, **options: Any) -> CRM:
    """A model of the kit on the plain input, which toolkits can read too."""
    if model == "din-items":
        from laser_core.bench.items_only import ItemsOnlyDIN

        return ItemsOnlyDIN(statistics=False, **options)
    return create(model, statistics=False, **options)


def _module(system: CRM) -> nn.Module:
    """The untrained torch module of a system whose inputs are fitted."""
    import torch

    torch.manual_seed(0)
    return system.build()


def _train(system: CRM, module: nn.Module, samples: Samples, valid: Samples, progress: Progress = no_progress) -> None:
    from laser_core.crm.trainer import one_thread, train

    with one_thread():
        train(module, samples, valid, system.options, 0, system.piece, progress=progress)


def _plan(model: str, system: CRM) -> Plan:
    """A system whose inputs are fitted, as the toolkits build it."""
    inputs = system.inputs_
    sizes = {name: 1 + len(known) for name, known in zip(inputs.names, inputs.known, strict=True)}
    return Plan(model, sizes, inputs.ratings, inputs.history, dataclasses.asdict(system.options))


def _speed(rows: int, work: Callable[[], Any]) -> float:
    begin = time.process_time()
    work()
    return rows / (time.process_time() - begin)


def _cpu_seconds(start: Callable[[], Child]) -> float:
    return start().result()["cpu_seconds"]
