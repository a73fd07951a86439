"""What every page shares: the results, the data sets, and the frame around figures and tables."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
import words
from state import amount, choose, choose_many, switch

from laser_core import datasets, figures
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import FaultError, LaserError
from laser_core.options import options_of
from laser_core.settings import get_settings
from laser_core.study import contrast, paper, planning, summary
from laser_core.study.store import ResultStore
from laser_core.systems import SYSTEMS

ORIGINS = {"recorded": "recorded", "mine": "my runs", "both": "both"}
CARRIED = ("results", "older", "dataset", "n", "metric", "user")
"""parts of the address that mean the same on every page that reads them, and that links between pages hand on"""
DEMO = "laser demo"
ALL = "all"
_PLACES = {name: place for place, name in enumerate(SYSTEMS)}

# ---- results ---------------------------------------------------------------------------------------------------------------


def folders(origin: str) -> tuple[Path, ...]:
    """The stores behind a choice of results, the one that wins first."""
    settings = get_settings()
    return {"recorded": (settings.recorded,), "mine": (settings.store,), "both": (settings.store, settings.recorded)}[origin]


def _stamp(origin: str) -> tuple[tuple[str, int], ...]:
    """Changes whenever a result appears in or leaves a store: the folders' times of change, without reading a file."""
    places = [place for folder in folders(origin) for place in (folder, *folder.glob("*"), *folder.glob("*/*")) if place.is_dir()]
    return tuple((str(place), place.stat().st_mtime_ns) for place in places)


def store(origin: str) -> ResultStore:
    """The results of a choice."""
    return ResultStore(*folders(origin))


@st.cache_data(show_spinner="Reading the results …", max_entries=6)
def _cells(origin: str, stamp: tuple) -> pd.DataFrame:
    cells = store(origin).cells()
    own = str(get_settings().store)
    return cells.assign(origin=["my runs" if folder == own else "recorded" for folder in cells["folder"]])


@st.cache_data(show_spinner=False, max_entries=6)
def _summary(cells: pd.DataFrame) -> pd.DataFrame:
    return summary.summarise(cells)


@st.cache_data(show_spinner=False, max_entries=64)
def predictions(origin: str, key: str) -> pd.DataFrame:
    """The stored predictions of one result (results never change, so they are read once)."""
    return store(origin).predictions(key)


@st.cache_data(show_spinner=False, max_entries=64)
def at_once(origin: str, key: str) -> pd.DataFrame:
    """What the system of one result says of each user's test samples at one moment."""
    return store(origin).at_once(key)


@st.cache_data(show_spinner=False, max_entries=64)
def record(origin: str, key: str) -> dict[str, Any]:
    """Everything that is stored of one result."""
    return store(origin).read(key)


@st.cache_data(show_spinner="Reading where each result was measured …", max_entries=64)
def machines_of(origin: str, keys: tuple[str, ...]) -> list[str]:
    """The processor (and GPU) that each result was measured on."""
    found = [store(origin).read(key)["provenance"]["hardware"] for key in keys]
    return [" + ".join(filter(None, (one.get("cpu"), one.get("gpu")))) or "not stated" for one in found]


@st.cache_resource(show_spinner="Measuring on the same test samples …", max_entries=16)  # a resource: what reads is no data to copy
def _on_same_rows(origin: str, cells: pd.DataFrame, intervals: bool) -> tuple[pd.DataFrame, contrast.Read]:
    return contrast.on_same_rows(partial(predictions, origin), cells, intervals)


class Results:
    """The results that the reader chose to see."""

    def __init__(self, origin: str, cells: pd.DataFrame) -> None:
        self.origin = origin
        self.cells = cells

    @property
    def done(self) -> pd.DataFrame:
        return self.cells[self.cells["status"] == "done"]

    def summary(self, dataset: str, cells: pd.DataFrame | None = None) -> pd.DataFrame:
        """One row a point (system, options, N, test rows) of a data set, with intervals; of some of its cells only if given."""
        return _summary(self.done[self.done["dataset"] == dataset] if cells is None else cells)

    def datasets(self) -> list[str]:
        """Data sets that have results, in the kit's order."""
        there = list(self.done["dataset"].unique())
        return [name for name in datasets.NAMES if name in there] + sorted(set(there) - set(datasets.NAMES))


