from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.jobs.segments import cold_requests, segment_requests
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.schema import TIME


@pytest.fixture(scope="module")
def shown(small_world):
    """The lists of the last day, and the behaviour they are looked up in."""
    dataset = small_world.dataset.plain()
    last = dataset.requests["timestamp"].max()
    requests = dataset.requests.filter(pl.col("timestamp") > last - pl.duration(days=1))
    return dataset, requests.sort("request_id", "item_id"), Log(behaviour_of(dataset, Kept()), TimeSettings())


def per_request(requests: pl.DataFrame, flags: np.ndarray) -> dict[object, bool]:
    table = requests.select("request_id", flag=pl.Series(flags))
    assert (table.group_by("request_id").agg(pl.col("flag").n_unique())["flag"] == 1).all(), "cuts through a request"
    return dict(table.unique().rows())


def test_cold_requests_have_a_clicked_item_with_few_showings_before(shown) -> None:
    dataset, requests, log = shown
    showings = dataset.requests.select("timestamp", "item_id")
    expected = dict.fromkeys(requests["request_id"], False)
    for request, moment, item, label in requests.select("request_id", "timestamp", "item_id", "label").rows():
        if label > 0:
            before = showings.filter((pl.col("item_id") == item) & (pl.col("timestamp") < moment)).height
            expected[request] = expected[request] or before < 20
    flags = cold_requests(requests, log)
    assert per_request(requests, flags) == expected
    assert 0 < flags.mean() < 1


@pytest.mark.parametrize(("showings", "cold"), [(0, True), (19, True), (20, False), (21, False)])
def test_an_item_is_cold_below_twenty_showings(tools, showings: int, cold: bool) -> None:
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    before = [(2, noon - timedelta(minutes=minute), {1: 0, 2: 0}) for minute in range(1, showings + 1)]
    dataset = Dataset(pl.DataFrame({"item_id": [1, 2]}), tools.events([]), tools.showings(before))
    log = Log(behaviour_of(dataset, Kept()), TimeSettings())
    asked = tools.showings([(1, noon, {1: 1, 2: 0})])
    assert cold_requests(asked, log).tolist() == [cold, cold]


def test_cold_and_warm_lists_are_those_with_a_click(shown) -> None:
    dataset, requests, log = shown
    found = segment_requests(Asked.of(requests, log), dataset)
    clicked = requests.group_by("request_id").agg((pl.col("label") > 0).any())
    cold, warm = found["clicked items = cold"], found["clicked items = warm"]
    assert not (cold & warm).any()
    assert per_request(requests, cold | warm) == dict(clicked.rows())


def test_users_are_grouped_by_what_they_had_clicked_before(shown) -> None:
    dataset, requests, log = shown
    found = segment_requests(Asked.of(requests, log), dataset)
    delay = log.time.feedback_delay
    for request, user, moment in requests.unique("request_id").select("request_id", "user_id", "timestamp").rows():
        of_user = pl.col("user_id") == user
        events = dataset.events.filter(of_user, pl.col("event") == "click", pl.col("timestamp") < moment).height
        lists = dataset.requests.filter(of_user, pl.col("label") > 0, pl.col("timestamp") + delay < moment).height
        clicks = events + lists
        name = "0" if not clicks else "1 to 4" if clicks < 5 else "5 to 19" if clicks < 20 else "20 or more"
        assert per_request(requests, found[f"past clicks = {name}"])[request], (clicks, name)


def test_every_group_but_that_of_clicked_items_covers_each_list_once(shown) -> None:
    dataset, requests, log = shown
    found = segment_requests(Asked.of(requests, log), dataset, ["category"])
    groups: dict[str, list[np.ndarray]] = {}
    for name, flags in found.items():
        groups.setdefault(name.partition(" = ")[0], []).append(flags)
    assert list(groups) == ["clicked items", "past clicks", "list size", "hour", "device", "clicked items' category"]
    for name in ("past clicks", "list size", "hour", "device"):
        assert (np.sum(groups[name], axis=0) == 1).all(), name


