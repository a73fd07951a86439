"""Tuning: the loss is on answers only, it can learn, it repeats itself, and it survives a loss that is no number."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch

from laser_core.errors import DataError, FaultError, UserError
from laser_core.lm import backbones, scoring, tuning
from laser_core.lm.prompts import Renderer
from tests.lm.tiny_models import make_model, make_shelf

SHELF = make_shelf()
CPU = torch.device("cpu")
SETTINGS = tuning.Tuning(
    rank=4, alpha=8, dropout=0.0, layers="query-value", top_blocks=0, learning_rate=1e-2, epochs=2, batch_size=4, max_steps=0
)  # fmt: skip


def opened(tiny: str, seed: int = 0, **changes):
    """(model with a fresh adapter, six texts, their labels)."""
    tokenizer = backbones.tokenizer(tiny)
    render = Renderer(SHELF, "many", "many")
    starts = [int(SHELF.user_offsets[user]) for user in range(1, 7)]
    prompts = [render.many(start, start + 3 + number, start) for number, start in enumerate(starts)]
    model = scoring.AnswerModel(backbones.load_decoder(tiny, torch.float32, CPU), *scoring.answer_ids(tokenizer, prompts[0]))
    adapted = tuning.add_adapter(model.model, dataclasses.replace(SETTINGS, **changes), seed)
    encoded = scoring.encode(tokenizer, prompts)
    return model, adapted, encoded, [SHELF.event_label[text.events].astype(int) for text in encoded]


def odds(model, encoded) -> np.ndarray:
    return np.concatenate(scoring.log_odds(model, encoded, 1, lambda done: None))


def test_a_fresh_adapter_changes_nothing_and_only_it_is_learned(tiny):
    model, _, encoded, labels = opened(tiny)
    plain = scoring.AnswerModel(backbones.load_decoder(tiny, torch.float32, CPU), 0, 1)
    plain.head.copy_(model.head)
    np.testing.assert_allclose(odds(model, encoded), odds(plain, encoded), atol=1e-6)
    frozen = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
    before = odds(model, encoded)
    tuning.tune(model, encoded, labels, SETTINGS, seed=0, size=1)
    assert np.abs(odds(model, encoded) - before).max() > 1e-3
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], weight) for name, weight in frozen.items())
    assert {name.rsplit(".lora_")[0].rsplit(".")[-1] for name, weight in now.items() if weight.requires_grad} == {"q_proj", "v_proj"}
    everywhere = opened(tiny, layers="all")[0]
    assert len(tuning.trainable(everywhere)) == 2 * 7 * 2  # two matrices for each of seven linear layers of two blocks
    top = tuning.trainable(opened(tiny, top_blocks=1)[0])
    assert len(top) == 4 and all(".layers.1." in name for name in top)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen", "qwen3", "gemma", "gemma3", "phi3"])
def test_the_adapters_of_each_family_sit_at_query_and_value(family, tmp_path):
    model, _, encoded, labels = opened(make_model(tmp_path, family), top_blocks=1)
    names = {name.rsplit(".lora_")[0].rsplit(".", 1)[-1] for name in tuning.trainable(model)}
    assert names == ({"qkv_proj"} if family == "phi3" else {"q_proj", "v_proj"})
    assert all(".layers.1." in name for name in tuning.trainable(model))
    before = odds(model, encoded)
    tuning.tune(model, encoded, labels, SETTINGS, seed=0, size=1)
    assert np.abs(odds(model, encoded) - before).max() > 1e-3


def test_a_family_whose_layers_are_not_known_by_name():
    """What the error advises works: every linear layer of GPT-2's upper block, and it learns."""
    import transformers

    settings = transformers.GPT2Config(n_embd=8, n_layer=2, n_head=1, vocab_size=9, n_positions=16)
    model = transformers.GPT2LMHeadModel(settings)
    with pytest.raises(UserError, match=r"query and value layers of a GPT2LMHeadModel are not known by name: .*layers=all"):
        tuning.add_adapter(model, SETTINGS, 0)
    answering = scoring.AnswerModel(model, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tuning.add_adapter(model, dataclasses.replace(SETTINGS, layers="all", top_blocks=1), 0)
    names = {name.rpartition(".lora_")[0] for name in tuning.trainable(answering)}
    assert {name.rpartition(".h.1.")[2] for name in names} == {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}
    text = scoring.Encoded(np.arange(8), np.array([7]), np.array([0]))
    before = odds(answering, [text])
    tuning.tune(answering, [text], [np.array([1])], dataclasses.replace(SETTINGS, epochs=20), 0, 1)
    assert odds(answering, [text]) > before + 0.1


def test_more_blocks_than_there_are(tiny):
    assert len(tuning.trainable(opened(tiny, top_blocks=2)[0])) == 8
    with pytest.raises(UserError, match=r"option 'top_blocks' is 3, the backbone has 2 blocks"):
        opened(tiny, top_blocks=3)


def test_the_loss_is_the_log_loss_of_the_wanted_answers_and_of_nothing_else(tiny):
    """The first step's loss against the formula; an answer marked -1 has no part in it."""
    model, _, encoded, labels = opened(tiny)
    labels[0][:] = -1
    labels[0][1] = 1
    labels[2][2] = -1
    every, wanted = odds(model, encoded), np.concatenate(labels)
    chance = 1 / (1 + np.exp(-every[wanted >= 0]))
    expected = -np.mean(np.log(np.where(wanted[wanted >= 0] == 1, chance, 1 - chance)))
    one_step = dataclasses.replace(SETTINGS, epochs=1, batch_size=99)
    for size in (1, 4):
        curve = tuning.tune(opened(tiny)[0], encoded, labels, one_step, seed=0, size=size)
        assert curve[0]["train_loss"] == pytest.approx(expected, abs=1e-5) and curve[0]["steps"] == 1


def test_an_answer_marked_out_is_as_if_it_were_no_answer(tiny):
    _, _, encoded, labels = opened(tiny)
    masked = [np.where(np.arange(len(own)) == 1, -1, own) for own in labels]
    fewer = [dataclasses.replace(text, places=np.delete(text.places, 1), events=np.delete(text.events, 1)) for text in encoded]
    results = []
    for texts, wanted in ((encoded, masked), (fewer, [np.delete(own, 1) for own in labels])):
        model = opened(tiny)[0]
        tuning.tune(model, texts, wanted, SETTINGS, seed=3, size=1)
        results.append(odds(model, encoded))
    assert np.array_equal(*results)


def test_same_seed_same_adapter(tiny):
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(100 * seed)  # what happened before must not matter
        model, _, encoded, labels = opened(tiny, seed, dropout=0.2)
        tuning.tune(model, encoded, labels, SETTINGS, seed, size=1)
        results.append(odds(model, encoded))
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_the_seed_decides_the_start_the_order_and_the_dropout(tiny):
    """Each by itself: what `add_adapter` draws; the order of texts, without dropout; what dropout leaves out of a single one."""
    starts = [tuning.trainable(opened(tiny, seed)[0]) for seed in (1, 1, 2)]
    differ = [any(not torch.equal(weight, starts[0][name]) for name, weight in other.items()) for other in starts]
    assert differ == [False, False, True]
    for many, settings in ((6, {"dropout": 0.0, "epochs": 1}), (1, {"dropout": 0.5})):
        said = []
        for seed in (1, 1, 2):
            model, _, encoded, labels = opened(tiny, **settings)
            tuning.tune(model, encoded[:many], labels[:many], dataclasses.replace(SETTINGS, **settings), seed, size=1)
            said.append(odds(model, encoded))
        assert np.array_equal(said[0], said[1]) and np.abs(said[0] - said[2]).max() > 1e-3


def test_the_adapter_adds_alpha_over_rank_times_its_product(tiny):
    """Against a model whose own weights are W + (alpha / rank) B A, worked out by hand."""
    model, _, encoded, _ = opened(tiny, rank=2, alpha=5)
    plain = scoring.AnswerModel(backbones.load_decoder(tiny, torch.float32, CPU), 0, 1)
    plain.head.copy_(model.head)
    learned, own = tuning.trainable(model), dict(plain.model.named_parameters())
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(weight.shape, generator=generator) * 0.2 for name, weight in learned.items()}
    tuning.restore(model, drawn)
    names = [name for name in drawn if ".lora_A." in name]
    assert len(names) == 4, "query and value of two blocks"
    for name in names:
        target = re.search(r"layers\..*_proj", name)[0]
        (weight,) = (value for path, value in own.items() if path.endswith(f"{target}.weight"))
        with torch.no_grad():
            weight += 5 / 2 * drawn[name.replace("lora_A", "lora_B")] @ drawn[name]
    np.testing.assert_allclose(odds(model, encoded), odds(plain, encoded), atol=1e-5)


