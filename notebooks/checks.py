"""Checks of the exercises: each says right, or what to look at again. They know the answer by another way than the solution's."""

from __future__ import annotations

import math
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable
from itertools import combinations, combinations_with_replacement, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import entropy as coin_entropy
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss as sk_log_loss
from sklearn.metrics import roc_auc_score

from laser_core.datasets import custom
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import LaserError
from laser_core.metrics import Curve, bootstrap_auc
from laser_core.study import paper
from laser_core.study.spec import load_study


def say(exercise: int, begun: bool, right: Callable[[], bool], hint: str) -> None:
    """Print the verdict."""
    verdict = "not begun" if not begun else "right" if right() else "not yet"
    print(f"Exercise {exercise}: {verdict}." + ("" if verdict == "right" else f" Hint: {hint}"))


# ---- 00_welcome ----------------------------------------------------------------------------------------------------------------


def history_sees_no_future(answer: Any, dataset: CTRDataset, row: int) -> None:
    """Exercise 1: the titles of the history that a sample shows a model, oldest first."""
    event = dataset.sample_event[row]
    user = dataset.event_user[event]
    earlier = [place for place in range(event) if dataset.event_user[place] == user][-dataset.about.history_length :]
    titles = [dataset.title(dataset.event_item[place]) for place in earlier]
    say(
        1,
        answer is not ...,
        lambda: list(answer) == titles,
        "`dataset.history_events(row)` gives the numbers of the last 30 earlier ratings; `event_item` has their items.",
    )


def auc_by_hand(function: Callable) -> None:
    """Exercise 2: AUC as the share of pairs in the right order, ties counted half."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    scores = np.round(generator.random(60), 1)  # one decimal: ties occur
    answer = function(labels, scores)
    say(
        2,
        answer is not None,
        lambda: np.isclose(answer, roc_auc_score(labels, scores)),
        "compare every positive score with every negative one; a pair with equal scores counts one half.",
    )


def labels_needed(answer: Any, curve: dict[int, float], reference: float) -> None:
    """Exercise 3: the smallest N whose AUC reaches a reference."""
    reached = [n for n, value in sorted(curve.items()) if value >= reference]
    say(
        3,
        answer is not ...,
        lambda: answer == (reached[0] if reached else None),
        "go through N from the smallest; `None` if none reaches it.",
    )


# ---- 01_data -------------------------------------------------------------------------------------------------------------------


def _number(exercise: int, answer: Any, truth: Callable[[], float], hint: str, tolerance: float = 1e-6) -> None:
    """An exercise whose answer is one number."""
    say(exercise, answer is not ..., lambda: abs(float(answer) - truth()) <= tolerance, hint)


def steps_back(answer: Any, dataset: CTRDataset, place: np.ndarray) -> None:
    """Exercise 1: how often a user's next sample is in an earlier split."""

    def truth() -> int:
        found = 0
        for user in range(1, dataset.users + 1):
            own = [part for part in place[dataset.user_offsets[user] : dataset.user_offsets[user + 1]] if part >= 0]
            found += sum(after < before for before, after in pairwise(own))
        return found

    _number(1, answer, truth, "the two lines that computed `backwards`, with `shuffled` for `place`.")


def leave_one_out(function: Callable) -> None:
    """Exercise 2: the mean label of the other samples of the same item."""
    items, labels = np.array([3, 1, 3, 2, 3, 1]), np.array([1, 0, 0, 1, 1, 1])
    answer = function(items, labels)
    truth = [
        np.mean(labels[[k for k in range(6) if k != j and items[k] == item] or range(6)])
        for j, item in enumerate(items)
    ]
    say(
        2,
        answer is not None,
        lambda: np.allclose(answer, truth),
        "sum and count of each item, less the sample's own; mind items that occur once.",
    )


