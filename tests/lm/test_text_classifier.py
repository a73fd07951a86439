"""What CTR-BERT, PTab and P5 all must do, on tiny models with random weights."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from laser_core import systems
from laser_core.errors import DataError, FaultError, UserError
from laser_core.lm import text_classifier
from laser_core.lm.halving import halving
from laser_core.lm.texts import Reader, Text
from laser_core.recommender import make_options
from tests.lm.tiny_encoders import make_bert, make_t5, turned
from tests.lm.tiny_models import make_shelf

SYSTEMS = [system.name for system in systems.SYSTEMS.values() if system.family == "plm"]
every_system = pytest.mark.parametrize("name", SYSTEMS)
FAST = {"precision": "fp32", "epochs": 1, "least_steps": 4, "checks": 2, "history": 3, "max_tokens": 96, "valid_limit": 8}
SMALL = {"p5-scratch": {"size": 16, "layers": 1}}
FEW = slice(0, 54, 4)  # of the test samples


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    bert, t5 = make_bert(tmp_path_factory.mktemp("bert")), make_t5(tmp_path_factory.mktemp("t5"))
    return {"ctr-bert": bert, "ptab": bert, "p5": t5, "p5-scratch": t5}


@pytest.fixture(scope="module")
def fitted(folders, shelf):
    """Systems fitted on a few samples; tests do not change them."""
    return cache(lambda name: make(folders, name).fit(shelf, shelf.shots(24, 0), shelf.valid, seed=1))


def make(folders, name: str, **options):
    return systems.create(name, **{"backbone": folders[name], **FAST, **SMALL.get(name, {}), **options})


@every_system
def test_predictions_do_not_depend_on_order_company_or_batches(name, fitted, shelf):
    model, rows = fitted(name), shelf.test[::4]
    together = model.predict(shelf, rows)
    assert together.dtype == np.float64 and together.shape == rows.shape and np.ptp(together) > 1e-3
    shuffled = np.random.default_rng(0).permutation(np.concatenate([rows, rows]))
    np.testing.assert_array_equal(model.predict(shelf, shuffled), together[np.searchsorted(rows, shuffled)])
    np.testing.assert_array_equal(np.concatenate([model.predict(shelf, rows[place : place + 1]) for place in range(6)]), together[:6])
    assert len(model.predict(shelf, rows[:0])) == 0


@every_system
def test_padding_changes_nothing(name, fitted, shelf):
    """What training reads, texts padded to one length and masked, gives what scoring reads, each text alone."""
    model, rows = fitted(name), shelf.test[:9]
    samples = model._encode(shelf, rows, Reader(model.options.backbone, model.options.max_tokens))
    wide = [text_classifier.padded(texts, 100, torch.device("cpu")) for texts in zip(*samples, strict=True)]
    assert len({len(sample[0]) for sample in samples}) > 1
    with torch.no_grad():
        chance = torch.sigmoid(model.model_(*wide).double()).numpy()
    np.testing.assert_allclose(chance, model.predict(shelf, rows), atol=1e-5)


@every_system
def test_no_label_but_those_of_earlier_ratings_is_read(name, fitted, shelf):
    """With the target's and all later ratings of the user turned over, texts and predictions stay; with an earlier one, they do not."""
    model = fitted(name)
    for row in shelf.test[[0, 4, 8, 22]]:
        one, other = np.array([row]), turned(shelf, int(row))
        assert shelf.labels(one) != other.labels(one)
        assert model.texts(other, int(row)) == model.texts(shelf, int(row))
        np.testing.assert_array_equal(model.predict(other, one), model.predict(shelf, one))
    earlier = turned(shelf, int(shelf.test[3]))
    assert model.texts(earlier, int(shelf.test[4])) != model.texts(shelf, int(shelf.test[4]))
    assert model.predict(earlier, shelf.test[4:5]) != model.predict(shelf, shelf.test[4:5])


