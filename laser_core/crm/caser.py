"""Caser (J. Tang and K. Wang, 2018, "Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding", WSDM,
arXiv 1809.07426), as a model of clicks. E is the K x e matrix of history tokens, the most recent event in the last row.

    horizontal:  max_i ReLU(<F_n, E[i - n + 1 : i + 1]> + b)     filters of height n = 1..H, maximum over the windows
    vertical:    sum_k v_k E[k]                                  weights over the rows
    logit = MLP([fields; horizontal; vertical; dense])

A history shorter than K has zero rows before it, and only windows that end at a real event count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laser_core.crm.base import CRM, CRMOptions, concatenated
from laser_core.crm.inputs import Batch, Sizes
from laser_core.crm.layers import MLP, Embeddings, recency
from laser_core.recommender import check_options


@dataclass(frozen=True)
class CaserOptions(CRMOptions):
    """Caser's settings."""

    heights: int = 4
    """horizontal filters see 1 up to so many events"""
    horizontal: int = 16
    """filters of each height"""
    vertical: int = 4
    """vertical filters"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, positive=("heights", "horizontal", "vertical"))


class HorizontalFilters(nn.Module):
    """Filters of one height, the strongest answer over all windows that end at a real event; zero for an empty history."""

    def __init__(self, size: int, filters: int, height: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(size, filters, height, padding=height - 1)

    def forward(self, history: Tensor, real: Tensor) -> Tensor:
        """(batch, filters), from (batch, history, embedding) and (batch, history)."""
        answers = self.convolve(history.transpose(1, 2))[:, :, : real.shape[1]]  # (batch, filters, history): by the window's last event
        return (torch.relu(answers) * real[:, None]).amax(dim=2)


class CaserModel(nn.Module):
    """Horizontal and vertical convolutions over the history, then an MLP."""

    def __init__(self, sizes: Sizes, options: CaserOptions) -> None:
        super().__init__()
        size = options.embedding_size
        self.embeddings = Embeddings(sizes, size, options.embedding_scale)
        self.horizontal = nn.ModuleList(HorizontalFilters(size, options.horizontal, height + 1) for height in range(options.heights))
        self.vertical = nn.Parameter(torch.randn(sizes.history, options.vertical) / sizes.history)  # row 0: the most recent event
        width = concatenated(sizes, options, extra=options.vertical) + options.heights * options.horizontal
        self.deep = MLP(width, options.hidden, options.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(batch,) logits."""
        history = self.embeddings.history(batch) * batch.real[..., None]  # (batch, history, embedding)
        weights = self.vertical[recency(batch)]  # (batch, history, vertical)
        parts = [
            self.embeddings.fields(batch).flatten(1),
            *(filters(history, batch.real) for filters in self.horizontal),
            (weights.transpose(1, 2) @ history).flatten(1),  # (batch, vertical * embedding)
            batch.dense,
        ]
        return self.deep(torch.cat(parts, dim=1)).squeeze(1)


class Caser(CRM):
    """Caser as a recommender."""

    Options = CaserOptions
    Model = CaserModel
    piece = 256
