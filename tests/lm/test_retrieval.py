"""Retrieval: what is shown is most like the target and lies before it; a switch that changes prompts and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from laser_core import explain, systems
from laser_core.errors import UserError
from laser_core.lm import backbones, retrieval
from laser_core.lm.laser_llm import LaserLLM, LaserLLMOptions
from laser_core.lm.retrieval import Retrieval

AUTHORS = {"Ana Alpha": (0.0, 1.0), "Bo Beta": (1.0, 0.0)}


@pytest.fixture
def by_author(monkeypatch):
    """An encoder that hears nothing but the author, so that which items are alike is known."""

    def encode(name, texts, max_tokens=256, progress=None):
        return np.array([next(vector for author, vector in AUTHORS.items() if author in text) for text in texts], dtype=np.float32)

    monkeypatch.setattr(retrieval, "encode", encode)


def make(tiny, **options) -> LaserLLM:
    return LaserLLM(
        **{"backbone": tiny, "encoder": tiny, "precision": "fp32", "learning_rates": (1e-2,), "batch_size": 4, "valid_limit": 4,
           "epochs": 1, "retrieval": True, "history": 3, **options}
    )  # fmt: skip


def authors(shelf, events) -> np.ndarray:
    field = shelf.fields["author"]
    return field.codes[shelf.event_item[events]]


def test_it_finds_the_targets_own_author_all_over_the_history(shelf, by_author):
    search = Retrieval(shelf, "any", 1)
    for row in shelf.test:
        before, found = shelf.history_events(int(row), 0), search.events(int(row), 3)
        target = authors(shelf, shelf.sample_event[[row]])[0]
        assert len(found) == min(3, len(before)) and set(found) <= set(before) and (np.diff(found) > 0).all()
        alike = before[authors(shelf, before) == target]
        if len(before) > 3:  # the same author's first; of them, and of the others, the latest
            other = before[authors(shelf, before) != target]
            expected = [*alike[-3:], *other[len(other) - (3 - len(alike[-3:])) :]]
            assert sorted(found) == sorted(expected)


def test_opinions_are_what_the_user_thought_of_the_same_author(shelf, by_author):
    """Two authors, opposite to each other, and a narrow kernel: nothing but the same author's books counts, up to the caution."""
    search, events = Retrieval(shelf, "any", 1), np.random.default_rng(0).permutation(len(shelf.event_item))[:60]
    scale = (shelf.rating_values - shelf.rating_values[1]) / (shelf.rating_values[-1] - shelf.rating_values[1])
    for event, (thought, known) in zip(events, search.opinions(events, 0.05), strict=True):
        before = np.arange(shelf.user_offsets[shelf.event_user[event]], event)
        mean = (scale[shelf.event_rating[before]].sum() + 1) / (len(before) + 2)
        alike = scale[shelf.event_rating[before[authors(shelf, before) == authors(shelf, [event])[0]]]]
        assert thought == pytest.approx((alike - mean).sum() / (len(alike) + 0.02), abs=1e-4)
        assert known == pytest.approx(np.log(len(alike) + 0.02), abs=1e-4)


def test_a_history_no_longer_than_k_is_shown_whole(shelf, tiny):
    model, plain = make(tiny, history=50), make(tiny, history=50, retrieval=False)
    assert [model.prompt(shelf, row).text for row in shelf.test] == [plain.prompt(shelf, row).text for row in shelf.test]
    assert len(list(model.texts(shelf, shelf.test, training=True))) == len(shelf.test)  # nothing to mix


def test_the_prompt_shows_what_was_found_and_training_mixes_both(shelf, tiny):
    model, plain = make(tiny), make(tiny, retrieval=False)
    search = Retrieval(shelf, tiny, 128)
    differ = 0
    for row in map(int, shelf.test):
        found = search.events(row, 3)
        prompt = model.prompt(shelf, row)
        lines = [f"{number}. {shelf.title(shelf.event_item[event])}" for number, event in enumerate(found, start=1)]
        assert all(line in prompt.text for line in lines) and prompt.history == len(found)
        mixed = [text.prompt.text for text in model.texts(shelf, np.array([row]), training=True)]
        usual = plain.prompt(shelf, row).text
        assert mixed == ([prompt.text, usual] if usual != prompt.text else [prompt.text])
        differ += usual != prompt.text
    assert differ > 10


def test_tuning_sees_both_prompts_and_no_more_labels(shelf, tiny):
    rows = shelf.shots(12, 0)
    model, plain = (make(tiny, retrieval=on).fit(shelf, rows, shelf.valid) for on in (True, False))
    assert model.labels_seen_ == plain.labels_seen_ == 12
    assert model.cost_["fit_texts"] > plain.cost_["fit_texts"] == 12
    together = model.predict(shelf, shelf.test)
    assert np.abs(together - plain.predict(shelf, shelf.test)).max() > 1e-4
    alone = [make(tiny).prompt(shelf, int(row)).text for row in shelf.test[:4]]
    assert alone == [model.prompt(shelf, int(row)).text for row in shelf.test[:4]]  # neither fit nor company changes what is found
    np.testing.assert_array_equal(np.concatenate([model.predict(shelf, shelf.test[[place]]) for place in range(4)]), together[:4])


