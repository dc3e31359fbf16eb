import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from recsys.data.checks import check_folder, check_tables
from recsys.data.tables import About, Dataset
from recsys.data.telling import FEWEST, MOST_ROWS, clicks_told_twice, judged_lists, telling, telling_columns
from recsys.world import WorldSettings, make_world

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
SAMPLE = Path(__file__).parents[2] / "data" / "sample"
EBNERD = Path(__file__).parents[3] / "shared" / "data" / "ebnerd_demo"


def lists(count: int = 300, size: int = 8, seed: int = 0) -> pl.DataFrame:
    """Lists of `size` candidates whose clicks are drawn at one in four."""
    random, rows = np.random.default_rng(seed), count * size
    request = np.repeat(np.arange(count), size)
    return pl.DataFrame(
        {
            "request_id": request,
            "user_id": request % 17,
            "timestamp": [START + timedelta(minutes=int(number)) for number in request],
            "item_id": (request * 13 + np.tile(np.arange(size), count) * 7) % 101,
            "label": (random.random(rows) < 0.25).astype(np.int8),
            "noise": random.random(rows),
            "device": np.array(["phone", "desk"])[request % 2],
        }
    )


def flipped(frame: pl.DataFrame, share: float) -> pl.Series:
    wrong = pl.Series(np.random.default_rng(5).random(len(frame)) < share)
    return frame.select(pl.when(wrong).then(1 - pl.col("label")).otherwise("label")).to_series()


def lines(frame: pl.DataFrame, recorded_after: tuple[str, ...] = ()) -> list[str]:
    return [str(fault) for fault in telling_columns(frame, recorded_after)]


CLICKED = pl.col("label") > 0
LEAKS = {
    "dwell that is null elsewhere": pl.when(CLICKED).then(pl.col("noise") * 60),
    "dwell that is 0 elsewhere": pl.when(CLICKED).then(pl.col("noise") * 60).otherwise(0.0),
    "dwell that is NaN elsewhere": pl.when(CLICKED).then(pl.col("noise") * 60).otherwise(math.nan),
    "null where clicked": pl.when(~CLICKED).then("noise"),
    "the label as text": pl.when(CLICKED).then(pl.lit("click")).otherwise(pl.lit("view")),
    "the label as a category": pl.when(CLICKED).then(pl.lit("b")).otherwise(pl.lit("a")).cast(pl.Categorical),
    "the label as a flag": CLICKED,
    "less where clicked": -pl.col("label") - pl.col("noise") / 2,
    "a code in the middle": pl.when(CLICKED).then(3).otherwise(pl.col("item_id") % 2 * 4 + 1),
    "the same code as a float": pl.when(CLICKED).then(3.0).otherwise(pl.col("item_id") % 2 * 4.0 + 1),
    "words of the outcome": pl.when(CLICKED)
    .then(pl.col("noise").gt(0.5).replace_strict({True: "m", False: "n"}))
    .otherwise(pl.col("noise").gt(0.5).replace_strict({True: "a", False: "z"})),
    "when it was clicked": pl.when(CLICKED).then("timestamp"),
    "seconds read as a list": pl.when(CLICKED).then(pl.concat_list("noise")),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_column_that_learnt_from_the_clicks_is_named_with_the_way_out_and_its_price(kind: str) -> None:
    (line,) = lines(lists().with_columns(LEAKS[kind].alias("seconds")))
    assert line.startswith("warning: requests.seconds: the column tells which candidates of a list were clicked, AUC ")
    assert line.endswith(
        "; keep it out of the features, or name 'seconds' in [features] vouched if it is known before the list is "
        "shown; if it is not, every figure is too good and the ranker fails where it serves"
    )


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
def test_a_label_copied_with_noise_is_named(share: float) -> None:
    frame = lists(600)
    (fault,) = telling_columns(frame.with_columns(copy=flipped(frame, share)))
    assert (fault.column, fault.severity, fault.leak) == ("copy", "warning", True)
    assert telling(judged_lists(frame.with_columns(copy=flipped(frame, share))), ["copy"])["copy"].auc == pytest.approx(
        1 - share, abs=0.02
    )


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.15])
def test_scores_of_honest_retrieval_pass(strength: float) -> None:
    frame = lists(1000)
    scores = pl.Series(np.random.default_rng(2).normal(size=len(frame))) + frame["label"] * strength
    assert telling_columns(frame.with_columns(retrieval_score=scores)) == []
    assert 0.6 < telling(judged_lists(frame.with_columns(score=scores)), ["score"])["score"].auc < 0.81


def test_what_is_the_same_for_a_whole_list_tells_nothing() -> None:
    total = pl.col("label").sum().over("request_id")
    assert telling_columns(lists().with_columns(clicks_of_the_list=total, page=total.cast(pl.String))) == []


