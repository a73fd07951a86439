from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laser_core import figures, systems
from laser_core.errors import UserError
from laser_core.study import at_once, contrast, paper, report, runner
from laser_core.study.spec import Grid, Study
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
    assert re.search(r"With 64( and 128)? labels, The reader cannot be told apart from The ", words)
    assert "Mean AUC over log N, from 64 to 128 labels" in words
    assert "AUC minus that of The reference, the best reference, with the most labels" in words
    assert "has not run" not in words
    assert str(Path.home()) not in words
    written = pd.read_csv(tmp_path / "out" / "summary.csv")
    np.testing.assert_allclose(written["auc"], summarise(runner.results(study, store))["auc"])
    needs = pd.read_csv(tmp_path / "out" / "label-needs.csv")
    assert set(needs["system"]) == {"The reader"}
    assert set(needs["baseline"]) == {"The model"}
    seen = runner.results(study, store).query("system == 'reader'").groupby("train_rows")["labels_seen"].mean()
    assert needs[needs["question"] == "multiplier"].set_index("shots")["labels_seen"].to_dict() == seen.to_dict()


def test_the_best_reference_is_the_best_on_the_same_rows(study, tmp_path, monkeypatch):
    """The other one was asked about few easy samples only: its AUC is higher, which says nothing of the two."""
    systems.SYSTEMS["model"] = dataclasses.replace(systems.SYSTEMS["model"], family="reference")
    store = ResultStore(tmp_path / "runs")
    cells = runner.results(study, store)
    easy = (cells["system"] == "model") & (cells["train_rows"] == 128)
    cells.loc[easy, ["auc", "test_rows"]] = 0.99, 100
    made = report._Report(study, store, pd.DataFrame(), cells)
    assert "AUC minus that of The reference, the best reference" in made._gaps(cells)


@pytest.mark.parametrize(("number", "shown"), [(1, "Table 1 of the paper"), (2, "Wall seconds of one call")])
def test_report_sets_the_paper_beside_ours(study, tmp_path, monkeypatch, number, shown):
    for name in ("table_1", "table_2"):
        table = getattr(paper, name)()
        monkeypatch.setattr(paper, name, lambda table=table: table.assign(dataset="movielens-small").head(1))
    systems.SYSTEMS["model"] = dataclasses.replace(systems.SYSTEMS["model"], paper_row="DeepFM")
    asked = dataclasses.replace(study, paper_table=number)
    page = report.write_report(asked, ResultStore(tmp_path / "runs"), tmp_path / "out").read_text(encoding="utf-8")
    words = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert shown in words
    row = re.search(r"<tr><td>(DeepFM|DCNv2)</td>.*?</tr>", words)[0]
    command = "Not run: DCNv2. To compute them: <code>laser study run fake --profile full</code>"
    assert (".7496" in row and "The model" in row) if number == 1 else ("not run" in row and command in words)


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


def test_report_tells_who_is_better_within_users_where_that_was_asked(small, tmp_path):
    """Two counting systems, one of them in the place of a language model: results asked at once get a table and a sentence."""
    grid = Grid(datasets=("movielens-small",), systems=("history-lr", "stats-lr"), shots=(64,), seeds=(0, 1), test_rows=400)
    counting = Study(name="mine", title="Mine", question="?", profile="full", grids=(grid,))
    store = ResultStore(tmp_path / "runs")
    run_here(counting, store.folder)
    page = report.write_report(counting, store, tmp_path / "out").read_text(encoding="utf-8")
    assert "asked at once" not in page
    at_once.ask(store, store.cells())
    page = report.write_report(counting, store, tmp_path / "out").read_text(encoding="utf-8")
    table = page[page.index("<h3>GAUC, all of a user's test samples asked at once") :]
    points = contrast.within_users(store.at_once, store.cells()).set_index("system")
    for system in ("history-lr", "stats-lr"):
        row = re.search(rf"<tr><td>{systems.get(system).label}</td><td>(\S+) <small>", table)
        assert row[1] == figures.number(points.loc[system, "gauc"])
    systems.SYSTEMS["stats-lr"] = dataclasses.replace(systems.SYSTEMS["stats-lr"], family="llm")
    try:
        page = report.write_report(counting, store, tmp_path / "out").read_text(encoding="utf-8")
    finally:
        systems.SYSTEMS["stats-lr"] = dataclasses.replace(systems.SYSTEMS["stats-lr"], family="reference")
    assert re.search(r"Within users, asked at once, with 64 labels, Stats-LR .*? History-LR, .*?: GAUC", page)


