"""Laser, LLM only, as a `Recommender`: it can learn a planted taste, repeats itself, counts its labels, and is read back as it was."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from laser_core import systems
from laser_core.errors import DataError, FaultError, UserError
from laser_core.lm import backbones, processes, tuning
from laser_core.lm.laser_llm import LaserLLM
from laser_core.settings import get_settings
from laser_core.study import versions
from laser_core.study.cell import compute, computed_in
from laser_core.study.spec import Cell
from laser_core.study.store import ResultStore, cell_key
from tests.lm.tiny_encoders import make_bert
from tests.lm.tiny_models import make_model, make_shelf

FAST = {"precision": "fp32", "learning_rates": (1e-2,), "batch_size": 8, "valid_limit": 0, "epochs": 1}


def make(tiny: str, **options) -> LaserLLM:
    return LaserLLM(**{"backbone": tiny, **FAST, **options})


FORMS = [{"prompt": "one"}, {"prompt": "many"}, {"prompt": "many", "block": 3}]


@pytest.mark.parametrize("form", FORMS)
def test_a_prediction_does_not_depend_on_what_else_is_asked(shelf, tiny, form):
    model = make(tiny, epochs=0, **form).fit(shelf, shelf.train, shelf.valid)
    rows = shelf.test[::2]
    together = model.predict(shelf, rows)
    assert together.dtype == np.float64 and together.shape == rows.shape and np.ptp(together) > 0.01
    shuffled = np.random.default_rng(0).permutation(np.concatenate([rows, rows]))
    np.testing.assert_array_equal(model.predict(shelf, shuffled), together[np.searchsorted(rows, shuffled)])
    np.testing.assert_array_equal(np.concatenate([model.predict(shelf, rows[place : place + 1]) for place in range(6)]), together[:6])
    assert model.labels_seen_ == 0 and model.parameter_count() == 0 and model.curve_ == []


@pytest.mark.parametrize("form", FORMS)
def test_the_prompt_shown_is_the_text_that_is_scored(shelf, tiny, form):
    """Scoring what `prompt` returns, by hand, gives the prediction."""
    from laser_core.lm import backbones, scoring

    model = make(tiny, **form).fit(shelf, np.zeros(0, int), shelf.valid)
    for row in shelf.test[[0, 7, 20]]:
        prompt = model.prompt(shelf, int(row))
        assert prompt.events[-1] == shelf.sample_event[row]
        [odds] = scoring.log_odds(model.model_, scoring.encode(backbones.tokenizer(tiny), [prompt]), 1, lambda done: None)
        assert model.predict(shelf, np.array([row]))[0] == pytest.approx(1 / (1 + np.exp(-odds[-1])), abs=1e-5)


def test_a_block_shows_at_least_k_and_at_most_k_plus_block_minus_one(shelf, tiny):
    one, four = make(tiny, prompt="many", history=3), make(tiny, prompt="many", history=3, block=4)
    for row in shelf.test:
        before = len(shelf.history_events(int(row), 0))
        assert one.prompt(shelf, int(row)).history == min(before, 3)
        assert min(before, 3) <= four.prompt(shelf, int(row)).history <= min(before, 6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"prompt": "one"}, "shots"),
        ({"prompt": "many", "targets": "shots"}, "shots"),
        ({"prompt": "many", "targets": "shots", "block": 3}, "shots"),
        ({"prompt": "many", "history": 2}, "windows"),
    ],
)
def test_labels_seen_counts_distinct_ratings_in_the_loss(shelf, tiny, options, expected):
    rows = shelf.shots(10, seed=1)
    model = make(tiny, max_steps=1, **options).fit(shelf, np.concatenate([rows, rows[:2]]), shelf.valid)
    events = shelf.sample_event[rows]
    first = shelf.user_offsets[shelf.event_user[events]]
    windows = {event for target, start in zip(events, first, strict=True) for event in range(max(start, target - 2), target + 1)}
    assert model.labels_seen_ == (10 if expected == "shots" else len(windows))


@pytest.mark.parametrize("learn", ["adapter", "readout"])
@pytest.mark.parametrize("block", [1, 3])
def test_no_label_of_a_held_out_sample_is_learned_from(shelf, tiny, learn, block):
    """Samples split by lot: histories hold such of the validation and test sets, shown but without a part in the loss."""
    lot = np.random.default_rng(0).permutation(shelf.samples)
    mixed = dataclasses.replace(shelf, train=lot[60:], valid=lot[:30], test=lot[30:60])
    model = make(tiny, prompt="many", history=shelf.events, block=block, max_steps=1, learn=learn).fit(mixed, mixed.train, mixed.valid)
    events = mixed.sample_event[mixed.train]
    first = mixed.user_offsets[mixed.event_user[events]]
    shown = {event for target, start in zip(events, first, strict=True) for event in range(start, target + 1)}
    held = set(mixed.sample_event[lot[:60]])
    assert shown & held and model.labels_seen_ == len(shown - held)


def test_training_never_reads_past_the_last_shot(shelf, tiny):
    """With blocks of four: the text of a training sequence ends with the question of its last shot."""
    model = make(tiny, prompt="many", block=4)
    rows = shelf.shots(12, seed=0)
    asked = np.concatenate([text.rows for text in model.texts(shelf, rows, training=True)])
    assert sorted(asked) == sorted(rows)
    for text in model.texts(shelf, rows, training=True):
        assert text.prompt.events[-1] == shelf.sample_event[text.rows].max()


@pytest.mark.parametrize("form", [{"prompt": "one", "template": "NAMED"}, {"prompt": "many", "block": 3}])
def test_it_learns_a_planted_taste(tiny, form, tmp_path):
    """Everybody likes one author's books: a tiny model with all its linear layers adapted finds out from a few dozen labels."""
    world = make_shelf(one_taste=True)
    if "template" in form:  # the paper's prompt does not name the author
        (tmp_path / "named.txt").write_text("[profile]\n[history]\n[no-history]\n[line]\n[target]\n{title} ({group})\n[question]\nLike?\n")
        form = {**form, "template": str(tmp_path / "named.txt")}
    options = {"layers": "all", "rank": 16, "alpha": 32.0, "dropout": 0.0, "epochs": 9, "max_steps": 20, "history": 2, **form}
    before, after = (
        roc_auc_score(world.labels(world.test), make(tiny, **changed).fit(world, world.train, world.valid).predict(world, world.test))
        for changed in ({**options, "epochs": 0}, options)
    )
    assert after > 0.95 and after > before + 0.1


