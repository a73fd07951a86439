"""A study: a TOML file that names a grid of cells.

title = "..."
question = "..."
paper_table = 1                           # 1, 2 or 3: the report sets this table of the paper beside our results
include = ["crm-ml-1m"]                   # all cells of other studies too

[[grid]]                                  # as many as you like
datasets = ["movielens-small"]            # or the mapping file of your own data, beside this file
systems = ["history-lr", "din"]
shots = [64, 256, "all"]                  # 0: no labels at all, for the language model alone
seeds = [0, 1, 2]
test_rows = "all"                         # or at most so many, where a system is slow
threads = 1                               # for each cell
seconds = 600                             # a cell that takes longer is ended and counts as failed; without this line none is
options = { epochs = 5 }                  # of every system of this part
vary = { dropout = [0.0, 0.1] }           # one cell for each combination
[grid.smoke]                              # what another profile (smoke, demo, full) changes; skip = true leaves the part out
seeds = [0]
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from laser_core import datasets, systems
from laser_core.datasets.dataset import ALL, check_count
from laser_core.errors import UserError, unknown
from laser_core.settings import PROFILES, get_settings

FOLDER = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class Cell:
    """One fit and one test: what to compute. `laser_core.study.versions.identity` adds what decides its key."""

    dataset: str
    system: str
    shots: int | str
    seed: int
    test_rows: int | str = ALL
    options: Mapping[str, Any] = field(default_factory=dict)
    """what differs from the system's own options"""
    threads: int = 1
    seconds: float = 0
    """it may take, 0: as long as it likes"""

    def __str__(self) -> str:
        """Such as "din, movielens-small, N = 256, seed 1"."""
        changes = "".join(f", {name} = {value}" for name, value in self.options.items())
        return f"{self.system}, {self.dataset}, N = {self.shots}, seed {self.seed}{changes}"


