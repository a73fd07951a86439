"""A study as one HTML file that opens anywhere without a network, with its tables as CSV beside it.

Every sentence is computed from intervals: a system is called better only where the interval of the paired difference leaves out zero.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from laser_core import datasets, figures
from laser_core.errors import FaultError, LaserError, UserError
from laser_core.metrics import area_under_curve
from laser_core.study import contrast, learning_curves, runner
from laser_core.study.at_once import SAME_FIT
from laser_core.study.beside import beside, verdicts
from laser_core.study.spec import Study
from laser_core.study.store import ResultStore, write_atomically
from laser_core.study.summary import backbone_of, leaders, of_series, summarise
from laser_core.systems import SYSTEMS

LIMITS = (
    figures.SHOTS_NOTE,
    "Intervals are 95 %, over the subsets of labels (seeds) and over test users. They say nothing of other data sets, items, splits or "
    "settings.",
    "Each interval holds for itself, not for all of them at once. Only those of the best system with a language model against the best "
    "without allow for having chosen the two, and the p of Holm for its table.",
    "A system whose test rows are fewer was scored on a fixed random part of the test set, and its intervals are wider for it.",
    "Settings were not tuned to the test set; what each system was run with is in cells.csv.",
)
STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --quiet: #5b6472; --line: #d9dee6; --tint: #f5f7fa; --ground: #ffffff; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --quiet: #a2abb9; --line: #333c49; --tint: #1a212c; --ground: #0f131a; }
}
* { box-sizing: border-box; }
body { font: 16px/1.55 "Source Sans Pro", "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink); background: var(--ground); }
body { margin: 0 auto; max-width: 1160px; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.4rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
.question { font-size: 1.25rem; color: var(--quiet); margin: 0 0 1rem; }
.verdict { background: var(--tint); border-left: 4px solid #2F4DFF; padding: .8rem 1.2rem; margin: 1rem 0; }
.verdict p { margin: .35rem 0; }
.verdict span { white-space: nowrap; }
summary { cursor: pointer; color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .4rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: top; }
th { border-bottom: 2px solid var(--ink); }
th { white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 17rem; }
table.words td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
table.words :is(th, td):first-child { white-space: nowrap; min-width: 0; }
table.paper :is(th, td):is(:nth-child(2), :nth-child(9)) { text-align: left; white-space: normal; }
table.paper :is(th, td):first-child { min-width: 8rem; }
table.paper :is(th, td):nth-child(2) { min-width: 13rem; }
@media (max-width: 640px) {
  body { padding: 1.2rem .8rem 3rem; }
  :is(th, td):first-child, table.paper :is(th, td):nth-child(2) { min-width: 9rem; }
  table.paper :is(th, td):first-child { min-width: 5rem; }
}
td small, .quiet { color: var(--quiet); }
@media print {
  body { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; }
  .figure, table, .verdict { break-inside: avoid; }
  .modebar { display: none; }
  details:not([open]) > summary { display: none; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
}
"""


def write_report(study: Study, store: ResultStore, folder: Path) -> Path:
    """Write `report.html`, `cells.csv`, `summary.csv` and `label-needs.csv` into a folder; returns the path of the HTML.

    Raises:
        UserError: Nothing of the study has been computed yet.
        FaultError: The folder cannot be written to.
    """
    table = store.cells()
    planned = runner.plan_table(runner.plan(study, store, table=table))
    cells = table[table["key"].isin(planned["key"]) & (table["status"] == "done")].reset_index(drop=True)
    if cells.empty:
        raise UserError(f"nothing of study '{study.name}' has been computed yet: laser study run {study.name}")
    report = _Report(study, store, planned, cells)
    page = report.page()
    write_atomically(folder / "cells.csv", cells.drop(columns="folder").to_csv(index=False).encode())
    write_atomically(folder / "summary.csv", report.summary.to_csv(index=False).encode())
    write_atomically(folder / "label-needs.csv", report.needs.to_csv(index=False).encode())
    write_atomically(folder / "report.html", page.encode())
    return folder / "report.html"


