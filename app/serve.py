"""The dashboard's server: `laser app` starts it, `python app/serve.py` too.

What its first page needs is loaded before it answers. To work on the pages, `streamlit run app/main.py` shows each change as it is saved.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import streamlit as st

CONFIG = {
    "server.headless": True,  # else Streamlit asks newcomers for an email address and waits for the answer
    "server.address": "localhost",
    "browser.gatherUsageStats": False,
    # Three things a reader has no use for, together more than half of what a page view costs the server:
    "server.fileWatcherType": "none",  # looking for changed source files
    "runner.postScriptGC": False,  # collecting garbage after each page view; Python does so by itself now and then
    "runner.magicEnabled": False,  # looking for bare values to show: no page has any
}


def warm_up() -> None:
    """Load libraries and results as the overview will, so that the first reader does not wait for it."""
    from laser_core import figures
    from laser_core.settings import get_settings
    from laser_core.study import contrast, summary
    from laser_core.study.store import ResultStore

    settings = get_settings()
    store = ResultStore(settings.store, settings.recorded)
    cells = store.cells()
    cells = cells[cells["status"] == "done"]
    if len(cells):
        cells = cells[cells["dataset"] == cells["dataset"].iloc[0]]
        figures.sample_efficiency(summary.summarise(cells))
        contrast.verdict(store.predictions, cells, cells["shots"].iloc[0])


app = st.App(Path(__file__).with_name("main.py"))

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The dashboard of the Laser study kit.")
    parser.add_argument("port", type=int, nargs="?", default=8501)
    port = parser.parse_args().port
    with contextlib.suppress(Exception):  # the page will say what is wrong
        warm_up()
    app.run(config=CONFIG | {"server.port": port})
