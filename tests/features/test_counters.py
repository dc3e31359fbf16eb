import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.counters import Counter

ROWS = st.lists(st.tuples(st.integers(-1, 4), st.integers(-3, 6), st.integers(0, 2**40)), max_size=25)
ASKED = st.lists(st.tuples(st.integers(-1, 6), st.integers(-4, 7)), max_size=12)


def arrays(rows, width):
    return np.array(rows, dtype=np.int64).reshape(-1, width).T


@given(rows=ROWS, asked=ASKED, width=st.integers(0, 5))
def test_amounts_are_those_of_a_plain_loop(rows, asked, width):
    keys, known_at, amount = arrays(rows, 3)
    wanted, as_of = arrays(asked, 2)
    counter = Counter.build(keys, known_at, np.stack([np.ones_like(amount), amount]))
    everything = counter.amounts(counter.first(wanted), counter.before(wanted, as_of))
    recent = counter.amounts(counter.before(wanted, as_of - width), counter.before(wanted, as_of))
    for place, (key, moment) in enumerate(asked):
        past = [row for row in rows if row[0] == key >= 0 and row[1] < moment]
        assert everything[:, place].tolist() == [len(past), sum(row[2] for row in past)]
        late = [row for row in past if row[1] >= moment - width]
        assert recent[:, place].tolist() == [len(late), sum(row[2] for row in late)]


@given(rows=ROWS, asked=ASKED)
def test_the_last_known_moment_is_that_of_a_plain_loop(rows, asked):
    keys, known_at, _ = arrays(rows, 3)
    wanted, as_of = arrays(asked, 2)
    counter = Counter.build(keys, known_at)
    ends, first = counter.before(wanted, as_of), counter.first(wanted)
    for place, (key, moment) in enumerate(asked):
        past = [row[1] for row in rows if row[0] == key >= 0 and row[1] < moment]
        assert (ends[place] > first[place]) == bool(past)
        if past:
            assert counter.moment(ends[place : place + 1] - 1).tolist() == [max(past)]


@given(rows=ROWS, asked=ASKED, seed=st.integers(0, 9))
def test_the_order_of_the_log_changes_nothing(rows, asked, seed):
    keys, known_at, amount = arrays(rows, 3)
    order = np.random.default_rng(seed).permutation(len(rows))
    one = Counter.build(keys, known_at, amount[None])
    other = Counter.build(keys[order], known_at[order], amount[order][None])
    wanted, as_of = arrays(asked, 2)
    found = [counter.amounts(counter.first(wanted), counter.before(wanted, as_of)) for counter in (one, other)]
    np.testing.assert_array_equal(*found)


def test_a_moment_at_as_of_is_not_before_it():
    counter = Counter.build(np.array([7, 7]), np.array([100, 101]))
    asked = np.array([7, 7, 7])
    assert (counter.before(asked, np.array([100, 101, 102])) - counter.first(asked)).tolist() == [0, 1, 2]


def test_an_empty_log_counts_nothing():
    nothing = np.empty(0, dtype=np.int64)
    counter = Counter.build(nothing, nothing)
    asked = np.array([3, -1])
    assert counter.amounts(counter.first(asked), counter.before(asked, asked)).tolist() == [[0, 0]]


def test_sums_beyond_the_whole_numbers_of_floats_stay_exact():
    amounts = np.array([[2**53, 1, 1]])
    counter = Counter.build(np.zeros(3, dtype=np.int64), np.arange(3), amounts)
    asked = np.zeros(1, dtype=np.int64)
    assert counter.amounts(counter.first(asked), counter.before(asked, asked + 2)).tolist() == [[2**53 + 1]]
