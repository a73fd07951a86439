"""The doctor: what it finds is true, and each thing that is wrong comes with a remedy."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from laser_core import cli, doctor
from laser_core.settings import get_settings


@pytest.fixture
def checks():
    """Runs the doctor: name -> check."""
    return lambda **settings: {check.name: check for check in doctor.examine(dataclasses.replace(get_settings(), **settings))}


def test_a_machine_that_runs_the_tests_is_ready(checks):
    found = checks()
    failed = {name: check.found for name, check in found.items() if check.state == "fail" and name != "memory"}
    assert not failed
    assert found["Python"].found.startswith("3.")
    assert found["packages: core"].state == found["packages: the tests"].state == "ok"
    assert found["data: movielens-small"].state == "ok"


def test_whatever_is_not_ok_has_a_remedy_or_is_not_needed(checks, tmp_path):
    for check in checks(home=tmp_path / "home", store=tmp_path / "runs").values():
        assert check.state == "ok" or check.remedy or "not needed" in check.found
        assert "\n" not in check.found + check.remedy
        assert check.mark in ("[OK]  ", "[FAIL]", "[--]  ")


def test_looking_changes_nothing(checks, tmp_path):
    checks(home=tmp_path / "home", store=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_without_what_looks_at_memory(checks, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    memory = checks()["memory"]
    assert (memory.state, memory.found) == ("absent", "not looked at: psutil is not installed")


def test_missing_and_old_packages(monkeypatch):
    version = importlib.metadata.version

    def pretend(name):
        if name == "streamlit":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0" if name == "numpy" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", pretend)
    found = {check.name: check for check in doctor._packages()}
    assert found["packages: core"].state == "fail"
    assert "numpy 1.0 is not >=2.0" in found["packages: core"].found
    assert found["packages: the dashboard"].state == "absent"
    assert "streamlit is missing" in found["packages: the dashboard"].found
    assert "pip install" in found["packages: core"].remedy
    assert found["packages: the notebooks"].state == "ok"


@pytest.mark.parametrize(
    ("line", "extra", "belongs"),
    [
        ("numpy>=2", "", True),
        ("numpy>=2", "app", False),
        ('torch>=2; extra == "models"', "models", True),
        ('torch>=2; extra == "models"', "", False),
        ('torch>=2; extra == "models"', "app", False),
        ('laser-study-kit[models]; extra == "all"', "models", False),
    ],
)
def test_which_extra_a_requirement_belongs_to(line, extra, belongs):
    assert doctor._belongs(Requirement(line), extra) is belongs


def test_versions_other_than_the_tested_ones_are_named(tmp_path, monkeypatch):
    version = importlib.metadata.version("numpy")
    (tmp_path / "constraints.txt").write_text(f"# tested\nnumpy=={version}\npandas==0.1\nnot-installed==1.0\n")
    monkeypatch.setattr(doctor, "PROJECT", tmp_path)
    check = doctor._tested_versions()
    assert check.state == "absent"
    assert "pandas" in check.found
    assert "(tested 0.1)" in check.found
    assert "numpy" not in check.found
    assert "not-installed" not in check.found


def test_a_full_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "total used free")(10e9, 9.5e9, 0.5e9))
    check = doctor._disk("results", tmp_path / "deep" / "runs")
    assert check.state == "fail"
    assert "0.5 GB free" in check.found
    assert "LASER_STORE" in check.remedy


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    check = doctor._disk("downloads", tmp_path / "file" / "home")
    assert check.state == "fail"
    assert "LASER_HOME" in check.remedy


def test_little_memory(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("memory", "available total")(1e9, 4e9))
    assert doctor._memory().state == "fail"
    assert "1.0 of 4.0 GB free" in doctor._memory().found


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"avx2", "avx512f", "avx512_bf16", "amx_bf16"}, "AMX: language models run in bf16"),
        ({"avx2", "avx512f", "avx512_bf16"}, "AVX-512 with bf16"),
        ({"avx2", "avx512f"}, "AVX-512, no bf16"),
        ({"avx2"}, "AVX2, no bf16"),
        (set(), "run in fp32"),
    ],
)
def test_cpu_features(flags, words, monkeypatch):
    monkeypatch.setattr(doctor, "_cpu_flags", lambda: flags)
    assert words in doctor._cpu().found


def test_cpu_flags_are_read_where_the_system_tells_them():
    flags = doctor._cpu_flags()
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    assert bool(flags) == any(line.startswith("flags") for line in text.splitlines())


def test_exit_code_and_json(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Check("Python", "ok", "3.12"), doctor.Check("GPU", "absent", "none")]))
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert result.exit_code == 0
    assert [check["state"] for check in json.loads(result.stdout)] == ["ok", "absent"]
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Check("memory", "fail", "none left", "close programs")]))
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert result.stdout == "[FAIL] memory: none left\n       -> close programs\n"


def test_fetch_without_a_network_goes_on_with_the_checks(monkeypatch, tmp_path):
    monkeypatch.setenv("LASER_HOME", str(tmp_path))
    result = CliRunner().invoke(cli.app, ["doctor", "--fetch"])
    assert result.exit_code == 1
    assert result.stdout.startswith("[FAIL] fetching weights: ")
    assert "[OK]   Python" in result.stdout
