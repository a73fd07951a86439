"""Sample efficiency: quality against the number of labels, a line a system; how many labels each needs to match another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
import words
from shared import (
    asked_at_once,
    choose_dataset,
    choose_metric,
    choose_price,
    choose_systems,
    heading,
    in_order,
    need_results,
    not_asked,
    not_run,
    number_column,
    options_in_words,
    paper_values,
    record,
    results,
    series_of,
    shots_name,
    show_figure,
    show_table,
    text_column,
    titles,
    within_users,
)
from state import choose, choose_many, switch

from laser_core import figures
from laser_core.study import learning_curves, summary
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
    metric = choose_metric(all_known=True)
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
measured = points
largest = summary.widest(points)
if len(largest) < len(points) and not switch(
    "subsets", "Smaller test sets too", help="Some systems were also scored on a part of the test split, beside those that cost more."
):
    points = largest
if metric == "gauc":
    asked = asked_at_once(chosen.origin, cells)
    run = set(points["system"])
    points = points.merge(asked[summary.POINT].drop_duplicates())
    if points.empty:
        not_asked()
        st.stop()
shown = choose_systems(points, leading=points)
if shown.empty:
    st.info("No system chosen: pick at least one above.", icon=":material/touch_app:")
    st.stop()
if metric == "gauc":
    shown = within_users(chosen.origin, asked.merge(shown[summary.POINT]))
    st.caption("GAUC of the results whose systems were asked about all of a user's test items at one moment, as a recommender ranks them.")
if x == "price":
    with st.container(border=True):
        st.markdown("**Your hardware**")
        shown = shown.assign(price=shown["fit_seconds"] * choose_price())
    if not shown["price"].gt(0).any():
        st.info("At this price everything is free: give a price for an hour above.", icon=":material/touch_app:")
        st.stop()


@st.cache_data(show_spinner="Drawing curves …", max_entries=256)
def pair_needs(origin: str, pair: pd.DataFrame, one: tuple[str, str], baseline: tuple[str, str]) -> pd.DataFrame:
    return learning_curves.pair_needs(lambda key: learning_curves.auc_draws(record(origin, key)), pair, one, baseline)


def needs(baseline: tuple[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """Data multipliers of each shown system against a baseline and where it matches it, on the test rows of both; and who has none."""
    groups = dict(list(cells.groupby(["system", "variant"], sort=False)))
    parts, without = [], []
    for place in series_of(shown).values():
        if place == baseline:
            continue
        found = pair_needs(chosen.origin, pd.concat([groups[place], groups[baseline]]), place, baseline)
        if found.empty:
            without.append(figures.system_label(*place))
        else:
            parts.append(found.assign(system=place[0], variant=place[1]))
    return pd.concat(parts) if parts else pd.DataFrame(), without


def labels_in_words(value: float, ends: tuple[float, float], unit: str = "") -> str:
    """A number of labels (or a multiple), or what is known where it lies beyond what was measured."""
    if np.isinf(value):
        return f"> {ends[1]:,.3g}{unit}" if unit else f"more than {ends[1]:,.0f}"
    if value == 0:
        return f"< {ends[0]:,.3g}{unit}" if unit else f"at most {ends[0]:,.0f}"
    return f"{value:,.3g}{unit}" if unit else f"{value:,.0f}"


with st.container(horizontal=True, gap="large"):
    known = paper_values(dataset, metric)
    with_paper = (
        switch(
            "paper",
            "Paper's values",
            help="Broken levels in the colours of the systems: the paper. Point at one to see on how many samples.",
        )
        if known
        else False
    )
    matching = switch(
        "match", "Labels needed to match", help="How many labels each system needs to reach a baseline that saw all labels, by AUC."
    )
matches, needed, left_out, baseline = {}, pd.DataFrame(), [], None
if matching:
    options = series_of(points)
    name = choose("baseline", "Baseline", list(options), default="sim", name=lambda one: figures.system_label(*options[one]))
    baseline = options[name]
    needed, left_out = needs(baseline)
    if not needed.empty and metric == "auc" and x == "train_rows":
        met = needed[(needed["question"] == "match") & np.isfinite(needed["value"]) & (needed["value"] > 0)]
        met = met[met["test_rows"] == needed["test_rows"].max()]  # the line that they meet is that of the largest test set
        matches = dict(zip(summary.pairs_of(met), met["value"], strict=True))

theirs = {name: value for name, value in known.items() if with_paper and name in set(shown["system"])}
references = {}
if baseline and metric == "auc":
    own = summary.of_series(points, baseline).sort_values(["test_rows", "train_rows"])
    references[f"{figures.system_label(*baseline)}, N = {shots_name(own['shots'].iloc[-1])}"] = own["auc"].iloc[-1]
best = figures.METRICS[metric].best_first(shown).iloc[0]
winner = f"{figures.system_label(best['system'], best['variant'])} with {figures.number(best[metric])} at N = {shots_name(best['shots'])}"
show_figure(
    figures.sample_efficiency(shown, metric, x, references, matches, titles(), paper=theirs),
    f"sample-efficiency-{dataset}-{metric}",
    f"Line chart: test {figures.METRICS[metric].label} against {figures.X_AXES[x]} for {shown['system'].nunique()} systems on "
    f"{titles()[dataset]}. Best: {winner}.",
    shown,
)
options_in_words(shown)

if baseline:
    base_name = figures.system_label(*baseline)
    st.subheader(f"Labels needed to match {words.markdown(base_name)}", anchor=False)
    if needed.empty:
        st.info(
            "Needed are results at two or more N for the baseline and another system, on the same test rows.", icon=":material/touch_app:"
        )
    else:
        rows = []
        needed = needed.assign(place=needed["system"].map(in_order(needed["system"]).index)).sort_values("place", kind="stable")
        for (system, variant), group in needed.groupby(["system", "variant"], sort=False):
            rows_of_both = group["test_rows"].iloc[0]
            on_them = measured[(measured["test_rows"] == rows_of_both) & (measured["train_rows"] > 0)]  # untuned: no place on a curve
            own_n, base_n = (summary.of_series(on_them, series)["train_rows"] for series in ((system, variant), baseline))
            row = {"System": figures.system_label(system, variant), "Test rows": rows_of_both}
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
        compared = measured.merge(times[["system", "variant", "test_rows"]].drop_duplicates())
        show_figure(
            figures.multipliers(times, base_name, f"{figures.scale_note(compared, titles())}\n{figures.SHOTS_NOTE}"),
            f"multipliers-{dataset}",
            f"Line chart: how many times as many labels {base_name} needs as each of {needed['system'].nunique()} systems, by N.",
            times,
            "Each system and the baseline on the same test rows. How many times as many labels the baseline needs for the AUC that the "
            "system has with N; whiskers: bootstrap over seeds and test users. Points beyond the N that were measured are left out.",
        )
        show_table(
            pd.DataFrame(rows),
            f"labels-needed-{dataset}",
            "Match points and data multipliers of each system against the baseline",
            {"System": text_column("System", pinned=True, width="medium"), "Test rows": number_column("Test rows", "%,d")},
        )
        st.caption(
            "Labels to match: the smallest N at which a system reaches the AUC that the baseline has with its last N. Columns N: the "
            "figure. '>' and '<': beyond the N that were measured."
        )
    if left_out:
        st.caption(
            f"Left out, as they share no test rows with {words.markdown(base_name)} at two or more N: "
            f"{words.markdown('; '.join(left_out))}. Another baseline may."
        )

st.subheader("The figure in numbers", anchor=False)
ordered = shown.assign(place=shown["system"].map(in_order(shown["system"]).index)).sort_values(["place", "variant", "train_rows"])
wide = pd.DataFrame(
    {
        "System": [figures.system_label(*pair) for pair in summary.pairs_of(ordered)],
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
        "Fit, seconds": number_column("Fit, seconds", "%.1f", help="Wall seconds to fit, median over seeds, on the machine that ran it."),
    },
)
if metric == "gauc" and (others := in_order(run - set(points["system"]))):
    with st.expander(f"Run but not asked at once on {titles()[dataset]}: {len(others)} systems"):
        st.markdown(words.markdown(", ".join(map(figures.system_label, others))))
        st.code("laser study at-once STUDY", language="bash")
not_run([name for name in SYSTEMS if name not in set(measured["system"])], dataset, f"on {titles()[dataset]}")
