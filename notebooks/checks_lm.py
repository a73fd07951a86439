"""Checks of the exercises in the notebooks on language models; they know the answer by another way than the solution's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from checks import say
from scipy.optimize import brentq
from scipy.special import expit, softmax

# ---- 05_prompting --------------------------------------------------------------------------------------------------------------


def yes_probability(function: Callable) -> None:
    """05, exercise 1: the two-way softmax, also where exp would overflow."""
    pairs = np.array([[1.0, 1.0], [2.0, -1.0], [-3.5, 0.25], [900.0, 899.0], [-900.0, -899.0]])
    with np.errstate(all="ignore"):
        answers = [function(yes, no) for yes, no in pairs]
    say(
        1,
        answers[0] is not None,
        lambda: np.allclose(np.array(answers, dtype=float), softmax(pairs, axis=1)[:, 0]),
        "divide above and below by exp(s_yes): only the difference of the two scores is left. exp(900) is too large for a float.",
    )


def visible_text(function: Callable) -> None:
    """05, exercise 2: the text before each answer of a many-target prompt."""
    answer = function(["Heat", "Big", "Alien"], ["Yes", "No", "Yes"])
    wanted = ["\nHeat:", "\nHeat: Yes\nBig:", "\nHeat: Yes\nBig: No\nAlien:"]
    say(
        2,
        answer is not None,
        lambda: list(answer) == wanted,
        "the text before answer k is every earlier line with its answer, and then line k up to its colon: no answer k in it.",
    )


def shifted(function: Callable) -> None:
    """05, exercise 3: the shift of log-odds that makes the mean probability right."""
    odds = np.random.default_rng(0).normal(-1.2, 2.0, 200)
    answer = function(odds, 0.55)
    say(
        3,
        answer is not None,
        lambda: np.isclose(answer, brentq(lambda b: expit(odds + b).mean() - 0.55, -20, 20), atol=0.02),
        "expit(odds + shift).mean() grows with the shift: try many on a grid and keep the nearest, or halve an interval.",
    )


# ---- 06_lora -------------------------------------------------------------------------------------------------------------------


def adapter_size(function: Callable) -> None:
    """06, exercise 1: how many numbers an adapter learns."""
    cases = [([(576, 576), (192, 576)], 8), ([(7, 5), (5, 7), (3, 3)], 2)]
    answers = [function(*case) for case in cases]
    wanted = [sum(np.zeros((r, into)).size + np.zeros((out, r)).size for out, into in shapes) for shapes, r in cases]
    say(
        1,
        answers[0] is not None,
        lambda: answers == wanted,
        "A is (r, in) and B is (out, r): r * in + out * r numbers a layer.",
    )


def unmerge(function: Callable) -> None:
    """06, exercise 2: W from W + (alpha / r) B A."""
    generator = np.random.default_rng(0)
    original, a, b = (generator.normal(size=shape) for shape in ((6, 5), (3, 5), (6, 3)))
    merged = original.copy()
    for rank in range(3):
        merged += 12 / 3 * np.outer(b[:, rank], a[rank])
    answer = function(merged, a, b, 12)
    say(
        2,
        answer is not None,
        lambda: np.allclose(answer, original),
        "r is the number of rows of A; subtract (alpha / r) B A.",
    )


def answer_loss(function: Callable) -> None:
    """06, exercise 3: log loss where there is a label."""
    odds, labels = np.array([2.0, -1.0, 0.5, 30.0, -3.0]), np.array([1, -1, 0, -1, 1])
    p = expit(odds)
    wanted = -(np.log(p[0]) + np.log(1 - p[2]) + np.log(p[4])) / 3
    answer = function(odds, labels)
    say(
        3,
        answer is not None,
        lambda: np.isclose(answer, wanted),
        "leave out the places with -1 before you take the mean.",
    )


def retrieve(function: Callable) -> None:
    """06, exercise 4: the K most similar, in the order of time."""
    answer = function(np.array([0.9, 0.2, 0.5, 0.5, -0.1, 0.5]), 3)
    say(
        4,
        answer is not None,
        lambda: list(answer) == [0, 3, 5],
        "choose by cosine, equal ones by the later place; then sort the chosen places.",
    )


# ---- 08_knowledge --------------------------------------------------------------------------------------------------------------


def mean_pooling(function: Callable) -> None:
    """08, exercise 1: the mean over real tokens."""
    states = np.random.default_rng(0).normal(size=(3, 4, 5))
    real = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    wanted = [states[text, : real[text].sum()].mean(0) for text in range(3)]
    answer = function(states, real)
    say(
        1,
        answer is not None,
        lambda: np.shape(answer) == (3, 5) and np.allclose(answer, wanted),
        "multiply by the mask before you sum over the length, and divide by the number of real tokens of each text.",
    )


def last_snapshot(function: Callable) -> None:
    """08, exercise 2: the largest multiple of `every` events that is wholly before an event."""
    cases = [(100, 100, 30), (100, 129, 30), (100, 130, 30), (7, 200, 1), (0, 59, 20)]
    answers = [function(*case) for case in cases]
    wanted = [
        max(end for end in range(first, event + 1) if (end - first) % every == 0) for first, event, every in cases
    ]
    say(
        2,
        answers[0] is not None,
        lambda: answers == wanted,
        "count events from `first`, not from zero, and round down.",
    )


def axes_needed(function: Callable) -> None:
    """08, exercise 3: principal axes for a share of the variance."""
    vectors = np.random.default_rng(0).normal(size=(80, 6)) * [5, 3, 2, 1, 0.5, 0.2] + 10
    variance = np.sort(np.linalg.eigvalsh(np.cov(vectors, rowvar=False)))[::-1]
    wanted = [
        next(k for k in range(1, 7) if variance[:k].sum() >= share * variance.sum()) for share in (0.5, 0.9, 0.99)
    ]
    answers = [function(vectors, share) for share in (0.5, 0.9, 0.99)]
    say(
        3,
        answers[0] is not None,
        lambda: answers == wanted,
        "centre first; the squares of the singular values are the variances (up to a factor); add up from the largest.",
    )


# ---- 09_laser_crm --------------------------------------------------------------------------------------------------------------


def mix(function: Callable) -> None:
    """09, exercise 1: experts mixed by a softmax gate."""
    generator = np.random.default_rng(0)
    logits, outputs = generator.normal(size=(5, 3)), generator.normal(size=(5, 3, 4))
    answer = function(logits, outputs)
    say(
        1,
        answer is not None,
        lambda: np.allclose(answer, [softmax(row) @ experts for row, experts in zip(logits, outputs, strict=True)]),
        "softmax over the experts (the second axis), then a weighted sum over the same axis.",
    )


def shuffled(function: Callable) -> None:
    """09, exercise 2: the same vectors, none at its own place."""
    vectors = np.arange(24.0).reshape(12, 2)
    answers = [function(vectors.copy(), seed) for seed in range(20)]
    say(
        2,
        answers[0] is not None,
        lambda: (
            all(sorted(map(tuple, answer)) == sorted(map(tuple, vectors)) for answer in answers)  # whole rows
            and not any((answer == vectors).any() for answer in answers)
            and len({answer.tobytes() for answer in answers}) > 1
        ),
        "a plain permutation leaves about one row in place on average; move everybody along a circle in random order.",
    )


def whose_gain(function: Callable) -> None:
    """09, exercise 3: what a set of intervals says."""
    worlds = [  # what to say, the interval of real minus shuffled, of shuffled minus none
        ("texts", (0.01, 0.03), (0.02, 0.05)),
        ("texts", (0.03, 0.06), (-0.05, -0.01)),
        ("plumbing", (-0.01, 0.02), (0.02, 0.05)),
        ("nothing", (-0.02, 0.01), (-0.01, 0.01)),
    ]
    gains = [{("real", "shuffled"): real, ("shuffled", "none"): wrong} for _, real, wrong in worlds]
    answers = [function(lambda a, b, gain=gain: gain[a, b]) for gain in gains]
    say(
        3,
        answers[0] is not None,
        lambda: answers == [name for name, *_ in worlds],
        "an arm beats another if the low end of the interval is above zero; ask about the texts first.",
    )


# ---- 13_backbones --------------------------------------------------------------------------------------------------------------


def memory_bytes(function: Callable) -> None:
    """13, exercise 1: weights, and what tuning an adapter keeps."""
    answer = function(7e9, 4, 8e6)
    say(
        1,
        answer is not None,
        lambda: np.isclose(answer, 3.5e9 + 0.128e9),
        "eight bits are a byte; each of the adapter's numbers needs itself, its gradient and two moments, four bytes each.",
    )


def error_correlation(function: Callable) -> None:
    """13, exercise 2: back from the covariance of made-up pairs."""
    cases = [(0.002, 0.003, 0.5), (0.001, 0.001, 0.0), (0.004, 0.001, 0.9)]
    contrast = np.array([1, -1])
    errors = [np.sqrt(contrast @ [[a * a, rho * a * b], [rho * a * b, b * b]] @ contrast) for a, b, rho in cases]
    answers = [function(a, b, both) for (a, b, _), both in zip(cases, errors, strict=True)]
    say(
        2,
        answers[0] is not None,
        lambda: np.allclose(answers, [rho for *_, rho in cases], atol=1e-6),
        "square the formula, then take the term with rho to one side; no factor 1.96 is in it.",
    )


def apart(function: Callable) -> None:
    """13, exercise 3: pairs that noise does not explain."""
    answers = [function({"c": 0.8033, "a": 0.7992, "b": 0.8005}, 0.002, rho) for rho in (0.9, 0.5, 0.0)]
    say(
        3,
        answers[0] is not None,
        lambda: answers == [{("a", "c"), ("b", "c")}, {("a", "c")}, set()],
        "go through all pairs, names in alphabetical order, and compare the difference with 1.96 standard errors of it.",
    )


# ---- 07_encoders ---------------------------------------------------------------------------------------------------------------


def field_phrases(function: Callable) -> None:
    """07, exercise 1: a row of a table as text."""
    answer = function({"title": "Heat", "year": "1995", "genres": "", "maker": "Mann"})
    say(
        1,
        answer is not None,
        lambda: answer == "title: Heat. year: 1995. maker: Mann.",
        "one phrase `name: value.` a field, joined by single spaces; an empty value gives no phrase.",
    )


def encoder_passes(function: Callable) -> None:
    """07, exercise 2: texts to encode, two towers and one text."""
    cases, wanted = [(50, 1000), (7, 3)], []
    answers = [function(*case) for case in cases]
    for users, items in cases:
        pairs = {(user, item) for user in range(users) for item in range(items)}
        wanted.append((len({user for user, _ in pairs}) + len({item for _, item in pairs}), len(pairs)))
    say(
        2,
        answers[0] is not None,
        lambda: [tuple(answer) for answer in answers] == wanted,
        "two towers read each user and each item once; one text is read for each pair.",
    )


def mask_tokens(function: Callable) -> None:
    """07, exercise 3: random places, never a special one."""
    ids, special = np.arange(100, 144), np.zeros(44, dtype=bool)
    special[[0, -1]] = True
    before = ids.copy()
    answers = [function(ids, special, 7, 0.15, np.random.default_rng(seed)) for seed in range(30)]
    short = function(ids[:3], special[:3], 7, 0.01, np.random.default_rng(0))

    def right() -> bool:
        whole = all(
            chosen.sum() == 6 and not chosen[special].any() and np.array_equal(changed, np.where(chosen, 7, before))
            for chosen, changed in answers
        )
        return (
            whole
            and short[0].sum() == 1
            and len({chosen.tobytes() for chosen, _ in answers}) > 1
            and np.array_equal(ids, before)
        )

    say(3, answers[0] is not None, right, "permute the free places and take the first few; np.where makes the copy.")
