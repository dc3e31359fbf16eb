"""Every leak, planted, stops a training before the encoder learns and is named; clean data pass."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from recsys.cli import FINE, NO, WRONG_USE, main
from recsys.data.clock import TimeSettings
from recsys.data.tables import About, Dataset
from recsys.data.windows import place_windows
from recsys.errors import DataError, SettingsError
from recsys.features.plan import build_features
from recsys.jobs.leaks import draw_requests, future_features, refuse_leaks, telling_features
from recsys.jobs.train import train
from recsys.model.prepared import behaviour_of, prepare
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.reads import Reads
from recsys.settings import Settings, load_settings
from tests.fixtures.behaviour import Tools

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
EBNERD = ROOT.parent / "shared" / "data" / "ebnerd_demo"
CLICKED = pl.col("label") > 0


def changed(settings: Settings, **sections: dict[str, object]) -> Settings:
    content = settings.model_dump(mode="json")
    for name, changes in sections.items():
        content[name] |= changes
    return Settings.model_validate(content)


def check(dataset: Dataset, settings: Settings) -> None:
    """Ask what `train` asks before the encoder learns."""
    prepared = prepare(dataset, settings)
    refuse_leaks(prepared, place_windows(prepared.made.lists, settings.windows, time=prepared.log.time))


def with_column(dataset: Dataset, **columns: pl.Expr) -> Dataset:
    return replace(dataset, requests=dataset.requests.with_columns(**columns))


def clicks_before(dataset: Dataset) -> Dataset:
    """Put every click of a list among the events too, a second before the list."""
    clicks = dataset.requests.filter(CLICKED).select(
        "user_id", "item_id", pl.col("timestamp") - timedelta(seconds=1), event=pl.lit("click")
    )
    return replace(dataset, events=pl.concat([dataset.events, clicks], how="diagonal_relaxed"))


def one_row_too_many(self, as_of, horizon=None):
    return as_of + 1 - self.back[:, None]


def test_the_simulated_world_passes_under_either_freshness(line) -> None:
    for freshness in ("live", "1d"):
        check(line.dataset, changed(line.settings, time={"freshness": freshness}))
    check(line.dataset, changed(line.settings, time={"feedback_delay": "0s"}))
    nightly = {"freshness": "nightly", "made_at": "09:00"}
    days = {"fractions": [0.25, 0.35, 0.2, 0.2]}  # of six days with lists
    check(line.dataset, changed(line.settings, time=nightly, windows=days, features={"context": []}))


def test_the_sample_passes() -> None:
    check(Dataset.read(ROOT / "data" / "sample"), Settings())


@pytest.mark.parametrize("freshness", ["live", "1d"])
def test_ebnerd_passes(freshness: str) -> None:
    if not EBNERD.is_dir():
        pytest.skip("the EB-NeRD demo bundle is not here")
    from recsys.data.importers import read_ebnerd

    check(read_ebnerd(EBNERD), load_settings(ROOT / "pipelines/ebnerd.toml", [f'time.freshness="{freshness}"']))


def test_train_says_no_and_names_every_leak_before_the_encoder_learns(line, tmp_path, monkeypatch, capsys) -> None:
    made = with_column(line.dataset, item_id=pl.col("item_id") + 10**6 * CLICKED.cast(pl.Int64))
    made = clicks_before(made)
    made = with_column(made, seconds=pl.when(CLICKED).then(pl.col("item_id") % 7 + 20), unused=pl.col("label"))
    items = pl.concat([made.items, made.items.with_columns(pl.col("item_id") + 10**6)])
    replace(made, items=items).write(tmp_path / "data")
    monkeypatch.setattr("recsys.learning.course.TextCourse", lambda *_: pytest.fail("the encoder has learnt"))
    words = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "model")]
    config = tmp_path / "settings.toml"
    config.write_text('[windows]\nfractions = [0.3, 0.35, 0.15, 0.2]\n[features]\ncontext = ["device", "seconds"]\n')
    assert main([*words, "--config", str(config)]) == NO
    said = capsys.readouterr().err
    for place in ("requests.seconds: the column", "requests.item_id: the id", "features.click_rate_item: the feature"):
        assert f"error: {place}" in said
    assert "requests.unused" not in said
    assert "in [features] vouched if it is known before the list is shown" in said
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob("model.training*"))
    assert main(["check", str(tmp_path / "data")]) == FINE
    said = capsys.readouterr().out
    for place in ("requests.seconds", "requests.unused", "requests.item_id", "events.user_id + item_id"):
        assert f"warning: {place}: " in said


def test_a_column_declared_to_be_recorded_after_the_list_is_wrong_use_even_if_vouched_for(
    line, tmp_path, capsys
) -> None:
    dataset = with_column(line.dataset, next_read_time=pl.col("label") * 30.0)
    replace(dataset, about=About("test", (), ("next_read_time",))).write(tmp_path / "data")
    words = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "model")]
    words += ["--set", 'features.context=["next_read_time"]', "--set", 'features.vouched=["next_read_time"]']
    assert main(words) == WRONG_USE
    said = capsys.readouterr().err
    assert "names 'next_read_time', which is recorded with or after the list, as its importer declares, so it" in said


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_a_copied_label_is_an_error_only_where_it_is_used_and_nobody_vouches(line, share: float) -> None:
    wrong = pl.Series(np.random.default_rng(3).random(len(line.dataset.requests)) < share)
    dataset = with_column(line.dataset, seen=pl.when(wrong).then(1 - pl.col("label")).otherwise("label"))
    check(dataset, line.settings)
    with pytest.raises(
        DataError, match=r"error: requests\.seen: the column tells which candidates .*, or name 'seen' in"
    ):
        check(dataset, changed(line.settings, features={"context": ["device", "seen"]}))
    check(dataset, changed(line.settings, features={"context": ["device", "seen"], "vouched": ["seen"]}))


def test_a_column_that_requests_ask_with_is_used(line) -> None:
    words = pl.when(CLICKED).then(pl.lit("red shoes")).otherwise(pl.lit("hat"))
    dataset = with_column(line.dataset, words=words)
    with pytest.raises(DataError, match=r"error: requests\.words: the column tells"):
        check(dataset, changed(line.settings, text={"query": "words"}))


def test_a_feature_that_is_too_good_is_named_unless_vouched_for(line) -> None:
    dataset = clicks_before(line.dataset)
    with pytest.raises(
        DataError, match=r"(?s)error: features\.click_count_user_item: the feature is too good"
    ) as caught:
        check(dataset, line.settings)
    named = [
        row.split(": ")[1].removeprefix("features.") for row in str(caught.value).splitlines() if "features" in row
    ]
    assert "hours_since_click_user_item" not in named or "hours_since_click_user_item_rank" in named
    check(dataset, changed(line.settings, features={"vouched": named}))


def test_an_attribute_that_holds_the_outcome_is_named(line) -> None:
    items = line.dataset.items.with_columns(outcome=pl.lit("not clicked"))
    clicked = pl.concat([items.with_columns(pl.col("item_id") + 10**6, outcome=pl.lit("clicked")), items])
    dataset = with_column(line.dataset, item_id=pl.col("item_id") + 10**6 * CLICKED.cast(pl.Int64))
    features = {"affinity": ["outcome"], "vouched": ["item_id"]}
    with pytest.raises(DataError, match=r"error: features\.item_outcome: the feature is too good to be true"):
        check(replace(dataset, items=clicked), changed(line.settings, features=features))


def test_a_name_that_is_vouched_for_must_be_there(line) -> None:
    with pytest.raises(
        SettingsError, match="vouched names 'sen', which is neither a column of requests nor a computed"
    ):
        check(line.dataset, changed(line.settings, features={"vouched": ["sen"]}))


def test_few_lists_are_never_too_good(line) -> None:
    lists = line.dataset.requests.head(200).sort("request_id", "item_id")
    table = lists.select(perfect=pl.col("label").cast(pl.Float32))
    assert not list(telling_features(lists, table))
    both = CLICKED.any().over("request_id"), (~CLICKED).any().over("request_id")
    many = line.dataset.requests.filter(*both).sort("request_id", "item_id")
    (fault,) = telling_features(many, many.select(perfect=pl.col("label").cast(pl.Float32), age=pl.lit(1.0)))
    assert (fault.table, fault.column, fault.severity) == ("features", "perfect", "error")


@pytest.mark.parametrize(("told", "caught"), [(0.88, False), (0.93, False), (0.96, False), (0.99, True), (1.0, True)])
def test_a_feature_is_too_good_from_an_auc_of_97_hundredths_on(told: float, caught: bool) -> None:
    """Lists of one click among 100 candidates; the feature puts it so high that the AUC of each list is `told`."""
    size, lists = 101, 400
    place = np.arange(size) == round((1 - told) * 100)  # how many candidates stand above the clicked one
    requests = pl.DataFrame(
        {
            "request_id": np.repeat(np.arange(lists), size),
            "label": np.tile(place, lists).astype(np.int64),
            "feature": np.tile(-np.arange(size, dtype=np.float32), lists),
        }
    ).with_columns(feature=pl.col("feature") + pl.col("request_id") * 1000.0)
    found = list(telling_features(requests.select("request_id", "label"), requests.select("feature")))
    assert [fault.column for fault in found] == (["feature"] if caught else [])


def test_a_kernel_that_counts_up_to_as_of_is_caught_by_the_features_it_spoils(line, monkeypatch) -> None:
    monkeypatch.setattr(Reads, "bounds", one_row_too_many)
    for sections in ({"time": {"feedback_delay": "0s"}}, {}, {"time": {"freshness": "1d"}}):
        with pytest.raises(DataError, match="when what becomes known only at `as_of` or later is shuffled") as caught:
            check(line.dataset, changed(line.settings, **sections))
        spoilt = {row.split(": ")[1] for row in str(caught.value).splitlines() if "is shuffled" in row}
        for name in (
            "click_rate_item_over_category",
            "click_count_item_6h",
            "view_count_item",
            "hours_since_click_user",
            "click_rate_user_category_over_category",
        ):
            assert f"features.{name}" in spoilt, (name, sections)
        assert not spoilt & {
            "features.item_age_hours",
            "features.hour",
            "features.weekday",
            "features.list_size",
            "features.item_category",
        }


def test_the_kernel_is_caught_end_to_end(line, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Reads, "bounds", one_row_too_many)
    with pytest.raises(DataError, match=r"features\.click_count_user_item"):
        train(line.dataset, changed(line.settings, time={"feedback_delay": "0s"}), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def logged(case) -> tuple[Dataset, list[pl.DataFrame]]:
    """Put the lists that are asked about into the log, as those of `train` are."""
    asked = case.candidates.with_columns(pl.col("request_id") + 1000, label=pl.lit(0, pl.Int64))
    asked = pl.concat([asked, case.dataset.requests], how="diagonal")
    lists = asked.filter(pl.col("request_id") >= 1000).partition_by("request_id", maintain_order=True)
    return replace(case.dataset, requests=asked), lists


def build(candidates: pl.DataFrame, dataset: Dataset, time: TimeSettings) -> pl.DataFrame:
    log = Log(behaviour_of(dataset, Tools.settings.kept), time)
    return build_features(Asked.of(candidates, log), Tools.settings, None)


def spoilt(candidates: pl.DataFrame, dataset: Dataset, time: TimeSettings, leak: str) -> pl.DataFrame:
    """Compute features under the wrong clocks of the builder's tests."""
    if leak == "labels at once":
        time = time.model_copy(update={"feedback_delay": timedelta(0)})
    if leak == "clicks at once":
        time = time.model_copy(update={"click_delay": timedelta(0)})
    if leak == "moments of clicks":
        dataset = replace(dataset, requests=dataset.requests.drop("clicked_at"))
    if leak == "today":
        time = time.model_copy(update={"freshness": "live"})
    if leak == "events when they happen":
        dataset = replace(dataset, events=dataset.events.drop("known_at"))
    if leak == "midnight of another zone":
        time = time.model_copy(update={"zone": "UTC" if time.zone != "UTC" else "Africa/Cairo"})
    return build(candidates, dataset, time)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_shuffled_futures_find_nothing_on_random_logs(data) -> None:
    case = data.draw(Tools.case())
    dataset, asked = logged(case)
    compute = partial(build, time=case.time)
    assert not list(future_features(dataset, asked, case.time, compute, data.draw(st.integers(0, 99))))


