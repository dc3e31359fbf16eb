import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.statistics.hashes import hash_ids, id_codes
from tests.statistics.test_ties import INTEGERS, TEXTS, WORD, code, mix


@given(ids=st.one_of(st.lists(INTEGERS), st.lists(TEXTS)))
def test_hashes_are_those_of_plain_python(ids) -> None:
    column = pl.Series(ids, dtype=None if ids else pl.Int64)
    assert hash_ids(column).tolist() == [mix(code(each)) for each in ids]
    assert id_codes(column).tolist() == [code(each) % WORD for each in ids]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt16, pl.Int32, pl.UInt64])
def test_the_width_of_integers_changes_no_hash(dtype) -> None:
    ids = pl.Series([0, 7, 100])
    assert hash_ids(ids.cast(dtype)).tolist() == hash_ids(ids).tolist()
