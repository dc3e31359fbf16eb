import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from recsys.errors import DataError
from recsys.experiment.estimates import Moments, sequential, sequential_p
from recsys.experiment.metrics import mean, rate, ratio
from recsys.experiment.reading import read_out
from recsys.experiment.readout import ExperimentPlan
from recsys.experiment.traffic import assign
from recsys.statistics.verdict import Verdict

EVEN = {"A": 0.5, "B": 0.5}
METRICS = (mean("clicks", before="old clicks"), rate("clicks"), ratio("clicks", "views", "old clicks", "old views"))


def make_users(users=2000, effect=0.0, seed=0):
    random = np.random.default_rng(seed)
    ids = random.permutation(10 * users)[:users]
    arms = assign(ids, f"experiment {seed}", EVEN)
    inclined = random.beta(2, 18, users)
    columns = {}
    for name, more in (("", effect * (arms == "B").to_numpy()), ("old ", 0.0)):
        views = 1 + random.poisson(6, users)
        columns |= {f"{name}clicks": random.binomial(views, inclined * (1 + more)), f"{name}views": views}
    return pl.DataFrame({"user_id": ids, "arm": arms, **columns})


def values_of_arms(random, users, up):
    """Values of deviation 1 whose means differ by exactly `up`, A first."""
    values = random.normal(size=(2, users))
    values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, ddof=1, keepdims=True)
    return np.concatenate([values[0], values[1] + up])


def test_a_read_out_is_that_of_plain_formulas():
    table = make_users(effect=0.3)
    found = read_out(table, ExperimentPlan(EVEN, METRICS))
    assert list(found.effects) == ["mean(clicks)", "rate(clicks)", "clicks/views"]
    assert found.sample_ratio.users == {arm: (table["arm"] == arm).sum() for arm in "AB"}
    a, b = (table.filter(pl.col("arm") == arm) for arm in "AB")
    for name, values in (("mean(clicks)", pl.col("clicks")), ("rate(clicks)", pl.col("clicks") > 0)):
        of_a, of_b = (rows.select(values.cast(pl.Float64)).to_series().to_numpy() for rows in (a, b))
        oracle = stats.ttest_ind(of_b, of_a, equal_var=False)
        effect = found.effects[name]
        assert effect.values == pytest.approx({"A": of_a.mean(), "B": of_b.mean()})
        assert effect.p == pytest.approx(oracle.pvalue)
        assert effect.difference.low == pytest.approx(oracle.confidence_interval().low)
        assert effect.difference.high == pytest.approx(oracle.confidence_interval().high)
        assert effect.lift.mean == pytest.approx(of_b.mean() / of_a.mean() - 1)
    whole = {arm: rows["clicks"].sum() / rows["views"].sum() for arm, rows in (("A", a), ("B", b))}
    assert found.effects["clicks/views"].values == pytest.approx(whole)
    assert found.effects["clicks/views"].difference.mean == pytest.approx(whole["B"] - whole["A"])


def test_the_difference_of_ratios_has_the_error_of_a_bootstrap_over_users():
    table = make_users(users=1500)
    effect = read_out(table, ExperimentPlan(EVEN, (ratio("clicks", "views"),))).effects["clicks/views"]
    random = np.random.default_rng(1)
    resampled = []
    sides = [table.filter(pl.col("arm") == arm).select("clicks", "views").to_numpy() for arm in "AB"]
    for _ in range(1500):
        a, b = (rows[random.integers(len(rows), size=len(rows))].sum(axis=0) for rows in sides)
        resampled.append(b[0] / b[1] - a[0] / a[1])
    assert effect.difference.high - effect.difference.low == pytest.approx(2 * 1.96 * np.std(resampled), rel=0.08)


def test_cuped_narrows_the_interval_by_what_it_says():
    found = read_out(make_users(), ExperimentPlan(EVEN, METRICS))
    for name in ("mean(clicks)", "clicks/views"):
        effect = found.effects[name]
        width, before = (each.high - each.low for each in (effect.cuped, effect.difference))
        assert width / before == pytest.approx(math.sqrt(1 - effect.reduction), abs=0.01)
        assert effect.reduction > 0.03
        assert effect.without_past == 0
        assert effect.decides is effect.cuped
    assert found.effects["rate(clicks)"].cuped is None


def test_users_without_a_past_are_counted_and_kept():
    table = make_users().with_columns(pl.when(pl.col("user_id") % 4 > 0).then(pl.col("old clicks", "old views")))
    effect = read_out(table, ExperimentPlan(EVEN, METRICS)).effects["clicks/views"]
    assert effect.without_past == (table["user_id"] % 4 == 0).sum()
    full = read_out(make_users(), ExperimentPlan(EVEN, METRICS)).effects["clicks/views"]
    assert effect.values == full.values
    assert 0 < effect.reduction < full.reduction


def test_a_planned_size_makes_the_anytime_valid_interval_decide():
    table = make_users()
    effect = read_out(table, ExperimentPlan(EVEN, (mean("clicks"),), expected=4000)).effects["mean(clicks)"]
    a, b = (Moments.of(table.filter(pl.col("arm") == arm)["clicks"].cast(pl.Float64).to_numpy()) for arm in "AB")
    expected = sequential(a, b, 4000)
    assert (effect.sequential.low, effect.sequential.high) == pytest.approx((expected.low, expected.high))
    assert effect.decides is effect.sequential
    assert effect.p_adjusted == pytest.approx(sequential_p(a, b, 4000))
    error = math.sqrt(a.error + b.error)
    assert effect.detectable == pytest.approx(expected.high - expected.mean + stats.norm.ppf(0.8) * error)
    with_past = read_out(table, ExperimentPlan(EVEN, METRICS, expected=4000)).effects["mean(clicks)"]
    assert with_past.sequential.mean == pytest.approx(with_past.cuped.mean)


