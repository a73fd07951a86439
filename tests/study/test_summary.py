from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from laser_core import metrics
from laser_core.study import paper
from laser_core.study.summary import (
    MEANS,
    POINT,
    TIMES,
    backbone_of,
    behind,
    half_width,
    leaders,
    mean_error,
    of_series,
    on_one_machine,
    settings_by_validation,
    student,
    summarise,
    widest,
)


def cells(seeds=3, spread=0.01, user_deviation=0.005, **changes) -> pd.DataFrame:
    """Finished cells of one point: AUC .75 plus or minus."""
    auc = 0.75 + spread * np.linspace(-1, 1, seeds) if seeds > 1 else np.array([0.75])
    half = 1.959964 * user_deviation
    table = pd.DataFrame(
        {"auc": auc, "auc_low": auc - half, "auc_high": auc + half, "log_loss": 0.5, "log_loss_low": 0.45, "log_loss_high": 0.55}
    )
    place = {"dataset": "d", "system": "s", "variant": "", "shots": 64, "train_rows": 64, "test_rows": 100}
    state = {"revision": 1, "data_version": "v", "current": True, "status": "done"}
    return table.assign(seed=range(seeds), **{**place, **state, **dict.fromkeys([*MEANS, *TIMES], 1.0), **changes})


def test_one_row_a_point():
    table = summarise(pd.concat([cells(), cells(shots="all", train_rows=900), cells(variant="dropout=0.2"), cells(system="t")]))
    assert len(table) == 4
    assert list(table.columns[: len(POINT)]) == POINT
    assert (table["seeds"] == 3).all()
    assert table["auc"].tolist() == pytest.approx([0.75] * 4)
    assert table[table["system"] == "s"]["shots"].tolist() == [64, "all", 64]


def test_times_are_medians_and_the_rest_means():
    """One busy minute is most of a mean."""
    (row,) = summarise(cells(**{name: [1.0, 2.0, 9.0] for name in (*MEANS, *TIMES)})).to_dict("records")
    assert [row[name] for name in TIMES] == [2.0] * len(TIMES) and [row[name] for name in MEANS] == [4.0] * len(MEANS)
    assert row["per_thousand"] == 1000 * 2.0 / 100


def test_rows_of_a_series():
    """A series is a system and its options, together: not every row of the one or the other."""
    table = pd.concat([cells(), cells(variant="x"), cells(system="t"), cells(system="t", variant="x")], ignore_index=True)
    assert of_series(table, ("s", "x"), ("t", ""), ("u", "")).index.tolist() == [3, 4, 5, 6, 7, 8]
    assert behind(summarise(table).query("system == 't'"), table).index.tolist() == [6, 7, 8, 9, 10, 11]
    assert of_series(table).empty and of_series(table[:0], ("s", "x")).empty and behind(table[:0], table).empty


@pytest.mark.parametrize(
    ("variant", "inside"),
    [
        ("", ("sim", "")),
        ('backbone_crm="din"', ("din", "")),
        ('backbone_crm="din", statistics=false, nearby=0.0', ("din", "statistics=false")),
        ('collaborative=true, vectors="words", choose=true', ("sim", "collaborative=true, choose=true")),
    ],
)
def test_the_model_inside_llm_and_crm_reads_the_same_input(variant, inside):
    assert backbone_of("laser-crm", variant) == inside
    assert backbone_of("din", variant) == ("din", variant)


def test_other_revisions_and_failures_are_not_mixed_in():
    table = summarise(pd.concat([cells(), cells(revision=0, current=False, auc=0.1), cells(status="failed", auc=0.2)]))
    assert table["auc"].tolist() == pytest.approx([0.1, 0.75])
    assert table["current"].tolist() == [False, True]


def test_leaders_are_the_best_of_each_family_at_either_end():
    quality = {  # N = 64, all
        ("din", ""): (0.60, 0.79), ("sim", ""): (0.62, 0.70), ("sasrec", ""): (0.61, 0.75), ("din", "k=1"): (0.50, 0.78),
        ("history-lr", ""): (0.74, 0.75), ("popularity", ""): (0.50, 0.60), ("my-own", ""): (0.1, 0.1),
    }  # fmt: skip
    parts = [
        cells(system=system, variant=variant, shots=shots, train_rows=rows, auc=auc)
        for (system, variant), values in quality.items()
        for shots, rows, auc in zip((64, "all"), (64, 900), values, strict=True)
    ]
    older = cells(system="caser", auc=0.99, current=False)
    points = summarise(pd.concat([*parts, older]))
    assert leaders(points, most=3) == [("din", ""), ("history-lr", ""), ("my-own", ""), ("sim", "")]
    assert set(leaders(points)) == set(quality), "few enough to show all"
    untuned = summarise(pd.concat([*parts, cells(system="caser", shots=0, train_rows=0, auc=0.99)]))
    assert ("caser", "") not in leaders(untuned, most=3), "what reads no label is no start of a curve"


