"""`laser bench`: what things cost on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from laser_core.cli.arguments import Json
from laser_core.cli.console import note, print_json, print_table, progress_bar
from laser_core.errors import UserError
from laser_core.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="Benchmarks: what things cost on this machine, beside other toolkits.")
Repeats = Annotated[int, typer.Option(help="Rounds of each measurement.", min=1)]
Out = Annotated[Path | None, typer.Option(help="Record to write; other parts in it stay. Without it bench/COMMAND.json in LASER_STORE.")]


@app.command("crm", epilog="Example: `laser bench crm --part deepfm --part din`")
def conventional_models(
    part: Annotated[
        list[str] | None, typer.Option("--part", help="deepfm, din, few-shot, scoring, history, two or memory; without it all.")
    ] = None,
    repeats: Repeats = 5,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Conventional models beside DeepCTR-Torch and torch-rechub: training, few-shot cells, scoring, long histories, two runs, memory."""
    from laser_core.bench import crm

    _measure(crm, "crm", part, repeats, out, as_json)


@app.command("lm", epilog="Example: `laser bench lm --part scoring`")
def language_models(
    part: Annotated[list[str] | None, typer.Option("--part", help="scoring, tuning or candidates; without it all.")] = None,
    repeats: Repeats = 3,
    backbone: Annotated[str, typer.Option(help="The language model: short name, folder or hub id.")] = "smollm2-135m",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Language models beside this machine's own matrix products: scoring, tuning on one and many targets, candidates of one user."""
    from laser_core.bench import lm

    _measure(lm, "lm", part, repeats, out, as_json, backbone)


@app.command("serving", epilog="Example: `laser bench serving --part crm`")
def serving(
    part: Annotated[list[str] | None, typer.Option("--part", help="crm or llm; without it both.")] = None,
    repeats: Repeats = 9,
    encoder: Annotated[str, typer.Option(help="Whose vectors LLM+CRM reads: short name, folder or hub id.")] = "minilm-l6",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """LLM+CRM with stored vectors beside its conventional model, 1 and 1,024 samples a call, and a language model's answer."""
    from laser_core.bench import serving

    _measure(serving, "serving", part, repeats, out, as_json, encoder)


@app.command("study", epilog="Example: `laser bench study --part sweep --repeats 3`")
def studies(
    part: Annotated[list[str] | None, typer.Option("--part", help="sweep or bootstrap; without it both.")] = None,
    repeats: Repeats = 3,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """A few-shot study of 40 cells with two jobs beside one, and what 10,000 bootstrap draws cost. Ten minutes on a quiet machine."""
    from laser_core.bench import studies

    _measure(studies, "study", part, repeats, out, as_json)


def _measure(benchmark: Any, name: str, parts: list[str] | None, repeats: int, out: Path | None, as_json: bool, *model: str) -> None:
    """Run parts of a module of `laser_core.bench` (all, if none is named) and print them; `model`: the one it asks for, if it does."""
    out = out or get_settings().store / "bench" / f"{name}.json"
    with progress_bar("benchmark") as progress:
        benchmark.run(out, parts or (), repeats, progress, *model)
    print_benchmark(out, parts or list(benchmark.PARTS), as_json)


@app.command("show", epilog="Example: `laser bench show results/bench/crm.json`")
def show(
    record: Annotated[
        Path | None, typer.Argument(help="A record; without it the one of conventional models that comes with the kit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what a benchmark recorded, and on which machine."""
    print_benchmark(record or get_settings().recorded / "bench" / "crm.json", [], as_json)


def print_benchmark(path: Path, parts: list[str], as_json: bool) -> None:
    """Parts of a record (all, if none is named): what was measured, and what is held against a goal.

    Raises:
        UserError: There is no record.
    """
    from laser_core.bench.measure import read_record

    record = read_record(path)
    if not record["parts"]:
        raise UserError(f"{path} is no record of a benchmark: `laser bench crm --out {path}` makes one")
    chosen = {name: record["parts"][name] for name in parts or record["parts"]}
    if as_json:
        print_json({**record, "parts": chosen})
        return
    for part in chosen.values():
        rows = [
            (row["case"], row["who"], _short(row["median"]), f"{_short(row['low'])} - {_short(row['high'])}", row["unit"])
            for row in part["measurements"]
        ]
        print_table(part["title"], ["case", "who", "median", "range", "unit"], rows, numbers=["median", "range"])
        for check in part["checks"]:
            goal = f" (goal: at {'least' if check['at_least'] else 'most'} {check['goal']:g})" if "goal" in check else ""
            mark = {True: "[OK]", False: "[FAIL]", None: "[--]"}[check.get("met")]
            print(f"{mark} {check['what']}: {_short(check['median'])} ({_short(check['low'])} - {_short(check['high'])}){goal}")
        for reason in part["missing"]:
            note(f"not measured: {reason}")
        made = part["provenance"]
        versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
        rounds = f"{made['repeats']} round{'s' * (made['repeats'] > 1)}"
        note(f"{made['started'][:10]}, {rounds}, {made['hardware']['cpu']}, {made['hardware']['cores']} cores; {versions}")
    note(f"the record: {path}")


def _short(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
