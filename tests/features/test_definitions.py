import sqlite3
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.features.behaviour import Behaviour, Kept
from recsys.features.definitions import Age, Count, HoursSince, Rate, Share, Trend
from recsys.features.log import Log
from recsys.features.lookup import Lookup

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
HOUR = timedelta(hours=1)
WINDOWS = [None, timedelta(minutes=10), 6 * HOUR, 24 * HOUR]
KEYS = [(), ("user",), ("item",), ("category",), ("user", "item"), ("user", "category")]


def stream(case, of):
    """List what happened as (key columns, moment it became known, clicked), row by row."""
    category = dict(case.dataset.items.select("item_id", "category").rows())
    rows = []
    for row in case.dataset.requests.rows(named=True):
        key = {"user": row["user_id"], "item": row["item_id"], "category": category.get(row["item_id"])}
        known_at = row["timestamp"] + case.time.feedback_delay
        if of == "showing":
            rows.append((key, row["timestamp"], False))
        elif of == "outcome" or (of == "click" and row["label"] > 0):
            rows.append((key, known_at, row["label"] > 0))
    for row in case.dataset.events.rows(named=True):
        key = {"user": row["user_id"], "item": row["item_id"], "category": category.get(row["item_id"])}
        if row["event"] == of:
            rows.append((key, max(row["timestamp"], row["known_at"] or row["timestamp"]), True))
    return rows


def asked(case):
    """List the candidates as (key columns, as_of, timestamp)."""
    category = dict(case.dataset.items.select("item_id", "category").rows())
    return [
        (
            {"user": row["user_id"], "item": row["item_id"], "category": category.get(row["item_id"])},
            case.as_of(row["request_id"]),
            row["timestamp"],
        )
        for row in case.candidates.rows(named=True)
    ]


def known(rows, key, per, as_of, window):
    """Keep the rows of one key in `[as_of - window, as_of)`; a key with an unknown part has none."""
    if any(key[name] is None for name in per):
        return []
    return [
        row
        for row in rows
        if all(row[0][name] == key[name] for name in per)
        and row[1] < as_of
        and (window is None or row[1] >= as_of - window)
    ]


def lookup_of(case):
    log = Log(Behaviour.of(case.dataset, Kept(("category",))), case.time)
    return Lookup(log, log.rows(case.candidates))


def per_hour(clicks, window):
    return (clicks + 1) / window.total_seconds()


def expected(feature, case):
    """Compute a feature of every candidate in plain Python."""
    values = []
    for key, as_of, timestamp in asked(case):
        if isinstance(feature, Count):
            value = len(known(stream(case, feature.of), key, feature.per, as_of, feature.window))
        elif isinstance(feature, Rate):
            shown = known(stream(case, "outcome"), key, feature.per, as_of, feature.window)
            everything = known(stream(case, "outcome"), key, (), as_of, None)
            value = np.nan
            if everything:
                overall = sum(row[2] for row in everything) / len(everything)
                value = (sum(row[2] for row in shown) + feature.prior * overall) / (len(shown) + feature.prior)
        elif isinstance(feature, Share):
            part, whole = (
                len(known(stream(case, "click"), key, per, as_of, None)) for per in (feature.per, feature.within)
            )
            value = part / whole if whole else np.nan
        elif isinstance(feature, HoursSince):
            rows = known(stream(case, feature.of), key, feature.per, as_of, None)
            value = (as_of - max(row[1] for row in rows)) / HOUR if rows else np.nan
        elif isinstance(feature, Trend):
            short, long = (
                per_hour(len(known(stream(case, "click"), key, feature.per, as_of, window)), window)
                for window in (feature.short, feature.long)
            )
            value = short / long
        else:
            moment = dict(case.dataset.items.select("item_id", "available_at").rows()).get(key["item"])
            value = (timestamp - moment) / HOUR if moment else np.nan
        values.append(value)
    return np.array(values)


EXACT = [
    *(Count(of, per, window) for of in ("showing", "click", "like", "outcome") for per in KEYS for window in WINDOWS),
    *(HoursSince(of, per) for of in ("showing", "click", "like") for per in KEYS),
    *(Share(("user", "category"), within) for within in (("user",), ("category",), ())),
    Age(),
]
ROUNDED = [
    *(Rate(per, window, prior) for per in KEYS for window in WINDOWS for prior in (1.0, 3.5)),
    *(Trend(per, WINDOWS[1], WINDOWS[2]) for per in KEYS),
]


