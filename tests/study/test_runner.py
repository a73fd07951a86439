"""Runs on a system that costs nothing, killed and disturbed in every way.

What concerns processes runs in real ones; what the loop decides is tested with the same work done in this process, which takes a tenth of
the time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from laser_core import systems
from laser_core.errors import FaultError, UserError
from laser_core.metrics import bootstrap_auc
from laser_core.metrics.bootstrap import bootstrap_mean
from laser_core.metrics.ranking import row_log_loss
from laser_core.study import cell as cells
from laser_core.study import runner, versions, worker
from laser_core.study.planning import Speed
from laser_core.study.spec import Grid, Study, load_study
from laser_core.study.store import ResultStore
from tests.study import fake

PROJECT = Path(__file__).resolve().parents[2]


class Here:
    """An engine that does the work at once, in this process."""

    slots = 1

    def __init__(self):
        self.answers = []

    def submit(self, number, job):
        job = json.loads(json.dumps(job))
        self.answers += [(number, {"state": "progress", "message": "begun", "done": 0, "total": 1}), (number, worker.work(job))]

    def next_answer(self, seconds):
        return self.answers.pop(0) if self.answers else None

    def cancel(self, number):
        raise AssertionError("what is done at once takes no time")

    def close(self):
        assert not self.answers


def run_here(study, folder, **changes):
    return runner.run(study, ResultStore(folder), engine=Here(), **changes)


def start(store: Path, sleep: float = 0.15) -> subprocess.Popen:
    """A run in a process of its own, as from the command line."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.study.fake", str(store), str(sleep)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )


