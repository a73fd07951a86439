"""Which study computes a result: told for every cell of every study, and only where its key is that of the result."""

from __future__ import annotations

import pytest

from laser_core import systems
from laser_core.errors import UserError
from laser_core.study import planning, spec, versions
from laser_core.study.store import ResultStore, cell_key


@pytest.mark.parametrize("name", spec.studies())
def test_the_study_named_for_a_result_computes_it(name):
    """One cell of each system, options, N and number of test rows; the key is the judge."""
    kinds = {(cell.dataset, cell.system, cell.shots, str(cell.options), cell.test_rows): cell for cell in spec.load_study(name).cells()}
    for cell in kinds.values():
        if systems.missing_packages(systems.get(cell.system)):
            continue
        made = versions.identity(cell, "v")
        study = planning.study_of(made, versions.variant(cell.system, made["options"]))
        assert study is not None, cell
        same = [
            other
            for other in spec.load_study(study).cells()
            if (other.dataset, other.system, other.shots, other.seed) == (cell.dataset, cell.system, cell.shots, cell.seed)
        ]
        assert cell_key(made) in {cell_key(versions.identity(other, "v")) for other in same}, cell


@pytest.mark.parametrize("change", [{"shots": 77}, {"seed": 77}, {"test_rows": 77}, {"dataset": "another"}, {"options": {"dropout": 0.77}}])
def test_no_study_is_named_for_what_none_computes(change):
    made = versions.identity(spec.Cell("movielens-small", "deepfm", 256, 0), "v")
    assert planning.study_of(made, "") is not None
    other = {**made, **change, "options": {**made["options"], **change.get("options", {})}}
    assert planning.study_of(other, versions.variant("deepfm", other["options"])) is None


def test_a_default_that_is_spelt_out_makes_no_second_cell(small, tmp_path):
    grids = [spec.Grid(("movielens-small",), ("deepfm", "history-lr"), (64,), (0, 1))]
    grids += [spec.Grid(("movielens-small",), ("deepfm",), (64,), (0, 1), vary={"statistics": (False, True)})]  # True is the default
    study = spec.Study("mine", "Mine", "?", tuple(grids), "full")
    planned = planning.plan(study, ResultStore(tmp_path))
    assert len(study.cells()) == 8 and len(planned) == 6
    assert len({entry.key for entry in planned}) == 6
    assert [dict(entry.cell.options) for entry in planned if entry.cell.system == "deepfm"] == [{}, {"statistics": False}] * 2


def test_a_study_with_an_n_has_it():
    every = [(name, cell) for name in spec.studies() for cell in spec.load_study(name).cells()]
    for dataset in ("movielens-small", "ml-1m"):
        for system in systems.SYSTEMS:
            for shots in (0, 64, 256, 4096, "all"):
                study = planning.study_with(dataset, system, shots)
                there = {name for name, cell in every if (cell.dataset, cell.system, cell.shots) == (dataset, system, shots)}
                assert study in there if there else study is None


def own_study(folder, text):
    (folder / "own.toml").write_text(f'[[grid]]\ndatasets = ["movielens-small"]\nsystems = ["history-lr", "din"]\n{text}', encoding="utf-8")
    return spec.load_study(folder / "own.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shots = [64]\noptions = { epocs = 3 }", "system history-lr: unknown option 'epocs'"),
        ('shots = [64]\nvary = { c = ["much"] }', "system history-lr: .*'c'"),
        ("shots = [64, 1_000_000]", "system history-lr: 1,000,000 shots asked for, but movielens-small has 49,070 training samples"),
    ],
)
def test_a_study_of_what_cannot_be_names_its_file_and_the_system(small, tmp_path, text, words):
    with pytest.raises(UserError, match=f"study own.toml, {words}"):
        planning.plan(own_study(tmp_path, text), ResultStore(tmp_path))


def test_more_shots_than_there_are_pass_where_the_data_are_not_known(tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_HOME", str(tmp_path))
    assert len(planning.plan(own_study(tmp_path, "shots = [1_000_000]"), ResultStore(tmp_path))) == 6


def test_a_store_is_listed_once(small, tmp_path, monkeypatch):
    listed = []
    cells = ResultStore.cells
    monkeypatch.setattr(ResultStore, "cells", lambda store: listed.append(store) or cells(store))
    assert planning.results(own_study(tmp_path, "shots = [64]"), ResultStore(tmp_path)).empty
    assert len(listed) == 1


def test_the_text_of_a_study_is_that_cell(tmp_path):
    cell = spec.Cell("ml-1m", "din", 77, 3, 2000, {"hidden": [64, 32], "statistics": False})
    text = planning.study_text(cell.dataset, [cell.system], cell.shots, [cell.seed], cell.test_rows, cell.options)
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    assert spec.load_study(tmp_path / "own.toml").cells() == [cell]


def test_the_options_that_a_variant_names():
    options = {"steps": 32, "decay_steps": 32, "hidden": [64, 32], "item_text": "title", "text": "title"}
    assert planning.changed_options(options, 'decay_steps=32, hidden=[64, 32], item_text="title"') == {
        "decay_steps": 32,
        "hidden": [64, 32],
        "item_text": "title",
    }
