"""What counts as a system's own options, and what a result of other options is called."""

from __future__ import annotations

import dataclasses
import json
from unittest.mock import patch

import pytest

from laser_core import systems
from laser_core.study import versions
from laser_core.study.spec import Cell
from laser_core.study.store import cell_key

PRESET_LATE = [
    (entry.name, option.name, option.default)
    for entry in systems.SYSTEMS.values()
    if entry.where.endswith(":LaserLLM")
    for option in dataclasses.fields(systems.recommender_class(entry.name).Options)
    if option.metadata.get("late") and option.name in entry.preset
]


def test_there_are_presets_of_late_options():
    assert ("laser-llm-counted", "learn", "adapter") in PRESET_LATE and ("laser-llm-retrieval", "retrieval", False) in PRESET_LATE


@pytest.mark.parametrize(("system", "option", "default"), PRESET_LATE)
def test_setting_back_what_a_preset_sets_is_a_variant_of_its_own(system, option, default):
    """Not the system as it is: the store would take its results for outdated, and pages would explain the wrong model."""
    back = versions.full_options(system, {option: default})
    assert back[option] == default != versions.full_options(system, {})[option]
    assert versions.variant(system, back) == f"{option}={json.dumps(default)}"
    again = systems.create(system, **back).options
    assert getattr(again, option) == default and versions.full_options(system, back) == back


def test_a_late_option_at_its_default_is_left_out_where_no_preset_names_it():
    assert {"learn", "retrieval", "nearby"}.isdisjoint(versions.full_options("laser-llm", {"learn": "adapter"}))
    assert versions.variant("laser-llm", versions.full_options("laser-llm", {"retrieval": False})) == ""


def test_what_a_variant_names_may_differ_from_the_codes_own_options():
    usual = {"epochs": 20, "dropout": 0.1}
    assert versions.are_todays({"epochs": 20, "dropout": 0.3}, "dropout=0.3", usual)
    assert not versions.are_todays({"epochs": 10, "dropout": 0.3}, "dropout=0.3", usual)
    assert not versions.are_todays({"epochs": 20, "dropout": 0.3}, "", usual)


def test_whatever_decides_a_result_decides_its_key():
    cell, data_version = Cell("movielens-small", "history-lr", 64, 0), "a"
    changes = [{"dataset": "ml-1m"}, {"system": "popularity"}, {"shots": 256}, {"shots": "all"}, {"seed": 1}, {"test_rows": 100}]
    others = [dataclasses.replace(cell, **change) for change in [*changes, {"options": {"strengths": [0.5]}}]]
    keys = [cell_key(versions.identity(one, data_version)) for one in (cell, *others)]
    keys.append(cell_key(versions.identity(cell, "b")))
    with patch.dict(systems.SYSTEMS):
        systems.SYSTEMS["history-lr"] = dataclasses.replace(systems.SYSTEMS["history-lr"], revision=99)
        keys.append(cell_key(versions.identity(cell, data_version)))
    assert len(set(keys)) == len(keys) == 10
    assert cell_key(versions.identity(dataclasses.replace(cell, threads=7), data_version)) == keys[0], "how fast it is computed does not"


def test_options_are_known_without_a_model_once_they_were_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("LASER_HOME", str(tmp_path))
    assert versions.known_options("history-lr") is None
    assert versions.known_options("no-such-system") is None
    asked = versions.full_options("history-lr", {})
    monkeypatch.setattr(systems, "create", None)
    assert versions.known_options("history-lr") == asked
