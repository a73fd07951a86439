"""What a study needs: its cells, which of them are there, and how long the others will take; and which study a result is part of.

Nothing is fetched, loaded or computed.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from laser_core import systems
from laser_core.datasets.dataset import ALL, check_shots
from laser_core.errors import FaultError, UserError
from laser_core.settings import get_settings
from laser_core.study import versions
from laser_core.study.spec import Cell, Study, load_study, studies
from laser_core.study.store import ResultStore, cell_key
from laser_core.study.versions import changed_options

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Planned:
    """A cell of a study and what is known of it."""

    cell: Cell
    identity: dict[str, Any]
    """what `versions.identity` says; empty as long as that is not known"""
    state: str
    """done, failed, missing, or "unavailable" where it cannot be computed here"""
    error: str = ""
    seconds: float = 0.0
    """how long it takes, as far as past cells tell"""

    @property
    def key(self) -> str:
        """Of its result; "" as long as that is not known."""
        return cell_key(self.identity) if self.identity else ""


def plan(study: Study, store: ResultStore, without: Mapping[str, str] | None = None, table: pd.DataFrame | None = None) -> list[Planned]:
    """Every cell of a study once, with its state and expected seconds, in the order in which a run takes them.

    Cells that differ only in spelling out an option's default are one: they have the same key.
    A data set that has not been parsed on this machine counts as what the stored results were computed on.

    Args:
        without: Data sets that cannot be had, and why.
        table: `store.cells()`, where it is at hand.

    Raises:
        UserError: The study asks for something that does not exist, or for more shots than a data set on this machine has.
    """
    table = store.cells() if table is None else table
    speed = Speed(table)
    stored = dict(zip(table["dataset"], table["data_version"], strict=True))  # the latest result's
    data = {cell.dataset: versions.cached_data_version(cell.dataset) or stored.get(cell.dataset) for cell in study.cells()}
    most = {dataset: versions.cached_training_samples(dataset) for dataset in data}
    found: dict[str, Planned] = {}
    for cell in study.cells():
        try:
            if cell.shots != ALL and most[cell.dataset] is not None:
                check_shots(cell.shots, cell.dataset, most[cell.dataset])
            planned = _planned(cell, data[cell.dataset], store, (without or {}).get(cell.dataset, ""))
        except UserError as error:
            raise UserError(f"study {study.name}.toml, system {cell.system}: {error}") from None
        planned.seconds = speed.seconds(cell)
        found.setdefault(planned.key or repr(cell), planned)
    result = list(found.values())
    # A later seed counts as dearer: first every curve once, cheap systems leading, then the repetitions.
    place = {seed: number for number, seed in enumerate(sorted({entry.cell.seed for entry in result}))}
    return sorted(result, key=lambda entry: entry.seconds * (1 + place[entry.cell.seed]))


def _planned(cell: Cell, data_version: str | None, store: ResultStore, lack: str) -> Planned:
    """One cell's state; `lack` is why its data cannot be had."""
    try:
        identity = versions.identity(cell, data_version) if data_version else {}
    except FaultError as error:
        return Planned(cell, {}, "unavailable", str(error))
    found = store.find(identity) if identity else None
    if found is not None and (found["status"] == "done" or not found["passing"]):
        return Planned(cell, identity, found["status"], found["error"])
    return Planned(cell, identity, "unavailable" if lack else "missing", lack)


def plan_table(planned: list[Planned]) -> pd.DataFrame:
    """A plan as a table: columns dataset, system, options, shots, seed, test_rows, state, seconds, error, key."""
    import pandas as pd

    names = ("dataset", "system", "options", "shots", "seed", "test_rows")
    rows = [
        {
            **{name: getattr(entry.cell, name) for name in names},
            **{name: getattr(entry, name) for name in ("state", "seconds", "error", "key")},
        }
        for entry in planned
    ]
    return pd.DataFrame(rows, columns=[*names, "state", "seconds", "error", "key"])


def results(study: Study, store: ResultStore) -> pd.DataFrame:
    """The rows of `store.cells()` that belong to a study as it would run today."""
    table = store.cells()
    return of_plan(plan(study, store, table=table), table)


