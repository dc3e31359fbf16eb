import logging
import math
from datetime import timedelta
from pathlib import Path

import pytest

from recsys.errors import ModelError
from recsys.jobs.tuning import search as module
from recsys.jobs.tuning.budget import Budget
from recsys.jobs.tuning.history import TrialLog
from recsys.jobs.tuning.search import search
from recsys.jobs.tuning.space import OneOf, Range

SPACE = {
    "x": Range(0.01, 100.0),
    "n": Range(1, 50, whole=True),
    "kind": OneOf(("a", "b")),
    "family f": OneOf((True, False)),
}
START = {"x": 50.0, "n": 40, "kind": "b", "family f": True}
HOUR = timedelta(hours=1)


def grows(values, watch):
    """Best where x is 1, n is 10 and the kind is a, with growth that nears it as trees are added."""
    reached = 1 - 0.1 * abs(math.log10(values["x"])) - 0.005 * abs(values["n"] - 10) - 0.2 * (values["kind"] == "b")
    for trees in range(1, 101):
        watch(trees, reached * (1 - math.exp(-trees / 20)))
    return reached, 100


def searched(path: Path, trials: int, seed: int = 7, budget: timedelta = HOUR, by=grows):
    history = TrialLog(path, {}, SPACE)
    search(by, SPACE, START, history, seed, trials, Budget(budget))
    return history.trials


def test_the_start_comes_first_and_the_best_is_found(tmp_path) -> None:
    trials = searched(tmp_path / "h", 60)
    assert trials[0].values == START
    assert len(trials) == 60
    best = max((trial for trial in trials if not trial.given_up), key=lambda trial: trial.ndcg)
    assert best.ndcg > 0.9 > trials[0].ndcg
    assert best.values["kind"] == "a"
    drawn = max(trial.ndcg for trial in trials[:8])
    assert best.ndcg > drawn


def test_the_first_trials_change_some_of_the_values_given_and_keep_most(tmp_path) -> None:
    space = {f"x{number}": Range(0.0, 1.0, log=False) for number in range(30)}
    history = TrialLog(tmp_path / "h", {}, space)
    start = dict.fromkeys(space, 0.5)
    search(lambda values, watch: (values["x0"], 1), space, start, history, 7, 8, Budget(HOUR))
    kept = [sum(trial.values[name] == 0.5 for name in start) for trial in history.trials]
    assert kept[0] == 30
    assert all(10 <= each < 30 for each in kept[1:])
    assert 120 <= sum(kept[1:]) <= 160  # of 210
    changed = [frozenset(name for name in start if trial.values[name] != 0.5) for trial in history.trials[1:]]
    assert len({*changed}) == 7


def test_a_first_trial_never_repeats_the_start(tmp_path) -> None:
    history = TrialLog(tmp_path / "h", {}, space := {"x": Range(0.0, 1.0, log=False)})
    search(lambda values, watch: (values["x"], 1), space, {"x": 0.5}, history, 7, 8, Budget(HOUR))
    assert [trial.values["x"] == 0.5 for trial in history.trials] == [True] + [False] * 7


def test_what_others_beat_is_given_up_early_and_stands_with_what_it_had_reached(tmp_path) -> None:
    given_up = [trial for trial in searched(tmp_path / "h", 60) if trial.given_up]
    assert given_up
    for trial in given_up:
        assert 50 <= trial.trees < 100
        assert trial.steps[trial.trees] == trial.ndcg


@pytest.mark.parametrize("killed_in", [0, 1, 7, 11, 29])
def test_a_search_that_was_killed_ends_with_the_same_history(tmp_path, killed_in) -> None:
    searched(tmp_path / "whole", 30)
    made = 0

    def dies(values, watch):
        nonlocal made
        made += 1
        if made > killed_in:
            raise KeyboardInterrupt
        return grows(values, watch)

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "killed", 30, by=dies)
    searched(tmp_path / "killed", 30)
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_more_trials_go_on_from_those_that_were_made(tmp_path) -> None:
    few = searched(tmp_path / "one", 10)
    assert searched(tmp_path / "one", 20)[:10] == few
    assert searched(tmp_path / "one", 20) == searched(tmp_path / "two", 20)


def test_another_seed_tries_other_values_after_the_start(tmp_path) -> None:
    one, other = searched(tmp_path / "one", 5), searched(tmp_path / "two", 5, seed=8)
    assert one[0] == other[0]
    assert all(a.values != b.values for a, b in zip(one[1:], other[1:], strict=True))


def test_without_any_time_the_start_alone_is_tried(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    assert len(searched(tmp_path / "h", 30, budget=timedelta(0))) == 1
    assert "no time for 29 more trials" in caplog.text


def test_without_the_extra_one_line_says_what_to_type(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ModelError, match=r"recsys tune needs optuna .*--editable '\.\[tune\]'"):
        module.need_optuna()
