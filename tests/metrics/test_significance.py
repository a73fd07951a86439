"""Intervals and tests against brute force, simulation and permutation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from laser_core import metrics
from laser_core.metrics.bootstrap import bootstrap_mean, user_weights
from laser_core.study.summary import mean_error, p_value


def sample(users: int, each: int, seed: int, skill: float = 1.0, own: float = 0.0):
    """(labels, two score arrays of equal skill, users); `own`: how much a user's samples share."""
    generator = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), each)
    shared = generator.normal(size=users)[user] * own
    signal = generator.normal(size=len(user)) + shared
    labels = (signal * skill + generator.logistic(size=len(user)) > 0).astype(int)
    first = signal + generator.normal(size=len(user))
    second = signal + generator.normal(size=len(user))
    return labels, first, second, user


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_bootstrap_auc_is_the_weighted_auc_of_scikit_learn(seed, users):
    generator = np.random.default_rng(seed)
    user = generator.integers(0, users, 40) * 7  # codes need not be consecutive
    labels = np.concatenate([[0, 1], generator.integers(0, 2, 38)])
    scores = generator.integers(0, 6, 40) / 5  # many ties
    draws = metrics.bootstrap_auc(labels, scores, user, draws=5, seed=seed)
    _, place = np.unique(user, return_inverse=True)
    for draw, weight in zip(draws, user_weights(place, 5, seed), strict=True):
        weight_of_row = weight[place]
        drawn = weight_of_row > 0
        if labels[drawn].min() == labels[drawn].max():
            assert np.isnan(draw)
        else:
            assert draw == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores, sample_weight=weight_of_row), abs=1e-12)


def test_bootstrap_mean_is_the_mean_of_the_drawn_samples():
    generator = np.random.default_rng(0)
    user, values = np.array([3, 3, 5, 9, 9, 9]), generator.normal(size=6)
    draws = bootstrap_mean(values, user, draws=4, seed=1)
    for draw, weight in zip(draws, user_weights(np.array([0, 0, 1, 2, 2, 2]), 4, 1), strict=True):
        rows = np.repeat(values, weight[[0, 0, 1, 2, 2, 2]])
        assert draw == pytest.approx(rows.mean())


def test_users_are_drawn_as_often_as_there_are_users():
    weights = np.array(list(user_weights(np.arange(50), 200, 0)))
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean() == 1.0


def bootstrap_covered(worlds):
    """In what share of made-up worlds the interval of the AUC holds the true one."""
    truth = metrics.auc(*sample(400_000, 1, 0, own=1.0)[:2])
    inside = 0
    for seed in range(1, worlds + 1):
        labels, scores, _, user = sample(120, 6, seed, own=1.0)
        draws = metrics.bootstrap_auc(labels, scores, user, draws=300, seed=seed)
        interval = metrics.percentile_interval(metrics.auc(labels, scores), draws)
        inside += interval.low <= truth <= interval.high
    return inside / worlds


def test_bootstrap_interval_covers_the_true_auc():
    assert 0.91 <= bootstrap_covered(200) <= 0.99


@pytest.mark.slow
def test_bootstrap_interval_covers_the_true_auc_in_95_of_100_worlds():
    assert bootstrap_covered(1000) == pytest.approx(0.95, abs=0.02)


def test_delong_error_equals_the_spread_over_fresh_samples():
    gaps, errors = [], []
    for seed in range(300):
        labels, first, second, _ = sample(300, 1, seed)
        result = metrics.delong(labels, first, second)
        gaps.append(result.difference)
        errors.append(result.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(gaps), rel=0.12)


def test_delong_agrees_with_permutation():
    """Swapping the two systems' midranks sample by sample is the exact test of no difference."""
    generator = np.random.default_rng(5)
    for seed in (1, 2, 3):
        labels, first, second, _ = sample(250, 1, seed)
        first, second = metrics.ranking.midranks(first), metrics.ranking.midranks(second + 0.5 * labels)
        result = metrics.delong(labels, first, second)
        swapped = []
        for _ in range(400):
            swap = generator.random(len(labels)) < 0.5
            swapped.append(metrics.auc(labels, np.where(swap, second, first)) - metrics.auc(labels, np.where(swap, first, second)))
        exact = np.mean(np.abs(swapped) >= abs(result.difference))
        assert result.p_value == pytest.approx(exact, abs=0.06)


def test_delong_reports_both_areas():
    labels, first, second, _ = sample(80, 1, 4)
    result = metrics.delong(labels, np.round(first), np.round(second))  # ties
    assert result.auc_first == pytest.approx(sklearn.metrics.roc_auc_score(labels, np.round(first)))
    assert result.auc_second == pytest.approx(sklearn.metrics.roc_auc_score(labels, np.round(second)))
    assert result.low < result.difference < result.high


def test_equal_predictions_do_not_differ():
    labels, first, _, _ = sample(60, 2, 1)
    assert metrics.delong(labels, first, first).p_value == 1.0


def test_one_user_says_nothing_of_others():
    labels, scores, _, users = sample(1, 40, seed=0)
    with warnings.catch_warnings(action="error"):
        found = metrics.delong(labels, scores, np.zeros(40), users)
    assert found.difference == found.auc_first - 0.5 != 0
    assert np.isnan([found.standard_error, found.low, found.high, found.p_value]).all()
    assert np.isnan(p_value(found.difference, *mean_error(np.array([found.difference]), np.array([found.standard_error]))))


