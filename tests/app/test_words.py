"""Hostile text stays text: in Markdown, in HTML, in figures and in spreadsheets."""

from __future__ import annotations

import csv
import html
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

HOSTILE = [
    "<script>alert(1)</script>",
    "**bold** _it_ `code` [x](javascript:alert(1))",
    "$\\frac{1}{2}$ costs $5",
    ":smile: :red[x]",
    "# head\n- list",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "-2+3",
    "\u202egnp.exe",
    "a\x00b\x1b[31m",
    "![i](http://x/y.png)",
    "http://example.org",
    "&lt;b&gt;",
]


def rendered(source: str) -> tuple[str, set[str]]:
    """Text and tags of Markdown, by an independent CommonMark implementation."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable(["strikethrough", "table"]).parse(source)
    parts, kinds = [], set()
    for token in tokens:
        kinds.add(token.type)
        for child in token.children or []:
            kinds.add(child.type)
            parts.append(child.content)
    return "".join(parts), kinds - {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60)))
def test_markdown_keeps_text_as_text(text):
    import words

    shown, markup = rendered(words.markdown(text))
    assert shown == words.tidy(text)
    assert not markup


@pytest.mark.parametrize("text", HOSTILE)
def test_streamlits_own_marks_are_escaped(text):
    """TeX and colour or emoji codes are Streamlit's addition to CommonMark: no bare `$` or `:` may be left."""
    import words

    safe = words.markdown(text)
    assert all(safe[place - 1] == "\\" for place, letter in enumerate(safe) if letter in "$:")


@given(st.text(max_size=60))
def test_html_keeps_text_as_text(text):
    import words

    safe = words.in_html(text)
    assert "<" not in safe and '"' not in safe
    assert html.unescape(safe) == words.tidy(text)


@given(st.text())
def test_no_control_or_direction_characters(text):
    import words

    assert not set(words.tidy(text)) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\x00\x1b\n\r\t")


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30)), min_size=1, max_size=5))
def test_csv_opens_safely_and_loses_nothing(values):
    import words

    content = words.csv(pd.DataFrame({"title": values, "=number": [-1.5] * len(values)})).decode("utf-8-sig")
    head, *rows = list(csv.reader(io.StringIO(content, newline="")))
    assert head == ["title", "'=number"]
    for value, (title, number) in zip(values, rows, strict=True):
        assert not title.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert title in (words.tidy(value), f"'{words.tidy(value)}")
        assert float(number) == -1.5, "numbers stay numbers"
