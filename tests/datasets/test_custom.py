"""Your own ratings: what comes out is what the mapping file says, and every mistake gives one clear line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from laser_core import datasets
from laser_core.errors import DataError, UserError

MAPPING = """
name = "my-films"
item_noun = "film"
label = "rating >= 4"
split = "time"
history_only = 2
[ratings]
file = "ratings.csv"
user = "who"
item = "film"
rating = "stars"
time = "when"
scale = [1, 2, 3, 4, 5]
[items]
file = "films.csv"
id = "film"
title = "name"
group = "genres"
fields = ["genres", "year"]
lists = ["genres"]
[users]
file = "people.csv"
id = "who"
fields = ["age"]
"""
SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def ratings() -> pd.DataFrame:
    """12 people and 39 films, no film twice by one."""
    random = np.random.default_rng(0)
    pair = random.permutation(12 * 39)[:400]
    return pd.DataFrame(
        {
            "who": 1 + pair % 12,
            "film": [f"f{number}" for number in 1 + pair // 12],
            "stars": random.integers(1, 6, 400),
            "when": 1_000_000_000 + random.permutation(400) * 3_600,
        }
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ratings, films and people that are all right."""
    folder = tmp_path / "own"
    folder.mkdir()
    ratings().to_csv(folder / "ratings.csv", index=False)
    films = [(f"f{number}", f"Film {number}", "drama|war" if number % 2 else "", 1990 + number) for number in range(1, 40)]
    pd.DataFrame(films, columns=["film", "name", "genres", "year"]).to_csv(folder / "films.csv", index=False)
    pd.DataFrame({"who": range(1, 13), "age": ["18-24", "25-34"] * 6}).to_csv(folder / "people.csv", index=False)
    return folder


def load(folder: Path, mapping: str = MAPPING) -> datasets.CTRDataset:
    (folder / "mapping.toml").write_text(mapping, encoding="utf-8")
    return datasets.load(str(folder / "mapping.toml"))


def without_time(split: str) -> str:
    return MAPPING.replace('time = "when"\n', "").replace('split = "time"', f'split = "{split}"')


# ---- what comes out ------------------------------------------------------------------------------------------------------------------


def test_it_is_a_data_set_like_any_other(folder):
    dataset = load(folder)
    raw = ratings().sort_values("when", kind="stable")
    assert (dataset.users, dataset.items, dataset.events) == (12, raw["film"].nunique(), 400)
    assert dataset.samples == 400 - 12 * 2
    assert dataset.about.profile_fields == ("age",)
    assert set(dataset.about.input_fields) == {"user", "age", "item", "year", "first genres"}
    for user in range(1, dataset.users + 1):
        mine = raw[raw["who"] == int(dataset.fields["user"].text(user))]
        first, end = dataset.user_offsets[user : user + 2]
        assert [dataset.fields["item"].text(item) for item in dataset.event_item[first:end]] == mine["film"].tolist()
        assert dataset.rating_values[dataset.event_rating[first:end]].tolist() == mine["stars"].tolist()
        assert dataset.event_label[first:end].tolist() == (mine["stars"] >= 4).tolist()
        assert dataset.event_time[first:end].tolist() == mine["when"].tolist()
        assert dataset.fields["age"].text(user) == ("18-24" if int(dataset.fields["user"].text(user)) % 2 else "25-34")
    for item in range(1, dataset.items + 1):
        number = int(dataset.fields["item"].text(item).removeprefix("f"))
        assert dataset.title(item) == f"Film {number}"
        assert dataset.fields["genres"].values(item) == (["drama", "war"] if number % 2 else [])
        assert dataset.fields["first genres"].text(item) == ("drama" if number % 2 else "unknown")
        assert dataset.fields["year"].text(item) == str(1990 + number)
    assert datasets.card(dataset)["ratings"] == 400


def test_split_by_time(folder):
    dataset = load(folder)
    times = [dataset.event_time[dataset.sample_event[getattr(dataset, part)]] for part in SPLITS]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min()
    assert [len(part) for part in times] == [300, 37, 39]


