"""Causal statistics against plain loops over each sample's history; label means against plain loops over the shots."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from laser_core.crm import statistics
from laser_core.crm.statistics import history_statistics, kindred_fields, label_means, out_of_fold_means
from laser_core.datasets.build import assemble
from laser_core.datasets.dataset import CTRDataset
from tests.crm.worlds import ABOUT

RATINGS = [0.5, 2.0, 3.7, 5.0]
KINDS = ["red", "green", "blue"]


@st.composite
def data_sets(draw: st.DrawFn) -> CTRDataset:
    """A few users with up to 45 events each, about half of them samples; items with a maker or none and any number of kinds, some twice."""
    sizes = draw(st.lists(st.integers(1, 45), min_size=1, max_size=4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    items = draw(st.integers(4, 9))
    events = sum(sizes)
    ratings = pd.DataFrame(
        {
            "user": np.repeat(np.arange(len(sizes)), sizes),
            "item": generator.integers(0, items, events),
            "rating": generator.choice(RATINGS, events),
            "label": generator.integers(0, 2, events),
        }
    ).iloc[generator.permutation(events)]
    sample = generator.random(events) < 0.5
    sample[generator.integers(0, events)] = True
    split = np.resize(["train", "valid", "test"], events)
    if sample.sum() < 3:  # every split needs a sample
        sample[:] = True
    if sample.sum() < 3:
        ratings = pd.concat([ratings] * 3, ignore_index=True)
        sample, split = np.ones(len(ratings), bool), np.resize(["train", "valid", "test"], len(ratings))
    split[sample] = np.resize(["train", "valid", "test"], sample.sum())
    kinds = [list(generator.choice(KINDS, generator.integers(0, 4))) for _ in range(items)]
    table = pd.DataFrame({"title": [f"thing {number}" for number in range(items)], "maker": generator.choice(["x", "y", None], items)})
    table["barcode"] = [f"{number:05d}" for number in range(items)]  # words that do not repeat make nothing alike
    about = dataclasses.replace(ABOUT, group_field="kinds", profile_fields=())
    return assemble(about, ratings, pd.DataFrame(index=range(len(sizes))), table, RATINGS, sample, split, multi={"kinds": kinds})


def plain_statistics(data: CTRDataset, row: int) -> list[float]:
    """What `history_statistics` promises for one sample, with a loop over its history."""
    target = data.sample_item(np.array([row]))[0]
    history = list(data.history_events(row, length=0))
    low, high = RATINGS[0], RATINGS[-1]

    def liked(events: list[int], weight: float, towards: float) -> float:
        return (sum(int(data.event_label[event]) for event in events) + weight * towards) / (len(events) + weight)

    def rating(events: list[int], weight: float, towards: float) -> float:
        values = [(float(data.rating_values[data.event_rating[event]]) - low) / (high - low) for event in events]
        return (sum(values) + weight * towards) / (len(events) + weight)

    whole = liked(history, 5, 0.5), rating(history, 5, 0.5)
    expected = [math.log(1 + len(history)), *whole]
    for window in (5, 30):
        expected += [liked(history[-window:], 2, whole[0]), rating(history[-window:], 2, whole[1])]
    for field in ("kinds", "maker"):
        alike = [
            [event for event in history if value in data.field(field).values(data.event_item[event])]
            for value in sorted(set(data.field(field).values(target)))
        ]
        if alike:
            expected.append(math.log(1 + np.mean([len(events) for events in alike])))
            expected.append(float(np.mean([liked(events, 5, whole[0]) for events in alike])))
            expected.append(float(np.mean([rating(events, 5, whole[1]) for events in alike])))
        else:
            expected += [0.0, *whole]
    return expected


@hypothesis_settings(max_examples=60)
@given(data_sets())
def test_statistics_are_what_a_loop_over_the_history_finds(data: CTRDataset) -> None:
    assert kindred_fields(data) == ("kinds", "maker")
    rows = np.arange(data.samples)
    found, names = history_statistics(data, rows)
    assert found.shape == (data.samples, len(names))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [plain_statistics(data, row) for row in rows], atol=1e-5)


@hypothesis_settings(max_examples=60)
@given(data_sets(), st.data())
def test_a_sample_reads_nothing_but_its_own_users_earlier_events(data: CTRDataset, draw: st.DataObject) -> None:
    row = draw.draw(st.integers(0, data.samples - 1))
    event = int(data.sample_event[row])
    start = int(data.user_offsets[data.event_user[event]])
    other = np.ones(data.events, bool)
    other[start:event] = False  # everything but the history: later events, other users, and the sample's own label and rating
    item, other_item = data.event_item.copy(), other.copy()
    other_item[event] = False  # the target's item is known
    item[other_item] = 1 + (item[other_item] % data.items)
    label, rating = data.event_label.copy(), data.event_rating.copy()
    label[other] = 1 - label[other]
    rating[other] = 1 + (rating[other] % len(RATINGS))
    changed = dataclasses.replace(data, event_item=item, event_label=label, event_rating=rating)

    rows = np.array([row])
    np.testing.assert_array_equal(history_statistics(data, rows)[0], history_statistics(changed, rows)[0])


@hypothesis_settings(max_examples=30)
@given(data_sets(), st.data())
def test_a_row_does_not_depend_on_the_other_rows(data: CTRDataset, draw: st.DataObject) -> None:
    rows = np.array(draw.draw(st.lists(st.integers(0, data.samples - 1), max_size=30)), dtype=np.int64)
    together = history_statistics(data, np.arange(data.samples))[0]
    np.testing.assert_array_equal(history_statistics(data, rows)[0], together[rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_PIECE", 7)  # worked on in many pieces
        np.testing.assert_array_equal(history_statistics(data, rows)[0], together[rows])


def test_statistics_of_a_real_data_set(small: CTRDataset) -> None:
    found, names = history_statistics(small, small.test)
    labels = small.labels(small.test)
    assert np.isfinite(found).all()
    shares = [number for number, name in enumerate(names) if "log" not in name]
    assert found[:, shares].min() >= 0
    assert found[:, shares].max() <= 1
    for name in ("liked share", "liked share, last 30", "liked share, same genres", "mean rating, same genre"):
        assert roc_auc_score(labels, found[:, names.index(name)]) > 0.65


# ---- label means -----------------------------------------------------------------------------------------------------------------


@given(st.integers(2, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_label_means_are_what_a_loop_finds(samples: int, fields: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 4, (samples, fields)) + 4 * np.arange(fields)
    labels = generator.integers(0, 2, samples)
    found = label_means(codes, labels, 4 * fields + 1, smoothing=3.0)
    for code in range(4 * fields + 1):
        mine = [labels[sample] for sample in range(samples) if code in codes[sample]]
        mean = (sum(mine) + 3.0 * labels.mean()) / (len(mine) + 3.0)
        np.testing.assert_allclose(found[code], [mean, math.log(1 + len(mine))])


def test_out_of_fold_means_leave_the_own_fold_out() -> None:
    generator = np.random.default_rng(0)
    codes, labels = generator.integers(0, 5, (23, 1)), generator.integers(0, 2, 23)
    found = out_of_fold_means(codes, labels, 5, 2.0, folds=4, generator=np.random.default_rng(7))
    fold = np.random.default_rng(7).permutation(23) % 4
    for sample in range(23):
        others = [other for other in range(23) if fold[other] != fold[sample]]
        alike = [labels[other] for other in others if codes[other] == codes[sample]]
        mean = (sum(alike) + 2.0 * np.mean(labels[others])) / (len(alike) + 2.0)
        np.testing.assert_allclose(found[sample, 0], [mean, math.log(1 + len(alike))])

    for sample in range(23):  # the own label never counts
        flipped = labels.copy()
        flipped[sample] = 1 - flipped[sample]
        again = out_of_fold_means(codes, flipped, 5, 2.0, folds=4, generator=np.random.default_rng(7))
        np.testing.assert_array_equal(again[sample], found[sample])


def test_random_labels_do_not_leak_out_of_fold() -> None:
    generator = np.random.default_rng(3)
    codes, labels = generator.integers(0, 1500, (6000, 1)), generator.integers(0, 2, 6000)
    inside = label_means(codes, labels, 1500, 5.0)[codes[:, 0], 0]
    outside = out_of_fold_means(codes, labels, 1500, 5.0, 10, generator)[:, 0, 0]
    assert roc_auc_score(labels, inside) > 0.7  # a mean that holds the own label looks informative
    assert abs(roc_auc_score(labels, outside) - 0.5) < 0.025