def sidebar_results() -> Results:
    """The choice of results in the side bar, with what is left out said there."""
    origin = choose(
        "results",
        "Results",
        list(ORIGINS),
        default=_default_origin(),
        name=ORIGINS.get,
        kind="buttons",
        help="Recorded results come with the kit; my runs are what this machine computed. 'Both' shows either; a result that is in both "
        "places counts once.",
    )
    cells = _cells(origin, _stamp(origin))
    older = int((~cells["current"].astype(bool)).sum())
    if older:
        keep = switch(
            "older", f"Show {older} older result{'s' * (older > 1)}", help="Results of an earlier revision of a system or of its data."
        )
        cells = cells if keep else cells[cells["current"].astype(bool)]
    failed = int((cells["status"] == "failed").sum())
    counts = cells[cells["status"] == "done"]["origin"].value_counts()
    st.caption(
        " · ".join([*(f"{counts[name]:,} {name}" for name in counts.index), *([f"{failed} failed (see Runs)"] if failed else [])])
        or "no results yet"
    )
    if origin == "mine" and any(get_settings().recorded.glob("*/*/*.json")):
        st.caption("“recorded” shows the results that come with the kit, on all its data sets.")
    return Results(origin, cells)


def _default_origin() -> str:
    """Your own results where there are any, else the recorded ones."""
    return "mine" if any(get_settings().store.glob("*/*/*.json")) else "recorded"


def results() -> Results:
    """What `sidebar_results` chose in this run of the page."""
    return st.session_state["_chosen_results"]


# ---- data sets and systems --------------------------------------------------------------------------------------------------


def title_of(dataset: str) -> str:
    """A data set as people call it."""
    try:
        return datasets.about(dataset).title
    except LaserError:
        return dataset


def titles() -> dict[str, str]:
    """The titles of the data sets that have results."""
    return {name: title_of(name) for name in results().datasets()}


@st.cache_resource(show_spinner="Opening the data set …", max_entries=4)
def _open(name: str, version: float) -> CTRDataset:
    return datasets.load(name)


def open_dataset(name: str) -> CTRDataset | None:
    """A data set that is on this machine (memory-mapped), or None after telling how to get it. Never downloads."""
    folder = datasets.cache_folder(name)
    try:
        if folder.exists() or datasets.about(name).redistributable:  # what may be redistributed is bundled
            return _open(name, folder.stat().st_mtime if folder.exists() else 0.0)
        message = f"{title_of(name)} is not on this machine yet. Get it with:"
    except LaserError as error:
        message = str(error)
    st.info(words.markdown(message), icon=":material/download:")
    st.code(f"laser data get {name}", language="bash")
    return None


@st.cache_data(show_spinner=False, max_entries=8)
def test_users(dataset_name: str, version: str) -> pd.Series:
    """Number of test samples by user, most first."""
    dataset = open_dataset(dataset_name)
    return pd.Series(dataset.sample_user(dataset.test)).value_counts()


def samples(number: int) -> str:
    """A number of test samples in words."""
    return f"{number:,} test sample{'' if number == 1 else 's'}"


def choose_dataset(known: list[str], all_known: bool = False, default: str | None = None) -> str:
    """The data set of a page: those with results, or with `all_known` every one of the kit."""
    options = [*known, *(name for name in datasets.NAMES if name not in known)] if all_known else known
    return choose("dataset", "Data set", options, default=default, name=title_of)


def choose_metric(all_known: bool = False) -> str:
    """A quality measure, explained: one that is stored with every result, or with `all_known` any."""
    known = {name: metric for name, metric in figures.METRICS.items() if metric.stored or all_known}
    explained = "\n\n".join(f"**{metric.label}**: {metric.help}" for metric in known.values())
    return choose("metric", "Metric", list(known), name=lambda name: known[name].label, help=explained)


def asked_at_once(origin: str, cells: pd.DataFrame) -> pd.DataFrame:
    """Those of some results whose systems were asked about all of a user's test samples at once."""
    return cells[cells["key"].isin(store(origin).asked_at_once())]


def on_same_rows(origin: str, cells: pd.DataFrame, intervals: bool = True) -> tuple[pd.DataFrame, contrast.Read]:
    """Results of one data set on the test samples that all of them have, unless the reader wants each on all of its own, and what reads
    their predictions there."""
    own = partial(predictions, origin)
    if cells["test_rows"].nunique() < 2:
        return cells, own
    try:
        common = _on_same_rows(origin, cells, intervals)
    except FaultError as error:
        st.caption(f"Each is shown on its own test samples, so their order may be chance: {words.markdown(str(error), 400)}.")
        return cells, own
    if not switch(
        "same",
        "All on the same test samples",
        default=True,
        help="Slow systems were scored on a fixed part of the test set. On: every system is measured on that part. Off: each on all "
        "samples that it was scored on, with narrower intervals, but then their order may be chance.",
    ):
        return cells, own
    return common


@st.cache_data(show_spinner="Looking within users …", max_entries=64)
def within_users(origin: str, cells: pd.DataFrame) -> pd.DataFrame:
    """GAUC of results that were asked at once."""
    return contrast.within_users(partial(at_once, origin), cells)


