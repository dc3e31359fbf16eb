from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset, one_version
from recsys.features import field as features_field
from recsys.features.columns import COMPARISONS, TEXT_COLUMNS
from recsys.features.plan import build_features, feature_names
from recsys.features.settings import differs_in_list
from recsys.model.prepared import behaviour_of
from recsys.past import counters
from recsys.past import field as field_module
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.reads import Reads
from recsys.schema import TIME
from recsys.vectors.queries import QueryReader

pytestmark = pytest.mark.slow


NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
SLOW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def future_changes_nothing(tools, compute, examples, versions=True):
    """Give the time property: features of a request are the same under two logs of which what differs may not be known."""

    @settings(
        SLOW,
        max_examples=examples,
        database=None,
        phases=[Phase.generate],
        derandomize=True,
        report_multiple_bugs=False,
    )
    @given(data=st.data())
    def check(data):
        case = data.draw(tools.case(versions=versions))
        request = data.draw(st.sampled_from(case.candidates["request_id"].unique().sort().to_list()))
        asked = case.candidates.filter(pl.col("request_id") == request)
        other = data.draw(tools.other_future(case, case.as_of(request), asked["timestamp"][0]))
        found, again = (compute(asked, dataset, case.time, history=case.history) for dataset in (case.dataset, other))
        assert tools.bits(found) == tools.bits(again)

    return check


def test_what_is_known_at_or_after_as_of_changes_no_feature(tools):
    future_changes_nothing(tools, tools.compute, examples=80)()


def in_field(tools):
    """Compute the columns of lists that sources make."""

    def compute(asked, dataset, time, history=()):
        return tools.compute(asked, dataset, time, tools.in_field, history)

    return compute


def test_what_is_known_at_or_after_as_of_changes_no_place_in_the_field(tools):
    future_changes_nothing(tools, in_field(tools), examples=80)()


def test_the_time_property_sees_one_click_too_many_in_the_field(tools, monkeypatch):
    monkeypatch.setattr(field_module, "refreshed", lambda as_of, *others: as_of + 1)
    monkeypatch.setattr(features_field, "refreshed", lambda as_of, *others: as_of + 1)
    with pytest.raises(AssertionError):
        future_changes_nothing(tools, in_field(tools), examples=300)()


@SLOW
@given(data=st.data())
def test_what_else_is_asked_changes_no_comparison_with_the_field(tools, data):
    """The same candidate has the same features in a list of its own, in its list, and beside others in another order."""
    case = data.draw(tools.case())
    whole = in_field(tools)(case.candidates, case.dataset, case.time, case.history)
    asked = case.candidates.sort("request_id", "item_id").with_row_index("row")
    number = data.draw(st.integers(1, 3))
    some = asked.filter(pl.col("row") % number == 0)
    found = in_field(tools)(some.drop("row"), case.dataset, case.time, case.history)
    assert tools.bits(found) == tools.bits(whole[some["row"].to_list()])
    shuffled = some.sample(fraction=1, shuffle=True, seed=data.draw(st.integers(0, 99))).drop("row")
    assert tools.bits(in_field(tools)(shuffled, case.dataset, case.time, case.history)) == tools.bits(found)


def changed_labels(case, change, moment, delay):
    """Change labels of lists, and say until when that may change nothing: the first moment at which one is known."""
    shown = case.dataset.requests
    at = pl.col("clicked_at") if "clicked_at" in shown.columns else pl.lit(None, TIME)
    known = shown.select(pl.when(change).then(pl.coalesce(at if moment else None, pl.col("timestamp") + delay)))
    new = pl.when(~change).then("label").otherwise(pl.lit(0 if moment else None, pl.Int64))
    kept = shown.with_columns(label=new, clicked_at=pl.when(~change).then(at))
    return replace(case.dataset, requests=kept), known.to_series().min()


