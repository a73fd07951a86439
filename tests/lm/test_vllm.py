"""Scoring by vLLM, with a stand-in for the package that answers as its documentation says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import peft
import pytest
import torch
import transformers

from laser_core.errors import MissingError, UserError
from laser_core.lm import tuning, vllm_engine
from laser_core.lm.laser_llm import LaserLLM


@pytest.fixture
def vllm(monkeypatch):
    """The model is transformers' own, with peft's adapter; one word is chosen among the allowed ones, whose log-probabilities come back."""
    made = SimpleNamespace(opened=[], asked=[])

    class LLM:
        def __init__(self, model, dtype, logprobs_mode, enable_lora=False, **options):
            assert logprobs_mode == "processed_logprobs" and not options["trust_remote_code"]
            made.opened.append((dtype, enable_lora))
            self.model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype), attn_implementation="eager")

        def generate(self, requests, params, lora_request, use_tqdm):
            if lora_request and not isinstance(self.model, peft.PeftModel):
                self.model = tuning.load_adapter(self.model, Path(lora_request[2]))
            made.asked.append(len(requests))
            return [self.answer(request["prompt_token_ids"], params) for request in requests]

        @torch.no_grad()
        def answer(self, tokens, params):
            logits = self.model.eval()(torch.tensor([tokens])).logits[0, -1].double()
            allowed = torch.full_like(logits, -torch.inf)
            allowed[params["allowed_token_ids"]] = logits[params["allowed_token_ids"]]
            best = allowed.log_softmax(0).topk(params["logprobs"])
            words = {int(token): SimpleNamespace(logprob=float(value)) for value, token in zip(*best, strict=True)}
            return SimpleNamespace(outputs=[SimpleNamespace(logprobs=[words])])

    package, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    package.LLM, package.SamplingParams = LLM, lambda **words: words
    request.LoRARequest = lambda name, number, folder: (name, number, folder)
    for name, module in (("vllm", package), ("vllm.lora", lora), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.mark.parametrize("form", [{"prompt": "one"}, {"prompt": "many", "block": 3}])
@pytest.mark.parametrize("epochs", [0, 1])
def test_it_predicts_what_torch_predicts(shelf, tiny, vllm, form, epochs):
    options = {
        "backbone": tiny,
        "precision": "fp32",
        "learning_rates": (1e-2,),
        "batch_size": 4,
        "valid_limit": 4,
        "epochs": epochs,
        **form,
    }
    here, there = (LaserLLM(engine=engine, **options).fit(shelf, shelf.train[:12], shelf.valid) for engine in ("torch", "vllm"))
    assert vllm.opened == []  # tuning and its validation are torch's
    rows = shelf.test[:12]
    np.testing.assert_allclose(there.predict(shelf, rows), here.predict(shelf, rows), atol=1e-5)
    there.predict(shelf, rows[:2])
    assert vllm.opened == [("float32", epochs == 1)] and len(vllm.asked) == 2  # opened once


def test_the_memory_of_the_gpu_is_given_back_before_vllm_takes_it(shelf, tiny, vllm, monkeypatch):
    none, order = np.zeros(0, dtype=int), []
    model = LaserLLM(backbone=tiny, engine="vllm").fit(shelf, none, none)
    opened, moved = sys.modules["vllm"].LLM, model.model_.to
    monkeypatch.setattr(model.model_, "to", lambda place: order.append(place) or moved(place))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("emptied"))
    monkeypatch.setattr(sys.modules["vllm"], "LLM", lambda **options: order.append("vllm") or opened(**options))
    model.predict(shelf, shelf.test[:1])
    assert order == ["cpu", "emptied", "vllm"]


def test_without_vllm(shelf, tiny):
    if importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed")
    said = []
    with pytest.raises(MissingError, match="engine 'vllm' needs vLLM"):  # before anything is opened or tuned
        LaserLLM(backbone=tiny, engine="vllm").fit(shelf, shelf.train, shelf.valid, progress=lambda *words: said.append(words))
    assert said == []
    with pytest.raises(MissingError, match="engine 'vllm' needs vLLM"):
        vllm_engine.Engine(Path(tiny), (1, 2), "float32")
    with pytest.raises(UserError, match="'engine' and 'precision': vllm computes in bf16 or fp32 here, not int8"):
        LaserLLM(engine="vllm", precision="int8")
