"""`CTRDataset` against plain loops over the table it was made from."""

from __future__ import annotations

import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laser_core.datasets import dataset as module
from laser_core.datasets.build import assemble, split_by_time, split_last_of_each_user
from laser_core.datasets.dataset import ALL, About, CTRDataset
from laser_core.errors import DataError, UserError

ABOUT = About(
    name="tiny",
    title="Tiny",
    item_noun="thing",
    user_field="user",
    item_field="item",
    title_field="item",
    group_field="kinds",
    profile_fields=(),
    input_fields=("user", "item"),
    history_length=3,
    label_rule="rating >= 4",
    licence="none",
    citation="none",
    redistributable=True,
)
PARTS = ("train", "valid", "test")


def make(events: list[tuple[int, int, int]], split: list[str], about: About = ABOUT) -> CTRDataset:
    """Events are (user, item, rating) in time order; an empty split name means history only."""
    ratings = pd.DataFrame(events, columns=["user", "item", "rating"])
    ratings["time"] = np.arange(len(events))
    ratings["label"] = ratings["rating"] >= 4
    names = sorted(set(ratings["item"]))
    kinds = [["even", "small"] if name % 2 == 0 else [] for name in names]
    users = pd.DataFrame(index=sorted(set(ratings["user"])))
    parts = np.array(split)
    return assemble(about, ratings, users, pd.DataFrame(index=names), [1, 2, 3, 4, 5], parts != "", parts, multi={"kinds": kinds})


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[int, int, int]], list[str]]:
    event = st.tuples(st.integers(10, 14), st.integers(0, 8), st.integers(1, 5))
    events = draw(st.lists(event, min_size=6, max_size=60))
    split = draw(st.lists(st.sampled_from([*PARTS, ""]), min_size=len(events), max_size=len(events)))
    return events, [*PARTS, *split[3:]]


@given(tables(), st.integers(-1, 8), st.randoms(use_true_random=False))
def test_a_batch_equals_a_loop_over_the_table(table, length, random):
    events, split = table
    dataset = make(events, split)
    asked = [place for place, part in enumerate(split) if part]  # sample r asks about event asked[r]
    rows = random.choices(range(len(asked)), k=7)
    batch = dataset.batch(np.array(rows), length)
    raw_item = lambda code: int(dataset.fields["item"].text(code))  # noqa: E731
    for place, row in enumerate(rows):
        user, item, rating = events[asked[row]]
        before = [event for event in events[: asked[row]] if event[0] == user]
        before = before[-length:] if length > 0 else before
        assert dataset.fields["user"].text(batch.user[place]) == str(user)
        assert raw_item(batch.item[place]) == item
        assert batch.label[place] == (rating >= 4)
        assert batch.history_length[place] == len(before)
        real, padding = np.split(batch.history_item[place], [len(before)])
        assert [raw_item(code) for code in real] == [event[1] for event in before]
        assert not padding.any()
        real, padding = np.split(batch.history_rating[place], [len(before)])
        assert [dataset.rating_values[code] for code in real] == [event[2] for event in before]
        assert not padding.any()
        assert len(dataset.history_events(row, length)) == len(before)


@given(tables(), st.integers(-1, 8))
def test_a_history_never_holds_the_target_or_anything_later(table, length):
    events, split = table
    events = [(user, place, rating) for place, (user, _, rating) in enumerate(events)]  # every event has its own item
    dataset = make(events, split)
    batch = dataset.batch(np.arange(dataset.samples), length)
    for row in range(dataset.samples):
        real = batch.history_item[row, : batch.history_length[row]]
        assert (real < batch.item[row]).all()  # item codes are in time order here


@given(tables())
def test_splits_keep_every_sample_once_and_in_order(table):
    events, split = table
    dataset = make(events, split)
    together = np.concatenate([dataset.train, dataset.valid, dataset.test])
    assert sorted(together) == list(range(dataset.samples))
    names = [part for part in split if part]
    for part in PARTS:
        rows = getattr(dataset, part)
        assert (np.diff(rows) > 0).all()
        assert all(names[row] == part for row in rows)


@given(tables())
def test_popularity_leaves_out_what_validation_and_test_ask_about(table):
    events, split = table
    dataset = make(events, split)
    for code, name in enumerate(dataset.fields["item"].vocabulary, start=1):
        counted = sum(str(item) == name and part not in ("valid", "test") for (_, item, _), part in zip(events, split, strict=True))
        assert dataset.item_popularity[code] == counted
    assert dataset.item_popularity[0] == 0


