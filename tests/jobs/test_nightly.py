"""Nightly lists through the whole line: training, evaluation, score, comparison and serving mean the same by them."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.data.clock import SHOWN_UNTIL
from recsys.data.windows import WINDOWS
from recsys.errors import DataError, SettingsError
from recsys.evaluation.evaluation import AGELESS, PRODUCT, evaluate_rankers
from recsys.evaluation.reports.evaluation_report import to_text
from recsys.features.plan import AGE_COLUMNS
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.jobs.compare import compare
from recsys.jobs.evaluate import evaluate
from recsys.jobs.features import show_features, write_features
from recsys.jobs.score import score
from recsys.jobs.train import train
from recsys.model.folder import Model
from recsys.model.prepared import prepare
from recsys.settings import Settings

pytestmark = pytest.mark.slow
LEARNT = ("ranker.txt", "behaviour.txt", "calibration.json", "user_tower.safetensors", "encoder/heads.safetensors")


def changed(settings: Settings, **sections) -> Settings:
    content = settings.model_dump(mode="json")
    for name, values in sections.items():
        content[name] |= values
    return Settings.model_validate(content)


@pytest.fixture(scope="module")
def settings(small_world, small_settings) -> Settings:
    first = small_world.dataset.requests["timestamp"].min().replace(hour=0, minute=0, second=0, microsecond=0)
    cuts = [(first + timedelta(days=day)).isoformat() for day in (0, 1, 2, 3, 6)]
    time = {"freshness": "nightly", "made_at": "04:00", "zone": "Europe/Copenhagen"}
    return changed(small_settings, time=time, windows={"fractions": None, "cuts": cuts}, features={"context": []})


@pytest.fixture(scope="module")
def dataset(small_world):
    return small_world.dataset.plain()


@pytest.fixture(scope="module")
def nightly(dataset, settings, tmp_path_factory):
    """A model of nightly lists: its folder, and its judgement."""
    folder = tmp_path_factory.mktemp("nightly") / "model"
    return folder, train(dataset, settings, folder)


@pytest.fixture(scope="module")
def judged(nightly, dataset, tmp_path_factory):
    """What `evaluate` says and writes."""
    lists = tmp_path_factory.mktemp("lists") / "lists"
    return evaluate(nightly[0], dataset, lists=lists), lists


@pytest.fixture(scope="module")
def last(judged):
    """The lists of the last day: candidates, and their labels."""
    candidates = pl.read_parquet(judged[1])
    candidates = candidates.filter(pl.col("timestamp") == pl.col("timestamp").max())
    labels = pl.read_parquet(judged[1].with_name("lists-labels"))
    return candidates, labels


def cut(dataset, making):
    """The tables as they were at a making."""
    known_at = pl.max_horizontal("timestamp", *{"known_at"} & {*dataset.events.columns})
    return replace(
        dataset,
        items=dataset.items.filter(pl.col("available_at").is_null() | (pl.col("available_at") <= making)),
        events=dataset.events.filter(known_at < making),
        requests=dataset.requests.filter(pl.col("timestamp") < making),
    )


def rankings(out) -> pl.DataFrame:
    return pl.read_parquet(out / "rankings")


def test_windows_hold_whole_days_and_evaluate_gives_the_figures_of_training(nightly, judged) -> None:
    folder, judgement = nightly
    windows = Model.load(folder).windows
    assert {(cut.hour, cut.minute) for cut in windows.cuts} == {(3, 0)}  # 04:00 in Copenhagen
    assert judged[0].to_json() == judgement.evaluation.to_json() == json.loads((folder / "metrics.json").read_text())
    lists = judgement.window.requests
    assert lists.select("user_id", "timestamp").unique().height == lists["request_id"].n_unique()
    assert lists["timestamp"].n_unique() == 2
    assert (lists[SHOWN_UNTIL] >= lists["timestamp"]).all()


def test_what_was_not_out_is_told_with_its_share_of_the_clicks(nightly, judged, dataset) -> None:
    found, window = judged[0].not_out, nightly[1].window.requests
    start, end = Model.load(nightly[0]).windows.bounds("test")
    # All that the users of the window's days were shown, each item once a day, by plain joins.
    day = (pl.col("timestamp") - timedelta(hours=3)).dt.truncate("1d") + timedelta(hours=3)
    shown = dataset.requests.filter(pl.col("timestamp").is_between(start, end, closed="left")).with_columns(made=day)
    shown = shown.group_by("user_id", "made", "item_id").agg(pl.col("label").max()).join(dataset.items, on="item_id")
    late = shown.filter(pl.col("available_at") > pl.col("made"))
    assert found.candidates == len(late) > 20
    assert len(window) == len(shown) - len(late)
    assert (found.clicks, found.of_clicks) == ((late["label"] > 0).sum(), (shown["label"] > 0).sum())
    said = f"{found.clicks:,} of {found.of_clicks:,} clicks ({100 * found.share:.1f} %) fell on them."
    assert said in " ".join(to_text(judged[0]).split())
    page = (nightly[0] / "report.html").read_text()
    assert said in page
    assert "nightly, made at 04:00 Europe/Copenhagen" in page


def test_every_feature_is_of_the_making(nightly, dataset) -> None:
    table, lists = nightly[1].window.examples.table.frame(), nightly[1].window.requests
    assert set(table["hour"]) == {4}
    assert table["list_size"].to_list() == lists.select(pl.len().over("request_id")).to_series().to_list()
    ages = lists.join(dataset.items, on="item_id", how="left", maintain_order="left").select(
        (pl.col("timestamp") - pl.col("available_at")).dt.total_microseconds() / 3.6e9
    )
    np.testing.assert_allclose(table["item_age_hours"].to_numpy(), ages.to_series().to_numpy(), rtol=1e-6)
    assert table["item_age_hours"].min() >= 0


def test_score_from_tables_cut_at_the_making_ranks_exactly_what_evaluate_judged(
    nightly, judged, last, dataset, tmp_path
) -> None:
    candidates, labels = last
    known = cut(dataset, candidates["timestamp"][0])
    assert len(known.requests) < len(dataset.requests)
    assert len(known.items) < len(dataset.items)
    done = score(nightly[0], known, candidates, tmp_path / "out")
    assert done.not_out.candidates == 0
    ranked = rankings(tmp_path / "out").join(labels.drop("user_id"), on=["request_id", "item_id"])
    of_last = nightly[1].window.requests.with_columns(both=nightly[1].scores["both"])
    of_last = of_last.filter(pl.col("timestamp") == candidates["timestamp"][0])
    asked = of_last.join(ranked.select("request_id", "item_id", "score"), on=["request_id", "item_id"])
    assert len(asked) == len(of_last) == len(ranked) > 100
    assert asked["score"].equals(asked["both"])
    expected = evaluate_rankers(of_last, {"both": of_last["both"].to_numpy()}, {}, "test")
    assert evaluate_rankers(ranked, {"both": ranked["score"].to_numpy()}, {}, "test") == expected
    served = Ranker.load(nightly[0], state=tmp_path / "out" / "state").rank(candidates)
    assert_frame_equal(served, rankings(tmp_path / "out"), check_exact=True)


def test_the_judgement_of_one_day_is_that_of_what_score_wrote_of_it(dataset, settings, tmp_path) -> None:
    cuts = settings.model_dump(mode="json")["windows"]["cuts"]
    until = (settings.windows.cuts[3] + timedelta(days=1)).isoformat()
    text = {"epochs": 0, "head_epochs": 1}
    one_day = changed(settings, windows={"cuts": [*cuts[:4], until]}, text=text)
    judgement = train(dataset, one_day, tmp_path / "model")
    evaluation = evaluate(tmp_path / "model", dataset, lists=tmp_path / "lists")
    assert evaluation == judgement.evaluation
    candidates = pl.read_parquet(tmp_path / "lists")
    (making,) = candidates["timestamp"].unique()
    score(tmp_path / "model", cut(dataset, making), candidates, tmp_path / "out")
    labels = pl.read_parquet(tmp_path / "lists-labels").drop("user_id")
    ranked = rankings(tmp_path / "out").join(labels, on=["request_id", "item_id"])
    judged = evaluate_rankers(ranked, {"both": ranked["score"].to_numpy()}, {}, "test", one_day.seed)
    assert judged.overall.rankers["both"] == evaluation.overall.rankers["both"]


def test_what_happens_after_the_making_changes_no_figure_and_no_ranking(nightly, judged, last, dataset, tmp_path):
    making = last[0]["timestamp"][0]
    later = pl.col("timestamp") >= making
    # The lists that are judged stay; when in the day and how they were shown changes, and all else that follows.
    lists = dataset.requests.filter(later).select(pl.col("request_id").unique())
    order = dataset.requests.filter(later).select("request_id", "timestamp").unique().sort("timestamp", "request_id")
    moved = order.select("request_id", moved=pl.lit(making) + pl.duration(minutes=pl.int_range(pl.len())))
    assert len(moved) == len(lists)
    requests = dataset.requests.join(moved, on="request_id", how="left", maintain_order="left").with_columns(
        timestamp=pl.coalesce("moved", "timestamp"), device=pl.lit("unheard of")
    )
    after = dataset.events.filter(later)
    assert len(after) > 50
    strange = after.with_columns(
        user_id=after["user_id"].shuffle(seed=1), item_id=after["item_id"].shuffle(seed=2), event=pl.lit("click")
    )
    other = replace(
        dataset,
        requests=requests.drop("moved"),
        events=pl.concat([dataset.events.filter(~later), strange, strange], how="vertical_relaxed"),
    )
    assert evaluate(nightly[0], other).to_json() == judged[0].to_json()
    turned = dataset.requests.with_columns(label=pl.when(later).then(1 - pl.col("label")).otherwise("label"))
    for number, tables in enumerate((dataset, other, replace(dataset, requests=turned), cut(dataset, making))):
        score(nightly[0], tables, last[0], tmp_path / str(number))
        assert_frame_equal(rankings(tmp_path / str(number)), rankings(tmp_path / "0"), check_exact=True)


def test_labels_that_are_known_only_after_a_window_are_not_learnt_from(nightly, dataset, settings, tmp_path) -> None:
    windows, delay = Model.load(nightly[0]).windows, settings.time.feedback_delay
    slow = changed(settings, time={"feedback_delay": "8h"}, text={"epochs": 0, "head_epochs": 1})
    train(dataset, slow, tmp_path / "whole")
    end = windows.learnt_until
    late = pl.col("timestamp") + timedelta(hours=8) >= end
    turned = dataset.requests.with_columns(label=pl.when(late).then(1 - pl.col("label")).otherwise("label"))
    inside = dataset.requests.filter(late, pl.col("timestamp") < end)
    assert inside.height > 30
    assert delay < timedelta(hours=8)
    train(replace(dataset, requests=turned), slow, tmp_path / "turned")
    for name in LEARNT:
        assert (tmp_path / "turned" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    prepared = prepare(dataset, slow)
    for window in WINDOWS[:3]:
        learnt = windows.of(prepared.made.lists, window, slow.time.feedback_delay, slow.time.shown)
        assert 0 < len(learnt) < len(windows.of(prepared.made.lists, window))


def test_a_request_is_ranked_as_the_list_made_before_it_without_what_was_not_out(nightly, last, dataset, tmp_path):
    folder, making = nightly[0], last[0]["timestamp"][0]
    ranker, candidates = Ranker.load(folder), last[0]
    expected = ranker.rank(candidates)
    spread = pl.int_range(pl.len()).over("request_id", mapping_strategy="explode") * 0
    hours = pl.col("request_id").rank("dense").cast(pl.Int64) % 24 + spread
    during = candidates.with_columns(timestamp=pl.lit(making) + pl.duration(hours=hours))
    assert during["timestamp"].n_unique() > 10
    assert_frame_equal(ranker.rank(during), expected, check_exact=True)
    late = dataset.items.filter(pl.col("available_at") > making)["item_id"].head(3)
    more = candidates.select("request_id", "user_id", "timestamp").unique().join(late.to_frame(), how="cross")
    wider = pl.concat([candidates, more.select(candidates.columns)])
    assert_frame_equal(ranker.rank(wider), expected, check_exact=True)
    scores = ranker.score(wider)
    assert scores.null_count() == len(more)
    assert scores.head(len(candidates)).equals(ranker.score(candidates))
    assert np.isnan(ranker.score(wider.to_pandas()).to_numpy()).sum() == len(more)
    assert ranker.rank(more).is_empty()
    labelled = wider.with_columns(label=pl.when(pl.col("item_id").is_in(late.implode())).then(1).otherwise(0))
    done = score(folder, dataset, labelled, tmp_path / "out")
    assert (done.candidates, done.not_out.candidates, done.not_out.share) == (len(candidates), len(more), 1.0)
    assert f"{len(more):,} of {len(more):,} clicks (100.0 %) fell on them." in done.in_words(tmp_path)
    written = json.loads((tmp_path / "out/manifest.json").read_text())
    assert written["counts"]["not_out"]["clicks"] == len(more)
    with pytest.raises(DataError, match=f"none of the {len(more)} candidates was out when its list was made, at 04:0"):
        score(folder, dataset, more, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_compare_asks_the_made_lists_of_models_baselines_and_scored_folders(nightly, judged, dataset, tmp_path):
    folder, evaluation = nightly[0], judged[0]
    of_model = compare("popularity", folder, dataset)
    for measure in ("nDCG@10", "AUC"):
        difference, means = of_model.comparison.overall[measure], evaluation.overall.rankers
        assert (difference.a, difference.b) == (means["popularity"][measure].mean, means["both"][measure].mean)
    score(folder, dataset, pl.read_parquet(judged[1]), tmp_path / "scored")
    of_scored = compare("popularity", tmp_path / "scored", dataset)
    assert of_scored.comparison.overall["nDCG@10"].a == of_model.comparison.overall["nDCG@10"].a
    assert of_scored.comparison.overall["nDCG@10"].requests == of_model.comparison.overall["nDCG@10"].requests
    for compared in (of_model, of_scored):
        assert compared.exhibits.facts["Lists"] == "nightly, made at 04:00 Europe/Copenhagen"
        assert any(f"of {evaluation.not_out.of_clicks:,} clicks" in note for note in compared.exhibits.notes)
        assert not any("does not answer" in warning for warning in compared.exhibits.warnings)
    with pytest.raises(SettingsError, match="no table has a column 'device' to group by; requests have request_id, us"):
        compare("popularity", folder, dataset, columns=["device"])


def test_a_model_that_knows_when_it_is_asked_is_compared_on_the_made_lists_if_it_can(
    nightly, dataset, settings, line, tmp_path
) -> None:
    with pytest.raises(
        SettingsError, match=r"reads 'device' of requests \(\[features\] context\), and the nightly lists"
    ):
        compare(line.model, nightly[0], dataset)
    live = changed(settings, time={"freshness": "live", "made_at": ""}, text={"epochs": 0, "head_epochs": 1})
    train(dataset, live, tmp_path / "live")
    found = [compare(*pair, dataset) for pair in ((tmp_path / "live", nightly[0]), (nightly[0], tmp_path / "live"))]
    one, other = (each.comparison.overall["AUC"] for each in found)
    assert (one.a, one.b, one.requests) == (other.b, other.a, other.requests)
    means = nightly[1].evaluation.overall
    assert (one.b, one.requests) == (means.rankers["both"]["AUC"].mean, other.requests)


def test_ages_that_are_read_from_first_showings_are_judged_with_and_without(dataset, settings, tmp_path) -> None:
    first = dataset.requests.group_by("item_id").agg(available_at=pl.col("timestamp").min())
    items = dataset.items.drop("available_at").join(first, on="item_id", how="left", maintain_order="left")
    shown = replace(dataset, items=items, about=replace(dataset.about, first_shown=True))
    quick = changed(settings, text={"epochs": 0, "head_epochs": 1})
    judgement = train(shown, quick, tmp_path / "model")
    assert list(judgement.scores)[-2:] == [PRODUCT, AGELESS]
    assert not np.array_equal(judgement.scores[PRODUCT], judgement.scores[AGELESS])
    evaluation = evaluate(tmp_path / "model", shown)
    assert evaluation == judgement.evaluation
    assert f"{PRODUCT}-{AGELESS}" in evaluation.overall.differences
    assert "before then nobody could know how old it would be" in " ".join(to_text(evaluation).split())
    ageless = Model.load(tmp_path / "model").ageless_ranker
    assert set(judgement.window.examples.table.columns) - set(ageless.contract.names) == {*AGE_COLUMNS}
    # Without ages every date of an item is as good as another one, as long as it is out.
    table = judgement.window.examples.table
    moved = FeatureRows.of(FeatureTable.of(table.frame().with_columns(pl.col(AGE_COLUMNS) * 7)))
    assert np.array_equal(ageless.score(moved.without(AGE_COLUMNS)), judgement.scores[AGELESS])
    for name, other in {"live": changed(quick, time={"freshness": "live", "made_at": ""}), "known": quick}.items():
        train(shown if name == "live" else replace(shown, about=dataset.about), other, tmp_path / name)
        assert not (tmp_path / name / "ageless.txt").exists()
        assert Model.load(tmp_path / name).rankers.keys() == {"behaviour", PRODUCT}


def test_the_feature_table_is_of_made_lists(nightly, dataset, settings, tmp_path) -> None:
    done = write_features(dataset, settings, tmp_path / "table")
    table = pl.read_parquet(tmp_path / "table" / "features")
    assert done.requests == table["request_id"].n_unique() == table.select("user_id", "timestamp").unique().height
    assert set(table["hour"]) == {4}
    assert "a list knows everything up to its making" in (tmp_path / "table/catalogue.html").read_text()
    request = table["request_id"][-1]
    assert "(freshness nightly)" in show_features(dataset, settings, str(request))
    inside = dataset.requests.filter(~pl.col("request_id").is_in(table["request_id"].unique().implode()))
    with pytest.raises(DataError, match="is one made list here|are one made list here, under the id of the first"):
        show_features(dataset, settings, str(inside["request_id"][-1]))
    assert nightly[0].exists()


def test_lists_are_written_under_every_freshness_and_never_over_others(line, tmp_path) -> None:
    evaluation = evaluate(line.model, line.dataset, "valid", tmp_path / "lists")
    candidates, labels = (pl.read_parquet(tmp_path / name) for name in ("lists", "lists-labels"))
    assert candidates.columns == ["request_id", "user_id", "timestamp", "item_id", "device"]
    assert labels.columns == ["request_id", "user_id", "item_id", "label"]
    score(line.model, line.dataset, candidates, tmp_path / "out")
    ranked = rankings(tmp_path / "out").join(labels.drop("user_id"), on=["request_id", "item_id"])
    again = evaluate_rankers(ranked, {"both": ranked["score"].to_numpy()}, {}, "valid", line.settings.seed)
    assert again.overall.rankers["both"] == evaluation.overall.rankers["both"]
    for taken in (tmp_path / "lists", tmp_path / "free"):
        (tmp_path / "free-labels").mkdir(exist_ok=True)
        (tmp_path / "free-labels" / "mine.txt").touch()
        with pytest.raises(DataError, match="exists|holds"):
            evaluate(line.model, line.dataset, lists=taken)
    assert not (tmp_path / "free").exists()


def test_data_of_which_nothing_was_out_says_so(dataset, settings, tmp_path) -> None:
    never = replace(dataset, items=dataset.items.with_columns(pl.col("available_at") + timedelta(days=900)))
    with pytest.raises(
        DataError, match=r"candidates of requests none was out when its list was made, at 04:00 Europe/"
    ):
        train(never, settings, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_window_of_less_than_a_day_says_so(dataset, settings, tmp_path) -> None:
    first = settings.windows.cuts[0]
    hours = (0, 24, 30, 32, 48)
    cuts = [(first + timedelta(hours=hour)).isoformat() for hour in hours]
    message = "the valid window, .* holds no request; .* nightly lists are made once a day, so a window needs a day"
    with pytest.raises(DataError, match=message):
        train(dataset, changed(settings, windows={"cuts": cuts}), tmp_path / "model")


def test_a_day_without_lists_is_a_day_less(dataset, settings) -> None:
    whole = prepare(dataset, settings).made.lists
    day = whole["timestamp"].unique().sort()[2]
    inside = pl.col("timestamp").is_between(day, day + timedelta(days=1), closed="left")
    fewer = prepare(replace(dataset, requests=dataset.requests.filter(~inside)), settings).made.lists
    assert_frame_equal(fewer, whole.filter(pl.col("timestamp") != day))
