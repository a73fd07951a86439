"""Items as vectors of their fields against what a reader would say, and Fields+CRM, which reads no text."""

from __future__ import annotations

import numpy as np
import pytest

from laser_core import systems
from laser_core.errors import UserError
from laser_core.knowledge.fields import field_vectors


def test_items_with_equal_fields_have_equal_vectors_and_years_near_each_other_are_alike(small):
    vectors = field_vectors(small)
    genre, genres, year = (small.field(name) for name in ("genre", "genres", "year"))
    facts = [(genre.text(item), tuple(sorted(genres.values(item))), year.text(item)) for item in range(1, small.items + 1)]
    same: dict[tuple, list[int]] = {}
    for item, fact in enumerate(facts, start=1):
        same.setdefault(fact, []).append(item)
    twins = next(items for items in same.values() if len(items) > 2)
    assert vectors[twins] == pytest.approx(np.tile(vectors[twins[0]], (len(twins), 1)), abs=1e-6)

    def alike(first: int, second: int) -> float:
        return float(vectors[first] @ vectors[second] / np.linalg.norm(vectors[first]) / np.linalg.norm(vectors[second]))

    by_year = {int(fact[2]): items[0] for fact, items in same.items() if fact[:2] == facts[twins[0] - 1][:2] and fact[2].isdecimal()}
    near, far = sorted(by_year, key=lambda one: abs(one - 1995))[0], min(by_year)
    assert alike(by_year[near], by_year[min(by_year, key=lambda one: (abs(one - near - 2), one))]) > alike(by_year[near], by_year[far])
    assert not vectors[0].any(), "padding"
    long = np.linalg.norm(vectors[1:], axis=1)
    assert long.max() == pytest.approx(3**0.5, abs=1e-5), "three fields of unit length"


def test_fields_crm_reads_no_text_and_opens_no_language_model(small, monkeypatch):
    from laser_core.knowledge import encoder, familiarity, vectors
    from laser_core.lm import backbones

    for place, name in ((backbones, "fetch"), (encoder, "compute"), (familiarity, "familiarity"), (vectors, "item_texts")):
        monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("a text or a language model was asked for"))
    model = systems.create("fields-crm", epochs=1).fit(small, small.shots(64, 0), small.validation_rows(64, 0), seed=0)
    assert np.isfinite(model.predict(small, small.test[:50])).all()


def test_users_have_no_fields_to_read():
    with pytest.raises(UserError, match="leave option 'user_text' at 'ratings'"):
        systems.create("fields-crm", user_text="history")
