from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys.data.tables import Dataset
from recsys.jobs.nightly.drift import DataProfile, data_drift
from recsys.jobs.nightly.settings import GateSettings
from recsys.past.behaviour import Kept
from recsys.world import WorldSettings, make_world

END = datetime(2025, 3, 13, 4, tzinfo=UTC)
KEPT = Kept(affinity=("category",), context=("device",))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_world(WorldSettings(seed=8, items=300, users=300, days=12, history_days=3, requests=4_000)).dataset


@pytest.fixture(scope="module")
def usual(dataset: Dataset) -> DataProfile:
    before = END - timedelta(days=1)
    known = replace(
        dataset,
        requests=dataset.requests.filter(pl.col("timestamp") < before),
        events=dataset.events.filter(pl.col("timestamp") < before),
    )
    return DataProfile.usual(known, before, KEPT)


def found(usual: DataProfile, dataset: Dataset) -> list[str]:
    return data_drift(usual, DataProfile.of(dataset, END, 1, KEPT), GateSettings())


def test_a_day_like_the_others_is_let_through(dataset: Dataset, usual: DataProfile) -> None:
    assert found(usual, dataset) == []
    assert len(usual.days["lists"]) == 9


def test_a_profile_counts_by_day_and_hour_before_its_end(dataset: Dataset, usual: DataProfile) -> None:
    now = DataProfile.of(dataset, END, 1, KEPT)
    last = dataset.requests.filter(pl.col("timestamp").is_between(END - timedelta(days=1), END, closed="left"))
    assert now.days["lists"] == [last["request_id"].n_unique()]
    assert sum(now.hours["lists"]) == now.days["lists"][0]
    hour = last.filter(pl.col("timestamp") >= END - timedelta(hours=3), pl.col("timestamp") < END - timedelta(hours=2))
    assert now.hours["lists"][2] == hour["request_id"].n_unique()
    assert sum(usual.shares["items.category"].values()) == pytest.approx(1, abs=1e-4)
    again = DataProfile(**usual.to_json())
    assert again == usual


def test_a_renamed_category_is_named(dataset: Dataset, usual: DataProfile) -> None:
    most = max(usual.shares["items.category"], key=lambda value: usual.shares["items.category"][value])
    name = pl.when(pl.col("category") == most).then(pl.lit("renamed")).otherwise("category")
    (reason,) = found(usual, replace(dataset, items=dataset.items.with_columns(category=name)))
    assert reason.startswith("items.category: ")
    assert "renamed" in reason or most in reason


def test_a_feed_that_stopped_is_named(dataset: Dataset, usual: DataProfile) -> None:
    stopped = dataset.events.filter((pl.col("event") != "view") | (pl.col("timestamp") < END - timedelta(hours=10)))
    (reason,) = found(usual, replace(dataset, events=stopped))
    assert reason.startswith("events of kind view: none in the last ")
    assert reason.endswith("are usual: the feed has stopped")
    none = dataset.events.filter((pl.col("event") != "click") | (pl.col("timestamp") < END - timedelta(days=1)))
    (reason,) = found(usual, replace(dataset, events=none))
    assert reason.startswith("events of kind click: 0 in the last day, where a usual day has ")
    assert reason.endswith(" are wanted ([gate] volume)")


def test_half_the_users_gone_is_named(dataset: Dataset, usual: DataProfile) -> None:
    here = (pl.col("user_id").hash(3) % 2 == 0) | (pl.col("timestamp") < END - timedelta(days=1))
    reasons = found(usual, replace(dataset, requests=dataset.requests.filter(here), events=dataset.events.filter(here)))
    assert any(reason.startswith("users: ") for reason in reasons)


def test_values_that_are_empty_now_are_named(dataset: Dataset, usual: DataProfile) -> None:
    late = pl.col("timestamp") >= END - timedelta(days=1)
    device = pl.when(late & (pl.col("request_id").hash(1) % 3 == 0)).then(None).otherwise("device")
    reasons = found(usual, replace(dataset, requests=dataset.requests.with_columns(device=device)))
    assert any(reason.startswith("requests.device: 3") and "% are usual ([gate] nulls)" in reason for reason in reasons)
