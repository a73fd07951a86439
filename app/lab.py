"""Prompt lab: change what a language model reads - history, titles, template, words - and see what it answers."""

from __future__ import annotations

import difflib

import live
import numpy as np
import pandas as pd
import streamlit as st
import words
from prompt_view import FORMS, form_of, settings_of, tokens_html
from shared import (
    CARRIED,
    choose_dataset,
    heading,
    number_column,
    open_dataset,
    results,
    samples,
    show_figure,
    show_table,
    test_users,
    text_column,
)
from state import carried, choose, choose_many, go, switch

from laser_core import explain, figures
from laser_core.errors import LaserError, UserError
from laser_core.lm import backbones
from laser_core.lm.laser_llm import LaserLLM
from laser_core.lm.prompts import Prompt

MOST_CHARACTERS = 12_000
MOST_KEPT = 12
MOST_FOUND = 50

heading(
    "Prompt lab",
    "Change what the language model reads and see what it answers: leave out ratings, re-rate, add or hide titles, edit every word.",
)
ready = [name for name, backbone in backbones.BACKBONES.items() if backbone.kind == "decoder" and backbones.ready(name)]
if not ready:
    st.info("No language model is on this machine yet. Get the small one (93 MB) with:", icon=":material/download:")
    st.code("laser doctor --fetch", language="bash")
    st.stop()

# ---- whom and what --------------------------------------------------------------------------------------------------------------

first, second, third = st.columns([3, 3, 4], vertical_alignment="bottom")
with first:
    name = choose_dataset(results().datasets(), all_known=True)
dataset = open_dataset(name)
if dataset is None:
    st.stop()
users = test_users(name, dataset.version)
ids = dataset.field(dataset.about.user_field)
with second:
    user = int(
        choose(
            "user",
            "User",
            [int(code) for code in users.index],
            name=lambda code: f"{ids.text(code)}  ·  {samples(users[code])}",
        )
    )
rows = [int(row) for row in dataset.test[dataset.sample_user(dataset.test) == user]]
with third:
    row = choose(
        "sample",
        "Target",
        rows,
        name=lambda one: f"{words.tidy(dataset.title(dataset.sample_item(np.array([one]))[0]), 60)}  ·  sample {one}",
    )


def edits(key: str, most: tuple[int, int]) -> list[tuple[int, int]]:
    """Pairs `a:b` of whole numbers within their bounds from the address; anything else gets a message."""
    found, wrong = [], []
    for text in st.query_params.get_all(key)[:30]:
        left, _, right = text.partition(":")
        if left.isdecimal() and right.isdecimal() and len(text) < 20 and 1 <= int(left) <= most[0] and 1 <= int(right) <= most[1]:
            found.append((int(left), int(right)))
        else:
            wrong.append(text)
    if wrong:
        st.warning(
            f"The address asks for the change “{words.markdown(wrong[0], 40)}”, which is not possible here.", icon=":material/link_off:"
        )
        go_list(key, found)
    return found


def go_list(key: str, pairs: list[tuple[int, int]]) -> None:
    """Write pairs into the address."""
    if pairs:
        st.query_params[key] = [f"{left}:{right}" for left, right in pairs]
    else:
        st.query_params.pop(key, None)


left, right = st.columns(2)
with left:
    st.subheader("The model", anchor=False)
    backbone = choose("backbone", "Language model", ready, name=lambda one: backbones.BACKBONES[one].label)
    tuned = live.adapters(backbone)
    adapter = choose("adapter", "Adapter", list(tuned), help="Models that `laser train laser-llm ... --out models/NAME` wrote.")
    fitting = live.tuned_on(tuned[adapter])
    tuned_form = form_of(fitting)
    form = choose("form", "Prompt", list(FORMS), tuned_form, name=lambda one: FORMS[one][0])
    if fitting and tuned_form != form:
        st.caption(f"“{words.markdown(adapter)}” was tuned on another form of prompt: what it answers here says little about it.")
    if not fitting or tuned_form != form:
        fitting = settings_of(form)  # not the template and the history of the other form
    if form == "counted":
        st.caption("The recorded systems with this prompt do not take the model's answer but a regression on its middle blocks.")
    anonymous = switch(
        "anonymous",
        "Hide the titles",
        help=f"“{words.markdown(dataset.about.item_noun)} 17” for a title: what is left without memory?",
    )
