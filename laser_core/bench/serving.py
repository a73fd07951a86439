"""`laser bench serving`: what an answer costs once everything is fitted and stored: LLM+CRM beside its conventional model, and an LLM.

The systems are fitted on few labels of MovieLens-small: what serving costs depends on shapes, not on what was learned. The vectors of all
test samples are made before the clock starts. Then the conventional systems answer in turns, some samples a call, through `predict`:
reading a user's history, the statistics and the stored vectors is counted. The language model reads one prompt a call. CPU-seconds, in a
process with one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from laser_core.bench.lm import BACKBONE
from laser_core.bench.measure import Part, call, in_turns, run_parts
from laser_core.progress import Progress, no_progress
from laser_core.systems import SYSTEMS

CRM, ENRICHED, LLM = "sim", "laser-crm", "laser-llm"
ENCODER = "minilm-l6"
SHOTS = 1024
BATCHES = (1, 1024)  # samples a call
CALLS = {1: 200, 1024: 20}
PROMPTS = 3  # a round
RATIO = 1.13  # of Laser, LLM+CRM to SIM in the paper's Table 2


def run(out: Path, parts: Sequence[str] = (), repeats: int = 9, progress: Progress = no_progress, encoder: str = ENCODER) -> None:
    """Measure the parts (all, if none is named) and write each into the record `out` as soon as it is done.

    Args:
        encoder: Whose vectors LLM+CRM reads; it is fetched first if need be.

    Raises:
        UserError: There is no such part or encoder, or `out` is no benchmark's record.
        FaultError: The weights are not to be had, or a benchmark failed.
    """
    from laser_core.lm import backbones

    for name in (encoder, BACKBONE):
        backbones.fetch(name, progress)
    chosen = {name: partial(part, encoder) for name, part in PARTS.items()}
    run_parts(out, chosen, parts, repeats, ("torch", "transformers", "numpy"), progress)


def conventional(encoder: str, scratch: Path, repeats: int) -> Part:
    """LLM+CRM and its conventional model in turns."""
    part = Part(f"Answers of {SYSTEMS[ENRICHED].label} ({CRM}, vectors of {encoder} stored) beside {SYSTEMS[CRM].label}")
    for batch in BATCHES:
        costs = call(f"{__name__}:answer_costs", encoder=encoder, batch=batch, repeats=repeats)
        for name, values in costs.items():
            part.measured(f"{batch:,} samples a call", SYSTEMS[name].label, "CPU-microseconds a sample", values)
        part.checked(
            f"{SYSTEMS[ENRICHED].label} costs so many times as much, {batch:,} samples a call",
            [more / less for more, less in zip(costs[ENRICHED], costs[CRM], strict=True)],
            RATIO,
            at_least=False,
        )
    return part


def language_model(encoder: str, scratch: Path, repeats: int) -> Part:
    """The language model, one prompt a call."""
    part = Part(f"Answers of {SYSTEMS[LLM].label} ({BACKBONE})")
    part.measured(
        "1 sample a call", SYSTEMS[LLM].label, "CPU-microseconds a sample", call(f"{__name__}:prompt_costs", repeats=min(repeats, 3))
    )
    return part


PARTS: dict[str, Callable[[str, Path, int], Part]] = {"crm": conventional, "llm": language_model}


# ---- what runs in a process of its own -----------------------------------------------------------------------------------------


def answer_costs(encoder: str, batch: int, repeats: int) -> dict[str, list[float]]:
    """CPU-microseconds a sample of both systems, in turns."""
    from laser_core import datasets, systems

    dataset = datasets.load("movielens-small")
    rows = np.resize(np.random.default_rng(0).permutation(dataset.test), (CALLS[batch], batch))
    runs = {}
    for name, options in ((CRM, {}), (ENRICHED, {"backbone_crm": CRM, "encoder": encoder, "language_model": BACKBONE})):
        system = systems.create(name, **options, epochs=1)
        system.fit(dataset, dataset.shots(SHOTS, 0), dataset.validation_rows(SHOTS, 0))
        if name == ENRICHED:
            system.prepare(dataset, dataset.test)
        runs[name] = partial(_cost, rows.size, lambda system=system: [system.predict(dataset, some) for some in rows])
    return in_turns(runs, repeats)


def prompt_costs(repeats: int) -> list[float]:
    """CPU-microseconds a sample of the untuned language model."""
    from laser_core import datasets, systems

    dataset, none = datasets.load("movielens-small"), np.zeros(0, dtype=int)
    system = systems.create(LLM, backbone=BACKBONE).fit(dataset, none, none)
    rows = dataset.test[np.linspace(0, len(dataset.test) - 1, PROMPTS).astype(int)]
    runs = {LLM: partial(_cost, len(rows), lambda: [system.predict(dataset, row) for row in rows[:, None]])}
    return in_turns(runs, repeats)[LLM]


def _cost(samples: int, work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return 1e6 * (time.process_time() - begin) / samples
