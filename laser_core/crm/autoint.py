"""AutoInt (W. Song et al., 2019, "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks", CIKM,
arXiv 1810.11921).

    head h:  softmax(Q_h K_h^T) V_h       between the fields of one sample
    layer:   E' = ReLU([head_1; ...; head_H] + W_res E)
    logit:   <w, flatten(E_L)>, with `deep` + MLP(x) (the paper's AutoInt+)

The fields are the sample's own and two more, the masked means of the history's item embeddings and rating embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laser_core.crm.base import CRM, CRMOptions, concatenated
from laser_core.crm.inputs import Batch, Sizes
from laser_core.crm.layers import MLP, Embeddings, check_heads
from laser_core.recommender import check_options


@dataclass(frozen=True)
class AutoIntOptions(CRMOptions):
    """AutoInt's settings."""

    layers: int = 2
    """of attention"""
    heads: int = 2
    """of attention a layer"""
    deep: bool = True
    """a parallel MLP"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.embedding_size, self.heads)
        check_options(self, positive=("layers",))


class InteractingLayer(nn.Module):
    """Multi-head self-attention between fields, with a residual and ReLU."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(size, 4 * size, bias=False)  # Q, K, V and W_res at once

    def forward(self, fields: Tensor) -> Tensor:
        """(batch, fields, embedding) -> the same shape."""
        query, key, value, residual = self.project(fields).chunk(4, dim=2)  # (batch, fields, embedding) each
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)
        )  # (batch, heads, fields, .)
        mixed = torch.softmax(query @ key.transpose(2, 3), dim=3) @ value  # (batch, heads, fields, .)
        return torch.relu(mixed.transpose(1, 2).flatten(2) + residual)


class AutoIntModel(nn.Module):
    """Interacting layers over the fields, beside an MLP."""

    def __init__(self, sizes: Sizes, options: AutoIntOptions) -> None:
        super().__init__()
        width = concatenated(sizes, options, extra=2)
        self.embeddings = Embeddings(sizes, options.embedding_size, options.embedding_scale, tokens=False)
        self.interact = nn.Sequential(*(InteractingLayer(options.embedding_size, options.heads) for _ in range(options.layers)))
        self.out = nn.Linear(width, 1)
        self.deep = MLP(width, options.hidden, options.dropout) if options.deep else None

    def forward(self, batch: Batch) -> Tensor:
        """(batch,) logits."""
        vectors = torch.cat([self.embeddings.fields(batch), self.embeddings.mean_history(batch)], dim=1)  # (batch, fields + 2, embedding)
        logit = self.out(torch.cat([self.interact(vectors).flatten(1), batch.dense], dim=1))
        if self.deep is not None:
            logit = logit + self.deep(torch.cat([vectors.flatten(1), batch.dense], dim=1))
        return logit.squeeze(1)


class AutoInt(CRM):
    """AutoInt as a recommender."""

    Options = AutoIntOptions
    Model = AutoIntModel
