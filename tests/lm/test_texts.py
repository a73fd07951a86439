"""Texts in pieces: the tokens of the pieces are those of the whole text."""

from __future__ import annotations

import numpy as np
import pytest

from laser_core.lm.texts import Reader, Text, earlier_ratings, item_fields
from tests.crm.worlds import made_up
from tests.lm.tiny_encoders import make_bert, make_t5
from tests.lm.tiny_models import make_model

MAKERS = {"wordpiece": make_bert, "sentencepiece": make_t5, "byte level": make_model}


@pytest.mark.parametrize("family", MAKERS)
def test_pieces_are_tokenised_as_the_whole_text_would_be(family, shelf, tmp_path):
    reader = Reader(MAKERS[family](tmp_path), 4096)
    for row in shelf.test[[0, 1, 8]]:
        lead, lines = earlier_ratings(shelf, int(row), 0)
        text = Text(f"the book: {lead}", lines)
        whole = reader.tokenizer.encode(str(text)).ids
        assert reader.tokens(text).tolist() == whole
        assert len(whole) > 16 or not lines  # where the tiny BERT's own tokenizer would cut


def test_history_is_only_what_came_before(shelf):
    row = int(shelf.test[5])
    event = int(shelf.sample_event[row])
    _, lines = earlier_ratings(shelf, row, 3)
    expected = [
        f"{'liked' if shelf.event_label[event - back] else 'disliked'} {shelf.title(shelf.event_item[event - back])};" for back in (1, 2, 3)
    ]
    assert list(lines) == expected and {line.split()[0] for line in expected} == {"liked", "disliked"}
    assert earlier_ratings(shelf, int(shelf.test[0]), 3) == ("nothing rated earlier", ())
    assert len(earlier_ratings(shelf, row, 0)[1]) == min(5, shelf.about.history_length)


def test_item_fields(small, shelf):
    """Everything but the id; of genre and genres only the list."""
    item = next(item for item in range(1, small.items) if len(small.fields["genres"].values(item)) > 1)
    found = item_fields(small, item)
    assert list(found) == ["title", "year", "genres"]
    assert found["title"] == small.title(item) and found["genres"].count(",") >= 1
    assert list(item_fields(shelf, 1)) == ["title", "author"]
    world = made_up()
    assert np.all([world.about.item_field not in item_fields(world, item) for item in (1, 2)])
