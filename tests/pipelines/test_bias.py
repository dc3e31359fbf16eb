import numpy as np
import polars as pl
import pytest

from pipelines.bias import FAMILIES, recovered, shown
from recsys.ranking.examples import Examples
from recsys.ranking.positions import harvest
from recsys.world import WorldSettings, make_world


@pytest.fixture(scope="module")
def world():
    return make_world(WorldSettings(items=300, users=200, requests=4_000, days=6))


@pytest.mark.parametrize("family", ["power 1", "none"])
def test_lists_are_clicked_where_they_are_looked_at(world, family):
    dataset, chances = shown(world, FAMILIES[family], seed=1)
    requests = dataset.requests.with_columns(chance=pl.Series(chances))
    assert requests.drop("chance", "position", "propensity", "label").equals(
        world.dataset.requests.drop("position", "propensity", "label")
    )
    assert (requests["position"].sort() == world.dataset.requests["position"].sort()).all()
    by_place = requests.group_by("position").agg(pl.col("label", "chance").sum()).sort("position")
    looked = 1 / by_place["position"] if family == "power 1" else 1
    expected = by_place["chance"] * looked
    assert ((by_place["label"] - expected).abs() < 4 * expected.sqrt() + 1).all()
    starts = np.searchsorted(requests["request_id"].rle_id().to_numpy(), np.arange(4_001))
    found = harvest(Examples.of(None, starts, requests))
    assert found.flat is (family == "none")


def test_what_stands_first_is_old(world):
    dataset, _ = shown(world, FAMILIES["none"], seed=1)
    items = world.dataset.items.select("item_id", "available_at")
    rows = dataset.requests.join(items, on="item_id")
    age = (rows["timestamp"] - rows["available_at"]).dt.total_hours()
    first, last = (age.filter(rows["position"] == place).median() for place in (1, 8))
    assert first > 2 * last


@pytest.mark.parametrize("family", ["cascade", "trust"])
def test_further_down_less_is_clicked(world, family):
    dataset, chances = shown(world, FAMILIES[family], seed=1)
    rows = dataset.requests.with_columns(chance=pl.Series(chances))
    by_place = rows.group_by("position").agg(pl.col("label", "chance").mean()).sort("position")
    ratio = (by_place["label"] / by_place["chance"]).to_list()
    assert ratio[0] > 2 * ratio[3] > 2 * ratio[7]


def test_what_is_won_back_is_a_share_of_what_all_worlds_cost():
    users = [1, 1, 2, 2, 3]
    one = pl.DataFrame({"user_id": users, "fair": [0.6] * 5, "plain": [0.5] * 5, "mended": [0.56] * 5})
    other = one.with_columns(fair=pl.lit(0.8), mended=pl.lit(0.68))
    assert recovered([one]) == {"share": 0.6, "low": 0.6, "high": 0.6}
    assert recovered([one, other])["share"] == pytest.approx((0.06 + 0.18) / (0.1 + 0.3))
