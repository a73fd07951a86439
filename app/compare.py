"""Compare models: our values beside the paper's, at one N."""

from __future__ import annotations

import pandas as pd
import streamlit as st
import words
from shared import (
    choose_dataset,
    heading,
    in_order,
    need_results,
    not_run,
    number_column,
    paper_values,
    results,
    shots_in_order,
    shots_name,
    show_figure,
    show_table,
    text_column,
    titles,
)
from state import choose, choose_many

from laser_core import figures
from laser_core.metrics import relative_improvement
from laser_core.study import paper
from laser_core.systems import SYSTEMS

heading("Compare models", "All systems at the same number of labels, the paper's values beside ours where it has them.")
chosen = results()
if not need_results(chosen):
    st.stop()

first, second, third = st.columns([3, 2, 3], vertical_alignment="bottom")
with first:
    dataset = choose_dataset(chosen.datasets())
points = chosen.summary(dataset)
with second:
    all_shots = shots_in_order(points["shots"])
    shots = choose("n", "N (labels)", all_shots, default=all_shots[-1], name=shots_name, help=figures.SHOTS_NOTE)
with third:
    metric = choose(
        "metric",
        "Metric",
        list(figures.METRICS),
        name=lambda name: figures.METRICS[name].label,
        help="\n\n".join(f"**{one.label}**: {one.help}" for one in figures.METRICS.values()),
    )
at_n = points[points["shots"] == shots]
systems = choose_many("systems", "Systems", in_order(at_n["system"]), name=figures.system_label)
shown = at_n[at_n["system"].isin(systems)]
if shown.empty:
    st.info("No system chosen: pick at least one above.", icon=":material/touch_app:")
    st.stop()

measure = figures.METRICS[metric]
theirs = paper_values(dataset, metric)
show_figure(
    figures.comparison(shown, metric, theirs, titles()),
    f"compare-{dataset}-{metric}-{shots}",
    f"Dot plot: test {measure.label} of {len(shown)} systems on {titles()[dataset]} at N = {shots_name(shots)}, with 95 % intervals.",
    shown,
)

st.subheader("Table 1: the paper beside ours", anchor=False)
table_1 = paper.table_1()
table_1 = table_1[table_1["dataset"] == dataset].set_index("row")
if table_1.empty:
    st.caption(f"The paper has no values for {words.markdown(titles()[dataset])}; its data sets are MovieLens-1M and BookCrossing.")
elif shots != "all":
    st.caption("The paper's values are for all training data (LLM rows: see the study's notes); ours above are at the N you chose.")

rows = []
for name, system in SYSTEMS.items():
    ours = at_n[at_n["system"] == name]
    reported = table_1.loc[system.paper_row] if system.paper_row in table_1.index else {}
    for point in ours.to_dict("records") or [{}]:
        rows.append(
            {
                "System": figures.system_label(name, point.get("variant", "")),
                "AUC": point.get("auc"),
                "AUC low": point.get("auc_low"),
                "AUC high": point.get("auc_high"),
                "Paper AUC": reported.get("auc"),
                "Log loss": point.get("log_loss"),
                "Paper log loss": reported.get("log_loss"),
                "Seeds": point.get("seeds"),
                "Labels seen": point.get("labels_seen"),
                "Test rows": point.get("test_rows"),
                "State": "done" if point else "not run",
            }
        )
for row in table_1.index.difference([system.paper_row for system in SYSTEMS.values()], sort=False):
    rows.append(
        {"System": row, "Paper AUC": table_1.loc[row, "auc"], "Paper log loss": table_1.loc[row, "log_loss"], "State": "not in the kit yet"}
    )
table = pd.DataFrame(rows)
best = table["AUC"].max()
table.insert(4, "Rel.Impr", relative_improvement(best, table["AUC"]))
show_table(
    table,
    f"table-1-{dataset}-{shots}",
    "Systems with our and the paper's AUC and log loss",
    {
        "System": text_column("System", pinned=True),
        "AUC": number_column("AUC, ours"),
        "AUC low": number_column("95 % low"),
        "AUC high": number_column("95 % high"),
        "Rel.Impr": st.column_config.NumberColumn(
            "Rel.Impr", format="percent", help="AUC of our best system divided by this system's AUC, minus 1."
        ),
        "Paper AUC": number_column("AUC, paper"),
        "Log loss": number_column("Log loss, ours"),
        "Paper log loss": number_column("Log loss, paper"),
        "Labels seen": number_column("Labels seen", "%,d"),
        "Test rows": number_column("Test rows", "%,d"),
    },
)
st.caption(f"{figures.scale_note(shown, titles())}. {figures.SHOTS_NOTE}".replace("~", r"\~"))
not_run([name for name in SYSTEMS if name not in set(at_n["system"])], dataset, f"at N = {shots_name(shots)}")
