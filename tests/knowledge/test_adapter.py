"""The mixture of experts against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laser_core.knowledge.adapter import LinearAdapter, MixtureOfExperts

sizes = st.integers(1, 5)


@given(batch=sizes, vectors=st.integers(1, 3), size=sizes, hidden=sizes, embedding=sizes, experts=st.sampled_from([1, 2, 4, 8]))
def test_mixture_in_numpy(batch, vectors, size, hidden, embedding, experts):
    torch.manual_seed(batch)
    module = MixtureOfExperts(vectors, size, hidden, embedding, experts, dropout=0.5, scale=0.1).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():  # biases too
            parameter.copy_(torch.randn(parameter.shape))
    x = np.random.default_rng(0).normal(size=(batch, vectors, size))
    weight = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = np.zeros((batch, vectors, embedding))
    for b in range(batch):
        for v in range(vectors):
            score = np.exp(weight[f"gates.{v}.weight"] @ x[b, v] + weight[f"gates.{v}.bias"])
            for k, share in enumerate(score / score.sum()):
                inner = np.maximum(x[b, v] @ weight["first"][k] + weight["first_bias"][k, 0], 0)
                expected[b, v] += 0.1 * share * (inner @ weight["second"][k] + weight["second_bias"][k, 0])
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_fields_start_as_small_as_embeddings():
    torch.manual_seed(0)
    fields = MixtureOfExperts(2, 32, 128, 16, experts=1, dropout=0.5, scale=0.1).eval()(torch.randn(2000, 2, 32))
    assert fields.std().item() == pytest.approx(0.1 * 2**0.5, rel=0.2)


def test_linear_adapter_is_a_matrix_for_each_vector():
    torch.manual_seed(0)
    module = LinearAdapter(2, 3, 4)
    x = torch.randn(5, 2, 3)
    fields = module(x)
    for v, layer in enumerate(module.layers):
        torch.testing.assert_close(fields[:, v], x[:, v] @ layer.weight.T + layer.bias)