def test_same_seed_same_predictions_and_a_second_fit_starts_anew(shelf, tiny):
    rows = shelf.shots(12, seed=0)
    model = make(tiny, prompt="many")
    first = model.fit(shelf, rows, shelf.valid, seed=5).predict(shelf, shelf.test)
    np.testing.assert_array_equal(first, model.fit(shelf, rows, shelf.valid, seed=5).predict(shelf, shelf.test))
    np.testing.assert_array_equal(first, make(tiny, prompt="many").fit(shelf, rows, shelf.valid, seed=5).predict(shelf, shelf.test))
    assert not np.array_equal(first, model.fit(shelf, rows, shelf.valid, seed=6).predict(shelf, shelf.test))


def test_validation_chooses_among_learning_rates(shelf, tiny):
    """A rate that does nothing against one that learns: what is kept predicts as the better one's validation loss says."""
    options = {"prompt": "many", "block": 9, "valid_limit": 99, "epochs": 2, "layers": "all", "top_blocks": 1}
    both = make(tiny, **{**options, "learning_rates": (1e-7, 1e-2)}).fit(shelf, shelf.train, shelf.valid)
    alone = make(tiny, **{**options, "learning_rates": (1e-2,)}).fit(shelf, shelf.train, shelf.valid)
    assert min(both.curve_, key=lambda entry: entry["valid_loss"])["learning_rate"] == 1e-2
    np.testing.assert_array_equal(both.predict(shelf, shelf.test), alone.predict(shelf, shelf.test))
    chance = both.predict(shelf, shelf.valid)
    loss = -np.mean(np.log(np.where(shelf.labels(shelf.valid) == 1, chance, 1 - chance)))
    assert min(entry["valid_loss"] for entry in both.curve_) == pytest.approx(loss, abs=1e-6)


