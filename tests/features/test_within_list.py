import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.within_list import WithinList, compare_rows, divide

NUMBERS = st.sampled_from([0.0, -0.0, 0.1, 0.2, 0.3, 1.0, 7.5, 1e12, 1e-12, -1e-12, -2.0, -7.5, -1e12, math.nan])
LOGITS = st.sampled_from([-800.0, -1.5, -0.0, 0.0, 0.3, 2.0, 900.0, math.nan])
FLOATS = st.floats(width=32, allow_infinity=False, min_value=-(2.0**60), max_value=2.0**60)


def lists_of(values):
    return st.lists(st.lists(values, min_size=1, max_size=9), min_size=1, max_size=5)


def compare(lists, logits=False):
    values = np.array([value for values in lists for value in values], dtype=np.float32)
    starts = np.cumsum([0, *map(len, lists)])
    return compare_columns(values[None], starts, logits)[0]


def compare_columns(columns, starts, logits):
    """Give what each column is within its lists."""
    table = np.zeros((4 * len(columns), columns.shape[1]), dtype=np.float32)
    table[::4] = columns
    compare_rows(table, np.arange(0, len(table), 4), starts, logits)
    return [WithinList(*table[row + 1 : row + 4]) for row in range(0, len(table), 4)]


def numbers(values):
    """Round as the kernel does, and leave out what is not known."""
    singles = [float(np.float32(value)) for value in values]
    return singles, [value for value in singles if not math.isnan(value)]


@given(lists_of(NUMBERS | FLOATS))
def test_ranks_are_those_of_a_plain_loop(lists):
    expected = []
    for values in lists:
        singles, _ = numbers(values)
        for value in singles:
            above, same = sum(other > value for other in singles), sum(other == value for other in singles)
            expected.append(math.nan if math.isnan(value) else above + (same + 1) / 2)
    np.testing.assert_array_equal(compare(lists).rank, np.array(expected, dtype=np.float32))


@given(lists_of(NUMBERS | FLOATS))
def test_shares_are_those_of_a_plain_loop_where_nothing_counts_below_zero(lists):
    expected = []
    for values in lists:
        singles, known = numbers(values)
        whole = math.fsum(max(value, 0) for value in known)
        expected += [math.nan if math.isnan(value) or not whole else max(value, 0) / whole for value in singles]
    np.testing.assert_allclose(compare(lists).share, expected, rtol=1e-6, atol=1e-44, equal_nan=True)


@given(lists_of(LOGITS))
def test_shares_of_logits_are_the_softmax_of_a_plain_loop(lists):
    expected = []
    for values in lists:
        singles, known = numbers(values)
        whole = math.fsum(math.exp(value - max(known)) for value in known)
        expected += [math.nan if math.isnan(value) else math.exp(value - max(known)) / whole for value in singles]
    np.testing.assert_allclose(compare(lists, logits=True).share, expected, rtol=1e-6, atol=1e-37, equal_nan=True)


@given(lists_of(NUMBERS | FLOATS))
def test_gaps_are_those_of_a_plain_loop(lists):
    expected = []
    for values in lists:
        singles, known = numbers(values)
        expected += [math.nan if math.isnan(value) else value - max(known) for value in singles]
    found = compare(lists).gap
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))
    assert not np.signbit(found[found == 0]).any()


@pytest.mark.slow
@pytest.mark.parametrize("logits", [False, True])
@given(lists=lists_of(NUMBERS | FLOATS), seed=st.integers(0, 99))
def test_the_order_of_rows_and_other_lists_change_no_bit(logits, lists, seed):
    found = compare(lists, logits)
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(values)) for values in lists]
    shuffled = compare(
        [[values[place] for place in order] for values, order in zip(lists, orders, strict=True)], logits
    )
    starts = np.cumsum([0, *map(len, lists)])
    places = np.concatenate([order + start for order, start in zip(orders, starts, strict=False)])
    alone = [compare([values], logits) for values in lists]
    for name in ("rank", "share", "gap"):
        whole = getattr(found, name)
        assert whole.dtype == np.float32
        assert getattr(shuffled, name).tobytes() == whole[places].tobytes()
        assert np.concatenate([getattr(one, name) for one in alone]).tobytes() == whole.tobytes()


