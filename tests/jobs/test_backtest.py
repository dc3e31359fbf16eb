"""Nights of a small world: each as by hand from tables cut by hand, all together as `compare` says, whatever kills."""

import json
import logging
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys import backtest, compare, score, train
from recsys.data.importers.mapping import RequestsMapping
from recsys.data.importers.sampled import sample_lists
from recsys.data.tables import About, Dataset
from recsys.errors import DataError, SettingsError
from recsys.evaluation.comparison import Comparison
from recsys.jobs.backtest import Backtested
from recsys.jobs.nights import DAY
from recsys.jobs.work import alone
from recsys.manifest import read_manifest
from recsys.model.folder import Model
from recsys.settings import Settings
from recsys.world import WorldSettings, make_world
from recsys.world.calendar import START

pytestmark = pytest.mark.slow

BEGIN, NIGHTS = START + 2 * DAY + timedelta(hours=20), 5  # in the evening, when lists wait for their labels
MINUTES = timedelta(minutes=10)


def changed(settings: Settings, **sections) -> Settings:
    content = settings.model_dump(mode="json")
    for name, values in sections.items():
        content[name] |= values
    return Settings.model_validate(content)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    sizes = WorldSettings(seed=3, items=120, users=40, days=8, history_days=3, requests=600)
    return make_world(sizes).dataset.plain()


@pytest.fixture(scope="module")
def config(small_settings: Settings) -> Settings:
    quick = {"epochs": 0, "head_epochs": 0, "lexicon": 0}
    windows = {"fractions": [0.2, 0.6, 0.2, 0.0]}
    features = {"families": ["popularity", "affinity"], "declarations": [], "context": [], "events": []}
    ranker = {"rounds": 4}
    return changed(small_settings, text=quick, windows=windows, features=features, ranker=ranker)


@pytest.fixture(scope="module")
def other(config: Settings) -> Settings:
    return changed(config, features={"families": ["popularity"], "windows": ["6h"], "affinity": []})


@pytest.fixture(scope="module")
def tested(dataset, config, other, tmp_path_factory) -> tuple[Path, Backtested]:
    out = tmp_path_factory.mktemp("tested") / "out"
    return out, backtest(dataset, config, BEGIN, NIGHTS, out, other)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(comparison: Comparison) -> str:
    """All that a comparison says, whatever the names of the two."""
    return json.dumps(replace(comparison, a="A", b="B").to_json())


def cut_by_hand(dataset: Dataset, moment: datetime) -> Dataset:
    """Tables of a world, which know no version, no late event and no moment of a click, row by row."""
    lists = [row for row in dataset.requests.to_dicts() if row["timestamp"] < moment]
    for row in lists:
        row["label"] = row["label"] if row["timestamp"] + MINUTES < moment else None
    events = [row for row in dataset.events.to_dicts() if max(row["timestamp"], row.get("known_at") or START) < moment]
    return replace(
        dataset,
        requests=pl.DataFrame(lists, dataset.requests.schema),
        events=pl.DataFrame(events, dataset.events.schema),
    )


@pytest.mark.parametrize(("night", "side"), [(0, "a"), (3, "b")])
def test_a_model_of_a_night_is_that_of_train_on_tables_cut_by_hand(
    dataset, config, other, tested, tmp_path, night, side
) -> None:
    moment = BEGIN + night * DAY
    cut = cut_by_hand(dataset, moment)
    assert cut.requests["label"].null_count()
    cut.write(tmp_path / "data")
    train(Dataset.read(tmp_path / "data"), other if side == "a" else config, tmp_path / "model")
    assert files(tested[0] / f"models/{moment:%F}-{side}") == files(tmp_path / "model")


