import logging
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys.features.columns import SIGNALS
from recsys.features.plan import feature_names, may_be_left_out, plan
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.jobs.judging import LoggedWindow
from recsys.jobs.tuning.budget import Budget
from recsys.jobs.tuning.leaving import leave_out
from recsys.jobs.tuning.tune import Bench
from recsys.ranking.examples import Examples
from recsys.settings import Settings, load_settings

HOUR = timedelta(hours=1)

SETTINGS = load_settings(
    None,
    ['features.families=["popularity", "freshness"]', 'features.windows=["1d"]', "ranker.rounds=60", "ranker.l2=1.0"],
)


def window_of(seed: int, telling: tuple[str, ...], settings: Settings, lists: int = 400) -> LoggedWindow:
    """Lists of 5 with features of noise, but for those that tell what is chosen."""
    random = np.random.default_rng(seed)
    table = {name: random.normal(size=5 * lists).astype(np.float32) for name in feature_names(settings.features)}
    strength = sum((table[name] for name in telling), random.gumbel(size=5 * lists) / 4).reshape(lists, 5)
    labels = (strength == strength.max(axis=1, keepdims=True)).astype(np.int64).ravel()
    examples = Examples.alike(
        FeatureRows.of(FeatureTable.of(pl.DataFrame(table))), labels, np.arange(0, 5 * lists + 1, 5)
    )
    requests = pl.DataFrame({"request_id": np.repeat(np.arange(lists), 5), "user_id": np.repeat(np.arange(lists), 5)})
    return LoggedWindow(requests, examples, examples)


@pytest.mark.slow
def test_features_that_tell_nothing_go_and_those_that_tell_stay() -> None:
    telling = ("click_rate_item", "item_age_hours")
    bench = Bench(SETTINGS, *(window_of(seed, telling, SETTINGS, lists=1500) for seed in (1, 2)))
    left = leave_out(bench, SETTINGS, *bench.of_seeds(SETTINGS), Budget(HOUR))
    assert not set(telling) & set(left.features)
    assert left.features
    assert left.settings.features.without == left.features
    kept = feature_names(left.settings.features)
    assert {*telling, *SIGNALS} <= set(kept)
    assert np.nanmean(left.ndcg) >= np.nanmean(bench.of_seeds(SETTINGS)[0]) - 0.0003


@pytest.mark.slow
def test_what_was_left_out_before_stays_left_out() -> None:
    before = SETTINGS.model_copy(
        update={"features": SETTINGS.features.model_copy(update={"without": ("showing_count_item",)})}
    )
    bench = Bench(before, *(window_of(seed, ("click_rate_item",), before) for seed in (1, 2)))
    left = leave_out(bench, before, *bench.of_seeds(before), Budget(HOUR))
    assert left.settings.features.without == ("showing_count_item", *left.features)
    assert "showing_count_item" not in left.features


@pytest.mark.slow
def test_what_settings_speak_of_stays_and_so_does_half_where_nothing_was_found() -> None:
    ways = {"showing_count_item_rank": "rising"}
    settings = SETTINGS.model_copy(
        update={
            "ranker": SETTINGS.ranker.model_copy(update={"monotone": ways, "rows_per_leaf": 100_000}),
            "features": SETTINGS.features.model_copy(update={"vouched": ("click_count_item",)}),
        }
    )
    bench = Bench(settings, *(window_of(seed, ("click_rate_item",), settings) for seed in (1, 2)))
    left = leave_out(bench, settings, *bench.of_seeds(settings), Budget(HOUR))
    assert not {"showing_count_item", "click_count_item"} & set(left.features)
    droppable = [each.name for each in plan(settings.features) if may_be_left_out(each)]
    assert 0 < len(left.features) <= len(droppable) / 2


def gain_of(features: tuple[str, ...], grown) -> float:
    """What trees of all seeds gained by features and by what compares them."""
    columns = {each.name: each.columns for each in plan(SETTINGS.features)}
    return sum(each.importance().get(column, 0.0) for name in features for column in columns[name] for each in grown)


@pytest.mark.slow
@pytest.mark.parametrize("lists", [80, 300, 3000])
def test_features_of_little_gain_stay_unless_it_is_sure_that_nothing_is_lost(lists) -> None:
    """Twelve features tell a little each, so that leaving out those of least gain costs 0.01 and more."""
    alone = [name for name in feature_names(SETTINGS.features) if not name.endswith(("_rank", "_share", "_gap"))]
    bench = Bench(SETTINGS, *(window_of(seed, tuple(alone[:12]), SETTINGS, lists) for seed in (1, 2)))
    before, grown = bench.of_seeds(SETTINGS)
    left = leave_out(bench, SETTINGS, before, grown, Budget(HOUR))
    assert gain_of(left.features, grown) == 0
    assert left.features == () or lists == 80


@pytest.mark.parametrize(("loss", "go"), [(0.0015, True), (0.004, False)])
def test_features_that_no_tree_used_stay_where_much_was_lost_without_them(loss, go) -> None:
    """Each list loses so much in the mean, and differs so much that no loss is clear."""
    losses = np.random.default_rng(5).normal(size=400)

    class Judged(Bench):
        def of_seeds(self, given):
            return 0.5 - loss - (losses - losses.mean()), []

    class Unused:
        def importance(self):
            return {"click_rate_item": 1.0}

    bench = Judged(SETTINGS, *(window_of(seed, (), SETTINGS) for seed in (1, 2)))
    left = leave_out(bench, SETTINGS, np.full(400, 0.5), [Unused()], Budget(timedelta(0)))
    assert bool(left.features) == go


@pytest.mark.slow
def test_without_time_those_without_any_gain_are_left_out_alone(caplog) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(SETTINGS, *(window_of(seed, ("click_rate_item",), SETTINGS) for seed in (1, 2)))
    first = bench.of_seeds(SETTINGS)
    left = leave_out(bench, SETTINGS, *first, Budget(timedelta(0)))
    assert gain_of(left.features, first[1]) == 0
    assert "no time to try without" in caplog.text
