"""Several processes that tune one model together, as `accelerate launch` starts them; alone, nothing here does anything.

    accelerate launch --config_file laser_core/lm/accelerate/ddp.yaml -m laser_core train laser-llm ml-1m --shots 65536 --out models/llm

Every process runs the same code on the same samples. The passes through the model are dealt out, and what comes of them, gradients or
answers, is put together again: so the same passes are made as by one process, and the result is the same but for the order of sums. Where
the settings file says FSDP, every process holds only its part of each weight, and gathers a block's weights while it needs them.
"""

from __future__ import annotations

import atexit
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes that work together."""

    rank: int = 0
    """which of them this one is"""
    size: int = 1
    """how many there are"""
    sharded: bool = False
    """each holds a part of the model (FSDP), not the whole"""

    def share(self, work: Sequence[T]) -> list[tuple[T, bool]]:
        """This process's part of some work, as many pieces as everybody has, and whether a piece counts or only fills up.

        Everybody must pass through a sharded model equally often, since its weights are gathered on the way.
        """
        rounds = -(-len(work) // self.size)
        mine = range(self.rank, rounds * self.size, self.size)
        return [(work[min(number, len(work) - 1)], number < len(work)) for number in mine]

    def total(self, *values: float, device: torch.device) -> list[float]:
        """Each value summed over all processes."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(summed)
        return summed.tolist()

    def add_gradients(self, weights: Sequence[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in place; FSDP has done so by itself."""
        if self.size == 1 or self.sharded:
            return
        flat = torch.cat([weight.grad.flatten() for weight in weights])
        dist.all_reduce(flat)
        for weight, part in zip(weights, flat.split([weight.numel() for weight in weights]), strict=True):
            weight.grad.copy_(part.view_as(weight))

    def gathered(self, found: dict[int, Any]) -> dict[int, Any]:
        """What every process found, for all."""
        if self.size == 1:
            return found
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, found)
        return dict(itertools.chain.from_iterable(part.items() for part in parts))

    def from_first(self, get: Callable[[], T]) -> T:
        """What the first process gets, for all."""
        if self.size == 1:
            return get()
        box = [get() if self.rank == 0 else None]
        dist.broadcast_object_list(box)
        return box[0]

    def shard(self, model: nn.Module, blocks: Sequence[nn.Module]) -> None:
        """Where FSDP is wanted: leave each process its part of the weights, in place; gradients are summed, as elsewhere."""
        from torch.distributed.fsdp import FSDPModule, fully_shard

        if not self.sharded or isinstance(model, FSDPModule):
            return
        for part in (*blocks, model):
            unit = fully_shard(part)
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)


@cache
def team() -> Team:
    """The processes that `accelerate launch` or `torchrun` started; one alone otherwise. Connects them when it is first called."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Team()
    from accelerate import PartialState

    from laser_core.device import torch_device

    state = PartialState(cpu=torch_device().type == "cpu")  # on GPUs: each process takes its own
    atexit.register(state.destroy_process_group)
    return Team(state.process_index, state.num_processes, os.environ.get("ACCELERATE_USE_FSDP") == "true")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A weight or gradient as one plain tensor, gathered if it is spread over processes (all must ask)."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def fill(weight: torch.Tensor, value: torch.Tensor) -> None:
    """Set a weight, spread over processes or not, to a plain tensor that all have."""
    if hasattr(weight, "full_tensor") and not hasattr(value, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
    weight.copy_(value)
