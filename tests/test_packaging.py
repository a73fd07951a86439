"""pyproject.toml, constraints.txt and environment.yml in step; the README's commands exist; imports stay light."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
OPTIONAL = PYPROJECT["project"]["optional-dependencies"]
APART = ("bench", "ray", "mlflow")  # for few: not installed by `all`
EXTRAS = {name: lines for name, lines in OPTIONAL.items() if name not in ("all", *APART)}
FOR_FEW = [Requirement(line) for name in APART for line in OPTIONAL[name]]
DIRECT = [Requirement(line) for line in [*PYPROJECT["project"]["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
OTHER_TOOLKITS = {PROJECT / "laser_core" / "bench" / "peers.py"}  # imports what we are compared with, where it is installed
HEAVY = {"torch", "transformers", "peft", "streamlit", "plotly", "sklearn", "lightgbm"}


def read_pins() -> dict[str, str]:
    lines = [line for line in (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    assert all(len(pair) == 2 for pair in pairs), "constraints.txt holds NAME==VERSION lines only"
    return {canonicalize_name(name): version for name, version in pairs}


PINS = read_pins()


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_range(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_pins_hold_on_every_platform():
    assert not [f"{name}=={version}" for name, version in PINS.items() if "+" in version]


def test_tests_run_with_the_pinned_versions():
    installed = {canonicalize_name(entry.name): entry.version.split("+")[0] for entry in importlib.metadata.distributions()}
    differ = {name: (installed[name], pin) for name, pin in PINS.items() if name in installed and installed[name] != pin}
    assert not differ, "(installed, pinned): make install, or make constraints where the new versions are wanted"
    assert {canonicalize_name(requirement.name) for requirement in DIRECT} <= installed.keys()


def test_each_dependency_states_its_reason():
    block = re.findall(r'^  "[a-z0-9-]+>=[^"]*",.*$', (PROJECT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(block) == len(DIRECT) + len(FOR_FEW)
    assert not [line for line in block if "#" not in line]


def test_extra_all_is_the_sum_of_the_others():
    (everything,) = (Requirement(line) for line in PYPROJECT["project"]["optional-dependencies"]["all"])
    assert everything.name == PYPROJECT["project"]["name"]
    assert everything.extras == set(EXTRAS)


def test_conda_environment_adds_nothing_of_its_own():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, from_pip = environment["dependencies"]
    assert python == f"python{PYPROJECT['project']['requires-python']}"
    assert pip == "pip"
    assert from_pip == {"pip": ["--constraint constraints.txt", "--editable .[all]"]}


def test_imports_of_the_package_are_declared():
    """What the code imports is in pyproject.toml (an import of something only installed by chance breaks elsewhere)."""
    import_names = {"scikit-learn": "sklearn", "pytest-xdist": "xdist", "mlflow-skinny": "mlflow"}
    declared = {import_names.get(requirement.name, requirement.name.replace("-", "_")) for requirement in [*DIRECT, *FOR_FEW]}
    found = set()
    for path in {*(PROJECT / "laser_core").rglob("*.py"), *(PROJECT / "app").rglob("*.py")} - OTHER_TOOLKITS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.split(".")[0])
    own = {"laser_core", *(path.stem for path in (PROJECT / "app").rglob("*.py"))}
    assert found - set(sys.stdlib_module_names) - own <= declared


@pytest.mark.parametrize("module", ["laser_core", "laser_core.cli", "laser_core.systems", "laser_core.study.store"])
def test_imports_stay_light(module):
    log = subprocess.run([sys.executable, "-X", "importtime", "-c", f"import {module}"], capture_output=True, text=True, check=True).stderr
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in log.splitlines() if line.startswith("import time:")}
    assert module.split(".")[0] in loaded
    assert not loaded & HEAVY


# ---- the README ----------------------------------------------------------------------------------------------------------------


def readme_commands() -> list[str]:
    """Every command line in the README's shell blocks."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", README, re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [part.strip() for line in lines if line and not line.startswith("#") for part in line.split("&&")]


def test_readme_names_commands():
    assert len(readme_commands()) >= 8


@pytest.mark.parametrize("command", readme_commands())
def test_readme_command_exists(command):
    """make targets, `laser` commands with their options, and files that the README names."""
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(word for word in words[1:] if "=" not in word) <= set(targets)
    elif words[0] == "laser" or words[:3] == ["python", "-m", "laser_core"]:
        check_laser(words[1:] if words[0] == "laser" else words[3:])
    else:
        assert words[0] in {"git", "cd", ".", "pip", "conda", "python"}, f"the README has a command that no test knows: {command}"
        files = [word for word in words if word.endswith((".txt", ".yml", ".py"))]
        assert [word for word in files if not (PROJECT / word).exists()] == []


def check_laser(words: list[str]) -> None:
    from typer.main import get_command

    from laser_core.cli import app

    command = get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands
        command, words = command.commands[words[0]], words[1:]
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= known
