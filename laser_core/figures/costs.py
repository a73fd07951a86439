"""Quality against cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from laser_core.figures.frame import finish, interval, log_ticks
from laser_core.figures.look import INK, style, system_label
from laser_core.figures.words import METRICS, in_lines, plain


def pareto(
    table: pd.DataFrame, metric: str, cost: str, cost_label: str, note: str = "", title: str = "", intervals: bool = False
) -> go.Figure:
    """Quality against cost; the line joins the systems that no other beats in both, of those on the machine that measured the most.

    Of more than a dozen systems the legend names only those on the line, or it would take the room of the picture; the pointer tells
    the others.

    Args:
        table: One row a system with `system`, `variant`, the metric and the column `cost` (positive), and, where it matters, the `machine`
            that it was measured on.
        intervals: Draw the quality's 95 % intervals (columns ending in `_low`, `_high`): for a few systems; many would hide each other.
    """
    figure = go.Figure()
    measure = METRICS[metric]
    table = table[table[cost] > 0].sort_values(cost, ignore_index=True)
    machines = table["machine"] if "machine" in table else pd.Series("", index=table.index)
    elsewhere = machines != machines.mode().max()
    quality = (measure.better * table[metric])[~elsewhere]
    front = table.loc[quality.index[quality > quality.cummax().shift(fill_value=-np.inf)]]
    if len(front) > 1:
        figure.add_scatter(
            x=front[cost],
            y=front[metric],
            mode="lines",
            name="no system is better and cheaper",
            line={"dash": "dash", "width": 1.5, "color": INK, "shape": "hv"},
            hoverinfo="skip",
        )
    for number, row in table.iterrows():
        look, name = style(row["system"], row["variant"]), in_lines(system_label(row["system"], row["variant"]))
        figure.add_scatter(
            showlegend=len(table) <= 12 or number in front.index,
            x=[row[cost]],
            y=[row[metric]],
            mode="markers",
            name=name,
            marker={"symbol": look.symbol, "size": 14, "color": look.colour, "opacity": 0.4 if elsewhere[number] else 1},
            error_y=interval(*([row[metric + end]] for end in ("", "_low", "_high")), look.colour) if intervals else None,
            hovertemplate=f"<b>{name}</b><br>{plain(cost_label)}: %{{x:.4g}}<br>{measure.label} %{{y:.4f}}<extra>"
            f"{plain(machines[number])}</extra>",
        )
    figure.update_xaxes(title=f"{plain(cost_label, 100)} (log scale)", type="log")
    if len(table):
        figure.update_xaxes(**log_ticks(table[cost].min(), table[cost].max()))
    figure.update_yaxes(title=f"test {measure.label} ({'higher' if measure.better > 0 else 'lower'} is better)", tickformat=".4~f")
    scale, *others = note.split("\n")
    if elsewhere.any():
        scale = " · ".join(
            filter(
                None, (scale, f"the line is of {plain(machines[~elsewhere].iloc[0])}; pale: another machine, whose times do not compare")
            )
        )
    if len(table) > 12:
        others.append("The legend names the systems on the line, the pointer any other.")
    return finish(figure, "\n".join([scale, *others]), 480, title)