def not_asked() -> None:
    """Say that nothing was asked at once, and what does so."""
    st.info(
        "How well a system orders one user's items is told where it was asked about all of them at once, which none of these results was. "
        "On data whose test users have several samples, this asks:",
        icon=":material/hourglass_empty:",
    )
    st.code("laser study at-once within-users", language="bash")


def shots_in_order(values: pd.Series) -> list[Any]:
    """N values, ascending, "all" last."""
    return sorted(values.unique(), key=lambda shots: float("inf") if shots == ALL else int(shots))


def shots_name(shots: Any) -> str:
    """1,024 or all."""
    return ALL if shots == ALL else figures.count(int(shots))


def in_order(systems: Any) -> list[str]:
    """Systems in the registry's order, unknown ones last."""
    there = set(systems)
    return [name for name in SYSTEMS if name in there] + sorted(there - set(SYSTEMS))


def series_of(points: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Short id for the address -> (system, variant), for everything in a summary."""
    pairs = points[["system", "variant"]].drop_duplicates().itertuples(index=False)
    return {f"{system}{':' if variant else ''}{variant}": (system, variant) for system, variant in pairs}


def choose_shots(points: pd.DataFrame, default: Any = None) -> Any:
    """N; at first the largest at which the language model alone has results, so that it can be compared."""
    all_shots = shots_in_order(points["shots"])
    reads = points["system"].map(lambda name: name in SYSTEMS and SYSTEMS[name].family == "llm")
    most = (shots_in_order(points.loc[reads, "shots"]) or all_shots)[-1]
    return choose("n", "N (labels)", all_shots, default=most if default is None else default, name=shots_name, help=figures.SHOTS_NOTE)


def choose_systems(points: pd.DataFrame, leading: pd.DataFrame | None = None, key: str = "systems", label: str = "Systems") -> pd.DataFrame:
    """The rows of a summary whose systems the reader chose.

    Args:
        leading: Rows of which the leaders are chosen at first; all of `points` unless given.
    """
    known = dict(sorted(series_of(points).items(), key=lambda one: (_place(one[1][0]), one[1][1])))
    first = None
    if leading is not None:
        leaders = summary.leaders(leading)
        first = [name for name, pair in known.items() if pair in leaders] if len(leaders) < len(known) else None
    picked = choose_many(
        key,
        label,
        list(known),
        default=first,
        name=lambda one: words.tidy(figures.system_label(*known[one])),
        help=None
        if first is None
        else "At first: of each kind of system the best with the fewest labels and the best with the most, and the conventional model "
        "inside an LLM+CRM. The list has the others.",
    )
    return summary.of_series(points, *(known[one] for one in picked))


def _place(system: str) -> int:
    """Its place in the registry, unknown ones last."""
    return _PLACES.get(system, len(_PLACES))


def choose_price() -> float:
    """What an hour of the reader's machine costs, and how fast it is: the price of a second on the measuring machine."""
    left, right = st.columns(2)
    with left:
        price = amount("price", "Price of an hour", 0.10, 0.0, 1000.0, help="In any currency: rent of the machine, or power and wear.")
    with right:
        speed = amount(
            "speed", "Speed (measuring machine = 1)", 1.0, 0.01, 10000.0, help="2: twice as fast. Runs names the machine of each result."
        )
    return price / speed / 3600


def paper_values(dataset: str, metric: str) -> dict[str, float]:
    """The paper's Table 1 by system name, for a data set that it has."""
    table = paper.table_1()
    if metric not in table:
        return {}
    values = table[table["dataset"] == dataset].set_index("row")[metric]
    return {name: float(values[system.paper_row]) for name, system in SYSTEMS.items() if system.paper_row in values.index}


# ---- the frame -------------------------------------------------------------------------------------------------------------


def heading(title: str, lead: str) -> None:
    """The top of a page."""
    st.title(title, anchor=False)
    st.markdown(lead)


def own_study(text: str) -> str:
    """The commands that run a study of one's own, ready to paste."""
    return f"cat > my-study.toml <<'END'\n{text}END\nlaser study run my-study.toml"


def not_run(systems: list[str], dataset: str, where: str, shots: Any = None) -> None:
    """Say which systems have no result, and the command for each.

    Args:
        shots: The N that is looked at; None: any.
    """
    if not systems:
        return
    with st.expander(f"Not run {where}: {len(systems)} of {len(SYSTEMS)} systems"):
        commands: dict[str | None, list[str]] = {}
        for system in systems:
            if shots == 0 and not SYSTEMS[system].zero_shot:
                commands.setdefault("", []).append(system)
            else:
                commands.setdefault(planning.study_with(dataset, system, shots), []).append(system)
        for study, names in commands.items():
            labels = words.markdown(", ".join(map(figures.system_label, names)))
            if study == "":
                st.markdown(f"{labels}: cannot do without labels.")
                continue
            st.markdown(labels)
            text = f"laser study run {study}" if study else own_study(planning.study_text(dataset, names, ALL if shots is None else shots))
            st.code(text, language="bash", wrap_lines=True)


def options_in_words(shown: pd.DataFrame) -> None:
    """What the options in the names of systems mean, where any has some."""
    rows = {}
    for system, variant in series_of(shown).values():
        known = options_of(system) if system in SYSTEMS else {}
        for name in re.findall(r"(?:^|, )(\w+)=", variant):
            if name in known:
                rows.setdefault((name, known[name].words), []).append((SYSTEMS[system].label, known[name].usual))
    if not rows:
        return
    with st.expander("What the words in brackets mean"):
        for (name, words_of), owners in sorted(rows.items()):
            usual = "; ".join(dict.fromkeys({"True": "yes", "False": "no"}.get(str(value), str(value) or "nothing") for _, value in owners))
            labels = ", ".join(dict.fromkeys(label for label, _ in owners))
            about = words.markdown(words_of, 400).replace("\\`", "`")  # names of files are code, as their authors wrote them
            usage = f"`{name}`; {words.markdown(labels)}; usually {words.markdown(usual)}"
            st.markdown(f"**{name.replace('_', ' ')}** ({usage}): {about}")


def need_results(chosen: Results) -> bool:
    """False, after saying what to do, where there are no results at all."""
    if not chosen.done.empty:
        return True
    where = {"recorded": "There are no recorded results.", "mine": "You have not run anything yet.", "both": "There are no results yet."}
    st.info(f"{where[chosen.origin]} The demo study takes a few minutes on two cores:", icon=":material/hourglass_empty:")
    st.code(DEMO, language="bash")
    return False


def four_places() -> list[Any]:
    """Four places side by side, two by two where the page is narrow."""
    grid = st.grid(2, min_column_width=380)
    return [column for _ in range(2) for column in grid.cell().columns(2)]


def show_figure(figure: go.Figure, key: str, alt: str, table: pd.DataFrame, measured: str = "", **more: Any) -> Any:
    """A figure with its exports: the picture by Plotly's own button, the page as HTML, the numbers as CSV.

    Its scale stays under it; how it was measured is one click away, and whole on the exported page.

    Args:
        alt: What the figure shows, for those who do not see it.
        table: The numbers behind it.
        measured: More of how it was measured, safe for Markdown, a paragraph a line.
    """
    drawn, note = figures.apart(figure)
    config = {
        "displaylogo": False,
        "toImageButtonOptions": {"filename": key, "scale": 2},
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    }
    event = st.plotly_chart(drawn, key=f"figure-{key}", config=config, alt=alt, **more)
    with st.container(horizontal=True, gap="small"):
        export(key, table)
        st.download_button(
            "HTML",
            lambda: _page(figure, alt),
            f"{key}.html",
            "text/html",
            key=f"html-{key}",
            on_click="ignore",
            type="tertiary",
            icon=":material/public:",
            help="The figure as a page of its own that works offline.",
        )
        how_measured(*map(words.markdown, note.splitlines()), *measured.splitlines())
    return event


def how_measured(*paragraphs: str) -> None:
    """What need not be read at first sight, safe for Markdown, one click away."""
    if paragraphs:
        with st.popover("How this was measured", type="tertiary", icon=":material/info:"):
            st.markdown("\n\n".join(paragraphs))


def export(key: str, table: pd.DataFrame) -> None:
    """A button for a table as CSV."""
    st.download_button(
        "CSV",
        lambda: words.csv(table),
        f"{key}.csv",
        "text/csv",
        key=f"csv-{key}",
        on_click="ignore",
        type="tertiary",
        icon=":material/table:",
        help="The numbers as CSV.",
    )


def _page(figure: go.Figure, alt: str) -> str:
    """A figure as one HTML file without outside parts."""
    body = figure.to_html(full_html=False, include_plotlyjs=True, include_mathjax=False)
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(alt)}</title><body>{body}</body></html>'


def show_table(table: pd.DataFrame, key: str, alt: str, config: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """A table with its CSV export."""
    height = "content" if len(table) <= 30 else 600
    event = st.dataframe(table, key=f"table-{key}", hide_index=True, column_config=config, alt=alt, height=height, placeholder="—", **more)
    export(key, table)
    return event


def text_column(label: str, **more: Any) -> Any:
    """A column of text."""
    return st.column_config.TextColumn(label, **more)


def number_column(label: str, format: str = "%.4f", **more: Any) -> Any:
    """A column of numbers."""
    return st.column_config.NumberColumn(label, format=format, **more)
