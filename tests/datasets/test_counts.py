"""The data sets are those of the protocol: its counts, and samples checked by hand against the raw files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from laser_core.datasets import bookcrossing as bx
from laser_core.datasets.dataset import CTRDataset
from laser_core.datasets.sources import BOOKCROSSING, MOVIELENS_SMALL, read_raw


def sizes(dataset: CTRDataset) -> tuple[int, int, int]:
    return len(dataset.train), len(dataset.valid), len(dataset.test)


def positives(dataset: CTRDataset) -> list[float]:
    """Per cent of each split."""
    return [round(100 * float(dataset.labels(rows).mean()), 2) for rows in (dataset.train, dataset.valid, dataset.test)]


def values(dataset: CTRDataset) -> dict[str, int]:
    return {name: len(field.vocabulary) for name, field in dataset.fields.items()}


# ---- MovieLens -------------------------------------------------------------------------------------------------------------------


def test_movielens_1m(ml_1m):
    assert (ml_1m.users, ml_1m.items, ml_1m.events, ml_1m.samples) == (6_040, 3_706, 1_000_209, 970_009)
    assert sizes(ml_1m) == (776_007, 97_000, 97_002)
    assert positives(ml_1m) == [57.98, 57.83, 54.37]
    fields = {"user": 6_040, "gender": 2, "age": 7, "occupation": 21, "zip": 3_439, "movie": 3_706, "title": 3_706, "genre": 18}
    assert values(ml_1m).items() >= fields.items()
    assert ml_1m.about.history_length == 30
    assert not {"user", "zip"} & set(ml_1m.about.profile_fields)


def test_movielens_1m_is_split_by_time(ml_1m):
    times = [ml_1m.event_time[ml_1m.sample_event[rows]] for rows in (ml_1m.train, ml_1m.valid, ml_1m.test)]
    assert times[0].max() <= times[1].min() and times[1].max() <= times[2].min()


def test_movielens_1m_against_the_raw_file(ml_1m, raw_data):
    """Three users, told line by line: order (time, movie), the first five are history only, 4 and 5 stars are positive."""
    with zipfile.ZipFile(raw_data / "ml-1m.zip") as archive:
        lines = [tuple(map(int, line.split(b"::"))) for line in archive.read("ml-1m/ratings.dat").splitlines()[:500]]
    for user in {line[0] for line in lines[:300]}:
        told = sorted((time, movie, stars) for owner, movie, stars, time in lines if owner == user)
        code = int(np.flatnonzero(ml_1m.fields["user"].vocabulary == str(user))[0]) + 1
        rows = np.flatnonzero(ml_1m.sample_user(np.arange(ml_1m.samples)) == code)
        assert len(rows) == len(told) - 5
        batch = ml_1m.batch(rows, length=0)
        for place, (_, movie, stars) in enumerate(told[5:]):
            assert ml_1m.fields["movie"].text(batch.item[place]) == str(movie)
            assert batch.label[place] == (stars >= 4)
            history = batch.history_item[place, : batch.history_length[place]]
            assert [ml_1m.fields["movie"].text(item) for item in history] == [str(entry[1]) for entry in told[: place + 5]]


def test_movielens_1m_says_of_users_and_movies_what_the_raw_files_say(ml_1m, raw_data):
    """Profiles in the words of the data set's own README, genres and years of the movies file."""
    with zipfile.ZipFile(raw_data / "ml-1m.zip") as archive:
        users, movies, readme = (archive.read(f"ml-1m/{name}").decode("latin-1") for name in ("users.dat", "movies.dat", "README"))
    ages, occupations = (
        {code: words.replace('"', "").replace("/", " or ").lower() for code, words in re.findall(r"^\t\* *(\d+): +(.+?)\s*$", part, re.M)}
        for part in readme.split("Age is chosen")[1].split("Occupation is chosen")
    )
    assert (len(ages), len(occupations)) == (7, 21)
    ages["56"] = "56 or older"
    told = dict(zip(ml_1m.fields["user"].vocabulary, range(1, ml_1m.users + 1), strict=True))
    for line in users.splitlines():
        user, gender, age, occupation, code = line.split("::")
        values = [ml_1m.fields[name].text(told[user]) for name in ("gender", "age", "occupation", "zip")]
        expected = [{"F": "female", "M": "male"}[gender], ages[age], occupations[occupation], code]
        assert [value.lower() for value in values] == expected
    items = dict(zip(ml_1m.fields["movie"].vocabulary, range(1, ml_1m.items + 1), strict=True))
    rated = [line.split("::") for line in movies.splitlines() if line.split("::")[0] in items]
    assert len(rated) == ml_1m.items
    for movie, title, genres in rated:
        item = items[movie]
        assert ml_1m.title(item) == title and ml_1m.fields["year"].text(item) == re.search(r"\((\d{4})\)$", title)[1]
        assert ml_1m.fields["genres"].values(item) == genres.split("|")
        assert ml_1m.fields["genre"].text(item) == genres.split("|")[0]


