"""Arguments that several commands take, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laser_core.cli.console import progress_bar
from laser_core.errors import UserError
from laser_core.settings import get_settings

if TYPE_CHECKING:
    from laser_core.datasets.dataset import CTRDataset
    from laser_core.study.store import ResultStore


def complete_system() -> list[str]:
    """Names of systems, for the shell."""
    from laser_core.systems import SYSTEMS

    return list(SYSTEMS)


def complete_dataset() -> list[str]:
    """Names of data sets, your own too, for the shell."""
    from laser_core.datasets import names

    return list(names())


def complete_study() -> list[str]:
    """Names of studies, for the shell."""
    from laser_core.study.spec import studies

    return list(studies())


Json = Annotated[bool, typer.Option("--json", help="JSON for scripts, on stdout.")]
Dataset = Annotated[str, typer.Argument(help="Name of a data set, or the mapping file of your own.", autocompletion=complete_dataset)]
Source = Annotated[Path | None, typer.Option("--from", help="Folder or zip that holds the raw files.")]
StudyName = Annotated[str, typer.Argument(help="Name of a study (`laser study list`) or a TOML file.", autocompletion=complete_study)]
Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of the results; without it LASER_STORE, and the recorded results to read.")
]
Profile = Annotated[str | None, typer.Option(help="smoke, demo or full; without it LASER_PROFILE, else demo.")]


def open_store(folder: Path | None, to_read: bool = False) -> ResultStore:
    """The result store of a folder; without one your own results, then the recorded ones.

    Raises:
        UserError: A folder that is to be read is not there, or is none.
    """
    from laser_core.study.store import ResultStore

    if to_read and folder is not None and not folder.is_dir():
        fault = "is a file, not a folder of results" if folder.exists() else "does not exist"
        raise UserError(f"--store {folder} {fault}: name a folder that `laser study run` wrote, or leave --store out")
    settings = get_settings()
    return ResultStore(folder) if folder else ResultStore(settings.store, settings.recorded)


def load_dataset(name: str, source: Path | None = None) -> CTRDataset:
    """A data set, with a bar while it is obtained and parsed."""
    from laser_core import datasets

    with progress_bar(f"data set {name}") as progress:
        return datasets.load(name, source=source, progress=progress)


def fetch_weights(backbone: str) -> None:
    """Bring the weights of a language model here."""
    from laser_core.lm import backbones

    with progress_bar(f"weights of {backbone}") as progress:
        backbones.fetch(backbone, progress)


def row_count(text: str) -> int | str:
    """A number of rows as typed: a whole number or 'all'."""
    if text == "all":
        return text
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise UserError(f"'{text}' is no number of rows: give a whole number, or all") from None
