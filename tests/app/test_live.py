"""The worker behind the prompt lab: one model for all, nothing blocks, nothing that fails stops the rest."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import time

import numpy as np
import pytest

from laser_core import explain
from laser_core.lm.laser_llm import LaserLLM
from laser_core.lm.prompts import Prompt

STAND_IN = """
import json, os, sys, time
print("noise on stderr", file=sys.stderr)
model = None
for line in sys.stdin:
    request = json.loads(line)
    if request["backbone"] != model:
        model = request["backbone"]
        print(json.dumps({"opening": True}), flush=True)
    if request["text"] == "die":
        os._exit(1)
    if request["text"] == "wrong":
        print(json.dumps({"error": "too long"}), flush=True)
        continue
    time.sleep(0.3 if request["text"] == "slow" else 0)
    print(json.dumps({"probability": len(request["text"]) / 100}), flush=True)
"""


@pytest.fixture
def worker(monkeypatch):
    import live

    monkeypatch.setattr(live, "COMMAND", (sys.executable, "-c", STAND_IN))
    made = live.Worker()
    yield made
    made.close()


def job(*texts, backbone="a"):
    import live

    return live.Job(backbone, None, [explain.as_prompt(text, ("Yes", "No")) for text in texts])


def until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_users_share_one_model(worker):
    jobs = [worker.submit(job("ab", "abc")), worker.submit(job("a"))]
    until(lambda: all(one.over for one in jobs))
    assert [one.results for one in jobs] == [[0.02, 0.03], [0.01]]
    assert worker.opened == 1


def test_submitting_does_not_wait_and_cancelling_stops(worker):
    running, waiting = worker.submit(job(*["slow"] * 50)), worker.submit(job("a"))
    assert not running.over
    until(lambda: running.results)
    running.stop.set()
    waiting.stop.set()
    until(lambda: waiting.over)
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    assert len(running.results) < 50 and not waiting.results


@pytest.mark.parametrize(("text", "says"), [("wrong", "too long"), ("die", "the process that scores ended")])
def test_a_failure_is_told_and_the_next_is_served(worker, text, says):
    bad, good = worker.submit(job(text)), worker.submit(job("abcde"))
    until(lambda: good.over)
    assert bad.state == "failed" and says in bad.error
    assert good.results == [0.05]


def test_the_queue_has_an_end(worker):
    import live

    running = worker.submit(job(*["slow"] * 50))
    until(lambda: running.results)
    waiting = [worker.submit(job("a")) for _ in range(live.MOST_WAITING)]
    refused = worker.submit(job("a"))
    assert refused.state == "failed" and "waiting already" in refused.error
    running.stop.set()
    until(lambda: waiting[-1].over)


def test_an_adapter_is_offered_with_the_form_of_prompt_it_was_tuned_on(monkeypatch, tmp_path):
    import live

    options = dataclasses.asdict(LaserLLM.Options(prompt="many", template="many-short", history=5))
    states = {
        "good": {"class": "LaserLLM", "tuned": True, "options": options},
        "other-backbone": {"class": "LaserLLM", "tuned": True, "options": {**options, "backbone": "qwen2.5-0.5b"}},
        "untuned-one": {"class": "LaserLLM", "tuned": False, "options": options},
        "no-history": {"class": "LaserLLM", "tuned": True, "options": {"backbone": "smollm2-135m"}},
        "damaged": [],
    }
    for name, state in states.items():
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").write_text(json.dumps(state))
    monkeypatch.setattr(live, "PROJECT", tmp_path)
    offered = live.adapters("smollm2-135m")
    assert offered == {"untuned": None, "good": tmp_path / "models" / "good" / "adapter"}
    found = live.tuned_on(offered["good"])
    assert found == {"prompt": "many", "template": "many-short", "answers": [], "history": 5, "max_tokens": 1024}
    assert LaserLLM(**found).options == LaserLLM.Options(prompt="many", template="many-short", history=5)
    assert live.tuned_on(None) == {}


def test_the_process_speaks_json_lines(monkeypatch):
    class Model:
        def __init__(self, backbone, adapter):
            if backbone == "broken":
                raise RuntimeError("no such weights")

        def probabilities(self, prompts: list[Prompt]) -> np.ndarray:
            assert all(prompt.slots == np.array([len(prompt.text)]) and prompt.answers == (" Yes", " No") for prompt in prompts)
            return np.array([len(prompt.text) / 8 for prompt in prompts])

    monkeypatch.setattr(explain, "LiveModel", Model)
    requests = [{"backbone": name, "adapter": None, "text": "x", "answers": [" Yes", " No"]} for name in ("a", "a", "broken", "a")]
    requests.append({"backbone": "a", "adapter": None, "texts": ["xx", "x"], "answers": [" Yes", " No"]})
    answers = io.StringIO()
    explain.serve([json.dumps(request) for request in requests], answers)
    said = [json.loads(line) for line in answers.getvalue().splitlines()]
    kinds = ["opening", "probability", "probability", "opening", "error", "opening", "probability", "probabilities"]
    assert [next(iter(one)) for one in said] == kinds
    assert "no such weights" in said[4]["error"]
    assert said[1]["probability"] == 0.125 and said[-1]["probabilities"] == [0.25, 0.125]