def test_verdicts_follow_the_rule():
    better = read_out(make_users(effect=0.5), ExperimentPlan(EVEN, METRICS))
    assert better.verdict is Verdict.BETTER
    swapped = read_out(make_users(effect=0.5), ExperimentPlan({"B": 0.5, "A": 0.5}, METRICS))
    assert swapped.verdict is Verdict.WORSE
    assert swapped.effects["rate(clicks)"].verdict is Verdict.WORSE
    equal = make_users(seed=3)
    assert not read_out(equal, ExperimentPlan(EVEN, METRICS)).effects["mean(clicks)"].decides.clear
    assert read_out(equal, ExperimentPlan(EVEN, METRICS)).verdict is Verdict.UNDERPOWERED
    effect = read_out(equal, ExperimentPlan(EVEN, METRICS)).effects["mean(clicks)"]
    enough = effect.detectable / effect.values["A"]
    assert read_out(equal, ExperimentPlan(EVEN, METRICS, matters=enough * 1.001)).verdict is Verdict.NO_DIFFERENCE
    assert read_out(equal, ExperimentPlan(EVEN, METRICS, matters=enough * 0.999)).verdict is Verdict.UNDERPOWERED


def test_further_metrics_are_corrected_and_the_first_is_not():
    ups = {"first": 0.1, "small": 0.1, "large": 1.0, "none": 0.0}  # of 2000 users with a deviation of 1: error 0.045
    random = np.random.default_rng(4)
    values = {name: values_of_arms(random, 1000, up) for name, up in ups.items()}
    table = pl.DataFrame({"user_id": range(2000), "arm": ["A"] * 1000 + ["B"] * 1000, **values})
    effects = read_out(table, ExperimentPlan(EVEN, tuple(map(mean, ups)))).effects
    first, small, large, none = (effects[f"mean({name})"] for name in ups)
    assert first.p_adjusted == first.p == pytest.approx(small.p)
    assert first.verdict is Verdict.BETTER
    assert large.p_adjusted == pytest.approx(3 * large.p)
    assert small.p_adjusted == pytest.approx(2 * small.p)
    assert none.p_adjusted == none.p
    assert small.difference.clear
    assert small.verdict is Verdict.UNDERPOWERED
    assert large.verdict is Verdict.BETTER


def test_a_broken_split_gives_no_verdict():
    table = make_users(effect=0.5).filter((pl.col("arm") == "A") | (pl.col("user_id") % 5 > 0))
    found = read_out(table, ExperimentPlan(EVEN, METRICS))
    assert found.sample_ratio.mismatch
    assert found.verdict is None
    assert {effect.verdict for effect in found.effects.values()} == {None}
    uneven = read_out(table, ExperimentPlan({"A": 5 / 9, "B": 4 / 9}, METRICS))
    assert uneven.verdict is Verdict.BETTER


def test_the_answer_does_not_depend_on_the_order_of_the_rows():
    table = make_users(users=300)
    plan = ExperimentPlan(EVEN, METRICS, expected=1000)
    assert read_out(table, plan) == read_out(table.sample(fraction=1.0, shuffle=True, seed=2), plan)


@pytest.mark.slow
def test_fixed_intervals_cover_the_truth_with_cuped_and_without():
    covered = np.zeros(2)
    for seed in range(250):
        effect = read_out(make_users(users=200, seed=seed), ExperimentPlan(EVEN, METRICS)).effects["clicks/views"]
        covered += [each.low <= 0 <= each.high for each in (effect.difference, effect.cuped)]
    assert covered / 250 == pytest.approx([0.95, 0.95], abs=0.045)


def test_faults_of_the_table_are_told():
    table = make_users(users=50)
    with pytest.raises(DataError, match="users are in more than one arm, such as"):
        read_out(pl.concat([table, table.with_columns(arm=pl.lit("A"))]), ExperimentPlan(EVEN, METRICS))
    with pytest.raises(DataError, match="the denominators of clicks/views add up to 0 in one arm"):
        read_out(table.with_columns(views=pl.lit(0)), ExperimentPlan(EVEN, (ratio("clicks", "views"),)))
    with pytest.raises(DataError, match="no user has a value from before the experiment; leave `before` out"):
        read_out(
            table.with_columns(pl.lit(None, dtype=pl.Int64).alias("old clicks")), ExperimentPlan(EVEN, METRICS[:1])
        )


def test_a_second_metric_without_a_p_value_goes_by_its_interval():
    random = np.random.default_rng(0)
    alike = {"none": [0.0] * 100 + [1.0] * 100, "same": [1.0] * 200}
    table = pl.DataFrame({"user_id": range(200), "arm": ["A"] * 100 + ["B"] * 100, "x": random.random(200), **alike})
    found = read_out(table, ExperimentPlan(EVEN, (mean("x"), mean("none"), mean("same"))))
    assert found.effects["mean(none)"].verdict == Verdict.BETTER
    assert found.effects["mean(same)"].verdict == Verdict.NO_DIFFERENCE
