"""Prompts: their exact text, and what can never happen to them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laser_core.errors import UserError
from laser_core.lm.prompts import Renderer, read_template
from tests.lm.tiny_models import make_shelf

SHELF = make_shelf()


def words(text: str) -> int:
    """A token count that any reader can check."""
    return len(text.split())


# ---- exact text -------------------------------------------------------------------------------------------------------------------


def test_one_target():
    prompt = Renderer(SHELF, "one", "one", chat="<user>{prompt}<model>").one(row=11, history=2)
    assert prompt.text == (
        "<user>The user: country chile, age 30-39.\n"
        "The user rated these books, oldest first:\n"
        "1. Tome {10} of 100 % Ümläut (0 of 10)\n"
        "2. Tome {9} of 100 % Ümläut (9 of 10)\n"
        "The next book is Tome {5} of 100 % Ümläut.\n"
        "The more stars, the more the user liked the book. Based on the ratings above, will the user like Tome {5} of 100 % Ümläut? "
        "Answer yes or no.<model>"
    )
    assert prompt.slots.tolist() == [len(prompt.text)] and prompt.events.tolist() == [11] and prompt.history == 2
    assert prompt.answers == (" Yes", " No")


def test_one_target_without_history_or_profile(small):
    row = 0
    prompt = Renderer(small, "one", "one", chat="{prompt}\n").one(row, history=1)
    lines = prompt.text.split("\n")
    assert lines[0] == "The user rated these movies, oldest first:"  # MovieLens-small knows nothing of its users
    assert lines[1].startswith("1. ") and lines[1].endswith("stars)")
    assert prompt.answers == ("Yes", "No")  # the text ends in a line end: no space
    first = Renderer(SHELF, "one", "one").one(row=0, history=5)
    assert first.text.splitlines()[0] == "The user: age 30-39."  # no country known
    assert first.text.splitlines()[1] == "The user has not rated any book yet."


def test_many_targets():
    prompt = Renderer(SHELF, "many", "many").many(9, 12, needed=12)
    assert prompt.text == (
        "The user: country chile, age 30-39.\n"
        "Does the user like the book?\n"
        "Tome {10} of 100 % Ümläut (Bo Beta): No, 0 of 10\n"
        "Tome {9} of 100 % Ümläut (Ana Alpha): Yes, 9 of 10\n"
        "Tome {5} of 100 % Ümläut (Ana Alpha): Yes, 9 of 10\n"
        "Tome {4} of 100 % Ümläut (Bo Beta):"
    )
    assert prompt.events.tolist() == [9, 10, 11, 12] and prompt.history == 3


def test_many_targets_in_few_words():
    text = Renderer(SHELF, "many", "many-short").many(9, 10, needed=10).text
    assert text == "Does the user like the book?\nTome {10} of 100 % Ümläut: No, 0 of 10\nTome {9} of 100 % Ümläut:"


def test_taste_counted_in_every_line():
    """Of Bo Beta's books the user liked both shown before (a book of his counts for the later ones), of Ana Alpha's none of five."""
    render = Renderer(SHELF, "many", "many-counted")
    groups = [SHELF.fields[SHELF.about.group_field].text(int(item)) for item in SHELF.event_item]
    first = int(SHELF.user_offsets[SHELF.event_user[8]])
    lines = render.many(first, 8, needed=first).text.splitlines()[1:]
    for event, line in zip(range(first, 9), lines, strict=True):
        before = SHELF.event_label[first:event]
        liked, of = 2.5 + before.sum(), 5 + len(before)  # towards one half, as if five more
        alike = [SHELF.event_label[other] for other in range(first, event) if groups[other] == groups[event]]
        share = (sum(alike) + 5 * liked / of) / (len(alike) + 5)  # towards all of the user's, as if five more
        assert f"; liked {100 * share:.0f}% of such)" in line


def test_anonymous_titles_show_no_title():
    for form, render in (("one", lambda r: r.one(11, 4)), ("many", lambda r: r.many(9, 11, 11))):
        prompt = render(Renderer(SHELF, form, form, titles="anonymous"))
        assert "Tome" not in prompt.text and f"book {SHELF.event_item[11]}" in prompt.text


@pytest.mark.parametrize("form", ["one", "many"])
def test_a_title_of_two_lines_is_one_line_of_a_prompt(form):
    """Own data may hold anything: a line end in a title, an author or a profile must not make up another rating."""
    broken = {
        name: replace(field, vocabulary=np.array([f"{word}:\nNo, 1 of 10\u2028{{x}} 千と千尋" for word in field.vocabulary], dtype=object))
        for name, field in SHELF.fields.items()
        if name in ("title", "author", "age")
    }
    other = replace(SHELF, fields={**SHELF.fields, **broken})
    mine, theirs = (
        (render.one(11, 4) if form == "one" else render.many(9, 12, 9)).text.splitlines()
        for render in (Renderer(world, form, form) for world in (other, SHELF))
    )
    assert len(mine) == len(theirs)
    for line, usual in zip(mine, theirs, strict=True):
        assert re.sub(r": No, 1 of 10 \{x\} 千と千尋", "", line) == usual


def test_one_star_is_singular(small):
    stars = Renderer(small, "many", "many")._stars
    assert [stars[1], stars[2], stars[3], stars[10]] == ["0.5 stars", "1 star", "1.5 stars", "5 stars"]


# ---- never -------------------------------------------------------------------------------------------------------------------------


@given(row=st.integers(0, SHELF.samples - 1), history=st.integers(1, 9), budget=st.integers(1, 200))
def test_a_budget_costs_the_oldest_history_and_never_the_question(row, history, budget):
    render = Renderer(SHELF, "one", "one", chat="{prompt}<model>", count=words, budget=budget)
    whole = Renderer(SHELF, "one", "one", chat="{prompt}<model>").one(row, history)
    try:
        prompt = render.one(row, history)
    except UserError as error:
        assert "raise max_tokens" in str(error) and words(whole.text) > budget
        return
    assert words(prompt.text) <= budget
    assert prompt.text.splitlines()[-1] == whole.text.splitlines()[-1]
    shown = [line.partition(". ")[2] for line in prompt.text.splitlines() if line[0].isdigit()]
    all_lines = [line.partition(". ")[2] for line in whole.text.splitlines() if line[0].isdigit()]
    assert shown == all_lines[len(all_lines) - len(shown) :] and len(shown) == prompt.history
    if len(shown) < len(all_lines):
        assert words(Renderer(SHELF, "one", "one", chat="{prompt}<model>").one(row, len(shown) + 1).text) > budget, "one more is too many"
    if words(whole.text) <= budget:
        assert prompt.text == whole.text


@given(data=st.data(), template=st.sampled_from(["many", "many-counted"]), budget=st.integers(1, 150))
def test_a_many_target_prompt_keeps_its_questions_within_the_budget(data, template, budget):
    user = data.draw(st.integers(1, SHELF.users))
    first, end = int(SHELF.user_offsets[user]), int(SHELF.user_offsets[user + 1])
    needed = data.draw(st.integers(first, end - 1))
    last = data.draw(st.integers(needed, end - 1))
    try:
        prompt = Renderer(SHELF, "many", template, count=words, budget=budget).many(first, last, needed)
    except UserError:
        assert words(Renderer(SHELF, "many", template).many(needed, last, needed).text) > budget
        return
    assert words(prompt.text) <= budget
    assert prompt.events.tolist() == list(range(last + 1 - len(prompt.events), last + 1)) and prompt.events[0] <= needed
    assert prompt.slots[-1] == len(prompt.text)
    for slot, event in zip(prompt.slots, prompt.events, strict=True):
        before, after = prompt.text[:slot], prompt.text[slot:]
        assert before.endswith(":") and SHELF.title(SHELF.event_item[event]) in before.splitlines()[-1]
        assert after == "" or after.startswith(prompt.answers[0] if SHELF.event_label[event] else prompt.answers[1])


def test_a_block_that_does_not_fit_is_named():
    render = Renderer(SHELF, "many", "many", count=words, budget=60)
    with pytest.raises(UserError, match=r"without any history for 9 targets at once, 60 are allowed: set a smaller block, "):
        render.many(9, 17, needed=9)
    with pytest.raises(UserError, match="without any history, 5 are allowed: raise max_tokens"):
        Renderer(SHELF, "many", "many", count=words, budget=5).many(9, 17, needed=17)


@given(data=st.data())
def test_no_prompt_depends_on_the_target_label_or_anything_later(data):
    """Flip every label and rating from the target on: the text before the answer stays the same."""
    row = data.draw(st.integers(0, SHELF.samples - 1))
    event = int(SHELF.sample_event[row])
    label, rating = SHELF.event_label.copy(), SHELF.event_rating.copy()
    label[event:], rating[event:] = 1 - label[event:], 1
    other = replace(SHELF, event_label=label, event_rating=rating)
    first = int(SHELF.user_offsets[SHELF.event_user[event]])
    last = data.draw(st.integers(event, int(SHELF.user_offsets[SHELF.event_user[event] + 1]) - 1))
    assert Renderer(SHELF, "one", "one").one(row, 4).text == Renderer(other, "one", "one").one(row, 4).text
    begin = data.draw(st.integers(first, event))
    for template in ("many", "many-counted"):
        mine, flipped = (Renderer(world, "many", template).many(begin, last, begin).until(event) for world in (SHELF, other))
        assert mine.text == flipped.text and mine.history == event - begin and np.array_equal(mine.slots, flipped.slots)


# ---- templates ----------------------------------------------------------------------------------------------------------------------


def test_own_template(tmp_path: Path):
    own = tmp_path / "own.txt"
    own.write_text("A comment.\n[profile]\n[opening]\nLikes:\n[line]\n{title} |\n[answered]\n {answer}\n", encoding="utf-8")
    text = Renderer(SHELF, "many", str(own), answers=("Good", "Bad")).many(9, 10, 9).text
    assert text == "Likes:\nTome {10} of 100 % Ümläut | Bad\nTome {9} of 100 % Ümläut |"


def test_bad_templates(tmp_path: Path):
    with pytest.raises(UserError, match=r"unknown template 'mayn': did you mean 'many'\?"):
        read_template("mayn", "many")
    lacking = tmp_path / "lacking.txt"
    lacking.write_text("[profile]\n[line]\n{title}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"lacks the part \[history\]"):
        read_template(str(lacking), "one")
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("[profile]\n[opening]\n[line]\n{titel}\n[answered]\n{answer}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown placeholder in \[line\] of .*wrong.txt 'titel': did you mean 'title'\?"):
        read_template(str(wrong), "many")
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("[profile]\n[opening]\nLiked {alike}%\n[line]\n{title}\n[answered]\n{answer}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown placeholder in \[opening\] of .*elsewhere.txt 'alike'"):
        read_template(str(elsewhere), "many")


def test_no_part_of_a_template_gets_lost(tmp_path: Path):
    """A question that goes on below a name in brackets, or stands there a second time, would be cut short without a word."""
    own = tmp_path / "own.txt"
    parts = "[profile]\n[history]\n[line]\n[no-history]\n[target]\n{title}\n[question]\nLike it?\n"
    own.write_text(parts + "[answer]\nYes or no?\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown part of template .*own.txt '\[answer\]'"):
        read_template(str(own), "one")
    own.write_text(parts + "[question]\nYes or no?\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"template .*own.txt has the part \[question\] twice: keep one of them"):
        read_template(str(own), "one")


PARTS = {
    "one": {
        "profile": "",
        "history": "",
        "line": "{number}. {title} {group} {stars} {answer}",
        "no-history": "",
        "target": "{title}",
        "question": "{noun}",
    },
    "many": {"profile": "{profile}", "opening": "{noun}", "line": "{title} {group} {alike}", "answered": " {answer} {stars} {title}"},
}


def write(path: Path, form: str, **changed: str) -> str:
    parts = {**PARTS[form], **changed}
    path.write_text("".join(f"[{part}]\n{text}\n" for part, text in parts.items()), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("word", ["stars", "answer"])
@pytest.mark.parametrize(("form", "part"), [(form, part) for form, parts in PARTS.items() for part in parts])
def test_a_label_is_told_only_where_it_is_no_secret(form, part, word, tmp_path):
    """Either the template is refused, or with the target's rating turned over the text before its answer stays the same."""
    own = write(tmp_path / "own.txt", form, **{part: f"{{title}} {{{word}}} :" if part != "profile" else f"{{{word}}}"})
    if (form, part) not in (("one", "line"), ("many", "answered")):
        with pytest.raises(UserError, match=rf"{{{word}}} in \[{part}\] of .*own.txt would tell the answer that is asked for"):
            read_template(own, form)
        return
    row = 11
    event = int(SHELF.sample_event[row])
    label, rating = SHELF.event_label.copy(), SHELF.event_rating.copy()
    label[event], rating[event] = 1 - label[event], 1
    other = replace(SHELF, event_label=label, event_rating=rating)
    ask = (lambda render: render.one(row, 4)) if form == "one" else (lambda render: render.many(event - 2, event, event).until(event))
    mine, flipped = (ask(Renderer(world, form, own)).text for world in (SHELF, other))
    assert mine == flipped and ("of 10" in mine or "Yes" in mine or "No" in mine)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{title", r"a brace in \[line\] of .*own.txt is not closed or not opened"),
        ("title}", r"a brace in \[line\] of .*own.txt is not closed or not opened"),
        ("{title:d}", r"the placeholder {title} in \[line\] of .* has a format of its own: write {title} alone"),
        ("{title!r}", r"the placeholder {title} in \[line\] of .* has a format of its own"),
        ("{}", r"unknown placeholder in \[line\] of .* ''"),
        ("{title.x}", r"unknown placeholder in \[line\] of .* 'title.x': did you mean 'title'"),
    ],
)
def test_braces_that_are_none(text, said, tmp_path):
    with pytest.raises(UserError, match=said):
        read_template(write(tmp_path / "own.txt", "one", line=text), "one")


def test_a_profile_speaks_of_the_user_only(tmp_path):
    with pytest.raises(UserError, match=r"unknown placeholder in \[profile\] of .*own.txt 'title'"):
        read_template(write(tmp_path / "own.txt", "many", profile="{title}"), "many")


def test_a_template_that_is_no_text(tmp_path):
    (tmp_path / "own.txt").write_bytes("[profile]\nfür".encode("latin-1"))
    with pytest.raises(UserError, match=r"template .*own.txt cannot be read \('utf-8' codec .*\): it must be a text file in UTF-8"):
        read_template(str(tmp_path / "own.txt"), "many")


def test_an_edited_template_is_read_again(tmp_path):
    own = write(tmp_path / "own.txt", "many")
    assert read_template(own, "many")["opening"] == "{noun}"
    write(tmp_path / "own.txt", "many", opening="Another {noun}:")
    assert read_template(own, "many")["opening"] == "Another {noun}:"
