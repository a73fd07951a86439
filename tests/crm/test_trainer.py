"""The training loop: its optimiser against torch's and its stop."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch

from laser_core import systems
from laser_core.crm.trainer import AdamW, log_loss
from tests.crm.worlds import made_up

DATA = made_up()
ROWS = DATA.shots(300, seed=0)
SMALL = {"embedding_size": 8, "hidden": (16,), "dropout": 0.3}


def test_adamw_is_torchs():
    torch.manual_seed(0)
    start = [torch.randn(5, 3), torch.randn(4)]
    ours, theirs = ([torch.nn.Parameter(value.clone()) for value in start] for _ in range(2))
    mine, reference = AdamW(ours, weight_decay=0.1), torch.optim.AdamW(theirs, weight_decay=0.1, foreach=False)
    for rate in (0.1, 0.03, 0.01):
        for group in reference.param_groups:
            group["lr"] = rate
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        mine.step(rate)
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_log_loss_is_scikit_learns():
    generator = np.random.default_rng(0)
    label, probability = generator.integers(0, 2, 50), generator.random(50)
    assert log_loss(label, probability) == pytest.approx(sklearn.metrics.log_loss(label, probability))
    assert np.isfinite(log_loss(np.array([0, 1]), np.array([1.0, 0.0])))


def test_keeps_the_best_epoch_and_stops_after_it():
    """A far too high learning rate overfits: the model kept is that of the best epoch, not of the last."""
    model = systems.create("deepfm", **SMALL, learning_rate=0.05, learning_rate_decay=1.0, patience=2, epochs=30).fit(
        DATA, ROWS, DATA.valid
    )
    losses = [entry["valid_log_loss"] for entry in model.curve_]
    assert len(losses) == int(np.argmin(losses)) + 1 + 2 < 30
    kept = log_loss(DATA.labels(DATA.valid), model.predict(DATA, DATA.valid))
    assert kept == pytest.approx(min(losses), abs=1e-9)
    assert kept < losses[-1]


def test_at_most_so_many_epochs():
    model = systems.create("deepfm", **SMALL, learning_rate=1e-5, epochs=3).fit(DATA, ROWS, DATA.valid)
    assert [entry["epoch"] for entry in model.curve_] == [1, 2, 3]
    assert model.cost_["epochs"] == 3


def test_the_test_split_is_never_read():
    """Training and stopping do not change when the test split does."""
    other = made_up()
    other.event_label[other.sample_event[other.test]] = 0
    other.event_rating[other.sample_event[other.test]] = 1
    a = systems.create("din", **SMALL, epochs=3).fit(DATA, ROWS, DATA.valid)
    b = systems.create("din", **SMALL, epochs=3).fit(other, ROWS, other.valid)
    assert (a.predict(DATA, DATA.valid) == b.predict(DATA, DATA.valid)).all()


def test_pieces_do_not_change_the_step(monkeypatch):
    """A batch in one piece and in many small ones gives the same gradients, so the same model to rounding."""
    options = SMALL | {"dropout": 0.0, "epochs": 1, "batch_size": 100}
    whole = systems.create("din", **options).fit(DATA, ROWS, DATA.valid).predict(DATA, DATA.test)
    monkeypatch.setattr(systems.recommender_class("din"), "piece", 3)
    pieces = systems.create("din", **options).fit(DATA, ROWS, DATA.valid).predict(DATA, DATA.test)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)