def test_the_rate_falls_to_nothing_step_by_step_and_no_gradient_is_longer_than_one(tiny, monkeypatch):
    told, step = [], torch.optim.AdamW.step

    def noted(self, *words):
        (group,) = self.param_groups
        length = torch.stack([weight.grad.norm() for weight in group["params"]]).norm().item()
        told.append((group["lr"], group["weight_decay"], length))
        return step(self, *words)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    model, _, encoded, labels = opened(tiny)
    model.head.mul_(100)
    heard = []
    model.register_forward_pre_hook(lambda module, words: heard.append(module.training))
    tuning.tune(model, encoded, labels, dataclasses.replace(SETTINGS, epochs=2), 0, 4, validate=lambda: odds(model, encoded).mean() ** 2)
    rates, decays, lengths = zip(*told, strict=True)
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025]) and set(decays) == {0.0}
    assert max(lengths) == pytest.approx(1, abs=1e-4), "cut to one where it was longer"
    turns = [training for training, _ in itertools.groupby(heard)]
    assert turns == [True, False] * 2 and heard.count(False) == 12, "dropout draws in every epoch, and never while validating"


def test_max_steps_and_batches(tiny):
    model, _, encoded, labels = opened(tiny)
    curve = tuning.tune(model, encoded, labels, dataclasses.replace(SETTINGS, epochs=5, max_steps=3), seed=0, size=1)
    assert [entry["steps"] for entry in curve] == [2, 3]  # six texts in batches of four: two steps an epoch
    lengths = sorted(len(text.tokens) for text in encoded)
    assert sum(lengths) < curve[-1]["tokens"] < 2 * sum(lengths)


