"""One user: candidates, history, and what each rating does to an answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from laser_core.figures.frame import fade, finish
from laser_core.figures.look import INK, NEGATIVE, POSITIVE, style_by_name
from laser_core.figures.words import in_lines, plain


def candidates(table: pd.DataFrame, note: str = "", title: str = "") -> go.Figure:
    """One user's test items: each system's probability of a positive label, beside the truth.

    Args:
        table: One row a (candidate, series) with `candidate` (unique words), `label` (0 or 1), `system`, `name`, `probability`; candidates
            in the order to show them, from the top.
    """
    figure = go.Figure()
    order = list(dict.fromkeys(table["candidate"]))
    labels = table.drop_duplicates("candidate").set_index("candidate")["label"]
    for place, candidate in enumerate(order):
        tint = POSITIVE if labels[candidate] else NEGATIVE
        figure.add_shape(
            type="rect",
            xref="paper",
            x0=0,
            x1=1,
            y0=place - 0.5,
            y1=place + 0.5,
            line={"width": 0},
            fillcolor=fade(tint, 0.10),
            layer="below",
        )
    for name, rows in table.groupby("name", sort=False):
        look, whole = style_by_name(rows["system"].iloc[0], name), in_lines(name, 60)
        figure.add_scatter(
            x=rows["probability"],
            y=[order.index(candidate) for candidate in rows["candidate"]],
            mode="markers",
            name=in_lines(name),
            marker={"symbol": look.symbol, "size": 12, "color": look.colour, "line": {"width": 0.5, "color": "rgba(255,255,255,.6)"}},
            customdata=[plain(candidate, 90) for candidate in rows["candidate"]],
            hovertemplate=f"<b>%{{customdata}}</b><br>{whole}: %{{x:.3f}}<extra></extra>",
        )
    short = [candidate if len(candidate) <= 46 else f"{candidate[:45].rstrip()}…" for candidate in order]
    words = [f"{in_lines(text, 26)}  {'●' if labels[candidate] else '○'}" for candidate, text in zip(order, short, strict=True)]
    figure.add_vline(x=0.5, line={"dash": "dot", "width": 1, "color": INK})
    figure.update_xaxes(title="probability of a positive label", range=[-0.02, 1.02], tickformat=".1f")
    figure.update_yaxes(tickvals=list(range(len(order))), ticktext=words, range=[len(order) - 0.5, -0.5], showgrid=False)
    figure.update_yaxes(tickfont={"size": 12})
    return finish(figure, note, 190 + 34 * max(len(order), 3), title, width=40)


def history(table: pd.DataFrame, note: str = "", title: str = "") -> go.Figure:
    """A user's ratings in time order, positives and negatives apart in colour and marker.

    Args:
        table: One row an event with `title`, `rating`, `label`, and `time` (NaT where the data set knows none: there is no order then),
            oldest first; and, if it is a choice from a longer history, `place` (1: the oldest of all).
    """
    figure = go.Figure()
    table = table.reset_index(drop=True)
    if "place" not in table:
        table["place"] = table.index + 1
    for label, name, colour, symbol in ((1, "positive", POSITIVE, "circle"), (0, "negative", NEGATIVE, "circle-open")):
        rows = table[table["label"] == label]
        if rows.empty:
            continue
        when = ["" if pd.isna(time) else f"{time:%d %b %Y}<br>" for time in rows["time"]]
        figure.add_scatter(
            x=rows["place"],
            y=rows["rating"],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2}},
            customdata=np.column_stack([[plain(words, 90) for words in rows["title"]], when]),
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}rating %{y:g}<extra></extra>",
        )
    order = "in no order of time" if table["time"].isna().all() else "left: oldest"
    figure.update_xaxes(title=f"place in the history ({order})", tickformat=",d")
    figure.update_yaxes(title="rating")
    return finish(figure, note, 290, title)


def effects(table: pd.DataFrame, note: str = "", title: str = "") -> go.Figure:
    """What each rating of a history does to the answer: bars to the right speak for a positive label, to the left against it.

    Args:
        table: One row a rating, oldest first, with `title` (unique), `rating` and `effect` (probability with it minus without it).
    """
    colours = [POSITIVE if effect >= 0 else NEGATIVE for effect in table["effect"]]
    words = [f"{plain(title, 50)} ({rating:g})" for title, rating in zip(table["title"], table["rating"], strict=True)]
    figure = go.Figure(go.Bar(x=table["effect"], y=words, orientation="h", marker={"color": colours}, name="effect"))
    figure.update_traces(hovertemplate="<b>%{y}</b><br>%{x:+.4f}<extra></extra>")
    figure.update_xaxes(title="effect on the probability of a positive label", tickformat="+.3f")
    figure.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    return finish(figure, note, 150 + 22 * max(len(table), 4), title)