stored = explain.history_of(dataset, row, fitting.get("history") or None)
earlier = explain.history_of(dataset, row, 0)[: -len(stored) or None]  # not shown, but counted where a prompt counts
codes = list(range(1, len(dataset.rating_values)))
with right:
    st.subheader("The history", anchor=False)

    def line(place: int) -> str:
        item, rating = stored[place - 1]
        return f"{place}. {words.tidy(dataset.title(item), 44)} ({dataset.rating_values[rating]:g})"

    places = list(range(1, len(stored) + 1))
    rerated = dict(edits("rate", (len(stored), codes[-1]))) if stored else {}
    added = edits("add", (dataset.items, codes[-1]))
    out = choose_many("out", "Leave out", places, default=[], name=line)
    with st.popover("Re-rate", icon=":material/star_half:", disabled=not stored, width="stretch"):
        if stored:
            which = st.selectbox("Rating", places, format_func=line, key="lab-which")
            to = st.select_slider(
                "New rating", codes, value=stored[which - 1][1], format_func=lambda code: f"{dataset.rating_values[code]:g}"
            )
            changed = {**rerated, which: to}
            st.button("Re-rate it", on_click=go_list, args=("rate", list(changed.items())), type="primary")
    with st.popover("Add a title", icon=":material/add:", width="stretch"):
        sought = st.text_input("Search", key="lab-search", max_chars=80).strip().lower()
        vocabulary = dataset.field(dataset.about.title_field)
        titles = [dataset.title(item) for item in range(1, dataset.items + 1)] if sought else []
        found = [item for item, title in enumerate(titles, start=1) if sought in title.lower()][:MOST_FOUND]
        if found:
            new = st.selectbox("Title", found, format_func=lambda item: words.tidy(dataset.title(item), 80))
            stars = st.select_slider("Its rating", codes, value=codes[-1], format_func=lambda code: f"{dataset.rating_values[code]:g}")
            st.button(
                "Add as the newest" if len(dataset.event_time) else "Add it",
                on_click=go_list,
                args=("add", [*added, (int(new), int(stars))]),
                type="primary",
            )
        elif sought:
            st.caption("No title has these letters.")
    changes = [
        *(f"left out: {line(place)}" for place in out),
        *(f"re-rated: {line(place)} → {dataset.rating_values[code]:g}" for place, code in rerated.items()),
        *(f"added: {words.tidy(dataset.title(item), 44)} ({dataset.rating_values[code]:g})" for item, code in added),
    ]
    if changes:
        st.markdown("\n".join(f"- {words.markdown(change)}" for change in changes))
        st.button("Undo all changes", on_click=go, kwargs={"out": None, "rate": None, "add": None}, icon=":material/undo:")

# ---- what it reads ----------------------------------------------------------------------------------------------------------------

history = [(item, rerated.get(place, code)) for place, (item, code) in enumerate(stored, start=1) if place not in out] + added


def reader_of(shown: int, titles: str) -> LaserLLM:
    """Whoever reads so many ratings: one that is left out is not replaced by an older one."""
    return LaserLLM(backbone=backbone, titles=titles, **{**fitting, "history": max(shown, 1)})


def read_of(history: list[tuple[int, int]], titles: str = "plain") -> Prompt:
    """The prompt after a history, or a message and the end of the page where it cannot be made."""
    try:
        return reader_of(len(history), titles).prompt(explain.what_if(dataset, row, earlier + history if history else []), 0)
    except LaserError as error:
        st.warning(words.markdown(error), icon=":material/error:")
        st.stop()


shown_as = "anonymous" if anonymous else "plain"
prompt, original = read_of(history, shown_as), read_of(stored)
st.subheader("What it reads", anchor=False)
free = switch("free", "Edit the text itself", help="The text is then scored as you write it; changes above no longer enter.")
if free:
    text = st.text_area("Prompt", prompt.text, height=360, max_chars=MOST_CHARACTERS, key=f"lab-text-{hash(prompt.text)}")
    try:
        prompt = explain.as_prompt(text, prompt.answers)
    except UserError as error:
        st.warning(words.markdown(error))
        st.stop()
tokens = backbones.tokenizer(backbone).encode(prompt.text)
over = len(tokens.ids) > explain.MOST_TOKENS
token_view, change_view = st.tabs(["Token by token", "Changes to the stored prompt"])
with token_view:
    st.html(tokens_html(prompt.text, tokens.offsets, {len(prompt.text): f" ▸ {' / '.join(prompt.answers)} ?"}))
