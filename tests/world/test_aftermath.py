from datetime import timedelta

import polars as pl
import pytest

from recsys.world.calendar import START


@pytest.fixture(scope="module")
def clicks(world):
    """Every click with its moment: those off the lists and, at the earliest moment they can have, those on lists."""
    events, requests = world.dataset.events, world.dataset.requests
    off = events.filter(pl.col("event") == "click").select("user_id", "item_id", clicked_at="timestamp")
    on = requests.filter(pl.col("label") > 0).select("user_id", "item_id", clicked_at="timestamp")
    return pl.concat([off, on])


def test_events_are_in_order_of_time_and_end_with_the_world(world):
    moments = world.dataset.events["timestamp"]
    assert moments.is_sorted()
    assert moments.min() >= START - timedelta(days=5)
    assert moments.max() < START + timedelta(days=8)


def test_likes_shares_and_comments_come_after_a_click_of_that_user(world, clicks):
    reactions = world.dataset.events.filter(pl.col("event").is_in(["like", "share", "comment"]))
    first = clicks.group_by("user_id", "item_id").agg(pl.col("clicked_at").min())
    joined = reactions.join(first, on=["user_id", "item_id"], how="left")
    assert joined["clicked_at"].null_count() == 0
    assert (joined["timestamp"] > joined["clicked_at"]).all()
    assert set(reactions["event"]) == {"like", "share", "comment"}


def test_a_click_on_a_list_is_not_an_event_too(world):
    run_clicks = world.dataset.events.filter(pl.col("event") == "click")
    labels = world.dataset.requests.filter(pl.col("label") > 0)
    same = run_clicks.join(labels, on=["user_id", "item_id"], suffix="_shown")
    gap = (same["timestamp"] - same["timestamp_shown"]).dt.total_seconds()
    assert gap.is_between(0, 60).sum() <= 2  # two people-made coincidences in one hour are possible, copies are not


def test_only_views_have_a_value_and_it_is_the_time_since_the_click(world, clicks):
    events = world.dataset.events
    assert (
        events.filter(pl.col("event") != "view")["value"].null_count()
        == events.filter(pl.col("event") != "view").height
    )
    views = events.filter(pl.col("event") == "view")
    assert views["value"].is_between(2, 900).all()
    after = views.join(clicks, on=["user_id", "item_id"]).with_columns(
        began=pl.col("timestamp") - pl.duration(milliseconds=1_000 * pl.col("value"))
    )
    after = after.filter(
        pl.col("began").is_between(
            pl.col("clicked_at") - timedelta(seconds=1), pl.col("clicked_at") + timedelta(minutes=2)
        )
    )
    assert 0.55 < len(after) / len(clicks) < 0.8


def test_reading_time_and_likes_go_with_utility(world):
    labelled = world.dataset.requests.with_columns(utility=world.truth["utility"]).filter(pl.col("label") > 0)
    views = world.dataset.events.filter(pl.col("event") == "view")
    read = labelled.join(views, on=["user_id", "item_id"])
    assert read.select(pl.corr("utility", pl.col("value").log())).item() > 0.2
    liked = world.dataset.events.filter(pl.col("event") == "like").select("user_id", "item_id").unique()
    with_like = labelled.join(liked, on=["user_id", "item_id"], how="semi")["utility"].mean()
    assert with_like > labelled["utility"].mean() + 0.2


def test_views_come_off_the_lists_without_a_click_too(world, clicks):
    views = world.dataset.events.filter(pl.col("event") == "view")
    without = views.join(clicks, on=["user_id", "item_id"], how="anti")
    assert 0.1 < len(without) / len(views) < 0.4