def fingerprints(store: Path) -> dict[str, tuple]:
    """key -> what must not depend on how a study was run."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in store.glob("*/*/*.json")]
    return {record["key"]: (record["status"], record["predictions_sha256"], canonical_draws(record)) for record in records}


def canonical_draws(record: dict) -> str:
    return json.dumps([record["metrics"], record["draws"]], sort_keys=True)


@pytest.fixture
def undisturbed(small, registry, tmp_path):
    """What a run of `start` leaves when nothing happens."""
    outcome = run_here(fake.study(options={"sleep": 0.15}), tmp_path / "undisturbed")
    assert (outcome.computed, outcome.failed, outcome.problems) == (6, 0, [])
    Path(os.environ["FAKE_LOG"]).unlink()
    return fingerprints(tmp_path / "undisturbed")


def test_how_far_a_cell_is_is_told_by_what_is_expected_and_by_its_own_pace(monkeypatch):
    """Expected are 100 seconds. It reads for 400, and then a second step begins."""
    clock = [1000.0]
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    at = runner._Running(entry=None)
    assert (at.seconds_left(100.0), at.part_done(100.0), at.doing) == (100.0, 0.0, "starting")
    clock[0] = 1010.0
    at.hear("reading", 0, 200)
    assert (at.seconds_left(100.0), at.part_done(100.0)) == (90.0, 0.1), "its pace is not known yet"
    clock[0] = 1050.0
    at.hear("reading", 20, 200)
    assert at.seconds_left(100.0) == pytest.approx(360), "40 seconds a tenth" and at.doing == "reading 10%"
    clock[0] = 1060.0
    assert at.seconds_left(100.0) == pytest.approx(350) and at.part_done(100.0) == pytest.approx(60 / 410)
    clock[0] = 1410.0
    at.hear("reading", 200, 200)
    assert at.seconds_left(100.0) == 0 and at.part_done(100.0) == 0.95
    at.hear("scoring", 1, 10)
    clock[0] = 1420.0
    at.hear("scoring", 6, 10)
    assert at.seconds_left(100.0) == pytest.approx(8), "20 seconds a whole" and at.doing == "scoring 60%"
    at.hear("writing", 0, 0)
    assert at.seconds_left(100.0) == 0 and at.doing == "writing"


def test_a_study_runs_once_and_then_is_there(undisturbed, tmp_path):
    told = []
    store = ResultStore(tmp_path / "store")
    study = fake.study(options={"sleep": 0.15})
    outcome = runner.run(study, store, jobs=2, progress=lambda *what: told.append(what))
    assert (outcome.computed, outcome.present, outcome.failed, outcome.left) == (6, 0, 0, 0)
    assert sorted(fake.log_lines()) == sorted(f"{shots} {seed}" for shots in (64, 128) for seed in (0, 1, 2))
    assert "left: fake N=64 seed 0 (" in (words := " ".join(message for message, _, _ in told)) and "(fitting 0%)" in words
    assert [entry[1] for entry in told] == sorted(entry[1] for entry in told)

    assert told[0][2] == 0 and {entry[2] for entry in told[1:]} == {6000} and told[-1][1] >= 5000

    assert fingerprints(store.folder) == undisturbed
    assert not list((store.folder / ".claims").iterdir())

    again = run_here(study, store.folder)
    assert (again.computed, again.present) == (0, 6)
    assert len(fake.log_lines()) == 6


def test_a_wider_study_adds_to_a_store(small, registry, tmp_path):
    narrow, wide = fake.study(shots=(64,)), fake.study(shots=(64, 128))
    store = ResultStore(tmp_path)
    run_here(narrow, tmp_path)
    assert [(entry.state, entry.cell.shots) for entry in runner.plan(wide, store)].count(("missing", 128)) == 3
    assert run_here(wide, tmp_path).computed == 3
    table = runner.results(narrow, store)
    assert table["shots"].tolist() == [64] * 3
    assert table["current"].all()


def test_a_record_tells_how_it_came_to_be(small, registry, tmp_path):
    store = ResultStore(tmp_path)
    runner.run(fake.study(shots=(64,), seeds=(0,), threads=2, options={"scale": 0.5}), store, jobs=2)
    (row,) = store.cells().to_dict("records")
    record = store.read(row["key"])
    assert record["cell"]["options"] == {"trouble": "", "troubled_seed": 1, "sleep": 0.0, "scale": 0.5}
    assert record["variant"] == "scale=0.5"
    assert record["counts"] == {"train_rows": 64, "labels_seen": 64, "valid_rows": 256, "test_rows": 120, "parameters": 0}
    assert record["curve"] == [{"loss": 0.5}, {"loss": None}]
    assert record["cost"]["threads_seen"] == record["provenance"]["threads"] == 2
    assert record["cost"]["peak_memory_mb"] > 50
    # what a store had ready counts at what it cost when it was made
    assert 1000 <= record["cost"]["fit_seconds"] < 2000 and 5000 <= record["cost"]["predict_seconds"] < 6000
    assert record["provenance"]["profile"] == "smoke"
    assert len(record["draws"]["auc"]) == 1000
    assert row["auc_low"] < row["auc"] < row["auc_high"]
    assert {"python", "laser", "numpy"} <= set(record["provenance"]["versions"])
    text = json.dumps(record)
    assert str(Path.home()) not in text
    assert str(PROJECT) not in text
    assert os.uname().nodename not in text


def test_a_cell_is_fitted_and_tested_on_the_rows_of_its_seed(small, registry, tmp_path, monkeypatch):
    """Shots, validation rows, seed and test rows as the data set gives them; metrics of what is kept, intervals over users."""
    given = {}
    fit, predict = fake.Fake.fit, fake.Fake.predict

    def noted_fit(self, dataset, rows, valid_rows, seed=0, progress=None):
        given["fit"] = rows, valid_rows, seed
        fit(self, dataset, rows, valid_rows, seed, progress)
        self.labels_seen_ = 1234
        return self

    monkeypatch.setattr(fake.Fake, "fit", noted_fit)
    monkeypatch.setattr(fake.Fake, "predict", lambda self, data, rows, progress=None: given.update(test=rows) or predict(self, data, rows))
    store = ResultStore(tmp_path)
    run_here(fake.study(shots=(300,), seeds=(2,), options={"scale": 0.9}), tmp_path)
    (key,) = store.cells()["key"]
    record, stored = store.read(key), store.predictions(key)
    rows, valid_rows, seed = given["fit"]
    np.testing.assert_array_equal(rows, small.shots(300, 2))
    np.testing.assert_array_equal(valid_rows, small.validation_rows(300, 2))
    assert seed == 2
    np.testing.assert_array_equal(given["test"], small.test_rows(120))
    np.testing.assert_array_equal(stored["row"], small.test_rows(120))
    np.testing.assert_array_equal(stored["label"], small.labels(small.test_rows(120)))
    np.testing.assert_array_equal(stored["user"], small.sample_user(small.test_rows(120)))
    assert record["counts"]["labels_seen"] == 1234 and record["counts"]["valid_rows"] == 300
    labels, said, users = (stored[name].to_numpy() for name in ("label", "probability", "user"))
    assert said.dtype == np.float32 and (said * 2**14 % 1 == 0).all(), "kept in steps of 2^-14, and judged so"
    assert record["metrics"]["auc"] == pytest.approx(roc_auc_score(labels, said), abs=1e-12)
    assert record["metrics"]["log_loss"] == pytest.approx(log_loss(labels, said.astype(float)), abs=1e-12)
    np.testing.assert_allclose(record["draws"]["auc"], bootstrap_auc(labels, said, users), atol=1e-6)
    np.testing.assert_allclose(record["draws"]["log_loss"], bootstrap_mean(row_log_loss(labels, said), users), atol=1e-6)


def test_data_that_changed_while_a_study_ran_give_no_result(small, registry, tmp_path):
    with patch.object(cells, "_dataset", lambda name: dataclasses.replace(small, version="another")):
        outcome = run_here(fake.study(shots=(64,), seeds=(0,)), tmp_path)
    assert (outcome.computed, outcome.failed) == (0, 1) and "movielens-small changed on disk while the study ran" in outcome.problems[0]
    assert run_here(fake.study(shots=(64,), seeds=(0,)), tmp_path).computed == 1


def test_killed_runs_are_finished_by_the_next(undisturbed, tmp_path):
    moments = random.Random(0)
    store = tmp_path / "store"
    for _ in range(3):
        process = start(store)
        time.sleep(1.2 + moments.random() * 1.5)
        process.kill()
        process.wait()
    outcome = runner.run(fake.study(options={"sleep": 0.15}), ResultStore(store), jobs=2)
    assert outcome.computed + outcome.present == 6
    assert fingerprints(store) == undisturbed
    assert len(fake.log_lines()) == len(set(fake.log_lines())) == 6  # workers finish their cell: none was begun twice


def test_killed_workers_are_replaced(undisturbed, tmp_path):
    import psutil

    moments = random.Random(1)
    process = start(tmp_path / "store")
    killed = 0
    for _ in range(100):
        time.sleep(0.2 + moments.random() * 0.2)
        workers = psutil.Process(process.pid).children() if process.poll() is None else []
        if fake.log_lines() and workers and killed < 2:
            moments.choice(workers).kill()
            killed += 1
        if process.poll() is not None:
            break
    assert process.wait(60) == 0
    assert killed
    runner.run(fake.study(options={"sleep": 0.15}), ResultStore(tmp_path / "store"), jobs=2)
    assert fingerprints(tmp_path / "store") == undisturbed


@pytest.mark.slow
def test_fifty_kills_lose_nothing(undisturbed, tmp_path, monkeypatch):
    """Runner or worker, at any moment, on a slow disk: what the next run leaves is what an undisturbed one does."""
    import psutil

    monkeypatch.setenv("FAKE_FSYNC", "0.1")
    moments = random.Random(2)
    kills, torn, stores = {"runner": 0, "worker": 0}, 0, 0
    while sum(kills.values()) < 50:
        stores += 1
        store, workers_before = tmp_path / f"store-{stores}", kills["worker"]
        Path(os.environ["FAKE_LOG"]).unlink(missing_ok=True)
        process = start(store)
        while True:
            while process.poll() is None and not psutil.Process(process.pid).children():
                time.sleep(0.05)
            time.sleep(2.5 * moments.random())
            if process.poll() is not None:
                break
            workers = psutil.Process(process.pid).children()
            if workers and moments.random() < 0.6:
                moments.choice(workers).kill()
                kills["worker"] += 1
            else:
                process.kill()
                process.wait()
                kills["runner"] += 1
                process = start(store)
            torn += len(list(store.rglob(".*.partial")))
        runner.run(fake.study(options={"sleep": 0.15}), ResultStore(store), jobs=2)
        assert fingerprints(store) == undisturbed
        assert len(fake.log_lines()) - 6 <= kills["worker"] - workers_before  # begun again: only what a killed worker was at
    assert min(kills.values()) > 10
    assert torn > 0


def test_a_clock_that_jumps_disturbs_nothing(small, registry, tmp_path, monkeypatch):
    """Claims are locks and durations monotonic: no decision reads the time of day."""

    class Jumping(datetime):
        years = iter(range(2050, 1970, -1))

        @classmethod
        def now(cls, tz=None):
            return datetime(next(cls.years), 1, 1, tzinfo=tz)

    study = fake.study()
    assert run_here(study, tmp_path / "steady").computed == 6
    monkeypatch.setattr(cells, "datetime", Jumping)
    assert run_here(study, tmp_path / "jumping").computed == 6
    assert run_here(study, tmp_path / "jumping").present == 6
    assert fingerprints(tmp_path / "jumping") == fingerprints(tmp_path / "steady")
    assert ResultStore(tmp_path / "jumping").cells()["current"].all()


def test_two_runs_at_once_share_the_work(undisturbed, tmp_path):
    store = tmp_path / "store"
    processes = [start(store), start(store)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert fingerprints(store) == undisturbed
    assert len(fake.log_lines()) == 6


def test_interrupt_keeps_what_is_finished(small, registry, tmp_path):
    process = start(tmp_path, sleep=0.3)
    while not list(tmp_path.glob("*/*/*.json")):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    finished = len(list(tmp_path.glob("*/*/*.json")))
    outcome = runner.run(fake.study(options={"sleep": 0.3}), ResultStore(tmp_path), jobs=2)
    assert outcome.present >= finished
    assert outcome.computed + outcome.present == 6


def test_a_failing_cell_does_not_stop_the_rest(small, registry, tmp_path):
    store = ResultStore(tmp_path)
    study = fake.study(shots=(64,), options={"trouble": "raise"})
    outcome = run_here(study, tmp_path)
    assert (outcome.computed, outcome.failed) == (2, 1)
    assert outcome.problems == ["fake, movielens-small, N = 64, seed 1, trouble = raise: ValueError: no luck with ./data"]
    assert store.cells().set_index("seed")["status"].to_dict() == {0: "done", 1: "failed", 2: "done"}
    again = run_here(study, tmp_path)
    assert (again.computed, again.present, again.failed) == (0, 2, 1)
    assert again.problems == ["1 cell: ValueError: no luck with ./data"]
    assert fake.log_lines().count("64 1") == 1
    retried = run_here(study, tmp_path, retry=True)
    assert (retried.computed, retried.present, retried.failed) == (0, 2, 1)
    assert fake.log_lines().count("64 1") == 2


def test_what_cannot_be_had_is_tried_once_a_run(small, registry, tmp_path):
    """Such as weights without a network: the other cells of the system would wait for the same."""
    study = fake.study(shots=(64,), seeds=(1, 2, 3), systems=("fake", "other"), options={"trouble": "missing", "troubled_seed": 1})
    for _ in range(2):
        outcome = run_here(study, tmp_path)
        assert (outcome.computed, outcome.failed, outcome.left) == (0, 2, 4)
        assert outcome.problems[0].endswith("the weights cannot be had: connect to the network")
        assert outcome.problems[-2:] == [
            f"2 more cells of {system}, trouble = missing, troubled_seed = 1: the weights cannot be had: connect to the network"
            for system in ("fake", "other")
        ]
    assert fake.log_lines() == ["64 1"] * 4


def test_other_options_may_need_other_weights(small, registry, tmp_path):
    study = fake.study(shots=(64,), seeds=(1, 2), vary={"trouble": ("missing", "")})
    outcome = run_here(study, tmp_path)
    assert (outcome.computed, outcome.failed, outcome.left) == (2, 1, 1)


@pytest.mark.parametrize(("trouble", "reason"), [("nan", "1 of 120 are not"), ("above", "from 0 to 1"), ("short", r"shape \(119,\)")])
def test_what_is_no_probability_is_no_result(small, registry, tmp_path, trouble, reason):
    outcome = run_here(fake.study(shots=(64,), options={"trouble": trouble}), tmp_path)
    assert (outcome.computed, outcome.failed) == (2, 1)
    cells = ResultStore(tmp_path).cells().set_index("seed")
    assert cells["status"].to_dict() == {0: "done", 1: "failed", 2: "done"}
    assert re.search(f"^fake must give .*{reason}", cells["error"][1])


@pytest.mark.parametrize("trouble", ["memory", "fault"])
def test_one_cells_bad_luck_is_not_its_systems(small, registry, tmp_path, trouble):
    """What passes is tried again by the next run, and keeps no other cell from being computed."""
    for _ in range(2):
        outcome = run_here(fake.study(shots=(64,), options={"trouble": trouble}), tmp_path)
        assert (outcome.computed + outcome.present, outcome.failed, outcome.left) == (2, 1, 0)
    assert fake.log_lines().count("64 1") == 2


@pytest.mark.parametrize(("trouble", "reason"), [("exit", "ended with code 3: the end"), ("kill", "ended by SIGKILL")])
def test_a_cell_that_kills_its_process_is_recorded(small, registry, tmp_path, trouble, reason):
    store = ResultStore(tmp_path)
    outcome = runner.run(fake.study(shots=(64,), options={"trouble": trouble}), store, jobs=1)
    assert (outcome.computed, outcome.failed) == (2, 1)
    assert reason in outcome.problems[0]
    assert reason in store.cells().set_index("seed")["error"][1]
    assert fake.log_lines().count("64 1") == 2  # once more, in case the cause was outside


def test_a_cell_that_takes_too_long_is_ended(small, registry, tmp_path):
    study = fake.study(shots=(64,), seeds=(0,), options={"sleep": 600.0}, seconds=0.5)
    outcome = runner.run(study, ResultStore(tmp_path), jobs=1)
    assert (outcome.computed, outcome.failed) == (0, 1)
    assert "took longer than the 0.5 seconds that the study gives it" in outcome.problems[0]
    assert run_here(study, tmp_path).failed == 1  # known, and not tried again


def test_a_cell_whose_process_is_killed_once_is_computed(small, registry, tmp_path):
    outcome = runner.run(fake.study(shots=(64,), options={"trouble": "killed-once"}), ResultStore(tmp_path), jobs=1)
    assert (outcome.computed, outcome.failed) == (3, 0)


def test_damaged_results_are_computed_again(small, registry, tmp_path):
    store = ResultStore(tmp_path)
    run_here(fake.study(shots=(64,)), tmp_path)
    before = fingerprints(tmp_path)
    first, second, _ = sorted(tmp_path.glob("*/*/*.json"))
    first.write_bytes(first.read_bytes()[:100])
    parquet = second.with_suffix(".parquet")
    parquet.write_bytes(parquet.read_bytes()[:-5])
    assert [entry.state for entry in runner.plan(fake.study(shots=(64,)), store)].count("missing") == 2
    assert run_here(fake.study(shots=(64,)), tmp_path).computed == 2
    assert fingerprints(tmp_path) == before


def test_a_store_that_cannot_be_written_stops_before_any_work(small, registry, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FaultError, match="choose a folder"):
        run_here(fake.study(), tmp_path / "taken")
    assert fake.log_lines() == []


def test_cheap_cells_lead_and_every_curve_comes_once_first(small, registry, tmp_path):
    systems.SYSTEMS["slow"] = systems.System("slow", "Slow", "llm", "tests.study.fake:Fake")
    planned = runner.plan(fake.study(shots=(64, 4096), systems=("slow", "fake")), ResultStore(tmp_path))
    order = [(entry.cell.system, entry.cell.shots, entry.cell.seed) for entry in planned]
    assert order[0] == ("fake", 64, 0)
    assert order[-1] == ("slow", 4096, 2)
    assert order.index(("fake", 4096, 0)) < order.index(("fake", 64, 2))
    assert {entry.state for entry in planned} == {"missing"}
    table = runner.plan_table(planned)
    assert table["seconds"].gt(0).all()


@pytest.mark.parametrize("ready", [{}, {"scale": 0.5}])  # with .5, a store has an hour's work ready
def test_time_is_learned_from_what_is_done(ready, small, registry, tmp_path):
    store = ResultStore(tmp_path)
    run_here(fake.study(shots=(64,), seeds=(0,), options={"sleep": 0.4, **ready}), tmp_path)
    speed = Speed(store.cells())
    (cell, larger, _, _) = fake.study(shots=(64, 4096), seeds=(0, 1)).cells()
    assert 0.4 <= round(speed.seconds(cell), 3) < 2  # records hold milliseconds
    assert speed.seconds(fake.study(shots=(4096,)).cells()[0]) > speed.seconds(cell)
    assert larger.seed == 1
    speed.learn(cell, 100.0)
    assert speed.seconds(cell) > 50


def test_answers_take_time_by_the_number_of_test_rows(small, registry, tmp_path):
    run_here(fake.study(shots=(64,), seeds=(0,)), tmp_path)
    table = ResultStore(tmp_path).cells().assign(fit_seconds=10.0, predict_seconds=100.0, test_rows=1000)
    speed = Speed(table)
    cell = dataclasses.replace(fake.study(shots=(64,), seeds=(0,)).cells()[0], test_rows="all")
    assert speed.seconds(dataclasses.replace(cell, test_rows=50)) == pytest.approx(10 + 100 * 50 / 1000)
    assert speed.seconds(cell) == pytest.approx(110), "all test rows are as many as the most that were recorded"
    speed.learn(cell, 220)
    assert speed.seconds(dataclasses.replace(cell, test_rows=500)) == pytest.approx((10 + 20) / 2 + (50 + 100) / 2)


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_for_the_eye(seconds, words):
    assert runner.duration(seconds) == words


def test_what_lacks_a_package_is_left_out_and_said(small, registry, tmp_path):
    fake.register(needs=("no_such_package",))
    outcome = run_here(fake.study(shots=(64,)), tmp_path)
    assert (outcome.computed, outcome.left) == (0, 3)
    assert "3 cells: system 'fake' needs no_such_package: pip install" in outcome.problems[0]


def test_data_that_cannot_be_had_is_left_out_and_said(small, registry, tmp_path, monkeypatch):
    """Here MovieLens-1M is neither on the machine nor to be fetched: the other data set's cells are computed all the same."""
    monkeypatch.setattr(versions, "cached_data_version", lambda name: small.version if name == small.name else None)

    def load(name, **_):
        raise FaultError(f"the raw files of {name} cannot be had: no network")

    monkeypatch.setattr(runner.datasets, "load", load)
    both = Grid(("movielens-small", "ml-1m"), ("fake",), (64,), (0,), 120)
    study = Study("both", "", "", (both,), "smoke")
    assert [entry.state for entry in runner.plan(study, ResultStore(tmp_path))] == ["missing", "missing"]
    with patch.object(cells, "_dataset", lambda name: small):
        outcome = run_here(study, tmp_path)
    assert (outcome.computed, outcome.left) == (1, 1)
    assert outcome.problems == ["1 cell: the raw files of ml-1m cannot be had: no network"]