def test_hours_are_those_of_the_zone(shown) -> None:
    dataset, requests, log = shown
    zoned = Log(log.behaviour, TimeSettings(zone="Pacific/Auckland"))
    found = segment_requests(Asked.of(requests, zoned), dataset)
    hours = requests["timestamp"].dt.convert_time_zone("Pacific/Auckland").dt.hour()
    assert np.array_equal(found["hour = 18 to 23"], (hours >= 18).to_numpy())


def test_a_column_of_items_groups_by_what_was_clicked(shown) -> None:
    dataset, requests, log = shown
    found = segment_requests(Asked.of(requests, log), dataset, ["category"])
    category = dict(dataset.items.select("item_id", "category").rows())
    clicked: dict[object, set[object]] = {request: set() for request in requests["request_id"]}
    for request, item, label in requests.select("request_id", "item_id", "label").rows():
        if label > 0:
            clicked[request].add(category[item])
    for name in {each for of in clicked.values() for each in of}:
        expected = {request: name in of for request, of in clicked.items()}
        assert per_request(requests, found[f"clicked items' category = {name}"]) == expected


def test_numbers_with_many_values_are_cut_at_their_quartiles_and_missing_ones_stand_apart(shown) -> None:
    dataset, requests, log = shown
    users = dataset.requests.select("user_id").unique().sort("user_id")
    ages = pl.Series("age", np.arange(len(users)) + 20, dtype=pl.Int64).set(
        pl.int_range(len(users), eager=True) == 3, None
    )
    found = segment_requests(Asked.of(requests, log), replace(dataset, users=users.with_columns(ages)), ["age"])
    of_user = dict(zip(users["user_id"], ages, strict=True))
    known = ages.drop_nulls().to_numpy()
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    names = {f"below {low:g}": (-np.inf, low), f"{low:g} to below {middle:g}": (low, middle)}
    names |= {f"{middle:g} to below {high:g}": (middle, high), f"{high:g} or more": (high, np.inf)}
    for name, (start, end) in names.items():
        inside = [of_user[user] is not None and start <= of_user[user] < end for user in requests["user_id"]]
        assert found[f"age = {name}"].tolist() == inside
    assert found["age = (none)"].tolist() == [of_user[user] is None for user in requests["user_id"]]


def test_rare_values_share_a_segment(shown) -> None:
    dataset, requests, log = shown
    page = pl.Series([f"p{min(int(request) % 40, 20)}" for request in requests["request_id"].cast(pl.Int64)])
    found = segment_requests(Asked.of(requests.with_columns(page=page), log), dataset, ["page"])
    names = [name.partition(" = ")[2] for name in found if name.startswith("page")]
    assert len(names) == 9
    assert names[0] == "p20"
    others = page.is_in([name for name in names if name != "(others)"]).not_()
    assert np.array_equal(found["page = (others)"], others.to_numpy())


def test_columns_that_cannot_group_requests_are_refused(shown) -> None:
    dataset, requests, log = shown
    with pytest.raises(
        SettingsError,
        match="no table has a column 'colour' to group by; requests have request_id, .*; items have item_id",
    ):
        segment_requests(Asked.of(requests, log), dataset, ["colour"])
    with pytest.raises(SettingsError, match="'timestamp' holds Datetime.* values, which are no groups"):
        segment_requests(Asked.of(requests, log), dataset, ["timestamp"])
    with pytest.raises(DataError, match=r"'position' differs between the candidates of \d+ requests"):
        segment_requests(Asked.of(requests, log), dataset, ["position"])


