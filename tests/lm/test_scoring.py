"""Yes/no scoring against transformers' own logits, for several families; and that nothing around a prompt changes its probability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("family", "space"), [("llama", "byte"), ("llama", "metaspace"), ("mistral", "metaspace"), ("qwen", "byte"), ("gemma", "metaspace")]
)
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
