import json
import os
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

from recsys.batch.logged import read_window
from recsys.batch.training import train
from recsys.data.tables import About
from recsys.errors import DataError, SettingsError
from recsys.model import Model, State
from recsys.ranking.calibration import Calibration
from recsys.ranking.ranker import grow
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
        "state/item_vectors.parquet",
        "state/showings.parquet",
    } <= names
    assert {Path(name).suffix for name in names} <= {".json", ".txt", ".html", ".safetensors", ".parquet", ".jinja"}
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


def test_labels_not_known_at_the_end_of_a_window_are_not_learnt_from(line, tmp_path) -> None:
    """Labels of lists shown within the feedback delay before a window ends are turned around: nothing may change."""
    slow = {"time": {"feedback_delay": "6h"}, "windows": {"fractions": None}}
    slow["windows"]["cuts"] = [cut.isoformat() for cut in Model.load(line.model).windows.cuts]
    settings = changed(line.settings, **slow)
    train(line.dataset, settings, tmp_path / "whole")
    for window, names in [
        ("text", ("user_tower.safetensors", "encoder/heads.safetensors", "encoder/model.safetensors")),
        ("valid", ("user_tower.safetensors", "ranker.txt", "behaviour.txt", "calibration.json")),
    ]:
        end = Model.load(line.model).windows.bounds(window)[1]
        late = (pl.col("timestamp") >= end - timedelta(hours=6)) & (pl.col("timestamp") < end)
        turned = line.dataset.requests.with_columns(label=pl.when(late).then(1 - pl.col("label")).otherwise("label"))
        assert line.dataset.requests.filter(late).height > 50
        train(replace(line.dataset, requests=turned), settings, tmp_path / window)
        for name in names:
            assert (tmp_path / window / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), (window, name)


def test_what_is_calibrated_and_judged_on_valid_has_not_learnt_from_it(line, tmp_path) -> None:
    settings = changed(line.settings, windows={"fractions": [0.4, 0.4, 0.2, 0.0]})
    judgement = train(line.dataset, settings, tmp_path / "model")
    model, state = Model.load(tmp_path / "model"), State.load(tmp_path / "model/state", tmp_path / "model")
    log = model.log(state.behaviour)
    reader = model.reader(log, state.vectors)
    ranker, valid = (
        read_window(line.dataset.requests, model.windows, name, log, settings.features, reader, log.time.feedback_delay)
        for name in ("ranker", "valid")
    )
    contract = model.ranker.contract
    chosen = grow(ranker.examples, contract, settings.ranker, settings.seed, valid=valid.examples)
    scores = chosen.score(valid.examples.table)
    np.testing.assert_array_equal(judgement.scores["both"], scores)
    expected = Calibration.fit(scores, valid.examples.labels)
    np.testing.assert_array_equal(model.calibration.scores, expected.scores)
    assert not np.array_equal(model.ranker.score(valid.examples.table), scores)


@pytest.mark.parametrize("out", ["file/model", "link"])
def test_a_target_that_cannot_be_made_is_refused_before_any_work(line, tmp_path, out, monkeypatch) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr("recsys.batch.training.check_tables", lambda _: pytest.fail("work was done"))
    with pytest.raises(DataError, match="cannot be made|is a link; name the folder itself"):
        train(line.dataset, line.settings, tmp_path / out)


def test_integer_ids_of_different_widths_are_one_kind_of_id(line, tmp_path) -> None:
    narrow = line.dataset.events.with_columns(pl.col("item_id").cast(pl.Int32), pl.col("user_id").cast(pl.UInt16))
    settings = changed(line.settings, labels={"grades": {"share": 3}, "attribution": "6h"})
    train(line.dataset, settings, tmp_path / "wide")
    train(replace(line.dataset, events=narrow), settings, tmp_path / "narrow")
    assert (tmp_path / "narrow/ranker.txt").read_bytes() == (tmp_path / "wide/ranker.txt").read_bytes()


def test_ids_beyond_63_bits_are_refused(line, tmp_path) -> None:
    huge = {
        name: getattr(line.dataset, name).with_columns(pl.col("user_id").cast(pl.UInt64) + 2**63)
        for name in ("events", "requests")
    }
    with pytest.raises(DataError, match=r"holds ids of 2\*\*63 or more in .*user_id.*; write them as text"):
        train(replace(line.dataset, **huge, users=None), line.settings, tmp_path / "model")


def test_a_list_of_tags_may_be_the_first_text_field(line, tmp_path) -> None:
    items = line.dataset.items.with_columns(tags=pl.concat_list("category", "subcategory"))
    settings = changed(line.settings, text={"fields": ["tags", "title"]})
    train(replace(line.dataset, items=items), settings, tmp_path / "model")
    assert "sport, " in (tmp_path / "model/report.html").read_text()


def test_two_features_of_one_name_are_refused(line, tmp_path) -> None:
    items = line.dataset.items.with_columns(age_hours=pl.lit("old"), item_6h=pl.lit("a"))
    for name, words in [("age_hours", "'item_age_hours'"), ("item_6h", "'click_rate_item_6h'")]:
        settings = changed(line.settings, features={"affinity": [name]})
        with pytest.raises(SettingsError, match=f"makes two features called {words}; rename a column"):
            train(replace(line.dataset, items=items), settings, tmp_path / "model")


def test_production_training_with_an_empty_test_window_judges_on_valid(line, tmp_path) -> None:
    settings = changed(line.settings, windows={"fractions": [0.4, 0.4, 0.2, 0.0]})
    judgement = train(line.dataset, settings, tmp_path / "model")
    assert judgement.evaluation.window == "valid"
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
    showings = pl.read_parquet(tmp_path / "model/state/showings.parquet")
    events = pl.read_parquet(tmp_path / "model/state/events.parquet")
    assert 3 in showings["label"].unique()
    assert (events["event"] == "share").sum() + (showings["label"] == 3).sum() <= (
        line.dataset.events["event"] == "share"
    ).sum()


def test_a_kill_while_the_folder_is_written_leaves_nothing_that_can_be_mistaken_for_a_model(line, tmp_path) -> None:
    target = tmp_path / "model"
    program = (
        "import sys\nfrom recsys.settings import Settings\nfrom recsys.data.tables import Dataset\n"
        "from recsys.batch.training import train\n"
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
