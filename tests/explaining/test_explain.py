"""Explained lists are the ranked ones, with what adds to each score."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.arranging.settings import RuleSettings
from recsys.errors import SettingsError
from recsys.explaining.explain import contribution_column, explain
from recsys.features.plan import plan
from recsys.model.ready import Ready


@pytest.fixture(scope="module")
def ready(line) -> Ready:
    return Ready.load(line.model, Path(line.model) / "state")


def test_explained_are_the_ranked_ones_and_families_sum_to_their_scores(line, ready) -> None:
    ranker = Ranker.load(line.model)
    candidates = line.candidates(30)
    ranked, explained = ranker.rank(candidates, top=3), ranker.explain(candidates, top=3)
    assert_frame_equal(explained.select(ranked.columns), ranked)
    families = dict.fromkeys(column.family for column in plan(ready.model.settings.features))
    adds = explained.select(contribution_column(family) for family in families)
    assert (adds.sum_horizontal() + explained["others"] - explained["score"]).abs().max() < 1e-6
    assert set(explained["named_first"]) <= set(families)
    assert explained["clicks"].list.len().max() == 3
    assert ranker.explain(candidates.head(0)).is_empty()


def test_others_are_the_rest_of_a_short_list(line, ready) -> None:
    explained = explain(ready, ready.ask(line.candidates(20))).frame()
    lists = explained.group_by("request_id").agg(pl.len(), pl.col("score").sum().alias("sum"))
    joined = explained.join(lists, on="request_id").filter(pl.col("len") > 1)
    assert len(joined) > 50
    rest = (joined["sum"] - joined["score"]) / (joined["len"] - 1)
    assert (rest - joined["others"]).abs().max() < 1e-9


def test_pandas_in_pandas_out(line) -> None:
    found = Ranker.load(line.model).explain(line.candidates(2).to_pandas(), top=1)
    assert isinstance(found, pd.DataFrame)
    assert len(found) == 2
    with pytest.raises(SettingsError, match="top = 0; keep at least 1"):
        Ranker.load(line.model).explain(line.candidates(2), top=0)


def test_rules_leave_out_and_items_are_explained_wherever_they_stand(line, ready) -> None:
    candidates = line.candidates(1)
    items = explain(ready, ready.ask(candidates)).ranked["item_id"]
    fixed = RuleSettings(fixed={1: int(items[-1])})
    ruled = Ready(ready.model.ruled(fixed), ready.log, ready.reader)
    explained = explain(ruled, ruled.ask(candidates), 1)
    assert explained.ranked["item_id"].to_list() == [items[-1]]
    also = explain(ready, ready.ask(candidates), 1, [str(items[-1])])
    assert also.ranked["rank"].to_list() == [1, len(items)]
    assert also.asked.candidates["item_id"].gather(also.rows).to_list() == also.ranked["item_id"].to_list()


def test_clicks_are_what_the_user_clicked_before(line, ready) -> None:
    asked = ready.ask(line.candidates(15))
    explained = explain(ready, asked)
    clicks = line.dataset.requests.filter(pl.col("label") > 0).select("user_id", "item_id")
    done = line.dataset.events.filter(pl.col("event") == "click").select("user_id", "item_id")
    chosen = {*clicks.rows(), *done.rows()}
    frame = explained.frame()
    named = [(user, item) for user, items in frame.select("user_id", "clicks").rows() for item in items]
    assert len(named) > 20
    assert set(named) <= chosen
    assert np.all(explained.rows >= 0)


def test_what_has_no_text_is_explained_without_clicks(line, ready) -> None:
    lists = line.candidates(20)
    unknown = lists.with_columns(item_id=pl.col("item_id") + 10**6)
    found = explain(ready, ready.ask(unknown)).frame()
    assert len(found) == len(unknown)
    assert found["clicks"].list.len().sum() == 0
    one = pl.concat([lists, unknown.unique("request_id")])
    assert len(explain(ready, ready.ask(one), top=1).frame()) == lists["request_id"].n_unique()


def test_boosts_and_fixed_places_are_told_and_nobody_is_held_against_what_is_left_out(line, ready) -> None:
    lists = line.candidates(30)
    worst = Ranker.load(line.model).rank(lists)["item_id"][-1]
    kind = line.dataset.items["category"][0]
    rules = RuleSettings.model_validate(
        {
            "boosts": [{"attribute": "category", "values": [kind], "by": 0.5}],
            "unavailable": {"subcategory": [line.dataset.items["subcategory"][1]]},
            "fixed": {2: worst},
        }
    )
    ruled, _ = Ready.today(line.model, line.dataset, rules=rules)
    asked = ruled.ask(lists)
    found = explain(ruled, asked)
    frame = found.frame().join(line.dataset.items.select("item_id", "category"), on="item_id", maintain_order="left")
    assert frame["boost"].to_list() == [0.5 if each == kind else 0.0 for each in frame["category"]]
    assert found.listed == len(found.ranked) < len(lists)
    assert found.ranked.filter(pl.Series(found.ruled.fixed))["item_id"].unique().to_list() == [worst]
    for request, own in frame.group_by("request_id"):
        if len(own) <= 20:
            for place, others in enumerate(own["others"]):
                rest = [score for each, score in enumerate(own["score"]) if each != place]
                assert others == pytest.approx(np.mean(rest) if rest else own["score"][0], abs=1e-9), request