@pytest.mark.parametrize("clicked", [True, False])
@settings(SLOW, max_examples=40)
@given(data=st.data())
def test_a_label_changes_nothing_before_it_is_known(tools, clicked, data):
    """A click that is taken back changes no feature before it is known; "not clicked" none before all labels are."""
    case = data.draw(tools.case())
    rows = data.draw(st.lists(st.booleans(), min_size=20, max_size=20))
    drawn = pl.Series([rows[place % 20] for place in range(len(case.dataset.requests))], dtype=pl.Boolean)
    change = drawn & ((pl.col("label") > 0) == clicked)
    delay = case.time.clicks_known_after if clicked else case.time.feedback_delay
    other, known = changed_labels(case, change, clicked, delay)
    early = [
        request for request in case.candidates["request_id"].unique() if known is None or case.as_of(request) <= known
    ]
    asked = case.candidates.filter(pl.col("request_id").is_in(early))
    found, again = (tools.compute(asked, each, case.time, history=case.history) for each in (case.dataset, other))
    assert tools.bits(found) == tools.bits(again)


@pytest.mark.parametrize("freshness", ["live", "1d"])
def test_clicks_are_known_sooner_than_rates_with_a_delay_of_their_own(tools, freshness):
    case = tools.full_case(11, feedback_delay="6h", freshness=freshness)
    plain, same, soon = (
        tools.compute(case.candidates, case.dataset, case.time.model_copy(update={"click_delay": delay}))
        for delay in (None, timedelta(hours=6), timedelta(minutes=1))
    )
    assert tools.bits(plain) == tools.bits(same)
    changed = {name for name, bits in tools.bits(soon).items() if bits != tools.bits(plain)[name]}
    rates = {name for name in plain.columns if name.startswith(("click_rate", "click_lift", "skip", "showing"))}
    assert rates
    assert not {name for name in rates if name in changed}
    assert {"click_count_item_6h", "hours_since_click_user", "interest"} <= changed


@pytest.mark.parametrize("freshness", ["live", "1d"])
def test_users_items_and_devices_that_are_first_seen_later_change_no_feature(tools, freshness):
    case = tools.full_case(10, freshness=freshness)
    last = max(as_of for _, as_of, _ in case.asked)
    asked, shown = case.candidates, case.dataset.requests
    assert set(asked["item_id"]) - set(shown["item_id"]) - set(case.dataset.items["item_id"])
    items, users = ([*ids.unique(), 40] for ids in (asked["item_id"], asked["user_id"]))
    events = [(user, item, "click", last, timedelta(0), 5.0) for user in users for item in items]
    lists = [(user, last, dict.fromkeys(items, 1), "tv") for user in users]
    other = replace(
        case.dataset,
        events=pl.concat([case.dataset.events, tools.events(events)]),
        requests=pl.concat([shown, tools.showings(lists).with_columns(pl.col("request_id") + 1000)]),
    )
    found, again = (tools.compute(asked, dataset, case.time) for dataset in (case.dataset, other))
    assert tools.bits(found) == tools.bits(again)


def one_moment_too_many(self, as_of, horizon=None):
    return as_of + 1 - self.back[:, None]


def test_the_time_property_sees_one_row_known_exactly_at_as_of(tools, monkeypatch):
    monkeypatch.setattr(Reads, "bounds", one_moment_too_many)
    with pytest.raises(AssertionError):
        future_changes_nothing(tools, tools.compute, examples=80)()


def leaky(tools, leak):
    def compute(asked, dataset, time, history):
        if leak == "labels at once":
            time = time.model_copy(update={"feedback_delay": timedelta(0)})
        if leak == "clicks at once":
            time = time.model_copy(update={"click_delay": timedelta(0)})
        if leak == "moments of clicks":
            dataset = replace(dataset, requests=dataset.requests.drop("clicked_at", strict=False))
        if leak == "today":
            time = time.model_copy(update={"freshness": "live"})
        if leak == "events when they happen":
            dataset = replace(dataset, events=dataset.events.drop("known_at"))
        if leak == "midnight of another zone":
            time = time.model_copy(update={"zone": "UTC" if time.zone != "UTC" else "Africa/Cairo"})
        if leak == "versions of later":
            last = {"items": one_version(dataset.items, "item_id", "last")}
            last["users"] = one_version(dataset.users, "user_id", "last")
            dataset = replace(dataset, **{name: of.drop("known_at", strict=False) for name, of in last.items()})
        return tools.compute(asked, dataset, time, history=history)

    return compute


LEAKS = ["labels at once", "clicks at once", "moments of clicks", "today", "events when they happen"]


