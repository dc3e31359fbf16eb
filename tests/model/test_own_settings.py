import pytest

from recsys.engines.settings import EngineSettings
from recsys.errors import SettingsError
from recsys.model.own_settings import engine_for


def test_the_engine_is_read_from_a_file_and_from_changes(line, tmp_path) -> None:
    assert engine_for(line.model, None) == EngineSettings()
    (tmp_path / "engine.toml").write_text('[engine]\nkind = "ray"\ncpus = 2\n')
    found = engine_for(line.model, tmp_path / "engine.toml", ["engine.cpus=4"])
    assert found == EngineSettings(kind="ray", cpus=4)


def test_a_file_that_the_model_was_trained_with_is_no_contradiction(line, tmp_path) -> None:
    (tmp_path / "own.toml").write_text("[engine]\ncpus = 2\n[windows]\nfractions = [0.3, 0.35, 0.15, 0.2]\n")
    assert engine_for(line.model, tmp_path / "own.toml").cpus == 2


def test_what_the_model_was_not_trained_with_is_named(line, tmp_path) -> None:
    (tmp_path / "other.toml").write_text("seed = 8\n[rules]\nnewest = '1d'\n")
    said = (
        r"has its own settings, and --config or --set says others of \[rules\], seed; leave these out: \[engine\] alone"
    )
    with pytest.raises(SettingsError, match=said):
        engine_for(line.model, tmp_path / "other.toml")
