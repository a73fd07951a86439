"""Yes/no scoring against transformers' own logits, for several families; and that nothing around a prompt changes its probability."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from laser_core import explain
from laser_core.errors import UserError
from laser_core.lm import backbones, scoring
from laser_core.lm.prompts import Prompt, Renderer
from tests.lm.tiny_models import CHAT, make_model, make_shelf, make_tokenizer

SHELF = make_shelf()
CPU = torch.device("cpu")


def prompts(chat: str = "{prompt}\n") -> list[Prompt]:
    """Both forms, of several lengths."""
    one, many = Renderer(SHELF, "one", "one", chat=chat), Renderer(SHELF, "many", "many")
    return [one.one(row, history) for row, history in ((3, 1), (5, 4), (8, 9))] + [many.many(9, last, 9) for last in (9, 12, 16)]


def open_tiny(folder: str, dtype: torch.dtype = torch.float32, prompt: Prompt | None = None) -> scoring.AnswerModel:
    ids = scoring.answer_ids(backbones.tokenizer(folder), prompt or prompts()[-1])
    return scoring.AnswerModel(backbones.load_decoder(folder, dtype, CPU), *ids)


FAMILIES = [
    ("llama", "byte"), ("llama", "metaspace"), ("mistral", "metaspace"), ("qwen", "byte"), ("qwen3", "byte"), ("gemma", "metaspace"),
    ("gemma3", "metaspace"), ("phi3", "metaspace"), ("granite", "byte"), ("cohere", "byte"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "space"), FAMILIES)
def test_probabilities_equal_those_of_the_full_output_layer(family, space, tmp_path):
    """The whole softmax by transformers, reduced to the two answers, at the place where the answer's token stands in the full text."""
    folder = make_model(tmp_path, family, space)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    for prompt in prompts("{prompt}:"):
        model = open_tiny(folder, prompt=prompt)
        [encoded] = scoring.encode(backbones.tokenizer(folder), [prompt])
        [odds] = scoring.log_odds(model, [encoded], 1, lambda done: None)
        for slot, found in zip(prompt.slots, odds, strict=True):
            tokens = tokenizer(prompt.text[:slot])["input_ids"]
            yes, no = (tokenizer(prompt.text[:slot] + word)["input_ids"] for word in prompt.answers)
            assert yes[:-1] == no[:-1] == tokens
            with torch.no_grad():
                chance = torch.softmax(reference(torch.tensor([tokens])).logits[0, -1].double(), 0)
            expected = chance[yes[-1]] / (chance[yes[-1]] + chance[no[-1]])
            assert 1 / (1 + np.exp(-found)) == pytest.approx(float(expected), abs=1e-5)


def test_a_family_whose_scores_are_changed_in_another_way_is_refused(tiny, monkeypatch):
    """A stand-in for a family not known here: its output is a third of what its output layer says."""
    whole = transformers.LlamaForCausalLM.forward

    def changed(self, *given, **named):
        out = whole(self, *given, **named)
        out.logits = out.logits / 3
        return out

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", changed)
    with pytest.raises(UserError, match="a LlamaForCausalLM changes the scores of its output layer in a way that this kit does not know"):
        open_tiny(tiny)


def test_a_model_that_reads_from_both_sides_is_refused(tmp_path):
    """Gemma 3 as it is made for embeddings: the same weights, but later tokens reach earlier ones."""
    folder = make_model(tmp_path, "gemma3")
    scores = torch.linspace(-60, 60, 8)
    assert torch.equal(scoring.finished(scores, open_tiny(folder).model), scores), "neither scaled nor bent"
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "use_bidirectional_attention": True}))
    with pytest.raises(UserError, match="a Gemma3ForCausalLM reads a text from both sides"):
        open_tiny(folder)


