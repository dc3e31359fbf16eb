import gc
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from weakref import ref

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.features.plan import build_features, counted_keys
from recsys.features.settings import FAMILIES, FeatureSettings
from recsys.model.prepared import behaviour_of
from recsys.past import tail as tail_module
from recsys.past.behaviour import Behaviour, shown_candidates
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.tail import Tail
from recsys.past.totals import Keeping
from recsys.schema import TIME
from recsys.vectors.encoded import round_to_grid
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.reader import Reader
from recsys.vectors.user_tower import UserTower

pytestmark = pytest.mark.slow


START = datetime(2024, 5, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SETTINGS = FeatureSettings(
    windows=(10 * MINUTE, timedelta(hours=6)),
    affinity=("category",),
    numbers=("price",),
    users=("town",),
    events=("like",),
    values=("like", "click"),
    context=("device",),
    prior=3.0,
)
IN_FIELD = SETTINGS.model_copy(update={"families": FAMILIES, "compared": "field"})
LISTED = [2, 4, 5, 7, 8]  # 1 to 9 are shown: what comes up later lies before, between and behind
TIMES = [TimeSettings(), TimeSettings(feedback_delay="0s"), TimeSettings(freshness="1d", feedback_delay="6h")]
TIMES += [TimeSettings(click_delay="1m"), TimeSettings(freshness="1d", feedback_delay="6h", click_delay="0s")]


LABEL = ("label", "clicked_at")


def _with_click_moments(requests: pl.DataFrame) -> pl.DataFrame:
    """Turn minutes into the moments of some clicks, a few of them late."""
    seen = (pl.col("label") > 0) & (pl.col("clicked_at") >= 0)
    minutes = pl.duration(minutes="clicked_at")
    return requests.with_columns(clicked_at=pl.when(seen).then(pl.col("timestamp") + minutes))


@dataclass(frozen=True)
class Story:
    """Tables of a small shop, and in which step each row, and each label, is told; step 0 is the state."""

    items: pl.DataFrame
    users: pl.DataFrame
    requests: pl.DataFrame
    events: pl.DataFrame

    @classmethod
    def of(cls, seed: int, steps: int, in_order: bool, texts: bool, lists: int = 18, done: int = 14) -> "Story":
        random = np.random.default_rng(seed)
        moments = random.integers(0, 60, lists + done)
        told = moments * (steps + 1) // 60 if in_order else random.integers(0, steps + 1, lists + done)
        users, together = random.integers(1, 7, lists), dict[tuple[int, int], int]()
        for number in range(lists):  # what a user saw at one moment is told at once, see `_refuse_in_state`
            told[number] = together.setdefault((users[number], moments[number]), told[number])
        shown = [
            {
                "request_id": 1000 + number,
                "user_id": int(users[number]),
                "timestamp": START + 10 * int(moments[number]) * MINUTE,
                "item_id": int(item),
                "device": str(random.choice(["phone", "tv", "car"][: 2 + (told[number] > 0)])),
                "label": int(random.random() < 0.5),
                "clicked_at": int(random.choice([-1, -1, 0, 3, 9, 11, 200])),
                "told": int(told[number]),
                "labelled": int(
                    told[number] + (random.integers(0, 3) if told[number] and random.random() < 0.6 else 0)
                ),
            }
            for number in range(lists)
            for item in random.choice(9, random.integers(1, 5), replace=False) + 1
        ]
        events = [
            {
                "user_id": int(random.integers(1, 7)),
                "item_id": int(random.integers(1, 10)),
                "event": str(random.choice(["click", "click", "like", "view"])),
                "timestamp": START + 10 * int(moment) * MINUTE,
                "known_at": START + 10 * int(moment + random.choice([0, 0, 3])) * MINUTE,
                "value": float(random.integers(0, 9)) / 4 if random.random() < 0.5 else None,
                "told": int(step),
            }
            for moment, step in zip(moments[lists:], told[lists:], strict=True)
        ]
        available = [None, START, START + 10 * MINUTE, START + 50 * MINUTE, START]
        items = pl.DataFrame(
            {
                "item_id": LISTED,
                "available_at": pl.Series(available, dtype=TIME),
                "category": ["sea", "code", None, "sea", "food"],
                "price": [1.0, None, 3.0, 2.0, 0.5],
            }
        )
        moment = {"timestamp": TIME}
        story = cls(
            items,
            pl.DataFrame({"user_id": [1, 3, 5], "town": ["a", "b", "a"]}),
            _with_click_moments(pl.DataFrame(shown, schema_overrides=moment)),
            pl.DataFrame(events, schema_overrides=moment | {"known_at": TIME, "value": pl.Float64}),
        )
        return story.with_text_ids() if texts else story

    def with_text_ids(self) -> "Story":
        def name(table: pl.DataFrame) -> pl.DataFrame:
            ids = [column for column in ("user_id", "item_id", "request_id") if column in table.columns]
            return table.with_columns((pl.lit("é") + pl.col(column).cast(pl.String)).alias(column) for column in ids)

        return Story(*(name(table) for table in (self.items, self.users, self.requests, self.events)))

    def behaviour(self, step: int) -> Behaviour:
        """All that is told by a step, in one piece."""
        known = self.requests.filter(pl.col("told") <= step)
        known = known.with_columns(pl.when(pl.col("labelled") <= step).then(name).alias(name) for name in LABEL)
        size = pl.len().over("request_id").cast(pl.Int32)
        events = self.events.filter(pl.col("told") <= step)
        behaviour = behaviour_of(Dataset(self.items, events, known, self.users), SETTINGS.kept)
        assert behaviour.showings["list_size"].equals(known.select(list_size=size).to_series())
        return behaviour

    def update(self, step: int) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
        """What a step tells: lists with the labels that are known at once, and later labels alone."""
        new = self.requests.filter(pl.col("told") == step)
        new = new.with_columns(pl.when(pl.col("labelled") <= step).then(name).alias(name) for name in LABEL)
        late = self.requests.filter(pl.col("told") < step, pl.col("labelled") == step)
        shown, events = pl.concat([late, new]), self.events.filter(pl.col("told") == step)
        if shown["clicked_at"].null_count() == len(shown):
            shown = shown.drop("clicked_at")
        return (None if events.is_empty() else events), (None if shown.is_empty() else shown)

    def candidates(self) -> pl.DataFrame:
        """Every user with every item at a few moments, known or not."""
        users = self.requests.select("user_id").unique().sort("user_id")
        items = pl.concat([self.items["item_id"], self.requests["item_id"]]).unique().sort().to_frame()
        hours = pl.DataFrame({"timestamp": [START + timedelta(hours=hour) for hour in (3, 7, 11, 30)]})
        device = pl.when(pl.col("request_id") % 2 == 0).then(pl.lit("car")).otherwise(pl.lit("tv"))
        requests = users.join(hours.cast(TIME), how="cross").with_row_index("request_id").with_columns(device=device)
        return requests.join(items, how="cross")


def make_reader(log: Log, items: pl.DataFrame) -> Reader:
    random = np.random.default_rng(0)
    candidate, history = random.normal(size=(2, len(items), 8))
    vectors = ItemVectors(
        items["item_id"],
        items["item_id"].cast(pl.String),
        round_to_grid(candidate / np.linalg.norm(candidate, axis=1, keepdims=True)),
        round_to_grid(history / np.linalg.norm(history, axis=1, keepdims=True)),
        random.normal(size=len(items)).astype(np.float32),
    )
    codes = round_to_grid(random.normal(size=(2, 8))).astype(float)
    tower = UserTower(codes, np.array([1.5, 4.0]), np.array([0.3, 0.7]), np.array([1.0, 2.0]), np.ones(1))
    return Reader.of(log, vectors, tower, history_length=3)


def sizes(log: Log) -> list[int]:
    """Rows of the tails of a log, lowest first."""
    return [len(layer.behaviour.showings) + len(layer.behaviour.events) for layer in log.layers[1:]]


def aged(behaviour: Behaviour) -> Behaviour:
    """Let all have happened three days before as well."""
    showings, events = (
        table.with_columns(pl.col(name) - timedelta(days=3) for name in names if name in table.columns)
        for table, names in ((behaviour.showings, ("timestamp", "clicked_at")), (behaviour.events, ("known_at",)))
    )
    return replace(behaviour, showings=showings, events=events)


@pytest.mark.parametrize("time", TIMES, ids=["live", "at once", "nightly", "two delays", "two delays, nightly"])
@pytest.mark.parametrize("horizon", [None, timedelta(days=4)])
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([1, 3, 10_000]), st.booleans())
def test_what_is_told_on_top_of_totals_gives_the_features_of_what_is_known_from_the_start(
    time, horizon, seed, steps, rows, in_order
) -> None:
    story, history = Story.of(seed, steps, in_order, texts=False), ("view",) if seed % 2 else ()
    candidates, old = story.candidates(), aged(story.behaviour(0))
    base = Log(old.joined(story.behaviour(0)), time, history, horizon)
    midnight = int(START.replace(hour=0).timestamp()) * 1_000_000
    kept = Keeping(timedelta(hours=6) + time.feedback_delay + time.lateness, 20, timedelta(days=999))
    tail = Tail.on(base.compacted(midnight, kept, counted_keys(IN_FIELD)))
    assert tail.closed.layers[0].read.blocks.data.any() or old.showings.is_empty()
    reader = make_reader(tail.log, story.items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail_module, "ROWS", rows)
        for step in range(1, steps + 3):
            tail = add(tail, *story.update(step))
            whole = Log(old.joined(story.behaviour(step)), time, history, horizon)
            for features in (SETTINGS, IN_FIELD) if step == steps + 1 else (SETTINGS,):
                found = build_features(Asked.of(candidates, tail.log), features, reader)
                expected = build_features(Asked.of(candidates, whole), features, make_reader(whole, story.items))
                assert_frame_equal(found, expected, check_exact=True)


