"""CTR-BERT against its formula, written out with transformers alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from laser_core.lm.ctr_bert import CTRBERT
from laser_core.lm.texts import Reader
from tests.lm.tiny_encoders import make_bert

FAST = {"precision": "fp32", "epochs": 1, "least_steps": 3, "checks": 1, "valid_limit": 0, "max_tokens": 96}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, shelf) -> CTRBERT:
    folder = make_bert(tmp_path_factory.mktemp("bert"))
    return CTRBERT(backbone=folder, **FAST).fit(shelf, shelf.shots(24, 0), shelf.valid)


@torch.no_grad()
def test_equals_a_plain_forward_pass(fitted, shelf):
    """logit = w . tanh(W [u; i] + b) + c, the fine-tuned weights in a model of transformers, one sample at a time."""
    plain = transformers.BertModel.from_pretrained(fitted.options.backbone).eval()
    weights = {name.removeprefix("body."): value for name, value in fitted.model_.state_dict().items() if name.startswith("body.")}
    assert set(plain.load_state_dict(weights, strict=False).missing_keys) == {"pooler.dense.weight", "pooler.dense.bias"}
    first, _, last = fitted.model_.head
    tokenizer = Reader(fitted.options.backbone, 96).tokenizer
    for row in shelf.test[[0, 7, 30]]:
        user, item = (
            plain(torch.tensor([tokenizer.encode(str(text)).ids])).last_hidden_state[0, 0] for text in fitted.texts(shelf, int(row))
        )
        logit = last.weight[0] @ torch.tanh(first.weight @ torch.cat([user, item]) + first.bias) + last.bias[0]
        assert first.weight.shape == (128, 64)
        assert fitted.predict(shelf, np.array([row]))[0] == pytest.approx(torch.sigmoid(logit).item(), abs=1e-5)


def test_the_two_texts(fitted, shelf):
    row = int(shelf.test[2])
    user, item = fitted.texts(shelf, row)
    event = int(shelf.sample_event[row])
    country = shelf.fields["country"].text(shelf.event_user[event])
    profile = f"country {country}, age 30-39" if country else "age 30-39"
    titles = [
        f"{'liked' if shelf.event_label[event - back] else 'disliked'} {shelf.title(shelf.event_item[event - back])};" for back in (1, 2)
    ]
    assert str(user) == f"user: {profile}; rated earlier, newest first: {titles[0]} {titles[1]}"
    author = shelf.fields["author"].text(shelf.event_item[event])
    assert str(item) == f"book: title {shelf.title(shelf.event_item[event])}, author {author}"
    assert str(fitted.texts(shelf, int(shelf.test[0]))[0]).endswith("nothing rated earlier")


def test_each_item_is_read_once(fitted, shelf, monkeypatch):
    """12 books, 54 samples: 12 item texts pass through the encoder."""
    lengths = []
    read = fitted.model_.read
    monkeypatch.setattr(fitted.model_, "read", lambda ids, real: (lengths.extend(int(row.sum()) for row in real), read(ids, real))[1])
    fitted.predict(shelf, shelf.test)
    reader = Reader(fitted.options.backbone, 96)
    users = {reader.tokens(fitted.texts(shelf, row)[0]).tobytes() for row in shelf.test}
    items = {reader.tokens(fitted.texts(shelf, row)[1]).tobytes() for row in shelf.test}
    assert len(items) == 12 and len(lengths) == len(users) + 12 == fitted.cost_["predict_texts"]
    assert sum(lengths) == fitted.cost_["predict_tokens"]
