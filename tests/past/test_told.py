from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys.data.clock import TimeSettings
from recsys.errors import DataError
from recsys.past.behaviour import Behaviour, known_events
from recsys.past.log import Log
from recsys.past.told import Taken, untold_candidates, untold_events
from recsys.schema import TIME

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def events(*rows, ids=pl.Int64) -> pl.DataFrame:
    """Build events from (id, item, minute) and perhaps a value."""
    flat = [
        (each, 1, item, NOON + minute * MINUTE, "view", value[0] if value else None)
        for each, item, minute, *value in rows
    ]
    schema = {"event_id": ids, "user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME, "event": pl.String}
    return pl.DataFrame(flat, schema=schema | {"value": pl.Float64}, orient="row")


def log_of(done: pl.DataFrame) -> Log:
    shown = pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME, "label": pl.Int64})
    items = pl.DataFrame({"item_id": [1, 2]}).with_columns(available_at=pl.lit(None, TIME))
    shown = shown.with_columns(list_size=pl.lit(1, pl.Int32))
    return Log(Behaviour(items, shown.select("user_id"), shown, known_events(done)), TimeSettings())


def untold(new: pl.DataFrame, state: pl.DataFrame, later: pl.DataFrame | None = None) -> list:
    log = log_of(state)
    later = log.behaviour.events.clear() if later is None else known_events(later)
    return untold_events(new, log, later).rows()


@pytest.mark.parametrize("ids", [pl.Int64, pl.String])
def test_events_of_the_state_of_the_tail_and_of_the_same_call_are_told_once(ids) -> None:
    def of(*rows):
        return events(*rows).with_columns(pl.col("event_id").cast(ids))

    new = of((1, 1, 0), (2, 2, 1), (3, 1, 2, 7.5), (2, 2, 1), (4, 1, 3), (None, 1, 4), (None, 1, 4))
    assert untold(new, of((1, 1, 0), (9, 1, 9)), of((4, 1, 3))) == [new.row(place) for place in (1, 2, 5, 6)]
    assert untold(new, of((3, 1, 2, 7.5)).drop("event_id")) == [new.row(place) for place in (0, 1, 2, 4, 5, 6)]
    assert untold(new, of()) == untold(new, of().drop("event_id"))
    assert untold(new.drop("event_id"), of((1, 1, 0))) == new.drop("event_id").rows()
    no_ids = new.with_columns(event_id=pl.lit(None, ids))
    assert untold(no_ids, of((1, 1, 0))) == no_ids.rows()


def test_a_value_that_is_no_number_is_as_good_as_none() -> None:
    nan = events((1, 1, 0, float("nan")), (1, 1, 0))
    assert untold(nan, events((1, 1, 0))) == untold(nan[1:], events((1, 1, 0, float("nan")))) == []


def test_events_of_a_tail_that_was_closed_are_known() -> None:
    log = log_of(events((1, 1, 0)))
    log = log.with_tail(log_of(events((5, 2, 7))).behaviour)
    new = events((5, 2, 7), (6, 2, 8))
    assert untold_events(new, log, log.behaviour.events.clear()).rows() == new.rows()[1:]


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (
            [(1, 2, 0)],
            "event 1 was told before with item_id 1, and now with 2; tell it as it was, or give another event",
        ),
        ([(1, 1, 0, 3.5)], "event 1 was told before with value None, and now with 3.5"),
        ([(7, 1, 1), (7, 2, 1)], "event 7 was told before with item_id 1, and now with 2"),
        (
            [(7, 1, 1), (7, 1, 2)],
            "event 7 was told before with timestamp 2024-03-01 12:01:00.*, and now with 2024-03-01 12:02",
        ),
        ([(1, 1, 1)], "event 1 was told before as known at 2024-03-01 12:00:00.*, and now as of 2024-03-01 12:01:00"),
    ],
)
def test_an_event_that_is_told_otherwise_is_refused_by_name(new, told) -> None:
    for state, later in [(events((1, 1, 0)), events()), (events(), events((1, 1, 0)))]:
        with pytest.raises(DataError, match=told):
            untold(events(*new), state, later)


def test_ids_of_another_kind_are_refused() -> None:
    words = "column event_id holds String values here and Int64 values elsewhere; write the same ids"
    for state, later in [(events((1, 1, 0)), events()), (events(), events((1, 1, 0)))]:
        with pytest.raises(DataError, match=words):
            untold(events(("1", 1, 0), ids=pl.String), state, later)


def test_what_was_known_late_is_told_again_as_it_was() -> None:
    later = events((1, 1, 0)).with_columns(known_at=NOON + 9 * MINUTE)
    assert untold(events((1, 1, 0)), events(), later) == []
    assert untold(later.with_columns(known_at=NOON + 60 * MINUTE), events(), later) == []


def candidates(*rows) -> pl.DataFrame:
    """Build candidates of one list from (item, label)."""
    schema = {"request_id": pl.Int64, "user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME, "label": pl.Int64}
    return pl.DataFrame([(5, 1, item, NOON, label) for item, label in rows], schema=schema, orient="row")


def test_candidates_come_through_once_and_with_the_label_that_was_missing() -> None:
    before = candidates((1, None), (2, None), (3, 0), (4, 1))
    new = candidates((1, 1), (2, None), (3, 0), (4, None))
    assert untold_candidates(new, before).rows() == new.rows()[:1]
    other = new.with_columns(request_id=pl.lit(6, pl.Int64))
    assert untold_candidates(other, before).rows() == other.rows()
    with pytest.raises(DataError, match="2 candidates added with another label before, such as item 3 of request 5, 0"):
        untold_candidates(candidates((3, 1), (4, 0)), before)


def test_known_from_a_moment_on() -> None:
    done = events((1, 1, 0), (2, 2, 30)).with_columns(known_at="timestamp")
    shown = candidates((1, 1), (2, 0), (3, None), (4, 1)).with_columns(
        clicked_at=pl.Series([NOON + MINUTE, None, None, None], dtype=TIME)
    )
    taken, time = (
        Taken(done, shown, pl.DataFrame(), pl.DataFrame(), 3),
        TimeSettings(feedback_delay="1h", click_delay="20m"),
    )
    for minute, known, clicked in [
        (0, [0, 30], [1, None, None, None]),
        (10, [10, 30], [10, None, None, None]),
        (20, [20, 30], [20, None, None, None]),
        (25, [25, 30], [25, None, None, 25]),
        (90, [90, 90], [90, None, None, 90]),
    ]:
        late = taken.known_from(NOON + minute * MINUTE, time)
        assert late.events["known_at"].to_list() == [NOON + each * MINUTE for each in known]
        moments = [None if each is None else NOON + each * MINUTE for each in clicked]
        assert late.requests["clicked_at"].to_list() == moments
        assert late.requests.drop("clicked_at").equals(shown.drop("clicked_at"))
        assert late.ignored == 3
    plain = replace(taken, requests=shown.drop("clicked_at"))
    assert "clicked_at" not in plain.known_from(NOON + 20 * MINUTE, time).requests.columns
    assert plain.known_from(NOON + 21 * MINUTE, time).requests["clicked_at"].null_count() == 2
