"""Item-item regression against plain ridge regressions and plain loops; what it may not see; what it finds where the answer is planted."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from laser_core import systems
from laser_core.crm import collaborative
from laser_core.crm.collaborative import CATALOGUE, FOLDS, NAMES, Collaborative
from laser_core.crm.inputs import Inputs
from laser_core.datasets.build import assemble
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.study import versions
from tests.crm.worlds import ABOUT, made_up

DATA = made_up(users=40, items=12, events=10)
SCORE = NAMES.index("collaborative score")


@cache
def fitted() -> Collaborative:
    return Collaborative.fit(DATA, DATA.train, ridge=0.7)


@cache
def twins(users: int = 400, pairs: int = 15, random: bool = False) -> CTRDataset:
    """Items come in pairs: a user likes both or neither, by a coin for each pair; nothing else tells anything.

    With `random`, each rating has a coin of its own, and every user is in the train split alone.
    """
    generator = np.random.default_rng(1)
    item = np.concatenate([generator.permutation(2 * pairs)[:20] for _ in range(users)])
    user = np.repeat(np.arange(users), 20)
    liked = generator.integers(0, 2, (users, 2 * pairs))[user, item if random else item // 2] == 1
    ratings = pd.DataFrame({"user": user, "item": item, "rating": np.where(liked, 5, 2), "label": liked, "time": np.arange(len(user))})
    part = np.where(user < users - 60, "train", np.where(user < users - 30, "valid", "test"))
    items = pd.DataFrame({"title": [f"thing {number}" for number in range(2 * pairs)], "kind": ["any"] * (2 * pairs)})
    return assemble(ABOUT, ratings, pd.DataFrame({"town": ["here"] * users}), items, [1, 2, 3, 4, 5], np.ones(len(user), bool), part)


def rating_of(data: CTRDataset, event: int) -> float:
    """An event's rating, the lowest 0 and the highest 1."""
    low, high = float(data.rating_values[1]), float(data.rating_values[-1])
    return (float(data.rating_values[data.event_rating[event]]) - low) / (high - low)


def residuals(data: CTRDataset, model: int, fold: np.ndarray) -> tuple[list[float], list[int], np.ndarray]:
    """By plain loops over the shots of a model: mean rating and number of ratings of each item, and the (users, items) residuals."""
    shots = [event for event in data.sample_event[data.train] if model == FOLDS or fold[data.event_user[event]] != model]
    rated = [(data.event_user[event], data.event_item[event], rating_of(data, event)) for event in shots]
    overall = (sum(rating for *_, rating in rated) + 0.5) / (len(rated) + 1)
    mean, count = [], []
    for code in range(data.items + 1):
        mine = [rating for _, item, rating in rated if item == code]
        mean.append(overall + sum(rating - overall for rating in mine) / (len(mine) + 10))
        count.append(len(mine))
    table = np.zeros((data.users + 1, data.items + 1))
    for code in range(data.users + 1):
        mine = [(item, rating - mean[item]) for user, item, rating in rated if user == code]
        own = sum(left for _, left in mine) / (len(mine) + 5)
        for item, left in mine:
            table[code, item] = left - own
    return mean, count, table


# ---- what it computes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [0, FOLDS - 1, FOLDS])
def test_weights_are_those_of_one_ridge_regression_an_item(model: int) -> None:
    found = fitted()
    mean, count, table = residuals(DATA, model, found.fold)
    known = np.flatnonzero(found.place >= 0)
    assert len(known) == DATA.items
    np.testing.assert_allclose(found.mean[model], mean, rtol=1e-6)
    np.testing.assert_allclose(found.count[model], np.log1p(count), rtol=1e-6)
    for target in known:
        others = [item for item in known if item != target]
        plain = Ridge(alpha=0.7, fit_intercept=False, solver="cholesky").fit(table[:, others], table[:, target])
        row = found.weight[model, found.place[target]]
        np.testing.assert_allclose(row[found.place[others]], plain.coef_, atol=2e-3 * np.abs(plain.coef_).max())
        assert row[found.place[target]] == 0


