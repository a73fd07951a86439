"""Overview: the question, what the results say so far, and where to go next."""

from __future__ import annotations

import streamlit as st
from shared import CARRIED, heading, need_results, results
from state import carried

heading(
    "Do large language models make recommenders sample-efficient?",
    "The Laser paper says yes, twice: a language model alone needs few labels, and it makes conventional recommendation models need fewer.",
)
chosen = results()
if not need_results(chosen):
    st.stop()
st.page_link("efficiency.py", query_params=carried(*CARRIED))