@pytest.mark.parametrize("leak", [*LEAKS, "midnight of another zone", "versions of later"])
def test_the_time_property_sees_a_wrong_clock(tools, leak):
    with pytest.raises(AssertionError):
        future_changes_nothing(tools, leaky(tools, leak), examples=300, versions=leak == "versions of later")()


@SLOW
@given(data=st.data())
def test_rows_and_batches_change_no_bit(tools, data):
    case = data.draw(tools.case())
    together = tools.compute(case.candidates, case.dataset, case.time)
    alone = [
        tools.compute(request, case.dataset, case.time)
        for request in case.candidates.partition_by("request_id", maintain_order=True)
    ]
    assert tools.bits(pl.concat(alone)) == tools.bits(together)
    shuffled = case.candidates.sample(fraction=1, shuffle=True, seed=data.draw(st.integers(0, 99)))
    assert tools.bits(tools.compute(shuffled, case.dataset, case.time)) == tools.bits(together)
    logs = (table.sample(fraction=1, shuffle=True, seed=5) for table in (case.dataset.events, case.dataset.requests))
    other = Dataset(case.dataset.items.reverse(), *logs, case.dataset.users.reverse())
    assert tools.bits(tools.compute(case.candidates, other, case.time)) == tools.bits(together)


@pytest.mark.parametrize("few", [0, 10**6])
def test_however_codes_are_found_no_bit_changes(tools, monkeypatch, few):
    case = tools.full_case(9, feedback_delay="10m")
    plain = tools.compute(case.candidates, case.dataset, case.time)
    monkeypatch.setattr(counters, "_FEW", few)
    assert tools.bits(tools.compute(case.candidates, case.dataset, case.time)) == tools.bits(plain)


def small(tools):
    """Item 1 was clicked, 2 and 5 were shown, 6 is not in the catalogue, 9 is nowhere."""
    items = pl.DataFrame(
        {"item_id": [1, 2, 3, 4, 5], "category": ["x", "x", "y", None, "y"], "title": list("abcde"), "price": [7] * 5},
    )
    log = Dataset(
        items,
        tools.events([(1, 6, "like", NOON - timedelta(hours=2), timedelta(0))]),
        tools.showings([(1, NOON - timedelta(hours=3), {1: 1, 2: 0, 5: 0})]),
        pl.DataFrame({"user_id": [1, 3], "age_group": ["old", "new"]}),
    )
    asked = pl.DataFrame(
        {
            "request_id": [8, 8, 8, 8, 8, 9],
            "user_id": [1, 1, 1, 1, 1, 2],
            "timestamp": [NOON] * 5 + [NOON + timedelta(hours=1)],
            "item_id": [1, 2, 5, 6, 9, 1],
            "device": ["phone"] * 5 + [None],
            "retrieval": [0.5, 2.0, 0.5, None, -1.0, 3.0],
        },
        schema_overrides={"timestamp": log.requests.schema["timestamp"]},
    )
    return log, asked


def test_columns_are_numbers_in_the_order_of_the_declarations_and_then_categories(tools):
    dataset, asked = small(tools)
    table = tools.compute(asked, dataset, TimeSettings())
    assert table.columns == feature_names(tools.settings)
    assert table.columns[0] == "click_rate_item_over_category_10m"
    assert table.columns[-3:] == ["item_category", "user_age_group", "device"]
    assert set(TEXT_COLUMNS) < set(table.columns)
    assert len(set(table.columns)) == table.width
    assert all(dtype == pl.Float32 for dtype in table.dtypes[:-3])
    assert table["item_category"].to_list() == ["x", "x", "y", None, None, "x"]
    assert table["user_age_group"].to_list() == ["old"] * 5 + [None]
    assert table["device"].to_list() == ["phone"] * 5 + [None]
    assert table["item_price"].fill_nan(None).to_list() == [7.0, 7.0, 7.0, None, None, 7.0]
    assert table["list_size"].to_list() == [5] * 5 + [1]


