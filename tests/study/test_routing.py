"""Routing, against brute force and planted answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from laser_core.errors import UserError
from laser_core.metrics import delong
from laser_core.study.routing import routed, routing

probabilities = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=40)


@given(probabilities, st.floats(0, 1))
def test_the_least_sure_samples_are_asked_and_no_others(cheap, share):
    cheap = np.array(cheap)
    dear = np.full(len(cheap), 2.0)  # no probability, so that it is known again
    asked = routed(cheap, dear, share) == 2
    assert asked.sum() == round(share * len(cheap))
    unsure = np.abs(cheap - 0.5)
    if 0 < asked.sum() < len(cheap):
        assert unsure[asked].max() <= unsure[~asked].min()
    assert (routed(cheap, dear, share)[~asked] == cheap[~asked]).all()


def planted(seeds=(0, 1, 2)):
    """The cheap system is right and sure of half of the samples and says about .5 to the others; the dear one knows a little of all."""
    stored, rows = {}, []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        labels = np.random.default_rng(9).integers(0, 2, 600)
        sure = np.arange(600) % 2 == 0
        cheap = np.where(sure, 0.5 + 0.4 * (2 * labels - 1) * (generator.random(600) < 0.9), 0.5) + generator.normal(0, 0.01, 600)
        dear = 1 / (1 + np.exp(-(2 * labels - 1 + generator.normal(0, 1.5, 600))))
        frame = pd.DataFrame({"row": np.arange(600), "user": np.arange(600) // 3, "label": labels})
        for system, own in (("cheap", cheap), ("dear", dear)):
            stored[f"{system}-{seed}"] = frame.assign(probability=own)
            rows.append({"system": system, "seed": seed, "key": f"{system}-{seed}"})
    cells = pd.DataFrame(rows)
    return stored, *(cells[cells["system"] == system] for system in ("cheap", "dear"))


def test_every_share_is_what_brute_force_makes_of_it():
    stored, cheap, dear = planted()
    table = routing(stored.__getitem__, cheap, dear, shares=(0.0, 0.3, 1.0)).set_index("share")
    for share, ends in ((0.0, "cheap"), (0.3, ""), (1.0, "dear")):
        values, losses = [], []
        for seed in (0, 1, 2):
            first, second = (stored[f"{system}-{seed}"]["probability"].to_numpy() for system in ("cheap", "dear"))
            mixed = stored[f"{ends}-{seed}"]["probability"].to_numpy() if ends else first.copy()
            if not ends:
                for row in sorted(range(600), key=lambda one, first=first: abs(first[one] - 0.5))[:180]:
                    mixed[row] = second[row]
            labels = stored[f"cheap-{seed}"]["label"]
            values.append(roc_auc_score(labels, mixed) - roc_auc_score(labels, first))
            losses.append(log_loss(labels, mixed))
        assert table.loc[share, "gap"] == pytest.approx(np.mean(values), abs=1e-12)
        assert table.loc[share, "log_loss"] == pytest.approx(np.mean(losses), abs=1e-9)
    assert table.loc[[0.0, 1.0], "lot"].tolist() == [0, 0], "with nobody or everybody asked there is nothing to draw"
    assert (table["seeds"] == 3).all() and (table["test_rows"] == 600).all()


def test_the_interval_is_over_users():
    """Of one seed: DeLong's, samples of a user belonging together. By lot is the mean of five draws."""
    stored, cheap, dear = planted(seeds=(0,))
    (row,) = routing(stored.__getitem__, cheap, dear, shares=(0.4,)).to_dict("records")
    labels, users = (stored["cheap-0"][name].to_numpy() for name in ("label", "user"))
    first, second = (stored[f"{system}-0"]["probability"].to_numpy() for system in ("cheap", "dear"))
    mixed = routed(first, second, 0.4)
    together, alone = (1.959964 * delong(labels, mixed, first, whose).standard_error for whose in (users, None))
    assert (row["high"] - row["low"]) / 2 == pytest.approx(together, rel=1e-6)
    assert together != pytest.approx(alone, rel=1e-3)
    lots = [np.random.default_rng(draw).permutation(600) < 240 for draw in range(5)]
    by_lot = [roc_auc_score(labels, np.where(lot, second, first)) for lot in lots]
    assert row["lot"] == pytest.approx(roc_auc_score(labels, mixed) - np.mean(by_lot))


def test_where_unsureness_says_who_needs_help_it_beats_a_lot():
    stored, cheap, dear = planted()
    half = routing(stored.__getitem__, cheap, dear, shares=(0.5,)).iloc[0]
    assert half["low"] > 0 and half["lot_low"] > 0
    assert half["low"] < half["gap"] < half["high"]


def test_where_unsureness_says_nothing_a_lot_does_as_well():
    """The cheap system's numbers are noise: whom it is unsure of tells nothing."""
    stored, cheap, dear = planted()
    for seed in (0, 1, 2):
        frame = stored[f"cheap-{seed}"]
        stored[f"cheap-{seed}"] = frame.assign(probability=np.random.default_rng(100 + seed).random(len(frame)))
    half = routing(stored.__getitem__, cheap, dear, shares=(0.5,)).iloc[0]
    assert half["lot_low"] < 0 < half["lot_high"] and half["gap"] > 0


def test_only_common_samples_and_seeds_count():
    stored, cheap, dear = planted()
    stored["dear-0"] = stored["dear-0"].iloc[::2]
    table = routing(stored.__getitem__, cheap, dear[dear["seed"] == 0], shares=(1.0,))
    assert table.loc[0, ["seeds", "test_rows"]].tolist() == [1, 300]


def test_a_pair_that_shares_nothing_is_an_error_that_says_so():
    stored, cheap, dear = planted()
    with pytest.raises(UserError, match="no seed in common"):
        routing(stored.__getitem__, cheap, dear.assign(seed=7))
    stored["dear-0"] = stored["dear-0"].assign(row=lambda frame: frame["row"] + 1000)
    with pytest.raises(UserError, match="no test sample in common"):
        routing(stored.__getitem__, cheap, dear)
