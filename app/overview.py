"""Overview: the question, what the results say so far, and where to go next; with a presenter mode, one figure at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
import words
from shared import (
    CARRIED,
    asked_at_once,
    at_once,
    choose_dataset,
    four_places,
    heading,
    how_measured,
    machines_of,
    need_results,
    not_run,
    predictions,
    record,
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
from laser_core.errors import FaultError
from laser_core.metrics import Interval
from laser_core.study import contrast, learning_curves, summary
from laser_core.systems import SYSTEMS

QUESTION = "Do large language models make recommenders sample-efficient?"
LEAD = (
    "The Laser paper says yes, twice: a language model alone needs few labels to tell what a user will like, and it makes conventional "
    "recommendation models need fewer. Here is what this kit measured."
)
SAME = ["system", "variant", "shots", "revision", "data_version"]
"""what makes a point on some test rows and one on others the same system with the same labels"""
ENOUGH_LABELS = 256
"""with fewer, which of them were drawn decides more than the system does, and every interval is wide"""
WAYS = (
    ("efficiency.py", "See the curves", "Quality against the number of labels, every system, with intervals."),
    ("compare.py", "Question them", "Paired gaps, calibration, slices; the paper's values beside ours."),
    ("user.py", "Meet a user", "One person's history, what each system said, the exact prompt."),
    ("cost.py", "Ask what it costs", "Seconds, memory and money for what is gained."),
)


Pair = tuple[str, str]
Ends = dict[int | str, pd.DataFrame]


@st.cache_data(show_spinner="Weighing the evidence …", max_entries=32)
def verdict_of(origin: str, cells: pd.DataFrame, shots: int | str) -> contrast.Verdict | None:
    return contrast.verdict(partial(predictions, origin), cells, shots)


@st.cache_data(show_spinner="Looking within users …", max_entries=32)
def verdict_within_users(origin: str, cells: pd.DataFrame, shots: int | str) -> contrast.Verdict | None:
    """Of the systems that were asked about all of a user's test samples at once."""
    return contrast.verdict(partial(at_once, origin), cells, shots, "gauc")


