import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from recsys.data.tables import About
from recsys.errors import DataError, ModelError, SettingsError
from recsys.features.columns import TEXT_COLUMNS
from recsys.jobs.features import write_features
from recsys.jobs.train import FEW_LISTS, prepare_to_learn, refuse_early, train
from recsys.model.folder import Model
from recsys.model.ready import Ready
from recsys.past.blocks import map_table
from recsys.ranking.calibration import Calibration, Fold
from recsys.ranking.trees import grow
from recsys.settings import Settings


def changed(settings: Settings, **sections: dict[str, object]) -> Settings:
    content = settings.model_dump(mode="json")
    for name, changes in sections.items():
        content[name] |= changes
    return Settings.model_validate(content)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_model_folder_holds_plain_files_only(line) -> None:
    names = set(files(line.model))
    assert {
        "manifest.json",
        "ranker.txt",
        "behaviour.txt",
        "features.json",
        "calibration.json",
        "metrics.json",
        "report.html",
        "user_tower.safetensors",
        "encoder/model.safetensors",
        *(f"state/{name}.parquet" for name in ("items", "users")),
        *(f"state/{name}.arrow" for name in ("showings", "events", "vocabulary-0", "item_vectors")),
        *(f"state/{name}.numbers" for name in ("rows", "totals", "kept", "candidate", "history", "neighbours")),
    } <= names
    plain = {".json", ".txt", ".html", ".safetensors", ".parquet", ".jinja", ".arrow", ".numbers", ".sha256"}
    assert {Path(name).suffix for name in names} <= plain
    with safe_open(line.model / "user_tower.safetensors", "numpy") as tower:
        assert list(tower.keys())


def test_the_same_seed_gives_the_same_folder_byte_for_byte_and_another_seed_another_ranker(line, tmp_path) -> None:
    train(line.dataset, line.settings, tmp_path / "again")
    assert files(tmp_path / "again") == files(line.model)
    train(line.dataset, line.settings.model_copy(update={"seed": 8}), tmp_path / "other")
    assert files(tmp_path / "other")["ranker.txt"] != files(line.model)["ranker.txt"]


def test_the_order_of_rows_in_the_tables_changes_neither_features_nor_trees(line, tmp_path) -> None:
    dataset = line.dataset
    shuffled = replace(
        dataset,
        events=dataset.events.sample(fraction=1, shuffle=True, seed=1),
        requests=dataset.requests.sample(fraction=1, shuffle=True, seed=2),
    )
    train(shuffled, line.settings, tmp_path / "shuffled")
    assert (tmp_path / "shuffled/ranker.txt").read_bytes() == (line.model / "ranker.txt").read_bytes()


