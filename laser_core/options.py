"""The options of every system in words, read from the source: nothing is imported, so a page or a command tells them without torch.

A system's options are the fields of its `Options` dataclass and of that one's bases; the text under a field says what it does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from laser_core import systems

PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Option:
    """One option of a system."""

    name: str
    usual: str
    """its value where nothing is said, as written in Python"""
    words: str
    """what it does"""


@cache
def options_of(system: str) -> dict[str, Option]:
    """The options of a registered system of this kit by name; none for a system whose class is elsewhere.

    Raises:
        UserError: There is no such system.
    """
    entry = systems.get(system)
    kind = _class_of_options(entry.where.rpartition(":")[2])
    found: dict[str, Option] = {}
    for base in _lineage(kind) if kind else ():
        for name, option in _fields(base).items():
            words = option.words or (found[name].words if name in found else "")  # another default may leave the words to the base
            found[name] = Option(name, repr(entry.preset[name]) if name in entry.preset else option.usual, words)
    return found


@cache
def _trees() -> list[ast.Module]:
    """The source files of the rooms where systems are."""
    rooms = {system.where.partition(":")[0].split(".")[1] for system in systems.SYSTEMS.values() if system.where.startswith("laser_core.")}
    return [ast.parse(path.read_text(encoding="utf-8")) for room in sorted(rooms) for path in sorted((PACKAGE / room).glob("*.py"))]


@cache
def _classes() -> dict[str, ast.ClassDef]:
    """Every class of these files by its name."""
    return {node.name: node for tree in _trees() for node in tree.body if isinstance(node, ast.ClassDef)}


@cache
def _constants() -> dict[str, str]:
    """What the upper-case names of these files stand for, where that is a plain value."""
    lines = [node for tree in _trees() for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    return {target.id: ast.unparse(line.value) for line in lines for target in line.targets if isinstance(target, ast.Name)}


def _bases(name: str) -> list[str]:
    return [ast.unparse(base).rpartition(".")[2] for base in _classes()[name].bases] if name in _classes() else []


def _class_of_options(name: str) -> str | None:
    """What a system's class, or the first of its bases that says so, calls `Options`."""
    if name not in _classes():
        return None
    for node in _classes()[name].body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["Options"]:
            return ast.unparse(node.value).rpartition(".")[2]
    return next((found for base in _bases(name) if (found := _class_of_options(base))), None)


def _lineage(name: str) -> Iterator[str]:
    """A class after all its bases: what it says of a field comes last and counts."""
    for base in reversed(_bases(name)):
        yield from _lineage(base)
    if name in _classes():
        yield name


def _fields(name: str) -> dict[str, Option]:
    """The fields that a class itself has, with the text under each."""
    found, body = {}, _classes()[name].body
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            below = body[place + 1] if place + 1 < len(body) else None
            told = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
            words = " ".join(below.value.value.split()) if told else ""
            found[node.target.id] = Option(node.target.id, _default(node.value), words)
    return found


def _default(value: ast.expr | None) -> str:
    """The default as written; of `field(default=..., ...)` what stands there, of a constant its value."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == "field":
        value = next((word.value for word in value.keywords if word.arg == "default"), None)
    if isinstance(value, ast.Name):
        return _constants().get(value.id, value.id)
    return "" if value is None else ast.unparse(value)
