"""Every page through Streamlit's AppTest: it shows what the store holds, says what is missing, and never shows a trace."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
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


@pytest.mark.parametrize("name", [name for name in page_files() if name not in ("data.py", "lab.py")])  # these need no results
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


def test_choices_go_along_to_other_pages(stores, open_page):
    """N and the metric are chosen once; what another page lacks it leaves out without a word, as nobody typed it there."""
    page = open_page("efficiency.py", metric="gauc", dataset="movielens-small")
    links = [link.query_string for link in page.sidebar.get("page_link") if "compare" in link.page]
    assert links and "metric=gauc" in links[0]
    page.switch_page("compare.py")
    page.query_params["metric"], page.query_params["n"] = "gauc", "64"
    page.run()
    no_trouble(page)
    assert not page.warning and labelled(page.selectbox, "Metric").value == "auc"
    assert labelled(page.selectbox, "N (labels)").value == "64"
    typed = open_page("compare.py", metric="gauc")
    assert "which does not exist here" in typed.warning[0].value


def labelled(controls, label: str):
    """The control that a reader knows by its label."""
    return next(control for control in controls if control.label == label)


def test_controls_write_the_address(stores, open_page):
    page = open_page("efficiency.py")
    labelled(page.selectbox, "Metric").select("log_loss").run()
    assert page.query_params["metric"] == "log_loss"
    labelled(page.selectbox, "Metric").select("auc").run()
    assert "metric" not in page.query_params, "a default leaves no trace"
    labelled(page.multiselect, "Systems").set_value(["din"]).run()
    assert page.query_params["systems"] == "din"
    labelled(page.multiselect, "Systems").set_value([]).run()
    no_trouble(page)
    assert "No system chosen" in text_of(page)


def test_other_options_are_another_control(stores, tmp_path, monkeypatch, open_page, small):
    """A browser keeps a control's options by its id, and would send those of the N before as the reader's choice."""
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "kept"))
    add_cell(ResultStore(tmp_path / "kept"), small, "deepfm", "all", 0, 0.5)
    page = open_page("compare.py", results="both")
    before = labelled(page.multiselect, "Systems")
    assert "DeepFM" in before.options
    labelled(page.selectbox, "N (labels)").select("64").run()
    no_trouble(page)
    after = labelled(page.multiselect, "Systems")
    assert "DeepFM" not in after.options
    assert after.proto.id != before.proto.id
    assert set(page.query_params) == {"results", "n"}
    labelled(page.selectbox, "Metric").select("log_loss").run()
    assert labelled(page.multiselect, "Systems").proto.id == after.proto.id, "the same options stay the same control"


def test_options_that_look_alike_stay_apart():
    """What a browser sends are labels: those of two options must differ, or one counts as the other."""
    from streamlit.testing.v1 import AppTest

    def script():
        import streamlit as st
        from state import choose, choose_many, switch

        st.write(choose_many("many", "Many", ["a", "b", "c"], name=lambda one: "long name" if one < "c" else "short name"))
        st.write(choose("one", "One", [1, 2], name=lambda _: "same"))
        switch("other", "Other")

    page = AppTest.from_function(script).run()
    page.toggle[0].set_value(True).run()
    assert set(page.query_params) == {"other"}, "a change of one control is no choice of the others"
    assert page.multiselect[0].options == ["long name [a]", "long name [b]", "short name"]
    page.multiselect[0].set_value(["b"]).run()
    page.selectbox[0].select("2").run()
    assert (page.query_params["many"], page.query_params["one"]) == ("b", "2")


def test_what_another_choice_took_away_goes_without_a_word(stores, open_page, small):
    users = list(dict.fromkeys(small.sample_user(small.test)))[:2]
    row = small.test[small.sample_user(small.test) == users[0]][0]
    page = open_page("user.py", user=str(users[0]), sample=str(row))
    assert page.query_params["sample"] == str(row)
    labelled(page.selectbox, "User").select(str(users[1])).run()
    no_trouble(page)
    assert not page.warning
    assert "sample" not in page.query_params
    strange = open_page("user.py", user=str(users[1]), sample=str(row))
    assert any(str(row) in warning.value for warning in strange.warning), "a link that asks for it is told"


def test_scale_is_on_the_figure(stores, open_page, small):
    page = open_page("efficiency.py")
    assert any(said.value.replace("\\", "").startswith("N counts labelled samples") for said in page.markdown), "one click away"
    words = chart(page)["layout"]["xaxis"]["title"]["text"]
    for expected in (
        "MovieLens-small",
        "2 seeds",
        f"{len(small.test):,} test rows",
        f"{LM_ROWS:,} for Laser, LLM only",
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


def test_user_page_starts_with_whom_the_language_model_was_asked_about(stores, open_page, small):
    asked = small.test_rows(LM_ROWS)
    page = open_page("user.py", n="64")
    no_trouble(page)
    user = int(labelled(page.selectbox, "User").value)
    counts = pd.Series(small.sample_user(asked)).value_counts()
    assert counts[user] == counts.max()
    own = asked[small.sample_user(asked) == user]
    first = [int(option.rsplit(" ", 1)[1]) for option in labelled(page.selectbox, "Candidate").options][: len(own)]
    assert set(first) <= set(own)
    assert "No answer for any" not in text_of(page)


def test_user_page_names_a_system_without_any_answer(stores, open_page, small):
    asked = set(small.sample_user(small.test_rows(LM_ROWS)))
    user = next(int(user) for user in small.sample_user(small.test) if user not in asked)
    page = open_page("user.py", user=str(user), n="64")
    no_trouble(page)
    assert any("No answer for any" in caption.value and "LLM only" in caption.value for caption in page.caption)
    page = open_page("user.py", user=str(user), n="64", systems=["din"])
    assert not any("No answer" in caption.value for caption in page.caption)


def test_drawing_a_user_starts_at_the_first_candidates(stores, open_page, small):
    busiest = int(pd.Series(small.sample_user(small.test)).value_counts().index[0])
    page = open_page("user.py", user=str(busiest), part="2")
    assert page.query_params["part"] == "2"
    next(button for button in page.button if button.label == "Draw a user").click().run()
    no_trouble(page)
    assert "part" not in page.query_params
    assert int(page.query_params["user"]) in set(small.sample_user(small.test_rows(LM_ROWS)))


def test_user_page_shows_the_exact_prompt(stores, open_page, small, monkeypatch):
    """Without the tokenizer the text is still there, with the command that gets what is missing."""
    from laser_core.lm.prompts import Renderer

    monkeypatch.setattr("laser_core.lm.backbones.ready", lambda name: None)
    row = int(small.test_rows(LM_ROWS)[0])
    user = int(small.sample_user(np.array([row]))[0])
    page = open_page("user.py", user=str(user), sample=str(row), systems="laser-llm")
    no_trouble(page)
    shown = [element.value for element in page.code]
    assert "laser doctor --fetch" in shown
    inner = Renderer(small, "one", "one").one(row, 0 or None).text
    assert any(inner in text and text.startswith("<|im_start|>") for text in shown)


@pytest.mark.weights
def test_tokens_make_up_the_prompt(stores, open_page, small):
    """Without its tags the token view is the prompt, and the count is the tokenizer's."""
    from laser_core.lm import backbones
    from laser_core.lm.laser_llm import LaserLLM

    row = int(small.test_rows(LM_ROWS)[0])
    user = int(small.sample_user(np.array([row]))[0])
    page = open_page("user.py", user=str(user), sample=str(row), systems="laser-llm")
    no_trouble(page)
    text = LaserLLM().prompt(small, row).text
    shown = html.unescape(re.sub("<[^>]*>", "", page.get("html")[0].proto.body)).replace("↵", "")
    assert shown.startswith(text)
    tokens = next(metric for metric in page.metric if metric.label == "Tokens")
    assert int(tokens.value.replace(",", "")) == len(backbones.tokenizer("smollm2-135m").encode(text).ids)