def test_fields_with_several_values():
    dataset = make([(1, 0, 5), (1, 1, 2), (2, 2, 4)], list(PARTS))
    kinds = dataset.fields["kinds"]
    assert [kinds.values(owner) for owner in range(4)] == [[], ["even", "small"], [], ["even", "small"]]
    assert kinds.text(3) == "even, small"


@pytest.mark.parametrize("rating", [7, 0, 3.5])
def test_a_rating_outside_the_scale_is_refused(rating):
    with pytest.raises(DataError, match=f"rating {rating} is not one of"):
        make([(1, 0, 5), (1, 1, rating), (2, 2, 4)], list(PARTS))


def test_rows_are_samples():
    dataset = make([(1, 0, 5), (1, 1, 2), (2, 2, 4)], list(PARTS))
    assert dataset.check_rows(np.array([0, 2, 2])).tolist() == [0, 2, 2]
    for wrong in (-1, 3):
        with pytest.raises(UserError, match=f"the samples 0 to 2, not {wrong}"):
            dataset.check_rows(np.array([0, wrong]))


@pytest.mark.parametrize("absent", ["user", "item"])
def test_ratings_of_nobody_known_are_refused(absent):
    ratings = pd.DataFrame({"user": [1, 1, 2], "item": [0, 1, 2], "rating": [5, 2, 4], "label": [True, False, True]})
    users, items = (pd.DataFrame(index=[1] if absent == "user" else [1, 2]), pd.DataFrame(index=[0, 1] if absent == "item" else [0, 1, 2]))
    with pytest.raises(DataError, match="ratings name users or items that the other tables do not have"):
        assemble(ABOUT, ratings, users, items, [1, 2, 3, 4, 5], np.ones(3, bool), np.array(PARTS))


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="the test split is empty"):
        make([(1, 0, 5), (1, 1, 2), (2, 2, 4)], ["train", "valid", "valid"])


# ---- splits and shots ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), min_size=1, max_size=150), st.integers(0, 6))
def test_split_by_time_against_a_loop(users, history_only):
    sample, split = split_by_time(np.array(users), history_only)
    wanted = [place for place, user in enumerate(users) if users[:place].count(user) >= history_only]
    assert np.flatnonzero(sample).tolist() == wanted and set(split[~sample]) <= {""}
    train, valid = int(0.8 * len(wanted)), int(0.1 * len(wanted))
    assert split[sample].tolist() == ["train"] * train + ["valid"] * valid + ["test"] * (len(wanted) - train - valid)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=150), st.integers(0, 6), st.integers(1, 30))
def test_split_of_each_user_against_a_loop(users, history_only, most):
    sample, split = split_last_of_each_user(np.array(users), history_only, most)
    for user in set(users):
        mine = [place for place, owner in enumerate(users) if owner == user]
        wanted = [place for rank, place in enumerate(mine) if rank >= max(history_only, len(mine) - most)]
        assert [place for place in mine if sample[place]] == wanted
        held_out = max(1, round(0.1 * len(wanted)))
        names = ["test"] * held_out + ["valid"] * held_out + ["train"] * len(wanted)  # from the last one backwards
        assert [split[place] for place in reversed(wanted)] == names[: len(wanted)]


@given(st.integers(1, 2_000), st.integers(1, 2_000), st.integers(0, 9))
def test_shots_are_nested_ascending_training_samples(small, one, two, seed):
    few, many = small.shots(min(one, two), seed), small.shots(max(one, two), seed)
    assert len(few) == min(one, two)
    assert set(few) <= set(many) <= set(small.train)
    assert (np.diff(many) > 0).all()


def test_shots_are_uniform_and_differ_by_seed(small):
    """Every tenth of the training samples is drawn equally often: chi-squared with 9 degrees of freedom, 99.9 % quantile."""
    draws = [small.shots(500, seed) for seed in range(20)]
    tenth = np.concatenate([np.searchsorted(small.train, rows) for rows in draws]) * 10 // len(small.train)
    expected = len(tenth) / 10
    assert ((np.bincount(tenth, minlength=10) - expected) ** 2 / expected).sum() < 27.9
    assert len({rows.tobytes() for rows in draws}) == 20


def test_all_shots_are_the_training_split(small):
    assert np.array_equal(small.shots(ALL, 0), small.train)
    assert np.array_equal(small.shots(len(small.train), 3), small.train)