def test_what_comes_too_late_is_left_out_and_counted(caplog) -> None:
    story = Story.of(1, 3, in_order=True, texts=False)
    base = Log(aged(story.behaviour(0)).joined(story.behaviour(0)), TIMES[0])
    midnight = int(START.replace(hour=0).timestamp()) * 1_000_000
    kept = Keeping(timedelta(hours=6) + TIMES[0].feedback_delay + TIMES[0].lateness, 20)
    tail = Tail.on(base.compacted(midnight, kept, counted_keys(SETTINGS)))
    moments = [START.replace(hour=0) - timedelta(days=1), START.replace(hour=0) - timedelta(days=1, microseconds=1)]
    rows = pl.DataFrame(
        {"user_id": [1, 1], "item_id": [2, 2], "timestamp": moments}, schema_overrides={"timestamp": TIME}
    )
    lists = pl.concat([told(900, 0, label=1, items=2), told(901, 0, label=1, items=2)]).with_columns(
        timestamp=pl.Series([moments[0]] * 2 + [moments[1]] * 2, dtype=TIME)
    )
    taken = tail.in_time(tail.untold(rows.with_columns(event=pl.lit("view")), lists))
    assert (len(taken.events), taken.requests["request_id"].unique().to_list(), taken.late) == (1, [900], 3)
    assert (
        "3 rows came more than 1d (lateness of [time]) before the first moment that the state answers for"
        in caplog.text
    )
    everything = Tail.on(base)
    assert everything.in_time(everything.untold(rows.with_columns(event=pl.lit("view")), lists)).late == 0


