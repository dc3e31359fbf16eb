"""Rules against a plain reading of them: who is left out, put forward, fixed and capped, and for whom."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.arranging.rules import are_new, as_text, as_texts, unmatched
from recsys.arranging.settings import RuleSettings
from recsys.errors import SettingsError
from recsys.jobs.score import write_state
from recsys.jobs.train import prepare_to_learn
from recsys.model.prepared import prepare
from recsys.model.ready import Ready
from recsys.past.lookup import Asked

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def ranked_by(line, tmp_path_factory):
    """Rank the same lists under rules: a state that was written for them, and the ranker of it."""

    def ranker(**rules: object) -> Ranker:
        state = tmp_path_factory.mktemp("ruled") / "state"
        given = RuleSettings.model_validate(rules)
        first = line.candidates()["timestamp"].min()
        write_state(line.model, line.dataset, state, int(first.timestamp() * 1e6), rules=given)
        return Ranker.load(line.model, state=state)

    return ranker


@pytest.mark.slow
def test_what_was_chosen_or_seen_is_left_out_for_so_long(line, ranked_by) -> None:
    lists = line.candidates()
    bare = Ranker.load(line.model).rank(lists)
    asked = lists.select("request_id", "user_id", "item_id", as_of="timestamp")
    delay, known = line.settings.clock.feedback_delay, line.dataset
    clicked = known.requests.filter(pl.col("label") > 0).select(
        "user_id", "item_id", at=pl.col("timestamp") + line.settings.clock.clicks_known_after
    )
    opened = known.events.filter(pl.col("event") == "click").select("user_id", "item_id", at="timestamp")
    shown = known.requests.select("user_id", "item_id", at="timestamp")
    assert delay > timedelta(0)
    for rules, rows, reach in [
        ({"chosen": {"click": "always"}}, pl.concat([clicked, opened]), 10_000 * DAY),
        ({"chosen": {"click": "1d"}}, pl.concat([clicked, opened]), DAY),
        ({"seen": "6h"}, shown, timedelta(hours=6)),
    ]:
        gone = asked.join(rows, on=["user_id", "item_id"]).filter(
            pl.col("at") < pl.col("as_of"), pl.col("at") >= pl.col("as_of") - reach
        )
        gone = gone.select("request_id", "item_id").unique()
        assert 0 < len(gone) < len(lists)
        expected = bare.join(gone, on=["request_id", "item_id"], how="anti", maintain_order="left").drop("rank")
        found = ranked_by(**rules).rank(lists)
        assert_frame_equal(found.drop("rank"), expected, check_exact=True)
        assert (
            found["rank"].to_list()
            == found.select(pl.int_range(1, pl.len() + 1).over("request_id")).to_series().to_list()
        )


@pytest.mark.slow
def test_values_and_places_and_caps_of_attributes(line, ranked_by) -> None:
    lists, items = line.candidates(), line.dataset.items
    kinds = lists.join(items.select("item_id", "category"), on="item_id", how="left")
    out = kinds["category"].mode()[0]
    pinned = lists["item_id"].mode()[0]
    ranker = ranked_by(
        unavailable={"category": [out]}, fixed={3: int(pinned)}, caps=[{"attribute": "category", "most": 1, "first": 2}]
    )
    found = ranker.rank(lists).join(
        items.select("item_id", "category"), on="item_id", how="left", maintain_order="left"
    )
    assert out not in set(found["category"])
    assert {*found["item_id"]} == {*kinds.filter(pl.col("category") != out)["item_id"]}
    whole = found.filter(pl.len().over("request_id") >= 3)
    pins = whole.filter(pl.col("item_id") == pinned)
    assert len(pins) > 0 or kinds.filter(pl.col("item_id") == pinned)["category"][0] == out
    assert set(pins["rank"]) <= {3}
    pairs = (
        found.filter(pl.col("rank") <= 2)
        .group_by("request_id")
        .agg(pl.col("category").n_unique().alias("kinds"), pl.len().alias("places"))
    )
    many = found.group_by("request_id").agg(pl.col("category").n_unique().alias("of"))
    assert (
        pairs.join(many, on="request_id").filter((pl.col("kinds") < pl.col("places")) & (pl.col("of") > 1)).is_empty()
    )


@pytest.mark.slow
def test_items_that_nobody_knows_are_left_out_where_only_available_ones_may_stay(line, ranked_by) -> None:
    lists = line.candidates(5)
    strange = lists.with_columns(item_id=pl.col("item_id") + 10**6).group_by("request_id").head(1).select(lists.columns)
    found = ranked_by(available=True).rank(pl.concat([lists, strange]))
    assert not found["unknown_item"].any()
    assert {*found["request_id"]} <= {*lists["request_id"]}


@pytest.mark.slow
def test_scores_are_of_all_candidates_whatever_the_rules(line, ranked_by) -> None:
    lists = line.candidates(5)
    ranker = ranked_by(seen="always", available=True)
    scores = ranker.score(lists)
    assert scores.null_count() == 0
    assert scores.equals(Ranker.load(line.model).score(lists))


@pytest.mark.slow
def test_an_attribute_that_is_no_column_is_named(line, ranked_by) -> None:
    with pytest.raises(SettingsError, match=r"\[rules\] names 'stock', which is not a column of items; add it"):
        ranked_by(unavailable={"stock": [0]})


def test_values_are_written_alike_whatever_their_type() -> None:
    assert (
        as_texts(pl.Series([0.0, 1.0, None])).to_list()
        == ["0", "1", None]
        == as_texts(pl.Series([0, 1, None])).to_list()
    )
    assert as_texts(pl.Series([True, False])).to_list() == [as_text(True), as_text(False)] == ["true", "false"]
    assert as_texts(pl.Series([0.5])).to_list() == ["0.5"]
    assert as_text(3) == "3"


@pytest.mark.slow
def test_items_that_came_out_long_ago_are_left_out_and_others_put_forward(line, ranked_by) -> None:
    lists, items = line.candidates(), line.dataset.items
    told = lists.join(items.select("item_id", "available_at", "category"), on="item_id", how="left")
    bare = Ranker.load(line.model).rank(lists)
    found = ranked_by(newest="2d").rank(lists)
    young = told.filter((pl.col("timestamp") - pl.col("available_at") <= 2 * DAY) | pl.col("available_at").is_null())
    assert 0 < len(found) < len(bare)
    assert {*found.select("request_id", "item_id").rows()} == {*young.select("request_id", "item_id").rows()}
    kind = told["category"].mode()[0]
    ahead = ranked_by(boosts=[{"attribute": "category", "values": [kind], "by": 100.0}]).rank(lists)
    assert ahead.sort("request_id", "item_id")["score"].equals(bare.sort("request_id", "item_id")["score"])
    kinds = ahead.join(items.select("item_id", "category"), on="item_id", how="left", maintain_order="left")
    places = kinds.with_columns(own=pl.col("category") == kind).group_by("request_id").agg(
        first=pl.col("rank").filter("own").max(), own=pl.col("own").sum()
    )  # fmt: skip
    assert places.filter(pl.col("own") > 0, pl.col("first") != pl.col("own")).is_empty()
    order = ["request_id", "rank"]
    rest = kinds.filter(pl.col("category") != kind).select("request_id", "item_id", "rank").sort(order)
    before = bare.join(rest, on=["request_id", "item_id"], how="semi").sort(order)
    assert rest["item_id"].to_list() == before["item_id"].to_list()


@pytest.mark.slow
def test_segments_hold_for_their_users_alone(line, tmp_path) -> None:
    lists = line.candidates()
    users = lists["user_id"].unique().sort()
    plans = pl.DataFrame({"user_id": users, "plan": ["free" if place % 2 else None for place in range(len(users))]})
    dataset = replace(line.dataset, users=plans)
    kind = line.dataset.items["category"].mode()[0]
    segment = {
        "users": {"plan": ["free"]},
        "unavailable": {"category": [kind]},
        "caps": [{"attribute": "category", "most": 1, "first": 2}],
    }
    rules = RuleSettings.model_validate({"segments": [segment]})
    first = lists["timestamp"].min()
    write_state(line.model, dataset, tmp_path / "state", int(first.timestamp() * 1e6), rules=rules)
    found = Ranker.load(line.model, state=tmp_path / "state").rank(lists)
    bare = Ranker.load(line.model).rank(lists)
    free = plans.filter(pl.col("plan") == "free")["user_id"].implode()
    kinds = found.join(
        line.dataset.items.select("item_id", "category"), on="item_id", how="left", maintain_order="left"
    )
    assert kind not in set(kinds.filter(pl.col("user_id").is_in(free))["category"])
    others = ~pl.col("user_id").is_in(free)
    assert_frame_equal(found.filter(others), bare.filter(others), check_exact=True)
    assert 0 < len(found.filter(others)) < len(found)
    boost = {"attribute": "category", "values": line.dataset.items["category"].unique()[:2].to_list(), "by": 100.0}
    ahead = RuleSettings.model_validate({"segments": [{"users": {"plan": ["free"]}, "boosts": [boost]}]})
    write_state(line.model, dataset, tmp_path / "ahead", int(first.timestamp() * 1e6), rules=ahead)
    put_forward = Ranker.load(line.model, state=tmp_path / "ahead").rank(lists)
    assert_frame_equal(put_forward.filter(others), bare.filter(others), check_exact=True)
    assert not put_forward.filter(~others)["item_id"].equals(bare.filter(~others)["item_id"])
    with pytest.raises(SettingsError, match=r"\[rules\] names 'plan', which is not a column of users; add it"):
        write_state(line.model, line.dataset, tmp_path / "other", rules=rules)


@pytest.mark.slow
def test_users_and_items_are_told_with_what_rules_read(line, tmp_path) -> None:
    lists = line.candidates()
    user, item = lists["user_id"][0], lists["item_id"][0]
    plans = pl.DataFrame({"user_id": lists["user_id"].unique().sort(), "plan": "free"})
    dataset = replace(line.dataset, users=plans, items=line.dataset.items.with_columns(stock=pl.lit(5)))
    segment = {
        "users": {"plan": ["paid"]},
        "unavailable": {"category": line.dataset.items["category"].unique().to_list()},
    }
    rules = RuleSettings.model_validate({"segments": [segment], "unavailable": {"stock": [0]}})
    first = lists["timestamp"].min()
    write_state(line.model, dataset, tmp_path / "state", int(first.timestamp() * 1e6), rules=rules)
    ranker = Ranker.load(line.model, state=tmp_path / "state")
    assert item in set(ranker.rank(lists)["item_id"])
    ranker.update(items=dataset.items.filter(pl.col("item_id") == item).with_columns(stock=pl.lit(0)))
    assert item not in set(ranker.rank(lists)["item_id"])
    assert user in set(ranker.rank(lists)["user_id"])
    ranker.update(
        users=pl.DataFrame({"user_id": [user], "plan": ["paid"]}, schema_overrides={"user_id": plans.schema["user_id"]})
    )
    assert user not in set(ranker.rank(lists)["user_id"])


def test_what_is_not_out_yet_is_not_new(line) -> None:
    log = prepare(line.dataset, line.settings).log
    out = line.dataset.items.select("item_id", "available_at")
    lists = line.candidates(5).join(out, on="item_id")
    for shift, new in ((-60, False), (60, True), (25 * 60, False)):
        moved = lists.with_columns(timestamp=pl.col("available_at") + pl.duration(minutes=shift))
        single = moved.with_columns(request_id=pl.int_range(pl.len())).drop("available_at")
        assert set(are_new(Asked.of(single, log), 24.0).tolist()) == {new}


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pl.Series(["0.00", "7.50", "-3.00", "100.00", None]).cast(pl.Decimal(10, 2)), ["0", "7.5", "-3", "100", None]),
        (pl.Series([0.0, -0.0, 7.5, 1e16, 1e300, None]), ["0", "0", "7.5", "10000000000000000", "1e+300", None]),
        (pl.Series([100]).cast(pl.Decimal(10, 0)), ["100"]),
        (pl.Series([2.0, 0.5], dtype=pl.Float32), ["2", "0.5"]),
        (pl.Series([True, False]), ["true", "false"]),
    ],
)
def test_numbers_are_written_alike_however_they_are_kept(column: pl.Series, texts: list[str | None]) -> None:
    assert as_texts(column).to_list() == texts


def test_rules_that_name_what_is_not_there_are_told() -> None:
    items = pl.DataFrame({"item_id": [1, 2], "section": ["travel", "food"], "price": [0.0, 2.5]})
    users = pl.DataFrame({"user_id": ["u"], "plan": ["free"]})
    rules = RuleSettings.model_validate(
        {
            "chosen": {"clik": "30d", "click": "1d"},
            "boosts": [
                {"attribute": "section", "values": ["Travel", "food"], "by": 0.1},
                {"attribute": "price", "values": [0], "by": 0.1},
            ],
            "fixed": {1: 2, 3: 17},
            "unavailable": {"section": ["sold out"]},
            "segments": [{"users": {"plan": ["Free", "free"]}, "fixed": {2: 1}}],
        }
    )
    assert [*unmatched(rules, items, users, {"click", "view"})] == [
        "[rules] boosts names section 'Travel', which no item has; did you mean travel?",
        "[rules] fixed names item_id 17, which no item has; did you mean 1?",
        "[rules] chosen names 'clik', and no event is one; did you mean click?",
        "[rules] segments names plan 'Free', which no user has; did you mean free?",
    ]


@pytest.mark.slow
def test_rules_that_name_what_is_not_there_are_warned_of(line, caplog) -> None:
    rules = RuleSettings.model_validate({"fixed": {1: 10**9}})
    Ready.today(line.model, line.dataset, rules=rules)
    assert "[rules] fixed names item_id 1000000000, which no item has" in caplog.messages
    caplog.clear()
    Ready.today(line.model, line.dataset)
    assert not caplog.messages
    prepare_to_learn(line.dataset, line.settings.model_copy(update={"rules": rules}))
    assert "[rules] fixed names item_id 1000000000, which no item has" in caplog.messages