def test_nothing_gives_an_empty_table():
    table = summarise(cells(status="failed"))
    assert table.empty
    assert {"auc", "auc_low", "seeds"} <= set(table.columns)


def test_one_seed_speaks_of_users_only():
    (row,) = summarise(cells(seeds=1)).to_dict("records")
    assert row["seeds"] == 1
    assert row["auc_high"] - row["auc_low"] == pytest.approx(2 * 1.959964 * 0.005)


@pytest.mark.parametrize(("seeds", "spread", "user_deviation"), [(3, 0.001, 0.01), (5, 0.02, 0.01), (5, 0.03, 0.002), (20, 0.02, 0.02)])
def test_the_interval_agrees_with_the_hierarchical_bootstrap(seeds, spread, user_deviation):
    table = cells(seeds, spread, user_deviation)
    (row,) = summarise(table).to_dict("records")
    generator = np.random.default_rng(0)
    values = table["auc"].to_numpy()
    users = values[:, None] + generator.normal(size=20_000) * user_deviation
    drawn = metrics.percentile_interval(values.mean(), metrics.seed_and_user_draws(values, users, generator))
    assert row["auc_high"] - row["auc_low"] == pytest.approx(drawn.high - drawn.low, rel=0.12)


def test_the_interval_covers_the_truth_in_about_95_of_100_worlds():
    generator = np.random.default_rng(0)
    for seeds in (3, 5):
        inside = 0
        for _ in range(1000):
            values = 0.75 + generator.normal() * 0.01 + generator.normal(size=seeds) * 0.02
            inside += abs(values.mean() - 0.75) <= half_width(values, np.full(seeds, 0.01))
        assert 0.93 <= inside / 1000 <= 0.98


def test_luck_that_a_seed_has_with_the_users_makes_no_interval_too_narrow():
    """It is in the spread of the seeds and in that of the users, so it counts twice."""
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        values = 0.75 + generator.normal() * 0.005 + generator.normal(size=5) * 0.02
        inside += abs(values.mean() - 0.75) <= half_width(values, np.full(5, (0.005**2 + 0.02**2) ** 0.5))
    assert inside / 1000 > 0.97


def test_rare_errors_are_rare_with_few_seeds():
    """What Holm and Bonferroni ask of it: far out, a normal distribution would be sure five times too often."""
    generator = np.random.default_rng(0)
    far, worlds = {"t": 0, "normal": 0}, 20_000
    for _ in range(worlds):
        values = generator.normal(size=3) * 0.01  # the truth is zero
        error, freedom = mean_error(values, np.full(3, 0.0))
        far["t"] += abs(values.mean()) > error * student(1 - 0.005 / 2, freedom)
        far["normal"] += abs(values.mean()) > error * student(1 - 0.005 / 2, np.inf)
    assert 0.003 < far["t"] / worlds < 0.007
    assert far["normal"] / worlds > 0.03
    for values in ([0.75, 0.75, 0.75], [0.75]):
        assert mean_error(np.array(values), np.full(len(values), 0.01)) == (pytest.approx(0.01), np.inf)
    assert student(0.975, np.inf) == pytest.approx(norm.ppf(0.975)) and student(0.975, 4.5) == pytest.approx(t.ppf(0.975, 4.5))


def test_intervals_stay_where_the_metric_lives():
    (row,) = summarise(cells(seeds=2, spread=0.2)).to_dict("records")
    assert (row["auc_low"], row["auc_high"]) == (0.0, 1.0)


def test_the_papers_relative_improvements():
    table = paper.table_1().set_index(["dataset", "row"])
    # by hand, from the printed AUC
    assert table.loc[("ml-1m", "SIM"), "rel_impr"] == pytest.approx(0.8033 / 0.7992 - 1)
    assert table.loc[("bookcrossing", "PTab"), "rel_impr"] * 100 == pytest.approx(1.97, abs=0.005)
    assert table.loc[("bookcrossing", "Laser, LLM only"), "rel_impr"] == 0
    assert (table["rel_impr"] >= 0).all()  # LLM only leads every row on both data sets
    assert len(table) == 26


def test_no_digit_of_the_papers_tables_is_mistyped():
    """Sums over the printed pages, in units of the last digit: a wrong digit, or two that changed places, makes another sum."""
    first = paper.table_1().groupby("dataset")[["auc", "log_loss"]].sum() * 10_000
    assert first.loc["bookcrossing"].tolist() == pytest.approx([97_304, 80_154]) and first.loc["ml-1m"].tolist() == pytest.approx(
        [103_359, 70_690]
    )
    second = paper.table_2().groupby("dataset")["seconds"].sum()
    assert second["bookcrossing"] == pytest.approx(0.794_986) and second["ml-1m"] == pytest.approx(0.746_556)
    assert paper.table_3()[["auc", "log_loss"]].to_numpy().sum() * 10_000 == pytest.approx(93_663)
    assert paper.matched()["auc"].sum() * 10_000 == pytest.approx(68_611)