def test_scores_of_the_retrieval_are_numbers_that_are_compared_in_their_list(tools):
    dataset, asked = small(tools)
    table = tools.compute(asked, dataset, TimeSettings()).fill_nan(None)
    assert table["retrieval"].to_list() == [0.5, 2.0, 0.5, None, -1.0, 3.0]
    assert table["retrieval_rank"].to_list() == [2.5, 1.0, 2.5, None, 4.0, 1.0]
    assert table["retrieval_share"].to_list() == pytest.approx([0.5 / 3, 2 / 3, 0.5 / 3, None, 0, 1])
    assert table["retrieval_gap"].to_list() == [-1.5, 0.0, -1.5, None, -3.0, 0.0]
    whole = tools.compute(asked.with_columns(retrieval=pl.Series([1, 2, 3, None, 5, 6])), dataset, TimeSettings())
    assert whole["retrieval"].fill_nan(None).to_list() == [1.0, 2.0, 3.0, None, 5.0, 6.0]


def test_only_features_that_differ_within_a_list_are_compared_within_it(tools):
    dataset, asked = small(tools)
    columns = tools.compute(asked, dataset, TimeSettings()).columns
    for name in ("click_rate_item_over_category", "click_share_user_category", "same_category_as_last_click"):
        assert [f"{name}_{comparison}" in columns for comparison in COMPARISONS] == [True] * 3, name
    for name in ("click_count_user", "click_value_last_item", "hours_between_click_user", "list_size", "hour"):
        assert name in columns
        assert not any(f"{name}_{comparison}" in columns for comparison in COMPARISONS), name


def test_deviations_stand_behind_the_other_comparisons_where_asked_for(tools):
    dataset, asked = small(tools)
    more = tools.settings.model_copy(update={"deviations": True})
    plain, told = (tools.compute(asked, dataset, TimeSettings(), each) for each in (tools.settings, more))
    added = [name for name in told.columns if name.endswith("_deviation")]
    gaps = [name for name in plain.columns if name.endswith("_gap")]
    assert [name.replace("_deviation", "_gap") for name in added] == gaps
    assert_frame_equal(told.select(plain.columns), plain)
    assert told.columns[told.columns.index("retrieval_gap") + 1] == "retrieval_deviation"
    half = [0.5, 2.0, 0.5, -1.0]
    expected = [(each - np.mean(half)) / np.std(half) for each in half]
    assert told["retrieval_deviation"].fill_nan(None).to_list() == pytest.approx([*expected[:3], None, expected[3], 0])


@pytest.mark.parametrize(
    ("per", "differs"),
    [
        ((), False),
        (("user",), False),
        (("age_group", "device"), False),
        (("user", "last_category"), False),
        (("item",), True),
        (("last_category", "category"), True),
        (("device", "item"), True),
    ],
)
def test_a_feature_of_the_user_and_the_context_alone_is_the_same_for_a_whole_list(tools, per, differs):
    assert differs_in_list(per, tools.settings) == differs


def test_names_are_those_of_the_columns_whatever_the_settings(tools):
    dataset, asked = small(tools)
    plain = {"families": ("popularity", "activity"), "windows": (), "declarations": ()}
    for change in (plain, {"context": (), "declarations": ()}, {"scores": ()}, {"families": ()}, {"values": ()}):
        settings = tools.settings.model_copy(update=change)
        assert tools.compute(asked, dataset, TimeSettings(), settings).columns == feature_names(settings)


def test_text_columns_are_missing_for_items_without_a_vector_or_outside_the_catalogue(tools):
    dataset, asked = small(tools)
    table = tools.compute(asked, dataset, TimeSettings()).select(TEXT_COLUMNS)
    known = [True, True, False, False, False, False]
    for name in ("interest", "nearest_click", "interest_rank", "nearest_click_share"):
        assert (~table[name].is_nan()).to_list() == known, name
    for name in ("appeal", "text_score", "appeal_rank"):
        assert (~table[name].is_nan()).to_list() == [*known[:5], True], name
    assert sorted(table["interest_rank"][:2]) == [1.0, 2.0]
    assert sum(table["text_score_share"][:2]) == pytest.approx(1)


