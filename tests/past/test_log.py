from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.features.plan import build_features
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Behaviour, Kept, known_events
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.reads import Key, Reads
from recsys.past.streams import CLICK, OUTCOME, SHOWING, Amount
from recsys.schema import TIME

pytestmark = pytest.mark.slow


NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR, NOW = timedelta(hours=1), timedelta(0)
IDS = ("user_id", "item_id")


def micro(moment):
    return int(moment.timestamp() * 1_000_000)


def make_log(tools, **time):
    """Build a log of three items in two categories, a fourth without one, and item 9 outside the catalogue."""
    items = pl.DataFrame(
        {"item_id": [4, 3, 2, 1], "category": [None, "b", "a", "b"], "available_at": [NOON, None, None, NOON - HOUR]},
        schema_overrides={"available_at": TIME},
    )
    events = tools.events([(5, 9, "click", NOON, HOUR), (6, 1, "like", NOON, NOW)])
    showings = tools.showings([(7, NOON, {1: 1, 2: 0}), (5, NOON + HOUR, {3: 2})])
    return Log(behaviour_of(Dataset(items, events, showings), Kept(("category",))), TimeSettings(**time))


def test_every_user_and_item_has_a_code(tools):
    log = make_log(tools)
    assert log.users.values.to_list() == [5, 6, 7]
    assert log.items.values.to_list() == [1, 2, 3, 4, 9]
    assert log.attributes["category"].tolist() == [-1, 1, 0, 1]  # by row
    assert log.register.items.firsts.tolist() == [3, 2, 1, 0, -1]
    np.testing.assert_array_equal(log.available_at, [micro(NOON - HOUR), np.nan, np.nan, micro(NOON), np.nan])


def counted(log, of, moment):
    """Amounts of all rows of a stream that are known before a moment."""
    reads = Reads.of([Amount(of, (), None, which) for which in (0, 1)], log.time.feedback_delay)
    found = np.zeros((2, 1), dtype=np.int64)
    (layer,) = log.layers
    layer.counters(reads.keys).add(reads, np.empty((0, 1), np.int64), reads.bounds(np.array([micro(moment)])), found)
    return found[:, 0].tolist()


def test_a_showing_is_known_at_once_and_its_outcome_after_the_delay(tools):
    log = make_log(tools, feedback_delay="2h")
    instant = timedelta(microseconds=1)
    assert counted(log, SHOWING, NOON) == [0, 0]
    assert counted(log, SHOWING, NOON + instant) == [2, 1]
    assert counted(log, OUTCOME, NOON + 2 * HOUR) == [0, 0]
    assert counted(log, OUTCOME, NOON + 2 * HOUR + instant) == [2, 1]
    assert counted(log, OUTCOME, NOON + 4 * HOUR) == [3, 2]


def test_clicks_are_labels_after_the_delay_and_events_when_known(tools):
    log = make_log(tools, feedback_delay="2h")
    assert counted(log, CLICK, NOON + HOUR)[0] == 0
    assert counted(log, CLICK, NOON + 2 * HOUR)[0] == 1
    assert counted(log, CLICK, NOON + 2.5 * HOUR)[0] == 2
    assert counted(log, CLICK, NOON + 4 * HOUR)[0] == 3
    assert counted(log, "like", NOON + HOUR)[0] == 1
    assert counted(log, "purchase", NOON + HOUR)[0] == 0


def test_candidates_get_codes_and_the_moment_that_freshness_says(tools):
    asked = pl.DataFrame(
        {"user_id": [7, 8], "item_id": [3, 8], "timestamp": [NOON, NOON + 12 * HOUR]},
        schema_overrides={"timestamp": TIME},
    )
    live, daily = (make_log(tools, freshness=freshness).rows(asked) for freshness in ("live", "1d"))
    assert {name: codes.tolist() for name, codes in live.codes.items()} == {
        "user": [2, -1],
        "item": [2, -1],
        "category": [1, -1],
    }
    assert live.as_of.tolist() == live.timestamp.tolist() == [micro(NOON), micro(NOON + 12 * HOUR)]
    assert daily.as_of.tolist() == [micro(NOON - 12 * HOUR), micro(NOON + 12 * HOUR)]
    assert daily.timestamp.tolist() == live.timestamp.tolist()


def test_counters_are_built_once(tools):
    (layer,) = make_log(tools).layers
    user, item, shown = Key(CLICK, ("user",)), Key(CLICK, ("item",)), Key(SHOWING, ("user",))
    both = layer.counters((user, item))
    assert layer.counters((user, item)) is both
    assert layer.counters((item,)).blocks.data is both.blocks.data
    assert layer.counters((item, shown)).blocks.data is not both.blocks.data


