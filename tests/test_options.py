"""Options from plain values: what the command line, TOML and JSON give, and what is refused in one line that says how to write it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from laser_core import systems
from laser_core.errors import UserError
from laser_core.recommender import make_options


@dataclass(frozen=True)
class Options:
    rates: tuple[float, ...] = (0.1,)
    widths: tuple[int, ...] = (8,)
    words: tuple[str, ...] = ()
    rate: float = 0.1
    steps: int = 1
    flag: bool = False
    time: str | None = None


@pytest.mark.parametrize(
    ("name", "value", "made"),
    [
        ("rates", "0.1,3", (0.1, 3)), ("rates", "[1e-3, 2]", (1e-3, 2)), ("rates", [1, 0.5], (1, 0.5)), ("rates", "", ()),
        ("widths", "64,32", (64, 32)), ("widths", (3,), (3,)), ("words", '"Yes","No"', ("Yes", "No")), ("words", '["a, b"]', ("a, b",)),
        ("words", ["x"], ("x",)), ("rate", "1e-3", 1e-3), ("rate", 2, 2.0), ("steps", "3", 3), ("flag", "True", True), ("time", None, None),
        ("time", "t", "t"),
    ],
)  # fmt: skip
def test_what_is_understood(name, value, made):
    found = getattr(make_options(Options, {name: value}), name)
    assert found == made and repr(found) == repr(made)  # a whole number stays one: keys of stored results are made of it


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rates", "abc", r"option 'rates' must be several numbers, such as 'rates=\[0.1, 0.3\]', not 'abc'$"),
        ("rates", '"a"', "several numbers"), ("rates", '0.001,"b"', "several numbers"), ("rates", ["0.1"], "several numbers"),
        ("rates", "true", "several numbers"), ("rates", 0.1, "several numbers"), ("rates", "[[0.1]]", "several numbers"),
        ("widths", "x", r"several whole numbers, such as 'widths=\[1, 2\]'"), ("widths", "1.5", "several whole numbers"),
        ("words", "Yes,No", r"several texts, such as 'words=\[\"one\", \"two\"\]', not 'Yes,No'"), ("words", "1,2", "several texts"),
        ("rate", "x", "must be float, not 'x'"), ("rate", True, "must be float"), ("steps", 1.5, "must be int"),
        ("steps", "99999999999999999999", "option 'steps' must be at most 2147483647"), ("widths", [8, 2**63], "must be at most"),
        ("flag", 1, "must be bool"), ("time", 3, "must be str"),
        *((name, value, f"option '{name}' must be finite, not (nan|inf|-inf)")
          for name, value in [("rate", "nan"), ("rate", float("inf")), ("rate", "-inf"), ("rates", "NaN"), ("rates", "0.1,Infinity"),
                              ("rates", [float("nan")]), ("rates", "1e999")]),
    ],
)  # fmt: skip
def test_what_is_refused(name, value, message):
    with pytest.raises(UserError, match=message) as caught:
        make_options(Options, {name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("system", "option", "value"),
    [
        ("laser-llm", "learning_rates", "NaN"), ("laser-llm-counted", "strengths", "NaN"), ("laser-llm", "alpha", "nan"),
        ("laser-llm-counted", "nearby", "inf"), ("laser-llm", "learning_rates", '0.001,"b"'), ("laser-llm", "depths", '"x"'),
        ("laser-llm", "answers", "1,2"), ("laser-llm", "answers", "Yes,No"), ("ctr-bert", "learning_rate", "nan"),
        ("din", "dropout", "nan"),
    ],
)  # fmt: skip
def test_no_system_takes_such_a_value(system, option, value):
    with pytest.raises(UserError, match=f"option '{option}' must be (several|finite)"):
        systems.create(system, **{option: value})
