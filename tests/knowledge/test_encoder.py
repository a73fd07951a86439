"""Vectors of texts against transformers used by hand, alone or in company, and what a language model writes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from laser_core.knowledge import encoder as module
from laser_core.knowledge import familiarity as familiar
from laser_core.knowledge import generate as writing
from laser_core.knowledge.encoder import encode, passes
from laser_core.knowledge.generate import generate, text_file
from laser_core.lm import backbones
from tests.knowledge.conftest import TEXTS
from tests.lm.tiny_encoders import make_bert
from tests.lm.tiny_models import make_model, within


@given(lengths=st.lists(st.integers(0, 60), max_size=30), size=st.integers(1, 5), step=st.integers(1, 9))
def test_passes_hold_every_text_once_at_its_own_shape(lengths, size, step):
    groups = list(passes(lengths, size, step))
    assert sorted(number for group, _ in groups for number in group) == list(range(len(lengths)))
    for group, width in groups:
        assert 1 <= len(group) <= size and width % step == 0
        assert all(max(1, width - step + 1) <= max(1, lengths[number]) <= width for number in group)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_mean_of_the_last_hidden_states(kind, home, request):
    """Each text alone through transformers' own model."""
    name = request.getfixturevalue(kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    model = transformers.AutoModel.from_pretrained(name, dtype=torch.float32).eval()
    vectors = encode(name, TEXTS)
    for text, ours in zip(TEXTS, vectors, strict=True):
        with torch.no_grad():
            states = model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0]
        np.testing.assert_allclose(ours, states.mean(0), rtol=within(bf16=0.05, fp32=0), atol=within(bf16=0.03, fp32=1e-5))
    assert np.abs(vectors[0] - vectors[1]).max() > 0.1


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_company_does_not_change_a_vector(kind, home, monkeypatch, tmp_path, request):
    name = request.getfixturevalue(kind)
    together = encode(name, TEXTS)
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "other"))
    alone = np.concatenate([encode(name, [text]) for text in reversed(TEXTS)])[::-1]
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_a_tokenizer_that_pads_and_cuts_by_itself_does_not(encoder, home, tmp_path):
    """MiniLM's file says: always 128 tokens. Taken at its word, padding would be averaged as if it were text."""
    folder = shutil.copytree(encoder, tmp_path / "padding")
    file = folder / "tokenizer.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["padding"] = {
        "strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"
    }  # fmt: skip
    settings["truncation"] = {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0}
    file.write_text(json.dumps(settings), encoding="utf-8")
    np.testing.assert_array_equal(encode(str(folder), TEXTS), encode(encoder, TEXTS))


def test_stored_vectors_need_no_model(decoder, home, monkeypatch):
    vectors = encode(decoder, TEXTS[:5])

    def refuse(*_: object) -> None:
        raise AssertionError("the model was opened again")

    monkeypatch.setattr(module, "_open", refuse)
    np.testing.assert_array_equal(encode(decoder, TEXTS[:5][::-1]), vectors[::-1])
    about = json.loads(next((home / "vectors").glob("*/about.json")).read_text())
    assert about["backbone"] == decoder and about["size"] == vectors.shape[1]


@pytest.mark.parametrize("other", ["weights", "precision", "chat"])
def test_what_was_made_otherwise_is_made_again(other, home, tmp_path, monkeypatch):
    """Under the same name: other weights, another precision of this machine; of written texts, another chat format, too."""
    name = make_model(tmp_path / "model", chat="{{ messages[0]['content'] }}")
    made, again = [], []

    def make(into):
        monkeypatch.setattr(module, "compute", lambda name, texts, most: into.append("vectors") or iter([(texts, np.zeros((1, 32)))]))
        monkeypatch.setattr(familiar, "compute", lambda name, texts, before: into.append("numbers") or iter([(texts, np.zeros((1, 1)))]))
        monkeypatch.setattr(writing, "_write", lambda *_: into.append("texts") or iter([[{"prompt": "a", "text": "b"}]]))
        for _ in range(2):
            encode(name, ["a"]), familiar.familiarity(name, ["a"], "book"), generate(name, ["a"])
        assert writing.written(name) == {"a": "b"}

    make(made)
    if other == "weights":
        (tmp_path / "model" / "model.safetensors").touch()
    elif other == "precision":
        monkeypatch.setattr(backbones, "precision", lambda *_: torch.float16)
    else:
        monkeypatch.setattr(backbones, "chat_format", lambda name: "<{prompt}>")
    make(again)
    assert made == ["vectors", "numbers", "texts"]
    assert again == {"weights": made, "precision": ["numbers", "texts"], "chat": ["texts"]}[other], "every CPU makes vectors in fp32"


