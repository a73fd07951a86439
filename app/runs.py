"""Runs: every stored result, its settings, cost, machine and the command that makes it again; two side by side."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pandas as pd
import streamlit as st
import words
from shared import (
    ALL,
    heading,
    in_order,
    number_column,
    own_study,
    record,
    results,
    shots_in_order,
    shots_name,
    show_figure,
    show_table,
    text_column,
    title_of,
)
from state import choose, choose_many, go

from laser_core import figures
from laser_core.study import planning, summary

heading(
    "Runs", "Every result behind the figures: one row a cell (data set, system, options, N, seed). Choose one or two rows to look inside."
)
chosen = results()
cells = chosen.cells
if cells.empty:
    st.info("There are no results here. The demo study takes a few minutes on two cores:", icon=":material/hourglass_empty:")
    st.code("laser demo", language="bash")
    st.stop()

columns = st.columns(4)
with columns[0]:
    names = choose_many("datasets", "Data sets", sorted(cells["dataset"].unique()), default=[], name=title_of, nothing="all")
with columns[1]:
    systems = choose_many("systems", "Systems", in_order(cells["system"]), default=[], name=figures.system_label, nothing="all")
with columns[2]:
    shots = choose_many("ns", "N (labels)", shots_in_order(cells["shots"]), default=[], name=shots_name, nothing="all")
with columns[3]:
    status = choose("status", "State", [ALL, *sorted(cells["status"].unique())])
kept = cells[cells["dataset"].isin(names)] if names else cells
kept = kept[kept["system"].isin(systems)] if systems else kept
kept = kept[kept["shots"].isin(shots)] if shots else kept
kept = kept[kept["status"] == status] if status != ALL else kept
kept = kept.reset_index(drop=True)

table = pd.DataFrame(
    {
        "Data set": kept["dataset"].map(title_of),
        "System": [figures.system_label(*pair) for pair in summary.pairs_of(kept)],
        "N": [shots_name(value) for value in kept["shots"]],
        "Seed": kept["seed"],
        "State": kept["status"],
        "AUC": kept["auc"],
        "Log loss": kept["log_loss"],
        "Labels seen": kept["labels_seen"],
        "Test rows": kept["test_rows"],
        "Fit, s": kept["fit_seconds"],
        "Predict, s": kept["predict_seconds"],
        "Memory, MB": kept["peak_memory_mb"],
        "Finished": pd.to_datetime(kept["finished"], utc=True, format="ISO8601"),
        "From": kept["origin"],
        "Key": kept["key"],
    }
)


def opened() -> None:
    """Put the rows that were clicked into the address."""
    rows = st.session_state["table-runs"]["selection"]["rows"][-2:]
    keys = [kept.loc[row, "key"] for row in rows if row < len(kept)]
    go(run=keys[0] if keys else None, other=keys[1] if len(keys) > 1 else None)


show_table(
    table,
    "runs",
    "Every stored result",
    {
        "System": text_column("System", pinned=True, width="medium"),
        "AUC": number_column("AUC"),
        "Log loss": number_column("Log loss"),
        "Labels seen": number_column("Labels seen", "%,d"),
        "Test rows": number_column("Test rows", "%,d"),
        "Fit, s": number_column("Fit, s", "%.1f"),
        "Predict, s": number_column("Predict, s", "%.2f"),
        "Memory, MB": number_column("Memory, MB", "%,.0f"),
        "Finished": st.column_config.DatetimeColumn("Finished", format="YYYY-MM-DD HH:mm"),
    },
    on_select=opened,
    selection_mode="multi-row",
)
failed = kept[kept["status"] == "failed"]
for row in failed.itertuples():
    st.warning(
        f"{words.markdown(figures.system_label(row.system, row.variant))}, N = {shots_name(row.shots)}, seed {row.seed} failed: "
        f"{words.markdown(row.error, 300)}",
        icon=":material/error:",
    )


def flat(value: Any, path: str = "") -> dict[str, str]:
    """A record as one line a setting."""
    if isinstance(value, dict):
        return {name: words for key, inner in value.items() for name, words in flat(inner, f"{path}{' · ' if path else ''}{key}").items()}
    return {path: value if isinstance(value, str) else json.dumps(value)}


def command_of(cell: dict[str, Any], variant: str) -> str:
    """What makes a result again: a study that it is part of, and the same fit on its own."""
    changed = planning.changed_options(cell["options"], variant)
    name, dataset, shots, seed = (cell[key] for key in ("system", "dataset", "shots", "seed"))
    study = planning.study_of(cell, variant)
    text = (
        f"laser study run {study}" if study else own_study(planning.study_text(dataset, [name], shots, [seed], cell["test_rows"], changed))
    )
    fit = ["laser", "train", name, dataset, "--shots", str(shots), "--seed", str(seed)]
    for option, value in changed.items():
        fit += ["--option", f"{option}={json.dumps(value)}"]
    return f"{text}\n{shlex.join([*fit, '--out', f'models/{name}'])}"


keys = list(dict.fromkeys(kept["key"]))
asked = [key for key in (st.query_params.get("run"), st.query_params.get("other")) if key]
unknown = [key for key in asked if key not in keys]
if unknown:
    st.warning(f"The address asks for run “{words.markdown(unknown[0], 40)}”, which does not exist here.", icon=":material/link_off:")
    go(run=None, other=None)
asked = [key for key in asked if key in keys]
if not asked:
    st.caption("Tick one row to see all of it, two to compare them.")
    st.stop()

records = [record(chosen.origin, key) for key in asked]
for column, one in zip(st.columns(len(records)), records, strict=True):
    with column:
        cell = one["cell"]
        system = figures.system_label(cell["system"], one["variant"])
        at = f"N = {shots_name(cell['shots'])}, seed {cell['seed']}"
        st.subheader(words.markdown(f"{title_of(cell['dataset'])}: {system}, {at}"), anchor=False)
        st.code(command_of(cell, one["variant"]), language="bash", wrap_lines=True)
        if one["curve"]:
            show_figure(
                figures.fit_curve(one["curve"], words.tidy(f"{title_of(cell['dataset'])} · run {one['key']}")),
                f"fit-{one['key']}",
                "Losses while fitting.",
                pd.DataFrame(one["curve"]),
            )
parts = [flat({name: value for name, value in one.items() if name not in ("curve", "schema", "draws")}) for one in records]
names = list(dict.fromkeys(name for part in parts for name in part))
inside = pd.DataFrame(
    {"Setting": names, **{f"Run {place}": [part.get(name, "") for name in names] for place, part in enumerate(parts, start=1)}}
)
if len(parts) == 2:
    inside.insert(1, "Differs", ["≠" if part[0] != part[1] else "" for part in inside[["Run 1", "Run 2"]].to_numpy()])
show_table(
    inside, "run-settings", "Everything that is stored of the chosen runs", {"Setting": text_column("Setting", pinned=True, width="large")}
)
