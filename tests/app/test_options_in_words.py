"""What the options in the names of systems mean, on the pages that name them."""

from __future__ import annotations

import pytest

from laser_core.options import options_of
from laser_core.study.store import ResultStore
from tests.app.made_up import add_cell
from tests.app.test_pages import no_trouble, text_of


@pytest.mark.parametrize("page", ["compare.py", "efficiency.py"])
def test_options_in_names_are_told_in_words(page, small, tmp_path, monkeypatch, open_page):
    store = ResultStore(tmp_path / "runs")
    monkeypatch.setenv("LASER_STORE", str(store.folder))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "recorded"))
    add_cell(store, small, "din", 64, 0, 1.0, "all")
    shown = open_page(page)
    no_trouble(shown)
    assert "What the words in brackets mean" not in [one.label for one in shown.expander]
    add_cell(store, small, "din", 64, 0, 1.0, "all", options={"statistics": False}, variant="statistics=false")
    shown = open_page(page)
    no_trouble(shown)
    assert "What the words in brackets mean" in [one.label for one in shown.expander]
    assert options_of("din")["statistics"].words in text_of(shown).replace("\\", "")
    assert "**embedding size**" not in text_of(shown)
