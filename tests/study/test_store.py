from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laser_core import metrics
from laser_core.errors import FaultError, UserError
from laser_core.settings import get_settings
from laser_core.study import versions
from laser_core.study.store import STEP, ResultStore, canonical, cell_key, make_test_set, rounded


def cell(small, seed=0, **changes):
    return {
        "dataset": "movielens-small", "data_version": small.version, "system": "history-lr", "revision": 1, "options": {"a": [1, 2]},
        "shots": 64, "seed": seed, "test_rows": 300, **changes,
    }  # fmt: skip


def put(store, small, seed=0, private=False, noise=0, **changes):
    """Write one result; returns its key, probabilities and test set. Another `noise` gives the same cell other predictions."""
    about = cell(small, seed, **changes)
    test_set = make_test_set(small, small.test_rows(300))
    probabilities = rounded(np.random.default_rng([seed, noise]).random(300))
    name = store.write_test_set(about, test_set, private)
    values = metrics.evaluate(test_set["label"].to_numpy(), probabilities)
    record = {
        "status": "done", "error": "", "cell": about, "variant": "", "metrics": values,
        "counts": {"train_rows": 64, "labels_seen": 64, "valid_rows": 256, "test_rows": 300, "parameters": 5},
        "cost": {"fit_seconds": 1.0, "predict_seconds": 0.5, "cpu_seconds": 1.5, "peak_memory_mb": 100.0, "tokens": 7},
        "curve": [{"loss": 0.5}], "test_set": name, "provenance": {"finished": f"2026-01-0{seed + 1}T00:00:00"}, "draws": {"auc": [0.5]},
    }  # fmt: skip
    store.write(record, probabilities)
    return cell_key(about), probabilities, test_set


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.rglob(pattern))


def test_what_is_written_is_read(small, tmp_path):
    store = ResultStore(tmp_path)
    key, probabilities, test_set = put(store, small)
    assert store.read(key)["metrics"]["auc"] == metrics.auc(test_set["label"].to_numpy(), probabilities)
    stored = store.predictions(key)
    pd.testing.assert_frame_equal(stored[["row", "user", "label"]], test_set)
    np.testing.assert_array_equal(stored["probability"], probabilities)
    assert store.find(cell(small)) == store.read(key)
    assert store.find(cell(small, seed=5)) is None


