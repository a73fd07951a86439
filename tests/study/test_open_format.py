"""The snippets of results/README.md read a store without the kit: each runs as it stands there, on a store of two results."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from laser_core.study.store import ResultStore
from tests.study.test_store import put

README = Path(__file__).resolve().parents[2] / "results" / "README.md"
TEXT = README.read_text(encoding="utf-8")
SNIPPETS = dict(zip(("pandas", "duckdb", "polars"), re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL), strict=True))


@pytest.mark.parametrize("reader", SNIPPETS)
def test_others_can_read_a_store(small, tmp_path, reader):
    pytest.importorskip(reader, reason=f"{reader} is not installed")
    store = ResultStore(tmp_path / "results")
    aucs = [store.read(put(store, small, seed)[0])["metrics"]["auc"] for seed in (0, 1)]
    result = subprocess.run([sys.executable, "-c", SNIPPETS[reader]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    if reader == "polars":
        assert all(name in result.stdout for name in ("row", "user", "label", "probability"))
    else:
        assert f"{sum(aucs) / 2:.5f}" in result.stdout
        assert "history-lr" in result.stdout


def test_every_part_of_a_record_is_described(small, tmp_path):
    store = ResultStore(tmp_path)
    key, _, _ = put(store, small)
    assert not [name for name in store.read(key) if f"`{name}`" not in TEXT]
