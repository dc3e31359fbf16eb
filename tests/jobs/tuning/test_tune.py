import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError, SettingsError
from recsys.features.plan import feature_names
from recsys.jobs.train import train
from recsys.jobs.tuning import tune as module
from recsys.jobs.tuning.budget import Budget
from recsys.jobs.tuning.history import Tried
from recsys.jobs.tuning.space import space_of, start_of
from recsys.jobs.tuning.tune import Tuned, tune
from recsys.settings import Settings
from recsys.statistics.intervals import Interval
from tests.jobs.test_train import changed
from tests.jobs.tuning.test_leaving import SETTINGS, window_of

pytestmark = pytest.mark.slow

OBJECTIVES = {"lambdarank": "examination", "rank_xendcg": "inverse"}

SPACE = space_of(Settings(), 1000, timedelta(days=1))


@pytest.fixture(scope="module")
def settings(line) -> Settings:
    """The line's settings with trees so greedy that others are better."""
    return changed(line.settings, ranker={"learning_rate": 0.9, "leaves": 31, "rows_per_leaf": 1, "l2": 0.0})


@pytest.fixture(scope="module")
def tuned(line, settings, tmp_path_factory):
    """What a search of a few trials finds, and its history."""
    target = tmp_path_factory.mktemp("tuned") / "found.toml"
    return tune(line.dataset, settings, target, trials=12), target.with_name("found.toml.history.jsonl")


def test_better_settings_are_found_and_train(line, settings, tuned, tmp_path) -> None:
    found, history = tuned
    assert found.trials == 12 == len(history.read_text().splitlines()) - 1
    assert found.after > found.before
    assert found.gain.mean == pytest.approx(found.after - found.before)
    assert found.settings.ranker != settings.ranker
    assert found.others
    assert found.in_words().startswith(
        f"nDCG@10 on the valid window: {found.before:.4f} with the settings given, with those"
    )
    assert found.settings.text == settings.text
    assert len(feature_names(found.settings.features)) <= len(feature_names(settings.features))
    tried = [json.loads(each) for each in history.read_text().splitlines()[1:]]
    faded = [each for each in tried if each["values"]["half_life"] != "none"]
    assert faded
    assert all(0 < each["ndcg"] <= 1 for each in tried)
    assert max(each["trees"] for each in faded) > 1
    assert not set(found.left_out) & set(feature_names(found.settings.features))
    judged = train(line.dataset, found.settings, tmp_path / "model")
    assert judged.evaluation.overall.rankers["both"]["AUC"].mean > 0.5
    assert list(history.parent.iterdir()) == [history]


def test_a_tuning_that_was_killed_finds_the_same(line, settings, tuned, tmp_path, monkeypatch) -> None:
    found, history = tuned
    made, grow = 0, module.Bench.grow

    def dies(bench, *arguments):
        nonlocal made
        made += 1
        if made == 6:
            raise KeyboardInterrupt
        return grow(bench, *arguments)

    monkeypatch.setattr(module.Bench, "grow", dies)
    with pytest.raises(KeyboardInterrupt):
        tune(line.dataset, settings, tmp_path / "found.toml", trials=12)
    assert len((tmp_path / "found.toml.history.jsonl").read_text().splitlines()) == 6
    monkeypatch.setattr(module.Bench, "grow", grow)
    again = tune(line.dataset, settings, tmp_path / "found.toml", trials=12)
    assert (tmp_path / "found.toml.history.jsonl").read_bytes() == history.read_bytes()
    assert again == found


def test_a_budget_that_is_over_still_grows_the_best_again(line, settings, tuned, tmp_path, monkeypatch, caplog) -> None:
    """Of twelve trials that stand in the history the best is grown beside the start, by three seeds each."""
    caplog.set_level("INFO")
    (tmp_path / "found.toml.history.jsonl").write_bytes(tuned[1].read_bytes())
    grown, grow = list[int](), module.Bench.grow

    def counts(bench, given, seed, *watch):
        grown.append(seed - given.seed)
        return grow(bench, given, seed, *watch)

    monkeypatch.setattr(module.Bench, "grow", counts)
    found = tune(line.dataset, settings, tmp_path / "found.toml", trials=20, budget=timedelta(0))
    assert found.trials == 12
    assert found.settings.ranker != settings.ranker
    assert grown[:6] == [1, 2, 3] * 2
    assert grown[6:] in ([], [1, 2, 3])
    assert "no time to grow 2 more choices again" in caplog.text


def test_the_test_window_says_nothing(line, settings, tuned, tmp_path) -> None:
    """All labels of the test window turned round, the same is found: only what was recorded as known differs."""
    found, history = tuned
    last = line.judgement.window.requests["timestamp"].min()
    turned = pl.when(pl.col("timestamp") >= last).then(1 - pl.col("label")).otherwise("label")
    requests = line.dataset.requests.with_columns(label=turned.cast(line.dataset.requests.schema["label"]))
    other = tune(module.replace(line.dataset, requests=requests), settings, tmp_path / "found.toml", trials=12)
    assert other.settings == found.settings
    assert other.gain == found.gain
    lines = [path.read_text().splitlines()[1:] for path in (history, tmp_path / "found.toml.history.jsonl")]
    assert lines[0] == lines[1]