def of_plan(planned: list[Planned], table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `store.cells()` that are results of planned cells."""
    return table[table["key"].isin({entry.key for entry in planned})].reset_index(drop=True)


def study_of(cell: Mapping[str, Any], variant: str) -> str | None:
    """The first of the kit's studies, as it would run today, that computes a stored result; None if none does.

    Args:
        cell: What decides the result, as its record says.
        variant: Its options that differ from the system's own, as its record says.
    """
    options = cell["options"]
    changed = set(changed_options(options, variant))
    there = [
        (study, own)
        for study, own in _kit_cells(get_settings().profile).get((cell["dataset"], cell["system"], cell["shots"]), [])
        if (own.seed, own.test_rows) == (cell["seed"], cell["test_rows"]) and changed <= set(own.options)
    ]
    absent = {name for _, own in there for name in own.options} - set(options)
    usual: Mapping[str, Any] = {}
    for study, own in sorted(there, key=lambda one: bool(absent & set(one[1].options))):
        if absent & set(own.options) and not usual:  # a result from before an option existed; what it was then, the system's code says
            try:
                usual = dataclasses.asdict(systems.create(cell["system"]).options)
            except FaultError:  # a package is missing
                return None
        if all(options.get(name, usual.get(name)) == value for name, value in own.options.items()):
            return study
    return None


def study_with(dataset: str, system: str, shots: int | str | None = None) -> str | None:
    """The kit's study that runs a system on a data set (with so many labels) most often, as it is rather than with other options."""
    there = [
        one
        for (its_dataset, its_system, its_shots), cells in _kit_cells(get_settings().profile).items()
        if (its_dataset, its_system) == (dataset, system) and shots in (None, its_shots)
        for one in cells
    ]
    names = [study for study, cell in there if not cell.options] or [study for study, _ in there]
    return max(names, key=names.count, default=None)


def study_text(
    dataset: str,
    systems: Iterable[str],
    shots: int | str,
    seeds: Iterable[int] = (0, 1, 2),
    test_rows: int | str = ALL,
    options: Mapping[str, Any] | None = None,
) -> str:
    """A study of one part as TOML, for cells that no study of the kit has."""
    lines = {
        "datasets": [dataset],
        "systems": list(systems),
        "shots": [shots if shots == ALL else int(shots)],
        "seeds": [int(seed) for seed in seeds],
    }
    if test_rows != ALL:
        lines["test_rows"] = test_rows
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    if options:
        text += f"options = {{ {', '.join(f'{name} = {json.dumps(value)}' for name, value in options.items())} }}\n"
    return f"[[grid]]\n{text}"


@cache
def _kit_cells(profile: str) -> dict[tuple[str, str, int | str], list[tuple[str, Cell]]]:
    """(data set, system, shots) -> (study, cell) of the kit's studies."""
    found: dict[tuple[str, str, int | str], list[tuple[str, Cell]]] = {}
    for name in studies():
        for cell in load_study(name, profile).cells():
            found.setdefault((cell.dataset, cell.system, cell.shots), []).append((name, cell))
    return found


def duration(seconds: float) -> str:
    """Seconds for the eye: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Speed:
    """How long cells take, learned from those that are done. Only for order and time left: no result depends on it."""

    FIXED = {"reference": 0.5, "crm": 1.5, "plm": 20.0, "llm": 20.0, "llm+crm": 20.0}
    """seconds of a family's cell however few its shots, until something is known"""
    EACH_THOUSAND = {"reference": 0.1, "crm": 0.2, "plm": 60.0, "llm": 60.0, "llm+crm": 1.0}
    """seconds more for every thousand shots"""

    def __init__(self, table: pd.DataFrame) -> None:
        """Learn from the finished cells of `ResultStore.cells`: what each spent itself, beyond what a store of vectors had ready for it."""
        self._known: dict[tuple[str, str], dict[float, list[tuple[float, float]]]] = {}
        done = table[table["status"] == "done"]
        self._test_rows = done.groupby("dataset")["test_rows"].max().to_dict()
        done = done.reindex(columns=[*done.columns, *{"stored_fit_seconds", "stored_predict_seconds"}.difference(done.columns)])
        for part in ("fit", "predict"):
            done[part] = (done[f"{part}_seconds"] - done[f"stored_{part}_seconds"].fillna(0)).clip(lower=0)
        for row in done.itertuples():
            self._learn(row.dataset, row.system, row.shots, row.fit, row.predict / max(row.test_rows, 1))

    def learn(self, cell: Cell, seconds: float) -> None:
        """Remember how long a cell took; which part was fitting is told by those before."""
        fit, predict = self._parts(cell)
        share = fit / (fit + predict) if fit + predict else 1.0
        self._learn(cell.dataset, cell.system, cell.shots, share * seconds, (1 - share) * seconds / self._rows(cell))

    def _learn(self, dataset: str, system: str, shots: int | str, fit: float, predict: float) -> None:
        self._known.setdefault((dataset, system), {}).setdefault(_size(shots), []).append((fit, predict))

    def seconds(self, cell: Cell) -> float:
        """The mean of cells with as many shots, else worked out from those with the nearest number; answers by the number of test rows."""
        return sum(self._parts(cell))

    def _parts(self, cell: Cell) -> tuple[float, float]:
        """Seconds to fit and to predict."""
        size, family = _size(cell.shots), systems.get(cell.system).family
        known = self._known.get((cell.dataset, cell.system), {})
        if not known:
            return self.FIXED[family] + self.EACH_THOUSAND[family] * size / 1000, 0.0
        nearest = min(known, key=lambda other: abs(math.log(other / size)))
        fit, predict = (sum(part) / len(part) for part in zip(*known[nearest], strict=True))
        return max(fit * min(1.0, size / nearest), fit + self.EACH_THOUSAND[family] * (size - nearest) / 1000), predict * self._rows(cell)

    def _rows(self, cell: Cell) -> float:
        """Test rows of a cell; all of them are the most that were recorded."""
        return float(self._test_rows.get(cell.dataset, 1) if cell.test_rows == ALL else cell.test_rows)


def _size(shots: int | str) -> float:
    return 100_000.0 if shots == ALL else max(1.0, float(shots))
