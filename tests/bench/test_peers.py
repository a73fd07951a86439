"""What the toolkits get is what the kit reads; where DeepCTR-Torch is installed, it computes the very same function."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
import torch

from laser_core.bench import crm
from laser_core.bench.peers import PEERS, DeepCTRTorch, Table, installed, not_installed
from laser_core.bench.world import movielens_like


@pytest.fixture(scope="module")
def world():
    return movielens_like(seed=2, users=40)


def fitted(world, model: str):
    """A system with fitted inputs, some rows and their table."""
    system = crm._system(model, dropout=0.0)
    system.inputs_ = system.fit_inputs(world, world.train[:300])
    rows = np.concatenate([world.train[:50], world.test[:50]])  # the last ones hold values that were never seen
    return system, rows, Table.of(system.inputs_, system.encode(world, rows))


def test_the_table_is_the_data_set_padded(world):
    system, rows, table = fitted(world, "deepfm")
    known = dict(zip(system.inputs_.names, system.inputs_.known, strict=True))
    batch = world.batch(rows)

    def word(name: str, place: np.ndarray) -> np.ndarray:
        return np.where(place > 0, np.append(0, known[name])[place], -1)  # -1: not known

    def expected(name: str, codes: np.ndarray) -> np.ndarray:
        return np.where(np.isin(codes, known[name]), codes, -1)

    assert list(table.fields) == list(known)
    for name, place in table.fields.items():
        field = world.field(name)
        owner = batch.user if field.owner == "user" else batch.item
        np.testing.assert_array_equal(word(name, place), expected(name, field.codes[owner]))
    assert (table.fields["movie"] == 0).any()
    assert table.items.shape == (len(rows), 30)
    np.testing.assert_array_equal(table.ratings, batch.history_rating)
    np.testing.assert_array_equal(word("movie", table.items), expected("movie", batch.history_item))
    np.testing.assert_array_equal(table.length, batch.history_length)
    np.testing.assert_array_equal(table.label, batch.label)


def test_tables_are_kept_and_cut(world, tmp_path):
    _, _, table = fitted(world, "din")
    table.save(tmp_path / "table.npz")
    again = Table.load(tmp_path / "table.npz")
    cut = again.rows(slice(3, 7))
    for name in table.fields:
        np.testing.assert_array_equal(cut.fields[name], table.fields[name][3:7])
    for name in ("items", "ratings", "length", "label"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(table, name)[3:7])


def test_what_is_not_installed_says_how_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert installed() == []
    (words,) = not_installed()
    assert all(peer.name in words for peer in PEERS)
    assert "pip install" in words
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert installed() == list(PEERS)
    assert not_installed() == []


# ---- with the toolkits ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def quiet_network(monkeypatch):
    """DeepCTR-Torch asks for its newest version when it is imported."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def needs(peer):
    return pytest.mark.skipif(importlib.util.find_spec(peer.package) is None, reason=f"{peer.project} is not installed")


def copy_fields(values: torch.Tensor, inputs, embeddings) -> None:
    """The kit's one table into a toolkit's table a field; the kit's row 0 is every table's."""
    first = 1
    for name, known in zip(inputs.names, inputs.known, strict=True):
        embeddings[name].weight.copy_(torch.cat([values[:1], values[first : first + len(known)]]))
        first += len(known)


def copy_top(deep, toolkit) -> None:
    """The final MLP; the toolkit's output bias is another layer's."""
    linears = [layer for layer in deep if isinstance(layer, torch.nn.Linear)]
    for ours, theirs in zip(linears[:-1], toolkit.dnn.linears, strict=True):
        theirs.load_state_dict(ours.state_dict())
    toolkit.dnn_linear.weight.copy_(linears[-1].weight)
    toolkit.out.bias.copy_(linears[-1].bias)


def random_weights(module) -> None:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape))


@needs(DeepCTRTorch)
def test_deepfm_is_the_same_function(world, quiet_network):
    system, rows, table = fitted(world, "deepfm")
    system.dataset_name_, system.dataset_version_ = world.name, world.version
    system.model_ = ours = crm._module(system)
    random_weights(ours)
    peer = DeepCTRTorch(crm._plan("deepfm", system))
    theirs = peer.model
    with torch.no_grad():
        copy_fields(ours.embeddings.values.weight, system.inputs_, theirs.embedding_dict)
        copy_fields(ours.first_order.weight, system.inputs_, theirs.linear_model.embedding_dict)
        theirs.embedding_dict["rating"].weight.copy_(ours.embeddings.ratings.weight)
        copy_top(ours.deep, theirs)
    np.testing.assert_allclose(peer.predict(table, 64), system.predict(world, rows), rtol=1e-4)


@needs(DeepCTRTorch)
def test_din_on_items_alone_is_the_same_function(world, quiet_network):
    system, rows, table = fitted(world, "din-items")
    system.dataset_name_, system.dataset_version_ = world.name, world.version
    system.model_ = ours = crm._module(system)
    random_weights(ours)
    peer = DeepCTRTorch(crm._plan("din-items", system))
    theirs = peer.model
    size = system.options.embedding_size
    first, _, last = ours.attention.unit.mlp[0], ours.attention.unit.mlp[1], ours.attention.unit.mlp[-1]
    with torch.no_grad():
        copy_fields(ours.embeddings.values.weight, system.inputs_, theirs.embedding_dict)
        copy_top(ours.deep, theirs)
        unit = theirs.attention.local_att
        h, t, difference, product = first.weight.split(size, dim=1)  # the kit's order; theirs is target, history, target - history, product
        unit.dnn.linears[0].weight.copy_(torch.cat([t, h, -difference, product], dim=1))
        unit.dnn.linears[0].bias.copy_(first.bias)
        unit.dense.load_state_dict(last.state_dict())
    np.testing.assert_allclose(peer.predict(table, 64), system.predict(world, rows), rtol=1e-4)


@pytest.mark.parametrize("model", crm.LABELS)
@pytest.mark.parametrize("peer", [pytest.param(peer, marks=needs(peer), id=peer.name) for peer in PEERS])
def test_toolkits_learn(peer, model, world, quiet_network):
    """Every toolkit fits the training rows by heart: it does get the labels and the rows that belong to them."""
    system, _, table = fitted(world, model)
    plan = crm._plan(model, system)
    built = peer(dataclasses.replace(plan, options={**plan.options, "learning_rate": 0.01, "weight_decay": 0.0}))
    table = table.rows(slice(0, 64))
    built.fit(table, 16, epochs=12, valid=table)
    scores = built.predict(table, 32)
    assert scores.shape == (64,)
    assert scores[table.label == 1].mean() > 0.3 + scores[table.label == 0].mean()
