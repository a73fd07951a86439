"""Every notebook runs, open and solved; its checks can tell right from wrong; what is committed is of today's sources."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"


def module(name: str):
    """A file of the notebooks' folder, imported."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


build, checks = module("build"), module("checks")
SOURCES = build.sources()


@pytest.fixture(scope="module")
def executed(small, tmp_path_factory):
    """Runs a notebook once, in seconds instead of minutes, with a store that all of them share."""
    notebooks = {}

    def execute(source: Path, solved: bool):
        if (source, solved) not in notebooks:
            notebooks[source, solved] = build.execute(build.convert(source, solved), seconds=300)
        return notebooks[source, solved]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LASER_PROFILE", "smoke")
        patch.setenv("LASER_STORE", str(tmp_path_factory.mktemp("notebooks") / "runs"))
        yield execute


def printed(notebook) -> str:
    """All text that the cells gave out."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_there_are_notebooks():
    assert "00_welcome" in [source.stem for source in SOURCES]


@pytest.mark.parametrize("solved", [False, True], ids=["open", "solved"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_runs_from_top_to_bottom(source, solved, executed):
    notebook = executed(source, solved)
    verdicts = re.findall(r"Exercise \d+: (right|not yet|not begun)", printed(notebook))
    assert len(verdicts) == source.read_text(encoding="utf-8").count("# BEGIN SOLUTION")
    assert set(verdicts) == {"right" if solved else "not begun"}
    assert "SOLUTION" not in "".join(cell.source for cell in notebook.cells)


def test_welcome_shows_the_quality_it_speaks_of(executed):
    notebook = executed(FOLDER / "00_welcome.py", solved=True)
    auc = float(re.search(r"'auc': (0\.\d+)", printed(notebook))[1])
    assert 0.73 < auc < 0.79  # History-LR with 256 shots


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_committed_notebooks_are_executed_and_of_todays_source(source):
    assert build.is_current(source), "make notebooks"
    for path in build.targets(source).values():
        assert path.stat().st_size < 500_000
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert not [output for cell in code for output in cell.outputs if output.output_type == "error" or output.get("name") == "stderr"]


def test_an_older_notebook_is_noticed(tmp_path, monkeypatch):
    source = tmp_path / "00_old.py"
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    source.write_text("# %%\n1 + 1\n")
    for solved, path in build.targets(source).items():
        path.parent.mkdir(exist_ok=True)
        nbformat.write(build.convert(source, solved), path)
    assert build.is_current(source)
    source.write_text("# %%\n1 + 2\n")
    assert not build.is_current(source)


def test_a_failing_cell_is_an_error(tmp_path):
    source = tmp_path / "00_broken.py"
    source.write_text("# %%\nraise SystemError('no')\n")
    with pytest.raises(build.CellExecutionError, match="no"):
        build.execute(build.convert(source, solved=True), seconds=60)


# ---- the checks themselves -------------------------------------------------------------------------------------------------


def test_history_check(small, capsys):
    row = int(small.test[100])
    titles = [small.title(small.event_item[event]) for event in small.history_events(row)]
    checks.history_sees_no_future(titles, small, row)
    checks.history_sees_no_future(titles[1:], small, row)
    checks.history_sees_no_future([*titles[1:], small.title(small.sample_item([row])[0])], small, row)
    checks.history_sees_no_future(..., small, row)
    assert re.findall(r"1: ([a-z ]+)\.", capsys.readouterr().out) == ["right", "not yet", "not yet", "not begun"]


def test_auc_check(capsys):
    def ties_forgotten(labels, scores):
        return (scores[labels == 1][:, None] > scores[labels == 0]).mean()

    checks.auc_by_hand(ties_forgotten)
    checks.auc_by_hand(lambda labels, scores: None)
    assert re.findall(r"2: ([a-z ]+)\.", capsys.readouterr().out) == ["not yet", "not begun"]


@pytest.mark.parametrize(("answer", "verdict"), [(256, "right"), (1024, "not yet"), (None, "not yet"), (..., "not begun")])
def test_match_point_check(answer, verdict, capsys):
    checks.labels_needed(answer, {1024: np.float64(0.8), 64: 0.6, 256: 0.75}, 0.75)
    assert f"3: {verdict}." in capsys.readouterr().out


def test_match_point_that_does_not_exist(capsys):
    checks.labels_needed(None, {64: 0.6}, 0.75)
    assert "3: right." in capsys.readouterr().out