LEAKS = ["labels at once", "clicks at once", "moments of clicks", "today", "events when they happen"]


@pytest.mark.parametrize("leak", [*LEAKS, "midnight of another zone"])
def test_shuffled_futures_find_a_wrong_clock(leak: str) -> None:
    found = []

    @settings(max_examples=30, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    @given(data=st.data())
    def ask(data):
        case = data.draw(Tools.case())
        dataset, asked = logged(case)
        compute = partial(spoilt, time=case.time, leak=leak)
        names = [fault.column for fault in future_features(dataset, asked, case.time, compute, 0)]
        found.extend(names)
        if leak == "events when they happen":  # clicks are added to every candidate in every log
            assert "click_count_item" in names

    ask()
    assert {"click_count_item", "click_count_user", "click_rate_item"} & set(found)


def test_every_request_that_changes_is_counted(line) -> None:
    windows = place_windows(line.dataset.requests, line.settings.windows)
    asked = draw_requests(line.dataset, windows, seed=1)

    def compute(candidates: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
        late = dataset.requests["timestamp"].max()
        return candidates.select(past=pl.lit(1.0), latest=pl.lit(late), size=pl.len() + pl.lit(0.0))

    (fault,) = future_features(line.dataset, asked, TimeSettings(), compute, 0)
    assert (fault.table, fault.column, fault.severity) == ("features", "latest", "error")
    assert fault.rows == round(8 * fault.share) > 4
    assert len(fault.examples) == 3


def test_requests_are_spread_over_the_windows_that_are_learnt_from_and_judged(line) -> None:
    windows = place_windows(line.dataset.requests, line.settings.windows)
    asked = draw_requests(line.dataset, windows, seed=1)
    moments = [rows["timestamp"][0] for rows in asked]
    assert len(asked) == 8
    assert moments == sorted(moments)
    assert windows.cuts[1] <= moments[0] < windows.cuts[2]
    assert windows.cuts[3] <= moments[-1] < windows.cuts[4]
    shuffled = replace(line.dataset, requests=line.dataset.requests.sample(fraction=1, shuffle=True, seed=2))
    assert all(one.equals(other) for one, other in zip(asked, draw_requests(shuffled, windows, 1), strict=True))
    assert [rows["timestamp"][0] for rows in draw_requests(line.dataset, windows, 2)] != moments


def test_users_who_clicked_are_preferred_and_others_taken_where_there_is_none(line) -> None:
    windows = place_windows(line.dataset.requests, line.settings.windows)
    one = line.dataset.requests["user_id"][0]
    quiet = with_column(line.dataset, label=pl.when(pl.col("user_id") == one).then("label").otherwise(0))
    quiet = replace(quiet, events=quiet.events.clear())
    assert {rows["user_id"][0] for rows in draw_requests(quiet, windows, 1)} == {one}
    silent = with_column(quiet, label=pl.lit(0))
    assert len({rows["user_id"][0] for rows in draw_requests(silent, windows, 1)}) > 1


def test_a_context_that_points_at_what_was_clicked_is_named_unless_vouched_for(line) -> None:
    requests = line.dataset.requests
    category = requests.join(line.dataset.items, on="item_id", how="left", maintain_order="left")["category"]
    landing = requests.with_columns(category=category).with_columns(
        landing=pl.col("category").filter(CLICKED).first().over("request_id").fill_null("none")
    )
    dataset = replace(line.dataset, requests=landing.drop("category"))
    check(dataset, line.settings)
    with pytest.raises(
        DataError, match=r"error: requests\.landing: points at what was clicked: together with item cat"
    ):
        check(dataset, changed(line.settings, features={"context": ["device", "landing"]}))
    check(dataset, changed(line.settings, features={"context": ["device", "landing"], "vouched": ["landing"]}))


def test_clicks_that_were_logged_under_another_kind_before_the_list_are_named(line) -> None:
    repeated = clicks_before(line.dataset).events.tail(int(line.dataset.requests["label"].sum()))
    opened = pl.concat([line.dataset.events, repeated.with_columns(event=pl.lit("open"))], how="diagonal_relaxed")
    dataset = replace(line.dataset, events=opened)
    check(dataset, line.settings)
    with pytest.raises(DataError, match=r"error: events\.open: events of this kind just before a list tell which"):
        check(dataset, changed(line.settings, features={"events": ["view", "open"]}))
    check(dataset, changed(line.settings, features={"events": ["view", "open"], "vouched": ["open"]}))


def test_sampled_lists_are_not_refused_for_what_is_chosen_again_and_again(line) -> None:
    dataset = clicks_before(line.dataset)
    check(replace(dataset, about=About(sampled=True)), line.settings)
