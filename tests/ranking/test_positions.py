from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.ranking.examples import Examples
from recsys.ranking.positions import DEEPEST, UNBIASED, Examination, PositionBias, chance_of, explained, harvest
from recsys.world.policy import plackett_luce

PLACES = 6


def shown(looked, sure, requests=40_000, seed=0, alike=False):
    """Show lists whose best items the policy puts first, and click what is looked at and liked."""
    rng = np.random.default_rng(seed)
    liked = rng.uniform(0.05, 0.6, (requests, PLACES))
    order, propensity = plackett_luce(np.zeros(liked.shape) if alike else sure * liked, rng)
    clicked = rng.random(liked.shape) < looked * np.take_along_axis(liked, order, axis=1)
    rows = requests * PLACES
    table = FeatureRows.of(FeatureTable.of(pl.DataFrame({"nothing": np.zeros(rows, np.float32)})))
    examples = Examples.alike(table, clicked.astype(np.int64).ravel(), np.arange(0, rows + 1, PLACES))
    positions = np.tile(np.arange(1, PLACES + 1), requests)
    return replace(examples, positions=positions, propensities=propensity.ravel())


LOOKED = 1 / np.arange(1, PLACES + 1)


@pytest.mark.parametrize(("sure", "alike"), [(4.0, False), (0.0, True)])
def test_drawn_orders_say_how_places_are_looked_at_whatever_stands_there(sure, alike):
    examples = shown(LOOKED, sure, alike=alike)
    found = harvest(examples)
    assert found.odds == pytest.approx(LOOKED, rel=0.1)
    assert not found.flat
    if not alike:  # clicks alone would say that the first place is worth more than it is
        rates = examples.labels.reshape(-1, PLACES).mean(axis=0)
        assert rates[-1] / rates[0] < 0.8 * LOOKED[-1]


def test_places_that_are_looked_at_alike_are_told_so():
    chances = [harvest(shown(np.ones(PLACES), 4.0, 4_000, seed)).chance for seed in range(20)]
    assert 0.2 < np.mean(chances) < 0.8
    assert harvest(shown(np.ones(PLACES), 4.0)).odds == pytest.approx(np.ones(PLACES), rel=0.1)


def test_the_order_of_rows_within_a_list_does_not_matter():
    examples = shown(LOOKED, 4.0, 500)
    turned = np.arange(len(examples.labels)).reshape(-1, PLACES)[:, ::-1].ravel()
    rows = {name: getattr(examples, name)[turned] for name in ("labels", "positions", "propensities")}
    other = replace(examples, **rows)
    np.testing.assert_allclose(harvest(other).odds, harvest(examples).odds)


def test_an_order_that_nothing_drew_says_nothing():
    examples = shown(LOOKED, 4.0, 200)
    for propensities in (np.full(len(examples.labels), np.nan), np.ones(len(examples.labels))):
        assert harvest(replace(examples, propensities=propensities)) is None
    assert harvest(Examples.alike(examples.table, examples.labels, examples.starts)) is None


def test_a_draw_that_leaves_out_a_place_that_counts_says_nothing():
    examples = shown(LOOKED, 4.0, 2_000)
    for fixed in (1, 3):
        known = np.where(examples.positions <= fixed, np.nan, examples.propensities)
        assert harvest(replace(examples, propensities=known)) is None
    rare = np.where(examples.positions == PLACES, 0, examples.labels)  # where nobody clicks it does not matter
    told = np.where(examples.positions == PLACES, np.nan, examples.propensities)
    assert len(harvest(replace(examples, propensities=told, labels=rare)).odds) == PLACES - 1


@pytest.mark.parametrize(("places", "requests", "rate"), [(20, 2_000, 0.3), (6, 4_000, 0.1)])
def test_chance_is_what_it_says_and_sees_a_slow_decline(places, requests, rate) -> None:
    chances, declined = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        liked = rng.uniform(0, 2 * rate, (requests, places))
        order, propensity = plackett_luce(liked / rate, rng)
        liked = np.take_along_axis(liked, order, axis=1)
        table = FeatureRows.of(FeatureTable.of(pl.DataFrame({"nothing": np.zeros(liked.size, np.float32)})))
        examples = Examples.alike(table, np.zeros(liked.size, int), np.arange(0, liked.size + 1, places))
        known = {"positions": np.tile(np.arange(1, places + 1), requests), "propensities": propensity.ravel()}
        for looked, found in ((1.0, chances), (np.arange(1, places + 1) ** -0.25, declined)):
            clicked = (rng.random(liked.shape) < looked * liked).astype(int).ravel()
            found.append(harvest(replace(examples, labels=clicked, **known)))
    told = np.array([each.chance for each in chances])
    assert 0.35 < told.mean() < 0.65
    assert (told < 0.1).mean() < 0.3
    assert np.mean([each.flat for each in declined]) < 0.2


