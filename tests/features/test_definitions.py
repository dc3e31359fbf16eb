import sqlite3
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from recsys.features.declared import values_of
from recsys.features.definitions import Count, Lift, Mean, Rate, Share, Trend
from recsys.features.moments import Age, HoursSince, Number, Pace, Same
from recsys.features.settings import Declaration

pytestmark = pytest.mark.slow


SLOW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
HOUR = timedelta(hours=1)
WINDOWS = [None, timedelta(minutes=10), 6 * HOUR, 24 * HOUR]
LAST = [("last_item", "item"), ("last_category", "category"), ("last_category", "item"), ("last_item",)]
KEYS = [
    (),
    ("user",),
    ("item",),
    ("category",),
    ("user", "item"),
    ("user", "category"),
    ("item", "device"),
    ("item", "age_group"),
    ("category", "age_group", "device"),
]
WIDER = [(), (("category",),), (("user", "category"), ("category",)), ((),), (("item",), ("age_group",))]

EXACT = [
    *(Count(of, per, window) for of in ("showing", "skip", "outcome", "like") for per in KEYS for window in WINDOWS),
    *(Count("click", per, window) for per in [*KEYS, *LAST] for window in WINDOWS),
    *(Share(key, key[:1], window) for key in LAST[:3] for window in WINDOWS),
    *(
        Share(("user", "category"), within, window, of)
        for within in (("user",), ("category",), ())
        for window in WINDOWS
        for of in ("click", "showing", "outcome", "view", "never")
    ),
    Share(("item", "device"), ("device",), of="showing"),
    Share(("last_item", "item"), ("item",), 6 * HOUR),
]
ROUNDED = [
    *(Rate(per, window, prior) for per in KEYS for window in WINDOWS for prior in (1.0, 3.5)),
    *(Rate(per, window, 2.5, wider) for per in KEYS for window in WINDOWS[::2] for wider in WIDER),
    *(Lift(per, window, prior) for per in KEYS for window in WINDOWS for prior in (1.0, 0.25)),
    *(Trend(per, WINDOWS[1], window) for per in [*KEYS, *LAST] for window in WINDOWS[2:]),
    *(Mean(of, per, window, 2.0) for of in ("click", "view") for per in KEYS for window in WINDOWS),
    *(Mean("click", per, window, 0.5) for per in LAST for window in WINDOWS),
    Mean("never", ("item",), None, 1.0),
]


def check_exact(tools, features, case):
    for feature in features:
        found = values_of(feature, case.lookup)
        np.testing.assert_array_equal(found, tools.expected(feature, case), err_msg=str(feature))


def check_rounded(tools, features, case):
    for feature in features:
        close = {"rtol": 1e-13, "atol": 1e-6 if isinstance(feature, Mean) else 0}  # a mean of 1e9 and -1e6
        found = values_of(feature, case.lookup)
        np.testing.assert_allclose(found, tools.expected(feature, case), **close, err_msg=str(feature))


@SLOW
@given(data=st.data())
def test_features_are_those_of_a_plain_loop(tools, data):
    case = data.draw(tools.case())
    check_exact(tools, data.draw(st.lists(st.sampled_from(EXACT), min_size=10, max_size=10)), case)
    check_rounded(tools, data.draw(st.lists(st.sampled_from(ROUNDED), min_size=10, max_size=10)), case)


@pytest.mark.parametrize(
    ("seed", "time"),
    [
        (1, {"feedback_delay": "10m"}),
        (2, {"feedback_delay": "6h", "freshness": "1d", "zone": "Africa/Cairo"}),
        (3, {"feedback_delay": "0s", "freshness": "1d"}),
        (4, {"feedback_delay": "10m", "history": ("view", "like")}),
        (5, {"feedback_delay": "6h", "click_delay": "10m", "moments": 3}),
        (6, {"feedback_delay": "6h", "click_delay": "1m", "freshness": "1d"}),
        (7, {"feedback_delay": "10m", "versions": True}),
        (8, {"feedback_delay": "6h", "click_delay": "1m", "freshness": "1d", "versions": True, "history": ("view",)}),
        (9, {"feedback_delay": "6h", "moments": 3, "versions": True}),
    ],
)
def test_every_feature_of_a_full_log_is_that_of_a_plain_loop(tools, seed, time):
    case = tools.full_case(seed, **time)
    check_exact(tools, EXACT, case)
    check_rounded(tools, ROUNDED, case)


