"""Your own ratings as a data set: a CSV or Parquet file and a short mapping file, `load("my-films.toml")`.

    name = "my-films"                   # by which results are kept and which loads it again
    item_noun = "film"                  # in prompts
    label = "rating >= 4"               # what counts as liked
    split = "time"                      # or "last-of-each-user", "random"

    [ratings]
    file = "ratings.csv"                # beside the mapping file; CSV (.csv.gz and .csv.zip too) or Parquet
    user = "user_id"                    # columns
    item = "film_id"
    rating = "stars"
    time = "when"                       # seconds since 1970 or ISO 8601 dates; may be left out unless split = "time"
    time_format = "%d/%m/%Y %H:%M"      # where they are written in another way
    duplicates = "last"                 # of a rating that is there twice the last row counts; without this line it is an error
    scale = [1, 2, 3, 4, 5]             # may be left out: then the ratings that occur

    [items]                             # may be left out, and so may every line but file and id
    file = "films.csv"
    id = "film_id"
    title = "name"
    group = "genres"                    # what makes two items alike
    fields = ["genres", "year"]
    lists = ["genres"]                  # fields with several values, separated by |

    [users]                             # may be left out
    file = "people.csv"
    id = "user_id"
    fields = ["age", "gender"]

The other settings, with their defaults, are the attributes of `Mapping` and its tables below.
"""

from __future__ import annotations

import hashlib
import io
import re
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa

from laser_core.datasets.build import assemble, split_by_time, split_last_of_each_user
from laser_core.datasets.dataset import SPLITS, About, CTRDataset
from laser_core.errors import DataError, UserError
from laser_core.recommender import make_options

_SEPARATOR = "|"  # between the values of a list field
_UNKNOWN = "unknown"
_READING = 2  # raised when the same files begin to give another data set, so that they are parsed again
_MOST_RATINGS = 255  # a rating is kept as one byte, and 0 is none
_COMPRESSED = {".gz": "gzip", ".zip": "zip"}
_COMPARE = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less, "==": np.equal}


@dataclass(frozen=True)
class RatingsTable:
    """The `[ratings]` part of a mapping file: names of columns."""

    file: str
    user: str
    item: str
    rating: str
    time: str | None = None
    time_format: str | None = None
    """such as `%d/%m/%Y %H:%M`; None: seconds since 1970, or ISO 8601. Nothing is guessed: 05/07 is two dates"""
    duplicates: Literal["error", "last"] = "error"
    """several rows with one user, item and time (without times: one user and item) hand a sample's label to its own history"""
    scale: tuple[float, ...] = ()
    """all ratings there can be; empty: those that occur"""
    encoding: str = "utf-8"
    delimiter: str = ","
    decimal: Literal[".", ","] = "."
    """what stands before the tenths of a rating"""


@dataclass(frozen=True)
class ItemsTable:
    """The `[items]` part of a mapping file: names of columns."""

    file: str
    id: str
    title: str | None = None
    group: str | None = None
    """what makes two items alike, such as genre or author; without it every item is alone"""
    fields: tuple[str, ...] = ()
    """properties that systems may read"""
    lists: tuple[str, ...] = ()
    """those of them with several values, separated by `|`; conventional models read the first"""
    encoding: str = "utf-8"
    delimiter: str = ","


@dataclass(frozen=True)
class UsersTable:
    """The `[users]` part of a mapping file: names of columns."""

    file: str
    id: str
    fields: tuple[str, ...] = ()
    encoding: str = "utf-8"
    delimiter: str = ","


@dataclass(frozen=True)
class Mapping:
    """A mapping file."""

    name: str
    label: str
    """`rating >= 4`, with any of >= > <= < =="""
    split: Literal["time", "last-of-each-user", "random"]
    title: str = ""
    item_noun: str = "item"
    history_length: int = 30
    history_only: int = 5
    """a user's first so many ratings are never samples"""
    most: int = 200
    """with split = "last-of-each-user": at most so many of a user's last ratings are samples"""
    licence: str = "not stated"
    citation: str = "not stated"


@dataclass(frozen=True)
class Custom:
    """A mapping file, read and checked, with the bytes of the files it names."""

    mapping: Mapping
    ratings: RatingsTable
    items: ItemsTable | None
    users: UsersTable | None
    content: dict[str, bytes]
    """what each file holds"""
    fingerprint: str
    """hash of the mapping file and of all files it names: a change of any makes another data set"""


