"""The adapter: text vectors -> fields of a conventional model (mixture of experts as in KAR, Y. Xi et al., 2023, arXiv 2306.10933).

E_k(x) = W2_k ReLU(W1_k x + b1_k) + b2_k          experts, shared by all vectors of a sample
g_v(x) = softmax(G_v x + c_v)                      a gate of its own for each vector (user, item)
field_v = sum_k g_v(x_v)_k E_k(x_v)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MixtureOfExperts(nn.Module):
    """(batch, vectors, size) -> (batch, vectors, embedding)."""

    def __init__(self, vectors: int, size: int, hidden: int, embedding: int, experts: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.first = _experts(experts, size, hidden)
        self.first_bias = nn.Parameter(torch.zeros(experts, 1, hidden))
        self.second = _experts(experts, hidden, embedding)
        self.scale = scale
        self.second_bias = nn.Parameter(torch.zeros(experts, 1, embedding))
        self.gates = nn.ModuleList(nn.Linear(size, experts) for _ in range(vectors))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The fields."""
        return torch.stack([self.field(number, x[:, number]) for number in range(len(self.gates))], dim=1)

    def field(self, number: int, x: Tensor) -> Tensor:
        """(batch, embedding) the field of one of the vectors, (batch, size)."""
        hidden = self.dropout(torch.relu(x @ self.first + self.first_bias))  # (experts, batch, hidden)
        outputs = hidden @ self.second + self.second_bias  # (experts, batch, embedding)
        return self.scale * torch.einsum("bk,kbe->be", torch.softmax(self.gates[number](x), dim=1), outputs)


class LinearAdapter(nn.Module):
    """The control without experts: one linear layer a vector."""

    def __init__(self, vectors: int, size: int, embedding: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, embedding) for _ in range(vectors))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, vectors, size) -> (batch, vectors, embedding)."""
        return torch.stack([self.field(number, x[:, number]) for number in range(len(self.layers))], dim=1)

    def field(self, number: int, x: Tensor) -> Tensor:
        """(batch, embedding) the field of one of the vectors, (batch, size)."""
        return self.layers[number](x)


def _experts(experts: int, size: int, out: int) -> nn.Parameter:
    """(experts, size, out) weights: inputs of the size of 1 become outputs of the size of 1."""
    return nn.Parameter(torch.randn(experts, size, out) * (2 / size) ** 0.5)
