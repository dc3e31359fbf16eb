from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.checks import check_candidates, check_update
from recsys.data.one_list import are_plain_ids, are_sound_events, is_one_sound_list, widened
from recsys.schema import TIME

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ID = st.sampled_from([1, 2, 3, None])
ROWS = st.lists(
    st.tuples(ID, ID, ID, st.sampled_from([NOON, NOON, NOON + DAY, datetime(1989, 12, 31, tzinfo=UTC), None]))
)


def table(rows, text=False):
    ids = pl.String if text else pl.Int64
    schema = {"request_id": pl.Int64, "user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(
        pl.col("request_id", "user_id", "item_id").cast(ids).replace("3", "") if text else pl.all()
    )


@given(rows=ROWS, text=st.booleans())
def test_a_sound_list_has_no_error(rows, text):
    candidates = table(rows, text)
    errors = check_candidates(candidates).errors
    one = len(rows) > 0 and candidates["request_id"].n_unique() == 1
    assert is_one_sound_list(candidates) == (one and not errors)


@pytest.mark.parametrize("year", [1990, 2099])
def test_the_first_and_the_last_moments_of_the_calendar_are_sound(year):
    assert is_one_sound_list(table([(1, 1, item, datetime(year, 1, 1, tzinfo=UTC)) for item in (1, 2)]))


def test_ids_are_whole_numbers_or_texts_and_moments_in_utc():
    frame = table([(1, 1, 1, NOON)])
    assert are_plain_ids(frame.schema)
    assert are_plain_ids(frame.with_columns(pl.col("item_id").cast(pl.UInt16)).schema)
    for name, dtype in (("item_id", pl.Float64), ("user_id", pl.Null), ("timestamp", pl.Datetime("us"))):
        other = frame.with_columns(pl.lit(None, dtype).alias(name))
        assert not are_plain_ids(other.schema)
    assert not are_plain_ids(frame.drop("user_id").schema)


EVENTS = st.lists(
    st.tuples(
        ID,
        ID,
        st.sampled_from([NOON, NOON, NOON + DAY, NOON + 2 * DAY, datetime(1989, 12, 31, tzinfo=UTC), None]),
        st.sampled_from(["click", "click", "view", "", " ", None]),
        st.sampled_from([0.0, 1.5, -2.0, float("nan"), float("inf"), 1e300, None]),
    ),
    max_size=3,
)


@given(rows=EVENTS, text=st.booleans(), valued=st.booleans())
def test_sound_events_have_no_error(rows, text, valued):
    schema = {"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME, "event": pl.String, "value": pl.Float64}
    events = pl.DataFrame(rows, schema=schema, orient="row")
    if text:
        events = events.with_columns(pl.col("user_id", "item_id").cast(pl.String).replace("3", ""))
    events = events if valued else events.drop("value")
    now = NOON + DAY + timedelta(seconds=1)
    if are_sound_events(events, now):
        assert not check_update(events, None, now).errors
    elif len(events) and not valued:
        assert check_update(events, None, now).errors


def test_events_with_further_columns_are_left_to_the_whole_check():
    events = pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": [NOON], "event": ["click"]})
    assert are_sound_events(events, NOON + DAY)
    assert not are_sound_events(events.with_columns(known_at=pl.lit(NOON - DAY)), NOON + DAY)
    assert not are_sound_events(events.with_columns(event_id=pl.lit(1)), NOON + DAY)
    assert not are_sound_events(events.clear(), NOON + DAY)


@pytest.mark.parametrize("dtype", [pl.Int32, pl.Int64, pl.Int128, pl.Float32, pl.Float64, pl.Decimal(20, 2), pl.String])
def test_values_of_any_type_are_small_or_left_to_the_whole_check(dtype):
    events = pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": [NOON], "event": ["click"]})
    for value in (3, -(2**31), 2**31 - 1, -(2**63), 10**18):
        given_value = pl.Series([value], dtype=pl.Int128).cast(dtype, strict=False)
        if given_value.null_count():
            continue
        told = events.with_columns(value=given_value)
        if are_sound_events(told, NOON + DAY):
            assert abs(value) <= 10**6
    small = events.with_columns(value=pl.Series([3]).cast(dtype))
    assert are_sound_events(small, NOON + DAY) == (dtype in (pl.Int32, pl.Int64, pl.Int128, pl.Float32, pl.Float64))


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["click", " "])])
def test_kinds_in_categories_are_left_to_the_whole_check(dtype):
    events = pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": [NOON], "event": [" "]})
    assert not are_sound_events(events.with_columns(pl.col("event").cast(dtype)), NOON + DAY)


@pytest.mark.parametrize("name", ["position", "propensity"])
def test_columns_whose_values_are_checked_are_left_to_the_whole_check(name):
    assert not are_plain_ids(table([(1, 1, 1, NOON)]).with_columns(pl.lit(1).alias(name)).schema)


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt16, pl.Int32, pl.UInt32])
def test_narrow_ids_are_written_as_the_tables_hold_them(dtype) -> None:
    events = pl.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "value": [3, 4]}).cast(
        {"user_id": dtype, "value": dtype}
    )
    wide = widened(events)
    assert wide.schema == {"user_id": pl.Int64, "item_id": pl.String, "value": dtype}
    assert wide["user_id"].to_list() == [1, 2]
    assert widened(wide) is wide