@pytest.mark.parametrize(("family", "space"), FAMILIES)
def test_padding_on_the_left_would_give_the_same(family, space, tmp_path):
    """transformers' own way of batches, padded on the left and masked, with every token's position counted from the first real one."""
    folder = make_model(tmp_path, family, space)
    texts = prompts("{prompt}:")[:3]
    model, encoded = open_tiny(folder, prompt=texts[0]), scoring.encode(backbones.tokenizer(folder), texts)
    found = np.concatenate(scoring.log_odds(model, encoded, 1))
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    batch = tokenizer([text.text for text in texts], return_tensors="pt", padding=True, return_token_type_ids=False)
    assert batch["attention_mask"][:, 0].tolist().count(0) == 2 and (batch["input_ids"][:, -1] == batch["input_ids"][0, -1]).all()
    position = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = reference(**batch, position_ids=position).logits[:, -1].double().numpy()
    yes, no = scoring.answer_ids(backbones.tokenizer(folder), texts[0])
    np.testing.assert_allclose(found, logits[:, yes] - logits[:, no], atol=1e-4)


@pytest.mark.parametrize("space", ["byte", "metaspace"])
def test_bos_and_the_space_before_an_answer(space, tmp_path):
    """A tokenizer that begins texts with <s> does so once; the answers are the tokens with the space, and another pair without."""
    folder = make_model(tmp_path, "llama", space, chat="<s>" + CHAT)
    tokenizer = backbones.tokenizer(folder)
    many, one = prompts()[-1], prompts(backbones.chat_format(folder) + "\n")[0]
    for text in scoring.encode(tokenizer, [many, one]):
        begin = (text.tokens == tokenizer.token_to_id("<s>")).nonzero()[0].tolist()
        assert begin == [0] or (space == "byte" and begin in ([], [0]))
    spaced, bare = (scoring.answer_ids(tokenizer, prompt) for prompt in (many, one))
    mark = "Ġ" if space == "byte" else "▁"
    assert [tokenizer.id_to_token(token) for token in spaced] == [f"{mark}Yes", f"{mark}No"]
    assert [tokenizer.id_to_token(token) for token in bare] == ["Yes", "No"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-3)])
@pytest.mark.parametrize("size", [1, 16])
def test_batch_order_and_neighbours_do_not_matter(tiny, dtype, tolerance, size):
    model = open_tiny(tiny, dtype)
    encoded = scoring.encode(backbones.tokenizer(tiny), prompts())

    def chances(texts: list[scoring.Encoded]) -> list[np.ndarray]:
        return [1 / (1 + np.exp(-odds)) for odds in scoring.log_odds(model, texts, size, lambda done: None)]

    together, backwards = chances(encoded), chances(encoded[::-1])[::-1]
    for one, two in zip(together, backwards, strict=True):
        np.testing.assert_allclose(one, two, atol=tolerance, rtol=0)
    for number in (0, 4):
        np.testing.assert_allclose(chances([encoded[number]])[0], together[number], atol=tolerance, rtol=0)
    assert np.ptp(np.concatenate(together)) > 0.05  # the tiny model does tell prompts apart


def test_padding_does_not_matter(tiny):
    """One a pass: no padding. Four a pass: padded to a common length. fp32 agrees to 1e-5."""
    model, encoded = open_tiny(tiny), scoring.encode(backbones.tokenizer(tiny), prompts())
    bare, padded = (scoring.log_odds(model, encoded, size, lambda done: None) for size in (1, 4))
    for one, two in zip(bare, padded, strict=True):
        np.testing.assert_allclose(one, two, atol=4e-5, rtol=0)  # log-odds: at most 4 times the difference in probability


