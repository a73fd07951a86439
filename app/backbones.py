"""Backbones: the paper's Table 3 beside ours, and which language models are on this machine."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st
from shared import heading, number_column, results, shots_name, show_table, text_column, title_of

from laser_core import figures
from laser_core.lm import backbones
from laser_core.study import paper
from laser_core.systems import SYSTEMS

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
    parts = []
    for dataset in readers["dataset"].unique():
        points = results().summary(dataset)
        options = readers[readers["dataset"] == dataset].drop_duplicates(["system", "variant"]).set_index(["system", "variant"])["options"]
        for row in points.to_dict("records"):
            text = options.get((row["system"], row["variant"]))
            if text is not None:
                backbone = json.loads(text).get("backbone", "not stated")
                label = backbones.BACKBONES[backbone].label if backbone in backbones.BACKBONES else backbone
                parts.append(
                    {"Data set": title_of(dataset), "Backbone": label, "name": figures.system_label(row["system"], row["variant"]), **row}
                )
    table = pd.DataFrame(parts)
    show_table(
        pd.DataFrame(
            {
                "Data set": table["Data set"],
                "Backbone": table["Backbone"],
                "System": table["name"],
                "N": [shots_name(value) for value in table["shots"]],
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
            "System": text_column("System", width="medium"),
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
