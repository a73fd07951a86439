"""Memory that gives out: half the pass is tried once, a warning says so, and what comes out is the same."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable

import numpy as np
import pytest
import torch

from laser_core.errors import FaultError
from laser_core.knowledge import encoder, generate
from laser_core.lm import backbones, ptab, scoring
from laser_core.lm.halving import halving, within_memory
from laser_core.lm.likelihood import likelihoods
from laser_core.lm.ptab import PTab
from tests.lm.test_scoring import candidates, last_answer, open_tiny
from tests.lm.tiny_encoders import make_bert

TEXTS = [f"Tome {number} of it" for number in range(12)]
NO_ROOM = torch.OutOfMemoryError("CUDA out of memory")


def starve(body: torch.nn.Module, most: int) -> list[int]:
    """No pass of more than `most` texts fits; the sizes that were tried."""
    tried = []

    def check(module, args, named):
        tried.append(len(args[0] if args else named["input_ids"]))
        if tried[-1] > most:
            raise NO_ROOM

    body.register_forward_pre_hook(check, with_kwargs=True)
    return tried


def test_half_the_size_is_tried_once():
    def work(most: int) -> Callable[[int], str]:
        def passes(size: int) -> str:
            if size > most:
                raise NO_ROOM
            return f"in {size}"

        return passes

    assert halving(work(8), 8) == ("in 8", 8) and halving(work(4), 8) == ("in 4", 4) and halving(work(4), 9) == ("in 4", 4)
    assert halving(work(4), 4, whole=8) == ("in 4", 4)
    for size, whole, room in ((8, None, 3), (4, 8, 3), (1, None, 0)):  # half is too much too; it is half already; there is no half
        with pytest.raises(torch.OutOfMemoryError):
            halving(work(room), size, whole)


def test_other_errors_are_not_tried_again():
    tried = []

    def work(size: int) -> None:
        tried.append(size)
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"), within_memory("take less"):
        halving(work, 8)
    assert tried == [8]


def test_what_torch_itself_says_without_memory_is_understood():
    with pytest.raises(FaultError, match=r"^out of memory: take less$"), within_memory("take less"):
        torch.empty(1 << 60, dtype=torch.uint8)


def vectors(name: str) -> np.ndarray:
    found = np.zeros((len(TEXTS), 32))
    for texts, own in encoder.compute(name, TEXTS, 64):
        found[[TEXTS.index(text) for text in texts]] = own
    return found


def texts(name: str) -> list[dict]:
    entries = [entry for part in generate._write(name, TEXTS, 5) for entry in part]
    return sorted(({"prompt": entry["prompt"], "text": entry["text"]} for entry in entries), key=lambda entry: entry["prompt"])


def ends(name: str, shared: str = "") -> np.ndarray:
    found = np.zeros(len(TEXTS))
    for numbers, means in likelihoods(name, TEXTS, [" of the sea"] * len(TEXTS), shared):
        found[numbers] = means
    return found


def after_the_same(name: str) -> np.ndarray:
    return ends(name, "Tome of A: Yes\n")


@pytest.mark.parametrize("work", [vectors, texts, ends, after_the_same])
def test_what_a_backbone_reads_and_writes(work, tiny, monkeypatch, caplog):
    """Of 16 places in a pass eight fit."""
    opener = "laser_core.knowledge.encoder._open" if work is vectors else "laser_core.knowledge.generate.open_decoder"
    monkeypatch.setattr(generate, "_PASS", 16)
    expected = work(tiny)
    model = pkgutil.resolve_name(opener).__wrapped__(tiny)
    for name in {opener, "laser_core.lm.likelihood.open_decoder"}:
        monkeypatch.setattr(name, lambda _: model)
    tried = starve(model.base_model, 8)
    found = work(tiny)
    if work is texts:
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, atol=1e-5)
    rest = [size for size in tried if size > 1]  # what is shared is read alone
    assert rest.count(16) == 1 and set(rest) == {16, 8}
    assert caplog.text.count("out of memory: passes of 8 texts instead of 16") == 1
    starve(model.base_model, 7)
    with pytest.raises(FaultError, match=r"^out of memory: take a smaller backbone"):
        work(tiny)


def test_targets_that_share_a_history(tiny, caplog):
    prompts = candidates("many")
    model, encoded = open_tiny(tiny, prompt=prompts[0]), last_answer(scoring.encode(backbones.tokenizer(tiny), prompts))
    expected = np.concatenate(scoring.shared_log_odds(model, encoded, 8))
    tried = starve(model.body, 4)
    np.testing.assert_allclose(np.concatenate(scoring.shared_log_odds(model, encoded, 8)), expected, atol=1e-4)
    assert tried[:2] == [1, 8] and max(tried[2:]) == 4 and "passes of 4 texts instead of 8" in caplog.text
    with pytest.raises(FaultError, match="out of memory with passes of 8 prompts: set a smaller pass_size"):
        scoring.shared_log_odds(model, encoded, 16)


def test_masked_language_adaptation(shelf, tmp_path, monkeypatch, caplog):
    """In the third step memory gives out on the way back: what left its gradients is done anew, and nothing is masked or counted twice."""
    backbone = make_bert(tmp_path, masked_head=True)
    options = {"precision": "fp32", "max_tokens": 96, "history": 2, "batch_size": 8, "dropout": 0.0, "adapt_learning_rate": 0.01}

    def fitted(gives_out: bool) -> PTab:
        model, adapt, mask = PTab(backbone=backbone, valid_limit=0, **options), PTab.adapt, ptab.masked
        monkeypatch.setattr(ptab, "masked", lambda ids, *rest: masks.append(len(ids)) or mask(ids, *rest))

        def without_dropout(self, *words):
            made = self.model_.eval()
            made.train = lambda mode=True: made
            made.body.embeddings.word_embeddings.weight.register_hook(full_once if gives_out else lambda _: None)
            return adapt(self, *words)

        monkeypatch.setattr(PTab, "adapt", without_dropout)
        try:
            return model.fit(shelf, shelf.shots(24, 0), shelf.valid)
        finally:
            monkeypatch.undo()

    def full_once(_: torch.Tensor) -> None:
        full.append(1)
        if len(full) == 3:
            raise NO_ROOM

    masks: list[int] = []
    full: list[int] = []
    plain, drawn = fitted(False), len(masks)
    halved = fitted(True)
    assert len(full) > 4
    assert len(masks) == 2 * drawn and "passes of 4 texts instead of 8" in caplog.text
    assert halved.cost_["adapt_tokens"] == plain.cost_["adapt_tokens"]
    assert halved.cost_["adapt_last_loss"] == pytest.approx(plain.cost_["adapt_last_loss"], abs=1e-4)
    rows = shelf.test[:10]
    np.testing.assert_allclose(halved.predict(shelf, rows), plain.predict(shelf, rows), atol=1e-4)