def test_user_page_shows_the_texts_behind_llm_and_crm(tmp_path, monkeypatch, open_page, small):
    """The item's text by a template, the user's by a language model: once it is not here, once it is."""
    from laser_core.knowledge import generate, writer
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    row = int(small.test[-1])
    rows = np.array([row])
    user = int(small.sample_user(rows)[0])
    options = {"user_text": "generated", "item_text": "metadata"}
    add_cell(ResultStore(tmp_path / "own"), small, "laser-crm", 64, 0, 0.5, options=options, variant='user_text="generated"')
    asked = []
    writer.user_texts(small, [user], writer.snapshot_end(small, rows, 30), "generated", lambda prompts: asked.extend(prompts) or [""])
    monkeypatch.setattr(generate, "text_file", lambda name, max_tokens: tmp_path / "texts.jsonl")
    page = open_page("user.py", user=str(user), sample=str(row))
    no_trouble(page)
    shown = [code.value for code in page.code]
    assert writer.item_texts(small, [int(small.sample_item(rows)[0])], "metadata")[0] in shown
    assert asked[0] in shown, "what the model is asked stands in for a text that is not here"

    entry = {"prompt": asked[0], "text": "Likes <b>quiet</b> films."}
    (tmp_path / "texts.jsonl").write_text(json.dumps(entry) + "\n", encoding="utf-8")
    page.run()
    no_trouble(page)
    assert any(code.value.endswith("Likes <b>quiet</b> films.") for code in page.code)


def test_user_page_finds_ratings_like_the_target(stores, open_page, small):
    """As SIM's search finds them: each with its place in the history, and more alike than the last ones."""
    row = next(int(row) for row in small.test if len(small.history_events(int(row), 0)) > 100)
    user = int(small.sample_user(np.array([row]))[0])
    page = open_page("user.py", user=str(user), sample=str(row), history="alike", systems="din")
    no_trouble(page)
    past = next(frame.value for frame in page.dataframe if "place" in frame.value)
    whole = small.history_events(row, 0)
    assert len(past) == small.about.history_length
    assert [small.title(small.event_item[whole[place - 1]]) for place in past["place"]] == list(past["title"])
    genres = small.field(small.about.group_field)
    wanted = set(genres.values(int(small.sample_item(np.array([row]))[0])))
    shared = [len(wanted & set(genres.values(int(small.event_item[whole[place - 1]])))) for place in past["place"]]
    recent = [len(wanted & set(genres.values(int(item)))) for item in small.event_item[small.history_events(row)]]
    assert sum(shared) > sum(recent)


def test_retrieval_without_its_vectors_says_what_makes_them(tmp_path, monkeypatch, open_page, small):
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    monkeypatch.setattr("laser_core.lm.retrieval.is_stored", lambda encoder, texts: False)
    add_cell(ResultStore(tmp_path / "own"), small, "laser-llm", 64, 0, 0.5, LM_ROWS, options={"retrieval": True}, variant="retrieval=true")
    row = int(small.test_rows(LM_ROWS)[0])
    page = open_page("user.py", user=str(int(small.sample_user(np.array([row]))[0])), sample=str(row))
    no_trouble(page)
    assert any("vectors are not on this machine" in info.value for info in page.info)


