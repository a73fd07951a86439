"""How the command line speaks: errors as one line, progress bars, tables, JSON. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from laser_core.errors import LaserError
from laser_core.progress import Progress

STOPPED = 130  # what shells expect of a program that Ctrl-C ended
_QUIET_SECONDS = 5.0  # without a terminal, progress is a line at most this often


class PoliteGroup(TyperGroup):
    """Turns whatever a command raises into one line on stderr and an exit code: 2 the request, 1 the machine or this kit, 130 Ctrl-C."""

    going_on: dict[str, str] = {}
    """what to say after Ctrl-C, by command"""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, (Exit, Abort, TyperException)) or ctx.params.get("debug"):
                raise  # typer's own ways to stop and to refuse an option
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of our output went away: typer ends quietly
            line, code = describe(error, self.going_on.get(ctx.invoked_subcommand or "", ""))
            typer.echo(line, err=True)
            raise Exit(code) from None


def describe(error: BaseException, going_on: str = "") -> tuple[str, int]:
    """An error as (one line, exit code)."""
    if isinstance(error, KeyboardInterrupt):
        return f"stopped. {going_on}".strip(), STOPPED
    text = " ".join(str(error).split())
    if isinstance(error, LaserError):
        return f"error: {text}", error.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or "while writing"
        return f"error: no space left on the disk ({where}): free some, or set LASER_HOME and LASER_STORE to another one", 1
    if isinstance(error, OSError) and error.strerror:
        return f"error: {error.filename or 'the system'}: {error.strerror}", 1
    if isinstance(error, MemoryError):
        return "error: not enough memory: fewer rows, a smaller batch or a smaller data set need less", 1
    return f"error: {type(error).__name__}: {text} (a fault of the kit: `laser --debug ...` shows where)", 1


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A `Progress` that draws one bar on a terminal and prints a line now and then elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich import progress
    from rich.table import Column

    columns = (
        progress.BarColumn(bar_width=24, table_column=Column(min_width=24)),
        progress.TaskProgressColumn(table_column=Column(min_width=4)),
        progress.TimeElapsedColumn(table_column=Column(min_width=7)),
        progress.TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def report(message: str, done: int, total: int) -> None:
            bar.update(task, description=message, completed=done, total=total or None)

        yield report


def _lines() -> Progress:
    last = -_QUIET_SECONDS

    def report(message: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _QUIET_SECONDS:
            last = time.monotonic()
            share = f"{done / total:4.0%}  " if total else ""
            print(f"{share}{message}", file=sys.stderr, flush=True)

    return report


def note(text: str) -> None:
    """A line for the reader, not for a script."""
    typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """For scripts: one JSON document; a table becomes a list of its rows, what is not a number becomes null."""
    print(value.to_json(orient="records", indent=2) if hasattr(value, "to_json") else json.dumps(value, indent=2, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> None:
    """A table for the eye; `numbers` names the columns to align on the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 200)  # a file or a pipe has no edge to fit
    heads, cells = list(columns), [["" if cell is None else str(cell) for cell in row] for row in rows]

    def width(place: int) -> int:
        """What a column needs: half a number on a line would be another number; a name may be folded."""
        texts = [heads[place], *(row[place] for row in cells)]
        return max(len(line) for text in texts for line in text.splitlines() or [""]) if columns[place] in numbers else 10

    def needed() -> int:
        return sum(width(place) + 2 for place in range(len(columns)))

    if needed() > console.width:  # intervals and heads on one line more
        heads = ["\n".join(head.rsplit(" ", 1)) if head in numbers else head for head in heads]
        cells = [
            [re.sub(r"(?<=\d)-(?=\.)", "-\n", cell) if head in numbers else cell for head, cell in zip(columns, row, strict=True)]
            for row in cells
        ]
    console.width = max(console.width, needed())  # on a still narrower terminal lines go on below, but no number is cut
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place, head in enumerate(heads):
        if columns[place] in numbers:
            table.add_column(head, justify="right", no_wrap=True, width=width(place))
        else:
            table.add_column(head, overflow="fold", min_width=10 if place == 0 else None)
    for row in cells:
        table.add_row(*row)
    console.print(table, markup=False)