def test_validation_rows_grow_with_the_shots_and_are_nested(small):
    sizes = {n: len(small.validation_rows(n, 0)) for n in (1, 64, 256, 1_024, ALL)}
    assert sizes == {1: 256, 64: 256, 256: 256, 1_024: 1_024, ALL: len(small.valid)}
    assert set(small.validation_rows(256, 0)) <= set(small.validation_rows(1_024, 0)) <= set(small.valid)


def test_validation_rows_are_at_most_20_000(small):
    large = replace(small, valid=np.arange(small.samples))
    assert len(large.validation_rows(19_000, 0)) == 19_000
    assert len(large.validation_rows(30_000, 0)) == len(large.validation_rows(ALL, 0)) == 20_000


def test_test_rows_are_nested_and_the_same_for_every_seed(small):
    assert set(small.test_rows(100)) <= set(small.test_rows(1_000)) <= set(small.test)
    assert np.array_equal(small.test_rows(ALL), small.test)
    assert np.array_equal(small.test_rows(10**9), small.test)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_part_of_a_split_is_drawn_by_lot_and_nested(small, split):
    whole = getattr(small, split)
    few, more = small.part(split, 100), small.part(split, 1_000)
    assert set(few) <= set(more) <= set(whole) and len(more) == 1_000 and (np.diff(more) > 0).all()
    assert np.array_equal(small.part(split), whole) and np.array_equal(small.part(split, 10**9), whole)
    place = np.searchsorted(whole, more) / len(whole)  # uniform over the split: its mean is one half within five standard errors
    assert abs(place.mean() - 0.5) < 5 * (1 / 12 / 1_000) ** 0.5


def test_the_rows_of_recorded_results_are_drawn_again(small):
    """No key of a result holds its rows: were they drawn in another way, old and new results would look alike and not be."""
    drawn = {seed: (small.shots(4, seed).tolist(), small.validation_rows(64, seed)[:4].tolist()) for seed in (0, 1)}
    assert drawn == {
        0: ([688, 21906, 32237, 38133], [981, 1562, 1836, 2598]),
        1: ([18023, 18478, 23663, 59766], [273, 315, 939, 986]),
    }
    assert small.test_rows(4).tolist() == [37422, 45891, 50985, 57982] and small.part("train", 3).tolist() == [6577, 8353, 36713]
    elsewhere = replace(small, about=replace(small.about, name="another"))
    assert elsewhere.shots(4, 0).tolist() != small.shots(4, 0).tolist(), "each data set has its own luck"


def test_a_split_that_is_none(small):
    with pytest.raises(UserError, match="unknown split 'trian': did you mean 'train'"):
        small.part("trian")


@pytest.mark.parametrize("count", [-1, 2.5, "many", True, None])
def test_counts_that_are_none(small, count):
    for ask in (lambda: small.shots(count, 0), lambda: small.validation_rows(count, 0), lambda: small.test_rows(count)):
        with pytest.raises(UserError, match=r"must be a (positive whole number|whole number from 0) or 'all'"):
            ask()


def test_no_shots_are_shots_but_no_test_rows_are_none(small):
    assert small.shots(0, 3).size == 0 and small.shots(0, 3).dtype == small.shots(1, 3).dtype
    assert np.array_equal(small.validation_rows(0, 3), small.validation_rows(256, 3))
    with pytest.raises(UserError, match="test rows must be a positive whole number or 'all', not 0"):
        small.test_rows(0)


def test_more_shots_than_there_are(small):
    with pytest.raises(UserError, match=r"100,000 shots asked for, but movielens-small has 49,070 training samples"):
        small.shots(100_000, 0)


# ---- keeping ---------------------------------------------------------------------------------------------------------------------

EVENTS = [(1, 0, 5), (2, 1, 2), (1, 2, 4), (2, 0, 1), (1, 3, 3)]
SPLIT = ["", "train", "valid", "test", "train"]


def same(one: CTRDataset, two: CTRDataset) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in CTRDataset._ARRAYS)
    words = all(
        list(one.fields[name].vocabulary) == list(two.fields[name].vocabulary)
        and np.array_equal(one.fields[name].codes, two.fields[name].codes)
        and np.array_equal(one.fields[name].offsets, two.fields[name].offsets)
        for name in one.fields
    )
    return arrays and words and list(one.fields) == list(two.fields) and one.about == two.about and one.version == two.version


def test_round_trip_on_disk(tmp_path):
    dataset = make(EVENTS, SPLIT)
    dataset.save(tmp_path / "deep" / "tiny")
    opened = CTRDataset.load(tmp_path / "deep" / "tiny")
    assert same(dataset, opened)
    assert not opened.event_item.flags.writeable  # memory-mapped


