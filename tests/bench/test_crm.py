"""`laser bench crm`: what its parts run, the record it writes, what it prints. On little data, and no number of it is judged."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from laser_core import cli
from laser_core.bench import crm, figures
from laser_core.bench.measure import Part
from laser_core.bench.world import movielens_like


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "world"
    movielens_like(seed=3, users=60).save(folder)
    return folder


@pytest.fixture(autouse=True)
def no_toolkits(monkeypatch):
    monkeypatch.setattr(crm, "installed", lambda: [])


def laser(*words: object):
    return CliRunner().invoke(cli.app, [str(word) for word in words], prog_name="laser")


@pytest.mark.parametrize("model", crm.LABELS)
def test_training_is_timed(world, model):
    (speeds,) = crm.training(str(world), model, rows=300, repeats=2).values()
    assert len(speeds) == 2
    assert min(speeds) > 0


def test_only_full_histories_where_the_length_is_what_is_measured(world, monkeypatch):
    seen = []
    monkeypatch.setattr(crm, "_train", lambda system, module, samples, valid: seen.append(samples.length))
    crm.training(str(world), "din", rows=100, repeats=1, history=12)
    assert all((lengths == 12).all() for lengths in seen)


@pytest.mark.parametrize("batch", [1, 256])
def test_scoring_is_timed(world, batch):
    (speeds,) = crm.scoring_speed(str(world), "din", batch, repeats=1).values()
    assert speeds[0] > 0


def test_a_few_shot_cell_runs_to_its_end(world, tmp_path, monkeypatch):
    monkeypatch.setattr(crm, "EPOCHS", 2)
    monkeypatch.setattr(crm, "TEST_ROWS", 100)
    assert crm.few_shot_cell(str(world), "deepfm") == 100
    plan = crm.prepare_few_shot(str(world), "deepfm", str(tmp_path / "tables"))
    assert plan["batch_size"] == 32  # 1,024 shots in 32 steps an epoch
    rows = {name: len(crm.Table.load(tmp_path / "tables" / f"{name}.npz").label) for name in ("train", "valid", "test")}
    assert rows == {"train": 1024, "valid": min(1024, len(crm.CTRDataset.load(world).valid)), "test": 100}


def test_peak_memory_needs_only_the_first_steps(world):
    peak = crm.peak_memory(str(world))
    assert peak["megabytes"] > 50  # python, numpy and torch alone
    assert peak["rows"] == len(crm.CTRDataset.load(world).train)


# ---- the command ---------------------------------------------------------------------------------------------------------------


def quick(scratch, repeats):
    """A part that measures nothing."""
    part = Part("A part", missing=["SomeToolkit: not installed (pip install it)"])
    for history, cost in ((10, 20.0), (300, 400.0)):
        for who, times in ((crm.KIT, 1), ("DeepCTR-Torch", 3)):
            part.measured(f"history of {history}", who, "CPU-microseconds a row", [times * cost] * repeats, history=history)
    part.compared("met", [4.0], [2.0], goal=2.0)
    part.compared("not met", [4.0], [2.0], goal=3.0)
    part.checked("no goal", [1.0])
    return part


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.setattr(crm, "PARTS", {"history": quick, "other": quick})


def test_the_command_prints_and_records(parts, tmp_path):
    out = tmp_path / "crm.json"
    result = laser("bench", "crm", "--part", "history", "--repeats", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert "[OK] met: 2 (2 - 2) (goal: at least 2)" in result.stdout
    assert "[FAIL] not met: 2 (2 - 2) (goal: at least 3)" in result.stdout
    assert "[--] no goal: 1 (1 - 1)" in result.stdout
    assert "1,200" in result.stdout
    assert "not measured: SomeToolkit: not installed (pip install it)" in result.stderr
    record = json.loads(out.read_text())
    assert list(record["parts"]) == ["history"]
    made = record["parts"]["history"]["provenance"]
    assert made["repeats"] == 2
    assert {"torch", "deepctr-torch", "torch-rechub"} <= made["versions"].keys()
    assert made["hardware"]["cores"] >= 1
    again = json.loads(laser("bench", "crm", "--out", out, "--json").stdout)
    assert list(again["parts"]) == ["history", "other"]


def test_without_out_the_record_is_in_the_store(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_STORE", str(tmp_path / "runs"))
    assert laser("bench", "crm", "--part", "other").exit_code == 0
    assert (tmp_path / "runs" / "bench" / "crm.json").exists()


def test_an_unknown_part_is_refused_before_anything_runs(tmp_path):
    result = laser("bench", "crm", "--part", "deepfn", "--out", tmp_path / "crm.json")
    assert result.exit_code == 2
    assert "unknown part 'deepfn': did you mean 'deepfm'?" in result.stderr
    assert not (tmp_path / "crm.json").exists()


def test_a_file_that_is_no_record_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "mine.json").write_text("[]")
    result = laser("bench", "crm", "--out", tmp_path / "mine.json")
    assert result.exit_code == 2
    assert "holds no benchmark" in result.stderr


def test_the_figure_shows_every_side_against_the_length(parts, tmp_path):
    out = tmp_path / "crm.json"
    crm.run(out, ["history"], repeats=2)
    figure = figures.history_cost(json.loads(out.read_text()))
    lines = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert lines == {crm.KIT: ([10, 300], [20, 400]), "DeepCTR-Torch": ([10, 300], [60, 1200])}
    assert "2 rounds" in figure.layout.xaxis.title.text
