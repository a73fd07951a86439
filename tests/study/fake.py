"""A system that costs nothing and misbehaves on demand, and a study of it. Workers import it by name."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from laser_core import systems
from laser_core.errors import FaultError, MissingError
from laser_core.recommender import Recommender
from laser_core.study.spec import Grid, Study

if "FAKE_FSYNC" in os.environ:  # a slow disk, so that a kill at a random moment often comes in the middle of a write
    fsync = os.fsync
    os.fsync = lambda handle: (time.sleep(float(os.environ["FAKE_FSYNC"])), fsync(handle))[1]


@dataclass(frozen=True)
class FakeOptions:
    """How it misbehaves."""

    trouble: str = ""
    """raise, missing, fault, memory, exit, kill or killed-once; or what it predicts instead: nan, above or short"""
    troubled_seed: int = 1
    """the only seed at which it does"""
    sleep: float = 0.0
    scale: float = 1.0


class Fake(Recommender):
    """Noise that depends on the seed only. Writes a line to $FAKE_LOG when it begins a cell."""

    Options = FakeOptions

    def fit(self, dataset, rows, valid_rows, seed=0, progress=None):
        note(f"{len(rows)} {seed}")
        print("a library that talks")  # must not disturb the worker's answers
        progress("fitting", 0, 1)
        if seed == self.options.troubled_seed:
            self._trouble(self.options.trouble)
        time.sleep(self.options.sleep)
        self.seed_, self.labels_seen_ = seed, len(rows)
        self.curve_ = [{"loss": np.float32(0.5)}, {"loss": float("nan")}]
        self.cost_ = {"threads_seen": int(os.environ["OMP_NUM_THREADS"])}
        if self.options.scale == 0.5:
            self.cost_ |= {"stored_fit_seconds": 1000.0, "stored_predict_seconds": 5000.0}
        return self

    def _trouble(self, kind: str) -> None:
        if kind == "raise":
            raise ValueError(f"no luck\nwith {Path.cwd()}/data")
        if kind == "missing":
            raise MissingError("the weights cannot be had: connect to the network")
        if kind == "fault":
            raise FaultError("the disk is full")
        if kind == "memory":
            raise MemoryError
        if kind == "exit":
            print("the end", file=sys.stderr, flush=True)
            os._exit(3)
        if kind == "kill" or (kind == "killed-once" and log_lines().count("64 1") == 1):
            os.kill(os.getpid(), 9)

    def predict(self, dataset, rows, progress=None):
        noise = np.random.default_rng(self.seed_).random(dataset.samples)[rows]
        said = np.clip(0.3 * dataset.labels(rows) + 0.7 * noise * self.options.scale, 0, 1)
        if self.seed_ != self.options.troubled_seed:
            return said
        return {"nan": np.append(said[:-1], np.nan), "above": said + 1, "short": said[:-1]}.get(self.options.trouble, said)

    def save(self, folder):
        raise NotImplementedError

    @classmethod
    def load(cls, folder):
        raise NotImplementedError


def note(line: str) -> None:
    with Path(os.environ["FAKE_LOG"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def log_lines() -> list[str]:
    path = Path(os.environ["FAKE_LOG"])
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def register(**changes) -> None:
    """Put `fake` (and `other`, the same under another name) into the registry of this process."""
    for name in ("fake", "other"):
        systems.SYSTEMS[name] = systems.System(name, name, "reference", "tests.study.fake:Fake", **changes)


def study(shots=(64, 128), seeds=(0, 1, 2), systems=("fake",), test_rows=120, **changes) -> Study:
    grid = Grid(("movielens-small",), tuple(systems), tuple(shots), tuple(seeds), test_rows, **changes)
    return Study("fake", "A study of nothing", "Does the runner hold?", (grid,), "smoke")


if __name__ == "__main__":  # a whole run in a process of its own: STORE SLEEP
    register()
    from laser_core.study import runner
    from laser_core.study.store import ResultStore

    print(runner.run(study(options={"sleep": float(sys.argv[2])}), ResultStore(sys.argv[1]), jobs=2).failed)