def test_a_long_verdict_is_folded_and_nothing_of_it_lost():
    lines = [f"sentence {place} [.1; .2]" for place in range(11)]
    first, _, folded = report._verdict(lines).partition("<details><summary>3 more</summary>")
    assert [part.count("<p>") for part in (first, folded)] == [8, 3]
    assert "details" not in report._verdict(lines[:8])


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
        (4.2, 3.0, 5.9, "A needs fewer labels than B: with 1,024 it equals the latter with 4,301 [3,072; 6,042]."),
        (4.2, 0.9, 9.0, "With 1,024 labels it is open whether A or B needs fewer."),
        (0.5, 0.2, 0.8, "A needs more labels than B: with 1,024 it equals the latter with 512 [205; 819]."),
        (np.inf, 12.0, np.inf, "with 1,024 it reaches what the latter never reaches (at least 12.0 times as many)."),
        (np.inf, np.inf, np.inf, "with 1,024 it reaches what the latter never reaches."),
        (np.inf, 0.5, np.inf, "it is open whether"),
        (0.0, 0.0, 0.4, "A needs more labels than B: with 1,024 it is no better than the latter with the fewest it was given."),
    ],
)
def test_label_needs_in_words(value, low, high, words):
    row = {"question": "multiplier", "shots": 1024, "labels_seen": 1024.0, "system": "A", "baseline": "B"}
    row |= {"value": value, "low": low, "high": high}
    (said,) = report._needs_sentences(pd.DataFrame([row]))
    assert words in said and "sample" not in said


def test_who_learnt_from_more_labels_than_samples_is_not_said_to_need_fewer_labels():
    """Prompts that ask about the history teach more than a label each."""
    rows = [(64, 698.4, 4.0, 3.0, 5.0), (256, 2786.0, 2.0, 1.5, 2.5), (1024, 11084.0, 1.0, 0.5, 1.5)]
    table = pd.DataFrame(rows, columns=["shots", "labels_seen", "value", "low", "high"])
    said = report._needs_sentences(table.assign(question="multiplier", system="A", baseline="B"))
    assert said == [
        "A needs fewer samples than B: with 64 it equals the latter with 256 [192; 320]; with 256 it equals the latter with 512 "
        "[384; 640]. These samples taught it 698 and 2,786 labels.",
        "With 1,024 samples it is open whether A or B needs fewer.",
    ]


def test_highest_auc_is_of_one_test_set_and_says_that_it_was_chosen():
    rows = [("sim", "", 64, 0.70, 2000), ("din", "", "all", 0.72, 2000), ("laser-llm", "", 64, 0.90, 100)]
    points = pd.DataFrame(rows, columns=["system", "variant", "shots", "auc", "test_rows"])
    points = points.assign(auc_low=points["auc"] - 0.01, auc_high=points["auc"] + 0.01)
    told = "The highest AUC is that of DIN with all labels: .720 [.710; .730] on 2,000 test samples."
    assert report._highest(points) == f"{told} As the highest of 2 it is rather too high."
    assert report._highest(points[points["system"] == "din"]) == told


def test_best_reference_is_chosen_on_the_same_rows(monkeypatch):
    chosen = []

    def gaps(read, cells, baseline):
        chosen.append(baseline)
        return pd.DataFrame(columns=["gap"])

    monkeypatch.setattr(contrast, "gaps", gaps)
    rows = [("stats-lr", 0.80, 2000), ("history-lr", 0.75, 2000), ("history-lr", 0.99, 100), ("sim", 0.95, 5000)]
    cells = pd.DataFrame(rows, columns=["system", "auc", "test_rows"]).assign(variant="", train_rows=64)
    assert report._Report._gaps(SimpleNamespace(read=None), cells) == ""
    assert chosen == [("stats-lr", "")]