def test_the_rate_falls_linearly_to_nothing_and_no_gradient_is_longer_than_one(tiny, monkeypatch):
    """Four steps, as the optimizer sees them; one matrix has gradients far too large."""
    rates, lengths = [], []

    class Watched(torch.optim.AdamW):
        def step(self, *given):
            [group] = self.param_groups
            rates.append(group["lr"])
            lengths.append(sum(float(weight.grad.square().sum()) for weight in group["params"]) ** 0.5)
            return super().step(*given)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    model, _, encoded, labels = opened(tiny)
    next(weight for weight in model.parameters() if weight.requires_grad).register_hook(lambda gradient: 1e6 * gradient)
    tuning.tune(model, encoded, labels, SETTINGS, seed=0, size=1)
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    assert len(lengths) == 4 and max(lengths) <= 1 + 1e-4


@pytest.mark.parametrize("most", [1, 4, 16])
def test_a_gpu_reads_no_filler_and_only_the_texts_tokens_are_counted(tiny, monkeypatch, most):
    """As on a GPU: each of six texts is read once an epoch, in passes of as many rows as they hold, and learns what filled passes teach."""
    assert tuning.rows(3, 16, torch.device("cuda")) == 3 and tuning.rows(3, 16, CPU) == 16
    filled, _, encoded, labels = opened(tiny)
    settings = dataclasses.replace(SETTINGS, epochs=1, batch_size=6)
    tokens = [tuning.tune(filled, encoded, labels, settings, 0, most)[-1]["tokens"]]
    monkeypatch.setattr(tuning, "rows", lambda texts, size, device: texts)
    model, _, _, _ = opened(tiny)
    read = []
    handle = model.register_forward_pre_hook(lambda module, args: read.append(len(args[0])))
    tokens.append(tuning.tune(model, encoded, labels, settings, 0, most)[-1]["tokens"])
    handle.remove()
    assert sum(read) == 6 and max(read) <= most
    assert tokens == [sum(len(text.tokens) for text in encoded)] * 2
    np.testing.assert_allclose(odds(model, encoded), odds(filled, encoded), atol=1e-5)


