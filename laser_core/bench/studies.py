"""`laser bench study`: what two cores do for a study, and what intervals cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from laser_core.bench.crm import QUIET
from laser_core.bench.measure import KIT, Part, in_turns, run_parts
from laser_core.errors import FaultError
from laser_core.progress import Progress, no_progress
from laser_core.study.spec import Grid, Study

MODELS = ("deepfm", "autoint", "dcnv2", "din")
SHOTS, SEEDS = (64, 256), (0, 1, 2, 3, 4)
ROWS, USERS, DRAWS = 97_002, 1_783, 10_000  # as many rows as the test set of MovieLens-1M has


def run(out: Path, parts: Sequence[str] = (), repeats: int = 3, progress: Progress = no_progress) -> None:
    """Measure the parts (all, if none is named) and write each into the record `out` as soon as it is done.

    Raises:
        UserError: There is no such part, or `out` is no benchmark's record.
        FaultError: A benchmark failed.
    """
    run_parts(out, PARTS, parts, repeats, ("torch",), progress)


def sweep(scratch: Path, repeats: int) -> Part:
    """A few-shot study with two jobs and with one."""
    grid = Grid(("movielens-small",), MODELS, SHOTS, SEEDS)
    study = Study("sweep", "", "", (grid,), "full")
    part = Part(f"A few-shot study of {len(study.cells())} cells ({', '.join(MODELS)}) on MovieLens-small, start-up counted")
    load = psutil.getloadavg()[0]
    seconds = in_turns({f"{jobs} jobs": partial(study_seconds, study, scratch, jobs) for jobs in (1, 2)}, repeats, warm_up=False)
    for case, values in seconds.items():
        part.measured(case, KIT, "seconds", values)
    part.compared("two jobs are so many times as fast as one", *seconds.values(), 1.7)
    if load > QUIET:
        part.missing.append(f"a quiet machine: neighbours kept {load:.1f} cores busy just before, and wall seconds measure them too")
    return part


def study_seconds(study: Study, scratch: Path, jobs: int) -> float:
    """Wall seconds of a whole run into an empty store."""
    from laser_core.study import runner
    from laser_core.study.store import ResultStore

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        begin = time.perf_counter()
        outcome = runner.run(study, ResultStore(folder), jobs=jobs)
        if outcome.problems:
            raise FaultError(f"the study of the benchmark did not finish: {outcome.problems[0]}")
        return time.perf_counter() - begin


def bootstrap(scratch: Path, repeats: int) -> Part:
    """Drawing test users anew, many times."""
    part = Part(f"{DRAWS:,} bootstrap draws of AUC on {ROWS:,} rows of {USERS:,} users")
    values = in_turns({"AUC": bootstrap_seconds}, repeats, warm_up=False)["AUC"]
    part.measured("AUC", KIT, "CPU-seconds", values)
    part.checked("CPU-seconds they take", values, 60, at_least=False)
    return part


def bootstrap_seconds(rows: int = ROWS, users: int = USERS, draws: int = DRAWS) -> float:
    """CPU seconds of the draws on made-up predictions, rounded as stored ones are."""
    from laser_core import metrics

    generator = np.random.default_rng(0)
    labels = generator.random(rows) < 0.55
    scores = np.round(0.3 * labels + 0.7 * generator.random(rows), 4)
    begin = time.process_time()
    metrics.bootstrap_auc(labels, scores, generator.integers(0, users, rows), draws)
    return time.process_time() - begin


PARTS: dict[str, Callable[[Path, int], Part]] = {"sweep": sweep, "bootstrap": bootstrap}
