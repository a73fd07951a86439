"""Every figure of the kit as `function(table, ...) -> plotly Figure`: notebooks, dashboard and reports draw with these and nothing else.

One colour, marker and line style a system, the same everywhere; results of other options than a system's own keep its colour and get open
markers and broken lines. The colours keep a contrast of at least 3 : 1 on white and on the dark
theme alike and stay apart under protanopia and deuteranopia; markers repeat what colour says. Each figure carries its scale (data
set, N, seeds, test rows) as a line of text, so that a picture which leaves the page still says what it shows.
"""

from __future__ import annotations

import hashlib
import html
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from laser_core.metrics import reliability
from laser_core.systems import SYSTEMS

INK = "#7C8594"  # neutral lines and words: readable on both themes
POSITIVE, NEGATIVE = "#0BA49F", "#A8404F"
SHOTS_NOTE = "N counts the labels a model was fitted on; histories may show earlier ratings of the same user, for every system alike."

# ---- one look a system ---------------------------------------------------------------------------------------------------


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
_LOOK = {
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
}
_SPARE = [
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
    if system in _LOOK:
        colour, symbol = _LOOK[system]
    else:
        others = [name for name in SYSTEMS if name not in _LOOK]
        place = others.index(system) if system in others else hashlib.sha256(system.encode()).digest()[0]
        colour, symbol = _SPARE[place % len(_SPARE)]
    if variant:
        symbol = f"{symbol}-dot" if symbol.endswith("-open") else f"{symbol}-open"
        return Style(colour, symbol, _VARIANT_DASHES[hashlib.sha256(variant.encode()).digest()[0] % len(_VARIANT_DASHES)], 1.5)
    return Style(colour, symbol, _DASH.get(family, "solid"), _WIDTH.get(family, 2.0))


def _style_by_name(system: str, name: str) -> Style:
    """The look of a series that is known by its name in words."""
    return style(system, name.removeprefix(system_label(system)))


def system_label(system: str, variant: str = "") -> str:
    """A system as figures and tables call it: "DIN", "DIN (history=60)"."""
    label = SYSTEMS[system].label if system in SYSTEMS else system
    return f"{label} ({variant})" if variant else label


# ---- words in figures ----------------------------------------------------------------------------------------------------

LONGEST = 300  # characters of a system's label that tell it from others
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: object, longest: int = 60) -> str:
    """Any text as text in a figure: no HTML, no TeX, no direction override, at most `longest` characters."""
    words = " ".join(_CONTROLS.sub("", str(text)).split())
    if len(words) > longest:
        words = words[: longest - 1].rstrip() + "…"
    return html.escape(words, quote=False).replace("$", "&#36;")


_OPTION = re.compile(r'\b(\w+)=("[^"]*"|\[[^\]]*\]|[^\s,)]+)')


def in_lines(name: str, width: int = 36) -> str:
    """A system's whole label for a legend or an axis: options in words (statistics=false: no statistics), in lines instead of cut.

    What is cut looks alike, and what looks alike on an axis is one place.
    """

    def words(option: re.Match[str]) -> str:
        key, value = option[1].replace("_", " "), option[2].strip('"')
        return {"true": key, "false": f"no {key}", "0.0": f"no {key}"}.get(value, f"{key} {value}")

    return "<br>".join(plain(line) for line in _wrap(_OPTION.sub(words, name), width))


