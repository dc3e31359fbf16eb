"""Prices of rules: against lists that are ranked one by one, and measured by hand."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import ndcg_score

from recsys.arranging.settings import Diversity, RuleSettings
from recsys.evaluation.reports.evaluation_report import to_html, to_text
from recsys.features.plan import compute_features
from recsys.jobs import prices as module
from recsys.jobs.evaluate import evaluate
from recsys.jobs.prices import price_rules
from recsys.model.ready import Ready

RULES = RuleSettings.model_validate(
    {
        "diversity": {"by": "mmr", "weight": 0.5, "first": 4},
        "caps": [{"attribute": "category", "most": 1, "first": 3}],
        "newest": "2d",
        "boosts": [{"attribute": "category", "values": ["science", "sport"], "by": 0.5}],
    }
)


@pytest.fixture(scope="module")
def judged(line):
    ready = Ready.load(line.model, Path(line.model) / "state")
    ready = replace(ready, model=ready.model.ruled(RULES))
    labels = line.dataset.requests.select("request_id", "item_id", "label")
    asked = ready.ask(line.candidates(60).join(labels, on=["request_id", "item_id"]))
    scores = ready.model.ranker.score(compute_features(asked, ready.model.settings.features, ready.reader))
    return ready, asked, scores


def by_hand(ready, asked, rules: RuleSettings) -> dict[int, float]:
    """nDCG@10 of each list with a click, by another library; what is left out stands below all that is listed."""
    ranked = ready.rank(asked, rules).select("request_id", "item_id", "rank")
    told = asked.candidates.select("request_id", "item_id", "label").join(
        ranked, on=["request_id", "item_id"], how="left"
    )
    found = {}
    for (request,), own in told.group_by("request_id"):
        gains = 2.0 ** own["label"].to_numpy() - 1
        if gains.sum() == 0 or len(own) < 2:
            continue
        standing = -own["rank"].fill_null(10_000).to_numpy().astype(float)
        gains_listed = np.where(own["rank"].is_null().to_numpy(), 0, gains)
        best = ndcg_ideal(gains)
        found[request] = ndcg_score([gains_listed], [standing], k=10) * ndcg_ideal(gains_listed) / best
    return found


def ndcg_ideal(gains: np.ndarray) -> float:
    top = np.sort(gains)[::-1][:10]
    return float((top / np.log2(np.arange(2, len(top) + 2))).sum())


def test_a_price_is_what_the_lists_lose(judged) -> None:
    ready, asked, scores = judged
    prices = price_rules(ready, asked, scores)
    assert [*prices.rules] == ["left out", "boosts", "caps", "diversity", "all"]
    alone = {
        "left out": {"newest": "2d"},
        "boosts": {"boosts": RULES.boosts},
        "caps": {"caps": RULES.caps},
        "diversity": {"diversity": RULES.diversity},
        "all": dict(RULES),
    }
    bare = by_hand(ready, asked, RuleSettings())
    for name, fields in alone.items():
        under = by_hand(ready, asked, RuleSettings.model_validate(fields))
        lost = np.mean([under[request] - bare[request] for request in bare])
        assert prices.rules[name].cost.mean == pytest.approx(lost, abs=1e-9), name
        assert prices.rules[name].moved > 0
    assert prices.rules["diversity"].unlike.mean == 0  # no list is longer than ten


def test_diversity_makes_the_first_places_unlike(judged, monkeypatch) -> None:
    ready, asked, scores = judged
    monkeypatch.setattr(module, "FIRST", 3)
    prices = price_rules(ready, asked, scores)
    assert prices.rules["diversity"].unlike.low > 0
    vectors = dict(zip(ready.reader.vectors.item_ids, ready.reader.vectors.candidate[np.arange(200)], strict=True))
    unlike = []
    for (_,), own in ready.rank(asked, RuleSettings()).filter(pl.col("rank") <= 3).group_by("request_id"):
        pairs = combinations([vectors[item].astype(float) for item in own["item_id"]], 2)
        unlike.append(np.mean([1 - one @ other for one, other in pairs]))
    bare = replace(ready, model=ready.model.ruled(RuleSettings(diversity=Diversity(first=3))))
    assert price_rules(bare, asked, scores).curve[0].unlike == pytest.approx(np.mean(unlike), abs=1e-6)
    assert prices.curve[-1].unlike > prices.curve[0].unlike


def test_the_curve_begins_with_no_diversity_and_holds_the_chosen_weight(judged) -> None:
    ready, asked, scores = judged
    prices = price_rules(ready, asked, scores)
    assert prices.chosen == 0.5
    weights = [point.weight for point in prices.curve]
    assert weights == sorted({*weights, 0.0, 0.5, 1.0})
    without = by_hand(ready, asked, RULES.model_copy(update={"diversity": None}))
    assert prices.curve[0].quality == pytest.approx(np.mean([*without.values()]), abs=1e-9)
    bare = replace(ready, model=ready.model.ruled(RuleSettings()))
    assert price_rules(bare, asked, scores) is None
    one = replace(ready, model=ready.model.ruled(RuleSettings(caps=RULES.caps)))
    only = price_rules(one, asked, scores)
    assert [*only.rules] == ["caps"]
    assert only.curve == ()


def test_of_very_many_lists_some_are_arranged(judged, monkeypatch) -> None:
    ready, asked, scores = judged
    monkeypatch.setattr(module, "MOST", 7)
    prices = price_rules(ready, asked, scores)
    assert prices.lists == 7
    parts = [asked.some(which, which + 1) for which in np.linspace(0, len(asked.lengths) - 1, 7).astype(int)]
    chosen = ready.ask(pl.concat([part.candidates for part in parts]))
    bare, under = (by_hand(ready, chosen, rules) for rules in (RuleSettings(), RULES))
    assert prices.rules["all"].cost.mean == pytest.approx(
        np.mean([under[each] - bare[each] for each in bare]), abs=1e-9
    )


@pytest.mark.slow
def test_evaluate_tells_prices_of_rules_that_need_no_training(line, read_page) -> None:
    bare = evaluate(line.model, line.dataset)
    assert bare.priced is None
    found = evaluate(line.model, line.dataset, rules=RuleSettings(caps=RULES.caps))
    assert [*found.priced.rules] == ["caps"]
    assert found.overall.rankers == bare.overall.rankers
    assert found.to_json()["priced"]["rules"]["caps"]["moved"] > 0
    assert "What [rules] change beside the order of scores, each alone, on 140 lists:" in to_text(found)
    page = read_page(to_html(found, "Ranking report", {}, []))
    assert "What do rules cost?" in page.text
    assert "Who gains, who loses?" in page.text
