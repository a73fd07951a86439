"""Sample efficiency: quality against the number of labels, a line a system, with 95 % bands."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from shared import (
    choose_dataset,
    choose_metric,
    heading,
    in_order,
    need_results,
    not_run,
    number_column,
    paper_values,
    results,
    shots_name,
    show_figure,
    show_table,
    text_column,
    titles,
)
from state import choose, choose_many, switch

from laser_core import figures
from laser_core.systems import SYSTEMS

heading(
    "Sample efficiency",
    "How many labels does each system need? Left: almost none. Right: all there are. The higher a line starts, the more sample-efficient.",
)
chosen = results()
if not need_results(chosen):
    st.stop()

first, second, third, fourth = st.columns([3, 2, 3, 2], vertical_alignment="bottom")
with first:
    dataset = choose_dataset(chosen.datasets())
with second:
    metric = choose_metric()
with third:
    x = choose("x", "Across", list(figures.X_AXES), name=lambda name: figures.X_AXES[name].split(" (")[0])
points = chosen.summary(dataset)
with fourth:
    known = paper_values(dataset, metric)
    with_paper = (
        switch("paper", "Paper's values", help="Dashed lines: what the paper reports for systems trained on all data.") if known else False
    )
systems = choose_many("systems", "Systems", in_order(points["system"]), name=figures.system_label)

shown = points[points["system"].isin(systems)]
if shown.empty:
    st.info("No system chosen: pick at least one above.", icon=":material/touch_app:")
    st.stop()
references = (
    {f"{SYSTEMS[name].paper_row}, paper, all data": value for name, value in known.items() if name in systems} if with_paper else {}
)
figure = figures.sample_efficiency(shown, metric, x, references, titles())
best = shown.sort_values(metric, ascending=figures.METRICS[metric].better < 0).iloc[0]
winner = f"{figures.system_label(best['system'], best['variant'])} with {figures.number(best[metric])} at N = {shots_name(best['shots'])}"
show_figure(
    figure,
    f"sample-efficiency-{dataset}-{metric}",
    f"Line chart: test {figures.METRICS[metric].label} against {figures.X_AXES[x]} for {shown['system'].nunique()} systems on "
    f"{titles()[dataset]}. Best: {winner}.",
    shown,
)

st.subheader("The same in numbers", anchor=False)
wide = pd.DataFrame(
    {
        "System": [figures.system_label(*pair) for pair in zip(shown["system"], shown["variant"], strict=True)],
        "N": [shots_name(value) for value in shown["shots"]],
        "Labels seen": shown["labels_seen"],
        "Value": shown[metric],
        "Low": shown.get(f"{metric}_low"),
        "High": shown.get(f"{metric}_high"),
        "Seeds": shown["seeds"],
        "Test rows": shown["test_rows"],
        "Fit, seconds": shown["fit_seconds"],
    }
)
show_table(
    wide,
    f"sample-efficiency-table-{dataset}",
    "The points of the figure as a table",
    {
        "System": text_column("System", pinned=True),
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
