"""Cost and latency: quality against cost, the paper's Table 2 beside ours, a million predictions on your hardware, and routing."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st
import words
from shared import (
    choose_dataset,
    choose_metric,
    choose_price,
    choose_shots,
    heading,
    how_measured,
    machines_of,
    need_results,
    number_column,
    on_same_rows,
    predictions,
    results,
    series_of,
    shots_name,
    show_figure,
    show_table,
    text_column,
    titles,
)
from state import amount, choose

from laser_core import figures
from laser_core.bench.measure import read_record
from laser_core.errors import DataError, LaserError
from laser_core.settings import get_settings
from laser_core.study import contrast, paper, summary
from laser_core.study.routing import routing
from laser_core.systems import SYSTEMS

COSTS = {
    "predict": ("seconds a thousand predictions", "per_thousand"),
    "fit": ("seconds to fit", "fit_seconds"),
    "memory": ("peak memory, MB", "peak_memory_mb"),
    "money": ("price of a million predictions", "price"),
}


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
    return f"Serving, CPU-milliseconds a sample on {', '.join(machines)} (`laser bench serving`): {words.markdown('; '.join(told))}."


@st.cache_data(show_spinner="Asking where it is unsure …", max_entries=64)
def routed(origin: str, cheap: pd.DataFrame, dear: pd.DataFrame) -> pd.DataFrame:
    return routing(partial(predictions, origin), cheap, dear)


def where_it_is_unsure(shown: pd.DataFrame, cells: pd.DataFrame) -> None:
    """One system answers, and a dearer one where the first is unsure: what is each share worth, and what does it cost?"""
    known, ranked = series_of(shown), series_of(shown.sort_values("auc", ascending=False))
    sides = {name: contrast.side(*pair) for name, pair in ranked.items()}
    best = {side: next((name for name in ranked if sides[name] == side), None) for side in ("without", "with")}
    if None in best.values():
        return
    st.subheader("Ask the language model only where another system is unsure", anchor=False)
    left, right = st.columns(2)
    pair = []
    for place, key, label, default in ((left, "cheap", "Answers first", "without"), (right, "dear", "Asked where that is unsure", "with")):
        with place:
            name = choose(key, label, list(known), default=best[default], name=lambda one: figures.system_label(*known[one]))
            pair.append(known[name])
    cheap, dear = (summary.of_series(cells, series) for series in pair)
    try:
        table = routed(chosen.origin, cheap, dear)
    except LaserError as error:  # nothing in common, or the samples are not on this machine
        st.info(f"{words.markdown(str(error)[:1].upper() + str(error)[1:], 400)}.", icon=":material/touch_app:")
        return
    first, second = (summary.of_series(shown, series).iloc[0] for series in pair)
    table = table.assign(per_thousand=first["per_thousand"] + table["share"] * second["per_thousand"])
    if first["machine"] != second["machine"]:
        table["per_thousand"] = None
    seeds, rows = table[["seeds", "test_rows"]].iloc[0]
    scale = f"{titles()[dataset]} · {seeds} seed{'s' * (seeds > 1)} · {rows:,} test rows · N = {shots_name(shots)}"
    show_figure(
        figures.routing(table, *pair, f"{scale} · 95 % intervals over seeds and test users\n{figures.SHOTS_NOTE}"),
        f"routing-{dataset}-{shots}",
        "Line chart: gain in AUC against the share of samples that the second system answers, by unsureness and by lot.",
        table,
        "A sample is the more unsure the nearer its first probability is to .5; no label decides who is asked."
        + ("" if first["machine"] == second["machine"] else "\nTheir times are of different machines and are not added."),
    )
    st.caption("Where the line is no higher than the broken one, unsureness is no reason to ask: any other samples would do as well.")
    show_table(
        table[["share", "auc", "gap", "low", "high", "lot", "lot_low", "lot_high", "per_thousand"]],
        f"routing-table-{dataset}-{shots}",
        "Gain in AUC and seconds for each share of samples that the second system answers",
        {
            "share": number_column("Share asked", "percent"),
            "auc": number_column("AUC"),
            "gap": number_column("Gain", "%+.4f", help="AUC minus that of the first system alone."),
            "low": number_column("95 % low", "%+.4f"),
            "high": number_column("95 % high", "%+.4f"),
            "lot": number_column(
                "Over a lot", "%+.4f", help="AUC minus that where as many samples, drawn by lot, go to the second system."
            ),
            "lot_low": number_column("Lot, 95 % low", "%+.4f"),
            "lot_high": number_column("Lot, 95 % high", "%+.4f"),
            "per_thousand": number_column("Seconds a thousand", "%.3g", help="Of the first system, and that share of the second's."),
        },
    )


heading("Cost and latency", "What does an improvement cost, in seconds, memory and money?")
chosen = results()
if not need_results(chosen):
    st.stop()
first, second, third, fourth = st.columns(4, vertical_alignment="bottom")
with first:
    dataset = choose_dataset(chosen.datasets())
points = chosen.summary(dataset)
with second:
    shots = choose_shots(points)
with third:
    metric = choose_metric()
with fourth:
    cost = choose("cost", "Cost", list(COSTS), name=lambda one: COSTS[one][0])

answer = st.container()  # first on the page, though the price in it is asked for below
with st.container(border=True):
    st.markdown("**Your hardware**: what would a million predictions cost you?")
    left, right = st.columns([2, 1])
    with left:
        price_of_a_second = choose_price()
    with right:
        daily = amount("daily", "Predictions a day", 1_000_000.0, 1.0, 1e12, help="For the yearly sum in the table.")

shown = summary.widest(points[points["shots"] == shots])
done = chosen.done
cells = summary.widest(summary.behind(shown, done[(done["dataset"] == dataset) & (done["shots"] == shots)]))
cells = cells.assign(machine=machines_of(chosen.origin, tuple(cells["key"])))
shown = summary.on_one_machine(shown, cells)
shown["price"] = 1000 * shown["per_thousand"] * price_of_a_second
alike, _ = on_same_rows(chosen.origin, cells, intervals=False)  # qualities only: times are those of all samples that were scored
places = [name for name in summary.POINT if name != "test_rows"]
shown = shown.drop(columns=["test_rows", metric]).merge(summary.summarise(alike)[[*places, "test_rows", metric]], on=places)
label, column = COSTS[cost]


def rounded(value: float, digits: int) -> str:
    """A number of so many digits as people read it: 32,000, not 3.2e+04."""
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def best_of_both_sides() -> str:
    """The best system without a language model and the best with one, and what each costs; "" where there are not both."""
    sides = [contrast.side(*pair) for pair in summary.pairs_of(shown)]
    ranked = figures.METRICS[metric].best_first(shown.assign(side=sides))
    rows = [ranked[ranked["side"] == side].head(1).to_dict("records") for side in ("without", "with")]
    if not all(rows):
        return ""
    (one,), (other,) = rows
    told = [
        f"**{words.markdown(figures.system_label(row['system'], row['variant']))}** with {figures.METRICS[metric].label} "
        f"{figures.number(row[metric])} for {rounded(row[column], 3)}"
        for row in (one, other)
    ]
    alike = cost == "memory" or one["machine"] == other["machine"]
    last = f", {rounded(other[column] / one[column], 2)} times as much" if alike and one[column] > 0 else ""
    return (
        f"In {label}, best without a language model: {told[0]}; best with one: {told[1]}{last}."
        + ("" if alike else " Measured on different machines, these do not compare.")
        + " Whether the second is better for more than luck, Compare models tells."
    )


with answer:
    if shown[column].fillna(0).gt(0).any():
        st.markdown(best_of_both_sides())
        show_figure(
            figures.pareto(
                shown.drop(columns="machine") if cost == "memory" else shown,
                metric,
                column,
                label,
                f"{figures.scale_note(shown, titles(), intervals=False)} · N = {shots_name(shots)}\n{figures.SHOTS_NOTE}",
            ),
            f"cost-{dataset}-{metric}-{shots}-{cost}",
            f"Scatter: test {figures.METRICS[metric].label} against {label} for {len(shown)} systems on {titles()[dataset]}.",
            shown,
            "Costs were measured on the machine that ran each result, over its own test rows (a fixed part of the test set where a system "
            "is slow). Seconds of LLM+CRM leave out what its language models spent on what it takes from a store, once for each item.",
        )
    else:
        st.info("All of these costs are zero: give a price for an hour below.", icon=":material/touch_app:")

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
        "Ours": number_column("Ours, ms", "%.3g", help="Wall time to predict the test rows, divided by their number; median over seeds."),
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
how_measured(
    "Seconds of LLM+CRM leave out what its language models spent on the vectors and titles that it takes from a store, once for each item; "
    "those of LLM only count stored work at what it cost when it was made.",
    *filter(None, [serving()]),
)
where_it_is_unsure(*(own[own["current"].astype(bool)] for own in (shown, cells)))
