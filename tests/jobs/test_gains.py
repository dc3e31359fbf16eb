"""Groups of judged lists and items: whom they hold, and what of it `evaluate` tells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.features.plan import compute_features
from recsys.jobs.evaluate import evaluate
from recsys.jobs.gains import judge_gains
from recsys.jobs.segments import group_items
from recsys.model.ready import Ready


@pytest.fixture(scope="module")
def judged(line):
    ready = Ready.load(line.model, Path(line.model) / "state")
    labels = line.dataset.requests.select("request_id", "item_id", "label")
    asked = ready.ask(line.candidates(80).join(labels, on=["request_id", "item_id"]))
    return ready, asked, ready.model.ranker.score(compute_features(asked, ready.model.settings.features, ready.reader))


def test_items_are_grouped_by_their_attributes_and_shares_sum_to_one(line, judged) -> None:
    ready, asked, scores = judged
    found = judge_gains(ready, asked, line.dataset, scores)
    kinds = {name.removeprefix("category = ") for name in found.exposure}
    assert kinds == {*line.dataset.items["category"]} & {
        *asked.candidates.join(line.dataset.items, on="item_id")["category"]
    }
    for share in ("candidates", "clicks", "shown"):
        assert sum(getattr(of, share) for of in found.exposure.values()) == pytest.approx(1.0)
    assert "past clicks = 0" in found.quality or "past clicks = 1 to 4" in found.quality
    assert not any(name.startswith(("list size", "hour")) for name in found.quality)


def test_items_without_a_text_are_a_group_of_their_own(line, judged) -> None:
    ready, asked, scores = judged
    vectors = ready.reader.vectors
    hashes = vectors.text_hashes.to_list()
    empty = "e3b0c44298fc1c14"
    without = replace(vectors, text_hashes=pl.Series([empty if place % 2 else of for place, of in enumerate(hashes)]))
    bare = replace(ready, reader=replace(ready.reader, vectors=without))
    found = judge_gains(bare, asked, line.dataset, scores)
    assert "no text" in found.exposure
    assert any(name.endswith(" and no text") for name in found.exposure)
    items = {item for place, item in enumerate(vectors.item_ids.to_list()) if place % 2}
    share = np.mean([item in items for item in asked.candidates["item_id"].to_list()])
    assert found.exposure["no text"].candidates == pytest.approx(share)


@pytest.mark.slow
def test_evaluate_tells_who_gains(line) -> None:
    found = evaluate(line.model, line.dataset)
    assert found.gains is not None
    assert found.to_json()["gains"]["exposure"]


def test_of_lists_that_were_drawn_nobody_can_tell_who_gains(line) -> None:
    drawn = replace(line.dataset, about=replace(line.dataset.about, sampled=True))
    assert evaluate(line.model, drawn).gains is None


def test_items_that_nobody_knows_are_in_the_group_of_none(line, judged) -> None:
    ready, _, _ = judged
    rows = line.dataset.plain().requests.sort("timestamp").tail(40)
    unknown = rows.with_columns(
        item_id=pl.when(pl.int_range(pl.len()) < 10).then(pl.col("item_id") + 10**6).otherwise("item_id")
    )
    asked = ready.ask(unknown)
    found = group_items(asked, line.dataset, ["category"])
    assert found["category = (none)"].tolist() == (asked.candidates["item_id"] >= 10**6).to_list()
