"""Each model's formula against an independent one: plain loops, numpy, or torch's own reference modules."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laser_core.crm.autoint import InteractingLayer
from laser_core.crm.caser import HorizontalFilters
from laser_core.crm.dcnv2 import CrossNetwork
from laser_core.crm.deepfm import pairwise_products
from laser_core.crm.din import ActivationUnit, TargetAttention
from laser_core.crm.layers import Dropout, WeightedRows, transformed
from laser_core.crm.sasrec import Block
from tests.crm.tiny import one, tiny

sizes = st.integers(1, 6)


def close(ours, theirs):
    torch.testing.assert_close(ours, torch.as_tensor(theirs, dtype=ours.dtype), rtol=1e-9, atol=1e-10)


@given(batch=sizes, fields=sizes, size=sizes, seed=st.integers(0, 99))
def test_second_order_is_the_sum_over_all_pairs(batch, fields, size, seed):
    vectors = np.random.default_rng(seed).normal(size=(batch, fields, size))
    expected = [sum(float(a @ b) for a, b in itertools.combinations(sample, 2)) for sample in vectors]
    close(pairwise_products(torch.from_numpy(vectors)), expected)
    assert torch.autograd.gradcheck(pairwise_products, torch.from_numpy(vectors).requires_grad_())


@given(batch=sizes, size=sizes, layers=st.integers(1, 3), seed=st.integers(0, 99))
def test_cross_network_in_numpy(batch, size, layers, seed):
    torch.manual_seed(seed)
    cross = CrossNetwork(size, layers).double()
    x0 = np.random.default_rng(seed).normal(size=(batch, size))
    x = x0
    for layer in cross.layers:
        x = x0 * (x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()) + x
    close(cross(torch.from_numpy(x0)).detach(), x)


@given(events=sizes, size=sizes, seed=st.integers(0, 99))
def test_split_attention_layer_is_the_plain_one(events, size, seed):
    """MLP([h; t; h - t; h * t]) exactly as it is written."""
    torch.manual_seed(seed)
    unit = ActivationUnit(size, (5, 3)).double()
    history, target = torch.randn(3, events, size).double(), torch.randn(3, size).double()
    t = target[:, None].expand(-1, events, -1)
    plain = unit.mlp(torch.cat([history, t, history - t, history * t], dim=2)).squeeze(2)
    close(unit(history, target), plain)


def test_attention_pooling_in_a_loop():
    torch.manual_seed(0)
    attention = TargetAttention(4, (6,)).double()
    history, target, length = torch.randn(3, 5, 4).double(), torch.randn(3, 4).double(), [5, 0, 2]
    real = torch.arange(5) < torch.tensor(length)[:, None]
    pooled = attention(history, target, real)
    for sample, events in enumerate(length):
        interest = torch.zeros(4).double()
        for h in history[sample, :events]:
            t = target[sample]
            interest += attention.unit.mlp(torch.cat([h, t, h - t, h * t])) * h
        close(pooled[sample], interest)


def test_history_token_and_means():
    """W[item; rating] on the concatenated vectors, and means over the real events, one by one."""
    module, batch = tiny("din")
    part = module.embeddings
    weight = torch.cat([part.of_item.weight, part.of_rating.weight], dim=1)  # W, (embedding, 2 * embedding)
    tokens, means = part.history(batch), part.mean_history(batch)
    for sample, events in enumerate(batch.length.tolist()):
        items, ratings = part.values.weight[batch.history[sample, :events]], part.ratings.weight[batch.rating[sample, :events]]
        close(tokens[sample, :events], torch.cat([items, ratings], dim=1) @ weight.T + part.of_item.bias)
        close(means[sample], torch.stack([items.sum(0), ratings.sum(0)]) / max(events, 1))


def test_weighted_rows_are_embedding_bags():
    """Value and gradient, with a row that occurs twice and one that never does."""
    torch.manual_seed(0)
    table, weights = torch.randn(5, 3, dtype=torch.double, requires_grad=True), torch.rand(2, 4, dtype=torch.double)
    places, gradient = torch.tensor([[0, 1, 1, 2], [4, 4, 4, 0]]), torch.randn(2, 3, dtype=torch.double)
    ours = WeightedRows.apply(table, places, weights)
    theirs = torch.nn.functional.embedding_bag(places, table, per_sample_weights=weights, mode="sum")
    close(ours, theirs)
    close(torch.autograd.grad(ours, table, gradient)[0], torch.autograd.grad(theirs, table, gradient)[0])


@pytest.mark.parametrize("places", [2, 20])
def test_transformed_rows_are_the_same_either_way(places):
    """A table with more and with fewer rows than places."""
    torch.manual_seed(0)
    table, layer, at = torch.randn(10, 3).double(), torch.nn.Linear(3, 4).double(), torch.randint(0, 10, (places, 2))
    close(transformed(layer, table, at), layer(table[at]))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    layer, x = Dropout(p), torch.ones(1000, 999)
    dropped = layer(x)
    share = (dropped == 0).double().mean().item()
    assert share == pytest.approx(p, abs=0.003)
    assert dropped.double().mean().item() == pytest.approx(1, abs=0.003)
    assert dropped.unique().numel() == 2
    assert (layer(x) != dropped).any()
    layer.eval()
    assert (layer(x) == x).all()


def test_interacting_layer_in_loops():
    torch.manual_seed(0)
    layer = InteractingLayer(4, heads=2).double()
    fields = torch.randn(2, 3, 4).double()
    query, key, value, residual = (part.numpy() for part in layer.project.weight.detach().chunk(4))
    for sample, ours in zip(fields.numpy(), layer(fields).detach(), strict=True):
        rows = []
        for i in range(3):
            heads = []
            for h in (slice(0, 2), slice(2, 4)):
                score = np.exp([(query @ sample[i])[h] @ (key @ sample[j])[h] for j in range(3)])
                heads.append(sum(score[j] / score.sum() * (value @ sample[j])[h] for j in range(3)))
            rows.append(np.maximum(np.concatenate(heads) + residual @ sample[i], 0))
        close(ours, np.stack(rows))


def test_gru_step_by_step():
    """The state before the last MLP against torch's single-step cell, sample by sample without padding."""
    module, batch = tiny("gru4rec")
    cell = torch.nn.GRUCell(4, 4).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in module.gru.state_dict().items()})
    logits = module(batch)
    for sample in range(4):
        alone = one(batch, sample)
        state = torch.zeros(1, 4).double()
        for token in module.embeddings.history(alone)[0, : batch.length[sample]]:
            state = cell(token[None], state)
        read = torch.cat([module.embeddings.fields(alone).flatten(1), state, alone.dense], dim=1)
        close(logits[sample], module.deep(read)[0, 0])


