"""What every test shares: a temporary home and store, one thread a process, the raw data and the weights where this machine has them.

The environment is set while this file is imported, so before any test module can load torch. All workers of one run share one home, so a
data set is parsed once; each worker has its own store.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

PROJECT = Path(__file__).resolve().parent.parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")


def _prepare_environment() -> tuple[Path, Path | None]:
    """Point the package at temporary folders; return the shared folder and where the raw data sets are."""
    if "LASER_TEST_FOLDER" not in os.environ:  # this is the controlling process: its workers inherit what is set here
        folder = Path(tempfile.mkdtemp(prefix="laser-tests-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        real_home = Path(os.environ.get("LASER_HOME") or Path.home() / ".cache" / "laser")
        _link_weights(Path(os.environ.get("LASER_MODELS") or real_home / "models"), folder / "home" / "models")
        raw = Path(os.environ.get("LASER_DATA") or PROJECT.parent / "shared" / "data")
        os.environ["LASER_TEST_FOLDER"] = str(folder)
        os.environ["LASER_TEST_RAW"] = str(raw) if raw.is_dir() else ""
    folder = Path(os.environ["LASER_TEST_FOLDER"])
    for name in ("LASER_DATA", "LASER_MODELS", "LASER_PROFILE", "LASER_RECORDED"):
        os.environ.pop(name, None)
    os.environ.update(
        LASER_HOME=str(folder / "home"),
        LASER_STORE=str(folder / f"runs-{WORKER}"),
        LASER_OFFLINE="1",
        LASER_DEVICE="cpu",
        OMP_NUM_THREADS="1",
        OMP_WAIT_POLICY="PASSIVE",
        HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis"),
        NO_COLOR="1",
        COLUMNS="160",
    )
    raw = os.environ["LASER_TEST_RAW"]
    return folder, Path(raw) if raw else None


def _link_weights(models: Path, place: Path) -> None:
    """Link each model that is already on this machine, so that nothing a test writes can reach the real folder."""
    place.mkdir(parents=True)
    for config in models.glob("*/config.json"):
        (place / config.parent.name).symlink_to(config.parent.resolve())


FOLDER, RAW = _prepare_environment()
# A shell that starts the tests in the background has Ctrl-C ignored, and children inherit that: tests of Ctrl-C need it back.
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis_settings.register_profile("kit", deadline=None, derandomize=True)  # no timed assertions; the same examples on every machine
hypothesis_settings.load_profile("kit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `weights` need a language model's weights on this machine."""
    if (FOLDER / "home" / "models" / "smollm2-135m").exists():
        return
    for item in items:
        if item.get_closest_marker("weights"):
            item.add_marker(pytest.mark.skip(reason="no weights on this machine: `laser doctor --fetch` gets them"))


@pytest.fixture(scope="session")
def raw_data() -> Path:
    """The folder with the raw zips of MovieLens-1M and BookCrossing: $LASER_DATA, or ../shared/data beside the project."""
    if RAW is None:
        pytest.skip("the raw data sets are not on this machine: set LASER_DATA to a folder that holds them")
    return RAW


def load_once(name: str, source: Path | None = None):
    """`laser_core.datasets.load`, parsed by the first worker that asks while the others wait for its cache."""
    from laser_core import datasets

    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return datasets.load(name, source=source)


@pytest.fixture(scope="session")
def small():
    """MovieLens-small, the bundled data set."""
    return load_once("movielens-small")


@pytest.fixture(scope="session")
def ml_1m(raw_data: Path):
    """MovieLens-1M, where its raw files are on this machine."""
    return load_once("ml-1m", raw_data)


@pytest.fixture(scope="session")
def bookcrossing(raw_data: Path):
    """BookCrossing, where its raw files are on this machine."""
    return load_once("bookcrossing", raw_data)
