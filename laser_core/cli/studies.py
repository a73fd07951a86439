"""`laser study` and `laser report`: grids of cells, computed where missing, kept in the result store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laser_core.cli.arguments import Json, Profile, Store, StudyName, complete_study, open_store, row_count
from laser_core.cli.console import note, print_json, print_table, progress_bar
from laser_core.cli.text import print_summary
from laser_core.errors import unknown

if TYPE_CHECKING:
    from laser_core.study.spec import Study
    from laser_core.study.store import ResultStore

app = typer.Typer(no_args_is_help=True, help="Studies: a grid of cells, computed where missing, kept in the result store.")
reports = typer.Typer()
ENGINES = ("local", "ray")


@app.command("list", epilog="Example: `laser study list`")
def list_studies(as_json: Json = False) -> None:
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


@app.command("plan", epilog="Example: `laser study plan demo --profile full`")
def plan(name: StudyName, store: Store = None, profile: Profile = None, as_json: Json = False) -> None:
    """Every cell of a study in the order it would run, its state, and the seconds it is expected to take. Runs nothing."""
    from laser_core.study import runner, spec

    table = runner.plan_table(runner.plan(spec.load_study(name, profile), open_store(store)))
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


@app.command("run", epilog="Example: `laser study run demo --jobs 2`")
def run(
    name: StudyName,
    jobs: Annotated[int | None, typer.Option(help="Cores to use; without it all.", min=1)] = None,
    store: Store = None,
    profile: Profile = None,
    retry: Annotated[bool, typer.Option("--retry", help="Compute cells again that failed for a reason of their own.")] = False,
    engine: Annotated[
        str, typer.Option(help="local: processes on this machine; ray: the machines of a Ray cluster (RAY_ADDRESS).")
    ] = "local",
) -> None:
    """Compute what is missing of a study. Ctrl-C loses at most the cells under way. Exit code 1 if a cell failed."""
    from laser_core.study import spec

    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if not run_study(spec.load_study(name, profile), open_store(store), jobs, retry, engine):
        raise typer.Exit(1)


@app.command("status", epilog="Example: `laser study status demo --json`")
def status(name: StudyName, store: Store = None, profile: Profile = None, as_json: Json = False) -> None:
    """How many cells of a study are done, missing, failed or not to be had here, for each data set and system."""
    from laser_core.study import runner, spec

    table = runner.plan_table(runner.plan(spec.load_study(name, profile), open_store(store, to_read=True)))
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


@app.command("table", epilog="Example: `laser study table demo --metric log_loss`")
def table(
    name: Annotated[str | None, typer.Argument(help="A study; without it everything in the store.", autocompletion=complete_study)] = None,
    metric: Annotated[str, typer.Option(help="auc, log_loss, gauc (of what was asked at once), accuracy or ece.")] = "auc",
    store: Store = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Means with 95 % intervals over seeds and test users: a row a system, a column for each N."""
    from laser_core.figures import METRICS
    from laser_core.study import contrast, runner, spec
    from laser_core.study.summary import summarise

    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    results = open_store(store, to_read=True)
    cells = runner.results(spec.load_study(name, profile), results) if name else results.cells()
    if METRICS[metric].stored:
        table = summarise(cells)
    else:
        table = cells[cells["key"].isin(results.asked_at_once()) & cells["current"].astype(bool)]
        if len(table):
            table = contrast.within_users(results.at_once, table)
        else:
            note(f"not run: laser study at-once {name or 'STUDY'} asks what {METRICS[metric].label} is worked out from")
    if as_json:
        print_json(table)
    elif len(table) or METRICS[metric].stored:
        print_summary(table, metric)


