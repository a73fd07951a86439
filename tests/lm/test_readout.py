"""The read-out: the states it reads are transformers' own, the regression is scikit-learn's, and what is kept is what was worked out."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from laser_core.crm.statistics import statistic_names
from laser_core.errors import DataError, UserError
from laser_core.knowledge.store import VectorStore
from laser_core.lm import backbones, readout, scoring
from laser_core.lm.laser_llm import LaserLLM
from laser_core.settings import get_settings
from tests.crm.worlds import made_up
from tests.lm.tiny_models import FAMILIES, make_model, make_shelf

FAST = {"prompt": "many", "precision": "fp32", "learn": "readout", "depths": (0.5, 1.0)}


def make(tiny: str, **options) -> LaserLLM:
    return LaserLLM(**{"backbone": tiny, **FAST, **options})


@pytest.mark.parametrize(("depths", "blocks"), [((0.6, 0.75), (18, 22)), ((1.0,), (30,)), ((0.75, 0.6), (18, 22)), ((0.01, 0.02), (1,))])
def test_depths_are_shares_of_the_blocks(depths, blocks):
    assert readout.blocks_at(depths, 30) == blocks


@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_those_of_the_whole_model(family, tmp_path):
    """What transformers returns as hidden states, though only the lower block is run."""
    folder = make_model(tmp_path, family)
    tokens = torch.randint(3, 400, (2, 11), generator=torch.Generator().manual_seed(0))
    text, place = torch.tensor([0, 0, 1]), torch.tensor([4, 10, 7])
    device = torch.device("cpu")
    whole = backbones.load_decoder(folder, torch.float32, device).get_decoder()
    with torch.inference_mode():
        hidden = whole(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states[1]  # after the first of two blocks
        states = readout.States(backbones.load_decoder(folder, torch.float32, device), (1,))
        found = states(tokens, text, place)
    assert len(states.body.layers) == 1 and states.size == hidden.shape[-1]
    torch.testing.assert_close(found, hidden[text, place])


def test_regression_is_scikit_learns_on_standardised_states():
    generator = np.random.default_rng(0)
    states = generator.normal(3, [1, 5, 0.1], size=(400, 3))
    labels = (states @ [1, 0.3, -4] + generator.logistic(size=400) > -7.5).astype(int)
    weight, bias, tried = readout.regress(states, labels, np.arange(400) % 40, np.ones(400, bool), (0.01,))
    pipeline = StandardScaler().fit(states)
    other = LogisticRegression(C=0.01, max_iter=1000).fit(pipeline.transform(states), labels)
    np.testing.assert_allclose(states @ weight + bias, other.decision_function(pipeline.transform(states)), atol=1e-4)
    assert tried == [{"strength": 0.01}]


def test_the_penalty_is_chosen_on_the_shots_of_users_left_out():
    """Where states are noise the strongest penalty wins, where they tell the label a weak one does."""
    generator = np.random.default_rng(1)
    users = np.repeat(np.arange(30), 8)
    labels = generator.permutation(np.arange(30) % 2)[users]  # each user likes everything or nothing
    own = np.arange(240) % 8 == 7
    noise, told = generator.normal(size=(240, 200)), labels[:, None] + generator.normal(0, 0.3, (240, 1))
    whose = generator.normal(size=(30, 200))[users]  # tells who it is: of use within a user, and of none for one left out
    for states, best in ((noise, 1e-4), (told, 10.0), (whose, 1e-4)):
        _, _, tried = readout.regress(states, labels, users, own, (1e-4, 10.0))
        assert min(tried, key=lambda entry: entry["log_loss"])["strength"] == best
    flipped = np.where(own, labels, 1 - labels)  # what is not a shot's own answer is learned from, but never judged by
    _, _, tried = readout.regress(told, flipped, users, own, (1e-4, 10.0))
    assert min(tried, key=lambda entry: entry["log_loss"])["strength"] == 1e-4


def test_counts_beside_the_states_are_penalised_less():
    """The last columns' penalty is a hundredth: the same as if they had been ten times as large."""
    generator = np.random.default_rng(2)
    states = generator.normal(size=(300, 6))
    labels = (states[:, 0] + states[:, 5] + generator.logistic(size=300) > 0).astype(int)
    weight, bias, _ = readout.regress(states, labels, np.arange(300), np.ones(300, bool), (0.001,), statistics=2)
    standard = StandardScaler().fit_transform(states) * [1, 1, 1, 1, readout.FREEDOM, readout.FREEDOM]
    other = LogisticRegression(C=0.001, max_iter=1000).fit(standard, labels)
    np.testing.assert_allclose(states @ weight + bias, other.decision_function(standard), atol=1e-4)