def test_a_tail_leaves_the_counters_of_the_batch_as_they_are(tools):
    log, keys = make_log(tools), (Key(CLICK, ("user",)),)
    counters = log.layers[0].counters(keys)
    below, top = log.with_tail(log.behaviour).layers
    assert below.counters(keys) is counters
    assert top.counters(keys) is not counters
    assert log.with_tail(log.behaviour).lower().layers == log.layers


def test_clicks_at_one_moment_stand_in_the_order_of_their_items(tools):
    rows = [(1, item, "click", NOON, NOW) for item in (3, 1, 2)]
    orders = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        events = tools.events([rows[place] for place in order])
        log = Log(behaviour_of(Dataset(events.select("item_id"), events, tools.showings([])), Kept()), TimeSettings())
        users = log.users.encode(pl.Series("user_id", [1]))
        items, _, _ = log.last_clicks(users, np.array([2**60]), 4)
        orders.append(items[0].tolist())
    assert orders == [[2, 1, 0, -1]] * 3


@pytest.mark.parametrize("empty", ["items", "events", "showings", "users"])
def test_an_empty_table_is_no_fault(tools, empty):
    full = make_log(tools).behaviour
    log = Log(replace(full, **{empty: getattr(full, empty).clear()}), TimeSettings())
    assert counted(log, CLICK, NOON + 9 * HOUR)[0] == {"items": 3, "events": 2, "showings": 1, "users": 3}[empty]


TABLES = ("items", "users", "showings", "events")


def in_words(table):
    """Write ids as strings."""
    return table.with_columns(pl.col(name).cast(pl.String) for name in IDS if name in table.columns)


def clicks_of(behaviour, time, history=()):
    """List clicks, and what counts as history beside them, as (user, moment when known) in plain Python."""
    shown = behaviour.showings.filter(pl.col("label") > 0).rows(named=True)
    done = behaviour.events.filter(pl.col("event").is_in(["click", *history]))
    known = [row.get("clicked_at") or row["timestamp"] + time.clicks_known_after for row in shown]
    return [*zip([row["user_id"] for row in shown], known, strict=True), *done.select("user_id", "known_at").rows()]


def check_tail(tools, base, tail, time, candidates, history=()):
    """Hold a log with a tail against one log of all rows, to the bit, and `fits` against a plain loop."""
    log, whole = Log(base, time, history=history).with_tail(tail), Log(base.joined(tail), time, history=history)
    below, top = clicks_of(base, time), clicks_of(tail, time, history)
    assert log.fits == (not any(user == other and moment < late for user, moment in top for other, late in below))
    if log.fits:
        found, expected = (
            build_features(Asked.of(candidates, each), tools.settings, tools.reader(each)) for each in (log, whole)
        )
        assert tools.bits(found) == tools.bits(expected)
    return log.fits


def split(behaviour, cut, late=None, ties=None):
    """Cut a log at a moment; `late` seeds rows on the wrong side, `ties` on which side rows of that moment are."""
    parts = ([], [])
    for name, moment in (("showings", "timestamp"), ("events", "known_at")):
        table = getattr(behaviour, name)
        later = (table[moment] >= cut).to_numpy()
        if late is not None:
            later = later ^ (np.random.default_rng(late).random(len(table)) < 0.1)
        if ties is not None:
            later = np.where(table[moment] == cut, np.random.default_rng(ties).random(len(table)) < 0.5, later)
        for part, rows in zip(parts, (~later, later), strict=True):
            part.append(table.filter(pl.Series(rows, dtype=pl.Boolean)))
    return tuple(replace(behaviour, showings=shown, events=done) for shown, done in parts)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), hours=st.integers(-1, 14), late=st.none() | st.integers(0, 9), words=st.booleans())
def test_a_log_with_a_tail_is_the_log_of_all_rows_to_the_bit(tools, data, hours, late, words):
    case = data.draw(tools.case())
    behaviour, candidates = behaviour_of(case.dataset, tools.settings.kept), case.candidates
    if words:
        behaviour = Behaviour(*(in_words(getattr(behaviour, name)) for name in TABLES))
        candidates = in_words(candidates)
    cut = pl.concat([behaviour.events["known_at"], behaviour.showings["timestamp"], candidates["timestamp"]]).min()
    base, tail = split(behaviour, cut + hours * HOUR, late)
    check_tail(tools, base, tail, case.time, candidates, case.history)