def test_features_are_what_a_loop_over_the_history_finds() -> None:
    found = fitted()
    givers = set(DATA.sample_user(DATA.train))
    assert np.array_equal(np.flatnonzero(found.fold[1:] < FOLDS) + 1, sorted(givers))
    rows = np.arange(DATA.samples)[::3]
    expected = []
    for row in rows:
        model = found.fold[DATA.sample_user(np.array([row]))[0]]
        target = DATA.sample_item(np.array([row]))[0]
        mean, count, _ = residuals(DATA, model, found.fold)
        history = [(DATA.event_item[event], rating_of(DATA, event)) for event in DATA.history_events(row, 0)]
        left = [(item, rating - mean[item]) for item, rating in history]
        own = sum(value for _, value in left) / (len(left) + 5)
        score = sum((value - own) * float(found.weight[model, found.place[target], found.place[item]]) for item, value in left)
        shown = np.sign(score) * np.log1p(abs(score) / 0.01)
        expected.append([mean[target], own, shown, mean[target] + own + score, np.log1p(count[target])])
    features = found.features(DATA, rows)
    assert features.dtype == np.float32
    assert features.shape == (len(rows), len(NAMES))
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_folds_are_even() -> None:
    users = np.bincount(fitted().fold[1:], minlength=FOLDS + 1)[:FOLDS]
    assert users.max() - users.min() <= 1


def test_an_item_says_nothing_about_itself() -> None:
    """Where users rate an item again, the earlier rating is left to the means."""
    data = twins()
    again = data.event_item.copy()
    starts = data.user_offsets[1:-1]
    again[starts + 1] = again[starts]
    data = dataclasses.replace(data, event_item=again)
    found = Collaborative.fit(data, data.train, ridge=5.0)
    assert (np.diagonal(found.weight, axis1=1, axis2=2) == 0).all()
    second = np.flatnonzero(np.isin(data.sample_event, starts + 1))
    assert (found.features(data, second)[:, SCORE] == 0).all()


def test_the_catalogue_holds_the_most_rated_items_that_are_rated_enough() -> None:
    shots = DATA.train[:60]
    count = np.bincount(DATA.sample_item(shots), minlength=DATA.items + 1)
    assert (count[1:] < 5).any()
    all_of_them = Collaborative.fit(DATA, shots)
    assert np.array_equal(np.flatnonzero(all_of_them.place >= 0), np.flatnonzero(count >= 5))
    few = Collaborative.fit(DATA, shots, catalogue=3)
    assert few.weight.shape == (FOLDS + 1, 3, 3)
    assert sorted(count[few.place >= 0]) == sorted(count)[-3:]
    outside = few.features(DATA, DATA.test)[:, SCORE][few.place[DATA.sample_item(DATA.test)] < 0]
    assert len(outside)
    assert (outside == 0).all()


@pytest.mark.parametrize("shots", [1, 2, 3])
def test_a_handful_of_shots_says_nothing_and_breaks_nothing(shots: int) -> None:
    found = Collaborative.fit(DATA, DATA.train[:shots])
    assert found.weight.shape == (FOLDS + 1, 0, 0)
    features = found.features(DATA, np.arange(DATA.samples))
    assert np.isfinite(features).all()
    assert (features[:, SCORE] == 0).all()


def test_a_ridge_that_is_lost_in_rounding_is_refused() -> None:
    same = dataclasses.replace(twins(), event_item=np.resize(np.arange(1, 21, dtype=np.int32), twins().events))
    liked = np.where(np.resize([True, False], same.events), 5, 1).astype(same.event_rating.dtype)
    with pytest.raises(UserError, match="use 1 or more"):
        Collaborative.fit(dataclasses.replace(same, event_rating=liked), same.train, ridge=1e-20)


# ---- what it may not see ---------------------------------------------------------------------------------------------------------