@every_system
def test_fitting_reads_no_label_but_those_of_shots_and_validation(name, folders, shelf):
    """Labels that are neither theirs nor an earlier rating's may be turned over."""
    rows = shelf.shots(24, 0)
    own = shelf.sample_event[np.concatenate([rows, shelf.valid])]
    earlier = [shelf.history_events(row, 0) for row in np.concatenate([rows, shelf.valid, shelf.test[FEW]])]
    read = np.concatenate([own, *earlier])
    labels = 1 - shelf.event_label
    labels[read] = shelf.event_label[read]
    assert (labels != shelf.event_label).sum() > 20
    other = dataclasses.replace(shelf, event_label=labels)
    first, second = make(folders, name).fit(shelf, rows, shelf.valid), make(folders, name).fit(other, rows, shelf.valid)
    np.testing.assert_array_equal(first.predict(shelf, shelf.test[FEW]), second.predict(shelf, shelf.test[FEW]))


@every_system
def test_what_does_not_fit_is_the_oldest_history_never_the_target(name, fitted, shelf):
    row, event = int(shelf.test[8]), int(shelf.sample_event[shelf.test[8]])
    title = shelf.title(shelf.event_item[event])
    texts = fitted(name).texts(shelf, row)
    newest_first = [shelf.title(item) for item in shelf.event_item[event - 3 : event][::-1]]
    (with_history,) = [text for text in texts if text.history]
    assert [line.partition(" ")[2].removesuffix(";") for line in with_history.history] == newest_first
    assert sum(title in text.opening for text in texts) == 1
    whole = Reader(fitted(name).options.backbone, 200)
    full = whole.tokens(with_history)
    for budget in range(len(full) - 1, len(whole.tokens(Text(with_history.opening))) - 1, -1):
        cut = Reader(fitted(name).options.backbone, budget).tokens(with_history)
        body = len(cut) - len(whole.after)
        assert len(cut) <= budget and list(cut[:body]) == list(full[:body]) and list(cut[body:]) == whole.after
        assert any(len(cut) == len(whole.tokens(Text(with_history.opening, with_history.history[:kept]))) for kept in range(3))


@every_system
def test_learns_a_planted_signal(name, folders):
    """Everybody likes the books of one author, whom the texts name."""
    world = make_shelf(one_taste=True)
    options = {"history": 1, "least_steps": 40, "checks": 1, "valid_limit": 0, "learning_rate": 5e-3, "head_learning_rate": 5e-3}
    model = make(folders, name, **options).fit(world, world.train, world.valid)
    assert roc_auc_score(world.labels(world.test), model.predict(world, world.test)) > 0.95


@every_system
def test_same_seed_same_model_and_a_second_fit_starts_anew(name, folders, fitted, shelf):
    rows, expected = shelf.shots(24, 0), fitted(name).predict(shelf, shelf.test[FEW])
    again = make(folders, name)
    for _ in range(2):
        assert (again.fit(shelf, rows, shelf.valid, seed=1).predict(shelf, shelf.test[FEW]) == expected).all()
    assert (again.fit(shelf, rows, shelf.valid, seed=2).predict(shelf, shelf.test[FEW]) != expected).any()


@every_system
def test_keeps_the_check_with_the_lowest_validation_loss(name, folders, shelf):
    """A rate far too large: later checks are worse, and the kept model has the loss of the best."""
    model = make(folders, name, least_steps=24, checks=8, patience=2, learning_rate=0.05, valid_limit=10)
    model.fit(shelf, shelf.shots(24, 0), shelf.valid)
    losses = [entry["valid_log_loss"] for entry in model.curve_]
    assert len(losses) == min(8, losses.index(min(losses)) + 3)
    read = shelf.valid[np.linspace(0, len(shelf.valid) - 1, 10).astype(int)]
    chance = model.predict(shelf, read)
    loss = -np.mean(np.log(np.where(shelf.labels(read) == 1, chance, 1 - chance)))
    assert loss == pytest.approx(min(losses), abs=1e-4)


@every_system
def test_a_last_step_that_spoils_the_model_is_an_error(name, folders, shelf):
    """The loss before the only step is a number; what is left after it is none."""
    model = make(folders, name, learning_rate=1e38, least_steps=1, epochs=1, batch_size=999)
    with pytest.raises(FaultError, match=r"no number after step 1 \(learning rate 1e\+38\); lower the learning rate"):
        model.fit(shelf, shelf.shots(24, 0), shelf.valid)


