"""`Progress`: how anything long tells whoever called it where it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as `progress("epoch 2, valid log loss .571", done, total)` while something long is under way; total 0: not known."""


def no_progress(message: str, done: int, total: int) -> None:
    """The silent `Progress`."""


def in_words(message: str, done: int, total: int) -> str:
    """One report as a text, "epoch 2, valid log loss .571 40%", such as a longer work puts into its own."""
    return f"{message} {done / total:.0%}" if total else message
