"""Versions of items and users that a process is told."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.clock import TimeSettings
from recsys.errors import DataError
from recsys.model.news import News
from recsys.past.log import Log
from recsys.schema import TIME
from tests.model.test_news import SETTINGS_OF_ALL, Source, features_of, reader_of, row, shop_of, tell
from tests.past.test_tail import MINUTE, START

pytestmark = pytest.mark.slow


def test_a_row_without_a_moment_is_refused_where_its_item_has_versions() -> None:
    _, tail, reader = shop_of()
    later = {"known_at": START + 10 * MINUTE}
    people = pl.DataFrame({"user_id": [3], "town": ["c"], "known_at": [START]}, schema_overrides={"known_at": TIME})
    tail, reader, _ = tell(tail, reader, row(4, category="opera").with_columns(**later), people)
    words = "^item 4 has versions, and is told without known_at; say in known_at from when on the row holds$"
    with pytest.raises(DataError, match=words):
        tell(tail, reader, pl.concat([row(20), row(4, category="code")]), None)
    with pytest.raises(DataError, match="^user 3 has versions, and is told without known_at; say in known_at"):
        tell(tail, reader, None, pl.DataFrame({"user_id": [1, 3], "town": ["a", "a"]}))
    tail, reader, news = tell(tail, reader, row(5, category="code"), pl.DataFrame({"user_id": [1], "town": ["z"]}))
    assert (len(news.items), len(news.users)) == (1, 1)  # neither has any
    always = row(4, category="code").with_columns(known_at=pl.lit(None, TIME))
    _, _, news = tell(tail, reader, pl.concat([always, row(20).with_columns(**later)]), None)
    assert news.items["known_at"].to_list() == [None, START + 10 * MINUTE]


def test_a_version_that_is_told_again_is_left_out_or_takes_the_place_of_what_was_told() -> None:
    source = Source()
    _, tail, reader = shop_of(source)
    moment = START + 10 * MINUTE
    told = pl.concat([row(4, category="opera"), row(20, title="goal")]).with_columns(known_at=pl.lit(moment))
    tail, reader, news = tell(tail, reader, told, None)
    assert (len(news.items), news.alike, source.asked) == (2, 0, ["bread", "goal"])
    tail, reader, news = tell(tail, reader, told[::-1], None)
    assert (len(news.items), news.alike, source.asked) == (0, 2, ["bread", "goal"])
    before = len(tail.log.behaviour.items)
    tail, _, news = tell(tail, reader, told.with_columns(category=pl.lit("food"))[:1], None)
    assert (len(news.items), len(tail.log.behaviour.items)) == (1, before)


def test_a_version_older_than_all_behaviour_counts_from_its_moment_on() -> None:
    """What was counted under another attribute is counted anew; a version known only now leaves it as it is."""
    shop, tail, reader = shop_of()
    (layer,) = tail.log.layers
    seen = shop.items.filter(pl.col("item_id").is_in(tail.log.behaviour.showings["item_id"].implode()))[:1]
    opera, now = seen.with_columns(category=pl.lit("opera")), tail.log.behaviour.showings["timestamp"].max()
    late, _, _ = tell(tail, reader, opera.with_columns(known_at=pl.lit(now + MINUTE)), None)
    assert late.log.layers == (layer,)
    early, read, _ = tell(tail, reader, opera.with_columns(known_at=pl.lit(START - 99 * MINUTE)), None)
    assert early.log.layers != (layer,)
    items = pl.concat([shop.items, opera.with_columns(known_at=pl.lit(START - 99 * MINUTE))])
    whole = Log(replace(shop.story, items=items).behaviour(3), TimeSettings())
    candidates = shop.candidates()
    found, expected = features_of(candidates, early.log, read), features_of(candidates, whole, reader_of(whole, items))
    assert_frame_equal(found, expected, check_exact=True)


VERSION_FAULTS = {
    "twice": (
        [START, START], r"error: items.item_id \+ known_at: the same item_id and known_at again in 1 \(50 %\), such as "),
    "always known, twice": ([None, None], r"items.item_id \+ known_at: the same item_id and known_at again in 1"),
    "later than now": ([datetime(2099, 1, 1, tzinfo=UTC), START], "items.known_at: moments later than now, .* in 1"),
    "no moment": (["noon", "one"], "items.known_at: the column is String, not moments"),
    "a mistaken unit": ([START.replace(year=1970), START], "items.known_at: moments before 1990 in 1"),
}  # fmt: skip


@pytest.mark.parametrize("fault", VERSION_FAULTS)
def test_faults_of_versions_name_the_column_and_the_value(fault: str) -> None:
    moments, words = VERSION_FAULTS[fault]
    _, tail, reader = shop_of()
    dtype = pl.String if isinstance(moments[0], str) else TIME
    told = pl.concat([row(20), row(20, title="goal")]).with_columns(known_at=pl.Series(moments, dtype=dtype))
    with pytest.raises(DataError, match=words):
        tell(tail, reader, told, None)


def test_versions_in_any_order_of_rows_are_the_same() -> None:
    _, tail, reader = shop_of()
    moments = [START + 10 * MINUTE, None, START + 30 * MINUTE]
    told = pl.concat([row(20, category=each) for each in ("b", "a", "c")]).with_columns(
        known_at=pl.Series(moments, dtype=TIME)
    )
    found = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        log = tell(tail, reader, told[order], None)[0].log
        code = log.items.encode(pl.Series("item_id", [20, 20, 20, 20]))
        asked = [START, START + 10 * MINUTE, START + 11 * MINUTE, START + 31 * MINUTE]
        rows = log.register.items.at(code, np.array([int(moment.timestamp()) * 10**6 for moment in asked]))
        found.append(log.behaviour.items["category"].gather(rows).to_list())
    assert found == [["a", "a", "b", "c"]] * 3


def test_versions_that_are_told_late_may_be_known_from_a_moment_on_only() -> None:
    _, tail, reader = shop_of()
    at = START + 60 * MINUTE
    moments = [START, START + 90 * MINUTE, START + 10 * MINUTE, None]
    told = pl.concat([row(number, category=each) for number, each in ((20, "a"), (20, "b"), (20, "c"), (21, "d"))])
    told = told.with_columns(known_at=pl.Series(moments, dtype=TIME))
    news = News.of(told, None, SETTINGS_OF_ALL, tail.log, reader, at)
    kept = news.items.sort("item_id", "known_at").select("item_id", "known_at", "category").rows()
    assert kept == [(20, at, "c"), (20, START + 90 * MINUTE, "b"), (21, at, "d")]
    assert news.alike == 1


@pytest.mark.parametrize("newer", [50, 60])
def test_a_late_version_that_a_newer_one_has_followed_by_then_is_left_out(newer) -> None:
    _, tail, reader = shop_of()
    at, known = START + 60 * MINUTE, START + newer * MINUTE
    told = row(20, category="opera").with_columns(known_at=pl.lit(known, TIME))
    tail, reader, _ = tell(tail, reader, told, None)
    for minute, left in ((40, 0), (newer + 1, 1)):
        late = row(20, category="sport").with_columns(known_at=pl.lit(START + minute * MINUTE, TIME))
        news = News.of(late, None, SETTINGS_OF_ALL, tail.log, reader, at)
        assert (len(news.items), news.alike) == (left, 1 - left)
    last = tail.log.register.items.table.filter(pl.col("item_id") == 20).sort("known_at").row(-1, named=True)
    assert (last["known_at"], last["category"]) == (known, "opera")


@pytest.mark.parametrize("known", [None, START + 2 * MINUTE])
def test_a_late_row_without_a_moment_of_its_own_is_known_from_then_on_only(known) -> None:
    """As any other that would have been known before; what a newer version has followed by then stays unsaid."""
    at = START + 8 * MINUTE
    _, tail, reader = shop_of()
    newer = row(5, category="opera").with_columns(known_at=pl.lit(START + 5 * MINUTE, TIME))
    tail, reader, _ = tell(tail, reader, newer, None)
    late = pl.concat([row(each, category="sport") for each in (4, 5, 20)]).with_columns(known_at=pl.lit(known, TIME))
    news = News.of(late, None, SETTINGS_OF_ALL, tail.log, reader, at)
    assert news.items["item_id"].to_list() == [4, 20]
    assert news.items["known_at"].to_list() == [at, at]
    alone = News.of(late.drop("known_at").filter(pl.col("item_id") != 5), None, SETTINGS_OF_ALL, tail.log, reader, at)
    assert alone.items["known_at"].to_list() == [None, None]  # rows of a table without versions hold for all time
