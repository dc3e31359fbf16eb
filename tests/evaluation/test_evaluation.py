import json
import math
from dataclasses import astuple

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError, SettingsError
from recsys.evaluation.evaluation import evaluate_rankers
from recsys.evaluation.measures import AUC, FIRST_HIT_MRR, MRR, auc_pooled, average_precision, hit, ndcg, per_request
from recsys.statistics.intervals import intervals_over_users

NAMES = ["AUC", "MRR", "first-hit MRR", "nDCG@5", "nDCG@10", "AUC pooled"]


def make_requests(requests=60, users=12, seed=0):
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 9, requests)
    of = np.repeat(np.arange(requests), sizes)
    return pl.DataFrame(
        {
            "request_id": [f"r{request}" for request in of],
            "user_id": random.integers(users, size=requests)[of],
            "item_id": [item for size in sizes for item in range(size)],
            "label": random.integers(0, 3, len(of)) * (random.random(len(of)) < 0.4),
        }
    )


def make_scores(requests, names=("both", "behaviour", "random"), seed=1):
    random = np.random.default_rng(seed)
    strength = {"both": 1.0, "behaviour": 0.5, "best possible": 9.0}
    return {
        name: (random.normal(size=requests.height) + strength.get(name, 0) * requests["label"].to_numpy()).round(1)
        for name in names
    }


def one_by_one(requests, scores, measure):
    """Answer one request at a time, in the order of their ids: users, values."""
    frame = requests.with_columns(pl.Series("score", scores))
    users, values = [], []
    for name in sorted(set(requests["request_id"])):
        rows = frame.filter(pl.col("request_id") == name)
        users.append(rows["user_id"][0])
        values.append(
            per_request([measure], rows["label"].to_numpy(), rows["score"].to_numpy(), np.array([0, rows.height]))[0, 0]
        )
    return np.array(users), np.array(values)


def test_means_and_intervals_are_those_of_each_request_alone():
    requests = make_requests()
    scores = make_scores(requests)
    found = evaluate_rankers(requests, scores, {}, "test", seed=3, resamples=50)
    assert found.overall.requests == 60
    assert list(found.overall.rankers) == ["both", "behaviour", "random"]
    for name in scores:
        assert list(found.overall.rankers[name]) == NAMES
        for measure in (AUC, MRR, FIRST_HIT_MRR, ndcg(5), ndcg(10)):
            users, values = one_by_one(requests, scores[name], measure)
            (answer,) = intervals_over_users(values[None], np.unique(users, return_inverse=True)[1], 50, seed=3)
            assert astuple(found.overall.rankers[name][str(measure)]) == pytest.approx(astuple(answer))
            assert found.left_out[str(measure)] == np.isnan(values).sum()
        pooled = found.overall.rankers[name]["AUC pooled"]
        assert pooled.mean == pytest.approx(auc_pooled(requests["label"].to_numpy(), scores[name]))
        assert math.isnan(pooled.low)
        assert math.isnan(pooled.high)
    assert found.left_out["AUC pooled"] == 0


def test_other_measures_may_be_named():
    requests = make_requests()
    scores = make_scores(requests)
    found = evaluate_rankers(requests, scores, {}, "test", resamples=40, measures=[hit(2), average_precision()])
    assert list(found.overall.differences["both-random"]) == list(found.left_out) == ["hit@2", "MAP", "AUC pooled"]
    for measure in (hit(2), average_precision()):
        users, values = one_by_one(requests, scores["random"], measure)
        (answer,) = intervals_over_users(values[None], np.unique(users, return_inverse=True)[1], 40)
        assert astuple(found.overall.rankers["random"][str(measure)]) == pytest.approx(astuple(answer))


def test_a_measure_is_needed():
    requests = make_requests()
    with pytest.raises(SettingsError, match="no measure to compute; name at least one, such as nDCG@10"):
        evaluate_rankers(requests, make_scores(requests), {}, "test", measures=[])


def test_differences_are_paired_by_request():
    requests = make_requests()
    scores = make_scores(requests)
    found = evaluate_rankers(requests, scores, {}, "test", resamples=50)
    assert list(found.overall.differences) == ["both-behaviour", "both-random"]
    for measure in (AUC, MRR, ndcg(10)):
        users, both = one_by_one(requests, scores["both"], measure)
        _, behaviour = one_by_one(requests, scores["behaviour"], measure)
        (answer,) = intervals_over_users((both - behaviour)[None], np.unique(users, return_inverse=True)[1], 50)
        assert astuple(found.overall.differences["both-behaviour"][str(measure)]) == pytest.approx(astuple(answer))
    pooled = [found.overall.rankers[name]["AUC pooled"].mean for name in ("both", "random")]
    assert found.overall.differences["both-random"]["AUC pooled"].mean == pytest.approx(pooled[0] - pooled[1])


def test_a_ranker_that_orders_alike_differs_by_nothing():
    requests = make_requests()
    scores = make_scores(requests, ["both"])
    scores["text"] = 3 * scores["both"] - 7
    found = evaluate_rankers(requests, scores, {}, "test", resamples=20)
    assert {astuple(found.overall.differences["both-text"][name]) for name in NAMES[:-1]} == {(0.0, 0.0, 0.0)}