def test_a_rate_that_fails_does_not_take_the_others_with_it(shelf, tiny, monkeypatch, caplog):
    """The first of two rates breaks down; of three more, all do."""
    options = {"prompt": "many", "block": 9, "valid_limit": 9}
    alone = make(tiny, **options).fit(shelf, shelf.train, shelf.valid).predict(shelf, shelf.test)
    tune = tuning.tune

    def fragile(model, encoded, labels, settings, *rest):
        if settings.learning_rate > 1:
            raise FaultError("the loss is no number")
        return tune(model, encoded, labels, settings, *rest)

    monkeypatch.setattr(tuning, "tune", fragile)
    said = []
    both = make(tiny, **options, **{"learning_rates": (99.0, 1e-2)})
    both.fit(shelf, shelf.train, shelf.valid, progress=lambda message, done, total: said.append(message))
    why = "learning rate 99 failed: the loss is no number"
    assert why in said and [record.message for record in caplog.records if record.name == "laser"] == [why]
    assert both.curve_[0] == {"learning_rate": 99.0, "epoch": 1, "failed": 1.0}
    np.testing.assert_array_equal(both.predict(shelf, shelf.test), alone)
    with pytest.raises(FaultError, match="no number"):
        make(tiny, **options, **{"learning_rates": (99.0, 98.0)}).fit(shelf, shelf.train, shelf.valid)


def test_several_rates_need_something_to_choose_by(shelf, tiny):
    none, options = np.zeros(0, int), {"learning_rates": (1e-2, 2e-2), "valid_limit": 9}
    with pytest.raises(UserError, match="'learning_rates': several need validation samples to choose by, and there are none"):
        make(tiny, **options).fit(shelf, shelf.train, none)
    assert make(tiny, **options, epochs=0).fit(shelf, shelf.train, none).labels_seen_ == 0  # nothing to choose


def test_a_rate_that_breaks_down_later_is_judged_by_its_good_epochs(shelf, tiny, monkeypatch):
    curves = {2.0: [{"epoch": 1, "tokens": 1, "valid_loss": 0.9}, {"epoch": 2, "tokens": 2, "stopped_by_nan": 1.0}],
              1e-2: [{"epoch": 1, "tokens": 1, "valid_loss": 0.5}]}  # fmt: skip

    def tune(model, encoded, labels, settings, *rest):
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data.fill_(settings.learning_rate)
        return curves[settings.learning_rate]

    monkeypatch.setattr(tuning, "tune", tune)
    model = make(tiny, valid_limit=4, learning_rates=(2.0, 1e-2)).fit(shelf, shelf.train[:9], shelf.valid)
    assert {round(float(weight.unique()), 5) for weight in tuning.trainable(model.model_).values()} == {1e-2}


def test_a_killed_fit_goes_on(shelf, tiny, monkeypatch):
    """In the second of two learning rates: the first is not done again; in the end nothing is left lying about."""
    monkeypatch.setattr(tuning, "NOTE_SECONDS", 0)
    options = {"prompt": "many", "valid_limit": 4, "learning_rates": (1e-2, 2e-2), "dropout": 0.2}
    rows = shelf.shots(12, 0)
    whole = make(tiny, **options).fit(shelf, rows, shelf.valid, seed=3)
    notes = get_settings().home / "tuning"
    steps, said = [], []

    def kill(message, done, total):
        time.sleep(0.1)
        steps.append(message)
        if sum(entry.startswith("tuning") for entry in steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tiny, **options).fit(shelf, rows, shelf.valid, seed=3, progress=kill)
    [folder] = notes.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["0.safetensors", "1.safetensors"]
    make(tiny, **options).fit(shelf, rows, shelf.valid, seed=4)  # another cell: other notes, and these stay
    again = make(tiny, **options).fit(shelf, rows, shelf.valid, seed=3, progress=lambda message, done, total: said.append(message))
    assert sum(entry.startswith("tuning") for entry in said) == 1 and again.curve_ == whole.curve_
    assert again.cost_["fit_tokens"] == whole.cost_["fit_tokens"]  # of both runs, and so are the seconds
    assert again.cost_["stored_fit_seconds"] > 0.2 and whole.cost_["stored_fit_seconds"] == 0
    np.testing.assert_array_equal(again.predict(shelf, shelf.test), whole.predict(shelf, shelf.test))
    assert list(notes.iterdir()) == []


def test_a_killed_fit_does_not_go_on_with_other_texts(shelf, tiny, tmp_path):
    """The template has been edited meanwhile: the notes are for other texts."""
    own = tmp_path / "own.txt"
    parts = "[profile]\n[opening]\n{opening}\n[line]\n{{title}} :\n[answered]\n {{answer}}\n"
    places = []
    for opening in ("Likes:", "Does like:", "Likes:"):
        own.write_text(parts.format(opening=opening), encoding="utf-8")
        places.append(make(tiny, prompt="many", template=str(own))._notes(shelf, shelf.train, shelf.valid, 0))
    assert places[0] == places[2] != places[1]


