"""Backbones: the paper's Table 3 beside ours, and which language models are on this machine."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st
import words
from shared import choose_dataset, heading, number_column, results, shots_in_order, shots_name, show_table, text_column
from state import choose

from laser_core import figures
from laser_core.lm import backbones
from laser_core.lm.laser_llm import LaserLLM
from laser_core.study import paper, summary
from laser_core.systems import SYSTEMS


def backbone_of(options: dict[str, Any]) -> str:
    """The language models that a system reads with: the one that answers or is tuned, else its encoder; then who says what is alike, or
    knows its titles."""
    if options.get("vectors") in ("random", "none"):
        return "none"
    names = [options.get("backbone") or options.get("encoder") or "not stated"]
    if options.get("backbone") and (options.get("retrieval") or options.get("nearby")):
        names.append(options.get("encoder", LaserLLM.Options().encoder))
    if options.get("familiar"):
        names.append(options["language_model"])
    return ", ".join(dict.fromkeys(backbones.BACKBONES[name].label if name in backbones.BACKBONES else name for name in names))


heading("Backbones", "Does the claim hold whichever language model is behind it? The paper's Table 3 beside our own results.")

st.subheader("Table 3: compatibility with language models, MovieLens-1M", anchor=False)
theirs = paper.table_3()
show_table(
    pd.DataFrame({"System": theirs["row"], "Backbone": theirs["backbone"], "AUC": theirs["auc"], "Log loss": theirs["log_loss"]}),
    "table-3-paper",
    "The paper's AUC and log loss with three language models",
    {"AUC": number_column("AUC, paper"), "Log loss": number_column("Log loss, paper"), "System": text_column("System", width="medium")},
)

st.subheader("Ours", anchor=False)
done = results().done
readers = done[[SYSTEMS[name].family in ("llm", "llm+crm", "plm") if name in SYSTEMS else False for name in done["system"]]]
if readers.empty:
    st.info(
        "Not run: no result of a language-model system here. The demo runs one where its weights are on this machine:",
        icon=":material/hourglass_empty:",
    )
    st.code("laser doctor --fetch\nlaser demo", language="bash")
else:
    ran = {label for options in readers["options"].unique() for label in backbone_of(json.loads(options)).split(", ")} - {"none"}
    theirs_too = ran & set(theirs["backbone"])
    st.caption(
        f"These results, of all data sets, are of {words.markdown(', '.join(sorted(ran)) or 'no language model')}"
        f"{'.' if theirs_too else ' only; none of the models of the paper was run.'}"
    )
    left, right = st.columns(2)
    with left:
        there = set(readers["dataset"])
        dataset = choose_dataset([name for name in results().datasets() if name in there], default="ml-1m")
    points = results().summary(dataset)
    points = points[points["system"].isin(set(readers["system"]))]
    with right:
        all_shots = shots_in_order(points["shots"])
        shots = choose("n", "N (labels)", all_shots, default=all_shots[-1], name=shots_name, help=figures.SHOTS_NOTE)
    table = summary.widest(points[points["shots"] == shots])
    options = readers[readers["dataset"] == dataset].drop_duplicates(["system", "variant"]).set_index(["system", "variant"])["options"]
    used = [json.loads(options[pair]) for pair in summary.pairs_of(table)]
    show_table(
        pd.DataFrame(
            {
                "System": [figures.system_label(*pair) for pair in summary.pairs_of(table)],
                "Backbone": [backbone_of(own) for own in used],
                "AUC": table["auc"],
                "Low": table["auc_low"],
                "High": table["auc_high"],
                "Log loss": table["log_loss"],
                "Labels seen": table["labels_seen"],
                "Seeds": table["seeds"],
                "Test rows": table["test_rows"],
            }
        ),
        "table-3-ours",
        "Our results of language-model systems by backbone",
        {
            "System": text_column("System", width="large", pinned=True),
            "AUC": number_column("AUC"),
            "Low": number_column("95 % low"),
            "High": number_column("95 % high"),
            "Log loss": number_column("Log loss"),
            "Labels seen": number_column("Labels seen", "%,d"),
            "Test rows": number_column("Test rows", "%,d"),
        },
    )
    st.caption(figures.SHOTS_NOTE)

st.subheader("Language models the kit knows", anchor=False)
known = [
    {
        "Backbone": backbone.label,
        "Name": name,
        "Kind": backbone.kind,
        "Parameters": backbone.parameters or None,
        "Licence": backbone.licence,
        "Here": backbones.ready(name) is not None,
    }
    for name, backbone in backbones.BACKBONES.items()
]
show_table(
    pd.DataFrame(known),
    "backbones",
    "Language models by name, and whether their weights are on this machine",
    {
        "Parameters": number_column("Parameters", "compact"),
        "Here": st.column_config.CheckboxColumn("On this machine"),
        "Licence": text_column("Licence", width="medium"),
    },
)
st.caption("Any local folder in the transformers format works as a backbone too: option `backbone` of the system.")
