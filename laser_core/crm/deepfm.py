"""DeepFM (H. Guo, R. Tang, Y. Ye, Z. Li, X. He, 2017, "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction",
IJCAI, arXiv 1703.04247).

    logit = <w, x> + sum_{i<j} <v_i, v_j> + MLP([v_1; ...; v_m; dense])

The vectors are those of the sample's own fields, x, and two more, the masked means of the history's item embeddings and rating
embeddings, which have no first-order weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from laser_core.crm.base import CRM, CRMOptions, concatenated
from laser_core.crm.inputs import Batch, Sizes
from laser_core.crm.layers import MLP, Embeddings, Table


class PairwiseProducts(torch.autograd.Function):
    """sum_{i<j} <v_i, v_j> = (|sum v|^2 - sum |v|^2) / 2. Its derivative by v_i is the sum of the other v: one pass over the vectors."""

    @staticmethod
    def forward(ctx: FunctionCtx, vectors: Tensor) -> Tensor:
        """(batch, fields, embedding) -> (batch,)"""
        total = vectors.sum(1)  # (batch, embedding)
        ctx.save_for_backward(vectors, total)
        return 0.5 * (total.square().sum(1) - vectors.square().sum((1, 2)))

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        """(batch,) -> (batch, fields, embedding)"""
        vectors, total = ctx.saved_tensors
        return (total[:, None] - vectors) * gradient[:, None, None]


def pairwise_products(vectors: Tensor) -> Tensor:
    """(batch, fields, embedding) -> (batch,): the sum of <v_i, v_j> over all pairs i < j."""
    return PairwiseProducts.apply(vectors)


class DeepFMModel(nn.Module):
    """First order, second order and a deep part over one table of embeddings."""

    def __init__(self, sizes: Sizes, options: CRMOptions) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes, options.embedding_size, options.embedding_scale, tokens=False)
        self.first_order = Table(sizes.values, 1, scale=0.0)
        self.deep = MLP(concatenated(sizes, options, extra=2), options.hidden, options.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(batch,) logits."""
        vectors = torch.cat([self.embeddings.fields(batch), self.embeddings.mean_history(batch)], dim=1)  # (batch, fields + 2, embedding)
        first = self.first_order(batch.fields).sum((1, 2))  # (batch,)
        deep = self.deep(torch.cat([vectors.flatten(1), batch.dense], dim=1)).squeeze(1)  # (batch,)
        return first + pairwise_products(vectors) + deep


class DeepFM(CRM):
    """DeepFM as a recommender."""

    Model = DeepFMModel
