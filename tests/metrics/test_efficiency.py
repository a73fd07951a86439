from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from laser_core import metrics
from laser_core.errors import UserError
from laser_core.metrics.efficiency import isotonic, shots_needed

SHOTS = np.array([64, 256, 1024, 4096, 16384, 65536])


def planted(shots):
    """A learning curve."""
    return 0.80 - 0.9 * (shots + 60.0) ** -0.42


def curve(values, spread=0.0, seed=0, draws=200):
    generator = np.random.default_rng(seed)
    values = np.asarray(values, dtype=float)
    return metrics.Curve(SHOTS[: len(values)], values, values[:, None] + generator.normal(size=(len(values), draws)) * spread)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9))
def test_isotonic_equals_scikit_learn(values):
    np.testing.assert_allclose(isotonic(np.array(values)), isotonic_regression(values), atol=1e-12)


def test_isotonic_takes_many_curves_at_once():
    values = np.random.default_rng(0).normal(size=(5, 7))
    np.testing.assert_allclose(isotonic(values)[:, 3], isotonic_regression(values[:, 3]))


@pytest.mark.parametrize("shots", [64, 100, 777, 4096, 50_000])
def test_shots_needed_inverts_a_known_curve(shots):
    needed = shots_needed(SHOTS, planted(SHOTS)[:, None], np.array([planted(shots)]))
    assert needed[0] == pytest.approx(shots, rel=0.06)  # between the points the curve is interpolated


@pytest.mark.parametrize("shots", [65, 777, 1024, 4099, 65_000])
def test_shots_needed_on_a_straight_line_are_exact(shots):
    """Straight over log N, where the interpolation has nothing to bend."""
    line = 0.5 + 0.02 * np.log(SHOTS)
    needed = shots_needed(SHOTS, np.stack([line, line + 0.01], axis=1), np.full(2, 0.5 + 0.02 * np.log(shots)))
    assert needed[0] == pytest.approx(shots, rel=1e-5)
    assert needed[1] == pytest.approx(shots / np.exp(0.5), rel=1e-5) if shots > 64 * np.exp(0.5) else needed[1] == 0


def test_beyond_the_curve_is_said_not_extrapolated():
    values = planted(SHOTS)[:, None]
    assert shots_needed(SHOTS, values, np.array([0.99]))[0] == np.inf
    assert shots_needed(SHOTS, values, np.array([0.50]))[0] == 0.0


def test_a_value_reached_on_a_plateau_counts_from_its_beginning():
    values = np.array([0.6, 0.7, 0.7, 0.7, 0.8, 0.8])[:, None]
    assert shots_needed(SHOTS, values, np.array([0.7]))[0] == pytest.approx(256, rel=0.02)


@pytest.mark.parametrize("multiplier", [1.0, 4.0, 9.0])
def test_planted_multiplier_is_found(multiplier):
    found = metrics.data_multiplier(curve(planted(multiplier * SHOTS)), curve(planted(SHOTS)), 1024)
    assert found.value == pytest.approx(multiplier, rel=0.06)


def worlds_covered(worlds, seeds, multiplier=4, draws=400):
    """In what share of made-up worlds, where one curve needs four times the labels of the other, the interval holds four."""
    inside = 0
    for world in range(worlds):
        generator = np.random.default_rng(world)
        curves = []
        users, user_draws = generator.normal() * 0.002, generator.normal(size=draws) * 0.002  # both systems meet the same users
        for truth in (planted(multiplier * SHOTS), planted(SHOTS)):
            values = truth[:, None] + users + generator.normal(size=(len(SHOTS), seeds)) * 0.005
            drawn = [metrics.seed_and_user_draws(row, row[:, None] + user_draws, generator, means=2) for row in values]
            curves.append(metrics.Curve(SHOTS, values.mean(axis=1), np.array(drawn)))
        found = metrics.data_multiplier(*curves, 1024)
        inside += found.low <= multiplier <= found.high
    return inside / worlds


@pytest.mark.parametrize("seeds", [3, 5])
def test_multiplier_interval_covers_the_planted_one(seeds):
    assert worlds_covered(100, seeds) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_multiplier_interval_covers_the_planted_one_in_95_of_100_worlds(seeds):
    assert worlds_covered(1000, seeds) == pytest.approx(0.95, abs=0.02)


def test_multiplier_out_of_range_is_infinite_or_zero():
    better, worse = curve(planted(SHOTS) + 0.2), curve(planted(SHOTS))
    assert metrics.data_multiplier(better, worse, 64).value == np.inf
    assert metrics.data_multiplier(worse, better, 65_536).value == 0.0


@pytest.mark.parametrize(("own", "shift", "open_end"), [(16, -0.3, ("high", 4.0)), (262_144, 0.3, ("low", 0.25))])
def test_multiplier_beyond_the_baseline_s_n_is_open(own, shift, open_end):
    """Worse with 16 labels than the baseline with its first 64: that baseline may need more than 16, or fewer; and the other way round."""
    shots = np.sort([own, 1024])
    values = planted(shots) + shift
    one, baseline = metrics.Curve(shots, values, np.repeat(values[:, None], 200, axis=1)), curve(planted(SHOTS))
    found = metrics.data_multiplier(one, baseline, own)
    assert found.low < 1 < found.high
    end, known = open_end
    assert getattr(found, end) == known
    inside = metrics.data_multiplier(one, baseline, 1024)
    assert (inside.high == 0) if shift < 0 else (inside.low == np.inf)


def test_multiplier_needs_a_measured_point():
    with pytest.raises(UserError, match=r"no point at N = 100: it was measured at 64, 256"):
        metrics.data_multiplier(curve(planted(SHOTS)), curve(planted(SHOTS)), 100)


def test_match_point_is_where_a_reference_is_reached():
    found = metrics.match_point(curve(planted(SHOTS), spread=0.001), planted(2000), np.full(200, planted(2000)))
    assert found.low < 2000 < found.high
    assert found.value == pytest.approx(2000, rel=0.06)


def test_area_of_a_straight_line_is_its_middle():
    line = curve(0.5 + 0.02 * np.log(SHOTS))
    middle = 0.5 + 0.02 * (np.log(64) + np.log(65_536)) / 2
    assert metrics.area_under_curve(line).value == pytest.approx(middle)
    part = metrics.area_under_curve(line, (100, 10_000))
    assert part.value == pytest.approx(0.5 + 0.02 * (np.log(100) + np.log(10_000)) / 2)
    with pytest.raises(UserError, match="measured from N = 64 to 65,536"):
        metrics.area_under_curve(line, (1, 100))


def test_a_curve_has_ascending_points():
    with pytest.raises(UserError, match="ascending"):
        metrics.Curve(np.array([256, 64]), np.array([0.5, 0.6]), np.zeros((2, 3)))
