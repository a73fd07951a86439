"""Systems against each other: gaps, routing, ROC and calibration, slices, users helped and hurt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from laser_core.figures.frame import add_dot, fade, finish, name_rows, rows_height
from laser_core.figures.look import INK, NEGATIVE, POSITIVE, style, style_by_name, system_label
from laser_core.figures.words import LONGEST, METRICS, count, in_lines, number, plain
from laser_core.metrics import reliability
from laser_core.study.summary import pairs_of


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
        hover = (
            f"%{{x:+.4f}} (95 %: {row['low']:+.4f} to {row['high']:+.4f})<br>p = {row['p_holm']:.3g} after Holm, "
            f"{count(row['test_rows'])} common test rows"
        )
        add_dot(figure, name, look, row["gap"], row["low"], row["high"], hover)
    figure.add_vline(x=0, line={"width": 1.5, "color": INK})
    side = "right" if measure.better > 0 else "left"
    figure.update_xaxes(title=f"{measure.label} minus that of {plain(baseline, LONGEST)} (further {side} is better)", tickformat="+.4~f")
    names = [system_label(*pair) for pair in pairs_of(table)]
    name_rows(figure, names)
    return finish(figure, note, 130 + rows_height(names), title, width=40)


def verdicts(table: pd.DataFrame, titles: Mapping[str, str] | None = None, note: str = "", title: str = "") -> go.Figure:
    """Where the best system with a language model is ahead of the best without, where behind: a row a data set, a column an N.

    Args:
        table: Rows of `laser_core.study.contrast.Verdict.row`, with `dataset`.
        titles: Names of data sets as people say them.
    """
    marks, figure = {"ahead": ("▲", 1), "level": ("=", 0), "behind": ("▼", -1)}, go.Figure()
    ticks = {n: n if n == "all" else count(n) for n in sorted(table["shots"].unique(), key=lambda n: float("inf") if n == "all" else n)}
    names = {name: plain((titles or {}).get(name, name)) for name in table["dataset"].unique()}
    words = [
        f"<b>{in_lines(system_label(*row.with_lm), 60)}</b><br>{row.stands}<br>{in_lines(system_label(*row.without_lm), 60)}<br>"
        f"AUC {row.gap:+.4f} (95 %: {row.low:+.4f} to {row.high:+.4f})<br>{count(row.test_rows)} test rows, {row.seeds} seeds"
        for row in table.itertuples()
    ]
    figure.add_heatmap(
        x=[ticks[n] for n in table["shots"]],
        y=[names[name] for name in table["dataset"]],
        z=[marks[says][1] for says in table["says"]],
        text=[f"{marks[row.says][0]} {row.gap:+.3f}" for row in table.itertuples()],
        customdata=words,
        texttemplate="%{text}",
        hovertemplate="%{y}, N = %{x}<br>%{customdata}<extra></extra>",
        colorscale=[[0, NEGATIVE], [0.5, "#66707F"], [1, "#087F7B"]],  # white words can be read on each, on any ground
        textfont={"color": "#FFFFFF"},
        zmin=-1, zmax=1, showscale=False, xgap=3, ygap=3,
    )  # fmt: skip
    figure.update_xaxes(title="N (labels)", type="category", categoryorder="array", categoryarray=list(ticks.values()), showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return finish(figure, note, 150 + 44 * max(len(names), 2), title)


def within_users(table: pd.DataFrame, note: str = "", title: str = "") -> go.Figure:
    """GAUC of each system with its 95 % interval, the best on top, and as a ring its AUC over all pairs.

    Args:
        table: What `laser_core.study.contrast.within_users` returns, at one N.
    """
    figure = go.Figure()
    table = table.sort_values("gauc")
    names = [system_label(*pair) for pair in pairs_of(table)]
    figure.add_scatter(
        x=table["auc"],
        y=[plain(name, LONGEST) for name in names],
        mode="markers",
        name="AUC: pairs of any users",
        marker={"symbol": "circle-open", "size": 13, "color": INK, "line": {"width": 2}},
        hovertemplate="AUC, all pairs: %{x:.4f}<extra></extra>",
    )
    for name, row in zip(names, table.to_dict("records"), strict=True):
        hover = f"GAUC %{{x:.4f}} (95 %: {number(row['gauc_low'])} to {number(row['gauc_high'])})"
        add_dot(figure, name, style(row["system"], row["variant"]), row["gauc"], row["gauc_low"], row["gauc_high"], hover)
    figure.add_vline(x=0.5, line={"width": 1.5, "color": INK, "dash": "dot"})
    figure.update_xaxes(title="marks: test GAUC, pairs of one user (dotted: chance)", tickformat=".2f")
    name_rows(figure, names)
    return finish(figure, note, 150 + rows_height(names), title, width=40)


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
        fill="toself", fillcolor=fade(look.colour, 0.13), line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
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
    figure.update_yaxes(title="gain in test AUC", tickformat="+.4~f")
    note = f"the rest is answered by {first}, gain 0 · {note}"
    return finish(figure, note, 460, title)


DIAGONAL = {"width": 1, "color": fade(INK, 0.7)}
"""the line of knowing nothing, or of knowing all: thin and unbroken, as no system's is"""
FEW = 30
"""samples of a bin below which what was observed is mostly luck"""
Scored = tuple[str, str, np.ndarray, np.ndarray]
"""(system, name in words, labels, probabilities) of one result"""


