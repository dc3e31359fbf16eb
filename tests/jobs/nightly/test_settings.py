from datetime import timedelta
from pathlib import Path

import pytest

from recsys.errors import DataError, SettingsError
from recsys.jobs.nightly.settings import read_nightly

LEAST = '[source]\nfolder = "exports"\n'


def read(tmp_path: Path, text: str):
    (tmp_path / "night.toml").write_text(text)
    return read_nightly(tmp_path / "night.toml")


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, 'home = "here"\n' + LEAST)
    assert found.home == tmp_path / "here"
    assert found.path("/else/where") == Path("/else/where")
    assert found.nightly.training.every == timedelta(days=7)


def test_settings_and_mapping_are_files_or_stand_in_the_one_file(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text("seed = 9\n")
    (tmp_path / "map.toml").write_text('[items]\nfile = "goods.csv"\n')
    apart = read(tmp_path, 'settings = "model.toml"\n' + LEAST + 'mapping = "map.toml"\n')
    whole = read(tmp_path, LEAST + '[settings]\nseed = 9\n[source.mapping.items]\nfile = "goods.csv"\n')
    assert apart.model == whole.model
    assert apart.model.seed == 9
    assert apart.mapping == whole.mapping
    assert apart.mapping.items.file == "goods.csv"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "night.toml: source is missing"),
        (LEAST + '[training]\nevry = "1d"\n', "training.evry is not known; did you mean every"),
        (LEAST + '[gate]\nmeasure = "nDCQ@10"\n', "gate.measure = 'nDCQ@10' does not fit"),
        (LEAST + "[gate]\nmargin = -1\n", "gate.margin = -1 does not fit"),
        (LEAST + "[lists]\ntop = 0\n", "lists.top = 0 does not fit"),
        (LEAST + "[settings]\nsede = 9\n", "night.toml: settings: sede is not known; did you mean seed"),
        ("[source\n", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told.replace("[", r"\[")):
        read(tmp_path, text)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.toml does not exist; give the path of a TOML file of a nightly job"):
        read_nightly(tmp_path / "none.toml")
    with pytest.raises(DataError, match="map.toml does not exist; give the path of a TOML mapping file"):
        read(tmp_path, LEAST + 'mapping = "map.toml"\n')
