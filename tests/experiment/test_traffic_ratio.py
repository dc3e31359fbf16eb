import numpy as np
import pytest
from scipy import stats

from recsys.experiment.traffic import sample_ratio


def test_the_p_value_is_that_of_the_chi_square_statistic():
    found = sample_ratio({"A": 890, "B": 110}, {"A": 0.9, "B": 0.1})
    statistic = (890 - 900) ** 2 / 900 + (110 - 100) ** 2 / 100
    assert found.p == pytest.approx(stats.chi2.sf(statistic, 1), abs=1e-12)
    assert found.expected == pytest.approx({"A": 900.0, "B": 100.0})
    assert not found.mismatch


def test_shares_are_matched_by_the_name_of_the_arm():
    assert sample_ratio({"B": 100, "A": 900}, {"A": 0.9, "B": 0.1}).p == pytest.approx(1.0)


def test_a_broken_split_is_found_and_an_honest_one_is_not():
    assert sample_ratio({"A": 10_000, "B": 10_600}, {"A": 0.5, "B": 0.5}).mismatch
    random = np.random.default_rng(0)
    honest = [sample_ratio({"A": a, "B": 5000 - a}, {"A": 0.5, "B": 0.5}) for a in random.binomial(5000, 0.5, 1500)]
    assert sum(found.mismatch for found in honest) <= 6  # 1.5 expected
    assert np.mean([found.p < 0.05 for found in honest]) == pytest.approx(0.05, abs=0.02)


def test_it_prints_what_was_found_and_expected():
    assert str(sample_ratio({"A": 1400, "B": 600}, {"A": 0.5, "B": 0.5})) == (
        "users against those expected: A 1,400 of 1,000, B 600 of 1,000 (chi-square p = 1.45e-71)"
    )
