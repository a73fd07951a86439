"""One user: profile, history, candidates, what each system thought, the truth, and the exact prompt."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import streamlit as st
import words
from knowledge_view import has_texts, show_texts
from prompt_view import form_of, has_prompt, show_prompt
from shared import (
    CARRIED,
    choose_dataset,
    choose_systems,
    heading,
    in_order,
    need_results,
    number_column,
    open_dataset,
    predictions,
    results,
    samples,
    shots_in_order,
    shots_name,
    show_figure,
    show_table,
    test_users,
    text_column,
    titles,
)
from state import carried, choose, go

from laser_core import figures
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import LaserError
from laser_core.study import summary
from laser_core.systems import SYSTEMS

MOST_CANDIDATES = 20

heading(
    "User explorer", "A study is made of people. Pick one: what they liked, what was asked, what each system answered, and what was true."
)
chosen = results()
if not need_results(chosen):
    st.stop()


def event_table(dataset: CTRDataset, events: np.ndarray) -> pd.DataFrame:
    """Title, rating, label and time of some events."""
    times = pd.to_datetime(dataset.event_time[events], unit="s") if len(dataset.event_time) else pd.NaT
    return pd.DataFrame(
        {
            "title": [dataset.title(item) for item in dataset.event_item[events]],
            "rating": dataset.rating_values[dataset.event_rating[events]].astype(float),
            "label": dataset.event_label[events].astype(int),
            "time": times,
        }
    )


def searched(dataset: CTRDataset, row: int, most: int) -> np.ndarray:
    """The events of a sample's whole history most like its target, as SIM's search finds them."""
    from laser_core.crm.search import group_vectors, search  # scikit-learn takes a second to import, and only this view needs it

    return search(dataset, np.array([row]), group_vectors(dataset), most)[0]


def rows_of(origin: str, cells: pd.DataFrame) -> np.ndarray:
    """The test samples that every one of some results has an answer for: a smaller test set is part of a larger one."""
    if cells.empty:
        return np.array([], dtype=np.int64)
    try:
        return predictions(origin, cells.loc[cells["test_rows"].idxmin(), "key"])["row"].to_numpy()
    except LaserError:  # said where its answers are shown
        return np.array([], dtype=np.int64)


first, second, third = st.columns([3, 3, 2], vertical_alignment="bottom")
with first:
    name = choose_dataset(chosen.datasets())
dataset = open_dataset(name)
if dataset is None:
    st.stop()
about = dataset.about
done = chosen.done[chosen.done["dataset"] == name]
language = done[[name in SYSTEMS and SYSTEMS[name].family == "llm" for name in done["system"]]]  # its prompts are what to see here
users = test_users(name, dataset.version)
answered = rows_of(chosen.origin, language)
by_model = pd.Series(dataset.sample_user(answered)).value_counts().reindex(users.index, fill_value=0)
users = users[by_model.sort_values(ascending=False, kind="stable").index]  # first those whom the language model was asked about most
with second:
    id_field = dataset.field(about.user_field)
    user = int(
        choose(
            "user",
            "User",
            [int(code) for code in users.index],
            name=lambda code: f"{id_field.text(code)}  ·  {samples(users[code])}",
            help="Users with test samples; first those with the most answers of a language model. Type to search by id.",
        )
    )
with third:
    known = by_model.index[by_model > 0] if (by_model > 0).any() else users.index
    st.button(
        "Draw a user", icon=":material/casino:", on_click=lambda: go(user=random.choice(known), sample=None, part=None), width="stretch"
    )

# ---- what was asked ------------------------------------------------------------------------------------------------------------

rows = dataset.test[dataset.sample_user(dataset.test) == user]
rows = rows[np.argsort(~np.isin(rows, answered), kind="stable")]  # first those that the language model was asked about
total = len(rows)
if total > MOST_CANDIDATES:
    pages = -(-total // MOST_CANDIDATES)
    page = choose(
        "part",
        "Candidates",
        list(range(1, pages + 1)),
        name=lambda part: f"{(part - 1) * MOST_CANDIDATES + 1} to {min(part * MOST_CANDIDATES, total)} of {total}",
    )
    rows = rows[(page - 1) * MOST_CANDIDATES : page * MOST_CANDIDATES]
left, right = st.columns(2, vertical_alignment="bottom")
with left:
    options = shots_in_order(done["shots"])
    most = shots_in_order(language["shots"] if len(language) else done["shots"])[-1]
    shots = choose("n", "Models fitted on N labels", options, default=most, name=shots_name, help=figures.SHOTS_NOTE)
with right:
    seeds = sorted(done["seed"].unique())
    seed = choose("seed", "Seed of the subset", seeds)
cells = summary.widest(done[(done["shots"] == shots) & (done["seed"] == seed)])
points = chosen.summary(name)
at_n = summary.behind(cells, points[points["shots"] == shots])
cells = summary.behind(choose_systems(at_n, leading=at_n), cells)
cells = cells.sort_values("system", key=lambda column: column.map(in_order(cells["system"]).index), kind="stable")

titles_of_rows = {int(row): dataset.title(dataset.sample_item(np.array([row]))[0]) for row in rows}
repeated = pd.Series(list(titles_of_rows.values())).value_counts()
answers = []
for cell in cells.to_dict("records"):
    try:
        stored = predictions(chosen.origin, cell["key"])
    except LaserError as error:
        st.warning(words.markdown(error), icon=":material/error:")
        continue
    for answer in stored[stored["row"].isin(rows)].itertuples():
        title = titles_of_rows[answer.row]
        answers.append(
            {
                "row": int(answer.row),
                "candidate": title if repeated[title] == 1 else f"{title} [{answer.row}]",
                "label": int(answer.label),
                "system": cell["system"],
                "name": figures.system_label(cell["system"], cell["variant"]),
                "probability": float(answer.probability),
            }
        )
answers = pd.DataFrame(answers, columns=["row", "candidate", "label", "system", "name", "probability"])

profile = {field: dataset.field(field).text(user) or "unknown" for field in about.profile_fields}
history_all = dataset.history_events(int(rows.min()), 0)
liked = float(dataset.event_label[history_all].mean()) if len(history_all) else float("nan")
with st.container(border=True, horizontal=True, gap="large"):
    st.metric("User", words.markdown(id_field.text(user), 30), width="content")
    for field, value in profile.items():
        st.metric(words.markdown(field.capitalize(), 30), words.markdown(value, 30), width="content")
    st.metric("Ratings before", f"{len(history_all):,}", help="Ratings earlier than the first candidate below.", width="content")
    st.metric(
        "Liked before",
        "—" if not len(history_all) else f"{liked:.0%}",
        help=f"Share of those ratings that are positive ({words.markdown(about.label_rule)}).",
        width="content",
    )
    st.metric("Candidates", f"{len(rows)}", help="Test samples shown below.", width="content")

st.subheader("Candidates: what each system said, and the truth", anchor=False)
order = [int(row) for row in rows]
answers["place"] = answers["row"].map({row: place for place, row in enumerate(order)})
answers = answers.sort_values(["place"], kind="stable")
scale = (
    f"{titles()[name]} · user {id_field.text(user)} · models fitted on N = {shots_name(shots)} labels, seed {seed}\n{figures.SHOTS_NOTE}"
)
if answers.empty:
    st.info(
        "None of the chosen results has predictions for this user: choose another N, seed, or more systems.", icon=":material/touch_app:"
    )
else:
    event = show_figure(
        figures.candidates(answers, scale),
        f"user-{name}-{id_field.text(user)}",
        f"Dot plot: probability of a positive label by {answers['name'].nunique()} systems for {len(order)} candidates of user "
        f"{id_field.text(user)}.",
        answers.drop(columns="place"),
    )
    st.caption("Ground: green with ●, the user liked it; red with ○, did not. Each marker is one system's probability.")
    wide = answers.pivot_table(index=["place", "row", "candidate", "label"], columns="name", values="probability", sort=False).reset_index()
    wide["label"] = np.where(wide["label"] == 1, "● liked", "○ not")
    show_table(
        wide.drop(columns="place"),
        f"user-table-{name}",
        "Each candidate with the truth and each system's probability",
        {
            "row": number_column("Sample", "%d"),
            "candidate": text_column("Candidate", pinned=True),
            "label": text_column("Truth"),
            **{
                column: st.column_config.ProgressColumn(column, format="%.3f", min_value=0, max_value=1)
                for column in answers["name"].unique()
            },
        },
    )
names = [figures.system_label(*pair) for pair in summary.pairs_of(cells)]
found = answers["name"].value_counts().reindex(names, fill_value=0)
for text, lacking in (
    ("No answer for any of these candidates", found.index[found == 0]),
    ("No answer for some of these candidates", found.index[(found > 0) & (found < len(order))]),
):
    if len(lacking):
        st.caption(f"{text}: {words.markdown(', '.join(lacking))}. Slow systems are tested on a fixed part of the test set.")

# ---- one sample ----------------------------------------------------------------------------------------------------------------

st.subheader("One sample", anchor=False)
row = choose("sample", "Candidate", order, name=lambda one: f"{words.tidy(titles_of_rows[one], 80)}  ·  sample {one}")
most, timed = about.history_length, len(dataset.event_time) > 0
length = choose(
    "history",
    "History",
    ["recent", "alike", "whole"],
    name={"recent": f"the last {most}", "alike": f"the {most} most like the target", "whole": "everything before"}.get
    if timed
    else {"recent": f"{most} of them", "alike": f"the {most} most like the target", "whole": "all"}.get,
    kind="buttons",
    help=("" if timed else "These ratings have no time: what is called a history is in random order. ")
    + "Most models read the last ratings. SIM searches the whole history for those that share the most with the target "
    f"({words.markdown(about.group_field)}); retrieval does so for a language model, by the items' texts.",
)
recent, whole = dataset.history_events(row), dataset.history_events(row, 0)
events = {"recent": recent, "whole": whole}.get(length)
if events is None:
    events = searched(dataset, row, most)
past = event_table(dataset, events).assign(place=np.searchsorted(whole, events) + 1)
label = int(dataset.labels(np.array([row]))[0])
verdict = "liked it" if label else "did not like it"
own = answers[answers["row"] == row]
st.markdown(f"Target: **{words.markdown(titles_of_rows[row])}**. The truth: the user {verdict}.")
if past.empty:
    st.caption("No rating before this sample.")
else:
    show_figure(
        figures.history(past, f"{titles()[name]} · user {id_field.text(user)} · {len(past)} ratings before sample {row}"),
        f"history-{name}-{row}",
        f"Timeline of {len(past)} ratings before the target, {int(past['label'].sum())} of them positive.",
        past,
    )
    if length == "alike" and len(whole) > len(recent):
        st.caption(f"{np.isin(events, recent).sum()} of these {len(events)} are among the last {len(recent)} too. Found as SIM finds them.")
    with st.expander(f"The {len(past)} ratings as a list{', newest first' * timed}"):
        show_table(
            past[::-1] if timed else past.drop(columns="time"),
            f"history-table-{row}",
            "The ratings before the target",
            {
                "title": text_column("Title"),
                "rating": number_column("Rating", "%.1f"),
                "label": number_column("Label", "%d"),
                "time": st.column_config.DateColumn("Date"),
                "place": number_column("Place", "%,d", help=f"In the whole history{'; 1 is the oldest' * timed}."),
            },
        )

# ---- what each system made of it -----------------------------------------------------------------------------------------------

if not own.empty:
    st.markdown("**What each system said**")
    ranks = answers.groupby("name")["probability"].rank(ascending=False, method="min")[own.index].astype(int)
    sizes = answers.groupby("name")["probability"].transform("size")[own.index]
    said = pd.DataFrame(
        {
            "System": own["name"],
            "Probability": own["probability"],
            **({"Rank": [f"{rank} of {size}" for rank, size in zip(ranks, sizes, strict=True)]} if sizes.max() > 1 else {}),
            "Verdict": np.where((own["probability"] >= 0.5) == (label == 1), "right", "wrong"),
        }
    )
    show_table(
        said,
        f"said-{name}-{row}",
        "Probability, rank among the candidates shown and verdict of each system",
        {
            "System": text_column("System", width="medium"),
            "Probability": st.column_config.ProgressColumn("Probability", format="%.3f", min_value=0, max_value=1),
            "Rank": text_column(
                "Rank", help="Among this user's candidates shown above that the system was scored on; 1 is the most likely liked."
            ),
            "Verdict": text_column("Verdict", help="On the right side of one half?"),
        },
    )

for cell in cells.to_dict("records"):
    if has_texts(cell["system"]):
        name_of = figures.system_label(cell["system"], cell["variant"])
        with st.expander(f"The texts behind {words.markdown(name_of, 100)}", icon=":material/notes:"):
            show_texts(cell["options"], dataset, row)

readers = [cell for cell in cells.to_dict("records") if has_prompt(cell["system"])]
st.subheader("The exact prompt", anchor=False)
if not readers:
    st.info("Choose a language-model system above to see the prompt it reads for this sample.", icon=":material/touch_app:")
else:
    names = [figures.system_label(cell["system"], cell["variant"]) for cell in readers]
    reader = choose("prompt", "As read by", list(range(len(readers))), name=lambda place: names[place], kind="buttons")
    answer = own[own["name"] == names[reader]]["probability"]
    show_prompt(readers[reader]["system"], readers[reader]["options"], dataset, row, float(answer.iloc[0]) if len(answer) else None)
    if answer.empty:
        st.caption("This sample is not among the test rows that the system was scored on, so there is no stored probability.")
    form = form_of({**SYSTEMS[readers[reader]["system"]].preset, **json.loads(readers[reader]["options"])}) or "one"
    st.page_link(
        "lab.py",
        label="In the prompt lab: change it, score it, leave out one rating after another",
        icon=":material/science:",
        query_params={**carried(*CARRIED), "dataset": name, "user": str(user), "sample": str(row), "form": form},
    )
