from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.jobs.futures import ROWS, two_futures
from recsys.schema import TIME
from recsys.world import WorldSettings, make_world

HOUR = timedelta(hours=1)
CLOCKS = [TimeSettings(), TimeSettings(freshness="1d", feedback_delay="6h"), TimeSettings(feedback_delay="0s")]
CLOCKS += [TimeSettings(feedback_delay="6h", click_delay="10m"), TimeSettings(feedback_delay="6h", click_delay="0s")]
CLOCKS += [TimeSettings(freshness="nightly", made_at="04:00")]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    made = make_world(WorldSettings(seed=3, items=150, users=40, days=3, history_days=2, requests=300)).dataset
    moments = pl.col("timestamp")
    late = pl.when(pl.int_range(pl.len()) % 3 == 0).then(moments + 7 * HOUR)
    clicked = (pl.col("label") > 0) & (pl.int_range(pl.len()) % 3 > 0)
    clicked_at = pl.when(clicked).then(moments + (pl.int_range(pl.len()) % 500) * timedelta(minutes=1))
    return Dataset(
        made.items, made.events.with_columns(known_at=late), made.requests.with_columns(clicked_at=clicked_at)
    )


def middle(dataset: Dataset) -> pl.DataFrame:
    requests = dataset.requests.sort("timestamp", "request_id")
    return requests.filter(pl.col("request_id") == requests["request_id"][len(requests) // 2])


def cut(frame: pl.DataFrame, keep: pl.Expr) -> pl.DataFrame:
    return frame.filter(keep).select(sorted(frame.columns)).sort(pl.all())


def known_at(events: pl.DataFrame) -> pl.Expr:
    return pl.max_horizontal("timestamp", "known_at").fill_null(pl.col("timestamp"))


def clicked(clock: TimeSettings, as_of: datetime) -> pl.Expr:
    """Whether a click is known."""
    known = pl.coalesce("clicked_at", pl.col("timestamp") + clock.clicks_known_after)
    return (pl.col("label") > 0) & (known < as_of)


@pytest.mark.parametrize("clock", CLOCKS)
def test_what_is_known_before_as_of_is_the_same_and_nothing_else_comes_in(
    dataset: Dataset, clock: TimeSettings
) -> None:
    asked = middle(dataset)
    as_of = clock.known_at(asked["timestamp"][0])
    one, other = two_futures(dataset, asked, clock, np.random.default_rng(0))
    assert one.items.equals(other.items)
    before, told = pl.col("timestamp") < as_of, ["label", "clicked_at"]
    assert cut(one.requests.drop(told), before).equals(cut(other.requests.drop(told), before))
    assert cut(one.requests, clicked(clock, as_of)).equals(cut(other.requests, clicked(clock, as_of)))
    settled = pl.col("timestamp") + clock.feedback_delay
    in_time = (pl.col("label") > 0) & (pl.coalesce("clicked_at", "timestamp") <= settled)
    outcomes = [log.requests.with_columns(label=in_time).drop("clicked_at") for log in (one, other)]
    assert cut(outcomes[0], settled < as_of).equals(cut(outcomes[1], settled < as_of))
    for log in (one, other):
        past = log.events.filter(known_at(log.events) < as_of).drop("known_at")
        logged = dataset.events.filter(known_at(dataset.events) < as_of).drop("known_at")
        assert past.sort(pl.all()).equals(logged.sort(pl.all()))


@pytest.mark.parametrize("clock", CLOCKS)
def test_everything_else_is_changed(dataset: Dataset, clock: TimeSettings) -> None:
    asked = middle(dataset)
    as_of = clock.known_at(asked["timestamp"][0])
    one, other = two_futures(dataset, asked, clock, np.random.default_rng(0))
    known = clicked(clock, as_of) | ((pl.col("label") == 0) & (pl.col("timestamp") + clock.feedback_delay < as_of))
    unlabelled = one.requests.filter(pl.col("timestamp") < as_of, ~known)
    pair = unlabelled.join(other.requests, on=["request_id", "item_id"])
    assert len(pair) == len(unlabelled)
    assert ((pair["label"] > 0) != (pair["label_right"] > 0)).all()
    assert (
        not pair.with_columns(label="label_right", clicked_at="clicked_at_right")
        .select(clicked(clock, as_of).any())
        .item()
    )
    later = pl.col("timestamp") >= as_of
    key = ["user_id", "item_id", "timestamp"]
    shown, changed = (log.requests.filter(later) for log in (one, other))
    assert len(changed) < len(shown)
    assert len(changed.join(shown, on=key, how="semi")) < 0.3 * len(shown)
    done, done_later = (log.events.filter(known_at(log.events) >= as_of) for log in (one, other))
    assert len(done_later.join(done, on=key, how="semi")) < 0.3 * len(done)


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_candidate_has_rows_on_the_very_edge(dataset: Dataset, clock: TimeSettings) -> None:
    asked = middle(dataset)
    as_of = clock.known_at(asked["timestamp"][0])
    one, other = two_futures(dataset, asked, clock, np.random.default_rng(0))
    mine = pl.col("user_id") == asked["user_id"][0]
    for delay in (clock.feedback_delay, clock.clicks_known_after):
        edge = mine & (pl.col("timestamp") == as_of - delay)
        for log, label in [(one, 0), (other, 1)]:
            rows = log.requests.filter(edge, pl.col("label") == label)
            if delay or log is one:  # without a delay the list lies in the future and is scattered as well
                assert set(asked["item_id"]) <= set(rows["item_id"])
    kinds = sorted({*dataset.events["event"], "click"})
    added = other.events.filter(mine, pl.col("known_at") == as_of, pl.col("timestamp") == as_of - HOUR)
    for kind in kinds:
        assert set(asked["item_id"]) <= set(added.filter(pl.col("event") == kind)["item_id"])


def test_a_long_log_is_cut_to_what_is_near(dataset: Dataset) -> None:
    many = 2 * ROWS
    start = datetime(2025, 1, 1, tzinfo=UTC)
    moments = pl.Series([start + timedelta(seconds=number) for number in range(many)]).cast(pl.Datetime("us", "UTC"))
    requests = pl.DataFrame(
        {"request_id": range(many), "user_id": 1, "timestamp": moments, "item_id": np.arange(many) % 9, "label": 0}
    )
    events = pl.DataFrame({"user_id": 1, "item_id": 200 + np.arange(many), "timestamp": moments, "event": "view"})
    items = pl.DataFrame({"item_id": range(many)})
    asked = requests[many // 2 : many // 2 + 1]
    one, _ = two_futures(Dataset(items, events, requests), asked, TimeSettings(), np.random.default_rng(0))
    assert len(one.requests) == ROWS + 2  # the request itself and the list whose labels become known at its moment
    assert asked["request_id"][0] in one.requests["request_id"]
    assert (one.requests["timestamp"] - asked["timestamp"][0]).abs().max() < timedelta(seconds=many // 2)
    assert len(one.events) == ROWS
    assert len(one.items) == 9 + ROWS


def test_text_ids_and_a_log_without_events_are_taken(dataset: Dataset) -> None:
    text = [pl.col(name).cast(pl.String) for name in ("user_id", "item_id")]
    requests = dataset.requests.with_columns(*text, pl.col("request_id").cast(pl.String))
    events = dataset.events.drop("known_at").clear().with_columns(text)
    tables = Dataset(dataset.items.with_columns(pl.col("item_id").cast(pl.String)), events, requests)
    one, other = two_futures(tables, middle(tables), TimeSettings(), np.random.default_rng(0))
    assert one.events.is_empty()
    assert other.events["event"].unique().to_list() == ["click"]


def test_the_seed_decides(dataset: Dataset) -> None:
    asked = middle(dataset)
    made = [two_futures(dataset, asked, TimeSettings(), np.random.default_rng(seed))[1] for seed in (0, 0, 1)]
    assert made[0].requests.equals(made[1].requests)
    assert made[0].events.equals(made[1].events)
    assert not made[0].requests.equals(made[2].requests)


def test_the_request_itself_is_in_the_future_that_is_scattered(dataset: Dataset) -> None:
    asked, key = middle(dataset), ["request_id", "user_id", "item_id", "timestamp"]
    kept = []
    for seed in range(8):
        _, other = two_futures(dataset, asked, TimeSettings(), np.random.default_rng(seed))
        kept.append(len(other.requests.join(asked, on=key, how="semi")))
    assert min(kept) == 0  # deleted or moved as a whole
    assert max(kept) < len(asked)


def in_versions(dataset: Dataset) -> Dataset:
    """Give every item and user further versions an hour or so around the request in the middle."""
    moment = middle(dataset)["timestamp"][0]
    users = dataset.requests.select("user_id").unique().sort("user_id").with_columns(town=pl.lit("a"))
    tables = []
    for table, name in ((dataset.items, "category"), (users, "town")):
        later = [
            table.with_columns(pl.lit(f"{hours}").alias(name), known_at=pl.lit(moment + hours * HOUR))
            for hours in (-30, -1, 0, 1, 40)
        ]
        tables.append(pl.concat([table.with_columns(known_at=pl.lit(None, TIME)), *later], how="vertical_relaxed"))
    return replace(dataset, items=tables[0], users=tables[1])


@pytest.mark.parametrize("clock", CLOCKS)
def test_versions_known_before_the_request_stay_and_the_others_are_scattered(
    dataset: Dataset, clock: TimeSettings
) -> None:
    logged, before = middle(dataset), 0
    moment = clock.known_at(logged["timestamp"][0]) if clock.nightly else logged["timestamp"][0]
    asked = logged.with_columns(timestamp=pl.lit(moment))
    one, other = two_futures(in_versions(dataset), asked, clock, np.random.default_rng(0))
    for table, others, key in ((one.items, other.items, "item_id"), (one.users, other.users, "user_id")):
        known = (pl.col("known_at") < moment).fill_null(value=True)
        assert cut(table, known).equals(cut(others, known))
        before += table.select(known.sum()).item()
        later, scattered = (each.filter(~known) for each in (table, others))
        assert len(later.join(scattered, on=later.columns, how="anti")) > len(later) / 2
        assert 0 < len(scattered.join(later, on=[key, "known_at"], how="semi")) < len(later)
        at_once = others.filter(pl.col("known_at") == moment)
        assert set(asked[key]) <= set(at_once[key])
        assert not others.select(key, "known_at").is_duplicated().any()
    assert before


def test_tables_without_moments_are_the_same_in_both(dataset: Dataset) -> None:
    users = dataset.requests.select("user_id").unique()
    one, other = two_futures(replace(dataset, users=users), middle(dataset), CLOCKS[0], np.random.default_rng(0))
    assert one.items.equals(other.items)
    assert one.users.equals(other.users)
