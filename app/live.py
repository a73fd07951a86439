"""Live scoring without blocking a page: one language model in a process of its own for all sessions, and jobs that can be cancelled."""

from __future__ import annotations

import importlib.util
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st
import words

from laser_core.lm.prompts import Prompt
from laser_core.settings import PROJECT

MOST_WAITING = 20
IDLE_SECONDS = 600
"""after so long without a job the process is ended and its memory given back"""
NEEDED = ("torch", "transformers", "peft")
COMMAND = (sys.executable, "-m", "laser_core.explain")
READ_BY = ("prompt", "template", "answers", "history", "max_tokens")
"""the options that decide how a prompt is written: an adapter answers well those it was tuned on"""


@dataclass
class Job:
    """Some prompts to score with one model."""

    backbone: str
    adapter: Path | None
    prompts: Sequence[Prompt]
    results: list[float] = field(default_factory=list)
    state: str = "waiting"
    """waiting, opening, scoring, done, cancelled or failed"""
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("done", "cancelled", "failed")


class Worker:
    """Has jobs scored one after another."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job] = queue.Queue(MOST_WAITING)
        self._process: subprocess.Popen[str] | None = None
        self.opened = 0
        """how many times a model was loaded"""
        threading.Thread(target=self._run, daemon=True, name="live scoring").start()

    def submit(self, job: Job) -> Job:
        """Take a job; it fails at once if too many wait."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            job.state, job.error = "failed", f"{MOST_WAITING} jobs are waiting already: try again in a minute"
        return job

    def waiting(self) -> int:
        """How many jobs are in front of a new one."""
        return self._jobs.qsize()

    def close(self) -> None:
        """End the process; the next job starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self.close()
                continue
            try:
                self._work(job)
            except (OSError, ValueError) as error:
                self.close()
                job.state, job.error = "failed", f"the process that scores ended ({error}): there may be too little memory"

    def _work(self, job: Job) -> None:
        for prompt in job.prompts:
            if job.stop.is_set():
                job.state = "cancelled"
                return
            job.state = "scoring"
            answer = self._ask(job, prompt)
            if "error" in answer:
                job.state, job.error = "failed", answer["error"]
                return
            job.results.append(answer["probability"])
        job.state = "done"

    def _ask(self, job: Job, prompt: Prompt) -> dict:
        """One prompt's answer.

        Raises:
            OSError, ValueError: The process is gone.
        """
        if self._process is None or self._process.poll() is not None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._process = subprocess.Popen(COMMAND, **pipes, text=True, encoding="utf-8")
        adapter = None if job.adapter is None else str(job.adapter)
        request = {"backbone": job.backbone, "adapter": adapter, "text": prompt.text, "answers": list(prompt.answers)}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        if "opening" in answer:
            job.state = "opening"
            self.opened += 1
            answer = json.loads(self._process.stdout.readline())
            job.state = "scoring"
        return answer


@st.cache_resource
def worker() -> Worker:
    """The one worker of this dashboard."""
    return Worker()


def missing() -> list[str]:
    """Packages that live scoring needs and this machine lacks."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def adapters(backbone: str) -> dict[str, Path | None]:
    """Models fitted by `laser train laser-llm ... --out models/NAME` on this backbone: name -> adapter folder."""
    found: dict[str, Path | None] = {"untuned": None}
    for file in sorted((PROJECT / "models").glob("*/model.json")):
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            options = state["options"]
            if state["class"] == "LaserLLM" and state["tuned"] and options["backbone"] == backbone and set(READ_BY) <= set(options):
                found[file.parent.name] = file.parent / "adapter"
        except (OSError, ValueError, KeyError, TypeError):
            continue  # something else that lies in the folder
    return found


def tuned_on(adapter: Path | None) -> dict[str, Any]:
    """The options `READ_BY` of the model that an adapter was fitted as; none for the untuned model."""
    if adapter is None:
        return {}
    options = json.loads((adapter.parent / "model.json").read_text(encoding="utf-8"))["options"]
    return {name: options[name] for name in READ_BY}


def start(key: str, job: Job) -> None:
    """Give this session's job to the worker; an earlier one under the same key is cancelled."""
    cancel(key)
    st.session_state[key] = worker().submit(job)


def cancel(key: str) -> None:
    """Stop this session's job after the prompt under way."""
    job = st.session_state.get(key)
    if job is not None:
        job.stop.set()


def follow(key: str) -> Job | None:
    """Show how this session's job goes on, without blocking the page; the job once it is over, else None."""
    job = st.session_state.get(key)
    if job is None:
        return None
    if not job.over:
        _watch(key)
        return None
    if job.state == "failed":
        st.error(words.markdown(job.error, 300), icon=":material/error:")
    elif job.state == "cancelled":
        st.caption("Cancelled.")
    return job


@st.fragment(run_every=1)
def _watch(key: str) -> None:
    job = st.session_state.get(key)
    if job is None or job.over:
        st.rerun()
    line = {
        "waiting": f"waiting, {worker().waiting()} in the queue",
        "opening": "opening the language model, some seconds",
        "scoring": f"scoring prompt {len(job.results) + 1} of {len(job.prompts)}",
    }.get(job.state, job.state)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(len(job.results) / max(len(job.prompts), 1), line)
        st.button("Cancel", on_click=cancel, args=(key,), icon=":material/close:", key=f"cancel-{key}")