def test_the_best_possible_ranker_has_a_row_and_no_difference():
    requests = make_requests()
    found = evaluate_rankers(requests, make_scores(requests, ["both", "text", "best possible"]), {}, "test")
    assert "best possible" in found.overall.rankers
    assert list(found.overall.differences) == ["both-text"]


def test_without_the_product_there_are_no_differences():
    requests = make_requests()
    found = evaluate_rankers(requests, make_scores(requests, ["text", "random"]), {}, "test")
    assert list(found.overall.rankers) == ["text", "random"]
    assert found.overall.differences == {}


@pytest.mark.parametrize("dtype", [pl.String, pl.Int64, pl.Categorical])
def test_rows_may_come_in_any_order(dtype):
    requests = make_requests().with_columns(pl.col("request_id").str.strip_prefix("r").cast(dtype))
    scores = make_scores(requests)
    cold = requests["user_id"].to_numpy() < 5
    order = np.random.default_rng(8).permutation(requests.height)
    again = evaluate_rankers(
        requests[order], {name: of[order] for name, of in scores.items()}, {"cold": cold[order]}, "test", resamples=40
    )
    whole = evaluate_rankers(requests, scores, {"cold": cold}, "test", resamples=40)
    assert json.dumps(again.to_json()) == json.dumps(whole.to_json())


def test_a_segment_is_judged_as_if_it_were_all_there_is():
    requests = make_requests()
    scores = make_scores(requests)
    inside = requests["request_id"].is_in([f"r{number}" for number in range(0, 60, 3)]).to_numpy()
    found = evaluate_rankers(requests, scores, {"cold items": inside}, "test", resamples=40)
    alone = evaluate_rankers(
        requests.filter(inside), {name: of[inside] for name, of in scores.items()}, {}, "test", resamples=40
    )
    assert found.segments["cold items"].requests == 20
    assert found.to_json()["segments"]["cold items"] == {
        name: alone.to_json()[name] for name in ("requests", "users", "rankers", "differences")
    }


def test_an_empty_segment_has_empty_tables():
    requests = make_requests()
    nothing = np.zeros(requests.height, dtype=bool)
    found = evaluate_rankers(requests, make_scores(requests), {"cold items": nothing}, "test")
    assert found.to_json()["segments"] == {"cold items": {"requests": 0, "users": 0, "rankers": {}, "differences": {}}}


def test_json_has_the_agreed_keys_and_null_for_no_number():
    requests = make_requests().with_columns(label=pl.lit(0))
    found = json.loads(json.dumps(evaluate_rankers(requests, make_scores(requests), {}, "valid").to_json()))
    assert list(found) == [
        "window",
        "requests",
        "users",
        "rankers",
        "differences",
        "segments",
        "left_out",
        "sampled",
        "tied",
        "reliability",
    ]
    assert found["window"] == "valid"
    assert found["requests"] == 60
    assert found["rankers"]["both"]["nDCG@10"] == {"mean": None, "low": None, "high": None}
    assert found["left_out"] == dict.fromkeys(NAMES, 60)
    assert found["sampled"] is False
    assert evaluate_rankers(requests, make_scores(requests), {}, "valid", sampled=True).to_json()["sampled"] is True


def test_the_seed_decides_the_intervals():
    requests = make_requests()
    scores = make_scores(requests)
    first, again, other = (evaluate_rankers(requests, scores, {}, "test", seed, 40).to_json() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_an_empty_window_is_refused():
    with pytest.raises(DataError, match=r"the test window holds no request to evaluate; move \[windows\] cuts"):
        evaluate_rankers(make_requests().clear(), {"both": np.empty(0)}, {}, "test")


def test_a_ranker_is_needed():
    with pytest.raises(DataError, match="no ranker to evaluate; pass the scores of at least one"):
        evaluate_rankers(make_requests(), {}, {}, "test")


@pytest.mark.parametrize("column", ["request_id", "user_id", "label"])
def test_missing_values_are_refused(column):
    requests = make_requests()
    scores = make_scores(requests)
    holed = requests.with_columns(pl.when(pl.int_range(pl.len()) > 3).then(pl.col(column)).alias(column))
    with pytest.raises(DataError, match=rf"requests lack values in \['{column}'\]; run `recsys check`"):
        evaluate_rankers(holed, scores, {}, "test")


def test_scores_of_another_length_are_refused():
    requests = make_requests()
    with pytest.raises(DataError, match=f"'text' has 3 values for {requests.height} candidates; give one per row"):
        evaluate_rankers(requests, {"text": np.zeros(3)}, {}, "test")


def test_a_segment_that_cuts_a_request_is_refused():
    requests = make_requests()
    first = np.arange(requests.height) == 0
    with pytest.raises(DataError, match="segment 'cold items' holds 1 requests in part; flag all rows of a request"):
        evaluate_rankers(requests, make_scores(requests), {"cold items": first}, "test")


def test_the_share_of_ties_is_that_of_rows_with_an_equal_in_their_request():
    requests = pl.DataFrame({"request_id": [2, 1, 1, 2, 1], "user_id": [2, 1, 1, 2, 1], "label": [0, 1, 0, 1, 0]})
    scores = {"both": np.array([0.5, 1.0, 0.5, 0.5, 1.0]), "random": np.array([5.0, 1, 2, 4, 3])}
    assert evaluate_rankers(requests, scores, {}, "test").tied == {"both": 0.8, "random": 0.0}
