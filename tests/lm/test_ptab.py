"""PTab: against transformers, and its masked-language adaptation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from laser_core.errors import UserError
from laser_core.lm import ptab
from laser_core.lm.ptab import PTab
from laser_core.lm.texts import Reader
from tests.lm.tiny_encoders import make_bert, make_t5

FAST = {"precision": "fp32", "epochs": 1, "least_steps": 3, "checks": 1, "valid_limit": 0, "max_tokens": 96, "history": 2}


@pytest.fixture(scope="module")
def headless(tmp_path_factory) -> str:
    return make_bert(tmp_path_factory.mktemp("headless"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> str:
    return make_bert(tmp_path_factory.mktemp("whole"), masked_head=True)


@pytest.mark.parametrize("epochs", [0, 1])
def test_equals_a_plain_forward_pass(epochs, whole, shelf):
    """logit = w . BERT(text)[CLS] + b, the fine-tuned weights in a model of transformers."""
    model = PTab(backbone=whole, adapt_epochs=epochs, **FAST).fit(shelf, shelf.shots(24, 0), shelf.valid)
    plain = transformers.BertModel.from_pretrained(whole, add_pooling_layer=False).eval()
    plain.load_state_dict({name.removeprefix("body."): value for name, value in model.model_.state_dict().items() if "body." in name})
    tokenizer = Reader(whole, 96).tokenizer
    for row in shelf.test[[0, 7, 30]]:
        state = plain(torch.tensor([tokenizer.encode(str(*model.texts(shelf, int(row)))).ids])).last_hidden_state[0, 0]
        logit = (model.model_.head[1].weight[0] @ state + model.model_.head[1].bias[0]).detach()
        assert model.predict(shelf, np.array([row]))[0] == pytest.approx(torch.sigmoid(logit).item(), abs=1e-5)
    assert ("adapt_tokens" in model.cost_) == (epochs > 0)


def test_the_tokens_of_the_adaptation_are_those_that_were_read(whole, shelf, monkeypatch):
    """17 texts in batches of 16: the second batch begins the next pass."""
    read, mask = [], ptab.masked
    monkeypatch.setattr(ptab, "masked", lambda ids, *rest: read.append(len(ids)) or mask(ids, *rest))
    model = PTab(backbone=whole, **FAST).fit(shelf, shelf.shots(17, 0), shelf.valid)
    assert len(read) == 32 and model.cost_["adapt_tokens"] == sum(read)


def test_the_text(headless, shelf):
    row = int(shelf.test[2])
    event = int(shelf.sample_event[row])
    item, user = int(shelf.event_item[event]), int(shelf.event_user[event])
    country = shelf.fields["country"].text(user)
    fields = [f"title: {shelf.title(item)}.", f"author: {shelf.fields['author'].text(item)}."]
    fields += [f"country: {country}."] * bool(country) + ["age: 30-39."]
    (text,) = PTab(backbone=headless).texts(shelf, row)
    assert text.opening == f"{' '.join(fields)} rated earlier, newest first:" and len(text.history) == 2


@pytest.mark.parametrize("made", ["headless", "whole"])
def test_adaptation_learns_the_words_and_reads_no_label(made, shelf, request):
    """The masked-language loss falls; the adapted body is the same with the labels of the shots, no text's history, turned over."""
    backbone = request.getfixturevalue(made)
    options = {**FAST, "adapt_epochs": 16, "adapt_learning_rate": 3e-3, "batch_size": 8}
    users = shelf.sample_user(shelf.train)
    rows = shelf.train[np.append(users[1:] != users[:-1], True)]  # each user's last
    labels = shelf.event_label.copy()
    labels[shelf.sample_event[rows]] ^= 1
    bodies = []
    for data in (shelf, dataclasses.replace(shelf, event_label=labels)):
        model = PTab(backbone=backbone, **options)
        monitored = {}

        def train(model, *_, into=monitored):
            into.update({name: weight.clone() for name, weight in model.body.named_parameters()})
            return [{"tokens": 0}]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("laser_core.lm.text_classifier.train", train)
            model.fit(data, rows, data.valid)
        bodies.append(monitored)
    assert all(torch.equal(weight, bodies[1][name]) for name, weight in bodies[0].items())
    assert model.cost_["adapt_last_loss"] < model.cost_["adapt_first_loss"] - 0.3
    assert model.cost_["new_masked_head"] == (made == "headless")


def test_a_head_that_comes_with_the_weights_is_used(whole):
    """Its words' scores equal those of transformers' masked language model."""
    model = PTab(backbone=whole, **FAST)
    tabular = model.build(Reader(whole, 96), lambda *_: None)
    assert not model.new_masked_head_
    plain = transformers.BertForMaskedLM.from_pretrained(whole).eval()
    ids = torch.tensor([[2, 9, 4, 30, 3]])
    with torch.no_grad():
        own = model.masked_head_(tabular.body.eval()(input_ids=ids).last_hidden_state)
        torch.testing.assert_close(own, plain(input_ids=ids).logits)


def test_a_new_head_shares_its_matrix_with_the_word_vectors(headless):
    model = PTab(backbone=headless, **FAST)
    tabular = model.build(Reader(headless, 96), lambda *_: None)
    assert model.new_masked_head_
    words = tabular.body.get_input_embeddings().weight
    assert any(weight is words for weight in model.masked_head_.parameters())


def test_masking_is_that_of_bert():
    generator = np.random.default_rng(0)
    ids = np.array([2, *range(10, 110), 3])
    many = [ptab.masked(ids, np.array([2, 3]), 4, 200, 0.15, generator) for _ in range(200)]
    chosen, changed = (np.stack(part) for part in zip(*many, strict=True))
    assert (chosen.sum(axis=1) == 15).all() and not chosen[:, [0, -1]].any()
    assert (changed == ids)[chosen == 0].all()
    told = changed[chosen == 1]
    assert (told == 4).mean() == pytest.approx(0.8, abs=0.03)
    assert (changed == ids)[chosen == 1].mean() == pytest.approx(0.1, abs=0.02)
    assert ptab.masked(np.array([2, 50, 3]), np.array([2, 3]), 4, 200, 0.15, generator)[0].tolist() == [0, 1, 0]


def test_what_is_refused(tmp_path):
    for options, message in [
        ({"adapt_epochs": -1}, "'adapt_epochs' must be 0 or more"),
        ({"mask_share": 1.0}, "'mask_share' must be at least 0 and less than 1"),
        ({"dropout": 1.0}, "'dropout' must be"),
    ]:
        with pytest.raises(UserError, match=message):
            PTab(**options)
    with pytest.raises(UserError, match="is an encoder-decoder, PTab needs an encoder"):
        PTab(backbone=make_t5(tmp_path), **FAST)