def test_few_drawn_lists_say_nothing_of_all():
    examples = shown(LOOKED, 4.0, 2_000)
    known = np.where(np.arange(len(examples.labels)) < len(examples.labels) * 0.4, examples.propensities, np.nan)
    assert harvest(replace(examples, propensities=known)) is None
    assert harvest(shown(LOOKED, 4.0, 40)) is None  # nor do so few clicks


def test_places_differ_where_chance_has_one_percent_or_less():
    assert Examination(np.array([1.0, 0.5]), 0.011).flat
    assert not Examination(np.array([1.0, 0.5]), 0.009).flat


def test_places_that_nobody_wrote_down_count_as_the_first_and_deep_ones_as_the_last():
    examination = Examination(np.array([1.0, 0.5, 0.2]), 0.0)
    assert examination.of(np.array([0, 1, 2, 3, 4, 1_000])).tolist() == [1.0, 1.0, 0.5, 0.2, 0.2, 0.2]


def list_of(labels, positions):
    table = FeatureRows.of(FeatureTable.of(pl.DataFrame({"nothing": np.zeros(len(labels), np.float32)})))
    examples = Examples.alike(table, np.array(labels), np.array([0, 2, 4, 6]))
    return replace(examples, positions=np.array(positions))


def test_each_correction_says_its_own_and_nothing_else():
    examples = list_of([1, 0, 0, 1, 1, 1], [1, 2, 1, 2, 1, 500])
    odds = Examination(np.array([1.0, 0.5, 0.01]), 0.0)
    off, inverse, additive = (PositionBias(each, odds) for each in ("examination", "inverse", "additive"))
    assert off.offsets(examples) == pytest.approx(np.log([1, 0.5, 1, 0.5, 1, 0.01]))
    assert additive.places(examples).tolist() == [1, 2, 1, 2, 1, DEEPEST]
    assert inverse.weights(examples).tolist() == [1.0, 2.0, (1 + 10) / 2]  # clipped at 10
    counts = inverse.counts(examples, None)
    assert counts.mean() == pytest.approx(1.0)
    assert counts / counts[0] == pytest.approx([1, 1, 2, 2, 5.5, 5.5])
    for bias in (off, additive, UNBIASED):
        assert bias.counts(examples, None).tolist() == [1.0] * 6
    for bias in (inverse, additive, UNBIASED):
        assert bias.offsets(examples) is None
    for bias in (off, inverse, UNBIASED):
        assert bias.places(examples) is None


def test_inverse_weights_come_on_top_of_ages():
    examples = list_of([1, 0, 0, 1, 1, 0], [1, 2, 1, 2, 1, 2])
    hours = np.repeat([0, 1, 1], 2) * 3_600_000_000
    bias = PositionBias("inverse", Examination(np.array([1.0, 0.5]), 0.0))
    counts = bias.counts(replace(examples, moments=hours), timedelta(hours=1))
    assert counts / counts[0] == pytest.approx([1, 1, 4, 4, 2, 2])


def test_chance_is_that_of_a_chi_squared_sum():
    assert chance_of(3.841, 1) == pytest.approx(0.05, abs=1e-4)
    assert chance_of(0.0, 0) == 1.0


def test_what_was_done_can_be_written_down():
    bias = PositionBias("examination", Examination(np.array([1.0, 1 / 3]), 0.0))
    assert bias.to_json() == {"correction": "examination", "odds": [1.0, 0.3333]}
    assert replace(bias, correction="additive").to_json() == {"correction": "additive", "odds": []}


def test_scores_are_not_praised_for_what_places_explain():
    rng = np.random.default_rng(0)
    requests, offsets = 4_000, np.tile(np.log(LOOKED), 4_000)
    wanted = rng.normal(size=requests * PLACES)
    starts = np.arange(0, requests * PLACES + 1, PLACES)
    value = (wanted + offsets + rng.gumbel(size=len(wanted))).reshape(-1, PLACES)
    labels = (value == value.max(axis=1, keepdims=True)).astype(np.int64).ravel()
    labels[:PLACES] = 0
    right, pushed, nothing = (
        explained(scores, offsets, labels, starts) for scores in (wanted, offsets * 5, np.zeros(len(wanted)))
    )
    assert np.isnan(right).tolist() == [True] + [False] * (requests - 1)
    assert np.nanmean(pushed) == pytest.approx(np.nanmean(nothing), abs=1e-4)
    assert np.nanmean(right) > np.nanmean(nothing) + 0.2
    values = (wanted + offsets).reshape(-1, PLACES)
    truth = ((values - np.log(np.exp(values).sum(axis=1, keepdims=True))) * labels.reshape(-1, PLACES)).sum(axis=1)
    assert np.nanmean(right) == pytest.approx(truth[1:].mean(), abs=2e-3)
    backwards = explained(-wanted, offsets, labels, starts)
    assert np.nanmean(backwards) == pytest.approx(np.nanmean(nothing), abs=1e-4)
