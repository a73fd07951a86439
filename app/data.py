"""Data: a card for each data set: counts, balance, histories, fields, licence, traps."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
import words
from shared import choose_dataset, heading, number_column, open_dataset, results, show_figure, show_table, text_column

from laser_core import datasets, figures
from laser_core.bench.measure import read_record
from laser_core.errors import DataError
from laser_core.settings import get_settings

heading("Data", "What the systems learn from and are tested on. Every number here is counted from the data on this machine.")
name = choose_dataset(results().datasets(), all_known=True)
dataset = open_dataset(name)
if dataset is None:
    st.stop()


@st.cache_data(show_spinner="Counting …")
def card_of(name: str, version: str) -> dict[str, Any]:
    return datasets.card(open_dataset(name))


def known_by_heart(name: str, version: str) -> list[dict[str, Any]]:
    """What `laser probe` found out about this data set, recorded or in your store; nothing where there is no such record."""
    found = {}
    for folder in (get_settings().recorded, get_settings().store):
        try:
            found |= read_record(folder / "bench" / "memory.json")["parts"]
        except DataError:
            continue
    current = [part for part in found.values() if part["provenance"].get("data_version") == version]
    return [one for part in current for one in part["measurements"] if one["dataset"] == name]


card = card_of(name, dataset.version)
with st.container(border=True):
    facts = st.columns(5)
    facts[0].metric("Users", f"{card['users']:,}")
    facts[1].metric(f"{words.markdown(dataset.about.item_noun.capitalize())}s", f"{card['items']:,}")
    facts[2].metric("Ratings", f"{card['ratings']:,}")
    facts[3].metric("Samples", f"{card['samples']:,}", help="Ratings that are asked about; the others serve as history only.")
    facts[4].metric("Sparsity", f"{card['sparsity']:.2%}", help="Share of (user, item) pairs without a rating.")
rule = words.markdown(card["label_rule"])
st.markdown(f"A sample is **positive** if {rule}. Models read the last **{card['history_read']}** ratings of a history.")

left, right = st.columns(2)
with left:
    st.subheader("Ratings", anchor=False)
    shares = card["rating_share"]
    show_figure(
        figures.bars(shares, shares.values(), "rating", "share of ratings", words.tidy(card["title"]), percent=True),
        f"ratings-{name}",
        f"Bar chart: share of each rating in {card['title']}.",
        pd.DataFrame({"rating": list(shares), "share": list(shares.values())}),
    )
with right:
    st.subheader("Length of histories", anchor=False)
    lengths = card["history_lengths"]
    show_figure(
        figures.bars(lengths, lengths.values(), "quantile over samples", "earlier ratings of the user", words.tidy(card["title"])),
        f"histories-{name}",
        f"Bar chart: quantiles of the history length in {card['title']}.",
        pd.DataFrame({"quantile": list(lengths), "ratings": list(lengths.values())}),
    )

st.subheader("Splits", anchor=False)
splits = pd.DataFrame([{"split": part, **values} for part, values in card["splits"].items()])
show_table(
    splits,
    f"splits-{name}",
    "Size, balance and newcomers of each split",
    {
        "split": text_column("Split"),
        "samples": number_column("Samples", "%,d"),
        "positive_share": number_column("Positive", "percent"),
        "users": number_column("Users", "%,d"),
        "new_user_share": number_column("Of unseen users", "percent", help="Share of samples whose user has no training sample."),
        "new_item_share": number_column("Of unseen items", "percent", help="Share of samples whose target has no training sample."),
    },
)
st.subheader("Fields", anchor=False)
fields = pd.DataFrame([{"field": field, **values} for field, values in card["fields"].items()])
show_table(
    fields,
    f"fields-{name}",
    "The fields of users and items",
    {
        "field": text_column("Field"),
        "of": text_column("Of"),
        "values": number_column("Different values", "%,d"),
        "several": st.column_config.CheckboxColumn("Several at once"),
    },
)
known = known_by_heart(name, dataset.version)
st.subheader("Does a language model know it by heart?", anchor=False)
if known:
    show_table(
        pd.DataFrame(known)[["who", "case", "median", "low", "high", "pairs"]],
        f"memory-{name}",
        "How often a language model finds the true line likelier than a false one",
        {
            "who": text_column("Language model"),
            "case": text_column("Question"),
            "median": number_column("True line wins", "percent", help="50 %: it knows nothing of it."),
            "low": number_column("95 % low", "percent"),
            "high": number_column("95 % high", "percent"),
            "pairs": number_column("Pairs", "%,d"),
        },
    )
    st.caption(
        "title: the title after its item's number; rating: the rating after user and item; both against the line of another item. A model "
        "that has read the files would win far more than half. knowledge: what kind of item a title is, or whose; no memory of the data "
        "set, but what a model that knows the items knows."
    )
else:
    st.markdown("Not run. To run it:")
    st.code(f"laser probe {name}", language="bash")
st.subheader("Know this", anchor=False)
st.markdown("\n".join(f"- {words.markdown(trap)}" for trap in card["traps"]) or "No known trap.")
if card["facts"]:
    told = {name.replace("_", " ").capitalize(): f"{value:,}" if isinstance(value, int) else value for name, value in card["facts"].items()}
    st.markdown("\n".join(f"- {words.markdown(name)}: {words.markdown(value)}" for name, value in told.items()))
st.subheader("Licence and source", anchor=False)
st.markdown(f"Licence: {words.markdown(card['licence'])}.\n\nSource: {words.markdown(card['citation'])}.")
st.caption(f"Version of the parsed data: `{card['version']}`")
