"""A process that computes cells, one after another, so that torch and the data are loaded once.

It reads one job a line from standard input and answers in lines of JSON. It ends when its input ends, be it that the runner is done or
that it was killed. A cell is claimed by a lock that the system gives back when the process ends, however it ends: no process ids, no
clocks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from laser_core import systems
from laser_core.errors import FaultError, MissingError
from laser_core.progress import Progress, no_progress
from laser_core.study import cell as cells
from laser_core.study.spec import Cell
from laser_core.study.store import ResultStore, cell_key

MOST_REPORTS = 0.2  # seconds between two progress messages


@contextlib.contextmanager
def claim(store: ResultStore, key: str) -> Iterator[bool]:
    """Hold a cell for this process while the block runs; False where another process holds it.

    Raises:
        FaultError: The store cannot be written to.
    """
    from filelock import FileLock, Timeout

    folder = store.folder / ".claims"
    path = folder / f"{key}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise FaultError(
            f"cannot write in {folder} ({error.strerror}): choose a folder that you may write to (--store, or LASER_STORE)"
        ) from None
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits for the old file sees that it is gone and takes a new one
        lock.release()


def work(job: dict[str, Any], progress: Progress = no_progress) -> dict[str, Any]:
    """Compute one job's cell unless it is there or another process is at it; never raises for a cell that fails.

    Returns:
        `state`: "done" (with `seconds`), "present", "busy", "failed" (with `error`, and `missing` where weights or a package are)
        or "stop" (with `error`: nothing can be stored).
    """
    cell, identity = Cell(**job["cell"]), job["identity"]
    store = ResultStore(job["store"], *job["read_only"])
    systems.SYSTEMS.setdefault(cell.system, systems.System(**{**job["system"], "needs": tuple(job["system"]["needs"])}))
    try:
        with claim(store, cell_key(identity)) as mine:
            if not mine:
                return {"state": "busy"}
            found = store.find(identity)
            if found is not None and not (found["status"] == "failed" and (job["retry"] or found["passing"])):
                return {"state": "present"}
            begin = time.monotonic()
            try:
                cells.compute(cell, identity, store, progress, job["profile"])
                return {"state": "done", "seconds": time.monotonic() - begin}
            except Exception as error:
                passing = isinstance(error, (FaultError, OSError, MemoryError))
                store.write(cells.failure(cell, identity, error, passing))
                return {"state": "failed", "error": cells.one_line(error), "missing": isinstance(error, MissingError)}
    except FaultError as error:
        return {"state": "stop", "error": str(error)}


def job(cell: Cell, identity: dict[str, Any], store: ResultStore, retry: bool, profile: str) -> dict[str, Any]:
    """What `work` reads, as plain JSON values."""
    return {
        "cell": {**dataclasses.asdict(cell), "options": dict(cell.options)},
        "identity": identity,
        "system": dataclasses.asdict(systems.get(cell.system)),
        "store": str(store.folder.resolve()),
        "read_only": [str(folder.resolve()) for folder in store.folders[1:]],
        "retry": retry,
        "profile": profile,
    }


def main() -> None:
    """Serve jobs from standard input until it ends."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not get among the answers

    def send(message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the runner is gone: finish the cell all the same
            print(json.dumps(message), file=channel, flush=True)

    for line in sys.stdin:
        send(work(json.loads(line), _reporter(send)))


def _reporter(send: Callable[[dict[str, Any]], None]) -> Progress:
    """A `Progress` that sends at most a few messages a second."""
    last = 0.0

    def report(message: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > MOST_REPORTS:
            last = time.monotonic()
            send({"state": "progress", "message": message, "done": done, "total": total})

    return report


if __name__ == "__main__":
    main()
