"""`laser bench serving` with tiny models: what its parts run, the record, what is printed. No speed is judged."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from laser_core import cli
from laser_core.bench import serving
from tests.lm.tiny_models import make_model


@pytest.fixture(autouse=True)
def little(monkeypatch, small, tmp_path):
    monkeypatch.setattr(serving, "BACKBONE", make_model(tmp_path / "tiny"))
    monkeypatch.setattr(serving, "CALLS", {1: 3, 1024: 1})
    monkeypatch.setattr(serving, "SHOTS", 64)
    monkeypatch.setattr(serving, "call", lambda where, **arguments: getattr(serving, where.partition(":")[2])(**arguments))


def test_the_command_writes_and_prints_every_part(tmp_path):
    out = tmp_path / "serving.json"
    words = ["bench", "serving", "--encoder", serving.BACKBONE, "--repeats", "2", "--out", str(out)]
    done = CliRunner().invoke(cli.app, words, prog_name="laser")
    assert done.exit_code == 0, done.output
    parts = json.loads(out.read_text())["parts"]
    assert list(parts) == ["crm", "llm"]
    assert [(row["case"], row["who"]) for row in parts["crm"]["measurements"]] == [
        (f"{calls} a call", who) for calls in ("1 samples", "1,024 samples") for who in ("SIM", "Laser, LLM+CRM")
    ]
    assert all(row["low"] > 0 for part in parts.values() for row in part["measurements"])
    assert [check["goal"] for check in parts["crm"]["checks"]] == [1.13, 1.13]  # the ratio of the paper's Table 2


def test_a_cost_is_cpu_time_a_sample(monkeypatch):
    ticks = iter([2.0, 2.5])
    monkeypatch.setattr(serving.time, "process_time", lambda: next(ticks))
    assert serving._cost(1000, lambda: None) == pytest.approx(500)
