"""What all figures share: the frame, ticks, error bars, and what to draw where there is nothing to draw."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from laser_core.figures.look import INK, Style
from laser_core.figures.words import LONGEST, in_lines, plain, wrap

_NOTE = "<span style='font-size:12px'>"
NAME_WIDTH = 34  # characters of a system's name in a line beside its row


def finish(figure: go.Figure, note: str, height: int, title: str = "", width: int = 60) -> go.Figure:
    """The common frame: title, legend on top, the note under the x-axis. Colours of ground and grid are left to the page's theme.

    Args:
        note: A paragraph a line: first the scale, without which no picture may be, then how it was measured (`apart`).
        height: Of a figure with a short legend and note; longer ones make it higher instead of pressing the picture.
        width: Characters a line under the x-axis: as many as a telephone has room for beside the words at the y-axis.
    """
    lines = _note_lines(note, width)
    axis = [*wrap(figure.layout.xaxis.title.text or "", width * 5 // 6), *lines]
    legend = [trace.name.count("<br>") + 1 for trace in figure.data if trace.name and trace.showlegend is not False]
    height += _note_height(lines) + (10 * sum(legend) if len(legend) > 4 else 0)
    figure.update_layout(
        title={"text": plain(title, 140), "font": {"size": 16}, "x": 0, "xanchor": "left"} if title else None,
        height=height,
        margin={"l": 8, "r": 16, "t": 84 if title else 44, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Source Sans Pro, Source Sans, Segoe UI, Helvetica, Arial, sans-serif", "size": 14, "color": INK},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom", "itemsizing": "constant"},
        hoverlabel={"align": "left"},
        modebar={"orientation": "v", "bgcolor": "rgba(0,0,0,0)"},  # beside the picture: on top it would hide the legend
        meta={"note": note, "width": width},
    )
    line = {"automargin": True, "zeroline": False, "gridcolor": "rgba(124,133,148,.22)", "linecolor": "rgba(124,133,148,.5)"}
    figure.update_xaxes(**line, title={"text": "<br>".join(axis), "standoff": 12})
    figure.update_yaxes(**line)
    return figure


def _note_lines(note: str, width: int) -> list[str]:
    return [f"{_NOTE}{line}</span>" for paragraph in note.split("\n") for line in wrap(paragraph, width)]


def _note_height(lines: list[str]) -> int:
    """What lines of a note add to the height of a figure, which has room for three."""
    return 16 * max(len(lines) - 3, 0)


def apart(figure: go.Figure, keep: int = 1) -> tuple[go.Figure, str]:
    """A copy with only the first paragraphs of its note in the picture, and the others for the page to tell, a paragraph a line."""
    figure = go.Figure(figure)
    meta = figure.layout.meta or {"note": "", "width": 60}
    paragraphs = [part for part in meta["note"].split("\n") if part]
    before, after = (_note_lines("\n".join(part), meta["width"]) for part in (paragraphs, paragraphs[:keep]))
    words = [line for line in (figure.layout.xaxis.title.text or "").split("<br>") if not line.startswith(_NOTE)]
    figure.update_layout(meta=meta | {"note": "\n".join(paragraphs[:keep])}, height=figure.layout.height - _note_height(before))
    figure.layout.height += _note_height(after)
    figure.layout.xaxis.title.text = "<br>".join([*words, *after])
    return figure, html.unescape("\n".join(paragraphs[keep:]))


def fade(colour: str, alpha: float) -> str:
    """A colour (#rrggbb) that lets so much through: alpha 0 all, 1 nothing."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def enlarge(figure: go.Figure, factor: float = 1.5) -> tuple[go.Figure, str]:
    """A copy with larger type, lines and markers, to be read from the back of a room, and the note, which is too long to be large."""
    large, note = apart(figure, 0)
    rows = figure.layout.yaxis.ticktext or ()  # names beside them grow with the type: their lines get shorter
    names = ["<br>".join(wrap(name.replace("<br>", " "), 20)) for name in rows]
    more = "".join(names).count("<br>") - "".join(rows).count("<br>")
    height = large.layout.height * (factor if rows else 1.25) + 18 * factor * more
    legend = any(trace.name and trace.showlegend is not False for trace in large.data)
    large.update_layout(font={"size": 14 * factor}, height=height, margin={"t": 44 * factor + 20 if legend else 24})
    if rows:
        large.layout.yaxis.ticktext = names
    large.update_layout(legend={"font": {"size": 13 * factor}})
    for axis in (large.layout.xaxis, large.layout.yaxis):
        axis.tickfont = {"size": 13 * factor}
        axis.title.font = {"size": 14 * factor}
    words = (large.layout.xaxis.title.text or "").replace("<br>", " ")
    large.layout.xaxis.title.text = "<br>".join(wrap(words, 24))  # as wide as a telephone
    for trace in large.data:
        if getattr(trace, "marker", None) is not None and isinstance(trace.marker.size, (int, float)):
            trace.marker.size *= factor
        if getattr(trace, "line", None) is not None and trace.line.width:
            trace.line.width *= factor
    return large, note


def empty(message: str, height: int = 260) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = go.Figure()
    figure.add_annotation(
        text=plain(message, 200), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15, "color": INK}
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return finish(figure, "", height)


def log_ticks(low: float, high: float, most: int = 6) -> dict[str, list]:
    """Ticks of a logarithmic axis that can be read one by one, at most `most`: Plotly's own say 2 for 200, and 10µ for a price."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        values = [value for power in powers for step in steps if low / 1.3 <= (value := step * 10.0**power) <= high * 1.3]
        if len(values) <= most:
            break
    values = values[:: -(-len(values) // most) or 1]
    words = [f"{value:,.10g}" if value >= 1 else np.format_float_positional(value, 12, trim="-") for value in values]
    return {"tickvals": values, "ticktext": words}


def interval(
    values: Iterable[float], low: Iterable[float], high: Iterable[float], colour: str, thickness: float = 1.5, width: int = 5
) -> dict[str, object]:
    """The 95 % intervals of some points, (points,) each end, as Plotly's error bars."""
    below, above = zip(*((value - down, up - value) for value, down, up in zip(values, low, high, strict=True)), strict=True)
    bars = {"type": "data", "symmetric": False, "array": [*above], "arrayminus": [*below]}
    return {**bars, "color": colour, "thickness": thickness, "width": width}


def add_dot(figure: go.Figure, name: str, look: Style, value: float, low: float, high: float, hover: str) -> None:
    """One line of a dot plot: a system's mark and its 95 % interval, at the place that goes by its name (`name_rows`)."""
    figure.add_scatter(
        x=[value],
        y=[plain(name, LONGEST)],
        mode="markers",
        name=in_lines(name),
        showlegend=False,
        marker={"symbol": look.symbol, "size": 13, "color": look.colour},
        error_x=interval([value], [low], [high], look.colour, thickness=2, width=6),
        hovertemplate=f"<b>{in_lines(name, 60)}</b><br>{hover}<extra></extra>",
    )


def rows_height(names: Iterable[str]) -> int:
    """How high the rows of `name_rows` are together: none is lower than its name."""
    return max(sum(max(48, 19 * (in_lines(name, NAME_WIDTH).count("<br>") + 1)) for name in names), 96)


def name_rows(figure: go.Figure, names: Iterable[str]) -> None:
    """A row a system: its place goes by the whole label, and that is what stands beside it, in lines."""
    names = list(names)
    rows = {plain(name, LONGEST): in_lines(name, NAME_WIDTH) for name in names}
    figure.update_yaxes(tickvals=list(rows), ticktext=list(rows.values()), tickfont={"size": 12})
    figure.update_yaxes(range=[-0.7, len(rows) - 0.3], showgrid=True)