def test_validation_keeps_the_best_epoch(tiny):
    """The judge likes the second of four epochs best: what is left is what the model was then."""
    seen = []

    def judge() -> float:
        seen.append(odds(model, encoded))
        return [0.7, 0.4, 0.6, 0.5][len(seen) - 1]

    model, _, encoded, labels = opened(tiny)
    curve = tuning.tune(model, encoded, labels, dataclasses.replace(SETTINGS, epochs=4), seed=0, size=1, validate=judge)
    assert [entry["valid_loss"] for entry in curve] == [0.7, 0.4, 0.6, 0.5]
    assert np.array_equal(odds(model, encoded), seen[1]) and not np.array_equal(seen[1], seen[3])


def test_no_number_in_the_first_epoch_is_an_error(tiny):
    model, _, encoded, labels = opened(tiny)
    model.head.fill_(torch.nan)
    with pytest.raises(FaultError, match=r"the loss is no number at step 1, in epoch 1 \(learning rate 0.01\); lower the learning rate"):
        tuning.tune(model, encoded, labels, SETTINGS, seed=0, size=1)


def test_a_gradient_that_is_no_number_changes_nothing(tiny):
    """The loss may be one all the same, as where a square root meets zero on the way back."""
    model, _, encoded, labels = opened(tiny)
    weight = next(weight for weight in model.parameters() if weight.requires_grad)
    weight.register_hook(lambda gradient: gradient * torch.nan)
    before = tuning.trainable(model)
    with pytest.raises(FaultError, match="the loss is no number at step 1, in epoch 1"):
        tuning.tune(model, encoded, labels, SETTINGS, seed=0, size=1)
    after = tuning.trainable(model)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_no_number_later_keeps_the_last_good_epoch(tiny):
    model, _, encoded, labels = opened(tiny)
    good = []

    def judge() -> float:
        good.append(odds(model, encoded))
        if len(good) == 2:
            model.head.fill_(torch.nan)
        return 1 / len(good)

    said = []
    head = model.head.clone()
    curve = tuning.tune(
        model, encoded, labels, dataclasses.replace(SETTINGS, epochs=4), seed=0, size=1, validate=judge,
        progress=lambda message, done, total: said.append(message),
    )  # fmt: skip
    assert [entry["epoch"] for entry in curve] == [1, 2, 3] and curve[-1]["stopped_by_nan"] == 1
    assert "no number at step 5, in epoch 3 (learning rate 0.01): kept epoch 2" in said[-1]
    model.head.copy_(head)
    assert np.array_equal(odds(model, encoded), good[1])


@pytest.mark.parametrize("spoilt", ["a weight", "the validation loss"])
def test_an_epoch_that_ends_in_no_number_is_not_kept(tiny, spoilt):
    """In the first of two epochs an error, in the second the first is kept; no such loss is in the curve, where others compare it."""
    for bad in (1, 2):
        model, _, encoded, labels = opened(tiny)
        seen = []

        def judge(model=model, encoded=encoded, seen=seen, bad=bad) -> float:
            seen.append(odds(model, encoded))
            if len(seen) < bad:
                return 0.5
            if spoilt == "a weight":
                next(weight for weight in model.parameters() if weight.requires_grad).data[0] = torch.nan
                return 0.4
            return np.nan

        if bad == 1:
            with pytest.raises(FaultError, match=rf"{spoilt} is no number after epoch 1 \(learning rate 0.01\); lower the learning rate"):
                tuning.tune(model, encoded, labels, SETTINGS, 0, 1, judge)
            continue
        said = []
        curve = tuning.tune(model, encoded, labels, SETTINGS, 0, 1, judge, lambda message, done, total, said=said: said.append(message))
        assert [entry.get("valid_loss") for entry in curve] == [0.5, None] and curve[-1]["stopped_by_nan"] == 1
        assert said[-1] == f"{spoilt} is no number after epoch 2 (learning rate 0.01): kept epoch 1"
        assert np.array_equal(odds(model, encoded), seen[0])