def test_the_papers_tables_agree_with_each_other():
    first, third = paper.table_1(), paper.table_3()
    ml_1m = first[first["dataset"] == "ml-1m"].set_index("row")
    for row in third[third["backbone"].isin(["Vicuna-13B", ""])].itertuples():
        assert (row.auc, row.log_loss) == (ml_1m.loc[row.row, "auc"], ml_1m.loc[row.row, "log_loss"])
    sim = paper.table_2().query("row == 'SIM'").set_index("dataset")["seconds"]
    crm = paper.table_2().query("row == 'Laser, LLM+CRM'").set_index("dataset")["seconds"]
    assert (crm / sim).tolist() == pytest.approx([1.13, 1.13], abs=0.005)  # LLM+CRM takes 1.13 times SIM's time on both
    matched = paper.matched().query("dataset == 'ml-1m' and row == 'SIM'").set_index("shots")["auc"]
    assert matched["all"] == ml_1m.loc["SIM", "auc"]


def test_settings_are_ranked_by_the_validation_loss_of_their_kept_epoch():
    curves = {  # by key: the epoch kept is the one with the lowest validation log loss
        "a0": [0.70, 0.60, 0.65], "a1": [0.70, 0.62], "b0": [0.59], "b1": [0.58, 0.90], "untuned": [],
    }  # fmt: skip
    rows = [(key, "a" if key[0] == "a" else "b" if key[0] == "b" else "none", 0.9) for key in curves]
    table = pd.DataFrame(rows, columns=["key", "variant", "auc"]).assign(dataset="d", system="s", shots=64, status="done")
    store = SimpleNamespace(read=lambda key: {"curve": [{"valid_log_loss": loss} for loss in curves[key]]})

    best = settings_by_validation(store, table)

    assert best["variant"].tolist() == ["b", "a"]
    assert best["valid_log_loss"].tolist() == pytest.approx([0.585, 0.61])
    assert best["behind"].tolist() == pytest.approx([0, 0.025])
    assert best["seeds"].tolist() == [2, 2]


def test_language_models_are_ranked_too_each_on_the_samples_that_judged_it():
    """An adapter's curve says valid_loss, over several learning rates, one of which broke down; a read-out's says log_loss, of shots."""
    curves = {
        "adapter a": [{"learning_rate": 1e-3, "train_loss": 0.1, "valid_loss": 0.64}, {"learning_rate": 1e-2, "valid_loss": 0.61},
                      {"learning_rate": 1e-2, "stopped_by_nan": 1.0}, {"learning_rate": 9.0, "failed": 1.0}],
        "adapter b": [{"train_loss": 0.1, "valid_loss": 0.63}],
        "unchecked": [{"train_loss": 0.1}],
        "read-out": [{"strength": 1e-4, "log_loss": 0.60}, {"strength": 1e-3, "log_loss": 0.58}],
        "one strength": [{"strength": 1e-4}],
    }  # fmt: skip
    table = pd.DataFrame({"key": list(curves), "variant": list(curves)}).assign(dataset="d", system="s", shots=64, status="done")
    best = settings_by_validation(SimpleNamespace(read=lambda key: {"curve": curves[key]}), table)
    assert best[["variant", "on"]].values.tolist() == [
        ["read-out", "users left out"], ["adapter a", "validation"], ["adapter b", "validation"]
    ]  # fmt: skip
    assert best["valid_log_loss"].tolist() == pytest.approx([0.58, 0.61, 0.63])
    assert best["behind"].tolist() == pytest.approx([0, 0, 0.02])  # a loss on other samples is no measure


def test_the_widest_points_are_those_on_a_series_own_largest_test_set():
    points = pd.DataFrame(
        [("din", "", 64, 100), ("din", "", 256, 100), ("din", "", 64, 20), ("llm", "", 0, 20), ("llm", "", 64, 50), ("llm", "x", 64, 20)],
        columns=["system", "variant", "train_rows", "test_rows"],
    ).assign(dataset="d")
    assert widest(points).index.tolist() == [0, 1, 3, 4, 5]


def test_times_are_of_one_machine():
    """`big` measured most systems: the mean of a is over its seeds there; b was measured on `small` only."""
    rows = [("a", 0, "big", 1.0), ("a", 1, "big", 3.0), ("a", 2, "small", 99.0)]
    rows += [("b", 0, "small", 7.0), ("c", 0, "big", 5.0), ("d", 0, "big", 6.0)]
    cells = pd.DataFrame(rows, columns=["system", "seed", "machine", "predict_seconds"]).assign(variant="", fit_seconds=2.0)
    points = pd.DataFrame({"system": list("abcd"), "variant": "", "fit_seconds": 0.0, "predict_seconds": 0.0, "test_rows": 500})
    found = on_one_machine(points, cells).set_index("system")
    assert found["predict_seconds"].to_dict() == {"a": 2.0, "b": 7.0, "c": 5.0, "d": 6.0}
    assert found["machine"].to_dict() == {"a": "big", "b": "small", "c": "big", "d": "big"}
    assert found["per_thousand"].to_dict() == {"a": 4.0, "b": 14.0, "c": 10.0, "d": 12.0}