@st.cache_data(show_spinner="Weighing all data sets …", max_entries=4)
def all_verdicts(origin: str, cells: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The verdict on each data set at each N that has one, and why other data sets have none."""
    rows, lacking = [], []
    for name in results().datasets():
        own = cells[cells["dataset"] == name]
        try:
            found = [contrast.verdict(partial(predictions, origin), own, n) for n in shots_in_order(own["shots"])]
        except FaultError as error:
            lacking.append(str(error))
            continue
        rows += [{"dataset": name, **one.row()} for one in found if one is not None]
    return pd.DataFrame(rows), lacking


@st.cache_data(show_spinner=False, max_entries=32)
def labels_to_equal(origin: str, cells: pd.DataFrame, found: contrast.Verdict) -> tuple[Interval, np.ndarray] | None:
    def draws(key: str) -> np.ndarray:
        return learning_curves.auc_draws(record(origin, key))

    return learning_curves.labels_to_equal(partial(predictions, origin), draws, cells, found)


@st.cache_data(show_spinner=False, max_entries=32)
def comparable(origin: str, cells: pd.DataFrame, shots: int | str) -> pd.DataFrame:
    """The points at one N that may be ranked: same test rows, same seeds."""
    ground, _ = contrast.common_ground(partial(predictions, origin), cells[cells["shots"] == shots])
    return summary.summarise(ground)


def safe(series: tuple[str, str]) -> str:
    """The name of a (system, variant), for Markdown."""
    return words.markdown(figures.system_label(*series))


def seeds_name(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def first_with_a_verdict(points: pd.DataFrame) -> int | str | None:
    """The smallest N from `ENOUGH_LABELS` on, else the smallest of all, at which systems with and without a language model can be compared,
    conventional models among them if anywhere."""
    everything = shots_in_order(points["shots"])
    enough = [n for n in everything if n == "all" or n >= ENOUGH_LABELS]
    for others in ({"crm"}, {"reference"}):
        for n in [*enough, *everything]:
            families = {SYSTEMS[name].family for name in points[points["shots"] == n]["system"] if name in SYSTEMS}
            if families & {*contrast.LM_FAMILIES} and families & others:
                return n
    return None


def headline(found: contrast.Verdict, dataset: str) -> str:
    """The verdict in one sentence, safe for Markdown."""
    size = "all labels" if found.shots == "all" else f"{shots_name(found.shots)} labels"
    return f"With {size} on {words.markdown(titles()[dataset])}, the best system with a language model {found.stands} the best without one."


def sentence(found: contrast.Verdict, metric: str = "AUC") -> str:
    """Whom a verdict is about and by how much, safe for Markdown."""
    return (
        f"**{safe(found.with_lm)}** {found.stands} **{safe(found.without_lm)}**: **{found.gap:+.3f} {metric}** "
        f"(95 % interval {found.low:+.3f} to {found.high:+.3f})."
    )


def how_weighed(found: contrast.Verdict) -> str:
    """How a verdict came about, safe for Markdown."""
    return (
        f"{safe(found.without_lm)} is {found.rival_is}: {found.test_rows:,} of them, {seeds_name(found.seeds)}. The interval allows for "
        f"having chosen the best of many; of these two alone it is {found.alone[0]:+.3f} to {found.alone[1]:+.3f}."
        + (" One seed: the interval speaks of the test users only." if found.seeds == 1 else "")
    )


def asked_elsewhere(cells: pd.DataFrame, found: contrast.Verdict) -> int:
    """How many systems with a language model have results at the verdict's N but not on its test rows and seeds."""
    at_n = cells[cells["shots"] == found.shots]
    there = set(map(tuple, comparable(chosen.origin, cells, found.shots)[["system", "variant"]].to_numpy()))
    return sum(contrast.side(*place) == "with" for place in {*summary.pairs_of(at_n)} - there)


def tile(place: Any, label: str, value: str, below: str, help: str | None = None) -> None:
    place.metric(label, value, below, delta_color="off", delta_arrow="off", border=True, height="stretch", help=help)


def whole_names() -> None:
    """Let what stands below a number take several lines: a name that is cut tells nobody who it is."""
    st.html(
        "<style>[data-testid=stMetricDelta] *{white-space:normal!important;overflow:visible!important;text-overflow:clip!important}</style>"
    )


def key_figures(found: contrast.Verdict | None, ends: Ends, cells: pd.DataFrame) -> None:
    """Up to four numbers, each from results on the same test rows and seeds: first the verdict's, then the best at either end."""
    whole_names()
    places = iter(four_places())
    gains(found, places, cells)
    for (n, at_n), words_of in zip(ends.items(), ("the fewest labels", "the most labels"), strict=False):
        row = at_n.sort_values("auc").iloc[-1]
        tile(
            next(places),
            f"Best AUC, N = {shots_name(n)}",
            figures.number(row["auc"], 3),
            safe((row["system"], row["variant"])),
            f"With {words_of}, of {len(at_n)} systems on the same {figures.count(row['test_rows'])} test samples and "
            f"{seeds_name(row['seeds'])}. 95 % interval {figures.number(row['auc_low'], 3)} to {figures.number(row['auc_high'], 3)}.",
        )


def gains(found: contrast.Verdict | None, places: Iterator[Any], cells: pd.DataFrame) -> None:
    """What the verdict's language model gains: in AUC, and in labels saved."""
    if found is None:
        tile(next(places), "LLM gain", "—", "nothing to compare")
        return
    tile(
        next(places),
        f"LLM gain, N = {shots_name(found.shots)}",
        f"{found.gap:+.3f}",
        f"95 %: {found.low:+.3f} to {found.high:+.3f}",
        f"AUC at N = {shots_name(found.shots)}, paired on common test samples: {safe(found.with_lm)} minus {safe(found.without_lm)}.",
    )
    needed = labels_to_equal(chosen.origin, cells, found)
    if needed is None:  # a gap that may be none needs no labels to close
        return
    labels, shots = needed

    def told(value: float) -> str:
        return f"> {shots[-1]:,}" if np.isinf(value) else f"≤ {shots[0]:,}" if value == 0 else f"{value:,.0f}"

    span = " to ".join(dict.fromkeys((told(labels.low), told(labels.high))))
    tile(
        next(places),
        "Samples to equal it",
        told(labels.value),
        f"95 %: {span}" + (f"; it learnt from {found.labels[0]:,} labels" if found.labels_differ else ""),
        "Labelled samples with which the best system without a language model, another one at each N if need be, has the AUC of "
        f"{safe(found.with_lm)}; on the same test samples and seeds. The interval does not allow for having chosen the best. "
        f"{found.labels_differ}",
    )


def named(found: contrast.Verdict | None, ends: Ends) -> list[Pair]:
    """Those of which the words and numbers on this page speak: the two of the verdict, and the best at either end."""
    best = [at_n.sort_values("auc").iloc[-1] for at_n in ends.values()]
    return [*([found.with_lm, found.without_lm] if found else []), *((row["system"], row["variant"]) for row in best)]


def leading(points: pd.DataFrame, found: contrast.Verdict | None = None, ends: Ends | None = None) -> pd.DataFrame:
    """Few enough systems to tell apart, those that are named among them."""
    return summary.of_series(points, *summary.leaders(points), *named(found, ends or {}))


Slide = tuple[str, str, go.Figure, pd.DataFrame, str]
"""title, words, figure, its numbers, how it was measured"""


def slides(dataset: str, points: pd.DataFrame, found: contrast.Verdict | None, ends: Ends) -> list[Slide]:
    """What a presenter shows, one figure at a time."""
    drawn, says, how = leading(points, found, ends), "Higher is better; further left is fewer labels.", ""
    if found:
        pairs = named(found, ends)
        drawn = summary.of_series(points, *pairs, *(summary.backbone_of(*pair) for pair in pairs))
        says = f"{headline(found, dataset)} {sentence(found)} {found.labels_differ}"
        how = f"{how_weighed(found)}\nDrawn are the systems that these slides name, and the conventional model inside an LLM+CRM."
    shown: list[Slide] = [("How many labels does each system need?", says, curves(drawn), drawn, how)]
    for n, at_n in ends.items():
        best = at_n.sort_values("auc").iloc[-1]
        says = (
            f"Highest mean AUC of {len(at_n)} system{'s' * (len(at_n) > 1)} asked about the same {figures.count(best['test_rows'])} test "
            f"samples: **{safe((best['system'], best['variant']))}** with {figures.number(best['auc'], 3)} (95 % interval "
            f"{figures.number(best['auc_low'], 3)} to {figures.number(best['auc_high'], 3)}, {seeds_name(best['seeds'])})."
        )
        title = f"With {'all' if n == 'all' else shots_name(n)} label{'s' * (n != 1)}"
        shown.append((title, says, figures.comparison(leading(at_n), titles=titles()), leading(at_n), ""))
    last = leading(comparable(chosen.origin, cells, shots), found) if found else shown[-1][-1]  # language models are slow: there they are
    drawn = summary.behind(last, points[points["shots"] == last["shots"].iloc[0]]) if len(last) else points[:0]
    own = summary.widest(summary.behind(drawn, cells[cells["shots"].isin(drawn["shots"])]))
    own = own.assign(machine=machines_of(chosen.origin, tuple(own["key"])))
    timed = summary.on_one_machine(drawn, own) if len(drawn) else drawn.assign(machine="")  # with the rows that it took this time for
    last = last.drop(columns="per_thousand").merge(timed[timed["per_thousand"] > 0][[*SAME, "per_thousand", "machine"]], on=SAME)
    if ends and len(last):
        says = "Left and up is better; intervals that overlap do not settle it: Compare models pairs them."
        if not any(name in SYSTEMS and SYSTEMS[name].family == "llm" for name in last["system"]):
            says += " No language model alone was asked here: its answers cost hundreds of times more (Cost and latency)."
        note = figures.scale_note(last, titles())
        note += f" · N = {shots_name(last['shots'].iloc[0])}"
        cost = figures.pareto(last, "auc", "per_thousand", "seconds a thousand predictions", note, intervals=True)
        how = "Times of LLM+CRM leave out what its language models spent once on each item."
        shown.append(("What does it cost?", says, cost, last, how))
    return shown


def curves(shown: pd.DataFrame) -> go.Figure:
    """Quality against labels of few systems; where bands are cut off anyway, the lines get the height of the picture."""
    return figures.sample_efficiency(shown, titles=titles(), margin=1 / 12)


def present(shown: list[Slide]) -> None:
    """Large type, one figure, next and back."""
    asked = st.query_params.get("slide", "1")
    place = int(asked) - 1 if asked.isdecimal() and 0 < int(asked) <= len(shown) else 0
    title, lead, figure, table, how = shown[place]
    st.html(
        "<style>.stMain h1{font-size:clamp(1.6rem,4vw,3rem)} .stMain .st-key-lead p{font-size:clamp(1.1rem,2.1vw,1.6rem);line-height:1.4}"
        "[data-testid=stSidebar]{display:none} .stMainBlockContainer{padding-top:4rem}</style>"
    )
    with st.container(horizontal=True, vertical_alignment="center"):  # on top: in sight whatever the figure's height
        before = {"slide": place if place > 1 else None}
        st.button("Back", on_click=go_to, kwargs=before, disabled=place == 0, shortcut="Left")
        st.button("Next", on_click=go_to, kwargs={"slide": place + 2}, disabled=place + 1 == len(shown), type="primary", shortcut="Right")
        st.button("End", on_click=go_to, kwargs={"present": None, "slide": None})
        st.markdown(f"{place + 1} of {len(shown)}", width="content")
    st.title(title, anchor=False)
    with st.container(key="lead"):
        st.markdown(lead)
    large, note = figures.enlarge(figure)
    scale, *more = map(words.markdown, note.splitlines() or [""])
    show_figure(large, f"slide-{place + 1}", f"Slide {place + 1}: {title}", table, "\n".join(filter(None, [*more, how])))
    st.caption(scale)


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
if cells["current"].any():  # older results may be drawn, but are not weighed
    cells = cells[cells["current"].astype(bool)]
with middle:
    shots = choose(
        "n",
        "At N (labels)",
        shots_in_order(points["shots"]),
        default=first_with_a_verdict(points),
        name=shots_name,
        help=figures.SHOTS_NOTE,
    )
found, ends, lacking = None, {}, ""
labelled = shots_in_order(points["shots"][points["train_rows"] > 0]) or [shots]
try:
    found = verdict_of(chosen.origin, cells, shots)
    ends = {n: comparable(chosen.origin, cells, n) for n in dict.fromkeys((labelled[0], labelled[-1]))}
    ends = {n: at_n for n, at_n in ends.items() if len(at_n)}
except FaultError as error:  # results come without the rows of data that may not be passed on: curves can be drawn, pairs not compared
    lacking = str(error)
if presenting:
    present(slides(dataset, points, found, ends))
    st.stop()
with right:
    switch("present", "Presenter mode", help="Large type, one figure at a time. The arrow keys turn the pages.")

with st.container(border=True):
    if lacking:
        st.markdown(f"Who is ahead cannot be told here: {words.markdown(lacking)}")
    elif found is None:
        st.markdown(
            f"On {words.markdown(titles()[dataset])}, no systems with and without a language model can be compared at this N yet, so there "
            "is no verdict."
        )
    else:
        st.subheader(headline(found, dataset), anchor=False)
        st.markdown(f"{sentence(found)} {found.labels_differ}")
        how = [how_weighed(found)]
        if (within := verdict_within_users(chosen.origin, asked_at_once(chosen.origin, cells), shots)) is not None:
            st.markdown(
                f"Of one user's next items, asked about at one moment: {sentence(within, 'GAUC')}", help=figures.METRICS["gauc"].help
            )
            how.append(f"Of one user's items: {how_weighed(within)}")
        if others := asked_elsewhere(cells, found):
            how.append(
                f"{others} more system{'s' * (others > 1)} with a language model answered other test samples or with other seeds only, and "
                f"{'have' if others > 1 else 'has'} no part in it: see Compare models."
            )
        with st.container(horizontal=True, vertical_alignment="center"):
            how_measured(*how)
            st.page_link(
                "compare.py",
                label="Question it",
                icon=":material/leaderboard:",
                query_params=carried(*CARRIED) | {"n": str(shots), "view": "gaps"},
            )
if not lacking:
    key_figures(found, ends, cells)
shown = leading(points, found, ends)
chosen_how = (
    f"Drawn are, of each kind of system, the best with the fewest labels and the best with the most, and those named above, out of "
    f"{len(series_of(points))}. Sample efficiency draws any of them."
)
show_figure(
    curves(shown),
    f"overview-{dataset}",
    f"Line chart: test AUC against labels for {shown['system'].nunique()} systems on {titles()[dataset]}.",
    shown,
    chosen_how if len(shown) < len(points) else "",
)
if switch("all", "The verdict on all data sets, at every N", help="The first time it takes some seconds."):
    every = chosen.done
    table, without = all_verdicts(chosen.origin, every[every["current"].astype(bool)] if every["current"].any() else every)
    if table.empty:
        st.info("There is no data set yet where systems with and without a language model can be compared.", icon=":material/touch_app:")
    else:
        note = (
            "AUC of the best system with a language model minus that of the best without. ▲ ahead, ▼ behind, = its 95 % interval holds "
            "zero.\nEach interval allows for having chosen the best of each side, not for there being several verdicts."
        )
        show_figure(
            figures.verdicts(table, titles(), note),
            "verdicts",
            f"Grid of {len(table)} verdicts: data sets down, N across; {(table['says'] == 'ahead').sum()} ahead, "
            f"{(table['says'] == 'behind').sum()} behind.",
            table.assign(**{side: [figures.system_label(*one) for one in table[side]] for side in ("with_lm", "without_lm")}),
        )
    if without:
        st.caption(f"Left out: {words.markdown('; '.join(without))}.")
for place, (page, label, why) in zip(four_places(), WAYS, strict=True):
    with place.container(border=True, height="stretch"):
        st.page_link(page, label=f"**{label}**", query_params=carried(*CARRIED) | ({"n": str(shots)} if page == "compare.py" else {}))
        st.caption(why)
not_run([name for name in SYSTEMS if name not in set(points["system"])], dataset, f"on {titles()[dataset]}")