def _roc_points(labels: np.ndarray, probabilities: np.ndarray, most: int = 400) -> dict[str, np.ndarray]:
    """false_rate and true_rate at every distinct threshold, thinned to about `most` points."""
    labels, probabilities = np.asarray(labels, dtype=np.int64), np.asarray(probabilities)
    order = np.argsort(-probabilities, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    hits = np.cumsum(labels[order])[ends]
    false = ends + 1 - hits
    keep = np.unique(np.linspace(0, len(ends) - 1, min(most, len(ends))).astype(int))
    rates = (np.append(0, counts[keep] / max(counts[-1], 1)) for counts in (false, hits))
    return dict(zip(("false_rate", "true_rate"), rates, strict=True))


def roc_table(results: Iterable[Scored]) -> pd.DataFrame:
    """The lines of `roc` as rows: system, name, false_rate (share of negatives called positive), true_rate (of positives found)."""
    tables = [pd.DataFrame({"system": system, "name": name, **_roc_points(*scores)}) for system, name, *scores in results]
    return pd.concat(tables or [pd.DataFrame(columns=["system", "name", "false_rate", "true_rate"])])


def roc(results: Iterable[Scored], note: str = "", title: str = "") -> go.Figure:
    """Receiver operating characteristic: hits against false alarms, a line a system."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="chance", line=DIAGONAL, hoverinfo="skip")
    for (system, name), rows in roc_table(results).groupby(["system", "name"], sort=False):
        look = style_by_name(system, name)
        figure.add_scatter(
            x=rows["false_rate"],
            y=rows["true_rate"],
            mode="lines",
            name=in_lines(name),
            line={"color": look.colour, "dash": look.dash, "width": look.width},
        )
    figure.update_xaxes(title="share of negatives called positive", range=[0, 1])
    figure.update_yaxes(title="share of positives found", range=[0, 1])
    return finish(figure, note, 520, title)


def calibration_table(results: Iterable[Scored]) -> pd.DataFrame:
    """The lines of `calibration` as rows: system, name, predicted (probability stated), observed (share of positives), samples."""
    curves = [(system, name, reliability(labels, probabilities)) for system, name, labels, probabilities in results]
    tables = [
        pd.DataFrame({"system": system, "name": name, "predicted": curve.predicted, "observed": curve.observed, "samples": curve.count})
        for system, name, curve in curves
    ]
    return pd.concat(tables or [pd.DataFrame(columns=["system", "name", "predicted", "observed", "samples"])])


def calibration(results: Iterable[Scored], note: str = "", title: str = "") -> go.Figure:
    """Observed share of positives against the stated probability; on the diagonal a probability means what it says."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfectly calibrated", line=DIAGONAL, hoverinfo="skip")
    table = calibration_table(results)
    for (system, name), rows in table[table["samples"] >= FEW].groupby(["system", "name"], sort=False):
        look, whole = style_by_name(system, name), in_lines(name, 60)
        figure.add_scatter(
            x=rows["predicted"],
            y=rows["observed"],
            mode="lines+markers",
            name=in_lines(name),
            line={"color": look.colour, "dash": look.dash, "width": look.width},
            marker={"symbol": look.symbol, "size": 8, "color": look.colour},
            customdata=[count(samples) for samples in rows["samples"]],
            hovertemplate=f"<b>{whole}</b><br>said %{{x:.2f}}, was %{{y:.2f}} (%{{customdata}} samples)<extra></extra>",
        )
    figure.update_xaxes(title="probability stated", range=[-0.02, 1.02])
    figure.update_yaxes(title="share of positives observed", range=[-0.02, 1.02])
    few = int((table["samples"] < FEW).sum())
    left_out = f"\n{few} bin{'s' * (few > 1)} of fewer than {FEW} samples left out." if few else ""
    return finish(figure, note + left_out, 520, title)


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
    return finish(figure, note, 340, title)


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
    return finish(figure, note, 460, title)


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
    note = f"log loss of {plain(second, LONGEST)} minus that of {plain(first, LONGEST)}, mean over a user's test samples · {note}"
    return finish(figure, note, 380, title)
