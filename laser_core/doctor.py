"""Is this machine ready? A list of checks, each with what to do when it is not. Nothing is changed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from laser_core.settings import PROJECT, Settings, get_settings

DEMO_BACKBONE = "smollm2-135m"
_DISTRIBUTION = "laser-study-kit"
_INSTALL = 'pip install -e ".[all]" -c constraints.txt'
_DISK_GB = 2.0  # weights, parsed data sets and results of the demo, with room
_MEMORY_GB = 2.0  # the demo's largest run
_EXTRAS = {
    "models": "conventional and language models",
    "app": "the dashboard",
    "notebooks": "the notebooks",
    "test": "the tests",
}


@dataclass(frozen=True)
class Check:
    """One line of the doctor."""

    name: str
    state: Literal["ok", "fail", "absent"]
    """absent: not here, and only part of the kit needs it"""
    found: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        """[OK], [FAIL] or [--], all of one width."""
        return {"ok": "[OK]  ", "fail": "[FAIL]", "absent": "[--]  "}[self.state]


def examine(settings: Settings | None = None) -> Iterator[Check]:
    """Run every check, one after another, so that a caller can show them as they come."""
    settings = settings or get_settings()
    yield _python()
    yield from _packages()
    yield _tested_versions()
    for name, folder in (("downloads", settings.home), ("results", settings.store)):
        yield _disk(name, folder)
    yield _memory()
    yield _cpu()
    yield _gpu()
    yield _weights()
    yield from _data(settings)


def _python() -> Check:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    return Check("Python", "ok" if good else "fail", version, "" if good else "install Python 3.11 or newer")


def _packages() -> Iterator[Check]:
    """The package's own requirements, and those of each extra."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in importlib.metadata.requires(_DISTRIBUTION) or []]
    except importlib.metadata.PackageNotFoundError:
        yield Check("packages", "fail", f"{_DISTRIBUTION} itself is not installed", _INSTALL)
        return
    for extra in ("", *_EXTRAS):
        wanted = [entry for entry in requirements if _belongs(entry, extra)]
        wrong = [problem for entry in wanted if (problem := _problem(entry))]
        name = f"packages: {_EXTRAS[extra]}" if extra else "packages: core"
        if not wrong:
            yield Check(name, "ok", f"{len(wanted)} installed")
        else:
            yield Check(name, "absent" if extra else "fail", "; ".join(wrong), _INSTALL)


def _belongs(requirement, extra: str) -> bool:
    """Does a requirement belong to this extra ('' being the core)?"""
    if requirement.name == _DISTRIBUTION:
        return False
    if requirement.marker is None:
        return extra == ""
    return extra != "" and requirement.marker.evaluate({"extra": extra}) and not requirement.marker.evaluate({"extra": ""})


def _problem(requirement) -> str:
    """What is wrong with one requirement ('' if nothing)."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    return (
        "" if requirement.specifier.contains(version, prereleases=True) else f"{requirement.name} {version} is not {requirement.specifier}"
    )


def _tested_versions() -> Check:
    """Do the installed versions equal constraints.txt?"""
    name, path = "tested versions", PROJECT / "constraints.txt"
    if not path.exists():
        return Check(name, "absent", "constraints.txt is not here", "work in a clone of the project to compare")
    other = []
    for line in path.read_text(encoding="utf-8").splitlines():
        package, _, pin = line.partition("==")
        if pin and (installed := _installed(package)) and installed.split("+")[0] != pin:
            other.append(f"{package} {installed} (tested {pin})")
    if not other:
        return Check(name, "ok", "as in constraints.txt")
    return Check(name, "absent", ", ".join(other[:4]) + (f" and {len(other) - 4} more" if len(other) > 4 else ""), _INSTALL)


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _disk(name: str, folder: Path) -> Check:
    """Can the folder be written, and is there room?"""
    name = f"disk: {name}"
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    variable = "LASER_HOME" if name.endswith("downloads") else "LASER_STORE"
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Check(name, "fail", f"{folder} cannot be written", f"set {variable} to a folder of yours")
    free = shutil.disk_usage(existing).free / 1e9
    if free < _DISK_GB:
        return Check(name, "fail", f"{free:.1f} GB free in {folder}", f"free {_DISK_GB:.0f} GB, or set {variable} to a larger disk")
    return Check(name, "ok", f"{free:.0f} GB free in {folder}")


def _memory() -> Check:
    if importlib.util.find_spec("psutil") is None:
        return Check("memory", "absent", "not looked at: psutil is not installed", _INSTALL)
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    good = memory.available / 1e9 >= _MEMORY_GB
    return Check("memory", "ok" if good else "fail", found, "" if good else f"close programs: {_MEMORY_GB:.0f} GB are wanted")


def _cpu() -> Check:
    """Cores, and the instructions that make a language model bearable on a CPU."""
    found = f"{os.cpu_count()} cores, {platform.machine()}"
    flags = _cpu_flags()
    if "amx_bf16" in flags:
        return Check("CPU", "ok", f"{found}, AMX: language models run in bf16")
    if "avx512_bf16" in flags:
        return Check("CPU", "ok", f"{found}, AVX-512 with bf16: language models run in bf16")
    if "avx512f" in flags or "avx2" in flags:
        return Check("CPU", "ok", f"{found}, {'AVX-512' if 'avx512f' in flags else 'AVX2'}, no bf16: language models run in fp32, slower")
    return Check("CPU", "ok", f"{found}: language models run in fp32")


def _cpu_flags() -> set[str]:
    """Instruction sets as Linux names them; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _gpu() -> Check:
    if importlib.util.find_spec("torch") is None:
        return Check("GPU", "absent", "not looked for: torch is not installed", _INSTALL)
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        return Check("GPU", "ok", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GB")
    return Check("GPU", "absent", "none that torch can use: not needed, the demo runs on the CPU")


def _weights() -> Check:
    """The weights of the language model that the demo uses."""
    from laser_core.lm import backbones

    backbone = backbones.get(DEMO_BACKBONE)
    folder = backbones.ready(DEMO_BACKBONE)
    if folder is None:
        return Check(f"weights: {backbone.label}", "absent", "not on this machine", "laser doctor --fetch")
    return Check(f"weights: {backbone.label}", "ok", str(folder))


def _data(settings: Settings) -> Iterator[Check]:
    """Which data sets are parsed on this machine; the bundled one always can be."""
    from laser_core import datasets

    for name in datasets.NAMES:
        if datasets.cache_folder(name).exists():
            yield Check(f"data: {name}", "ok", f"parsed in {datasets.cache_folder(name)}")
        elif name == "movielens-small":
            yield Check(f"data: {name}", "ok", "comes with the kit, parsed at the first use")
        else:
            where = " --from FOLDER" if settings.offline else ""
            yield Check(f"data: {name}", "absent", "not on this machine", f"laser data get {name}{where}")
