"""Where memory gives out: half as many texts a pass are tried, once, and a warning says so."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from laser_core.errors import FaultError

log = logging.getLogger("laser")
T = TypeVar("T")


def halving(work: Callable[[int], T], size: int, whole: int | None = None) -> tuple[T, int]:
    """What some work gives with passes of `size` texts, and the size that memory sufficed for: that one, or half of it.

    Args:
        whole: The size of before any halving, where the work is one of several that go on with the size of the last; None: `size`.

    Raises:
        RuntimeError: Memory does not suffice for half the size either, or for a size that was halved before.
    """
    try:
        return work(size), size
    except RuntimeError as error:
        if not out_of_memory(error) or size == 1 or size < (whole or size):
            raise
    log.warning("out of memory: passes of %d texts instead of %d", size // 2, size)
    return work(size // 2), size // 2


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory does not suffice, on a GPU or not."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextlib.contextmanager
def within_memory(remedy: str) -> Iterator[None]:
    """Say it in one line where memory does not suffice.

    Args:
        remedy: What may help.

    Raises:
        FaultError: It does not.
    """
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise FaultError(f"out of memory: {remedy}") from None
