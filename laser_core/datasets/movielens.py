"""MovieLens-1M and MovieLens-small (F. M. Harper and J. A. Konstan, 2015, doi 10.1145/2827872): from raw files to `CTRDataset`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

import pandas as pd

from laser_core.datasets.build import assemble, split_by_time, split_last_of_each_user
from laser_core.datasets.dataset import About, CTRDataset
from laser_core.datasets.sources import MOVIELENS_1M, MOVIELENS_SMALL, Reader

_CITATION = "F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History and Context, ACM TiiS 5(4), doi 10.1145/2827872"
_HISTORY_ONLY = 5  # a user's first ratings serve as history, never as samples

_AGES = {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56 or older"}
_OCCUPATIONS = (
    "other or not specified", "academic or educator", "artist", "clerical or admin", "college or grad student",
    "customer service", "doctor or health care", "executive or managerial", "farmer", "homemaker", "K-12 student", "lawyer",
    "programmer", "retired", "sales or marketing", "scientist", "self-employed", "technician or engineer",
    "tradesman or craftsman", "unemployed", "writer",
)  # fmt: skip

ABOUT_1M = About(
    name="ml-1m",
    title="MovieLens-1M",
    item_noun="movie",
    user_field="user",
    item_field="movie",
    title_field="title",
    group_field="genres",
    profile_fields=("gender", "age", "occupation"),
    input_fields=("user", "gender", "age", "occupation", "zip", "movie", "genre"),
    history_length=30,
    label_rule="rating >= 4",
    licence="research use with acknowledgement, no commercial use, no redistribution without permission (GroupLens)",
    citation=_CITATION,
    redistributable=False,
    traps=(
        "77 % of ratings share (user, timestamp) with another: the order inside ties is fixed as (timestamp, user, movie).",
        "The split is by global time: most validation samples, but few test samples, are of users without a training sample. What helps "
        "with unseen users looks better in validation than it is in test, and a user-id embedding hurts.",
        "The title is one-to-one with the movie id, so conventional models do not read it as a further field.",
    ),
)

ABOUT_SMALL = About(
    name="movielens-small",
    title="MovieLens-small",
    item_noun="movie",
    user_field="user",
    item_field="movie",
    title_field="title",
    group_field="genres",
    profile_fields=(),
    input_fields=("user", "movie", "genre", "year"),
    history_length=30,
    label_rule="rating >= 4",
    licence="research use with acknowledgement, no commercial use; redistribution allowed under the same conditions (GroupLens)",
    citation=_CITATION,
    redistributable=True,
    traps=(
        "Half stars: 3.5 is a negative.",
        "The split is per user, so every test user is known from training: easier for user-id embeddings than MovieLens-1M.",
        "One heavy user has 2,391 ratings: at most the last 200 ratings of a user are samples.",
        "234 titles occur under more than one id, five movies have neither title nor year.",
    ),
)


def read_1m(files: Mapping[str, bytes]) -> CTRDataset:
    """MovieLens-1M from `ratings.dat`, `users.dat` and `movies.dat`.

    Positive: rating >= 4. Samples: every rating but a user's first five, in global time order, split 80 / 10 / 10.
    """
    ratings = _in_time_order(_dat(files["ratings.dat"], ["user", "item", "rating", "time"]))
    users = _dat(files["users.dat"], ["user", "gender", "age", "occupation", "zip"]).set_index("user")
    movies = _dat(files["movies.dat"], ["item", "title", "genres"]).set_index("item")

    movies = movies.loc[movies.index.isin(ratings["item"])]  # 177 movies have no rating
    genres = [text.split("|") for text in movies["genres"]]
    items = pd.DataFrame(
        {
            "title": movies["title"],
            "genre": [words[0] for words in genres],
            "year": [title[-5:-1] for title in movies["title"]],
        }
    )
    users = pd.DataFrame(
        {
            "gender": users["gender"].map({"F": "female", "M": "male"}),
            "age": users["age"].map(_AGES),
            "occupation": [_OCCUPATIONS[code] for code in users["occupation"]],
            "zip": users["zip"],
        }
    )
    sample, split = split_by_time(ratings["user"].to_numpy(), _HISTORY_ONLY)
    return assemble(ABOUT_1M, ratings, users, items, [1, 2, 3, 4, 5], sample, split, multi={"genres": genres})


def read_small(files: Mapping[str, bytes]) -> CTRDataset:
    """MovieLens-small from `ratings.csv` and `movies.csv`.

    Positive: rating >= 4. Per-user time split over at most the last 200 ratings of a user, the first five being history only.
    """
    ratings = _in_time_order(pd.read_csv(io.BytesIO(files["ratings.csv"]), names=["user", "item", "rating", "time"], header=0))
    movies = pd.read_csv(io.BytesIO(files["movies.csv"]), dtype=str, keep_default_na=False).astype({"movieId": int}).set_index("movieId")

    genres = [[] if text in ("", "(no genres listed)") else text.split("|") for text in movies["genres"]]
    titled = [
        f"{_article_first(title)} ({year})" if title else f"untitled movie {number}"
        for number, title, year in zip(movies.index, movies["title"], movies["year"], strict=True)
    ]
    items = pd.DataFrame(
        {"title": titled, "genre": [words[0] if words else "unknown" for words in genres], "year": movies["year"].replace("", "unknown")},
        index=movies.index,
    )
    users = pd.DataFrame(index=pd.Index(sorted(ratings["user"].unique())))
    sample, split = split_last_of_each_user(ratings["user"].to_numpy(), _HISTORY_ONLY, most=200)
    return assemble(ABOUT_SMALL, ratings, users, items, [0.5 * half for half in range(1, 11)], sample, split, multi={"genres": genres})


def _article_first(title: str) -> str:
    """ "Matrix, The" -> "The Matrix": the order people and language models know."""
    found = re.fullmatch(r"(.+), (The|A|An)", title)
    return f"{found[2]} {found[1]}" if found else title


def _in_time_order(ratings: pd.DataFrame) -> pd.DataFrame:
    """Events by (time, user, movie), labelled: both sets like what has four stars or more."""
    ratings = ratings.sort_values(["time", "user", "item"], kind="stable", ignore_index=True)
    return ratings.assign(label=ratings["rating"] >= 4)


def _dat(content: bytes, columns: list[str]) -> pd.DataFrame:
    """A `::`-separated file without header; it holds no tab, so a tab can stand for the separator."""
    return pd.read_csv(
        io.BytesIO(content.replace(b"::", b"\t")),
        sep="\t", names=columns, dtype={"zip": str}, encoding="latin-1", quoting=csv.QUOTE_NONE, keep_default_na=False,
    )  # fmt: skip


READERS = {
    "movielens-small": Reader(ABOUT_SMALL, MOVIELENS_SMALL, read_small),
    "ml-1m": Reader(ABOUT_1M, MOVIELENS_1M, read_1m),
}