def test_a_difference_without_any_spread_is_no_chance():
    labels, right = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    test = metrics.delong(labels, right, right[::-1])
    assert (test.difference, test.standard_error, test.p_value) == (1.0, 0.0, 0.0)
    assert metrics.delong(labels, right, right).p_value == 1.0


@pytest.mark.parametrize("each", [1, 8])
def test_delong_by_user_agrees_with_the_paired_bootstrap(each):
    labels, first, second, user = sample(300, each, 7, own=1.5)
    test = metrics.delong(labels, first, second + 0.2 * labels, user)
    gaps = np.subtract(*(metrics.bootstrap_auc(labels, scores, user, draws=2000) for scores in (first, second + 0.2 * labels)))
    assert np.ptp(np.quantile(gaps, [0.025, 0.975])) == pytest.approx(test.high - test.low, rel=0.1)
    assert 2 * min((gaps <= 0).mean(), (gaps >= 0).mean()) == pytest.approx(test.p_value, abs=0.05)


def test_the_error_over_users_is_that_of_loops_over_pairs():
    """Each pair of a positive and a negative sample adds to the difference; what a user's samples add together varies over users."""
    generator = np.random.default_rng(4)
    user, labels = generator.integers(0, 4, 24), np.arange(24) % 2
    first, second = generator.integers(0, 6, 24), generator.integers(0, 6, 24)  # many ties

    def wins(scores: np.ndarray, positive: int, negative: int) -> float:
        return float(scores[positive] > scores[negative]) + 0.5 * float(scores[positive] == scores[negative])

    gap = np.array([[wins(first, p, n) - wins(second, p, n) for n in np.flatnonzero(labels == 0)] for p in np.flatnonzero(labels)])
    added = dict.fromkeys(range(4), 0.0)
    for place, sample_number in enumerate(np.flatnonzero(labels)):
        added[user[sample_number]] += (gap[place].mean() - gap.mean()) / 12
    for place, sample_number in enumerate(np.flatnonzero(labels == 0)):
        added[user[sample_number]] += (gap[:, place].mean() - gap.mean()) / 12
    test = metrics.delong(labels, first, second, user * 100)
    assert test.difference == pytest.approx(gap.mean())
    assert test.standard_error == pytest.approx(np.sqrt(sum(value**2 for value in added.values()) * 4 / 3))


def test_users_make_the_test_more_careful_where_their_samples_go_together():
    generator = np.random.default_rng(0)
    labels, first, second, user = sample(100, 20, 3, own=2.0)
    second = second + np.repeat(generator.normal(size=100), 20) * 1.5  # an error that all samples of a user share
    assert metrics.delong(labels, first, second, user).standard_error > 1.3 * metrics.delong(labels, first, second).standard_error


def test_null_systems_are_seldom_called_different():
    claims = 0
    for seed in range(300):
        labels, first, second, user = sample(60, 4, seed, skill=0.0)
        claims += metrics.delong(labels, first, second, user).p_value < 0.05
    assert claims / 300 <= 0.09


def test_holm_by_hand_and_in_any_order():
    p_values = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(metrics.holm(p_values), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(metrics.holm(p_values[::-1]), [0.02, 0.06, 0.06, 0.03])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(values):
    p_values = np.array(values)
    corrected = metrics.holm(p_values)
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(1, p_values * len(p_values)) + 1e-12).all()
    assert (np.argsort(corrected[np.argsort(p_values)], kind="stable") == np.arange(len(values))).all()


def test_seeds_and_users_both_widen_the_interval():
    """The mean of a few seeds on one draw of users covers the truth in about 95 % of worlds."""
    generator = np.random.default_rng(3)
    for seeds in (3, 5):
        inside = 0
        for _ in range(400):
            users = generator.normal() * 0.01  # the same test users for all seeds
            values = 0.75 + users + generator.normal(size=seeds) * 0.01
            user_draws = values[:, None] + generator.normal(size=200)[None, :] * 0.01
            draws = metrics.seed_and_user_draws(values, user_draws, generator)
            interval = metrics.percentile_interval(values.mean(), draws)
            inside += interval.low <= 0.75 <= interval.high
        assert 0.92 <= inside / 400 <= 0.995


def test_one_seed_leaves_the_users_only():
    generator = np.random.default_rng(0)
    draws = generator.normal(size=(1, 50))
    np.testing.assert_allclose(metrics.seed_and_user_draws(draws.mean(axis=1), draws, generator), draws[0])


def test_the_part_of_the_seeds_is_students_t_for_their_mean_and_that_of_the_users_their_own():
    """No user moves anything: the spread is t's, by its textbook variance. No seed does: the draws are those of the users, seed by seed."""
    values, still = np.array([0.70, 0.71, 0.74, 0.72, 0.78]), np.full((5, 200_000), 0.7)
    for means in (1, 2):
        drawn = metrics.seed_and_user_draws(values, still, np.random.default_rng(0), means)
        freedom = means * 4
        variance = sum((value - 0.73) ** 2 for value in values) / 4 / 5 * freedom / (freedom - 2)
        assert drawn.mean() == pytest.approx(0.73, abs=1e-3) and drawn.var() == pytest.approx(variance, rel=0.05)
    moved = 0.7 + np.random.default_rng(1).normal(size=(5, 300)) * 0.01
    drawn = metrics.seed_and_user_draws(np.full(5, 0.7), moved, np.random.default_rng(0))
    np.testing.assert_allclose(drawn - drawn.mean(), moved.mean(axis=0) - moved.mean())
