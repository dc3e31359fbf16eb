"""Lists under diversity and exploration: whole, the same alone and together, honest about chance."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.arranging.arrange import _values
from recsys.arranging.settings import Diversity, RuleSettings
from recsys.explaining.reading import Attended
from recsys.model.ready import Ready
from recsys.past.clicks import READ
from recsys.past.history import read_history
from recsys.past.log import Log
from recsys.past.lookup import Asked

ALL = [
    {"diversity": {"by": "mmr", "weight": 0.6, "first": 4}},
    {"diversity": {"by": "dpp", "weight": 0.6, "first": 4}},
    {"diversity": {"by": "mmr", "weight": 0.6, "over": "category"}},
    {"diversity": {"by": "calibrated", "weight": 0.6, "over": "category"}},
    {"exploration": {"by": "epsilon", "epsilon": 0.4, "seed": 3}},
    {"exploration": {"by": "plackett_luce", "temperature": 0.2, "seed": 3}},
    {"exploration": {"by": "none", "new_place": 2, "new_within": "2d"}},
    {
        "diversity": {"by": "mmr", "weight": 0.3},
        "exploration": {"by": "epsilon", "epsilon": 0.2, "first": 3},
        "caps": [{"attribute": "category", "most": 2, "first": 4}],
        "boosts": [{"attribute": "category", "values": ["science"], "by": 0.3}],
        "seen": "1h",
        "newest": "9d",
    },
]


@pytest.fixture(scope="module")
def ready(line) -> Ready:
    return Ready.load(line.model, Path(line.model) / "state")


@pytest.mark.parametrize("given", ALL, ids=str)
def test_nothing_is_lost_and_a_list_is_the_same_alone_and_together(line, ready, given) -> None:
    rules, candidates = RuleSettings.model_validate(given), line.candidates(25)
    bare = ready.rank(ready.ask(candidates), RuleSettings())
    together = ready.rank(ready.ask(candidates.sample(fraction=1.0, shuffle=True, seed=1)), rules)
    key = ["request_id", "item_id"]
    if not {"seen", "newest"} & set(given):
        assert_frame_equal(together.select(*key, "score").sort(key), bare.select(*key, "score").sort(key))
    assert together.select(key).is_unique().all()
    moved = together.join(bare, on=key)
    assert (moved["rank"] != moved["rank_right"]).any()
    places = together.with_columns(place=pl.int_range(1, pl.len() + 1).over("request_id"))
    assert (places["place"] == places["rank"]).all()
    for request in candidates["request_id"].unique().sort()[:6]:
        alone = ready.rank(ready.ask(candidates.filter(pl.col("request_id") == request)), rules)
        assert_frame_equal(alone, together.filter(pl.col("request_id") == request), check_exact=True)
    if "exploration" in given:
        assert together["propensity"].is_between(0, 1, closed="right").all()
        assert (together["propensity"] < 1).any()
    else:
        assert "propensity" not in together.columns


def test_behind_the_first_places_the_order_is_that_of_scores(line, ready) -> None:
    rules = RuleSettings.model_validate({"diversity": {"by": "mmr", "weight": 0.9, "first": 2}})
    found = ready.rank(ready.ask(line.candidates(20)), rules)
    rest = found.filter(pl.col("rank") > 2).with_columns(before=pl.col("score").shift().over("request_id"))
    assert rest.filter(pl.col("score") > pl.col("before")).is_empty()
    assert (
        found.filter(pl.col("rank") == 1)["score"]
        == found.group_by("request_id", maintain_order=True).agg(pl.col("score").max())["score"]
    ).all()


def test_marginal_relevance_makes_lists_less_alike(line, ready) -> None:
    asked = ready.ask(line.candidates(40))
    vectors = ready.reader.vectors
    by_item = dict(zip(vectors.item_ids.to_list(), range(len(vectors)), strict=True))

    def likeness(rules: RuleSettings) -> float:
        first = ready.rank(asked, rules).filter(pl.col("rank") <= 3)
        found = []
        for (_,), own in first.group_by("request_id"):
            rows = vectors.candidate[np.array([by_item[item] for item in own["item_id"]])]
            products = rows @ rows.T
            found += products[np.triu_indices(len(rows), 1)].tolist()
        return float(np.mean(found))

    diverse = [
        likeness(RuleSettings.model_validate({"diversity": {"by": by, "weight": 0.7, "first": 3}}))
        for by in ("mmr", "dpp")
    ]
    assert max(diverse) < likeness(RuleSettings()) - 0.05


def test_calibrated_lists_hold_what_users_clicked(line, ready) -> None:
    asked = ready.ask(line.candidates(40))
    rules = RuleSettings.model_validate(
        {"diversity": {"by": "calibrated", "over": "category", "weight": 1.0, "first": 3}}
    )
    items = line.dataset.items.select("item_id", "category")
    found = ready.rank(asked, rules).filter(pl.col("rank") <= 3).join(items, on="item_id", how="left")
    bare = ready.rank(asked, RuleSettings()).filter(pl.col("rank") <= 3).join(items, on="item_id", how="left")
    first = asked.starts[:-1]
    history = read_history(asked.log, asked.rows.codes["user"][first], asked.rows.as_of[first], 100).items
    kinds = dict(items.rows())
    ids = asked.log.items.by_code
    requests = asked.candidates["request_id"].gather(first).to_list()

    def fit(lists: pl.DataFrame) -> float:
        shares = []
        for request, own in zip(requests, history, strict=True):
            liked = [kinds[ids[int(code)]] for code in own if code >= 0]
            listed = lists.filter(pl.col("request_id") == request)["category"].to_list()
            shares += [liked.count(kind) / len(liked) for kind in listed if liked]
        return float(np.mean(shares))

    assert fit(found) > fit(bare) + 0.05


def test_the_seed_draws_other_lists(line, ready) -> None:
    asked = ready.ask(line.candidates(20))
    lists = [
        ready.rank(asked, RuleSettings.model_validate({"exploration": {"epsilon": 0.5, "seed": seed}}))
        for seed in (1, 1, 2)
    ]
    assert_frame_equal(lists[0], lists[1], check_exact=True)
    assert not lists[0]["item_id"].equals(lists[2]["item_id"])


def test_what_is_new_is_put_into_its_place(line, ready) -> None:
    candidates = line.candidates(40)
    rules = RuleSettings.model_validate({"exploration": {"by": "none", "new_place": 1, "new_within": "1d"}})
    found = ready.rank(ready.ask(candidates), rules).filter(pl.col("rank") == 1)
    told = candidates.join(line.dataset.items.select("item_id", "available_at"), on="item_id", how="left")
    day = pl.duration(days=1)
    new = told.filter((pl.col("timestamp") - pl.col("available_at")).is_between(pl.duration(), day))
    lists = found.join(new.select("request_id").unique(), on="request_id", how="semi")
    assert len(lists) > 10
    assert lists.join(new, on=["request_id", "item_id"], how="anti").is_empty()
    counts = new.group_by("request_id").len()
    joined = lists.join(counts, on="request_id")
    assert (joined["propensity"] - 1 / joined["len"]).abs().max() < 1e-12


def test_fifty_thousand_candidates_and_none_are_arranged(line, ready) -> None:
    one = line.candidates(1).head(1)
    many = one.drop("item_id").join(
        pl.DataFrame({"item_id": range(50_000)}, schema={"item_id": one.schema["item_id"]}), how="cross"
    )
    rules = RuleSettings.model_validate(ALL[-1] | {"seen": None, "newest": None})
    found = ready.rank(ready.ask(many.select(one.columns)), rules)
    assert len(found) == 50_000
    assert found["item_id"].n_unique() == 50_000
    assert ready.rank(ready.ask(one.head(0)), rules).is_empty()


def test_under_daily_knowledge_nobody_is_known_to_have_clicked_today(line, ready) -> None:
    daily = ready.log.time.model_copy(update={"freshness": "1d"})
    log = Log(ready.log.behaviour, daily, ready.model.settings.text.history)
    asked = Asked.of(line.candidates(60), log)
    first, users = asked.starts[:-1], asked.rows.codes["user"][asked.starts[:-1]]
    then, now = (read_history(log, users, moment[first], READ) for moment in (asked.rows.as_of, asked.rows.timestamp))
    assert not np.array_equal(then.items, now.items)
    reader = ready.model.reader(log, ready.reader.vectors, Path(line.model))
    for request, own in enumerate(then.items):
        assert np.array_equal(Attended.of(reader, asked, request).items[:READ], own[own >= 0])
    rules = Diversity(by="calibrated", over="category")
    numbers, kinds = _values(asked, rules)[1], dict(line.dataset.items.select("item_id", "category").rows())
    ids = log.items.by_code
    for own, codes in zip(then.items, numbers, strict=True):
        assert (own >= 0).sum() == (codes >= 0).sum()
        told = [kinds[ids[int(item)]] for item in own if item >= 0]
        pairs = set(zip(told, codes[codes >= 0].tolist(), strict=True))
        assert len(pairs) == len(set(told))
