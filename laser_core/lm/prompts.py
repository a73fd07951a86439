"""Prompts: a sample as text. Templates are plain files in `templates/`; nothing here needs torch.

A template file holds named parts, each a line `[name]` followed by its text with `{placeholders}`. Two forms:

- one target (`one.txt`): profile, numbered history with stars, target, question; in the backbone's chat format.
- many targets (`many.txt`): one line an event, each asking the same question and answered in the text. A causal model reads a line's
  question before its answer, so one pass gives a prediction for every line and none of them sees its own label or anything later. The
  placeholder `{alike}` says in each line how many percent of such items the user liked before it (`many-counted.txt`).

Whatever must be left out to keep within a budget of tokens is the oldest history, never the question.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from laser_core.crm.statistics import liked_share_alike
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError, unknown

_FOLDER = Path(__file__).with_name("templates")
_ITEM = ("noun", "title", "group")
_RATED = ("stars", "answer")  # what tells a label: only where the rating is an earlier one, or its answer has been asked for
_PARTS: dict[str, dict[str, tuple[str, ...]]] = {  # of each form, and what each may speak of
    "one": {
        "profile": ("noun", "profile"),
        "history": _ITEM,
        "line": (*_ITEM, "number", *_RATED),
        "no-history": _ITEM,
        "target": _ITEM,
        "question": _ITEM,
    },
    "many": {
        "profile": ("noun", "profile"),
        "opening": _ITEM,
        "line": (*_ITEM, "alike"),
        "answered": (*_ITEM, *_RATED),
    },
}

Form = Literal["one", "many"]
Count = Callable[[str], int]
"""how many tokens a text has"""


@dataclass(frozen=True)
class Prompt:
    """A text with places where an answer belongs.

    Attributes:
        text: What the language model reads; the last answer is not in it.
        slots: `(answers,)` character positions, ascending: an answer follows `text[:slot]`. The last one is the end of the text.
        events: `(answers,)` the event whose label each answer is.
        answers: The two words, positive first, with the space before them that the text needs.
        history: How many earlier ratings the text shows.
    """

    text: str
    slots: np.ndarray
    events: np.ndarray
    answers: tuple[str, str]
    history: int

    def until(self, event: int) -> Prompt:
        """The beginning of a many-target prompt, up to the answer of one event."""
        place = int(np.flatnonzero(self.events == event)[0])
        slot = int(self.slots[place])
        later = len(self.events) - 1 - place
        return Prompt(self.text[:slot], self.slots[: place + 1], self.events[: place + 1], self.answers, self.history - later)


def read_template(name: str, form: Form) -> dict[str, str]:
    """The parts of a template: a name in `templates/`, or the path of a file of your own.

    Raises:
        UserError: No such template, it cannot be read, it has other parts than its form, or a part speaks of what it must not know.
    """
    path = _FOLDER / f"{name}.txt"
    if not path.is_file():
        path = Path(name).expanduser()
    if not path.is_file():
        raise unknown("template", name, [entry.stem for entry in _FOLDER.glob("*.txt")])
    state = path.stat()
    return _read_template(path, form, state.st_mtime_ns, state.st_size)


@lru_cache
def _read_template(path: Path, form: Form, changed: int, size: int) -> dict[str, str]:
    """Read once, and again when the file has changed: a dashboard lives for days."""
    parts = read_parts(path)
    missing = [part for part in _PARTS[form] if part not in parts]
    if missing:
        raise UserError(f"template {path} lacks the part [{missing[0]}]: a '{form}' template has {', '.join(_PARTS[form])}")
    for part in parts:  # what stands in another one would be left out without a word: half a question, say
        if part not in _PARTS[form]:
            raise unknown(f"part of template {path}", f"[{part}]", [f"[{known}]" for known in _PARTS[form]])
    for part, known in _PARTS[form].items():
        _check_placeholders(path, form, part, parts[part], known)
    return parts


def _check_placeholders(path: Path, form: Form, part: str, text: str, known: tuple[str, ...]) -> None:
    where = f"[{part}] of {path}"
    try:
        placeholders = [entry[1:] for entry in string.Formatter().parse(text) if entry[1] is not None]
    except ValueError as error:
        raise UserError(f"a brace in {where} is not closed or not opened ({error}): double a brace that is meant as such") from None
    for placeholder, form_of_it, conversion in placeholders:
        if placeholder in _RATED and placeholder not in known:
            fit = " and ".join(f"[{other}]" for other, words in _PARTS[form].items() if placeholder in words)
            raise UserError(f"{{{placeholder}}} in {where} would tell the answer that is asked for: it may stand in {fit} only")
        if placeholder not in known:
            raise unknown(f"placeholder in {where}", placeholder, known)
        if form_of_it or conversion:
            raise UserError(f"the placeholder {{{placeholder}}} in {where} has a format of its own: write {{{placeholder}}} alone")


def read_parts(path: Path) -> dict[str, str]:
    """The named parts of a template file, text before the first one being a comment.

    Raises:
        UserError: The file cannot be read, it is not UTF-8, or a part stands in it twice.
    """
    try:
        whole = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"template {path} cannot be read ({error}): it must be a text file in UTF-8") from None
    _, *pieces = re.split(r"^\[([a-z-]+)\]\n", whole, flags=re.MULTILINE)
    names = pieces[::2]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"template {path} has the part [{twice[0]}] twice: keep one of them")
    return {part: text.removesuffix("\n") for part, text in zip(names, pieces[1::2], strict=True)}


@dataclass(frozen=True)
class Renderer:
    """Turns samples of one data set into prompts.

    Attributes:
        dataset: Whose items and users are put into words.
        form: One target a prompt, or many.
        template: A name in `templates/` or a file.
        answers: The two answer words, positive first, without space.
        chat: How the backbone wants an instruction wrapped (one-target form only).
        titles: plain, or anonymous: "movie 17" instead of a title, to see what the model knows of the title itself.
        count, budget: A prompt has at most `budget` tokens as `count` counts them.
    """

    dataset: CTRDataset
    form: Form
    template: str
    answers: tuple[str, str] = ("Yes", "No")
    chat: str = "{prompt}"
    titles: Literal["plain", "anonymous"] = "plain"
    count: Count = len
    budget: int = 1_000_000

    def one(self, row: int, history: int, events: np.ndarray | None = None) -> Prompt:
        """The one-target prompt of a sample, showing at most its last `history` ratings, or earlier `events` chosen otherwise.

        Raises:
            UserError: Even without any history the prompt is beyond the budget.
        """
        target = int(self.dataset.sample_event[row])
        events = self.dataset.history_events(row, history) if events is None else events

        def text(kept: int) -> str:
            shown = events[len(events) - kept :]
            lines = [self._fill("line", event, number=number) for number, event in enumerate(shown, start=1)]
            parts = [
                self._profile(target),
                self._fill("history" if len(shown) else "no-history", target),
                *lines,
                self._fill("target", target),
                self._fill("question", target),
            ]
            return self.chat.format(prompt="\n".join(part for part in parts if part))

        kept, fitted = self._fit(text, len(events))
        return Prompt(fitted, np.array([len(fitted)]), np.array([target]), self._spaced(fitted), kept)

    def many(self, first: int, last: int, needed: int) -> Prompt:
        """The many-target prompt of the events `first..last` of one user, every one of them a question.

        Args:
            needed: Events from this one on are never left out.

        Raises:
            UserError: Even without the events before `needed` the prompt is beyond the budget.
        """
        return self.lines(np.arange(first, last + 1), needed)

    def lines(self, events: np.ndarray, needed: int) -> Prompt:
        """The same of any events of one user, ascending."""
        profile, opening = self._profile(events[0]), self._fill("opening", events[0])
        alike = self._alike(events) if "{alike}" in self._parts["line"] else np.zeros(len(events), dtype=int)
        questions = [self._fill("line", event, alike=share) for event, share in zip(events, alike, strict=True)]
        answered = [self._fill("answered", event) for event in events[:-1]]
        lines = [f"\n{question}{answer}" for question, answer in zip(questions, [*answered, ""], strict=True)]
        optional = int(np.searchsorted(events, needed))

        lead = "\n".join(part for part in (profile, opening) if part)

        def text(kept: int) -> str:
            return lead + "".join(lines[optional - kept :])

        kept, fitted = self._fit(text, optional, asked=len(events) - optional)
        start = optional - kept
        ends = len(lead) + np.cumsum([len(line) for line in lines[start:]])
        slots = ends - [*(len(answer) for answer in answered[start:]), 0]
        return Prompt(fitted, slots, events[start:], self._spaced(questions[-1]), len(slots) - 1)

    def _fit(self, text: Callable[[int], str], most: int, asked: int = 1) -> tuple[int, str]:
        """The largest number of optional history lines whose text keeps within the budget, and that text; `asked` is for the error."""
        if self.count(whole := text(most)) <= self.budget:
            return most, whole
        least = self.count(text(0))
        if least > self.budget:
            what, remedy = ("", "") if asked == 1 else (f" for {asked} targets at once", "set a smaller block, ")
            raise UserError(
                f"a prompt of {self.dataset.name} needs {least} tokens without any history{what}, {self.budget} are allowed: "
                f"{remedy}raise max_tokens, or take a backbone with a longer context"
            )
        low, high = 0, most  # low fits, high does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.count(text(middle)) <= self.budget else (low, middle)
        return low, text(low)

    def _spaced(self, before: str) -> tuple[str, str]:
        """The answer words as they follow a text: with a space unless the text ends in one."""
        space = "" if before[-1:].isspace() else " "
        return space + self.answers[0], space + self.answers[1]

    def _alike(self, events: np.ndarray) -> np.ndarray:
        """(events,) percent: how many of the items like the event's own the user liked before it."""
        return np.rint(100 * liked_share_alike(self.dataset, events)).astype(int)

    def _fill(self, part: str, event: int, number: int = 0, alike: int = 0) -> str:
        """One part of the template, for one event."""
        dataset = self.dataset
        item = int(dataset.event_item[event])
        values = {
            "noun": dataset.about.item_noun,
            "number": number,
            "title": _one_line(dataset.title(item)) if self.titles == "plain" else f"{dataset.about.item_noun} {item}",
            "group": _one_line(dataset.fields[dataset.about.group_field].text(item)) or "unknown",
            "stars": self._stars[dataset.event_rating[event]],
            "answer": self.answers[0] if dataset.event_label[event] else self.answers[1],
            "profile": "",
            "alike": alike,
        }
        return self._parts[part].format_map(values)

    def _profile(self, event: int) -> str:
        """The profile sentence of an event's user; empty where the data set has no profile."""
        user = int(self.dataset.event_user[event])
        known = [(name, _one_line(self.dataset.fields[name].text(user))) for name in self.dataset.about.profile_fields]
        words = ", ".join(f"{name} {text}" for name, text in known if text)
        return self._parts["profile"].format_map({"profile": words, "noun": self.dataset.about.item_noun}) if words else ""

    @cached_property
    def _parts(self) -> dict[str, str]:
        return read_template(self.template, self.form)

    @cached_property
    def _stars(self) -> Sequence[str]:
        """What each rating code is called: stars up to five, points above."""
        most = float(self.dataset.rating_values[-1])
        unit = "stars" if most <= 5 else f"of {most:g}"
        return ["", *(f"{value:g} {'star' if value == 1 and most <= 5 else unit}" for value in self.dataset.rating_values[1:])]


def _one_line(words: str) -> str:
    """What a field says, without line ends: a title of two lines would look like two ratings."""
    return " ".join(words.splitlines())
