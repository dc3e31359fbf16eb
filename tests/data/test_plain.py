from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.plain import in_utc, known_number, plain_table
from recsys.schema import CANDIDATES, EVENTS, ITEMS, REQUESTS, TIME

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def read(column, table=REQUESTS, name="item_id", **further):
    return plain_table(pl.DataFrame({name: column}), table, **further)[name]


@pytest.mark.parametrize(
    ("ids", "plain"),
    [
        (pl.Series([1, 2], dtype=pl.UInt8), pl.Series([1, 2], dtype=pl.Int64)),
        (pl.Series([1, 2**63 - 1], dtype=pl.UInt64), pl.Series([1, 2**63 - 1], dtype=pl.Int64)),
        (pl.Series([1.0, None, float("nan"), 2.0**53]), pl.Series([1, None, None, 2**53], dtype=pl.Int64)),
        (pl.Series([Decimal(7), None]), pl.Series([7, None], dtype=pl.Int64)),
        (pl.Series(["b", "a"], dtype=pl.Categorical), pl.Series(["b", "a"])),
        (pl.Series(["007", "12.0"]), pl.Series(["007", "12.0"])),
    ],
)
def test_ids_are_integers_of_one_width_or_text(ids, plain):
    assert read(ids).equals(plain, check_dtypes=True)


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([2**63, 1], dtype=pl.UInt64),
        pl.Series([1.5, 2.0]),
        pl.Series([2.0**53 + 2, 1.0]),
        pl.Series([float("inf"), 1.0]),
        pl.Series([True, False]),
    ],
)
def test_what_is_no_id_stays_to_be_refused_by_name(ids):
    assert read(ids).equals(ids, check_dtypes=True)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**53), 2**53)), min_size=1))
def test_what_pandas_makes_of_integers_beside_gaps_comes_back(numbers):
    floats = pl.Series([None if each is None else float(each) for each in numbers], dtype=pl.Float64)
    for name in ("item_id", "label", "position"):
        assert read(floats, name=name).to_list() == numbers


def test_numbers_are_floats_and_labels_whole_however_they_are_written():
    assert read(pl.Series([Decimal("1.5"), None]), EVENTS, "value").to_list() == [1.5, None]
    assert read(pl.Series([1.0, float("nan")]), name="label").to_list() == [1, None]
    assert read(pl.Series([0.5]), name="label").to_list() == [0.5]


@pytest.mark.parametrize(
    ("name", "dtype"), [("timestamp", TIME), ("label", pl.Int64), ("propensity", pl.Float64), ("position", pl.Int64)]
)
@pytest.mark.parametrize("nothing", [pl.Series([None, None], dtype=pl.String), pl.Series([None, None])])
def test_a_column_without_any_value_has_the_type_of_its_meaning(nothing, name, dtype):
    assert read(nothing, name=name).dtype == dtype


def test_further_columns_that_are_read_lose_only_what_pandas_added():
    frame = pl.DataFrame({"slot": [1.0, None], "ret": [1.0, None], "device": [float("nan")] * 2, "note": [1.0, None]})
    plain = plain_table(frame, CANDIDATES, categories=["slot", "device"], others=["ret"])
    assert plain.schema == {"slot": pl.Int64, "ret": pl.Float64, "device": pl.Null, "note": pl.Float64}
    fractions = pl.DataFrame({"slot": [0.5, 1.0]})
    assert plain_table(fractions, CANDIDATES, categories=["slot"]).equals(fractions)


def test_moments_are_utc_and_names_that_look_like_patterns_are_names():
    frame = pl.DataFrame({"^.*$": [NOON.replace(tzinfo=None)], "*": [1.5], "timestamp": [NOON]})
    zoned = frame.with_columns(pl.Series("timestamp", [NOON]).dt.convert_time_zone("Asia/Tokyo"))
    plain = in_utc(zoned)
    assert plain["timestamp"].to_list() == plain["^.*$"].to_list() == [NOON]
    assert plain["*"].to_list() == [1.5]


@pytest.mark.parametrize("name", ["*", "^x.*$", "^.*$", "^$"])
def test_a_column_that_polars_cannot_name_is_left_out(name: str) -> None:
    frame = pl.DataFrame({"item_id": [1, 2], name: [0.5, None], "a*": ["x", "y"], "^open": [1, 2]})
    assert plain_table(frame, ITEMS).columns == ["item_id", "a*", "^open"]


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32, pl.Int64, pl.Null])
def test_numbers_that_no_feature_can_be_made_of_are_not_known(dtype) -> None:
    inf = float("inf")
    values = {pl.Float64: [1e300, -2e30, inf, -inf, float("nan"), None, 1e30, -0.5], pl.Float32: [inf, None, 2.5]}
    found = known_number(pl.Series("price", values.get(dtype, [None, None]), dtype=dtype))
    kept = {pl.Float64: [None] * 6 + [1e30, -0.5], pl.Float32: [None, None, 2.5]}
    assert found.to_list() == kept.get(dtype, [None, None])
    assert found.dtype == pl.Float64