def test_without_validation_too_a_spoilt_last_step_is_an_error(tiny):
    model, _, encoded, labels = opened(tiny)

    def spoil(message, done, total):
        if done == total:
            next(weight for weight in model.parameters() if weight.requires_grad).data[0] = torch.inf

    with pytest.raises(FaultError, match="a weight is no number after epoch 1"):
        tuning.tune(model, encoded, labels, dataclasses.replace(SETTINGS, epochs=1), 0, 1, progress=spoil)


def test_an_adapter_is_saved_as_safetensors_and_read_back(tiny, tmp_path):
    model, adapted, encoded, labels = opened(tiny)
    tuning.tune(model, encoded, labels, SETTINGS, seed=0, size=1)
    tuning.save_adapter(adapted, tmp_path / "adapter", "a-name")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert tiny not in (tmp_path / "adapter" / "adapter_config.json").read_text()
    fresh = scoring.AnswerModel(backbones.load_decoder(tiny, torch.float32, CPU), 0, 1)
    fresh.head.copy_(model.head)
    tuning.load_adapter(fresh.model, tmp_path / "adapter")
    np.testing.assert_allclose(odds(fresh, encoded), odds(model, encoded), atol=1e-6)
    with pytest.raises(DataError, match="cannot be used"):
        tuning.load_adapter(fresh.model, tmp_path)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("adapter_model.safetensors", lambda content: b""), ("adapter_model.safetensors", lambda content: content[:-9]),
        ("adapter_model.safetensors", lambda content: b"\xff" * len(content)), ("adapter_config.json", lambda content: content[:-9]),
        ("adapter_config.json", lambda content: b"{}"), ("adapter_config.json", lambda content: b"[]"),
    ],
)  # fmt: skip
def test_a_damaged_adapter_is_one_line(tiny, tmp_path, file, damage):
    _, adapted, _, _ = opened(tiny)
    tuning.save_adapter(adapted, tmp_path, "a-name")
    (tmp_path / file).write_bytes(damage((tmp_path / file).read_bytes()))
    with pytest.raises(DataError, match=r"the adapter in .* cannot be used: .") as caught:
        tuning.load_adapter(backbones.load_decoder(tiny, torch.float32, CPU), tmp_path)
    assert "\n" not in str(caught.value)


# ---- killed and going on ----------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing in the package catches this."""


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_killed_tuning_goes_on_as_if_nothing_had_happened(tiny, tmp_path, monkeypatch, step):
    """Adapter, optimizer, learning rate, order, dropout and the best epoch so far: exactly what an undisturbed run gives."""
    monkeypatch.setattr(tuning, "NOTE_SECONDS", 0)
    settings = dataclasses.replace(SETTINGS, epochs=3)
    judged = {1: 0.4, 2: 0.6, 3: 0.5}
    note = tmp_path / "notes" / "0.safetensors"

    def run(checkpoint, progress=lambda *words: None):
        model, _, encoded, labels = opened(tiny, dropout=0.3)
        epochs = []

        def judge() -> float:
            epochs.append(odds(model, encoded))
            return judged[1 + done["epochs"] + len(epochs) - 1]

        curve = tuning.tune(model, encoded, labels, settings, 5, 1, judge, progress, checkpoint)
        return curve, odds(model, encoded)

    done = {"epochs": 0}
    curve, whole = run(None)

    def kill(message, at, total):
        if at == step and message.startswith("tuning"):
            raise Killed

    with pytest.raises(Killed):
        run(note, kill)
    assert note.is_file() and not list(note.parent.glob("*.partial"))
    done["epochs"] = (step - 1) // 2  # judged before the kill: two steps an epoch
    said = []
    again, resumed = run(note, lambda message, at, total: said.append(message))
    assert said[0] == f"going on at step {step + 1}"
    assert again == curve and np.array_equal(resumed, whole)
    done["epochs"] = 3
    assert run(note)[0] == curve  # what is finished is not done again


