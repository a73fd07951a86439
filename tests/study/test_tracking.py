from __future__ import annotations

import pytest

from laser_core.errors import FaultError
from laser_core.study.store import ResultStore
from laser_core.study.tracking import KEY, log_to_mlflow
from tests.study import fake
from tests.study.test_runner import run_here

tracking = pytest.importorskip("mlflow.tracking", reason="MLflow is not installed: pip install -e '.[mlflow]'")


def test_results_are_runs_once(small, registry, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the store that needs no database: a server has its own
    uri = (tmp_path / "mlruns").as_uri()
    run_here(fake.study(shots=(64,), options={"trouble": "raise"}), tmp_path / "store")  # one of three fails
    store = ResultStore(tmp_path / "store")
    cells = store.cells()
    assert log_to_mlflow(store, cells.head(1), "fake", uri) == 1
    assert log_to_mlflow(store, cells, "fake", uri) == 1
    assert log_to_mlflow(store, cells, "fake", uri) == 0

    client = tracking.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("fake").experiment_id])
    done = cells[cells["status"] == "done"].set_index("key")
    assert {run.data.tags[KEY] for run in runs} == set(done.index)
    for run in runs:
        row = done.loc[run.data.tags[KEY]]
        assert run.data.metrics["auc"] == row["auc"]
        assert (run.data.params["shots"], run.data.params["seed"], run.data.params["trouble"]) == ("64", str(row["seed"]), "raise")
        assert [(entry.step, entry.value) for entry in client.get_metric_history(run.info.run_id, "curve.loss")] == [(0, 0.5)]


def test_a_server_that_refuses_is_one_line(small, registry, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    store = ResultStore(tmp_path)
    with pytest.raises(FaultError, match="does not take the runs") as caught:
        log_to_mlflow(store, store.cells(), "fake", (tmp_path / "mlruns").as_uri())
    assert "\n" not in str(caught.value)
