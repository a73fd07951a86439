"""What the user thought of the nearest items: the plain formula event by event, blind to the sample itself; titles' likelihoods."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from laser_core.errors import UserError
from laser_core.knowledge import familiarity as module
from laser_core.knowledge.familiarity import familiarity
from laser_core.knowledge.vectors import VectorOptions, Vectors
from laser_core.knowledge.writer import snapshot_end
from laser_core.lm import backbones
from tests.knowledge.test_writer import DATA, forget_from
from tests.lm.tiny_models import within


@cache
def fitted(every: int = 1) -> Vectors:
    options = VectorOptions(vectors="random", snapshot=every, match=False, familiar=False, nearby=0.5)
    return Vectors(options).fit(DATA, DATA.train, np.arange(1, DATA.items + 1))


def numbers(vectors: Vectors, dataset, rows) -> np.ndarray:
    """As they come, before they are standardised."""
    mean, deviation = vectors.scale
    return vectors.numbers(dataset, np.asarray(rows), None) * deviation + mean


@settings(max_examples=40)
@given(row=st.integers(0, DATA.samples - 1), every=st.sampled_from([1, 4]))
def test_it_is_the_plain_formula_and_knows_nothing_later(row, every):
    vectors, rows = fitted(every), np.array([row])
    [[thought, known]] = numbers(vectors, DATA, rows)
    event = int(DATA.sample_event[row])
    other = forget_from(event)
    other.event_item[event] = DATA.event_item[event]  # the target itself is known
    np.testing.assert_array_equal(numbers(vectors, other, rows), [[thought, known]])

    events = range(DATA.user_offsets[DATA.sample_user(rows)[0]], snapshot_end(DATA, rows, every)[0])
    lowest, highest = float(DATA.rating_values[1]), float(DATA.rating_values[-1])
    rating = [(float(DATA.rating_values[DATA.event_rating[event]]) - lowest) / (highest - lowest) for event in events]
    mean = (sum(rating) + 1) / (len(rating) + 2)
    above, total = 0.0, 0.02
    for event, value in zip(events, rating, strict=True):
        pair = vectors.spaces["nearby"](vectors._raw_items(DATA, np.array([DATA.event_item[event], DATA.sample_item(rows)[0]])))
        weight = np.exp((pair[0] @ pair[1] - 1) / 0.5)
        above, total = above + weight * (value - mean), total + weight
    assert thought == pytest.approx(above / total, abs=1e-5)
    assert known == pytest.approx(np.log(total), abs=1e-5)


def test_company_and_order_change_nothing():
    rows = np.random.default_rng(0).permutation(DATA.samples)[:40]
    together = numbers(fitted(), DATA, np.append(rows, rows[0]))
    np.testing.assert_allclose(together, np.concatenate([numbers(fitted(), DATA, [row]) for row in [*rows, rows[0]]]), atol=1e-5)
    assert numbers(fitted(), DATA, rows[:0]).shape == (0, 2)
    standard = fitted().numbers(DATA, DATA.train, None)
    np.testing.assert_allclose([standard.mean(0), standard.std(0)], [[0, 0], [1, 1]], atol=1e-4)


def test_the_fitted_samples_are_worked_out_once():
    """The first who asks for them, the trainer, gets what `fit` needed them for; whoever asks later, the same made anew."""
    options, rows = VectorOptions(vectors="random", familiar=False), DATA.train.copy()
    vectors = Vectors(options).fit(DATA, rows, np.arange(1, DATA.items + 1))
    other = Vectors(options).fit(DATA, rows, np.arange(1, DATA.items + 1))
    # Other samples: nothing is mixed up. A processor may round the product of nine rows and that of all rows differently.
    np.testing.assert_allclose(other.samples(DATA, rows[:9])[1], vectors._fitted[2][:9], atol=1e-5)
    backwards = Vectors(options).fit(DATA, rows, np.arange(1, DATA.items + 1))  # as many, but others
    np.testing.assert_allclose(backwards.samples(DATA, rows[::-1].copy())[1], vectors._fitted[2][::-1], atol=1e-3)
    ((users, user_place), (items, _)), numbers = vectors.samples(DATA, rows)
    ((more_users, more_places), (more_items, _)), again = vectors.samples(DATA, rows)
    assert vectors._fitted is None and numbers is not again and users is not more_users
    np.testing.assert_array_equal(other.samples(DATA, rows[:9])[1], vectors.samples(DATA, rows[:9])[1])
    np.testing.assert_array_equal(numbers, again)
    np.testing.assert_array_equal(users[user_place], more_users[more_places])
    np.testing.assert_array_equal(items, more_items)


def test_a_negative_width_is_refused():
    with pytest.raises(UserError, match="nearby"):
        VectorOptions(nearby=-1.0)


TITLES = [f"Tome {number} of Ümläut" + ", and more of it" * (number % 3) for number in range(20)]


def test_familiarity_is_the_models_own_likelihood(decoder, home, monkeypatch):
    """One title at a time, without padding; then from the store, whatever else is asked for."""
    found = familiarity(decoder, TITLES, "book")
    model = transformers.AutoModelForCausalLM.from_pretrained(decoder, dtype=torch.float32).eval()
    for title, number in zip(TITLES, found, strict=True):
        encoding = backbones.tokenizer(decoder).encode(f'The book "{title}')
        ids = torch.tensor([encoding.ids])
        target = torch.where(torch.tensor([[end > len('The book "') for _, end in encoding.offsets]]), ids, -100)
        with torch.no_grad():
            assert number == pytest.approx(-model(ids, labels=target).loss.item(), abs=within(bf16=0.02, fp32=1e-5))

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "compute", refuse)
    np.testing.assert_array_equal(familiarity(decoder, TITLES[::-1][:7], "book"), found[::-1][:7])