def test_rows_after_the_test_window_begins_change_no_model(line, tmp_path) -> None:
    """The future of training is the test window: whatever happens there, the same trees are grown."""
    start = Model.load(line.model).windows.bounds("test")[0]
    dataset = line.dataset
    later = pl.col("timestamp") >= start
    changed_labels = dataset.requests.with_columns(label=pl.when(later).then(1 - pl.col("label")).otherwise("label"))
    cut = replace(dataset, requests=changed_labels, events=dataset.events.filter(~later))
    windows = {"windows": {"fractions": None, "cuts": Model.load(line.model).windows.to_json()}}
    train(cut, changed(line.settings, **windows), tmp_path / "cut")
    for name in ("ranker.txt", "behaviour.txt", "calibration.json", "user_tower.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (line.model / name).read_bytes(), name


def test_labels_not_known_when_training_ends_are_not_learnt_from(line, tmp_path) -> None:
    """Labels of lists shown within the feedback delay before valid ends are turned around: nothing may change."""
    slow = {"time": {"feedback_delay": "6h"}, "windows": {"fractions": None}}
    slow["windows"]["cuts"] = [cut.isoformat() for cut in Model.load(line.model).windows.cuts]
    settings = changed(line.settings, **slow)
    train(line.dataset, settings, tmp_path / "whole")
    end = Model.load(line.model).windows.bounds("valid")[1]
    late = (pl.col("timestamp") >= end - timedelta(hours=6)) & (pl.col("timestamp") < end)
    turned = line.dataset.requests.with_columns(label=pl.when(late).then(1 - pl.col("label")).otherwise("label"))
    assert line.dataset.requests.filter(late).height > 50
    train(replace(line.dataset, requests=turned), settings, tmp_path / "turned")
    for name in (
        "encoder/heads.safetensors",
        "user_tower.safetensors",
        "ranker.txt",
        "behaviour.txt",
        "calibration.json",
    ):
        assert (tmp_path / "turned" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_what_is_calibrated_and_judged_on_valid_has_not_learnt_from_it(line, tmp_path) -> None:
    """Labels of valid turned around change the encoder, but neither scores of valid nor the judged ranker's trees."""
    settings = changed(line.settings, windows={"fractions": [0.4, 0.4, 0.2, 0.0]})
    settings = changed(settings, text={"block": "30d"}, time={"freshness": "1d"})
    judgement = train(line.dataset, settings, tmp_path / "model")
    inside = pl.col("timestamp") >= Model.load(tmp_path / "model").windows.bounds("valid")[0]
    turned = line.dataset.requests.with_columns(label=pl.when(inside).then(1 - pl.col("label")).otherwise("label"))
    again = train(replace(line.dataset, requests=turned), settings, tmp_path / "turned")
    moments = judgement.window.requests["timestamp"]
    first_day = moments.dt.date() == moments.min().date()  # later on, turned clicks are known
    text, text_again = (
        each.window.examples.table.frame().select(TEXT_COLUMNS).filter(first_day).to_numpy()
        for each in (judgement, again)
    )
    np.testing.assert_array_equal(text, text_again)
    assert len(text) > 50
    assert not np.isnan(text[:, 0]).all()
    assert (tmp_path / "turned/encoder/heads.safetensors").read_bytes() != (
        tmp_path / "model/encoder/heads.safetensors"
    ).read_bytes()
    model = Model.load(tmp_path / "model")
    examples, scores = judgement.window.examples, judgement.scores["both"]
    final = model.ranker.score(examples.table)
    own, of_final = (Calibration.fit([Fold(each, examples.labels, examples.starts)]) for each in (scores, final))
    assert model.calibration.levels[1] == pytest.approx(of_final.levels[1], abs=1e-12)
    assert abs(own.levels[1] - of_final.levels[1]) > 1e-6
    assert judgement.evaluation.reliability is None  # on valid, which it was learnt from, it could only look good
    assert not np.array_equal(model.ranker.score(judgement.window.examples.table), judgement.scores["both"])


def test_both_rankers_learn_from_the_same_requests_with_text_scores_for_all(line, tmp_path, monkeypatch) -> None:
    grown = []

    def watched(examples, *arguments, **options):
        grown.append(examples)
        return grow(examples, *arguments, **options)

    monkeypatch.setattr("recsys.jobs.train.grow", watched)
    train(line.dataset, line.settings, tmp_path / "model")
    windows = Model.load(tmp_path / "model").windows
    both, behaviour = (next(each for each in grown if ("interest" in each.table.columns) == flag) for flag in (1, 0))
    delay = line.settings.time.feedback_delay
    assert len(both.table) == len(behaviour.table) == windows.of(line.dataset.requests, "ranker", delay).height
    assert not np.isnan(both.table.column("appeal")).any()


def test_click_probabilities_are_learnt_from_lists_that_their_own_ranker_has_not_seen(
    line, tmp_path, monkeypatch
) -> None:
    grown, fitted = [], []

    def growing(examples, *arguments, **options):
        grown.append((examples, grow(examples, *arguments, **options)))
        return grown[-1][1]

    def fitting(folds):
        fitted.append(folds)
        return fit(folds)

    fit = Calibration.fit
    monkeypatch.setattr("recsys.jobs.train.grow", growing)
    monkeypatch.setattr(Calibration, "fit", fitting)
    train(line.dataset, changed(line.settings, text={"epochs": 0}), tmp_path / "model")
    (folds,) = fitted
    (ranker, chosen), (half, trees) = grown[0], grown[-1]
    of_valid = len(folds[1].labels)
    assert len(half.labels) + len(folds[0].labels) == len(ranker.labels)
    assert 0.4 < len(half.labels) / len(ranker.labels) < 0.6
    windows, delay = Model.load(tmp_path / "model").windows, line.settings.time.feedback_delay
    lists = windows.of(line.dataset.requests, "ranker", delay)
    earlier = lists.filter(pl.col("timestamp") < pl.col("timestamp").median())
    assert (len(half.labels), half.labels.sum()) == (len(earlier), earlier["label"].sum())
    valid = windows.of(line.dataset.requests, "valid", delay)
    assert (of_valid, folds[1].labels.sum()) == (len(valid), valid["label"].sum())
    assert trees.size == chosen.size


def test_of_lists_that_were_drawn_no_click_probability_is_learnt(line, tmp_path) -> None:
    """Nor any said of lists that were logged: what is learnt from draws does not hold there."""
    drawn = replace(line.dataset, about=replace(line.dataset.about, sampled=True))
    judgement = train(drawn, changed(line.settings, text={"epochs": 0}), tmp_path / "model")
    assert judgement.evaluation.reliability is None
    ready = Ready.load(tmp_path / "model", tmp_path / "model" / "state")
    ranked = ready.rank(ready.ask(line.candidates()))
    assert ranked.schema["click_probability"] == pl.Float64
    assert ranked["click_probability"].null_count() == len(ranked) > 0
    assert ranked["score"].null_count() == 0


def test_an_earlier_model_goes_on_learning_and_is_told_what_it_must_not_know(line, tmp_path) -> None:
    times = line.dataset.requests["timestamp"].sort()
    cuts = [times[int(share * (len(times) - 1))].isoformat() for share in (0, 0.15, 0.2, 0.25, 0.3)]
    older = changed(line.settings, windows={"fractions": None, "cuts": cuts})
    train(line.dataset, older, tmp_path / "older")
    later = [cuts[3], *(times[int(share * (len(times) - 1))].isoformat() for share in (0.4, 0.7, 0.85, 1))]
    settings = changed(line.settings, windows={"fractions": None, "cuts": later})
    train(line.dataset, settings, tmp_path / "fresh")
    train(line.dataset, settings, tmp_path / "continued", start=tmp_path / "older")
    fresh, continued = (
        json.loads((tmp_path / name / "manifest.json").read_text())["lessons"] for name in ("fresh", "continued")
    )
    assert fresh[0]["old_auc"] is None
    assert 0 <= continued[0]["old_auc_before"] <= 1  # measured on what lies before the first block
    assert (
        files(tmp_path / "fresh")["user_tower.safetensors"] != files(tmp_path / "continued")["user_tower.safetensors"]
    )
    early = changed(settings, windows={"cuts": [times[0].isoformat(), *later[1:]]})
    with pytest.raises(
        SettingsError,
        match=r"older has learnt from requests up to .*, after the text window's begin at .* Let \[windows\] cuts begin at "
        rf"{re.escape(Model.load(tmp_path / 'older').windows.learnt_until.isoformat())} or later, leave them out",
    ):
        train(line.dataset, early, tmp_path / "leaky", start=tmp_path / "older")
    shares = changed(line.settings, windows={"cuts": None, "fractions": [0.3, 0.3, 0.2, 0.2]}, text={"epochs": 0})
    train(line.dataset, shares, tmp_path / "placed", start=tmp_path / "older")
    windows, ended = Model.load(tmp_path / "placed").windows, Model.load(tmp_path / "older").windows.learnt_until
    left = line.dataset.requests.filter(pl.col("timestamp") >= ended)
    assert windows.cuts[0] == left["timestamp"].min() >= ended
    test = windows.of(line.dataset.requests, "test")["request_id"].n_unique()
    assert test == pytest.approx(0.2 * left["request_id"].n_unique(), abs=1)
    other = changed(settings, text={"max_tokens": 10})
    with pytest.raises(
        SettingsError, match=r"\[text\] max_tokens is 10 but .*older was trained with 24; set it to that"
    ):
        train(line.dataset, other, tmp_path / "other", start=tmp_path / "older")


@pytest.mark.parametrize("out", ["file/model", "link"])
def test_a_target_that_cannot_be_made_is_refused_before_any_work(line, tmp_path, out, monkeypatch) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr("recsys.jobs.train.prepare", lambda *_: pytest.fail("work was done"))
    with pytest.raises(DataError, match="cannot be made|is a link; name the folder itself"):
        train(line.dataset, line.settings, tmp_path / out)


def test_integer_ids_of_different_widths_are_one_kind_of_id(line, tmp_path) -> None:
    narrow = line.dataset.events.with_columns(pl.col("item_id").cast(pl.Int32), pl.col("user_id").cast(pl.UInt16))
    settings = changed(line.settings, labels={"grades": {"share": 3}, "attribution": "6h"})
    train(line.dataset, settings, tmp_path / "wide")
    train(replace(line.dataset, events=narrow), settings, tmp_path / "narrow")
    assert (tmp_path / "narrow/ranker.txt").read_bytes() == (tmp_path / "wide/ranker.txt").read_bytes()


def test_whole_numbers_that_pandas_made_floats_beside_gaps_are_the_same_context(line, tmp_path) -> None:
    slots = pl.col("request_id").cast(pl.Int64) % 3
    whole = line.dataset.requests.with_columns(slot=pl.when(slots > 0).then(slots))
    settings = changed(line.settings, features={"context": ["slot"], "declarations": []}, text={"epochs": 0})
    for name, requests in (("whole", whole), ("floats", whole.cast({"slot": pl.Float64}))):
        train(replace(line.dataset, requests=requests), settings, tmp_path / name)
        write_features(replace(line.dataset, requests=requests), settings, tmp_path / f"{name} table")
    tables = [pl.read_parquet(tmp_path / f"{name} table/features/*.parquet") for name in ("whole", "floats")]
    assert tables[0].equals(tables[1])
    assert (tmp_path / "whole/ranker.txt").read_bytes() == (tmp_path / "floats/ranker.txt").read_bytes()


def test_ids_beyond_63_bits_are_refused(line, tmp_path) -> None:
    huge = {
        name: getattr(line.dataset, name).with_columns(pl.col("user_id").cast(pl.UInt64) + 2**63)
        for name in ("events", "requests")
    }
    with pytest.raises(DataError, match=r"events\.user_id: ids of 2\*\*63 or more, .*; write them as text"):
        train(replace(line.dataset, **huge, users=None), line.settings, tmp_path / "model")


def test_late_clicks_are_known_to_who_ranks_and_not_learnt_from_where_they_are_many(line, tmp_path) -> None:
    late = pl.when(pl.col("label") > 0).then(pl.col("timestamp") + timedelta(days=1))
    dataset = replace(line.dataset, requests=line.dataset.requests.with_columns(clicked_at=late))
    with pytest.raises(
        DataError, match=r"\d+ of \d+ clicks have a clicked_at more than .* feedback_delay to 1d, which"
    ):
        train(dataset, line.settings, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    ready, prepared = Ready.today(line.model, dataset)
    assert prepared.dataset.requests["label"].sum() == 0
    assert len(ready.log.layers[0].click_rows.moments) >= dataset.requests["clicked_at"].drop_nulls().len() > 0


def test_a_list_of_tags_may_be_the_first_text_field(line, tmp_path) -> None:
    items = line.dataset.items.with_columns(tags=pl.concat_list("category", "subcategory")).drop("title")
    settings = changed(line.settings, text={"fields": ["tags", "description"]})
    train(replace(line.dataset, items=items), settings, tmp_path / "model")
    assert "sport, " in (tmp_path / "model/report.html").read_text()


def test_two_features_of_one_name_are_refused(line, tmp_path) -> None:
    items = line.dataset.items.with_columns(age_hours=pl.lit("old"))
    requests = line.dataset.requests.with_columns(appeal=pl.lit(0.5))
    dataset = replace(line.dataset, items=items, requests=requests)
    for change, words in [({"affinity": ["age_hours"]}, "'item_age_hours'"), ({"scores": ["appeal"]}, "'appeal'")]:
        settings = changed(line.settings, features=change)
        with pytest.raises(SettingsError, match=f"makes two features called {words}; rename a column"):
            train(dataset, settings, tmp_path / "model")


def test_production_training_with_an_empty_test_window_judges_on_valid(line, tmp_path) -> None:
    settings = changed(line.settings, windows={"fractions": [0.4, 0.4, 0.2, 0.0]})
    judgement = train(line.dataset, settings, tmp_path / "model")
    assert judgement.evaluation.window == "valid"
    assert json.loads((tmp_path / "model/metrics.json").read_text())["reliability"] is None
    assert json.loads((tmp_path / "model/metrics.json").read_text())["window"] == "valid"
    assert Model.load(tmp_path / "model").windows.cuts[3] == Model.load(tmp_path / "model").windows.cuts[4]


def test_an_existing_target_is_refused_and_left_as_it_is(line, tmp_path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(DataError, match="already exists and is not empty; choose another folder or remove it first"):
        train(line.dataset, line.settings, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"context": ["position"]}, "context names 'position', which is recorded with or after the list"),
        ({"context": ["seconds_read"]}, "context names 'seconds_read', which is recorded with or after the list"),
        ({"context": ["weather"]}, "context names 'weather', which is not a column of the candidates"),
        ({"affinity": ["author"]}, "affinity names 'author', which is not a column of items"),
    ],
)
def test_columns_that_cannot_be_features_are_refused_by_name(line, tmp_path, features, words) -> None:
    dataset = replace(
        line.dataset,
        requests=line.dataset.requests.with_columns(seconds_read=pl.col("label") * 30),
        about=About(recorded_after=("seconds_read",)),
    )
    with pytest.raises(SettingsError, match=words):
        train(dataset, changed(line.settings, features=features), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_faulty_tables_are_refused_with_every_fault(line, tmp_path) -> None:
    requests = line.dataset.requests.with_columns(label=pl.lit(-1), user_id=pl.lit(None, dtype=pl.Int64))
    with pytest.raises(DataError, match=r"(?s)requests\.label.*requests\.user_id|requests\.user_id.*requests\.label"):
        train(replace(line.dataset, requests=requests), line.settings, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_graded_events_become_labels_that_are_known_after_their_window(line, tmp_path) -> None:
    settings = changed(line.settings, labels={"grades": {"share": 3}, "attribution": "6h"})
    train(line.dataset, settings, tmp_path / "model")
    assert Model.load(tmp_path / "model").clock.feedback_delay.total_seconds() == 6 * 3600
    showings = map_table(tmp_path / "model/state/showings.arrow")
    events = map_table(tmp_path / "model/state/events.arrow")
    assert 3 in showings["label"].unique()
    assert (events["event"] == "share").sum() + (showings["label"] == 3).sum() <= (
        line.dataset.events["event"] == "share"
    ).sum()


def test_a_kill_while_the_folder_is_written_leaves_nothing_that_can_be_mistaken_for_a_model(line, tmp_path) -> None:
    target = tmp_path / "model"
    program = (
        "import sys\nfrom recsys.settings import Settings\nfrom recsys.data.tables import Dataset\n"
        "from recsys.jobs.train import train\n"
        "settings = Settings.model_validate_json(sys.argv[1])\n"
        "train(Dataset.read(sys.argv[2]), settings, sys.argv[3])\n"
    )
    settings = line.settings.model_dump_json()
    process = subprocess.Popen([sys.executable, "-c", program, settings, str(line.data), str(target)])
    while process.poll() is None and not list(tmp_path.glob(".model.*/ranker.txt")):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if target.exists():  # the rename had already happened: then the folder is whole
        Model.load(target)
    else:
        assert list(tmp_path.glob(".model.*"))
    train(line.dataset, line.settings, tmp_path / "next")
    assert Model.load(tmp_path / "next")


PROGRAM = """
import sys
from pathlib import Path
from recsys.settings import Settings
from recsys.data.tables import Dataset
from recsys.jobs.train import train
settings = Settings.model_validate_json(sys.argv[1])
train(Dataset.read(Path(sys.argv[2])), settings, Path(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "model.training/block-0/heads/last.ckpt",
        "model.training/block-0/teacher/last.ckpt",
        "model.training/block-1/lesson.json",
    ],
)
def test_a_killed_training_goes_on_to_the_same_model(line, tmp_path, moment) -> None:
    settings = changed(
        line.settings,
        text={"epochs": 3, "head_epochs": 1, "patience": 9, "tune": "auto", "teacher_epochs": 2, "text_epochs": 2},
    )
    train(line.dataset, settings, tmp_path / "unbroken")
    words = [sys.executable, "-c", PROGRAM, settings.model_dump_json(), str(line.data), str(tmp_path / "model")]
    process = subprocess.Popen(words)
    while process.poll() is None and not (tmp_path / moment).exists():
        pass
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    train(line.dataset, settings, tmp_path / "model")
    whole, resumed = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("unbroken", "model"))
    assert resumed["lessons"] == whole["lessons"]
    assert files(tmp_path / "model") == files(tmp_path / "unbroken")
    assert list((tmp_path / "model.training/block-0").glob("*/log-0/metrics.csv"))
    left = [path for path in (tmp_path / "model.training").glob("*/**/*") if path.is_file()]
    assert {path.parent.name[:4] for path in left} == {"log-"}


def test_the_encoder_learns_from_what_requests_ask_with(asking, tmp_path) -> None:
    silent = train(asking.dataset, changed(asking.settings, text={"query": ""}), tmp_path / "silent")
    without, found = (each.evaluation.overall.rankers["text"]["AUC"].mean for each in (silent, asking.judgement))
    assert found > without + 0.1
    assert Model.load(tmp_path / "silent").tower.query_scale == 0
    assert Model.load(asking.model).tower.query_scale > 0.5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("words", "query names 'words', which is not a column of the requests; .*their columns are request_id, "),
        ("device_id", "query names 'device_id', which is recorded with or after the list"),
        ("propensity", "query names 'propensity', which is recorded with or after the list"),
        ("timestamp", "query names 'timestamp', which holds Datetime.*, not texts; name a column of strings"),
    ],
)
def test_what_requests_ask_with_must_be_text_known_before_the_list(line, tmp_path, name: str, message: str) -> None:
    requests = line.dataset.requests.with_columns(device_id=pl.lit("a"))
    dataset = replace(line.dataset, requests=requests, about=About("test", (), ("device_id",)))
    with pytest.raises(SettingsError, match=message):
        train(dataset, changed(line.settings, text={"query": name}), tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("window", ["ranker", "valid"])
def test_a_window_without_a_click_is_refused_before_the_encoder_learns(line, tmp_path, window, monkeypatch) -> None:
    start, end = Model.load(line.model).windows.bounds(window)
    silent = pl.when(pl.col("timestamp").is_between(start, end, closed="left")).then(0).otherwise("label")
    requests = line.dataset.requests.with_columns(label=silent.cast(line.dataset.requests.schema["label"]))
    monkeypatch.setattr("recsys.learning.course.TextCourse", lambda *_: pytest.fail("work was done"))
    with pytest.raises(DataError, match=f"the {window} window holds no list with a click"):
        train(replace(line.dataset, requests=requests), line.settings, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_tables_without_any_click_are_told_from_a_window_without_one(line, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("recsys.learning.course.TextCourse", lambda *_: pytest.fail("work was done"))
    requests = line.dataset.requests.with_columns(label=pl.lit(0, line.dataset.requests.schema["label"]))
    with pytest.raises(DataError, match="label is 0 in every row of requests; name the column that says what was"):
        train(replace(line.dataset, requests=requests), line.settings, tmp_path / "model")


def test_windows_of_few_lists_are_said_to_be_few(line, caplog) -> None:
    prepared, windows = prepare_to_learn(line.dataset, line.settings), Model.load(line.model).windows
    refuse_early(prepared, windows)
    said = [record.getMessage() for record in caplog.records if "an order needs hundreds" in record.getMessage()]
    clicked = line.dataset.requests.filter(pl.col("label") > 0)
    few = [name for name in ("ranker", "valid") if windows.of(clicked, name)["request_id"].n_unique() < FEW_LISTS]
    assert [line.split()[1] for line in said] == few


@pytest.mark.parametrize("values", [None, [None]])
def test_clicks_are_not_weighed_by_what_was_recorded_of_none(line, tmp_path, values) -> None:
    events = line.dataset.events.drop("value", strict=False)
    if values is not None:
        events = events.with_columns(value=pl.lit(None, pl.Float64))
    settings = changed(line.settings, text={"weigh": "click"})
    with pytest.raises(
        SettingsError, match=r"\[text\] weigh names 'click', and no such event has a `value`; leave it out"
    ):
        train(replace(line.dataset, events=events), settings, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("backend", "module"), [("onnx", "onnx"), ("openvino", "openvino")])
def test_a_backend_that_is_not_installed_is_refused_before_the_encoder_learns(
    line, tmp_path, backend, module, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=rf"\[text\] backend = '{backend}' needs {module}"):
        train(line.dataset, changed(line.settings, text={"backend": backend}), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_about_places_is_learnt_from_the_log_and_written_down(line, tmp_path, capsys) -> None:
    def done(name: str, **ranker: object) -> dict[str, object]:
        settings = changed(line.settings, text={"epochs": 0}, ranker=ranker)
        train(line.dataset, settings, tmp_path / name)
        return json.loads((tmp_path / name / "manifest.json").read_text())["position_bias"]

    assert done("none", position_bias="none") == {"correction": "none", "odds": [1.0]}
    found = done("examination", position_bias="examination")
    assert done("auto", position_bias="auto")["correction"] in {"examination", "inverse", "additive"}
    odds = found["odds"]
    assert found["correction"] == "examination"
    assert odds[0] == 1.0
    assert 0.15 < np.mean(odds[5:10]) < 0.7  # the world looks at place k with probability 1 / sqrt(k)
    assert "clicks are corrected for their places" in (tmp_path / "examination/report.html").read_text()
    one, other = (Model.load(tmp_path / name) for name in ("none", "examination"))
    assert "position" not in one.ranker.contract.names == other.ranker.contract.names
    assert one.ranker.booster.model_to_string() != other.ranker.booster.model_to_string()


def test_another_encoder_in_the_same_folder_is_another_training(line, tmp_path) -> None:
    settings = changed(line.settings, text={"encoder": str(tmp_path / "encoder")})
    shutil.copytree(line.settings.text.encoder, tmp_path / "encoder")
    identities = []
    for number in range(2):
        train(line.dataset, settings, tmp_path / f"{number}/model")
        identities.append((tmp_path / f"{number}/model.training/identity.txt").read_text())
        weights = load_file(tmp_path / "encoder/model.safetensors")
        save_file({name: value * 1.01 for name, value in weights.items()}, tmp_path / "encoder/model.safetensors")
    assert identities[0] != identities[1]


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["always", "never"])
def test_untuned_text_is_judged_where_another_encoder_reads(line, tmp_path, tune: str) -> None:
    settings = changed(line.settings, text={"tune": tune, "learning_rate": 1e-2, "text_epochs": 3})
    judgement = train(line.dataset, settings, tmp_path / "model")
    overall = judgement.evaluation.overall
    lessons = json.loads((tmp_path / "model/manifest.json").read_text())["lessons"]
    told = json.loads((tmp_path / "model/metrics.json").read_text())
    assert {lesson["kept"] for lesson in lessons} <= ({"tuned"} if tune == "always" else {"published", "heads"})
    assert ("untuned text" in overall.rankers) is (tune == "always")
    assert ("text-untuned text" in overall.differences) is (tune == "always")
    if tune == "always":
        other = train(line.dataset, changed(settings, text={"tune": "never"}), tmp_path / "never").evaluation.overall
        for measure, found in overall.rankers["untuned text"].items():
            assert found.mean == pytest.approx(other.rankers["text"][measure].mean, abs=1e-3), measure
        assert "untuned text" in json.dumps(told)
        assert "untuned text" in (tmp_path / "model/report.html").read_text()
