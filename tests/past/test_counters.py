"""Counters held against plain loops over their rows."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.past import counters as counters_module
from recsys.past import kernel
from recsys.past.counters import Counting, count_few
from recsys.past.reads import Key, Reads
from recsys.past.streams import NEVER_FIRST, NEVER_LAST, Amount, Moment, Stream

MICROSECOND = timedelta(microseconds=1)
NAMES = ("user", "item", "device")
LARGEST = {"user": 3, "item": 4, "device": 2}
PER = [(), ("user",), ("user", "item"), ("user", "device", "item"), ("item", "device")]
CODES = st.tuples(*(st.integers(-1, largest + 1) for largest in LARGEST.values()))
ROWS = st.lists(st.tuples(CODES, st.integers(-3, 6), st.integers(-3, 2**40)), max_size=25)
ASKED = st.lists(st.tuples(CODES, st.integers(-4, 8)), max_size=12)


@pytest.fixture(params=[0, 8, 10**6], ids=["listed", "some", "all"])
def few(request, monkeypatch):
    """Say from how few rows on only codes are listed that occur, so that small logs are counted in either way."""
    monkeypatch.setattr(counters_module, "_FEW", request.param)


@pytest.fixture(params=[1, 256], ids=["remembered", "one by one"])
def memo(request, monkeypatch):
    """Say from how many rows on what was found is kept; without compiling, where it could not be changed."""
    monkeypatch.setattr(kernel, "_MEMO", request.param)
    monkeypatch.setattr(kernel, "look_up", kernel.look_up.py_func)


def arrays(pairs):
    """Give codes by name, and what else there is, as arrays."""
    codes = np.array([each[0] for each in pairs], dtype=np.int64).reshape(-1, len(NAMES)).T
    width = len(pairs[0]) - 1 if pairs else 2
    others = np.array([each[1:] for each in pairs], dtype=np.int64).reshape(len(pairs), width).T
    return dict(zip(NAMES, codes, strict=True)), others


def build(rows, keys, sizes=None):
    """Count rows per keys."""
    sizes = sizes or {name: largest + 1 for name, largest in LARGEST.items()}
    codes, others = arrays(rows)
    moments, amounts = others[0].copy(), (others[1].copy(),)
    stream = Stream({name: np.ascontiguousarray(each) for name, each in codes.items()}, moments, moments, amounts)
    counting = Counting(keys)
    for row in range(len(keys)):
        counting.add(row, stream, sizes, np.argsort(moments, kind="stable"))
    return counting.done()


def build_at_once(rows, keys):
    """Count the same in one call."""
    codes, others = arrays(rows)
    stream = Stream(
        {name: np.ascontiguousarray(each) for name, each in codes.items()}, others[0], others[0], (others[1].copy(),)
    )
    return count_few(keys, {key.of: stream for key in keys}, {name: most + 1 for name, most in LARGEST.items()})


def read(counters, asked, wanted):
    """Read what is wanted of some codes and moments."""
    reads = Reads.of(wanted, 2 * MICROSECOND)
    codes, others = arrays(asked)
    as_of = others[0]
    found = np.repeat(reads.empty[:, None], len(asked), axis=1)
    columns = np.array([codes[name] for name in reads.names], dtype=np.int64).reshape(len(reads.names), len(asked))
    counters.of(reads.keys).add(reads, columns, reads.bounds(as_of), found)
    return found.tolist()


def known(rows, per, codes, moment):
    """Give the rows of a key before a moment by a plain loop, as moment and amount."""
    places = [NAMES.index(name) for name in per]
    own = [codes[place] for place in places]
    if any(not 0 <= code <= LARGEST[name] for code, name in zip(own, per, strict=True)):
        return []
    return [row[1:] for row in rows if [row[0][place] for place in places] == own and row[1] < moment]


def check_amounts(rows, asked, back):
    wanted = [
        Amount(of, per, window, which)
        for of in ("showing", "outcome")
        for per in PER
        for window in (None, back * MICROSECOND)
        for which in (0, 1)
    ]
    counters = build(rows, tuple(Key("showing", per) for per in PER))
    answers = read(counters, asked, wanted)
    for answer, (of, per, window, which) in zip(answers, wanted, strict=True):
        for found, (codes, as_of) in zip(answer, asked, strict=True):
            end = as_of - 2 if of == "outcome" else as_of
            past = [row for row in known(rows, per, codes, end) if window is None or row[0] >= end - back]
            assert found == (sum(row[1] for row in past) if which else len(past))


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_amounts_are_those_of_a_plain_loop():
    given(rows=ROWS, asked=ASKED, back=st.integers(1, 5))(check_amounts)()


@pytest.mark.slow
@pytest.mark.usefixtures("memo")
def test_what_was_found_for_an_earlier_row_of_the_same_moment_holds_for_a_later_one():
    given(rows=ROWS, asked=ASKED, back=st.integers(1, 5))(check_amounts)()


@given(rows=ROWS, asked=ASKED)
def check_moments(rows, asked):
    wanted = [Moment("click", per, first) for per in PER for first in (False, True)]
    answers = read(build(rows, tuple(Key("click", per) for per in PER)), asked, wanted)
    for answer, (_, per, first) in zip(answers, wanted, strict=True):
        for found, (codes, as_of) in zip(answer, asked, strict=True):
            past = [row[0] for row in known(rows, per, codes, as_of)]
            never = NEVER_FIRST if first else NEVER_LAST
            assert found == ((min if first else max)(past) if past else never)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_the_first_and_the_last_known_moment_are_those_of_a_plain_loop():
    check_moments()


@given(rows=ROWS, asked=ASKED, seed=st.integers(0, 9))
def test_the_order_of_the_log_changes_nothing(rows, asked, seed):
    order = np.random.default_rng(seed).permutation(len(rows))
    wanted = [Amount("like", ("user", "item"), None, 1), Moment("like", ("user",))]
    keys = tuple(Key("like", each.per) for each in wanted)
    first, again = (read(build(each, keys), asked, wanted) for each in (rows, [rows[place] for place in order]))
    assert first == again


def test_a_moment_at_as_of_is_not_before_it():
    counters = build([((1, 1, 1), 100, 0), ((1, 1, 1), 101, 0)], (Key("like", ("user",)),))
    asked = [((1, 1, 1), moment) for moment in (100, 101, 102)]
    assert read(counters, asked, [Amount("like", ("user",))]) == [[0, 1, 2]]


def test_what_was_found_of_several_counters_adds_up():
    keys = (Key("like", ("user",)),)
    counters = [build([((1, 0, 0), moment, moment)], keys) for moment in (5, 3)]
    reads = Reads.of(
        [Amount("like", ("user",), None, 1), *(Moment("like", ("user",), first) for first in (0, 1))], 0 * MICROSECOND
    )
    found = reads.empty[:, None].copy()
    for each in counters:
        each.add(reads, np.array([[1]]), reads.bounds(np.array([9])), found)
    assert found[:, 0].tolist() == [8, 5, 3]


@pytest.mark.parametrize("large", [2**53, 2**31 - 2, 2**31 - 1, -(2**31)])
def test_sums_beyond_the_whole_numbers_of_floats_stay_exact(large):
    rows = [((0, 0, 0), moment, amount) for moment, amount in ((1, large), (2, 1), (3, 1))]
    counters = build(rows, (Key("like", ()),))
    wanted = [Amount("like", (), None, 1), Amount("like", (), 2 * MICROSECOND, 1)]
    assert read(counters, [((0, 0, 0), 4)], wanted) == [[large + 2], [2]]


def test_counters_cannot_be_written_to():
    counters = build([((0, 0, 0), 1, 1)], (Key("like", ()),))
    with pytest.raises(ValueError, match="read-only"):
        counters.blocks.data[0] = 1


@pytest.mark.parametrize("outcome", [False, True])
def test_what_is_read_twice_is_searched_once(outcome):
    of = "outcome" if outcome else "showing"
    reads = Reads.of(
        [Amount(of, ("user",), window, which) for window in (None, MICROSECOND) for which in (0, 1)], MICROSECOND
    )
    assert reads.keys == (Key("showing", ("user",)),)
    assert len(reads.ends) == 3
    assert reads.back.tolist() == ([0, 1, 2] if outcome else [0, 1])


def test_counters_of_nothing_lie_where_they_say_and_know_nothing():
    counters = build([], tuple(Key("like", per) for per in PER))
    counters.refuse_misfit()
    assert len(counters.blocks.data) == 0
    asked = [((1, 1, 1), 5), ((-1, 0, 9), 7)]
    found = read(counters, asked, [each for per in PER for each in (Amount("like", per), Moment("like", per))])
    assert found == [[0, 0], [NEVER_LAST, NEVER_LAST]] * len(PER)


WANTED = [
    each
    for per in PER
    for each in (Amount("click", per), Amount("click", per, 3 * MICROSECOND, 1), Moment("click", per), Moment("click", per, first=True))
]  # fmt: skip


@given(ROWS, ASKED)
def test_rows_counted_at_once_are_those_counted_key_by_key(rows, asked):
    keys = tuple(Key("click", per) for per in PER)
    assert read(build_at_once(rows, keys), asked, WANTED) == read(build(rows, keys), asked, WANTED)


@given(ROWS, ASKED, st.lists(st.integers(0, len(PER) - 1), unique=True))
def test_some_counters_alone_give_the_answers_of_all_in_their_places(rows, asked, some):
    keys = tuple(Key("click", per) for per in PER)
    counters, reads = build(rows, keys), Reads.of(WANTED, 2 * MICROSECOND)
    only, found = reads.only(some), np.repeat(reads.empty[:, None], len(asked), axis=1)
    assert only.keys == tuple(reads.keys[row] for row in some)
    codes, others = arrays(asked)
    columns = np.array([codes[name] for name in reads.names], dtype=np.int64).reshape(len(reads.names), len(asked))
    counters.of(only.keys).add(only, columns, reads.bounds(others[0]), found)
    whole = read(counters, asked, WANTED)
    for place, each in enumerate(WANTED):
        expected = whole[place] if Key("click", each.per) in only.keys else [int(reads.empty[place])] * len(asked)
        assert found[place].tolist() == expected


def test_too_many_pairs_are_refused_also_at_once():
    sizes = {"user": 2**32, "item": 2**32, "device": 2**32}
    stream = Stream({name: np.zeros(1, dtype=np.int64) for name in NAMES}, np.zeros(1, int), np.zeros(1, int), ())
    with pytest.raises(DataError, match="there are too many pairs of device and item and user to number them"):
        count_few((Key("click", ("device", "item", "user")),), {"click": stream}, sizes)
