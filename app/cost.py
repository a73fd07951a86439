"""Cost and latency: quality against cost, the paper's Table 2 beside ours, and what a million predictions cost on your hardware."""

from __future__ import annotations

import pandas as pd
import streamlit as st
import words
from shared import (
    choose_dataset,
    choose_metric,
    choose_price,
    heading,
    need_results,
    number_column,
    of_series,
    results,
    shots_in_order,
    shots_name,
    show_figure,
    show_table,
    store,
    text_column,
    titles,
)
from state import amount, choose

from laser_core import figures
from laser_core.bench.measure import read_record
from laser_core.errors import DataError
from laser_core.settings import get_settings
from laser_core.study import paper, summary
from laser_core.systems import SYSTEMS

COSTS = {
    "predict": ("seconds a thousand predictions", "per_thousand"),
    "fit": ("seconds to fit", "fit_seconds"),
    "memory": ("peak memory, MB", "peak_memory_mb"),
    "money": ("price of a million predictions", "price"),
}


@st.cache_data(show_spinner="Reading where each result was measured …", max_entries=64)
def machines_of(origin: str, keys: tuple[str, ...]) -> list[str]:
    """The processor (and GPU) that each result was measured on."""
    found = [store(origin).read(key)["provenance"]["hardware"] for key in keys]
    return [" + ".join(filter(None, (one.get("cpu"), one.get("gpu")))) or "not stated" for one in found]


def serving() -> str:
    """What answers cost while serving, as `laser bench serving` recorded it; "" where it is not recorded."""
    try:
        parts = read_record(get_settings().recorded / "bench" / "serving.json")["parts"]
        told = [
            f"{one['who']} {figures.number(one['median'] / 1000, 2)} ({one['case'].replace('1 samples', '1 sample')})"
            for part in parts.values()
            for one in part["measurements"]
            if one["unit"] == "CPU-microseconds a sample"
        ]
        machines = sorted({part["provenance"]["hardware"]["cpu"] for part in parts.values()})
    except (DataError, KeyError):
        return ""
    if not told:
        return ""
    return f" Serving, CPU-milliseconds a sample on {', '.join(machines)} (`laser bench serving`): {words.markdown('; '.join(told))}."


heading(
    "Cost and latency",
    "What an improvement costs: measured on the machine that ran each result, over its own test rows (a fixed part of the test set where a "
    "system is slow).",
)
chosen = results()
if not need_results(chosen):
    st.stop()
first, second, third, fourth = st.columns(4, vertical_alignment="bottom")
with first:
    dataset = choose_dataset(chosen.datasets())
points = chosen.summary(dataset)
with second:
    all_shots = shots_in_order(points["shots"])
    reads = points["system"].map(lambda name: name in SYSTEMS and SYSTEMS[name].family == "llm")
    most = (shots_in_order(points.loc[reads, "shots"]) or all_shots)[-1]  # where the language model can be compared
    shots = choose("n", "N (labels)", all_shots, default=most, name=shots_name, help=figures.SHOTS_NOTE)
with third:
    metric = choose_metric()
with fourth:
    cost = choose("cost", "Cost", list(COSTS), name=lambda one: COSTS[one][0])

with st.container(border=True):
    st.markdown("**Your hardware**: what would a million predictions cost you?")
    left, right = st.columns([2, 1])
    with left:
        price_of_a_second = choose_price()
    with right:
        daily = amount("daily", "Predictions a day", 1_000_000.0, 1.0, 1e12, help="For the yearly sum in the table.")

shown = summary.widest(points[points["shots"] == shots])
done = chosen.done
cells = summary.widest(of_series(done[(done["dataset"] == dataset) & (done["shots"] == shots)], shown))
cells = cells.assign(machine=machines_of(chosen.origin, tuple(cells["key"])))
shown = summary.on_one_machine(shown, cells)
shown["per_thousand"] = 1000 * shown["predict_seconds"] / shown["test_rows"]
shown["price"] = 1000 * shown["per_thousand"] * price_of_a_second
label, column = COSTS[cost]
if shown[column].fillna(0).gt(0).any():
    show_figure(
        figures.pareto(
            shown.drop(columns="machine") if cost == "memory" else shown,
            metric,
            column,
            label,
            f"{figures.scale_note(shown, titles(), intervals=False)} · N = {shots_name(shots)}. {figures.SHOTS_NOTE}",
        ),
        f"cost-{dataset}-{metric}-{shots}-{cost}",
        f"Scatter: test {figures.METRICS[metric].label} against {label} for {len(shown)} systems on {titles()[dataset]}.",
        shown,
    )
else:
    st.info("All of these costs are zero: give a price for an hour above.", icon=":material/touch_app:")

st.subheader("Table 2: milliseconds a prediction, the paper beside ours", anchor=False)
theirs = paper.table_2()
theirs = 1000 * theirs[theirs["dataset"] == dataset].set_index("row")["seconds"]
rows = [
    {
        "System": figures.system_label(row["system"], row["variant"]),
        "Ours": row["per_thousand"],  # seconds a thousand are milliseconds a prediction
        "Paper": theirs.get(SYSTEMS[row["system"]].paper_row) if row["system"] in SYSTEMS else None,
        "Price": row["price"],
        "Year": row["price"] / 1e6 * daily * 365,
        "Fit": row["fit_seconds"],
        "Memory": row["peak_memory_mb"],
        "Parameters": row["parameters"],
        "Machine": row["machine"],
    }
    for row in shown.sort_values("per_thousand").to_dict("records")
]
ours = {SYSTEMS[name].paper_row for name in shown["system"] if name in SYSTEMS}
rows += [{"System": row, "Paper": milliseconds} for row, milliseconds in theirs.items() if row not in ours]
show_table(
    pd.DataFrame(rows),
    f"table-2-{dataset}-{shots}",
    "Milliseconds a prediction of each system, ours and the paper's",
    {
        "System": text_column("System", pinned=True, width="medium"),
        "Ours": number_column("Ours, ms", "%.3g", help="Wall time to predict the test rows, divided by their number; mean over seeds."),
        "Paper": number_column("Paper, ms", "%.3g", help="The paper states neither batch nor hardware."),
        "Price": number_column("Price a million", "%.3g", help="On the hardware described above."),
        "Year": number_column("Price a year", "%,.2f", help="At the predictions a day given above."),
        "Fit": number_column("Fit, seconds", "%.1f"),
        "Memory": number_column("Memory, MB", "%,.0f"),
        "Parameters": number_column("Parameters", "%,d", help="Numbers learned in fitting."),
    },
)
if theirs.empty:
    st.caption(f"The paper has no latency for {words.markdown(titles()[dataset])}.")
st.caption("Only times from the same machine can be compared.")
st.caption(
    "Seconds of LLM+CRM leave out what its language models spent on the vectors and titles that it takes from a store, once for each item; "
    f"those of LLM only count stored work at what it cost when it was made.{serving()}"
)
