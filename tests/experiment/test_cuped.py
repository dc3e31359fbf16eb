import numpy as np
import pytest

from recsys.errors import DataError
from recsys.experiment.cuped import adjust, past_of
from recsys.experiment.metrics import mean, ratio


def make_arms(seed=0, users=300, effect=0.5, correlation=0.8):
    random = np.random.default_rng(seed)
    past = random.normal(10, 2, (2, users))
    noise = random.normal(0, 2, (2, users))
    now = correlation * past + np.sqrt(1 - correlation**2) * noise + np.array([[0.0], [effect]])
    return now, past


def test_values_are_adjusted_as_by_the_formula():
    (a, b), (past_a, past_b) = make_arms()
    found = adjust(a, b, past_a, past_b)
    arm = np.repeat([0.0, 1.0], len(a))
    design = np.column_stack([1 - arm, arm, np.concatenate([past_a, past_b])])  # regression with one slope for both
    theta = np.linalg.lstsq(design, np.concatenate([a, b]), rcond=None)[0][2]
    centre = np.concatenate([past_a, past_b]).mean()
    assert found.a == pytest.approx(a - theta * (past_a - centre), abs=1e-9)
    assert found.b == pytest.approx(b - theta * (past_b - centre), abs=1e-9)
    within = np.concatenate([found.a - found.a.mean(), found.b - found.b.mean()])
    before = np.concatenate([a - a.mean(), b - b.mean()])
    assert found.reduction == pytest.approx(1 - (within**2).sum() / (before**2).sum(), abs=1e-9)
    assert found.reduction == pytest.approx(0.8**2, abs=0.06)
    assert found.without_past == 0


def test_the_difference_stays_true_and_becomes_less_noisy():
    plain, adjusted = [], []
    for seed in range(400):
        (a, b), past = make_arms(seed, users=60)
        found = adjust(a, b, *past)
        plain.append(b.mean() - a.mean())
        adjusted.append(found.b.mean() - found.a.mean())
    assert np.mean(adjusted) == pytest.approx(0.5, abs=4 * np.std(adjusted) / 20)
    assert np.var(adjusted) == pytest.approx((1 - 0.8**2) * np.var(plain), rel=0.25)


def test_users_without_a_past_keep_their_values():
    (a, b), (past_a, past_b) = make_arms()
    past_a[:100] = np.nan
    found = adjust(a, b, past_a, past_b)
    assert found.without_past == 100
    assert found.a[:100].tolist() == a[:100].tolist()
    centre = np.concatenate([past_a[100:], past_b]).mean()
    past_a[:100] = centre
    assert adjust(a, b, past_a, past_b).b == pytest.approx(found.b)
    assert 0 < found.reduction < 0.8**2


def test_a_past_that_tells_nothing_is_refused():
    (a, b), _ = make_arms(users=4)
    with pytest.raises(DataError, match="no user has a value from before the experiment; leave `before` out"):
        adjust(a, b, np.full(4, np.nan), np.full(4, np.nan))
    with pytest.raises(DataError, match="all users have the same value from before the experiment; leave `before` out"):
        adjust(a, b, np.ones(4), np.ones(4))


def test_values_without_variance_have_no_reduction():
    assert np.isnan(adjust(np.ones(3), np.ones(3), np.arange(3.0), np.arange(3.0)).reduction)


def test_the_past_is_a_column_or_a_linearised_ratio():
    columns = {"clicks": np.array([1.0, np.nan, 3.0, 0.0]), "views": np.array([2.0, 5.0, 4.0, np.nan])}
    assert past_of(mean("x", before="clicks"), columns) is columns["clicks"]
    found = past_of(ratio("x", "y", before="clicks", per_before="views"), columns)
    assert np.isnan(found).tolist() == [False, True, False, True]
    assert found[[0, 2]] == pytest.approx([4 / 6 + (1 - 4 / 6 * 2) / 3, 4 / 6 + (3 - 4 / 6 * 4) / 3])
    nobody = {name: np.full(4, np.nan) for name in columns}
    assert np.isnan(past_of(ratio("x", "y", before="clicks", per_before="views"), nobody)).all()


def test_a_ratio_of_past_ratios_is_less_noisy():
    random = np.random.default_rng(3)
    plain, adjusted = [], []
    for _ in range(200):
        inclined = random.beta(2, 8, 400)
        counts = {}
        for name in ("now", "before"):
            views = 1.0 + random.poisson(10, 400)
            counts[name] = random.binomial(views.astype(int), inclined).astype(float), views
        metric = ratio("clicks", "views", "old clicks", "old views")
        past = past_of(metric, dict(zip(metric.columns_before, counts["before"], strict=True)))
        a, b = (
            metric.values(dict(zip(metric.columns, (values[arm] for values in counts["now"]), strict=True)))
            for arm in (slice(200), slice(200, None))
        )
        found = adjust(a, b, past[:200], past[200:])
        plain.append(b.mean() - a.mean())
        adjusted.append(found.b.mean() - found.a.mean())
    assert np.var(adjusted) < 0.75 * np.var(plain)
    assert np.mean(adjusted) == pytest.approx(0, abs=4 * np.std(adjusted) / 200**0.5)