@pytest.mark.weights
def test_both_prompts_of_a_sample_are_shown(tmp_path, monkeypatch, open_page, small):
    """Many targets with retrieval: what it reads after the last ratings, and after those most like the target."""
    from laser_core.lm import retrieval
    from laser_core.study.store import ResultStore
    from laser_core.systems import create

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    monkeypatch.setattr(retrieval, "is_stored", lambda encoder, texts: True)
    monkeypatch.setattr(retrieval, "encode", lambda name, texts, **_: np.array([[len(text), sum(map(ord, text))] for text in texts], float))
    options = {"retrieval": True}
    add_cell(ResultStore(tmp_path / "own"), small, "laser-llm-counted", 64, 0, 0.5, LM_ROWS, options=options, variant="retrieval=true")
    row = next(int(row) for row in small.test_rows(LM_ROWS) if len(small.history_events(int(row), 0)) > 40)
    page = open_page("user.py", user=str(int(small.sample_user(np.array([row]))[0])), sample=str(row), systems="laser-llm-counted")
    no_trouble(page)
    first, second = create("laser-llm-counted", **options).prompts(small, row)
    shown = [code.value for code in page.code]
    assert first.text in shown and second.text in shown and first.text != second.text
    assert any("mean of both log-odds" in caption.value for caption in page.caption)


def test_backbones_names_every_language_model_that_was_read(tmp_path, monkeypatch, open_page, small):
    """The one that answers or encodes, who says what is alike, who knows the titles; for random vectors none."""
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    read = {"encoder": "minilm-l6", "language_model": "smollm2-135m", "familiar": True}
    expected = {
        ("laser-crm", ""): (read | {"vectors": "real"}, "MiniLM-L6, SmolLM2-135M"),
        ("laser-crm", "familiar=false"): (read | {"vectors": "real", "familiar": False}, "MiniLM-L6"),
        ("laser-crm", 'vectors="random"'): (read | {"vectors": "random"}, "none"),
        ("laser-llm-counted", ""): ({"backbone": "smollm2-135m"}, "SmolLM2-135M"),
        ("laser-llm-counted", "nearby=0.1"): ({"backbone": "smollm2-135m", "nearby": 0.1}, "SmolLM2-135M, MiniLM-L6"),
    }
    for (system, variant), (options, _) in expected.items():
        add_cell(ResultStore(tmp_path / "own"), small, system, 64, 0, 0.5, options=options, variant=variant)
    page = open_page("backbones.py")
    no_trouble(page)
    shown = next(frame.value for frame in page.dataframe if "Labels seen" in frame.value)
    assert sorted(shown["Backbone"]) == sorted(names for _, names in expected.values())
    said = next(caption.value for caption in page.caption if caption.value.startswith("These results")).replace("\\", "")
    assert "of MiniLM-L6, SmolLM2-135M only; none of the models of the paper was run" in said


@pytest.mark.weights
def test_lab_scores_changes_and_keeps_them(stores, open_page, small, monkeypatch):
    """With a stand-in for the model that answers by the number of lines in the prompt."""
    import live

    answer = "print(json.dumps({'probability': json.loads(line)['text'].count('star') / 100}), flush=True)"
    script = f"import json, sys\nfor line in sys.stdin: {answer}"
    monkeypatch.setattr(live, "COMMAND", (sys.executable, "-c", script))
    live.worker.clear()
    row = next(int(row) for row in small.test if len(small.history_events(int(row))) == 30)
    user = int(small.sample_user(np.array([row]))[0])
    page = open_page("lab.py", user=str(user), sample=str(row), out=["1", "4"], add="47:10")
    no_trouble(page)
    assert not page.warning
    next(button for button in page.button if button.label == "Score").click().run()
    for _ in range(200):
        if page.metric:
            break
        time.sleep(0.05)
        page.run()
    before, now = (float(metric.value) for metric in page.metric[:2])
    assert now == pytest.approx(before - 0.01), "two ratings out, one in"
    next(button for button in page.button if button.label == "Keep this variant").click().run()
    no_trouble(page)
    kept = page.dataframe[0].value
    assert kept["P here"].item() == pytest.approx(now)
    assert "left out" in kept["Changes"].item() and "added" in kept["Changes"].item()
    assert "-" in next(code.value for code in page.code if "@@" in code.value)


@pytest.mark.weights
def test_lab_asks_an_adapter_in_the_form_it_was_tuned_on(stores, open_page, small, monkeypatch, tmp_path):
    """Of the other form it says so, and the template and the history of the one are not put into the other."""
    import live

    from laser_core.lm.laser_llm import LaserLLM

    options = {"prompt": "many", "template": "many-short", "history": 5}
    (tmp_path / "models" / "mine").mkdir(parents=True)
    state = {"class": "LaserLLM", "tuned": True, "options": dataclasses.asdict(LaserLLM(**options).options)}
    (tmp_path / "models" / "mine" / "model.json").write_text(json.dumps(state))
    monkeypatch.setattr(live, "PROJECT", tmp_path)
    row = next(int(row) for row in small.test if len(small.history_events(int(row))) == 30)
    user = str(small.sample_user(np.array([row]))[0])
    for form, expected, told in (({}, options, False), ({"form": "one"}, {"prompt": "one"}, True)):
        page = open_page("lab.py", user=user, sample=str(row), adapter="mine", free="yes", **form)
        no_trouble(page)
        (text,) = (area.value for area in page.text_area if area.label == "Prompt")
        assert text.strip() == LaserLLM(**expected).prompt(small, row).text.strip()
        assert any("tuned on another form of prompt" in caption.value for caption in page.caption) == told


