"""Sampled lists, held against plain loops over the events."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from recsys.data.checks import check_tables
from recsys.data.importers.mapping import RequestsMapping
from recsys.data.importers.sampled import SampledLists, sample_lists
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.schema import TIME

START = datetime(2024, 3, 1, tzinfo=UTC)
EVENT = {"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": TIME, "event": pl.String, "value": pl.Float64}
Row = tuple[int, int, int, str, float]

rows = st.lists(
    st.tuples(
        st.integers(1, 5), st.integers(1, 12), st.integers(0, 8), st.sampled_from(["buy", "buy", "view"]),
        st.sampled_from([1.0, 5.0]),
    ),
    min_size=1,
    max_size=60,
)  # fmt: skip
availability = st.none() | st.dictionaries(st.integers(1, 12), st.none() | st.integers(0, 8), min_size=1)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def make_events(events: list[Row]) -> pl.DataFrame:
    return pl.DataFrame([(u, i, at(t), kind, value) for u, i, t, kind, value in events], schema=EVENT, orient="row")


def make_items(available: dict[int, int | None] | None) -> pl.DataFrame:
    if available is None:
        return pl.DataFrame({"item_id": range(1, 11)}, schema={"item_id": pl.Int64})
    moments = [None if hour is None else at(hour) for hour in available.values()]
    return pl.DataFrame({"item_id": list(available), "available_at": moments}, schema_overrides={"available_at": TIME})


def expected_lists(events: list[Row], items: pl.DataFrame, settings: RequestsMapping) -> dict[Any, tuple[Any, Any]]:
    """Per (moment, user): the chosen items, and all that may be drawn beside them."""
    given = dict(items.rows()) if "available_at" in items.columns else dict.fromkeys(items["item_id"])
    first: dict[int, datetime] = {}
    for _, item, hour, _, _ in events:
        first[item] = min(first.get(item, at(hour)), at(hour))

    def out(item: int, moment: datetime) -> bool:
        if item not in given:
            return False
        if given[item] is not None:
            return bool(given[item] <= moment)
        return item in first and first[item] < moment

    busy, chosen = defaultdict(set), defaultdict(set)
    for user, item, hour, kind, value in events:
        if kind == "buy":
            busy[at(hour), user].add(item)
            wanted = settings.least is None or value >= settings.least
            if wanted and out(item, at(hour)):
                chosen[at(hour), user].add(item)
    free = {key: {item for item in given if out(item, key[0])} - busy[key] for key in chosen}
    return {key: (items, free[key]) for key, items in chosen.items() if free[key]}


def read(found: SampledLists) -> dict[Any, tuple[set[int], list[int]]]:
    lists: dict[Any, tuple[set[int], list[int]]] = {}
    for (request,), rows in found.requests.group_by("request_id"):
        (key,) = set(zip(rows["timestamp"], rows["user_id"], strict=True))
        assert key not in lists, request
        lists[key] = set(rows.filter(label=1)["item_id"]), rows.filter(label=0)["item_id"].to_list()
    return lists


@pytest.mark.slow
@given(rows, availability, st.integers(1, 6), st.sampled_from([None, 5.0]))
def test_every_list_holds_what_plain_loops_allow(
    events: list[Row], available: dict[int, int | None] | None, negatives: int, least: float | None
) -> None:
    settings = RequestsMapping(sampled_from="buy", negatives=negatives, least=least)
    items = make_items(available)
    if "buy" not in {kind for _, _, _, kind, _ in events}:
        with pytest.raises(SettingsError, match=r"\[requests\] sampled_from names 'buy', an event that never occurs"):
            sample_lists(items, make_events(events), settings)
        return
    expected = expected_lists(events, items, settings)
    if not expected:
        with pytest.raises(DataError, match="no 'buy' happened while another item was out, so no list can be made"):
            sample_lists(items, make_events(events), settings)
        return
    result = sample_lists(items, make_events(events), settings)
    found = read(result)
    assert found.keys() == expected.keys()
    for key, (chosen, drawn) in found.items():
        positives, free = expected[key]
        assert chosen == positives
        assert len(drawn) == len(set(drawn)) == min(negatives, len(free))
        assert set(drawn) <= free
    listed = {(user, item, moment) for (moment, user), (chosen, _) in found.items() for item in chosen}
    left = []
    for user, item, hour, kind, value in events:
        wanted = kind == "buy" and (least is None or value >= least)
        if not (wanted and (user, item, at(hour)) in listed):
            left.append((user, item, at(hour), "click" if wanted else kind, value))
    assert result.events.rows() == left


@pytest.mark.slow
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(events: list[Row], random: Any) -> None:
    events = [*events, (1, 1, 0, "view", 1.0), (1, 2, 0, "view", 1.0), (99, 1, 5, "buy", 1.0)]
    settings = RequestsMapping(sampled_from="buy", negatives=3)
    shuffled = events.copy()
    random.shuffle(shuffled)
    first = sample_lists(make_items(None), make_events(events), settings)
    second = sample_lists(make_items(None).reverse(), make_events(shuffled), settings)
    assert_frame_equal(first.requests, second.requests)
    assert_frame_equal(first.items, second.items.reverse())
    assert sorted(first.events.rows()) == sorted(second.events.rows())


def long_log(users: int = 300) -> tuple[pl.DataFrame, pl.DataFrame]:
    random = np.random.default_rng(1)
    events = [(0, item, 0, "view", 0.0) for item in range(1, 11)]
    events += [(user, int(random.integers(1, 11)), 1 + user % 50, "buy", 0.0) for user in range(1, users)]
    return make_items(None), make_events(events)


def test_the_draw_is_uniform_and_the_seed_decides_it() -> None:
    items, events = long_log(4_000)
    lists = [sample_lists(items, events, RequestsMapping(sampled_from="buy", negatives=3, seed=seed)).requests
             for seed in (1, 1, 2)]  # fmt: skip
    assert_frame_equal(lists[0], lists[1])
    assert not lists[0].equals(lists[2])
    drawn = lists[0].filter(label=0)["item_id"].value_counts().sort("item_id")["count"].to_numpy()
    assert drawn.sum() == 3 * 3_999
    np.testing.assert_allclose(drawn / drawn.sum(), 0.1, atol=0.01)


def test_the_first_event_makes_an_item_available_and_is_noted() -> None:
    items, events = long_log()
    found = sample_lists(items, events, RequestsMapping(sampled_from="buy", negatives=3))
    assert found.items["available_at"].to_list() == [START] * 10
    assert found.notes == (
        "299 lists were made of the events 'buy', with up to 3 drawn items each (seed 7).",
        "available_at is the first event of 10 of 10 items; they are drawn after it only.",
    )
    assert found.first_shown
    dated = sample_lists(found.items, events, RequestsMapping(sampled_from="buy", negatives=3))
    assert not dated.first_shown
    dataset = Dataset(found.items.with_columns(title=pl.col("item_id").cast(pl.String)), found.events, found.requests)
    assert check_tables(dataset).ok


def test_a_basket_is_one_list_and_brings_its_context() -> None:
    items = make_items(dict.fromkeys(range(1, 11), 0))
    events = make_events([(1, 3, 2, "buy", 1.0), (1, 4, 2, "buy", 2.0), (1, 4, 2, "buy", 2.0), (2, 3, 2, "buy", 1.0)])
    events = events.with_columns(device=pl.Series(["phone", "phone", "phone", "desktop"]))
    found = sample_lists(items, events, RequestsMapping(sampled_from="buy", negatives=4, context=("device",)))
    sizes = found.requests.group_by("request_id", "user_id", "device", maintain_order=True).agg(
        pl.len(), pl.sum("label")
    )
    assert sizes.rows() == [(1, 1, "phone", 6, 2), (2, 2, "desktop", 5, 1)]
    assert found.events.is_empty()


def test_a_choice_that_became_known_late_is_no_label() -> None:
    items = make_items(dict.fromkeys(range(1, 5), 0))
    choices = [(1, 1, 2, "buy", 1.0), (1, 2, 2, "buy", 1.0), (1, 2, 2, "buy", 1.0), (2, 3, 2, "buy", 1.0)]
    known = [None, at(2), at(5), at(3)]  # item 2 is told at once and again later
    events = make_events(choices).with_columns(known_at=pl.Series(known, dtype=TIME))
    found = sample_lists(items, events, RequestsMapping(sampled_from="buy", negatives=9))
    assert read(found) == {(at(2), 1): ({1, 2}, [3, 4])}
    assert_frame_equal(found.events, events[2:].with_columns(event=pl.lit("click")))
    assert found.notes[1:] == (
        "2 events 'buy' became known after they happened, which a label cannot say; they stay events, as clicks of the "
        "moment they became known.",
    )
    with pytest.raises(DataError, match="so no list can be made; .* and one whose known_at is not after the timestamp"):
        sample_lists(items, events[3:], RequestsMapping(sampled_from="buy"))
    alone = sample_lists(items, events[[0, 3]].with_columns(user_id=1), RequestsMapping(sampled_from="buy"))
    assert read(alone) == {(at(2), 1): ({1}, [2, 4])}  # what was chosen, known late or not, is not drawn


def test_an_item_is_out_after_an_event_became_known() -> None:
    views = [(9, item, 0, "view", 0.0) for item in (1, 2, 3)]
    events = make_events([*views, (1, 1, 2, "buy", 1.0), (1, 1, 4, "buy", 1.0)])
    events = events.with_columns(known_at=pl.Series([at(1), None, at(3), at(0), None], dtype=TIME))
    found = sample_lists(make_items(None), events, RequestsMapping(sampled_from="buy"))
    assert found.items["available_at"].to_list()[:3] == [at(1), at(0), at(3)]
    assert read(found) == {(at(2), 1): ({1}, [2]), (at(4), 1): ({1}, [2, 3])}


HELPERS = ("_event", "_row", "_grade", "_first", "_given", "_chosen", "_wanted", "_fit", "_out", "_code", "_list")


@pytest.mark.parametrize("available", [None, dict.fromkeys(range(1, 11), 0)])
def test_columns_of_any_name_stay_as_they_are(available) -> None:
    items, (_, events) = make_items(available), long_log()
    settings = RequestsMapping(sampled_from="buy", negatives=3)
    plain = sample_lists(items, events, settings)
    own = [pl.lit(f"own {name}").alias(name) for name in HELPERS]
    settings = settings.model_copy(update={"context": HELPERS})
    found = sample_lists(items.with_columns(own), events.with_columns(own), settings)
    for name in ("items", "events", "requests"):
        assert_frame_equal(getattr(found, name), getattr(plain, name).with_columns(own), check_column_order=False)
    assert found.notes == plain.notes


def test_clicks_below_least_would_count_as_clicks_and_are_refused() -> None:
    with pytest.raises(ValidationError, match="least leaves events below it as 'click' events, which count as clicks"):
        RequestsMapping(sampled_from="click", least=4)
    assert RequestsMapping(sampled_from="click").least is None


def test_what_cannot_be_sampled_is_told() -> None:
    items, events = long_log(20)
    settings = RequestsMapping(sampled_from="buy")
    with pytest.raises(DataError, match=r"sampled_from = 'buy' makes lists of events, and there are none; name them"):
        sample_lists(items, None, settings)
    with pytest.raises(DataError, match="1 events lack user_id; set tidy = true in the mapping"):
        sample_lists(items, events.vstack(events.head(1).with_columns(user_id=pl.lit(None, pl.Int64))), settings)
    with pytest.raises(DataError, match="items holds an item_id twice; set tidy = true in the mapping"):
        sample_lists(items.vstack(items), events, settings)
    with pytest.raises(DataError, match="context and least need the column device of events, which has user_id"):
        sample_lists(items, events, RequestsMapping(sampled_from="buy", context=("device",)))
    with pytest.raises(DataError, match="need the column value of events"):
        sample_lists(items, events.drop("value"), RequestsMapping(sampled_from="buy", least=3))


def test_an_item_in_versions_is_one_and_out_no_sooner_than_it_is_known() -> None:
    versions = [(1, None, 0), (1, 4, 7), (2, 6, 0), (3, None, None), (3, 5, None)]
    items = pl.DataFrame(
        [(item, since and at(since), None if out is None else at(out)) for item, since, out in versions],
        schema={"item_id": pl.Int64, "known_at": TIME, "available_at": TIME},
        orient="row",
    )
    events = make_events([(user, item, hour, "buy", 1.0) for user in (1, 2) for item, hour in ((1, 3), (3, 2), (2, 7))])
    made = sample_lists(items, events, RequestsMapping(sampled_from="buy", negatives=5))
    assert made.items["available_at"].to_list() == [at(0), at(0), at(0), at(2), at(2)]
    lists = made.requests.group_by("timestamp").agg(pl.col("item_id").unique().sort()).sort("timestamp")
    assert dict(lists.iter_rows()) == {at(3): [1, 3], at(7): [1, 2, 3]}
    assert not made.requests.select("request_id", "item_id").is_duplicated().any()
    twice = pl.concat([items, items[1:2]])
    with pytest.raises(DataError, match="items holds an item_id twice; set tidy = true"):
        sample_lists(twice, events, RequestsMapping(sampled_from="buy"))