@SLOW
@given(data=st.data())
def test_features_are_those_of_a_plain_loop(tools, data):
    case = data.draw(tools.case())
    features = data.draw(st.lists(st.sampled_from(EXACT), min_size=12, max_size=12))
    lookup = lookup_of(case)
    for feature in features:
        np.testing.assert_array_equal(feature.values(lookup), expected(feature, case), err_msg=feature.name)
    for feature in data.draw(st.lists(st.sampled_from(ROUNDED), min_size=8, max_size=8)):
        np.testing.assert_allclose(
            feature.values(lookup), expected(feature, case), rtol=1e-14, equal_nan=True, err_msg=feature.name
        )


def database(case):
    """Put the log and the candidates into SQL; moments as microseconds."""
    base = sqlite3.connect(":memory:")
    micro = pl.col("timestamp").dt.epoch("us").alias("moment")
    tables = {
        "items": case.dataset.items.select("item_id", "category"),
        "showings": case.dataset.requests.select("user_id", "item_id", "label", micro),
        "events": case.dataset.events.select(
            "user_id", "item_id", "event", pl.max_horizontal("known_at", "timestamp").dt.epoch("us").alias("moment")
        ),
        "asked": case.candidates.select("request_id", "user_id", "item_id", micro).with_columns(
            as_of=pl.Series([as_of for _, as_of, _ in asked(case)]).dt.epoch("us")
        ),
    }
    for name, table in tables.items():
        base.execute(f"create table {name} ({', '.join(table.columns)})")
        base.executemany(f"insert into {name} values ({', '.join('?' * table.width)})", table.rows())
    delay = int(case.time.feedback_delay / timedelta(microseconds=1))
    keyed = "select l.*, l.user_id as user, l.item_id as item, i.category from {} l left join items i using (item_id)"
    base.execute(f"create view shown as {keyed.format('showings')}")
    base.execute(f"create view done as {keyed.format('events')}")
    base.execute(f"create view question as {keyed.format('asked')}")
    base.execute("create view showing as select user, item, category, moment from shown")
    base.execute(
        f"create view outcome as select user, item, category, moment + {delay} as moment, label > 0 as hit from shown"
    )
    base.execute("create view like_ as select user, item, category, moment from done where event = 'like'")
    base.execute(
        "create view click as select user, item, category, moment from outcome where hit "
        "union all select user, item, category, moment from done where event = 'click'"
    )
    return base


def ask(base, table, per, window, what):
    """Compute one number per candidate by a correlated query."""
    same = "".join(f" and s.{name} = q.{name}" for name in per)
    start = "" if window is None else f" and s.moment >= q.as_of - {int(window / timedelta(microseconds=1))}"
    inner = f"select {what} from {table} s where s.moment < q.as_of{start}{same}"
    answers = base.execute(f"select ({inner}) from question q order by request_id, item_id").fetchall()
    return np.array([answer[0] for answer in answers], dtype=np.float64)


@SLOW
@given(data=st.data(), per=st.sampled_from(KEYS), window=st.sampled_from(WINDOWS))
def test_counts_and_rates_are_those_of_sql(tools, data, per, window):
    case = data.draw(tools.case())
    base, lookup = database(case), lookup_of(case)
    for of, table in (("showing", "showing"), ("click", "click"), ("like", "like_")):
        found = Count(of, per, window).values(lookup)
        np.testing.assert_array_equal(found, ask(base, table, per, window, "count(*)"))
    shown, hits = (ask(base, "outcome", per, window, what) for what in ("count(*)", "coalesce(sum(hit), 0)"))
    overall = ask(base, "outcome", (), None, "avg(hit)")
    np.testing.assert_allclose(
        Rate(per, window, 2.0).values(lookup), (hits + 2.0 * overall) / (shown + 2.0), rtol=1e-14, equal_nan=True
    )


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (Count("showing", ("item",)), "showing_count_item"),
        (Count("like", ("user", "item"), timedelta(hours=48)), "like_count_user_item_2d"),
        (Rate(("category",), HOUR, 20.0), "click_rate_category_1h"),
        (Rate((), None, 20.0), "click_rate_overall"),
        (Share(("user", "category"), ("user",)), "click_share_user_category"),
        (HoursSince("click", ("user",)), "hours_since_click_user"),
        (Trend(("item",), HOUR, 24 * HOUR), "click_trend_item_1h_1d"),
        (Age(), "item_age_hours"),
    ],
)
def test_names_come_from_the_declaration(feature, name):
    assert feature.name == name
