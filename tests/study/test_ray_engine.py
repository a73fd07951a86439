"""A study on a Ray cluster of two machines (made of processes of this one), one of which is killed on the way."""

from __future__ import annotations

import threading
import time

import pytest

from laser_core.study import runner
from laser_core.study.store import ResultStore
from tests.study import fake
from tests.study.test_runner import fingerprints, run_here

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")


def test_a_machine_that_dies_loses_no_cell(small, registry, tmp_path):
    from ray.cluster_utils import Cluster

    from laser_core.study.ray_engine import RayEngine

    study = fake.study(shots=(64, 128), seeds=(0, 1, 2), options={"sleep": 0.5})
    assert run_here(study, tmp_path / "undisturbed").computed == 6
    store = ResultStore(tmp_path / "store")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000})
    try:
        doomed = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        engine = RayEngine(address=cluster.address)
        assert engine.slots == 2

        def kill() -> None:
            while len(fake.log_lines()) < 6 + 2:  # both machines are at a cell
                time.sleep(0.05)
            cluster.remove_node(doomed, allow_graceful=False)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        outcome = runner.run(study, store, engine=engine)
        killer.join(30)
        assert not killer.is_alive()
    finally:
        cluster.shutdown()
    assert (outcome.computed + outcome.present, outcome.failed, outcome.problems) == (6, 0, [])
    assert fingerprints(store.folder) == fingerprints(tmp_path / "undisturbed")
    assert not list((store.folder / ".claims").iterdir())