@pytest.mark.parametrize("time", TIMES, ids=["live", "at once", "nightly", "two delays", "two delays, nightly"])
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.sampled_from([1, 3, 8, 10_000]), st.booleans(), st.booleans())
def test_what_is_told_in_parts_gives_the_features_of_what_is_known_from_the_start(
    time, seed, steps, rows, in_order, texts
) -> None:
    story, history = Story.of(seed, steps, in_order, texts), ("view",) if seed % 2 else ()
    candidates = story.candidates()
    tail = Tail.on(Log(story.behaviour(0), time, history=history))
    reader = make_reader(tail.log, story.items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail_module, "ROWS", rows)
        for step in range(1, steps + 3):
            tail = add(tail, *story.update(step))
            whole = Log(story.behaviour(step), time, history=history)
            for features in (SETTINGS, IN_FIELD) if step == steps + 1 else (SETTINGS,):
                found = build_features(Asked.of(candidates, tail.log), features, reader)
                expected = build_features(Asked.of(candidates, whole), features, make_reader(whole, story.items))
                assert_frame_equal(found, expected, check_exact=True)
            closed = sizes(tail.closed)
            assert all(large > 2 * small for large, small in pairwise(closed)), closed
            assert tail.log.fits


def add(tail: Tail, events: pl.DataFrame | None, requests: pl.DataFrame | None) -> Tail:
    """Grow by what is new."""
    taken = tail.untold(events, requests)
    return tail.grown(taken.events, taken.requests)