@given(st.data())
def test_no_own_or_later_rating_and_no_other_than_the_shots_is_read(draw: st.DataObject) -> None:
    shots = DATA.train[::2]
    row = draw.draw(st.sampled_from(list(DATA.train[:40]) + list(DATA.test[:40])))
    event = int(DATA.sample_event[row])
    user = DATA.event_user[event]
    hidden = np.ones(DATA.events, bool)
    hidden[DATA.sample_event[shots]] = False
    hidden[DATA.event_user == user] = True
    hidden[DATA.user_offsets[user] : event] = False  # but its history
    rating = DATA.event_rating.copy()
    rating[hidden] = 1 + rating[hidden] % 5
    changed = dataclasses.replace(DATA, event_rating=rating, event_label=1 - DATA.event_label)
    rows = np.array([row])
    features = [Collaborative.fit(data, shots).features(data, rows) for data in (DATA, changed)]
    np.testing.assert_array_equal(*features)


def test_random_ratings_do_not_leak_into_the_numbers_of_their_own_samples() -> None:
    data = twins(random=True)
    found = Collaborative.fit(data, data.train, ridge=5.0)
    inside = dataclasses.replace(found, fold=np.full_like(found.fold, FOLDS))
    labels = data.labels(data.train)
    aucs = {
        name: [roc_auc_score(labels, column) for column in model.features(data, data.train).T[[0, SCORE, 3]]]
        for name, model in (("inside", inside), ("outside", found))
    }
    assert min(aucs["inside"]) > 0.53  # means and weights that have seen the own rating look informative
    np.testing.assert_allclose(aucs["outside"], 0.5, atol=0.025)


def test_a_row_does_not_depend_on_the_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitted()
    together = found.features(DATA, np.arange(DATA.samples))
    rows = np.random.default_rng(0).integers(0, DATA.samples, 200)
    np.testing.assert_array_equal(found.features(DATA, rows), together[rows])
    monkeypatch.setattr(collaborative, "_PIECE", 7)
    np.testing.assert_array_equal(found.features(DATA, rows), together[rows])
    np.testing.assert_array_equal(found.features(DATA, rows[:1]), together[rows[:1]])
    assert found.features(DATA, rows[:0]).shape == (0, len(NAMES))


def test_shots_are_a_set() -> None:
    again = Collaborative.fit(DATA, np.concatenate([DATA.train[::-1], DATA.train[:9]]), ridge=0.7)
    for name, value in fitted().arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], value)


# ---- what it finds ---------------------------------------------------------------------------------------------------------------


def test_twins_are_found() -> None:
    data = twins()
    found = Collaborative.fit(data, data.train, ridge=5.0)
    title = {data.title(item): item for item in range(1, data.items + 1)}
    for pair in range(15):
        one, other = (found.place[title[f"thing {2 * pair + side}"]] for side in (0, 1))
        assert (found.weight[:, one].argmax(axis=1) == other).all()
        assert (found.weight[:, other].argmax(axis=1) == one).all()


@pytest.mark.parametrize("name", ["ease-lr", "ease-lightgbm"])
def test_what_only_item_pairs_tell_is_found(name: str) -> None:
    data = twins()

    def auc(system: str, **options: object) -> float:
        model = systems.create(system, **options).fit(data, data.train, data.valid)
        return roc_auc_score(data.labels(data.test), model.predict(data, data.test))

    assert auc("stats-lr") < 0.6
    assert auc(name, ridges=(5.0,)) > 0.7  # most targets have no twin in the history yet


def test_the_ridge_is_what_validation_prefers() -> None:
    data = twins()
    ridges = (0.5, 5.0, 1e7)
    model = systems.create("ease-lr", ridges=ridges).fit(data, data.train, data.valid)
    losses = [entry["valid_log_loss"] for entry in model.curve_ if "ridge" in entry]
    for ridge, loss in zip(ridges, losses, strict=True):  # of a regression on the shots' numbers alone
        read = [Collaborative.fit(data, data.train, ridge).features(data, rows).astype(float) for rows in (data.train, data.valid)]
        other = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000)).fit(read[0], data.labels(data.train))
        assert loss == pytest.approx(log_loss(data.labels(data.valid), other.predict_proba(read[1])[:, 1]), abs=1e-4)
    best = Collaborative.fit(data, data.train, ridges[int(np.argmin(losses))])
    np.testing.assert_array_equal(model.collaborative_.weight, best.weight)
    assert int(np.argmin(losses)) < 2


