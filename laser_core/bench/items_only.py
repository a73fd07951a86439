"""DIN without the history's ratings: the function that toolkits call DIN, from the kit's own layers."""

from __future__ import annotations

from torch import Tensor

from laser_core.crm.din import DIN, DINModel, DINOptions
from laser_core.crm.inputs import Batch, Sizes
from laser_core.crm.layers import Embeddings


class ItemEmbeddings(Embeddings):
    """A history token is the item's embedding and nothing else."""

    def __init__(self, sizes: Sizes, size: int, scale: float) -> None:
        super().__init__(sizes, size, scale, tokens=False)
        del self.ratings

    def history(self, batch: Batch) -> Tensor:
        """(batch, history, embedding)"""
        return self.values(batch.history)


class ItemsOnlyDINModel(DINModel):
    """Target attention over item embeddings."""

    def __init__(self, sizes: Sizes, options: DINOptions) -> None:
        super().__init__(sizes, options)
        self.embeddings = ItemEmbeddings(sizes, options.embedding_size, options.embedding_scale)


class ItemsOnlyDIN(DIN):
    """DIN without ratings, to be timed and for nothing else."""

    Model = ItemsOnlyDINModel
