"""Text from data sets, files and addresses, made safe for the place where it is shown."""

from __future__ import annotations

import html
import re

import pandas as pd

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>&@^=])")
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def tidy(text: object, longest: int = 0) -> str:
    """One line without control characters and direction overrides, cut at `longest` characters."""
    words = " ".join(_CONTROLS.sub("", str(text)).split())
    return words if not longest or len(words) <= longest else words[: longest - 1].rstrip() + "…"


def visible(text: str) -> str:
    """Text with its line ends, where control characters and direction overrides are shown as what they are."""
    return _CONTROLS.sub(lambda found: f"[U+{ord(found[0]):04X}]", text.replace("\n", "↵\n"))


def markdown(text: object, longest: int = 0) -> str:
    """Any text as text in Markdown: no markup, no HTML, no TeX, no emoji codes."""
    return _MARKDOWN.sub(r"\\\1", tidy(text, longest))


def in_html(text: object, longest: int = 0) -> str:
    """Any text as text in HTML."""
    return html.escape(tidy(text, longest))


def csv(table: pd.DataFrame) -> bytes:
    """A table as CSV that a spreadsheet opens without running anything: text that looks like a formula gets an apostrophe in front."""

    def guard(value: object) -> object:
        if not isinstance(value, str):
            return value
        value = tidy(value)
        return f"'{value}" if value.startswith(_FORMULA) else value

    safe = table.map(guard)
    safe.columns = [guard(str(column)) for column in safe.columns]
    return safe.to_csv(index=False).encode("utf-8-sig")