def test_horizontal_filters_in_loops():
    """Windows that end at a real event, with zero rows before the first."""
    torch.manual_seed(0)
    filters = HorizontalFilters(size=2, filters=3, height=3).double()
    length = [4, 1, 0]
    real = torch.arange(4) < torch.tensor(length)[:, None]
    history = torch.randn(3, 4, 2).double() * real[..., None]
    ours = filters(history, real).detach()
    weight, bias = filters.convolve.weight.detach(), filters.convolve.bias.detach()
    for sample, events in enumerate(length):
        rows = torch.cat([torch.zeros(2, 2).double(), history[sample]])  # two rows before the first event
        answers = [torch.zeros(3).double()]  # ReLU: never less than zero
        for last in range(events):
            answers.append(torch.relu(torch.einsum("fen,ne->f", weight, rows[last : last + 3]) + bias))
        close(ours[sample], torch.stack(answers).amax(0))


def test_vertical_filters_weigh_by_recency():
    """The same events read as one history or with older ones forgotten: the rows of the most recent events keep their weights."""
    module, batch = tiny("caser")
    history = module.embeddings.history(batch)
    seen = {}
    module.deep.register_forward_pre_hook(lambda _, inputs: seen.update(read=inputs[0]))
    module(batch)
    vertical = seen["read"][:, 3 * 4 + 8 : 3 * 4 + 8 + 4 * 4].unflatten(1, (4, 4))  # (batch, vertical, embedding)
    for sample, events in enumerate(batch.length.tolist()):
        expected = torch.zeros(4, 4).double()
        for age, place in enumerate(reversed(range(events))):
            expected += module.vertical[age][:, None] * history[sample, place]
        close(vertical[sample], expected)


def test_sasrec_block_is_torchs_own():
    torch.manual_seed(0)
    ours = Block(6, heads=2, dropout=0.0).double().eval()
    theirs = torch.nn.TransformerEncoderLayer(6, 2, 6, dropout=0.0, batch_first=True, norm_first=True).double().eval()
    theirs.norm1, theirs.norm2 = ours.norm, ours.norm_mlp
    theirs.linear1, theirs.linear2 = ours.mlp[0], ours.mlp[3]
    theirs.self_attn.out_proj.load_state_dict(ours.out.state_dict())
    theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias = ours.project.weight, ours.project.bias
    x = torch.randn(3, 5, 6).double()
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.double)
    close(ours(x), theirs(x, src_mask=mask))