def test_a_prefix_scores_the_same_as_the_whole(tiny):
    """No line of a many-target text sees what follows."""
    model, prompt = open_tiny(tiny), prompts()[-1]
    tokenizer = backbones.tokenizer(tiny)
    [whole] = scoring.log_odds(model, scoring.encode(tokenizer, [prompt]), 1, lambda done: None)
    for place, event in enumerate(prompt.events):
        [part] = scoring.log_odds(model, scoring.encode(tokenizer, [prompt.until(int(event))]), 1, lambda done: None)
        np.testing.assert_allclose(part, whole[: place + 1], atol=4e-5, rtol=0)


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=40), size=st.integers(1, 9))
def test_passes_hold_every_text_once_at_a_length_that_fits(lengths, size):
    texts = [scoring.Encoded(np.zeros(length, np.int64), np.array([length - 1]), np.array([0])) for length in lengths]
    seen = []
    for group, length in scoring.passes(texts, size):
        assert 1 <= len(group) <= size
        for number in group:
            own = lengths[number]
            assert length == (own if size == 1 else -(-own // 64) * 64)
        seen += group
    assert sorted(seen) == list(range(len(lengths)))


# ---- one history, many targets --------------------------------------------------------------------------------------------------------


def last_answer(texts: list[scoring.Encoded]) -> list[scoring.Encoded]:
    return [scoring.Encoded(text.tokens, text.places[-1:], text.events[-1:]) for text in texts]


def candidates(form: str, row: int = 8, history: int = 8) -> list[Prompt]:
    """One user's history before each of twelve items, of titles of several lengths."""
    past = explain.history_of(SHELF, row, history)
    worlds = [explain.what_if(SHELF, row, past, item) for item in range(1, SHELF.items + 1)]
    if form == "one":
        return [Renderer(world, "one", "one", chat="{prompt}\n").one(0, history) for world in worlds]
    return [Renderer(world, "many", "many").many(0, len(past), len(past)).until(len(past)) for world in worlds]


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3", "gemma", "gemma3"])
@pytest.mark.parametrize("form", ["one", "many"])
def test_a_shared_history_read_once_gives_the_same(family, form, tmp_path):
    """Within 1e-4 in log-odds, fp32, also where a layer sees only its last 16 tokens."""
    folder = make_model(tmp_path, family)
    texts = candidates(form)
    model = open_tiny(folder, prompt=texts[0])
    encoded = last_answer(scoring.encode(backbones.tokenizer(folder), texts))
    assert scoring.shared_tokens(encoded) > 0.5 * len(encoded[0].tokens) and len({len(text.tokens) for text in encoded}) > 1
    plain = np.concatenate(scoring.log_odds(model, encoded, 1))
    assert np.ptp(plain) > 0.01
    for size in (1, 5, 99):
        shared = np.concatenate(scoring.shared_log_odds(model, encoded, size))
        np.testing.assert_allclose(shared, plain, atol=1e-4, rtol=0)


def test_the_shared_history_really_is_read_once(tiny):
    texts = candidates("many")
    model, encoded = open_tiny(tiny, prompt=texts[0]), last_answer(scoring.encode(backbones.tokenizer(tiny), texts))
    read = []
    model.body.register_forward_pre_hook(lambda body, args, named: read.append(named["input_ids"].numel()), with_kwargs=True)
    scoring.shared_log_odds(model, encoded)
    prefix = scoring.shared_tokens(encoded)
    assert sum(read) <= prefix + len(encoded) * max(len(text.tokens) - prefix for text in encoded)
    assert sum(read) < sum(len(text.tokens) for text in encoded) / 4


def test_nothing_is_left_out_by_lot_while_scoring(tiny):
    """A model that comes from training, half of its hidden numbers dropped there."""
    texts = candidates("one")
    model, encoded = open_tiny(tiny, prompt=texts[0]), last_answer(scoring.encode(backbones.tokenizer(tiny), texts))
    layer = model.body.layers[0]
    layer.register_forward_hook(lambda module, given, state: torch.nn.functional.dropout(state, 0.5, module.training))
    expected = np.concatenate(scoring.log_odds(model.eval(), encoded, 1))
    for score in (scoring.shared_log_odds, lambda *words: scoring.log_odds(*words, 1)):
        np.testing.assert_allclose(np.concatenate(score(model.train(), encoded)), expected, atol=1e-4)


def test_texts_that_share_nothing_are_scored_one_by_one(tiny):
    model, encoded = open_tiny(tiny), scoring.encode(backbones.tokenizer(tiny), prompts())
    plain, shared = scoring.log_odds(model, encoded, 1), scoring.shared_log_odds(model, encoded)
    assert all(np.array_equal(one, two) for one, two in zip(plain, shared, strict=True))
    [alone] = scoring.shared_log_odds(model, encoded[:1])
    assert np.array_equal(alone, plain[0])


def test_a_many_target_text_keeps_all_its_answers(tiny):
    """The answers inside a text bound what may be shared: the first is asked for after the shared part."""
    model = open_tiny(tiny)
    [first, *_] = encoded = scoring.encode(backbones.tokenizer(tiny), [prompts()[-1]] * 3)
    assert scoring.shared_tokens(encoded) == first.places[0]
    for found, plain in zip(scoring.shared_log_odds(model, encoded), scoring.log_odds(model, encoded, 1), strict=True):
        np.testing.assert_allclose(found, plain, atol=1e-4, rtol=0)


# ---- answer words ---------------------------------------------------------------------------------------------------------------------


def test_answer_words_of_several_tokens_are_refused(tiny):
    tokenizer = backbones.tokenizer(tiny)
    prompt = Renderer(SHELF, "many", "many", answers=("Absolutely", "No")).many(9, 9, 9)
    with pytest.raises(UserError, match=r"' Absolutely' is \d+ tokens for this backbone, it must be one: choose other words"):
        scoring.answer_ids(tokenizer, prompt)
    same = Renderer(SHELF, "many", "many", answers=("Yes", "Yes")).many(9, 9, 9)
    with pytest.raises(UserError, match="same token"):
        scoring.answer_ids(tokenizer, same)


def test_an_answer_that_melts_into_the_text_is_refused():
    """A tokenizer that joins the answer's first letter with the text before it leaves no place to read the answer from."""
    tokenizer = make_tokenizer(["like:Yes\nlike:No\n"], "metaspace").backend_tokenizer
    text = "like:Yes\nlike:"
    joined = Prompt(text, np.array([6, len(text)]), np.array([0, 1]), ("es", "No"), 1)
    with pytest.raises(UserError, match="joins an answer with the text before it: 'like:Yes"):
        scoring.encode(tokenizer, [joined])


def test_the_chat_format_of_an_unregistered_model_is_its_own(tmp_path, tiny):
    chatty = make_model(tmp_path, chat=CHAT)
    assert backbones.chat_format(chatty) == "<|user|>{prompt}<|end|><|model|>"
    assert backbones.chat_format(tiny) == "{prompt}"


@pytest.mark.weights
def test_the_real_model(real, small):
    """Yes and No are one token each, in both places; bf16 stays within 1e-3 whatever is scored beside a prompt."""
    tokenizer = backbones.tokenizer(real)
    one = Renderer(small, "one", "one", chat=backbones.chat_format(real), count=lambda text: len(tokenizer.encode(text).ids), budget=200)
    many = Renderer(small, "many", "many")
    rows = small.test_rows(3)
    first = small.history_start(rows, 6)
    texts = [one.one(int(row), 6) for row in rows] + [
        many.many(int(start), int(event), int(event)) for start, event in zip(first, small.sample_event[rows], strict=True)
    ]
    assert tokenizer.encode(" Yes").ids == [9230] and tokenizer.encode(" No").ids == [2838]
    assert scoring.answer_ids(tokenizer, texts[-1]) == (9230, 2838)
    assert scoring.answer_ids(tokenizer, texts[0]) == (10539, 5230)
    model = scoring.AnswerModel(backbones.load_decoder(real, torch.bfloat16, CPU), 9230, 2838)
    encoded = scoring.encode(tokenizer, texts)
    together = scoring.log_odds(model, encoded, 1, lambda done: None)
    for number in (0, 4):
        [alone] = scoring.log_odds(model, [encoded[number]], 1, lambda done: None)
        np.testing.assert_allclose(1 / (1 + np.exp(-alone)), 1 / (1 + np.exp(-together[number])), atol=1e-3)


def test_groups_hold_everything_once_and_texts_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 9, 50)
    for equal in (False, True):
        groups = scoring.grouped(lengths, 8, equal)
        assert sorted(number for group in groups for number in group) == list(range(50)) and max(map(len, groups)) == 8
        assert not equal or all(len({int(lengths[number]) for number in group}) == 1 for group in groups)
        assert [max(lengths[group]) for group in groups] == sorted((max(lengths[group]) for group in groups), reverse=True)
