"""BookCrossing (C.-N. Ziegler, S. M. McNee, J. A. Konstan, G. Lausen, 2005, doi 10.1145/1060745.1060754): raw files to `CTRDataset`.

The selection, the order and the split are those of the siblings of the paper (ReLLa, arXiv 2308.11131). There is no time in this data:
each user's ratings are shuffled, the last one is the target and the others are its history, so there is one sample a user.
"""

from __future__ import annotations

import csv
import html
import io
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from laser_core.datasets.build import assemble
from laser_core.datasets.dataset import About, CTRDataset
from laser_core.datasets.sources import BOOKCROSSING, Reader

_SEED = 42
_FEWEST = 6  # ratings that a user must have
_UNKNOWN = "unknown"

ABOUT = About(
    name="bookcrossing",
    title="BookCrossing",
    item_noun="book",
    user_field="user",
    item_field="isbn",
    title_field="title",
    group_field="author",
    profile_fields=("country", "age"),
    input_fields=("user", "country", "age", "isbn", "title", "author", "year", "publisher"),
    history_length=60,
    label_rule="rating >= 5, an implicit rating (0) being negative",
    licence="freely available for research use when acknowledged (C.-N. Ziegler); nothing is said about redistribution or commercial use",
    citation="C.-N. Ziegler, S. M. McNee, J. A. Konstan and G. Lausen (2005), Improving Recommendation Lists Through Topic "
    "Diversification, WWW '05, doi 10.1145/1060745.1060754",
    redistributable=False,
    traps=(
        "The label is almost 'explicit or implicit rating': of explicit ratings 95 % are positive, of implicit ones none. A model can do "
        "well by guessing who rates at all; bookcrossing-explicit asks the question without that.",
        "There is no time: 'history' is a random part of a user's ratings and may hold what was read after the target.",
        "One sample a user, so no validation or test user is known from training: a user-id embedding learns nothing of use.",
        "The same book occurs under several ISBNs, and an author under several spellings ('RICHARD RUSSO').",
        "With 1,772 test rows the standard error of the AUC is about .012.",
    ),
)

ABOUT_EXPLICIT = replace(
    ABOUT,
    name="bookcrossing-explicit",
    title="BookCrossing, explicit ratings only",
    label_rule="rating >= 8, implicit ratings left out",
    traps=(
        "Not the paper's task: it exists because in bookcrossing the label is almost 'explicit or implicit rating'.",
        *ABOUT.traps[1:4],
    ),
)


def read(files: Mapping[str, bytes]) -> CTRDataset:
    """BookCrossing as in the paper: all ratings, positive from 5."""
    return _read(files, ABOUT, lowest=0, positive=5)


def read_explicit(files: Mapping[str, bytes]) -> CTRDataset:
    """Explicit ratings (1 to 10) only, positive from 8."""
    return _read(files, ABOUT_EXPLICIT, lowest=1, positive=8)


def _read(files: Mapping[str, bytes], about: About, lowest: int, positive: int) -> CTRDataset:
    """Keep ratings of at least `lowest` whose user and ISBN are known, and users with at least six of them."""
    users = _users(files["BX-Users.csv"])
    books = _books(files["BX-Books.csv"])
    ratings = _ratings(files["BX-Book-Ratings.csv"], set(users.index), set(books.index))
    ratings = ratings[ratings["rating"] >= lowest]
    sizes = ratings.groupby("user", sort=False).size()  # users in the order of their first rating
    kept = sizes[sizes >= _FEWEST]
    facts = {
        "ratings_of_known_users_and_books": len(ratings),
        "users_with_such_ratings": len(sizes),
        "users_dropped_for_too_few": len(sizes) - len(kept),
        "countries_of_all_users": users["country"].nunique(),
        "age_buckets_of_all_users": users["age"].nunique(),
    }

    rows = ratings.groupby("user", sort=False).indices  # each user's ratings in the order of the file
    order = [rows[user][_shuffled(len(rows[user]))] for user in kept.index[_shuffled(len(kept))]]
    ratings = ratings.iloc[np.concatenate(order)].reset_index(drop=True)
    ratings["label"] = ratings["rating"] >= positive
    sample = np.zeros(len(ratings), dtype=bool)
    sample[np.cumsum([len(part) for part in order]) - 1] = True
    split = np.full(len(ratings), "", dtype="<U5")
    split[sample] = _split(len(kept))
    books = books.loc[pd.unique(ratings["item"])]
    return assemble(replace(about, facts=facts), ratings, users.loc[kept.index], books, range(lowest, 11), sample, split)


@cache
def _shuffled(count: int) -> np.ndarray:
    """The order into which `random.shuffle` brings `count` things when the seed is 42."""
    order = list(range(count))
    random.Random(_SEED).shuffle(order)
    return np.array(order)


