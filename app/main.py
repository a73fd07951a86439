"""The dashboard's entry: side bar, navigation, and one place where errors become messages. Start it with `laser app`.

A page is one file beside this one; to add a page, write the file and name it in `PAGES`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import streamlit as st
import words
from shared import CARRIED, sidebar_results
from state import carried, on_page

from laser_core.errors import LaserError

PAGES = {
    "": [
        st.Page("overview.py", title="Overview", icon=":material/flag:", default=True),
    ],
    "The claim": [
        st.Page("efficiency.py", title="Sample efficiency", icon=":material/show_chart:"),
        st.Page("compare.py", title="Compare models", icon=":material/leaderboard:"),
        st.Page("cost.py", title="Cost and latency", icon=":material/speed:"),
        st.Page("backbones.py", title="Backbones", icon=":material/hub:"),
    ],
    "Look inside": [
        st.Page("user.py", title="User explorer", icon=":material/person_search:"),
        st.Page("lab.py", title="Prompt lab", icon=":material/science:"),
        st.Page("data.py", title="Data", icon=":material/database:"),
        st.Page("runs.py", title="Runs", icon=":material/list_alt:"),
    ],
}

# The icon first: else the browser asks a font server for the page's symbol.
st.set_page_config(page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
page = st.navigation(PAGES, position="hidden")
st.set_page_config(page_title=f"{page.title} · Laser study kit")
on_page(page.url_path)
try:
    with st.sidebar:
        st.markdown("### Laser study kit")
        for section, pages in PAGES.items():
            if section:
                st.caption(section)
            for entry in pages:
                st.page_link(entry, query_params=carried(*CARRIED))
        st.divider()
        st.session_state["_chosen_results"] = sidebar_results()
    page.run()
except LaserError as error:
    st.error(words.markdown(error), icon=":material/error:")
except Exception:
    logging.getLogger("laser.app").exception("page %s", page.title)
    st.error(
        "This page could not be shown: something in the results or the data is not as expected. The terminal that runs the dashboard has "
        "the details. Another choice in the side bar or `laser doctor` may help.",
        icon=":material/error:",
    )
