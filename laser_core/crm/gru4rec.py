"""GRU4Rec (B. Hidasi, A. Karatzoglou, L. Baltrunas, D. Tikk, 2016, "Session-based Recommendations with Recurrent Neural Networks", ICLR,
arXiv 1511.06939), as a model of clicks.

    s_k = GRU(s_{k-1}, h_k)                        over the history in time order
    logit = MLP([fields; s_last; dense])           s_last: the state after the last REAL event
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laser_core.crm.base import CRM, CRMOptions, concatenated
from laser_core.crm.inputs import Batch, Sizes
from laser_core.crm.layers import MLP, Embeddings, last_real


class GRU4RecModel(nn.Module):
    """A GRU over the history, then an MLP."""

    def __init__(self, sizes: Sizes, options: CRMOptions) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes, options.embedding_size, options.embedding_scale)
        self.gru = nn.GRU(options.embedding_size, options.embedding_size, batch_first=True)
        self.deep = MLP(concatenated(sizes, options, extra=1), options.hidden, options.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(batch,) logits."""
        states, _ = self.gru(self.embeddings.history(batch))  # (batch, history, embedding); padding comes last and is not read
        fields = self.embeddings.fields(batch).flatten(1)  # (batch, fields * embedding)
        return self.deep(torch.cat([fields, last_real(states, batch.length), batch.dense], dim=1)).squeeze(1)


class GRU4Rec(CRM):
    """GRU4Rec as a recommender."""

    Model = GRU4RecModel
