import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.past import counters
from recsys.past.counters import Counter, Pairs, Timeline

ROWS = st.lists(st.tuples(st.integers(-1, 4), st.integers(-3, 6), st.integers(-3, 2**40)), max_size=25)
ASKED = st.lists(st.tuples(st.integers(-1, 6), st.integers(-4, 8)), max_size=12)


@pytest.fixture(params=[2**62, 40, 1], ids=["plain", "some", "renumbered"])
def largest(request, monkeypatch):
    """Say what is too large a key, so that small logs are counted as very large ones are."""
    monkeypatch.setattr(counters, "_LARGEST", request.param)


def arrays(rows, width):
    return np.array(rows, dtype=np.int64).reshape(-1, width).T


def build(rows):
    keys, known_at, amount = arrays(rows, 3)
    timeline = Timeline.of(known_at)
    return timeline, Counter.build(keys, timeline.before(known_at), timeline.width, (np.ones_like(amount), amount))


def amounts(counter, starts, ends):
    return [(total[ends].astype(np.int64) - total[starts]).tolist() for total in counter.totals]


@given(rows=ROWS, asked=ASKED, back=st.integers(0, 5))
def check_amounts(rows, asked, back):
    wanted, as_of = arrays(asked, 2)
    timeline, counter = build(rows)
    ends = counter.before(wanted, timeline.before(as_of))
    everything = amounts(counter, counter.first(wanted), ends)
    recent = amounts(counter, counter.before(wanted, timeline.before(as_of - back)), ends)
    for place, (key, moment) in enumerate(asked):
        past = [row for row in rows if row[0] == key >= 0 and row[1] < moment]
        assert [total[place] for total in everything] == [len(past), sum(row[2] for row in past)]
        assert ends[place] - counter.first(wanted)[place] == len(past)
        late = [row for row in past if row[1] >= moment - back]
        assert [total[place] for total in recent] == [len(late), sum(row[2] for row in late)]


@pytest.mark.slow
@pytest.mark.usefixtures("largest")
def test_amounts_are_those_of_a_plain_loop():
    check_amounts()


@given(rows=ROWS, asked=ASKED)
def check_moments(rows, asked):
    wanted, as_of = arrays(asked, 2)
    timeline, counter = build(rows)
    ends, first = counter.before(wanted, timeline.before(as_of)), counter.first(wanted)
    for place, (key, moment) in enumerate(asked):
        past = [row[1] for row in rows if row[0] == key >= 0 and row[1] < moment]
        assert (ends[place] > first[place]) == bool(past)
        if past:
            ends_of = np.array([first[place], ends[place] - 1])
            assert timeline.moments[counter.moment(ends_of)].tolist() == [min(past), max(past)]


@pytest.mark.slow
@pytest.mark.usefixtures("largest")
def test_the_first_and_the_last_known_moment_are_those_of_a_plain_loop():
    check_moments()


@given(asked=ASKED)
def check_pairs(asked):
    keys, moments = arrays([(key, moment + 4) for key, moment in asked], 2)
    pairs = Pairs.of(keys, moments, 13)
    found = list(zip(pairs.keys.tolist(), pairs.moments.tolist(), strict=True))
    rows = list(zip(keys.tolist(), moments.tolist(), strict=True))
    assert found == sorted(set(rows))
    assert [found[place] for place in pairs.inverse] == rows


@pytest.mark.usefixtures("largest")
def test_pairs_stand_once_and_in_order():
    check_pairs()


def test_keys_up_to_63_bits_are_counted():
    keys = np.array([2**62, 2**63 - 1, 2**62, 0, -1])
    counter = Counter.build(keys, np.array([0, 1, 2, 1, 1]), 4, (np.ones(5, dtype=np.int64),))
    asked = np.array([2**62, 2**63 - 1, 0, 2**62 + 1, -1, 1])
    ends = counter.before(asked, np.full(6, 3))
    assert amounts(counter, counter.first(asked), ends) == [[2, 1, 1, 0, 0, 0]]
    pairs = Pairs.of(asked, np.zeros(6, dtype=np.int64), 4)
    assert pairs.keys.tolist() == sorted(asked.tolist())
    assert pairs.keys[pairs.inverse].tolist() == asked.tolist()


@given(rows=ROWS, asked=ASKED, seed=st.integers(0, 9))
def test_the_order_of_the_log_changes_nothing(rows, asked, seed):
    order = np.random.default_rng(seed).permutation(len(rows))
    wanted, as_of = arrays(asked, 2)
    found = []
    for each in (rows, [rows[place] for place in order]):
        timeline, counter = build(each)
        found.append(amounts(counter, counter.first(wanted), counter.before(wanted, timeline.before(as_of))))
    assert found[0] == found[1]


@given(rows=ROWS, seed=st.integers(0, 9))
def test_ties_are_broken_as_they_are_told(rows, seed):
    keys, known_at, _ = arrays(rows, 3)
    ties = np.random.default_rng(seed).permutation(len(rows))
    timeline = Timeline.of(known_at)
    counter = Counter.build(keys, timeline.before(known_at), timeline.width, ties=(ties,))
    kept = [place for place in range(len(rows)) if keys[place] >= 0]
    assert counter.order.tolist() == sorted(kept, key=lambda place: (keys[place], known_at[place], ties[place]))


@given(st.lists(st.lists(st.integers(-5, 5)), min_size=1, max_size=3), st.integers(-6, 6))
def test_a_timeline_counts_the_moments_before(parts, moment):
    timeline = Timeline.of(*(np.array(part, dtype=np.int64) for part in parts))
    distinct = sorted(set().union(*parts))
    assert timeline.moments.tolist() == distinct
    assert timeline.width == len(distinct) + 1
    assert timeline.before(np.array([moment])).tolist() == [sum(other < moment for other in distinct)]


def test_a_moment_at_as_of_is_not_before_it():
    timeline, counter = build([(7, 100, 0), (7, 101, 0)])
    asked = np.array([7, 7, 7])
    ends = counter.before(asked, timeline.before(np.array([100, 101, 102])))
    assert (ends - counter.first(asked)).tolist() == [0, 1, 2]


def test_an_empty_log_counts_nothing():
    timeline, counter = build([])
    asked = np.array([3, -1])
    assert amounts(counter, counter.first(asked), counter.before(asked, timeline.before(asked))) == [[0, 0], [0, 0]]


@pytest.mark.parametrize("large", [2**53, 2**31 - 2, 2**31 - 1, -(2**31)])
def test_sums_beyond_the_whole_numbers_of_floats_and_of_32_bits_stay_exact(large):
    timeline, counter = build([(0, 1, large), (0, 2, 1), (0, 3, 1)])
    asked = np.zeros(1, dtype=np.int64)
    ends = counter.before(asked, timeline.before(asked + 3))
    assert amounts(counter, counter.first(asked), ends) == [[2], [large + 1]]
    assert amounts(counter, counter.before(asked, timeline.before(asked + 2)), ends + 1) == [[2], [2]]


def test_small_totals_take_half_the_memory():
    _, counter = build([(0, 1, 2**31), (0, 2, 1)])
    assert [total.dtype for total in counter.totals] == [np.int32, np.int64]
