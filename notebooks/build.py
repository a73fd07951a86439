"""Notebooks from their sources: one source gives the notebook with open exercises and the one with solutions, both executed.

    make notebooks                               all of them
    python notebooks/build.py 00_welcome         one
    python notebooks/build.py --check            are the committed notebooks made from today's sources?

A source is a script in jupytext's percent format, `NN_name.py`, and runs with its solutions. An exercise in it is a line that ends in
`...`, followed by its solution between `# BEGIN SOLUTION` and `# END SOLUTION`: `NN_name.ipynb` gets the line,
`solutions/NN_name.ipynb` the solution.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
_EXERCISE = re.compile(r"^([ ]*(?:\w+ = )?\.\.\.\n)[ ]*# BEGIN SOLUTION\n(.*?)^[ ]*# END SOLUTION\n", re.DOTALL | re.MULTILINE)
_SECONDS = 600  # a cell that takes longer has gone wrong


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
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "source_sha256": fingerprint(source),
        }
    )
    return notebook


def fingerprint(source: Path) -> str:
    """A hash of a source, kept in the notebooks made from it."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def execute(notebook: nbformat.NotebookNode, seconds: int = _SECONDS) -> nbformat.NotebookNode:
    """Run every cell in order, in the notebooks' folder.

    Raises:
        CellExecutionError: A cell fails.
    """
    os.environ.setdefault("PLOTLY_RENDERER", "plotly_mimetype")  # figures as data, not as a copy of plotly.js in every file
    NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
    return notebook


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
    """Write both notebooks of a source, executed."""
    for solved, path in targets(source).items():
        notebook = execute(convert(source, solved))
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
        print(path.relative_to(FOLDER.parent), f"{path.stat().st_size / 1e3:,.0f} kB")


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="such as 00_welcome; none: all")
    parser.add_argument("--check", action="store_true", help="build nothing, fail if a notebook is older than its source")
    asked = parser.parse_args()
    known = {source.stem: source for source in sources()}
    for name in asked.names:
        if name not in known:
            print(f"there is no notebook '{name}': {', '.join(known)}", file=sys.stderr)
            return 2
    chosen = [known[name] for name in asked.names or known]
    if asked.check:
        stale = [source.stem for source in chosen if not is_current(source)]
        print(f"to be built again: {', '.join(stale)}" if stale else "all notebooks are of today's sources")
        return 1 if stale else 0
    for source in chosen:
        try:
            build(source)
        except CellExecutionError as error:
            print(f"{source.name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