def auc_within(answer: Any, labels: np.ndarray) -> None:
    """Exercise 3: the leave-one-out mean ranks an item's samples exactly the wrong way round."""

    def truth() -> float:
        means = [np.delete(labels, place).mean() for place in range(len(labels))]
        return float(roc_auc_score(labels, means))

    _number(3, answer, truth, "`auc(labels, numbers)` of these samples alone, all with the same item number.")


def nested_shots(function: Callable) -> None:
    """Exercise 4: nested draws, at random: neither some rows more often than others nor always the same distances between them."""
    rows = np.arange(100, 200)

    def right() -> bool:
        draws = {(n, seed): set(np.asarray(function(rows, n, seed)).tolist()) for n in (5, 20, 60) for seed in (1, 2)}
        sizes = all(len(drawn) == n and drawn <= set(rows.tolist()) for (n, _), drawn in draws.items())
        nested = all(draws[5, seed] < draws[20, seed] < draws[60, seed] for seed in (1, 2))
        many = [sorted(np.asarray(function(rows, 5, seed)).tolist()) for seed in range(400)]
        # around a circle of 100 rows: five at random have about nine different distances, five at equal steps four
        apart = np.mean([len({min(b - a, 100 - b + a) for a, b in combinations(drawn, 2)}) for drawn in many])
        counts = Counter(row for drawn in many for row in drawn)  # 20 expected of each row
        random = apart > 8 and len(counts) == len(rows) and max(counts.values()) < 50
        return sizes and nested and random and draws[20, 1] != draws[20, 2] and set(function(rows, 5, 1)) == draws[5, 1]

    say(
        4,
        function(rows, 5, 1) is not None,
        right,
        "shuffle once with the seed, then take the first n: prefixes of one order are nested.",
    )


def share_of_ten(answer: Any, dataset: CTRDataset) -> None:
    """Exercise 5: the share of test samples of the ten users with most of them."""
    top = Counter(dataset.sample_user(dataset.test).tolist()).most_common(10)
    truth = sum(samples for _, samples in top) / len(dataset.test)
    _number(5, answer, lambda: truth, "`np.bincount(data.sample_user(data.test))` counts each user's samples.")


# ---- 02_metrics ----------------------------------------------------------------------------------------------------------------


def log_loss_by_hand(function: Callable) -> None:
    """Exercise 1: log loss that stays finite."""
    labels, said = np.array([1, 0, 1, 0, 1]), np.array([0.9, 0.2, 0.5, 1.0, 0.0])
    answer = function(labels, said)
    truth = -sum(math.log(min(max(p if y else 1 - p, 1e-15), 1)) for y, p in zip(labels, said, strict=True)) / 5
    say(
        1,
        answer is not None,
        lambda: np.isclose(answer, truth, rtol=1e-3),
        "`np.clip` first, then the log of p for a 1, of 1 - p for a 0.",
    )


def spoiled(answer: Any, labels: np.ndarray, said: np.ndarray) -> None:
    """Exercise 2: the same AUC, a log loss above 1."""

    def right() -> bool:
        worse = np.asarray(answer, dtype=float)
        inside = worse.shape == said.shape and worse.min() >= 0 and worse.max() <= 1
        return (
            inside
            and np.isclose(roc_auc_score(labels, worse), roc_auc_score(labels, said))
            and sk_log_loss(labels, worse) > 1
        )

    say(
        2,
        answer is not ...,
        right,
        "any rising function from [0, 1] to [0, 1] keeps the order; push everything to one side.",
    )