@pytest.mark.parametrize("processes", [1, 2])
def test_a_note_of_another_number_of_processes_is_as_none(tiny, tmp_path, monkeypatch, processes):
    monkeypatch.setattr(tuning, "NOTE_SECONDS", 0)
    note, said = tmp_path / "0.safetensors", []
    model, _, encoded, labels = opened(tiny)
    tuning.tune(model, encoded, labels, dataclasses.replace(SETTINGS, epochs=1), 0, 1, checkpoint=note)
    with safetensors.safe_open(note, "pt") as file:
        counts = {**json.loads(file.metadata()["counts"]), "processes": processes}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, note, {"counts": json.dumps(counts)})
    tuning.tune(model, encoded, labels, SETTINGS, 0, 1, None, lambda message, done, total: said.append(message), note)
    assert said[0].startswith("going on at step 3" if processes == 1 else "tuning, epoch 1")


def test_a_damaged_note_is_as_none(tiny, tmp_path):
    note = tmp_path / "0.safetensors"
    results = []
    for content in (None, b"", b"no weights at all", b"\x08\0\0\0\0\0\0\0{}      "):
        if content is not None:
            note.write_bytes(content)
        model, _, encoded, labels = opened(tiny)
        tuning.tune(model, encoded, labels, SETTINGS, 0, 1, checkpoint=note)
        results.append(odds(model, encoded))
    assert all(np.array_equal(results[0], other) for other in results[1:])


# ---- memory -----------------------------------------------------------------------------------------------------------------------------


def starve(model, most: int) -> list[int]:
    """No pass of more than `most` texts fits; the sizes that were tried."""
    tried = []

    def check(module, args):
        tried.append(len(args[0]))
        if len(args[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(check)
    return tried


def test_out_of_memory_halves_the_passes_once_and_says_so(tiny):
    model, _, encoded, labels = opened(tiny)
    said, tried = [], starve(model, 2)
    curve = tuning.tune(model, encoded, labels, SETTINGS, 0, 4, progress=lambda message, done, total: said.append(message))
    assert "out of memory: passes of 2 prompts instead of 4" in said and curve[-1]["pass_size"] == 2
    assert tried.count(4) == 1 and curve[-1]["steps"] == 4
    plain, _, _, _ = opened(tiny)
    tuning.tune(plain, encoded, labels, SETTINGS, 0, 2)
    np.testing.assert_allclose(np.concatenate(scoring.log_odds(model, encoded, 2)), np.concatenate(scoring.log_odds(plain, encoded, 2)))


def test_out_of_memory_in_the_middle_of_a_batch_counts_none_of_its_texts_twice(tiny):
    """The first pass of the batch has left its gradients when the second finds no room: with passes of half the size all is done anew."""
    model, _, encoded, labels = opened(tiny)
    passed = []

    def full_once(module, args):
        passed.append(len(args[0]))
        if len(passed) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(full_once)
    tuning.tune(model, encoded, labels, dataclasses.replace(SETTINGS, epochs=1, batch_size=6), 0, 2)
    plain, _, _, _ = opened(tiny)
    tuning.tune(plain, encoded, labels, dataclasses.replace(SETTINGS, epochs=1, batch_size=6), 0, 1)
    assert passed == [2, 2, *[1] * 6]
    np.testing.assert_allclose(odds(model, encoded), odds(plain, encoded), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "most", "message"), [(4, 1, "passes of 2 prompts: set a smaller pass_size"), (1, 0, "smaller max_tokens")]
)
def test_out_of_memory_again_is_an_error(tiny, size, most, message):
    model, _, encoded, labels = opened(tiny)
    starve(model, most)
    with pytest.raises(FaultError, match=f"out of memory with .*{message}"):
        tuning.tune(model, encoded, labels, SETTINGS, 0, size)
    with pytest.raises(FaultError, match=f"out of memory with .*{message}"):
        scoring.log_odds(model, encoded, size)


def test_scoring_out_of_memory_halves_the_passes_once_and_says_so(tiny, caplog):
    model, _, encoded, _ = opened(tiny)
    expected = np.concatenate(scoring.log_odds(model, encoded, 2))
    starve(model, 2)
    np.testing.assert_array_equal(np.concatenate(scoring.log_odds(model, encoded, 4)), expected)
    assert "out of memory: passes of 2 texts instead of 4" in caplog.text


def test_other_errors_stay_what_they_are(tiny):
    model, _, encoded, labels = opened(tiny)
    model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        tuning.tune(model, encoded, labels, SETTINGS, 0, 4)
    with pytest.raises(RuntimeError, match="a bug"):
        scoring.log_odds(model, encoded, 4)