def test_movielens_small_against_the_raw_files(small):
    """Three users, told line by line: order (time, movie), 4 stars and more are positive; every movie's genres and year."""
    raw = {name: content.decode("utf-8") for name, content in read_raw(MOVIELENS_SMALL).items()}
    lines = [line.split(",") for line in raw["ratings.csv"].splitlines()[1:]]
    for user in ("1", "15", "547"):
        told = sorted((int(time), int(movie), float(stars)) for owner, movie, stars, time in lines if owner == user)
        code = int(np.flatnonzero(small.fields["user"].vocabulary == user)[0]) + 1
        events = np.arange(small.user_offsets[code], small.user_offsets[code + 1])
        assert [int(small.fields["movie"].text(item)) for item in small.event_item[events]] == [movie for _, movie, _ in told]
        assert small.rating_values[small.event_rating[events]].tolist() == [stars for *_, stars in told]
        assert small.event_label[events].tolist() == [stars >= 4 for *_, stars in told]
        rows = np.flatnonzero(small.sample_user(np.arange(small.samples)) == code)
        assert sorted(small.sample_event[rows]) == events[max(5, len(told) - 200) :].tolist()
    assert {float(stars) for *_, stars, _ in lines} >= {3.5, 4.0}
    movies = list(csv.reader(io.StringIO(raw["movies.csv"])))[1:]
    items = dict(zip(small.fields["movie"].vocabulary, range(1, small.items + 1), strict=True))
    for movie, _, year, words in movies:
        genres = [] if words == "(no genres listed)" else words.split("|")
        said = [small.fields[name].text(items[movie]) for name in ("genre", "year")]
        assert small.fields["genres"].values(items[movie]) == genres and said == [genres[0] if genres else "unknown", year or "unknown"]


def test_movielens_small(small):
    assert (small.users, small.items, small.events) == (671, 9_066, 100_004)
    assert sum(sizes(small)) == small.samples
    per_user = np.bincount(small.sample_user(np.arange(small.samples)))[1:]
    assert per_user.max() == 200
    assert per_user.min() == 20 - 5
    for user in range(1, small.users + 1):
        parts = [rows[small.sample_user(rows) == user] for rows in (small.train, small.valid, small.test)]
        assert len(parts[1]) == len(parts[2]) == max(1, round(0.1 * per_user[user - 1]))
        events = [small.sample_event[rows] for rows in parts]
        assert events[0].max() < events[1].min() and events[1].max() < events[2].min()


def test_movielens_small_titles_read_naturally(small):
    titles = set(small.fields["title"].vocabulary)
    assert {"The Matrix (1999)", "Toy Story (1995)"} <= titles
    assert not any(title.endswith(", The") for title in titles)


# ---- BookCrossing ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw_books(raw_data: Path) -> dict[str, bytes]:
    return read_raw(BOOKCROSSING, raw_data)


