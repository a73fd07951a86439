"""Layers that the conventional models share. Shapes are written as `(batch, history, embedding)`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from laser_core.crm.inputs import Batch, Sizes
from laser_core.errors import UserError


class Table(nn.Module):
    """An embedding table whose row 0 (absent, never seen) starts at zero, the mean that other rows are drawn around.

    `index_select` has half the backward cost of `nn.Embedding` on a CPU.
    """

    def __init__(self, rows: int, size: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(rows, size))
        with torch.no_grad():
            self.weight[0] = 0

    def forward(self, places: Tensor) -> Tensor:
        """(*places, embedding) the rows at `places`."""
        return self.weight.index_select(0, places.reshape(-1)).view(*places.shape, self.weight.shape[1])


class Embeddings(nn.Module):
    """One table for the values of all fields, one for ratings, and (`tokens=True`) the history token W[item; rating].

    `adapter`, if set, maps a batch's outside vectors (batch, vectors, size) to (batch, vectors, embedding): more fields of the sample.
    """

    def __init__(self, sizes: Sizes, size: int, scale: float, tokens: bool = True) -> None:
        super().__init__()
        self.adapter: nn.Module | None = None
        self.values = Table(sizes.values, size, scale)
        self.ratings = Table(sizes.ratings, size, scale)
        if tokens:
            self.of_item = nn.Linear(size, size)
            self.of_rating = nn.Linear(size, size, bias=False)

    def fields(self, batch: Batch) -> Tensor:
        """(batch, fields, embedding) of the sample's fields; field 0 is the target item, adapted vectors come last."""
        values = self.values(batch.fields)
        return values if self.adapter is None else torch.cat([values, self.adapter(batch.vectors)], dim=1)

    def tokens(self, batch: Batch) -> Tensor:
        """(events, embedding) history tokens of all real events of the batch, sample after sample."""
        ratings = self.of_rating(self.ratings.weight)  # of each rating code: far fewer than events
        return self.of_item(self.values(batch.history[batch.real])) + ratings.index_select(0, batch.rating[batch.real])

    def history(self, batch: Batch) -> Tensor:
        """(batch, history, embedding) history tokens, zero at padding."""
        tokens = self.tokens(batch)
        return tokens.new_zeros(*batch.real.shape, tokens.shape[1]).masked_scatter(batch.real[..., None], tokens)

    def mean_history(self, batch: Batch) -> Tensor:
        """(batch, 2, embedding) masked means of the history's item and rating embeddings, zero for an empty history."""
        weight = batch.real.to(self.values.weight.dtype) / batch.length.clamp(min=1)[:, None]  # (batch, history)
        items = torch.einsum("bh,bhe->be", weight, self.values(batch.history))
        shares = weight.new_zeros(len(weight), len(self.ratings.weight)).scatter_add_(1, batch.rating.long(), weight)  # (batch, ratings)
        return torch.stack([items, shares @ self.ratings.weight], dim=1)


class MLP(nn.Sequential):
    """Linear, ReLU and dropout for each width, then a last linear layer to `out` numbers."""

    def __init__(self, size: int, widths: Sequence[int], dropout: float, out: int = 1) -> None:
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(dropout)]
            size = width
        super().__init__(*layers, nn.Linear(size, out))


def last_real(states: Tensor, length: Tensor) -> Tensor:
    """(batch, embedding) the state at each sample's last real event, zero for an empty history; states (batch, history, embedding)."""
    last = states[torch.arange(len(states), device=states.device), (length - 1).clamp(min=0)]
    return last * (length > 0)[:, None]


def recency(batch: Batch) -> Tensor:
    """(batch, history) how many real events come after each place, 0 for the last one and for padding."""
    places = torch.arange(batch.real.shape[1], device=batch.real.device)
    return (batch.length[:, None] - 1 - places).clamp(min=0)


def check_heads(size: int, heads: int) -> None:
    """Attention heads share the embedding evenly.

    Raises:
        UserError: They cannot.
    """
    if heads < 1 or size % heads:
        raise UserError(f"option 'heads' is {heads}: it must divide 'embedding_size' ({size})")