@dataclass(frozen=True)
class Metric:
    """A quality measure as people meet it."""

    name: str
    label: str
    better: int
    """+1 where higher is better, -1 where lower is"""
    help: str


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
        Metric("accuracy", "accuracy", 1, "Share of test samples on the right side of probability .5."),
        Metric(
            "ece",
            "calibration error",
            -1,
            "Expected calibration error: how far stated probabilities lie from observed shares, over bins. Lower is better.",
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


def _finish(figure: go.Figure, note: str, height: int, title: str = "", width: int = 60) -> go.Figure:
    """The common frame: title, legend on top, the scale line under the x-axis. Colours of ground and grid are left to the page's theme.

    Args:
        height: Of a figure with a short legend and note; longer ones make it higher instead of pressing the picture.
        width: Characters a line under the x-axis: as many as a telephone has room for beside the words at the y-axis.
    """
    lines = _wrap(note, width)
    axis = [
        *_wrap(figure.layout.xaxis.title.text or "", width * 5 // 6),
        *(f"<span style='font-size:12px'>{line}</span>" for line in lines),
    ]
    legend = [trace.name.count("<br>") + 1 for trace in figure.data if trace.name and trace.showlegend is not False]
    height += 16 * max(len(lines) - 3, 0) + (10 * sum(legend) if len(legend) > 4 else 0)
    figure.update_layout(
        title={"text": plain(title, 140), "font": {"size": 16}, "x": 0, "xanchor": "left"} if title else None,
        height=height,
        margin={"l": 8, "r": 16, "t": 84 if title else 44, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Source Sans Pro, Source Sans, Segoe UI, Helvetica, Arial, sans-serif", "size": 14, "color": INK},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom", "itemsizing": "constant"},
        hoverlabel={"align": "left"},
    )
    line = {"automargin": True, "zeroline": False, "gridcolor": "rgba(124,133,148,.22)", "linecolor": "rgba(124,133,148,.5)"}
    figure.update_xaxes(**line, title={"text": "<br>".join(axis), "standoff": 12})
    figure.update_yaxes(**line)
    return figure


def _wrap(text: str, width: int) -> list[str]:
    """Whole words in lines of about equal length, at most `width` characters unless a word is longer."""
    lines: list[str] = []
    width = min(width, -(-len(text) // max(-(-len(text) // width), 1)) + 6)
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _fade(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def enlarge(figure: go.Figure, factor: float = 1.5) -> go.Figure:
    """A copy with larger type, lines and markers, to be read from the back of a room."""
    large = go.Figure(figure)
    large.update_layout(font={"size": 14 * factor}, height=figure.layout.height * 1.25, margin={"t": 44 * factor + 20})
    large.update_layout(legend={"font": {"size": 13 * factor}})
    for axis in (large.layout.xaxis, large.layout.yaxis):
        axis.tickfont = {"size": 13 * factor}
        axis.title.font = {"size": 14 * factor}
        axis.title.text = (axis.title.text or "").replace("font-size:12px", f"font-size:{round(12 * factor**0.4)}px")
    for trace in large.data:
        if getattr(trace, "marker", None) is not None and isinstance(trace.marker.size, (int, float)):
            trace.marker.size *= factor
        if getattr(trace, "line", None) is not None and trace.line.width:
            trace.line.width *= factor
    return large


def empty(message: str, height: int = 260) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = go.Figure()
    figure.add_annotation(
        text=plain(message, 200), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15, "color": INK}
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _finish(figure, "", height)


# ---- the study -------------------------------------------------------------------------------------------------------------

X_AXES = {
    "train_rows": "N: labels the model was fitted on (log scale)",
    "labels_seen": "distinct labels seen in the loss (log scale)",
    "fit_seconds": "seconds to fit (log scale)",
    "cpu_seconds": "CPU seconds to fit and predict (log scale)",
    "price": "price of fitting (log scale)",
}


def _series(summary: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """(system, name, rows) of each line: results of other options or on other test rows are never joined into one."""
    order = {name: place for place, name in enumerate(SYSTEMS)}
    groups = []
    sizes = summary.groupby(["system", "variant"])["test_rows"].nunique()
    parts = ["system", "variant", "test_rows", "revision", "data_version", "current"]
    for (system, variant, test_rows, revision, data_version, current), rows in summary.groupby(parts, sort=False):
        name = system_label(system, variant)
        if sizes[(system, variant)] > 1:
            name += f" [{count(test_rows)} test rows]"
        if not current:
            name += f" [older: revision {revision}, data {data_version[:6]}]"
        groups.append((system, name, rows))
    return sorted(groups, key=lambda group: (order.get(group[0], len(order)), group[1]))


def sample_efficiency(
    summary: pd.DataFrame,
    metric: str = "auc",
    x: str = "train_rows",
    references: Mapping[str, float] | None = None,
    matches: Mapping[tuple[str, str], float] | None = None,
    titles: Mapping[str, str] | None = None,
    title: str = "",
    margin: float = 1 / 3,
) -> go.Figure:
    """Quality against labels (or seconds), a line a system, with 95 % bands.

    Args:
        summary: What `laser_core.study.summary.summarise` returns, of one data set.
        metric: A key of `METRICS`.
        x: A key of `X_AXES`, and a column of the table.
        references: Horizontal lines to compare with: name -> value.
        matches: Match points: (system, variant) -> N at which it reaches a reference, drawn as vertical lines.
        titles: Names of data sets as people say them.
        margin: Where wide bands would press all lines together they are cut off, and so much of the lines' own height is left around.
    """
    figure = go.Figure()
    measure = METRICS[metric]
    series = _series(summary)
    band_alpha = 0.13 if len(series) <= 4 else 0.52 / len(series)  # many bands over one another must not hide the lines
    for system, name, rows in series:
        look, whole = style(system, rows["variant"].iloc[0]), in_lines(name, 60)
        rows = rows.dropna(subset=[metric, x]).sort_values(x)
        for value in rows.loc[rows["train_rows"] == 0, metric]:  # without labels: no place on a logarithmic axis, but a level to start from
            figure.add_hline(
                y=value,
                line={"dash": "dot", "width": 1.5, "color": look.colour},
                annotation={"text": f"{whole}, N = 0", "font": {"size": 12, "color": look.colour}},
                annotation_position="bottom right",
            )
        rows = rows[(rows[x] > 0) & (rows["train_rows"] > 0)]
        if rows.empty:
            continue
        low, high = f"{metric}_low", f"{metric}_high"
        if low in rows and rows[low].notna().any():
            band = rows.dropna(subset=[low, high])
            figure.add_scatter(
                x=[*band[x], *band[x][::-1]],
                y=[*band[high], *band[low][::-1]],
                fill="toself",
                fillcolor=_fade(look.colour, band_alpha),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
                name=f"{name}, 95 % interval",
            )
        figure.add_scatter(
            x=rows[x],
            y=rows[metric],
            name=in_lines(name),
            legendgroup=name,
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": look.width},
            marker={"symbol": look.symbol, "size": 9, "color": look.colour},
            customdata=np.column_stack(
                [
                    [str(value) for value in rows["shots"]],
                    [count(value) for value in rows["labels_seen"]],
                    [f"{number(a)} to {number(b)}" for a, b in zip(rows.get(low, rows[metric]), rows.get(high, rows[metric]), strict=True)],
                    rows["seeds"].astype(str),
                    [count(value) for value in rows["test_rows"]],
                ]
            ),
            hovertemplate=f"<b>{whole}</b><br>N = %{{customdata[0]}} (labels seen: %{{customdata[1]}})<br>{measure.label} %{{y:.4f}} "
            "(95 %: %{customdata[2]})<br>%{customdata[3]} seeds, %{customdata[4]} test rows<extra></extra>",
        )
    heights = [*summary[metric], *(references or {}).values()]
    label, below = "", -math.inf
    for name, value in sorted((references or {}).items(), key=lambda reference: reference[1]):
        near = value - below < (max(heights) - min(heights)) / 20  # lines that all but touch have one label, over the highest
        label, below = f"{label} · {plain(name)}" if near else plain(name), value
        if near:
            figure.layout.annotations[-1].text = ""
        figure.add_hline(
            y=value,
            line={"dash": "dash", "width": 1.2, "color": INK},
            annotation={"text": label, "font": {"size": 12}},
            annotation_position="top left",
        )
    for turn, (series_of, place) in enumerate((matches or {}).items()):
        look = style(*series_of)
        figure.add_vline(x=place, line={"dash": "dot", "width": 1.5, "color": look.colour})
        figure.add_annotation(  # on a log axis an annotation's place is given as a power of ten
            x=math.log10(place), y=0.22 * (turn % 4), yref="paper", text=f"{count(round(place))} labels", textangle=-90, showarrow=False,
            xanchor="right", yanchor="bottom", font={"size": 12, "color": look.colour},
        )  # fmt: skip
    figure.update_xaxes(type="log", title=X_AXES[x])
    if x == "train_rows" and len(summary):
        ticks = summary[summary[x] > 0].drop_duplicates(x).sort_values(x)
        words = [f"all<br>({count(rows)})" if shots == "all" else count(rows) for shots, rows in zip(ticks["shots"], ticks[x], strict=True)]
        figure.update_xaxes(tickvals=ticks[x].tolist(), ticktext=words)
    elif (drawn := summary.loc[(summary["train_rows"] > 0) & (summary[x] > 0), x]).size:
        figure.update_xaxes(**_log_ticks(drawn.min(), drawn.max()))
    figure.update_yaxes(title=f"test {measure.label} ({'higher' if measure.better > 0 else 'lower'} is better)", tickformat=".3f")
    note = scale_note(summary, titles, f"{metric}_low" in summary)
    if (heights := _room(summary, metric, references or {}, margin)) is not None:
        figure.update_yaxes(range=heights)
        note += " · bands are cut off at the edge of the picture"
    return _finish(figure, f"{note}. {SHOTS_NOTE}", 520, title)


def _log_ticks(low: float, high: float, most: int = 6) -> dict[str, list]:
    """Ticks of a logarithmic axis that can be read one by one, at most `most`: Plotly's own say 2 for 200, and 10µ for a price."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        values = [value for power in powers for step in steps if low / 1.3 <= (value := step * 10.0**power) <= high * 1.3]
        if len(values) <= most:
            break
    values = values[:: -(-len(values) // most) or 1]
    words = [f"{value:,.10g}" if value >= 1 else np.format_float_positional(value, 12, trim="-") for value in values]
    return {"tickvals": values, "ticktext": words}


def _interval(row: pd.Series, metric: str, colour: str) -> dict[str, object]:
    """The 95 % interval of one point as Plotly's error bar."""
    ends = {"array": [row[f"{metric}_high"] - row[metric]], "arrayminus": [row[metric] - row[f"{metric}_low"]]}
    return {"type": "data", "symmetric": False, **ends, "color": colour, "thickness": 1.5, "width": 5}


def _room(summary: pd.DataFrame, metric: str, references: Mapping[str, float], margin: float) -> tuple[float, float] | None:
    """Lowest and highest value to draw where bands reach beyond a third of the lines' own height: the lines and a margin around them."""
    low, high = f"{metric}_low", f"{metric}_high"
    lines = np.array([*summary[metric].dropna(), *references.values()])
    if len(lines) == 0 or low not in summary or summary[low].isna().all():
        return None
    height = lines.max() - lines.min()
    wide = max(height / 3, 0.01)
    if summary[low].min() >= lines.min() - wide and summary[high].max() <= lines.max() + wide:
        return None
    around = max(height * margin, 0.01)
    return lines.min() - around, lines.max() + around


def multipliers(table: pd.DataFrame, baseline: str, note: str = "", title: str = "") -> go.Figure:
    """How many times as many labels a baseline needs for the same AUC, at each N; above 1 a system is the more sample-efficient.

    Args:
        table: One row a (system, variant, N) with `shots`, `value`, `low`, `high`, as `laser_core.study.contrast.label_needs` gives
            them. What lies beyond the N that were measured (zero, infinity) has no point; an interval that reaches there runs off the
            picture.
        baseline: The baseline's name.
    """
    figure = go.Figure()
    ticks = sorted(table["shots"].unique())
    table = table[np.isfinite(table["value"]) & (table["value"] > 0)]
    ends = table[["low", "high"]].to_numpy(dtype=float)
    measured = np.isfinite(ends) & (ends > 0)
    known = np.array([1.0, *table["value"], *ends[measured]])
    bottom, top = known.min() / 1.3, known.max() * 1.3
    for (system, variant), rows in table.groupby(["system", "variant"], sort=False):
        look, name = style(system, variant), in_lines(system_label(system, variant))
        rows = rows.sort_values("shots")
        low, high = rows["low"].where(rows["low"] > 0, bottom / 2), rows["high"].where(np.isfinite(rows["high"]), top * 2)
        figure.add_scatter(
            x=rows["shots"],
            y=rows["value"],
            mode="lines+markers",
            name=name,
            line={"color": look.colour, "dash": look.dash, "width": look.width},
            marker={"symbol": look.symbol, "size": 9, "color": look.colour},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high - rows["value"],
                "arrayminus": rows["value"] - low,
                "color": look.colour,
                "thickness": 1.2,
                "width": 4,
            },
            hovertemplate=f"<b>{name}</b><br>N = %{{x:,}}: %{{y:.3g}} times as many labels<extra></extra>",
        )
    figure.add_hline(y=1, line={"width": 1.5, "color": INK})
    figure.update_xaxes(type="log", title=X_AXES["train_rows"])
    figure.update_xaxes(tickvals=ticks, ticktext=[count(value) for value in ticks])
    heights = [math.log10(bottom), math.log10(top)]
    figure.update_yaxes(type="log", title=f"labels of {plain(baseline)} / own labels", tickformat="~g", range=heights)
    if not measured.all():
        note = " · ".join(filter(None, [note.removesuffix("."), "a whisker that leaves the picture ends beyond the N that were measured"]))
    return _finish(figure, note, 420, title)


def comparison(
    summary: pd.DataFrame,
    metric: str = "auc",
    paper: Mapping[str, float] | None = None,
    titles: Mapping[str, str] | None = None,
    title: str = "",
) -> go.Figure:
    """One line a system: our mean with its 95 % interval, the paper's value as an open ring beside it.

    Args:
        summary: Rows of `summarise`, of one data set and one N.
        metric: A key of `METRICS`.
        paper: The paper's value by system name, where it has one.
    """
    figure = go.Figure()
    measure = METRICS[metric]
    series = sorted(_series(summary), key=lambda group: measure.better * group[2][metric].iloc[0])
    for system, name, rows in series:
        row = rows.iloc[0]
        look, whole = style(system, row["variant"]), in_lines(name, 60)
        low, high = row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan)
        figure.add_scatter(
            x=[row[metric]],
            y=[plain(name, LONGEST)],
            mode="markers",
            name=in_lines(name),
            showlegend=False,
            marker={"symbol": look.symbol, "size": 13, "color": look.colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - row[metric]],
                "arrayminus": [row[metric] - low],
                "color": look.colour,
                "thickness": 2,
                "width": 6,
            },
            hovertemplate=f"<b>{whole}</b><br>{measure.label} %{{x:.4f}} (95 %: {number(low)} to {number(high)})<extra></extra>",
        )
    known = [(plain(name, LONGEST), (paper or {}).get(system)) for system, name, _ in series]
    known = [(name, value) for name, value in known if value is not None]
    if known:
        figure.add_scatter(
            x=[value for _, value in known],
            y=[name for name, _ in known],
            mode="markers",
            name="the paper (all data)",
            marker={"symbol": "circle-open", "size": 13, "color": INK, "line": {"width": 2}},
            hovertemplate="<b>paper</b>: %{x:.4f}<extra></extra>",
        )
    figure.update_xaxes(title=f"test {measure.label} ({'higher' if measure.better > 0 else 'lower'} is better)", tickformat=".3f")
    _name_rows(figure, [name for _, name, _ in series])
    note = f"{scale_note(summary, titles, f'{metric}_low' in summary)}. {SHOTS_NOTE}"
    return _finish(figure, note, 150 + 48 * max(len(series), 2), title, width=40)


def _name_rows(figure: go.Figure, names: Iterable[str]) -> None:
    """A row a system: its place goes by the whole label, and that is what stands beside it, in lines."""
    names = list(names)
    rows = {plain(name, LONGEST): in_lines(name, 34) for name in names}
    figure.update_yaxes(tickvals=list(rows), ticktext=list(rows.values()), tickfont={"size": 12})
    figure.update_yaxes(range=[-0.7, len(rows) - 0.3], showgrid=True)


# ---- one user --------------------------------------------------------------------------------------------------------------


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
            fillcolor=_fade(tint, 0.10),
            layer="below",
        )
    for name, rows in table.groupby("name", sort=False):
        look, whole = _style_by_name(rows["system"].iloc[0], name), in_lines(name, 60)
        figure.add_scatter(
            x=rows["probability"],
            y=[order.index(candidate) for candidate in rows["candidate"]],
            mode="markers",
            name=in_lines(name),
            marker={"symbol": look.symbol, "size": 12, "color": look.colour, "line": {"width": 0.5, "color": "rgba(255,255,255,.6)"}},
            customdata=[plain(candidate, 90) for candidate in rows["candidate"]],
            hovertemplate=f"<b>%{{customdata}}</b><br>{whole}: %{{x:.3f}}<extra></extra>",
        )
    words = [f"{plain(candidate, 46)}  {'●' if labels[candidate] else '○'}" for candidate in order]
    figure.add_vline(x=0.5, line={"dash": "dot", "width": 1, "color": INK})
    figure.update_xaxes(title="probability of a positive label", range=[-0.02, 1.02], tickformat=".1f")
    figure.update_yaxes(tickvals=list(range(len(order))), ticktext=words, range=[len(order) - 0.5, -0.5], showgrid=False)
    return _finish(figure, note, 190 + 30 * max(len(order), 3), title)


def history(table: pd.DataFrame, note: str = "", title: str = "") -> go.Figure:
    """A user's ratings in time order, positives and negatives apart in colour and marker.

    Args:
        table: One row an event with `title`, `rating`, `label`, and `time` (NaT where the data set knows none), oldest first; and, if it is
            a choice from a longer history, `place` (1: the oldest of all).
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
    figure.update_xaxes(title="place in the history (left: oldest)")
    figure.update_yaxes(title="rating")
    return _finish(figure, note, 290, title)


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
    return _finish(figure, note, 150 + 22 * max(len(table), 4), title)


# ---- systems against each other ------------------------------------------------------------------------------------------------


def gaps(table: pd.DataFrame, metric: str, baseline: str, note: str = "", title: str = "") -> go.Figure:
    """Each system minus a baseline with its 95 % interval, the best on top.

    Args:
        table: What `laser_core.study.contrast.gaps` returns.
        baseline: The baseline's name.
    """
    figure = go.Figure()
    measure = METRICS[metric]
    for row in table.sort_values("gap", ascending=measure.better > 0).to_dict("records"):
        look, name = style(row["system"], row["variant"]), system_label(row["system"], row["variant"])
        whole = in_lines(name, 60)
        figure.add_scatter(
            x=[row["gap"]],
            y=[plain(name, LONGEST)],
            mode="markers",
            name=in_lines(name),
            showlegend=False,
            marker={"symbol": look.symbol, "size": 13, "color": look.colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row["high"] - row["gap"]],
                "arrayminus": [row["gap"] - row["low"]],
                "color": look.colour,
                "thickness": 2,
                "width": 6,
            },
            hovertemplate=f"<b>{whole}</b><br>%{{x:+.4f}} (95 %: {row['low']:+.4f} to {row['high']:+.4f})<br>p = {row['p_holm']:.3g} after "
            f"Holm, {count(row['test_rows'])} common test rows<extra></extra>",
        )
    figure.add_vline(x=0, line={"width": 1.5, "color": INK})
    side = "right" if measure.better > 0 else "left"
    figure.update_xaxes(title=f"{measure.label} minus that of {plain(baseline, LONGEST)} (further {side} is better)", tickformat="+.3f")
    _name_rows(figure, [system_label(*pair) for pair in zip(table["system"], table["variant"], strict=True)])
    return _finish(figure, note, 130 + 48 * max(len(table), 2), title, width=40)


def routing(table: pd.DataFrame, cheap: tuple[str, str], dear: tuple[str, str], note: str = "", title: str = "") -> go.Figure:
    """What it is worth to ask a dear system where a cheap one is unsure, and to ask it by lot, against the share of samples it answers.

    Args:
        table: What `laser_core.study.routing.routing` returns.
        cheap, dear: Their (system, variant).
    """
    figure = go.Figure()
    look, first, second = style(*dear), *(plain(system_label(*one), LONGEST) for one in (cheap, dear))
    figure.add_scatter(
        x=[*table["share"], *table["share"][::-1]],
        y=[*table["high"], *table["low"][::-1]],
        fill="toself", fillcolor=_fade(look.colour, 0.13), line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
        name="95 % interval",
    )  # fmt: skip
    figure.add_scatter(
        x=table["share"],
        y=table["gap"],
        mode="lines+markers",
        name=in_lines(f"where {system_label(*cheap)} is least sure"),
        line={"color": look.colour, "width": look.width},
        marker={"symbol": look.symbol, "size": 9, "color": look.colour},
        customdata=table[["low", "high", "auc", "lot", "lot_low", "lot_high"]],
        hovertemplate="%{x:.0%} asked: AUC %{customdata[2]:.4f}<br>%{y:+.4f} (95 %: %{customdata[0]:+.4f} to %{customdata[1]:+.4f})<br>"
        "over as many by lot %{customdata[3]:+.4f} (%{customdata[4]:+.4f} to %{customdata[5]:+.4f})<extra></extra>",
    )
    figure.add_scatter(
        x=table["share"],
        y=table["gap"] - table["lot"],
        mode="lines",
        name="as many by lot",
        line={"color": INK, "dash": "dash", "width": 1.5},
        hovertemplate="%{x:.0%} asked by lot<br>gain %{y:+.4f}<extra></extra>",
    )
    figure.add_hline(y=0, line={"width": 1, "color": INK})
    figure.update_xaxes(title=f"share of samples that {second} answers", tickformat=".0%")
    figure.update_yaxes(title="gain in test AUC", tickformat="+.3f")
    note = f"the rest is answered by {first}, gain 0. {note}"
    return _finish(figure, note, 460, title)


Scored = tuple[str, str, np.ndarray, np.ndarray]
"""(system, name in words, labels, probabilities) of one result"""


def _roc_points(labels: np.ndarray, probabilities: np.ndarray, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """(false positive rates, true positive rates) at every distinct threshold, thinned to about `most` points."""
    order = np.argsort(-probabilities, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    hits = np.cumsum(labels[order])[ends]
    false = ends + 1 - hits
    keep = np.unique(np.linspace(0, len(ends) - 1, min(most, len(ends))).astype(int))
    return np.append(0, false[keep] / max(false[-1], 1)), np.append(0, hits[keep] / max(hits[-1], 1))


def roc(results: Iterable[Scored], note: str = "", title: str = "") -> go.Figure:
    """Receiver operating characteristic: hits against false alarms, a line a system."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="chance", line={"dash": "dot", "width": 1, "color": INK}, hoverinfo="skip")
    for system, name, labels, probabilities in results:
        look = _style_by_name(system, name)
        false_rate, true_rate = _roc_points(np.asarray(labels, dtype=np.int64), np.asarray(probabilities))
        figure.add_scatter(
            x=false_rate,
            y=true_rate,
            mode="lines",
            name=in_lines(name),
            line={"color": look.colour, "dash": look.dash, "width": look.width},
        )
    figure.update_xaxes(title="share of negatives called positive", range=[0, 1])
    figure.update_yaxes(title="share of positives found", range=[0, 1])
    return _finish(figure, note, 520, title)


def calibration(results: Iterable[Scored], note: str = "", title: str = "") -> go.Figure:
    """Observed share of positives against the stated probability; on the diagonal a probability means what it says."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfectly calibrated", line={"dash": "dot", "width": 1, "color": INK}, hoverinfo="skip"
    )
    for system, name, labels, probabilities in results:
        look, whole, curve = _style_by_name(system, name), in_lines(name, 60), reliability(labels, probabilities)
        figure.add_scatter(
            x=curve.predicted,
            y=curve.observed,
            mode="lines+markers",
            name=in_lines(name),
            line={"color": look.colour, "dash": look.dash, "width": look.width},
            marker={"symbol": look.symbol, "size": 8, "color": look.colour},
            customdata=[count(samples) for samples in curve.count],
            hovertemplate=f"<b>{whole}</b><br>said %{{x:.2f}}, was %{{y:.2f}} (%{{customdata}} samples)<extra></extra>",
        )
    figure.update_xaxes(title="probability stated", range=[0, 1])
    figure.update_yaxes(title="share of positives observed", range=[0, 1])
    return _finish(figure, note, 520, title)


def score_distribution(result: Scored, note: str = "", title: str = "") -> go.Figure:
    """How one system's probabilities are spread, positives above the axis and negatives below."""
    _, name, labels, probabilities = result
    edges = np.linspace(0, 1, 41)
    figure = go.Figure()
    for label, words, colour, sign in ((1, "positives", POSITIVE, 1), (0, "negatives", NEGATIVE, -1)):
        counts, _ = np.histogram(probabilities[labels == label], bins=edges)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=sign * counts,
            width=0.024,
            name=words,
            marker={"color": colour},
            customdata=counts,
            hovertemplate=f"%{{customdata:,}} {words} near %{{x:.2f}}<extra>{in_lines(name)}</extra>",
        )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title=f"probability by {plain(name, LONGEST)}", range=[0, 1])
    figure.update_yaxes(title="samples: negatives | positives", tickformat=",d")
    return _finish(figure, note, 340, title)


