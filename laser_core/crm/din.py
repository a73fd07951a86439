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
from laser_core.recommender import check_options


@dataclass(frozen=True)
class DINOptions(CRMOptions):
    """DIN's settings."""

    attention: tuple[int, ...] = (64,)
    """widths of the activation unit"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, widths=("attention",))


class ActivationUnit(nn.Module):
    """a(h, t) = MLP([h; t; h - t; h * t]) for every history event.

    For one target the first layer is linear in h: W1 h + W2 t + W3 (h - t) + W4 (h * t) = (W1 + W3 + W4 diag(t)) h + (W2 - W3) t. So each
    sample gets its own matrix and offset, and the events cost a quarter of the plain form; the function is the same.
    """

    def __init__(self, size: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.mlp = MLP(4 * size, widths, dropout=0.0)

    def forward(self, history: Tensor, target: Tensor) -> Tensor:
        """(batch, history) weights, from (batch, history, embedding) tokens and (batch, embedding) targets."""
        first, *rest = self.mlp
        of_history, of_target, of_difference, of_product = first.weight.t().chunk(4)  # each (embedding, width)
        offset = torch.addmm(first.bias, target, of_target - of_difference)  # (batch, width)
        parts = torch.stack([of_history + of_difference, of_product], dim=1)  # (embedding, 2, width)
        shares = torch.stack([torch.ones_like(target), target], dim=2)  # (batch, embedding, 2): how much of each part
        matrix = (shares.transpose(0, 1) @ parts).transpose(0, 1)  # (batch, embedding, width); a product has the cheapest backward
        hidden = torch.baddbmm(offset[:, None], history, matrix)  # (batch, history, width)
        for layer in rest:
            hidden = layer(hidden)
        return hidden.squeeze(2)


class TargetAttention(nn.Module):
    """The history pooled by how much each event says about the target."""

    def __init__(self, size: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.unit = ActivationUnit(size, widths)

    def forward(self, history: Tensor, target: Tensor, real: Tensor) -> Tensor:
        """(batch, embedding) interest, from (batch, history, embedding), (batch, embedding) and (batch, history)."""
        weights = self.unit(history, target) * real  # (batch, history)
        return (weights[:, None] @ history).squeeze(1)


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
        interest = self.attention(self.embeddings.history(batch), fields[:, 0], batch.real)  # (batch, embedding)
        return self.deep(torch.cat([fields.flatten(1), interest, batch.dense], dim=1)).squeeze(1)


class DIN(CRM):
    """DIN as a recommender."""

    Options = DINOptions
    Model = DINModel
    piece = 512