def test_columns_of_fixed_meaning_and_those_that_the_importer_declares_are_left_out() -> None:
    frame = lists().with_columns(position=2 - pl.col("label"), clicks=pl.col("label"), seconds=pl.col("label") * 30)
    assert telling_columns(frame, ("seconds",)) == []
    assert [fault.column for fault in telling_columns(frame)] == ["seconds"]


def test_an_empty_table_and_missing_ids_and_labels_are_left_to_other_rules() -> None:
    frame = lists().with_columns(copy=pl.col("label"))
    assert telling_columns(frame.clear()) == []
    holes = frame.with_columns(pl.when(pl.int_range(pl.len()) % 8 > 1).then(pl.col("label", "request_id")))
    assert [fault.column for fault in telling_columns(holes)] == ["copy"]


@pytest.mark.parametrize(
    "ids",
    [
        pl.col("label").cast(pl.Int64) * 1000 + pl.col("item_id"),
        -pl.col("label").cast(pl.Int64) * 1000 + pl.col("item_id") + 2**62,  # beyond what a float can hold
        pl.when(CLICKED).then(pl.lit("c-")).otherwise(pl.lit("n-")) + pl.col("item_id").cast(pl.String),
    ],
)
def test_ids_that_hold_the_label_are_named(ids: pl.Expr) -> None:
    frame = lists().with_columns(item_id=ids)
    (fault,) = telling_columns(frame)
    assert (fault.column, fault.severity, fault.leak) == ("item_id", "warning", True)
    assert "the id tells which candidates" in fault.what
    assert fault.fix.startswith("write ids that say nothing of the outcome, or name 'item_id' in [features] vouched")


def test_the_order_of_rows_is_a_note_because_nothing_reads_it() -> None:
    frame = lists().sort("request_id", -pl.col("label"))
    (fault,) = telling_columns(frame)
    assert (fault.table, fault.column, fault.severity, fault.leak) == ("requests", "", "note", False)
    assert "the order of rows tells which candidates" in fault.what


@pytest.mark.parametrize(("count", "named"), [(FEWEST - 1, 0), (FEWEST, 1)])
def test_a_verdict_needs_some_lists_with_a_click_and_without(count: int, named: int) -> None:
    frame = lists(200).with_columns(
        label=(pl.int_range(pl.len()) % 8 == 0).cast(pl.Int8) * (pl.col("request_id") < count)
    )
    shuffled = frame.with_columns(copy="label").sample(fraction=1, shuffle=True, seed=1)
    assert [fault.column for fault in telling_columns(shuffled)].count("copy") == named


def test_the_order_of_rows_does_not_decide_what_is_drawn() -> None:
    frame = lists(3000)
    drawn = judged_lists(frame, seed=4)
    assert len(drawn) <= MOST_ROWS
    assert drawn["request_id"].n_unique() == MOST_ROWS // 8
    shuffled = judged_lists(frame.sample(fraction=1, shuffle=True, seed=1), seed=4)
    assert shuffled.sort("request_id", "item_id").equals(drawn.sort("request_id", "item_id"))
    assert not judged_lists(frame, seed=5)["request_id"].equals(drawn["request_id"])
    long = judged_lists(lists(40, 3000))
    assert long["request_id"].n_unique() == FEWEST  # whole, though they are more rows than asked for
    assert long.group_by("request_id").len()["len"].unique().to_list() == [3000]


@pytest.mark.slow
def test_the_measure_is_the_mean_auc_of_scikit_learn_in_the_better_direction() -> None:
    frame = lists(200, seed=3).with_columns(
        rough=(pl.col("noise") * 5).round(), down=-pl.col("noise") - pl.col("label") / 4
    )
    drawn = judged_lists(frame)
    found = telling(drawn, ["rough", "down"])
    for name, judgement in found.items():
        aucs = np.array([roc_auc_score(part["label"] > 0, part[name]) for part in drawn.partition_by("request_id")])
        auc = max(aucs.mean(), 1 - aucs.mean())
        assert judgement.auc >= auc - 1e-12
        if name == "down":  # the rough one may be told better by its values one by one
            assert judgement.auc == pytest.approx(auc)
            assert judgement.least == pytest.approx(auc - 2 * aucs.std(ddof=1) / math.sqrt(len(aucs)))


def test_rates_of_values_come_from_other_lists() -> None:
    frame = lists(300).with_columns(alone=pl.int_range(pl.len()).cast(pl.String).shuffle(seed=1))
    assert telling(judged_lists(frame), ["alone"])["alone"].auc == pytest.approx(0.5, abs=0.03)


def event_rows(clicked: pl.DataFrame, later: timedelta) -> pl.DataFrame:
    return clicked.select("user_id", "item_id", pl.col("timestamp") + later, event=pl.lit("click"))


