"""Notebooks from their sources: one source gives the notebook with open exercises and the one with solutions, both executed.

    python notebooks/build.py 00_welcome         one, in the profile in force (LASER_PROFILE; what is committed is of demo)
    python notebooks/build.py                    all of them
    python notebooks/build.py --check            are the committed notebooks and the index made from today's sources?
    make notebooks                               runs all solutions in the smoke profile and writes nothing

A source is a script in jupytext's percent format, `NN_name.py`, and runs with its solutions. An exercise in it is a line that ends in
`...`, followed by its solution between `# BEGIN SOLUTION` and `# END SOLUTION`: `NN_name.ipynb` gets the line,
`solutions/NN_name.ipynb` the solution. Its first cell has a title, `**You will** ...` (the goal), and the sentences `Data: ...` and
`Machine: ...`: the index (`README.md`) takes them from there, and the minutes from the run that made the notebook.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
import pictures
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
_EXERCISE = re.compile(
    r"^([ ]*(?:\w+ = )?\.\.\.\n)[ ]*# BEGIN SOLUTION\n(.*?)^[ ]*# END SOLUTION\n", re.DOTALL | re.MULTILINE
)
_SECONDS = 600  # a cell that takes longer has gone wrong
_ABOVE = 'import sys\n\nsys.path.insert(0, "..")  # checks and lesson are in the folder above\n\n'
_INDEX = """# The course

Written by `python notebooks/build.py`. Minutes: CPU time, one thread, of the run that made the committed notebook
(the longer of two: what is encoded once is kept).
Exercises are open in the notebooks here and solved in [solutions](solutions/). `LASER_PROFILE=smoke` makes every notebook a matter of
seconds, `full` does more than `demo`, which is the default and what the committed outputs show.

| notebook | goal | data | machine | minutes |
|---|---|---|---|---|
"""


def sources() -> list[Path]:
    """The sources, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def convert(source: Path, solved: bool) -> nbformat.NotebookNode:
    """A source as an unexecuted notebook."""
    text = source.read_text(encoding="utf-8")
    text = _EXERCISE.sub(r"\2" if solved else r"\1", text)
    notebook = jupytext.reads(text, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # random ids would change at every build
    if solved:
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        first.source = _ABOVE + first.source
        for cell in notebook.cells:
            cell.source = cell.source.replace("](../", "](../../")  # links, from one folder deeper
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "source_sha256": fingerprint(source),
            "solved": solved,
        }
    )
    return notebook