def redraw_users(function: Callable, labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> None:
    """Exercise 3: the bootstrap over users, as wide as the kit's (within what 100 draws allow); three users show every draw there is."""
    answer = function(labels, scores, users, 100, 1)
    few = [(np.array([1, 0]), np.array(own)) for own in ([0.9, 0.1], [0.2, 0.8], [0.6, 0.5])]

    def few_auc(drawn: tuple[int, ...]) -> float:
        return roc_auc_score(*(np.concatenate([few[user][part] for user in drawn]) for part in (0, 1)))

    def right() -> bool:
        truth = bootstrap_auc(labels, scores, users, 400)
        possible = {round(few_auc(drawn), 6) for drawn in combinations_with_replacement(range(3), 3)}
        own = [np.concatenate([user[part] for user in few]) for part in (0, 1)]
        found = {round(float(value), 6) for value in function(*own, np.repeat([7, 3, 9], 2), 200, 1)}
        return (
            len(answer) == 100
            and abs(np.mean(answer) - truth.mean()) < 0.005
            and 0.75 < np.std(answer) / truth.std() < 1.3
            and found == possible
        )

    say(
        3,
        answer is not None,
        right,
        "draw user numbers with replacement, then take all samples of each drawn user, twice if drawn twice.",
    )


def holm_by_hand(function: Callable) -> None:
    """Exercise 4: Holm's correction."""
    p_values = np.array([0.04, 0.001, 0.03, 0.7, 0.011, 0.6])
    answer = function(p_values)
    truth = [0.12, 0.006, 0.12, 1, 0.055, 1]
    say(
        4,
        answer is not None,
        lambda: np.allclose(answer, truth),
        "`np.maximum.accumulate` keeps the corrected values from falling.",
    )


# ---- 03_feature_interactions ---------------------------------------------------------------------------------------------------


def _tensors(exercise: int, function: Callable, inputs: list[np.ndarray], truth: np.ndarray, hint: str) -> None:
    """An exercise whose answer is a function of tensors."""
    import torch

    answer = function(*map(torch.from_numpy, inputs))
    say(
        exercise,
        answer is not None,
        lambda: answer.shape == truth.shape and np.allclose(answer.detach().numpy(), truth),
        hint,
    )


def all_pairs(function: Callable) -> None:
    """Exercise 1: the sum of all pairwise inner products."""
    vectors = np.random.default_rng(0).normal(size=(3, 5, 4))
    gram = np.einsum("bie,bje->bij", vectors, vectors)
    truth = np.triu(gram, k=1).sum((1, 2))
    _tensors(
        1,
        function,
        [vectors],
        truth,
        "two loops, `for i` and `for j in range(i + 1, ...)`; sum over the embedding, not over the batch.",
    )


def cross_layer(function: Callable) -> None:
    """Exercise 2: one layer of DCNv2."""
    generator = np.random.default_rng(0)
    x0, x, weight, bias = (generator.normal(size=shape) for shape in ((3, 4), (3, 4), (4, 4), (4,)))
    truth = np.array([[x0[b, i] * (weight[i] @ x[b] + bias[i]) + x[b, i] for i in range(4)] for b in range(3)])
    _tensors(
        2,
        function,
        [x0, x, weight, bias],
        truth,
        "`x @ weight.T + bias`, times x0 element by element, plus x (not x0).",
    )


def attend(function: Callable) -> None:
    """Exercise 3: softmax(Q K^T) V."""
    query, key, value = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    share = np.exp(np.einsum("bie,bje->bij", query, key))
    truth = np.einsum("bij,bje->bie", share / share.sum(2, keepdims=True), value)
    _tensors(
        3,
        function,
        [query, key, value],
        truth,
        "the weights are (batch, fields, fields) and sum to 1 over the last axis.",
    )


def times_as_many(answer: Any) -> None:
    """Exercise 4: a weight a pair against an FM."""
    _number(
        4,
        answer,
        lambda: 22384240 / 321618,
        "pairs: users times films; FM: (users + films) values, each with 32 + 1 numbers.",
        0.5,
    )


# ---- 04_sequences --------------------------------------------------------------------------------------------------------------


def strictly_earlier(function: Callable) -> None:
    """Exercise 1: a causal mask without the diagonal."""
    answer = function(4)
    truth = [[column < row for column in range(4)] for row in range(4)]
    say(
        1,
        answer is not None,
        lambda: np.asarray(answer).astype(bool).tolist() == truth,
        "row 0 may read nothing; the diagonal is False.",
    )


def last_state(function: Callable) -> None:
    """Exercise 2: the state at the last real event."""
    states, length = np.random.default_rng(0).normal(size=(3, 4, 2)), np.array([2, 4, 0])
    truth = np.stack([states[0, 1], states[1, 3], np.zeros(2)])
    _tensors(
        2,
        function,
        [states, length],
        truth,
        "index with `length - 1`, kept at 0 or more; then zero the rows of length 0.",
    )


def looks_ahead(function: Callable) -> None:
    """Exercise 3: does a later token change an earlier state? The tokens may be tensors or NumPy arrays."""

    def honest(tokens: Any) -> Any:
        return tokens.cumsum(0)

    def next_door(tokens: Any) -> Any:
        states = tokens + 0.0
        states[:-1] += 0.01 * tokens[1:]
        return states

    def last_only(tokens: Any) -> Any:
        states = tokens.cumsum(0)
        states[-2] = states[-2] + tokens[-1] ** 2
        return states

    def first_only(tokens: Any) -> Any:
        states = tokens.cumsum(0)
        states[0] = states[0] + tokens[1] ** 2
        return states

    answer = function(honest, 5, 3)
    right = lambda: not answer and all(function(leak, 5, 3) for leak in (next_door, last_only, first_only))  # noqa: E731
    say(3, answer is not None, right, "change one token at a time, at every place, and compare all states before it.")


def same_genre(answer: Any, dataset: CTRDataset, row: int, most: int) -> None:
    """Exercise 4: the last events of the whole history that share a genre with the target."""

    def truth() -> list[int]:
        field, target = dataset.fields["genres"], dataset.sample_event[row]
        genres = [set(field.codes[field.offsets[item] : field.offsets[item + 1]]) for item in range(dataset.items + 1)]
        first = dataset.user_offsets[dataset.event_user[target]]
        found = [
            event
            for event in range(first, target)
            if genres[dataset.event_item[event]] & genres[dataset.event_item[target]]
        ]
        return found[-most:]

    say(
        4,
        answer is not ...,
        lambda: list(answer) == truth(),
        "`data.history_events(row, 0)` is the whole history, oldest first.",
    )


# ---- 10_overall_performance ----------------------------------------------------------------------------------------------------


def improvement(answer: Any) -> None:
    """Exercise 1: Rel.Impr of the paper's MovieLens-1M column."""
    table = paper.table_1().query("dataset == 'ml-1m'").set_index("row")["rel_impr"]
    right = lambda: (  # noqa: E731
        set(answer) == set(table.index) and all(np.isclose(answer[row], value) for row, value in table.items())
    )
    say(1, answer is not ..., right, "AUC of 'Laser, LLM only' divided by the row's AUC, minus 1.")


def agreement(answer: Any, pairs: Any) -> None:
    """Exercise 2: Spearman's correlation."""
    from scipy.stats import spearmanr

    _number(
        2,
        answer,
        lambda: spearmanr(pairs.iloc[:, 0], pairs.iloc[:, 1]).statistic,
        "`.rank()` both columns, then `.corr`.",
    )


def least_difference(answer: Any, one: np.ndarray, other: np.ndarray) -> None:
    """Exercise 3: half the interval of a paired difference, and how much wider an unpaired one is."""
    covariance = np.cov(one, other, ddof=0)
    paired = 1.96 * np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    truth = [paired, 1.96 * np.sqrt(np.trace(covariance)) / paired]
    say(
        3,
        answer is not ...,
        lambda: np.allclose(answer, truth, rtol=0.01),
        "subtract draw by draw first; variances of unpaired values add.",
    )


def study_text(answer: Any) -> None:
    """Exercise 4: a study as TOML."""

    def right() -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mine.toml"
            path.write_text(answer, encoding="utf-8")
            planned = load_study(path, "demo").cells()
        found = {
            (cell.dataset, cell.system, cell.shots, cell.seed, cell.options.get("statistics", True)) for cell in planned
        }
        return found == {("movielens-small", "sim", 1024, seed, on) for seed in (0, 1) for on in (True, False)}

    say(
        4,
        answer is not ...,
        right,
        "one [[grid]] with datasets, systems, shots, seeds, and vary = { statistics = [true, false] }.",
    )


# ---- 11_sample_efficiency ------------------------------------------------------------------------------------------------------


def needed(answer: Any, baseline: Curve, system: Curve) -> None:
    """Exercise 1: labels the baseline needs for the system's second point, by straight lines over log N."""

    def truth() -> float:
        low, high = np.log(baseline.shots[0]), np.log(baseline.shots[-1])
        rising = np.maximum.accumulate(baseline.mean)
        for _ in range(60):  # by halving the interval
            middle = (low + high) / 2
            reached = np.interp(middle, np.log(baseline.shots), rising) >= system.mean[1]
            low, high = (low, middle) if reached else (middle, high)
        return float(np.exp(high))

    hint = "`labels_needed(plain.shots, plain.mean, ...)` with the second of `enriched.mean`."
    say(1, answer is not ..., lambda: np.isclose(float(answer), truth(), rtol=1e-3), hint)


def pooled(function: Callable) -> None:
    """Exercise 2: isotonic regression."""
    series = [np.array([0.6, 0.7, 0.65, 0.66, 0.8, 0.75]), np.array([0.9, 0.8, 0.1]), np.array([0.5, 0.6])]
    answers = [function(values) for values in series]
    right = lambda: all(np.allclose(a, isotonic_regression(v)) for a, v in zip(answers, series, strict=True))  # noqa: E731
    say(
        2,
        answers[0] is not None,
        right,
        "keep a list of (mean, size) blocks; merge the last two while the earlier one is higher.",
    )


def mean_over_log(function: Callable) -> None:
    """Exercise 3: the mean of a curve over log N."""
    answer = function(np.array([64, 256, 4096]), np.array([0.6, 0.7, 0.8]))
    say(
        3,
        answer is not None,
        lambda: np.isclose(answer, (0.65 + 2 * 0.75) / 3),
        "the natural log or any other: the base cancels.",
    )


def labels_seen(function: Callable) -> None:
    """Exercise 4: distinct labels in overlapping prompts."""
    answers = [function([[1, 2, 3], [2, 3, 4], [9]]), function([[5]]), function([[1, 2], [1, 2]])]
    say(
        4,
        answers[0] is not None,
        lambda: answers == [5, 1, 2],
        "a rating that two prompts ask about is one label, not two.",
    )


# ---- 12_inference_time ---------------------------------------------------------------------------------------------------------


def ratio(answer: Any) -> None:
    """Exercise 1: LLM+CRM against SIM in the paper's Table 2."""
    table = paper.table_2().set_index(["dataset", "row"])["seconds"]
    values = [table[name, "Laser, LLM+CRM"] / table[name, "SIM"] for name in ("bookcrossing", "ml-1m")]
    _number(1, answer, lambda: sum(values) / 2, "divide within each data set, then take the mean of the two.")


def pays_after(function: Callable) -> None:
    """Exercise 2: the first number of predictions at which caching is cheaper."""
    given = [(10.0, 0.001, 0.8), (1.0, 0.0, 0.5), (0.3, 0.1, 1.0)]

    def first(text: float, crm: float, llm: float) -> int:
        return next(n for n in range(1, 10_000) if text + n * crm < n * llm)

    answers = [function(*values) for values in given]
    say(
        2,
        answers[0] is not None,
        lambda: answers == [first(*values) for values in given],
        "text + n crm < n llm; strictly cheaper.",
    )


def split_cost(function: Callable) -> None:
    """Exercise 3: price of a call and of a row."""
    answers = [function((1, 100), (0.0103, 0.0004)), function((32, 1024), (0.0005 + 0.001 / 32, 0.0005 + 0.001 / 1024))]
    say(
        3,
        answers[0] is not None,
        lambda: np.allclose(answers, [(0.01, 0.0003), (0.001, 0.0005)], atol=0),
        "two equations, two unknowns: subtract them first.",
    )


def ask_within(function: Callable) -> None:
    """Exercise 4: whom to ask, one after another as long as the budget lasts."""
    p = np.array([0.9, 0.53, 0.125, 0.44, 0.53, 0.7])
    given = [(0.125, 0.5, budget) for budget in (0.25, 0.75, 1.25, 2.0, 3.0, 100.0)] + [(0.25, 2.0, 6.0)]

    def truth(cheap: float, llm: float, budget: float) -> list[int]:
        asked: list[int] = []
        while len(asked) < len(p) and len(p) * cheap + (len(asked) + 1) * llm <= budget:
            asked.append(min(set(range(len(p))) - set(asked), key=lambda place: (abs(p[place] - 0.5), place)))
        return asked

    answers = [function(p.copy(), *costs) for costs in given]
    say(
        4,
        answers[0] is not None,
        lambda: [np.asarray(answer).tolist() for answer in answers] == [truth(*costs) for costs in given],
        "every sample costs `cheap`, also those that are asked about; what is left, divided by `llm` and rounded down, but not below 0.",
    )


# ---- 14_your_own_data ----------------------------------------------------------------------------------------------------------


def books(answer: Any) -> None:
    """Exercise 1: a mapping file for a table with semicolons and no time."""

    def right() -> bool:
        generator = np.random.default_rng(0)
        lines = [f"r{reader};{isbn:010d};{generator.integers(1, 11)}" for reader in range(12) for isbn in range(8)]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "books.csv").write_text("\n".join(["reader;isbn;grade", *lines]), encoding="utf-8")
            path = Path(folder) / "books.toml"
            path.write_text(answer, encoding="utf-8")
            try:
                made = custom.build(custom.open_mapping(path))
            except LaserError as error:
                print(f"The kit says: {str(error).replace(folder, '.')}")
                return False
        liked = np.array([made.rating_values[code] >= 8 for code in made.event_rating])
        words = (made.name, made.about.item_noun, made.samples, len(made.rating_values))
        by_chance = tomllib.loads(answer)["split"] == "random"  # there is no time to split by
        return by_chance and words == ("course-books", "book", 12 * 6, 11) and (made.event_label == liked).all()

    say(
        1,
        answer is not ...,
        right,
        "split = 'random', history_only = 2; in [ratings]: file, delimiter, user, item, rating, scale.",
    )


