"""A day told to a serving process as it becomes known, held against batches of all that it had been told.

python -m pipelines.replay --out build/prove/replay
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.jobs.train import train
from recsys.model.ready import Ready
from recsys.past.told import Taken
from recsys.serving.ranker import Ranker
from recsys.settings import load_settings
from recsys.world import WorldSettings, make_world

HOUR = timedelta(hours=1)
KEY, VERSION = ["request_id", "item_id"], ["item_id", "known_at"]
OUTCOME = ("label", "clicked_at", "position", "propensity")
LATE, TWICE, LISTS_TOLD = 0.1, 0.05, 5
"""Share of what arrives up to five hours after it is known, of what arrives again, and lists ranked between updates."""
CHANGED = 0.5
"""Versions of an item, on average, that follow its first."""
SETTINGS = [
    "time.feedback_delay=3h",
    "time.click_delay=20m",
    "windows.fractions=[0.4, 0.3, 0.1, 0.2]",
    "text.epochs=0",
    "text.backend=onnx",
    "text.fields=['title', 'description', 'category']",
    "ranker.rounds=60",
    "features.affinity=['category']",
]


@dataclass(frozen=True)
class Message:
    """Rows of a table that are told together: when they became known, and when they arrive."""

    table: Literal["items", "events", "requests"]
    rows: pl.DataFrame
    known: datetime
    arrives: datetime


@dataclass(frozen=True)
class Replayed:
    """What a replay came to.

    Attributes
    ----------
    seed
        Of the world and of all that is drawn.
    lists
        How many were ranked on the way.
    told, late, twice
        How many rows were told, how many of them late, and how many were left out because they had been told before.
    compared, equal
        At how many moments the answers were held against a batch, and at how many all of them were equal to the bit.
    """

    seed: int
    lists: int
    told: int
    late: int
    twice: int
    compared: int
    equal: int


def logged(settings: WorldSettings) -> Dataset:
    """Make a world with ids of events, a fifth known late, moments of half of the clicks, and versions of items."""
    made, random = make_world(settings).dataset, np.random.default_rng(settings.seed)
    after = pl.Series((random.exponential(1800, len(made.requests)) * 1e6).astype(int)).cast(pl.Duration("us"))
    seen = (pl.col("label") > 0) & pl.Series(random.random(len(made.requests)) < 0.5)
    in_time = pl.min_horizontal(pl.col("timestamp") + after, pl.col("timestamp") + 3 * HOUR)
    requests = made.requests.with_columns(clicked_at=pl.when(seen).then(in_time))
    slow = pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.col("timestamp") + 2 * HOUR)
    events = made.events.with_columns(event_id=pl.int_range(pl.len()), known_at=slow)
    return Dataset(_in_versions(made.items, random), events, requests)


def _in_versions(items: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """Give items further versions: other categories, which are a part of the text, from some moment on."""
    first = items.with_columns(known_at=pl.lit(None, items.schema["available_at"]))
    changed = first[random.integers(len(first), size=int(CHANGED * len(first)))]
    hours = pl.Series((random.exponential(24, len(changed)) * 3.6e9).astype(int)).cast(pl.Duration("us"))
    later = changed.with_columns(
        items["category"].gather(random.integers(len(items), size=len(changed))),
        known_at=pl.col("available_at") + hours,
    )
    return pl.concat([first, later]).unique(VERSION, maintain_order=True)


def known_before(dataset: Dataset, moment: datetime) -> Dataset:
    """Cut tables to what was known: versions of items that were out, events, and lists that were shown."""
    known_at = pl.max_horizontal("known_at", "timestamp")
    return replace(
        dataset,
        items=dataset.items.filter(pl.max_horizontal("known_at", "available_at") < moment),
        events=dataset.events.filter(known_at < moment),
        requests=dataset.requests.filter(pl.col("timestamp") < moment),
    )


def messages(dataset: Dataset, since: datetime, time: TimeSettings, random: np.random.Generator) -> list[Message]:
    """Give what becomes known from a moment on, in the order in which it arrives.

    Items when they are out, versions of them, events, lists without labels, clicks, and at last what was not clicked.
    """

    def message(
        table: Literal["items", "events", "requests"], rows: pl.DataFrame, known: datetime, first: datetime
    ) -> Message:
        late = float(random.random()) * 5 * HOUR if random.random() < LATE else timedelta(0)
        return Message(table, rows, known, max(known + late, first))

    new = dataset.items.with_columns(known=pl.max_horizontal("known_at", "available_at")).filter(
        pl.col("known") >= since
    )
    found = [message("items", row.drop("known"), row["known"][0], since) for row in new.iter_slices(1)]
    known_at = pl.max_horizontal("known_at", "timestamp")
    done = dataset.events.filter(known_at >= since).with_columns(known=known_at)
    found += [message("events", row.drop("known"), row["known"][0], since) for row in done.iter_slices(1)]
    for rows in dataset.requests.filter(pl.col("timestamp") >= since).partition_by("request_id"):
        shown = rows["timestamp"][0]
        found.append(message("requests", rows.with_columns(label=None, clicked_at=None), shown, since))
        first = found[-1].arrives
        for row in rows.iter_slices(1):
            clicked = row["clicked_at"][0] or shown + time.clicks_known_after
            known = clicked if row["label"][0] > 0 else shown + time.feedback_delay
            found.append(message("requests", row, known, first))
    return sorted(found, key=lambda each: each.arrives)


def tell(ranker: Ranker, told: Sequence[Message], moment: datetime) -> Iterator[Taken]:
    """Tell what arrived until a moment: lists, then what is in time, and what is late with the moment."""
    lists = [each for each in told if each.table == "requests" and each.rows["label"].null_count()]
    rest = [each for each in told if each.table != "requests" or not each.rows["label"].null_count()]
    in_time = [each for each in rest if each.arrives == each.known]
    late = [each for each in rest if each.arrives > each.known]
    for part, at in ((lists, None), (in_time, None), (late, moment)):
        if part:
            yield ranker.update(**_frames(part), at=at)


def _frames(told: Sequence[Message]) -> dict[str, pl.DataFrame]:
    """Put rows of each table together, each candidate and each version once."""
    found = {}
    for table in ("items", "events", "requests"):
        rows = [each.rows for each in told if each.table == table]
        if rows:
            found[table] = pl.concat(rows, how="vertical_relaxed")
    once = {name: key for name, key in (("items", VERSION), ("requests", KEY)) if name in found}
    return found | {name: found[name].unique(key, keep="first", maintain_order=True) for name, key in once.items()}


def batch(before: Dataset, items: pl.DataFrame, taken: Sequence[Taken]) -> Dataset:
    """Give the tables of before and what was taken: of each candidate and version the last row, and labels 0 for none.

    The texts of items, which `Taken` does not hold, are those of `items`.
    """
    events = pl.concat([before.events, *(each.events for each in taken)], how="diagonal_relaxed")
    shown = pl.concat([before.requests, *(each.requests for each in taken)], how="diagonal_relaxed")
    shown = shown.unique(KEY, keep="last", maintain_order=True).with_columns(pl.col("label").fill_null(0))
    told = pl.concat([before.items, *(each.items for each in taken)], how="diagonal_relaxed")
    told = told.unique(VERSION, keep="last", maintain_order=True)
    texts = items.select("item_id", "title", "description").unique("item_id")
    told = told.drop("title", "description").join(texts, on="item_id", maintain_order="left")
    return replace(before, items=told, events=events, requests=shown)


def replay(world: WorldSettings, moments: int, folder: Path, changes: Sequence[str] = SETTINGS) -> Replayed:
    """Train on a world up to its last midnight, tell a process of the day that follows, and rank each list of it.

    Parameters
    ----------
    world
        Its size and seed.
    moments
        At how many moments, drawn at random, the answers are held against a batch.
    folder
        Where the model is written; must not exist.
    changes
        Settings of the model.
    """
    dataset, random, settings = logged(world), np.random.default_rng(world.seed), load_settings(None, changes)
    midnight = dataset.requests.select(pl.col("timestamp").max().dt.truncate("1d")).item()
    before = known_before(dataset, midnight)
    train(before, settings, folder)
    ranker, day = Ranker.load(folder), messages(dataset, midnight, settings.time, random)
    table = dataset.requests.filter(pl.col("timestamp") >= midnight).sort(
        "timestamp", "request_id", maintain_order=True
    )
    lists = table.drop(OUTCOME).partition_by("request_id", maintain_order=True)
    compared = {*random.choice(len(lists), min(moments, len(lists)), replace=False).tolist()}
    taken, place, equal, late = list[Taken](), 0, 0, 0
    for number, candidates in enumerate(lists):
        now = candidates["timestamp"][0]
        if number % LISTS_TOLD == 0 or number in compared:
            until = next((row for row in range(place, len(day)) if day[row].arrives > now), len(day))
            taken += tell(ranker, day[place:until], now)
            late += sum(len(each.rows) for each in day[place:until] if each.arrives > each.known)
            again = [day[row] for row in random.integers(0, until, int(TWICE * (until - place)) + 1)] if until else []
            taken += tell(ranker, again, now)
            place = until
        found = ranker.rank(candidates)
        if number in compared:
            ready, _ = Ready.today(folder, batch(before, dataset.items, taken))
            equal += found.equals(ready.rank(ready.ask(candidates)))
    told = sum(len(each.events) + len(each.requests) + len(each.items) for each in taken)
    twice = sum(each.ignored for each in taken)
    return Replayed(world.seed, len(lists), told, late, twice, len(compared), equal)


def main() -> None:
    """Replay the last days of some worlds and write what they came to as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--lists", type=int, default=10_000)
    parser.add_argument("--moments", type=int, default=50)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    found = []
    for seed in asked.seeds:
        days = 3
        world = WorldSettings(seed=seed, days=days, history_days=3, requests=days * asked.lists, random_tail=0)
        found.append(asdict(replay(world, asked.moments, asked.out / f"model-{seed}")))
        print(found[-1], flush=True)
    (asked.out / "replay.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