def test_the_version_tells_what_predictions_can_depend_on():
    dataset = make(EVENTS, SPLIT)
    other_label = make([*EVENTS[:-1], (1, 3, 5)], SPLIT)
    other_split = make(EVENTS, ["", "valid", "train", "test", "train"])
    other_width = make(EVENTS, SPLIT, replace(ABOUT, history_length=4))
    other_words = make([(user, item + 10, rating) for user, item, rating in EVENTS], SPLIT)
    versions = {entry.version for entry in (dataset, other_label, other_split, other_width, other_words)}
    assert len(versions) == 5
    assert make(EVENTS, SPLIT, replace(ABOUT, licence="another", traps=("beware",))).version == dataset.version


def test_the_version_tells_of_every_array():
    """Each number of the data set, its fields and its splits: one of them changed is another version."""
    dataset = make(EVENTS, SPLIT)
    arrays = {entry.name: getattr(dataset, entry.name) for entry in fields(dataset)}
    others = [{name: other(array)} for name, array in arrays.items() if isinstance(array, np.ndarray)]
    assert len(others) == 11
    for name, entry in dataset.fields.items():
        parts = {part: getattr(entry, part) for part in ("codes", "offsets") if getattr(entry, part) is not None}
        others += [{"fields": {**dataset.fields, name: replace(entry, **{part: other(array)})}} for part, array in parts.items()]
    assert len(others) == 15
    versions = [dataset.version, *(replace(dataset, **change).stamped().version for change in others)]
    assert len(set(versions)) == len(versions)


def other(array: np.ndarray) -> np.ndarray:
    """The same but for the last number, which is one more."""
    changed = array.copy()
    changed[-1] += 1
    return changed


def test_saving_replaces_another_version_and_keeps_its_like(tmp_path):
    first, second = make(EVENTS, SPLIT), make(EVENTS[::-1], SPLIT)
    first.save(tmp_path / "tiny")
    kept = (tmp_path / "tiny").stat().st_ino
    first.save(tmp_path / "tiny")
    assert (tmp_path / "tiny").stat().st_ino == kept
    second.save(tmp_path / "tiny")
    assert same(CTRDataset.load(tmp_path / "tiny"), second)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]  # nothing is left behind


def test_many_savers_at_once_leave_one_whole_data_set(tmp_path):
    versions = [make(EVENTS, SPLIT), make(EVENTS[::-1], SPLIT)]
    errors = []

    def save(dataset: CTRDataset) -> None:
        try:
            for _ in range(20):
                dataset.save(tmp_path / "tiny")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(versions[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert CTRDataset.load(tmp_path / "tiny").version in {dataset.version for dataset in versions}
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_saver_whose_place_is_taken_again_and_again_goes_on(tmp_path, monkeypatch):
    """Whenever it has moved another version out of the way, somebody puts one there: three times."""
    first, second = make(EVENTS, SPLIT), make(EVENTS[::-1], SPLIT)
    first.save(tmp_path / "tiny")
    rename, taken = module._rename, []

    def race(source: Path, target: Path) -> bool:
        done = rename(source, target)
        if source == tmp_path / "tiny" and len(taken) < 3:
            assert done, "it moved the other version out of the way"
            taken.append(target.name)
            first.save(tmp_path / "tiny")
        return done

    monkeypatch.setattr(module, "_rename", race)
    second.save(tmp_path / "tiny")
    assert len(taken) == 3 and CTRDataset.load(tmp_path / "tiny").version == second.version
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "event_label.npy"),
        lambda folder: (folder / "event_item.npy").write_bytes((folder / "event_item.npy").read_bytes()[:-2]),
        lambda folder: (folder / "train.npy").unlink(),
        lambda folder: (folder / "field0_vocabulary.json").write_text('["1"]'),
        lambda folder: (folder / "dataset.json").write_text("{"),
        lambda folder: (folder / "dataset.json").write_text('{"format": 0}'),
    ],
    ids=["a flipped bit", "a truncated array", "a missing array", "other words", "no JSON", "another format"],
)
def test_a_damaged_folder_is_noticed(tmp_path, damage):
    make(EVENTS, SPLIT).save(tmp_path / "tiny")
    damage(tmp_path / "tiny")
    with pytest.raises(DataError, match="delete the folder") as caught:
        CTRDataset.load(tmp_path / "tiny")
    assert "\n" not in str(caught.value)
