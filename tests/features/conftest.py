from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings
from recsys.data.tables import TIME, Dataset
from recsys.features.behaviour import Behaviour
from recsys.features.builder import Reader, build_features, sort_candidates
from recsys.features.definitions import Count, Lift, Mean, Rate, Share, Trend
from recsys.features.log import Log
from recsys.features.lookup import Lookup
from recsys.features.moments import Age, HoursSince, Number, Pace, Same
from recsys.features.settings import FeatureSettings
from recsys.text.user_tower import UserTower
from recsys.text.vectors import ItemVectors, round_to_grid

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SETTINGS = FeatureSettings(
    windows=(10 * MINUTE, 6 * HOUR, 24 * HOUR),
    affinity=("category",),
    numbers=("price",),
    users=("age_group",),
    events=("like",),
    values=("click", "view"),
    context=("device",),
    scores=("retrieval",),
    prior=3.0,
    declarations=(
        Count("view", ("user", "category"), 6 * HOUR),
        Lift(("item", "device"), None),
        Rate(("user", "item"), 6 * HOUR, 2.0, (("user", "category"), ("category",))),
        Share(("last_category", "item"), ("last_category",), 10 * MINUTE),
        Mean("click", ("last_item",), None, 2.0),
        Pace("showing", ("item", "age_group")),
        HoursSince("like", ("age_group", "category"), first=True),
    ),
)
SHOWINGS = {"request_id": pl.Int64, "user_id": pl.Int64, "timestamp": TIME, "item_id": pl.Int64, "label": pl.Int64}
SHOWINGS |= {"device": pl.String}
EVENTS = {"user_id": pl.Int64, "item_id": pl.Int64, "event": pl.String, "timestamp": TIME, "known_at": TIME}
EVENTS |= {"value": pl.Float64}
ITEMS = {"item_id": pl.Int64, "category": pl.String, "available_at": TIME, "price": pl.Float64}
USERS = {"user_id": pl.Int64, "age_group": pl.String}
RETRIEVAL = {1: 0.5, 2: 0.5, 3: -1.25, 5: 2.0, 6: 1e-9, 7: float("nan")}
VALUES = [None, 0.0, 0.25, -3.0, 17.7, -1e6, 1e9, float("nan")]


@dataclass(frozen=True)
class Row:
    """One row of behaviour in plain Python."""

    key: dict
    known_at: datetime
    clicked: bool = False
    chance: float = 0.0
    value: float | None = None


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

    @cached_property
    def log(self) -> Log:
        return Log(Behaviour.of(self.dataset, SETTINGS.kept), self.time)

    @cached_property
    def lookup(self) -> Lookup:
        return Lookup(self.log, self.log.rows(self.candidates))

    @cached_property
    def items(self) -> dict:
        return {row["item_id"]: row for row in self.dataset.items.rows(named=True)}

    @cached_property
    def users(self) -> dict:
        return {row["user_id"]: row for row in self.dataset.users.rows(named=True)}

    def key(self, user, item, device) -> dict:
        """Everything that a feature can be kept per."""
        category = self.items.get(item, {}).get("category")
        age_group = self.users.get(user, {}).get("age_group")
        return {"user": user, "item": item, "category": category, "device": device, "age_group": age_group}

    def last_key(self, user, moment) -> dict:
        """What belongs to the user's last click before a moment; of two at one moment, the larger item."""
        past = [
            (row.known_at, row.key["item"]) for row in self.clicks if row.key["user"] == user and row.known_at < moment
        ]
        item = max(past)[1] if past else None
        return {"last_item": item, "last_category": self.items.get(item, {}).get("category")}

    @cached_property
    def outcomes(self) -> list:
        """Rows of lists, at the moment when their labels are known."""
        rows = self.dataset.requests.rows(named=True)
        requests = [row["request_id"] for row in rows]
        return [
            Row(
                self.key(row["user_id"], row["item_id"], row["device"]),
                row["timestamp"] + self.time.feedback_delay,
                row["label"] > 0,
                round(2**32 / requests.count(row["request_id"])) / 2**32,
            )
            for row in rows
        ]

    @cached_property
    def done(self) -> list:
        """Events with their kind."""
        return [
            (
                row["event"],
                Row(
                    self.key(row["user_id"], row["item_id"], None),
                    max(row["timestamp"], row["known_at"] or row["timestamp"]),
                    value=None if row["value"] != row["value"] else row["value"],
                ),
            )
            for row in self.dataset.events.rows(named=True)
        ]

    @cached_property
    def clicks(self) -> list:
        return [*(row for of, row in self.done if of == "click"), *(row for row in self.outcomes if row.clicked)]

    @cached_property
    def streams(self) -> dict:
        """Every stream by its name."""
        kinds = {of: [row for kind, row in self.done if kind == of] for of in ("like", "view", "never")}
        return kinds | {
            "showing": [replace(row, known_at=row.known_at - self.time.feedback_delay) for row in self.outcomes],
            "outcome": self.outcomes,
            "skip": [row for row in self.outcomes if not row.clicked],
            "click": [replace(row, key=row.key | self.last_key(row.key["user"], row.known_at)) for row in self.clicks],
        }

    @cached_property
    def asked(self) -> list:
        """The candidates as (key, as_of, timestamp)."""
        found = []
        for row in self.candidates.rows(named=True):
            as_of = self.as_of(row["request_id"])
            key = self.key(row["user_id"], row["item_id"], row["device"]) | self.last_key(row["user_id"], as_of)
            found.append((key, as_of, row["timestamp"]))
        return found