def test_a_night_ranks_the_lists_of_its_day_as_score_does(dataset, tested, tmp_path) -> None:
    begins, out = BEGIN + 2 * DAY, tested[0]
    lists = dataset.requests.filter(pl.col("timestamp").is_between(begins, begins + DAY, closed="left"))
    candidates = lists.drop("label", "position", "propensity", strict=False)
    model = out / f"models/{begins:%F}-b"
    score(model, cut_by_hand(dataset, begins + DAY), candidates, tmp_path / "scored")
    assert files(out / f"nights/{begins:%F}/b") == files(tmp_path / "scored")
    assert Model.load(model).windows.learnt_until <= begins


def test_the_verdict_is_that_of_compare_on_the_joined_rankings(dataset, tested) -> None:
    out, found = tested
    again = compare(out / "a", out / "b", dataset).comparison
    assert numbers(again) == numbers(found.compared.comparison)
    written = json.loads((out / "backtest.json").read_text())
    assert written["pooled"]["rule"] == again.rule.replace(str(out / "a"), "A").replace(str(out / "b"), "B")
    assert written == json.loads(json.dumps(found.to_json()))
    assert read_manifest(out, "")["nights"] == NIGHTS
    assert read_manifest(out / "b", "")["learnt_until"] == BEGIN.isoformat()


def test_nights_add_up_to_the_verdict_and_are_told(tested, read_page) -> None:
    out, found = tested
    whole, each = found.compared.comparison.overall["nDCG@10"], [night.overall["nDCG@10"] for night in found.nights]
    requests = sum(night.requests for night in each)
    assert requests == whole.requests
    assert sum(night.b * night.requests for night in each) / requests == pytest.approx(whole.b, abs=1e-12)
    text, page = found.to_text(100), read_page((out / "backtest.html").read_text()).text
    for night in found.nights:
        assert night.night.trained == {"a": night.night.name, "b": night.night.name}
        (line,) = [line for line in text.splitlines() if line.strip().startswith(night.night.name)]
        assert f"{night.overall['nDCG@10'].b:.4f}" in line
        assert night.night.name in page
    assert found.compared.comparison.rule in page


def test_the_same_call_again_computes_no_night_anew(dataset, config, other, tested, caplog) -> None:
    out, found = tested
    before = files(out)
    with caplog.at_level(logging.INFO):
        again = backtest(dataset, config, BEGIN, NIGHTS, out, other)
    assert "growing trees" not in caplog.text
    assert again.to_json() == found.to_json()
    assert files(out) == before


def test_what_was_asked_for_otherwise_is_refused_in_words_and_loses_nothing(dataset, config, other, tested) -> None:
    out, _ = tested
    before = files(out)
    fewer = replace(dataset, events=dataset.events.head(100))
    calls = [
        ((dataset, config, BEGIN, 4, out, other), "was begun with nights = 5, not 4; give the same again to go on"),
        ((dataset, config, BEGIN, NIGHTS, out, other, 7 * DAY), "was begun with retrain = 1d, not 7d; give the same"),
        ((dataset, other, BEGIN, NIGHTS, out, config), "was begun with other config, other against; give the same"),
        ((dataset, config, BEGIN, NIGHTS, out), "was begun with against given; give the same"),
        ((fewer, config, BEGIN, NIGHTS, out, other), "was begun with other data; give the same again to go on, or cho"),
    ]
    for call, told in calls:
        with pytest.raises(DataError, match=told):
            backtest(*call)
    with alone(out, ""), pytest.raises(DataError, match="another process is at work in .*out; wait for it or choose"):
        backtest(dataset, config, BEGIN, NIGHTS, out, other)
    assert files(out) == before


PROGRAM = """
import sys
from datetime import datetime
from recsys import Dataset, Settings, backtest
config, other = map(Settings.model_validate_json, sys.argv[2:4])
backtest(Dataset.read(sys.argv[1]), config, datetime.fromisoformat(sys.argv[4]), int(sys.argv[5]), sys.argv[6], other)
"""


