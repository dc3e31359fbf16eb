"""Which of what learnt reads is decided by all held-out requests, not by hope."""

import numpy as np
import pytest

from recsys.learning.lessons import Trial, mean


def aucs(gain: float, spread: float, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    heads = random.uniform(0.4, 0.9, count)
    return heads, heads + gain + random.normal(0, spread, count)


def test_tuning_that_wins_clearly_is_kept() -> None:
    trial = Trial("auto")
    gain = trial.judge(*aucs(0.02, 0.1, 500), np.arange(500))
    assert trial.tuned
    assert gain is not None
    assert gain[1] < 0.02 < gain[2]


@pytest.mark.parametrize("gain", [-0.02, 0.0])
def test_tuning_that_wins_nothing_is_not_kept(gain: float) -> None:
    heads = np.linspace(0.4, 0.9, 100)
    noise = np.tile([0.1, -0.1], 50)
    trial = Trial("auto")
    trial.judge(heads, heads + gain + noise, np.arange(100))
    assert not trial.tuned


def test_a_gain_within_one_standard_error_is_not_kept() -> None:
    heads, error = np.full(100, 0.5), 0.1 / np.sqrt(99)
    noise = np.tile([0.1, -0.1], 50)
    for gain, kept in ((0.9 * error, False), (1.1 * error, True)):
        trial = Trial("auto")
        trial.judge(heads, heads + noise + gain, np.arange(100))
        assert trial.tuned is kept


def test_requests_of_one_user_are_no_evidence_for_others() -> None:
    heads = np.linspace(0.4, 0.9, 50)
    trial = Trial("auto")
    gain = trial.judge(heads, heads + 0.1, np.zeros(50, np.int64))
    assert not trial.tuned
    assert gain == (pytest.approx(0.1), None, None)


def test_all_blocks_are_weighed_together() -> None:
    trial = Trial("auto")
    trial.judge(*aucs(0.05, 0.05, 200), np.arange(200))
    assert trial.tuned
    gain = trial.judge(*aucs(-0.2, 0.05, 200, seed=1), np.arange(200))
    assert not trial.tuned
    assert gain is not None
    assert gain[0] == pytest.approx(-0.075, abs=0.01)


@pytest.mark.parametrize(("tune", "kept"), [("always", True), ("never", False)])
def test_always_and_never_do_not_look(tune: str, kept: bool) -> None:
    trial = Trial(tune)  # type: ignore[arg-type]
    trial.judge(*aucs(-0.2 if kept else 0.2, 0.01, 100), np.arange(100))
    assert trial.tuned is kept


def test_what_cannot_be_judged_says_nothing() -> None:
    trial, nothing = Trial("auto"), np.full(3, np.nan)
    assert trial.judge(nothing, nothing, np.arange(3)) is None
    assert not trial.tuned
    assert mean(nothing) is None
    assert mean(np.array([np.nan, 0.5, 1.0])) == 0.75
