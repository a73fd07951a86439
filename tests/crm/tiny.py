"""Conventional models of tiny sizes in double precision, and a batch for them."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from laser_core import systems
from laser_core.crm.inputs import Batch, Sizes

NARROW = {"din": {"attention": (3,)}, "sim": {"attention": (3,)}, "caser": {"horizontal": 2}}


@cache
def tiny(name: str):
    """A double-precision module of tiny sizes, and a batch for it with histories of 4, 0, 1 and 3 events."""
    torch.manual_seed(0)
    recommender = systems.create(name, embedding_size=4, hidden=(5,), dropout=0.0, **NARROW.get(name, {}))
    module = type(recommender).Model(Sizes(fields=3, values=20, ratings=6, dense=2, history=4), recommender.options).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():  # every parameter matters: none stays at a zero start
            parameter.copy_(0.5 * torch.randn(parameter.shape))
    length = torch.tensor([4, 0, 1, 3])
    real = torch.arange(4) < length[:, None]
    batch = Batch(
        fields=torch.randint(0, 20, (4, 3)),
        history=torch.randint(0, 20, (4, 4)) * real,
        rating=torch.randint(1, 6, (4, 4)) * real,
        real=real,
        length=length,
        dense=torch.randn(4, 2, dtype=torch.double),
    )
    return module, batch


def padded(batch: Batch, places: int) -> Batch:
    """The same samples with more padding; what stands in the padding is noise that nobody may read."""
    more = (len(batch.real), places)
    return dataclasses.replace(
        batch,
        history=torch.cat([batch.history, torch.full(more, 7)], 1),
        rating=torch.cat([batch.rating, torch.full(more, 3)], 1),
        real=torch.cat([batch.real, torch.zeros(more, dtype=torch.bool)], 1),
    )


def one(batch: Batch, sample: int) -> Batch:
    """One sample, without padding."""
    width = max(1, int(batch.length[sample]))
    cut = {name: value[sample : sample + 1] for name, value in batch.__dict__.items()}
    return Batch(**cut | {name: cut[name][:, :width] for name in ("history", "rating", "real")})
