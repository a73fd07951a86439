"""The words in figures: names, numbers, and the scale line that says of what a figure is."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from laser_core.figures.look import system_label

SHOTS_NOTE = (
    "N counts labelled samples. Histories may show earlier ratings of the same user to every system alike; prompts that ask about them too "
    "learn from more labels than N (labels seen)."
)
LONGEST = 300  # characters of a system's label that tell it from others
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: object, longest: int = 60) -> str:
    """Any text as text in a figure: no HTML, no TeX, no direction override, at most `longest` characters."""
    words = " ".join(_CONTROLS.sub("", str(text)).split())
    if len(words) > longest:
        words = words[: longest - 1].rstrip() + "…"
    return html.escape(words, quote=False).replace("$", "&#36;")


def in_lines(name: str, width: int = 36) -> str:
    """A system's whole label for a legend or an axis, in lines instead of cut.

    What is cut looks alike, and what looks alike on an axis is one place.
    """
    return "<br>".join(plain(line) for line in wrap(name, width))


@dataclass(frozen=True)
class Metric:
    """A quality measure as people meet it."""

    name: str
    label: str
    better: int
    """+1 where higher is better, -1 where lower is"""
    help: str
    stored: bool = True
    """False: not part of a result, but worked out from its predictions where it is asked for"""

    def best_first(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that has this measure as a column, the best one on top."""
        return table.sort_values(self.name, ascending=self.better < 0)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "auc", "AUC", 1, "Share of (positive, negative) pairs that the system ranks the right way round. .5 is chance, 1 is perfect."
        ),
        Metric(
            "log_loss",
            "log loss",
            -1,
            "Mean of -log(probability given to what happened), in nats. Punishes confident errors; lower is better.",
        ),
        Metric(
            "gauc",
            "GAUC",
            1,
            "AUC within users: of the pairs whose two samples are of the same user. Telling who likes much is worth nothing here, telling "
            "what a user likes more is. .5 is chance.",
            stored=False,
        ),
        Metric("accuracy", "accuracy", 1, "Share of test samples on the right side of probability .5."),
        Metric(
            "ece",
            "calibration error",
            -1,
            "Expected calibration error: how far stated probabilities lie from observed shares, over bins. Lower is better. Luck in the "
            "bins adds to it: with 2,000 test rows even true probabilities have about .03, so it compares on equally many rows only.",
        ),
    )
}


def number(value: float, digits: int = 4) -> str:
    """.7432 as the papers print it; an em dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "—"
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def count(value: float) -> str:
    """1,024; an em dash where there is no number."""
    return "—" if value is None or not math.isfinite(value) else f"{int(value):,}"


def _span(values: Iterable[float]) -> str:
    """ "3" or "3-5"."""
    known = sorted({int(value) for value in values if pd.notna(value)})
    return "?" if not known else count(known[0]) if known[0] == known[-1] else f"{count(known[0])}-{count(known[-1])}"


def scale_note(summary: pd.DataFrame, titles: Mapping[str, str] | None = None, intervals: bool = True) -> str:
    """Data set, seeds and test rows of the results in a table, in one line.

    Args:
        summary: Rows with `dataset`, `seeds`, `test_rows`.
        titles: Names of data sets as people say them.
        intervals: Whether the figure draws any.
    """
    if summary.empty:
        return ""
    names = ", ".join(plain((titles or {}).get(name, name)) for name in summary["dataset"].unique())
    seeds = _span(summary["seeds"])
    sizes = summary.groupby("test_rows")["system"].unique()
    if len(sizes) == 1:
        test = f"{count(sizes.index[0])} test rows"
    else:
        most = sizes.index.max()
        few = [f"{count(rows)} for {', '.join(map(plain, map(system_label, systems)))}" for rows, systems in sizes.items() if rows != most]
        test = f"{count(most)} test rows ({'; '.join(few)})"
    return f"{names} · {seeds} seed{'' if seeds == '1' else 's'} · {test}" + " · 95 % intervals over seeds and test users" * intervals


def wrap(text: str, width: int) -> list[str]:
    """Whole words in lines of about equal length, at most `width` characters unless a word is longer."""
    lines: list[str] = []
    width = min(width, -(-len(text) // max(-(-len(text) // width), 1)) + 6)
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
