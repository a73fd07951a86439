"""`laser probe`: what a language model knows of a data set by heart, as a record beside those of the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from laser_core.bench.measure import Part, read_record, write_part
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import unknown
from laser_core.lm import backbones, memory
from laser_core.progress import Progress, no_progress
from laser_core.study.cell import made_with


def record(out: Path, dataset: CTRDataset, backbone: str, questions: Sequence[str], count: int, progress: Progress = no_progress) -> str:
    """Ask some questions (all, if none is named) and write what was found into a benchmark's record; the name of the part.

    Raises:
        UserError: There is no such question.
        DataError: `out` is no such record, or the data set is too small.
        FaultError: The model's weights are not to be had.
    """
    for question in questions:
        if question not in memory.QUESTIONS:
            raise unknown("question", question, memory.QUESTIONS)
    read_record(out)  # a wrong file is better found before than after the work
    backbones.need(backbone, "decoder", "laser probe")
    backbones.fetch(backbone, progress)
    started, label = datetime.now(UTC), backbones.get(backbone).label
    part = Part(f"What {label} knows of {dataset.about.title} by heart: share of pairs that the true line wins, .5 is nothing")
    for question in questions or memory.QUESTIONS:
        found = memory.by_heart(dataset, backbone, question, count, progress=progress)
        part.measurements.append(
            {
                "case": question,
                "who": label,
                "dataset": dataset.name,
                "pairs": found.pairs,
                "unit": f"of {found.pairs} pairs (range: 95 %)",
                "median": found.share,
                "low": found.low,
                "high": found.high,
                "nats": found.nats,
            }
        )
    name = f"{dataset.name} {label}"
    write_part(out, name, part, {**made_with(started, 1, ("torch", "transformers")), "repeats": 1, "data_version": dataset.version})
    return name
