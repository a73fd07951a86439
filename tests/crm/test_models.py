"""What every conventional model must do, whatever its formula."""

from __future__ import annotations

import dataclasses
import itertools
import json
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from laser_core import systems
from laser_core.crm import trainer
from laser_core.errors import DataError, UserError
from laser_core.recommender import make_options
from tests.crm.tiny import one, padded, tiny
from tests.crm.worlds import made_up

MODELS = [system.name for system in systems.SYSTEMS.values() if system.family == "crm"]
every_model = pytest.mark.parametrize("name", MODELS)
SMALL = {"embedding_size": 8, "hidden": (16,), "epochs": 2}
PLAIN = SMALL | {"statistics": False}


@cache
def world():
    return made_up()


@cache
def fitted(name: str):
    """A model fitted on a few samples of the made-up data; tests do not change it."""
    return systems.create(name, **SMALL).fit(world(), world().shots(300, seed=0), world().valid)


@pytest.mark.parametrize("rows", [[-1], [0, 10**6], [0.5], [[1, 2]]])
def test_rows_that_are_none(rows):
    with pytest.raises(UserError, match=f"{world().name} has the samples 0 to|rows must be a list of whole numbers"):
        fitted("deepfm").predict(world(), np.array(rows))


# ---- the formula on tiny tensors -----------------------------------------------------------------------------------------------


