"""Curves over N read sideways, against planted answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from laser_core.metrics import bootstrap_auc
from laser_core.study import contrast, learning_curves
from tests.study.test_contrast import made_results


def test_curves_share_their_test_users_and_not_the_luck_of_their_seeds():
    """A difference varies as both means together where no user moves anything, and not at all where users are all there is."""
    shots, seeds, draws = (64, 1024), (0, 1, 2, 3), 20_000
    rows = [(system, n, seed) for system in ("din", "sim") for n in shots for seed in seeds]
    cells = pd.DataFrame(rows, columns=["system", "train_rows", "seed"]).assign(key=[f"{place}" for place in range(len(rows))])
    cells["auc"] = 0.7 + 0.01 * np.random.default_rng(0).normal(size=len(cells))
    still = [learning_curves.curve(lambda key: np.full(draws, 0.7), cells[cells["system"] == system]) for system in ("din", "sim")]
    own = cells.groupby(["system", "train_rows"])["auc"].var(ddof=1).unstack("system").sum(axis=1) / len(seeds)
    freedom = 2 * (len(seeds) - 1)
    apart = np.var(still[0].draws - still[1].draws, axis=1)
    np.testing.assert_allclose(apart, own * freedom / (freedom - 2), rtol=0.1)  # of Student's t
    users = 0.7 + 0.01 * np.random.default_rng(1).normal(size=draws)
    equal = cells.assign(auc=0.7)
    moved = [learning_curves.curve(lambda key: users, equal[equal["system"] == system]) for system in ("din", "sim")]
    np.testing.assert_allclose(moved[0].draws, moved[1].draws)
    assert np.std(moved[0].draws) > 0.009


def test_a_draw_without_both_classes_counts_as_the_auc_itself():
    record = {"metrics": {"auc": 0.8}, "draws": {"auc": [0.7, None, 0.9]}}
    assert learning_curves.auc_draws(record).tolist() == [0.7, 0.8, 0.9]


def test_labels_needed_by_a_shifted_curve():
    """Where one system is as good as the other with four times the labels, the multiplier is four."""
    read, cells = made_results({"din": 0.2, "deepfm": 0.7}, seeds=(0, 1, 2), shots=(64, 256, 1024, 4096))

    def draws(key: str) -> np.ndarray:
        stored = read(key)
        return bootstrap_auc(stored["label"].to_numpy(), stored["probability"].to_numpy(), stored["user"].to_numpy(), draws=200)

    fast = learning_curves.curve(draws, cells[cells["system"] == "deepfm"])
    slow = learning_curves.curve(draws, cells[cells["system"] == "din"])
    table = learning_curves.label_needs(fast, slow)
    at_64 = table[(table["question"] == "multiplier") & (table["shots"] == 64)].iloc[0]
    assert at_64["low"] < 4 < at_64["high"]
    assert 2 < at_64["value"] < 9
    met = table[table["question"] == "match"].iloc[0]
    assert 500 < met["value"] < 2100  # the slow one's value at 4,096
    needed = learning_curves.labels_to_match(cells, ("din", ""), float(fast.mean[0]))
    assert needed == pytest.approx(at_64["value"] * 64, rel=1e-6)


def planted_curves(aucs, rows=100, seeds=(0, 1, 2)):
    """(cells, draws) of systems whose AUC at each N is given; a draw moves all systems up or down alike, so that gaps are certain."""
    moves = np.random.default_rng(3).normal(scale=0.02, size=200)
    made = [
        (system, "", n, n, seed, rows, value, f"{system}-{rows}-{n}-{seed}")
        for system, values in aucs.items()
        for n, value in values.items()
        for seed in seeds
    ]
    cells = pd.DataFrame(made, columns=["system", "variant", "shots", "train_rows", "seed", "test_rows", "auc", "key"])
    return cells, lambda key: cells.set_index("key").loc[key, "auc"] + moves


def test_labels_to_equal_follow_the_best_rival_at_each_n():
    """DIN is the best with 64 labels, SIM with more: together they get in 256 labels where DIN alone takes 1,024."""
    aucs = {
        "din": {64: 0.60, 256: 0.61, 1024: 0.66, 4096: 0.67},
        "sim": {64: 0.50, 256: 0.66, 1024: 0.70},
        "laser-llm": {64: 0.66},
    }
    cells, draws = planted_curves(aucs)
    found = contrast.Verdict(64, ("laser-llm", ""), 0.66, ("din", ""), 0.60, 2, 0.06, 0.05, 0.07, 100, 3, (64, 64))
    needed, shots = learning_curves.labels_to_equal(None, draws, cells, found)
    assert (needed.value, needed.low, needed.high) == pytest.approx((256, 256, 256))
    assert shots.tolist() == [64, 256, 1024], "with 4,096 labels one of the two was not asked"
    assert learning_curves.labels_to_match(cells, ("din", ""), 0.66) == pytest.approx(1024)

    beyond = dataclasses.replace(found, with_lm_value=0.72)
    higher, draws_of_it = planted_curves(aucs | {"laser-llm": {64: 0.72}})
    assert learning_curves.labels_to_equal(None, draws_of_it, higher, beyond)[0].value == np.inf
    assert learning_curves.labels_to_equal(None, draws, cells, dataclasses.replace(found, low=-0.01)) is None, "level"


def test_labels_to_equal_are_read_on_the_rows_of_the_verdict():
    """What was measured on other rows, or on other seeds, has no place on the curve; with fewer than two N there is none."""
    aucs = {"din": {64: 0.60, 256: 0.64, 1024: 0.68}, "laser-llm": {64: 0.64}}
    cells, draws = planted_curves(aucs)
    found = contrast.Verdict(64, ("laser-llm", ""), 0.64, ("din", ""), 0.60, 1, 0.04, 0.03, 0.05, 100, 3, (64, 64))
    lucky, _ = planted_curves({"din": {64: 0.9, 256: 0.9, 1024: 0.9}}, rows=50)
    unlucky, _ = planted_curves({"din": {256: 0.1}}, seeds=(7, 8))
    needed, _ = learning_curves.labels_to_equal(None, draws, pd.concat([cells, lucky, unlucky]), found)
    assert needed.value == pytest.approx(256)
    wider, _ = planted_curves({"sim": {256: 0.65}, "deepfm": {1024: 0.65}}, rows=400)
    assert learning_curves.labels_to_equal(None, draws, pd.concat([cells, wider]), found) is None, "SIM might be the best on the 100 rows"


def test_curves_that_are_compared_are_from_the_same_rows():
    """The model was scored on easy rows only; beside the baseline on these it needs as many labels, beside the whole test set half."""
    easy, easy_draws = planted_curves({"laser-llm": {64: 0.7, 128: 0.8}, "din": {64: 0.7, 128: 0.8, 256: 0.9}}, rows=50)
    whole, whole_draws = planted_curves({"din": {64: 0.6, 128: 0.7, 256: 0.8}, "sim": {64: 0.5, 128: 0.6}}, rows=100)
    cells = pd.concat([easy, whole], ignore_index=True)

    def draws(key: str) -> np.ndarray:
        return (easy_draws if key in set(easy["key"]) else whole_draws)(key)

    assert set(learning_curves.curves(draws, cells)) == {("din", ""), ("sim", "")}
    table = learning_curves.pair_needs(draws, cells, ("laser-llm", ""), ("din", ""))
    assert set(table["test_rows"]) == {50}
    assert table[table["question"] == "multiplier"]["value"].tolist() == pytest.approx([1, 1])
    on_all = learning_curves.pair_needs(draws, cells, ("sim", ""), ("din", ""))
    assert set(on_all["test_rows"]) == {100}
    assert on_all[on_all["question"] == "multiplier"]["value"].tolist() == pytest.approx([0, 0.5])
    assert learning_curves.pair_needs(draws, cells, ("sim", ""), ("laser-llm", "")).empty, "no rows in common"
