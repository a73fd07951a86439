"""The command line `laser`: one file a group of commands. Heavy imports stand inside the commands, so that help answers at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from laser_core import __version__
from laser_core.cli import bench, data, demo, machine, models, studies
from laser_core.cli.console import PoliteGroup


class LaserGroup(PoliteGroup):
    """The command line's own words after Ctrl-C."""

    going_on = {
        "study": "What was finished is kept: the same command goes on from there.",
        "demo": "What was finished is kept: the same command goes on from there.",
        "data": "The same command goes on, with what is already downloaded.",
        "train": "No model was written: the same command starts again, or goes on from what the system noted on its way.",
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
app.add_typer(machine.app)
app.add_typer(data.app, name="data")
app.add_typer(models.app)
app.add_typer(studies.app, name="study")
app.add_typer(studies.reports)
app.add_typer(bench.app, name="bench")
app.add_typer(demo.app)


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