@every_model
@torch.no_grad()
def test_padding_and_company_change_nothing(name):
    module, batch = tiny(name)
    logits = module(batch)
    assert logits.shape == (4,)
    alone = torch.cat([module(one(batch, sample)) for sample in range(4)])
    torch.testing.assert_close(alone, logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(module(padded(batch, 3)), logits, rtol=0, atol=1e-12)


@every_model
def test_gradients_are_right_and_finite(name):
    """Against finite differences, for every parameter."""
    module, batch = tiny(name)
    names, values = zip(*module.named_parameters(), strict=True)
    values = tuple(value.detach().requires_grad_() for value in values)

    def logits(*values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (batch,))

    assert torch.autograd.gradcheck(logits, values, eps=1e-6, atol=1e-6)


@every_model
@torch.no_grad()
def test_every_input_matters(name):
    """Fields, history items, ratings and dense numbers all reach the logit."""
    module, batch = tiny(name)
    before = module(batch)
    for part in ("fields", "history", "rating", "dense"):
        other = getattr(batch, part).clone()
        other[:, 0] = other[:, 0] % 4 + 1
        assert (module(dataclasses.replace(batch, **{part: other})) != before).any(), part


def test_parameter_counts():
    """By hand, from the papers' formulas: e 4, fields 3, values 20, ratings 6, dense 2, history 4, MLP (5,)."""
    e, tables = 4, 20 * 4 + 6 * 4
    token = (e * e + e) + e * e

    def mlp(size, *widths):
        widths = (size, *widths, 1)
        return sum((a + 1) * b for a, b in itertools.pairwise(widths))

    five, four = 5 * e + 2, 4 * e + 2  # what the final MLP reads: fields and two means, or fields and one interest
    expected = {
        "deepfm": tables + 20 + mlp(five, 5),
        "autoint": tables + 2 * 4 * e * e + mlp(five) + mlp(five, 5),
        "dcnv2": tables + 2 * (five * five + five) + mlp(five) + mlp(five, 5),
        "gru4rec": tables + token + 3 * (e * e + e * e + 2 * e) + mlp(four, 5),
        "caser": tables + token + sum(2 * (e * height + 1) for height in (1, 2, 3, 4)) + 4 * 4 + mlp(3 * e + 4 * e + 8 + 2, 5),
        "sasrec": tables + token + 5 * e + 2 * (4 * e + 3 * (e * e + e) + 3 * (e * e + e)) + 2 * e + mlp(four, 5),
        "din": tables + token + mlp(4 * e, 3) + mlp(four, 5),
        "sim": tables + token + mlp(4 * e, 3) + mlp(four, 5),
    }
    assert {name: sum(parameter.numel() for parameter in tiny(name)[0].parameters()) for name in MODELS} == expected


# ---- as a recommender ----------------------------------------------------------------------------------------------------------


@every_model
def test_predictions_do_not_depend_on_order_company_or_batches(name, monkeypatch):
    model, rows = fitted(name), world().test
    expected = model.predict(world(), rows)
    assert expected.dtype == np.float64
    assert ((expected > 0) & (expected < 1)).all()
    order = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_allclose(model.predict(world(), rows[order]), expected[order], rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.predict(world(), rows[[5, 5, 0]]), expected[[5, 5, 0]], rtol=0, atol=1e-6)
    monkeypatch.setattr(trainer, "PIECE", 7)
    np.testing.assert_allclose(model.predict(world(), rows), expected, rtol=0, atol=1e-6)
    assert len(model.predict(world(), rows[:0])) == 0


@every_model
def test_same_seed_same_model(name):
    again = systems.create(name, **SMALL).fit(world(), world().shots(300, seed=0), world().valid)
    assert (again.predict(world(), world().test) == fitted(name).predict(world(), world().test)).all()
    assert again.labels_seen_ == 300
    other = systems.create(name, **SMALL).fit(world(), world().shots(300, seed=0), world().valid, seed=1)
    assert (other.predict(world(), world().test) != fitted(name).predict(world(), world().test)).all()


@every_model
def test_reads_no_label_but_those_of_the_shots(name):
    """With every other label turned over, the model is the same (the statistics read the histories' labels, as the histories show them)."""
    data, rows = world(), world().shots(300, seed=0)
    read = data.sample_event[np.concatenate([rows, data.valid])]
    labels = 1 - data.event_label
    labels[read] = data.event_label[read]
    turned = dataclasses.replace(data, event_label=labels)
    model, same = systems.create(name, **PLAIN).fit(data, rows, data.valid), systems.create(name, **PLAIN).fit(turned, rows, data.valid)
    assert (model.predict(data, data.test) == same.predict(turned, data.test)).all()


@every_model
def test_saved_and_loaded_is_the_same(name, tmp_path):
    model = fitted(name)
    model.save(str(tmp_path))  # a text as well as a path
    again = systems.recommender_class(name).load(str(tmp_path))
    assert (again.predict(world(), world().test) == model.predict(world(), world().test)).all()
    assert again.options == model.options
    assert again.describe() == model.describe()
    assert again.curve_ == model.curve_
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_a_label_that_is_asked_for_twice_is_seen_once():
    model = systems.create("deepfm", **SMALL).fit(world(), np.repeat(world().shots(20, seed=0), 3), world().valid)
    assert model.labels_seen_ == 20


def test_choosing_keeps_the_fit_that_validation_likes_best():
    """The same as fitting with each of the settings alone, and taking the best by hand."""
    model = systems.create("deepfm", choose=True, **SMALL)
    told = []
    model.fit(world(), world().shots(300, seed=0), world().valid, progress=lambda _, done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told) and len({total for _, total in told}) == 1
    share = [done / total for done, total in told]
    assert share == pytest.approx([place / 16 for place in range(1, 17)], abs=0.001), "eight fits of two epochs"
    alone = []
    for settings in model.options.tried():
        changes = {name: getattr(settings, name) for name in ("learning_rate", "learning_rate_decay", "patience")}
        one_fit = systems.create("deepfm", **changes, **SMALL).fit(world(), world().shots(300, seed=0), world().valid)
        alone.append((min(entry["valid_log_loss"] for entry in one_fit.curve_), one_fit, changes))
    loss, best, changes = min(alone, key=lambda entry: entry[0])
    assert len({loss for loss, *_ in alone}) == len(alone) == model.cost_["fits"] == 8
    np.testing.assert_array_equal(model.predict(world(), world().test), best.predict(world(), world().test))
    assert min(entry["valid_log_loss"] for entry in model.curve_) == loss
    assert {name: model.cost_[name] for name in ("learning_rate", "learning_rate_decay")} == {
        name: changes[name] for name in ("learning_rate", "learning_rate_decay")
    }
    assert model.cost_["epochs"] == sum(len(fit.curve_) for _, fit, _ in alone)


@every_model
def test_settings_survive_json(name):
    options = systems.create(name, dropout=0.25, hidden=(7, 5), skip_fields=("town",)).options
    words = json.loads(json.dumps(dataclasses.asdict(options)))
    assert make_options(type(options), words) == options
    with pytest.raises(UserError, match="dropout"):
        systems.create(name, droput=0.25)


@every_model
def test_items_never_seen_and_empty_histories(name):
    """Fitted on one user's samples: nearly every item is new, and each user's first sample has no history."""
    data = made_up(items=400, events=20)
    rows = np.flatnonzero(data.sample_user(np.arange(data.samples)) == 1)
    model = systems.create(name, **SMALL).fit(data, rows, data.valid)
    probability = model.predict(data, data.test)
    assert np.isfinite(probability).all()
    first = data.history_start(data.test) == data.sample_event[data.test]
    assert first.sum() == 15
    assert model.inputs_.sizes.values == 1 + 20 + 1 + 4  # items, towns and kinds of the shots, not of the catalogue


@every_model
def test_finds_a_planted_answer(name):
    """A user likes one kind of thing, known only from the plain history; a tenth of the labels are noise."""
    data = made_up(users=200, items=60, events=20, kinds=2)
    likes = data.fields["kind"].codes[data.sample_item(data.test)] % 2 == data.sample_user(data.test) % 2
    assert roc_auc_score(data.labels(data.test), likes) > 0.85  # who knows the taste
    options = {
        "embedding_size": 8,
        "embedding_scale": 0.5,
        "hidden": (32,),
        "dropout": 0.0,
        "epochs": 12,
        "patience": 12,
        "statistics": False,
    }
    model = systems.create(name, **options, learning_rate=1e-2, learning_rate_decay=0.8).fit(data, data.train, data.valid)
    assert roc_auc_score(data.labels(data.test), model.predict(data, data.test)) > 0.8


# ---- what is refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("din", {"epochs": 0}, "epochs"),
        ("din", {"dropout": 1.0}, "dropout"),
        ("din", {"dropout": 0.999}, "dropout"),
        ("din", {"hidden": (0,)}, "hidden"),
        ("din", {"attention": (-1,)}, "attention"),
        ("sim", {"attention": (8, 0)}, "attention"),
        ("deepfm", {"embedding_scale": -0.1}, "embedding_scale"),
        ("dcnv2", {"layers": 0}, "layers"),
        ("autoint", {"layers": -1}, "layers"),
        ("sasrec", {"layers": 0}, "layers"),
        ("din", {"history": -1}, "history"),
        ("din", {"weight_decay": -0.1}, "weight_decay"),
        ("autoint", {"heads": 3}, "heads"),
        ("sasrec", {"heads": 0}, "heads"),
        ("caser", {"vertical": 0}, "vertical"),
        ("sim", {"search": "loud"}, "search"),
    ],
)
def test_impossible_settings(name, changes, message):
    with pytest.raises(UserError, match=message):
        systems.create(name, **changes)


