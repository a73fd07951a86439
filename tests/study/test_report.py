from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from laser_core import systems
from laser_core.errors import UserError
from laser_core.study import report, runner
from laser_core.study.spec import Study
from laser_core.study.store import ResultStore
from laser_core.study.summary import summarise
from tests.study import fake
from tests.study.test_runner import run_here

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def study(small, registry, tmp_path) -> Study:
    """A finished study of a reference, a conventional model and a language model, all of them noise."""
    for name, family in (("reference", "reference"), ("model", "crm"), ("reader", "llm")):
        systems.SYSTEMS[name] = systems.System(name, f"The {name}", family, "tests.study.fake:Fake")
    made = fake.study(systems=("reference", "model", "reader"), seeds=(0, 2), test_rows=400)
    made = dataclasses.replace(made, title=f"T {HOSTILE}", question="Is it noise?")
    assert run_here(made, tmp_path / "runs").computed == 12
    return made


def test_report_is_one_file_and_tables(study, tmp_path):
    store = ResultStore(tmp_path / "runs")
    path = report.write_report(study, store, tmp_path / "out")
    page = path.read_text(encoding="utf-8")
    assert {entry.name for entry in path.parent.iterdir()} == {"report.html", "cells.csv", "summary.csv", "label-needs.csv"}
    assert HOSTILE not in page
    words = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "Is it noise?" in words
    assert not re.search(r"<(link|img|iframe)|src=", words)  # nothing is fetched
    assert "With 64 labels, The reader cannot be told apart from The " in words
    assert "has not run" not in words
    assert str(Path.home()) not in words
    written = pd.read_csv(tmp_path / "out" / "summary.csv")
    np.testing.assert_allclose(written["auc"], summarise(runner.results(study, store))["auc"])
    needs = pd.read_csv(tmp_path / "out" / "label-needs.csv")
    assert set(needs["system"]) == {"The reader"}
    assert set(needs["baseline"]) == {"The model"}


def test_report_says_what_has_not_run(study, tmp_path):
    wider = dataclasses.replace(study, grids=(dataclasses.replace(study.grids[0], seeds=(0, 2, 3)),))
    page = report.write_report(wider, ResultStore(tmp_path / "runs"), tmp_path / "out").read_text(encoding="utf-8")
    assert "6 of 18 cells have not run: laser study run fake" in page


def test_report_without_predictions_still_has_curves(study, tmp_path):
    from laser_core.study.upkeep import export

    store = ResultStore(tmp_path / "runs")
    export(store, store.cells(), tmp_path / "recorded", predictions=False)
    shutil.rmtree(tmp_path / "runs")
    recorded = ResultStore(tmp_path / "runs", tmp_path / "recorded")
    page = report.write_report(study, recorded, tmp_path / "out").read_text(encoding="utf-8")
    assert "The highest AUC is that of" in page
    assert "cannot be told apart" not in page  # nothing can be paired, so nothing is claimed


def test_report_of_nothing_names_the_command(small, registry, tmp_path):
    with pytest.raises(UserError, match="nothing of study 'fake' has been computed yet: laser study run fake"):
        report.write_report(fake.study(), ResultStore(tmp_path), tmp_path / "out")


def test_report_opens_without_network_and_without_console_errors(study, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
    path = report.write_report(study, ResultStore(tmp_path / "runs"), tmp_path / "out")
    with sync_api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or (own if Path(own).exists() else None)
        if chromium is None:
            pytest.skip("there is no Chromium on this machine")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page()
        faults, asked = [], []
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(".js-plotly-plot .main-svg")
        assert page.locator(".js-plotly-plot").count() >= 4
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert not faults
    assert asked == [path.as_uri()]


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (4.2, 3.0, 5.9, "equals B with 4,301 [3,072; 6,042]: A needs fewer."),
        (4.2, 0.9, 9.0, "no clear difference"),
        (0.5, 0.2, 0.8, "A needs more."),
        (np.inf, 12.0, np.inf, "reaches what B never reaches, not even with 49,070 (at least 12.0 times the labels)"),
        (np.inf, 0.5, np.inf, "but the interval includes an equal number"),
        (0.0, 0.0, 0.4, "is no better than B with 64, the fewest it was given."),
    ],
)
def test_label_needs_in_words(value, low, high, words):
    row = SimpleNamespace(shots=1024, system="A", baseline="B", value=value, low=low, high=high)
    said = report._needs_sentence(row, pd.DataFrame({"train_rows": [64, 49_070]}))
    assert said.startswith("With 1,024 labels, A ")
    assert words in said


def test_pairs_put_language_models_against_the_best_model(registry):
    curves = {
        (name, ""): SimpleNamespace(mean=np.array([0.5, last]))
        for name, last in (("history-lr", 0.8), ("din", 0.7), ("deepfm", 0.75), ("laser-llm", 0.6), ("laser-llm-many", 0.65))
    }
    assert report._pairs(curves) == [(("laser-llm-many", ""), ("deepfm", "")), (("laser-llm", ""), ("deepfm", ""))]
    without = {key: value for key, value in curves.items() if not key[0].startswith("laser")}
    assert report._pairs(without) == [(("deepfm", ""), ("history-lr", ""))]
    assert report._pairs({("din", ""): curves["din", ""]}) == []
