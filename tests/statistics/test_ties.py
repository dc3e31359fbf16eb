import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.statistics.ties import tie_keys, tied_rows

WORD = 2**64
INTEGERS, TEXTS = st.integers(-(2**63), 2**63 - 1), st.text(max_size=12)


def mix(number: int) -> int:
    """Splitmix64 in plain Python."""
    number = (number + 0x9E3779B97F4A7C15) % WORD
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB % WORD
    return number ^ (number >> 31)


def code(of: int | str) -> int:
    if isinstance(of, int):
        return of % WORD
    letters = of.encode()
    return (sum(mix(256 * place + letter) for place, letter in enumerate(letters)) + mix(256 * len(letters))) % WORD


def test_the_mix_is_that_of_splitmix64() -> None:
    """The first numbers that its authors' generator gives from the seed 0."""
    assert [mix(0), mix(0x9E3779B97F4A7C15)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


@given(pairs=st.one_of(*(st.lists(st.tuples(a, b)) for a in (INTEGERS, TEXTS) for b in (INTEGERS, TEXTS))))
def test_keys_are_those_of_plain_python(pairs) -> None:
    requests, items = ([pair[side] for pair in pairs] for side in (0, 1))
    found = tie_keys(*(pl.Series(of, dtype=None if of else pl.Int64) for of in (requests, items)))
    assert found.tolist() == [mix((mix(code(request)) + code(item)) % WORD) for request, item in pairs]


def test_the_keys_of_some_ids_are_these_for_ever() -> None:
    texts = tie_keys(pl.Series(["r1", "r1", ""]), pl.Series(["a", "ü", "1"]))
    numbers = tie_keys(pl.Series([1, 1, -1]), pl.Series([2, 3, 2**62]))
    assert texts.tolist() == [1008872285263992579, 1130842814153827222, 13508139955064898692]
    assert numbers.tolist() == [13608149317741381227, 12773366489153039575, 15709670030372323659]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt16, pl.Int32, pl.UInt64, pl.Int128])
def test_the_width_of_an_integer_says_nothing(dtype) -> None:
    ids = pl.Series([0, 1, 100])
    assert tie_keys(ids.cast(dtype), ids.cast(dtype)).tolist() == tie_keys(ids, ids).tolist()


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["b", "a"])])
def test_a_category_is_its_text(dtype) -> None:
    ids = pl.Series(["a", "b", "a"])
    assert tie_keys(ids.cast(dtype), ids).tolist() == tie_keys(ids, ids).tolist()


@pytest.mark.parametrize("text", [True, False])
def test_no_item_is_favoured_over_many_requests(text: bool) -> None:
    requests, items = np.repeat(np.arange(4000), 5), np.tile(np.arange(5), 4000)
    ids = [pl.Series(of).cast(pl.String if text else pl.Int64) for of in (requests, items)]
    first = tie_keys(*ids).reshape(4000, 5).argmin(axis=1)
    assert np.abs(np.bincount(first, minlength=5) - 800).max() < 4 * np.sqrt(800)


def test_rows_are_tied_within_their_request_where_they_are_listed() -> None:
    scores = np.array([2.0, 1.0, 1.0, 1.0, -0.0, 0.0, -np.inf, -np.inf])
    request = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    assert tied_rows(scores, request).tolist() == [False, True, True, False, True, True, False, False]
    assert tied_rows(np.array([]), np.array([], dtype=np.int64)).tolist() == []
