"""What sources find, held against plain loops over a small log."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.clock import TimeSettings
from recsys.data.tables import Dataset
from recsys.features.settings import FeatureSettings
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.log import Log
from recsys.sources import finding, ranking
from recsys.sources.finding import Finder
from recsys.sources.settings import SOURCES, CandidateSettings

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CLICKS = [(1, 1, 5), (1, 2, 4), (2, 1, 4), (2, 3, 3), (3, 1, 3), (3, 2, 2), (4, 2, 2), (4, 2, 3), (9, 6, 0)]
"""User, item, days before noon; the last lies in the future of whoever asks at midnight."""


@pytest.fixture
def log(tools):
    """Items 1 to 5 are out, 4 and 5 since yesterday and today; 6 is in no catalogue, 7 is out tomorrow."""
    out = [None, NOON - 9 * DAY, NOON - 8 * DAY, NOON - DAY, NOON - HOUR, NOON + DAY]
    items = pl.DataFrame(
        {"item_id": [1, 2, 3, 4, 5, 7], "available_at": out},
        schema_overrides={"available_at": pl.Datetime("us", "UTC")},
    )
    clicks = [(user, item, "click", NOON - days * DAY, timedelta(0)) for user, item, days in CLICKS]
    bought = [(1, 3, "buy", NOON - 2 * HOUR, timedelta(0)), (2, 2, "buy", NOON + HOUR, timedelta(0))]
    return Log(behaviour_of(Dataset(items, tools.events(clicks + bought), tools.showings([])), Kept()), TimeSettings())


def asked_by(*users):
    return pl.DataFrame(
        {"request_id": [10 + user for user in users], "user_id": users, "timestamp": [NOON] * len(users)},
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


def lists(finder, found):
    """Item ids per request."""
    ids = finder.log.items.by_code.to_list()
    return [[ids[item] for item in found.items[found.requests == which]] for which in range(found.requests.max() + 1)]


def finder_of(log, tools, *sources, once=(), windows=("30d",)):
    settings = CandidateSettings(sources=sources, once=once, size=3)
    return Finder(settings, FeatureSettings(windows=windows), log, tools.reader(log))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("popular", [[2, 1, 3], [2, 1, 3]]),  # two clicks of user 4 on item 2; item 6 was clicked after midnight
        ("recent", [[5, 4, 3], [5, 4, 3]]),  # 1 has no moment, 7 is not out
        ("again", [[2, 1], [2]]),  # the last one first, then the often ones
    ],
)
def test_each_source_finds_what_a_plain_reading_says(log, tools, source, expected):
    finder = finder_of(log, tools, source)
    assert lists(finder, finder.find(asked_by(1, 4), 3)) == expected


def test_covisited_items_are_those_of_users_with_the_same_clicks(log, tools):
    finder = finder_of(log, tools, "covisited")
    found = lists(finder, finder.find(asked_by(4, 1), 5))
    assert found[0][0] == 1  # users 1 and 3 clicked it before item 2
    assert set(found[1]) == {1, 2, 3}


def test_the_nearest_texts_are_those_of_a_plain_dot_product(log, tools):
    finder = finder_of(log, tools, "nearest")
    vectors, ids = finder.reader.vectors, finder.log.items.by_code.to_list()
    place = {item: row for row, item in enumerate(vectors.item_ids)}
    clicked = sum(vectors.history[place[item]].astype(float) for item in (2, 1))
    near = {item: clicked @ vectors.candidate[place[item]] for item in (1, 2, 3, 4)}  # 5 has no vector, 6 is not known
    expected = sorted(near, key=lambda item: -near[item])
    found = finder.find(asked_by(1, 8), 9)
    assert [ids[item] for item in found.items] == expected
    assert set(found.requests) == {0}  # nothing was clicked by user 8


def test_what_was_chosen_or_is_not_out_is_left_out_for_its_user_alone(log, tools):
    finder = finder_of(log, tools, "popular", "recent", once=("click", "buy"))
    found = lists(finder, finder.find(asked_by(1, 4), 9))
    assert set(found[0]) == {4, 5}  # 1 and 2 were clicked, 3 was bought
    assert set(found[1]) == {1, 3, 4, 5}
    codes = finder.log.items.encode(pl.Series([3, 3, 7, 99]))
    assert finder.fits(asked_by(1, 4), np.array([0, 1, 1, 1]), codes).tolist() == [False, True, False, False]


def test_any_blocks_and_any_order_of_requests_find_the_same(log, tools, monkeypatch):
    finder = finder_of(log, tools, *SOURCES, once=("buy",))
    users = [1, 2, 3, 4, 8, 9]
    whole = lists(finder, finder.find(asked_by(*users), 4))
    assert len(whole) == 6
    monkeypatch.setattr(finding, "_CELLS", 2)
    assert lists(finder, finder.find(asked_by(*users), 4)) == whole
    turned = lists(finder, finder.find(asked_by(*users[::-1]), 4))
    assert turned[::-1] == whole


def test_nothing_is_found_of_an_empty_log(log, tools):
    behaviour = replace(log.behaviour, events=log.behaviour.events.clear(), items=log.behaviour.items.clear())
    finder = finder_of(Log(behaviour, TimeSettings()), tools, *SOURCES)
    found = finder.find(asked_by(1, 2), 3)
    assert [len(each) for each in found] == [0, 0, 0]
    assert finder.candidates(asked_by(1), found).is_empty()
    assert finder.find(asked_by(1, 2).clear(), 3).items.tolist() == []


def test_scores_of_retrievers_are_not_known_of_what_was_found(log, tools):
    finder = finder_of(log, tools, "popular")
    scored = replace(finder, features=finder.features.model_copy(update={"scores": ("bm25", "ann")}))
    asked = asked_by(1, 4).with_columns(bm25=pl.lit(7.5), device=pl.lit("tv"))
    found = scored.candidates(asked, scored.find(asked, 2))
    assert found["bm25"].null_count() == len(found) == 4
    assert found["bm25"].dtype == pl.Float64
    assert set(found["device"]) == {"tv"}


def test_what_is_popular_and_may_be_no_candidate_takes_nobody_s_place(log, tools):
    """However many of the most clicked items are not out or unknown, and whoever is asked for beside."""
    items = pl.DataFrame(
        {"item_id": list(range(40)), "available_at": [NOON + DAY if item < 20 else None for item in range(40)]},
        schema_overrides={"available_at": pl.Datetime("us", "UTC")},
    )
    done = [(user, item, "click", NOON - 5 * DAY, timedelta(0)) for item in range(30) for user in range(60 - item)]
    done += [(1, 100 + item, "click", NOON - 5 * DAY, timedelta(0)) for item in range(10) for _ in range(80)]
    log = Log(behaviour_of(Dataset(items, tools.events(done), tools.showings([])), Kept()), TimeSettings())
    for once in ((), ("click",)):
        finder = finder_of(log, tools, "popular", once=once)
        together = lists(finder, finder.find(asked_by(1, 35, 1000), 6))
        assert together[2] == [20, 21, 22, 23, 24, 25]
        assert together[1] == ([25, 26, 27, 28, 29] if once else together[2])
        alone = [lists(finder, finder.find(asked_by(user), 6))[0] for user in (35, 1000)]
        assert alone == together[1:]


def test_items_without_a_text_are_near_to_nothing(log, tools):
    finder = finder_of(log, tools, "nearest")
    vectors = finder.reader.vectors
    blank = pl.Series(["e3b0c44298fc1c14" if item in (2, 3) else "x" for item in vectors.item_ids])
    silent = replace(finder, reader=replace(finder.reader, vectors=replace(vectors, text_hashes=blank)))
    found = lists(silent, silent.find(asked_by(2, 1), 5))
    assert found
    assert not {2, 3} & {item for each in found for item in each}
    assert {2, 3} & {item for each in lists(finder, finder.find(asked_by(2, 1), 5)) for item in each}


def with_index(finder):
    return replace(finder, settings=finder.settings.model_copy(update={"index": "faiss"}))


def test_an_index_of_few_items_finds_what_all_items_give(log, tools):
    finder = finder_of(log, tools, "nearest")
    for users in ((1, 4), (8,), (2, 8, 1, 3)):
        exact, found = (each.find(asked_by(*users), 3) for each in (finder, with_index(finder)))
        for one, other in zip(exact, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_where_an_index_gives_too_few_that_are_out_all_items_are_looked_at(log, tools):
    finder = finder_of(log, tools, "nearest")
    vectors, given = finder.reader.vectors, []

    class Blind:
        """An index that finds the item with vector 0 alone."""

        def near(self, of, rows, queries, count):
            given.append(count)
            found = np.full((len(queries), count), -1)
            found[:, 0] = 0
            return found

    assert len(vectors) > 2
    blind = replace(with_index(finder), index=Blind())
    for one, other in zip(finder.find(asked_by(1, 8, 4), 3), blind.find(asked_by(1, 8, 4), 3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert given


@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_near_and_no_candidate_takes_nobody_s_place(log, tools, indexed):
    finder = finder_of(log, tools, "nearest", once=("click",))
    finder = with_index(finder) if indexed else finder
    for size in (1, 2):
        found = lists(finder, finder.find(asked_by(1, 3), size))
        assert [len(each) for each in found] == [size, size]
        assert not {1, 2} & {item for each in found for item in each}


def test_where_an_index_gives_enough_no_other_vector_is_read(log, tools, monkeypatch):
    finder = with_index(finder_of(log, tools, "nearest"))
    asked = []
    by_products = ranking._by_products
    monkeypatch.setattr(ranking, "_by_products", lambda *of: asked.append(of[1]) or by_products(*of))
    finder.find(asked_by(1, 4), 1)
    assert len(asked) == 1
