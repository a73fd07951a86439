"""Latent semantic analysis against its formulas, and Words+CRM, which reads texts without a language model."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from laser_core import systems
from laser_core.errors import UserError
from laser_core.knowledge.words import Words

TEXTS = [
    "The movie Alien. Genres: Horror, Science fiction.",
    "The movie Aliens. Genres: Action, Science fiction.",
    "The movie Heat. Genres: Crime, Action, Action.",
    "The movie Amelie. Genres: Romance, Comedy.",
]


def by_hand(texts: list[str]) -> np.ndarray:
    """(texts, texts) inner products of the texts' vectors: all singular vectors kept, so those of the weighted counts themselves."""
    counts = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    known = sorted(set().union(*counts))
    rarity = {word: np.log((1 + len(texts)) / (1 + sum(word in own for own in counts))) + 1 for word in known}
    table = np.array([[(1 + np.log(own[word])) * rarity[word] if word in own else 0.0 for word in known] for own in counts])
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return table @ table.T


def test_words_are_weighted_counts_on_their_singular_vectors():
    words = Words(TEXTS)
    vectors = words(TEXTS)
    assert vectors @ vectors.T == pytest.approx(by_hand(TEXTS), abs=1e-5)
    assert vectors @ vectors.T != pytest.approx(np.eye(len(TEXTS)), abs=0.1), "texts that share words are near each other"


def test_a_text_has_one_vector_whatever_is_asked_for_beside_it():
    words = Words(TEXTS)
    together = words([*TEXTS, "Nothing known", "Horror, Horror"])
    for place, text in enumerate([*TEXTS, "Nothing known", "Horror, Horror"]):
        assert words([text])[0] == pytest.approx(together[place], abs=1e-6)
    assert not together[len(TEXTS)].any()


def test_words_crm_opens_no_language_model(small, monkeypatch):
    from laser_core.knowledge import encoder, familiarity
    from laser_core.lm import backbones

    for place, name in ((backbones, "fetch"), (encoder, "compute"), (familiarity, "familiarity")):
        monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("a language model was asked for"))
    model = systems.create("words-crm", epochs=1).fit(small, small.shots(64, 0), small.validation_rows(64, 0), seed=0)
    assert np.isfinite(model.predict(small, small.test[:50])).all()
    assert model.options.dense == systems.create("laser-crm").options.dense - 1, "all that LLM+CRM reads but how known a title is"


@pytest.mark.parametrize("option", [{"familiar": True}, {"vectors": "real"}])
def test_words_crm_with_a_language_model_is_another_system(option):
    with pytest.raises(UserError, match="take system 'laser-crm'"):
        systems.create("words-crm", **option)
