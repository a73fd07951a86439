"""`laser doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from laser_core.cli.arguments import Json, fetch_weights
from laser_core.cli.console import print_json
from laser_core.errors import LaserError

app = typer.Typer()


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
            fetch_weights(DEMO_BACKBONE)
        except LaserError as error:
            show(Check("fetching weights", "fail", str(error), "try again, or go on without the language model"))
    for check in examine():
        show(check)
    if as_json:
        print_json([{"name": entry.name, "state": entry.state, "found": entry.found, "remedy": entry.remedy} for entry in checks])
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)
