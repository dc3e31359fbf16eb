"""Logs of explored lists: estimates of another policy are near its true value."""

import numpy as np
import pytest

from pipelines.exploring import CASES, SIZE, draw, judge, true_values


def test_estimates_are_near_the_truth() -> None:
    rng = np.random.default_rng(3)
    worth = np.sort(rng.normal(size=(3_000, SIZE)), axis=1)[:, ::-1]
    other, chance = worth + 0.3 * rng.normal(size=worth.shape), rng.uniform(0, 0.4, worth.shape)
    truth = true_values(other, chance, rng)
    for case, exploration in CASES.items():
        found = judge(exploration, 0, worth, other, chance, rng)
        assert ("lists, cascade IPS" in found) == (exploration.new_place is None), case
        for name, estimate in found.items():
            true = truth["first" if "first" in name else "lists"]
            assert estimate.value == pytest.approx(true, abs=4.5 * estimate.error), (case, name)


def test_lists_are_drawn_anew_for_each_log_and_whole() -> None:
    worth = np.sort(np.random.default_rng(1).normal(size=(50, SIZE)), axis=1)[:, ::-1]
    first, second = (draw(CASES["epsilon"], run, worth)[0] for run in (0, 1))
    assert (np.sort(first, axis=1) == np.arange(SIZE)).all()
    assert not np.array_equal(first, second)
    assert np.array_equal(first, draw(CASES["epsilon"], 0, worth)[0])
