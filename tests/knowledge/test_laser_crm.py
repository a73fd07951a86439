"""Laser, LLM+CRM: one composition with every conventional model, its controls, and what every recommender must do."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize

from laser_core import systems
from laser_core.errors import DataError, UserError
from laser_core.knowledge import vectors
from laser_core.knowledge.vectors import VectorOptions, Vectors
from tests.crm.worlds import made_up

CRMS = [system.name for system in systems.SYSTEMS.values() if system.family == "crm"]
SMALL = {"embedding_size": 8, "hidden": (16,), "epochs": 2, "components": 6, "adapter_hidden": 8}
every_crm = pytest.mark.parametrize("name", CRMS)


@cache
def world():
    return made_up()


def meaning(dataset, items):
    """Vectors in which things of one kind are alike, as a good encoder would give them."""
    kinds = dataset.fields["kind"].codes[np.asarray(items)]
    noise = np.array([np.random.default_rng(int(item)).normal(size=12) for item in items]).reshape(-1, 12)
    return 3.0 * np.eye(12)[kinds] + 0.3 * noise


@pytest.fixture
def fake_encoder(monkeypatch):
    """Instead of a language model."""
    real = Vectors._raw_items

    def items(self, dataset, items):
        return meaning(dataset, items) if self.options.vectors == "real" else real(self, dataset, items)

    monkeypatch.setattr(Vectors, "_raw_items", items)
    monkeypatch.setattr(Vectors, "_familiar", lambda self, dataset, items: np.zeros(len(items)))


def fit(shots: int = 300, **options):
    return systems.create("laser-crm", **{**SMALL, **options}).fit(world(), world().shots(shots, seed=0), world().valid)


def auc(model) -> float:
    return roc_auc_score(world().labels(world().test), model.predict(world(), world().test))


@every_crm
def test_every_conventional_model_can_be_the_backbone(name, fake_encoder, tmp_path):
    """Order, repeats and company change nothing, and a saved model predicts the same."""
    model = fit(backbone_crm=name)
    rows = world().test
    p = model.predict(world(), rows)
    assert p.shape == (len(rows),) and p.dtype == np.float64 and ((p > 0) & (p < 1)).all()
    mixed = np.random.default_rng(0).permutation(np.repeat(np.arange(len(rows)), 2))
    np.testing.assert_allclose(model.predict(world(), rows[mixed]), p[mixed], atol=1e-6)
    np.testing.assert_allclose(np.concatenate([model.predict(world(), rows[[place]]) for place in range(5)]), p[:5], atol=1e-6)
    assert len(model.predict(world(), rows[:0])) == 0
    model.save(tmp_path)
    loaded = systems.recommender_class("laser-crm").load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(world(), rows), p)
    assert loaded.describe() == model.describe()
    assert loaded.options.backbone_crm == name
    assert json.dumps(model.describe())


@every_crm
def test_serving_skips_the_adapter_and_changes_nothing(name, fake_encoder):
    model = fit(backbone_crm=name)
    rows = world().test[:50]
    served, samples = model.serve(world(), rows)
    with torch.no_grad():
        whole = model.model_.eval()(model.encode(world(), rows).batch(slice(None)))
        torch.testing.assert_close(served(samples.batch(slice(None))), whole, rtol=0, atol=1e-6)
    assert not list(served.embeddings.adapter.parameters())


@pytest.mark.parametrize("change", [{}, {"match": False}, {"nearby": 0.0}, {"familiar": False}, {"adapter": "linear"}, {"snapshot": 4}])
def test_what_is_prepared_is_looked_up_and_changes_nothing(change, fake_encoder, monkeypatch):
    model, rows = fit(**change), world().test
    p = model.predict(world(), rows)
    half = rows[::2]
    model.prepare(world(), half)
    with monkeypatch.context() as nothing_is_computed_again:
        nothing_is_computed_again.setattr(model.vectors, "tables", None)
        np.testing.assert_allclose(model.predict(world(), half), p[::2], atol=1e-6)
        np.testing.assert_allclose([model.predict(world(), half[[place]])[0] for place in range(5)], p[::2][:5], atol=1e-6)
    np.testing.assert_allclose(model.predict(world(), rows), p, atol=1e-6)  # others are still answered


def test_what_is_prepared_is_forgotten_by_the_next_fit(fake_encoder):
    """Its fields are those of the model before."""
    model, rows = fit(), world().test
    model.prepare(world(), rows)
    model.fit(world(), world().shots(400, seed=1), world().valid, seed=1)
    fresh = systems.create("laser-crm", **SMALL).fit(world(), world().shots(400, seed=1), world().valid, seed=1)
    np.testing.assert_array_equal(model.predict(world(), rows), fresh.predict(world(), rows))


def test_what_is_prepared_is_not_used_for_another_history(fake_encoder):
    """A what-if data set has the same rows and other events."""
    from laser_core import explain

    model, dataset = fit(), world()
    row = int(dataset.test[-1])
    history = explain.history_of(dataset, row, 5)
    other = explain.what_if(dataset, row, history[:1], int(dataset.sample_item(np.array([row]))[0]))
    before = model.predict(other, np.array([0]))
    model.prepare(dataset, dataset.test)
    np.testing.assert_array_equal(model.predict(other, np.array([0])), before)


@every_crm
def test_without_vectors_it_is_the_backbone(name):
    ours = fit(backbone_crm=name, vectors="none")
    shared = {"embedding_size": 8, "hidden": (16,), "epochs": 2}
    alone = systems.create(name, **shared).fit(world(), world().shots(300, seed=0), world().valid)
    np.testing.assert_array_equal(ours.predict(world(), world().test), alone.predict(world(), world().test))
    assert ours.parameter_count() == alone.parameter_count()


def test_the_options_of_the_adapter_reach_it(fake_encoder):
    adapter = fit(experts=3, adapter_hidden=5, adapter_dropout=0.25, adapter_scale=0.7).model_.embeddings.adapter
    assert (adapter.dropout.p, adapter.scale) == (0.25, 0.7)
    assert (*adapter.first.shape[::2], *adapter.second.shape) == (3, 5, 3, 5, SMALL["embedding_size"])


@pytest.mark.parametrize(
    "change", [{"experts": 1}, {"experts": 8}, {"adapter": "linear"}, {"match": False}, {"nearby": 0.0}, {"familiar": False}]
)
def test_controls_of_the_adapter(change, fake_encoder):
    counts = {fit(**change).parameter_count(), fit().parameter_count()}
    assert len(counts) == 2
    assert auc(fit(**change)) > 0.5


def test_a_space_is_principal_components_of_unit_length():
    """Against scikit-learn, up to the sign of an axis; for vectors that it was not fitted on too."""
    generator = np.random.default_rng(0)
    seen, new = (5 + generator.normal(size=(many, 6)) * [9, 1, 5, 0.1, 3, 2] for many in (80, 20))
    space, other = vectors.Space.fit(seen, 3), PCA(3).fit(seen)
    for own in (seen, new):
        expected = normalize(other.transform(own))
        np.testing.assert_allclose(space(own) @ space(own).T, expected @ expected.T, atol=1e-6)
    assert vectors.Space.fit(seen[:3], 5).axes.shape == (6, 2), "three vectors lie in a plane"


def number_of(title: str) -> int:
    """Of an item, as its title says."""
    return int(re.search(r"thing (\d+)", title)[1])


@pytest.fixture
def numbered(monkeypatch):
    """Instead of language models: an item's vector and how known it is are the number in its title; a user's, who and until when."""
    monkeypatch.setattr(
        vectors, "encode", lambda name, texts, progress: np.array([[*map(float, re.findall(r"\d+", t))][:2] for t in texts])
    )
    monkeypatch.setattr(vectors, "familiarity", lambda name, titles, noun, progress: np.array([float(number_of(t)) for t in titles]))
    monkeypatch.setattr(vectors, "user_texts", lambda data, users, ends, *_: [f"{u} {e}" for u, e in zip(users, ends, strict=True)])


def test_how_known_an_item_is_stands_beside_its_own_samples(numbered):
    data, rows = world(), np.random.default_rng(0).permutation(world().samples)[:50]
    made = Vectors(VectorOptions(vectors="fields", match=False, nearby=0.0)).fit(data, data.train, np.arange(1, data.items + 1))
    mean, deviation = made.scale
    [[*found]] = (made.numbers(data, rows, None) * deviation + mean).T
    assert found == pytest.approx([number_of(data.title(item)) for item in data.sample_item(rows)], abs=1e-4)


def test_shuffled_vectors_are_those_of_another_item_and_user(numbered):
    """The control would else be the system itself. Every vector is somebody's; a user's is of at most as many events as they have."""
    data, made = world(), Vectors(VectorOptions(vectors="shuffled", item_text="metadata", user_text="history"))
    items, users = np.arange(1, data.items + 1), np.arange(1, data.users + 1)
    own = np.array([number_of(data.title(item)) for item in items])
    for found in (made._raw_items(data, items)[:, 0], made._familiar(data, items)):
        assert sorted(found) == sorted(own) and (found == own).mean() < 0.2
        np.testing.assert_array_equal(made._raw_items(data, items[::-1])[:, 0], made._raw_items(data, items)[::-1, 0])
    sizes = np.diff(data.user_offsets)[users]
    few, all_of_them = (made._raw_users(data, users, data.user_offsets[users] + many) for many in (3, sizes))
    assert sorted(few[:, 0]) == users.tolist() and (few[:, 0] == users).mean() < 0.2
    other = few[:, 0].astype(int)
    np.testing.assert_array_equal(few[:, 1] - data.user_offsets[other], 3)
    np.testing.assert_array_equal(all_of_them, np.stack([other, data.user_offsets[other + 1]], axis=1))


@pytest.mark.parametrize(("shots", "nearby"), [(64, 0.0), (256, 0.1)])
def test_vectors_that_mean_something_help_and_others_do_not(shots, nearby, fake_encoder):
    """Items never seen in training: what a kind is, only the vectors tell."""
    settings = {
        "backbone_crm": "deepfm",
        "statistics": False,
        "skip_fields": ("kind", "town"),
        "epochs": 12,
        "shots": shots,
        "nearby": nearby,
    }
    by_vectors = {kind: auc(fit(vectors=kind, **settings)) for kind in ("real", "random", "none")}
    assert by_vectors["real"] > 0.8
    assert by_vectors["real"] > max(by_vectors["random"], by_vectors["none"]) + 0.1


def test_with_texts_and_language_models_from_end_to_end(decoder, encoder, home):
    """Texts written and encoded by tiny models; another fit reads what is stored and predicts the same."""
    few = made_up(users=8, items=16, events=8)

    def predict(**options):
        model = systems.create("laser-crm", **{**SMALL, "encoder": encoder, "language_model": decoder, "snapshot": 4, **options})
        return model.fit(few, few.train, few.valid).predict(few, few.test)

    generated = {"item_text": "generated", "user_text": "generated"}
    one = predict(**generated)
    assert list((home / "texts").glob("*.jsonl")) and list((home / "vectors").glob("*/vectors.f32"))
    np.testing.assert_array_equal(predict(**generated), one)
    for others in (
        {**generated, "vectors": "random"},
        {**generated, "vectors": "shuffled"},
        {"item_text": "title", "user_text": "history"},
    ):
        assert np.abs(predict(**others) - one).max() > 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone_crm": "history-lr"}, "must be a conventional model .*din"),
        ({"backbone_crm": "dni"}, "did you mean 'din'"),
        ({"encoder": "minilm"}, "unknown backbone"),
        ({"components": 0}, "components"),
        ({"experts": 0}, "experts"),
        ({"adapter_dropout": 1.0}, "adapter_dropout"),
        ({"adapter_scale": -0.1}, "adapter_scale"),
        ({"vectors": "ran"}, "did you mean 'random'"),
        ({"snapshot": -1}, "snapshot"),
        ({"dropout": 2.0}, "dropout"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(UserError, match=message):
        systems.create("laser-crm", **options)


def test_damaged_model(fake_encoder, tmp_path):
    fit().save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="missing or damaged"):
        systems.recommender_class("laser-crm").load(tmp_path)