class _Report:
    """The parts of one report."""

    def __init__(self, study: Study, store: ResultStore, planned: pd.DataFrame, cells: pd.DataFrame) -> None:
        self.study, self.planned, self.cells = study, planned, cells
        self.read, self.record, self.at_once = cache(store.predictions), cache(store.read), cache(store.at_once)
        self.asked_how = store.asked_how
        self.asked = cells[cells["key"].isin(store.asked_at_once())]
        self.summary = summarise(cells)
        self.titles = {name: datasets.about(name).title for name in cells["dataset"].unique()}
        self.curves = {name: learning_curves.curves(self._draws, cells[cells["dataset"] == name]) for name in self.titles}
        self.needs = pd.concat([self._needs(name) for name in self.titles], ignore_index=True)

    def page(self) -> str:
        study = self.study
        parts = [
            f"<h1>{_text(study.title)}</h1><p class=question>{_text(study.question)}</p>",
            *(self._dataset(name) for name in self.titles),
            "<h2>Limits</h2>",
            _list([*self._missing(), *LIMITS]),
            "<h2>Provenance</h2>",
            self._provenance(),
        ]
        return (
            f"<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{_text(study.title)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body>{''.join(parts)}</body></html>\n"
        )

    # ---- one data set ----------------------------------------------------------------------------------------------------------

    def _dataset(self, name: str) -> str:
        cells = self.cells[self.cells["dataset"] == name]
        points = self.summary[self.summary["dataset"] == name]
        last = points[points["train_rows"] == points["train_rows"].max()]
        first = leaders(points)
        drawn = of_series(points, *first)
        curve = partial(figures.sample_efficiency, drawn, titles=self.titles)
        several = points["train_rows"].nunique() > 1  # a curve of one point says no more than the table
        parts = [
            f"<h2>{_text(self.titles[name])}</h2>",
            _verdict(self.verdict(name)),
            _figure(curve("auc"), "AUC against the number of labels") if several else "",
            ""
            if len(drawn) == len(points) or not several
            else "<p class=quiet>Drawn are, of each kind of system, the best with the fewest labels and the best with the most, and the "
            "conventional model inside an LLM+CRM; the tables have all of them.</p>",
            "<h3>AUC: mean and 95 % interval</h3>",
            _means(points, "auc"),
            _figure(curve("log_loss"), "Log loss against the number of labels") if several else "",
            "<h3>Log loss: mean and 95 % interval</h3>",
            _means(points, "log_loss"),
            self._within_users(name),
            self._beside_the_paper(name),
            self._needs_table(name),
            self._areas(name),
            self._gaps(cells),
            "<h3>Cost with the most labels</h3>",
            _costs(last),
            _figure(
                figures.pareto(last, "auc", "per_thousand", "seconds a thousand predictions", figures.scale_note(last, self.titles, False)),
                "Quality against cost",
            ),
            self._calibration(cells, last),
        ]
        return "".join(parts)

    def verdict(self, name: str) -> list[str]:
        """What the intervals allow to be said of one data set, a sentence a line."""
        cells = self.cells[self.cells["dataset"] == name]
        all_shots = cells.sort_values("train_rows")["shots"].drop_duplicates()
        lines = _verdict_sentences(self._verdicts(self.read, cells, all_shots, "auc"))
        asked = self.asked[self.asked["dataset"] == name]
        lines += _verdict_sentences(self._verdicts(self.at_once, asked, all_shots, "gauc"), "gauc")
        lines += _needs_sentences(self.needs[self.needs["dataset"] == name])
        number, table = self._paper_table(name)
        lines += verdicts(number, table) if len(table) else []
        return [*lines, _highest(self.summary[self.summary["dataset"] == name])]

    def _verdicts(
        self, read: contrast.Read, cells: pd.DataFrame, all_shots: Iterable[int | str], metric: Literal["auc", "gauc"]
    ) -> Iterator[contrast.Verdict]:
        for shots in all_shots:
            with suppress(FaultError):  # recorded without predictions: nothing can be paired
                if (found := contrast.verdict(read, cells, shots, metric)) is not None:
                    yield found

    def _draws(self, key: str) -> np.ndarray:
        return learning_curves.auc_draws(self.record(key))

    def _needs(self, name: str) -> pd.DataFrame:
        """Columns dataset, system, baseline, labels_seen and those of `learning_curves.label_needs`: each challenger of a data set against
        its baseline. `labels_seen` is the challenger's at its own N: a prompt teaches more labels than one."""
        curves, points = self.curves[name], self.summary[self.summary["dataset"] == name]
        points = points[points["test_rows"] == points["test_rows"].max()].set_index(["system", "variant", "train_rows"])["labels_seen"]
        tables = [pd.DataFrame(columns=["dataset", "system", "baseline", "question", "shots", "labels_seen", "value", "low", "high"])]
        for challenger, baseline in _pairs(curves):
            found = learning_curves.label_needs(curves[challenger], curves[baseline])
            seen = points.loc[challenger].groupby(level=0).mean()
            found["labels_seen"] = found["shots"].map(seen).where(found["question"] == "multiplier")
            names = {"dataset": name, "system": figures.system_label(*challenger), "baseline": figures.system_label(*baseline)}
            tables.append(found.assign(**names)[tables[0].columns])
        return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)

    def _needs_table(self, name: str) -> str:
        found = self.needs[(self.needs["dataset"] == name) & (self.needs["question"] == "multiplier")]
        if found.empty:
            return ""
        rows = []
        for (system, baseline), own in found.groupby(["system", "baseline"], sort=False):
            values = {row.shots: f"{_times(row.value)} <small>[{_times(row.low)}; {_times(row.high)}]</small>" for row in own.itertuples()}
            rows.append([f"{_text(system)} <small>against {_text(baseline)}</small>", *values.values()])
        heads = ["how many times the labels the other needs", *(_n(shots) for shots in found["shots"].drop_duplicates())]
        return (
            "<h3>Labels needed</h3>"
            + _html_table(heads, rows)
            + "<p class=quiet>∞: more than it was ever given; &lt;: fewer than the fewest it was given.</p>"
        )

    def _areas(self, name: str) -> str:
        """The mean AUC over log N of each curve, on the N that all curves have in common."""
        curves = self.curves[name]
        low, high = (pick((curve.shots[end] for curve in curves.values()), default=0) for pick, end in ((max, 0), (min, -1)))
        if low >= high:
            return ""
        found = {key: area_under_curve(curve, (low, high)) for key, curve in curves.items()}
        rows = [
            [
                _text(figures.system_label(*key)),
                f"{figures.number(area.value)} <small>[{_number(area.low, 3)}; {_number(area.high, 3)}]</small>",
            ]
            for key, area in sorted(found.items(), key=lambda entry: -entry[1].value)
        ]
        return f"<h3>Mean AUC over log N, from {low:,} to {high:,} labels</h3>" + _html_table(["system", "area under the curve"], rows)

    def _gaps(self, cells: pd.DataFrame) -> str:
        """Every system minus the best reference, paired on common test samples, where all have the most labels."""
        last = cells[cells["train_rows"] == cells["train_rows"].max()]
        references = last[[name in SYSTEMS and SYSTEMS[name].family == "reference" for name in last["system"]]]
        if references.empty:
            return ""
        largest = references[references["test_rows"] == references["test_rows"].max()]  # means on other rows do not compare
        best = largest.groupby(["system", "variant"])["auc"].mean().idxmax()
        try:
            table = contrast.gaps(self.read, last, best)
        except FaultError:  # recorded without predictions: nothing can be paired
            return ""
        rows = [
            [
                _text(figures.system_label(row.system, row.variant)),
                f"{_signed(row.gap)} <small>[{_signed(row.low)}; {_signed(row.high)}]</small>",
                f"{row.p:.2g}",
                f"{row.p_holm:.2g}",
                f"{row.test_rows:,}",
            ]
            for row in table.sort_values("gap", ascending=False).itertuples()
        ]
        if not rows:
            return ""
        head = f"<h3>AUC minus that of {_text(figures.system_label(*best))}, the best reference, with the most labels</h3>"
        note = "<p class=quiet>Paired DeLong tests over users and seeds; the last p allows for all questions of the table (Holm).</p>"
        return head + _html_table(["system", "difference", "p", "p, Holm", "test rows"], rows) + note

    def _within_users(self, name: str) -> str:
        """How well systems order one user's samples, of those that were asked at once."""
        asked = self.asked[self.asked["dataset"] == name]
        if asked.empty:
            return ""
        try:
            points = contrast.within_users(self.at_once, asked)
        except FaultError:  # the test set cannot be had here
            return ""
        note = f"{figures.METRICS['gauc'].help} Of the pairs that AUC counts {points['pairs'].mean():.1%} are of one user."
        head = "<h3>GAUC, all of a user's test samples asked at once: mean and 95 % interval</h3>"
        differ = [self.asked_how(key)["refit_differs"] > SAME_FIT for key in asked["key"]]
        again = (
            f"GAUC is of models fitted again: of {len(differ)} results, the usual probabilities of {sum(differ) or 'none'} then differ "
            f"from the recorded ones by more than {figures.number(SAME_FIT, 2)}."
        )
        return f"{head}{_means(points, 'gauc')}<p class=quiet>{_text(note)} {_text(again)}</p>"

    def _paper_table(self, name: str) -> tuple[int, pd.DataFrame]:
        """Which table of the paper one data set is set beside, and the two side by side."""
        last = self.summary[self.summary["dataset"] == name].sort_values("train_rows").iloc[-1]
        number = self.study.paper_table or int(last["shots"] == "all")
        return number, beside(number, name, self.cells, self.summary) if number else pd.DataFrame()

    def _beside_the_paper(self, name: str) -> str:
        number, table = self._paper_table(name)
        if table.empty:
            return ""
        head = f"<h3>Table {number} of the paper, beside ours</h3>"
        return head + (self._times if number == 2 else self._qualities)(table) + self._not_run(number, table)

    def _qualities(self, table: pd.DataFrame) -> str:
        heads = ["row of the paper", "ours", "N", "test rows", "AUC, paper", "AUC, ours", "log loss, paper", "log loss, ours"]
        rows = []
        for row in table.itertuples():
            mine = [_interval(row, metric) if row.ours else "" for metric in ("auc", "log_loss")]
            rows.append([_paper_row(row), _ours(row), *_size(row), _number(row.auc_paper), mine[0], _number(row.log_loss_paper), mine[1]])
        return _html_table(heads, rows, "paper")

    def _times(self, table: pd.DataFrame) -> str:
        heads = [
            "row of the paper",
            "ours",
            "N",
            "test rows (one call)",
            "seconds, paper",
            "seconds, ours",
            "tokens a prediction",
            "threads",
            "processor",
        ]
        rows = []
        for row in table.itertuples():
            mine = [""] * 4
            if row.ours:
                keys = self.cells[(self.cells["system"] == row.system) & (self.cells["train_rows"] == row.train_rows)]["key"]
                made = [self.record(key)["provenance"] for key in keys]
                machines = [one["hardware"].get("gpu") or one["hardware"]["cpu"] for one in made]
                tokens = "" if np.isnan(row.tokens) else f"{row.tokens:,.0f}"
                threads = "; ".join(dict.fromkeys(str(one["threads"]) for one in made))
                mine = [f"{row.seconds:.2e}", tokens, threads, _text("; ".join(dict.fromkeys(machines)))]
            theirs = "" if np.isnan(row.seconds_paper) else f"{row.seconds_paper:.2e}"
            rows.append([_paper_row(row), _ours(row), *_size(row), theirs, *mine])
        note = "Wall seconds of one call that predicts all test rows, divided by their number. The paper states no batch and no hardware."
        return _html_table(heads, rows, "paper") + f"<p class=quiet>{note}</p>"

    def _not_run(self, number: int, table: pd.DataFrame) -> str:
        """Which rows of the paper have no result of ours, and what would compute them."""
        absent = [_paper_row(row) for row in table.itertuples() if not row.ours]
        if not absent:
            return ""
        name = self.study.name if self.study.paper_table else "table1"
        return (
            f"<p class=quiet>Not run: {'; '.join(absent)}. To compute them: <code>laser study run {_text(name)} --profile full</code></p>"
        )

    def _calibration(self, cells: pd.DataFrame, last: pd.DataFrame) -> str:
        chosen = cells[cells["train_rows"] == last["train_rows"].max()].drop_duplicates(["system", "variant"])
        scored = []
        for row in chosen.itertuples():
            try:
                stored = self.read(row.key)
            except LaserError:
                continue
            scored.append(
                (row.system, figures.system_label(row.system, row.variant), stored["label"].to_numpy(), stored["probability"].to_numpy())
            )
        if not scored:
            return ""
        return _figure(
            figures.calibration(scored, figures.scale_note(last, self.titles, False) + " · first seed"),
            "Do probabilities mean what they say?",
        )

    # ---- the whole study --------------------------------------------------------------------------------------------------------

    def _missing(self) -> list[str]:
        counts = self.planned["state"].value_counts()
        words = {"missing": "have not run", "failed": "failed", "unavailable": "cannot run on this machine"}
        told = [f"{counts[state]} of {len(self.planned)} cells {word}" for state, word in words.items() if counts.get(state)]
        return [f"{'; '.join(told)}: laser study run {self.study.name} --profile {self.study.profile}"] if told else []

    def _provenance(self) -> str:
        records = [self.record(key)["provenance"] for key in self.cells["key"]]
        days = sorted(record["finished"][:10] for record in records)
        machines = [record["hardware"] for record in records]
        packages = sorted({f"{name} {version}" for record in records for name, version in record["versions"].items()})
        versions = self.cells[["dataset", "data_version"]].drop_duplicates().itertuples(index=False)
        rows = {
            "results": [f"{len(records)} cells, finished {days[0]} to {days[-1]}"],
            "profile": [self.study.profile],
            "machines": [f"{found['cpu']}, {found['cores']} cores, {found['memory_gb']} GB, {found['system']}" for found in machines],
            "threads a cell": [record["threads"] for record in records],
            "code": [_commit(record["git_commit"]) for record in records],
            "packages": packages,
            "data": [f"{name} {version}" for name, version in versions],
        }
        lines = [[_text(name), "; ".join(_text(value) for value in dict.fromkeys(values))] for name, values in rows.items()]
        return _html_table(["", ""], lines, "words")


