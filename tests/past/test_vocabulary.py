import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.past.vocabulary import Vocabulary

VALUES = st.one_of(
    st.lists(st.none() | st.integers(-5, 5), max_size=12),
    st.lists(st.none() | st.text("abé", max_size=2), max_size=12),
)


@given(known=VALUES, asked=st.lists(st.none() | st.integers(-9, 9), max_size=9))
def test_codes_are_the_places_of_the_sorted_values(known, asked):
    if any(isinstance(value, str) for value in known):
        asked = [None if value is None else "aé b"[value % 4] for value in asked]
    vocabulary = Vocabulary.of(pl.Series("item_id", known))
    distinct = sorted({value for value in known if value is not None})
    assert vocabulary.values.to_list() == distinct
    assert len(vocabulary) == len(distinct)
    expected = [distinct.index(value) if value in distinct else -1 for value in asked]
    assert vocabulary.encode(pl.Series("item_id", asked)).tolist() == expected


def test_several_columns_share_one_vocabulary():
    vocabulary = Vocabulary.of(pl.Series([3, 1], dtype=pl.Int8), pl.Series([2**40], dtype=pl.UInt64), pl.Series([None]))
    assert vocabulary.values.to_list() == [1, 3, 2**40]


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["b", "a"]), pl.String])
def test_categories_are_sorted_as_words(kind):
    vocabulary = Vocabulary.of(pl.Series(["b", "a", None, "b"]).cast(kind), pl.Series(["b"]))
    assert vocabulary.values.to_list() == ["a", "b"]
    assert vocabulary.encode(pl.Series(["b", "z", None, "a"])).tolist() == [1, -1, -1, 0]
    assert vocabulary.encode(pl.Series(["b", "a"]).cast(kind)).tolist() == [1, 0]


def test_true_and_false_are_words():
    assert Vocabulary.of(pl.Series([True, None, False])).values.to_list() == ["false", "true"]


def test_columns_without_a_value_fit_every_kind():
    words = pl.Series(["a"])
    for nothing in (pl.Series([], dtype=pl.Int64), pl.Series([None, None]), pl.Series([None], dtype=pl.Int32)):
        assert Vocabulary.of(nothing, words).values.to_list() == ["a"]
        assert Vocabulary.of(words, nothing).values.to_list() == ["a"]
        assert Vocabulary.of(words).encode(nothing).tolist() == [-1] * len(nothing)
        assert Vocabulary.of(nothing).encode(words).tolist() == [-1]
        assert len(Vocabulary.of(nothing)) == 0
    assert len(Vocabulary.of()) == 0


@pytest.mark.parametrize(("first", "second"), [([1], ["1"]), (["1"], [1])])
def test_integers_and_strings_are_not_the_same_ids(first, second):
    one, other = pl.Series("item_id", first), pl.Series("item_id", second)
    message = r"column item_id holds (Int64|String) values here and (String|Int64) values elsewhere; write the same ids"
    with pytest.raises(DataError, match=message):
        Vocabulary.of(one, other)
    with pytest.raises(DataError, match=message):
        Vocabulary.of(one).encode(other)


@pytest.mark.parametrize("values", [[0.5], [[1]]])
def test_other_kinds_of_values_are_refused(values):
    with pytest.raises(DataError, match=r"column size holds .* values; ids and attributes are integers or strings"):
        Vocabulary.of(pl.Series("size", values))


@given(known=VALUES, later=VALUES, asked=st.lists(st.none() | st.integers(-9, 9), max_size=9))
def test_values_that_come_later_leave_the_codes_of_all_others(known, later, asked):
    if len({type(value) for value in [*known, *later] if value is not None}) > 1:
        later = []
    if any(isinstance(value, str) for value in [*known, *later]):
        asked = [None if value is None else "aé b"[value % 4] for value in asked]
    old = Vocabulary.of(pl.Series("item_id", known))
    new = old.extended(pl.Series("item_id", later), pl.Series("item_id", later[:2]))
    distinct = old.values.to_list()
    distinct += sorted({value for value in later if value is not None and value not in distinct})
    assert len(new) == len(distinct)
    expected = [distinct.index(value) if value in distinct else -1 for value in asked]
    assert new.encode(pl.Series("item_id", asked)).tolist() == expected
    assert [distinct[code] for code in new.order.argsort()] == sorted(distinct)
    assert len(set(new.order.tolist())) == len(distinct)
    assert old.order.tolist() == list(range(len(old)))


@pytest.mark.parametrize(("first", "second"), [([1], ["1"]), (["1"], [1])])
def test_later_values_of_another_kind_are_refused_by_the_name_of_their_column(first, second):
    known = Vocabulary.of(pl.Series("item_id", first))
    with pytest.raises(DataError, match="column item_id holds (Int64|String) values here and (String|Int64) values"):
        known.extended(pl.Series("item_id", second))
    newer = Vocabulary.of(pl.Series("item_id", [], dtype=pl.Int64)).extended(pl.Series("item_id", first))
    with pytest.raises(DataError, match="column item_id holds (Int64|String) values here and (String|Int64) values"):
        newer.encode(pl.Series("item_id", second))


@pytest.mark.parametrize("texts", [False, True])
def test_thousands_of_steps_leave_the_codes_and_a_few_parts(texts):
    random = np.random.default_rng(4)
    ids = [f"é{number}" if texts else int(number) for number in random.permutation(3_000)]
    vocabulary = Vocabulary.of(pl.Series("item_id", ids[:10]))
    distinct = sorted(ids[:10])
    for first in range(10, 3_000, 7):
        step = ids[first - 3 : first + 7]  # some are known
        vocabulary = vocabulary.extended(pl.Series("item_id", step))
        distinct += sorted(each for each in step if each not in distinct)
    asked = [*distinct, "x" if texts else -1]
    assert vocabulary.encode(pl.Series("item_id", asked)).tolist() == [*range(3_000), -1]
    assert vocabulary.order.tolist() == [sorted(distinct).index(each) for each in distinct]
    parts = 0
    while vocabulary is not None:
        parts, vocabulary = parts + 1, vocabulary.later
    assert parts <= 12