@pytest.mark.parametrize("beside", [{}, {"statistics": True}, {"nearby": 0.1}, {"statistics": True, "nearby": 0.1}])
def test_numbers_beside_the_states_reach_the_prediction(beside, shelf, tiny, tmp_path):
    """A history that changes nothing in the prompt's few lines changes a prediction that reads numbers of all of it."""
    rows = shelf.shots(60, seed=0)
    row = int(shelf.test[-1])
    first = int(shelf.user_offsets[shelf.event_user[shelf.sample_event[row]]])
    rating, label = shelf.event_rating.copy(), shelf.event_label.copy()
    label[first], rating[first] = 1 - label[first], rating[first] % 10 + 1
    other = replace(shelf, event_label=label, event_rating=rating)
    model = make(tiny, history=2, encoder=tiny, **beside).fit(shelf, rows, shelf.valid)
    changed = model.predict(other, np.array([row])) - model.predict(shelf, np.array([row]))
    assert (abs(changed[0]) > 1e-6) == bool(beside)
    model.save(tmp_path)
    np.testing.assert_array_equal(LaserLLM.load(tmp_path).predict(shelf, shelf.test), model.predict(shelf, shelf.test))
    counted = len(statistic_names(shelf)) * beside.get("statistics", False) + 2 * ("nearby" in beside)
    assert model.parameter_count() == 2 * 32 + 1 + counted


def test_it_learns_a_planted_taste(tiny):
    """Everybody likes the books of the same author, who is named just before the answer: a frozen random model passes that on."""
    shelf = make_shelf(one_taste=True)
    model = make(tiny, strengths=(1.0,)).fit(shelf, shelf.train, shelf.valid)
    probabilities = model.predict(shelf, shelf.test)
    assert roc_auc_score(shelf.labels(shelf.test), probabilities) > 0.9
    assert model.parameter_count() == 2 * 32 + 1
    assert 0 < model.labels_seen_ <= len(shelf.event_label)


@pytest.mark.parametrize("options", [{}, {"block": 3}, {"targets": "shots"}, {"prompt": "one"}, {"nearby": 0.1, "block": 3}])
def test_a_prediction_does_not_depend_on_what_else_is_asked(shelf, tiny, options):
    rows = shelf.shots(40, seed=0)
    model = make(tiny, encoder=tiny, **options).fit(shelf, rows, shelf.valid)
    together = model.predict(shelf, shelf.test)
    alone = np.concatenate([model.predict(shelf, shelf.test[place : place + 1]) for place in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-6)
    if options.get("targets") == "shots" or options.get("prompt") == "one":
        assert model.labels_seen_ == 40


def test_what_is_kept_changes_nothing_and_is_not_worked_out_again(shelf, tiny, monkeypatch):
    rows = shelf.shots(30, seed=3)
    first = make(tiny, history=3).fit(shelf, rows, shelf.valid)
    expected = first.predict(shelf, shelf.test)
    assert first.cost_["fit_tokens"] > 0

    def never(*_, **__):
        raise AssertionError("worked out again")

    monkeypatch.setattr(readout, "log_odds", never)
    second = make(tiny, history=3).fit(shelf, rows, shelf.valid)
    np.testing.assert_array_equal(second.predict(shelf, shelf.test), expected)
    assert second.cost_["stored_fit_seconds"] > 0 and second.cost_["stored_predict_seconds"] > 0
    with pytest.raises(AssertionError):
        make(tiny, history=3).fit(shelf, shelf.shots(31, seed=3), shelf.valid)  # one more shot: one more text


def test_a_kill_loses_only_the_texts_under_way(shelf, tiny, tmp_path):
    """Stop the reading in the middle; the next one goes on, and finds the same."""
    model = make(tiny).fit(shelf, np.zeros(0, int), shelf.valid)
    texts = list(model.texts(shelf, shelf.train[:20]))
    encoded = scoring.encode(backbones.tokenizer(tiny), [text.prompt for text in texts])
    wanted = [(text.prompt.text, text.slots) for text in texts]
    states = readout.States(model.model_.model, (1, 2))
    plain, saved = readout.stored(states, None, wanted, encoded, 1)
    assert saved == 0

    def kill(done: int) -> None:
        if done > 11:
            raise KeyboardInterrupt

    store = VectorStore(tmp_path, states.size + 1, {})
    with pytest.raises(KeyboardInterrupt):
        readout.stored(states, store, wanted, encoded, 1, kill)
    assert 0 < len(VectorStore(tmp_path, states.size + 1, {})) < sum(len(slots) for _, slots in wanted)
    found, saved = readout.stored(states, VectorStore(tmp_path, states.size + 1, {}), wanted, encoded, 1)
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(plain))
    assert saved > 0