@pytest.mark.parametrize("block", [1, 4])
def test_many_targets_are_asked_about_a_second_time_and_the_log_odds_averaged(shelf, tiny, block):
    options = {"prompt": "many", "template": "many-short", "block": block}
    model, plain = make(tiny, **options), make(tiny, **options, retrieval=False)
    nobody = np.zeros(0, dtype=int)
    both = model.fit(shelf, nobody, nobody).predict(shelf, shelf.test)
    first = plain.fit(shelf, nobody, nobody).predict(shelf, shelf.test)
    search, twice = Retrieval(shelf, tiny, 128), 0
    for place, row in enumerate(map(int, shelf.test)):
        prompts, event = model.prompts(shelf, row), int(shelf.sample_event[row])
        assert prompts[0].text == plain.prompt(shelf, row).text == model.prompt(shelf, row).text
        assert len(plain.prompts(shelf, row)) == 1
        odds = [np.log(first[place] / (1 - first[place]))]
        if len(prompts) > 1:
            assert prompts[1].events.tolist() == [*search.events(row, 3), event] and prompts[1].history == 3
            assert all(shelf.title(shelf.event_item[own]) in prompts[1].text for own in prompts[1].events)
            odds.append(_log_odds(plain, prompts[1]))
            twice += 1
        else:
            np.testing.assert_array_equal(search.events(row, 3), shelf.history_events(row, 3))
        assert both[place] == pytest.approx(1 / (1 + np.exp(-np.mean(odds))), abs=1e-6)
    assert twice > 10
    some = shelf.test[::-1][:5]
    np.testing.assert_array_equal(model.predict(shelf, some), both[::-1][:5])  # neither order nor company changes it


def _log_odds(model: LaserLLM, prompt) -> float:
    """Of the last answer of a prompt, by transformers itself."""
    body = model.model_.model
    tokens = torch.tensor([backbones.tokenizer(model.options.backbone).encode(prompt.text).ids])
    yes, no = model.answers_
    with torch.no_grad():
        scores = body(input_ids=tokens).logits[0, -1]
    return float(scores[yes] - scores[no])


@pytest.mark.parametrize("learn", ["adapter", "readout"])
def test_with_many_targets_it_learns_from_both_sequences(shelf, tiny, learn):
    options = {"prompt": "many", "template": "many-short", "learn": learn}
    rows, nobody = shelf.shots(12, 0), np.zeros(0, dtype=int)
    model, plain, own = (
        make(tiny, **options, **more).fit(shelf, rows, nobody) for more in ({}, {"retrieval": False}, {"targets": "shots"})
    )
    assert model.cost_["fit_texts"] > plain.cost_["fit_texts"]
    assert own.labels_seen_ == 12 < plain.labels_seen_ <= model.labels_seen_
    shown = {event for row in rows for prompt in model.prompts(shelf, int(row)) for event in prompt.events.tolist()}
    assert model.labels_seen_ == len(shown)


def test_a_what_if_history_is_searched_too(shelf, tiny):
    model = make(tiny)
    row = int(shelf.test[8])
    history = explain.history_of(shelf, row, 0)
    assert model.prompt(explain.what_if(shelf, row, history), 0).text == model.prompt(shelf, row).text
    shorter = explain.what_if(shelf, row, history[:2])
    assert model.prompt(shorter, 0).history == 2


def test_equal_texts_are_equally_similar(shelf, monkeypatch):
    """Then the latest are shown, and not whatever rounding prefers."""
    monkeypatch.setattr(retrieval, "encode", lambda name, texts, **_: np.tile(np.linspace(0, 1, 7, dtype=np.float32), (len(texts), 1)))
    search = Retrieval(shelf, "any", 4)
    for row in map(int, shelf.test):
        np.testing.assert_array_equal(search.events(row, 3), shelf.history_events(row, 3))


def test_options(tiny):
    with pytest.raises(UserError, match="unknown backbone 'minilm'"):
        systems.create("laser-llm-retrieval", encoder="minilm")
    with pytest.raises(UserError, match="'components' must be positive"):
        systems.create("laser-llm-retrieval", components=0)
    assert systems.create("laser-llm-retrieval").options.retrieval and not systems.create("laser-llm").options.retrieval
    late = {entry.name for entry in dataclasses.fields(LaserLLMOptions) if entry.metadata.get("late")}
    assert {"retrieval", "encoder", "components"} <= late


def test_it_is_ready_once_its_vectors_are_stored(shelf, tiny, tmp_path, monkeypatch):
    """So that a page may show the prompt without computing anything."""
    monkeypatch.setenv("LASER_HOME", str(tmp_path))
    row = max(map(int, shelf.test), key=lambda row: len(shelf.history_events(row, 0)))
    assert not retrieval.is_ready(shelf, tiny, row)
    make(tiny).prompt(shelf, row)
    assert retrieval.is_ready(shelf, tiny, row)
    assert not retrieval.is_ready(shelf, "minilm-l6", row), "not even its weights are here"
