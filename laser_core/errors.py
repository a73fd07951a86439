"""The few kinds of error. A message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LaserError(Exception):
    """Base of all errors this package raises on purpose. `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(LaserError):
    """The request itself is wrong (unknown name, bad file, impossible setting): exit code 2."""

    exit_code = 2


class DataError(UserError):
    """A raw file is missing, damaged or not of the expected form."""


class FaultError(LaserError):
    """The request was fine, the machine could not do it (no network, no disk, no weights): exit code 1."""


class MissingError(FaultError):
    """Weights, a package or a GPU that a system needs are not to be had here: whatever else needs them would fail alike."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An error for a name that does not exist, with the nearest known name."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return UserError(f"unknown {kind} '{name}': {hint}")
