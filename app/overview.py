"""Overview: the question, what the results say so far, and where to go next; with a presenter mode, one figure at a time."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
import words
from shared import (
    CARRIED,
    choose_dataset,
    four_places,
    heading,
    need_results,
    not_run,
    of_series,
    predictions,
    results,
    series_of,
    shots_in_order,
    shots_name,
    show_figure,
    titles,
)
from state import carried, choose, switch
from state import go as go_to

from laser_core import figures
from laser_core.errors import UserError
from laser_core.study import contrast, summary
from laser_core.systems import SYSTEMS

QUESTION = "Do large language models make recommenders sample-efficient?"
LEAD = (
    "The Laser paper says yes, twice: a language model alone needs few labels to tell what a user will like, and it makes conventional "
    "recommendation models need fewer. Here is what this kit measured."
)
WAYS = (
    ("efficiency.py", "See the curves", "Quality against the number of labels, every system, with intervals."),
    ("compare.py", "Question them", "Paired gaps, calibration, slices; the paper's values beside ours."),
    ("user.py", "Meet a user", "One person's history, what each system said, the exact prompt."),
    ("cost.py", "Ask what it costs", "Seconds, memory and money for what is gained."),
)


@st.cache_data(show_spinner="Weighing the evidence …", max_entries=32)
def verdict_of(origin: str, cells: pd.DataFrame, shots: int | str) -> contrast.Verdict | None:
    return contrast.verdict(partial(predictions, origin), cells, shots)


def safe(series: tuple[str, str]) -> str:
    """The name of a (system, variant), for Markdown."""
    return words.markdown(figures.system_label(*series))


def first_with_a_verdict(points: pd.DataFrame) -> int | str | None:
    """The smallest N at which systems with and without a language model can be compared, conventional models among them if anywhere."""
    for others in ({"crm"}, {"reference"}):
        for n in shots_in_order(points["shots"]):
            families = {SYSTEMS[name].family for name in points[points["shots"] == n]["system"] if name in SYSTEMS}
            if families & {*contrast.LM_FAMILIES} and families & others:
                return n
    return None


def sentence(found: contrast.Verdict, dataset: str) -> str:
    """The verdict in words, safe for Markdown."""
    size = "all labels" if found.shots == "all" else f"{shots_name(found.shots)} labels"
    says = {"ahead": "is ahead of", "behind": "is behind", "level": "cannot be told apart from"}[found.says]
    one, other = safe(found.with_lm), safe(found.without_lm)
    return (
        f"On {words.markdown(titles()[dataset])}, with {size}, **{one}** {says} **{other}**, {found.rival_is}: "
        f"**{found.gap:+.3f} AUC** (95 % interval {found.low:+.3f} to {found.high:+.3f}, {found.test_rows:,} test samples, "
        f"{found.seeds} seed{'s' * (found.seeds > 1)})."
        + (" One seed: the interval speaks of the test users only." if found.seeds == 1 else "")
    )


def key_figures(found: contrast.Verdict | None, dataset: str, points: pd.DataFrame, cells: pd.DataFrame) -> None:
    """Four numbers."""
    shots = shots_in_order(points["shots"])
    best = {n: points[points["shots"] == n].sort_values("auc").iloc[-1] for n in {shots[0], shots[-1]}}
    columns = four_places()
    for column, n, words_of in ((columns[0], shots[0], "the fewest labels"), (columns[1], shots[-1], "the most labels")):
        row = best[n]
        column.metric(
            f"Best AUC, N = {shots_name(n)}",
            figures.number(row["auc"], 3),
            safe((row["system"], row["variant"])),
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help=f"With {words_of}. 95 % interval {figures.number(row['auc_low'], 3)} to {figures.number(row['auc_high'], 3)}.",
        )
    if found is None:
        for column, label in zip(columns[2:], ("LLM minus best other", "Labels to equal it"), strict=True):
            column.metric(label, "not run", "needs an LLM system", delta_color="off", delta_arrow="off", border=True, height="stretch")
        return
    columns[2].metric(
        "LLM minus best other",
        f"{found.gap:+.3f}",
        f"95 %: {found.low:+.3f} to {found.high:+.3f}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=f"AUC at N = {shots_name(found.shots)}, paired on common test samples: {safe(found.with_lm)} minus {safe(found.without_lm)}.",
    )
    try:
        needed = contrast.labels_to_match(cells, found.without_lm, found.with_lm_auc)
        most = cells[cells["system"] == found.without_lm[0]]["train_rows"].max()
        fewest = cells[cells["system"] == found.without_lm[0]]["train_rows"].min()
        value = f"> {most:,}" if np.isinf(needed) else f"≤ {fewest:,}" if needed == 0 else f"{needed:,.0f}"
    except UserError:
        value = "—"
    columns[3].metric(
        "Labels to equal it",
        value,
        f"instead of {shots_name(found.shots)}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=f"Labels that {safe(found.without_lm)} needs for the same AUC, read off its curve of means. The page "
        "'Sample efficiency' has the interval.",
    )


def leading(points: pd.DataFrame) -> pd.DataFrame:
    """Few enough systems for one look."""
    return of_series(points, pd.DataFrame(summary.leaders(points), columns=["system", "variant"]))


def slides(dataset: str, points: pd.DataFrame, found: contrast.Verdict | None) -> list[tuple[str, str, go.Figure]]:
    """(title, words, figure) of each slide."""
    shots = shots_in_order(points["shots"])
    shown = [
        (
            "How many labels does each system need?",
            sentence(found, dataset) if found else "Higher is better; further left is fewer labels.",
            figures.sample_efficiency(leading(points), titles=titles()),
        )
    ]
    for n in dict.fromkeys((shots[0], shots[-1])):
        at_n = points[points["shots"] == n]
        best = at_n.sort_values("auc").iloc[-1]
        name = safe((best["system"], best["variant"]))
        shown.append(
            (
                f"With {'all' if n == 'all' else shots_name(n)} labels",
                f"**{name}** leads with an AUC of {figures.number(best['auc'], 3)}.",
                figures.comparison(leading(at_n), titles=titles()),
            )
        )
    last = leading(points[points["shots"] == shots[-1]])
    last = last.assign(per_thousand=1000 * last["predict_seconds"] / last["test_rows"])
    if last["per_thousand"].gt(0).any():
        figure = figures.pareto(last, "auc", "per_thousand", "seconds a thousand predictions", figures.scale_note(last, titles()))
        shown.append(("What does it cost?", "Quality against time: left and up is better.", figure))
    return shown


def present(dataset: str, points: pd.DataFrame, found: contrast.Verdict | None) -> None:
    """Large type, one figure, next and back."""
    shown = slides(dataset, points, found)
    asked = st.query_params.get("slide", "1")
    place = int(asked) - 1 if asked.isdecimal() and 0 < int(asked) <= len(shown) else 0
    title, lead, figure = shown[place]
    st.html(
        "<style>.stMain h1{font-size:3rem} .stMain .st-key-lead p{font-size:1.6rem;line-height:1.4}"
        "[data-testid=stSidebar]{display:none}</style>"
    )
    st.title(title, anchor=False)
    with st.container(key="lead"):
        st.markdown(lead)
    show_figure(figures.enlarge(figure), f"slide-{place + 1}", f"Slide {place + 1}: {title}", points)
    back, middle, onward, leave = st.columns([1, 2, 1, 1], vertical_alignment="center")
    before = {"slide": place if place > 1 else None}
    back.button("Back", on_click=go_to, kwargs=before, disabled=place == 0, width="stretch", shortcut="Left")
    middle.progress((place + 1) / len(shown), f"{place + 1} of {len(shown)}")
    onward.button(
        "Next",
        on_click=go_to,
        kwargs={"slide": place + 2},
        disabled=place + 1 == len(shown),
        width="stretch",
        type="primary",
        shortcut="Right",
    )
    leave.button("End", on_click=go_to, kwargs={"present": None, "slide": None}, width="stretch")


chosen = results()
if chosen.done.empty:
    heading(QUESTION, LEAD)
    need_results(chosen)
    st.stop()
presenting = st.query_params.get("present") == "yes"
if not presenting:
    heading(QUESTION, LEAD)
    left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
else:
    left = middle = right = st.sidebar
with left:
    dataset = choose_dataset(chosen.datasets())
points = summary.widest(chosen.summary(dataset))
cells = chosen.done[chosen.done["dataset"] == dataset]
with middle:
    shots = choose(
        "n",
        "At N (labels)",
        shots_in_order(points["shots"]),
        default=first_with_a_verdict(points),
        name=shots_name,
        help=figures.SHOTS_NOTE,
    )
found = verdict_of(chosen.origin, cells, shots)
if presenting:
    present(dataset, points, found)
    st.stop()
with right:
    switch("present", "Presenter mode", help="Large type, one figure at a time. The arrow keys turn the pages.")

with st.container(border=True):
    if found is None:
        st.markdown(f"No language-model system has a result on {words.markdown(titles()[dataset])} at this N yet, so there is no verdict.")
    else:
        st.markdown(sentence(found, dataset))
key_figures(found, dataset, points, cells)
shown = leading(points)
series = len(series_of(points))
show_figure(
    figures.sample_efficiency(shown, titles=titles()),
    f"overview-{dataset}",
    f"Line chart: test AUC against labels for {shown['system'].nunique()} systems on {titles()[dataset]}.",
    points,
)
if len(shown) < len(points):
    st.caption(
        f"Of each kind of system the best with the fewest labels and the best with the most, out of {series}. "
        "Sample efficiency draws any of them."
    )
for place, (page, label, why) in zip(four_places(), WAYS, strict=True):
    with place.container(border=True, height="stretch"):
        st.page_link(page, label=f"**{label}**", query_params=carried(*CARRIED))
        st.caption(why)
not_run([name for name in SYSTEMS if name not in set(points["system"])], dataset, f"on {titles()[dataset]}")
