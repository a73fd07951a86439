"""Every page through Streamlit's AppTest: it shows what the store holds, says what is missing, and never shows a trace."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.app.made_up import APP, LM_ROWS, add_cell, page_files


def text_of(page) -> str:
    """Everything a reader can read, charts and tables left out."""
    kinds = (page.title, page.markdown, page.caption, page.info, page.warning, page.error, page.code, page.subheader, page.metric)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def no_trouble(page) -> None:
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]


def chart(page, number: int = 0) -> dict:
    """The Plotly figure that the page sent."""
    return json.loads(page.get("plotly_chart")[number].proto.spec)


@pytest.mark.parametrize("name", page_files())
def test_page_opens_on_results(name, stores, open_page):
    page = open_page(name)
    no_trouble(page)
    assert not page.warning
    assert page.title[0].value


@pytest.mark.parametrize("name", page_files())
def test_page_without_results_says_what_to_run(name, tmp_path, monkeypatch, open_page):
    monkeypatch.setenv("LASER_STORE", str(tmp_path / "none"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "neither"))
    page = open_page(name)
    no_trouble(page)
    assert page.code and page.code[0].value.startswith("laser ")


WRONG = {
    "results": "'; drop table",
    "dataset": "../../etc/passwd",
    "metric": "<b>bold</b>",
    "systems": "no-such",
    "n": "-5",
    "x": "nan",
    "user": "999999999",
    "sample": "1e400",
    "seed": "NaN",
    "paper": "maybe",
    "part": "0",
    "history": "$x$",
    "older": "x" * 5000,
}


@pytest.mark.parametrize("name", page_files())
def test_wrong_address_gives_messages(name, stores, open_page):
    page = open_page(name, **WRONG)
    no_trouble(page)
    assert any("which does not exist here" in warning.value for warning in page.warning)
    assert not any("<b>" in warning.value or len(warning.value) > 1000 for warning in page.warning)
    page.run()
    assert not page.warning, "the wrong values are gone from the address after they were named once"


def test_address_reproduces_a_view(stores, open_page):
    page = open_page("efficiency.py", dataset="movielens-small", metric="log_loss", systems=["din", "laser-llm"])
    no_trouble(page)
    figure = chart(page)
    assert {trace["name"] for trace in figure["data"] if trace.get("showlegend") is not False} == {"DIN", "Laser, LLM only"}
    assert "log loss" in figure["layout"]["yaxis"]["title"]["text"]


def test_controls_write_the_address(stores, open_page):
    page = open_page("efficiency.py")
    page.selectbox(key="_metric").select("log_loss").run()
    assert page.query_params["metric"] == "log_loss"
    page.selectbox(key="_metric").select("auc").run()
    assert "metric" not in page.query_params, "a default leaves no trace"
    page.multiselect(key="_systems").set_value(["din"]).run()
    assert page.query_params["systems"] == "din"
    page.multiselect(key="_systems").set_value([]).run()
    no_trouble(page)
    assert "No system chosen" in text_of(page)


def test_scale_is_on_the_figure(stores, open_page, small):
    words = chart(open_page("efficiency.py"))["layout"]["xaxis"]["title"]["text"]
    for expected in (
        "MovieLens-small",
        "2 seeds",
        f"{len(small.test):,} test rows",
        f"{LM_ROWS:,} for Laser, LLM only",
        "labels a model was",
    ):
        assert expected in words.replace("<br>", " ").replace("</span> <span style='font-size:12px'>", " ")


def test_recorded_and_own_results_are_apart(stores, tmp_path, monkeypatch, open_page, small):
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "kept"))
    add_cell(ResultStore(tmp_path / "kept"), small, "deepfm", 64, 0, 0.5)
    seen = {}
    for origin in ("recorded", "mine", "both"):
        page = open_page("efficiency.py", results=origin)
        no_trouble(page)
        seen[origin] = {trace["name"] for trace in chart(page)["data"] if trace.get("showlegend") is not False}
    assert seen["recorded"] == {"DeepFM"}
    assert "DeepFM" not in seen["mine"]
    assert seen["both"] == seen["recorded"] | seen["mine"]


def test_user_page_shows_the_stored_truth(stores, open_page, small):
    user = int(small.sample_user(small.test)[-1])
    rows = small.test[small.sample_user(small.test) == user]
    page = open_page("user.py", user=str(user), n="64", seed="1", systems="din")
    no_trouble(page)
    from laser_core.study.store import ResultStore

    store = ResultStore(stores)
    cells = store.cells()
    key = cells[(cells.system == "din") & (cells.shots == 64) & (cells.seed == 1)]["key"].item()
    stored = store.predictions(key).set_index("row")
    table = page.dataframe[0].value.set_index("row")
    assert list(table.index) == list(rows[:20])
    for row in table.index:
        assert table.loc[row, "DIN"] == pytest.approx(stored.loc[row, "probability"], abs=1e-6)
        assert table.loc[row, "label"].endswith("liked") == bool(small.labels(rows[rows == row])[0])


def test_new_results_appear_without_restart(tmp_path, monkeypatch, open_page, small):
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    add_cell(ResultStore(tmp_path / "own"), small, "din", 64, 0, 0.5)
    page = open_page("compare.py")
    assert "1 my runs" in text_of(page)
    add_cell(ResultStore(tmp_path / "own"), small, "din", 64, 1, 0.5)
    assert "2 my runs" in text_of(page.run())
    (tmp_path / "own" / "movielens-small" / "din" / "broken.json").write_text("{", encoding="utf-8")
    page.run()
    no_trouble(page)


def test_pages_need_neither_torch_nor_transformers(stores):
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
test = AppTest.from_file({str(APP / "main.py")!r}, default_timeout=60)
for name in {page_files()!r}:
    test.switch_page(name).run()
    assert not test.exception and not test.error, name
print([name for name in ("torch", "transformers", "peft") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"
