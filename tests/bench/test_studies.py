"""`laser bench study`: what its parts run and record. On little data, and no number of it is judged."""

from __future__ import annotations

import json

import pytest

from laser_core.bench import studies
from laser_core.errors import FaultError
from laser_core.study.spec import Grid, Study


def tiny():
    return Study("tiny", "", "", (Grid(("movielens-small",), ("history-lr",), (16,), (0, 1), 50),), "smoke")


def test_a_study_is_timed_from_an_empty_store(small, tmp_path):
    assert studies.study_seconds(tiny(), tmp_path, 2) > 0
    assert not list(tmp_path.iterdir())


def test_a_study_that_fails_is_no_measurement(small, tmp_path, monkeypatch):
    from laser_core.study import runner

    monkeypatch.setattr(runner, "run", lambda *_, **__: runner.Outcome(problems=["no luck"]))
    with pytest.raises(FaultError, match="did not finish: no luck"):
        studies.study_seconds(tiny(), tmp_path, 1)


def test_both_parts_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "study_seconds", lambda study, scratch, jobs: 10.0 / jobs)
    monkeypatch.setattr(studies, "bootstrap_seconds", lambda: 4.0)
    studies.run(tmp_path / "record.json", repeats=2)
    parts = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))["parts"]
    (check,) = parts["sweep"]["checks"]
    assert (check["median"], check["goal"], check["met"]) == (2.0, 1.7, True)
    assert "40 cells" in parts["sweep"]["title"]
    assert parts["bootstrap"]["checks"][0]["met"]


def test_draws_are_timed():
    assert studies.bootstrap_seconds(rows=500, users=20, draws=5) >= 0