def told(number: int, moment: int, label: int | None = 0, user: int = 1, items: int = 1) -> pl.DataFrame:
    """Tell of a list."""
    return pl.DataFrame(
        {
            "request_id": [number] * items,
            "user_id": [user] * items,
            "timestamp": [START + moment * MINUTE] * items,
            "item_id": list(range(2, 2 + items)),
            "label": pl.Series([label] * items, dtype=pl.Int64),
            "device": ["tv"] * items,
        },
        schema_overrides={"timestamp": TIME},
    )


@pytest.fixture
def empty() -> Tail:
    story = Story.of(0, 1, True, False)
    behaviour = story.behaviour(0)
    return Tail.on(
        Log(replace(behaviour, showings=behaviour.showings.clear(), events=behaviour.events.clear()), TIMES[0])
    )


def test_tails_close_and_merge_so_that_each_is_more_than_twice_the_next(empty, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "ROWS", 2)
    tail, found = empty, []
    for number, items in enumerate([6, 2, 1, 1, 2, 2, 1, 3]):
        tail = add(tail, None, told(number, number, items=items))
        found.append((sizes(tail.closed), len(tail.requests)))
    #           six at once  6 > 2 * 2    open          closes, and 6 > 2 * 4 no longer holds
    assert found[:4] == [([6], 0), ([6, 2], 0), ([6, 2], 1), ([10], 0)]
    assert found[4:] == [([10, 2], 0), ([10, 4], 0), ([10, 4], 1), ([18], 0)]


def test_twice_as_large_is_not_more_than_twice(empty, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "ROWS", 2)
    tail = add(add(empty, None, told(1, 1, items=4)), None, told(2, 2, items=2))
    assert sizes(tail.closed) == [6]


def names_of(log: Log, codes: np.ndarray) -> list[int | None]:
    """Give the items that codes stand for, None where there is none."""
    ids = log.items.by_code.to_list()
    return [ids[code] if code >= 0 else None for code in codes.tolist()]


def test_an_update_leaves_the_tail_that_it_grew_from_as_it_was(empty) -> None:
    first = add(empty, None, told(1, 1))
    add(first, None, told(2, 2))
    assert (len(empty.requests), len(first.requests), sizes(first.log), sizes(empty.log)) == (0, 1, [1], [])


def test_nothing_added_is_nothing_new(empty) -> None:
    assert add(empty, None, None).log is empty.closed
    nothing = told(1, 1).clear()
    assert add(empty, None, nothing).log is empty.closed


def test_a_late_click_counts_anew_only_the_tails_that_it_does_not_fit_on(empty, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "ROWS", 2)
    base = add(add(empty, None, told(1, 10, 1, items=9)), None, told(2, 20, 1, items=3))
    assert sizes(base.closed) == [9, 3]
    between = add(base, None, told(3, 15, 1))
    assert sizes(between.closed) == [9, 4]
    assert between.closed.layers[:2] == base.closed.layers[:2]
    before = add(base, None, told(3, 5, 1))
    assert sizes(before.closed) == [13]
    assert before.closed.layers[:1] == empty.closed.layers
    for harmless in (told(3, 5, 1, user=2), told(3, 5, 0), told(3, 20, 1)):
        assert sizes(add(base, None, harmless).closed) == [9, 3]