def slices(table: pd.DataFrame, metric: str, by: str, note: str = "", title: str = "", ordered: bool = True) -> go.Figure:
    """Quality on parts of the test set, a line a system.

    Args:
        table: What `laser_core.study.contrast.slices` returns.
        by: What the parts are made by, in words.
        ordered: Whether the parts have an order that a line could follow; kinds have none.
    """
    figure = go.Figure()
    words = table.sort_values("place")["slice"].unique().tolist()
    for (system, variant), rows in table.groupby(["system", "variant"], sort=False):
        look, rows, name = style(system, variant), rows.sort_values("place"), in_lines(system_label(system, variant))
        figure.add_scatter(
            x=rows["slice"],
            y=rows[metric],
            mode="lines+markers" if ordered else "markers",
            name=name,
            line={"color": look.colour, "dash": look.dash, "width": look.width},
            marker={"symbol": look.symbol, "size": 10, "color": look.colour},
            customdata=[count(samples) for samples in rows["samples"]],
            hovertemplate=f"<b>{name}</b><br>%{{x}}: {METRICS[metric].label} %{{y:.4f}} (%{{customdata}} samples)<extra></extra>",
        )
    figure.update_xaxes(title=plain(by, 100), type="category", categoryorder="array", categoryarray=words)
    figure.update_yaxes(title=f"test {METRICS[metric].label}", tickformat=".3f")
    return _finish(figure, note, 460, title)