def test_the_files_need_no_code_of_ours(small, tmp_path):
    key, probabilities, _ = put(ResultStore(tmp_path), small)
    (path,) = files(tmp_path, f"{key}.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    parquet = path.with_suffix(".parquet")
    assert path.relative_to(tmp_path).parts == ("movielens-small", "history-lr", f"{key}.json")
    assert record["predictions_sha256"] == hashlib.sha256(parquet.read_bytes()).hexdigest()
    np.testing.assert_allclose(pd.read_parquet(parquet)["probability"], probabilities, atol=1e-6)
    test_set = pd.read_parquet(tmp_path / "movielens-small" / f"test-{record['test_set']}.parquet")
    assert list(test_set.columns) == ["row", "user", "label"]
    plain = json.dumps(record["cell"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert key == hashlib.sha256(plain.encode()).hexdigest()[:20]


def test_metrics_can_be_computed_again_from_the_files(small, tmp_path):
    store = ResultStore(tmp_path)
    key, _, _ = put(store, small)
    stored = store.predictions(key)
    assert metrics.evaluate(stored["label"].to_numpy(), stored["probability"].to_numpy()) == store.read(key)["metrics"]


def test_cells_are_one_row_each_in_order(small, tmp_path):
    store = ResultStore(tmp_path)
    assert store.cells().empty
    for seed in (2, 0, 1):
        put(store, small, seed)
    nothing = {"metrics": {}, "counts": {}, "cost": {}, "curve": [], "test_set": "", "provenance": {"finished": "2026-02"}}
    failed = {"status": "failed", "error": "no luck", "passing": False, "cell": cell(small, 3), "variant": "", **nothing}
    store.write(failed)
    table = store.cells()
    assert table["seed"].tolist() == [0, 1, 2, 3]
    assert table["status"].tolist() == ["done"] * 3 + ["failed"]
    assert table["error"].tolist()[-1] == "no luck"
    assert table["train_rows"].tolist() == [64, 64, 64, 0]
    assert table["tokens"].tolist()[:3] == [7, 7, 7]
    assert list(ResultStore(tmp_path / "none").cells().columns) == [name for name in table.columns if name != "tokens"]
    with pytest.raises(UserError, match="failed and has no predictions: no luck"):
        store.predictions(table["key"].tolist()[-1])


def test_other_revisions_and_data_are_told_apart(small, tmp_path):
    store = ResultStore(tmp_path)
    put(store, small, 0)
    put(store, small, 1, revision=99)
    put(store, small, 2, data_version="older")
    put(store, small, 3, system="gone")
    assert store.cells()["current"].tolist() == [True, False, False, False]


def test_results_of_older_options_are_told_apart(small, tmp_path):
    store = ResultStore(tmp_path)
    put(store, small, 0, options={"a": 1})
    put(store, small, 1, options={"a": 1, "new": True})
    put(store, small, 2, options={"a": 1, "new": True})
    put(store, small, 3, options={"b": 1}, system="stats-lr")
    assert store.cells()["current"].tolist() == [False, True, True, True]


def test_who_finished_last_does_not_say_what_the_code_says(small, tmp_path):
    """A default changed without a new revision, and a result of the old one came in later."""
    store, own = ResultStore(tmp_path), versions.full_options("history-lr", {})
    put(store, small, 0, options={**own, "strengths": [9.0]})
    assert store.cells()["current"].tolist() == [False]
    put(store, small, 1, options=own)
    put(store, small, 2, options={**own, "strengths": [8.0]})
    assert store.cells()["current"].tolist() == [False, True, False]


def test_the_first_folder_wins_and_others_are_only_read(small, tmp_path):
    recorded = ResultStore(tmp_path / "recorded")
    key, probabilities, _ = put(recorded, small, 0)
    other, _, _ = put(recorded, small, 1)
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path, "*")}
    store = ResultStore(tmp_path / "own", tmp_path / "recorded")
    np.testing.assert_array_equal(store.predictions(key)["probability"], probabilities)
    assert set(store.cells()["folder"]) == {str(tmp_path / "recorded")}
    put(store, small, 0)
    assert store.cells().set_index("key")["folder"].to_dict() == {key: str(tmp_path / "own"), other: str(tmp_path / "recorded")}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.is_file())


def test_recorded_results_may_come_without_predictions(small, tmp_path):
    recorded = ResultStore(tmp_path / "recorded")
    key, _, _ = put(recorded, small)
    (path,) = files(tmp_path, f"{key}.parquet")
    path.unlink()
    store = ResultStore(tmp_path / "own", tmp_path / "recorded")
    assert store.find(cell(small)) is not None
    with pytest.raises(FaultError, match="run its study again"):
        store.predictions(key)
    assert recorded.find(cell(small)) is None  # in one's own store it has to be there


def test_private_test_sets_stay_out_of_the_store(small, tmp_path):
    store = ResultStore(tmp_path)
    key, _, test_set = put(store, small, private=True)
    assert not files(tmp_path, "test-*.parquet")
    (kept,) = files(get_settings().home / "test-sets", f"test-{store.read(key)['test_set']}.parquet")
    pd.testing.assert_frame_equal(store.predictions(key)[["row", "user", "label"]], test_set)
    kept.unlink()
    pd.testing.assert_frame_equal(store.predictions(key)[["row", "user", "label"]], test_set)  # made again from the data set


def test_a_test_set_of_other_data_cannot_be_made_again(small, tmp_path):
    store = ResultStore(tmp_path)
    key, _, _ = put(store, small, data_version="older")
    for path in files(tmp_path, "test-*.parquet"):
        path.unlink()
    with pytest.raises(FaultError, match="another version of movielens-small"):
        store.predictions(key)


