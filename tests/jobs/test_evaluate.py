import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from recsys.data.tables import SAMPLED
from recsys.errors import DataError, SettingsError
from recsys.evaluation.evaluation import BASELINES, BEST_POSSIBLE
from recsys.evaluation.reports.evaluation_report import to_text
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.jobs.evaluate import evaluate
from recsys.jobs.judging import text_alone
from recsys.model.folder import Model
from recsys.model.ready import Ready


def test_the_folder_evaluated_again_gives_the_figures_of_its_training(line) -> None:
    evaluation = evaluate(line.model, line.dataset).to_json()
    assert evaluation == line.judgement.evaluation.to_json()
    assert evaluation == json.loads((line.model / "metrics.json").read_text())
    assert list(evaluation["rankers"]) == [*BASELINES, "text", "behaviour", "both"]
    assert list(evaluation["differences"]) == [f"both-{name}" for name in evaluation["rankers"] if name != "both"]


def test_click_probabilities_are_held_against_the_clicks_of_the_test_window(line) -> None:
    ready, _ = Ready.today(line.model, line.dataset)
    lists = ready.model.windows.of(line.dataset.requests, "test")
    ranked = ready.rank(ready.ask(lists)).join(lists, on=["request_id", "item_id"]).drop_nulls("click_probability")
    sizes = ranked.with_columns(size=pl.len().over("request_id"))
    found = evaluate(line.model, line.dataset).reliability
    assert found is not None
    labels = (ranked["label"] > 0).to_numpy()
    assert found.log_loss == pytest.approx(log_loss(labels, ranked["click_probability"].to_numpy()), abs=1e-12)
    assert found.count == len(ranked) > 500
    assert found.by_size["11 to 20"].count == sizes.filter(pl.col("size").is_between(11, 20)).height
    assert found.unknown == len(lists) - len(ranked)
    text = to_text(evaluate(line.model, line.dataset))
    assert f"off by {found.calibration_error:.4f}" in " ".join(text.split())


@pytest.mark.parametrize("window", ["valid", "ranker"])
def test_click_probabilities_are_not_judged_where_they_were_learnt(line, window) -> None:
    assert evaluate(line.model, line.dataset, window).reliability is None


@pytest.mark.parametrize("sampled", [True, False])
def test_sampled_lists_are_said_to_be_sampled(line, sampled: bool) -> None:
    dataset = replace(line.dataset, about=replace(line.dataset.about, sampled=sampled))
    evaluation = evaluate(line.model, dataset)
    assert evaluation.sampled is sampled
    assert (evaluation.reliability is None) is sampled
    assert (SAMPLED.split(":")[0] in " ".join(to_text(evaluation).split())) is sampled


def test_requests_with_a_text_are_evaluated_as_in_training(asking) -> None:
    assert evaluate(asking.model, asking.dataset).to_json() == asking.judgement.evaluation.to_json()
    without = replace(asking.dataset, requests=asking.dataset.requests.drop("asked"))
    with pytest.raises(SettingsError, match="query names 'asked', which is not a column of the requests"):
        evaluate(asking.model, without)


def test_popularity_is_the_smoothed_click_rate_known_before_each_request(line) -> None:
    """Recomputed with plain loops over the raw tables."""
    window, scores = line.judgement.window.requests, line.judgement.scores["popularity"]
    showings = line.dataset.requests.select("timestamp", "item_id", "label").rows()
    delay, prior = line.settings.time.feedback_delay, line.settings.features.prior
    for row in range(0, len(window), 97):
        as_of, item = window["timestamp"][row], window["item_id"][row]
        known = [(other, label > 0) for moment, other, label in showings if moment + delay < as_of]
        overall = sum(clicked for _, clicked in known) / len(known)
        own = [clicked for other, clicked in known if other == item]
        assert scores[row] == pytest.approx((sum(own) + prior * overall) / (len(own) + prior), rel=1e-6)


def test_the_auc_of_both_equals_scikit_learn_per_request(line) -> None:
    window, scores = line.judgement.window, line.judgement.scores["both"]
    values = []
    for start, end in zip(window.examples.starts[:-1], window.examples.starts[1:], strict=True):
        labels = window.examples.labels[start:end] > 0
        if 0 < labels.sum() < len(labels):
            values.append(roc_auc_score(labels, scores[start:end]))
    assert line.judgement.evaluation.overall.rankers["both"]["AUC"].mean == pytest.approx(np.mean(values), abs=1e-12)


def test_one_more_ranker_stands_beside_the_others_on_the_same_requests(line) -> None:
    keys = line.judgement.window.requests.select("request_id", "item_id")
    utility = keys.join(line.world.truth, on=["request_id", "item_id"], how="left", maintain_order="left")["utility"]
    beside = line.judgement.beside(BEST_POSSIBLE, utility.to_numpy()).evaluation.overall
    assert beside.rankers["both"] == line.judgement.evaluation.overall.rankers["both"]
    best = beside.rankers[BEST_POSSIBLE]["nDCG@10"].mean
    assert all(best > row["nDCG@10"].mean for name, row in beside.rankers.items() if name != BEST_POSSIBLE)


def test_a_window_without_requests_in_the_data_says_so(line) -> None:
    later = replace(
        line.dataset, requests=line.dataset.requests.with_columns(pl.col("timestamp") - timedelta(days=1000))
    )
    with pytest.raises(DataError, match="the test window holds no request; evaluate another window, or move"):
        evaluate(line.model, later)


def test_requests_after_the_test_window_are_told(line, caplog: pytest.LogCaptureFixture) -> None:
    requests = line.dataset.requests
    later = requests.filter(pl.col("request_id") == requests["request_id"][0]).with_columns(
        pl.col("timestamp") + timedelta(days=300), request_id=pl.lit(10**9, requests.schema["request_id"])
    )
    evaluation = evaluate(line.model, replace(line.dataset, requests=pl.concat([requests, later])))
    assert evaluation.to_json() == line.judgement.evaluation.to_json()
    assert "1 request after the test window left out of the count" in caplog.text


def test_text_alone_puts_items_without_a_text_score_last() -> None:
    table = FeatureTable.of(pl.DataFrame({"text_score": pl.Series([0.5, float("nan"), -3.0], dtype=pl.Float32)}))
    assert text_alone(FeatureRows.of(table)).tolist() == [0.5, -4.0, -3.0]


def test_lists_that_could_not_be_judged_are_not_written(line, tmp_path) -> None:
    last = Model.load(line.model).windows.cuts[3]
    before = replace(line.dataset, requests=line.dataset.requests.filter(pl.col("timestamp") < last))
    with pytest.raises(DataError, match="the test window holds no request; evaluate another window"):
        evaluate(line.model, before, lists=tmp_path / "lists")
    assert not list(tmp_path.iterdir())