def most_even_cut(function: Callable) -> None:
    """Exercise 2: the label rule nearest to balance."""
    given = [np.array([1, 2, 3, 4, 4, 5]), np.array([0.5, 5, 5, 5]), np.array([1, 1, 1, 2, 3])]
    answers = [function(values) for values in given]
    say(2, answers[0] is not None, lambda: answers == [4, 5, 2], "try each rating that occurs as the cut.")


def newcomers(answer: Any, dataset: CTRDataset) -> None:
    """Exercise 3: test samples of users with a short history."""

    def truth() -> float:
        return float(np.mean([len(dataset.history_events(row, 0)) < 10 for row in dataset.test]))

    _number(3, answer, truth, "a sample's event number minus the start of its whole history (`length=0`).")


# ---- 15_which_labels -----------------------------------------------------------------------------------------------------------


def take_turns(function: Callable) -> None:
    """Exercise 1: each user once before any twice."""
    generator = np.random.default_rng(0)
    cases = [(generator.integers(0, 6, 20).tolist(), n) for n in (1, 5, 9, 20)]
    answers = [function(users, n) for users, n in cases]

    def expected(users: list[int], n: int) -> list[int]:
        rounds: list[int] = []
        while len(rounds) < len(users):  # pass after pass: of each user the first place that is left
            taken: set[int] = set()
            for place, user in enumerate(users):
                if place not in rounds and user not in taken:
                    taken.add(user)
                    rounds.append(place)
        return rounds[:n]

    say(
        1,
        answers[0] is not None,
        lambda: all(list(answer) == expected(*case) for answer, case in zip(answers, cases, strict=True)),
        "number each user's entries 0, 1, 2, ... and sort places by that number, keeping the order of equals.",
    )


