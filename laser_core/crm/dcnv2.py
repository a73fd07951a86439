"""DCN V2, parallel (R. Wang et al., 2021, "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank
Systems", WWW, arXiv 2008.13535).

    x_{l+1} = x_0 * (W_l x_l + b_l) + x_l         full matrices
    logit = <w, x_L> + MLP(x_0)                   (one linear layer on the two outputs side by side)

x_0 is the concatenation of the sample's fields, the masked means of the history's item and rating embeddings, and the dense numbers.
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
class DCNv2Options(CRMOptions):
    """DCNv2's settings."""

    layers: int = 2
    """cross layers"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, positive=("layers",))


class CrossNetwork(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l."""

    def __init__(self, size: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(layers))

    def forward(self, x0: Tensor) -> Tensor:
        """(batch, size) -> the same shape."""
        x = x0
        for layer in self.layers:
            x = torch.addcmul(x, x0, layer(x))
        return x


class DCNv2Model(nn.Module):
    """A cross network beside an MLP."""

    def __init__(self, sizes: Sizes, options: DCNv2Options) -> None:
        super().__init__()
        width = concatenated(sizes, options, extra=2)
        self.embeddings = Embeddings(sizes, options.embedding_size, options.embedding_scale, tokens=False)
        self.cross = CrossNetwork(width, options.layers)
        self.out = nn.Linear(width, 1)
        self.deep = MLP(width, options.hidden, options.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(batch,) logits."""
        vectors = torch.cat([self.embeddings.fields(batch), self.embeddings.mean_history(batch)], dim=1)  # (batch, fields + 2, embedding)
        x0 = torch.cat([vectors.flatten(1), batch.dense], dim=1)  # (batch, width)
        return (self.out(self.cross(x0)) + self.deep(x0)).squeeze(1)


class DCNv2(CRM):
    """DCNv2 as a recommender."""

    Options = DCNv2Options
    Model = DCNv2Model
