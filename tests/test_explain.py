"""What-if histories, leaving one out, and live scoring."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from laser_core import explain
from laser_core.errors import UserError
from laser_core.lm.laser_llm import LaserLLM
from laser_core.lm.prompts import Renderer
from tests.crm.worlds import made_up
from tests.lm.tiny_models import make_model


@pytest.fixture(scope="module")
def row(small) -> int:
    return int(small.test[100])


def test_the_stored_history_gives_the_stored_prompt(small, row):
    changed = explain.what_if(small, row, explain.history_of(small, row))
    assert Renderer(changed, "one", "one").one(0, 30).text == Renderer(small, "one", "one").one(row, 30).text
    assert changed.labels(changed.test) == small.labels(np.array([row]))
    assert changed.sample_user(changed.test) == small.sample_user(np.array([row]))


def test_a_fitted_system_predicts_the_same_on_the_same_history(small, row):
    """The whole history, since statistics may look beyond the last K."""
    from laser_core import systems

    rows = small.shots(256, 0)
    system = systems.create("history-lr").fit(small, rows, small.validation_rows(256, 0))
    changed = explain.what_if(small, row, explain.history_of(small, row, 0))
    assert system.predict(changed, changed.test)[0] == pytest.approx(system.predict(small, np.array([row]))[0], abs=1e-9)
    best = len(small.rating_values) - 1
    happier = explain.what_if(small, row, [(item, best) for item, _ in explain.history_of(small, row, 0)])
    assert system.predict(happier, happier.test)[0] > system.predict(changed, changed.test)[0]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10)), max_size=6))
def test_leaving_one_out_leaves_one_out(history):
    shorter = list(explain.leave_one_out(history))
    assert len(shorter) == len(history)
    for place, part in enumerate(shorter):
        assert [*part[:place], history[place], *part[place:]] == history


@pytest.mark.parametrize("history", [[(0, 1)], [(10**6, 1)], [(1, 0)], [(1, 11)]])
def test_unknown_codes_are_refused(history, small, row):
    with pytest.raises(UserError, match="codes from 1 to"):
        explain.what_if(small, row, history)


def test_labels_of_a_made_up_history_follow_the_rule(small, row):
    codes = range(1, len(small.rating_values))
    changed = explain.what_if(small, row, [(1, code) for code in codes])
    assert changed.event_label[:-1].tolist() == [int(small.rating_values[code] >= 4) for code in codes]


def test_a_rating_that_never_occurs_is_labelled_as_its_neighbours():
    """Here everybody rates 2 (disliked) or 5 (liked): 1 is below both, 3 nearer to 2, 4 nearer to 5."""
    data = made_up(users=8, events=6)
    assert set(data.event_rating) == {2, 5}
    changed = explain.what_if(data, 0, [(1, code) for code in range(1, 6)])
    assert changed.event_label[:-1].tolist() == [0, 0, 0, 1, 1]


def test_an_empty_history_is_a_history(small, row):
    changed = explain.what_if(small, row, [])
    assert "has not rated" in Renderer(changed, "one", "one").one(0, 30).text


def test_another_target_after_the_same_history(small, row):
    history = explain.history_of(small, row)
    item = int(small.event_item[0])
    changed = explain.what_if(small, row, history, item)
    assert changed.sample_item(changed.test) == item and explain.history_of(changed, 0) == history
    with pytest.raises(UserError, match="codes from 1 to"):
        explain.what_if(small, row, history, small.items + 1)


def test_candidates_are_scored_together_as_alone(small, row, tmp_path):
    """Live, over the lines that a page sends: one history, many targets, the same probabilities as one by one."""
    folder = make_model(tmp_path)
    history = explain.history_of(small, row, 8)
    worlds = [explain.what_if(small, row, history, item) for item in range(1, 9)]
    prompts = [Renderer(world, "many", "many").many(0, 8, 8).until(8) for world in worlds]
    request = {"backbone": folder, "adapter": None, "answers": prompts[0].answers}
    lines = [json.dumps({**request, "texts": [prompt.text for prompt in prompts]})]
    lines += [json.dumps({**request, "text": prompt.text}) for prompt in prompts]
    said = io.StringIO()
    explain.serve(lines, said)
    opening, together, *alone = map(json.loads, said.getvalue().splitlines())
    assert opening == {"opening": True} and len(set(together["probabilities"])) > 1
    np.testing.assert_allclose(together["probabilities"], [answer["probability"] for answer in alone], atol=1e-4)


def test_the_probability_is_that_of_the_first_answer_word(tmp_path):
    """By transformers itself: of the two words, Yes against No."""
    folder = make_model(tmp_path)
    model, tokenizer = transformers.AutoModelForCausalLM.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    text = "Does the user like the book?\nTome of Ana Alpha:"
    yes, no = (tokenizer(f"{text} {word}")["input_ids"][-1] for word in ("Yes", "No"))
    with torch.no_grad():
        scores = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1, [yes, no]]
    chance, other = torch.softmax(scores.double(), 0).tolist()
    live = explain.LiveModel(folder, precision="fp32")
    assert live.probability(explain.as_prompt(text, ("Yes", "No"))) == pytest.approx(chance, abs=1e-5)
    assert live.probability(explain.as_prompt(text, ("No", "Yes"))) == pytest.approx(other, abs=1e-5)
    assert abs(chance - other) > 1e-3


def test_whatever_one_line_says_the_next_is_answered(tmp_path):
    folder = make_model(tmp_path)
    good = {"backbone": folder, "adapter": None, "text": "a", "answers": [" Yes", " No"]}
    bad = ["", "no JSON", "[]", "7", "{}", json.dumps({**good, "answers": None}), json.dumps({"backbone": folder})]
    lines = [*bad, json.dumps(good)]
    said = io.StringIO()
    explain.serve(lines, said)
    answers = [answer for answer in map(json.loads, said.getvalue().splitlines()) if "opening" not in answer]
    assert len(answers) == len(lines) and all(list(answer) == ["error"] for answer in answers[:-1])
    assert 0 < answers[-1]["probability"] < 1


@pytest.mark.weights
def test_live_scoring_agrees_with_the_system(small, row):
    none = np.array([], dtype=int)
    system = LaserLLM(epochs=0, history=5, precision="fp32").fit(small, none, none)
    expected = system.predict(small, np.array([row]))[0]
    model = explain.LiveModel("smollm2-135m", precision="fp32")
    assert model.probability(system.prompt(small, row)) == pytest.approx(expected, abs=1e-6)
    free = explain.as_prompt(system.prompt(small, row).text, ("Yes", "No"))
    assert model.probability(free) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UserError, match="tokens"):
        model.probability(explain.as_prompt("word " * (explain.MOST_TOKENS + 10), ("Yes", "No")))
