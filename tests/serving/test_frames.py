from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.schema import EVENTS
from recsys.serving.frames import past_moment, read, told

ROWS = {
    "user_id": [1, 2],
    "item_id": [3, 4],
    "timestamp": [datetime(2024, 5, 1, tzinfo=UTC)] * 2,
    "event": ["click"] * 2,
}


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame])
def test_only_columns_that_are_read_are_taken(make) -> None:
    frame = make({**ROWS, "session": ["a", "b"]})
    assert read(frame, EVENTS).columns == list(ROWS)
    assert read(frame, EVENTS, ("session",)).columns == [*ROWS, "session"]
    assert read(frame, EVENTS)["user_id"].to_list() == [1, 2]


def test_where_a_column_is_missing_all_are_taken_so_that_an_error_can_name_them() -> None:
    frame = pl.DataFrame({**ROWS, "kind": ["a", "b"]}).drop("event")
    assert read(frame, EVENTS).columns == frame.columns


@pytest.mark.parametrize("nothing", [None, pl.DataFrame(ROWS).clear(), pd.DataFrame()])
def test_nothing_told_is_nothing(nothing) -> None:
    assert told(nothing, EVENTS) is None


def test_what_is_no_frame_is_named() -> None:
    with pytest.raises(DataError, match="events are a list; pass a polars or pandas DataFrame"):
        read([ROWS], EVENTS)  # type: ignore[type-var]


def test_a_moment_is_one_and_lies_in_the_past() -> None:
    assert past_moment("2024-05-01T12:00:00+02:00") == datetime(2024, 5, 1, 10, tzinfo=UTC)
    later = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(DataError, match="at: .* lies in the future; give the moment from which the rows are known"):
        past_moment(later)
    with pytest.raises(DataError, match="at: "):
        past_moment("noon")