def open_mapping(path: Path) -> Custom:
    """Read a mapping file and the files it names.

    Raises:
        DataError: A file that is missing or not readable.
        UserError: A setting that is missing, unknown or impossible.
    """
    text = _bytes(path)
    try:
        tables = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML: {error}") from None
    kinds = {"ratings": RatingsTable, "items": ItemsTable, "users": UsersTable}
    parts = {part: _settings(path, part, kind, tables.pop(part)) for part, kind in kinds.items() if part in tables}
    mapping = _settings(path, "", Mapping, tables)
    if "ratings" not in parts:
        raise UserError(f"{path} lacks the part [ratings] with file, user, item, rating")
    _check(path, mapping, parts["ratings"])
    content = {part.file: _bytes(path.parent / part.file) for part in parts.values()}
    digest = hashlib.sha256(b"%d %s" % (_READING, text))
    for name in sorted(content):
        digest.update(hashlib.sha256(content[name]).digest())
    return Custom(mapping, parts["ratings"], parts.get("items"), parts.get("users"), content, digest.hexdigest())


def build(custom: Custom) -> CTRDataset:
    """Make the data set.

    Raises:
        DataError: A table lacks a column, holds what is no number, names unknown items, has one class only, is too small, ...
    """
    mapping = custom.mapping
    ratings = _ratings(custom)
    users, _ = _owners(custom, custom.users, ratings["user"], "user")
    items, lists = _owners(custom, custom.items, ratings["item"], "item")
    if twice := set(users.columns) & set(items.columns) | {"user", "item"} & {*users.columns, *items.columns}:
        raise UserError(f"{mapping.name}: the field name '{min(twice)}' is taken twice: rename one of the columns")
    sample, split = _split(mapping, ratings)
    table = custom.items
    about = About(
        name=mapping.name,
        title=mapping.title or mapping.name,
        item_noun=mapping.item_noun,
        user_field="user",
        item_field="item",
        title_field=table.title if table and table.title else "item",
        group_field=table.group if table and table.group else "item",
        profile_fields=tuple(users.columns),
        input_fields=("user", *users.columns, "item", *(name for name in items.columns if table and name != table.title)),
        history_length=mapping.history_length,
        label_rule=mapping.label,
        licence=mapping.licence,
        citation=mapping.citation,
        redistributable=False,
        facts={"source": custom.fingerprint},
    )
    scale = custom.ratings.scale or sorted(ratings["rating"].unique())
    dataset = assemble(about, ratings, users, items, scale, sample, split, multi=lists)
    for part in SPLITS:
        labels = dataset.labels(getattr(dataset, part))
        if labels.min() == labels.max():
            raise DataError(
                f"{mapping.name}: all {len(labels):,} {part} samples have label {labels[0]} under '{mapping.label}': "
                "change the label rule, the split or take more ratings"
            )
    return dataset


# ---- the mapping file ------------------------------------------------------------------------------------------------------------


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError: the name holds a NUL
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None


