from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.clock import SHOWN_UNTIL, TimeSettings
from recsys.data.made import Made, NotOut, at_the_making, made_lists
from recsys.schema import TIME

NIGHTLY = TimeSettings(freshness="nightly", made_at="04:00", zone="Europe/Copenhagen")
START = datetime(2024, 3, 29, tzinfo=UTC)  # clocks leap on the 31st
KINDS = {"request_id": pl.Int64, "user_id": pl.Int64, "timestamp": TIME, "item_id": pl.Int64, "label": pl.Int64}


def making(moment: datetime, clock: TimeSettings) -> datetime:
    """The last making that is not after a moment: PEP 495's first of two, and by as much later as clocks leap."""
    zone, at = ZoneInfo(clock.zone), time.fromisoformat(clock.made_at)
    around = [moment.astimezone(zone).date() + timedelta(days=day) for day in range(-2, 2)]
    return max(found for day in around if (found := of_day(day, at, zone)) <= moment)


def of_day(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def availability(published: dict):
    def of(items: pl.Series) -> np.ndarray:
        known = [published.get(item) for item in items]
        return np.array([np.nan if each is None else each.timestamp() * 1e6 for each in known], dtype=float)

    return of


@st.composite
def logs(draw: st.DrawFn, ids: st.SearchStrategy):
    """Draw lists of a few users over some days, and when some of the items were published."""
    moments = st.integers(0, 5 * 24 * 4).map(lambda quarter: START + quarter * timedelta(minutes=15))
    rows = []
    for request in draw(st.lists(ids, unique=True, max_size=12)):
        user, moment = draw(st.integers(1, 3)), draw(moments)
        items, labels = draw(st.sets(st.integers(1, 6), min_size=1, max_size=4)), st.sampled_from([None, 0, 0, 1, 3])
        rows += [(request, user, moment, item, draw(labels)) for item in items]
    published = draw(st.dictionaries(st.integers(1, 6), st.one_of(st.none(), moments)))
    return draw(st.permutations(rows)), published


def oracle(rows, published, clock):
    """Made lists by plain loops: (request, user, making, item) into label, and when the last of the lists was shown."""
    lists = {}
    for row in rows:
        lists.setdefault((row[1], making(row[2], clock)), []).append(row)
    kept, lost = {}, {}
    for (user, made), own in lists.items():
        request = min((moment, request) for request, _, moment, _, _ in own)[1]
        until = max(moment for _, _, moment, _, _ in own)
        for item in {row[3] for row in own}:
            labels = [row[4] for row in own if row[3] == item]
            out = published.get(item) is None or published[item] <= made
            (kept if out else lost)[request, user, made, item] = (None if None in labels else max(labels), until)
    return kept, lost


def as_dict(frame):
    keys = frame.select("request_id", "user_id", "timestamp", "item_id").rows()
    values = frame.select("label", SHOWN_UNTIL).rows()
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, values, strict=True))


@pytest.mark.parametrize("ids", [st.integers(-9, 99), st.text("ab9", max_size=3)], ids=["integers", "strings"])
def test_made_lists_are_those_of_plain_loops(ids) -> None:
    @given(log=logs(ids), made_at=st.sampled_from(["00:00", "02:30", "04:00", "23:59"]))
    def check(log, made_at) -> None:
        rows, published = log
        clock = NIGHTLY.model_copy(update={"made_at": made_at})
        kinds = KINDS | ({"request_id": pl.String} if rows and isinstance(rows[0][0], str) else {})
        requests = pl.DataFrame(rows, schema=kinds, orient="row")
        found = made_lists(requests, availability(published), clock)
        kept, lost = oracle(rows, published, clock)
        assert as_dict(found.lists) == kept
        assert as_dict(found.left_out) == lost
        assert found.lists.schema["request_id"] == kinds["request_id"]
        assert_frame_equal(found.lists, found.lists.sort("timestamp", "request_id", "item_id"))
        again = at_the_making(found.lists, availability(published), clock)
        assert_frame_equal(again.lists, found.lists)
        assert again.left_out.is_empty()

    check()


@pytest.mark.parametrize("clock", [TimeSettings(), TimeSettings(freshness="1d", zone="Asia/Tokyo")])
def test_under_another_freshness_lists_are_as_logged(clock) -> None:
    requests = pl.DataFrame([(1, 1, START, 5, 1)], schema=KINDS, orient="row").with_columns(device=pl.lit("phone"))
    late = availability({5: START + timedelta(days=9)})
    for found in (made_lists(requests, late, clock), at_the_making(requests, late, clock)):
        assert found.lists is requests
        assert found.left_out.is_empty()


def test_what_only_a_request_knew_is_gone_and_counts_add_up() -> None:
    rows = [(8, 1, START + timedelta(hours=hour), 5, 0) for hour in (5, 9)]
    requests = pl.DataFrame(rows, schema=KINDS, orient="row").with_columns(
        request_id=pl.Series([8, 9]), device=pl.lit("phone"), views=pl.Series([50, 7]), clicks=pl.Series([3, 2])
    )
    (made,) = made_lists(requests, availability({}), NIGHTLY).lists.rows(named=True)
    assert made == {
        "request_id": 8,
        "user_id": 1,
        "timestamp": datetime(2024, 3, 29, 3, tzinfo=UTC),
        "item_id": 5,
        "label": 0,
        SHOWN_UNTIL: START + timedelta(hours=9),
        "views": 57,
        "clicks": 5,
    }


def test_an_item_that_comes_out_at_the_making_is_a_candidate_and_one_a_moment_later_is_not() -> None:
    made = datetime(2024, 3, 29, 3, tzinfo=UTC)
    rows = [(1, 1, START + timedelta(hours=12), item, 1) for item in (1, 2, 3)]
    candidates = pl.DataFrame(rows, schema=KINDS, orient="row")
    found = at_the_making(candidates, availability({1: made, 2: made + timedelta(microseconds=1)}), NIGHTLY)
    assert found.lists["item_id"].to_list() == [1, 3]
    assert found.left_out["item_id"].to_list() == [2]
    assert set(found.lists["timestamp"]) == {made}


def made(kept, lost, dtype=pl.Int64) -> Made:
    return Made(*(pl.DataFrame({"label": pl.Series(part, dtype=dtype)}) for part in (kept, lost)))


@pytest.mark.parametrize(
    ("of", "numbers", "said"),
    [
        (made([0, 1, 2, None], [1, 0]), (2, 1, 3, 1 / 3), "left out; 1 of 3 clicks (33.3 %) fell on them."),
        (made([0], [0, 0], pl.Int8), (2, 0, 0, None), "left out; 0 of 0 clicks fell on them."),
        (made([True], [True], pl.Boolean), (1, 1, 2, 0.5), "1 of 2 clicks (50.0 %) fell on them."),
        (
            made(["a"], ["b"], pl.String),
            (1, None, None, None),
            "1 candidates were not out when their lists were made, ",
        ),
        (Made(pl.DataFrame({"x": [1]}), pl.DataFrame({"x": [1]})), (1, None, None, None), "and are left out."),
    ],
)
def test_what_is_left_out_is_counted_with_its_share_of_the_clicks(of, numbers, said) -> None:
    found = NotOut.of(of)
    assert tuple(found.to_json().values()) == numbers
    assert said in found.in_words()


def test_what_several_parts_leave_out_is_counted_together():
    assert NotOut(3, 1, 5).joined(NotOut(4, 2, 6)) == NotOut(7, 3, 11)
    assert NotOut(3, 1, 5).joined(NotOut(4)) == NotOut(4).joined(NotOut(3, 1, 5)) == NotOut(7)
