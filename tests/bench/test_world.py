"""The made-up data is MovieLens-1M's size and shape, and its copies are copies."""

from __future__ import annotations

import numpy as np
import pytest

from laser_core.bench.world import CARDINALITIES, copies, movielens_like


@pytest.fixture(scope="module")
def little():
    return movielens_like(seed=1, users=40)


def test_it_has_the_counts_of_movielens_1m():
    """6,040 users, 3,706 movies, 1,000,209 ratings, 970,009 samples of which 776,007 train: within a tenth; fields as large."""
    data = movielens_like()
    assert (data.users, data.items) == (6040, 3706)
    assert data.events == pytest.approx(1_000_209, rel=0.1)
    assert data.samples == pytest.approx(970_009, rel=0.1)
    assert len(data.train) == pytest.approx(776_007, rel=0.1)
    assert data.events - data.samples == 5 * data.users
    assert data.labels(data.train).mean() == pytest.approx(0.58, abs=0.02)
    sizes = {name: len(data.field(name).vocabulary) for name in (*CARDINALITIES, "genre")}
    assert sizes | {"zip": 0} == {"gender": 2, "age": 7, "occupation": 21, "zip": 0, "genre": 18}
    assert 0.75 * 3439 < sizes["zip"] <= 3439  # not every zip code is drawn
    full = (data.sample_event[data.train] - data.history_start(data.train) == 30).mean()
    assert 0.7 < full < 0.95  # most histories of MovieLens-1M are longer than 30


@pytest.mark.parametrize("times", [1, 2, 3])
def test_copies_repeat_every_sample_under_other_users(little, times):
    more = copies(little, times)
    assert (more.users, more.events, more.samples) == tuple(times * n for n in (little.users, little.events, little.samples))
    for part in ("train", "valid", "test"):
        rows, again = np.asarray(getattr(little, part)), np.asarray(getattr(more, part)).reshape(times, -1)
        plain = little.batch(rows)
        for number, copied in enumerate(again):
            batch = more.batch(copied)
            np.testing.assert_array_equal(batch.user, plain.user + number * little.users)
            for name in ("item", "label", "history_item", "history_rating", "history_length"):
                np.testing.assert_array_equal(getattr(batch, name), getattr(plain, name))
            for name in CARDINALITIES:
                np.testing.assert_array_equal(more.field(name).codes[batch.user], little.field(name).codes[plain.user])


def test_one_copy_is_the_data_set(little):
    assert copies(little, 1).train.tolist() == little.train.tolist()
    assert copies(little, 2).version != little.version