def numbers_in(text: str) -> set[int]:
    return {int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", text)}


intervals = st.tuples(*[st.one_of(st.sampled_from([0.0, 1.0, np.inf]), st.floats(0.01, 100))] * 3).map(sorted)


@given(st.lists(intervals, min_size=1, max_size=6))
def test_words_on_label_needs_agree_with_the_intervals(made):
    shots = [4**place for place in range(2, 2 + len(made))]
    rows = [("multiplier", n, n, value, low, high) for n, (low, value, high) in zip(shots, made, strict=True)]
    table = pd.DataFrame(rows, columns=["question", "shots", "labels_seen", "value", "low", "high"]).assign(system="A", baseline="B")
    said = {"fewer": set(), "more": set(), "open": set()}
    for line in report._needs_sentences(table):
        if found := re.match("A needs (fewer|more) labels than B: ", line):
            own = {n for part in line[found.end() :].split("; ") for n in numbers_in(part.split(" it ")[0])}
            said[found[1]] |= own
        else:
            said["open"] |= numbers_in(re.fullmatch("With (.*) labels it is open whether A or B needs fewer.", line)[1])
    for (low, _, high), n in zip(made, shots, strict=True):
        assert {kind for kind, own in said.items() if n in own} == {"fewer" if low > 1 else "more" if high < 1 else "open"}


@given(st.lists(st.tuples(*[st.floats(-0.1, 0.1)] * 3).map(sorted), min_size=1, max_size=6))
def test_words_on_systems_agree_with_the_intervals(made):
    verdicts = [
        contrast.Verdict(10 * (place + 1), ("laser-llm", ""), 0.8, ("din", ""), 0.7, 3, gap, low, high, 100, 3, (10, 10))
        for place, (low, gap, high) in enumerate(made)
    ]
    said = {}
    for line in report._verdict_sentences(verdicts):
        shots, words = re.match("With (.*?) labels, .*? (is ahead of|is behind|cannot be told apart from) DIN, ", line).groups()
        said |= dict.fromkeys(sorted(numbers_in(shots)), words)
        assert line.count("[") == len(numbers_in(shots))
    for entry in verdicts:
        expected = "is ahead of" if entry.low > 0 else "is behind" if entry.high < 0 else "cannot be told apart from"
        assert said[entry.shots] == expected


def test_pairs_put_language_models_against_the_best_model(registry):
    curves = {
        (name, ""): SimpleNamespace(mean=np.array([0.5, last]))
        for name, last in (("history-lr", 0.8), ("din", 0.7), ("deepfm", 0.75), ("laser-llm", 0.6), ("laser-llm-many", 0.65))
    }
    assert report._pairs(curves) == [(("laser-llm-many", ""), ("deepfm", "")), (("laser-llm", ""), ("deepfm", ""))]
    plain = "statistics=false"
    for key, last in {
        ("sim", ""): 0.6,
        ("sim", plain): 0.6,
        ("din", plain): 0.6,
        ("laser-crm", ""): 0.7,
        ("laser-crm", plain): 0.7,
    }.items():
        curves[key] = SimpleNamespace(mean=np.array([0.5, last]))
    curves["laser-crm", f'backbone_crm="din", {plain}'] = curves["laser-crm", plain]
    found = dict(report._pairs(curves))
    assert found["laser-crm", ""] == ("sim", "")
    assert found["laser-crm", plain] == ("sim", plain)
    assert found["laser-crm", f'backbone_crm="din", {plain}'] == ("din", plain)
    without = {key: value for key, value in curves.items() if not key[0].startswith("laser")}
    assert report._pairs(without) == [(("deepfm", ""), ("history-lr", ""))]
    assert report._pairs({("din", ""): curves["din", ""]}) == []