def expected(feature, case):
    """Compute a feature of every candidate by plain loops."""
    return np.array([answer(feature, case, *asked) for asked in case.asked], dtype=np.float64)


def answer(feature, case, key, as_of, timestamp):
    """Compute a feature of one candidate by plain loops over the log."""

    def known(of, per, window=None):
        if any(key[name] is None for name in per):
            return []
        return [
            row
            for row in case.streams[of]
            if all(row.key[name] == key[name] for name in per)
            and row.known_at < as_of
            and (window is None or row.known_at >= as_of - window)
        ]

    match feature:
        case Count():
            return len(known(feature.of, feature.per, feature.window))
        case Rate():
            rate = ratio(*clicked_of(known("outcome", ())))
            for per in (*reversed(feature.backoff), feature.per):
                clicks, shown = clicked_of(known("outcome", per, feature.window))
                rate = (clicks + feature.prior * rate) / (shown + feature.prior)
            return rate
        case Lift():
            rows = known("outcome", feature.per, feature.window)
            return (clicked_of(rows)[0] + feature.prior) / (sum(row.chance for row in rows) + feature.prior)
        case Share():
            parts = [len(known(feature.of, per, feature.window)) for per in (feature.per, feature.within)]
            return ratio(*parts)
        case Trend():
            speeds = [
                (len(known("click", feature.per, window)) + 1) / window.total_seconds()
                for window in (feature.short, feature.long)
            ]
            return speeds[0] / speeds[1]
        case Mean():
            total, count = valued(known(feature.of, feature.per, feature.window))
            return (total + feature.prior * ratio(*valued(known(feature.of, ())))) / (count + feature.prior)
        case HoursSince():
            moments = [row.known_at for row in known(feature.of, feature.per)]
            return (as_of - (min if feature.first else max)(moments)) / HOUR if moments else np.nan
        case Pace():
            moments = [row.known_at for row in known(feature.of, feature.per)]
            return (max(moments) - min(moments)) / HOUR / (len(moments) - 1) if len(moments) > 1 else np.nan
        case Age():
            moment = case.items.get(key["item"], {}).get("available_at")
            return (timestamp - moment) / HOUR if moment else np.nan
        case Same():
            own, last = key[feature.attribute], key[f"last_{feature.attribute}"]
            return np.nan if own is None or last is None else float(own == last)
        case Number():
            number = case.items.get(key["item"], {}).get(feature.attribute)
            return np.nan if number is None else number
    raise AssertionError(feature)


def ratio(part, whole):
    return part / whole if whole else np.nan


def clicked_of(rows):
    return sum(row.clicked for row in rows), len(rows)


def valued(rows):
    """Add up values in multiples of 1/1024."""
    values = [round(row.value * 1024) for row in rows if row.value is not None]
    return sum(values) / 1024, len(values)


def showings(rows):
    """Build a table of requests from (user, moment, {item: label}) and perhaps a device."""
    flat = [
        (number, user, moment, item, label, device[0] if device else "phone")
        for number, (user, moment, labels, *device) in enumerate(rows)
        for item, label in labels.items()
    ]
    return pl.DataFrame(flat, schema=SHOWINGS, orient="row")


def events(rows):
    """Build a table of events from (user, item, kind, moment, delay) and perhaps a value."""
    flat = [
        (user, item, kind, moment, moment + delay if delay else None, value[0] if value else None)
        for user, item, kind, moment, delay, *value in rows
    ]
    return pl.DataFrame(flat, schema=EVENTS, orient="row")