def _split(samples: int) -> np.ndarray:
    """The first 90 % are the siblings' training set, of which the last tenth validates here; the others test."""
    train = int(0.9 * samples)
    valid = train // 10
    return np.repeat(["train", "valid", "test"], [train - valid, valid, samples - train])


def _stream(content: bytes, newline: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="cp1252", errors="replace", newline=newline)


def _rows(content: bytes) -> Iterator[list[str]]:
    """The fields of each line below the header, without their quotes."""
    lines = iter(_stream(content, newline="\r\n"))
    next(lines)
    return (line.strip()[1:-1].split('";"') for line in lines)


def _words(field: str) -> str:
    r"""A field as people would read it: \" and HTML entities resolved, no tab."""
    return html.unescape(field.replace('\\"', '"')).replace("\t", " ").strip()


def _ratings(content: bytes, users: set[str], books: set[str]) -> pd.DataFrame:
    """The ratings of known users and books, in the order of the file."""
    rows = [(user, isbn, int(rating)) for user, isbn, rating in _rows(content) if user in users and isbn in books]
    return pd.DataFrame(rows, columns=["user", "item", "rating"])


def _books(content: bytes) -> pd.DataFrame:
    """Title, author, year and publisher of every book with a proper ISBN, which is the index."""
    rows = [(isbn, *map(_words, words[:4])) for isbn, *words in _rows(content) if re.fullmatch(r"[0-9A-Za-z]{10}", isbn)]
    books = pd.DataFrame(rows, columns=["isbn", "title", "author", "year", "publisher"]).drop_duplicates("isbn").set_index("isbn")
    books["year"] = books["year"].where(books["year"].str.len() == 4, _UNKNOWN)
    for column in ("author", "publisher"):
        books[column] = books[column].where(books[column].str.lower() != "n/a", _UNKNOWN)
    return books


def _users(content: bytes) -> pd.DataFrame:
    """Country and age bucket of every user; the id is the index."""
    reader = csv.reader(_stream(content, newline=""), delimiter=";", escapechar="\\", doublequote=False)
    next(reader)
    rows = [(user, _country(location), _age(age)) for user, location, age in reader]
    return pd.DataFrame(rows, columns=["user", "country", "age"]).set_index("user")


def _age(text: str) -> str:
    """Age bucket; half of the ages are missing, others are impossible."""
    if text == "NULL" or not 5 <= int(text) <= 100:
        return _UNKNOWN
    age = int(text)
    if age < 18:
        return "under 18"
    if age < 25:
        return "18-24"
    return "60+" if age >= 60 else f"{age // 5 * 5}-{age // 5 * 5 + 4}"


# Locations are free text, "town, region, country". Spellings of a country that its users wrote, and regions that stand in its place.
_SPELLINGS = {
    "Algeria": "Algérie|L`Algérie",
    "Austria": "Kärnten|Oberösterreich",
    "Baden-Württemberg": "Bademn Würtemberg",
    "Brazil": "Brasil|_ Brasil",
    "Chile": "Ix Región",
    "China": "P.R.China|P.R. China|P R China|China People`S Republic|People`S Republic Of China|La Chine Éternelle"
    "|Öð¹Ú|China Öð¹Ú|Chinaöð¹Ú|Ä\xb8\xadÅ?½",
    "Finland": "Länsi-Suomen Lääni",
    "France": "Rhône-Alpes|Rhône Alpes",
    "Greece": "Greece (=Hellas)",
    "Italy": "L`Italia",
    "Ivory Coast": "Cote D`Ivoire|Côte D",
    "Mexico": "México|Mã?Â©Xico",
    "Mozambique": "Moçambique",
    "Peru": "Perãº",
    "Poland": "Ma³Opolskie",
    "Portugal": "Santarém",
    "Spain": "España|Espaã±A|Espaã?Â±A|Spain/Andalucia/Cádiz|Catalunya Spain|Cataluña|Barcelonès|Berguedà|Castilla-León|A Coruña|Álava"
    "|Málaga|Mérida",
    "Sweden": "Nyhamnsläge|V.Götaland",
    "Turkey": "Türkiye|Içel",
    "UK": "Uk|U K",
    "USA": "Usa|Us|U.S.A|U.S>|U.S.A>|U.S. Of A|Good Old U.S.A",
    _UNKNOWN: "We`Re Global|ºþäï",
}
_COUNTRY = {spelling: country for country, spellings in _SPELLINGS.items() for spelling in spellings.split("|")}


@cache
def _country(location: str) -> str:
    """The country of a location: its last part, cleaned."""
    word = location.rpartition(", ")[2].strip(" ,.!").title()
    if word in _COUNTRY:
        return _COUNTRY[word]
    return _UNKNOWN if len(word) < 2 or re.search(r"&#|[?*@]|N/A", word) else word


READERS = {
    "bookcrossing": Reader(ABOUT, BOOKCROSSING, read),
    "bookcrossing-explicit": Reader(ABOUT_EXPLICIT, BOOKCROSSING, read_explicit),
}
