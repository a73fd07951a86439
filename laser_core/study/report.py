"""A study as one HTML file that opens anywhere without a network, with its tables as CSV beside it.

Every sentence is computed from intervals: a system is called better only where the interval of the paired difference leaves out zero.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from laser_core import datasets, figures
from laser_core.errors import FaultError, LaserError, UserError
from laser_core.study import contrast, paper, runner
from laser_core.study.spec import Study
from laser_core.study.store import ResultStore, write_atomically
from laser_core.study.summary import summarise
from laser_core.systems import SYSTEMS

LIMITS = (
    figures.SHOTS_NOTE,
    "Intervals are 95 %, over the subsets of labels (seeds) and over test users. They say nothing of other data sets, splits or settings.",
    "A system whose test rows are fewer was scored on a fixed random part of the test set, and its intervals are wider for it.",
    "Settings were not tuned to the test set; what each system was run with is in cells.csv.",
)
STYLE = """
:root { --ink: #1d2430; --quiet: #5b6472; --line: #d9dee6; --tint: #f5f7fa; }
* { box-sizing: border-box; }
body { font: 16px/1.55 "Source Sans Pro", "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink); }
body { margin: 0 auto; max-width: 1080px; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.4rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
.question { font-size: 1.25rem; color: var(--quiet); margin: 0 0 1rem; }
.verdict { background: var(--tint); border-left: 4px solid #2F4DFF; padding: .8rem 1.2rem; margin: 1rem 0; }
.verdict p { margin: .35rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .4rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: top; }
th { border-bottom: 2px solid var(--ink); }
th:first-child, td:first-child { text-align: left; }
table.words td { white-space: normal; text-align: left; }
td small, .quiet { color: var(--quiet); }
@media print {
  body { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; }
  .figure, table, .verdict { break-inside: avoid; }
  .modebar { display: none; }
}
"""


def write_report(study: Study, store: ResultStore, folder: Path) -> Path:
    """Write `report.html`, `cells.csv`, `summary.csv` and `label-needs.csv` into a folder; returns the path of the HTML.

    Raises:
        UserError: Nothing of the study has been computed yet.
        FaultError: The folder cannot be written to.
    """
    planned = runner.plan_table(runner.plan(study, store))
    table = store.cells()
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
        self.read, self.record = cache(store.predictions), cache(store.read)
        self.summary = summarise(cells)
        self.titles = {name: datasets.about(name).title for name in cells["dataset"].unique()}
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
        curve = partial(figures.sample_efficiency, points, titles=self.titles)
        cost = last.assign(per_thousand=1000 * last["predict_seconds"] / last["test_rows"])
        parts = [
            f"<h2>{_text(self.titles[name])}</h2>",
            f"<div class=verdict>{''.join(f'<p>{_text(line)}</p>' for line in self.verdict(name))}</div>",
            _figure(curve("auc", title="AUC against the number of labels")),
            "<h3>AUC: mean and 95 % interval</h3>",
            _means(points, "auc"),
            _figure(curve("log_loss", title="Log loss against the number of labels")),
            "<h3>Log loss: mean and 95 % interval</h3>",
            _means(points, "log_loss"),
            self._beside_the_paper(name, last),
            "<h3>Labels needed</h3>",
            self._needs_table(name),
            "<h3>Cost with the most labels</h3>",
            _costs(cost),
            _figure(
                figures.pareto(
                    cost,
                    "auc",
                    "per_thousand",
                    "seconds a thousand predictions",
                    figures.scale_note(last, self.titles),
                    "Quality against cost",
                )
            ),
            self._calibration(cells, last),
        ]
        return "".join(parts)

    def verdict(self, name: str) -> list[str]:
        """What the intervals allow to be said of one data set, a sentence a line."""
        cells = self.cells[self.cells["dataset"] == name]
        lines = []
        for shots in cells.sort_values("train_rows")["shots"].drop_duplicates():
            try:
                found = contrast.verdict(self.read, cells, shots)
            except FaultError:  # recorded without predictions: nothing can be paired
                found = None
            if found is not None:
                words = {"ahead": "is ahead of", "behind": "is behind", "level": "cannot be told apart from"}[found.says]
                one, other = figures.system_label(*found.with_lm), figures.system_label(*found.without_lm)
                lines.append(
                    f"With {_labels(shots)}, {one} {words} {other}, the best of {found.rivals} systems without a language model: "
                    f"{found.gap:+.3f} AUC [{found.low:+.3f}; {found.high:+.3f}]."
                )
        lines += [
            _needs_sentence(row, cells) for row in self.needs[self.needs["dataset"] == name].itertuples() if row.question == "multiplier"
        ]
        best = self.summary[self.summary["dataset"] == name].sort_values("auc").iloc[-1]
        lines.append(
            f"The highest AUC is that of {figures.system_label(best['system'], best['variant'])} with {_labels(best['shots'])}: "
            f"{figures.number(best['auc'], 3)} [{figures.number(best['auc_low'], 3)}; {figures.number(best['auc_high'], 3)}]."
        )
        return lines

    def _needs(self, name: str) -> pd.DataFrame:
        """Columns dataset, system, baseline and those of `contrast.label_needs`: each challenger of a data set against its baseline."""
        cells = self.cells[self.cells["dataset"] == name]
        curves = {}
        for (system, variant, test_rows), own in cells.groupby(["system", "variant", "test_rows"], sort=False):
            if own["train_rows"].nunique() > 1 and test_rows == cells["test_rows"].max():
                curves[system, variant] = contrast.curve(lambda key: contrast.auc_draws(self.record(key)), own)
        tables = [pd.DataFrame(columns=["dataset", "system", "baseline", "question", "shots", "value", "low", "high"])]
        for challenger, baseline in _pairs(curves):
            found = contrast.label_needs(curves[challenger], curves[baseline])
            names = {"dataset": name, "system": figures.system_label(*challenger), "baseline": figures.system_label(*baseline)}
            tables.append(found.assign(**names)[tables[0].columns])
        return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)

    def _needs_table(self, name: str) -> str:
        found = self.needs[(self.needs["dataset"] == name) & (self.needs["question"] == "multiplier")]
        if found.empty:
            return "<p class=quiet>No two systems have a curve on the whole test set yet.</p>"
        rows = []
        for (system, baseline), own in found.groupby(["system", "baseline"], sort=False):
            values = {row.shots: f"{_times(row.value)} <small>[{_times(row.low)}; {_times(row.high)}]</small>" for row in own.itertuples()}
            rows.append([f"{_text(system)} <small>against {_text(baseline)}</small>", *values.values()])
        heads = ["how many times the labels the other needs", *(f"N = {shots:,}" for shots in found["shots"].drop_duplicates())]
        return _html_table(heads, rows) + "<p class=quiet>∞: more than it was ever given; &lt;: fewer than the fewest it was given.</p>"

    def _beside_the_paper(self, name: str, last: pd.DataFrame) -> str:
        theirs = paper.table_1().query("dataset == @name").set_index("row")
        if theirs.empty or not (last["shots"] == "all").all():
            return ""
        rows = []
        ours = {SYSTEMS[row.system].paper_row: row for row in last.itertuples() if row.system in SYSTEMS and not row.variant}
        for row, values in theirs.iterrows():
            own = ours.get(row)
            mine = ["not run", ""] if own is None else [_interval(own, metric) for metric in ("auc", "log_loss")]
            rows.append([_text(row), figures.number(values["auc"]), mine[0], figures.number(values["log_loss"]), mine[1]])
        heads = ["row of Table 1 (all data)", "AUC, paper", "AUC, ours", "log loss, paper", "log loss, ours"]
        return "<h3>The paper beside ours</h3>" + _html_table(heads, rows)

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
            figures.calibration(scored, figures.scale_note(last, self.titles) + " · first seed", "Do probabilities mean what they say?")
        )

    # ---- the whole study --------------------------------------------------------------------------------------------------------

    def _missing(self) -> list[str]:
        counts = self.planned["state"].value_counts()
        words = {"missing": "have not run", "failed": "failed", "unavailable": "cannot run on this machine"}
        told = [f"{counts[state]} of {len(self.planned)} cells {word}" for state, word in words.items() if counts.get(state)]
        return [f"{'; '.join(told)}: laser study run {self.study.name}"] if told else []

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
            "code": [record["git_commit"] or "not in a clone" for record in records],
            "packages": packages,
            "data": [f"{name} {version}" for name, version in versions],
        }
        lines = [[_text(name), "; ".join(_text(value) for value in dict.fromkeys(values))] for name, values in rows.items()]
        return _html_table(["", ""], lines, "words")


def _pairs(curves: dict[tuple[str, str], Any]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """(challenger, baseline): language-model systems against the best conventional model, or that one against the best reference."""

    def best(*families: str) -> list[tuple[str, str]]:
        own = [key for key in curves if key[0] in SYSTEMS and SYSTEMS[key[0]].family in families]
        return sorted(own, key=lambda key: -curves[key].mean[-1])

    models, references = best("crm"), best("reference")
    rivals = models or references
    challengers = best("plm", "llm", "llm+crm")
    if challengers:
        return [(challenger, rivals[0]) for challenger in challengers] if rivals else []
    return [(models[0], references[0])] if models and references else []


def _needs_sentence(row: Any, cells: pd.DataFrame) -> str:
    """One data multiplier in words; "more" or "fewer" only where the interval leaves out one."""
    given = f"With {row.shots:,} labels, {row.system}"
    own = cells["train_rows"]
    if np.isinf(row.value):
        return f"{given} reaches what {row.baseline} never reaches, not even with {own.max():,}" + (
            f" (at least {row.low:.1f} times the labels)."
            if np.isfinite(row.low) and row.low > 1
            else ", but the interval includes an equal number."
        )
    if row.value == 0:
        return f"{given} is no better than {row.baseline} with {own.min():,}, the fewest it was given."
    needed = f"equals {row.baseline} with {row.value * row.shots:,.0f} [{_count(row.low * row.shots)}; {_count(row.high * row.shots)}]"
    says = f"{row.system} needs fewer" if row.low > 1 else f"{row.system} needs more" if row.high < 1 else "no clear difference"
    return f"{given} {needed}: {says}."


def _labels(shots: int | str) -> str:
    return "all labels" if shots == "all" else f"{shots:,} labels"


def _count(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:,.0f}"


def _times(value: float) -> str:
    return "∞" if np.isinf(value) else "&lt;" if value == 0 else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _interval(row: Any, metric: str) -> str:
    low, high = (figures.number(getattr(row, f"{metric}{end}"), 3) for end in ("_low", "_high"))
    return f"{figures.number(getattr(row, metric))} <small>[{low}; {high}]</small>"


def _means(points: pd.DataFrame, metric: str) -> str:
    """Systems down, N across."""
    shots = points.sort_values("train_rows")["shots"].drop_duplicates().tolist()
    rows = []
    for (system, variant, test_rows), own in points.groupby(["system", "variant", "test_rows"], sort=False):
        values = {row.shots: _interval(row, metric) for row in own.itertuples()}
        seeds = "-".join(map(str, sorted({own["seeds"].min(), own["seeds"].max()})))
        rows.append([_text(figures.system_label(system, variant)), *(values.get(n, "not run") for n in shots), seeds, f"{test_rows:,}"])
    order = {entry.label: place for place, entry in enumerate(SYSTEMS.values())}
    rows.sort(key=lambda row: order.get(html.unescape(row[0]), len(order)))
    return _html_table(["system", *(f"N = {n}" if n == "all" else f"N = {n:,}" for n in shots), "seeds", "test rows"], rows)


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


def _figure(figure: go.Figure) -> str:
    figure = go.Figure(figure).update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#c3c9d2", "activecolor": "#5b6472"})
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config={"responsive": True, "displaylogo": False})
    return f"<div class=figure>{drawn}</div>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _text(value: object) -> str:
    """Any text as text in HTML."""
    return html.escape(str(value))
