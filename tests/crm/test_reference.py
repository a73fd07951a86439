"""The references: what every `Recommender` must do, what each learns, and the figures they are known to reach."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from laser_core import systems
from laser_core.crm.reference import Reference
from laser_core.crm.statistics import history_statistics
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import DataError, UserError
from tests.crm.worlds import made_up

NAMES = ("popularity", "history-lr", "stats-lr", "lightgbm", "ease-lr", "ease-lightgbm")
every = pytest.mark.parametrize("name", NAMES)
on_statistics = pytest.mark.parametrize("name", NAMES[1:])


@cache
def world() -> CTRDataset:
    """Users who like one kind of thing each: only their history tells which."""
    return made_up(users=120)


def fit(name: str, data: CTRDataset, shots: int | str = 1000, seed: int = 0, **options: object) -> Reference:
    return systems.create(name, **options).fit(data, data.shots(shots, seed), data.validation_rows(shots, seed), seed=seed)


def auc(model: Reference, data: CTRDataset) -> float:
    rows = data.test_rows()
    return roc_auc_score(data.labels(rows), model.predict(data, rows))


# ---- what every system must do -----------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("row", [-1, "samples"])
def test_rows_that_are_none(name: str, row: int | str) -> None:
    data = world()
    rows = np.array([0, data.samples if row == "samples" else row])
    with pytest.raises(UserError, match=f"{data.name} has the samples 0 to {data.samples - 1:,}, not {rows[1]}"):
        fit(name, data).predict(data, rows)


@every
def test_a_saved_model_predicts_the_same(name: str, tmp_path: Path) -> None:
    data = world()
    model = fit(name, data)
    model.save(str(tmp_path / "model"))  # a text as well as a path
    again = type(model).load(str(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(data, data.test), model.predict(data, data.test))
    assert again.describe() == model.describe()
    assert again.curve_ == model.curve_
    assert json.loads(json.dumps(model.describe())) | {"options": None} == model.describe() | {"options": None}


@every
def test_order_repeats_and_grouping_never_change_a_prediction(name: str) -> None:
    data = world()
    model = fit(name, data)
    all_at_once = model.predict(data, data.test)
    assert all_at_once.dtype == np.float64
    assert ((all_at_once > 0) & (all_at_once < 1)).all()
    one_by_one = np.concatenate([model.predict(data, data.test[[place]]) for place in range(50)])
    np.testing.assert_array_equal(one_by_one, all_at_once[:50])
    shuffled = np.random.default_rng(0).choice(len(data.test), 200)
    np.testing.assert_array_equal(model.predict(data, data.test[shuffled]), all_at_once[shuffled])
    assert model.predict(data, data.test[:0]).shape == (0,)


@every
def test_the_same_seed_gives_the_same_model_whatever_the_order_of_the_shots(name: str) -> None:
    data = world()
    shots, valid = data.shots(500, 1), data.validation_rows(500, 1)
    first = systems.create(name).fit(data, shots, valid, seed=5)
    shuffled = np.random.default_rng(0).permutation(np.concatenate([shots, shots[:20]]))
    second = systems.create(name).fit(data, shuffled, valid, seed=5)
    np.testing.assert_array_equal(first.predict(data, data.test), second.predict(data, data.test))
    assert second.labels_seen_ == 500
    other = systems.create(name).fit(data, shots, valid, seed=6)  # other folds, where shots read means without their own
    assert (other.predict(data, data.test) != first.predict(data, data.test)).any() == (name not in ("popularity", "history-lr"))


@every
def test_labels_that_nobody_may_read_change_nothing(name: str, small: CTRDataset) -> None:
    shots, valid, test = small.shots(300, 0), small.validation_rows(300, 0), small.test
    # A user's last event is in no history; where it is neither a shot nor a validation row, its label must not matter at all.
    last = np.setdiff1d(small.user_offsets[2:] - 1, small.sample_event[np.concatenate([shots, valid])])
    assert np.isin(last, small.sample_event[test]).sum() > 500
    label, rating = small.event_label.copy(), small.event_rating.copy()
    label[last], rating[last] = 1 - label[last], 1
    changed = dataclasses.replace(small, event_label=label, event_rating=rating)
    predictions = [systems.create(name).fit(data, shots, valid).predict(data, test) for data in (small, changed)]
    np.testing.assert_array_equal(*predictions)


@every
def test_shots_of_one_class_are_refused(name: str) -> None:
    data = world()
    liked = data.train[data.labels(data.train) == 1][:50]
    with pytest.raises(UserError, match="one class only"):
        systems.create(name).fit(data, liked, data.valid)


@every
def test_a_handful_of_shots_is_enough_to_fit(name: str) -> None:
    data = world()
    labels = data.labels(data.train)
    shots = np.concatenate([data.train[labels == 1][:1], data.train[labels == 0][:1]])
    model = systems.create(name).fit(data, shots, data.valid)
    predictions = model.predict(data, data.test)
    assert np.isfinite(predictions).all()
    assert model.labels_seen_ == 2


@every
def test_a_model_scores_only_the_data_it_was_fitted_on(name: str) -> None:
    data = world()
    model = systems.create(name)
    assert model.parameter_count() == 0
    with pytest.raises(UserError, match="not fitted"):
        model.predict(data, data.test)
    other = made_up(users=120, seed=1)
    with pytest.raises(UserError, match="fit it again"):
        fit(name, data).predict(other, other.test)


@every
def test_a_damaged_model_is_named(name: str, tmp_path: Path) -> None:
    data = world()
    model = fit(name, data, 100)
    model.save(tmp_path)
    for file in ("model.json", "model.npz"):
        whole = (tmp_path / file).read_bytes()
        begin, end = len(whole) // 3, 2 * len(whole) // 3
        inverted = whole[:begin] + bytes(255 - byte for byte in whole[begin:end]) + whole[end:]
        for damage in (whole[:begin], inverted, b"", None):
            if damage is None:
                (tmp_path / file).unlink()
            else:
                (tmp_path / file).write_bytes(damage)
            with pytest.raises(DataError, match="missing or damaged"):
                type(model).load(tmp_path)
        (tmp_path / file).write_bytes(whole)
    other = systems.recommender_class("history-lr" if name == "popularity" else "popularity")
    with pytest.raises(DataError, match="holds a"):
        other.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("popularity", {"smoothings": ()}, "smoothings"),
        ("history-lr", {"strengths": (0.1, -1.0)}, "strengths"),
        ("history-lr", {"means": ("item",)}, "unknown option 'means'"),
        ("stats-lr", {"strengths": (0.0,)}, "strengths"),
        ("stats-lr", {"smoothing": 0}, "smoothing"),
        ("stats-lr", {"folds": 1}, "folds"),
        ("lightgbm", {"leaves": 1}, "leaves"),
        ("lightgbm", {"learning_rate": 0}, "learning_rate"),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        systems.create(name, **options)


def test_means_must_be_single_valued_fields(small: CTRDataset) -> None:
    with pytest.raises(UserError, match="several genres"):
        fit("stats-lr", small, 100, means=("genres",))
    with pytest.raises(UserError, match="did you mean 'year'"):
        fit("stats-lr", small, 100, means=("yeer",))


@every
def test_progress_is_told(name: str) -> None:
    data, told = world(), []
    systems.create(name).fit(data, data.shots(200, 0), data.validation_rows(200, 0), progress=lambda *about: told.append(about))
    assert told
    assert all("valid log loss" in message and 0 < done <= total for message, done, total in told)


# ---- what each learns --------------------------------------------------------------------------------------------------------


def test_popularity_is_the_smoothed_mean_of_the_shots(small: CTRDataset) -> None:
    shots = small.shots(3000, 0)
    model = systems.create("popularity", smoothings=(4.0,)).fit(small, shots, small.valid)
    items, labels = small.sample_item(shots), small.labels(shots)
    for row in small.test[::200]:
        mine = labels[items == small.sample_item(np.array([row]))[0]]
        expected = (mine.sum() + 4.0 * labels.mean()) / (len(mine) + 4.0)
        np.testing.assert_allclose(model.predict(small, np.array([row])), [expected])


def test_history_lr_is_the_regression_that_validation_prefers(small: CTRDataset) -> None:
    shots, valid, strengths = small.shots(400, 0), small.validation_rows(400, 0), (0.0003, 0.02, 3.0)
    candidates = [make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-8, max_iter=1000)) for strength in strengths]
    inputs = {part: history_statistics(small, rows)[0].astype(np.float64) for part, rows in (("shots", shots), ("valid", valid))}
    losses = []
    for candidate in candidates:
        candidate.fit(inputs["shots"], small.labels(shots))
        losses.append(log_loss(small.labels(valid), candidate.predict_proba(inputs["valid"])[:, 1]))
    best = candidates[int(np.argmin(losses))]

    model = systems.create("history-lr", strengths=strengths).fit(small, shots, valid)
    np.testing.assert_allclose([entry["valid_log_loss"] for entry in model.curve_], losses, atol=1e-4)
    test = small.test
    np.testing.assert_allclose(model.predict(small, test), best.predict_proba(history_statistics(small, test)[0])[:, 1], atol=2e-3)


def test_stats_lr_without_means_is_history_lr() -> None:
    data = world()
    plain, without = fit("history-lr", data), fit("stats-lr", data, means=())
    np.testing.assert_array_equal(plain.predict(data, data.test), without.predict(data, data.test))


def test_stats_lr_scores_with_the_means_of_all_shots(small: CTRDataset) -> None:
    shots = small.shots(2000, 0)
    model = systems.create("stats-lr", means=("item", "year", "user"), smoothing=6.0).fit(small, shots, small.valid[:500])
    labels = small.labels(shots)

    def means(row: int) -> list[float]:
        values = []
        for name, owner in (("movie", small.sample_item), ("year", small.sample_item), ("user", small.sample_user)):
            codes = small.field(name).codes
            mine = labels[codes[owner(shots)] == codes[owner(np.array([row]))]]
            values += [(mine.sum() + 6.0 * labels.mean()) / (len(mine) + 6.0), np.log1p(len(mine))]
        return values

    rows = small.test[::300]
    inputs = np.concatenate([history_statistics(small, rows)[0], [means(row) for row in rows]], axis=1)
    expected = expit((inputs - model.center_) / model.scale_ @ model.weights_ + model.bias_)
    np.testing.assert_allclose(model.predict(small, rows), expected)


def test_trees_stop_by_validation_and_grow_with_the_shots(small: CTRDataset) -> None:
    few, many = fit("lightgbm", small, 600), fit("lightgbm", small, 20_000)
    for model in (few, many):
        losses = [entry["valid_log_loss"] for entry in model.curve_]
        assert len(losses) - 1 - int(np.argmin(losses)) == model.options.patience
        assert model.trees_.tobytes().count(b"Tree=") == int(np.argmin(losses)) + 1
    assert b"num_leaves=2\n" in few.trees_.tobytes()
    assert b"num_leaves=3\n" not in few.trees_.tobytes()
    assert b"num_leaves=16\n" in many.trees_.tobytes()


@on_statistics
def test_a_taste_that_only_the_history_tells_is_found(name: str) -> None:
    data = world()
    assert auc(fit(name, data), data) > 0.8
    assert auc(fit("popularity", data), data) < 0.6


# ---- the figures they are known to reach -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "few", "all_data"),
    [("popularity", 0.538, 0.651), ("history-lr", 0.771, 0.778), ("stats-lr", 0.773, 0.797), ("lightgbm", 0.764, 0.797)],
)
def test_movielens_small(small: CTRDataset, name: str, few: float, all_data: float) -> None:
    assert np.mean([auc(fit(name, small, 1024, seed), small) for seed in range(3)]) == pytest.approx(few, abs=0.012)
    assert auc(fit(name, small, "all"), small) == pytest.approx(all_data, abs=0.005)


@pytest.mark.parametrize(("name", "few", "all_data"), [("history-lr", 0.734, 0.735), ("stats-lr", 0.739, 0.791), ("lightgbm", None, 0.789)])
def test_movielens_1m_is_no_worse_than_known(ml_1m: CTRDataset, name: str, few: float | None, all_data: float) -> None:
    if few is not None:
        assert np.mean([auc(fit(name, ml_1m, 1024, seed), ml_1m) for seed in range(3)]) > few - 0.004
    assert auc(fit(name, ml_1m, "all"), ml_1m) > all_data - 0.004


@pytest.mark.parametrize(("name", "few", "all_data"), [("history-lr", 0.748, 0.750), ("stats-lr", 0.747, 0.757), ("lightgbm", None, 0.760)])
def test_bookcrossing_is_no_worse_than_known(bookcrossing: CTRDataset, name: str, few: float | None, all_data: float) -> None:
    if few is not None:
        assert np.mean([auc(fit(name, bookcrossing, 1024, seed), bookcrossing) for seed in range(5)]) > few - 0.004
    assert auc(fit(name, bookcrossing, "all"), bookcrossing) > all_data - 0.004