def test_infinite_missing_and_close_numbers_are_grouped_by_their_value(shown) -> None:
    dataset, requests, log = shown
    ids = requests["request_id"].cast(pl.Int64)
    hard = requests.with_columns(
        price=pl.when(ids % 3 == 0).then(np.inf).when(ids % 3 == 1).then(-np.inf).otherwise(ids.cast(pl.Float64)),
        few=pl.when(ids % 2 == 0).then(np.nan).otherwise(1.0),
        stamp=1_741_000_000 + ids % 100,
    )
    found = segment_requests(Asked.of(hard, log), dataset, ["price", "few", "stamp", "request_id"])
    assert not any("nan" in name.lower() for name in found)
    below, above = (
        next(flags for name, flags in found.items() if name.startswith("price") and words in name)
        for words in ("= below", "or more")
    )
    assert above[(ids % 3 == 0).to_numpy()].all()
    assert below[(ids % 3 == 1).to_numpy()].all()
    assert np.array_equal(found["few = (none)"], (ids % 2 == 0).to_numpy())
    for column in ("price", "stamp", "request_id"):
        groups = [flags for name, flags in found.items() if name.startswith(f"{column} = ")]
        assert len(groups) == 4
        assert (np.sum(groups, axis=0) == 1).all()


def test_bytes_and_a_column_that_is_called_like_a_segment_are_refused(shown) -> None:
    dataset, requests, log = shown
    items = dataset.items.with_columns(raw=pl.lit(b"\xff"))
    with pytest.raises(SettingsError, match="'raw' holds Binary values, which are no groups"):
        segment_requests(Asked.of(requests, log), replace(dataset, items=items), ["raw"])
    with pytest.raises(SettingsError, match="'hour = 0 to 5' of column 'hour' is a segment already; rename the column"):
        segment_requests(Asked.of(requests.with_columns(hour=pl.lit("0 to 5")), log), dataset, ["hour"])


def test_what_the_ranker_may_know_changes_no_segment(shown) -> None:
    """Segments say how things were at the request's own time, under daily knowledge too."""
    dataset, requests, log = shown
    daily = Log(log.behaviour, TimeSettings(freshness="1d"))
    live, found = (
        segment_requests(Asked.of(requests, log), dataset),
        segment_requests(Asked.of(requests, daily), dataset),
    )
    assert list(live) == list(found)
    assert all(np.array_equal(flags, found[name]) for name, flags in live.items())


def test_a_segment_of_all_requests_is_left_out(shown) -> None:
    dataset, requests, log = shown
    found = segment_requests(Asked.of(requests.with_columns(shop=pl.lit("one")), log), dataset, ["shop"])
    assert not any(name.startswith("shop") for name in found)
    assert all(0 < flags.sum() < len(flags) for flags in found.values())


@pytest.mark.parametrize(
    "device",
    [pl.int_range(pl.len()), pl.concat_list(pl.lit("phone")), pl.lit(3_600_000_000).cast(pl.Duration("us"))],
)
def test_a_device_that_nobody_named_and_that_groups_no_requests_stops_nothing(shown, device) -> None:
    dataset, requests, log = shown
    asked = Asked.of(requests.with_columns(device=device), log)
    assert not any(name.startswith("device") for name in segment_requests(asked, dataset))
    with pytest.raises((DataError, SettingsError), match="'device'"):
        segment_requests(asked, dataset, ["device"])


def test_of_items_and_users_in_versions_the_last_one_groups(shown) -> None:
    dataset, requests, log = shown
    asked, moment = Asked.of(requests, log), datetime(2024, 1, 1, tzinfo=UTC)
    plain = segment_requests(asked, dataset, ["category", "age_group"])
    tables = {}
    for name, column in (("items", "category"), ("users", "age_group")):
        table = getattr(dataset, name)
        early = table.with_columns(pl.lit("before").alias(column), known_at=pl.lit(None, TIME))
        tables[name] = pl.concat([table.with_columns(known_at=pl.lit(moment, TIME)), early])
    found = segment_requests(asked, replace(dataset, **tables), ["category", "age_group"])
    assert found.keys() == plain.keys()
    assert all(np.array_equal(flags, plain[name]) for name, flags in found.items())
