import json

import pytest

from recsys.cli import FINE, NO, WRONG_USE, main
from recsys.world.calendar import START


def test_backtest_prints_nights_and_the_verdict_and_writes_numbers_and_a_page(line, config, tmp_path, capsys) -> None:
    other, out = tmp_path / "other.toml", tmp_path / "out"
    other.write_text(config.read_text().replace('events = ["view"]', "events = []"))
    words = ["backtest", str(line.data), "--config", str(config), "--against", str(other), "--nights", "1"]
    words += ["--from", f"{START.replace(day=7):%F}", "--out", str(out), "--retrain", "7d"]
    quick = [word for change in ("text.epochs=0", "text.lexicon=0", "ranker.rounds=2") for word in ("--set", change)]
    assert main([*words, *quick, "--json", str(tmp_path / "deep/b.json")]) == FINE
    said, written = capsys.readouterr().out, json.loads((out / "backtest.json").read_text())
    assert json.loads((tmp_path / "deep/b.json").read_text()) == written
    assert written["retrain"] == "7d"
    assert [each["night"] for each in written["each"]] == ["2025-03-07"]
    assert written["pooled"]["verdict"].upper() in said
    assert said.endswith(f"written to {out}; open {out / 'backtest.html'}\n")
    assert main([*words, "--out", str(out)]) == NO
    assert "was begun with other config, other against" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--nights", "0"], "nights is 0; a backtest takes one night at least"),
        (["--nights", "1", "--retrain", "5h"], "retrain is 5h; nights come once a day, so write whole days"),
        (["--nights", "1", "--retrain", "weekly"], "'weekly' is not a duration; write a whole number and a unit"),
        (["--nights", "1.5"], "1.5"),
        ([], "nights"),
    ],
)
def test_wrong_words_are_told_in_one_line(line, config, tmp_path, capsys, more, told) -> None:
    words = [
        "backtest",
        str(line.data),
        "--config",
        str(config),
        "--from",
        "2025-03-07",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*words, *more]) == WRONG_USE
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
