"""The training loop: its optimiser against torch's, its order, rates and stop."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch

from laser_core import systems
from laser_core.crm import trainer
from laser_core.crm.layers import Table
from laser_core.crm.trainer import AdamW, Training, log_loss
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


# ---- the loop itself, on samples that are their numbers ----------------------------------------------------------------------------------


class Numbers:
    """So many samples, every other one positive; a batch is their numbers."""

    def __init__(self, count: int) -> None:
        self.label = (np.arange(count) % 2).astype(np.float32)
        self.length = np.zeros(count, dtype=int)

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, index: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(index)


class Listener(torch.nn.Module):
    """Learns one number and notes whether it was training, and on which samples."""

    def __init__(self) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(1))
        self.heard: list[tuple[bool, list[int]]] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.heard.append((self.training, batch.tolist()))
        return self.number.expand(len(batch))


def heard(seed: int) -> list[tuple[bool, list[int]]]:
    """What a model of three epochs hears: 100 samples in batches of 32, 10 to validate on."""
    model = Listener()
    trainer.train(model, Numbers(100), Numbers(10), Training(epochs=3, patience=3, batch_size=32, steps=3), seed, piece=1024)
    return model.heard


def test_every_epoch_trains_on_every_sample_once_in_an_order_of_its_own_and_then_validates():
    """Dropout is on in all of the training, not in its first epoch only, and never while validating."""
    epochs = []
    for seed in (0, 1):
        calls = heard(seed)
        assert [(training, len(numbers)) for training, numbers in calls] == [(True, 32), (True, 32), (True, 32), (True, 4), (False, 10)] * 3
        for epoch in range(3):
            order = [number for _, numbers in calls[5 * epoch : 5 * epoch + 4] for number in numbers]
            assert sorted(order) == list(range(100))
            epochs.append(tuple(order))
    assert len(set(epochs)) == 6, "another order in every epoch and for every seed"
    assert heard(1) == calls


@pytest.mark.parametrize(
    ("settings", "steps", "over"),
    [({"batch_size": 1024}, 19, 300), ({"batch_size": 1024, "decay_steps": 10}, 19, 19), ({"batch_size": 50, "steps": 4}, 6, 300)],
    ids=["few shots", "by epochs", "batches no larger than asked for"],
)
def test_the_rate_falls_step_by_step_and_each_kind_of_weight_has_its_decay(settings, steps, over, monkeypatch):
    """300 samples: batches of 16 make 19 steps, batches of 50 six. The rate falls to a tenth over an epoch, or `decay_steps` of them."""
    told, step = [], AdamW.step
    monkeypatch.setattr(AdamW, "step", lambda self, rate: (told.append((self, rate)), step(self, rate))[1])
    options = SMALL | settings | {"epochs": 2, "patience": 2, "learning_rate": 0.01, "learning_rate_decay": 0.1}
    model = systems.create("deepfm", **options, weight_decay=0.3, embedding_decay=0.7).fit(DATA, ROWS, DATA.valid).model_
    expected = [0.01 * 0.1 ** (taken / over) for taken in range(2 * steps)]
    tables = sum(isinstance(module, Table) for module in model.modules())
    for decay, many in ((0.7, tables), (0.3, len(list(model.parameters())) - tables)):
        own = [(optimizer, rate) for optimizer, rate in told if optimizer.weight_decay == decay]
        assert [rate for _, rate in own] == pytest.approx(expected)
        assert {len(optimizer.parameters) for optimizer, _ in own} == {many} and many > 0


def test_the_seed_decides_what_a_model_starts_with():
    """With a rate of nothing all that a seed can change is the start, whatever random numbers were drawn before."""
    said = []
    for seed in (1, 1, 2):
        torch.rand(seed + len(said))
        model = systems.create("deepfm", **SMALL, learning_rate=1e-30, weight_decay=0, embedding_decay=0, epochs=1)
        said.append(model.fit(DATA, ROWS, DATA.valid, seed=seed).predict(DATA, DATA.test))
    assert (said[0] == said[1]).all() and (said[0] != said[2]).any()
