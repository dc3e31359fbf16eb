from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings
from recsys.data.tables import TIME, Dataset
from recsys.features.behaviour import Behaviour
from recsys.features.builder import Reader, build_features, sort_candidates
from recsys.features.log import Log
from recsys.features.settings import FeatureSettings
from recsys.text.user_tower import UserTower
from recsys.text.vectors import ItemVectors, round_to_grid

MINUTE = timedelta(minutes=1)
SETTINGS = FeatureSettings(
    windows=(timedelta(minutes=10), timedelta(hours=6), timedelta(days=1)),
    affinity=("category",),
    events=("like",),
    context=("device",),
    prior=3.0,
)
SHOWINGS = {"request_id": pl.Int64, "user_id": pl.Int64, "timestamp": TIME, "item_id": pl.Int64, "label": pl.Int64}
EVENTS = {"user_id": pl.Int64, "item_id": pl.Int64, "event": pl.String, "timestamp": TIME, "known_at": TIME}
ITEMS = {"item_id": pl.Int64, "category": pl.String, "available_at": TIME}
CANDIDATES = {**SHOWINGS, "device": pl.String}


@dataclass(frozen=True)
class Case:
    """A small log, a clock, and lists to compute features for."""

    dataset: Dataset
    time: TimeSettings
    candidates: pl.DataFrame

    def as_of(self, request: int) -> datetime:
        """When nothing more may be known, in plain Python: the last midnight of the zone that is not in the future."""
        moment = self.candidates.filter(pl.col("request_id") == request)["timestamp"][0]
        if self.time.freshness == "live":
            return moment
        local = pl.Series([moment]).dt.convert_time_zone(self.time.zone)[0]
        return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def showings(rows):
    """Build a table of requests from (user, moment, {item: label})."""
    flat = [
        (number, user, moment, item, label)
        for number, (user, moment, labels) in enumerate(rows)
        for item, label in labels.items()
    ]
    return pl.DataFrame(flat, schema=SHOWINGS, orient="row")


def events(rows):
    """Build a table of events from (user, item, kind, moment, delay)."""
    flat = [(user, item, kind, moment, moment + delay if delay else None) for user, item, kind, moment, delay in rows]
    return pl.DataFrame(flat, schema=EVENTS, orient="row")


def requests_of(moments, largest=6):
    lists = st.dictionaries(st.integers(1, 7), st.sampled_from([0, 0, 1, 2]), min_size=1, max_size=4)
    return st.lists(st.tuples(st.integers(1, 4), moments, lists), max_size=largest)


def events_of(moments, largest=8):
    kinds = st.sampled_from(["click", "click", "like", "view"])
    delays = st.sampled_from([timedelta(0), timedelta(0), 10 * MINUTE, timedelta(hours=6)])
    return st.lists(st.tuples(st.integers(1, 4), st.integers(1, 7), kinds, moments, delays), max_size=largest)


@st.composite
def draw_case(draw):
    # Around the change to summer time; in Cairo the midnight of that night does not exist.
    start, zone = draw(
        st.sampled_from(
            [
                (datetime(2024, 3, 30, 18, tzinfo=UTC), "Europe/Copenhagen"),
                (datetime(2024, 4, 25, 18, tzinfo=UTC), "Africa/Cairo"),
                (datetime(2024, 4, 25, 18, tzinfo=UTC), "UTC"),
            ]
        )
    )
    moments = st.builds(lambda ten, hours: start + 10 * ten * MINUTE + hours, st.integers(0, 3), hours_of([0, 3, 6, 9]))
    time = TimeSettings(
        freshness=draw(st.sampled_from(["live", "1d"])),
        feedback_delay=draw(st.sampled_from(["0s", "10m", "6h"])),
        zone=zone,
    )
    items = pl.DataFrame(
        [(item, draw(st.sampled_from(["x", "y", None])), draw(st.none() | moments)) for item in range(1, 6)],
        schema=ITEMS,
        orient="row",
    )
    later = st.builds(lambda moment, hours: moment + hours, moments, hours_of([0, 6, 15]))
    asked = draw(
        st.lists(
            st.tuples(st.integers(1, 5), later, st.dictionaries(st.integers(1, 8), st.just(0), min_size=1)),
            min_size=1,
            max_size=3,
        )
    )
    candidates = showings(asked).drop("label").with_columns(device=pl.lit("phone"))
    dataset = Dataset(items, events(draw(events_of(moments))), showings(draw(requests_of(moments))))
    return Case(dataset, time, sort_candidates(candidates))


