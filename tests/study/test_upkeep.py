from __future__ import annotations

import os
import time

import pytest

from laser_core.errors import FaultError
from laser_core.settings import get_settings
from laser_core.study import store as store_module
from laser_core.study import upkeep, worker
from laser_core.study.store import ResultStore
from tests.study.test_store import files, put


def test_diff_tells_what_changed(small, tmp_path):
    first, second = ResultStore(tmp_path / "a"), ResultStore(tmp_path / "b")
    for seed in (0, 1):
        put(first, small, seed)
    put(second, small, 1)
    put(second, small, 2)
    put(second, small, 0, revision=2, noise=9)
    table = upkeep.diff(first.cells(), second.cells()).set_index("seed")
    assert table["state"].to_dict() == {0: "different", 1: "same", 2: "only second"}
    changed = table.loc[0]
    assert changed["auc_change"] == changed["auc_second"] - changed["auc_first"] != 0
    assert (table["auc_change"].abs().iloc[0] >= table["auc_change"].abs().dropna()).all()
    assert set(upkeep.diff(second.cells(), first.cells())["state"]) == {"different", "same", "only first"}


def test_diff_of_nothing(tmp_path):
    nothing = ResultStore(tmp_path).cells()
    assert upkeep.diff(nothing, nothing).empty


@pytest.mark.parametrize("predictions", [True, False])
def test_exported_results_are_a_store_of_their_own(small, tmp_path, predictions):
    store = ResultStore(tmp_path / "own")
    key, _, _ = put(store, small, 0)
    other, _, _ = put(store, small, 1)
    chosen = store.cells().query("seed == 0")
    assert upkeep.export(store, chosen, tmp_path / "results", predictions) == 1
    exported = ResultStore(tmp_path / "runs", tmp_path / "results")
    assert exported.read(key) == store.read(key)
    assert exported.cells()["key"].tolist() == [key]
    assert not files(tmp_path / "results", f"{other}*")
    if predictions:
        assert exported.predictions(key).equals(store.predictions(key))
    else:
        assert not files(tmp_path / "results", "*.parquet")


def test_answers_at_once_of_recorded_results_are_kept_and_handed_on(small, tmp_path):
    """The record lies in a folder that is only read, what its system was asked lately in one's own."""
    recorded = ResultStore(tmp_path / "recorded")
    key, probabilities, test_set = put(recorded, small)
    old, _, _ = put(recorded, small, 1, revision=99)
    store = ResultStore(tmp_path / "own", tmp_path / "recorded")
    for name in (key, old):
        store.write_at_once(name, {"row": test_set["row"].to_numpy(), "probability": probabilities}, {})
    assert upkeep.waste(store) == []
    assert [entry.path.stem for entry in upkeep.waste(store, older=True)] == [old]
    assert {entry.path.stem for entry in upkeep.waste(ResultStore(tmp_path / "own"))} == {key, old}
    upkeep.export(store, store.cells(), tmp_path / "out")
    assert ResultStore(tmp_path / "out").at_once(key).equals(store.at_once(key))


def test_private_test_sets_are_not_exported(small, tmp_path):
    store = ResultStore(tmp_path / "own")
    key, _, _ = put(store, small, private=True)
    upkeep.export(store, store.cells(), tmp_path / "results")
    assert [path.name for path in files(tmp_path / "results", "*.parquet")] == [f"{key}.parquet"]


def test_an_export_without_its_files_says_so(small, tmp_path):
    store = ResultStore(tmp_path / "own")
    put(store, small)
    (path,) = files(tmp_path / "own" / "movielens-small" / "history-lr", "*.parquet")
    path.unlink()
    with pytest.raises(FaultError, match="run its study again"):
        upkeep.export(store, store.cells(), tmp_path / "results")


def test_waste_is_found_and_removed_and_nothing_else(small, tmp_path):
    store = ResultStore(tmp_path)
    key, _, _ = put(store, small, 0)
    old, _, _ = put(store, small, 1, revision=99)
    place = tmp_path / "movielens-small" / "history-lr"
    for name in (f".{key}.json.12ab.partial", "abc.json.corrupt", "orphan.parquet"):
        (place / name).write_bytes(b"12345")
        made_old(place / name)
    assert {entry.path.name for entry in upkeep.waste(store)} == {f".{key}.json.12ab.partial", "abc.json.corrupt", "orphan.parquet"}
    assert {entry.path.stem for entry in upkeep.waste(store, older=True)} >= {old}
    assert upkeep.remove(upkeep.waste(store)) == 15
    assert upkeep.waste(store) == []
    upkeep.remove(upkeep.waste(store, older=True))
    assert store.cells()["key"].tolist() == [key]
    assert len(store.predictions(key)) == 300


def made_old(path):
    then = time.time() - upkeep.UNFINISHED - 60
    os.utime(path, (then, then))


def test_what_a_runner_may_be_at_is_no_waste(small, tmp_path, monkeypatch):
    """Predictions come before their record, and everything begins as a partial file."""
    store, seen = ResultStore(tmp_path), []

    def write_and_clear(path, content, *more):
        write(path, content, *more)
        upkeep.remove(upkeep.waste(store))
        seen.append(path.suffix)

    write = store_module.write_atomically
    monkeypatch.setattr(store_module, "write_atomically", write_and_clear)
    key, _, _ = put(store, small)
    assert seen == [".parquet", ".parquet", ".json"] and len(store.predictions(key)) == 300
    (partial,) = [path.with_name(f".{path.name}.12ab.partial") for path in files(tmp_path, f"{key}.json")]
    partial.write_bytes(b"12345")
    assert upkeep.waste(store) == []
    made_old(partial)
    with worker.claim(store, key):
        assert upkeep.waste(store) == []
    assert [entry.path for entry in upkeep.waste(store)] == [partial]


def test_claims_of_killed_runners_are_waste_and_held_ones_are_not(tmp_path):
    store = ResultStore(tmp_path)
    with worker.claim(store, "held"):
        left = tmp_path / ".claims" / "left.lock"
        left.touch()
        found = upkeep.waste(store)
        assert [(entry.path, entry.why) for entry in found] == [(left, "claim of a runner that was killed")]
        with worker.claim(store, "left"):  # taken by another runner after it was listed
            upkeep.remove(found)
            assert left.exists()
        left.touch()
        upkeep.remove(found)
        assert [path.name for path in (tmp_path / ".claims").iterdir()] == ["held.lock"]


def test_notes_of_forgotten_tunings_are_waste_and_recent_ones_are_not(tmp_path):
    home = get_settings().home / "tuning"
    for name, age in (("old", upkeep.FORGOTTEN + 60), ("recent", 60)):
        note = home / name / "0.safetensors"
        note.parent.mkdir(parents=True)
        note.write_bytes(b"12345")
        then = time.time() - age
        os.utime(note, (then, then))
        os.utime(note.parent, (then, then))
    try:
        found = upkeep.waste(ResultStore(tmp_path))
        assert [(entry.path, entry.bytes) for entry in found] == [(home / "old", 5)]
        assert upkeep.remove(found) == 5
        assert [path.name for path in home.iterdir()] == ["recent"]
    finally:
        (home / "recent" / "0.safetensors").unlink()
        (home / "recent").rmdir()