@pytest.mark.parametrize("suffix", ["json", "parquet"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
def test_damage_is_found_said_and_set_aside(small, tmp_path, caplog, suffix, damage):
    store = ResultStore(tmp_path)
    key, _, _ = put(store, small)
    (path,) = files(tmp_path, f"{key}.{suffix}")
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    path.write_bytes({"truncated": content[:middle], "empty": b"", "flipped": flipped}[damage])
    with caplog.at_level(logging.WARNING, "laser"):
        assert store.find(cell(small)) is None
    assert f"{path.name} is damaged: set aside" in caplog.text
    assert path.with_name(path.name + ".corrupt").exists()
    assert not path.exists()
    put(store, small)
    assert store.find(cell(small)) is not None


@pytest.mark.parametrize("pattern", ["{key}.json", "{key}.parquet", "test-*.parquet"])
def test_damage_in_a_folder_that_is_only_read_is_left_there(small, tmp_path, caplog, pattern):
    recorded = ResultStore(tmp_path / "recorded")
    key, _, _ = put(recorded, small)
    (path,) = files(tmp_path, pattern.format(key=key))
    path.write_bytes(b"{ <<<<<<< HEAD")
    before = files(tmp_path, "*")
    store = ResultStore(tmp_path / "own", tmp_path / "recorded")
    with caplog.at_level(logging.WARNING, "laser"):
        if path.suffix == ".json":
            assert [len(store.cells()), len(store.cells())] == [0, 0]
        elif path.stem == key:
            assert store.find(cell(small)) is None
        else:
            assert len(store.predictions(key)) == 300
    assert [record.message.startswith(f"{path.name} ") for record in caplog.records] == [True]  # said once
    assert f"{path.parent} is only read" in caplog.text
    assert [other for other in files(tmp_path, "*") if "own" not in other.parts] == before


@pytest.mark.parametrize("damage", ["truncated", "empty", "other numbers", "another result's"])
def test_damaged_answers_at_once_are_asked_again(small, tmp_path, caplog, damage):
    store = ResultStore(tmp_path)
    (key, probabilities, test_set), (other, _, _) = put(store, small, 0), put(store, small, 1)
    columns = {"row": test_set["row"].to_numpy()[:9], "probability": probabilities[:9]}
    store.write_at_once(key, columns, {"refit_differs": 0.5})
    store.write_at_once(other, columns, {})
    assert store.asked_at_once() == {key, other} and store.asked_how(key)["refit_differs"] == 0.5
    np.testing.assert_array_equal(store.at_once(key)["probability"], probabilities[:9])
    path, its = (next(tmp_path.glob(f"*/*/at-once/{name}.parquet")) for name in (key, other))
    table, content = pq.read_table(path), path.read_bytes()
    pq.write_table(table.set_column(1, "probability", [np.full(9, 0.5, np.float32)]), tmp_path / "changed.parquet")
    changed = (tmp_path / "changed.parquet").read_bytes()
    cut = content[: len(content) // 2]
    path.write_bytes({"truncated": cut, "empty": b"", "other numbers": changed, "another result's": its.read_bytes()}[damage])
    assert store.asked_at_once() == {other}
    assert f"{path.name} is damaged: set aside" in caplog.text and not path.exists()
    with pytest.raises(FaultError, match="or its answers are damaged: laser study at-once"):
        store.at_once(key)
    store.write_at_once(key, columns, {})
    assert store.asked_at_once() == {key, other}


@pytest.mark.parametrize("column", ["row", "user", "label"])
@pytest.mark.parametrize("told", [True, False], ids=["with a hash", "from before there was one"])
def test_a_changed_test_set_is_made_again(small, tmp_path, caplog, column, told):
    """The file's name is a hash of data set and rows; its metadata holds one of all columns, but not in the files of the first results."""
    store = ResultStore(tmp_path)
    key, _, test_set = put(store, small)
    (path,) = files(tmp_path, "test-*.parquet")
    table = pq.read_table(path)
    assert json.loads(table.schema.metadata[b"laser"])["columns_sha256"]
    values = test_set[column].to_numpy().copy()
    values[0] = 1 - values[0]
    changed = table.set_column(table.column_names.index(column), column, [values])
    pq.write_table(changed if told else changed.replace_schema_metadata(None), path)
    if told or column == "row":
        pd.testing.assert_frame_equal(store.predictions(key)[["row", "user", "label"]], test_set)
        assert f"{path.name} is damaged: set aside" in caplog.text
    else:
        assert store.predictions(key)[column][0] == values[0], "nothing says what it was"


def test_no_flipped_bit_goes_unnoticed(small, tmp_path):
    store = ResultStore(tmp_path)
    key, _, _ = put(store, small)
    before = store.read(key)
    (path,) = files(tmp_path, f"{key}.json")
    content = path.read_bytes()

    @given(st.integers(0, len(content) - 1), st.integers(0, 7))
    def flip(place, bit):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
        assert store.find(cell(small)) in (None, before)

    flip()


def test_a_listing_reads_what_changed_and_nothing_else(small, tmp_path, monkeypatch, caplog):
    store = ResultStore(tmp_path)
    keys = [put(store, small, seed)[0] for seed in range(3)]
    first = store.cells()
    read, plain = [], Path.read_text

    def noted(path: Path, *args: object, **named: object) -> str:
        if path.is_relative_to(tmp_path):
            read.append(path.stem)
        return plain(path, *args, **named)

    monkeypatch.setattr(Path, "read_text", noted)
    pd.testing.assert_frame_equal(ResultStore(tmp_path).cells(), first)
    assert read == []
    keys.append(put(store, small, 3)[0])
    assert list(store.cells()["key"]) == keys and read == keys[3:]
    (damaged,) = files(tmp_path, f"{keys[0]}.json")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert list(store.cells()["key"]) == keys[1:] and "is damaged" in caplog.text


def test_a_record_in_another_layout_is_read_whole(small, tmp_path):
    store = ResultStore(tmp_path)
    key, *_ = put(store, small)
    listed = store.cells()
    (path,) = files(tmp_path, f"{key}.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=3), encoding="utf-8")
    pd.testing.assert_frame_equal(store.cells(), listed)


@pytest.mark.parametrize("ask", ["listed", "found"])
def test_a_record_under_another_ones_name_is_no_result(small, tmp_path, caplog, ask):
    """Sound in itself, and of another cell."""
    store = ResultStore(tmp_path)
    key, *_ = put(store, small)
    (path,) = files(tmp_path, f"{key}.json")
    other = path.with_name(f"{cell_key(cell(small, seed=5))}.json")
    path.rename(other)
    if ask == "listed":
        assert store.cells().empty
    else:
        assert store.find(cell(small, seed=5)) is None
    assert f"{other.name} is damaged: set aside" in caplog.text and not other.exists()


def test_half_written_files_are_not_results(small, tmp_path):
    store = ResultStore(tmp_path)
    key, _, _ = put(store, small)
    (path,) = files(tmp_path, f"{key}.json")
    path.rename(path.with_name(f".{path.name}.1234.partial"))  # the writer was killed before its last rename
    assert store.find(cell(small)) is None
    assert store.cells().empty


@pytest.mark.parametrize(
    ("code", "remedy"), [(errno.ENOSPC, "free some disk space"), (errno.EROFS, "choose a folder that you may write to")]
)
def test_a_disk_that_takes_nothing_is_one_clear_line(small, tmp_path, monkeypatch, code, remedy):
    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(FaultError, match=remedy) as caught:
        put(ResultStore(tmp_path), small)
    assert "\n" not in str(caught.value)
    assert not [path for path in files(tmp_path, "*") if path.is_file()]  # nothing half written is left behind


def test_a_store_where_a_file_is(small, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FaultError, match="choose a folder"):
        put(ResultStore(tmp_path / "taken"), small)


def test_a_home_that_cannot_be_written_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "test-sets").write_text("a file")
    with pytest.raises(FaultError, match=r"choose a folder that you may write to \(LASER_HOME\)"):
        put(ResultStore(tmp_path / "store"), small, private=True)


def test_unknown_results_are_said_to_be_unknown(tmp_path):
    with pytest.raises(UserError, match="no result 'abc'"):
        ResultStore(tmp_path).read("abc")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_kept_probabilities_are_near_and_inside(values):
    kept = rounded(np.array(values))
    assert kept.dtype == np.float32
    assert (np.abs(kept - values) <= STEP).all()
    assert kept.min() > 0
    assert kept.max() < 1
    np.testing.assert_array_equal(rounded(kept), kept)


def test_equal_values_have_equal_text():
    assert canonical({"b": 1, "a": [1.0, "ä"]}) == canonical({"a": [1.0, "ä"], "b": 1}) == '{"a":[1.0,"ä"],"b":1}'
