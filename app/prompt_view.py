"""A prompt as the language model reads it: exact text, token by token, with counts. Needs the backbone's tokenizer, never torch."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

import streamlit as st
import words
from live import READ_BY

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import FaultError, LaserError
from laser_core.lm import backbones, retrieval
from laser_core.lm.laser_llm import LaserLLM
from laser_core.lm.prompts import Prompt, Renderer
from laser_core.recommender import make_options
from laser_core.systems import SYSTEMS

_GROUNDS = ("rgba(0,114,178,.20)", "rgba(213,94,0,.20)", "rgba(11,164,159,.22)", "rgba(193,21,143,.18)", "rgba(127,127,127,.22)")
_FRAME = (
    "max-height:32rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;font-family:'Source Code Pro',monospace;font-size:.86rem;"
    "line-height:1.75;padding:.9rem 1rem;border:1px solid rgba(124,133,148,.35);border-radius:.4rem"
)


FORMS = {
    "one": ("one target (the paper's)", "laser-llm"),
    "many": ("many targets", "laser-llm-many"),
    "short": ("many, short", "laser-llm-short"),
    "counted": ("many, counted taste", "laser-llm-counted"),
}
"""a form of prompt -> its name, and the system that reads so"""


def settings_of(form: str) -> dict[str, Any]:
    """The options that decide how a prompt of a form is written."""
    preset = SYSTEMS[FORMS[form][1]].preset
    return {"prompt": "one"} | {name: preset[name] for name in READ_BY if name in preset}


def form_of(options: Mapping[str, Any]) -> str | None:
    """Which form a language model with these options reads, by form and template; None where they say nothing of it."""
    asked = (options.get("prompt"), options.get("template", ""))
    return next((form for form in FORMS if asked == (settings_of(form)["prompt"], settings_of(form).get("template", ""))), asked[0])


def has_prompt(system: str) -> bool:
    """Whether a system reads a sample as a prompt of the language-model kind."""
    return system in SYSTEMS and SYSTEMS[system].where.endswith(":LaserLLM")


def prompts_of(system: str, options: Mapping[str, Any], dataset: CTRDataset, row: int) -> tuple[LaserLLM, list[Prompt]]:
    """The system with a stored result's options, and what it reads for one sample: one prompt, or two whose log-odds it averages.

    Raises:
        FaultError: The backbone's tokenizer, or what retrieval compares, is not on this machine.
    """
    recommender = LaserLLM(make_options(LaserLLM.Options, {**SYSTEMS[system].preset, **options}))
    if recommender.options.retrieval and not retrieval.is_ready(dataset, recommender.options.encoder, row):
        raise FaultError(
            "this prompt shows the ratings most like the target, and the items' vectors are not on this machine: running the system here "
            "(laser study run) makes them"
        )
    return recommender, recommender.prompts(dataset, row)


def without_tokenizer(options: Mapping[str, Any], dataset: CTRDataset, row: int) -> Prompt | None:
    """The one-target prompt where the tokenizer is missing: the same text unless it is beyond the budget of tokens."""
    settings = make_options(LaserLLM.Options, options)
    chat = backbones.get(settings.backbone).chat
    if settings.prompt != "one" or settings.retrieval or chat is None:
        return None
    answers = settings.answers or backbones.get(settings.backbone).answers
    return Renderer(dataset, "one", settings.template or "one", answers, chat, settings.titles).one(row, settings.history or None)


def tokens_html(text: str, spans: list[tuple[int, int]], marks: Mapping[int, str]) -> str:
    """Tokens of a text on alternating grounds, as HTML.

    Args:
        spans: (tokens,) first and last character of each.
        marks: Notes to put after the character at a place, such as where an answer is read.
    """
    parts, seen = [], 0
    for number, (start, end) in enumerate(spans):
        if end <= seen:  # a token that adds no character of its own, such as half of a letter
            continue
        piece = html.escape(words.visible(text[max(start, seen) : end]))
        parts.append(f'<span style="background:{_GROUNDS[number % len(_GROUNDS)]};border-radius:2px">{piece}</span>')
        seen = end
        if end in marks:
            parts.append(
                f'<span style="border:1px solid;border-radius:3px;padding:0 .25rem;font-weight:600">{html.escape(marks[end])}</span>'
            )
    return f'<div style="{_FRAME}" tabindex="0" role="region" aria-label="The prompt, token by token">{"".join(parts)}</div>'


def show_prompt(system: str, options_text: str, dataset: CTRDataset, row: int, probability: float | None) -> None:
    """The exact prompt of one sample for one stored result, with its tokens and the two answers' probabilities."""
    options = json.loads(options_text)
    try:
        recommender, (prompt, *second) = prompts_of(system, options, dataset, row)
        tokenizer = backbones.tokenizer(recommender.options.backbone)
    except FaultError as error:
        st.info(words.markdown(error), icon=":material/download:")
        if backbones.ready(options.get("backbone", LaserLLM.Options().backbone)) is None:
            st.code("laser doctor --fetch", language="bash")
        if (prompt := without_tokenizer(options, dataset, row)) is not None:
            st.caption("The text is exact as long as it keeps within the budget of tokens; without the tokenizer they cannot be counted.")
            st.code(prompt.text, language=None, wrap_lines=True)
        return
    except LaserError as error:
        st.warning(words.markdown(error), icon=":material/error:")
        return
    if second:
        st.caption("Asked twice, the mean of both log-odds answers: after the last ratings, and after those most like the target.")
    elif recommender.options.retrieval and recommender.options.prompt == "one":
        st.caption("Retrieval: the ratings most like the target by their texts, out of the whole history, in place of the last ones.")
    encoding = tokenizer.encode(prompt.text)
    yes, no = (answer.strip() for answer in prompt.answers)
    facts = st.columns(4)
    facts[0].metric(
        "Tokens", f"{len(encoding.ids):,}", help=f"At most {recommender.options.max_tokens:,}: the oldest ratings are left out first."
    )
    facts[1].metric("Ratings in the prompt", f"{prompt.history}")
    known = probability is not None
    how = "Two-way softmax over the two answer words."
    if recommender.options.learn == "readout":
        beside = " and on statistics of the whole history" if recommender.options.statistics else ""
        beside += " and on what the user thought of the items nearest to the target" if recommender.options.nearby else ""
        how = f"A regression on the frozen model's middle blocks{beside}, fitted on the N labels; with N = 0: {how.lower()}"
    facts[2].metric(f"P({words.markdown(yes)})", f"{probability:.3f}" if known else "—", help=how)
    facts[3].metric(f"P({words.markdown(no)})", f"{1 - probability:.3f}" if known else "—")
    marks = {len(prompt.text): f" ▸ {yes} / {no} ?"}
    as_tokens, as_text, *as_second = st.tabs(["Token by token", "Plain text", *["The ratings most like the target"] * len(second)])
    with as_tokens:
        st.html(tokens_html(prompt.text, encoding.offsets, marks))
        st.caption("Each ground is one token; ↵ is a line end. The answer is read after the last token.")
    with as_text:
        st.code(prompt.text, language=None, wrap_lines=True)
    for tab, other in zip(as_second, second, strict=True):
        with tab:
            st.code(other.text, language=None, wrap_lines=True)
    st.download_button(
        "Text",
        lambda: "\n\n".join(each.text for each in [prompt, *second]),
        f"prompt-{system}-{row}.txt",
        "text/plain",
        key=f"prompt-{system}-{row}",
        on_click="ignore",
        type="tertiary",
        icon=":material/description:",
    )