@dataclass(frozen=True)
class Grid:
    """One part of a study: every combination of its lists is a cell."""

    datasets: tuple[str, ...]
    systems: tuple[str, ...]
    shots: tuple[int | str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    test_rows: int | str = ALL
    threads: int = 1
    seconds: float = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UserError: One is wrong; the message names it.
        """
        for name in ("datasets", "systems", "shots", "seeds"):
            if not getattr(self, name):
                raise UserError(f"'{name}' is empty")
        for dataset in self.datasets:
            if dataset not in datasets.names():
                raise unknown("data set", dataset, datasets.names())
        for system in self.systems:
            systems.get(system)
        for shots in self.shots:
            if shots != ALL:
                check_count("shots", shots, least=0)
        if 0 in self.shots and (learners := [system for system in self.systems if not systems.get(system).zero_shot]):
            raise UserError(
                f"shots = 0 is for systems that can do without labels, and {', '.join(learners)} cannot: put it in another [[grid]]"
            )
        if self.test_rows != ALL:
            check_count("test_rows", self.test_rows)
        if any(isinstance(seed, bool) or not isinstance(seed, int) or seed < 0 for seed in self.seeds):
            raise UserError(f"seeds must be whole numbers from 0, not {list(self.seeds)}")
        if isinstance(self.threads, bool) or not isinstance(self.threads, int) or self.threads < 1:
            raise UserError(f"threads must be a positive whole number, not {self.threads!r}")
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, (int, float)) or not 0 <= self.seconds < math.inf:
            raise UserError(f"seconds must be a number, 0 for no limit, not {self.seconds!r}")

    def cells(self) -> Iterator[Cell]:
        """Every combination."""
        variations = [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]
        for dataset, system, shots, seed, varied in itertools.product(self.datasets, self.systems, self.shots, self.seeds, variations):
            yield Cell(dataset, system, shots, seed, self.test_rows, {**self.options, **varied}, self.threads, self.seconds)


@dataclass(frozen=True)
class Study:
    """A question and the cells that answer it."""

    name: str
    title: str
    question: str
    grids: tuple[Grid, ...]
    profile: str
    paper_table: int = 0
    """the table of the paper that it stands for, 0: none in particular"""

    def cells(self) -> list[Cell]:
        """Every cell once, in the order of the file; `planning.plan` also joins those that differ only in spelling out a default."""
        return list({str((cell, sorted(cell.options.items()))): cell for grid in self.grids for cell in grid.cells()}.values())


def studies() -> dict[str, Path]:
    """The studies that come with the kit: name -> file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def load_study(name_or_path: str | Path, profile: str | None = None, _within: tuple[str, ...] = ()) -> Study:
    """Read a study by name or from a file.

    Args:
        profile: smoke, demo or full; None takes the settings' one.

    Raises:
        UserError: There is no such study, or a key, name or value in it is wrong.
    """
    profile = get_settings().profile if profile is None else profile
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    path = studies().get(str(name_or_path), Path(name_or_path))
    if path.suffix != ".toml":
        raise unknown("study", str(name_or_path), studies())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"the study {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"the study {path} is not valid TOML: {error}") from None
    except ValueError as error:  # the name holds a NUL
        raise UserError(f"the study {path} cannot be read: {error}") from None
    try:
        _check_keys(content, ("title", "question", "paper_table", "include", "grid"))
        parts, included = content.get("grid", []), content.get("include", [])
        if not isinstance(parts, list) or not isinstance(included, list) or not parts + included:
            raise UserError("it has no [[grid]] part")
        _check_names("include", included)
        if content.get("paper_table", 0) not in (0, 1, 2, 3):
            raise UserError(f"paper_table must be 1, 2 or 3, not {content['paper_table']!r}")
        if path.stem in (*_within, *included):
            raise UserError("it includes itself")
        others = [load_study(other, profile, (*_within, path.stem)) for other in included]
        grids = [*(grid for other in others for grid in other.grids), *(_grid(part, profile, path.parent) for part in parts)]
    except UserError as error:
        raise UserError(f"study {path.name}: {error}") from None
    return Study(
        name=path.stem,
        title=str(content.get("title", path.stem)),
        question=str(content.get("question", "")),
        grids=tuple(grid for grid in grids if grid is not None),
        profile=profile,
        paper_table=content.get("paper_table", 0),
    )


def _grid(part: Mapping[str, Any], profile: str, folder: Path) -> Grid | None:
    """One [[grid]] part as `profile` wants it; None where it is left out."""
    names = [entry.name for entry in dataclasses.fields(Grid)]
    _check_keys(part, (*names, *PROFILES))
    for other in PROFILES:
        _check_keys(part.get(other, {}), (*names, "skip"))
    values = {**{name: value for name, value in part.items() if name in names}, **part.get(profile, {})}
    if values.pop("skip", False):
        return None
    for name in ("datasets", "systems", "shots", "seeds"):
        if name in values and not isinstance(values[name], list):
            raise UserError(f"'{name}' must be a list, not {values[name]!r}")
    for name in ("datasets", "systems"):
        _check_names(name, values.get(name, []))
    if "datasets" in values:
        values["datasets"] = [datasets.load(folder / name).name if name.endswith(".toml") else name for name in values["datasets"]]
    for name in ("options", "vary"):
        if not isinstance(values.get(name, {}), dict):
            raise UserError(f"'{name}' must be a table such as {{ dropout = 0.1 }}")
        for option, value in values.get(name, {}).items():
            try:
                json.dumps(value)
            except TypeError:  # TOML has dates and times too
                raise UserError(f"option '{option}' must be a number, a text, true, false or a list of such, not {value}") from None
    for name, value in values.get("vary", {}).items():
        if not isinstance(value, list) or not value:
            raise UserError(f"'vary' must list the values of '{name}', such as {name} = [1, 2]")
    missing = [name for name in ("datasets", "systems", "shots") if name not in values]
    if missing:
        raise UserError(f"a [[grid]] part lacks {', '.join(missing)}")
    return Grid(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _check_keys(table: Any, known: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise UserError(f"expected a table with {', '.join(known)}, not {table!r}")
    for name in table:
        if name not in known:
            raise unknown("key", name, known)


def _check_names(key: str, values: list[Any]) -> None:
    if not all(isinstance(value, str) for value in values):
        raise UserError(f"'{key}' must hold names only, not {values}")