@pytest.mark.weights
@pytest.mark.parametrize("form", ["one", "many", "short", "counted"])
def test_lab_reads_a_sample_as_the_system_of_each_form_does(form, stores, open_page, small):
    """The counts of a counted prompt are of the whole history, of which the lab shows the last ratings only."""
    import prompt_view

    from laser_core.lm.laser_llm import LaserLLM
    from laser_core.systems import SYSTEMS

    row = next(int(row) for row in small.test if len(small.history_events(int(row), 0)) > 60)
    page = open_page("lab.py", user=str(small.sample_user(np.array([row]))[0]), sample=str(row), free="yes", form=form)
    no_trouble(page)
    (text,) = (area.value for area in page.text_area if area.label == "Prompt")
    system = SYSTEMS[prompt_view.FORMS[form][1]]
    reader = LaserLLM(**system.preset, block=1) if "block" not in system.preset else LaserLLM(**{**system.preset, "block": 1})
    assert text.strip() == reader.prompt(small, row).text.strip()
    assert prompt_view.form_of(system.preset | {"prompt": system.preset.get("prompt", "one")}) == form


@pytest.mark.weights
def test_lab_with_every_rating_left_out_shows_none(stores, open_page, small):
    """Nor older ones, of which there are more than the lab shows."""
    row = next(int(row) for row in small.test if len(small.history_events(int(row), 0)) > 60)
    out = [str(place) for place in range(1, 11)]
    page = open_page("lab.py", user=str(small.sample_user(np.array([row]))[0]), sample=str(row), form="counted", out=out, free="yes")
    no_trouble(page)
    (text,) = (area.value for area in page.text_area if area.label == "Prompt")
    assert "stars" not in text and small.title(small.sample_item(np.array([row]))[0]) in text


@pytest.mark.weights
@pytest.mark.parametrize("address", [{"rate": "99:99"}, {"add": "0:1"}, {"out": "31"}, {"rate": "1:1:1"}, {"add": "../../x"}])
def test_lab_refuses_impossible_changes(address, stores, open_page):
    page = open_page("lab.py", **address)
    no_trouble(page)
    assert len(page.warning) == 1
    assert next(iter(address)) not in page.query_params


@pytest.mark.parametrize("view", ["table", "gaps", "roc", "calibration", "scores", "slices", "users"])
def test_every_close_look_draws(view, stores, open_page):
    page = open_page("compare.py", view=view, n="64")
    no_trouble(page)
    assert not page.warning
    assert len(page.get("plotly_chart")) + len(page.dataframe) >= 2


@pytest.mark.parametrize(("by", "mode", "says"), [("group", "markers", "Left out: "), ("history", "lines+markers", "quartiles")])
def test_slices_draw_what_can_be_told(by, mode, says, stores, open_page):
    """Of the 400 rows of the language model few are of any one genre: an AUC of four samples is no point. Lines need an order."""
    page = open_page("compare.py", view="slices", n="64", by=by)
    no_trouble(page)
    figure = chart(page, 1)
    assert {trace["mode"] for trace in figure["data"]} == {mode}
    samples = [float(count.replace(",", "")) for trace in figure["data"] for count in trace["customdata"]]
    assert min(samples) >= 100
    words = " ".join(caption.value for caption in page.caption)
    assert says in words and ("quartiles" in words) == (by == "history")
    assert "95 %" not in figure["layout"]["xaxis"]["title"]["text"], "no interval is drawn"


def test_users_of_a_language_model_against_a_reference_first(stores, open_page):
    page = open_page("compare.py", view="users", n="64")
    no_trouble(page)
    assert [labelled(page.selectbox, label).value for label in ("Who is helped by", "instead of")] == ["laser-llm", "history-lr"]


def test_who_is_helped_is_who_gains_by_the_language_model(stores, open_page, small):
    from laser_core.study import contrast
    from laser_core.study.store import ResultStore

    page, store = open_page("compare.py", view="users", n="64"), ResultStore(stores)
    cells = store.cells()
    table = contrast.user_gaps(store.predictions, cells[cells["shots"] == 64], ("laser-llm", ""), ("history-lr", ""))
    often = table[table["samples"] >= 5]
    said = [link.proto.label.replace("\\", "") for link in page.get("page_link")]
    for row in (*often.head(8).itertuples(), *often.tail(8).itertuples()):
        assert f"user {small.fields['user'].text(row.user)}: {row.gain:+.3f} on {row.samples} samples" in said
    assert often["gain"].iloc[0] > 0.1


def test_curves_are_of_the_same_samples(stores, open_page, small):
    """The language model was asked about a part: the others' ROC is that of the part."""
    from laser_core import figures
    from laser_core.study.store import ResultStore

    page, store = open_page("compare.py", view="roc", n="64", seed="0"), ResultStore(stores)
    no_trouble(page)
    cells = store.cells().query("system == 'din' and shots == 64 and seed == 0")
    stored = store.predictions(cells["key"].item())
    stored = stored[stored["row"].isin(small.test_rows(LM_ROWS))]
    wanted = figures.roc([("din", "DIN", stored["label"].to_numpy(), stored["probability"].to_numpy())], "")
    [(x, y)] = [(trace.x, trace.y) for trace in wanted.data if (trace.name or "").startswith("DIN")]
    [drawn] = [trace for trace in chart(page, 1)["data"] if (trace.get("name") or "").startswith("DIN")]
    assert _values(drawn["x"]) == pytest.approx(list(x)) and _values(drawn["y"]) == pytest.approx(list(y))


