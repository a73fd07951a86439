from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from laser_core import metrics
from laser_core.errors import UserError
from laser_core.metrics.ranking import midranks, row_gauc, row_log_loss


@st.composite
def predictions(draw):
    """Labels of both classes, and probabilities with many ties."""
    size = draw(st.integers(2, 60))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    labels[:2] = [0, 1]
    scores = np.array(draw(st.lists(st.integers(1, 99), min_size=size, max_size=size))) / 100
    return labels, scores


@given(predictions())
def test_auc_log_loss_and_accuracy_equal_scikit_learn(case):
    labels, scores = case
    assert metrics.auc(labels, scores) == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.log_loss(labels, scores) == pytest.approx(sklearn.metrics.log_loss(labels, scores), abs=1e-12)
    assert metrics.accuracy(labels, scores) == pytest.approx(sklearn.metrics.accuracy_score(labels, scores >= 0.5), abs=1e-12)


@given(predictions())
def test_auc_counts_pairs(case):
    labels, scores = case
    gaps = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    assert metrics.auc(labels, scores) == pytest.approx(((gaps > 0) + 0.5 * (gaps == 0)).mean(), abs=1e-12)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40))
def test_midranks_equal_scipy(values):
    np.testing.assert_array_equal(midranks(np.array(values)), rankdata(values))


@given(predictions(), st.integers(1, 20))
def test_reliability_bins_hold_every_sample_once(case, bins):
    labels, scores = case
    curve = metrics.reliability(labels, scores, bins)
    assert curve.count.sum() == len(labels)
    assert np.average(curve.predicted, weights=curve.count) == pytest.approx(scores.mean())
    assert np.average(curve.observed, weights=curve.count) == pytest.approx(labels.mean())
    assert abs(scores.mean() - labels.mean()) - 1e-12 <= curve.error <= 1  # no binning can hide a bias


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([0.2, np.nan, 0.7], "1 of 3 are not, number 2 is nan"),
        ([0.2, 0.7, np.inf], "1 of 3 are not, number 3 is inf"),
        ([-0.1, 0.7, 1.5], "2 of 3 are not, number 1 is -0.1"),
        ([0.2, 0.7], r"3 probabilities, one a sample, not an array of shape \(2,\)"),
        ([[0.2], [0.7], [0.3]], r"not an array of shape \(3, 1\)"),
    ],
)
def test_what_is_no_probability_is_not_measured(said, words):
    labels, users = np.array([0, 1, 1]), np.arange(3)
    with pytest.raises(UserError, match=f"the predictions must give .*{words}"):
        metrics.evaluate(labels, np.array(said))
    with pytest.raises(UserError, match=words):
        metrics.evaluate_with_draws(labels, np.array(said), users)


def test_the_ends_are_probabilities():
    assert metrics.evaluate(np.array([0, 1]), np.array([0, 1])) == {"auc": 1, "log_loss": pytest.approx(0), "accuracy": 1, "ece": 0}


def test_calibration_error_by_hand():
    labels = np.array([0, 1, 1, 1, 0])
    scores = np.array([0.05, 0.19, 0.41, 0.58, 0.9])
    # bins of .2: {.05, .19} predicted .12, observed .5; {.41, .58} predicted .495, observed 1; {.9} predicted .9, observed 0
    by_hand = (2 * 0.38 + 2 * 0.505 + 0.9) / 5
    assert metrics.calibration_error(labels, scores, bins=5) == pytest.approx(by_hand)


def test_calibrated_predictions_have_little_error_and_shifted_ones_have_the_shift():
    generator = np.random.default_rng(0)
    scores = generator.uniform(0.2, 0.8, 200_000)
    labels = generator.random(len(scores)) < scores
    assert metrics.calibration_error(labels, scores) < 0.01
    assert metrics.calibration_error(labels, scores + 0.15) == pytest.approx(0.15, abs=0.01)


def test_few_samples_make_true_probabilities_look_wrong():
    generator = np.random.default_rng(0)

    def error(samples: int) -> float:
        said = generator.beta(4, 3, samples)
        return metrics.calibration_error(generator.random(samples) < said, said)

    assert np.mean([error(1000) for _ in range(100)]) == pytest.approx(0.04, abs=0.005)
    assert np.mean([error(2000) for _ in range(100)]) == pytest.approx(0.03, abs=0.005)
    assert np.mean([error(100_000) for _ in range(10)]) == pytest.approx(0.004, abs=0.001)


def test_certain_and_wrong_is_large_not_infinite():
    assert np.isfinite(row_log_loss(np.array([1, 0]), np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1]])
def test_one_class_only_says_so(labels):
    with pytest.raises(UserError, match=f"all {len(labels)} have the same label"):
        metrics.auc(np.array(labels), np.linspace(0, 1, len(labels)))


def test_evaluate_names_all_four():
    labels, scores = np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.4, 0.3])
    assert set(metrics.evaluate(labels, scores)) == {"auc", "log_loss", "accuracy", "ece"}
    assert metrics.evaluate(labels, scores)["auc"] == 1.0


@st.composite
def predictions_of_users(draw):
    """Labels and scores with many ties, and whose sample each is: users in any order, some with labels of one kind only."""
    labels, scores = draw(predictions())
    users = draw(st.lists(st.integers(3, 7), min_size=len(labels), max_size=len(labels)))
    return labels, scores, np.array(users) * 1000


@given(predictions_of_users())
def test_gauc_is_each_users_own_auc_weighted_by_samples(case):
    labels, scores, users = case
    own = {user: (users == user) for user in users}
    mixed = {user: mask for user, mask in own.items() if len(set(labels[mask])) == 2}
    by_row = row_gauc(labels, scores, users)
    for user, mask in own.items():
        expected = sklearn.metrics.roc_auc_score(labels[mask], scores[mask]) if user in mixed else np.nan
        np.testing.assert_allclose(by_row[mask], expected, atol=1e-12)
    if mixed:
        values = [sklearn.metrics.roc_auc_score(labels[mask], scores[mask]) for mask in mixed.values()]
        weights = [mask.sum() for mask in mixed.values()]
        assert metrics.gauc(labels, scores, users) == pytest.approx(np.average(values, weights=weights), abs=1e-12)
    else:
        with pytest.raises(UserError, match="both labels"):
            metrics.gauc(labels, scores, users)


@given(predictions_of_users())
def test_pairs_within_users_by_brute_force(case):
    labels, _, users = case
    alike = users[labels == 1][:, None] == users[labels == 0][None, :]
    assert metrics.pairs_within_users(labels, users) == pytest.approx(alike.mean(), abs=1e-12)


def test_knowing_who_likes_much_is_worth_an_auc_and_no_gauc():
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(200), 30)
    taste, appeal = generator.normal(size=200)[users], generator.normal(size=len(users))
    labels = generator.random(len(users)) < 1 / (1 + np.exp(-2 * taste - appeal))
    assert metrics.auc(labels, taste) > 0.75 and metrics.gauc(labels, taste, users) == 0.5
    assert metrics.auc(labels, appeal) < 0.7 < metrics.gauc(labels, appeal, users)
    shifted = appeal + generator.normal(size=200)[users] * 5  # a constant a user: another AUC, the same order within each
    assert metrics.gauc(labels, shifted, users) == pytest.approx(metrics.gauc(labels, appeal, users), abs=1e-12)
