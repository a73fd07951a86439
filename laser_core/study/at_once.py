"""All of a user's test items asked about at one moment, as a recommender ranks them: what came of the first is not known at the second.

The study's test samples are asked one after another, as in the paper: the history of each holds all ratings before it, those of earlier
test samples too. So within one user the scores move with the answers: against those to come in a short window, since after a liked item
the liked share is higher and that item is not among the rest (Miller and Sanjurjo 2018 on streaks), with them where a taste drifts. Asked
at once, all of a user's samples have one history, and only the targets tell them apart. A system is fitted anew for it, as results keep
predictions, not models.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from laser_core import datasets, systems
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.metrics import check_probabilities
from laser_core.progress import Progress, no_progress, part_of
from laser_core.recommender import Recommender
from laser_core.study.cell import computed_in, made_with
from laser_core.study.store import ResultStore, rounded
from laser_core.study.worker import claim

if TYPE_CHECKING:
    import pandas as pd

MOST = 20  # of a user's samples: each more costs another pass over the users
SAME_FIT = 0.01  # a system fitted again, whose usual probabilities differ by more from the recorded ones, is another model
log = logging.getLogger("laser")


def ask(store: ResultStore, cells: pd.DataFrame, progress: Progress = no_progress) -> int:
    """Ask for each of some results again, at once, what its system says, and keep that beside it; returns how many were asked.

    What is there stays, so a call that was broken off goes on where it was, and several processes share the work.

    Args:
        cells: Finished results of today's code and data, as `ResultStore.cells` gives them.

    Raises:
        UserError: A data set in which no user has several test samples.
        FaultError: The store cannot be written to.
    """
    asked, others, there = 0, 0, store.asked_at_once()
    todo = cells[~cells["key"].isin(there)].sort_values(["train_rows", "key"])
    for number, row in enumerate(todo.itertuples()):
        name = f"{f'{row.system} {row.variant}'.strip()}, N = {row.shots}, seed {row.seed}"
        told = f"{name} ({others} so far fitted differently)" if others else name
        progress(told, number, len(todo))
        with claim(store, f"at-once-{row.key}") as mine:
            if mine and row.key not in store.asked_at_once():
                columns, provenance = _asked(store, row.key, part_of(progress, number, 1, len(todo), told))
                store.write_at_once(row.key, columns, provenance)
                asked += 1
                if provenance["refit_differs"] > SAME_FIT:
                    others += 1
                    log.warning(
                        "%s, fitted again, says something else than the recorded result (up to %.3f apart): its GAUC is of the new fit",
                        name,
                        provenance["refit_differs"],
                    )
    return asked


def _asked(store: ResultStore, key: str, progress: Progress) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(columns, provenance) of one result as `ResultStore.write_at_once` takes them. Fitting, asking at once and asking as usual are a
    third of the way each, as nobody knows beforehand which of them takes long."""
    record, started = store.read(key), datetime.now(UTC)
    cell = record["cell"]
    dataset = datasets.load(cell["dataset"])
    rows = dataset.test_rows(cell["test_rows"])
    if np.bincount(dataset.sample_user(rows)).max() < 2:
        raise UserError(f"no user of {cell['dataset']} has several test samples: there is nothing to ask at once")
    system = systems.create(cell["system"], **cell["options"])
    shots, valid_rows = dataset.shots(cell["shots"], cell["seed"]), dataset.validation_rows(cell["shots"], cell["seed"])
    fitting, at_once, as_usual = (part_of(progress, number, 1, 3) for number in range(3))
    system.fit(dataset, shots, valid_rows, seed=cell["seed"], progress=fitting)
    asked, probabilities = predict_at_once(system, dataset, rows, at_once)
    check_probabilities(probabilities, len(asked), cell["system"])
    stored = store.predictions(key).set_index("row").loc[asked, "probability"].to_numpy()
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    provenance = made_with(started, threads, systems.get(cell["system"]).needs)
    differs = float(np.abs(rounded(system.predict(dataset, asked, progress=as_usual)) - stored).max())
    told = {**provenance, **computed_in(cell["system"], system), "refit_differs": differs}
    return {"row": asked.astype(np.int32), "probability": rounded(probabilities)}, told


def predict_at_once(
    system: Recommender, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress
) -> tuple[np.ndarray, np.ndarray]:
    """What a fitted system says of test samples at the moment of each user's first one (of the whole test split, whatever `rows`).

    Args:
        rows: Test samples; of a user's the first `MOST` are asked about.
        progress: Called with the samples done of all that are asked about.

    Returns:
        (asked,) the samples that were asked about, ascending, and (asked,) float64 probabilities.
    """
    asked, said, done = [], [], 0
    total = int(np.minimum(np.bincount(dataset.sample_user(rows)), MOST).sum())
    for data, places, originals in slices(dataset, rows):
        asked.append(originals)
        said.append(system.predict(data, places, progress=part_of(progress, done, len(places), total)))
        done += len(places)
    asked, said = np.concatenate(asked), np.concatenate(said)
    order = np.argsort(asked)
    return asked[order], said[order]


def slices(dataset: CTRDataset, rows: np.ndarray) -> Iterator[tuple[CTRDataset, np.ndarray, np.ndarray]]:
    """The data set without anything that follows a user's first test sample, but for one sample a user: the first, the second, ...

    Every code keeps its meaning and the version stays, so any fitted system predicts on a slice as on the whole (as `explain.what_if`).

    Args:
        rows: Test samples.

    Yields:
        A slice, (users,) its test samples, and (users,) their numbers in `dataset`.
    """
    rows = rows[np.argsort(dataset.sample_event[rows], kind="stable")]  # user after user, each user's in time order
    _, first, own = np.unique(dataset.sample_user(rows), return_index=True, return_inverse=True)
    turn = np.arange(len(rows)) - first[own]  # which of its user's samples each is
    begin = np.full(dataset.users + 1, dataset.events)
    np.minimum.at(begin, dataset.sample_user(dataset.test), dataset.sample_event[dataset.test])
    before = np.arange(dataset.events) < begin[dataset.event_user]
    for number in range(min(MOST, int(turn.max(initial=-1)) + 1)):
        originals = rows[turn == number]
        kept = before.copy()
        kept[dataset.sample_event[originals]] = True
        yield _only(dataset, kept, originals)


def _only(dataset: CTRDataset, kept: np.ndarray, test: np.ndarray) -> tuple[CTRDataset, np.ndarray, np.ndarray]:
    """The data set with these events only, (events,) a mask, and these test samples."""
    place = np.cumsum(kept) - 1  # of each event among those that are kept
    left = np.cumsum(np.bincount(dataset.event_user[kept], minlength=dataset.users + 1))
    stays = np.flatnonzero(kept[dataset.sample_event])
    number = np.full(dataset.samples, -1)
    number[stays] = np.arange(len(stays))
    train, valid = (number[rows][number[rows] >= 0] for rows in (dataset.train, dataset.valid))
    parts = {name: getattr(dataset, f"event_{name}")[kept] for name in ("user", "item", "rating", "label")}
    made = dataclasses.replace(
        dataset,
        **{f"event_{name}": values for name, values in parts.items()},
        event_time=dataset.event_time[kept] if len(dataset.event_time) else dataset.event_time,
        user_offsets=np.concatenate([[0], left]),
        sample_event=place[dataset.sample_event[stays]],
        train=train,
        valid=valid,
        test=number[test],
    )
    return made, number[test], test
