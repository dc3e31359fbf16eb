"""Bad days: against rankings that are made by hand of worse tables."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys.data.tables import Dataset
from recsys.evaluation.measures import ndcg, per_request
from recsys.evaluation.reports.evaluation_report import to_text
from recsys.jobs.evaluate import evaluate
from recsys.jobs.stress import misspell
from recsys.model.folder import Model
from recsys.model.ready import Ready

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stressed(line):
    return evaluate(line.model, line.dataset, stressed=True)


def by_hand(line, dataset: Dataset) -> np.ndarray:
    """nDCG@10 of the lists of the test window where the tables are these; both know the same lists."""
    ready, _ = Ready.today(line.model, dataset)
    test = Model.load(line.model).windows.of(line.dataset.requests, "test")
    asked = ready.ask(test.drop("position", "propensity"))
    ranked = ready.rank(asked).join(test.select("request_id", "item_id", "label"), on=["request_id", "item_id"])
    ranked = ranked.sort("request_id", "rank")
    lengths = ranked["request_id"].rle().struct.field("len").to_numpy()
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return per_request((ndcg(10),), ranked["label"].to_numpy(), ranked["score"].to_numpy(), starts)[0]


def test_bad_days_cost_what_worse_tables_would(line, stressed) -> None:
    tables, usual = line.dataset, by_hand(line, line.dataset)
    begin = Model.load(line.model).windows.bounds("test")[0]
    unheard = pl.col("timestamp") + line.settings.clock.feedback_delay >= begin
    shown = tables.requests.filter(pl.col("timestamp") < begin)
    late = shown.filter(unheard, pl.col("label") > 0)
    assert len(late) > 0
    shown = shown.with_columns(pl.when(unheard).then(0).otherwise("label").alias("label"))
    silent = replace(tables, requests=shown, events=tables.events.filter(pl.col("timestamp") < begin))
    short = replace(tables, items=tables.items.with_columns(description=pl.lit(None, pl.String)))
    expected = {"no behaviour since the first of these lists": silent, "title alone to read": short}
    for name, dataset in expected.items():
        assert stressed.stress[name].mean == pytest.approx(np.nanmean(by_hand(line, dataset) - usual), abs=1e-9), name
    assert [*stressed.stress] == [
        "20% of words misspelt",
        "title alone to read",
        "no behaviour since the first of these lists",
    ]


def test_bad_days_are_told_and_only_where_they_are_asked_for(line, stressed) -> None:
    assert evaluate(line.model, line.dataset).stress is None
    assert set(stressed.to_json()["stress"]) == set(stressed.stress)
    assert "On a bad day nDCG@10 of both changes by:" in to_text(stressed)


def test_misspelt_words_keep_their_letters_and_short_ones_their_order() -> None:
    text = " ".join(["conversation", "abc"] * 400)
    words = misspell(text, 3).split()
    assert all(sorted(word) in (sorted("conversation"), sorted("abc")) for word in words)
    changed = np.mean([word not in ("conversation", "abc") for word in words[::2]])
    assert 0.1 < changed < 0.3
    assert words[1::2] == ["abc"] * 400
    assert misspell(text, 3) == misspell(text, 3) != misspell(text, 4)
    assert misspell("", 1) == ""
