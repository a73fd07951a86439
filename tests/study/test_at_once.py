"""Asking about all of a user's test items at one moment."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from laser_core import datasets, metrics
from laser_core.crm.reference import HistoryLR
from laser_core.errors import FaultError, UserError
from laser_core.study import at_once, contrast, report, upkeep
from laser_core.study.spec import Grid, Study
from laser_core.study.store import ResultStore
from laser_core.systems import create
from tests.study.test_runner import run_here


def test_a_slice_asks_one_sample_a_user_after_the_history_before_the_first(small):
    rows = small.test_rows(700)
    asked = []
    for turn, (data, places, originals) in enumerate(at_once.slices(small, rows)):
        assert len(np.unique(small.sample_user(originals))) == len(originals) and np.array_equal(data.test, places)
        np.testing.assert_array_equal(data.labels(places), small.labels(originals))
        np.testing.assert_array_equal(data.sample_item(places), small.sample_item(originals))
        for place, original in zip(places[::7], originals[::7], strict=True):
            user = small.event_user[small.sample_event[original]]
            own = np.sort(small.sample_event[rows[small.sample_user(rows) == user]])
            assert small.sample_event[original] == own[turn]
            first = small.sample_event[small.test[small.sample_user(small.test) == user]].min()
            before = np.arange(small.user_offsets[user], first)
            after = data.history_events(place, 0)
            for name in ("item", "rating", "label", "user"):
                values = getattr(small, f"event_{name}")[before]
                np.testing.assert_array_equal(getattr(data, f"event_{name}")[after], values)
        asked.append(originals)
    assert set(np.concatenate(asked)) <= set(rows) and len(np.concatenate(asked)) == len(set(np.concatenate(asked)))
    most = pd.Series(small.sample_user(rows)).value_counts().max()
    assert turn + 1 == min(most, at_once.MOST)


def test_fewer_rows_are_asked_at_the_same_moment(small):
    system = create("history-lr").fit(small, small.shots(64, 0), small.validation_rows(64, 0), seed=0)
    (all_rows, of_all), (few_rows, of_few) = (at_once.predict_at_once(system, small, small.test_rows(n)) for n in ("all", 300))
    np.testing.assert_array_equal(of_few, pd.Series(of_all, all_rows).loc[few_rows])


def test_training_samples_of_a_slice_are_those_before(small):
    data, _, _ = next(at_once.slices(small, small.test))
    begin = {
        user: small.sample_event[small.test[small.sample_user(small.test) == user]].min() for user in set(small.sample_user(small.test))
    }
    kept = [row for row in small.train if small.sample_event[row] < begin.get(small.sample_user(np.array([row]))[0], small.events)]
    np.testing.assert_array_equal(data.sample_item(data.train), small.sample_item(np.array(kept)))
    np.testing.assert_array_equal(data.labels(data.train), small.labels(np.array(kept)))
    assert data.version == small.version and data.users == small.users


def test_what_only_knows_the_user_has_no_order_at_once(small):
    """The liked share of the last ratings: below one half where its own answers come back to it, one half where they do not."""

    class LikedShare:
        def predict(self, data, rows, progress=None):
            liked = np.concatenate([[0], np.cumsum(data.event_label)])
            start, end = data.history_start(rows, 30), data.sample_event[rows]
            return (liked[end] - liked[start]) / np.maximum(end - start, 1)

    labels, users = small.labels(small.test), small.sample_user(small.test)
    usual = LikedShare().predict(small, small.test)
    asked, said = at_once.predict_at_once(LikedShare(), small, small.test)
    np.testing.assert_array_equal(asked, small.test)
    assert metrics.gauc(labels, usual, users) < 0.45
    assert metrics.gauc(labels, said, users) == 0.5
    assert metrics.auc(labels, said) > 0.7


@pytest.mark.parametrize("name", ["stats-lr", "deepfm", "sim", "laser-crm"])
def test_the_first_sample_of_a_user_is_asked_as_ever(small, name):
    pytest.importorskip("torch")
    options = {"stats-lr": {}, "laser-crm": {"epochs": 1, "vectors": "random"}}.get(name, {"epochs": 1})
    system = create(name, **options).fit(small, small.shots(64, 0), small.validation_rows(64, 0), seed=0)
    rows = small.test_rows(400)
    asked, said = at_once.predict_at_once(system, small, rows)
    usual = system.predict(small, asked)
    event = pd.Series(small.sample_event[small.test])
    begin = dict(event.groupby(small.sample_user(small.test)).min())
    first = small.sample_event[asked] == [begin[user] for user in small.sample_user(asked)]
    assert 10 < first.sum() < len(asked)
    np.testing.assert_allclose(said[first], usual[first], atol=1e-6)
    assert np.abs(said[~first] - usual[~first]).max() > 1e-4, "the others have a longer history as usual"


@pytest.fixture
def study() -> Study:
    grid = Grid(datasets=("movielens-small",), systems=("history-lr", "stats-lr"), shots=(64,), seeds=(0, 1), test_rows=500)
    return Study(name="mine", title="Mine", question="?", profile="full", grids=(grid,))


def test_results_are_asked_once_and_kept_beside(small, study, tmp_path):
    store = ResultStore(tmp_path)
    run_here(study, tmp_path)
    cells = store.cells()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    told = []
    assert at_once.ask(store, cells[cells["system"] == "history-lr"], lambda message, *_: told.append(message)) == 2
    assert sorted(words for words in told if ":" not in words) == ["history-lr, N = 64, seed 0", "history-lr, N = 64, seed 1"]
    assert at_once.ask(store, cells) == 2, "two were there"
    assert at_once.ask(store, cells) == 0
    assert store.asked_at_once() == set(cells["key"])
    assert all(path.read_bytes() == content for path, content in before.items()), "results stay as they are"
    assert len(store.cells()) == len(cells)
    key = cells["key"].iloc[0]
    table, usual = store.at_once(key), store.predictions(key)
    assert set(table["row"]) <= set(usual["row"]) and list(table.columns) == ["row", "user", "label", "probability"]
    path = next(tmp_path.glob(f"*/*/at-once/{key}.parquet"))
    assert b'"refit_differs":0.0' in pq.read_schema(path).metadata[b"laser"]
    points = contrast.within_users(store.at_once, cells)
    assert points["gauc"].between(0.3, 0.9).all() and len(points) == 2


def test_progress_goes_on_within_a_cell(small, study, tmp_path):
    run_here(study, tmp_path)
    store, seen = ResultStore(tmp_path), []
    cells = store.cells().query("system == 'history-lr'")
    at_once.ask(store, cells, lambda words, done, total: seen.append((words, done / total)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    for number, name in enumerate(words for words, _ in seen if ":" not in words):
        own = [(words, 2 * share - number) for words, share in seen if words.startswith(f"{name}: ")]
        fitted = [share for words, share in own if "valid log loss" in words]
        scored = [share for words, share in own if "scored" in words]
        assert fitted == pytest.approx([place / 12 for place in (1, 2, 3, 4)], abs=0.002), "four strengths are tried in the first third"
        sizes = [len(places) for _, places, _ in at_once.slices(small, small.test_rows(500))]
        slices = 1 / 3 + np.cumsum(sizes) / sum(sizes) / 3
        assert scored == pytest.approx([*slices, 1], abs=0.002), "slices by their rows, then all samples once more as usual"
        assert own[-1][0].endswith("scored 100%")


def test_what_is_no_probability_is_not_kept(small, study, tmp_path, monkeypatch):
    run_here(study, tmp_path)
    store = ResultStore(tmp_path)
    ask = at_once.predict_at_once
    monkeypatch.setattr(at_once, "predict_at_once", lambda *words: (ask(*words)[0], 1 + ask(*words)[1]))
    with pytest.raises(UserError, match="history-lr must give probabilities from 0 to 1"):
        at_once.ask(store, store.cells().query("system == 'history-lr'"))
    assert not store.asked_at_once()


def test_what_was_asked_is_handed_on_and_cleared_away_with_its_result(small, study, tmp_path):
    store = ResultStore(tmp_path / "runs")
    run_here(study, store.folder)
    cells = store.cells()
    at_once.ask(store, cells.head(2))
    upkeep.export(store, cells, tmp_path / "out")
    copy = ResultStore(tmp_path / "out")
    assert copy.asked_at_once() == set(cells["key"].head(2))
    pd.testing.assert_frame_equal(copy.at_once(cells["key"][0]), store.at_once(cells["key"][0]))
    assert not upkeep.waste(store)
    next(store.folder.glob(f"*/*/{cells['key'][0]}.json")).unlink()
    next(store.folder.glob(f"*/*/{cells['key'][0]}.parquet")).unlink()
    assert [(entry.path.parent.name, entry.path.stem) for entry in upkeep.waste(store)] == [("at-once", cells["key"][0])]


def test_another_fit_than_the_recorded_one_is_said(small, study, tmp_path, caplog, monkeypatch):
    run_here(study, tmp_path)
    store = ResultStore(tmp_path)
    fit = HistoryLR.fit
    monkeypatch.setattr(HistoryLR, "fit", lambda self, data, rows, *more, **named: fit(self, data, small.shots(1024, 7), *more, **named))
    said = []
    cells = store.cells().query("system == 'history-lr'")
    at_once.ask(store, cells, lambda text, done, total: said.append(text))
    differs = [np.abs(store.asked_how(key)["refit_differs"]) for key in cells["key"]]
    assert min(differs) > at_once.SAME_FIT
    assert caplog.text.count("fitted again, says something else than the recorded result") == 2
    assert "1 so far fitted differently" in said[-1]
    page = report.write_report(study, store, tmp_path / "out").read_text(encoding="utf-8")
    assert "of 2 results, the usual probabilities of 2 then differ from the recorded ones by more than .01" in page


def test_what_was_not_asked_names_the_command(small, study, tmp_path):
    run_here(study, tmp_path)
    store = ResultStore(tmp_path)
    with pytest.raises(FaultError, match="laser study at-once"):
        store.at_once(store.cells()["key"].iloc[0])


def test_single_samples_are_not_asked_at_once(small, study, tmp_path, monkeypatch):
    run_here(study, tmp_path)
    store = ResultStore(tmp_path)
    _, first = np.unique(small.sample_user(small.test), return_index=True)
    single = dataclasses.replace(small, test=small.test[np.sort(first)])
    monkeypatch.setattr(datasets, "load", lambda name: single)
    with pytest.raises(UserError, match="no user of movielens-small has several test samples"):
        at_once.ask(store, store.cells())
