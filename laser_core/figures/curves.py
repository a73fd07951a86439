"""Quality against labels, and at one number of labels beside the paper's values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from laser_core.figures.frame import add_dot, fade, finish, interval, log_ticks, name_rows, rows_height
from laser_core.figures.look import INK, style, system_label
from laser_core.figures.words import LONGEST, METRICS, SHOTS_NOTE, count, in_lines, number, plain, scale_note
from laser_core.study.paper import fitted_on
from laser_core.systems import SYSTEMS

X_AXES = {
    "train_rows": "N: labelled samples fitted on (log scale)",
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
    paper: Mapping[str, float] | None = None,
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
        paper: The paper's value by system name, each a broken level in its system's colour.
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
                fillcolor=fade(look.colour, band_alpha),
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
    across = sorted(summary.loc[(summary[x] > 0) & (summary["train_rows"] > 0), x].unique())
    for system, value in sorted((paper or {}).items(), key=lambda one: -measure.better * one[1]):
        row = SYSTEMS[system].paper_row
        name = f"{row}, the paper"
        figure.add_scatter(
            x=across,
            y=[value] * len(across),
            name=in_lines(name),
            mode="lines",
            line={"color": style(system).colour, "dash": "6px,6px", "width": 1.5},
            hovertemplate=f"<b>{in_lines(name, 60)}</b><br>{measure.label} {number(value)}, "
            f"fitted on {fitted_on(row, summary['dataset'].iloc[0])}<extra></extra>",
        )
    for name, value in (references or {}).items():
        figure.add_hline(
            y=value,
            line={"dash": "dash", "width": 1.2, "color": INK},
            annotation={"text": plain(name), "font": {"size": 12}},
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
        near = ticks[x].pct_change() < 0.9  # its words would touch those before
        words = [
            "all" if shots == "all" else "" if close else count(n) for shots, n, close in zip(ticks["shots"], ticks[x], near, strict=True)
        ]
        figure.update_xaxes(tickvals=ticks[x].tolist(), ticktext=words)
        if everything := [count(rows) for rows in ticks.loc[ticks["shots"] == "all", x]]:
            figure.update_xaxes(title=X_AXES[x].replace("(log scale)", f"(log scale; all: {', '.join(everything)})"))
    elif (drawn := summary.loc[(summary["train_rows"] > 0) & (summary[x] > 0), x]).size:
        figure.update_xaxes(**log_ticks(drawn.min(), drawn.max()))
    figure.update_yaxes(title=f"test {measure.label} ({'higher' if measure.better > 0 else 'lower'} is better)", tickformat=".3f")
    measured = SHOTS_NOTE
    levels = [*(references or {}).values(), *(paper or {}).values()]
    if (heights := _room(summary, metric, levels, margin)) is not None:
        figure.update_yaxes(range=heights)
        measured = f"Bands are cut off at the edge of the picture. {measured}"
    return finish(figure, f"{scale_note(summary, titles, f'{metric}_low' in summary)}\n{measured}", 520, title)


def _room(summary: pd.DataFrame, metric: str, levels: list[float], margin: float) -> tuple[float, float] | None:
    """Lowest and highest value to draw where bands reach beyond a third of the lines' own height: the lines and a margin around them."""
    low, high = f"{metric}_low", f"{metric}_high"
    lines = np.array([*summary[metric].dropna(), *levels])
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
        table: One row a (system, variant, N) with `shots`, `value`, `low`, `high`, as `laser_core.study.learning_curves.label_needs` gives
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
            error_y=interval(rows["value"], low, high, look.colour, thickness=1.2, width=4),
            hovertemplate=f"<b>{name}</b><br>N = %{{x:,}}: %{{y:.3g}} times as many labels<extra></extra>",
        )
    figure.add_hline(y=1, line={"width": 1.5, "color": INK})
    figure.update_xaxes(type="log", title=X_AXES["train_rows"])
    figure.update_xaxes(tickvals=ticks, ticktext=[count(value) for value in ticks])
    heights = [math.log10(bottom), math.log10(top)]
    figure.update_yaxes(type="log", title=f"labels of {plain(baseline)} / own labels", tickformat="~g", range=heights)
    if not measured.all():
        note += "\nA whisker that leaves the picture ends beyond the N that were measured."
    return finish(figure, note, 420, title)


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
        look = style(system, row["variant"])
        low, high = row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan)
        add_dot(figure, name, look, row[metric], low, high, f"{measure.label} %{{x:.4f}} (95 %: {number(low)} to {number(high)})")
    asked = [(system, name, rows["variant"].iloc[0]) for system, name, rows in series]
    # The paper's models were not handed the predictions of an item-item regression: beside one that was, its value says nothing.
    known = [
        (plain(name, LONGEST), system) for system, name, variant in asked if "collaborative" not in variant and system in (paper or {})
    ]
    if known:
        figure.add_scatter(
            x=[paper[system] for _, system in known],
            y=[name for name, _ in known],
            mode="markers",
            name="the paper",
            customdata=[fitted_on(SYSTEMS[system].paper_row, summary["dataset"].iloc[0]) for _, system in known],
            marker={"symbol": "circle-open", "size": 13, "color": INK, "line": {"width": 2}},
            hovertemplate="<b>paper</b>: %{x:.4f}, fitted on %{customdata}<extra></extra>",
        )
    figure.update_xaxes(title=f"test {measure.label} ({'higher' if measure.better > 0 else 'lower'} is better)", tickformat=".3f")
    names = [name for _, name, _ in series]
    name_rows(figure, names)
    note = f"{scale_note(summary, titles, f'{metric}_low' in summary)}\n{SHOTS_NOTE}"
    return finish(figure, note, 150 + rows_height(names), title, width=40)