def _pairs(curves: dict[tuple[str, str], Any]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """(challenger, baseline): language-model systems against their conventional model, or the best of these against the best reference.

    LLM+CRM is set against its own backbone on the same input, plain or enriched; others, and where that has no curve, against the best one.
    """

    def best(*families: str) -> list[tuple[str, str]]:
        own = [key for key in curves if key[0] in SYSTEMS and SYSTEMS[key[0]].family in families]
        return sorted(own, key=lambda key: -curves[key].mean[-1])

    models, references = best("crm"), best("reference")
    rivals = models or references
    challengers = best("plm", "llm", "llm+crm")
    if challengers:
        return [(challenger, _own_model(challenger, rivals)) for challenger in challengers] if rivals else []
    return [(models[0], references[0])] if models and references else []


def _own_model(challenger: tuple[str, str], rivals: list[tuple[str, str]]) -> tuple[str, str]:
    """The conventional model inside an LLM+CRM, on its input; else the best of the same input; else the best."""
    own, plain = backbone_of(*challenger)[0], "statistics=false" in challenger[1]
    alike = [rival for rival in rivals if ("statistics=false" in rival[1]) == plain]
    return next((rival for rival in alike if rival[0] == own), (alike or rivals)[0])


def _verdict_sentences(found: Iterable[contrast.Verdict], metric: str = "auc") -> list[str]:
    """Verdicts in words, a sentence for all N at which the same was found of the same two systems."""
    alike: dict[tuple[Any, ...], list[contrast.Verdict]] = {}
    for entry in found:
        alike.setdefault((entry.with_lm, entry.stands, entry.without_lm, entry.rival_is), []).append(entry)
    opening = "Within users, asked at once, with" if metric == "gauc" else "With"
    return [
        f"{opening} {_all_of(_shots(entry.shots) for entry in own)} labels, {figures.system_label(*one)} {stands} "
        f"{figures.system_label(*other)}, {rival_is}: {figures.METRICS[metric].label} "
        f"{_all_of(f'{_signed(entry.gap)} [{_signed(entry.low)}; {_signed(entry.high)}]' for entry in own)}."
        + "".join(f" {told}" for told in dict.fromkeys(entry.labels_differ for entry in own) if told and metric == "auc")
        for (one, stands, other, rival_is), own in alike.items()
    ]


def _highest(points: pd.DataFrame) -> str:
    """Whose AUC is the highest on the largest test set: values on other rows do not compare, and the best of many had luck too."""
    points = points[points["test_rows"] == points["test_rows"].max()]
    best = points.loc[points["auc"].idxmax()]
    value, low, high = (figures.number(best[name], 3) for name in ("auc", "auc_low", "auc_high"))
    chosen = f" As the highest of {len(points)} it is rather too high." if len(points) > 1 else ""
    return (
        f"The highest AUC is that of {figures.system_label(best['system'], best['variant'])} with {_shots(best['shots'])} labels: "
        f"{value} [{low}; {high}] on {best['test_rows']:,} test samples.{chosen}"
    )


def _needs_sentences(needs: pd.DataFrame) -> list[str]:
    """Data multipliers in words, a sentence for each pair and finding; "fewer" or "more" only where the interval leaves out one.

    N counts samples. Where the system learnt from more labels than that, "labels" would be too much to say.
    """
    lines = []
    for (system, baseline), own in needs[needs["question"] == "multiplier"].groupby(["system", "baseline"], sort=False):
        says = np.select([own["low"] > 1, own["high"] < 1], ["fewer", "more"], "open")
        for found, rows in own.groupby(says, sort=False):
            several = (rows["labels_seen"].round() > rows["shots"]).any()
            unit = "samples" if several else "labels"
            if found == "open":
                lines.append(f"With {_all_of(map(_shots, rows['shots']))} {unit} it is open whether {system} or {baseline} needs fewer.")
                continue
            taught = f" These samples taught it {_all_of(map(_count, rows['labels_seen']))} labels." if several else ""
            lines.append(f"{system} needs {found} {unit} than {baseline}: {'; '.join(map(_worth, rows.itertuples()))}.{taught}")
    return lines


def _worth(row: Any) -> str:
    """With how many samples the baseline does what a system does with its own."""
    if row.value == 0:
        return f"with {row.shots:,} it is no better than the latter with the fewest it was given"
    if np.isinf(row.value):
        least = f" (at least {row.low:.1f} times as many)" if np.isfinite(row.low) else ""
        return f"with {row.shots:,} it reaches what the latter never reaches{least}"
    value, low, high = (_count(times * row.shots) for times in (row.value, row.low, row.high))
    return f"with {row.shots:,} it equals the latter with {value} [{low}; {high}]"


def _all_of(words: Iterable[str]) -> str:
    """ "a, b and c"."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _verdict(lines: Sequence[str], most: int = 8) -> str:
    """Sentences in a box, the first ones in sight and the others one click away."""
    first, others = ("".join(map(_sentence, part)) for part in (lines[:most], lines[most:]))
    folded = f"<details><summary>{len(lines) - most} more</summary>{others}</details>" if others else ""
    return f"<div class=verdict>{first}{folded}</div>"


def _sentence(line: str) -> str:
    """A paragraph in which no interval is broken between lines."""
    words = re.sub(r"\[[^]]*]", r"<span>\g<0></span>", _text(line))
    return f"<p>{words}</p>"


def _shots(shots: int | str) -> str:
    return "all" if shots == "all" else f"{shots:,}"


def _n(shots: int | str) -> str:
    return f"N\u00a0=\u00a0{_shots(shots)}"


def _count(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:,.0f}"


def _times(value: float) -> str:
    return "∞" if np.isinf(value) else "&lt;" if value == 0 else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _interval(row: Any, metric: str) -> str:
    low, high = (figures.number(getattr(row, f"{metric}{end}"), 3) for end in ("_low", "_high"))
    return f"{figures.number(getattr(row, metric))} <small>[{low}; {high}]</small>"


def _signed(value: float) -> str:
    """A difference with four decimals; one that is not zero is never shown as zero."""
    return f"{value:+.1g}" if 0 < abs(value) < 5e-5 else f"{value:+.4f}"


def _number(value: float, digits: int = 4) -> str:
    return "" if np.isnan(value) else figures.number(value, digits)


def _paper_row(row: Any) -> str:
    return _text(", ".join(filter(None, (row.row or "not in the paper", row.backbone))))


def _ours(row: Any) -> str:
    return _text(row.ours) or "<small>not run</small>"


def _size(row: Any) -> list[str]:
    """With how many labels one of ours was fitted, and on how many samples it was tested."""
    return [_shots(row.shots), f"{row.test_rows:,.0f}"] if row.ours else ["", ""]


def _commit(name: str | None) -> str:
    """A commit as it is usually abbreviated; "+changes" stays."""
    commit, plus, changes = (name or "").partition("+")
    return commit[:12] + plus + changes or "not in a clone"


def _means(points: pd.DataFrame, metric: str) -> str:
    """Systems down, N across; a dash where nothing has run or nothing was to run."""
    shots = points.sort_values("train_rows")["shots"].drop_duplicates().tolist()
    rows = []
    for (system, variant, test_rows), own in points.groupby(["system", "variant", "test_rows"], sort=False):
        values = {row.shots: _interval(row, metric) for row in own.itertuples()}
        seeds = "-".join(map(str, sorted({own["seeds"].min(), own["seeds"].max()})))
        rows.append([_text(figures.system_label(system, variant)), *(values.get(n, "&ndash;") for n in shots), seeds, f"{test_rows:,}"])
    order = {entry.label: place for place, entry in enumerate(SYSTEMS.values())}
    rows.sort(key=lambda row: order.get(html.unescape(row[0]), len(order)))
    return _html_table(["system", *map(_n, shots), "seeds", "test rows"], rows)


def _costs(rows: pd.DataFrame) -> str:
    heads = ["system", "parameters", "seconds to fit", "seconds a thousand predictions", "peak memory, MB", "labels seen"]
    names = [_text(figures.system_label(row.system, row.variant)) for row in rows.itertuples()]
    numbers = rows[["parameters", "fit_seconds", "per_thousand", "peak_memory_mb", "labels_seen"]].itertuples(index=False)
    forms = ("{:,.0f}", "{:,.2f}", "{:.3g}", "{:,.0f}", "{:,.0f}")
    cells = [
        [name, *(form.format(value) for form, value in zip(forms, own, strict=True))] for name, own in zip(names, numbers, strict=True)
    ]
    return _html_table(heads, cells)


def _html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "numbers") -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=scroll><table class={kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figure(figure: go.Figure, title: str) -> str:
    """A figure under its heading; what N counts is told once for all of them, under the limits."""
    figure, note = figures.apart(figure)
    more = " ".join(note.replace(figures.SHOTS_NOTE, "").split())
    figure = go.Figure(figure).update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#c3c9d2", "activecolor": "#5b6472"})
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config={"responsive": True, "displaylogo": False})
    return f"<div class=figure><h3>{_text(title)}</h3>{drawn}{f'<p class=quiet>{_text(more)}</p>' if more else ''}</div>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _text(value: object) -> str:
    """Any text as text in HTML."""
    return html.escape(str(value))