def _settings(path: Path, part: str, kind: type, values: Any) -> Any:
    """One part of the mapping file as its dataclass."""
    where = f"{path}, [{part}]" if part else str(path)
    if not isinstance(values, dict):
        raise UserError(f"{where} must be a table of settings, not {values!r}")
    missing = [entry.name for entry in fields(kind) if entry.default is MISSING and entry.name not in values]
    if missing:
        raise UserError(f"{where} lacks {', '.join(missing)}")
    for name, value in values.items():
        if isinstance(value, list) and not all(isinstance(entry, (int, float) if name == "scale" else str) for entry in value):
            raise UserError(f"{where}: {name} must hold {'numbers' if name == 'scale' else 'names of columns'} only, not {value}")
    try:
        return make_options(kind, values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check(path: Path, mapping: Mapping, ratings: RatingsTable) -> None:
    """What the types cannot say."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", mapping.name):
        raise UserError(f"{path}: name '{mapping.name}' must consist of small letters, digits and hyphens")
    if _rule(mapping.label) is None:
        raise UserError(f"{path}: label '{mapping.label}' must read like 'rating >= 4', with any of {' '.join(_COMPARE)}")
    if mapping.split == "time" and ratings.time is None:
        raise UserError(f"{path}: split = 'time' needs the column of the time in [ratings]")
    if ratings.time_format is not None:
        _check_time_format(path, ratings)
    if mapping.history_length < 1 or mapping.history_only < 0 or mapping.most < 1:
        raise UserError(f"{path}: history_length and most must be at least 1, history_only at least 0")
    if list(ratings.scale) != sorted(set(ratings.scale)):
        raise UserError(f"{path}, [ratings]: scale must be ascending, without repeats")
    if len(ratings.scale) > _MOST_RATINGS:
        raise UserError(f"{path}, [ratings]: scale has {len(ratings.scale)} ratings, more than {_MOST_RATINGS}: use a coarser one")


def _check_time_format(path: Path, ratings: RatingsTable) -> None:
    if ratings.time is None:
        raise UserError(f"{path}, [ratings]: time_format needs the column of the time")
    try:
        if "%" not in ratings.time_format:
            raise ValueError("it holds no % directive")
        pd.to_datetime(["1"], format=ratings.time_format, errors="coerce")
    except ValueError as error:
        raise UserError(f"{path}, [ratings]: time_format '{ratings.time_format}' must read like '%d/%m/%Y %H:%M': {error}") from None


def _rule(label: str) -> tuple[str, float] | None:
    """The comparison and the number of a label rule."""
    found = re.fullmatch(r"rating\s*(>=|<=|==|>|<)\s*(-?\d+(?:\.\d+)?)", label.strip())
    return (found[1], float(found[2])) if found else None


# ---- the tables ------------------------------------------------------------------------------------------------------------------


def _table(custom: Custom, part: RatingsTable | ItemsTable | UsersTable, columns: Sequence[str]) -> pd.DataFrame:
    """The wanted columns of a CSV or Parquet file; a CSV's are text."""
    stream = io.BytesIO(custom.content[part.file])
    try:
        table = pd.read_parquet(stream) if part.file.endswith((".parquet", ".pq")) else _csv(stream, part)
    except UnicodeDecodeError as error:
        raise DataError(f"{part.file} is not {part.encoding} text (byte {error.start}): set encoding, such as 'latin-1'") from None
    except LookupError:
        raise UserError(f"{part.file}: there is no encoding '{part.encoding}'") from None
    except pd.errors.ParserWarning:
        raise DataError(
            f"{part.file} has rows with more values than its first line has names: name every column, or set delimiter"
        ) from None
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise DataError(f"{part.file} cannot be parsed: {str(error).strip().splitlines()[0]}") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{part.file} lacks the column {', '.join(missing)}: it has {', '.join(map(str, table.columns))}")
    return table[list(dict.fromkeys(columns))]


def _csv(stream: io.BytesIO, part: RatingsTable | ItemsTable | UsersTable) -> pd.DataFrame:
    """A CSV as text. Rows may end in a delimiter that the header does without; more values raise a `ParserWarning`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Length of header", pd.errors.ParserWarning)
        return pd.read_csv(
            stream,
            dtype=object,  # text as it is; of pandas' own texts it would take the empty ones after the last delimiter for values
            keep_default_na=False,
            compression=_COMPRESSED.get(Path(part.file).suffix.lower()),
            encoding=part.encoding,
            sep=part.delimiter,
            skipinitialspace=True,
            index_col=False,  # else the first column would become an index where rows are longer, and every value move by one
        )


def _ratings(custom: Custom) -> pd.DataFrame:
    """The checked ratings with columns user, item, rating, label and perhaps time, in the order of the timelines."""
    part = custom.ratings
    columns = {"user": part.user, "item": part.item, "rating": part.rating} | ({"time": part.time} if part.time else {})
    raw = _table(custom, part, list(columns.values()))
    if raw.empty:
        raise DataError(f"{part.file} holds no ratings")
    read = {
        "user": _ids,
        "item": _ids,
        "rating": partial(_numbers, decimal=part.decimal),
        "time": partial(_times, written=part.time_format),
    }
    table = pd.DataFrame({name: read[name](raw[column]) for name, column in columns.items()})
    in_scale = [pa.Check.isin(part.scale)] if part.scale else []
    whole_seconds = pa.Check(lambda seconds: seconds.abs() < 2**63)
    schema = pa.DataFrameSchema(
        {
            "user": pa.Column(str, pa.Check.str_length(min_value=1)),
            "item": pa.Column(str, pa.Check.str_length(min_value=1)),
            "rating": pa.Column(float, [pa.Check(np.isfinite), *in_scale]),
            **({"time": pa.Column(float, whole_seconds)} if part.time else {}),
        }
    )
    try:
        table = schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        worst = error.failure_cases.sort_values("index").iloc[0]
        column, row = columns[worst["column"]], int(worst["index"])
        other = {".": ",", ",": "."}[part.decimal]
        swapped = f": else set decimal = '{other}' in [ratings]" if other in str(raw[column].iloc[row]) else ""
        wanted = {
            "user": "an id",
            "item": "an id",
            "rating": (f"one of {list(part.scale)}" if part.scale else "a number") + swapped,
            "time": f"a time in the form '{part.time_format}', the time_format of [ratings]"
            if part.time_format
            else "a time in seconds since 1970 or ISO 8601, such as 2021-07-13 18:30: else set time_format in [ratings]",
        }
        raise DataError(
            f"{part.file}, column {column}, row {row + 1}: {raw[column].iloc[row]!r} is not {wanted[worst['column']]}"
            f" ({len(error.failure_cases):,} such values)"
        ) from None
    if table["rating"].nunique() > _MOST_RATINGS:
        raise DataError(f"{part.file}, column {part.rating}: more than {_MOST_RATINGS} different ratings: round them")
    table = _without_repeats(part, table)
    sign, bound = _rule(custom.mapping.label)
    table["label"] = _COMPARE[sign](table["rating"], bound)
    if part.time:
        table = table.sort_values("time", kind="stable", ignore_index=True).astype({"time": "int64"})
    return table


def _ids(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str).str.strip()


def _numbers(column: pd.Series, decimal: str) -> pd.Series:
    if decimal != "." and not pd.api.types.is_numeric_dtype(column):
        column = column.astype(str).str.replace(".", "?", regex=False).str.replace(decimal, ".", regex=False)  # 1.000 is no number then
    return pd.to_numeric(column, errors="coerce").astype(float)


def _times(column: pd.Series, written: str | None) -> pd.Series:
    """Seconds since 1970, from seconds or from dates."""
    if not pd.api.types.is_datetime64_any_dtype(column):
        numbers = pd.to_numeric(column, errors="coerce")
        if written is None and numbers.notna().any():
            return numbers.astype(float)
        text = column.astype(str).str.strip()
        column = text.where(text.str.contains(r"\d"))  # pandas would take "now" and "today" for times
    dates = pd.to_datetime(column, errors="coerce", utc=True, format=written or "ISO8601")
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def _without_repeats(part: RatingsTable, table: pd.DataFrame) -> pd.DataFrame:
    """The ratings without those that a later row repeats, where the mapping file wants that."""
    same = [name for name in ("user", "item", "time") if name in table]
    repeats = table.duplicated(same).to_numpy()
    if part.duplicates == "error" and repeats.any():
        raise DataError(
            f"{part.file}: {repeats.sum():,} rows repeat the {', '.join(same[:-1])} and {same[-1]} of an earlier one, "
            f'row {repeats.argmax() + 1} for one: remove them, or set duplicates = "last" in [ratings] to keep the last of each'
        )
    return table.drop_duplicates(same, keep="last", ignore_index=True)


def _owners(
    custom: Custom, part: ItemsTable | UsersTable | None, rated: pd.Series, kind: str
) -> tuple[pd.DataFrame, dict[str, list[list[str]]]]:
    """One row a user or item that occurs, a column a field; and the list fields, of which the first value is a column `first NAME`."""
    ids = pd.unique(rated)
    if part is None:
        return pd.DataFrame(index=ids), {}
    named = [part.title, part.group] if isinstance(part, ItemsTable) else []
    names = list(dict.fromkeys([name for name in named if name] + list(part.fields)))
    table = _table(custom, part, [part.id, *names])
    table = table.assign(**{part.id: _ids(table[part.id])})
    if table[part.id].duplicated().any():
        raise DataError(f"{part.file}, column {part.id}: {table[part.id][table[part.id].duplicated()].iloc[0]!r} occurs twice")
    table = table.set_index(part.id, drop=False)  # it may be a title or a field too
    absent = [owner for owner in ids if owner not in table.index]
    if absent:
        raise DataError(f"{part.file} lacks {len(absent):,} of the rated {kind}s, {kind} {absent[0]!r} for one")
    table = table.loc[ids, names].apply(_ids)
    lists = {}
    for name in part.lists if isinstance(part, ItemsTable) else ():
        if name not in table:
            raise UserError(f"[{kind}s] lists '{name}', which is not among its fields")
        lists[name] = [[word.strip() for word in words.split(_SEPARATOR) if word.strip()] for words in table.pop(name)]
        table[f"first {name}"] = [words[0] if words else _UNKNOWN for words in lists[name]]
    return table.replace("", _UNKNOWN), lists


def _split(mapping: Mapping, ratings: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(events,) whether each is a sample, and (events,) its split."""
    if mapping.split == "last-of-each-user":
        return split_last_of_each_user(ratings["user"].to_numpy(), mapping.history_only, mapping.most)
    sample, split = split_by_time(ratings["user"].to_numpy(), mapping.history_only)
    if mapping.split == "random":
        split[sample] = np.random.default_rng(0).permutation(split[sample])
    return sample, split
