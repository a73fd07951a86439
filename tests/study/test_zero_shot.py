"""N = 0: a cell without any labels, from the study to the figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from laser_core import systems
from laser_core.errors import UserError
from laser_core.study import cell as cells
from laser_core.study import learning_curves, planning, versions
from laser_core.study.spec import Cell, Grid
from laser_core.study.store import ResultStore
from tests.lm.tiny_models import make_model


def test_an_untuned_language_model_is_a_cell(small, tmp_path):
    """No labels seen, nothing learned, tested as any other; and its key is not that of one label."""
    options = {"backbone": make_model(tmp_path / "tiny"), "history": 2, "template": "many-short", "prompt": "many"}
    store = ResultStore(tmp_path / "store")
    none, one = (Cell("movielens-small", "laser-llm", shots, 0, test_rows=40, options=options) for shots in (0, 1))
    identity = versions.identity(none, small.version)
    assert identity != versions.identity(one, small.version)
    cells.compute(none, identity, store)
    record = store.find(identity)
    assert record["status"] == "done" and record["counts"]["labels_seen"] == record["counts"]["train_rows"] == 0
    assert record["counts"]["parameters"] == 0 and record["counts"]["test_rows"] == 40 and record["cost"]["predict_tokens"] > 0
    [row] = store.cells().itertuples()
    assert row.shots == 0 and 0 <= row.auc <= 1
    speed = planning.Speed(store.cells())
    assert speed.seconds(none) > 0 and speed.seconds(one) > 0


def test_only_where_a_system_can_do_without_labels(small):
    Grid(("movielens-small",), ("laser-llm", "laser-llm-many", "laser-llm-retrieval"), (0, 16))
    with pytest.raises(UserError, match=r"shots = 0 is for systems that can do without labels, and din cannot: put it in another"):
        Grid(("movielens-small",), ("laser-llm", "din"), (0, 16))
    for name, entry in systems.SYSTEMS.items():
        assert entry.zero_shot == (entry.where == "laser_core.lm.laser_llm:LaserLLM"), name
    with pytest.raises(UserError, match="learns from labels and got none"):
        systems.create("history-lr").fit(small, small.shots(0, 0), small.validation_rows(0, 0))


def test_curves_begin_at_the_first_label():
    rows = [
        {"system": "a", "variant": "", "train_rows": n, "test_rows": 9, "auc": auc, "key": f"{n}"}
        for n, auc in ((0, 0.55), (64, 0.6), (256, 0.7))
    ]
    table = pd.DataFrame(rows)
    found = learning_curves.curve(lambda key: np.full(10, 0.5), table)
    assert found.shots.tolist() == [64, 256]
    assert 64 < learning_curves.labels_to_match(table, ("a", ""), 0.65) < 256
    with pytest.raises(UserError, match="at one N only"):
        learning_curves.labels_to_match(table.iloc[:2], ("a", ""), 0.6)
