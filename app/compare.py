"""Compare models at one N: the paper beside ours, paired gaps to a baseline, ROC, calibration, scores, slices, users."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st
import words
from shared import (
    CARRIED,
    asked_at_once,
    at_once,
    choose_dataset,
    choose_metric,
    choose_shots,
    choose_systems,
    heading,
    need_results,
    not_asked,
    not_run,
    number_column,
    on_same_rows,
    open_dataset,
    options_in_words,
    paper_values,
    predictions,
    results,
    series_of,
    shots_in_order,
    shots_name,
    show_figure,
    show_table,
    text_column,
    titles,
    within_users,
)
from state import carried, choose

from laser_core import figures
from laser_core.errors import FaultError
from laser_core.metrics import relative_improvement
from laser_core.study import contrast, paper, summary
from laser_core.systems import SYSTEMS

VIEWS = {
    "table": "The paper beside ours",
    "gaps": "Against a baseline",
    "within": "Within users",
    "roc": "ROC",
    "calibration": "Calibration",
    "scores": "Scores",
    "slices": "Slices",
    "users": "Users",
}

heading(
    "Compare models",
    "Who is ahead with the same number of labels, and is it more than luck? The paper's values are beside ours where it has any.",
)
chosen = results()
if not need_results(chosen):
    st.stop()

first, second, third = st.columns([3, 2, 3], vertical_alignment="bottom")
with first:
    dataset = choose_dataset(chosen.datasets())
points = chosen.summary(dataset)
with second:
    by_the_paper = dataset in set(paper.table_1()["dataset"])
    shots = choose_shots(points, default=shots_in_order(points["shots"])[-1] if by_the_paper else None)
with third:
    metric = choose_metric()
at_n = summary.widest(points[points["shots"] == shots])
shown = choose_systems(at_n, leading=at_n)
if shown.empty:
    st.info("No system chosen: pick at least one above.", icon=":material/touch_app:")
    st.stop()
cells = chosen.done
cells = cells[(cells["dataset"] == dataset) & (cells["shots"] == shots)]
cells = summary.widest(summary.behind(shown, cells))
alike, read = on_same_rows(chosen.origin, cells)
shown = summary.summarise(alike)
measure = figures.METRICS[metric]
scale, bare_scale = (  # bare: for figures that draw no intervals
    f"{figures.scale_note(shown, titles(), intervals)} · N = {shots_name(shots)}\n{figures.SHOTS_NOTE}" for intervals in (True, False)
)
FEW = 100  # samples of a part below which an AUC is mostly chance
MANY = 5  # test samples of a user from which on a gain says more of the user than of the sample

best = measure.best_first(shown).iloc[0]
st.markdown(
    f"{'Highest' if measure.better > 0 else 'Lowest'} {measure.label} of these {len(shown)}: "
    f"**{words.markdown(figures.system_label(best['system'], best['variant']))}** with {figures.number(best[metric])}. "
    "Whether it is ahead of another for more than luck, *Against a baseline* tells below, pair by pair."
)
show_figure(
    figures.comparison(shown, metric, paper_values(dataset, metric), titles()),
    f"compare-{dataset}-{metric}-{shots}",
    f"Dot plot: test {measure.label} of {len(shown)} systems on {titles()[dataset]} at N = {shots_name(shots)}, with 95 % intervals.",
    shown,
    ""
    if len(shown) == len(at_n)
    else f"{len(shown)} of {len(at_n)} systems. Unless you choose others: of each kind the best by its test AUC, and the conventional "
    "model inside an LLM+CRM beside it. Being the best of many is luck in part.",
)
options_in_words(shown)


@st.cache_data(show_spinner="Comparing pair by pair …", max_entries=64)
def gap_table(origin: str, cells: pd.DataFrame, baseline: tuple[str, str], metric: str, within: bool) -> pd.DataFrame:
    return contrast.gaps(partial(at_once if within else predictions, origin), cells, baseline, metric)


@st.cache_data(show_spinner="Slicing the test set …", max_entries=64)
def slice_table(_read: contrast.Read, cells: pd.DataFrame, by: str) -> pd.DataFrame:  # the cells say on which rows `_read` reads
    return contrast.slices(_read, open_dataset(dataset), cells, by)


@st.cache_data(show_spinner="Looking at every user …", max_entries=64)
def user_table(origin: str, cells: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> pd.DataFrame:
    return contrast.user_gaps(partial(predictions, origin), cells, one, other)


def best_of(kinds: tuple[str, ...], points: pd.DataFrame = shown, by: str = "auc") -> str | None:
    """The series of some families that has the highest AUC."""
    own = points[[name in SYSTEMS and SYSTEMS[name].family in kinds for name in points["system"]]]
    return None if own.empty else next(iter(series_of(own.sort_values(by, ascending=False))))


def choose_series(key: str, label: str, default: str | None = None, points: pd.DataFrame = shown) -> tuple[str, str]:
    known = series_of(points)
    return known[choose(key, label, list(known), default=default, name=lambda one: figures.system_label(*known[one]))]


def scored(seed: int) -> list[figures.Scored]:
    """Labels and probabilities of the systems to draw, for one seed."""
    found = []
    drawn = choose_systems(shown, leading=shown, key="drawn", label="Systems to draw")
    for cell in summary.behind(drawn, alike[alike["seed"] == seed]).to_dict("records"):
        stored = read(cell["key"])
        name = figures.system_label(cell["system"], cell["variant"])
        found.append((cell["system"], name, stored["label"].to_numpy(), stored["probability"].to_numpy()))
    if not found:
        st.info("Nothing to draw: choose a system, or another seed.", icon=":material/touch_app:")
        st.stop()
    return sorted(found, key=lambda one: list(SYSTEMS).index(one[0]) if one[0] in SYSTEMS else len(SYSTEMS))


def beside_the_paper() -> None:
    """Table 1."""
    table_1 = paper.table_1()
    table_1 = table_1[table_1["dataset"] == dataset].set_index("row")
    if table_1.empty:
        st.caption(f"The paper has no values for {words.markdown(titles()[dataset])}; its data sets are MovieLens-1M and BookCrossing.")
    else:
        few = ", ".join(f"{row} on {paper.fitted_on(row, dataset)}" for row in (paper.BEST, paper.HALF))
        st.caption(f"The paper's models were fitted on all training samples, but {few}; ours on the N chosen above.")
    rows = []
    for name, system in SYSTEMS.items():
        reported = table_1.loc[system.paper_row] if system.paper_row in table_1.index else {}
        for point in at_n[at_n["system"] == name].to_dict("records") or [{}]:
            rows.append(
                {
                    "System": figures.system_label(name, point.get("variant", "")),
                    "State": "done" if point else "not run",
                    "AUC": point.get("auc"),
                    "AUC low": point.get("auc_low"),
                    "AUC high": point.get("auc_high"),
                    "Paper AUC": reported.get("auc"),
                    "Log loss": point.get("log_loss"),
                    "Paper log loss": reported.get("log_loss"),
                    "Labels seen": point.get("labels_seen"),
                    "Seeds": point.get("seeds"),
                    "Test rows": point.get("test_rows"),
                }
            )
    for row in table_1.index.difference([system.paper_row for system in SYSTEMS.values()], sort=False):
        values = table_1.loc[row]
        rows.append({"System": row, "Paper AUC": values["auc"], "Paper log loss": values["log_loss"], "State": "not in the kit"})
    table = pd.DataFrame(rows)
    best = table.groupby("Test rows")["AUC"].transform("max")  # on other test samples nobody is better or worse
    table.insert(5, "Rel.Impr", relative_improvement(best, table["AUC"]))
    show_table(
        table,
        f"table-1-{dataset}-{shots}",
        "Systems with our and the paper's AUC and log loss",
        {
            "System": text_column("System", pinned=True, width="medium"),
            "AUC": number_column("AUC, ours"),
            "AUC low": number_column("95 % low"),
            "AUC high": number_column("95 % high"),
            "Rel.Impr": number_column(
                "Rel.Impr", "percent", help="AUC of our best system on as many test rows divided by this one's, minus 1."
            ),
            "Paper AUC": number_column("AUC, paper"),
            "Log loss": number_column("Log loss, ours"),
            "Paper log loss": number_column("Log loss, paper"),
            "Labels seen": number_column("Labels seen", "%,d"),
            "Test rows": number_column("Test rows", "%,d"),
        },
    )


def against_a_baseline() -> None:
    if metric not in contrast.GAP_METRICS:
        st.info(f"A paired gap is not defined for the {measure.label}: choose AUC, log loss or accuracy.", icon=":material/touch_app:")
        return
    baseline = choose_series("baseline", "Baseline", best_of(("reference",)))
    drawn = choose_systems(shown, leading=shown, key="drawn", label="Systems to compare with it")  # a pair of 97,002 samples takes its time
    pairs = pd.DataFrame([*series_of(drawn).values(), baseline], columns=["system", "variant"])
    show_gaps(summary.behind(pairs, cells), baseline, metric, scale)


def inside_users() -> None:
    """Does a system know who likes much, or what a user likes more? Of the systems that were asked so, whichever are chosen above."""
    at_this_n = chosen.done[(chosen.done["dataset"] == dataset) & (chosen.done["shots"] == shots)]
    asked = asked_at_once(chosen.origin, at_this_n)
    if asked.empty:
        not_asked()
        return
    drawn = choose_systems(summary.behind(asked, at_n), key="asked", label="Systems that were asked at once")
    if drawn.empty:
        st.info("Nothing to draw: choose a system.", icon=":material/touch_app:")
        return
    table = within_users(chosen.origin, summary.behind(drawn, asked))
    st.markdown("Does a system know what one user likes more (GAUC, the marks), or only which users like much (AUC, the rings)?")
    note = f"{figures.scale_note(table, titles())} · N = {shots_name(shots)}, asked at once"
    show_figure(
        figures.within_users(table, note),
        f"within-{dataset}-{shots}",
        f"Dot plot: GAUC and AUC of {len(table)} systems on {titles()[dataset]} at N = {shots_name(shots)}.",
        table,
        f"AUC asks about any two test samples: of those asked about here {table['pairs'].mean():.1%} of the pairs are of one user, so a "
        "system that knows which users like much has a high AUC. The rings are AUC as everywhere else, of all test samples, asked one by "
        "one.\nGAUC asks about the pairs of one user only. For it each system was asked about a user's items (20 at most) at the moment of "
        "the first, as a recommender ranks them.\n"
        f"{int(table['users'].max()):,} test users have samples of both labels; the rows are theirs.",
    )
    baseline = choose_series("baseline", "Baseline", best_of(("reference",), table, "gauc"), table)
    show_gaps(summary.behind(drawn, asked), baseline, "gauc", note, within=True)


def show_gaps(cells: pd.DataFrame, baseline: tuple[str, str], metric: str, note: str, within: bool = False) -> None:
    """The paired gaps of some systems to one, as a figure and a table."""
    measure, table = figures.METRICS[metric], gap_table(chosen.origin, cells, baseline, metric, within)
    if table.empty:
        st.info("Nothing to compare: choose at least two systems that share a seed.", icon=":material/touch_app:")
        return
    name = figures.system_label(*baseline)
    show_figure(
        figures.gaps(table, metric, name, note),
        f"gaps-{dataset}-{metric}-{shots}",
        f"Dot plot: {measure.label} of {len(table)} systems minus that of {name}, with paired 95 % intervals.",
        table,
        "Compared on the test samples that both were scored on, seed by seed; samples of one user count as belonging together.",
    )
    table = table.sort_values("gap", ascending=measure.better < 0)
    beyond = (table["low"] > 0) | (table["high"] < 0)
    better = table["gap"] * measure.better > 0
    shown_table = pd.DataFrame(
        {
            "System": [figures.system_label(*pair) for pair in summary.pairs_of(table)],
            "Gap": table["gap"],
            "Low": table["low"],
            "High": table["high"],
            "p (Holm)": table["p_holm"],
            "Says": [
                ("▲ better" if b else "▼ worse") if p < 0.05 and out else "no difference shown"
                for b, p, out in zip(better, table["p_holm"], beyond, strict=True)
            ],
            "Seeds": table["seeds"],
            "Common test rows": table["test_rows"],
        }
    )
    show_table(
        shown_table,
        f"gaps-table-{dataset}-{metric}-{shots}",
        f"Each system's gap to {name}",
        {
            "System": text_column("System", width="medium", pinned=True),
            "Gap": number_column("Gap", "%+.4f"),
            "Low": number_column("95 % low", "%+.4f"),
            "High": number_column("95 % high", "%+.4f"),
            "p (Holm)": number_column(
                "p (Holm)", "%.2g", help="Chance of a gap at least as large were there none, corrected for the number of systems."
            ),
            "Says": text_column(
                "Says", help="Better or worse where, after Holm's correction, p is under .05 and the interval leaves out zero."
            ),
            "Common test rows": number_column("Common test rows", "%,d"),
        },
    )


def one_seed() -> int:
    return choose("seed", "Seed of the subset", sorted(cells["seed"].unique()))


def roc() -> None:
    seed = one_seed()
    found = scored(seed)
    figure = figures.roc(found, f"{bare_scale}\nCurves of seed {seed}.")
    show_figure(figure, f"roc-{dataset}-{shots}-{seed}", f"ROC curves of {len(found)} systems.", figures.roc_table(found))


def calibration() -> None:
    seed = one_seed()
    found = scored(seed)
    figure = figures.calibration(found, f"{bare_scale}\nCurves of seed {seed}, 15 bins of equal width.")
    table = figures.calibration_table(found)
    show_figure(figure, f"calibration-{dataset}-{shots}-{seed}", f"Calibration curves of {len(found)} systems.", table)
    st.caption("Above the diagonal: more often liked than stated. Below: less often.")


def scores() -> None:
    seed = one_seed()
    for place, result in enumerate(scored(seed)):
        name = result[1]
        table = pd.DataFrame({"label": result[2], "probability": result[3]})
        show_figure(
            figures.score_distribution(result, bare_scale if place == 0 else ""),
            f"scores-{dataset}-{shots}-{seed}-{result[0]}-{place}",
            f"Histogram of the probabilities of {name}, positives up, negatives down.",
            table,
        )


def slices() -> None:
    if open_dataset(dataset) is None:
        return
    by = choose("by", "Slice by", list(contrast.SLICES), name=contrast.SLICES.get)
    if metric not in ("auc", "log_loss"):
        st.info("Slices are measured by AUC and log loss: choose one of them above.", icon=":material/touch_app:")
        return
    drawn = choose_systems(shown, leading=shown, key="drawn", label="Systems to draw")
    if drawn.empty:
        st.info("Nothing to draw: choose a system.", icon=":material/touch_app:")
        return
    table = slice_table(read, summary.behind(drawn, alike), by)
    few = int((table["samples"] < FEW).sum())
    table = table[table["samples"] >= FEW]
    counted = by in ("history", "popularity", "liking")
    show_figure(
        figures.slices(table, metric, contrast.SLICES[by], bare_scale, ordered=counted),
        f"slices-{dataset}-{metric}-{shots}-{by}",
        f"{'Line' if counted else 'Dot'} chart: test {measure.label} of {table['system'].nunique()} systems by {contrast.SLICES[by]}.",
        table,
    )
    st.caption(
        " ".join(
            [
                *(["The parts end at the quartiles of all test samples."] if counted else []),
                *([f"Left out: {few} point{'s' * (few > 1)} of fewer than {FEW} samples."] if few else []),
                "No intervals are drawn: differences here are hints, not findings.",
            ]
        )
    )


def users() -> None:
    known = list(series_of(shown))
    if len(known) < 2:
        st.info("Choose at least two systems.", icon=":material/touch_app:")
        return
    left, right = st.columns(2)
    with left:
        one = choose_series("one", "Who is helped by", best_of(contrast.LM_FAMILIES) or known[-1])
    with right:
        other = choose_series("baseline", "instead of", best_of(("reference",)))
    if one == other:
        st.info("Choose two different systems.", icon=":material/touch_app:")
        return
    data = open_dataset(dataset)
    if data is None:
        return
    table = user_table(chosen.origin, cells, one, other)
    table = table.assign(name=[data.field(data.about.user_field).text(user) for user in table["user"]])
    names = figures.system_label(*one), figures.system_label(*other)
    show_figure(
        figures.user_gains(table, *names, bare_scale),
        f"users-{dataset}-{shots}",
        f"Each of {len(table):,} test users: log loss saved by {names[0]} against {names[1]}.",
        table,
    )
    often = table[table["samples"] >= MANY]
    if often.empty:
        st.caption(f"No user has {MANY} test samples or more: of a single one most gains and losses are luck, so nobody is named.")
        return
    st.caption(f"Of the {len(often):,} users with {MANY} test samples or more. Who is first or last of so many is so by luck too:")
    for column, (label, part) in zip(st.columns(2), (("Most helped", often.head(8)), ("Most hurt", often.tail(8)[::-1])), strict=True):
        with column:
            st.markdown(f"**{label}**")
            for row in part.itertuples():
                st.page_link(
                    "user.py",
                    label=f"user {words.markdown(row.name)}: {row.gain:+.3f} on {row.samples} samples",
                    query_params={**carried(*CARRIED), "dataset": dataset, "user": str(row.user), "n": str(shots)},
                )


st.divider()
view = choose("view", "Look closer", list(VIEWS), name=VIEWS.get, kind="buttons")
show = {
    "table": beside_the_paper,
    "gaps": against_a_baseline,
    "within": inside_users,
    "roc": roc,
    "calibration": calibration,
    "scores": scores,
    "slices": slices,
    "users": users,
}[view]
try:
    show()
except FaultError as error:  # the samples that it asks about are not on this machine
    st.info(f"{words.markdown(error, 400)}.", icon=":material/download:")
not_run([name for name in SYSTEMS if name not in set(at_n["system"])], dataset, f"at N = {shots_name(shots)}", shots)