def fingerprint(source: Path) -> str:
    """A hash of a source, kept in the notebooks made from it."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def execute(notebook: nbformat.NotebookNode, seconds: int = _SECONDS) -> nbformat.NotebookNode:
    """Run every cell in order, in the folder where the notebook belongs; its metadata then say how many CPU-seconds that took.

    Raises:
        CellExecutionError: A cell fails.
    """
    os.environ.setdefault(
        "PLOTLY_RENDERER", "plotly_mimetype"
    )  # figures as data, not as a copy of plotly.js in every file
    folder = FOLDER / "solutions" if notebook.metadata.get("solved") else FOLDER
    folder.mkdir(exist_ok=True)
    before = _cpu_seconds()
    NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": str(folder)}}).execute()
    notebook.metadata["seconds"] = round(_cpu_seconds() - before)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
    return notebook


def _cpu_seconds() -> float:
    """Of all processes that this one started and that have ended: kernels, and what those started. Neighbours do not move it."""
    spent = os.times()
    return spent.children_user + spent.children_system


def targets(source: Path) -> dict[bool, Path]:
    """Where the notebooks of a source go: open exercises (False), solved (True)."""
    return {False: source.with_suffix(".ipynb"), True: FOLDER / "solutions" / f"{source.stem}.ipynb"}


def is_current(source: Path) -> bool:
    """Whether both notebooks of a source were made from it as it is now."""
    for path in targets(source).values():
        if not path.exists() or nbformat.read(path, as_version=4).metadata.get("source_sha256") != fingerprint(source):
            return False
    return True


def build(source: Path) -> None:
    """Write both notebooks of a source, executed, with a still picture beside every figure.

    What is committed shows the results that come with the kit, not those of whoever builds it: LASER_STORE is a fresh folder.
    """
    with tempfile.TemporaryDirectory() as store:
        os.environ["LASER_STORE"] = store
        for solved, path in targets(source).items():
            notebook = execute(convert(source, solved))
            pictures.add(notebook)
            path.parent.mkdir(exist_ok=True)
            nbformat.write(notebook, path)
            print(
                f"{path.relative_to(FOLDER.parent)} {path.stat().st_size / 1e3:,.0f} kB, {notebook.metadata['seconds']} s",
                flush=True,
            )


def index() -> str:
    """The table of all notebooks that have been built, as Markdown."""
    rows = []
    for source in sources():
        made = [nbformat.read(path, as_version=4) for path in targets(source).values() if path.exists()]
        if made:
            words = about(source)
            minutes = max(notebook.metadata.get("seconds", 0) for notebook in made) / 60
            rows.append(
                f"| [{source.stem[:2]} {words['title']}]({source.stem}.ipynb) | {words['goal']} | {words['data']} | {words['machine']} "
                f"| {max(minutes, 0.1):.1f} |\n"
            )
    return _INDEX + "".join(rows)


def about(source: Path) -> dict[str, str]:
    """Title, goal, data and machine, as the first cell of a source says them."""
    first = jupytext.read(source, fmt="py:percent").cells[0].source
    title = re.search(r"^# (.+)", first)
    parts = {
        "goal": re.search(r"\*\*You will\*\*\s+(.+?)(?:\n\n|\Z)", first, re.DOTALL),
        "data": re.search(r"\bData: (.+?)\.(?:\s|\Z)", first, re.DOTALL),
        "machine": re.search(r"\bMachine: (.+?)\.(?:\s|\Z)", first, re.DOTALL),
    }
    found = {name: " ".join(part[1].split()).rstrip(".") if part else "" for name, part in parts.items()}
    return {"title": title[1].strip() if title else source.stem, **found}


def try_all(chosen: list[Path]) -> int:
    """Run the solutions and write nothing; returns how many failed."""
    failed, started = 0, time.perf_counter()
    for source in chosen:
        try:
            notebook = execute(convert(source, solved=True))
            print(f"{source.stem}: {notebook.metadata['seconds']} CPU-s", flush=True)
        except CellExecutionError as error:
            failed += 1
            print(f"{source.name}: {error}", file=sys.stderr)
    print(f"{len(chosen) - failed} of {len(chosen)} notebooks run, {(time.perf_counter() - started) / 60:.1f} minutes")
    return failed


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="such as 00_welcome; none: all")
    parser.add_argument(
        "--check", action="store_true", help="build nothing, fail if a notebook is older than its source"
    )
    parser.add_argument("--run", action="store_true", help="run the solutions, write nothing, fail if one fails")
    parser.add_argument("--index", action="store_true", help="write the index only")
    asked = parser.parse_args()
    known = {source.stem: source for source in sources()}
    for name in asked.names:
        if name not in known:
            print(f"there is no notebook '{name}': {', '.join(known)}", file=sys.stderr)
            return 2
    chosen = [known[name] for name in asked.names or known]
    readme = FOLDER / "README.md"
    if asked.check:
        stale = [source.stem for source in chosen if not is_current(source)]
        if not readme.exists() or readme.read_text(encoding="utf-8") != index():
            stale.append("README.md")
        print(f"to be built again: {', '.join(stale)}" if stale else "all notebooks are of today's sources")
        return 1 if stale else 0
    if asked.run:
        return 1 if try_all(chosen) else 0
    for source in [] if asked.index else chosen:
        try:
            build(source)
        except CellExecutionError as error:
            print(f"{source.name}: {error}", file=sys.stderr)
            return 1
    readme.write_text(index(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