def test_one_class_only():
    data = world()
    liked = data.train[data.labels(data.train) == 1]
    with pytest.raises(UserError, match="one class only"):
        systems.create("deepfm").fit(data, liked, data.valid)


def test_field_that_is_not_there():
    with pytest.raises(UserError, match="kind"):
        systems.create("deepfm", skip_fields=("kinds",)).fit(world(), world().train, world().valid)


def test_the_item_cannot_be_skipped():
    data = world()
    with pytest.raises(UserError, match=f"option 'skip_fields': '{data.about.item_field}' is the item itself"):
        systems.create("deepfm", skip_fields=(data.about.item_field,)).fit(data, data.train, data.valid)


def test_the_highest_dropout_leaves_something():
    """The limit that the message names: 1 of 256 numbers stays, 256 times as large."""
    data = world()
    model = systems.create("deepfm", dropout=0.998, epochs=1).fit(data, data.train, data.valid)
    assert np.isfinite(model.predict(data, data.test)).all()


def test_another_data_set():
    other = dataclasses.replace(world(), about=dataclasses.replace(world().about, name="other"))
    with pytest.raises(UserError, match="fitted on made-up"):
        fitted("deepfm").predict(other, other.test)


def test_another_version_of_its_data(tmp_path):
    """Its codes may mean other users and items."""
    fitted("deepfm").save(tmp_path)
    saved = systems.recommender_class("deepfm").load(tmp_path)
    for model in (fitted("deepfm"), saved):
        with pytest.raises(UserError, match=r"fitted on made-up \(version .*\) and cannot score made-up \(version newer\): fit it again"):
            model.predict(dataclasses.replace(world(), version="newer"), world().test)


def test_not_fitted():
    with pytest.raises(UserError, match="DeepFM is not fitted: call fit, or load a saved model"):
        systems.create("deepfm").predict(world(), world().test)


def test_a_model_saved_before_versions_were(tmp_path):
    fitted("deepfm").save(tmp_path)
    words = json.loads((tmp_path / "model.json").read_text())
    del words["dataset_version"]
    (tmp_path / "model.json").write_text(json.dumps(words))
    with pytest.raises(DataError, match=r"an older kit saved it \('dataset_version'\): fit it again"):
        systems.recommender_class("deepfm").load(tmp_path)


def test_damaged_or_foreign_folder(tmp_path):
    with pytest.raises(DataError, match="missing or damaged"):
        systems.recommender_class("deepfm").load(tmp_path)
    fitted("deepfm").save(tmp_path)
    with pytest.raises(DataError, match="holds a DeepFM, not a DIN"):
        systems.recommender_class("din").load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match="missing or damaged"):
        systems.recommender_class("deepfm").load(tmp_path)
