"""A day as it becomes known, told to a process: late, twice and out of order, and what a batch of it would say."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.model.folder import Model, State
from recsys.model.prepared import behaviour_of
from recsys.model.ready import Ready
from recsys.past import tail as tail_module
from recsys.past.told import Taken
from recsys.world import WorldSettings, make_world

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
KEY = ["request_id", "item_id"]


@dataclass(frozen=True)
class Message:
    """Rows that are told together: when they became known, when they arrive, and whether they are events."""

    known: datetime
    arrives: datetime
    rows: pl.DataFrame
    events: bool

    @property
    def late(self) -> bool:
        return self.arrives > self.known


def logged(seed: int) -> Dataset:
    """Make a world whose events have ids, and half of whose clicks have a moment."""
    made = make_world(WorldSettings(seed=seed, items=120, users=30, days=4, history_days=2, requests=260)).dataset
    random = np.random.default_rng(seed)
    after = pl.Series((random.exponential(1800, len(made.requests)) * 1e6).astype(int)).cast(pl.Duration("us"))
    seen = (pl.col("label") > 0) & pl.Series(random.random(len(made.requests)) < 0.5)
    requests = made.requests.with_columns(clicked_at=pl.when(seen).then(pl.col("timestamp") + after))
    slow = pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.col("timestamp") + 2 * HOUR)
    events = made.events.with_columns(event_id=pl.int_range(pl.len()), known_at=slow)
    return Dataset(made.items, events, requests)


def messages(dataset: Dataset, midnight: datetime, time: TimeSettings, random: np.random.Generator) -> list[Message]:
    """What becomes known after midnight: events, lists without labels, clicks, and at last what was not clicked."""

    def arrival(known: datetime) -> datetime:
        return known + (float(random.random()) * 5 * HOUR if random.random() < 0.2 else timedelta(0))

    found = []
    known_at = pl.max_horizontal("known_at", "timestamp")
    for row in dataset.events.filter(known_at >= midnight).with_columns(known=known_at).iter_slices(1):
        known = row["known"][0]
        found.append(Message(known, arrival(known), row.drop("known"), True))
    for rows in dataset.requests.filter(pl.col("timestamp") >= midnight).partition_by("request_id"):
        shown = rows["timestamp"][0]
        first = Message(shown, arrival(shown), rows.with_columns(label=None, clicked_at=None), False)
        found.append(first)
        for row in rows.iter_slices(1):
            clicked = row["clicked_at"][0] or shown + time.clicks_known_after
            known = clicked if row["label"][0] > 0 else shown + time.feedback_delay
            found.append(Message(known, max(first.arrives, arrival(known)), row, False))
    return sorted(found, key=lambda message: message.arrives)


def frames(told: list[Message]) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """Events and lists of some messages, each candidate once."""
    done = [message.rows for message in told if message.events]
    shown = [message.rows for message in told if not message.events]
    lists = pl.concat(shown, how="vertical_relaxed").unique(KEY, keep="first", maintain_order=True) if shown else None
    return (pl.concat(done) if done else None), lists


def replay(ranker: Ranker, day: list[Message], random: np.random.Generator) -> Iterator[tuple[datetime, list[Taken]]]:
    """Tell of a day in steps, what is late with its moment, and something again; give what was taken in each step."""
    start, end = day[0].arrives, day[-1].arrives
    moment, place = start, 0
    while place < len(day):
        moment += (end - start) / 9
        until = next((number for number, each in enumerate(day) if each.arrives > moment), len(day))
        new = day[place:until]
        lists = [message for message in new if not message.events and message.rows["label"].null_count()]
        rest = [message for message in new if message.events or not message.rows["label"].null_count()]
        parts = [
            (lists, None),
            ([each for each in rest if not each.late], None),
            ([each for each in rest if each.late], moment),
        ]
        taken = [ranker.update(*frames(part), at=at) for part, at in parts]
        again = [day[int(number)] for number in random.integers(0, until, 12)]
        repeated = ranker.update(*frames(again), at=moment if random.random() < 0.5 else None)
        assert len(repeated.events) + len(repeated.requests) == 0
        assert repeated.ignored > 0
        place = until
        yield moment, taken


def batch(dataset: Dataset, taken: list[Taken]) -> Dataset:
    """The tables of before, and what was taken: of each candidate the last row."""
    events = pl.concat([dataset.events, *(each.events for each in taken)], how="diagonal_relaxed")
    requests = pl.concat([dataset.requests, *(each.requests for each in taken)], how="diagonal_relaxed")
    return replace(dataset, events=events, requests=requests.unique(KEY, keep="last", maintain_order=True))


def asked(dataset: Dataset, moment: datetime, random: np.random.Generator) -> pl.DataFrame:
    """Lists of before, to be ranked around a moment."""
    table = dataset.requests.drop("label", "clicked_at", "position", "propensity")
    ids = table["request_id"].unique().sort().sample(14, seed=int(random.integers(2**31)))
    lists = table.filter(pl.col("request_id").is_in(ids.implode()))
    hours = pl.DataFrame({"request_id": ids, "hours": random.uniform(-8, 8, len(ids))})
    away = pl.duration(milliseconds=(pl.col("hours") * 3_600_000).cast(pl.Int64))
    lists = lists.join(hours, on="request_id", maintain_order="left")
    return lists.with_columns((pl.lit(moment) + away).cast(lists.schema["timestamp"]).alias("timestamp")).drop("hours")


@pytest.mark.parametrize(
    ("seed", "freshness", "rows"), [(1, "live", 10_000), (2, "live", 60), (3, "1d", 200), (4, "live", 15)]
)
def test_a_process_that_is_told_late_and_twice_ranks_as_a_batch_of_what_it_took(
    line, monkeypatch, seed, freshness, rows
) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    time, random = (
        TimeSettings(freshness=freshness, feedback_delay="3h", click_delay="20m"),
        np.random.default_rng(seed),
    )
    model, vectors = Model.load(line.model), State.load(line.model / "state", line.model).vectors
    text = model.settings.text.model_copy(update={"history": ("like",)})
    model = replace(model, settings=model.settings.model_copy(update={"time": time, "text": text}))
    dataset = logged(seed)
    midnight = dataset.requests["timestamp"].max().replace(hour=0, minute=0, second=0, microsecond=0)
    known_at = pl.max_horizontal("known_at", "timestamp")
    before = replace(
        dataset,
        events=dataset.events.filter(known_at < midnight),
        requests=dataset.requests.filter(pl.col("timestamp") < midnight),
    )

    def ranker_of(tables: Dataset) -> Ranker:
        behaviour = behaviour_of(tables, model.settings.features.kept)
        return Ranker(Ready.of(model, State(behaviour, vectors), line.model))

    ranker, everything, changed = ranker_of(before), [], 0
    for moment, taken in replay(ranker, messages(dataset, midnight, time, random), random):
        everything += taken
        candidates = asked(dataset, moment, random)
        found = ranker.rank(candidates)
        assert_frame_equal(found, ranker_of(batch(before, everything)).rank(candidates), check_exact=True)
        changed += not found["score"].equals(ranker_of(before).rank(candidates)["score"])
    assert changed >= 5
    assert sum(len(each.events) for each in everything) == len(dataset.events) - len(before.events)
    told = batch(before, everything).requests
    assert told.select(KEY).sort(KEY).equals(dataset.requests.select(KEY).sort(KEY))
    assert told["label"].null_count() == 0