def test_killed_five_times_the_folder_holds_the_same_bytes(dataset, config, other, tested, tmp_path) -> None:
    dataset.write(tmp_path / "data")
    out, dates = tmp_path / "out", [f"{BEGIN + night * DAY:%F}" for night in range(NIGHTS)]
    moments = [
        f"models/*{dates[0]}-a*/ranker.txt",
        f"nights/{dates[0]}/*b*/rankings",
        f"models/{dates[2]}-a.training",
        f"nights/{dates[3]}/*a*/state/items.parquet",
        "*b*/rankings",
    ]  # as soon as such a path is there, under the hidden name of what is not whole yet or under its own
    given = [str(tmp_path / "data"), config.model_dump_json(), other.model_dump_json()]
    words = [sys.executable, "-c", PROGRAM, *given, BEGIN.isoformat(), str(NIGHTS), str(out)]
    for moment in moments:
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list(out.glob(moment)):
            pass
        process.kill()
        assert process.wait() == -signal.SIGKILL, moment
        assert not (out / "manifest.json").exists()
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    assert files(out) == files(tested[0])


@pytest.fixture(scope="module")
def with_gaps(dataset) -> Dataset:
    """Nobody was shown a list on the second night, and nobody clicked on the fourth."""
    day = (pl.col("timestamp") - BEGIN).dt.total_days()
    requests = dataset.requests.filter(day != 1)
    return replace(dataset, requests=requests.with_columns(label=pl.when(day == 3).then(0).otherwise("label")))


def test_seldom_training_and_nights_that_say_nothing(with_gaps, config, tmp_path) -> None:
    out = tmp_path / "out"
    found = backtest(with_gaps, config, BEGIN, 4, out, retrain=3 * DAY, warm=True)
    assert [night.note for night in found.nights] == ["", "no list was shown", "", "no list was clicked"]
    assert sorted(path.name for path in (out / "models").iterdir()) == ["2025-03-05-b", "2025-03-08-b"]
    assert [night.night.trained.get("b") for night in found.nights] == [
        "2025-03-05", None, "2025-03-05", "2025-03-08",
    ]  # fmt: skip
    assert found.compared.comparison.a == "popularity"
    assert "no list was shown" in found.to_text()
    assert found.to_html().count("No list was clicked.") > 0
    moment = BEGIN + 3 * DAY
    train(cut_by_hand(with_gaps, moment), config, tmp_path / "warm", start=out / "models/2025-03-05-b")
    assert files(out / "models/2025-03-08-b") == files(tmp_path / "warm")


def test_nightly_lists_are_made_and_cuts_move_with_the_night(dataset, config, tmp_path) -> None:
    time = {"freshness": "nightly", "made_at": "04:00"}
    cuts = [(START + days * DAY).isoformat() for days in (10, 11, 12, 13, 13)]
    settings = changed(config, time=time, windows={"fractions": None, "cuts": cuts})
    begin, out = START + 4 * DAY + timedelta(hours=4), tmp_path / "out"
    found = backtest(dataset, settings, begin, 2, out)
    made = pl.read_parquet(out / "b/rankings").join(dataset.requests, on=["request_id", "item_id"], how="left")
    assert made.group_by("user_id", "request_id").len().height == made["request_id"].n_unique()
    assert [night.users for night in found.nights] == [night.requests for night in found.nights]
    for name, moment in (("2025-03-07", begin), ("2025-03-08", begin + DAY)):
        windows = Model.load(out / f"models/{name}-b").settings.windows
        assert windows.cuts == tuple(moment + days * DAY for days in (-3, -2, -1, 0, 0))
    again = compare("popularity", out / "b", dataset).comparison
    assert numbers(again) == numbers(found.compared.comparison)