def test_older_results_are_shown_on_demand_only(stores, tmp_path, monkeypatch, open_page, small):
    """Of a system whose code has changed in between."""
    from laser_core.study.store import ResultStore
    from laser_core.systems import SYSTEMS

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    for system in ("din", "sim"):
        add_cell(ResultStore(tmp_path / "own"), small, system, 64, 0, 0.5)
    monkeypatch.setitem(SYSTEMS, "sim", dataclasses.replace(SYSTEMS["sim"], revision=99))
    seen = {}
    for older in ("no", "yes"):
        page = open_page("compare.py", results="mine", older=older, n="64")
        no_trouble(page)
        (choice,) = (box for box in page.multiselect if box.label == "Systems")
        seen[older] = set(choice.options)
        assert any("Show 1 older result" in box.label for box in page.toggle)
    assert seen == {"no": {"DIN"}, "yes": {"DIN", "SIM"}}


def test_a_price_is_that_of_the_readers_machine(stores, open_page):
    """Each fit took 1.5 seconds; on a machine twice as fast, at 36 an hour, that is 0.75 s of 0.01 each."""
    page = open_page("efficiency.py", x="price", price="36", speed="2")
    no_trouble(page)
    [din] = [trace for trace in chart(page)["data"] if trace.get("name") == "DIN" and trace.get("showlegend") is not False]
    assert _values(din["x"]) == pytest.approx([0.0075] * 3)


def test_gaps_table_is_the_paired_comparison(stores, open_page):
    from laser_core.study import contrast
    from laser_core.study.store import ResultStore

    page = open_page("compare.py", view="gaps", n="64", baseline="din")
    store = ResultStore(stores)
    cells = store.cells()
    expected = contrast.gaps(store.predictions, cells[cells["shots"] == 64], ("din", ""))
    shown = page.dataframe[0].value.set_index("System")["Gap"]
    for row in expected.itertuples():
        assert shown[{"laser-llm": "Laser, LLM only", "history-lr": "History-LR"}[row.system]] == pytest.approx(row.gap)
    assert (shown.diff().dropna() <= 0).all(), "best first"
    losses = open_page("compare.py", view="gaps", n="64", baseline="din", metric="log_loss").dataframe[0].value.set_index("System")
    expected = contrast.gaps(store.predictions, cells[cells["shots"] == 64], ("din", ""), "log_loss").set_index("system")
    assert losses.loc["History-LR", "Gap"] == pytest.approx(expected.loc["history-lr", "gap"]) and losses.loc["History-LR", "Gap"] < 0
    assert losses["Says"].to_dict() == {"Laser, LLM only": "▲ better", "History-LR": "▲ better"}, "less loss is better"


def test_what_was_not_run_says_so_and_has_no_number(stores, open_page):
    """Beside the paper: a row a system; improvements over systems scored on as many test rows only."""
    from laser_core.study.store import ResultStore
    from laser_core.systems import SYSTEMS

    table = open_page("compare.py", view="table", n="64").dataframe[0].value.set_index("System")
    cells = ResultStore(stores).cells()
    means = cells[cells["shots"] == 64].groupby("system")["auc"].mean()
    done = {SYSTEMS[system].label: value for system, value in means.items()}
    assert len(table) == len(SYSTEMS) and len(done) == 3
    assert table["State"].to_dict() == {system.label: "done" if system.label in done else "not run" for system in SYSTEMS.values()}
    ours = ["AUC", "AUC low", "AUC high", "Rel.Impr", "Log loss", "Labels seen", "Seeds", "Test rows"]
    assert table.loc[table["State"] == "not run", ours].isna().all(axis=None)
    assert table["AUC"].dropna().to_dict() == pytest.approx(done)
    assert table["Rel.Impr"].dropna().to_dict() == pytest.approx(
        {"History-LR": 0, "DIN": done["History-LR"] / done["DIN"] - 1, "Laser, LLM only": 0}
    )


def test_labels_needed_table(stores, open_page):
    """On common test rows only: the language model was asked about 400, the baseline about all."""
    page = open_page("efficiency.py", match="yes", baseline="din")
    no_trouble(page)
    assert set(page.dataframe[0].value["System"]) == {"History-LR"}
    assert any("share no test rows with DIN" in caption.value and "LLM only" in caption.value for caption in page.caption)


def test_lines_of_the_paper_are_told_apart(tmp_path, monkeypatch, open_page, small):
    from laser_core import figures
    from laser_core.study import paper
    from laser_core.study.store import ResultStore
    from laser_core.systems import SYSTEMS

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    values = {"din": 0.7, "sim": 0.7005, "deepfm": 0.9}
    for system in values:
        add_cell(ResultStore(tmp_path / "own"), small, system, 64, 0, 0.5)
    table = [{"dataset": small.name, "row": SYSTEMS[system].paper_row, "auc": value} for system, value in values.items()]
    monkeypatch.setattr(paper, "table_1", lambda: pd.DataFrame(table))
    page = open_page("efficiency.py", paper="yes")
    no_trouble(page)
    drawn = {trace["name"]: trace for trace in chart(page)["data"] if trace["name"].endswith(", the paper")}
    assert {name: trace["y"][0] for name, trace in drawn.items()} == {f"{SYSTEMS[name].label}, the paper": values[name] for name in values}
    assert drawn["SIM, the paper"]["line"]["color"] == figures.style("sim").colour