def test_a_long_text_is_cut(decoder, home):
    long, longer = "Tome of Ümläut " * 30, "Tome of Ümläut " * 31
    one, other = encode(decoder, [long, longer], max_tokens=20)
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - encode(decoder, [long])[0]).max() > 1e-3


@pytest.mark.parametrize("context", [40, 45])
def test_a_text_beyond_the_backbones_context_is_cut(context, home, tmp_path):
    """Its first 40 tokens are read, also where the next multiple of eight does not fit."""
    folder = make_bert(tmp_path / "short", context=context)
    [vector] = encode(folder, ["Tome of Ümläut " * 30])
    ids = torch.tensor([backbones.tokenizer(folder).encode("Tome of Ümläut " * 30).ids[:40]])
    with torch.no_grad():
        states = transformers.BertModel.from_pretrained(folder)(input_ids=ids).last_hidden_state[0]
    np.testing.assert_allclose(vector, states.mean(0), atol=1e-5)


# ---- writing ---------------------------------------------------------------------------------------------------------------------

PROMPTS = [f"Tome {number}" + " of the user" * (number % 4) for number in range(20)]


def test_written_texts_are_greedy(decoder, home):
    """Against transformers' own generation, each prompt alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(decoder)
    model = transformers.AutoModelForCausalLM.from_pretrained(decoder, dtype=torch.float32).eval()
    agree = 0
    for prompt, text in zip(PROMPTS, generate(decoder, PROMPTS, max_tokens=8), strict=True):
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        new = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, pad_token_id=2)
        agree += text == writing._whole(tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True))
    assert agree >= within(bf16=15, fp32=20)  # bf16 may turn a near tie


def test_writing_goes_on_where_it_was_killed(decoder, home, monkeypatch):
    """A last line half written does not count; whole lines are never written again."""
    texts = generate(decoder, PROMPTS, max_tokens=8)
    path = text_file(decoder, 8)
    lines = path.read_bytes().splitlines(keepends=True)
    assert {entry["prompt"] for entry in map(json.loads, lines)} == set(PROMPTS)
    path.write_bytes(b"".join(lines[:7]) + lines[7][:-9])
    asked: list[str] = []
    own = writing._write
    monkeypatch.setattr(writing, "_write", lambda name, prompts, most: [asked.extend(prompts), *own(name, prompts, most)][1:])
    assert generate(decoder, PROMPTS, max_tokens=8) == texts
    kept = {json.loads(line)["prompt"] for line in lines[:7]}
    assert set(asked) == set(PROMPTS) - kept
    assert path.read_bytes().splitlines(keepends=True)[:7] == lines[:7]


@pytest.mark.parametrize(
    ("text", "whole"), [("One. Two. Thr", "One. Two."), ("no end", "no end"), ("a\n b!  c", "a b!"), ("", ""), (".x", ".x")]
)
def test_a_sentence_cut_off_is_dropped(text, whole):
    assert writing._whole(text) == whole


def test_vectors_of_another_precision_are_kept_apart(encoder, home, monkeypatch):
    folder = backbones.fetch(encoder)
    here = module._store(encoder, folder, 256).folder
    monkeypatch.setattr(backbones, "vector_precision", lambda: "another")
    assert module._store(encoder, folder, 256).folder != here
