"""`laser demo` and `laser app`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from laser_core.cli.arguments import fetch_weights, open_store
from laser_core.cli.console import note
from laser_core.cli.studies import run_study
from laser_core.cli.text import print_summary
from laser_core.errors import LaserError

if TYPE_CHECKING:
    from laser_core.study.spec import Study

app = typer.Typer()
Port = Annotated[int | None, typer.Option(help="Port of the dashboard; without it the first free one from 8501.", min=1, max=65535)]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser window.")]


@app.command(epilog="Example: `laser demo --no-browser`")
def demo(
    no_app: Annotated[bool, typer.Option("--no-app", help="Only the study and its table.")] = False,
    no_browser: NoBrowser = False,
    port: Port = None,
    jobs: Annotated[int | None, typer.Option(help="Cores to use; without it all.", min=1)] = None,
) -> None:
    """The demo study on the bundled data, from weights to dashboard. A second run computes nothing twice."""
    from laser_core.doctor import DEMO_BACKBONE
    from laser_core.settings import get_settings
    from laser_core.study import runner, spec

    # Your own store alone: the demo trains on this machine, whatever others have recorded.
    study, store = spec.load_study("demo"), open_store(get_settings().store)
    note(f"{study.title}: {study.question}")
    steps = [
        f"weights of {DEMO_BACKBONE}",
        f"{len(study.cells())} cells, computed where missing",
        "a table",
        *["the dashboard"] * (not no_app),
    ]
    note("; ".join(f"{number}. {step}" for number, step in enumerate(steps, start=1)))
    try:
        fetch_weights(DEMO_BACKBONE)
    except LaserError as error:
        study = _without_language_models(study)
        note(f"going on without the language model: {error}")
    run_study(study, store, jobs)
    from laser_core.study.summary import summarise

    print_summary(summarise(runner.results(study, store)), "auc")
    if not no_app:
        note("The dashboard opens on these results; its switch 'Results: recorded' shows those that come with the kit.")
        dashboard(port, no_browser)


@app.command("app", epilog="Example: `laser app --port 8600 --no-browser`")
def dashboard(port: Port = None, no_browser: NoBrowser = False) -> None:
    """Open the dashboard on the recorded results and your own."""
    from laser_core.cli.launch import open_dashboard

    raise typer.Exit(open_dashboard(port, not no_browser, note))


def _without_language_models(study: Study) -> Study:
    """The same study for a machine that has no weights."""
    from laser_core.systems import SYSTEMS

    parts = []
    for grid in study.grids:
        light = tuple(system for system in grid.systems if "transformers" not in SYSTEMS[system].needs)
        if light:
            parts.append(dataclasses.replace(grid, systems=light))
    return dataclasses.replace(study, grids=tuple(parts))
