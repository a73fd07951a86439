"""`laser bench lm` with a tiny model: what its parts run, the record, what is printed. No speed is judged."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from laser_core import cli
from laser_core.bench import lm
from laser_core.lm import scoring, tuning
from laser_core.lm.laser_llm import LaserLLM
from laser_core.settings import get_settings
from tests.lm.tiny_models import SIZES, make_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def little(monkeypatch, small):
    monkeypatch.setattr(lm, "HISTORY", 4)
    monkeypatch.setattr(lm, "CANDIDATES", 6)
    monkeypatch.setattr(lm, "_call", lambda name, backbone, repeats: getattr(lm, name)(backbone, get_settings().device, repeats))


def laser(*words: object):
    return CliRunner().invoke(cli.app, [str(word) for word in words], prog_name="laser")


def test_the_command_writes_and_prints_every_part(tiny, tmp_path):
    out = tmp_path / "lm.json"
    done = laser("bench", "lm", "--backbone", tiny, "--repeats", "1", "--out", out)
    assert done.exit_code == 0, done.output
    record = json.loads(out.read_text())
    assert list(record["parts"]) == list(lm.PARTS)
    for part in record["parts"].values():
        assert all(row["low"] > 0 for row in part["measurements"]) and part["provenance"]["versions"]["torch"]
    goals = {check["goal"] for part in record["parts"].values() for check in part["checks"] if "goal" in check}
    assert goals == {0.6, 10, 5, 1e-4} or goals == {0.6, 10, 5, 0.2}
    assert "share of the matrix products" in done.output and "learn from so many times the labels" in done.output


def test_operations_are_counted_by_the_weights_of_the_linear_layers(tiny):
    """Of the tiny Llama: q, k, v, o and the three of the MLP in each of two blocks; embeddings only in the second count."""
    found = lm.scoring_rates(tiny, "cpu", 1)
    size, inner, heads, key_heads, head = (
        SIZES[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    block = size * head * (2 * heads + 2 * key_heads) + 3 * size * inner
    assert found["weights"] == 2 * block < found["parameters"]
    assert found["length"]["one"] > 50 and found["products"][0] > 0


@pytest.fixture
def a_second(monkeypatch):
    """Whatever is measured takes one second: a rate is what was counted."""

    def work_and_say(model, work):
        work()
        return 1.0

    monkeypatch.setattr(lm, "_seconds", work_and_say)


def test_labels_are_counted_once(tiny, a_second, monkeypatch):
    """One a prompt; where many are asked for, all of a sequence: the user's four earlier ratings and the target. And each once only, though
    two sequences share it."""
    assert lm.tuning_rates(tiny, "cpu", 1)["labels"] == {"one": [2.0], "many": [10.0]}
    learned, tune, texts = [], tuning.tune, lm._texts

    def listening(model, encoded, labels, *settings):
        learned.append({int(event) for text, own in zip(encoded, labels, strict=True) for event in text.events[own >= 0]})
        return tune(model, encoded, labels, *settings)

    monkeypatch.setattr(tuning, "tune", listening)
    monkeypatch.setattr(lm, "_texts", lambda *words: texts(*words) * 2)
    assert lm.tuning_rates(tiny, "cpu", 1)["labels"] == {"one": [2.0], "many": [10.0]}
    assert [len(events) for events in learned] == [2, 10]


def test_every_pass_of_a_gpu_is_full(tiny, a_second, monkeypatch):
    """With the passes of a GPU, here of four prompts: no copy is computed that is not counted."""
    monkeypatch.setattr(LaserLLM, "texts_a_pass", lambda self: 4)
    stack, rows = scoring.stack, []

    def listening(texts, length, size, device):
        rows.append((len(texts), size))
        return stack(texts, length, size, device)

    monkeypatch.setattr(scoring, "stack", listening)
    found = lm.scoring_rates(tiny, "cpu", 1)
    assert rows and all(texts == size for texts, size in rows)
    assert found["tokens"]["one"][-1] == pytest.approx(4 * lm.SCORED * found["length"]["one"])
    rows.clear()
    found = lm.candidate_rates(tiny, "cpu", 1)
    assert rows and all(texts == size for texts, size in rows)
    assert found["candidates"]["each prompt alone"] == [4 * lm.PLAIN]
    assert found["difference"] < (1e-4 if found["precision"] == "fp32" else 0.2)
    labels = lm.tuning_rates(tiny, "cpu", 1)["labels"]
    assert labels == {"one": [8.0], "many": [40.0]}


def test_candidates_score_the_same_both_ways(tiny):
    found = lm.candidate_rates(tiny, "cpu", 1)
    precision = found["precision"]
    assert found["difference"] < (1e-4 if precision == "fp32" else 0.2)
    assert list(found["candidates"]) == ["the history read once", "each prompt alone"]


def test_unknown_part_and_backbone(tmp_path, tiny):
    assert "unknown part 'scorin'" in laser("bench", "lm", "--backbone", tiny, "--part", "scorin", "--out", tmp_path / "x.json").output
    assert "unknown backbone 'smolm'" in laser("bench", "lm", "--backbone", "smolm", "--out", tmp_path / "x.json").output
    assert not (tmp_path / "x.json").exists()