def candidates_of(rows):
    """Build sorted candidates with a score of their retrieval."""
    table = showings(rows).drop("label")
    score = pl.col("item_id").replace_strict(RETRIEVAL, default=None, return_dtype=pl.Float64)
    return sort_candidates(table.with_columns(retrieval=score))


def requests_of(moments, largest=6):
    lists = st.dictionaries(st.integers(1, 7), st.sampled_from([0, 0, 1, 2]), min_size=1, max_size=4)
    devices = st.sampled_from(["phone", "desk", None])
    return st.lists(st.tuples(st.integers(1, 4), moments, lists, devices), max_size=largest)


def events_of(moments, largest=8):
    kinds = st.sampled_from(["click", "click", "like", "view"])
    delays = st.sampled_from([timedelta(0), timedelta(0), 10 * MINUTE, 6 * HOUR])
    values = st.sampled_from(VALUES)
    return st.lists(st.tuples(st.integers(1, 4), st.integers(1, 7), kinds, moments, delays, values), max_size=largest)


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
    words, prices = st.sampled_from(["x", "y", None]), st.sampled_from([None, 0.0, -2.5, 99.9])
    items = [(item, draw(words), draw(st.none() | moments), draw(prices)) for item in range(1, 6)]
    users = [(user, draw(st.sampled_from(["old", "new", None]))) for user in draw(st.sets(st.integers(1, 5)))]
    later = st.builds(lambda moment, hours: moment + hours, moments, hours_of([0, 6, 15]))
    lists = st.dictionaries(st.integers(1, 8), st.just(0), min_size=1)
    devices = st.sampled_from(["phone", "tv", None])
    asked = draw(st.lists(st.tuples(st.integers(1, 5), later, lists, devices), min_size=1, max_size=3))
    dataset = Dataset(
        pl.DataFrame(items, schema=ITEMS, orient="row"),
        events(draw(events_of(moments))),
        showings(draw(requests_of(moments))),
        pl.DataFrame(users, schema=USERS, orient="row"),
    )
    return Case(dataset, time, candidates_of(asked))


def make_case(seed, **time):
    """Make a log that is fuller than those that are drawn, with as many ties."""
    random = np.random.default_rng(seed)
    start = datetime(2024, 4, 25, 6, tzinfo=UTC)

    def pick(*values):
        return values[random.integers(len(values))]

    def moment(hours):
        return start + int(random.integers(hours * 6)) * 10 * MINUTE

    def items(largest):
        return [int(item) for item in random.choice(largest, random.integers(1, 8), replace=False) + 1]

    catalogue = [
        (item, pick("x", "y", "z", None), pick(None, moment(48)), pick(None, 1.5, -2.0)) for item in range(1, 10)
    ]
    people = [(user, pick("old", "new", None)) for user in range(1, 5)]
    lists = [
        (pick(1, 2, 3, 4, 5), moment(36), {item: pick(0, 0, 1, 2) for item in items(11)}, pick("phone", "desk", None))
        for _ in range(25)
    ]

    def done():
        kind, delay = pick("click", "click", "like", "view"), pick(timedelta(0), timedelta(0), 10 * MINUTE, 6 * HOUR)
        return pick(1, 2, 3, 4, 5), pick(*range(1, 12)), kind, moment(36), delay, pick(*VALUES)

    def request():
        wanted, device = dict.fromkeys(items(12), 0), pick("phone", "desk", "tv", None)
        return pick(1, 2, 3, 5, 6), moment(48) + 12 * HOUR, wanted, device

    dataset = Dataset(
        pl.DataFrame(catalogue, schema=ITEMS, orient="row"),
        events([done() for _ in range(50)]),
        showings(lists),
        pl.DataFrame(people, schema=USERS, orient="row"),
    )
    return Case(dataset, TimeSettings(**time), candidates_of([request() for _ in range(14)]))


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
        lists = showings([(user + 2, *others) for user, *others in new_lists])
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
    kinds = [each.values.dtype for each in (log.items, log.items.later) if each is not None and len(each.values)]
    candidate, history = random.normal(size=(2, len(ids), 8))
    vectors = ItemVectors(
        item_ids=pl.Series("item_id", ids).cast(kinds[0] if kinds else pl.Int64),
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
    full_case = staticmethod(make_case)
    expected = staticmethod(expected)
    candidates = staticmethod(candidates_of)
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
