import pytest

from recsys.cli import FINE, NO, main
from recsys.settings import load_settings

pytestmark = pytest.mark.slow


def test_tune_writes_settings_that_load_beside_their_history_and_says_what_was_won(
    line, config, tmp_path, capsys
) -> None:
    out = tmp_path / "found.toml"
    words = ["tune", str(line.data), "--config", str(config), "--out", str(out), "--trials", "3", "--budget", "10m"]
    assert main([*words, "--set", "ranker.leaves=5"]) == FINE
    said = capsys.readouterr()
    assert "nDCG@10 on the valid window:" in said.out
    assert said.out.endswith(f"settings written to {out}; type: recsys train {line.data} --config {out} --out MODEL\n")
    assert out.read_text().startswith(f"# found by `recsys tune` on the valid window of {line.data}, 3 trials\n")
    found = load_settings(out)
    assert found.text == load_settings(config).text
    assert len((tmp_path / "found.toml.history.jsonl").read_text().splitlines()) == 4
    assert {path.name for path in tmp_path.iterdir()} >= {"found.toml", "found.toml.history.jsonl"}
    assert not (tmp_path / "found.toml.tuning").exists()
    assert main(words) == NO
    assert "already exists" in capsys.readouterr().err


def test_init_writes_a_project(line, tmp_path, capsys) -> None:
    assert main(["init", str(line.data), "--out", str(tmp_path / "project")]) == FINE
    assert "mapping.toml" in capsys.readouterr().out
    assert (tmp_path / "project/settings.toml").is_file()
