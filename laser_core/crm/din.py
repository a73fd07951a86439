"""Deep Interest Network (G. Zhou et al., 2018, "Deep Interest Network for Click-Through Rate Prediction", KDD, arXiv 1706.06978).

a(h, t) = MLP([h; t; h - t; h * t])          activation unit, no softmax: how much interest there is also counts
interest = sum_k a(h_k, t) h_k               over the real events of the history
logit = MLP([fields; interest; dense])
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laser_core.crm.base import CRM, CRMOptions, concatenated
from laser_core.crm.inputs import Batch, Sizes
from laser_core.crm.layers import MLP, Embeddings


@dataclass(frozen=True)
class DINOptions(CRMOptions):
    """DIN's settings."""

    attention: tuple[int, ...] = (64,)
    """widths of the activation unit"""


class ActivationUnit(nn.Module):
    """a(h, t) = MLP([h; t; h - t; h * t]) for every history event.

    The first layer is linear in its parts: W1 h + W2 t + W3 (h - t) + W4 (h * t) = (W1 + W3) h + (W2 - W3) t + W4 (h * t). The target's
    term is computed once a sample instead of once an event and the input is half as wide; the function is the same.
    """

    def __init__(self, size: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.mlp = MLP(4 * size, widths, dropout=0.0)

    def forward(self, history: Tensor, target: Tensor, sample: Tensor) -> Tensor:
        """(events,) weights, from (events, embedding) tokens, (batch, embedding) targets and (events,) each event's sample."""
        first, *rest = self.mlp
        of_history, of_target, of_difference, of_product = first.weight.chunk(4, dim=1)  # each (width, embedding)
        once = nn.functional.linear(target, of_target - of_difference, first.bias)  # (batch, width)
        parts = torch.cat([history, history * target.index_select(0, sample)], dim=1)  # (events, 2 * embedding)
        weight = torch.cat([of_history + of_difference, of_product], dim=1).t()
        hidden = torch.addmm(once.index_select(0, sample), parts, weight)  # (events, width)
        for layer in rest:
            hidden = layer(hidden)
        return hidden.squeeze(1)


class TargetAttention(nn.Module):
    """The history pooled by how much each event says about the target."""

    def __init__(self, size: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.unit = ActivationUnit(size, widths)

    def forward(self, tokens: Tensor, target: Tensor, real: Tensor) -> Tensor:
        """(batch, embedding) interest, from (events, embedding) tokens of the real places of (batch, history)."""
        sample = real.nonzero()[:, 0]  # (events,)
        weighted = self.unit(tokens, target, sample)[:, None] * tokens  # (events, embedding)
        return torch.zeros_like(target).index_add(0, sample, weighted)


class DINModel(nn.Module):
    """Target attention over the history, then an MLP."""

    def __init__(self, sizes: Sizes, options: DINOptions) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes, options.embedding_size, options.embedding_scale)
        self.attention = TargetAttention(options.embedding_size, options.attention)
        self.deep = MLP(concatenated(sizes, options, extra=1), options.hidden, options.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(batch,) logits."""
        fields = self.embeddings.fields(batch)  # (batch, fields, embedding)
        interest = self.attention(self.embeddings.tokens(batch), fields[:, 0], batch.real)  # (batch, embedding)
        return self.deep(torch.cat([fields.flatten(1), interest, batch.dense], dim=1)).squeeze(1)


class DIN(CRM):
    """DIN as a recommender."""

    Options = DINOptions
    Model = DINModel
    piece = 256