def micro(column):
    return pl.col(column).dt.epoch("us")


def database(case):
    """Put the log and the candidates into SQL; moments as microseconds."""
    base = sqlite3.connect(":memory:")
    size = pl.len().over("request_id").alias("size")
    known_at = pl.max_horizontal("known_at", "timestamp").dt.epoch("us").alias("moment")
    there = "clicked_at" in case.dataset.requests.columns
    clicked_at = micro("clicked_at") if there else pl.lit(None, pl.Int64).alias("clicked_at")
    tables = {
        "items": case.dataset.items.select("item_id", "category"),
        "users": case.dataset.users,
        "showings": case.dataset.requests.select(
            "user_id", "item_id", "device", "label", size, micro("timestamp").alias("moment"), clicked_at
        ),
        "events": case.dataset.events.select(
            "user_id", "item_id", pl.lit(None).alias("device"), "event", pl.col("value").fill_nan(None), known_at
        ),
        "asked": case.candidates.select("request_id", "user_id", "item_id", "device").with_columns(
            moment=pl.Series([as_of for _, as_of, _ in case.asked]).dt.epoch("us")
        ),
    }
    for name, table in tables.items():
        base.execute(f"create table {name} ({', '.join(table.columns)})")
        base.executemany(f"insert into {name} values ({', '.join('?' * table.width)})", table.rows())
    delay = int(case.time.feedback_delay / timedelta(microseconds=1))
    soon = delay if case.time.click_delay is None else int(case.time.click_delay / timedelta(microseconds=1))
    keyed = """
        select l.*, l.user_id as user, l.item_id as item, i.category, u.age_group
        from {} l left join items i using (item_id) left join users u using (user_id)
    """
    for name, of in (("showing", "showings"), ("done", "events"), ("candidate", "asked")):
        base.execute(f"create view {name} as {keyed.format(of)}")
    keys = "user, item, category, device, age_group"
    base.execute(
        f"create view outcome as select {keys}, label > 0 and coalesce(clicked_at, moment) <= moment + {delay} as hit, "
        f"round(4294967296.0 / size) / 4294967296.0 as chance, moment + {delay} as moment from showing"
    )
    base.execute("create view skip as select * from outcome where not hit")
    for of in ("like", "view"):
        base.execute(f"create view {of}_ as select * from done where event = '{of}'")
    base.execute(
        f"create table clicked as select {keys}, coalesce(clicked_at, moment + {soon}) as moment, null as value "
        f"from showing where label > 0 "
        f"union all select {keys}, moment, value from done where event = 'click'"
    )
    kinds = ", ".join(f"'{kind}'" for kind in case.history)
    base.execute(
        f"create view read as select user, item, moment from clicked "
        f"union all select user, item, moment from done where event in ({kinds})"
    )
    last = """
        select l.*, (
            select c.item from read c where c.user = l.user and c.moment < l.moment
            order by c.moment desc, c.item desc limit 1
        ) as last_item from {} l
    """
    for name, of in (("click", "clicked"), ("question", "candidate")):
        base.execute(
            f"create table {name} as select l.*, i.category as last_category "
            f"from ({last.format(of)}) l left join items i on i.item_id = l.last_item"
        )
    return base