@app.command("best", epilog="Example: `laser study best tune-ml-1m`")
def best(
    name: StudyName,
    most: Annotated[int, typer.Option(help="Settings to show of each system.", min=1)] = 5,
    store: Store = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """The settings of each system that validation prefers, by log loss; the test set is not looked at."""
    from laser_core.study import runner, spec
    from laser_core.study.summary import settings_by_validation

    results = open_store(store, to_read=True)
    table = settings_by_validation(results, runner.results(spec.load_study(name, profile), results))
    table = table.groupby(["dataset", "system", "shots"], sort=False).head(most)
    if as_json:
        print_json(table)
        return
    rows = [
        (row.dataset, row.system, row.shots, row.variant, row.on, row.seeds, f"{row.valid_log_loss:.4f}", f"{row.behind:+.4f}")
        for row in table.itertuples()
    ]
    heads = ["data set", "system", "N", "options", "judged on", "seeds", "log loss", "behind the best"]
    print_table(f"Study {name}", heads, rows, numbers=["N", *heads[5:]])


@app.command("at-once", epilog="Example: `laser study at-once within-users`")
def at_once(
    name: StudyName,
    system: Annotated[list[str] | None, typer.Option(help="Only these systems; without it all of the study.")] = None,
    shots: Annotated[list[str] | None, typer.Option(help="Only these N; without it all.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Only so many subsets, the first ones.", min=1)] = None,
    store: Store = None,
    profile: Profile = None,
) -> None:
    """Fit the finished cells of a study again and ask about all of a user's test items at one moment, as a recommender ranks them.
    Ctrl-C loses the cell under way. One thread, as cells have; several of this command on one store share the work."""
    from laser_core.study.engine import threads_of

    os.environ.update(threads_of(1))  # before the libraries that read it are loaded
    from laser_core.study import at_once, runner, spec

    results, study = open_store(store, to_read=True), spec.load_study(name, profile)
    systems = _chosen(f"system of study {name}", system, [cell.system for cell in study.cells()])
    counts = _chosen(f"N of study {name}", [str(row_count(text)) for text in shots or ()], [str(cell.shots) for cell in study.cells()])
    cells = runner.results(study, results)
    cells = cells[(cells["status"] == "done") & cells["system"].isin(systems) & cells["shots"].astype(str).isin(counts)]
    cells = cells[cells["seed"].isin(sorted(cells["seed"].unique())[:seeds])]
    with progress_bar(f"study {name}, at once") as progress:
        asked = at_once.ask(results, cells, progress)
    rest = f"{len(cells) - asked} already there or at work elsewhere"
    note(f"study {name}: {asked} of {len(cells)} cells asked at once, {rest}; results in {results.folder}")
    note(f"`laser report {name}` shows GAUC")


@app.command("diff", epilog="Example: `laser study diff results runs --json`")
def diff(
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
    if rows:
        print_table("Cells that came out different", heads, rows, numbers=heads[3:])
    else:
        print("no cell came out different")
    note(", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items()) or "both are empty")


@app.command("export", epilog="Example: `laser study export demo --out results`")
def export(
    name: StudyName,
    out: Annotated[Path, typer.Option(help="Folder to copy the results to.")],
    records_only: Annotated[bool, typer.Option("--records-only", help="Without each sample's probability: a tenth of the size.")] = False,
    store: Store = None,
    profile: Profile = None,
) -> None:
    """Copy the finished cells of a study to another store. Raw rows of data that may not be handed on are never in one."""
    from laser_core.study import runner, spec
    from laser_core.study.upkeep import export

    results = open_store(store, to_read=True)
    table = results.cells()
    planned = runner.plan(spec.load_study(name, profile), results, table=table)
    copied = export(results, runner.of_plan(planned, table), out, predictions=not records_only)
    lacking = sum(entry.state != "done" for entry in planned)
    print(f"{copied} results of {name} copied, {lacking} of its {len(planned)} cells are not computed: {out}")


@app.command("sync", epilog="Example: `laser study sync demo s3://bucket/laser`")
def sync(
    name: StudyName,
    url: Annotated[str, typer.Argument(help="Where to: s3://..., gs://..., file://... (what fsspec reaches, with its library installed).")],
    store: Store = None,
    profile: Profile = None,
) -> None:
    """Send the finished cells of a study to an object store and fetch those that are not here, before and after a run on each machine."""
    from laser_core.study import runner, spec
    from laser_core.study.sync import sync

    results = open_store(store)
    done = sync(results, runner.plan(spec.load_study(name, profile), results), url)
    for address in done.damaged:
        note(f"{address} is damaged: delete it there, and sync again from a machine that has this result")
    at_once = f"asked at once: {done.at_once_sent} sent, {done.at_once_fetched} fetched"
    print(f"{name}: {done.sent} results sent, {done.fetched} fetched; {at_once}: {url}")


@app.command("mlflow", epilog="Example: `laser study mlflow demo --uri http://localhost:5000`")
def mlflow(
    name: StudyName,
    uri: Annotated[str | None, typer.Option(help="Of the tracking server; without it MLFLOW_TRACKING_URI.")] = None,
    store: Store = None,
    profile: Profile = None,
) -> None:
    """Log the finished cells of a study to MLflow, those that are not there yet. Needs `pip install mlflow-skinny`."""
    from laser_core.study import runner, spec
    from laser_core.study.tracking import log_to_mlflow

    results = open_store(store, to_read=True)
    logged = log_to_mlflow(results, runner.results(spec.load_study(name, profile), results), f"laser {name}", uri)
    print(f"{logged} results of {name} logged to MLflow as experiment 'laser {name}'")


@app.command("gc", epilog="Example: `laser study gc --older --delete`")
def collect_garbage(
    older: Annotated[bool, typer.Option("--older", help="Also results of other revisions of a system or its data.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them; without it they are only listed.")] = False,
    store: Store = None,
) -> None:
    """Files that no result needs: half written, damaged, left by runs that were killed. Never touches the recorded results."""
    from laser_core.study import upkeep

    found = upkeep.waste(open_store(store, to_read=True), older)
    for entry in found:
        print(f"{entry.path}: {entry.why}")
    size = upkeep.remove(found) if delete else sum(entry.bytes for entry in found)
    note(f"{len(found)} files, {size / 2**20:.1f} MB{' deleted' if delete else '' if not found else ': --delete removes them'}")


@reports.command(epilog="Example: `laser report demo --out report`")
def report(
    name: StudyName,
    out: Annotated[Path, typer.Option(help="Folder to write report.html and its tables (CSV) to.")] = Path("report"),
    store: Store = None,
    profile: Profile = None,
) -> None:
    """A study as one HTML file that opens without a network: verdicts, curves, tables, costs, limits, provenance."""
    from laser_core.study.report import write_report
    from laser_core.study.spec import load_study

    print(write_report(load_study(name, profile), open_store(store, to_read=True), out))


def run_study(study: Study, store: ResultStore, jobs: int | None = None, retry: bool = False, engine: str = "local") -> bool:
    """Run a study with a bar, and say what happened; True if nothing failed."""
    from laser_core.study import runner

    if engine == "ray":
        from laser_core.study.ray_engine import RayEngine
    with progress_bar(f"study {study.name}") as progress:
        started = RayEngine(jobs) if engine == "ray" else None
        outcome = runner.run(study, store, jobs=jobs, progress=progress, retry=retry, engine=started)
    for problem in outcome.problems:
        note(f"not run: {problem}")
    words = f"{outcome.computed} computed, {outcome.present} already there"
    words += f", {outcome.failed} failed" * bool(outcome.failed) + f", {outcome.left} left out" * bool(outcome.left)
    note(f"study {study.name}: {words} ({runner.duration(outcome.seconds)}); results in {store.folder}")
    return not outcome.failed and not outcome.left


def _chosen(kind: str, wanted: Iterable[str] | None, known: Iterable[str]) -> set[str]:
    """What was asked for, or all that there is.

    Raises:
        UserError: It is not there.
    """
    wanted, known = set(wanted or ()), set(known)
    for name in sorted(wanted - known):
        raise unknown(kind, name, known)
    return wanted or known


def _pairs(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())
