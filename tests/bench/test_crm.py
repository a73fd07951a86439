"""`laser bench crm`: what its parts run, the record it writes, what it prints. On little data, and no number of it is judged."""

from __future__ import annotations

import json
import subprocess
import sys

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
    assert crm.few_shot_cell(str(world), crm.FEW_SHOT_BATCH) == 100
    plan = crm.prepare_few_shot(str(world), str(tmp_path / "tables"))
    options = plan["options"]
    assert crm.SHOTS // options["steps"] == crm.FEW_SHOT_BATCH
    assert sum(plan["sizes"].values()) > len(plan["sizes"])
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


def test_a_record_is_shown_again(parts, tmp_path, monkeypatch):
    out = tmp_path / "bench" / "crm.json"
    printed = laser("bench", "crm", "--out", out).stdout
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path))
    shown = laser("bench", "show")
    assert shown.stdout == printed
    assert shown.stderr.count(" 5 rounds, ") == 2
    assert json.loads(laser("bench", "show", out, "--json").stdout) == json.loads(out.read_text())
    result = laser("bench", "show", tmp_path / "none.json")
    assert result.exit_code == 2
    assert "none.json is no record of a benchmark" in result.stderr


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


# ---- the parts, over made-up numbers ---------------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch):
    """Answers for the functions that would run in processes of their own; the arguments they were asked with are kept, as JSON."""
    asked, given = [], {}

    def call(function: str, **arguments):
        asked.append((function.partition(":")[2], json.loads(json.dumps(arguments))))
        return given.get(asked[-1][0], lambda **_: {})(**arguments)

    class Child:
        def __init__(self, function: str, **arguments):
            self.value = call(function, **arguments)

        def result(self):
            return {"cpu_seconds": self.value}

    monkeypatch.setattr(crm, "call", call)
    monkeypatch.setattr(crm, "Child", Child)
    monkeypatch.setattr(crm, "installed", lambda: list(crm.PEERS))
    return asked, given


def goals(part: Part) -> dict[str, tuple[float, bool | None]]:
    return {check["what"]: (check["median"], check.get("met")) for check in part.checks}


def test_training_is_held_against_the_same_model_of_the_toolkits(answers, tmp_path):
    asked, given = answers
    given["training"] = lambda **_: {crm.KIT: [290.0, 300.0, 310.0], "DeepCTR-Torch": [100.0, 100.0, 100.0], "torch-rechub": [50.0] * 3}
    part = crm.train_din(tmp_path, 3)
    assert goals(part) == {
        "DIN trains so many times as fast as DeepCTR-Torch": (3.0, True),
        "DIN trains so many times as fast as torch-rechub": (6.0, None),
        "DIN without ratings trains so many times as fast as DeepCTR-Torch": (3.0, None),
        "DIN without ratings trains so many times as fast as torch-rechub": (6.0, None),
    }
    assert goals(crm.train_deepfm(tmp_path, 3))["DeepFM trains so many times as fast as DeepCTR-Torch"] == (3.0, True)
    assert [arguments["model"] for name, arguments in asked if name == "training"] == ["din", "din-items", "deepfm"]


def test_few_shot_cells_are_whole_processes(answers, tmp_path):
    asked, given = answers
    given["few_shot_cell"] = lambda **_: 2.0
    given["few_shot_peer"] = lambda peer, **_: {"DeepCTR-Torch": 15.0, "torch-rechub": 8.0}[peer]
    given["import_torch"] = lambda **_: 1.0
    part = crm.few_shot(tmp_path, 2)
    costs = {"DeepCTR-Torch": (7.5, True, 14.0), "torch-rechub": (4.0, None, 7.0)}
    expected = {}
    for batch in ("32", "1,024"):
        for who, (whole, met, beyond) in costs.items():
            expected[f"a cell in batches of {batch} costs {who} so many times as much"] = (whole, met)
            expected[f"the same beyond importing torch ({batch}, {who})"] = (beyond, None)
    assert goals(part) == expected
    assert sorted({arguments["batch"] for name, arguments in asked if name == "few_shot_peer"}) == [32, 1024]


def test_longer_histories_are_timed_on_longer_histories(answers, tmp_path):
    asked, given = answers
    given["training"] = lambda history, **_: {crm.KIT: [1e6 / (5 + history / 10)], "DeepCTR-Torch": [1e6 / history]}
    part = crm.history_cost(tmp_path, 1)
    kit = {row["history"]: row["median"] for row in part.measurements if row["who"] == crm.KIT}
    assert kit == pytest.approx({10: 6, 30: 8, 100: 15, 300: 35})
    assert part.checks[0]["median"] == pytest.approx(35 / 6)
    (world,) = [arguments for name, arguments in asked if name == "make_world"]
    assert world["fewest"] > 300


@pytest.mark.parametrize(("load", "said"), [(0.1, 0), (6.0, 1)])
def test_two_runs_are_compared_with_one(answers, tmp_path, monkeypatch, load, said):
    _, given = answers
    clock = iter([0.0, 10.0, 10.0, 21.0])
    cpu = iter([8.0, 9.0, 11.0])
    given["one_run"] = lambda **_: next(cpu)
    monkeypatch.setattr(crm.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(crm.psutil, "getloadavg", lambda: (load, 0.0, 0.0))
    part = crm.two_at_once(tmp_path, 1)
    assert list(goals(part).values()) == [(pytest.approx(20 / 11), True), (pytest.approx(16 / 10), None)]
    assert len(part.missing) == said


@pytest.mark.parametrize(("late", "met"), [(100.0, True), (150.0, False)])
def test_memory_grows_with_the_data(answers, tmp_path, monkeypatch, late, met):
    """400 MB, then 100 MB a copy, but `late` for each of the last four; MovieLens-1M is not here."""
    _, given = answers
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))

    def peak(folder: str, **_):
        times = int(folder.rpartition("-")[2])
        return {"megabytes": 400 + 100 * min(times, 4) + late * max(times - 4, 0), "rows": 10, "encode_seconds": 0.5 * times}

    given["make_copies"] = lambda to, **_: crm.Path(to).mkdir()
    given["peak_memory"] = peak
    part = crm.memory(tmp_path, 1)
    memory, encoding = part.checks
    assert (memory["median"], memory["met"]) == (pytest.approx(late / 100), met)
    assert (encoding["median"], encoding["met"]) == (pytest.approx(1.0), True)
    assert part.missing == ["MovieLens-1M: not here (laser data get ml-1m)"]
    assert not list(tmp_path.glob("copies-*"))


def test_scoring_is_timed_at_every_size(answers, tmp_path):
    _, given = answers
    given["scoring_speed"] = lambda model, batch, **_: {crm.KIT: [1000.0 * batch]}
    part = crm.scoring(tmp_path, 1)
    assert {row["case"]: row["median"] for row in part.measurements} == {
        f"{label}, {batch:,} rows a call": 1000.0 * batch for label in ("DeepFM", "DIN") for batch in (1, 256, 4096)
    }


def test_a_few_shot_cell_loads_nothing_but_torch(world):
    """Start-up is most of a few-shot cell: what it does not need (scipy alone takes a quarter of a second) must not creep in."""
    code = f"import sys; from laser_core.bench import crm; crm.EPOCHS = 1; crm.few_shot_cell({str(world)!r}, 1024); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert not {"pandas", "scipy", "sklearn", "pyarrow", "plotly", "sympy", "torch._dynamo", "transformers"} & set(loaded)