def user_gains(table: pd.DataFrame, first: str, second: str, note: str = "", title: str = "") -> go.Figure:
    """Every test user as a point: how much log loss `first` saves or costs against `second`.

    Args:
        table: What `laser_core.study.contrast.user_gaps` returns, with `name` for each user.
    """
    figure = go.Figure()
    for words, part, colour in (("helped", table["gain"] >= 0, POSITIVE), ("hurt", table["gain"] < 0, NEGATIVE)):
        rows = table[part]
        figure.add_scattergl(
            x=rows.index + 1,
            y=rows["gain"],
            mode="markers",
            name=f"{words}: {len(rows):,} users",
            marker={"color": colour, "size": 6, "opacity": 0.75},
            customdata=np.column_stack([[plain(user) for user in rows["name"]], rows["samples"]]) if len(rows) else None,
            hovertemplate="user %{customdata[0]}<br>gain %{y:+.3f}, %{customdata[1]} samples<extra></extra>",
        )
    figure.add_hline(y=0, line={"width": 1, "color": INK})
    figure.update_xaxes(title="test users, most helped first")
    figure.update_yaxes(title="log loss saved")
    note = f"Log loss of {plain(second, LONGEST)} minus that of {plain(first, LONGEST)}, mean over a user's test samples. {note}"
    return _finish(figure, note, 380, title)


