"""Results and data cards as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from laser_core.cli.console import note, print_table

if TYPE_CHECKING:
    import pandas as pd


def print_summary(table: pd.DataFrame, metric: str) -> None:
    """Each data set as a table: systems down, N across, mean and, where the table has one, 95 % interval in a cell.

    Args:
        metric: A key of `figures.METRICS`.
    """
    from laser_core import figures
    from laser_core.systems import SYSTEMS

    if table.empty:
        note("not run: there is no result yet. `laser study run demo` computes some.")
        return
    order = {system: place for place, system in enumerate(SYSTEMS)}
    variants = [variant for variant in table["variant"].drop_duplicates() if variant]
    for dataset, rows in table[table["current"]].groupby("dataset", sort=False):
        columns = rows.sort_values("train_rows")["shots"].astype(str).drop_duplicates().tolist()
        lines = []
        for (system, variant, test_rows), group in rows.groupby(["system", "variant", "test_rows"], sort=False):
            cells = {str(row.shots): row for row in group.itertuples()}
            values = [_mean(cells[shots], metric) if shots in cells else "not run" for shots in columns]
            seeds = sorted(group["seeds"].unique())
            span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
            label = SYSTEMS[system].label if system in SYSTEMS else system
            mark = f" [{variants.index(variant) + 1}]" if variant else ""
            lines.append((order.get(system, len(order)), (label + mark, *values, span, f"{test_rows:,}")))
        heads = [f"N = {shots}" for shots in columns]
        lines.sort(key=lambda line: line[0])
        title = f"{dataset}: {figures.METRICS[metric].label}"
        print_table(title, ["system", *heads, "seeds", "test rows"], [line for _, line in lines], numbers=[*heads, "seeds", "test rows"])
    what = "Mean and 95 % interval over seeds and test users" if f"{metric}_low" in table else "Mean over seeds"
    note(f"{what}. N counts training labels; histories may show earlier ratings.")
    for place, variant in enumerate(variants, start=1):
        note(f"[{place}] with {variant}")
    stale = int((~table["current"].astype(bool)).sum())
    if stale:
        note(f"{stale} rows of an older revision of a system or of its data are left out; --json shows them.")


def _mean(row: Any, metric: str) -> str:
    """Mean, and its interval, if there is one, on a second line."""
    from laser_core.figures import number

    mean = number(getattr(row, metric))
    if not hasattr(row, f"{metric}_low"):
        return mean
    low, high = (number(getattr(row, f"{metric}_{end}"), 3) for end in ("low", "high"))
    return f"{mean}\n{low}-{high}"


def card_lines(card: dict[str, Any], indent: str = "") -> Iterator[str]:
    """A card as text: one line a value, what belongs together indented."""
    for key, value in card.items():
        if isinstance(value, dict) and any(isinstance(entry, dict) for entry in value.values()):
            yield f"{indent}{key}:"
            yield from card_lines(value, indent + "  ")
        elif isinstance(value, dict):
            yield f"{indent}{key}: " + (", ".join(f"{name} {number(entry)}" for name, entry in value.items()) or "-")
        elif isinstance(value, list):
            yield f"{indent}{key}:"
            yield from (f"{indent}  - {entry}" for entry in value)
        else:
            yield f"{indent}{key}: {number(value)}"


def number(value: Any) -> str:
    """A value for the eye: thousands apart, four places after the point, yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
