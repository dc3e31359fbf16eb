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
from recsys.schema import TIME
from recsys.sources.finding import Finder, first_rows
from recsys.sources.lists import found_lists, learn_merging
from recsys.sources.settings import CandidateSettings

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def finder(tools):
    """Items 1 to 30 were clicked, the smaller the more often."""
    clicks = [
        (user, item, "click", NOON - timedelta(days=3), timedelta(0))
        for item in range(1, 31)
        for user in range(31 - item)
    ]
    log = Log(
        behaviour_of(
            Dataset(pl.DataFrame({"item_id": range(1, 41)}), tools.events(clicks), tools.showings([])), Kept()
        ),
        TimeSettings(),
    )
    settings = CandidateSettings(sources=("popular",), size=20, learnt=5)
    return Finder(settings, FeatureSettings(windows=("25d",)), log, tools.reader(log))


def requests(tools, chosen):
    """Lists of what was chosen, beside item 40, which nobody clicked."""
    return tools.showings([(1, NOON, {**dict.fromkeys(items, 1), 40: 0}) for items in chosen])


def test_a_list_holds_what_was_chosen_of_what_was_found_and_some_of_the_others(finder, tools):
    found = found_lists(requests(tools, [[3], [25], [1, 19, 22], [40]]), finder, 0)
    assert found.columns == requests(tools, [[1]]).columns
    by_list = {number[0]: rows for number, rows in found.group_by("request_id", maintain_order=True)}
    assert len(by_list) == 2  # 25 and 40 are not among the first twenty
    for number, chosen in ((0, {3}), (2, {1, 19})):
        rows = by_list[number]
        assert set(rows.filter(pl.col("label") > 0)["item_id"]) == chosen
        others = rows.filter(pl.col("label") == 0)["item_id"]
        assert others.is_unique().all()
        assert len(set(others) & set(range(1, 21))) >= 5
        assert len(others) <= 6  # one more of all items
        assert not set(others) & chosen


def test_what_stands_far_down_is_drawn_as_often_as_the_top(finder, tools):
    counts = pl.concat([found_lists(requests(tools, [[1]] * 20), finder, seed) for seed in range(40)])
    often = dict(counts.filter(pl.col("label") == 0)["item_id"].value_counts().iter_rows())
    found = [often.pop(item) for item in range(2, 21)]
    assert min(found) > 0.7 * 800 * 5.3 / 19
    assert max(found) < 1.3 * 800 * 5.3 / 19
    assert set(often) == set(range(21, 41))  # what no source finds is drawn from all items
    assert max(often.values()) < 2 * 800 / 40


def test_what_is_drawn_of_all_items_may_be_a_candidate_and_was_not_chosen(finder, tools):
    deep = replace(finder, settings=finder.settings.model_copy(update={"once": ("click",), "learnt": 200}))
    lists = found_lists(requests(tools, [[3], [1, 19, 39]]).with_columns(user_id=pl.lit(3, pl.Int64)), deep, 0)
    assert lists.select("request_id", "item_id").is_unique().all()
    clicked = set(range(1, 28))  # by user 3
    assert lists.is_empty() or not set(lists["item_id"]) & clicked
    free = found_lists(
        requests(tools, [[3], [1, 19, 39]]), replace(finder, settings=deep.settings.model_copy(update={"once": ()})), 0
    )
    labels = {tuple(row) for row in free.filter(pl.col("label") > 0).select("request_id", "item_id").iter_rows()}
    assert labels == {(0, 3), (1, 1), (1, 19)}
    assert (1, 39) not in set(free.select("request_id", "item_id").iter_rows())  # it was chosen, and no source found it
    assert len(free.filter(pl.col("item_id") > 20)) > 20


def test_a_seed_gives_the_same_lists_and_another_one_others(finder, tools):
    lists = requests(tools, [[3], [4]])
    first = found_lists(lists, finder, 1)
    assert first.equals(found_lists(lists, finder, 1))
    assert not first.equals(found_lists(lists, finder, 2))


@pytest.mark.parametrize(("ago", "windows", "best"), [(40, ("7d",), 28), (5, ("7d",), 7 / 16), (20, ("2d",), 8)])
def test_the_half_life_of_popularity_is_that_which_puts_choices_furthest_up(tools, ago, windows, best):
    """Item 1 has thirty clicks of some days ago; each day since had another item, with fewer."""
    day = timedelta(days=1)
    clicks = [(user, 1, "click", NOON - ago * day - day / 2, timedelta(0)) for user in range(30)]
    since = [
        (user, 2 + back, "click", NOON - (back + 1) * day, timedelta(0)) for back in range(30) for user in range(4)
    ]
    catalogue = pl.DataFrame({"item_id": range(1, 41)})
    log = Log(
        behaviour_of(Dataset(catalogue, tools.events(clicks + since), tools.showings([])), Kept()), TimeSettings()
    )
    finder = Finder(
        CandidateSettings(sources=("popular",), size=20), FeatureSettings(windows=windows), log, tools.reader(log)
    )
    chosen = requests(tools, [[1 if ago > 5 else 2]])
    assert learn_merging(chosen, finder, 0).half_life == best * day


def test_where_nothing_says_which_half_life_is_best_it_is_the_longest_window(finder, tools):
    for chosen in ([], [[40]], [[39]]):
        assert learn_merging(requests(tools, chosen or [[3]]).filter(bool(chosen)), finder, 0).half_life == timedelta(
            days=25
        )


def test_items_of_later_change_neither_what_is_known_of_sources_nor_the_lists(finder, tools):
    """In codes they may come first, for ids are sorted."""
    chosen = requests(tools, [[3], [25], [1, 19, 22]])
    table = finder.log.behaviour.items.select("item_id")
    later = pl.DataFrame(
        {"item_id": range(-60, 0), "available_at": [NOON + timedelta(days=9)] * 60},
        schema_overrides={"available_at": TIME},
    )
    items = pl.concat([table, later], how="diagonal")
    log = Log(replace(finder.log.behaviour, items=items), TimeSettings())
    told = replace(finder, log=log, reader=tools.reader(log))
    plain, more = (learn_merging(chosen, each, 0) for each in (finder, told))
    assert more.half_life == plain.half_life
    np.testing.assert_array_equal(more.rates["popular"], plain.rates["popular"])
    assert found_lists(chosen, told, 0).equals(found_lists(chosen, finder, 0))


def test_no_choice_makes_no_list(finder, tools):
    nothing = requests(tools, [[3]]).with_columns(label=pl.lit(0, pl.Int64))
    assert found_lists(nothing, finder, 0).is_empty()
    assert found_lists(nothing.clear(), finder, 0).columns == nothing.columns


def test_each_request_is_one_row_with_what_all_of_its_rows_share(tools):
    asked = first_rows(requests(tools, [[3], [4, 5]]))
    assert asked["request_id"].to_list() == [0, 1]
    assert "item_id" not in asked.columns
