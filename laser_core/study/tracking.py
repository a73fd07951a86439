"""Results as runs of an MLflow server (mlflow.org), for those who keep their experiments there. The store stays what counts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from laser_core.errors import FaultError
from laser_core.study.store import ResultStore

if TYPE_CHECKING:
    import pandas as pd

KEY = "laser.key"  # the tag that says which result a run stands for


def log_to_mlflow(store: ResultStore, cells: pd.DataFrame, experiment: str, uri: str | None = None) -> int:
    """Log finished cells that the experiment does not hold yet, a run each, and say how many those were.

    Parameters of a run are the cell's data set, system, N, seed and every option; its metrics are the result's, its costs and counts; its
    `curve` the entries of the training curve, step by step.

    Args:
        cells: Which: rows of `store.cells()`; failed ones are left out.
        uri: Of the tracking server; None takes MLFLOW_TRACKING_URI.

    Raises:
        FaultError: MLflow is not installed, or the server does not take the runs.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise FaultError("MLflow is not installed: pip install -e '.[mlflow]' -c constraints.txt") from None
    try:
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else client.create_experiment(experiment)
        there = _logged(client, place)
        new = [key for key in cells[cells["status"] == "done"]["key"] if key not in there]
        for key in new:
            _log(client, place, store.read(key))
    except MlflowException as error:
        reason = str(error).partition("\n")[0]
        raise FaultError(f"MLflow at {uri or 'MLFLOW_TRACKING_URI'} does not take the runs: {reason}") from None
    return len(new)


def _logged(client: Any, experiment: str) -> set[str]:
    """Keys of the results that finished runs of an experiment stand for."""
    keys, token = set(), None
    while True:
        page = client.search_runs([experiment], "attributes.status = 'FINISHED'", max_results=1000, page_token=token)
        keys |= {run.data.tags.get(KEY, "") for run in page}
        token = page.token
        if not token:
            return keys


def _log(client: Any, experiment: str, record: dict[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    cell, made = record["cell"], record["provenance"]
    name = f"{cell['system']} {cell['dataset']} N={cell['shots']} seed {cell['seed']}"
    tags = {KEY: record["key"], "laser.variant": record["variant"], "laser.commit": made["git_commit"], "laser.data": cell["data_version"]}
    run = client.create_run(experiment, tags=tags, run_name=name).info.run_id
    settings = {name: cell[name] for name in ("dataset", "system", "revision", "shots", "seed", "test_rows")} | dict(cell["options"])
    numbers = record["metrics"] | record["counts"] | record["cost"]
    metrics = [Metric(name, float(value), 0, 0) for name, value in numbers.items() if value is not None]
    for step, entry in enumerate(record["curve"]):
        metrics += [Metric(f"curve.{name}", float(value), 0, step) for name, value in entry.items() if isinstance(value, (int, float))]
    params = [Param(name, str(value)) for name, value in settings.items()]
    client.log_batch(run, params=params)
    for first in range(0, len(metrics), 1000):  # as many as a request takes
        client.log_batch(run, metrics=metrics[first : first + 1000])
    client.set_terminated(run)