def test_presenter_turns_pages(stores, open_page):
    page = open_page("overview.py", present="yes")
    first = page.title[0].value
    page.button[1].click().run()
    no_trouble(page)
    assert page.query_params["slide"] == "2"
    assert page.title[0].value != first
    page.button[2].click().run()
    assert "present" not in page.query_params


def test_overview_says_the_verdict_with_its_interval(stores, open_page):
    words = text_of(open_page("overview.py", n="64")).replace("\\", "")
    assert "With 64 labels on MovieLens-small, the best system with a language model is ahead of the best without one." in words
    assert re.search(r"\*\*Laser, LLM only\*\* is ahead of \*\*History-LR\*\*: .*95 % interval \+0\.\d{3} to \+0\.\d{3}", words)
    assert f"History-LR is the best of 2 systems without a language model asked about the same test samples: {LM_ROWS} of them" in words


def test_recorded_results_are_drawn_without_their_data(tmp_path, monkeypatch, open_page):
    """As on a new machine: what may not be passed on is not there. Curves are drawn, nothing is fetched, and it says what to get."""
    from laser_core import datasets

    recorded = Path(__file__).resolve().parents[2] / "results"
    monkeypatch.setenv("LASER_STORE", str(tmp_path / "runs"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "recorded"))
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    for system in ("history-lr", "sim", "laser-crm"):
        for path in sorted((recorded / "ml-1m" / system).glob("*.json"))[:12]:
            for file in (path, path.with_suffix(".parquet")):
                place = tmp_path / "recorded" / "ml-1m" / system / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.read_bytes())
    monkeypatch.setattr(datasets, "load", lambda name, *_, **__: pytest.fail(f"{name} was asked for"))
    page = open_page("overview.py", results="recorded", dataset="ml-1m", all="yes")
    no_trouble(page)
    assert len(page.get("plotly_chart")) == 1
    words = text_of(page).replace("\\", "")
    lacking = "the test samples of MovieLens-1M are not on this machine: laser data get ml-1m"
    assert f"Who is ahead cannot be told here: {lacking}" in words
    for view in ("gaps", "roc", "slices", "users"):
        page = open_page("compare.py", results="recorded", dataset="ml-1m", view=view)
        no_trouble(page)
        words = text_of(page).replace("\\", "")
        assert lacking in words or "MovieLens-1M is not on this machine yet" in words, view
        assert any(box.label.startswith("Not run") for box in page.expander), "what stands below is not lost"


def test_overview_shows_all_verdicts_on_demand(stores, open_page):
    from laser_core.study import contrast
    from laser_core.study.store import ResultStore

    assert len(open_page("overview.py").get("plotly_chart")) == 1
    page = open_page("overview.py", all="yes")
    no_trouble(page)
    store = ResultStore(stores)
    cells = store.cells()
    (grid,) = chart(page, 1)["data"]
    expected = [contrast.verdict(store.predictions, cells, n) for n in (64, 1024, "all")]
    assert grid["text"] == [f"{'▲' if one.says == 'ahead' else '▼' if one.says == 'behind' else '='} {one.gap:+.3f}" for one in expected]


def test_slides_rank_on_common_rows_with_intervals(stores, open_page, small):
    """The language model was asked about 400 rows: so are the others then, whatever more they were asked."""
    from sklearn.metrics import roc_auc_score

    from laser_core.study.store import ResultStore

    page = open_page("overview.py", present="yes", slide="2")
    no_trouble(page)
    said = text_of(page).replace("\\", "")
    assert f"Highest mean AUC of 3 systems asked about the same {LM_ROWS} test samples: **Laser, LLM only** with ." in said
    store = ResultStore(stores)
    cells = store.cells()
    asked = [store.predictions(key) for key in cells[(cells.system == "din") & (cells.shots == 64)]["key"]]
    parts = [part[part["row"].isin(small.test_rows(LM_ROWS))] for part in asked]
    drawn = {trace["y"][0]: trace for trace in chart(page)["data"]}
    assert drawn["DIN"]["x"][0] == pytest.approx(np.mean([roc_auc_score(part["label"], part["probability"]) for part in parts]))
    assert all(trace["error_x"]["array"][0] > 0 for trace in drawn.values())
    cost = open_page("overview.py", present="yes", slide="4")
    assert "error_y" in chart(cost)["data"][-1]
    seconds = {trace["name"]: trace["x"][0] for trace in chart(cost)["data"] if trace.get("name") in ("DIN", "Laser, LLM only")}
    assert seconds == pytest.approx({"DIN": 500 / len(small.test), "Laser, LLM only": 500 / LM_ROWS})


def test_overview_tells_labels_to_equal_only_from_the_same_rows(stores, open_page, small, tmp_path, monkeypatch):
    from laser_core.study.store import ResultStore

    def tiles() -> dict[str, str]:
        return {metric.label: metric.value for metric in open_page("overview.py", n="64").metric}

    assert not any(label == "Samples to equal it" for label in tiles()), "the rivals' curves are from other rows"
    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    for system, skill in (("history-lr", 0.3), ("din", 0.4), ("laser-llm", 3.0)):
        for shots in (64, 1024):
            for seed in (0, 1):
                add_cell(ResultStore(tmp_path / "own"), small, system, shots, seed, skill, LM_ROWS)
    assert tiles()["Samples to equal it"] == "> 1,024"