def test_split_of_each_user(folder):
    dataset = load(folder, without_time("last-of-each-user"))
    for user in range(1, dataset.users + 1):
        train, valid, test = (
            dataset.sample_event[rows][dataset.sample_user(rows) == user] for rows in (dataset.train, dataset.valid, dataset.test)
        )
        assert train.max() < valid.min() and valid.max() < test.min()


def test_a_random_split_is_the_same_every_time(folder):
    one = load(folder, without_time("random"))
    again = datasets.load(str(folder / "mapping.toml"), again=True)
    assert np.array_equal(one.test, again.test)
    assert [len(getattr(one, part)) for part in SPLITS] == [300, 37, 39]
    assert one.test.min() < 300  # not the last ones


def test_ratings_alone_are_enough(folder):
    dataset = load(folder, MAPPING.partition("[items]")[0].replace("scale = [1, 2, 3, 4, 5]", ""))
    assert dataset.title(1) == dataset.fields["item"].text(1)
    assert dataset.about.group_field == "item"
    assert dataset.rating_values[1:].tolist() == [1, 2, 3, 4, 5]


def test_parquet_dates_and_another_encoding_say_the_same(folder):
    plain = load(folder)
    table = ratings()
    table.assign(when=pd.to_datetime(table["when"], unit="s")).to_parquet(folder / "ratings.parquet")
    assert load(folder, MAPPING.replace("ratings.csv", "ratings.parquet")).version == plain.version
    table.assign(when=pd.to_datetime(table["when"], unit="s").dt.strftime("%Y-%m-%d %H:%M:%S")).to_csv(folder / "ratings.csv", index=False)
    assert load(folder).version == plain.version
    films = (folder / "films.csv").read_text().replace("Film 7", "Café 7")
    (folder / "films.csv").write_text(films.replace(",", ";"), encoding="latin-1")
    other = load(folder, MAPPING.replace('file = "films.csv"', 'file = "films.csv"\nencoding = "latin-1"\ndelimiter = ";"'))
    assert "Café 7" in other.fields["name"].vocabulary