def test_an_event_before_a_click_of_the_open_tail_changes_what_was_last_before_that(empty) -> None:
    def clicks(*minutes: int) -> pl.DataFrame:
        rows = [
            told(minute, minute).head(1).select("user_id", "timestamp", item_id=pl.lit(minute), event=pl.lit("click"))
            for minute in minutes
        ]
        return pl.concat(rows)

    tail = empty
    for minute in (5, 9, 7, 12):  # the third comes late
        tail = add(tail, clicks(minute), None)
        assert len(tail.log.top.clicked.moments)  # as an update counts it
    once = add(empty, clicks(5, 7, 9, 12), None)
    both = [(each.log, each.log.top.clicked) for each in (tail, once)]
    assert len(tail.log.rows_known) == len(once.log.rows_known)
    said = [
        sorted(zip(rows.moments.tolist(), names_of(log, rows.codes["last_item"]), strict=True)) for log, rows in both
    ]
    assert said[0] == said[1]
    assert [item for _, item in said[0]] == [None, 5, 7, 9]


@pytest.mark.parametrize("rows", [1, 10_000])
def test_kinds_of_history_stay_when_a_tail_closes_and_when_all_is_counted_anew(empty, monkeypatch, rows) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    tail = Tail.on(replace(empty.closed, history=("buy",)))
    for moment in (5, 3, 4):  # the second and the third come late
        event = told(1, moment).select("user_id", "item_id", "timestamp", event=pl.lit("buy"))
        tail = add(tail, event, told(moment, moment, label=1))
    assert tail.log.history == ("buy",)
    users, as_of = tail.log.users.encode(pl.Series("user_id", [1])), np.array([2**60])
    assert (tail.log.last_clicks(users, as_of, 9)[0] >= 0).sum() == 6


def test_codes_stay_when_all_is_counted_anew() -> None:
    log = Log(Story.of(0, 1, True, False).behaviour(0), TIMES[0])
    assert log.layers[0].click_rows.moments.min() > (START - MINUTE).timestamp() * 1e6
    early = [told(number, -2, 1, user=number) for number in range(1, 7)]
    tail = add(Tail.on(log), None, pl.concat(early).with_columns(item_id=pl.lit(-3, dtype=pl.Int64)))
    assert sizes(tail.closed) == []
    assert tail.requests.is_empty()
    assert len(tail.closed.behaviour.showings) == len(log.behaviour.showings) + 6
    ids = pl.Series([*LISTED, -3])
    assert tail.log.items.encode(ids).tolist() == [*log.items.encode(pl.Series(LISTED)).tolist(), len(log.items)]


@pytest.mark.parametrize("rows", [1, 10_000])
def test_labels_may_come_in_parts_and_after_a_tail_was_closed(empty, monkeypatch, rows) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    shown = told(1, 1, None, items=4)
    tail = add(empty, None, shown)
    tail = add(tail, None, told(9, 2, items=3))  # closes
    for part in (shown[1:2], shown[2:4]):
        tail = add(tail, None, part.with_columns(label=pl.lit(1, dtype=pl.Int64)))
    assert tail.requests.filter(pl.col("label").is_null())["item_id"].to_list() == [2]
    tail = add(tail, None, shown)  # told again without a label: nothing new
    rows_of_list = pl.concat([layer.behaviour.showings for layer in tail.log.layers], how="diagonal_relaxed").filter(
        pl.col("timestamp") == START + MINUTE
    )
    assert rows_of_list.sort("item_id")["label"].to_list() == [None, 1, 1, 1]
    assert rows_of_list["list_size"].to_list() == [4] * 4