def test_saved_and_loaded(shelf, tiny, tmp_path):
    model = make(tiny).fit(shelf, shelf.shots(30, seed=0), shelf.valid)
    model.save(tmp_path / "model")
    again = LaserLLM.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(shelf, shelf.test), model.predict(shelf, shelf.test))
    assert (again.curve_, again.labels_seen_) == (model.curve_, model.labels_seen_)
    (tmp_path / "model" / "readout.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="missing or damaged"):
        LaserLLM.load(tmp_path / "model")


def test_statistics_of_another_data_set(shelf, tiny, tmp_path):
    """They have other names, and mostly another number."""
    make(tiny, statistics=True).fit(shelf, shelf.shots(30, seed=0), shelf.valid).save(tmp_path)
    other = made_up()
    with pytest.raises(UserError, match=f"this readout was fitted on shelf, whose history statistics {other.name} has not: fit it on"):
        LaserLLM.load(tmp_path).predict(other, other.test)


def test_without_shots_it_is_the_untuned_model(shelf, tiny):
    none = np.zeros(0, int)
    plain = LaserLLM(backbone=tiny, prompt="many", precision="fp32", epochs=0).fit(shelf, none, none)
    np.testing.assert_array_equal(make(tiny).fit(shelf, none, none).predict(shelf, shelf.test), plain.predict(shelf, shelf.test))


def test_a_family_whose_blocks_have_another_name(shelf, tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "gpt2")
    folder = tmp_path / "gpt2"
    config = transformers.GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=4, n_positions=1024)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    with pytest.raises(UserError, match="option 'learn': the blocks of a GPT2LMHeadModel are not known by name: take another"):
        make(str(folder)).fit(shelf, shelf.shots(8, 0), shelf.valid)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": ()}, "option 'depths'"),
        ({"depths": (1.5,)}, "option 'depths'"),
        ({"strengths": (0.0,)}, "option 'strengths'"),
        ({"engine": "vllm"}, "options 'learn' and 'engine'"),
        ({"learn": "adapter", "statistics": True}, "option 'statistics' belongs to learn='readout'"),
        ({"learn": "adapter", "nearby": 0.1}, "option 'nearby' belongs to learn='readout'"),
        ({"nearby": -0.1}, "option 'nearby' must be 0 or more"),
    ],
)
def test_impossible_options(tiny, options, said):
    with pytest.raises(UserError, match=said):
        make(tiny, **options)


def test_states_of_other_weights_are_kept_apart(shelf, tiny, tmp_path):
    other = make_model(tmp_path, "qwen")
    for backbone in (tiny, other):
        make(backbone).fit(shelf, shelf.shots(20, seed=0), shelf.valid)
    folders = {path.name for path in (get_settings().home / "states").iterdir()}
    for backbone in (tiny, other):
        assert any(name.startswith(f"{backbones.get(backbone).label}-shelf-") for name in folders)
    model = make(tiny).fit(shelf, shelf.shots(20, seed=0), shelf.valid)
    store = readout.state_store(tiny, backbones.fetch(tiny), "fp32", (1,), 32, "shelf")
    wider = readout.state_store(tiny, backbones.fetch(tiny), "fp32", (1, 2), 64, "shelf")
    assert store.folder != wider.folder and model.model_.blocks == (1, 2)
    coarser = readout.state_store(tiny, backbones.fetch(tiny), "bf16", (1,), 32, "shelf")
    tuned = readout.state_store(tiny, backbones.fetch(other), "fp32", (1,), 32, "shelf")  # other weights under the same name
    assert len({store.folder, wider.folder, coarser.folder, tuned.folder}) == 4
