"""Which vectors a sample has: one of its item, one of its user before it.

Raw vectors come from the encoder (or a control) and are put on the principal axes of the fitted samples' vectors (`Space`). A user without
a text has the mean of the vectors of rated items, liked minus disliked, so that its product with an item's vector says how far that item
is like those the user liked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.knowledge.encoder import encode
from laser_core.knowledge.familiarity import familiarity
from laser_core.knowledge.fields import field_vectors
from laser_core.knowledge.generate import generate
from laser_core.knowledge.nearby import AXES, NUMBERS, items_read, nearby
from laser_core.knowledge.words import words_of
from laser_core.knowledge.writer import item_texts, snapshot_end, user_texts
from laser_core.lm import backbones
from laser_core.progress import Progress, no_progress
from laser_core.recommender import check_options

Tables = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""for user and item: (distinct, components) vectors, and (rows,) the place of each sample's"""


@dataclass(frozen=True)
class Known:
    """What the dense numbers of some samples read of items."""

    place: np.ndarray
    """(items + 1,) the row of each item in `nearby`, -1 for none"""
    nearby: np.ndarray
    """(distinct, axes) float32 vectors of the items before the samples, and of their own"""
    familiar: np.ndarray
    """(items + 1,) float32 how well the samples' own items are known"""


_CAUTION = 5.0  # a user's mean is pulled towards zero as by so many neutral events


@dataclass(frozen=True)
class VectorOptions:
    """Where the vectors of `laser-crm` come from."""

    encoder: str = "minilm-l6"
    """the language model whose hidden states are the vectors"""
    item_text: Literal["metadata", "title", "generated"] = "metadata"
    """what is encoded of an item; generated: what `language_model` writes of it"""
    user_text: Literal["ratings", "history", "generated"] = "ratings"
    """what is encoded of a user; ratings: no text, but the vectors of the items that the user rated, liked minus disliked"""
    language_model: str = "smollm2-135m"
    """who writes where texts are generated, and is asked how well it knows a title"""
    snapshot: int = 0
    """a user's vector is made anew after so many events; 0: after 30 where texts are encoded, after each where ratings are added up"""
    components: int = 32
    """principal axes kept of the vectors"""
    match: bool = True
    """how alike the two vectors are is one more dense number"""
    nearby: float = 0.1
    """width of the kernel by which what the user thought of the items nearest to the target makes two more (`nearby.py`); 0: no such"""
    familiar: bool = True
    """how well `language_model` knows the item by its title is one more (`familiarity.py`)"""
    vectors: Literal["real", "words", "fields", "random", "shuffled", "none"] = "real"
    """controls: instead of a language model's vectors the words of the same texts, counted (`words.py`), the items' fields as data
    (`fields.py`), random numbers, the vectors of another item (and user), none at all"""

    def __post_init__(self) -> None:
        for name in ("encoder", "language_model"):
            backbones.get(getattr(self, name))
        check_options(self, positive=("components",), not_negative=("snapshot", "nearby"))
        if self.vectors == "fields" and self.user_text != "ratings":
            raise UserError("option 'vectors': fields are of items, users have none: leave option 'user_text' at 'ratings'")

    @property
    def every(self) -> int:
        """Events between two snapshots."""
        return self.snapshot or (1 if self.user_text == "ratings" else 30)

    @property
    def dense(self) -> int:
        """How many dense numbers a sample's vectors make."""
        return self.match + NUMBERS * (self.nearby > 0) + self.familiar


@dataclass(frozen=True)
class Space:
    """Vectors centred, on their principal axes, with unit length: learned from the vectors of the fitted samples, without labels."""

    centre: np.ndarray
    """(size,)"""
    axes: np.ndarray
    """(size, components)"""

    @classmethod
    def fit(cls, vectors: np.ndarray, components: int) -> Self:
        """The axes along which the vectors differ most."""
        centre = vectors.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(vectors - centre, rowvar=False))  # by ascending variance
        return cls(centre, np.ascontiguousarray(axes[:, ::-1][:, : max(1, min(components, len(vectors) - 1))]))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """(n, components) unit vectors."""
        inside = (vectors - self.centre) @ self.axes
        return inside / np.maximum(np.linalg.norm(inside, axis=1, keepdims=True), 1e-9)


