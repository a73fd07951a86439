"""What a conventional model reads: places in the table, histories, dense numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laser_core import systems
from laser_core.crm.inputs import Inputs
from laser_core.crm.search import group_vectors, search, text_vectors
from laser_core.crm.statistics import history_statistics
from laser_core.errors import UserError
from tests.crm.worlds import made_up

DATA = made_up(users=12, events=20)


def words(inputs: Inputs) -> dict[int, tuple[str, int]]:
    """What each row of the table stands for: (field, code), from the documented layout."""
    rows = [(name, int(code)) for name, known in zip(inputs.names, inputs.known, strict=True) for code in known]
    return dict(enumerate(rows, start=1)) | {0: ("", 0)}


@given(rows=st.lists(st.sampled_from(list(DATA.train)), min_size=1, max_size=20))
def test_places_lead_back_to_the_codes(rows):
    inputs = Inputs.fit(DATA, np.array(rows))
    assert inputs.names == ("thing", "town", "kind")
    stands_for = words(inputs)
    assert inputs.sizes.values == len(stands_for)
    read = [event for row in rows for event in (*DATA.history_events(row), DATA.sample_event[row])]
    assert set(inputs.known[0]) == set(DATA.event_item[read]), "the targets and what their last K events hold"
    batch = inputs.encode(DATA, np.array(rows)).batch(slice(None))
    plain = DATA.batch(np.array(rows))
    width = max(1, plain.history_length.max())
    assert batch.real.shape == (len(rows), width)
    assert (batch.length.numpy() == plain.history_length).all()
    assert (batch.rating.numpy() * batch.real.numpy() == plain.history_rating[:, :width]).all()
    for sample, row in enumerate(rows):
        item = DATA.sample_item(np.array([row]))[0]
        assert stands_for[int(batch.fields[sample, 0])] == ("thing", item)
        assert stands_for[int(batch.fields[sample, 2])] == ("kind", DATA.fields["kind"].codes[item])
        history = [stands_for[int(place)][1] for place in batch.history[sample][batch.real[sample]]]
        assert history == list(plain.history_item[sample, : plain.history_length[sample]])


def test_values_never_seen_are_row_zero():
    inputs = Inputs.fit(DATA, DATA.train[:3])
    samples = inputs.encode(DATA, DATA.test)
    unseen = ~np.isin(DATA.sample_item(DATA.test), inputs.known[0])
    assert unseen.any()
    assert ((samples.fields[:, 0] == 0) == unseen).all()


def test_user_id_and_skipped_fields():
    assert Inputs.fit(DATA, DATA.train, user_id=True).names == ("thing", "user", "town", "kind")
    assert Inputs.fit(DATA, DATA.train, skip=("town", "kind")).names == ("thing",)
    with pytest.raises(UserError, match="town"):
        Inputs.fit(DATA, DATA.train, skip=("twon",))


def test_statistics_are_standardised_on_the_fitted_rows():
    inputs = Inputs.fit(DATA, DATA.train, statistics=True)
    table, names = history_statistics(DATA, DATA.train)
    dense = inputs.encode(DATA, DATA.train).dense
    assert dense.shape == (len(DATA.train), len(names)) == (len(DATA.train), inputs.sizes.dense)
    np.testing.assert_allclose(dense, (table - table.mean(0)) / np.maximum(table.std(0), 1e-3), atol=1e-4)


def test_history_longer_than_the_data_sets_own():
    samples = Inputs.fit(DATA, DATA.train, history=15).encode(DATA, DATA.train)
    assert (samples.length == DATA.batch(DATA.train, 15).history_length).all()
    assert samples.length.max() == 15


@pytest.mark.parametrize("vectors", [group_vectors, text_vectors])
@pytest.mark.parametrize("most", [1, 5, 30])
def test_search_finds_the_most_similar_of_the_whole_history(vectors, most):
    rows = np.random.default_rng(0).permutation(DATA.samples)[:80]
    table = vectors(DATA).toarray()
    np.testing.assert_allclose((table[1:] ** 2).sum(1), 1, rtol=1e-5)
    events, length = search(DATA, rows, vectors(DATA), most)
    found = np.split(events, np.cumsum(length)[:-1])
    for row, mine in zip(rows, found, strict=True):
        history = DATA.history_events(row, 0)
        target = table[DATA.sample_item(np.array([row]))[0]]
        alike = [float(np.round(table[DATA.event_item[event]] @ target, 5)) for event in history]
        best = sorted(range(len(history)), key=lambda place: (alike[place], place))[-most:]
        assert list(mine) == [history[place] for place in sorted(best)]


@pytest.mark.parametrize(("kind", "vectors"), [("hard", group_vectors), ("soft", text_vectors)])
@pytest.mark.parametrize(("history", "most"), [(0, DATA.about.history_length), (3, 3)])
def test_sim_reads_what_its_search_finds(kind, vectors, history, most):
    """And has a row for every item of the whole histories that it searches."""
    model = systems.create("sim", search=kind, history=history, embedding_size=4, hidden=(4,), epochs=1)
    rows = DATA.train[::7]
    model.fit(DATA, rows, DATA.valid)
    read = model.encode(DATA, DATA.test).batch(slice(None))
    events, length = search(DATA, DATA.test, vectors(DATA), most)
    assert (read.length.numpy() == length).all() and length.max() == most
    found = model.inputs_.encode(DATA, DATA.test).item_place[DATA.event_item[events]]
    np.testing.assert_array_equal(read.history[read.real].numpy(), found)
    np.testing.assert_array_equal(read.rating[read.real].numpy(), DATA.event_rating[events])
    whole = [event for row in rows for event in (*DATA.history_events(row, 0), DATA.sample_event[row])]
    assert set(model.inputs_.known[0]) == set(DATA.event_item[whole])


def test_search_of_nothing():
    events, length = search(DATA, DATA.test[:0], group_vectors(DATA), 5)
    assert len(events) == len(length) == 0