def entropy(function: Callable) -> None:
    """Exercise 2: the entropy of a coin."""
    p = np.array([0.0, 0.1, 0.5, 0.73, 1.0])
    answer = function(p)
    say(
        2,
        answer is not None,
        lambda: np.allclose(answer, [coin_entropy([one, 1 - one]) for one in p], atol=1e-9),
        "p ln p goes to 0 with p: keep p a little away from 0 and 1. (The ranking is the same: both fall with the distance from one half.)",
    )


def seeds_for(function: Callable) -> None:
    """Exercise 3: seeds until a gap shows."""
    answers = [function(0.01, 0.02), function(0.005, 0.02), function(0.05, 0.01)]
    say(
        3,
        answers[0] is not None,
        lambda: answers == [16, 62, 1],
        "the standard error of the mean is sd / sqrt(seeds): gap = 1.96 * sd / sqrt(seeds), solved for seeds, rounded up.",
    )


# ---- 16_what_counting_knows -----------------------------------------------------------------------------------------------------


def careful_share(function: Callable) -> None:
    """Exercise 1: a share pulled towards a more general one."""
    cases = [(0, 0, 0.6, 10), (1, 1, 0.6, 10), (30, 40, 0.5, 5), (3, 8, 0.25, 0.0)]
    answers = [function(*case) for case in cases]

    def expected(liked: int, count: int, overall: float, weight: float) -> float:
        real = [1.0] * liked + [0.0] * (count - liked)
        return float(np.average([*real, overall], weights=[1.0] * count + [weight]))

    say(
        1,
        answers[0] is not None,
        lambda: np.allclose(answers, [expected(*case) for case in cases]),
        "add weight * overall to the likes and weight to the count; with no label it must be `overall`.",
    )