@pytest.mark.parametrize("minutes", [-30, -1, 0, 9, 30])
def test_clicks_of_lists_that_are_events_too_are_counted(minutes: int) -> None:
    frame = lists()
    clicked = frame.filter(pl.col("label") > 0).head(100)
    (fault,) = clicks_told_twice(event_rows(clicked, timedelta(minutes=minutes)), frame)
    assert (fault.table, fault.column, fault.severity, fault.rows) == ("events", "user_id + item_id", "warning", 100)
    assert fault.examples[0] == f"'{clicked['user_id'][0]} + {clicked['item_id'][0]}'"
    assert "within 30 minutes of the list" in fault.what


def test_other_clicks_and_other_events_are_not() -> None:
    frame = lists(100)
    frame = frame.with_columns(user_id=pl.col("request_id"))  # nobody is shown an item twice
    clicked = frame.filter(pl.col("label") > 0)
    same = event_rows(clicked, timedelta(0))
    assert not list(clicks_told_twice(event_rows(clicked, timedelta(minutes=31)), frame))
    assert not list(clicks_told_twice(same.with_columns(event=pl.lit("share")), frame))
    assert not list(clicks_told_twice(event_rows(frame.filter(pl.col("label") == 0), timedelta(0)), frame))
    assert not list(clicks_told_twice(same.clear(), frame))
    narrow = same.with_columns(pl.col("user_id").cast(pl.UInt32), pl.col("item_id").cast(pl.Int16))
    assert next(clicks_told_twice(narrow, frame)).rows == len(clicked)


def test_a_few_second_clicks_are_what_people_do() -> None:
    frame = lists()
    (fault,) = clicks_told_twice(event_rows(frame.filter(pl.col("label") > 0).head(5), timedelta(minutes=5)), frame)
    assert (fault.severity, fault.rows) == ("note", 5)


@pytest.mark.parametrize("name", ["request_id", "user_id", "timestamp", "item_id", "label", "event"])
@pytest.mark.parametrize("value", [None, "x", 1.5])
def test_columns_that_cannot_be_read_are_left_to_other_rules(name: str, value: object) -> None:
    frame = lists()
    clicked = event_rows(frame.filter(pl.col("label") > 0), timedelta(0))
    items = pl.DataFrame({"item_id": range(101), "title": [f"title {k}" for k in range(101)]})
    tables = {"events": clicked, "requests": frame.with_columns(copy="label")}
    tables = {key: table.with_columns(pl.lit(value).alias(name)) for key, table in tables.items()}
    assert check_tables(Dataset(items, **tables)).faults


def test_check_says_so_of_a_folder_and_train_of_what_is_used(tmp_path: Path) -> None:
    world = make_world(WorldSettings(seed=3, items=150, users=40, days=3, history_days=2, requests=300)).dataset
    requests = world.requests.with_columns(seconds=pl.col("label") * 30, declared=pl.col("label") * 30)
    dataset = replace(world, requests=requests, about=About("test", (), ("declared",)))
    dataset.write(tmp_path / "data")
    told = check_folder(tmp_path / "data")
    assert [fault.column for fault in told.faults if fault.leak] == ["seconds"]
    assert told.ok
    assert told == check_tables(dataset)


@pytest.mark.parametrize("seed", range(3))
def test_the_simulated_world_passes(seed: int) -> None:
    world = make_world(WorldSettings(seed=seed, items=200, users=60, days=5, history_days=3, requests=700))
    faults = check_tables(world.dataset).faults
    assert not [fault for fault in faults if fault.leak or "order of rows" in fault.what or fault.severity == "warning"]


@pytest.mark.parametrize("folder", [SAMPLE, EBNERD], ids=["sample", "ebnerd"])
def test_data_as_shipped_pass(folder: Path) -> None:
    if not folder.is_dir():
        pytest.skip("the EB-NeRD demo bundle is not here")
    from recsys.data.importers import read_ebnerd

    dataset = Dataset.read(folder) if folder == SAMPLE else read_ebnerd(folder)
    assert telling_columns(dataset.requests) == []
    assert [fault.severity for fault in clicks_told_twice(dataset.events, dataset.requests)] in ([], ["note"])


def test_a_value_that_only_clicked_rows_have_is_suspicious_however_few_have_one() -> None:
    random = np.random.default_rng(4)
    lists = 300
    frame = pl.DataFrame({"request_id": np.repeat(np.arange(lists), 8), "label": np.tile([1] + [0] * 7, lists)})
    some = pl.Series(random.random(len(frame)) < 0.4) & (frame["label"] > 0)
    frame = frame.with_columns(dwell=pl.when(some).then(pl.lit(12.5)), other=pl.Series(random.random(len(frame)) < 0.1))
    found = telling(frame, ["dwell", "other"])
    assert found["dwell"].least < 0.85
    assert found["dwell"].pure == 1
    assert found["dwell"].suspicious
    assert "100% of the rows with a value of their own were clicked" in str(found["dwell"])
    assert not found["other"].suspicious