def test_what_cannot_be_judged_or_learnt_is_told_before_anything_is_written(dataset, config, tmp_path) -> None:
    out, silent = tmp_path / "out", replace(dataset, requests=dataset.requests.with_columns(label=pl.lit(0)))
    cases = [
        (
            dataset,
            BEGIN + 90 * DAY,
            r"no list was shown in the 2 nights from 2025-06-03 20:00:00 to 2025-06-05 20:00:0",
        ),
        (
            silent,
            BEGIN,
            r"no list was clicked in the 2 nights from 2025-03-05 .* UTC, .*; lists run from .*; choose oth",
        ),
        (
            dataset,
            START,
            r"no list was shown before 2025-03-03 00:00:00 UTC, where the first night begins, so .*; begin l",
        ),
        (
            dataset,
            START + timedelta(hours=1),
            r"B cannot be trained for the night of 2025-03-03, on what was known before 2025-03-03 01:00:00 UTC: .*begin",
        ),
    ]
    for tables, begin, told in cases:
        with pytest.raises(DataError, match=told):
            backtest(tables, config, begin, 2, out)
        assert not out.exists()
    with pytest.raises(SettingsError, match="--against and --config hold the same settings"):
        backtest(dataset, config, BEGIN, 2, out, config)
    (out / "thesis").mkdir(parents=True)
    with pytest.raises(DataError, match="already exists and is not empty; choose another folder or remove it first"):
        backtest(dataset, config, BEGIN, 2, out)
    assert [path.name for path in out.iterdir()] == ["thesis"]


@pytest.fixture(scope="module")
def purchases(dataset: Dataset) -> Dataset:
    """The same clicks, told as purchases of a shop that logged no lists."""
    clicked = dataset.requests.filter(pl.col("label") > 0)
    events = clicked.select("user_id", "item_id", "timestamp", event=pl.lit("purchase"))
    lists = sample_lists(dataset.items, events, RequestsMapping(sampled_from="purchase", negatives=5))
    return Dataset(lists.items, lists.events, lists.requests, about=About(sampled=True))


def test_a_shop_without_lists_is_judged_on_those_that_its_nights_would_make(purchases, config, tmp_path) -> None:
    features = {"families": ["popularity", "field"], "compared": "field", "affinity": []}
    sources = {"sources": ["popular", "recent"], "size": 30, "learnt": 10}
    settings = changed(config, features=features, candidates=sources)
    other = changed(settings, candidates={"sources": ["popular", "covisited", "again"]})
    found = backtest(purchases, settings, BEGIN, 2, tmp_path / "out", other)
    assert found.compared.comparison.window == "made lists"
    pooled = compare(tmp_path / "out/a", tmp_path / "out/b", purchases, names=("A", "B"))
    assert pooled.to_json() == found.compared.to_json()
    measure = found.compared.comparison.overall["recall@10"]
    assert sum(each.requests for each in found.nights) == measure.requests
    weights = [each.requests for each in found.nights]
    means = [each.overall["recall@10"].b for each in found.nights]
    assert sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights) == pytest.approx(measure.b)
    for night in found.nights:
        ranked = pl.read_parquet(tmp_path / f"out/nights/{night.night.name}/b/rankings/*.parquet")
        assert ranked.group_by("request_id").len()["len"].max() <= 30
    assert "made lists" in found.to_html()


def test_a_shop_without_lists_is_held_against_what_is_popular(purchases, config, tmp_path) -> None:
    features = {"families": ["popularity", "field"], "compared": "field", "affinity": []}
    sources = {"sources": ["popular", "recent"], "size": 30, "learnt": 10}
    settings = changed(config, features=features, candidates=sources)
    found = backtest(purchases, settings, BEGIN, 1, tmp_path / "out")
    assert found.compared.comparison.window == "made lists"
    lists = pl.read_parquet(tmp_path / "out/nights/*/b/rankings/*.parquet")
    assert lists.group_by("request_id").len()["len"].max() <= 30
    again = compare("popularity", tmp_path / "out/b", purchases, names=("popularity", "B"))
    assert again.comparison.to_json() == found.compared.comparison.to_json()