def test_two_runs_side_by_side(stores, open_page):
    from laser_core.study.store import ResultStore

    cells = ResultStore(stores).cells()
    one, other = cells["key"].iloc[0], cells["key"].iloc[-1]
    page = open_page("runs.py", run=one, other=other)
    no_trouble(page)
    inside = page.dataframe[1].value.set_index("Setting")
    assert inside.loc["key", ["Run 1", "Run 2"]].tolist() == [one, other]
    assert inside.loc["key", "Differs"] == "≠"
    assert any(code.value.splitlines()[-1].startswith("laser train ") for code in page.code)


@pytest.mark.parametrize(("name", "axis"), [("compare.py", "x"), ("cost.py", "y")])
def test_systems_are_set_beside_each_other_on_the_same_samples(name, axis, stores, open_page, small):
    """The made-up language model was scored on a part of the test set: the others are measured on it too, unless the reader wants not."""
    from sklearn.metrics import roc_auc_score

    from laser_core.study.store import ResultStore

    store = ResultStore(stores)
    cells = store.cells()
    keys = cells[(cells["system"] == "din") & (cells["shots"] == 64)]["key"]
    part = set(small.test_rows(LM_ROWS))
    wanted = {"yes": [], "no": []}
    for key in keys:
        stored = store.predictions(key)
        wanted["no"].append(roc_auc_score(stored["label"], stored["probability"]))
        stored = stored[stored["row"].isin(part)]
        wanted["yes"].append(roc_auc_score(stored["label"], stored["probability"]))
    for same, aucs in wanted.items():
        page = open_page(name, n="64", same=same)
        no_trouble(page)
        [dot] = [trace for trace in chart(page)["data"] if trace.get("name") == "DIN"]
        assert _values(dot[axis]) == pytest.approx([np.mean(aucs)])
    assert abs(np.diff([np.mean(aucs) for aucs in wanted.values()])[0]) > 0.001


def _values(sent) -> list[float]:
    """The numbers of a trace as Plotly sends them."""
    return np.frombuffer(base64.b64decode(sent["bdata"]), sent["dtype"]).tolist() if isinstance(sent, dict) else sent


def test_costs_are_told_by_machine(tmp_path, monkeypatch, open_page, small):
    """DIN ran on the machine of the others with seed 0 and on another with seed 1: only the first counts."""
    from laser_core.study.store import ResultStore

    for name, folder in (("LASER_STORE", "own"), ("LASER_RECORDED", "kept")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    store = ResultStore(tmp_path / "own")

    def on(machine: str, seconds: float, system: str, shots, seed: int, rows="all") -> None:
        key = add_cell(store, small, system, shots, seed, 0.5, rows)
        record = store.read(key)
        predictions = store.predictions(key)["probability"].to_numpy()
        record["provenance"]["hardware"]["cpu"], record["cost"]["predict_seconds"] = machine, seconds
        store.write(record, predictions)

    on("A", 1.0, "din", 64, 0)
    on("B", 9.0, "din", 64, 1)
    on("A", 2.0, "history-lr", 64, 0)
    on("B", 3.0, "sim", 64, 0)
    on("A", 4.0, "laser-llm", 64, 0, LM_ROWS)
    on("A", 5.0, "din", "all", 0)
    page = open_page("cost.py")
    no_trouble(page)
    assert labelled(page.selectbox, "N (labels)").value == "64", "the largest N with an answer of a language model"
    table = page.dataframe[0].value.set_index("System")
    assert table["Machine"].to_dict() == {"DIN": "A", "History-LR": "A", "SIM": "B", "Laser, LLM only": "A"} | {
        row: None for row in table.index if pd.isna(table["Machine"][row])
    }
    assert table["Ours"]["DIN"] == pytest.approx(1000 * 1.0 / len(small.test))
    words = chart(page)["layout"]["xaxis"]["title"]["text"]
    assert "95 %" not in words, "no interval is drawn"
    assert "the line is of A" in re.sub("<[^>]*>", " ", words).replace("  ", " ")


def test_asking_only_where_another_is_unsure_is_weighed_on_common_rows(stores, open_page):
    page = open_page("cost.py", n="64", cheap="history-lr")
    no_trouble(page)
    assert (page.query_params["cheap"], labelled(page.selectbox, "Asked where that is unsure").value) == ("history-lr", "laser-llm")
    line = next(trace for trace in chart(page, 1)["data"] if trace.get("name") == "where History-LR is least sure")
    table = page.dataframe[1].value.set_index("share")
    assert np.frombuffer(base64.b64decode(line["y"]["bdata"])) == pytest.approx(table["gap"].to_numpy())
    assert table.loc[0, "gap"] == 0 and table.loc[1, "gap"] > 0, "the made-up language model knows more"
    costs = page.dataframe[0].value.set_index("System")["Ours"]
    assert table.loc[0.5, "per_thousand"] == pytest.approx(costs["History-LR"] + costs["Laser, LLM only"] / 2)
    assert f"{LM_ROWS} test rows" in chart(page, 1)["layout"]["xaxis"]["title"]["text"]


def test_what_is_known_by_heart_is_told_from_its_record(stores, tmp_path, open_page, small):
    assert "laser probe movielens-small" in text_of(open_page("data.py")), "not run, and how to run it"
    (tmp_path / "recorded" / "bench").mkdir(parents=True)
    measured = {"case": "title", "pairs": 200, "unit": "of 200 pairs (range: 95 %)", "median": 0.52, "low": 0.45, "high": 0.59}
    parts = {
        f"{name} {who}": {"measurements": [{**measured, "dataset": name, "who": who}], "provenance": {"data_version": version}}
        for name, who, version in (
            ("movielens-small", "Mine", small.version),
            ("movielens-small", "Older", "x"),
            ("ml-1m", "Its", small.version),
        )
    }
    record = tmp_path / "recorded" / "bench" / "memory.json"
    record.write_text(json.dumps({"schema": 1, "parts": parts}), encoding="utf-8")
    [table] = [one.value for one in open_page("data.py").dataframe if "who" in one.value]
    assert table[["who", "median", "pairs"]].to_numpy().tolist() == [["Mine", 0.52, 200]]
    record.write_text("{", encoding="utf-8")
    no_trouble(open_page("data.py"))


def test_what_serving_costs_is_told_from_its_record(stores, tmp_path, monkeypatch, open_page):
    (tmp_path / "recorded" / "bench").mkdir(parents=True)
    measured = {"case": "1 samples a call", "who": "SIM", "unit": "CPU-microseconds a sample", "median": 1967.2}
    part = {"measurements": [measured], "provenance": {"hardware": {"cpu": "a machine"}}}
    (tmp_path / "recorded" / "bench" / "serving.json").write_text(json.dumps({"schema": 1, "parts": {"crm": part}}), encoding="utf-8")
    said = next(one.value for one in open_page("cost.py").markdown if "Serving" in one.value).replace("\\", "")
    assert "on a machine (`laser bench serving`): SIM 1.97 (1 sample a call)." in said


def test_a_run_that_no_study_has_gets_a_study_of_its_own(stores, tmp_path, monkeypatch, open_page, small):
    from laser_core.study import spec
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "kept"))
    key = add_cell(ResultStore(tmp_path / "kept"), small, "deepfm", 77, 5, 0.5)
    page = open_page("runs.py", results="recorded", run=key)
    no_trouble(page)
    text = page.code[0].value
    assert "--shots 77 --seed 5" in text
    (tmp_path / "my-study.toml").write_text(text.split("\n", 1)[1].split("END")[0], encoding="utf-8")
    assert [(cell.system, cell.shots, cell.seed) for cell in spec.load_study(tmp_path / "my-study.toml").cells()] == [("deepfm", 77, 5)]