def test_a_killed_fit_does_not_go_on_elsewhere(shelf, tiny, monkeypatch):
    """The same options may mean another device, other numbers or another chat format; dropout would be drawn otherwise, too."""

    def place():
        return make(tiny)._notes(shelf, shelf.train, shelf.valid, 0)

    places = [place(), place()]
    for name, other in (
        ("device.torch_device", lambda: torch.device("cuda")),
        ("lm.backbones.precision", lambda *_: torch.bfloat16),
        ("lm.backbones.chat_format", lambda name: "[{prompt}]"),
    ):
        monkeypatch.setattr(f"laser_core.{name}", other)
        places.append(place())
    assert places[0] == places[1] and len(set(places)) == 4


@pytest.mark.parametrize("epochs", [0, 1])
def test_save_and_load(shelf, tiny, tmp_path, epochs):
    model = make(tiny, prompt="many", epochs=epochs).fit(shelf, shelf.shots(8, 0), shelf.valid)
    before = model.predict(shelf, shelf.test)
    model.save(str(tmp_path / "kept"))  # a text as well as a path
    again = LaserLLM.load(str(tmp_path / "kept"))
    assert again.options == model.options and again.labels_seen_ == model.labels_seen_ and again.curve_ == model.curve_
    np.testing.assert_allclose(again.predict(shelf, shelf.test), before, atol=1e-6)
    assert again.parameter_count() == model.parameter_count()
    again.save(tmp_path / "again")
    np.testing.assert_allclose(LaserLLM.load(tmp_path / "again").predict(shelf, shelf.test), before, atol=1e-6)
    path = tmp_path / "kept" / "model.json"
    sound = json.loads(path.read_text())
    for damaged in ({}, [], *({**sound, **changed} for changed in ({"options": []}, {"answers": [1]}, {"answers": ["x", "y"]}))):
        path.write_text(json.dumps(damaged))
        with pytest.raises(DataError, match="missing or damaged"):
            LaserLLM.load(tmp_path / "kept")
    for answers in ([1, 99999], [-1, 3]):
        path.write_text(json.dumps({**sound, "answers": answers}))
        with pytest.raises(UserError, match=f"the answers are the tokens {answers[0]} and {answers[1]}, .* with 400 has not both"):
            LaserLLM.load(tmp_path / "kept")


@pytest.mark.parametrize("form", [*FORMS, {"prompt": "many", "retrieval": True}, {"prompt": "one", "retrieval": True}])
def test_no_rows_have_no_predictions(shelf, tiny, form):
    none = np.zeros(0, dtype=int)
    found = make(tiny, encoder=tiny, **form).fit(shelf, none, none).predict(shelf, none)
    assert found.shape == (0,) and found.dtype == np.float64


