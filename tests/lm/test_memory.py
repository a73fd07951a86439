"""Likelihoods against transformers itself; memory that was planted is found, and none where there is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from typer.testing import CliRunner

from laser_core.bench.measure import read_record
from laser_core.errors import DataError, UserError
from laser_core.lm import backbones, memory
from laser_core.lm.likelihood import likelihoods
from tests.lm.tiny_models import make_model, make_shelf, within

SHELF = make_shelf(users=60, books=160, events=40)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma", "qwen", "granite", "cohere"])
@pytest.mark.parametrize("space", ["byte", "metaspace"])
@pytest.mark.parametrize("shared", ["", "Tome of A: Yes\nTome of B: No\nAnswer yes or no\nTome of C: Yes\n"])
def test_likelihoods_are_those_of_transformers_one_text_at_a_time(family, space, shared, tmp_path):
    name = make_model(tmp_path, family, space)
    before = [f"Tome {number} of Ümläut" + ", and more" * (number % 4) + ":" for number in range(20)]
    after = [" Yes" if number % 3 else " No, not at all" for number in range(20)]
    found = np.zeros(20)
    for numbers, means in likelihoods(name, before, after, shared):
        found[numbers] = means
    model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).eval()
    tokenizer = backbones.tokenizer(name)
    for number, (first, last) in enumerate(zip(before, after, strict=True)):
        own = tokenizer.encode(first + last, add_special_tokens=not shared)
        known = sum(end <= len(first) for _, end in own.offsets)
        ids = (tokenizer.encode(shared).ids if shared else []) + own.ids
        with torch.no_grad():
            likely = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        places = range(len(ids) - len(own.ids) + known, len(ids))
        expected = np.mean([likely[place - 1, ids[place]].item() for place in places])
        assert found[number] == pytest.approx(expected, abs=within(bf16=0.05, fp32=1e-5))


@pytest.fixture(scope="module")
def well_read(tmp_path_factory) -> str:
    """A tiny model that has read the file of items, line by line and in no order, until it knows it."""
    name = make_model(tmp_path_factory.mktemp("well-read"))
    model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    for weight in model.parameters():  # as usual for training
        weight.data.mul_(0.25) if weight.ndim > 1 else None
    tokenizer = backbones.tokenizer(name)
    lines = [tokenizer.encode(f"{pair.own}{pair.end}\n").ids for pair in memory.titles(SHELF, np.random.default_rng(0))]
    optimizer, draw = torch.optim.AdamW(model.parameters(), lr=5e-3), np.random.default_rng(1)
    torch.manual_seed(0)
    for _ in range(150):
        texts = [[token for number in draw.permutation(len(lines))[:4] for token in lines[number]] for _ in range(16)]
        length = min(map(len, texts))
        ids = torch.tensor([text[:length] for text in texts])
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    for file in Path(name).glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return str(folder)


def test_what_a_model_has_read_is_found(well_read):
    title = memory.by_heart(SHELF, well_read, "title")
    assert title.low > 0.6 and title.nats > 0
    rating = memory.by_heart(SHELF, well_read, "rating")  # another file, which it never saw
    assert rating.low < 0.5 < rating.high
    assert (title.pairs, rating.pairs) == (32, 52)


def test_a_model_that_has_read_nothing_knows_nothing(tiny):
    for question in memory.QUESTIONS:
        found = memory.by_heart(SHELF, tiny, question)
        assert found.low < 0.5 < found.high, question


def test_a_question_that_a_data_set_cannot_answer_is_an_error(tiny, shelf):
    with pytest.raises(DataError, match="too small to ask for a title by heart"):
        memory.by_heart(shelf, tiny, "title")


@pytest.fixture
def own_shelf(monkeypatch):
    monkeypatch.setattr("laser_core.cli.models.load_dataset", lambda name, source: SHELF)


def test_the_command_writes_a_record_and_prints_it(tiny, own_shelf, tmp_path):
    from laser_core.cli import app

    out = tmp_path / "memory.json"
    command = ["probe", "shelf", "--backbone", tiny, "--pairs", "20", "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--question", "rating"], catch_exceptions=False)
    assert done.exit_code == 0 and "of 20 pairs" in done.stdout
    [part] = read_record(out)["parts"].values()
    [found] = part["measurements"]
    again = memory.by_heart(SHELF, tiny, "rating", 20)
    assert (found["dataset"], found["pairs"]) == (SHELF.name, 20)
    assert (found["case"], found["median"], found["low"]) == ("rating", pytest.approx(again.share), pytest.approx(again.low, abs=1e-4))
    assert part["provenance"]["data_version"] == SHELF.version


def test_wrong_questions_and_models_are_one_line(own_shelf, tmp_path):
    from laser_core.bench.memory import record

    with pytest.raises(UserError, match="question 'titel'"):
        record(tmp_path / "memory.json", SHELF, "smollm2-135m", ["titel"], 10)
    with pytest.raises(UserError, match="'minilm-l6' is"):
        record(tmp_path / "memory.json", SHELF, "minilm-l6", ["title"], 10)
    (tmp_path / "other.json").write_text(json.dumps({"schema": 9}))
    with pytest.raises(DataError, match="holds no benchmark"):
        record(tmp_path / "other.json", SHELF, "smollm2-135m", ["title"], 10)


LINES = {
    "ml-1m": ("1::1193::", "5::978300760"),
    "movielens-small": ("1,1193,", "5,978300760"),
    "bookcrossing": ('"1";"1193";"', '5";"978300760"'),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_are_written_as_in_the_raw_files(name, small):
    data = dataclasses.replace(small, about=dataclasses.replace(small.about, name=name))
    assert (memory._begun(data, "1", "1193"), memory._ended(data, "5", "978300760")) == LINES[name]


def test_the_bundled_file_has_such_lines(small):
    """Each line that is asked about stands in the raw file, and its other beginning begins another line."""
    from laser_core.datasets.movielens import MOVIELENS_SMALL
    from laser_core.datasets.sources import read_raw

    raw = set(read_raw(MOVIELENS_SMALL, None)["ratings.csv"].decode().splitlines())
    starts = {line.rsplit(",", 2)[0] + "," for line in raw}
    for pair in memory.ratings(small, np.random.default_rng(0)):
        assert pair.own + pair.end in raw
        assert pair.other in starts and pair.other != pair.own
