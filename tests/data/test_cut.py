"""Tables cut at a moment: what comes later decides nothing in them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.clock import TimeSettings
from recsys.data.cut import known_before
from recsys.data.tables import About, Dataset

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def contents(dataset: Dataset) -> dict[str, list]:
    """Every row of every table, columns without a value aside."""
    tables = {name: getattr(dataset, name) for name in ("items", "users", "events", "requests")}
    return {
        name: sorted(map(repr, table[[each.name for each in table if each.null_count() < len(table)]].to_dicts()))
        for name, table in tables.items()
    }


def test_whatever_comes_after_the_moment_changes_nothing(tools) -> None:
    @settings(max_examples=40)
    @given(case=tools.case(), hours=st.integers(0, 30), data=st.data())
    def check(case, hours, data) -> None:
        moment = case.candidates["timestamp"].min() - timedelta(hours=6) + hours * HOUR
        other = data.draw(tools.other_future(case, moment, moment))
        here, there = (known_before(each.plain(), moment, case.time) for each in (case.dataset, other))
        assert contents(here) == contents(there)

    check()


def test_features_of_the_moment_are_those_of_the_whole_tables(tools) -> None:
    for seed in range(6):
        case = tools.full_case(seed, moments=seed, versions=seed % 2 == 0, feedback_delay="2h", click_delay="1h")
        moment = datetime(2024, 4, 26, 2, tzinfo=UTC)
        asked = case.candidates.with_columns(timestamp=pl.lit(moment).cast(case.candidates.schema["timestamp"]))
        cut = known_before(case.dataset, moment, case.time)
        assert len(cut.requests) < len(case.dataset.requests)
        both = (tools.compute(asked, each, case.time) for each in (case.dataset, cut))
        whole, known = map(tools.bits, both)
        assert known == whole


def lists(*rows: tuple[datetime, int, datetime | None]) -> pl.DataFrame:
    """Lists of one candidate: shown when, its label, clicked when."""
    shown = {"request_id": range(len(rows)), "user_id": 1, "item_id": 1, "timestamp": [row[0] for row in rows]}
    outcome = {"label": [row[1] for row in rows], "clicked_at": [row[2] for row in rows]}
    numbers = [*range(1, len(rows) + 1)]
    return pl.DataFrame(shown | outcome | {"dwell": numbers, "views": numbers, "device": "phone"})


def tables(requests: pl.DataFrame) -> Dataset:
    moments = pl.Series([NOON - HOUR, NOON, None]).dt.cast_time_unit("us")
    items = pl.DataFrame({"item_id": [1, 1, 2], "known_at": moments, "title": ["old", "new", "always"]})
    events = pl.DataFrame(
        {"user_id": 1, "item_id": 1, "event": ["known", "told late"], "timestamp": NOON - HOUR}
        | {"known_at": [None, NOON]}
    )
    return Dataset(items, events, requests, about=About(recorded_after=("dwell", "label"))).plain()


def test_a_label_is_known_after_its_delay_and_a_click_at_its_moment() -> None:
    minutes = timedelta(minutes=1)
    rows = [
        (NOON - 31 * minutes, 0, None, 0),  # nobody clicked for half an hour
        (NOON - 30 * minutes, 0, None, None),
        (NOON - 29 * minutes, 2, NOON - minutes, 2),
        (NOON - 29 * minutes, 2, NOON, None),
        (NOON - 31 * minutes, 1, NOON, 0),  # clicked when everybody counts it as not clicked
        (NOON - 11 * minutes, 1, None, 1),
        (NOON - 10 * minutes, 1, None, None),
    ]
    requests = lists(*(row[:3] for row in rows), (NOON, 0, None))
    cut = known_before(tables(requests), NOON, TimeSettings(feedback_delay="30m", click_delay="10m")).requests
    assert cut["label"].to_list() == [row[3] for row in rows]
    assert cut["clicked_at"].to_list() == [None, None, NOON - minutes, None, None, None, None]
    assert cut["dwell"].to_list() == cut["views"].to_list() == [1, None, None, None, 5, None, None]
    assert cut["device"].null_count() == 0
    assert cut.schema == tables(requests).requests.schema


def test_versions_and_events_count_from_when_they_were_known() -> None:
    cut = known_before(tables(lists((NOON - HOUR, 0, None))), NOON, TimeSettings())
    assert cut.items["title"].to_list() == ["old", "always"]
    assert cut.events["event"].to_list() == ["known"]
    assert cut.users is None


@pytest.mark.parametrize("without", ["known_at", "clicked_at"])
def test_tables_without_moments_are_known_as_they_stand(without: str) -> None:
    dataset = tables(lists((NOON - HOUR, 1, None), (NOON - HOUR, 0, None)))
    fewer = replace(
        dataset,
        items=dataset.items.drop(without, strict=False),
        events=dataset.events.drop(without, strict=False),
        requests=dataset.requests.drop(without, strict=False),
    )
    cut = known_before(fewer, NOON, TimeSettings())
    assert_frame_equal(cut.requests, fewer.requests)
    assert len(cut.items) == (3 if without == "known_at" else 2)
    assert len(cut.events) == (2 if without == "known_at" else 1)