# ---- cost ------------------------------------------------------------------------------------------------------------------------


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
            error_y=_interval(row, metric, look.colour) if intervals else None,
            hovertemplate=f"<b>{name}</b><br>{plain(cost_label)}: %{{x:.4g}}<br>{measure.label} %{{y:.4f}}<extra>"
            f"{plain(machines[number])}</extra>",
        )
    figure.update_xaxes(title=f"{plain(cost_label, 100)} (log scale)", type="log")
    if len(table):
        figure.update_xaxes(**_log_ticks(table[cost].min(), table[cost].max()))
    figure.update_yaxes(title=f"test {measure.label} ({'higher' if measure.better > 0 else 'lower'} is better)", tickformat=".4~f")
    parts = [note.removesuffix(".")]
    if elsewhere.any():
        parts.append(f"the line is of {plain(machines[~elsewhere].iloc[0])}; pale: another machine, whose times do not compare")
    if len(table) > 12:
        parts.append("the legend names the systems on the line, the pointer any other")
    note = " · ".join(filter(None, parts)) if len(parts) > 1 else note
    return _finish(figure, note, 480, title)


# ---- data and runs -----------------------------------------------------------------------------------------------------------------


def bars(labels: Iterable[str], values: Iterable[float], axis: str, value_axis: str, note: str = "", percent: bool = False) -> go.Figure:
    """Plain bars, such as the shares of ratings of a data set."""
    figure = go.Figure(go.Bar(x=[plain(label) for label in labels], y=list(values), marker={"color": "#5D91FA"}, name=value_axis))
    figure.update_xaxes(title=axis, type="category")
    figure.update_yaxes(title=value_axis, tickformat=".0%" if percent else ",")
    return _finish(figure, note, 320)


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
    return _finish(figure, note, 320, title)


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
    return _finish(figure, note, 520, title)
