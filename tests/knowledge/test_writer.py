"""Texts and snapshots: what they say, and that none of them knows what it must not."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from laser_core.knowledge.vectors import VectorOptions, Vectors
from laser_core.knowledge.writer import item_texts, snapshot_end, user_texts
from tests.crm.worlds import made_up
from tests.knowledge.conftest import SHELF

DATA = made_up(users=12, events=20)


def echo(prompts):
    return [f"<{prompt}>" for prompt in prompts]


def test_item_texts_in_words():
    title, author = SHELF.title(1), SHELF.fields["author"].text(1)
    assert item_texts(SHELF, [1], "title") == [title]
    assert item_texts(SHELF, [1], "metadata") == [f"{title}. Author: {author}."]
    [generated] = item_texts(SHELF, [1], "generated", echo)
    assert generated.startswith(f"{title}. Author: {author} <Describe the book") and "genre and theme" in generated


def test_user_texts_in_words():
    user = 1
    first = int(SHELF.user_offsets[user])
    events = range(first, first + 4)
    liked = [SHELF.title(SHELF.event_item[event]) for event in reversed(events) if SHELF.event_label[event]]
    disliked = [SHELF.title(SHELF.event_item[event]) for event in reversed(events) if not SHELF.event_label[event]]
    [nothing, text] = user_texts(SHELF, [user, user], [first, first + 4], "history")
    assert nothing.endswith("No rated books yet.")
    assert f"Liked {len(liked)} of 4 books." in text
    assert f"Liked: {'; '.join(liked) or 'none'}. Disliked: {'; '.join(disliked) or 'none'}." in text
    author = {SHELF.fields["author"].text(SHELF.event_item[event]) for event in events if SHELF.event_label[event]}
    assert f"Likes {author.pop() if author else 'nothing in particular'}." in text
    asked: list[str] = []
    user_texts(SHELF, [user, user], [first, first + 4], "generated", lambda prompts: asked.extend(prompts) or echo(prompts))
    assert len(asked) == 1  # a user without ratings is not asked about


@given(every=st.integers(1, 12), rows=st.lists(st.integers(0, DATA.samples - 1), min_size=1, max_size=20))
def test_a_sample_reads_the_last_snapshot_before_it(every, rows):
    rows = np.array(rows)
    end, event, first = snapshot_end(DATA, rows, every), DATA.sample_event[rows], DATA.user_offsets[DATA.sample_user(rows)]
    assert ((end - first) % every == 0).all()
    assert ((first <= end) & (end <= event) & (event < end + every)).all()


def test_a_snapshot_is_made_anew_as_fits_what_is_read_of_users():
    assert [VectorOptions(user_text=text).every for text in ("ratings", "history", "generated")] == [1, 30, 30]
    assert VectorOptions(user_text="history", snapshot=7).every == VectorOptions(snapshot=7).every == 7


def forget_from(event: int):
    """The same data, but with other items, ratings and labels from one event on, and in all of other users' timelines."""
    user = DATA.event_user[event]
    changed = (np.arange(DATA.events) >= event) | (DATA.event_user != user)
    return dataclasses.replace(
        DATA,
        event_item=np.where(changed, DATA.event_item % DATA.items + 1, DATA.event_item),
        event_label=np.where(changed, 1 - DATA.event_label, DATA.event_label),
        event_rating=np.where(changed, 6 - DATA.event_rating, DATA.event_rating),
    )


@given(row=st.integers(0, DATA.samples - 1), every=st.integers(1, 9))
def test_no_text_knows_its_samples_label_or_anything_later(row, every):
    rows = np.array([row])
    user, event = DATA.sample_user(rows), int(DATA.sample_event[row])
    end = snapshot_end(DATA, rows, every)
    other = forget_from(event)
    for template in ("history", "generated"):
        assert user_texts(DATA, user, end, template, echo) == user_texts(other, user, end, template, echo)


@cache
def by_ratings(every: int) -> Vectors:
    options = VectorOptions(vectors="random", snapshot=every, components=5, nearby=0.0)
    return Vectors(options).fit(DATA, DATA.train, np.arange(1, DATA.items + 1))


@settings(max_examples=40)
@given(row=st.integers(0, DATA.samples - 1), every=st.sampled_from([1, 2, 7]))
def test_no_vector_of_ratings_knows_it_either(row, every):
    """And it is the plain formula, one event at a time."""
    rows, vectors = np.array([row]), by_ratings(every)
    (users, _), _ = vectors.tables(DATA, rows)
    (others, _), _ = vectors.tables(forget_from(int(DATA.sample_event[row])), rows)
    np.testing.assert_array_equal(users, others)

    events = np.arange(DATA.user_offsets[DATA.sample_user(rows)[0]], snapshot_end(DATA, rows, every)[0])
    likes = DATA.event_label[events].astype(float)
    share = (likes.sum() + 1) / (len(events) + 2)
    items = vectors.spaces["item"](vectors._raw_items(DATA, DATA.event_item[events])) if len(events) else np.zeros((0, 5))
    np.testing.assert_allclose(users[0], (likes - share) @ items / (len(events) + 5), atol=1e-6)


def test_vectors_of_many_samples_are_those_of_each():
    vectors = by_ratings(1)
    rows = np.random.default_rng(0).permutation(DATA.samples)[:25]
    together = [table[place] for table, place in vectors.tables(DATA, np.append(rows, rows[0]))]
    for number, row in enumerate(rows):
        for whole, (table, place) in zip(together, vectors.tables(DATA, np.array([row])), strict=True):
            np.testing.assert_allclose(whole[number], table[place][0], atol=1e-7)
    numbers = vectors.numbers(DATA, DATA.train, vectors.tables(DATA, DATA.train))  # the match, and a random number an item
    np.testing.assert_allclose([numbers.mean(0), numbers.std(0)], [[0, 0], [1, 1]], atol=1e-5)