def ask(base, table, per, window, what):
    """Compute one number per candidate by a correlated query."""
    same = "".join(f" and s.{name} = q.{name}" for name in per)
    start = "" if window is None else f" and s.moment >= q.moment - {int(window / timedelta(microseconds=1))}"
    inner = f"select {what} from {table} s where s.moment < q.moment{start}{same}"
    answers = base.execute(f"select ({inner}) from question q order by request_id, item_id").fetchall()
    return np.array([answer[0] for answer in answers], dtype=np.float64)


def asked_of_sql(base, feature, window):
    """Compute a feature of every candidate in SQL."""
    match feature:
        case Count():
            return ask(base, {"like": "like_"}.get(feature.of, feature.of), feature.per, window, "count(*)")
        case Share():
            part, whole = (ask(base, feature.of, per, window, "count(*)") for per in (feature.per, feature.within))
            return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
        case Lift():
            whats = ("total(hit)", "total(chance)")
            clicks, chance = (ask(base, "outcome", feature.per, window, what) for what in whats)
            return (clicks + feature.prior) / (chance + feature.prior)
        case Rate():
            rate = ask(base, "outcome", (), None, "avg(hit)")
            for per in (*feature.backoff[::-1], feature.per):
                clicks, shown = (ask(base, "outcome", per, window, what) for what in ("total(hit)", "count(*)"))
                rate = (clicks + feature.prior * rate) / (shown + feature.prior)
            return rate
        case Mean():
            value = "total(round(value * 1024) / 1024)"
            total, count = (ask(base, "view_", feature.per, window, what) for what in (value, "count(value)"))
            return (total + feature.prior * ask(base, "view_", (), None, "avg(round(value * 1024) / 1024)")) / (
                count + feature.prior
            )


def compare_with_sql(case, per, window):
    base = database(case)
    counts = [Count(of, per, window) for of in ("showing", "click", "like", "skip", "outcome")]
    shares = [Share(per, within, window) for within in ((), per[:1])]
    last = [Count("click", key, window) for key in LAST]
    last += [Share(key, within, window) for key in LAST for within in ((), key[:1])]
    for feature in (*counts, *shares, *last):
        found = values_of(feature, case.lookup)
        np.testing.assert_array_equal(found, asked_of_sql(base, feature, window), err_msg=str(feature))
    smooth = [Rate(per, window, 2.0), Rate(per, window, 2.0, (("category",),)), Lift(per, window, 0.5)]
    for feature in (*smooth, Mean("view", per, window, 2.0)):
        close = {"rtol": 1e-12, "atol": 1e-6 if isinstance(feature, Mean) else 0}
        answer = asked_of_sql(base, feature, window)
        np.testing.assert_allclose(values_of(feature, case.lookup), answer, **close, err_msg=str(feature))


@SLOW
@given(data=st.data(), per=st.sampled_from(KEYS), window=st.sampled_from(WINDOWS))
def test_counts_shares_rates_and_means_are_those_of_sql(tools, data, per, window):
    compare_with_sql(data.draw(tools.case(versions=False)), per, window)


@pytest.mark.parametrize("per", KEYS, ids="-".join)
def test_counts_shares_rates_and_means_of_a_full_log_are_those_of_sql(tools, per):
    for window in WINDOWS:
        compare_with_sql(tools.full_case(4, feedback_delay="10m"), per, window)
        compare_with_sql(tools.full_case(7, feedback_delay="10m", history=("view",)), per, window)
        compare_with_sql(tools.full_case(8, feedback_delay="6h", click_delay="5m", moments=3), per, window)


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
        (Count("skip", ("user", "category"), 24 * HOUR), "skip_count_user_category_1d"),
        (
            Rate(("item",), HOUR, 20.0, (("user", "category"), ("category",))),
            "click_rate_item_over_user_category_over_category_1h",
        ),
        (Lift(("item",), HOUR), "click_lift_item_1h"),
        (Share(("last_item", "item"), ("last_item",), HOUR), "click_share_last_item_item_1h"),
        (Share(("user", "category"), ("user",), of="like"), "like_share_user_category"),
        (Mean("view", ("item",), HOUR, 1.0), "view_value_item_1h"),
        (HoursSince("click", ("user",), first=True), "hours_since_first_click_user"),
        (Pace("click", ("user",)), "hours_between_click_user"),
        (Same("category"), "same_category_as_last_click"),
        (Number("price"), "item_price"),
    ],
)
def test_names_come_from_the_declaration(feature, name):
    assert feature.name == name
    assert all(feature.told)