def renamed(tail):
    """Give the odd users and items of a tail, and all its devices, names that the batch does not know."""
    new = [pl.when(pl.col(name) % 2 == 1).then(pl.col(name) + 20).otherwise(name).alias(name) for name in IDS]
    shown = tail.showings.with_columns(*new, device=pl.lit("watch"))
    return replace(tail, showings=shown, events=tail.events.with_columns(*new))


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("freshness", ["live", "1d"])
def test_a_tail_may_bring_new_users_items_and_devices_and_moments_that_the_batch_has_too(tools, words, freshness):
    fitting, brought = 0, 0
    for seed in range(12):
        case = tools.full_case(seed, feedback_delay="10m", freshness=freshness, versions=seed % 2 == 1)
        odd = case.candidates["item_id"] % 2 == 1
        asked = case.candidates.with_columns(
            device=pl.lit("watch"), item_id=pl.when(odd).then(pl.col("item_id") + 20).otherwise("item_id")
        )
        asked = pl.concat([case.candidates, asked.with_columns(pl.col("request_id") + 100)])
        behaviour = behaviour_of(case.dataset, tools.settings.kept)
        hourly = behaviour.events.with_columns(pl.col("known_at").dt.truncate("6h"))
        cut = hourly["known_at"].unique().sort()[-2]
        base, tail = split(replace(behaviour, events=hourly), cut, ties=seed)
        tail = renamed(tail)
        if words:
            base, tail = (Behaviour(*(in_words(getattr(part, name)) for name in TABLES)) for part in (base, tail))
            asked = in_words(asked)
        brought += len(set(tail.showings["user_id"]) - set(base.showings["user_id"]))
        fitting += check_tail(tools, base, tail, case.time, asked)
    assert fitting >= 6
    assert brought >= 12


@pytest.mark.parametrize("words", [False, True])
def test_the_first_rows_of_all_may_come_with_the_tail(tools, words):
    case = tools.full_case(3)
    behaviour, candidates = behaviour_of(case.dataset, tools.settings.kept), case.candidates
    if words:
        behaviour = Behaviour(*(in_words(getattr(behaviour, name)) for name in TABLES))
        candidates = in_words(candidates)
    nothing = Behaviour(*(getattr(behaviour, name).clear() for name in TABLES))
    rows = replace(nothing, showings=behaviour.showings, events=behaviour.events)
    assert check_tail(tools, nothing, rows, case.time, candidates)
    assert check_tail(tools, replace(nothing, items=behaviour.items), rows, case.time, candidates)
    assert check_tail(tools, replace(nothing, users=behaviour.users), rows, case.time, candidates)
    assert check_tail(tools, behaviour, nothing, case.time, candidates)


def test_a_click_that_comes_late_does_not_fit(tools):
    """User 5 clicked item 9 first and 1 then; a click in between would have been the last one before it."""
    rows = [(5, 9, "click", NOON, NOW), (5, 1, "click", NOON + 2 * HOUR, NOW)]
    log = Log(replace(make_log(tools).behaviour, events=known_events(tools.events(rows))), TimeSettings())

    def fits(*later):
        return log.with_tail(
            replace(log.behaviour, events=known_events(tools.events(list(later))), showings=shown)
        ).fits

    shown = log.behaviour.showings.clear()
    assert log.fits
    assert fits()
    assert not fits((5, 2, "click", NOON + HOUR, NOW))
    assert not fits((5, 2, "click", NOON + 2 * HOUR - timedelta(microseconds=1), NOW))
    assert fits((5, 2, "click", NOON + HOUR, HOUR))  # known at the same moment, so before neither
    assert fits((5, 2, "like", NOON + HOUR, NOW))
    log = replace(log, history=("like",))
    assert not fits((5, 2, "like", NOON + HOUR, NOW))
    assert fits((5, 2, "like", NOON + 3 * HOUR, NOW))
    log = replace(log, history=())
    assert fits((6, 2, "click", NOON + HOUR, NOW))
    assert fits((99, 2, "click", NOON + HOUR, NOW))
    assert fits((5, 2, "click", NOON + 3 * HOUR, NOW))
    shown = log.behaviour.showings.filter(pl.col("user_id") == 5)  # a click of 13:00 that is known at 13:10
    assert not fits()
    shown = shown.with_columns(label=0)
    assert fits()


def test_columns_that_cannot_be_numbered_together_are_refused(tools):
    layer = make_log(tools).layers[0]
    layer.sizes |= {"user": 2**31, "item": 2**31}
    with pytest.raises(DataError, match="there are too many pairs of category and user and item to number them; count"):
        layer.counters((Key(SHOWING, ("category", "user", "item")),))


def test_values_that_cannot_be_added_up_exactly_are_refused(tools):
    items = pl.DataFrame({"item_id": [1]})
    events = tools.events([(5, 1, "buy", NOON, NOW)]).with_columns(value=pl.lit(1e16))
    log = Log(behaviour_of(Dataset(items, events, tools.showings([])), Kept()), TimeSettings())
    with pytest.raises(
        DataError, match=r"values of events reach 1e\+16, too large to be added up exactly; write them in"
    ):
        log.layers[0].counters((Key("buy", ("item",)),))