with change_view:
    lines = difflib.unified_diff(original.text.splitlines(), prompt.text.splitlines(), "stored", "here", lineterm="", n=1)
    st.code("\n".join(words.tidy(one) for one in lines) or "no change", language="diff", wrap_lines=True)
st.caption(
    f"{len(tokens.ids):,} tokens, {prompt.history} ratings. Scored live: at most {explain.MOST_TOKENS:,} tokens, one prompt at a time."
)

# ---- what it answers --------------------------------------------------------------------------------------------------------------

lacking = live.missing()
if lacking:
    st.info(f"Live scoring needs {', '.join(lacking)}:", icon=":material/download:")
    st.code('pip install -e ".[all]" -c constraints.txt', language="bash")
    st.stop()
question = (backbone, adapter, prompt.text, prompt.answers)
with st.container(horizontal=True):
    asked = st.button("Score", type="primary", icon=":material/play_arrow:", disabled=over or not prompt.text.strip())
    each = st.button(
        "Which ratings matter?",
        icon=":material/rule:",
        disabled=over or free or not history,
        help="Scores the prompt once without each rating: one prompt a rating, some seconds on a CPU.",
    )
if asked:
    live.start("lab-job", live.Job(backbone, tuned[adapter], [original, prompt]))
    st.session_state["lab-question"] = question
if each:
    variants = [read_of(part, shown_as) for part in explain.leave_one_out(history)]
    live.start("lab-each", live.Job(backbone, tuned[adapter], [prompt, *variants]))
    st.session_state["lab-each-question"] = (question, history)

truth = "liked" if dataset.labels(np.array([row]))[0] else "did not like"
job = live.follow("lab-job")
if job is not None and job.state == "done" and st.session_state["lab-question"] == question:
    before, now = job.results
    yes, no = (answer.strip() for answer in prompt.answers)
    facts = st.columns(3)
    facts[0].metric(f"P({words.markdown(yes)}), stored prompt", f"{before:.3f}")
    facts[1].metric(f"P({words.markdown(yes)}), this prompt", f"{now:.3f}", f"{now - before:+.3f}", delta_color="off")
    facts[2].metric("The truth", f"the user {truth} it")
    kept = st.session_state.setdefault("lab-kept", [])
    variant = {
        "Sample": row,
        "Target": words.tidy(dataset.title(dataset.sample_item(np.array([row]))[0]), 60),
        "Model": f"{backbones.BACKBONES[backbone].label}, {adapter}",
        "Prompt": f"{form}{', titles hidden' if anonymous else ''}{', edited' if free else ''}",
        "Changes": "; ".join(changes) or "none",
        "Tokens": len(tokens.ids),
        "P stored": before,
        "P here": now,
    }

    def keep() -> None:
        st.session_state["lab-kept"] = [*kept, variant][-MOST_KEPT:]

    st.button("Keep this variant", on_click=keep, icon=":material/bookmark_add:", disabled=variant in kept)

effects = live.follow("lab-each")
if effects is not None and effects.state == "done" and st.session_state["lab-each-question"] == (question, history):
    whole, *without = effects.results
    table = pd.DataFrame(
        {
            "title": [f"{place}. {words.tidy(dataset.title(item), 60)}" for place, (item, _) in enumerate(history, start=1)],
            "rating": [float(dataset.rating_values[code]) for _, code in history],
            "effect": [whole - one for one in without],
        }
    )
    st.subheader("Which ratings matter", anchor=False)
    show_figure(
        figures.effects(table, f"P = {whole:.3f} with all {len(history)} ratings; a bar is P with the rating minus P without it."),
        f"effects-{name}-{row}",
        f"Bar chart: effect of each of {len(history)} ratings on the answer.",
        table,
    )
    st.caption("What the model does without a rating, not why: ratings that say the same share one effect between them.")

if st.session_state.get("lab-kept"):
    st.subheader("Kept variants", anchor=False)
    show_table(
        pd.DataFrame(st.session_state["lab-kept"]),
        "lab-kept",
        "Variants that were kept, side by side",
        {
            "Target": text_column("Target", width="medium"),
            "Changes": text_column("Changes", width="large"),
            "P stored": number_column("P, stored prompt", "%.3f"),
            "P here": number_column("P, this prompt", "%.3f"),
        },
    )
st.page_link(
    "user.py",
    label="Back to this user",
    icon=":material/person_search:",
    query_params={**carried(*CARRIED), "user": str(user), "sample": str(row)},
)