def test_the_first_trial_is_what_was_given(settings, tuned) -> None:
    first = json.loads(tuned[1].read_text().splitlines()[1])
    assert first["values"]["learning_rate"] == settings.ranker.learning_rate
    assert first["values"]["leaves"] == settings.ranker.leaves


def test_what_is_not_better_is_not_taken(line, tmp_path) -> None:
    found = tune(line.dataset, line.settings, tmp_path / "found.toml", trials=1, budget=timedelta(0))
    assert found.settings.ranker == line.settings.ranker
    assert not found.others
    assert found.settings.features.families == line.settings.features.families
    assert "with the settings given; no others were tried, so they stay" in found.in_words()
    if found.left_out:
        assert (
            f"they stay, without {len(found.left_out)} features that earned nothing: {found.after:.4f} ("
            in found.in_words()
        )


def test_each_objective_has_the_correction_that_goes_with_it() -> None:
    from tests.jobs.test_position_bias import window

    settings = Settings(ranker={"rounds": 20, "rows_per_leaf": 20})
    bench = module.Bench(settings, window(), window(seed=1))
    by = {each: bench._bias(settings.ranker.model_copy(update={"objective": each})) for each in OBJECTIVES}
    assert {each: bias.correction for each, bias in by.items()} == OBJECTIVES
    assert bench._bias(settings.ranker) is by["lambdarank"]


@pytest.mark.parametrize(
    ("trials", "none"), [(1, "no others were tried"), (2, "none of 1 other trial gains"), (9, "none of 8 other trials")]
)
def test_what_was_tried_in_vain_is_counted_without_what_was_given(trials, none) -> None:
    found = Tuned(Settings(), False, 0.5, 0.5, Interval(0.0, 0.0, 0.0), trials, 0, ())
    assert found.in_words().startswith(f"nDCG@10 on the valid window: 0.5000 with the settings given; {none}")
    assert found.in_words().endswith(", so they stay")


@pytest.mark.parametrize(("apart", "best"), [(0.5, True), (0.001, False)])
def test_a_trial_takes_the_place_of_what_was_given_only_where_its_gain_is_clear(apart, best) -> None:
    """Each list of 400 users gains so much in the mean, with a deviation of 0.1."""
    gains = np.random.default_rng(5).normal(apart, 0.1, 400)
    settings = Settings()
    trials = [
        Tried(start_of(settings, SPACE), 0.5, 1, {}),
        Tried(start_of(settings, SPACE) | {"leaves": 9}, 0.6, 1, {}),
    ]

    class Judged(module.Bench):
        def of_seeds(self, given):
            return (gains if given.ranker.leaves == 9 else np.zeros(400)), []

    window = window_of(1, ("item_age_hours",), SETTINGS)
    bench = Judged(settings, window, window)
    kept, before, (after, _) = module._final(bench, trials, Budget(timedelta(hours=1)))
    assert kept.ranker.leaves == (9 if best else settings.ranker.leaves)
    assert before.sum() == 0
    assert (after is gains) == best


def test_a_trial_that_leaves_no_behaviour_is_none_to_train_by() -> None:
    settings = Settings(features={"without": ["list_size", "hour", "weekday"]})
    start = start_of(settings, SPACE)
    texts = {name: False if name.startswith("family ") else value for name, value in start.items()}

    class Judged(module.Bench):
        def of_seeds(self, given):
            return np.full(400, 1.0 if given.features.families == () else 0.5), []

    window = window_of(1, ("item_age_hours",), SETTINGS)
    trials = [Tried(start, 0.5, 1, {}), Tried(texts, 1.0, 1, {})]
    kept, _, _ = module._final(Judged(settings, window, window), trials, Budget(timedelta(hours=1)))
    assert kept == settings


def test_an_existing_file_and_a_foreign_history_are_refused_before_anything_is_learnt(
    line, settings, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "there.toml").write_text("seed = 1")
    with pytest.raises(DataError, match="already exists"):
        tune(line.dataset, settings, tmp_path / "there.toml")
    (tmp_path / "new.toml.history.jsonl").write_text("{}\n")
    (left := tmp_path / "new.toml.tuning" / "learnt").parent.mkdir()
    left.write_text("for hours")
    monkeypatch.setattr("recsys.learning.course.TextCourse", lambda *_: pytest.fail("work was done"))
    with pytest.raises(
        DataError, match="is the history of a tuning of other data, settings, libraries or threads; choose"
    ):
        tune(line.dataset, settings, tmp_path / "new.toml", trials=1)
    assert left.read_text() == "for hours"
    with pytest.raises(SettingsError, match=r"x\.history\.jsonl"):
        tune(line.dataset, settings, tmp_path / ("x" * 226), trials=1)