def test_movielens_small(small: CTRDataset) -> None:
    rows, valid, test = small.shots("all", 0), small.validation_rows("all", 0), small.test
    model = systems.create("ease-lr", ridges=(300.0,), catalogue=1024).fit(small, rows, valid)
    assert roc_auc_score(small.labels(test), model.predict(small, test)) == pytest.approx(0.805, abs=0.004)


def test_movielens_1m_is_no_worse_than_known(ml_1m: CTRDataset) -> None:
    rows, valid, test = ml_1m.shots(65_536, 0), ml_1m.validation_rows(4096, 0), ml_1m.test_rows(20_000)
    model = systems.create("ease-lr", ridges=(300.0,), catalogue=1024).fit(ml_1m, rows, valid)
    stats = systems.create("stats-lr").fit(ml_1m, rows, valid)
    labels = ml_1m.labels(test)
    assert roc_auc_score(labels, model.predict(ml_1m, test)) > roc_auc_score(labels, stats.predict(ml_1m, test)) + 0.002


# ---- as options and as input of the other systems --------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "said"), [({"ridges": ()}, "ridges"), ({"ridges": (0.0,)}, "ridges"), ({"catalogue": 0}, "catalogue")])
def test_impossible_options_are_refused(options: dict, said: str) -> None:
    for name in ("ease-lr", "ease-lightgbm"):
        with pytest.raises(UserError, match=said):
            systems.create(name, **options)


def test_inputs_read_it_beside_the_statistics() -> None:
    plain = Inputs.fit(DATA, DATA.train, statistics=True)
    both = Inputs.fit(DATA, DATA.train, statistics=True, collaborative=True)
    alone = Inputs.fit(DATA, DATA.train, collaborative=True)
    assert both.sizes.dense == plain.sizes.dense + len(NAMES)
    table = Collaborative.fit(DATA, DATA.train).features(DATA, DATA.train)
    dense = (table - table.mean(0)) / np.maximum(table.std(0), 1e-3)
    np.testing.assert_allclose(alone.encode(DATA, DATA.train).dense, dense, atol=1e-4)
    np.testing.assert_allclose(both.encode(DATA, DATA.train).dense[:, -len(NAMES) :], dense, atol=1e-4)
    again = Inputs.restore(both.words(), both.arrays())
    np.testing.assert_array_equal(again.encode(DATA, DATA.test).dense, both.encode(DATA, DATA.test).dense)


@pytest.mark.parametrize("name", ["din", "sim"])
def test_a_conventional_model_reads_it_and_keeps_it(name: str, tmp_path: Path) -> None:
    data = twins()
    small = {"embedding_size": 4, "hidden": (8,), "attention": (4,), "epochs": 1}
    model = systems.create(name, **small, collaborative=True).fit(data, data.train[::4], data.valid)
    without = systems.create(name, **small).fit(data, data.train[::4], data.valid)
    inputs = model.inputs_.collaborative
    more_inputs = len(NAMES) * small["hidden"][0]
    assert model.parameter_count() == without.parameter_count() + more_inputs + inputs.mean.size + inputs.weight.size
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    np.testing.assert_array_equal(again.predict(data, data.test), model.predict(data, data.test))
    assert again.describe() == model.describe()


def test_the_option_changes_no_key_of_results_recorded_before_it() -> None:
    assert "collaborative" not in versions.full_options("din", {})
    asked = versions.full_options("din", {"collaborative": True})
    assert asked == versions.full_options("din", {"collaborative": False}) | {"collaborative": True}
    assert versions.variant("din", asked) == "collaborative=true"
    assert CATALOGUE >= 3706  # all of MovieLens-1M