@pytest.mark.parametrize("written", ["%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y%m%d%H%M"])
def test_dates_in_the_form_that_is_named(folder, written):
    plain = load(folder)
    when = [datetime.fromtimestamp(seconds, UTC).replace(second=0).strftime(written) for seconds in ratings()["when"]]
    ratings().assign(when=when).to_csv(folder / "ratings.csv", index=False)
    dataset = load(folder, MAPPING.replace('time = "when"', f'time = "when"\ntime_format = "{written}"'))
    np.testing.assert_array_equal(dataset.event_time, plain.event_time // 60 * 60)


def test_day_first_dates_are_not_guessed(folder):
    table = ratings().assign(when=[f"{1 + number % 28:02}/{1 + number % 12:02}/2021" for number in range(400)])
    table.to_csv(folder / "ratings.csv", index=False)
    with pytest.raises(DataError, match=r"row 1: '01/01/2021' is not a time in seconds since 1970 or ISO 8601, .* set time_format"):
        load(folder)


@pytest.mark.parametrize("ending", ["gz", "zip"])
def test_a_compressed_table_is_the_same_data(folder, ending):
    plain = load(folder)
    ratings().to_csv(folder / f"ratings.csv.{ending}", index=False)
    packed = load(folder, MAPPING.replace("ratings.csv", f"ratings.csv.{ending}"))
    np.testing.assert_array_equal(packed.event_item, plain.event_item)
    np.testing.assert_array_equal(packed.event_label, plain.event_label)
    content = (folder / f"ratings.csv.{ending}").read_bytes()
    for damaged in (content[: len(content) // 2], content[:30] + bytes(20) + content[50:], b"who,film,stars,when\n"):
        (folder / f"ratings.csv.{ending}").write_bytes(damaged)
        with pytest.raises(DataError, match=rf"ratings\.csv\.{ending} cannot be parsed: \w+"):
            load(folder, MAPPING.replace("ratings.csv", f"ratings.csv.{ending}"))


def test_a_decimal_comma(folder):
    wide = MAPPING.replace("scale = [1, 2, 3, 4, 5]", "")
    halves = ratings().assign(stars=ratings()["stars"] + 0.5)
    halves.to_csv(folder / "ratings.csv", index=False)
    plain = load(folder, wide)
    halves.to_csv(folder / "ratings.csv", index=False, sep=";", decimal=",")
    comma = wide.replace('time = "when"', 'time = "when"\ndelimiter = ";"')
    with pytest.raises(DataError, match=r"row 1: '\d,5' is not a number: else set decimal = ',' in \[ratings\] \(400 such"):
        load(folder, comma)
    comma = comma.replace('time = "when"', 'time = "when"\ndecimal = ","')
    np.testing.assert_array_equal(load(folder, comma).event_label, plain.event_label)
    edit("ratings.csv", put(3, "stars", "1.000"), delimiter=";")(folder)
    with pytest.raises(DataError, match=r"row 4: '1.000' is not a number: else set decimal = '.' .* \(1 such"):
        load(folder, comma)


REPEATED = pd.DataFrame({"who": 3, "film": "f7", "stars": [1, 2, 5], "when": [50, 50, 60]})


def test_of_a_rating_that_is_there_twice_the_last_counts(folder):
    once = pd.concat([ratings().query("not (who == 3 and film == 'f7')"), REPEATED[1:]])
    once.to_csv(folder / "ratings.csv", index=False)
    wanted = load(folder)
    pairs = len(once[["who", "film"]].drop_duplicates())
    assert pairs == len(once) - 1
    assert datasets.card(wanted)["sparsity"] == pytest.approx(1 - pairs / (12 * once["film"].nunique()))
    pd.concat([REPEATED[:1], once]).to_csv(folder / "ratings.csv", index=False)
    assert load(folder, MAPPING.replace('time = "when"', 'time = "when"\nduplicates = "last"')).version == wanted.version
    with pytest.raises(DataError, match=r'1 rows repeat the user, item and time of .* row 401 for one: .* duplicates = "last"'):
        load(folder)


def test_without_times_one_item_is_rated_once(folder):
    once = ratings().query("not (who == 3 and film == 'f7')")
    pd.concat([once, REPEATED]).to_csv(folder / "ratings.csv", index=False)
    with pytest.raises(DataError, match="2 rows repeat the user and item of an earlier one"):
        load(folder, without_time("random"))
    dataset = load(folder, without_time("random").replace('rating = "stars"', 'rating = "stars"\nduplicates = "last"'))
    assert dataset.events == len(once) + 1


def test_rows_that_end_in_a_delimiter_say_the_same(folder):
    plain = load(folder)
    header, *rows = (folder / "ratings.csv").read_text().splitlines()
    (folder / "ratings.csv").write_text("\n".join([header, *(row + "," for row in rows)]))
    assert load(folder).version == plain.version


@pytest.mark.parametrize("part", ["title", "fields"])
def test_an_id_may_be_a_title_or_a_field_too(folder, part):
    mapping = {
        "title": MAPPING.replace('title = "name"', 'title = "film"'),
        "fields": MAPPING.replace('fields = ["genres"', 'fields = ["film", "genres"').replace(
            'fields = ["age"]', 'fields = ["who", "age"]'
        ),
    }[part]
    dataset = load(folder, mapping)
    ids = [dataset.fields["item"].text(item) for item in range(1, dataset.items + 1)]
    assert [dataset.fields["film"].text(item) for item in range(1, dataset.items + 1)] == ids
    if part == "title":
        assert dataset.title(1) == ids[0]
    else:
        assert dataset.fields["who"].text(1) == dataset.fields["user"].text(1)


def test_a_scale_as_long_as_can_be_kept(folder):
    dataset = load(folder, MAPPING.replace("[1, 2, 3, 4, 5]", str(list(range(1, 256)))))
    assert np.unique(dataset.rating_values[dataset.event_rating]).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "label, positive", [("rating > 4", 5), ("rating == 5", 5), ("rating >= 4.5", 5), ("rating<=1", 1), ("rating < 2", 1)]
)
def test_label_rules(folder, label, positive):
    dataset = load(folder, MAPPING.replace("rating >= 4", label))
    stars = dataset.rating_values[dataset.event_rating]
    assert np.array_equal(dataset.event_label == 1, stars == positive)


def test_it_is_parsed_once_found_by_name_and_parsed_anew_when_a_file_changes(folder, monkeypatch):
    first = load(folder)
    assert "my-films" in datasets.names()
    assert datasets.load("my-films").version == datasets.load(folder / "mapping.toml").version == first.version
    assert datasets.about("my-films").title == "my-films"
    table = pd.read_csv(folder / "ratings.csv")
    table.assign(stars=6 - table["stars"]).to_csv(folder / "ratings.csv", index=False)
    assert load(folder).version != first.version
    assert datasets.load("my-films").version != first.version


# ---- what can be wrong ---------------------------------------------------------------------------------------------------------------

WRONG_MAPPINGS = {
    "no TOML": ("name = my-films", "is no TOML"),
    "no ratings": (MAPPING.partition("[ratings]")[0], r"lacks the part \[ratings\]"),
    "a missing setting": (MAPPING.replace('label = "rating >= 4"\n', ""), "lacks label"),
    "a missing column name": (MAPPING.replace('rating = "stars"\n', ""), r"\[ratings\] lacks rating"),
    "an unknown setting": (MAPPING.replace("item_noun", "item_nown"), "unknown option 'item_nown': did you mean 'item_noun'"),
    "a wrong type": (MAPPING.replace("history_only = 2", 'history_only = "two"'), "option 'history_only' must be int"),
    "a part that is no table": ('ratings = 3\nname = "x"', r"\[ratings\] must be a table"),
    "a list of the wrong things": (MAPPING.replace("[1, 2, 3, 4, 5]", '[1, "two"]'), "scale must hold numbers only"),
    "text for a list": (
        MAPPING.replace('lists = ["genres"]', 'lists = "genres"'),
        "option 'lists' must be several texts, such as .*, not 'genres'",
    ),
    "an unknown split": (MAPPING.replace('split = "time"', 'split = "tyme"'), "did you mean 'time'"),
    "a split by time without time": (MAPPING.replace('time = "when"\n', ""), "split = 'time' needs the column"),
    "a form of times that is none": (
        MAPPING.replace('time = "when"', 'time = "when"\ntime_format = "%d/%q"'),
        "time_format '%d/%q' must read like '%d/%m/%Y %H:%M': 'q' is a bad directive",
    ),
    "a form of times to guess": (MAPPING.replace('time = "when"', 'time = "when"\ntime_format = "mixed"'), "it holds no % directive"),
    "a form of no times": (without_time("random").replace("[items]", 'time_format = "%d"\n[items]'), "time_format needs the column"),
    "a label that is no rule": (MAPPING.replace("rating >= 4", "stars are good"), "must read like 'rating >= 4'"),
    "a name that is none": (MAPPING.replace('"my-films"', '"My films!"'), "must consist of small letters"),
    "a name of the kit": (MAPPING.replace('"my-films"', '"ml-1m"'), "belongs to a data set of the kit"),
    "a history of nothing": ("history_length = 0\n" + MAPPING, "history_length and most must be at least 1"),
    "a scale too long": (MAPPING.replace("[1, 2, 3, 4, 5]", str(list(range(256)))), "scale has 256 ratings, more than 255"),
    "a file name that is none": (MAPPING.replace("ratings.csv", "a\\u0000b"), "cannot be read: embedded null"),
    "a scale out of order": (MAPPING.replace("[1, 2, 3, 4, 5]", "[5, 4, 3, 2, 1]"), "scale must be ascending"),
    "a list that is no field": (MAPPING.replace('lists = ["genres"]', 'lists = ["tags"]'), "lists 'tags', which is not among its fields"),
    "an unknown encoding": (MAPPING.replace('time = "when"', 'time = "when"\nencoding = "utf-99"'), "there is no encoding 'utf-99'"),
    "a taken name": (MAPPING.replace('fields = ["age"]', 'fields = ["year"]'), "lacks the column year"),
}


@pytest.mark.parametrize("mapping, message", WRONG_MAPPINGS.values(), ids=WRONG_MAPPINGS)
def test_a_wrong_mapping(folder, mapping, message):
    with pytest.raises(UserError, match=message) as caught:
        load(folder, mapping)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def edit(name: str, change, delimiter: str = ",") -> object:
    def apply(folder: Path) -> None:
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False, sep=delimiter)
        change(table).to_csv(folder / name, index=False, sep=delimiter)

    return apply


def put(row: int, column: str, value: str):
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return change


WRONG_FILES = {
    "no file": (lambda folder: (folder / "films.csv").unlink(), "films.csv cannot be read: No such file"),
    "an empty file": (lambda folder: (folder / "ratings.csv").write_text(""), "ratings.csv cannot be parsed: No columns"),
    "only a header": (edit("ratings.csv", lambda table: table[:0]), "ratings.csv holds no ratings"),
    "a missing column": (edit("ratings.csv", lambda table: table.drop(columns="stars")), "lacks the column stars: it has who, film, when"),
    "no number": (edit("ratings.csv", put(16, "stars", "five")), "column stars, row 17: 'five' is not one of"),
    "a rating out of scale": (edit("ratings.csv", put(3, "stars", "7")), r"row 4: '7' is not one of \[1, 2, 3, 4, 5\] \(1 such"),
    "an empty rating": (edit("ratings.csv", put(0, "stars", "")), "row 1: '' is not one of"),
    "no user": (edit("ratings.csv", put(2, "who", "")), "column who, row 3: '' is not an id"),
    "no time": (edit("ratings.csv", put(9, "when", "yesterday")), "column when, row 10: 'yesterday' is not a time"),
    "a time that moves": (edit("ratings.csv", lambda table: table.assign(when="now")), "column when, row 1: 'now' is not a time"),
    "too few rows": (edit("ratings.csv", lambda table: table[:15]), "split is empty: too few ratings"),
    "one class only": (edit("ratings.csv", lambda table: table.assign(stars="5")), "all 300 train samples have label 1"),
    "another encoding": (lambda folder: (folder / "films.csv").write_bytes(b"film,name\nf1,Caf\xe9\n"), "films.csv is not utf-8 text"),
    "longer rows than the header": (
        lambda folder: (folder / "people.csv").write_text("who,age\n1,2,3\n2,3,4\n"),
        "people.csv has rows with more values than",
    ),
    "far longer rows than the header": (
        lambda folder: (folder / "people.csv").write_text("who,age\n1,2,3,4\n1\n"),
        "people.csv has rows with more values than",
    ),
    "no end of time": (edit("ratings.csv", put(9, "when", "inf")), "column when, row 10: 'inf' is not a time"),
    "a time beyond all dates": (edit("ratings.csv", put(9, "when", "1e30")), "column when, row 10: '1e30' is not a time"),
    "a torn line": (lambda folder: (folder / "people.csv").write_text("who,age\n1,2\n1,2,3,4\n"), "people.csv cannot be parsed"),
    "an unknown film": (edit("ratings.csv", put(5, "film", "f99")), "films.csv lacks 1 of the rated items, item 'f99' for one"),
    "a film twice": (edit("films.csv", lambda table: pd.concat([table, table[:1]])), "films.csv, column film: 'f1' occurs twice"),
    "a field name taken twice": (edit("people.csv", lambda table: table.assign(year="1")), "the field name 'year' is taken twice"),
}  # fmt: skip


@pytest.mark.parametrize("damage, message", WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_file(folder, damage, message):
    damage(folder)
    mapping = MAPPING.replace('["age"]', '["age", "year"]') if "twice" in message and "year" in message else MAPPING
    with pytest.raises(DataError if "taken twice" not in message else UserError, match=message) as caught:
        load(folder, mapping)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_endless_rating(folder):
    edit("ratings.csv", put(3, "stars", "inf"))(folder)
    with pytest.raises(DataError, match="column stars, row 4: 'inf' is not a number"):
        load(folder, MAPPING.replace("scale = [1, 2, 3, 4, 5]", ""))


def test_no_parquet_at_all(folder):
    (folder / "ratings.parquet").write_bytes(b"this is no Parquet file")
    with pytest.raises(DataError, match=r"ratings\.parquet cannot be parsed") as caught:
        load(folder, MAPPING.replace("ratings.csv", "ratings.parquet"))
    assert "\n" not in str(caught.value)


def test_no_mapping_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.toml cannot be read: No such file"):
        datasets.load(str(tmp_path / "none.toml"))