def test_a_key_that_was_never_shown_has_the_rate_of_what_it_belongs_to(tools):
    case = tools.full_case(5)
    shown = set(case.dataset.requests["item_id"]) & {key["item"] for key, _, _ in case.asked}
    never = np.array([key["item"] not in shown for key, _, _ in case.asked])
    own, wider = Rate(("item",), None, 3.0, (("category",),)), Rate(("category",), None, 3.0)
    assert never.any()
    np.testing.assert_allclose(values_of(own, case.lookup)[never], values_of(wider, case.lookup)[never], rtol=1e-15)


def test_a_click_in_a_short_list_lifts_less_than_one_in_a_long_list(tools):
    case = tools.full_case(6)
    moment = case.dataset.requests["timestamp"].min()
    lists = [(1, moment, {1: 1, 2: 0}), (1, moment, {3: 1, 4: 0, 5: 0, 6: 0})]
    case = replace(case, dataset=replace(case.dataset, requests=tools.showings(lists)))
    of_item = dict(
        zip((key["item"] for key, _, _ in case.asked), values_of(Lift(("item",), None), case.lookup), strict=True)
    )
    assert [of_item[item] for item in (1, 3, 2, 4)] == [2 / 1.5, 2 / 1.25, 1 / 1.5, 1 / 1.25]


@pytest.mark.parametrize("size", [3, 100, 9_999])
def test_the_lift_of_a_showing_in_a_long_list_is_exact_to_nine_digits(tools, size):
    case = tools.full_case(6)
    moment = case.dataset.requests["timestamp"].min()
    requests = tools.showings([(1, moment, {item: int(item == 1) for item in range(1, size + 1)})])
    case = replace(case, dataset=replace(case.dataset, requests=requests))
    found = values_of(Lift(("item",), None), case.lookup)
    expected = {item: (1 + (item == 1)) / (1 + 1 / size) for item in range(1, size + 1)}
    wanted = [expected.get(key["item"], 1.0) for key, _, _ in case.asked]
    assert max(wanted) > 1
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"kind": "count", "of": "like", "per": ["user"], "window": "0s"}, "greater than 0 seconds|greater than"),
        ({"kind": "count", "of": "like", "per": ["user"], "window": "soon"}, "'soon' is not a duration"),
        ({"kind": "rate", "per": ["user"], "window": "1d", "prior": -1}, "greater than 0"),
        ({"kind": "mean", "of": "view", "per": ["user"], "window": None, "prior": 0}, "greater than 0"),
        ({"kind": "lift", "per": ["user"], "window": None, "prior": float("inf")}, "finite number"),
        ({"kind": "count", "of": "like", "per": ["user"], "windw": "1d"}, "Unexpected keyword argument"),
        ({"kind": "counts", "of": "like", "per": ["user"]}, "does not match any of the expected tags: 'count', 'rate'"),
        ({"of": "like", "per": ["user"]}, "Unable to extract tag using discriminator 'kind'"),
    ],
)
def test_declarations_that_say_nothing_sensible_are_refused(written, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Declaration).validate_python(written)


@pytest.mark.parametrize(
    "feature", [*EXACT[::25], *ROUNDED[::40], Age(), Same("item"), Number("price"), Pace("click", ())]
)
def test_declarations_are_written_and_read(feature):
    kinds = TypeAdapter(Declaration)
    assert kinds.validate_json(kinds.dump_json(feature)) == feature
    assert hash(kinds.validate_python(kinds.dump_python(feature, mode="json"))) == hash(feature)