class Vectors:
    """The item's and the user's vector of any sample.

    Args:
        options: Where they come from.
    """

    def __init__(self, options: VectorOptions) -> None:
        self.options = options
        self.progress: Progress = no_progress
        self.spaces: dict[str, Space] = {}
        self.scale = np.zeros((2, options.dense))  # mean and standard deviation of the dense numbers among the fitted samples
        self._fitted: tuple[np.ndarray, Tables, np.ndarray] | None = None  # those samples, until they are asked for
        self._whole: tuple[str, Any] | None = None  # a data set's version, and the words or the fields of all its items

    def fit(self, dataset: CTRDataset, rows: np.ndarray, items: np.ndarray) -> Self:
        """Learn the axes from the vectors of `items` and, where users have texts, of the users; and how large the dense numbers are.

        Args:
            rows: The fitted samples; their labels are not read.
            items: The items that occur in them or their histories.
        """
        options, raw = self.options, self._raw_items(dataset, items)
        self.spaces = {"item": Space.fit(raw, options.components)}
        if options.nearby:
            self.spaces["nearby"] = Space.fit(raw, AXES)
        if options.user_text != "ratings":
            self.spaces["user"] = Space.fit(self._raw_users(dataset, *self._snapshots(dataset, rows)[0]), options.components)
        tables = self.tables(dataset, rows)
        numbers = self._numbers(dataset, rows, tables, self.known(dataset, rows))
        self.scale = np.stack([numbers.mean(axis=0, dtype=float), np.maximum(numbers.std(axis=0, dtype=float), 1e-6)])
        self._fitted = rows, tables, self._standard(numbers)
        return self

    def samples(self, dataset: CTRDataset, rows: np.ndarray) -> tuple[Tables, np.ndarray]:
        """`tables` and `numbers` of these samples; the fitted ones, which are asked for first, are at hand."""
        fitted, self._fitted = self._fitted, None
        if fitted is not None and fitted[0] is rows:
            return fitted[1:]
        tables = self.tables(dataset, rows)
        return tables, self.numbers(dataset, rows, tables)

    def tables(self, dataset: CTRDataset, rows: np.ndarray) -> Tables:
        """For user and item: the (distinct, components) vectors among the samples, and each sample's (rows,) place."""
        items, item_place = np.unique(dataset.sample_item(rows), return_inverse=True)
        (users, ends), user_place = self._snapshots(dataset, rows)
        if self.options.user_text == "ratings":
            user_vectors = self._rated(dataset, users, ends)
        else:
            user_vectors = self.spaces["user"](self._raw_users(dataset, users, ends))
        item_vectors = self.spaces["item"](self._raw_items(dataset, items))
        return (user_vectors.astype(np.float32), user_place), (item_vectors.astype(np.float32), item_place)

    def numbers(self, dataset: CTRDataset, rows: np.ndarray, tables: Tables | None, known: Known | None = None) -> np.ndarray:
        """(rows, numbers) float32, standardised: the product of each sample's two vectors, what `nearby` says, and `familiarity`.

        Args:
            tables: What `tables` gives for these samples; read for the product only.
            known: What `known` gives for these samples or more.
        """
        return self._standard(self._numbers(dataset, rows, tables, known or self.known(dataset, rows)))

    def _numbers(self, dataset: CTRDataset, rows: np.ndarray, tables: Tables | None, known: Known) -> np.ndarray:
        """As they come."""
        options = self.options
        parts = [np.empty((len(rows), 0))]
        if options.match:
            parts.append(products(tables)[:, None])
        if options.nearby:
            ends = snapshot_end(dataset, rows, options.every)
            parts.append(nearby(dataset, dataset.sample_event[rows], ends, known.nearby, known.place, options.nearby))
        if options.familiar:
            parts.append(known.familiar[dataset.sample_item(rows)][:, None])
        return np.concatenate(parts, axis=1)

    def _standard(self, numbers: np.ndarray) -> np.ndarray:
        mean, deviation = self.scale
        return ((numbers - mean) / deviation).astype(np.float32)

    def known(self, dataset: CTRDataset, rows: np.ndarray) -> Known:
        """What the dense numbers read of the samples' own items and of all items before them."""
        options, own = self.options, np.unique(dataset.sample_item(rows))
        place, vectors = np.full(dataset.items + 1, -1, dtype=np.int32), np.zeros((0, 0), dtype=np.float32)
        if options.nearby:
            items = items_read(dataset, dataset.sample_event[rows], snapshot_end(dataset, rows, options.every))
            place[items] = np.arange(len(items))
            vectors = self.spaces["nearby"](self._raw_items(dataset, items)).astype(np.float32)
        familiar = np.zeros(dataset.items + 1, dtype=np.float32)
        if options.familiar:
            familiar[own] = self._familiar(dataset, own)
        return Known(place, vectors, familiar)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is learned."""
        parts = {f"{name}.{part}": value for name, space in self.spaces.items() for part, value in vars(space).items()}
        return parts | {"scale": self.scale}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `arrays`."""
        names = [name.removesuffix(".axes") for name in arrays if name.endswith(".axes")]
        self.spaces = {name: Space(arrays[f"{name}.centre"], arrays[f"{name}.axes"]) for name in names}
        self.scale = arrays["scale"]

    def _snapshots(self, dataset: CTRDataset, rows: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """The distinct snapshots (user, end) that samples read, and each sample's place among them."""
        user, end = dataset.sample_user(rows), snapshot_end(dataset, rows, self.options.every)
        distinct, place = np.unique(np.stack([user, end]), axis=1, return_inverse=True)
        return (distinct[0], distinct[1]), place.reshape(-1)

    def _rated(self, dataset: CTRDataset, users: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(snapshots, components) of ascending snapshots: sum of (label - the user's mean label) * item vector over the events so far, by
        their number (`_CAUTION` more of them)."""
        first = dataset.user_offsets[users]
        last = np.flatnonzero(np.diff(users, append=-1))  # of each user: the longest snapshot
        events = np.concatenate([last[:0], *(np.arange(a, b) for a, b in zip(first[last], ends[last], strict=True))])
        items, place = np.unique(dataset.event_item[events], return_inverse=True)
        result = np.zeros((len(users), self.spaces["item"].axes.shape[1]))
        if len(items) == 0:
            return result
        vectors = self.spaces["item"](self._raw_items(dataset, items))[place]  # (events, components)
        label = dataset.event_label[events][:, None].astype(np.float64)
        begin = 0
        for mine in np.split(np.arange(len(users)), last[:-1] + 1):  # one user's snapshots
            many = (ends - first)[mine][:, None]  # (snapshots, 1)
            own = slice(begin, begin := begin + int(many[-1, 0]))
            seen, liked, likes = (_before(part)[many[:, 0]] for part in (vectors[own], label[own] * vectors[own], label[own]))
            result[mine] = (liked - (likes + 1) / (many + 2) * seen) / (many + _CAUTION)
        return result

    def _raw_items(self, dataset: CTRDataset, items: np.ndarray) -> np.ndarray:
        """(items, size) as the encoder or a control gives them."""
        options = self.options
        if options.vectors == "random":
            return _random([("item", int(item)) for item in items])
        if options.vectors == "shuffled":
            items = _other(dataset.items)[items]
        if options.vectors == "fields":
            return self._of_all(dataset, lambda: field_vectors(dataset))[items]
        return self._read(dataset, item_texts(dataset, items.tolist(), options.item_text, self._write))

    def _familiar(self, dataset: CTRDataset, items: np.ndarray) -> np.ndarray:
        """(items,) as the language model or a control gives them."""
        options = self.options
        if options.vectors == "random":
            return _random([("familiar", int(item)) for item in items], 1)[:, 0]
        if options.vectors == "shuffled":
            items = _other(dataset.items)[items]
        titles = [dataset.title(item) for item in items.tolist()]
        return familiarity(options.language_model, titles, dataset.about.item_noun, self.progress)

    def _raw_users(self, dataset: CTRDataset, users: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(snapshots, size) as the encoder or a control gives them."""
        options = self.options
        if options.vectors == "random":
            return _random([("user", int(user), int(end)) for user, end in zip(users, ends, strict=True)])
        if options.vectors == "shuffled":
            many = ends - dataset.user_offsets[users]
            users = _other(dataset.users)[users]
            ends = dataset.user_offsets[users] + np.minimum(many, dataset.user_offsets[users + 1] - dataset.user_offsets[users])
        return self._read(dataset, user_texts(dataset, users, ends, options.user_text, self._write))

    def _read(self, dataset: CTRDataset, texts: list[str]) -> np.ndarray:
        """(texts, size) what the encoder makes of them, or their words; the words are those of all items' texts."""
        options = self.options
        if options.vectors != "words":
            return encode(options.encoder, texts, progress=self.progress)
        everything = range(1, dataset.items + 1)
        return self._of_all(dataset, lambda: words_of(tuple(item_texts(dataset, everything, options.item_text, self._write))))(texts)

    def _of_all(self, dataset: CTRDataset, make: Callable[[], Any]) -> Any:
        """What is made of all items of a data set, once for its version."""
        if self._whole is None or self._whole[0] != dataset.version:
            self.progress("reading all items", 0, 0)
            self._whole = dataset.version, make()
        return self._whole[1]

    def _write(self, prompts: list[str]) -> list[str]:
        return generate(self.options.language_model, prompts, progress=self.progress)


def products(tables: Tables) -> np.ndarray:
    """(rows,) <user vector, item vector> of each sample."""
    (users, user_place), (items, item_place) = tables
    return np.einsum("nk,nk->n", users[user_place], items[item_place])


def _before(values: np.ndarray) -> np.ndarray:
    """(events + 1, size) sums of the first 0, 1, 2, ... rows."""
    return np.concatenate([np.zeros_like(values[:1], shape=(1, values.shape[1])), np.cumsum(values, axis=0)])


def _random(keys: list[tuple[object, ...]], size: int = 384) -> np.ndarray:
    """(keys, size) normal numbers, always the same for the same key."""
    seeds = [int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") for key in keys]
    return np.array([np.random.default_rng(seed).standard_normal(size) for seed in seeds]).reshape(-1, size)


def _other(count: int) -> np.ndarray:
    """(count + 1,) the codes from 1 in another order, always the same; by chance a few keep their own."""
    return np.concatenate([[0], 1 + np.random.default_rng(count).permutation(count)])
