"""The state of a page is its address: every control reads its value from the URL and writes it back there.

So a link reproduces a view, the browser's Back works, and nothing is kept behind the reader's back. A value in the address that does not
exist gets a message and the default; one that ceased to exist because another control changed (the user of the data set before) makes way
without a word. Values are short ids (`system=din`), never labels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st
from words import markdown

_MULTIPLE_NONE = "none"  # in the address: "nothing chosen", as apart from "nothing said"
_PAGE = "_page"
_BEFORE = "_address_before"  # the address when a control or button last changed it: what stood there then had its place


def _complain(key: str, label: str, wrong: Sequence[str], shown: str) -> None:
    """Say that the address asks for something that does not exist, unless it did until another control changed."""
    if set(wrong) <= set(st.session_state.get(_BEFORE, {}).get(key, ())):
        return
    words = ", ".join(markdown(value, 60) for value in wrong)
    st.warning(
        f"The address asks for {label.lower()} “{words}”, which does not exist here: showing {markdown(shown, 80)} instead.",
        icon=":material/link_off:",
    )


def _write(key: str, values: list[str], default: list[str], multiple: bool = False) -> None:
    """Put a control's value into the address; the default leaves no trace there."""
    _remember()
    if values == default:
        st.query_params.pop(key, None)
    elif values:
        st.query_params[key] = values if multiple else values[0]
    else:
        st.query_params[key] = _MULTIPLE_NONE


def _remember() -> None:
    """Keep what the address says, before it changes."""
    st.session_state[_BEFORE] = {key: st.query_params.get_all(key) for key in st.query_params}


def _labels(by_id: Mapping[str, Any], name: Callable[[Any], str]) -> dict[str, str]:
    """What a reader sees for each option, by its id. Of two alike Streamlit would take one for the other: they show their ids too."""
    labels = {one: name(option) for one, option in by_id.items()}
    seen = Counter(labels.values())
    return {one: label if seen[label] == 1 else f"{label} [{one}]" for one, label in labels.items()}


def on_page(name: str) -> None:
    """Say which page is drawn: its controls are its own, and what the page before handed on and this one lacks goes without a word."""
    if st.session_state.get(_PAGE, name) != name:
        _remember()
    st.session_state[_PAGE] = name


def _widget(key: str, options: Iterable[tuple[str, str]] = ()) -> str:
    """The widget's own name: another one on another page, whose browser part knows nothing of the value that the session holds, and for
    other options, or the browser would go on choosing from those that it knew before."""
    return f"_{st.session_state.get(_PAGE, '')}-{key}-{hashlib.sha256(repr(list(options)).encode()).hexdigest()[:8]}"


def choose(
    key: str,
    label: str,
    options: Sequence[Any],
    default: Any = None,
    name: Callable[[Any], str] = str,
    kind: str = "select",
    help: str | None = None,
) -> Any:
    """One of `options`, by a select box, or by buttons beside each other with `kind="buttons"`.

    Args:
        key: Its name in the address.
        default: Chosen when the address says nothing; the first option unless given.
        name: What a reader sees for an option.
    """
    by_id = {str(option): option for option in options}
    labels = _labels(by_id, name)
    fallback = str(default) if default is not None and str(default) in by_id else next(iter(by_id))
    asked = st.query_params.get(key)
    if asked is not None and asked not in by_id:
        _complain(key, label, [asked], labels[fallback])
        del st.query_params[key]
    value = asked if asked in by_id else fallback
    widget = _widget(key, labels.items())
    if st.session_state.get(widget) != value:
        st.session_state[widget] = value

    def changed() -> None:
        if st.session_state[widget] is not None:
            _write(key, [st.session_state[widget]], [fallback])

    draw = st.segmented_control if kind == "buttons" else st.selectbox
    more = {"required": True} if kind == "buttons" else {}
    shown = (lambda one: markdown(labels[one])) if kind == "buttons" else labels.get  # buttons read Markdown
    draw(label, list(by_id), key=widget, on_change=changed, format_func=shown, help=help, **more)
    return by_id[value]


def choose_many(
    key: str,
    label: str,
    options: Sequence[Any],
    default: Sequence[Any] | None = None,
    name: Callable[[Any], str] = str,
    help: str | None = None,
    nothing: str = "none",
) -> list[Any]:
    """Any number of `options`, in their order; all of them (or `default`) when the address says nothing.

    Args:
        nothing: What a reader sees when none is chosen.
    """
    by_id = {str(option): option for option in options}
    labels = _labels(by_id, name)
    fallback = [str(option) for option in (options if default is None else default) if str(option) in by_id]
    asked = st.query_params.get_all(key)
    known = [value for value in by_id if value in asked]
    wrong = [value for value in asked if value not in by_id and value != _MULTIPLE_NONE]
    value = known if known or asked == [_MULTIPLE_NONE] else fallback
    if wrong:
        _complain(key, label, wrong, ", ".join(labels[one] for one in value) or "nothing")
        st.query_params.pop(key, None)
        if known:
            st.query_params[key] = known
    widget = _widget(key, labels.items())
    if st.session_state.get(widget) != value:
        st.session_state[widget] = value

    def changed() -> None:
        picked = [one for one in by_id if one in st.session_state[widget]]
        _write(key, picked, fallback, multiple=True)

    st.multiselect(
        label,
        list(by_id),
        key=widget,
        on_change=changed,
        format_func=labels.get,
        help=help,
        placeholder=nothing,
    )
    return [by_id[one] for one in value]


def switch(key: str, label: str, default: bool = False, help: str | None = None) -> bool:
    """A yes or no."""
    words = {"yes": True, "no": False}
    asked = st.query_params.get(key)
    if asked is not None and asked not in words:
        _complain(key, label, [asked], "yes" if default else "no")
        del st.query_params[key]
    value = words.get(asked, default)
    widget = _widget(key)
    if st.session_state.get(widget) != value:
        st.session_state[widget] = value

    def changed() -> None:
        _write(key, ["yes" if st.session_state[widget] else "no"], ["yes" if default else "no"])

    st.toggle(label, key=widget, on_change=changed, help=help)
    return value


def amount(key: str, label: str, default: float, low: float, high: float, help: str | None = None) -> float:
    """A number between `low` and `high`."""
    asked = st.query_params.get(key)
    try:
        value = default if asked is None else float(asked)
        if not low <= value <= high:  # also false for what is not a number
            raise ValueError
    except ValueError:
        _complain(key, label, [asked or ""], f"{default:g}")
        del st.query_params[key]
        value = default
    widget = _widget(key)
    if st.session_state.get(widget) != value:
        st.session_state[widget] = value

    def changed() -> None:
        _write(key, [f"{st.session_state[widget]:g}"], [f"{default:g}"])

    st.number_input(label, low, high, key=widget, on_change=changed, help=help, format="%g")
    return value


def go(**values: Any) -> None:
    """Change the address from a button's callback; None takes a value out."""
    _remember()
    for key, value in values.items():
        if value is None:
            st.query_params.pop(key, None)
        else:
            st.query_params[key] = str(value)


def carried(*keys: str) -> dict[str, str]:
    """The part of the address that other pages understand too."""
    return {key: st.query_params[key] for key in keys if key in st.query_params}