def test_bookcrossing(bookcrossing):
    facts = bookcrossing.about.facts
    assert facts["ratings_of_known_users_and_books"] == 1_031_171
    assert facts["users_with_such_ratings"] == 92_106
    assert facts["users_dropped_for_too_few"] == 74_392
    assert facts["countries_of_all_users"] == 922
    assert facts["age_buckets_of_all_users"] == 11
    assert bookcrossing.users == bookcrossing.samples == 17_714
    assert sizes(bookcrossing) == (15_942 - 1_594, 1_594, 1_772)
    assert bookcrossing.train.max() < bookcrossing.valid.min() and bookcrossing.valid.max() < bookcrossing.test.min()
    known = np.concatenate([bookcrossing.train, bookcrossing.valid])
    assert round(100 * float(bookcrossing.labels(known).mean()), 2) == 48.39
    assert round(100 * float(bookcrossing.labels(bookcrossing.test).mean()), 2) == 48.93
    assert bookcrossing.about.history_length == 60
    assert {"user", "country", "age", "isbn", "title", "author", "year", "publisher"} == set(bookcrossing.fields)


def test_bookcrossing_has_the_siblings_first_samples(bookcrossing):
    """User, target, ratings of the history in its order, label: the first 20 rows that the siblings' notebook prints, as a hash."""
    batch = bookcrossing.batch(np.arange(20), length=0)
    told = []
    for row in range(20):
        codes = batch.history_rating[row, : batch.history_length[row]]
        user, isbn = bookcrossing.fields["user"].text(batch.user[row]), bookcrossing.fields["isbn"].text(batch.item[row])
        told.append([user, isbn, bookcrossing.rating_values[codes].astype(int).tolist(), int(batch.label[row])])
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    assert digest == "7cea2a4673403b8ebaf0b0978dac3022f901eb90d78c34690a1a3020feedce61"


def test_bookcrossing_texts_are_clean(bookcrossing):
    for name in ("title", "author", "publisher"):
        words = bookcrossing.fields[name].vocabulary
        assert not [word for word in words if "&amp;" in word or '\\"' in word or "\t" in word]


def test_the_label_is_almost_explicit_or_implicit(bookcrossing):
    """The trap that the card tells of."""
    samples = np.arange(bookcrossing.samples)
    rating = bookcrossing.rating_values[bookcrossing.event_rating[bookcrossing.sample_event]]
    labels = bookcrossing.labels(samples)
    assert labels[rating == 0].sum() == 0
    assert 0.94 < labels[rating > 0].mean() < 0.96


def test_bookcrossing_explicit_is_near_balance(raw_books):
    dataset = bx.read_explicit(raw_books)
    assert dataset.samples == dataset.users == sum(sizes(dataset))
    assert dataset.rating_values[1:].tolist() == list(range(1, 11))
    share = dataset.labels(np.arange(dataset.samples)).mean()
    assert 0.45 < share < 0.6
    rating = dataset.rating_values[dataset.event_rating]
    assert np.array_equal(dataset.event_label, rating >= 8)
    assert np.bincount(dataset.event_user)[1:].min() == 6


@pytest.mark.parametrize(
    "location, country",
    [
        ("springfield, anywhere, usa", "USA"),
        ("a, b, u.s.a.", "USA"),
        ("barcelona, n/a, españa", "Spain"),
        ("roma, lazio, l`italia", "Italy"),
        ("london, england, united kingdom.", "United Kingdom"),
        ("n/a, n/a, n/a", "unknown"),
        ("oberwart, austria,", "Austria"),
        ("x, y,", "unknown"),
        ("", "unknown"),
    ],
)
def test_countries(location, country):
    assert bx._country(location) == country


@pytest.mark.parametrize(
    "age, bucket",
    [("NULL", "unknown"), ("4", "unknown"), ("5", "under 18"), ("17", "under 18"), ("18", "18-24"), ("24", "18-24"), ("25", "25-29"),
     ("34", "30-34"), ("59", "55-59"), ("60", "60+"), ("100", "60+"), ("101", "unknown")],
)  # fmt: skip
def test_ages(age, bucket):
    assert bx._age(age) == bucket
