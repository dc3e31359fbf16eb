"""A day as it becomes known, told to a process: late, twice and out of order, and what a batch of it would say."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.replay import Message, batch, known_before, logged, messages, tell
from recsys import Ranker
from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.model.folder import Model, State
from recsys.model.prepared import behaviour_of
from recsys.model.ready import Ready
from recsys.past import tail as tail_module
from recsys.past.told import Taken
from recsys.world import WorldSettings

pytestmark = pytest.mark.slow

KEY = ["request_id", "item_id"]


def replay(ranker: Ranker, day: list[Message], random: np.random.Generator) -> Iterator[tuple[datetime, list[Taken]]]:
    """Tell of a day in steps, and something again; give what was taken in each step."""
    start, end = day[0].arrives, day[-1].arrives
    moment, place = start, 0
    while place < len(day):
        moment += (end - start) / 9
        until = next((number for number, each in enumerate(day) if each.arrives > moment), len(day))
        taken = [*tell(ranker, day[place:until], moment)]
        again = [day[int(number)] for number in random.integers(0, until, 12)]
        repeated = [*tell(ranker, again, moment)]
        assert sum(len(each.events) + len(each.requests) for each in repeated) == 0
        assert sum(each.ignored for each in repeated) > 0
        place = until
        yield moment, taken


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
    dataset = logged(WorldSettings(seed=seed, items=120, users=30, days=4, history_days=2, requests=260))
    midnight = dataset.requests.select(pl.col("timestamp").max().dt.truncate("1d")).item()
    before = replace(known_before(dataset, midnight), items=dataset.items)

    def ranker_of(tables: Dataset) -> Ranker:
        behaviour = behaviour_of(tables, model.settings.features.kept)
        return Ranker(Ready.of(model, State(behaviour, vectors), line.model))

    day = [each for each in messages(dataset, midnight, time, random) if each.table != "items"]
    ranker, everything, changed = ranker_of(before), [], 0
    for moment, taken in replay(ranker, day, random):
        everything += taken
        candidates = asked(dataset, moment, random)
        found = ranker.rank(candidates)
        assert_frame_equal(
            found, ranker_of(batch(before, dataset.items, everything)).rank(candidates), check_exact=True
        )
        changed += not found["score"].equals(ranker_of(before).rank(candidates)["score"])
    assert changed >= 5
    assert sum(len(each.events) for each in everything) == len(dataset.events) - len(before.events)
    told, names = batch(before, dataset.items, everything).requests, [*KEY, "label"]
    assert_frame_equal(told.select(names).sort(KEY), dataset.requests.select(names).sort(KEY), check_dtypes=False)