def test_what_is_not_run_names_studies_that_run_it(stores, open_page):
    from laser_core.study import spec

    page = open_page("compare.py", n="64")
    commands = [code.value for code in page.code]
    assert any(command.startswith("cat > my-study.toml") for command in commands), "with 64 labels no study runs LightGBM"
    for name in (command.removeprefix("laser study run ") for command in commands if command.startswith("laser study run")):
        assert 64 in {cell.shots for cell in spec.load_study(name).cells() if cell.dataset == "movielens-small"}


def test_facts_of_a_data_set_are_words(stores, monkeypatch, open_page, small):
    import streamlit as st

    from laser_core import datasets

    st.cache_data.clear()
    card = datasets.card(small) | {"facts": {"users_dropped_for_too_few": 74392}}
    monkeypatch.setattr(datasets, "card", lambda _: card)
    assert "Users dropped for too few: 74,392" in text_of(open_page("data.py"))
    st.cache_data.clear()


def test_absent_data_says_how_to_get_it(stores, open_page, tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    page = open_page("data.py", dataset="ml-1m")
    no_trouble(page)
    assert [code.value for code in page.code] == ["laser data get ml-1m"]
    assert not (tmp_path / "home" / "datasets" / "ml-1m").exists()


def test_failed_runs_are_told(tmp_path, monkeypatch, open_page, small):
    from laser_core.study.store import ResultStore

    monkeypatch.setenv("LASER_STORE", str(tmp_path / "own"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    add_cell(ResultStore(tmp_path / "own"), small, "din", 64, 0, 0.5, failed="the <b>disk</b> is $full$")
    page = open_page("runs.py")
    no_trouble(page)
    assert "failed" in page.warning[0].value
    assert "<b>" not in page.warning[0].value


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


def test_a_system_scored_on_two_test_sets_is_shown_once(stores, open_page, small, tmp_path, monkeypatch):
    """On the larger one; the smaller one only where the reader asks for it."""
    from laser_core.study.store import ResultStore

    store = tmp_path / "two"
    shutil.copytree(stores, store)
    monkeypatch.setenv("LASER_STORE", str(store))
    add_cell(ResultStore(store), small, "din", 64, 1, 0.5, LM_ROWS)
    user = int(small.sample_user(small.test_rows(LM_ROWS)[:1])[0])
    said = open_page("user.py", user=str(user), n="64", seed="1", systems="din").dataframe[-1].value
    assert said["System"].tolist() == ["DIN"]
    beside = open_page("compare.py", n="64", systems="din").dataframe[0].value
    assert "DIN" in set(beside["System"])
    assert beside["System"].is_unique
    for subsets, lines in (("no", {"DIN"}), ("yes", {f"DIN [{rows:,} test rows]" for rows in (LM_ROWS, len(small.test))})):
        page = open_page("efficiency.py", systems="din", subsets=subsets)
        assert {trace["name"] for trace in chart(page)["data"] if trace.get("showlegend") is not False} == lines


def test_the_server_warms_up_on_a_full_and_an_empty_store(stores, tmp_path, monkeypatch):
    """Errors there are left for the page to tell, so nothing else would show that warming up is broken."""
    import serve

    serve.warm_up()
    monkeypatch.setenv("LASER_STORE", str(tmp_path / "empty"))
    serve.warm_up()