def test_progress_reaches_its_total(shelf, tiny):
    said = []
    model = make(tiny, prompt="many", block=3)
    model.fit(shelf, shelf.shots(8, 0), shelf.valid, progress=lambda *words: said.append(words))
    model.predict(shelf, shelf.test, progress=lambda *words: said.append(words))
    tuned, scored = ([words for words in said if words[0].startswith(start)] for start in ("tuning", "scoring"))
    assert tuned[-1][1] == tuned[-1][2] > 0
    assert scored[-1][1:] == (len(shelf.test), len(shelf.test)) and [words[1] for words in scored] == sorted(words[1] for words in scored)
    assert model.cost_["fit_tokens"] > 0 and model.cost_["predict_tokens"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "smollm3"}, "unknown backbone"),
        ({"answers": ("Yes",)}, "must be two words"),
        ({"history": -1}, "'history' must be 0 or more"),
        ({"block": 0}, "'block' must be positive"),
        ({"dropout": 1.0}, "'dropout' must be"),
        ({"learning_rates": ()}, "'learning_rates' must be"),
        ({"learning_rates": (1e-3, 1e-4), "valid_limit": 0}, "need validation samples"),
        ({"block": 2}, "belong to prompt='many'"),
        ({"prompt": "few"}, "unknown value of option 'prompt'"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(UserError, match=message):
        systems.create("laser-llm", **options)


def test_only_decoders_answer(tmp_path):
    """An encoder's later tokens reach earlier ones: with many targets its own answer would be in what is read."""
    folder = make_bert(tmp_path)
    for name, kind in (("minilm-l6", "an encoder"), ("t5-base", "an encoder-decoder"), (folder, "an encoder")):
        with pytest.raises(UserError, match=f"is {kind}, Laser, LLM only needs a decoder: smollm2-135m, mistral-7b"):
            systems.create("laser-llm-many", backbone=name, epochs=0)
    assert LaserLLM(encoder="minilm-l6", retrieval=True).options.encoder == "minilm-l6"


def test_weights_of_few_bits_are_not_spread(shelf, tiny, monkeypatch):
    monkeypatch.setattr(processes, "team", lambda: processes.Team(0, 2, sharded=True))
    with pytest.raises(UserError, match="option 'precision': FSDP does not spread weights of 4bit"):
        make(tiny, precision="4bit").fit(shelf, shelf.train, shelf.valid)


@pytest.mark.parametrize(("precision", "said"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_a_stored_result_says_in_which_precision_its_model_computed(small, tiny, tmp_path, precision, said, monkeypatch):
    opened, load = [], backbones.load_decoder
    monkeypatch.setattr(backbones, "load_decoder", lambda *given: opened.append(load(*given)) or opened[-1])
    cell = Cell("movielens-small", "laser-llm-many", 0, 0, 8, {"backbone": tiny, "history": 3, "precision": precision})
    store, identity = ResultStore(tmp_path), versions.identity(cell, small.version)
    compute(cell, identity, store)
    told = store.read(cell_key(identity))["provenance"]
    assert told["precision"] == said and str(next(opened[0].parameters()).dtype) == f"torch.{said}"
    assert computed_in("history-lr", systems.create("history-lr")) == {}
    crm = {"precision": backbones.vector_precision(), "familiar_precision": backbones.usual_precision()}
    assert computed_in("laser-crm", systems.create("laser-crm")) == crm


def test_who_has_not_learned_does_not_answer(shelf, tiny):
    with pytest.raises(UserError, match="LaserLLM is not fitted: call fit, or load a saved model"):
        make(tiny).predict(shelf, shelf.test)


def test_one_class_only(shelf, tiny):
    rows = shelf.train[shelf.labels(shelf.train) == 1][:8]
    with pytest.raises(UserError, match="one class only"):
        make(tiny).fit(shelf, rows, shelf.valid)


def test_a_prompt_beyond_what_is_allowed(shelf, tiny, tmp_path):
    with pytest.raises(UserError, match=r"needs \d+ tokens without any history, 20 are allowed: raise max_tokens"):
        make(tiny, max_tokens=20).fit(shelf, shelf.train, shelf.valid)
    forgetful = make_model(tmp_path, context=300)
    row = int(shelf.test[8])
    assert make(forgetful, history=8).prompt(shelf, row).history < make(tiny, history=8).prompt(shelf, row).history == 8
    with pytest.raises(UserError, match="take a backbone with a longer context"):
        make(make_model(tmp_path, context=20)).fit(shelf, shelf.train, shelf.valid)


def test_prompts_need_no_torch(tiny):
    """The dashboard shows a sample's prompt and tokens without loading torch."""
    code = (
        "import sys\n"
        "from laser_core import datasets\nfrom laser_core.lm import backbones\nfrom laser_core.lm.laser_llm import LaserLLM\n"
        "data = datasets.load('movielens-small')\n"
        f"prompt = LaserLLM(backbone={tiny!r}, prompt='many').prompt(data, int(data.test[0]))\n"
        f"assert len(backbones.tokenizer({tiny!r}).encode(prompt.text).tokens) > 50\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'torch was loaded'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.weights
def test_the_real_model_knows_more_than_chance_in_context(small, real):
    """SmolLM2-135M reads ten earlier answers and, untuned, ranks a user's next films clearly better than chance."""
    users = small.sample_user(small.test)
    rows = small.test[np.isin(users, np.unique(users)[:10])]
    model = systems.create("laser-llm-many", epochs=0, block=20, history=10, backbone=real).fit(small, rows[:0], rows[:0])
    assert roc_auc_score(small.labels(rows), model.predict(small, rows)) > 0.6
