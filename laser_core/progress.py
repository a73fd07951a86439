"""`Progress`: how anything long tells whoever called it where it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as `progress("epoch 2, valid log loss .571", done, total)` while something long is under way; total 0: not known."""
FINE = 1000  # steps of a unit: one of few long parts is seen to move too


def no_progress(message: str, done: int, total: int) -> None:
    """The silent `Progress`."""


def part_of(progress: Progress, begin: int, size: int, whole: int, name: str = "") -> Progress:
    """The `Progress` of one part of some work: `size` of `whole`, after the first `begin`. A part with a name tells its own share too."""

    def report(message: str, done: int, total: int) -> None:
        share = done / total if total else 0.0
        progress(f"{name}: {message} {share:.0%}" if name else message, round(FINE * (begin + size * share)), FINE * whole)

    return report
