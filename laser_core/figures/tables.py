"""Bars, the course of a fit, a map of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd
import plotly.graph_objects as go

from laser_core.figures.frame import finish
from laser_core.figures.look import INK
from laser_core.figures.words import plain


def bars(labels: Iterable[str], values: Iterable[float], axis: str, value_axis: str, note: str = "", percent: bool = False) -> go.Figure:
    """Plain bars, such as the shares of ratings of a data set."""
    values, form = list(values), ".0%" if percent else ",.10~g"
    figure = go.Figure(go.Bar(x=[plain(label) for label in labels], y=values, marker={"color": "#5D91FA"}, name=value_axis))
    figure.update_traces(texttemplate=f"%{{y:{form}}}", textposition="outside", cliponaxis=False)
    figure.update_xaxes(title=axis, type="category")
    figure.update_yaxes(title=value_axis, tickformat=".0%" if percent else ",")
    return finish(figure, note, 320)


def fit_curve(curve: list[Mapping[str, float]], note: str = "", title: str = "") -> go.Figure:
    """What a fit reported as it went: one line for each quantity with "loss" in its name."""
    figure = go.Figure()
    table = pd.DataFrame(curve)
    colours = ("#0072B2", "#D55E00", "#0BA49F", "#C1158F")
    for place, name in enumerate(column for column in table.columns if "loss" in column):
        colour = colours[place % len(colours)]
        figure.add_scatter(
            x=table.index + 1, y=table[name], mode="lines+markers", name=plain(name.replace("_", " ")), line={"color": colour, "width": 2}
        )
    figure.update_xaxes(title="check (epoch, round or step)")
    figure.update_yaxes(title="loss")
    return finish(figure, note, 320, title)


def text_map(table: pd.DataFrame, note: str = "", title: str = "") -> go.Figure:
    """Vectors of texts as points of a plane, one colour and marker a group; "other" in grey and behind.

    Args:
        table: One row a text with `x`, `y`, `title` and `group` (up to seven besides "other").
    """
    figure = go.Figure()
    colours = ("#0072B2", "#D55E00", "#0BA49F", "#C1158F", "#8A6D00", "#2F4DFF", "#A8404F")
    symbols = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")
    looks = list(zip(colours, symbols, strict=True))
    groups = sorted(table["group"].unique(), key=lambda group: (group != "other", str(group)))
    for group in groups:
        rows = table[table["group"] == group]
        colour, symbol = (INK, "circle-open") if group == "other" else looks.pop(0)
        figure.add_scattergl(
            x=rows["x"].round(4),
            y=rows["y"].round(4),
            mode="markers",
            name=plain(group),
            marker={"color": colour, "symbol": symbol, "size": 7, "opacity": 0.45 if group == "other" else 0.85},
            text=[plain(words) for words in rows["title"]],
            hovertemplate="%{text}<extra>" + plain(group) + "</extra>",
        )
    figure.update_xaxes(title="first axis", showticklabels=False)
    figure.update_yaxes(title="second axis", showticklabels=False)
    return finish(figure, note, 520, title)