@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_candidate_that_is_labelled_twice_is_left_out_or_refused_by_name(empty, monkeypatch, rows) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    tail = add(empty, None, told(77, 1, 0, items=2))
    words = (
        "1 candidate added with another label before, such as item 3 of request 77, 0 then and 1 now; "
        "tell each label once, or again as it was"
    )
    with pytest.raises(DataError, match=words):
        tail.untold(None, told(77, 1, 1, items=2)[1:])
    for again in (told(77, 1, None, items=2), told(77, 1, 0, items=2), told(77, 1, 0, items=2)[1:]):
        taken = tail.untold(None, again)
        assert (len(taken.requests), taken.ignored) == (0, len(again))
        assert tail.grown(taken.events, taken.requests).log is tail.log
    late = add(tail, None, told(78, 2, None, items=2))
    one = told(78, 2, 1, items=2)[:1]
    taken = late.untold(None, pl.concat([told(77, 1, 0, items=2), one, told(79, 3)]))
    assert (taken.requests["request_id"].to_list(), taken.ignored) == ([79, 78], 2)


@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_label_is_told_with_the_context_of_its_list(empty, monkeypatch, rows) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    tail = add(empty, None, told(77, 1, None, items=2))
    taken = tail.untold(None, told(77, 1, 1, items=2).with_columns(device=pl.lit(None, pl.String)))
    assert taken.requests["device"].to_list() == ["tv", "tv"]
    assert taken.requests["label"].to_list() == [1, 1]


@pytest.mark.parametrize("label", [None, 0])
@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_list_that_is_told_again_otherwise_is_refused_by_name(empty, monkeypatch, rows, label) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    tail = add(add(empty, None, told(5, 0)), None, told(77, 1, label, items=2))
    again = told(77, 1, None, items=2)
    later = again.with_columns(pl.col("timestamp") + MINUTE)
    cases = [
        (told(77, 1, None, user=2), "request 77 was added before with user_id 1, and now with 2; repeat its rows"),
        (later, r"request 77 was added before with timestamp 2024-05-01 08:01:00\+00:00, and now with .*08:02"),
        (told(77, 1, 1, items=3)[2:], "request 77 was added before without item 4; add all candidates of a list at"),
    ]
    for changed, words in cases:
        with pytest.raises(DataError, match=words):
            add(tail, None, pl.concat([told(78, 3), changed]))
    assert sum(sizes(tail.log)) == 3
    assert sum(sizes(add(tail, None, pl.concat([told(78, 3), again])).log)) == 4


def test_context_of_any_name_stays_as_it_is() -> None:
    names = ("said", "user_id_before", "timestamp_before")
    kept = replace(SETTINGS.kept, context=names)
    story = Story.of(0, 1, True, False)
    own = [pl.lit("own").alias(name) for name in names]
    dataset = Dataset(story.items, story.events, story.requests.with_columns(own), story.users)
    tail = Tail.on(Log(behaviour_of(dataset, kept), TIMES[0]))
    for label in (None, 1):
        tail = add(tail, None, told(7, 700, label, items=2).with_columns(own))
    assert tail.requests.select("label", *names).rows() == [(1, "own", "own", "own")] * 2


@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_list_that_is_in_the_state_is_refused_by_name(monkeypatch, rows) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    story = Story.of(0, 1, True, False)
    shown = shown_candidates(told(7, 10, items=3), ("device",))
    state = replace(story.behaviour(0), showings=shown, events=story.behaviour(0).events.clear())
    tail = Tail.on(Log(state, TIMES[0]))
    words = "1 candidates are already in the state, such as item 3 of request 9, shown to user 1 at 2024-05-01 08:10"
    for grown in (tail, add(tail, None, told(8, 11, 1)), add(tail, None, told(8, 9, 1, user=1))):
        with pytest.raises(DataError, match=words):
            add(grown, None, told(9, 10, items=2)[1:])
        for label, again in ((0, 3), (None, 3)):
            taken = grown.untold(None, pl.concat([told(9, 10, label, items=again), told(10, 11)]))
            assert (taken.requests["request_id"].to_list(), taken.ignored) == ([10], again)
        with pytest.raises(DataError, match="3 candidates are already in the state.*or whole ones as they were"):
            grown.untold(None, told(9, 10, 1, items=3))
        for new in (told(9, 10, user=2), told(9, 9, items=2), told(9, 11)):
            assert len(add(grown, None, new).log.layers) > 0
    # what was told is not in the state: another list of that moment is welcome
    tail = add(add(tail, None, told(8, 9, 1)), None, told(9, 9, 1))
    assert len(tail.log.behaviour.showings) + sum(sizes(tail.log)) == 5