def test_recorded_results_are_found_where_their_data_is_not(small, registry, tmp_path, monkeypatch):
    run_here(fake.study(shots=(64,)), tmp_path)
    monkeypatch.setattr(versions, "cached_data_version", lambda name: None)
    monkeypatch.setattr(runner.datasets, "load", None)
    outcome = run_here(fake.study(shots=(64,)), tmp_path)
    assert (outcome.present, outcome.problems) == (3, [])
    assert len(runner.results(fake.study(shots=(64,)), ResultStore(tmp_path))) == 3


def test_results_of_older_data_are_not_those_of_today(small, registry, tmp_path, monkeypatch):
    run_here(fake.study(shots=(64,)), tmp_path)
    monkeypatch.setattr(versions, "cached_data_version", lambda name: "newer")
    assert [entry.state for entry in runner.plan(fake.study(shots=(64,)), ResultStore(tmp_path))] == ["missing"] * 3
    assert runner.results(fake.study(shots=(64,)), ResultStore(tmp_path)).empty


def test_a_wrong_option_is_the_studys_fault(small, registry, tmp_path):
    with pytest.raises(UserError, match="unknown option 'sleeep': did you mean 'sleep'"):
        run_here(fake.study(options={"sleeep": 1.0}), tmp_path)


def test_another_revision_is_computed_beside_the_old_one(small, registry, tmp_path):
    store = ResultStore(tmp_path)
    study = fake.study(shots=(64,), seeds=(0,))
    run_here(study, tmp_path)
    fake.register(revision=2)
    assert store.cells()["current"].tolist() == [False]
    assert runner.results(study, store).empty
    assert run_here(study, tmp_path).computed == 1
    assert sorted(store.cells()["current"]) == [False, True]


def test_options_are_remembered_without_loading_the_model(small, registry, monkeypatch):
    first = versions.full_options("fake", {"scale": 2.0})

    def never(*_, **__):
        raise AssertionError("the model was loaded again")

    monkeypatch.setattr(systems, "create", never)
    assert versions.full_options("fake", {"scale": 2.0}) == first
    with pytest.raises(AssertionError):
        versions.full_options("fake", {"scale": 3.0})


def test_the_smoke_study_end_to_end_and_then_nothing_heavy_is_loaded(small, tmp_path):
    study = load_study("smoke", "smoke")
    store = ResultStore(tmp_path)
    outcome = runner.run(study, store, jobs=2)
    assert (outcome.computed, outcome.problems) == (len(study.cells()), [])
    assert store.cells()["auc"].between(0.6, 0.9).all()
    code = (
        "import sys; from laser_core.study import runner, spec, store; "
        f"print(runner.run(spec.load_study('smoke', 'smoke'), store.ResultStore({str(tmp_path)!r})).present); "
        "assert not {'torch', 'transformers', 'sklearn', 'lightgbm'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(len(study.cells()))]