def test_sasrecs_positions_count_from_the_most_recent_event():
    """1 for the last real event, 2 for the one before it, and 0 at padding, however long a history is."""
    module, batch = tiny("sasrec")
    seen = []
    module.positions.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module(batch)
    for places, events in zip(seen[0].tolist(), batch.length.tolist(), strict=True):
        assert places == [*range(events, 0, -1), *[0] * (len(places) - events)]


def test_a_later_item_never_changes_an_earlier_state():
    module, batch = tiny("sasrec")
    states = {}
    module.blocks.register_forward_hook(lambda _, inputs, output: states.update({len(states): output.detach()}))
    module(batch)
    changed = batch.history.clone()
    changed[0, 2] = changed[0, 2] % 19 + 1
    module(batch.__class__(**{**batch.__dict__, "history": changed}))
    assert (states[0][0, :2] == states[1][0, :2]).all()
    assert (states[0][0, 2:] != states[1][0, 2:]).any(dim=1).all()


# ---- whole models by their papers' formulas ------------------------------------------------------------------------------------------


def linear(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def mlp(layers, x):
    """Linear layers with ReLU in between, from (inputs,) to a number."""
    *hidden, (last, last_bias) = [linear(layer) for layer in layers if isinstance(layer, torch.nn.Linear)]
    for weight, bias in hidden:
        x = np.maximum(weight @ x + bias, 0)
    return (last @ x + last_bias).item()


def of_sample(module, batch, sample):
    """What one sample gives to read: vectors of its fields, of the items and of the ratings of its real history, and the dense numbers."""
    values, ratings = (table.weight.detach().numpy() for table in (module.embeddings.values, module.embeddings.ratings))
    events = int(batch.length[sample])
    items, codes = batch.history[sample, :events].numpy(), batch.rating[sample, :events].numpy()
    return values[batch.fields[sample].numpy()], values[items], ratings[codes], batch.dense[sample].numpy()


def with_means(fields, items, ratings):
    """The field vectors and the two means of the history; an empty one has zeros."""
    return np.stack([*fields, *(rows.sum(axis=0) / max(len(rows), 1) for rows in (items, ratings))])


def deepfm(module, codes, fields, items, ratings, dense):
    vectors = with_means(fields, items, ratings)
    first = module.first_order.weight.detach().numpy()[codes].sum()
    second = sum(a @ b for a, b in itertools.combinations(vectors, 2))
    return first + second + mlp(module.deep, np.concatenate([vectors.ravel(), dense]))


def autoint(module, codes, fields, items, ratings, dense):
    vectors = attended = with_means(fields, items, ratings)
    for layer in module.interact:
        query, key, value, residual = (attended @ part.T for part in np.split(layer.project.weight.detach().numpy(), 4))
        heads = []
        for head in (slice(0, 2), slice(2, 4)):
            score = np.exp(query[:, head] @ key[:, head].T)
            heads.append(score / score.sum(axis=1, keepdims=True) @ value[:, head])
        attended = np.maximum(np.concatenate(heads, axis=1) + residual, 0)
    weight, bias = linear(module.out)
    return (weight @ np.concatenate([attended.ravel(), dense]) + bias).item() + mlp(module.deep, np.concatenate([vectors.ravel(), dense]))


def dcnv2(module, codes, fields, items, ratings, dense):
    x = x0 = np.concatenate([with_means(fields, items, ratings).ravel(), dense])
    for weight, bias in map(linear, module.cross.layers):
        x = x0 * (weight @ x + bias) + x
    weight, bias = linear(module.out)
    return (weight @ x + bias).item() + mlp(module.deep, x0)


def din(module, codes, fields, items, ratings, dense):
    (of_item, bias), of_rating = linear(module.embeddings.of_item), module.embeddings.of_rating.weight.detach().numpy()
    interest, target = np.zeros(4), fields[0]
    for item, rating in zip(items, ratings, strict=True):
        event = of_item @ item + of_rating @ rating + bias
        interest += mlp(module.attention.unit.mlp, np.concatenate([event, target, event - target, event * target])) * event
    return mlp(module.deep, np.concatenate([fields.ravel(), interest, dense]))


@pytest.mark.parametrize(("name", "formula"), [("deepfm", deepfm), ("autoint", autoint), ("dcnv2", dcnv2), ("din", din), ("sim", din)])
def test_the_whole_model_is_its_papers_formula(name, formula):
    module, batch = tiny(name)
    logits = [formula(module, batch.fields[sample].numpy(), *of_sample(module, batch, sample)) for sample in range(4)]
    close(module(batch).detach(), logits)