def test_a_list_of_the_state_whose_click_came_late_is_told_again_with_its_label() -> None:
    story = Story.of(0, 1, True, False)
    late = told(7, 10, items=3).with_columns(clicked_at=pl.when(pl.col("item_id") == 3).then(START + 90 * MINUTE))
    state = replace(story.behaviour(0), showings=shown_candidates(late, ("device",)))
    tail = Tail.on(Log(state, TIMES[0]))
    as_told = late.with_columns(label=pl.col("clicked_at").is_not_null().cast(pl.Int64))
    assert tail.untold(None, as_told).ignored == 3
    with pytest.raises(DataError, match="3 candidates are already in the state"):
        tail.untold(None, as_told.with_columns(label=1))


@pytest.mark.parametrize(("name", "told_as"), [("request_id", "String"), ("device", "Int64")])
@pytest.mark.parametrize("rows", [1, 10_000])
def test_values_of_another_kind_than_before_are_refused(empty, monkeypatch, name, told_as, rows) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    tail = add(add(empty, None, told(1, 1)), None, told(3, 1, None))
    other = pl.lit("x") if told_as == "String" else pl.lit(1, dtype=pl.Int64)
    with pytest.raises(DataError, match=f"requests hold {name} as {told_as}, and as .* before; cast the column"):
        add(tail, None, told(2, 2).with_columns(other.alias(name)))


def test_categories_are_texts(empty) -> None:
    """Columns of categories know other categories in every frame."""
    tail = empty
    for number, device in enumerate(["tv", "radio"]):
        as_category = pl.lit(device).cast(pl.Categorical)
        events = told(number, number).select(
            "user_id", "item_id", "timestamp", event=pl.lit("view").cast(pl.Categorical)
        )
        tail = add(tail, events, told(number, number).with_columns(device=as_category))
    assert tail.requests["device"].to_list() == ["tv", "radio"]
    assert tail.events["event"].to_list() == ["view", "view"]


def grown_step_by_step(steps: int) -> tuple[Tail, list]:
    """Tell of an event and a list at every step, and read all features after each; give every log that was read."""
    story = Story.of(3, 1, in_order=True, texts=False)
    candidates, event = story.candidates().head(8), story.events.drop("told").head(1)
    tail, read = Tail.on(Log(story.behaviour(0), TimeSettings())), []
    for step in range(steps):
        at = pl.lit(START + (1000 + step) * MINUTE, TIME)
        tail = add(tail, event.with_columns(timestamp=at, known_at=at), told(5000 + step, 1000 + step, user=2))
        build_features(Asked.of(candidates, tail.log), SETTINGS, None)
        read.append(ref(tail.log))
    return tail, read


@pytest.mark.parametrize("rows", [1, 5, 10_000])
def test_a_log_that_nobody_reads_any_more_is_gone_at_once(rows, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    gc.disable()  # which would come by after hundreds of updates, each of them with all counters of the tail
    try:
        tail, read = grown_step_by_step(12)
        holding = [tail.log, tail.closed]
        forgotten = [log() for log in read if log() not in holding]
    finally:
        gc.enable()
    assert len(forgotten) >= 8
    assert forgotten == [None] * len(forgotten)


def test_rows_that_come_one_by_one_lie_in_one_piece() -> None:
    tail, _ = grown_step_by_step(20)
    assert (len(tail.events), len(tail.requests)) == (20, 20)
    assert {column.n_chunks() for table in (tail.events, tail.requests) for column in table} == {1}
