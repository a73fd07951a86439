"""The worker behind the prompt lab: one model for all, nothing blocks, nothing that fails stops the rest."""

from __future__ import annotations

import threading
import time

import pytest


class StandIn:
    """Answers when it is let."""

    gate = threading.Event()

    def __init__(self, backbone, adapter):
        if backbone == "broken":
            raise RuntimeError("no such weights")

    def probability(self, prompt):
        assert self.gate.wait(10)
        return float(prompt)


@pytest.fixture
def worker(monkeypatch):
    import live

    monkeypatch.setattr("laser_core.explain.LiveModel", StandIn)
    StandIn.gate = threading.Event()
    return live.Worker()


def job(*prompts, backbone="a"):
    import live

    return live.Job(backbone, None, prompts)


def until(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_users_share_one_model(worker):
    jobs = [worker.submit(job(1, 2)), worker.submit(job(3))]
    StandIn.gate.set()
    until(lambda: all(one.over for one in jobs))
    assert [one.results for one in jobs] == [[1, 2], [3]]
    assert worker.opened == 1


def test_submitting_does_not_wait_and_cancelling_stops(worker):
    running, waiting = worker.submit(job(1, 2, 3)), worker.submit(job(4))
    until(lambda: running.state == "scoring")
    assert not running.results
    running.stop.set()
    waiting.stop.set()
    StandIn.gate.set()
    until(lambda: waiting.over)
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    assert len(running.results) <= 1


def test_a_failure_is_told_and_the_next_is_served(worker):
    StandIn.gate.set()
    bad, good = worker.submit(job(1, backbone="broken")), worker.submit(job(5))
    until(lambda: good.over)
    assert bad.state == "failed" and "no such weights" in bad.error
    assert good.results == [5]


def test_the_queue_has_an_end(worker):
    import live

    first = worker.submit(job(0))
    until(lambda: first.state == "scoring")
    waiting = [worker.submit(job(number)) for number in range(live.MOST_WAITING)]
    refused = worker.submit(job(99))
    assert refused.state == "failed" and "waiting already" in refused.error
    StandIn.gate.set()
    until(lambda: waiting[-1].over)
