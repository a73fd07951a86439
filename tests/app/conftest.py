"""A small made-up store and the running dashboard, for the tests of the pages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.app.made_up import APP, LM_ROWS, SYSTEMS, add_cell


@pytest.fixture(scope="session")
def made_store(small, tmp_path_factory) -> Path:
    """A folder with results of three systems, three N and two seeds on MovieLens-small."""
    from laser_core.study.store import ResultStore

    folder = tmp_path_factory.mktemp("store")
    store = ResultStore(folder)
    for system, skill in SYSTEMS.items():
        for shots in (64, 1024, "all"):
            for seed in (0, 1):
                add_cell(store, small, system, shots, seed, skill, LM_ROWS if system == "laser-llm" else "all")
    return folder


@pytest.fixture
def stores(made_store, tmp_path, monkeypatch) -> Path:
    """Own runs: the made-up store. Recorded results: an empty folder."""
    monkeypatch.setenv("LASER_STORE", str(made_store))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "recorded"))
    return made_store


@pytest.fixture(scope="session")
def shown() -> list[str]:
    """The stores whose results pages have shown, the last one last."""
    return []


@pytest.fixture
def open_page(shown):
    """A function that opens a page at an address and returns the AppTest."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    def opened(page: str = "overview.py", /, **address):
        if shown[-1:] != [os.environ["LASER_STORE"]]:  # pages keep results by their keys, which made-up stores give to results of their own
            st.cache_data.clear()
            shown.append(os.environ["LASER_STORE"])
        test = AppTest.from_file(str(APP / "main.py"), default_timeout=60)
        test.switch_page(page)
        for key, value in address.items():
            test.query_params[key] = value
        return test.run()

    return opened


@pytest.fixture(autouse=True)
def app_modules(monkeypatch):
    """Let tests import what pages share, as Streamlit does."""
    monkeypatch.syspath_prepend(str(APP))
    yield
    for name in ("knowledge_view", "live", "prompt_view", "serve", "shared", "state", "words"):
        sys.modules.pop(name, None)
