"""SASRec (W.-C. Kang and J. McAuley, 2018, "Self-Attentive Sequential Recommendation", ICDM, arXiv 1808.09781), as a model of clicks.

x_k = h_k + p_{recency of k}                                   history tokens and positions, counted from the most recent event
block:  x = x + attention(norm(x)), causal;  x = x + MLP(norm(x))
logit = MLP([fields; x_last; dense])                           x_last: the state at the last REAL event

Dropout is in the MLPs alone; the paper drops of embeddings and attention weights too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laser_core.crm.base import CRM, CRMOptions, concatenated
from laser_core.crm.inputs import Batch, Sizes
from laser_core.crm.layers import MLP, Embeddings, Table, check_heads, last_real, recency
from laser_core.recommender import check_options


@dataclass(frozen=True)
class SASRecOptions(CRMOptions):
    """SASRec's settings."""

    layers: int = 2
    """of attention"""
    heads: int = 2
    """of attention a layer"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.embedding_size, self.heads)
        check_options(self, positive=("layers",))


class Block(nn.Module):
    """Causal self-attention and a position-wise MLP, each normed before and added to its input."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_mlp = nn.LayerNorm(size), nn.LayerNorm(size)
        self.project = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.mlp = MLP(size, (size,), dropout, out=size)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, history, embedding) -> the same shape; a place reads itself and earlier places."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.project(self.norm(x)).chunk(3, dim=2)
        )  # (batch, heads, history, .) each
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_mlp(x))


class SASRecModel(nn.Module):
    """Blocks of causal self-attention over the history, then an MLP."""

    def __init__(self, sizes: Sizes, options: SASRecOptions) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes, options.embedding_size, options.embedding_scale)
        self.positions = Table(1 + sizes.history, options.embedding_size, options.embedding_scale)
        self.blocks = nn.Sequential(*(Block(options.embedding_size, options.heads, options.dropout) for _ in range(options.layers)))
        self.norm = nn.LayerNorm(options.embedding_size)
        self.deep = MLP(concatenated(sizes, options, extra=1), options.hidden, options.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(batch,) logits."""
        positions = self.positions(
            (recency(batch) + 1) * batch.real
        )  # (batch, history, embedding); padding comes last: no real place reads it
        states = self.blocks(self.embeddings.history(batch) + positions)  # (batch, history, embedding)
        fields = self.embeddings.fields(batch).flatten(1)  # (batch, fields * embedding)
        return self.deep(torch.cat([fields, self.norm(last_real(states, batch.length)), batch.dense], dim=1)).squeeze(1)


class SASRec(CRM):
    """SASRec as a recommender."""

    Options = SASRecOptions
    Model = SASRecModel
    piece = 256
