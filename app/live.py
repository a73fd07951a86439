"""Live scoring without blocking a page: one worker thread for all sessions, one open model at a time, jobs that can be cancelled."""

from __future__ import annotations

import importlib.util
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from laser_core.errors import LaserError
from laser_core.lm.prompts import Prompt
from laser_core.settings import PROJECT

MOST_WAITING = 20
NEEDED = ("torch", "transformers", "peft")


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
    """Scores jobs one after another."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job] = queue.Queue(MOST_WAITING)
        self._open: tuple[tuple[str, Path | None], object] | None = None
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

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                self._work(job)
            except LaserError as error:
                job.state, job.error = "failed", str(error)
            except Exception as error:  # whatever happens to one job, the next must be served
                job.state, job.error = "failed", f"{type(error).__name__}: {error}"

    def _work(self, job: Job) -> None:
        from laser_core.explain import LiveModel

        if job.stop.is_set():
            job.state = "cancelled"
            return
        wanted = (job.backbone, job.adapter)
        if self._open is None or self._open[0] != wanted:
            job.state, self._open = "opening", None  # forget the old model before the new one takes its memory
            self._open = (wanted, LiveModel(job.backbone, job.adapter))
            self.opened += 1
        job.state = "scoring"
        for prompt in job.prompts:
            if job.stop.is_set():
                job.state = "cancelled"
                return
            job.results.append(self._open[1].probability(prompt))
        job.state = "done"


@st.cache_resource
def worker() -> Worker:
    """The one worker of this process."""
    return Worker()


def missing() -> list[str]:
    """Packages that live scoring needs and this machine lacks."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def adapters(backbone: str) -> dict[str, Path | None]:
    """Models fitted by `laser train laser-llm ... --out models/NAME` on this backbone: name -> adapter folder."""
    import json

    found: dict[str, Path | None] = {"untuned": None}
    for file in sorted((PROJECT / "models").glob("*/model.json")):
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            if state["class"] == "LaserLLM" and state["tuned"] and state["options"]["backbone"] == backbone:
                found[file.parent.name] = file.parent / "adapter"
        except (OSError, ValueError, KeyError, TypeError):
            continue  # something else that lies in the folder
    return found


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
        import words

        st.error(words.markdown(job.error, 300), icon=":material/error:")
    return job


@st.fragment(run_every=0.7)
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
