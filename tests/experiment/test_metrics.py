import numpy as np
import pytest

from recsys.errors import DataError
from recsys.experiment.metrics import Metric, linearised, mean, rate, ratio


def test_metrics_are_values_that_print():
    assert [str(metric) for metric in (rate("bought"), mean("seconds"), ratio("clicks", "views"))] == [
        "rate(bought)",
        "mean(seconds)",
        "clicks/views",
    ]
    assert ratio("clicks", "views") == Metric("ratio", "clicks", "views")
    assert mean("clicks") != rate("clicks")
    assert mean("clicks") != mean("clicks", before="clicks_before")


def test_metrics_say_which_columns_they_need():
    assert rate("bought").columns == ("bought",)
    assert rate("bought").columns_before == ()
    metric = ratio("clicks", "views", "old clicks", "old views")
    assert metric.columns == ("clicks", "views")
    assert metric.columns_before == ("old clicks", "old views")


def test_a_rate_counts_users_and_a_mean_adds_up():
    columns = {"clicks": np.array([0.0, 3.0, 1.0, 0.0])}
    assert rate("clicks").values(columns).tolist() == [0, 1, 1, 0]
    assert mean("clicks").values(columns).tolist() == [0, 3, 1, 0]


def test_a_ratio_is_the_ratio_of_sums_with_the_variance_of_the_delta_method():
    random = np.random.default_rng(0)
    views = random.poisson(5, 500).astype(float)
    clicks = random.binomial(views.astype(int), 0.3).astype(float)
    found = ratio("clicks", "views").values({"clicks": clicks, "views": views})
    whole = clicks.sum() / views.sum()
    assert found.mean() == pytest.approx(whole, abs=1e-12)
    covariance = np.cov(clicks, views)  # the formula of Deng, Knoblich and Lu, term by term
    delta = covariance[0, 0] - 2 * whole * covariance[0, 1] + whole**2 * covariance[1, 1]
    assert found.var(ddof=1) == pytest.approx(delta / views.mean() ** 2, rel=1e-12)


def test_the_variance_of_a_ratio_is_that_seen_over_many_experiments():
    random = np.random.default_rng(1)
    ratios, promised = [], []
    for _ in range(1500):
        views = 1.0 + random.poisson(random.gamma(1.0, 4.0, 150))
        clicks = random.binomial(views.astype(int), random.beta(2, 8, 150)).astype(float)
        found = linearised(clicks, views, "clicks/views")
        ratios.append(found.mean())
        promised.append(found.var(ddof=1) / 150)
    assert np.mean(promised) == pytest.approx(np.var(ratios), rel=0.12)


def test_a_ratio_of_nothing_is_refused():
    with pytest.raises(DataError, match="the denominators of clicks/views add up to 0 in one arm; wait for data"):
        ratio("clicks", "views").values({"clicks": np.zeros(3), "views": np.zeros(3)})
