"""What is written back after the click, and versions that are read too early, stop a training."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.features.plan import build_features
from recsys.model.prepared import prepare
from recsys.past.lookup import Asked
from recsys.past.register import Entries
from recsys.schema import TIME
from tests.fixtures.behaviour import Tools
from tests.jobs.test_leaks import CLICKED, changed, check

pytestmark = pytest.mark.slow


def written_back(dataset: Dataset) -> tuple[Dataset, pl.DataFrame]:
    """Show every item once, and flag those that were clicked, most of them, a second later.

    Returns the tables with the flag in place and, in versions, its history.
    """
    shown = dataset.requests.with_columns(item_id=pl.int_range(10**6, 10**6 + pl.len()), was=pl.col("item_id"))
    items = shown.select("item_id", "was").join(dataset.items, left_on="was", right_on="item_id").drop("was")
    flagged = shown.filter(CLICKED, pl.col("item_id") % 5 > 0).select(
        "item_id", known_at=pl.col("timestamp").dt.offset_by("1s")
    )
    known = pl.col("item_id").is_in(flagged["item_id"].implode())
    flag = pl.when(known).then(pl.lit("yes")).otherwise(pl.lit("no"))
    before = items.with_columns(bestseller=pl.lit("no"), known_at=pl.lit(None, TIME))
    after = items.join(flagged, on="item_id").with_columns(bestseller=pl.lit("yes")).select(before.columns)
    events = dataset.events.clear()
    written = replace(dataset, items=items.with_columns(bestseller=flag), events=events, requests=shown.drop("was"))
    return written, pl.concat([before, after])


def test_a_flag_that_is_written_back_after_the_click_is_caught_or_in_versions_harmless(line) -> None:
    dataset, versions = written_back(line.dataset)
    wanted = changed(line.settings, features={"affinity": ["bestseller"], "numbers": [], "vouched": ["item_id"]})
    with pytest.raises(DataError) as caught:
        check(dataset, wanted)
    assert "error: features.item_bestseller: tells which candidates of a list were clicked, AUC 0.88" in str(
        caught.value
    )
    assert "and items hold no known_at: what a row says counts as known at all times" in str(caught.value)
    assert "tell versions of the items, or name 'item_bestseller' in [features] vouched" in str(caught.value)
    check(dataset, changed(wanted, features={"vouched": ["item_id", "item_bestseller"]}))
    dated = replace(dataset, items=versions)
    check(dated, wanted)
    never = replace(dataset, items=versions.filter(pl.col("known_at").is_null()))
    tables = [prepare(each, wanted) for each in (dated, never, dataset)]
    found, clean, leaking = (
        build_features(Asked.of(each.made.lists, each.log), wanted.features, None) for each in tables
    )
    assert Tools.bits(found) == Tools.bits(clean)  # no list knows what its own clicks led to
    assert Tools.bits(leaking) != Tools.bits(clean)


def test_the_shuffled_future_finds_versions_that_are_read_too_early(line, monkeypatch) -> None:
    """A look-up that takes the last version, whatever is asked of when, changes with versions known later."""
    items = line.dataset.items
    middle = line.dataset.requests["timestamp"].median()
    later = [
        items.with_columns(category=pl.lit(str(day)), known_at=pl.lit(middle + timedelta(days=day), TIME))
        for day in (-1, 0, 1)
    ]
    dated = pl.concat([items.with_columns(known_at=pl.lit(None, TIME)), *later], how="vertical_relaxed")
    dataset = replace(line.dataset, items=dated)
    check(dataset, line.settings)
    at = Entries.at
    monkeypatch.setattr(Entries, "at", lambda self, codes, moments: at(self, codes, np.full_like(moments, 2**62)))
    with pytest.raises(DataError, match=r"error: features.item_category: the feature changes when what becomes known"):
        check(dataset, line.settings)