def unlabelled(function: Callable) -> None:
    """Exercise 2: the share of test samples whose film no shot is about."""
    generator = np.random.default_rng(0)
    cases = [(generator.integers(0, 40, n), generator.integers(0, 40, 200)) for n in (1, 12, 60)]
    answers = [function(*case) for case in cases]

    def expected(shots: np.ndarray, tests: np.ndarray) -> float:
        known = set(shots.tolist())
        return sum(film not in known for film in tests.tolist()) / len(tests)

    say(
        2,
        answers[0] is not None,
        lambda: np.allclose(answers, [expected(*case) for case in cases]),
        "`np.isin` says of each test sample's film whether it is among the films of the shots; a mean of booleans is a share.",
    )


def ease(function: Callable) -> None:
    """Exercise 3: the closed form against one ridge regression an item."""
    ratings = np.random.default_rng(0).normal(size=(30, 6))
    answer = function(ratings.copy(), 2.5)

    def column(item: int) -> np.ndarray:
        others = [other for other in range(6) if other != item]
        fitted = Ridge(alpha=2.5, fit_intercept=False).fit(ratings[:, others], ratings[:, item])
        return np.insert(fitted.coef_, item, 0.0)

    say(
        3,
        answer is not None,
        lambda: np.allclose(answer, np.stack([column(item) for item in range(6)], axis=1), atol=1e-6),
        "divide column t of -P by P[t, t] (NumPy divides columns when you divide by a row), then set the diagonal to zero.",
    )
