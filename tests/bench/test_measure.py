"""Turns, spreads, checks, records and fresh processes: everything about a benchmark but the speed itself."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from laser_core.bench import measure
from laser_core.bench.measure import Child, Part, call, in_turns, read_record, spread, write_part
from laser_core.errors import DataError, FaultError


def test_turns_warm_up_and_alternate():
    order = []

    def run(name: str):
        return lambda: order.append(name) or len(order)

    numbers = in_turns({"a": run("a"), "b": run("b")}, repeats=3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # the first round does not count
    assert numbers == {"a": [3, 6, 7], "b": [4, 5, 8]}
    order.clear()
    in_turns({"a": run("a"), "b": run("b")}, repeats=1, warm_up=False)
    assert "".join(order) == "ab"


def test_spread():
    assert spread([3.0, 1.0, 2.0, 9.0]) == {"median": 2.5, "low": 1.0, "high": 9.0}


def test_ratios_are_taken_round_by_round():
    part = Part("title")
    part.compared("so many times", [10.0, 30.0, 40.0], [5.0, 10.0, 10.0], goal=3.0)
    assert part.checks == [{"what": "so many times", "median": 3.0, "low": 2.0, "high": 4.0, "goal": 3.0, "at_least": True, "met": True}]


@pytest.mark.parametrize(("value", "at_least", "met"), [(2.9, True, False), (3.0, True, True), (3.1, False, False), (3.0, False, True)])
def test_goals_are_lower_or_upper_limits(value, at_least, met):
    part = Part("title")
    part.checked("x", [value], 3.0, at_least)
    assert part.checks[0]["met"] is met


def test_without_a_goal_nothing_is_judged():
    part = Part("title")
    part.checked("x", [1.0])
    assert set(part.checks[0]) == {"what", "median", "low", "high"}


def test_a_record_keeps_its_other_parts(tmp_path):
    path = tmp_path / "deep" / "record.json"
    first, second = Part("first"), Part("second", missing=["something"])
    first.measured("case", "someone", "rows", [1.0 / 3], history=30)
    write_part(path, "a", first, {"started": "then"})
    write_part(path, "b", second, {"started": "later"})
    write_part(path, "b", second, {"started": "now"})
    record = read_record(path)
    assert list(record["parts"]) == ["a", "b"]
    assert record["parts"]["b"]["provenance"] == {"started": "now"}
    assert record["parts"]["b"]["missing"] == ["something"]
    (row,) = record["parts"]["a"]["measurements"]
    assert row == {"case": "case", "who": "someone", "unit": "rows", "median": 0.33333, "low": 0.33333, "high": 0.33333, "history": 30}
    assert [entry.name for entry in path.parent.iterdir()] == ["record.json"]


def test_benchmarks_that_write_one_record_at_once_lose_nothing(tmp_path, monkeypatch):
    def slow(path):
        time.sleep(0.02)
        return read_record(path)

    monkeypatch.setattr(measure, "read_record", slow)
    path, names = tmp_path / "record.json", [str(number) for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: write_part(path, name, Part(name), {}), names))
    assert sorted(read_record(path)["parts"]) == names
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"schema": 99, "parts": {}})])
def test_another_file_is_not_overwritten(tmp_path, text):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(DataError, match="holds no benchmark"):
        write_part(path, "a", Part("title"), {})
    assert path.read_text() == text


def test_a_child_answers_with_one_thread():
    answer = Child("os:getenv", key="OMP_NUM_THREADS").result()
    assert answer["value"] == "1"
    assert answer["cpu_seconds"] > 0
    assert call("os:getenv", key="LASER_DEVICE") == "cpu"


def test_what_a_child_prints_is_no_answer():
    assert call("builtins:print", sep="nothing to say") is None


def test_a_child_that_fails_says_why():
    with pytest.raises(FaultError, match=r"the benchmark os:listdir failed \(exit code 1\): FileNotFoundError"):
        call("os:listdir", path="/no/such/folder")