def test_the_first_row_of_a_request_says_what_it_asks_with(tools):
    dataset, asked = small(tools)
    log = Log(behaviour_of(dataset, tools.settings.kept), TimeSettings())
    plain = tools.reader(log)
    encoded = []

    def encode(text):
        encoded.append(text)
        return plain.vectors.history[len(text)]

    asked = asked.with_columns(words=pl.Series(["<b>a</b>", "b", None, None, "c", " "]))
    reader = replace(plain, queries=QueryReader("words", encode))
    table = build_features(Asked.of(asked, log), tools.settings, reader)
    expected = plain.vectors.candidate[:2] @ plain.vectors.history[1]
    assert encoded == ["a"]
    assert table["query_match"][:2].to_list() == expected.tolist()
    assert table["query_match"][2:].is_nan().all()
    assert table["query_match_rank"].to_list()[:2] == ([1, 2] if expected[0] > expected[1] else [2, 1])
    assert sum(table["query_match_share"][:2]) == pytest.approx(1)
    silent = build_features(Asked.of(asked, log), tools.settings, plain)
    others = [name for name in table.columns if not name.startswith(("query_match", "text_score"))]
    assert tools.bits(table.select(others)) == tools.bits(silent.select(others))
    assert silent["query_match"].is_nan().all()
    assert (table["text_score"] != silent["text_score"]).to_list() == [True, True, False, False, False, False]
    assert tools.bits(build_features(Asked.of(asked[5:], log), tools.settings, reader)) == tools.bits(table[5:])


def test_an_item_that_is_not_out_yet_has_no_share_of_the_ages(tools):
    dataset, asked = small(tools)
    moments = [NOON - timedelta(hours=3), NOON + timedelta(hours=1), None, None, None]
    items = dataset.items.with_columns(available_at=pl.Series(moments, dtype=asked.schema["timestamp"]))
    other = replace(dataset, items=items)
    table = tools.compute(asked[:2], other, TimeSettings())
    assert table["item_age_hours"].to_list() == [3.0, -1.0]
    assert table["item_age_hours_share"].to_list() == [1.0, 0.0]


def test_the_hour_is_the_local_one(tools):
    dataset, asked = small(tools)
    assert tools.compute(asked, dataset, TimeSettings())["hour"].to_list() == [12.0] * 5 + [13.0]
    local = TimeSettings(zone="Asia/Kathmandu", freshness="1d")
    assert tools.compute(asked, dataset, local)["hour"].to_list() == [17.0] * 5 + [18.0]


def test_no_candidate_gives_no_row_and_the_same_columns(tools):
    dataset, asked = small(tools)
    whole = tools.compute(asked, dataset, TimeSettings())
    none = tools.compute(asked.clear(), dataset, TimeSettings())
    assert none.schema == whole.schema
    assert none.is_empty()


@pytest.mark.parametrize("lost", [("events",), ("requests",), ("events", "requests"), ("items",), ("users",)])
def test_empty_tables_give_missing_features(tools, lost):
    dataset, asked = small(tools)
    empty = replace(dataset, **{name: getattr(dataset, name).clear() for name in lost})
    table = tools.compute(asked, empty, TimeSettings())
    assert len(table) == len(asked)
    if "requests" in lost:
        assert table["click_rate_item_over_category"].is_nan().all()
        assert table["showing_count_item"].to_list() == [0.0] * 6


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["x", "y", "phone"])])
def test_categories_of_polars_are_read_as_their_words(tools, kind):
    dataset, asked = small(tools)
    plain = tools.compute(asked, dataset, TimeSettings())
    other = replace(dataset, items=dataset.items.with_columns(pl.col("category").cast(kind)))
    table = tools.compute(asked.with_columns(pl.col("device").cast(kind)), other, TimeSettings())
    assert table["item_category"].to_list() == plain["item_category"].to_list()
    assert tools.bits(table) == tools.bits(plain)


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Int8])
def test_ids_may_be_of_any_plain_type(tools, kind):
    dataset, asked = small(tools)
    plain_kind = pl.Int8 if kind == pl.Int8 else pl.String
    item, user = (pl.col(name).cast(plain_kind).cast(kind) for name in ("item_id", "user_id"))
    other = Dataset(
        dataset.items.with_columns(item),
        dataset.events.with_columns(item, user),
        dataset.requests.with_columns(item, user),
        dataset.users.with_columns(user),
    )
    table = tools.compute(asked.with_columns(item, user), other, TimeSettings())
    assert tools.bits(table) == tools.bits(tools.compute(asked, dataset, TimeSettings()))
