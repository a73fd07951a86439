"""Sample efficiency: quality against the number of labels, a line a system; how many labels each needs to match another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
import words
from shared import (
    choose_dataset,
    choose_metric,
    choose_price,
    choose_systems,
    heading,
    in_order,
    need_results,
    not_run,
    number_column,
    paper_values,
    record,
    results,
    series_of,
    shots_name,
    show_figure,
    show_table,
    text_column,
    titles,
)
from state import choose, choose_many, switch

from laser_core import figures
from laser_core.errors import UserError
from laser_core.study import contrast, summary
from laser_core.systems import SYSTEMS

heading(
    "Sample efficiency",
    "How many labels does each system need? Left: almost none. Right: all there are. A line that starts high needs few labels.",
)
ACROSS = {
    "train_rows": "labels (N)",
    "labels_seen": "labels seen",
    "fit_seconds": "seconds to fit",
    "cpu_seconds": "CPU seconds",
    "price": "price of fitting",
}

chosen = results()
if not need_results(chosen):
    st.stop()

first, second, third, fourth = st.columns(4, vertical_alignment="bottom")
with first:
    dataset = choose_dataset(chosen.datasets())
with second:
    metric = choose_metric()
with third:
    x = choose("x", "Across", list(figures.X_AXES), name=ACROSS.get)
points = chosen.summary(dataset)
cells = chosen.done[chosen.done["dataset"] == dataset]
with fourth:
    all_seeds = sorted(cells["seed"].unique())
    seeds = choose_many("seeds", "Seeds", all_seeds, default=[], nothing="all", help="Each seed is another subset of the labels.")
if seeds:
    cells = cells[cells["seed"].isin(seeds)]
    points = chosen.summary(dataset, cells)
largest = summary.widest(points)
if len(largest) < len(points) and not switch(
    "subsets", "Smaller test sets too", help="Some systems were also scored on a part of the test split, beside those that cost more."
):
    points = largest
shown = choose_systems(points, leading=points)
if shown.empty:
    st.info("No system chosen: pick at least one above.", icon=":material/touch_app:")
    st.stop()
if x == "price":
    with st.container(border=True):
        st.markdown("**Your hardware**")
        shown = shown.assign(price=shown["fit_seconds"] * choose_price())
    if not shown["price"].gt(0).any():
        st.info("At this price everything is free: give a price for an hour above.", icon=":material/touch_app:")
        st.stop()


@st.cache_data(show_spinner="Drawing curves …", max_entries=256)
def curve(origin: str, cells: pd.DataFrame) -> contrast.Curve:
    return contrast.curve(lambda key: contrast.auc_draws(record(origin, key)), cells)


def needs(baseline: tuple[str, str]) -> pd.DataFrame:
    """For each shown system with two or more N: its data multipliers against a baseline, and where it matches it."""
    parts, wanted = [], {*zip(shown["system"], shown["variant"], strict=True)}
    wanted.add(baseline)
    groups = {place: group for place, group in cells.groupby(["system", "variant"], sort=False) if place in wanted}
    base = groups[baseline]
    for place, group in groups.items():
        if place == baseline:
            continue
        common = min(group["test_rows"].max(), base["test_rows"].max())
        try:
            one, other = (curve(chosen.origin, part[part["test_rows"] == part["test_rows"].max()]) for part in (group, base))
            parts.append(contrast.label_needs(one, other).assign(system=place[0], variant=place[1], test_rows=common))
        except UserError:
            continue  # measured at one N only: no curve
    return pd.concat(parts) if parts else pd.DataFrame()


def labels_in_words(value: float, ends: tuple[float, float], unit: str = "") -> str:
    """A number of labels (or a multiple), or what is known where it lies beyond what was measured."""
    if np.isinf(value):
        return f"> {ends[1]:,.3g}{unit}" if unit else f"more than {ends[1]:,.0f}"
    if value == 0:
        return f"< {ends[0]:,.3g}{unit}" if unit else f"at most {ends[0]:,.0f}"
    return f"{value:,.3g}{unit}" if unit else f"{value:,.0f}"


with st.container(horizontal=True, gap="large"):
    known = paper_values(dataset, metric)
    with_paper = switch("paper", "Paper's values", help="Dashed lines: the paper, all training data.") if known else False
    matching = switch(
        "match", "Labels needed to match", help="How many labels each system needs to reach a baseline that saw all labels, by AUC."
    )
matches, needed, baseline = {}, pd.DataFrame(), None
if matching:
    options = series_of(points)
    name = choose("baseline", "Baseline", list(options), default="sim", name=lambda one: figures.system_label(*options[one]))
    baseline = options[name]
    needed = needs(baseline)
    if not needed.empty and metric == "auc" and x == "train_rows":
        met = needed[(needed["question"] == "match") & np.isfinite(needed["value"]) & (needed["value"] > 0)]
        matches = dict(zip(zip(met["system"], met["variant"], strict=True), met["value"], strict=True))

references = (
    {f"{SYSTEMS[name].paper_row}, paper": value for name, value in known.items() if name in set(shown["system"])} if with_paper else {}
)
if baseline and metric == "auc":
    own = points[(points["system"] == baseline[0]) & (points["variant"] == baseline[1])].sort_values("train_rows")
    references[f"{figures.system_label(*baseline)}, N = {shots_name(own['shots'].iloc[-1])}"] = own["auc"].iloc[-1]
best = shown.sort_values(metric, ascending=figures.METRICS[metric].better < 0).iloc[0]
winner = f"{figures.system_label(best['system'], best['variant'])} with {figures.number(best[metric])} at N = {shots_name(best['shots'])}"
show_figure(
    figures.sample_efficiency(shown, metric, x, references, matches, titles()),
    f"sample-efficiency-{dataset}-{metric}",
    f"Line chart: test {figures.METRICS[metric].label} against {figures.X_AXES[x]} for {shown['system'].nunique()} systems on "
    f"{titles()[dataset]}. Best: {winner}.",
    shown,
)

if baseline:
    st.subheader(f"Labels needed to match {words.markdown(figures.system_label(*baseline))}", anchor=False)
    if needed.empty:
        st.info("A curve needs results at two or more N for the baseline and another system.", icon=":material/touch_app:")
    else:
        base_n = cells.query("system == @baseline[0] and variant == @baseline[1] and train_rows > 0")["train_rows"]
        rows = []
        needed = needed.assign(place=needed["system"].map(in_order(needed["system"]).index)).sort_values("place", kind="stable")
        for (system, variant), group in needed.groupby(["system", "variant"], sort=False):
            own = cells[(cells["system"] == system) & (cells["variant"] == variant)]
            own_n = own["train_rows"][own["train_rows"] > 0]  # an untuned model has no place on a curve
            row = {"System": figures.system_label(system, variant)}
            met = group[group["question"] == "match"].iloc[0]
            ends = (own_n.min(), own_n.max())
            row["Labels to match"] = labels_in_words(met["value"], ends)
            row["95 %"] = " to ".join(dict.fromkeys(labels_in_words(met[end], ends) for end in ("low", "high")))
            for point in group[group["question"] == "multiplier"].itertuples():
                ends = (base_n.min() / point.shots, base_n.max() / point.shots)
                value, low, high = (labels_in_words(number, ends, "x") for number in (point.value, point.low, point.high))
                row[f"N = {point.shots:,}"] = f"{value}  [{low}, {high}]"
            rows.append(row)
        times = needed[needed["question"] == "multiplier"]
        base_name = figures.system_label(*baseline)
        show_figure(
            figures.multipliers(times, base_name, f"{figures.scale_note(shown, titles())}. {figures.SHOTS_NOTE}"),
            f"multipliers-{dataset}",
            f"Line chart: how many times as many labels {base_name} needs as each of {needed['system'].nunique()} systems, by N.",
            times,
        )
        show_table(
            pd.DataFrame(rows),
            f"labels-needed-{dataset}",
            "Match points and data multipliers of each system against the baseline",
            {"System": text_column("System", pinned=True, width="medium")},
        )
        st.caption(
            "Labels to match: the smallest N at which a system reaches the AUC that the baseline has with its last N. Columns N: how many "
            "times as many labels the baseline needs for the AUC that the system has at that N. In brackets and under 95 %: bootstrap "
            "over seeds and test users. '>' and '<': beyond the N that were measured; the figure leaves such points out."
        )

st.subheader("The figure in numbers", anchor=False)
ordered = shown.assign(place=shown["system"].map(in_order(shown["system"]).index)).sort_values(["place", "variant", "train_rows"])
wide = pd.DataFrame(
    {
        "System": [figures.system_label(*pair) for pair in zip(ordered["system"], ordered["variant"], strict=True)],
        "N": [shots_name(value) for value in ordered["shots"]],
        "Labels seen": ordered["labels_seen"],
        "Value": ordered[metric],
        "Low": ordered.get(f"{metric}_low"),
        "High": ordered.get(f"{metric}_high"),
        "Seeds": ordered["seeds"],
        "Test rows": ordered["test_rows"],
        "Fit, seconds": ordered["fit_seconds"],
    }
)
show_table(
    wide,
    f"sample-efficiency-table-{dataset}",
    "The points of the figure as a table",
    {
        "System": text_column("System", pinned=True, width="medium"),
        "N": text_column("N (labels)", help=figures.SHOTS_NOTE),
        "Labels seen": number_column("Labels seen", "%,d", help="Distinct ratings whose label was in the fitting loss, mean over seeds."),
        "Value": number_column(figures.METRICS[metric].label, help=figures.METRICS[metric].help),
        "Low": number_column("95 % low"),
        "High": number_column("95 % high"),
        "Test rows": number_column("Test rows", "%,d"),
        "Fit, seconds": number_column("Fit, seconds", "%.1f", help="Wall seconds to fit, mean over seeds, on the machine that ran it."),
    },
)
not_run([name for name in SYSTEMS if name not in set(points["system"])], dataset, f"on {titles()[dataset]}")