@pytest.mark.parametrize("spoilt", ["a loss", "a weight", "the validation loss"])
def test_no_number_after_a_good_check_keeps_the_best_check(folders, shelf, spoilt):
    """The second check is the best; something goes wrong with the third."""
    model = make(folders, "ctr-bert", learning_rate=1e-2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reader = model._open(lambda *_: None)
    rows = shelf.shots(24, 0)
    samples, labels = model._encode(shelf, rows, reader), torch.from_numpy(shelf.labels(rows)).float()
    answer, seen, said = model.model_.answer, [], []

    def judge() -> float:
        seen.append(model._log_odds(samples)[0])
        if spoilt == "a loss" and len(seen) == 2:
            model.model_.answer = lambda vectors: answer(vectors) * torch.nan
        if spoilt == "a weight" and len(seen) == 3:
            next(model.model_.parameters()).data[0] = torch.inf
        return [0.6, 0.5, np.nan if spoilt == "the validation loss" else 0.4][len(seen) - 1]

    options = dataclasses.replace(model.options, least_steps=12, checks=6, patience=6)
    curve = text_classifier.train(
        model.model_, samples, labels, options, torch.float32, 0, judge, lambda message, done, total: said.append(message)
    )
    assert [entry.get("valid_log_loss") for entry in curve] == [0.6, 0.5, None]
    at, where = (4, "at step 5") if spoilt == "a loss" else (6, "after step 6")
    assert curve[-1]["stopped_by_nan"] == 1 and curve[-1]["steps"] == at and curve[-1]["tokens"] > curve[1]["tokens"]
    assert said[-1].endswith(f"no number {where} (learning rate 0.01): kept step 4")
    model.model_.answer = answer
    np.testing.assert_array_equal(model._log_odds(samples)[0], seen[1])
    assert not np.array_equal(seen[0], seen[1])


def test_rates_decay_and_order_are_those_of_the_options_and_the_seed(folders, shelf, monkeypatch):
    told, descend = [], text_classifier.descend

    def noted(groups, count, batch, steps, loss, generator, decay, after):
        told.append((groups, generator.bit_generator.state, decay))
        descend(groups, count, batch, steps, loss, generator, decay, after)

    monkeypatch.setattr(text_classifier, "descend", noted)
    model = make(folders, "ctr-bert", learning_rate=1e-3, head_learning_rate=2e-2, weight_decay=0.25)
    model.fit(shelf, shelf.shots(24, 0), shelf.valid, seed=7)
    [(groups, state, decay)] = told
    body = {id(weight) for weight in model.model_.body.parameters()}
    assert {group["initial_lr"]: {id(weight) in body for weight in group["params"]} for group in groups} == {1e-3: {True}, 2e-2: {False}}
    assert decay == 0.25 and state == np.random.default_rng(7).bit_generator.state


def test_the_seed_decides_what_is_put_on_top(folders, shelf):
    """With rates of nothing all that a seed can change is the start."""
    still = {"learning_rate": 1e-30, "head_learning_rate": 1e-30, "weight_decay": 0.0}
    one, again, other = (
        make(folders, "ctr-bert", **still).fit(shelf, shelf.shots(24, 0), shelf.valid, seed=seed).predict(shelf, shelf.test[FEW])
        for seed in (1, 1, 2)
    )
    assert (one == again).all() and np.abs(one - other).max() > 1e-4


def test_dropout_is_on_in_all_of_the_training_and_the_best_check_is_judged_without(folders, shelf):
    model = make(folders, "ctr-bert")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reader = model._open(lambda *_: None)
    rows, heard = shelf.shots(24, 0), []
    samples, labels = model._encode(shelf, rows, reader), torch.from_numpy(shelf.labels(rows)).float()
    model.model_.register_forward_pre_hook(lambda module, given: heard.append(module.training))
    options = dataclasses.replace(model.options, least_steps=12, checks=4, patience=9)
    judge = lambda: float(model._log_odds(samples)[0].var())  # noqa: E731
    curve = text_classifier.train(model.model_, samples, labels, options, torch.float32, 0, judge)
    assert len(curve) == 4 and len(heard) >= 12 and all(heard) and not model.model_.training


# ---- memory ------------------------------------------------------------------------------------------------------------------------------


def starve(model, most: int) -> list[int]:
    """No pass of more than `most` texts fits; the sizes that were tried."""
    tried, read = [], model.read

    def check(ids, real):
        tried.append(len(ids))
        if len(ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(ids, real)

    model.read = check
    return tried


@pytest.mark.parametrize("name", ["ctr-bert", "ptab", "p5"])
def test_training_out_of_memory_halves_the_passes_once_and_says_so(name, folders, shelf, monkeypatch, caplog):
    options = {"adapt_epochs": 0, "dropout": 0.0} if name == "ptab" else {}
    build, tried = systems.recommender_class(name).build, []

    def fit(most: int):
        def starving(self, *words):
            made = build(self, *words)
            made.eval()
            made.train = lambda mode=True: made  # no dropout: both draw differently from it
            tried.append(starve(made, most))
            return made

        monkeypatch.setattr(systems.recommender_class(name), "build", starving)
        return make(folders, name, batch_size=8, **options).fit(shelf, shelf.shots(24, 0), shelf.valid)

    halved = fit(4)
    assert caplog.text.count("out of memory: passes of 4 texts instead of 8") == 1 and tried[0].count(8) == 1
    assert all(entry["pass_size"] == 4 for entry in halved.curve_)
    monkeypatch.setattr(text_classifier, "_PIECE", 4)
    plain = fit(4)
    np.testing.assert_allclose(halved.predict(shelf, shelf.test[FEW]), plain.predict(shelf, shelf.test[FEW]), atol=1e-6)
    with pytest.raises(FaultError, match=r"^out of memory: set a smaller max_tokens or history.*$"):
        fit(1)


def test_out_of_memory_in_the_middle_of_a_batch_counts_none_of_its_texts_twice(folders, shelf):
    """Sixteen samples in passes of eight: the first has left its gradients when the second finds no room."""

    def fit(gives_out: bool):
        model, passed = make(folders, "ctr-bert"), []
        with torch.random.fork_rng():
            torch.manual_seed(0)
            reader = model._open(lambda *_: None)
        made = model.model_.eval()
        made.train = lambda mode=True: made  # no dropout: both draw differently from it
        rows, answer = shelf.shots(16, 0), model.model_.answer

        def full_once(vectors):
            passed.append(len(vectors))
            if gives_out and len(passed) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return answer(vectors)

        model.model_.answer = full_once
        options = dataclasses.replace(model.options, least_steps=1, checks=1, learning_rate=1e-2, head_learning_rate=1e-2)
        samples, labels = model._encode(shelf, rows, reader), torch.from_numpy(shelf.labels(rows)).float()
        text_classifier.train(model.model_, samples, labels, options, torch.float32, 0)
        return model._log_odds(samples)[0], passed[:6]

    (odds, passed), (plain, _) = fit(True), fit(False)
    assert passed == [8, 8, 4, 4, 4, 4]
    np.testing.assert_allclose(odds, plain, atol=1e-4)


def test_scoring_out_of_memory_halves_the_passes_once_and_says_so(fitted, shelf, caplog, monkeypatch):
    """With the passes of a GPU, on a CPU."""
    model = fitted("ctr-bert")
    samples = model._encode(shelf, shelf.test[FEW], Reader(model.options.backbone, 96))
    expected, texts, tokens = model._read(samples, 4, lambda *_: None)
    own = model.model_.read
    monkeypatch.setattr(model.model_, "read", own)
    tried = starve(model.model_, 4)
    (odds, *counts), size = halving(lambda size: model._read(samples, size, lambda *_: None), 8)
    np.testing.assert_array_equal(odds, expected)
    assert (size, counts, tried[0], set(tried[1:])) == (4, [texts, tokens], 8, {4})
    assert "out of memory: passes of 4 texts instead of 8" in caplog.text
    model.model_.read = own
    starve(model.model_, 0)
    with pytest.raises(FaultError, match=r"^out of memory: "):
        model.predict(shelf, shelf.test[:3])


def test_other_errors_stay_what_they_are(fitted, shelf, monkeypatch):
    def bug(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(fitted("ctr-bert").model_, "read", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        fitted("ctr-bert").predict(shelf, shelf.test[:3])


@every_system
def test_saved_and_loaded_is_the_same(name, fitted, shelf, tmp_path):
    model = fitted(name)
    before = model.predict(shelf, shelf.test[FEW])
    model.save(str(tmp_path))  # a text as well as a path
    again = systems.recommender_class(name).load(str(tmp_path))
    np.testing.assert_array_equal(again.predict(shelf, shelf.test[FEW]), before)
    assert (again.options, again.curve_, again.labels_seen_) == (model.options, model.curve_, 24)
    assert again.parameter_count() == model.parameter_count() > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert make_options(type(model.options), json.loads(json.dumps(dataclasses.asdict(model.options)))) == model.options
    path = tmp_path / "model.json"
    sound = path.read_text()
    for damaged in ("[]", "null", json.dumps(json.loads(sound) | {"options": []})):
        path.write_text(damaged)
        with pytest.raises(DataError, match="missing or damaged"):
            systems.recommender_class(name).load(tmp_path)
    path.write_text(sound)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 50)
    with pytest.raises(DataError, match="missing or damaged"):
        systems.recommender_class(name).load(tmp_path)


@every_system
def test_counts(name, fitted, folders, shelf):
    """Labels, parameters, tokens: each by hand."""
    model = make(folders, name).fit(shelf, np.repeat(shelf.shots(24, 0), 2), shelf.valid)
    assert model.labels_seen_ == 24
    assert model.parameter_count() == sum(weight.numel() for weight in model.model_.parameters())
    samples = model._encode(shelf, shelf.shots(24, 0), Reader(model.options.backbone, 96))
    generator = np.random.default_rng(0)
    read = np.concatenate([generator.permutation(24) for _ in range(3)])[: 4 * 16]  # four steps of 16 are 2.7 passes
    assert model.cost_["fit_tokens"] == sum(len(ids) for number in read for ids in samples[number])
    assert model.curve_[-1]["steps"] == 4 and model.curve_[-1]["tokens"] == model.cost_["fit_tokens"]
    model.predict(shelf, shelf.test)
    distinct = {tuple(ids) for sample in model._encode(shelf, shelf.test, Reader(model.options.backbone, 96)) for ids in sample}
    assert (model.cost_["predict_texts"], model.cost_["predict_tokens"]) == (len(distinct), sum(map(len, distinct)))


@every_system
def test_only_the_top_block(name, folders, fitted, shelf):
    model = make(folders, name, top_blocks=1).fit(shelf, shelf.shots(24, 0), shelf.valid)
    fresh = make(folders, name, top_blocks=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh._open(lambda *_: None)
    untouched = dict(fresh.model_.body.named_parameters())
    changed = {path for path, weight in model.model_.body.named_parameters() if not torch.equal(weight, untouched[path])}
    assert changed and changed <= {path for path, weight in untouched.items() if weight.requires_grad}
    assert not [path for path in changed if "embed" in path or "shared" in path]
    if name != "p5-scratch":  # its test model has one block
        assert model.parameter_count() < fitted(name).parameter_count()
        assert not [path for path in changed if "layer.0." in path and "block" not in path]
    with pytest.raises(UserError, match="the backbone has"):
        make(folders, name, top_blocks=9).fit(shelf, shelf.shots(24, 0), shelf.valid)


@every_system
def test_progress_reaches_its_total(name, folders, shelf):
    said = []
    model = make(folders, name).fit(shelf, shelf.shots(24, 0), shelf.valid, progress=lambda *words: said.append(words))
    model.predict(shelf, shelf.test, progress=lambda *words: said.append(words))
    for start in ("tuning", "scoring"):
        own = [words for words in said if words[0].startswith(start)]
        assert own[-1][1] == own[-1][2] > 0


@every_system
def test_what_is_refused(name, folders, shelf):
    liked = shelf.train[shelf.labels(shelf.train) == 1]
    with pytest.raises(UserError, match="one class only"):
        make(folders, name).fit(shelf, liked, shelf.valid)
    with pytest.raises(UserError, match=r"needs \d+ tokens without any history, 9 are allowed: raise max_tokens"):
        make(folders, name, max_tokens=9).fit(shelf, shelf.train, shelf.valid)
    with pytest.raises(UserError, match="is not fitted: call fit, or load a saved model"):
        make(folders, name).predict(shelf, shelf.test)
    with pytest.raises(UserError, match="'patience' must be positive"):
        make(folders, name, patience=0)
    with pytest.raises(UserError, match="unknown backbone 'minilm'"):
        systems.create(name, backbone="minilm")
    with pytest.raises(FaultError, match="the loss is no number at step"):
        make(folders, name, learning_rate=1e30, least_steps=20, checks=1).fit(shelf, shelf.train, shelf.valid)


@pytest.mark.parametrize(("name", "kind"), [("ctr-bert", "encoder"), ("ptab", "encoder"), ("p5", "encoder-decoder")])
def test_a_backbone_of_another_kind_is_refused(name, kind, folders, tiny):
    """Registered or a folder: the first token of a decoder has read nothing but itself, so every text would get the same answer."""
    for backbone in ("smollm2-135m", tiny):
        with pytest.raises(UserError, match=f"is a decoder, .* needs an {kind}"):
            systems.create(name, backbone=backbone)
    other = folders["p5" if kind == "encoder" else "ctr-bert"]
    with pytest.raises(UserError, match=f"needs an {kind}"):
        systems.create(name, backbone=other)


def test_weights_that_are_not_here_are_one_line(monkeypatch, tmp_path, shelf):
    monkeypatch.setenv("LASER_HOME", str(tmp_path))
    with pytest.raises(FaultError, match="backbone 't5-base' are not to be had: they are not on this machine") as caught:
        systems.create("p5").fit(shelf, shelf.train, shelf.valid)
    assert "\n" not in str(caught.value)


def test_the_names_that_are_shown():
    assert {name: (systems.get(name).label, systems.get(name).paper_row) for name in SYSTEMS} == {
        "ctr-bert": ("CTR-BERT", "CTR-BERT"),
        "ptab": ("PTab", "PTab"),
        "p5": ("P5", "P5"),
        "p5-scratch": ("P5 (no pretraining)", None),
    }
    assert systems.create("p5-scratch").options.pretrained is False


@pytest.mark.parametrize(("name", "pretrained", "other"), [("p5", "false", "p5-scratch"), ("p5-scratch", True, "p5")])
def test_what_is_not_the_papers_p5_is_not_called_so(name, pretrained, other):
    usual = systems.create(name).options
    assert systems.create(name, pretrained=usual.pretrained).options == usual
    backbone = "t5-base"  # either could be made of it
    with pytest.raises(UserError, match=rf"with option 'pretrained' of (True|False) this is not '{name}': take system '{other}'$"):
        systems.create(name, pretrained=pretrained, backbone=backbone)


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    weight = torch.nn.Parameter(torch.zeros(1))
    seen, moved = [], [0.0]

    def loss(numbers):
        seen.append(list(numbers))
        weight.sum().backward()
        return weight.item()

    def after(step, value):
        moved.append(-weight.item())
        return False

    text_classifier.descend([{"params": [weight], "lr": 1.0}], 5, 2, 20, loss, np.random.default_rng(0), 0.0, after)
    rates = np.diff(moved)  # a constant gradient moves AdamW by exactly the learning rate
    np.testing.assert_allclose(rates, [0.5, 1.0, *((20 - np.arange(2, 20)) / 18)], atol=1e-4)
    passes = np.concatenate(seen)[:40].reshape(8, 5)
    assert (np.sort(passes, axis=1) == np.arange(5)).all()  # every sample once before any comes again


@pytest.mark.weights
def test_the_real_minilm_is_read_whole(small):
    """Its tokenizer would cut at 128 and pad to 128 by itself."""
    from laser_core.lm import backbones

    if backbones.ready("minilm-l6") is None:
        pytest.skip("no MiniLM on this machine")
    reader = Reader("minilm-l6", 512)
    row = int(small.test[5])
    for name, least in (("ctr-bert", 150), ("ptab", 150)):
        text = systems.create(name).texts(small, row)[0]
        ids = reader.tokens(text)
        assert len(ids) > least and ids[0] == 101 and ids[-1] == 102 and 0 not in ids
        assert list(ids) == reader.tokenizer.encode(str(text)).ids