def hours_of(choices):
    return st.sampled_from([timedelta(hours=hours) for hours in choices])


def draw_other_future(case, as_of):
    """Draw the same log with everything that is known at or after `as_of` deleted, moved, relabelled or made anew."""
    moments = st.integers(0, 4).map(lambda ten: as_of + 10 * ten * MINUTE)
    shown, done = case.dataset.requests, case.dataset.events
    unlabelled = pl.col("timestamp") + case.time.feedback_delay >= as_of
    past = shown.filter(pl.col("timestamp") < as_of)

    def build(labels, new_lists, new_events, moved):
        kept = past.with_columns(
            label=pl.when(unlabelled).then(pl.Series(labels[: len(past)], dtype=pl.Int64)).otherwise("label")
        )
        lists = showings([(user + 2, moment, items) for user, moment, items in new_lists])
        known_at = pl.max_horizontal("known_at", "timestamp")
        # An event of the past that becomes known later may have happened before `as_of`.
        late = done.filter(known_at >= as_of).with_columns(known_at=known_at + moved)
        return replace(
            case.dataset,
            requests=pl.concat([kept, lists.with_columns(pl.col("request_id") + 100)]),
            events=pl.concat([done.filter(known_at < as_of), late.head(3), events(new_events)]),
        )

    labels = st.lists(st.integers(0, 2), min_size=len(past), max_size=len(past))
    return st.builds(
        build, labels, requests_of(moments, 3), events_of(moments, 4), st.sampled_from([0 * MINUTE, 10 * MINUTE])
    )


def make_reader(log, seed=0):
    """Join a log with random vectors: none of item 5, and one of item 6, which no catalogue holds."""
    random = np.random.default_rng(seed)
    ids = [1, 2, 3, 4, 6]
    candidate, history = random.normal(size=(2, len(ids), 8))
    vectors = ItemVectors(
        item_ids=pl.Series("item_id", ids),
        text_hashes=pl.Series([str(item) for item in ids]),
        candidate=round_to_grid(candidate / np.linalg.norm(candidate, axis=1, keepdims=True)),
        history=round_to_grid(history / np.linalg.norm(history, axis=1, keepdims=True)),
        appeal=random.normal(size=len(ids)).astype(np.float32),
    )
    codes = round_to_grid(random.normal(size=(2, 8))).astype(float)
    tower = UserTower(codes, np.array([1.5, 4.0]), np.array([0.3, 0.7]), np.array([1.0, 2.0]), np.ones(1))
    return Reader.of(log, vectors, tower, history_length=3)


def compute(candidates, dataset, time, settings=SETTINGS):
    """Compute the whole feature table of some requests."""
    log = Log(Behaviour.of(dataset, settings.kept), time)
    return build_features(candidates, log, settings, make_reader(log))


def bits(table):
    """Every column to the last bit."""
    return {
        name: column.to_numpy().tobytes() if column.dtype.is_float() else column.to_list()
        for name, column in table.to_dict().items()
    }


class Tools:
    """What the tests of features share."""

    case = staticmethod(draw_case)
    other_future = staticmethod(draw_other_future)
    showings = staticmethod(showings)
    events = staticmethod(events)
    reader = staticmethod(make_reader)
    compute = staticmethod(compute)
    bits = staticmethod(bits)
    settings = SETTINGS


@pytest.fixture(scope="session")
def tools():
    return Tools
