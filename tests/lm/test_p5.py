"""P5 against transformers' own text-to-text model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from laser_core import systems
from laser_core.errors import UserError
from laser_core.lm.p5 import P5, FirstWord
from laser_core.lm.texts import Reader
from tests.lm.tiny_encoders import make_bert, make_t5

FAST = {"precision": "fp32", "epochs": 1, "least_steps": 3, "checks": 1, "valid_limit": 0, "history": 2}


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> str:
    return make_t5(tmp_path_factory.mktemp("t5"))


def test_equals_the_first_generated_token(t5, shelf):
    """The scores with which transformers' `generate` chooses its first token, the two answers' alone."""
    model = P5(backbone=t5, **FAST).fit(shelf, shelf.shots(24, 0), shelf.valid)
    plain = transformers.T5ForConditionalGeneration.from_pretrained(t5).eval()
    before = {name: weight.clone() for name, weight in plain.named_parameters()}
    plain.load_state_dict({name.removeprefix("body."): value for name, value in model.model_.state_dict().items()})
    assert any(not torch.equal(weight, before[name]) for name, weight in plain.named_parameters())
    tokenizer = Reader(t5, 200).tokenizer
    yes, no = tokenizer.token_to_id("▁yes"), tokenizer.token_to_id("▁no")
    for row in shelf.test[[0, 7, 30]]:
        ids = torch.tensor([tokenizer.encode(str(*model.texts(shelf, int(row)))).ids])
        step = plain.generate(ids, max_new_tokens=1, output_logits=True, return_dict_in_generate=True, do_sample=False)
        chance = torch.softmax(step.logits[0][0, [yes, no]], dim=0)[0].item()
        assert model.predict(shelf, np.array([row]))[0] == pytest.approx(chance, abs=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_in_bf16_too_the_two_scores_are_exact(t5, tied):
    """The output layer's rows by what it is given, in fp32: a difference of two rounded scores would be mostly rounding."""
    body = transformers.T5ForConditionalGeneration(
        transformers.T5Config(**transformers.T5Config.from_pretrained(t5).to_dict() | {"tie_word_embeddings": tied})
    ).eval()
    ids = torch.arange(12).view(2, 6) + 5
    plain = body(input_ids=ids, decoder_input_ids=torch.zeros(2, 1, dtype=torch.long)).logits[:, 0, [7, 9]]
    given = []
    model = FirstWord(body, 7, 9)
    body.lm_head.register_forward_pre_hook(lambda layer, args: given.append(args[0][:, 0].float()))
    with torch.no_grad():
        torch.testing.assert_close(model.read(ids, torch.ones_like(ids)), plain)
        with torch.autocast("cpu", torch.bfloat16):
            scores = model.read(ids, torch.ones_like(ids))
    torch.testing.assert_close(scores, given[1] @ body.lm_head.weight[[7, 9]].T)
    assert scores.dtype == torch.float32 and not torch.equal(scores, scores.bfloat16().float())


def test_the_question(t5, shelf):
    row = int(shelf.test[2])
    event = int(shelf.sample_event[row])
    item, user = int(shelf.event_item[event]), int(shelf.event_user[event])
    country = shelf.fields["country"].text(user)
    profile = f"country {country}, age 30-39" if country else "age 30-39"
    (text,) = P5(backbone=t5).texts(shelf, row)
    assert text.opening == (
        f"Will the user like the book {shelf.title(item)} (author {shelf.fields['author'].text(item)})? Answer yes or no. "
        f"The user: {profile}; rated earlier, newest first:"
    )


def test_without_pretraining_only_the_tokenizer_is_used(tmp_path, shelf):
    """A folder with a tokenizer of any family and no weights will do."""
    folder = make_bert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model = systems.create("p5-scratch", backbone=folder, size=16, layers=1, heads=2, **FAST).fit(shelf, shelf.shots(24, 0), shelf.valid)
    assert 0 < model.predict(shelf, shelf.test[:1])[0] < 1
    words = Reader(folder, 99).tokenizer.get_vocab_size()
    attention, dense, norms, nearness = 4 * 16 * 16, 2 * 16 * 64, 16, 32 * 2
    encoder = attention + dense + 3 * norms + nearness
    decoder = 2 * attention + dense + 4 * norms + nearness
    assert model.parameter_count() == words * 16 + encoder + decoder


def test_answers_of_several_tokens(tmp_path, shelf, monkeypatch):
    monkeypatch.setattr("laser_core.lm.p5.ANSWERS", ("absolutely", "no"))
    with pytest.raises(UserError, match=r"the answer word 'absolutely' is \d+ tokens"):
        P5(backbone=make_t5(tmp_path), **FAST).fit(shelf, shelf.train, shelf.valid)


def test_sizes_that_cannot_be():
    with pytest.raises(UserError, match="'size' a multiple of 'heads'"):
        systems.create("p5-scratch", size=10, heads=4)
