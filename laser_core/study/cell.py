"""Computing one cell: load the data, fit, predict, measure, and write down how."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from laser_core import __version__, datasets, metrics, systems
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import FaultError, LaserError
from laser_core.progress import Progress, no_progress
from laser_core.recommender import Recommender
from laser_core.settings import PROJECT, get_settings
from laser_core.study import versions
from laser_core.study.spec import Cell
from laser_core.study.store import ResultStore, make_test_set, rounded


def compute(cell: Cell, identity: Mapping[str, Any], store: ResultStore, progress: Progress = no_progress, profile: str = "") -> None:
    """Fit and test one cell and store its result.

    Args:
        cell: What to compute.
        identity: What `laser_core.study.versions.identity` says of it.
        profile: The study's (smoke, demo, full), for the record.

    Raises:
        LaserError: The data set, the system or the store cannot do it.
    """
    started = datetime.now(UTC)
    dataset = _dataset(cell.dataset)
    if dataset.version != identity["data_version"]:
        raise FaultError(f"{cell.dataset} changed on disk while the study ran: run it again")
    system = systems.create(cell.system, **cell.options)
    rows, valid_rows = dataset.shots(cell.shots, cell.seed), dataset.validation_rows(cell.shots, cell.seed)
    test_rows = dataset.test_rows(cell.test_rows)
    with Meter() as fitting:
        system.fit(dataset, rows, valid_rows, seed=cell.seed, progress=progress)
    with Meter() as predicting:
        probabilities = system.predict(dataset, test_rows, progress=progress)
    probabilities = rounded(metrics.check_probabilities(probabilities, len(test_rows), cell.system))

    test_set = make_test_set(dataset, test_rows)
    labels, users = test_set["label"].to_numpy(), test_set["user"].to_numpy()
    values, draws = metrics.evaluate_with_draws(labels, probabilities, users)
    record = {
        "status": "done",
        "error": "",
        "cell": dict(identity),
        "variant": versions.variant(cell.system, identity["options"]),
        "metrics": values,
        "counts": {
            "train_rows": len(rows),
            "labels_seen": int(system.labels_seen_),
            "valid_rows": len(valid_rows),
            "test_rows": len(test_rows),
            "parameters": int(system.parameter_count()),
        },
        "cost": {
            # Hidden states that an earlier cell worked out cost this one what they cost then; vectors and numbers of titles do not.
            "fit_seconds": round(fitting.seconds + system.cost_.get("stored_fit_seconds", 0.0), 3),
            "predict_seconds": round(predicting.seconds + system.cost_.get("stored_predict_seconds", 0.0), 3),
            "cpu_seconds": round(fitting.cpu_seconds + predicting.cpu_seconds, 3),
            "peak_memory_mb": round(max(fitting.peak_memory_mb, predicting.peak_memory_mb), 1),
            **{name: value for name, value in plain(system.cost_).items() if isinstance(value, (int, float))},
        },
        "curve": plain(system.curve_),
        "test_set": store.write_test_set(identity, test_set, private=not dataset.about.redistributable),
        "provenance": {**provenance(cell, started), **computed_in(cell.system, system), "profile": profile},
        # Of test users: with them curves can be compared draw by draw without the predictions.
        "draws": {name: [None if np.isnan(value) else round(float(value), 6) for value in draw] for name, draw in draws.items()},
    }
    store.write(record, probabilities)


def failure(cell: Cell, identity: Mapping[str, Any], error: BaseException | str, passing: bool) -> dict[str, Any]:
    """The record of a cell that could not be computed.

    Args:
        passing: The cause lies outside the cell (no network, a killed process): the next run tries again by itself.
    """
    return {
        "status": "failed",
        "error": one_line(error),
        "passing": passing,
        "cell": dict(identity),
        "variant": versions.variant(cell.system, identity["options"]),
        "metrics": {},
        "counts": {},
        "cost": {},
        "curve": [],
        "test_set": "",
        "provenance": provenance(cell, datetime.now(UTC)),
    }


def one_line(error: BaseException | str) -> str:
    """An error as one line without this machine's folders, as results are handed on."""
    text = str(error) if isinstance(error, (str, LaserError)) else f"{type(error).__name__}: {error}"
    for folder, name in ((get_settings().home, "LASER_HOME"), (PROJECT, "."), (Path.cwd(), "."), (Path.home(), "~")):
        if folder != Path(folder.anchor):
            text = text.replace(str(folder), name)
    return " ".join(text.split())[:500]


class Meter:
    """Wall seconds, CPU seconds of all threads, and peak memory (resident, of the whole process) of a `with` block."""

    def __enter__(self) -> Meter:
        """Start the clocks."""
        import psutil

        self._process = psutil.Process()
        self._stop = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self.seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu
        self._stop.set()
        self._thread.join()
        self.peak_memory_mb = self._peak / 2**20

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, self._process.memory_info().rss)
            if self._stop.wait(0.05):
                self._peak = max(self._peak, self._process.memory_info().rss)
                return


def provenance(cell: Cell, started: datetime) -> dict[str, Any]:
    """With what and when a cell was computed."""
    return made_with(started, cell.threads, systems.get(cell.system).needs)


def computed_in(name: str, system: Recommender) -> dict[str, str]:
    """In which number format the language model of a system computes on this machine, as `precision`; nothing for a system without one.

    Of LLM+CRM that is the format of its vectors, and `familiar_precision` that of the language model that knows titles.
    """
    family, options = systems.get(name).family, system.options
    if family not in ("plm", "llm", "llm+crm") or not hasattr(options, "familiar" if family == "llm+crm" else "precision"):
        return {}  # the last: a system from elsewhere that leaves open how it computes
    from laser_core.device import torch_device
    from laser_core.lm import backbones

    if family == "llm+crm":
        familiar = {"familiar_precision": backbones.usual_precision()} if options.familiar else {}
        return {"precision": backbones.vector_precision(), **familiar}
    return {"precision": str(backbones.precision(options.precision, torch_device())).removeprefix("torch.")}


def made_with(started: datetime, threads: int, packages: tuple[str, ...]) -> dict[str, Any]:
    """With what and when something was computed; nothing that names the machine or its user."""
    return {
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "threads": threads,
        "git_commit": _git_commit(),
        "versions": _package_versions(packages),
        "hardware": _hardware(),
    }


@cache
def _git_commit() -> str:
    """The commit of the code, with "+changes" where files differ from it; "" outside a clone."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    if not (PROJECT / ".git").exists():
        return ""
    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", "laser_core") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


@cache
def _package_versions(needs: tuple[str, ...]) -> dict[str, str]:
    found = {"python": platform.python_version(), "laser": __version__}
    for package in ("numpy", "scikit-learn", *needs):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _hardware() -> dict[str, Any]:
    import psutil

    memory = round(psutil.virtual_memory().total / 2**30, 1)
    about = {"system": f"{platform.system()} {platform.machine()}", "cpu": _cpu_model(), "cores": os.cpu_count(), "memory_gb": memory}
    torch = sys.modules.get("torch")  # only a cell that has loaded it can have used a GPU
    return {**about, "gpu": torch.cuda.get_device_name()} if torch is not None and torch.cuda.is_available() else about


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def _dataset(name: str) -> CTRDataset:
    """A data set, opened once a process."""
    return datasets.load(name)


def plain(value: Any) -> Any:
    """Containers and numbers as JSON knows them; what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value
