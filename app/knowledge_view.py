"""What Laser, LLM+CRM reads of a sample: the texts of item and user behind its vectors, and which snapshot of the user."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import streamlit as st
import words

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import LaserError
from laser_core.knowledge.generate import written
from laser_core.knowledge.vectors import VectorOptions
from laser_core.knowledge.writer import item_texts, snapshot_end, user_texts
from laser_core.lm import backbones
from laser_core.systems import SYSTEMS

_CONTROLS = {
    "random": "A control: random numbers stand in for the vectors of these texts.",
    "shuffled": "A control: the vectors of another item and another user stand in for these texts'.",
}


def has_texts(system: str) -> bool:
    """Whether a system reads vectors of texts."""
    return system in SYSTEMS and SYSTEMS[system].where.endswith(":LaserCRM")


class _NotWrittenError(Exception):
    """A text that a language model should have written is not on this machine."""

    def __init__(self, prompt: str) -> None:
        super().__init__(prompt)
        self.prompt = prompt


def show_texts(options_text: str, dataset: CTRDataset, row: int) -> None:
    """The item's and the user's text of one sample, as a stored result's system reads them."""
    stored = json.loads(options_text)
    try:
        own = {field.name: stored[field.name] for field in dataclasses.fields(VectorOptions) if field.name in stored}
        options = VectorOptions(**own)
    except LaserError as error:
        st.warning(words.markdown(error), icon=":material/error:")
        return
    if options.vectors == "none":
        st.caption("A control: this one reads no texts at all.")
        return
    if options.vectors in _CONTROLS:
        st.caption(_CONTROLS[options.vectors])
    rows = np.array([row])
    user, target = int(dataset.sample_user(rows)[0]), int(dataset.sample_event[row])
    first, end = int(dataset.user_offsets[user]), int(snapshot_end(dataset, rows, options.every)[0])
    encoder, writer = (words.markdown(backbones.get(name).label) for name in (options.encoder, options.language_model))

    def write(prompts: list[str]) -> list[str]:
        texts = written(options.language_model)
        for prompt in prompts:
            if prompt not in texts:
                raise _NotWrittenError(prompt)
        return [texts[prompt] for prompt in prompts]

    def show(make, kind: str) -> None:
        try:
            st.code(make(), language=None, wrap_lines=True)
        except _NotWrittenError as missing:
            st.info(
                f"{writer} wrote this text where the result was computed; it is not on this machine. Running the study here writes it. "
                "It was asked:",
                icon=":material/hourglass_empty:",
            )
            st.code(missing.prompt, language=None, wrap_lines=True)
        else:
            if kind == "generated":
                st.caption(f"Written by {writer}, turned into a vector by {encoder}.")
            else:
                st.caption(f"Made from the data by a template, turned into a vector by {encoder}.")

    left, right = st.columns(2)
    with left:
        st.markdown("**Of the target**")
        item = int(dataset.sample_item(rows)[0])
        show(lambda: item_texts(dataset, [item], options.item_text, write)[0], options.item_text)
    with right:
        st.markdown("**Of the user**")
        if options.user_text == "ratings":
            st.markdown(
                f"No text: the vectors of the **{end - first}** items rated so far are added up, liked ones minus disliked ones. So its "
                "product with the target's vector says how far the target is like what the user liked."
            )
        else:
            show(lambda: user_texts(dataset, [user], [end], options.user_text, write)[0], options.user_text)
        after = target - end
        st.caption(
            f"The snapshot: the user's first {end - first} ratings, the last one wholly before this sample (made anew after every "
            f"{options.every}). "
            + ("Nothing lies between it and the target." if after == 0 else f"The {after} rating{'s' * (after > 1)} since are not in it.")
        )
