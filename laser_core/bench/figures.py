"""Figures of the benchmarks, in the look of `laser_core.figures`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from laser_core.bench.measure import KIT
from laser_core.figures import INK, finish, style

_TOOLKIT_LOOK = (("#A8404F", "square", "dash"), (INK, "diamond", "dot"))


def history_cost(record: Mapping[str, Any], title: str = "") -> go.Figure:
    """Cost of training DIN on one row against the length of its history, a line for the kit and for each toolkit that was measured.

    Args:
        record: What `laser bench crm` wrote, its part `history` included.
    """
    part = record["parts"]["history"]
    toolkits = iter(_TOOLKIT_LOOK)
    figure = go.Figure()
    for who in dict.fromkeys(entry["who"] for entry in part["measurements"]):
        mine = [entry for entry in part["measurements"] if entry["who"] == who]
        colour, symbol, dash = (style("din").colour, style("din").symbol, "solid") if who == KIT else next(toolkits)
        figure.add_scatter(
            name=who,
            x=[entry["history"] for entry in mine],
            y=[entry["median"] for entry in mine],
            error_y={
                "array": [entry["high"] - entry["median"] for entry in mine],
                "arrayminus": [entry["median"] - entry["low"] for entry in mine],
                "thickness": 1.5,
            },
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2},
            marker={"color": colour, "symbol": symbol, "size": 9},
            hovertemplate=f"{who}<br>history of %{{x}}: %{{y:.0f}} CPU-µs a row<extra></extra>",
        )
    lengths = sorted({entry["history"] for entry in part["measurements"]})
    figure.update_xaxes(type="log", title_text="history, events", tickvals=lengths, ticktext=[str(length) for length in lengths])
    figure.update_yaxes(type="log", title_text="CPU-microseconds to train on one row")
    made = part["provenance"]
    note = f"DIN, one epoch, batches of 1,024, one thread, median and range of {made['repeats']} rounds · {made['hardware']['cpu']}"
    return finish(figure, note, 420, title)