@pytest.mark.parametrize("logits", [False, True])
def test_one_candidate_is_the_whole_list(logits):
    found = compare([[0.3], [5.0], [math.nan]], logits)
    np.testing.assert_array_equal(found.rank, [1, 1, math.nan])
    np.testing.assert_array_equal(found.share, [1, 1, math.nan])
    np.testing.assert_array_equal(found.gap, [0, 0, math.nan])


@pytest.mark.parametrize("logits", [False, True])
def test_no_row_has_no_place(logits):
    found = compare([], logits)
    assert [len(part) for part in (found.rank, found.share, found.gap)] == [0, 0, 0]


def test_nothing_shares_a_sum_of_zero():
    assert np.isnan(compare([[0.0, 0.0], [-0.0], [-1.0, -2.0]]).share).all()


def test_a_list_of_which_nothing_is_known_says_nothing():
    for logits in (False, True):
        found = compare([[math.nan] * 3, [1.0, 2.0]], logits)
        for part in (found.rank, found.share, found.gap):
            assert np.isnan(part).tolist() == [True] * 3 + [False] * 2


def test_both_zeros_are_one_number():
    assert compare([[0.0, -0.0, -1.0, 1e-30]]).rank.tolist() == [2.5, 2.5, 4.0, 1.0]
    plain, other = compare([[0.0, 0.0, -1.0]]), compare([[0.0, -0.0, -1.0]])
    for name in ("rank", "share", "gap"):
        assert getattr(plain, name).tobytes() == getattr(other, name).tobytes()


def test_the_order_of_rows_changes_no_bit_of_a_long_list():
    random = np.random.default_rng(1)
    values, order = random.normal(size=5000), random.permutation(5000)
    for logits in (False, True):
        found, other = compare([values.tolist()], logits), compare([values[order].tolist()], logits)
        for name in ("rank", "share", "gap"):
            assert getattr(other, name).tobytes() == getattr(found, name)[order].tobytes()


def test_division_by_what_is_not_above_zero_is_not_known():
    found = divide(np.array([1.0, 1.0, 0.0, 1.0]), np.array([2.0, 0.0, 4.0, -1.0]))
    np.testing.assert_array_equal(found, [0.5, math.nan, 0.0, math.nan])


@pytest.mark.parametrize("logits", [False, True])
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), count=st.integers(1, 4), data=st.data())
def test_columns_that_are_compared_together_have_the_bits_of_each(logits, sizes, count, data):
    rows = sum(sizes)
    values = data.draw(st.lists(NUMBERS | FLOATS, min_size=count * rows, max_size=count * rows))
    columns, starts = np.array(values, dtype=np.float32).reshape(count, rows), np.cumsum([0, *sizes])
    found = compare_columns(columns, starts, logits)
    for together, column in zip(found, columns, strict=True):
        (alone,) = compare_columns(column[None], starts, logits)
        for name in ("rank", "share", "gap"):
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name), strict=True)


def deviations(lists):
    values = np.array([value for values in lists for value in values], dtype=np.float32)
    table = np.vstack([values, np.zeros((4, len(values)), np.float32)])
    compare_rows(table, np.array([0]), np.cumsum([0, *map(len, lists)]), logits=False, deviations=True)
    return table[4]


@given(lists_of(NUMBERS | FLOATS))
def test_deviations_are_those_of_a_plain_loop(lists):
    expected = []
    for values in lists:
        singles, known = numbers(values)
        mean = math.fsum(known) / len(known) if known else math.nan
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / len(known)) if known else math.nan
        alike = len({*known}) <= 1 or spread == 0
        expected += [value * 0 if math.isnan(value) or alike else (value - mean) / spread for value in singles]
    np.testing.assert_allclose(deviations(lists), expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_the_order_of_rows_changes_no_bit_of_a_deviation():
    random = np.random.default_rng(1)
    for size in (7, 5000):
        values, order = random.normal(size=size), random.permutation(size)
        found, other = deviations([values.tolist()]), deviations([values[order].tolist(), [1.0]])[:-1]
        assert other.tobytes() == found[order].tobytes()


def test_what_is_not_known_is_left_out_of_a_long_list_too():
    random = np.random.default_rng(2)
    values = random.normal(size=200).astype(np.float32)
    values[random.random(200) < 0.3] = np.nan
    expected = (values - np.nanmean(values)) / np.nanstd(values)
    np.testing.assert_allclose(deviations([values.tolist()]), expected, rtol=1e-4, atol=1e-5, equal_nan=True)
