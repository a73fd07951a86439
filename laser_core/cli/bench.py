"""`laser bench`: what things cost on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laser_core.cli.arguments import Json
from laser_core.cli.console import note, print_json, print_table, progress_bar
from laser_core.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="Benchmarks: what things cost on this machine, beside other toolkits.")


@app.command("crm", epilog="Example: `laser bench crm --part deepfm --part din`")
def conventional_models(
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
