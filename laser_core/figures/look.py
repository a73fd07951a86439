"""One look a system: colour, marker and line, the same in every figure.

The colours keep a contrast of at least 3 : 1 on white and on the dark theme alike and stay apart under protanopia and deuteranopia; markers
repeat what colour says. Results of other options than a system's own keep its colour and get open markers and broken lines.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from laser_core.systems import SYSTEMS

INK = "#7C8594"  # neutral lines and words: readable on both themes
POSITIVE, NEGATIVE = "#0BA49F", "#A8404F"


@dataclass(frozen=True)
class Style:
    """How a system looks in every figure."""

    colour: str
    symbol: str
    dash: str = "solid"
    width: float = 2.0


_DASH = {"reference": "dot", "crm": "solid", "plm": "dash", "llm": "solid", "llm+crm": "solid"}
_WIDTH = {"llm": 3.5, "llm+crm": 3.5}
_VARIANT_DASHES = ("4px,2px", "8px,3px", "8px,3px,2px,3px")
LOOK = {
    "popularity": ("#5E6B7A", "square-x"),
    "history-lr": ("#7F7F7F", "circle"),
    "stats-lr": ("#A8404F", "square"),
    "lightgbm": ("#0072B2", "triangle-up"),
    "deepfm": ("#5D91FA", "diamond"),
    "din": ("#0BA49F", "pentagon"),
    "laser-llm": ("#D55E00", "star"),
    "laser-llm-many": ("#C1158F", "star-diamond"),
    "laser-llm-retrieval": ("#B4531A", "star-triangle-up"),
    "laser-llm-short": ("#B4447F", "star-triangle-down"),
    "laser-llm-counted": ("#D8405A", "triangle-ne"),
    "laser-crm": ("#2F4DFF", "hexagram"),
    "sim": ("#019C5C", "hexagon"),
    "autoint": ("#2091C3", "triangle-down"),
    "dcnv2": ("#157066", "cross"),
    "gru4rec": ("#F45C79", "x"),
    "caser": ("#245CD0", "triangle-left"),
    "sasrec": ("#8A6D00", "triangle-right"),
    "ctr-bert": ("#8D5BD6", "bowtie"),
    "ptab": ("#76823A", "hourglass"),
    "p5": ("#B04FC4", "star-square"),
    "p5-scratch": ("#B8762B", "octagon"),
    "ease-lr": ("#9A6A3A", "circle-cross"),
    "ease-lightgbm": ("#4F8790", "circle-x"),
    "words-crm": ("#6F74C9", "diamond-wide"),
    "fields-crm": ("#B0588A", "diamond-tall"),
}
SPARE = [
    (colour, symbol)
    for symbol in ("circle-open", "square-open", "diamond-open", "cross-open", "pentagon-open", "hexagon-open", "star-open", "hash-open")
    for colour in ("#9A6A3A", "#5B7F2B", "#4F8790", "#B0588A", "#6F74C9")
]
"""for systems that are registered without a look of their own here, and for unknown ones"""


def style(system: str, variant: str = "") -> Style:
    """The look of a system: its own above, else a spare one fixed by its place among the registered, else by its name.

    Args:
        variant: What its options change, or any other words after its label: the look is then that of a variant.
    """
    family = SYSTEMS[system].family if system in SYSTEMS else ""
    if system in LOOK:
        colour, symbol = LOOK[system]
    else:
        others = [name for name in SYSTEMS if name not in LOOK]
        place = others.index(system) if system in others else hashlib.sha256(system.encode()).digest()[0]
        colour, symbol = SPARE[place % len(SPARE)]
    if variant:
        symbol = f"{symbol}-dot" if symbol.endswith("-open") else f"{symbol}-open"
        place = hashlib.sha256(_in_words(variant).encode()).digest()[0]
        return Style(colour, symbol, _VARIANT_DASHES[place % len(_VARIANT_DASHES)], 1.5)
    return Style(colour, symbol, _DASH.get(family, "solid"), _WIDTH.get(family, 2.0))


def style_by_name(system: str, name: str) -> Style:
    """The look of a series that is known by its name in words, as `system_label` gives it."""
    return style(system, name.removeprefix(system_label(system)).removeprefix(" (").removesuffix(")"))


_OPTION = re.compile(r'(?:^|(?<=, ))(\w+)=("[^"]*"|\[[^\]]*\]|[^\s,]+)(?=, |$)')


def _in_words(variant: str) -> str:
    """Options as people say them: `statistics=false, nearby=0.1` is "no statistics, nearby 0.1"."""

    def words(option: re.Match[str]) -> str:
        key, value = option[1].replace("_", " "), option[2].strip('"')
        return {"true": key, "false": f"no {key}", "0.0": f"no {key}"}.get(value, f"{key} {value}")

    return _OPTION.sub(words, variant)


def system_label(system: str, variant: str = "") -> str:
    """A system as figures, tables and lists call it, its options in words: "DIN", "DIN (no statistics)"."""
    label = SYSTEMS[system].label if system in SYSTEMS else system
    return f"{label} ({_in_words(variant)})" if variant else label
