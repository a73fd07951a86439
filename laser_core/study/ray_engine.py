"""Cells on the machines of a Ray cluster (Moritz et al., 2018): the same cells, written to the same store by whoever computes them.

Every machine needs this kit, and sees the store under the same path. The data sets and weights it lacks it fetches itself. A
cell whose machine dies is begun anew on another one: its claim ends with the process that held it.
"""

from __future__ import annotations

import os
import time
from typing import Any

from laser_core.errors import FaultError
from laser_core.study import worker
from laser_core.study.engine import child_variables

HUNGRY = ("plm", "llm", "llm+crm")
"""families that get a GPU where the cluster has some"""


class RayEngine:
    """A `laser_core.study.engine.Engine` on a Ray cluster."""

    def __init__(self, jobs: int | None = None, address: str | None = None) -> None:
        """Join a cluster.

        Args:
            jobs: Threads to use at once; None takes all that the cluster has.
            address: Of its head, such as "10.0.0.1:6379"; None takes RAY_ADDRESS or the cluster that this machine belongs to,
                and else starts one of this machine alone.

        Raises:
            FaultError: Ray is not installed, or there is no cluster at that address.
        """
        try:
            import ray
        except ImportError:
            raise FaultError("the engine ray is not installed: pip install -e '.[ray]' -c constraints.txt") from None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False, ignore_reinit_error=True)
        except (ConnectionError, ValueError) as error:
            raise FaultError(f"no Ray cluster at {address}: {error}") from None
        self._ray = ray
        self._task = ray.remote(max_retries=0)(worker.work)  # the runner tries again itself
        self._jobs = jobs
        self._running: dict[Any, int] = {}

    @property
    def slots(self) -> int:
        """How many threads the cluster has for cells now: machines come and go."""
        found = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return min(found, self._jobs or found)

    def submit(self, number: int, job: dict[str, Any]) -> None:
        """Hand a job to Ray, which finds it a machine."""
        threads = min(job["cell"]["threads"], self.slots)
        gpus = min(1, self._ray.cluster_resources().get("GPU", 0)) if job["system"]["family"] in HUNGRY else 0
        task = self._task.options(num_cpus=threads, num_gpus=gpus, runtime_env={"env_vars": child_variables(threads)})
        self._running[task.remote(job)] = number

    def next_answer(self, seconds: float) -> tuple[int, dict[str, Any]] | None:
        """The next cell that has come to an end, one way or another."""
        if not self._running:
            time.sleep(seconds)
            return None
        done, _ = self._ray.wait(list(self._running), timeout=seconds)
        if not done:
            return None
        number = self._running.pop(done[0])
        try:
            return number, self._ray.get(done[0])
        except self._ray.exceptions.RayError as error:
            return number, {"state": "lost", "error": f"its machine or process is gone ({type(error).__name__})"}

    def cancel(self, number: int) -> None:
        """End the process that is at a job."""
        for task, other in self._running.items():
            if other == number:
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        """End what is still running and leave the cluster."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()
