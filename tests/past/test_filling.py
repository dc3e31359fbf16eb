import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.past.filling import by_code, together

CODES = st.lists(st.integers(0, 5), max_size=30)


@given(codes=CODES, seed=st.integers(0, 9))
def test_rows_are_sorted_by_code_and_equal_ones_stay_in_their_order(codes, seed):
    rows = np.random.default_rng(seed).permutation(len(codes))
    codes = np.array(codes, dtype=np.int64)
    assert by_code(rows, codes, 6).tolist() == rows[np.argsort(codes[rows], kind="stable")].tolist()


@given(rows=st.lists(st.tuples(*[st.integers(0, 2)] * 3, st.integers(0, 9), st.integers(-5, 5)), max_size=25))
def test_rows_of_one_key_and_day_are_added_up(rows):
    table = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    key, inner, day, moment, amount = (each.copy() for each in table)
    order = np.lexsort((moment, day, inner, key))
    numbers, totals = together(order, np.stack([key, inner]), day, moment, amount[None])
    expected = {}
    for first, second, third, when, much in rows:
        expected.setdefault((first, second, third), []).append((when, much))
    assert [tuple(each) for each in numbers.T.tolist()] == sorted(expected)
    for found, (_, those) in zip(totals.T.tolist(), sorted(expected.items()), strict=True):
        whens = [when for when, _ in those]
        assert found == [len(those), sum(much for _, much in those), min(whens), max(whens)]
