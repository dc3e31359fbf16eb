import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from safetensors import safe_open

from recsys.batch.training import train
from recsys.data.tables import About
from recsys.errors import DataError, SettingsError
from recsys.model import Model
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
