"""Where cells are computed: in worker processes on this machine. Another engine needs the same few things and no more."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from typing import IO, Any, Protocol


class Engine(Protocol):
    """Computes jobs (`laser_core.study.worker.job`) side by side."""

    slots: int
    """how many threads it has for cells"""

    def submit(self, number: int, job: dict[str, Any]) -> None:
        """Start a job; the caller sees to it that there is room."""

    def next_answer(self, seconds: float) -> tuple[int, dict[str, Any]] | None:
        """(number, what `worker.work` says, or a progress message, or state "lost" when the worker died); None after `seconds`."""

    def cancel(self, number: int) -> None:
        """End a job that takes too long; "lost" is its answer, unless it was just done."""

    def close(self) -> None:
        """Stop everything at once."""


def threads_of(threads: int) -> dict[str, str]:
    """Environment variables that keep a process to its number of threads; libraries read them once, when they load."""
    return {
        **{f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "VECLIB", "NUMEXPR")},
        "OMP_WAIT_POLICY": "PASSIVE",  # a waiting thread must not take the core from the other worker
        "TOKENIZERS_PARALLELISM": "false",
    }


def child_variables(threads: int) -> dict[str, str]:
    """Environment variables of a process of its own: `threads_of`, and where this one finds its modules."""
    return {**threads_of(threads), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@dataclass
class _Worker:
    """One process, and the job it is at."""

    process: subprocess.Popen
    threads: int
    log: IO[str]
    number: int | None = None
    listener: threading.Thread | None = field(default=None, repr=False)


class LocalEngine:
    """Worker processes on this machine. Each is started with its number of threads, as libraries read that once, when they load."""

    def __init__(self, slots: int) -> None:
        """Workers are started when there is something to do."""
        self.slots = slots
        self._workers: list[_Worker] = []
        self._answers: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()

    def submit(self, number: int, job: dict[str, Any]) -> None:
        """Give a job to an idle worker, a new one where there is none with the right number of threads."""
        threads = job["cell"]["threads"]
        idle = [worker for worker in self._workers if worker.number is None]
        fitting = next((worker for worker in idle if worker.threads == threads), None)
        if fitting is None:
            for worker in idle[: len(self._workers) - self.slots + 1]:  # never more processes than slots
                self._end(worker)
            fitting = self._start(threads)
        fitting.number = number
        try:
            fitting.process.stdin.write(json.dumps(job) + "\n")
            fitting.process.stdin.flush()
        except BrokenPipeError:
            pass  # it died while idle: its listener says so

    def next_answer(self, seconds: float) -> tuple[int, dict[str, Any]] | None:
        """The next thing any worker says."""
        while True:
            try:
                worker, answer = self._answers.get(timeout=seconds)
            except queue.Empty:
                return None
            number = worker.number
            if answer["state"] == "lost" and worker in self._workers:
                self._workers.remove(worker)
                answer["error"] = _why(worker)
                worker.log.close()
            elif answer["state"] != "progress":
                worker.number = None
            if number is not None:
                return number, answer

    def cancel(self, number: int) -> None:
        """Kill the worker that is at a job; its listener says that it is gone."""
        for worker in self._workers:
            if worker.number == number:
                worker.process.kill()

    def close(self) -> None:
        """End all workers; a cell that one was at is lost."""
        for worker in list(self._workers):
            self._end(worker)

    def _start(self, threads: int) -> _Worker:
        log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (lives as long as the worker)
        process = subprocess.Popen(
            [sys.executable, "-m", "laser_core.study.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env={**os.environ, **child_variables(threads)},
            start_new_session=True,  # Ctrl-C is the runner's to answer
        )
        worker = _Worker(process, threads, log)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        self._workers.append(worker)
        return worker

    def _listen(self, worker: _Worker) -> None:
        """Pass on what a worker says, and that it is gone."""
        for line in worker.process.stdout:
            self._answers.put((worker, json.loads(line)))
        worker.process.wait()
        self._answers.put((worker, {"state": "lost"}))

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.wait()
        worker.listener.join()
        worker.process.stdin.close()
        worker.process.stdout.close()
        worker.log.close()


def _why(worker: _Worker) -> str:
    """Why a worker ended: its signal, or the last line it wrote."""
    code = worker.process.returncode
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"
    worker.log.seek(0)
    lines = [line.strip() for line in worker.log if line.strip()]
    return f"its process ended with code {code}: {lines[-1] if lines else 'it left no message'}"
