"""Questions between systems, against brute force and planted answers."""

from __future__ import annotations

import dataclasses
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from laser_core.errors import UserError
from laser_core.knowledge.vectors import VectorOptions
from laser_core.metrics import gauc
from laser_core.study import contrast
from laser_core.study.summary import MEANS, TIMES, mean_error, p_value
from tests.crm.worlds import made_up

USERS, EACH = 60, 12


def made_results(skills: dict[str, float], seeds=(0, 1, 2), shots=(64, 1024), spare: str = "", seed: int = 0):
    """(read, cells) of systems whose predictions know the truth more or less; `spare` was scored on half of the rows only."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, USERS * EACH)
    frame = pd.DataFrame({"row": np.arange(USERS * EACH) * 3, "user": np.repeat(np.arange(1, USERS + 1), EACH), "label": labels})
    stored, rows = {}, []
    for system, skill in skills.items():
        for place, n in enumerate(shots):
            for number in seeds:
                noise = generator.normal(size=len(frame))
                probability = 1 / (1 + np.exp(-((skill + 0.5 * place) * (labels - 0.5) + noise)))
                kept = frame.iloc[::2] if system == spare else frame
                key = f"{system}-{n}-{number}"
                stored[key] = kept.assign(probability=probability[kept.index])
                value = roc_auc_score(stored[key]["label"], stored[key]["probability"])
                seen = n * (3 + number if system == "laser-llm" else 1)  # its prompts ask about some of the history too
                rows.append((system, "", n, n, seen, number, len(kept), value, value - 0.01, value + 0.01, key))
    columns = ["system", "variant", "shots", "train_rows", "labels_seen", "seed", "test_rows", "auc", "auc_low", "auc_high", "key"]
    cells = pd.DataFrame(rows, columns=columns)
    return stored.__getitem__, cells


@pytest.fixture(scope="module")
def results():
    return made_results({"history-lr": 0.4, "din": 0.8, "laser-llm": 1.6}, spare="laser-llm")


def test_auc_gap_is_the_mean_difference_on_common_rows(results):
    read, cells = results
    at_n = cells[cells["shots"] == 64]
    table = contrast.gaps(read, at_n, ("din", "")).set_index("system")
    for system in ("history-lr", "laser-llm"):
        expected = []
        for seed in (0, 1, 2):
            one, other = read(f"{system}-64-{seed}"), read(f"din-64-{seed}").set_index("row")
            other = other.loc[one["row"]] if system == "laser-llm" else other
            expected.append(roc_auc_score(one["label"], one["probability"]) - roc_auc_score(other["label"], other["probability"]))
        assert table.loc[system, "gap"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert table.loc["laser-llm", "test_rows"] == USERS * EACH / 2
    assert table.loc["laser-llm", "low"] > 0
    assert table.loc["laser-llm", "p_holm"] < 0.05


def test_of_a_baseline_on_several_test_sets_the_largest_counts(results):
    """Whatever order its results come in: the same gap as from the largest alone, on all of the rows in common."""
    read, cells = results
    at_n = cells[cells["shots"] == 64]
    part = at_n[at_n["system"] == "din"].assign(test_rows=90, key=lambda own: "part of " + own["key"])

    def partly(key: str) -> pd.DataFrame:
        return read(key.removeprefix("part of ")).iloc[:90] if key.startswith("part of ") else read(key)

    for mixed in (pd.concat([part, at_n]), pd.concat([at_n, part])):
        table = contrast.gaps(partly, mixed, ("din", ""))
        pd.testing.assert_frame_equal(table, contrast.gaps(read, at_n, ("din", "")))
        assert table["test_rows"].max() == USERS * EACH


def test_p_values_belong_to_the_intervals():
    """Few seeds: the interval and the p value are of the same t distribution, at .05 and far beyond."""
    from scipy.stats import ttest_1samp

    read, cells = made_results({"din": 0.8, "deepfm": 0.75, "history-lr": 0.4}, shots=(64,))
    table = contrast.gaps(read, cells, ("din", ""))
    for row in table.itertuples():
        assert 2 * t.cdf(-abs(row.gap) / row.error, row.freedom) == pytest.approx(row.p)
        assert (row.high - row.low) / 2 == pytest.approx(t.ppf(0.975, row.freedom) * row.error)
        assert (row.p < 0.05) == (row.low > 0 or row.high < 0)
    values = np.array([0.01, 0.02, 0.06])  # no spread over users: a plain t test over seeds
    error, freedom = mean_error(values, np.zeros(3))
    assert p_value(values.mean(), error, freedom) == pytest.approx(ttest_1samp(values, 0).pvalue)


def test_log_loss_gap_and_its_error_over_users():
    """The standard error equals that of redrawing users, up to the noise of drawing."""
    read, cells = made_results({"din": 0.8, "deepfm": 0.5}, seeds=(0,), shots=(64,))
    row = contrast.gaps(read, cells, ("deepfm", ""), "log_loss").iloc[0]
    one, other = read("din-64-0"), read("deepfm-64-0")
    assert row["gap"] == pytest.approx(
        log_loss(one["label"], one["probability"]) - log_loss(other["label"], other["probability"]), abs=1e-9
    )
    right = contrast.gaps(read, cells, ("deepfm", ""), "accuracy").iloc[0]
    assert right["gap"] == pytest.approx(np.subtract(*(accuracy_score(part["label"], part["probability"] >= 0.5) for part in (one, other))))
    truth = one["label"].to_numpy()
    by_row = [-np.log(np.where(truth, part["probability"], 1 - part["probability"])) for part in (one, other)]
    by_user = (by_row[0] - by_row[1]).reshape(USERS, EACH).mean(axis=1)
    generator = np.random.default_rng(1)
    drawn = [by_user[generator.integers(0, USERS, USERS)].mean() for _ in range(4000)]
    assert (row["high"] - row["low"]) / (2 * 1.959964) == pytest.approx(np.std(drawn), rel=0.05)


def test_gaps_within_users_and_their_error():
    """The gap is that of the users' own AUCs, weighted by samples; its error that of redrawing users, who have unequal numbers."""
    read, cells = made_results({"din": 0.8, "deepfm": 0.5}, seeds=(0,), shots=(64,))

    def uneven(key: str) -> pd.DataFrame:
        table = read(key)
        return table[(table["row"] // 3) % EACH < 2 + table["user"] % 10]

    row = contrast.gaps(uneven, cells, ("deepfm", ""), "gauc").iloc[0]
    one, other = (dict(list(uneven(f"{name}-64-0").groupby("user"))) for name in ("din", "deepfm"))
    mixed = [user for user, part in one.items() if part["label"].nunique() == 2]
    gaps = np.array([np.subtract(*(roc_auc_score(p[user]["label"], p[user]["probability"]) for p in (one, other))) for user in mixed])
    sizes = np.array([len(one[user]) for user in mixed])
    assert len(mixed) < USERS and row["test_rows"] == sizes.sum()
    assert row["gap"] == pytest.approx(np.average(gaps, weights=sizes))
    generator = np.random.default_rng(1)
    drawn = [np.average(gaps[draw], weights=sizes[draw]) for draw in generator.integers(0, len(mixed), (4000, len(mixed)))]
    assert row["error"] == pytest.approx(np.std(drawn), rel=0.05)


def test_within_users_is_a_summary_with_gauc():
    read, cells = made_results({"din": 0.8, "laser-llm": 1.6}, spare="laser-llm")
    empty = {name: 0.0 for name in (*MEANS, *TIMES, "log_loss", "log_loss_low", "log_loss_high") if name not in cells}
    cells = cells.assign(dataset="made", status="done", revision=1, data_version="1", current=True, **empty)
    table = contrast.within_users(read, cells)
    assert set(zip(table["system"], table["shots"], strict=True)) == {(s, n) for s in ("din", "laser-llm") for n in (64, 1024)}
    row = table[(table["system"] == "din") & (table["shots"] == 64)].iloc[0]
    values = [gauc(*read(f"din-64-{seed}")[["label", "probability", "user"]].to_numpy().T) for seed in (0, 1, 2)]
    assert row["gauc"] == pytest.approx(np.mean(values)) and row["gauc_low"] < row["gauc"] < row["gauc_high"]
    assert row["auc"] == pytest.approx(cells[cells["key"].str.startswith("din-64")]["auc"].mean()) and row["seeds"] == 3
    assert row["pairs"] == pytest.approx(1 / USERS, rel=0.2)


def test_what_nobody_can_order_has_no_gauc():
    """One sample a user: no pair within any."""
    read, cells = made_results({"din": 0.8, "laser-llm": 1.6}, shots=(64,))

    def single(key: str) -> pd.DataFrame:
        return read(key).drop_duplicates("user")

    assert contrast.verdict(single, cells, 64, "gauc") is None
    with pytest.raises(UserError, match="both labels"):
        contrast.gaps(single, cells, ("din", ""), "gauc")


def test_the_verdict_within_users_may_be_another():
    """One system knows who likes much, the other what each likes: all pairs say the first, those of one user the second."""
    generator = np.random.default_rng(2)
    read, cells = made_results({"din": 0.0, "laser-llm": 0.0}, shots=(64,))
    users = read("din-64-0")["user"].to_numpy()
    taste, appeal = generator.normal(size=USERS + 1)[users], generator.normal(size=len(users))
    labels = (generator.random(len(users)) < 1 / (1 + np.exp(-3 * taste - appeal))).astype(int)
    knows = {"din": taste + 0.1 * appeal, "laser-llm": appeal + 0.1 * generator.normal(size=len(users))}

    def planted(key: str) -> pd.DataFrame:
        noise = 0.02 * np.random.default_rng(len(key)).normal(size=len(users))
        return read(key).assign(label=labels, probability=1 / (1 + np.exp(-knows[key.rsplit("-", 2)[0]] - noise)))

    cells["auc"] = [roc_auc_score(labels, planted(key)["probability"]) for key in cells["key"]]
    overall, within = (contrast.verdict(planted, cells, 64, metric) for metric in ("auc", "gauc"))
    assert overall.says == "behind" and within.says == "level" and within.gap == pytest.approx(0, abs=0.02), "both order as appeal does"
    knows["din"] = taste
    assert contrast.verdict(planted, cells, 64, "gauc").says == "ahead"


def test_a_system_does_not_differ_from_itself():
    read, cells = made_results({"din": 0.8}, seeds=(0, 1), shots=(64,))
    twin = cells.assign(system="deepfm")
    table = contrast.gaps(read, pd.concat([cells, twin]), ("din", ""))
    assert table["gap"].item() == 0
    assert table["p_holm"].item() == 1


def test_wrong_questions_are_refused(results):
    read, cells = results
    with pytest.raises(UserError, match="metric"):
        contrast.gaps(read, cells, ("din", ""), "beauty")
    with pytest.raises(UserError, match="baseline"):
        contrast.gaps(read, cells, ("no-such", ""))


def test_who_is_helped(results):
    read, cells = results
    at_n = cells[(cells["shots"] == 64) & (cells["seed"] == 0)]
    table = contrast.user_gaps(read, at_n, ("din", ""), ("history-lr", ""))
    assert len(table) == USERS
    assert (table["gain"].diff().dropna() <= 0).all()
    user = table["user"].iloc[0]
    one, other = (part[part["user"] == user] for part in (read("din-64-0"), read("history-lr-64-0")))
    truth = one["label"].to_numpy()
    expected = np.mean(
        [
            np.log(a if y else 1 - a) - np.log(b if y else 1 - b)
            for y, a, b in zip(truth, one["probability"], other["probability"], strict=True)
        ]
    )
    assert table["gain"].iloc[0] == pytest.approx(expected)

    def shuffled(key: str) -> pd.DataFrame:
        return read(key).sample(frac=1, random_state=len(key))

    pd.testing.assert_frame_equal(contrast.user_gaps(shuffled, at_n, ("din", ""), ("history-lr", "")), table)  # samples meet by row


def test_slices_cover_the_test_set_and_count_the_past_only(small):
    rows = small.test
    labels = small.labels(rows)
    stored = pd.DataFrame({"row": rows, "user": small.sample_user(rows), "label": labels, "probability": np.where(labels == 1, 0.9, 0.1)})
    cells = pd.DataFrame([("din", "", len(rows), "key")], columns=["system", "variant", "test_rows", "key"])
    for by in contrast.SLICES:
        table = contrast.slices(lambda key: stored, small, cells, by)
        assert table["samples"].sum() == len(rows)
        assert (table["auc"].dropna() == 1).all()
    some = rows[::500]
    known = np.ones(small.events, bool)
    known[small.sample_event[np.concatenate([small.valid, small.test])]] = False
    known_ratings = [(small.event_item[known] == item).sum() for item in small.sample_item(some)]
    np.testing.assert_array_equal(contrast.slice_values(small, some, "popularity"), known_ratings)
    for row, liked, length in zip(
        some, contrast.slice_values(small, some, "liking"), contrast.slice_values(small, some, "history"), strict=True
    ):
        events = small.history_events(int(row), 0)
        assert length == len(events)
        assert liked == pytest.approx(small.event_label[events].mean() if len(events) else 0)
        user, item = int(small.sample_user(np.array([row]))[0]), int(small.sample_item(np.array([row]))[0])
        kinds = {by: int(contrast.slice_values(small, np.array([row]), by)[0]) for by in ("cold", "seen", "group")}
        assert kinds["cold"] == (length < contrast.COLD)
        assert kinds["seen"] == (user in small.sample_user(small.train))
        genres = small.fields[small.about.group_field]
        assert [*genres.values(item), ""][0] == (genres.vocabulary[kinds["group"] - 1] if kinds["group"] else "")
    with pytest.raises(UserError, match="slice"):
        contrast.slice_values(small, some, "colour")
    for by in ("history", "popularity", "liking"):  # who was scored on fewer samples is cut where everybody is
        whole, part = (contrast.slices(lambda key, own=own: own, small, cells, by) for own in (stored, stored.iloc[:150]))
        assert set(part["slice"]) <= set(whole["slice"]) and len(whole) > 1
        assert part["samples"].max() < 150


def test_users_of_validation_are_not_seen():
    data = made_up()  # each user is in one split only
    assert [contrast.slice_values(data, rows, "seen").mean() for rows in (data.train, data.valid, data.test)] == [1, 0, 0]


def test_verdict_compares_the_best_of_each_side(results):
    read, cells = results
    found = contrast.verdict(read, cells, 64)
    assert (found.with_lm, found.without_lm, found.rivals) == (("laser-llm", ""), ("din", ""), 2)
    assert found.says == "ahead"
    assert found.test_rows == USERS * EACH / 2
    assert found.labels == (64 * 4, 64), "the mean over the seeds 0, 1, 2"
    assert (
        found.labels_differ
        == "With the language model 256 labels were learnt from, without 64: its prompts ask about ratings of the history too."
    )
    assert dataclasses.replace(found, labels=(64, 64)).labels_differ == ""
    assert contrast.verdict(read, cells[cells["system"] != "laser-llm"], 64) is None


def test_the_ends_of_a_verdict_allow_for_all_that_were_tried(results):
    """Two rivals, and one with a language model beside a control of it: each end of the interval by hand, two tries on either side."""
    read, cells = results
    control = cells[cells["system"] == "history-lr"].assign(system="laser-crm", variant='vectors="shuffled"')
    found = contrast.verdict(read, pd.concat([cells, control]), 64)
    row = contrast.gaps(read, cells[(cells["shots"] == 64) & cells["system"].isin(["laser-llm", "din"])], ("din", "")).iloc[0]
    half = row["error"] * t.ppf(1 - 0.05 / 2 / 2, row["freedom"])
    assert found.with_lm == ("laser-llm", "") and found.gap == pytest.approx(row["gap"])
    assert (found.low, found.high) == pytest.approx((row["gap"] - half, row["gap"] + half))
    without = contrast.verdict(read, cells, 64)
    assert without.low > found.low and without.high == pytest.approx(found.high), "the control was a try more"
    assert found.alone == pytest.approx((row["low"], row["high"]))


def test_whatever_stands_in_a_language_models_place_is_on_no_side():
    controls = set(get_args(get_type_hints(VectorOptions)["vectors"])) - {"real"}
    assert len(controls) == 5
    for kind in controls:
        for variant in (f'vectors="{kind}"', f'statistics=false, vectors="{kind}", experts=8'):
            assert contrast.side("laser-crm", variant) == "" and contrast.is_control("laser-crm", variant)
    assert contrast.side("laser-crm", 'statistics=false, encoder="fields"') == "with"
    assert [contrast.side(system) for system in ("laser-llm", "sim", "ctr-bert", "no-such")] == ["with", "without", "", ""]


def mixed_results(asked):
    """(read, cells) at one N of systems scored on the first so many of 1,200 rows, seed by seed; a harder row is one further down.

    Args:
        asked: (system, variant, test rows, seeds, skill) of each; a seed's number lowers the skill of all alike.
    """
    generator = np.random.default_rng(7)
    labels, place = generator.integers(0, 2, 1200), np.arange(1200)
    stored, rows = {}, []
    for system, variant, size, seeds, skill in asked:
        for seed in seeds:
            noise = generator.normal(size=1200) * (1 + place / 400)
            probability = 1 / (1 + np.exp(-((skill - 0.4 * seed) * (labels - 0.5) + noise)))
            key = f"{system}{variant}-{size}-{seed}"
            stored[key] = pd.DataFrame({"row": place, "user": place % 60, "label": labels, "probability": probability})[:size]
            value = roc_auc_score(labels[:size], probability[:size])
            rows.append((system, variant, 64, 64, 64, seed, size, value, value, value, key))
    columns = ["system", "variant", "shots", "train_rows", "labels_seen", "seed", "test_rows", "auc", "auc_low", "auc_high", "key"]
    return stored.__getitem__, pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=1)


def test_verdict_compares_on_common_rows_and_seeds():
    """Easy rows and lucky seeds make the worst of each side look the best, in a store of 1, 2, 3 and 12 seeds and three test sets."""
    read, cells = mixed_results(
        [
            ("laser-llm-counted", "", 1200, (0, 1, 2), 4.0),
            ("laser-llm", "", 300, (0, 1, 2), 3.5),  # 300 easy rows
            ("laser-crm", "", 1200, (0,), 4.2),  # the lucky seed
            ("laser-crm", 'vectors="random"', 1200, (0, 1, 2), 9.0),  # reads no text: no language model
            ("stats-lr", "", 1200, range(12), 3.8),  # the best on common seeds, with unlucky ones beside them
            ("stats-lr", "", 300, (0, 1, 2), 3.8),
            ("din", "", 1200, (0, 1), 4.0),
            ("history-lr", "", 1200, (0, 1, 2), 3.0),
            ("sim", "", 300, (0, 1, 2), 3.4),
            ("ctr-bert", "", 1200, (0,), 9.0),
        ]
    )
    pooled = cells.groupby(["system", "variant"])["auc"].mean().drop([("laser-crm", 'vectors="random"'), ("ctr-bert", "")])
    misled = [pooled[[place for place in pooled.index if place[0].startswith("laser") == lm]].idxmax()[0] for lm in (True, False)]
    assert misled[0] != "laser-llm-counted" and misled[1] != "stats-lr", "a mean over whatever there is names others"

    found = contrast.verdict(read, cells, 64)
    assert (found.with_lm, found.without_lm) == (("laser-llm-counted", ""), ("stats-lr", ""))
    assert (found.test_rows, found.seeds, found.rivals) == (1200, 3, 2)
    by_seed = [
        [roc_auc_score(*read(f"{name}-1200-{seed}")[["label", "probability"]].to_numpy().T) for seed in (0, 1, 2)]
        for name in ("laser-llm-counted", "stats-lr")
    ]
    assert [found.with_lm_value, found.without_lm_value] == pytest.approx(np.mean(by_seed, axis=1))
    assert found.gap == pytest.approx(np.mean(by_seed[0]) - np.mean(by_seed[1]))


def test_verdict_scores_all_on_the_rows_of_the_smallest():
    """Where only a part of the rows is common, the larger results are measured on that part, and the only rival is called the only one."""
    read, cells = mixed_results([("laser-llm", "", 300, (0, 1, 2), 3.0), ("din", "", 1200, (0, 1, 2), 3.0), ("sim", "", 1200, (0,), 9.0)])
    ground, on_rows = contrast.common_ground(read, cells.assign(predict_seconds=0.5))
    assert ground["predict_seconds"].isna().tolist() == (ground["system"] == "din").tolist(), "theirs are of all rows: not of these"
    found = contrast.verdict(read, cells, 64)
    assert set(ground["test_rows"]) == {found.test_rows} == {300}
    for cell in ground.itertuples():
        part = read(cell.key)[:300]
        assert cell.auc == pytest.approx(roc_auc_score(part["label"], part["probability"]))
        if cell.system == "din":  # the other is what its results say
            assert cell.auc_low < cell.auc < cell.auc_high
            assert cell.log_loss == pytest.approx(log_loss(part["label"], part["probability"]))
            assert cell.accuracy == pytest.approx(accuracy_score(part["label"], part["probability"] >= 0.5))
        assert len(on_rows(cell.key)) == 300
    assert found.rival_is == "the only system without a language model asked about the same test samples"
    assert found.without_lm_value > cells[cells["system"] == "din"]["auc"].mean(), "the first 300 rows are the easy ones"


def silent_worlds(worlds):
    """In what share of worlds with nothing to know no verdict is given; the luckiest of eight rivals alone would give one in seven."""
    nothing = dict.fromkeys(("history-lr", "stats-lr", "lightgbm", "deepfm", "din", "autoint", "sim", "caser", "laser-llm"), 0.0)
    said = [contrast.verdict(*made_results(nothing, seeds=(0,), shots=(64,), seed=world), 64).says for world in range(worlds)]
    return said.count("level") / worlds


def test_systems_that_know_nothing_get_no_verdict():
    assert silent_worlds(100) >= 0.94


@pytest.mark.slow
def test_systems_that_know_nothing_get_no_verdict_in_many_worlds():
    assert silent_worlds(1000) >= 0.94
