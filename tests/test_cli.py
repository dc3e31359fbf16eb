"""The command line as a process: exit statuses, signals, pipes, helps and wrong words."""

import io
import logging
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from recsys.cli import FAILED, FINE, NO, WRONG_USE, _AboveBars, main
from recsys.progress import progress

HEEDING = (
    "import signal, sys; [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)];"
    "from recsys.cli import main; sys.exit(main(sys.argv[1:]))"
)
"""The command line in a process that ignores no signal, even where whoever runs the tests does (`nohup`)."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_stops_training_with_its_own_status_and_leaves_nothing(line, config, tmp_path, number) -> None:
    words = [
        "train",
        str(line.data),
        "--config",
        str(config),
        "--out",
        str(tmp_path / "model"),
        "--set",
        "text.epochs=500",
        "--set",
        "text.head_epochs=500",
    ]
    words += ["--set", "text.patience=500", "--verbose"]
    command = [sys.executable, "-c", HEEDING, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for said in process.stderr:
            if "after pass 2" in said:
                break
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    assert "stopped by a signal; nothing was left half-written" in rest
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))


def test_the_version_is_said(capsys) -> None:
    assert main(["--version"]) == FINE
    assert capsys.readouterr().out == f"{version('recsys')}\n"


VERBS = (
    "backtest",
    "check",
    "compare",
    "demo",
    "evaluate",
    "explain",
    "features",
    "forget",
    "import",
    "init",
    "models",
    "nightly",
    "rollback",
    "score",
    "train",
    "tune",
    "world",
)


def test_the_help_lists_every_verb_in_plain_letters() -> None:
    command = [sys.executable, "-m", "recsys.cli", "--help"]
    said = subprocess.run(command, capture_output=True, check=True, text=True, env={"FORCE_COLOR": "", "COLUMNS": "80"})
    assert tuple(re.findall(r"^  (\w+): ", said.stdout, flags=re.MULTILINE)) == VERBS
    assert said.stdout.isprintable() or said.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_does_and_what_each_word_of_it_means(verb, capsys) -> None:
    assert main([verb, "--help"]) == FINE
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: recsys {verb} ")
    named = re.findall(r"^  (?:--)?[\w-]+(?: [A-Z]+)?(?:\.\.\.)?(:.*)?$", said, flags=re.MULTILINE)
    assert named
    assert all(len(meaning) > 5 for meaning in named), said


WRONG_WORDS = {
    "": "give a verb; `recsys --help` lists them",
    "nightly": 'Command "nightly" parameter --config requires an argument',
    "models": 'Command "models" parameter --config requires an argument',
    "rollback --to a": 'Command "rollback" parameter --config requires an argument',
    "forget --user a": 'Command "forget" parameter --config requires an argument',
    "rnak": "'rnak' is no verb; Verbs are demo, world, init, import, check, tune, train, features, evaluate, compare, score, explain, backtest, nightly, models, rollback, forget; see",
    "scored": "'scored' is no verb; did you mean score? Verbs are demo, world, init,",
    "--bogus": "'--bogus' is no verb; ",
    "demo --verbose=loud": 'Invalid value for --verbose: unable to convert "loud" into bool',
    "demo extra": "Unused Tokens: ['extra']; see `recsys demo --help`",
    "world": 'Command "world" parameter --out requires an argument; see `recsys world --help`',
    "world --out o --items 1.5": "Invalid value for --items: invalid literal for int() with base 10: '1.5'",
    "init": 'Command "init" parameter FILES requires an argument',
    "init --out o": 'Command "init" parameter FILES requires an argument',
    "import": 'Command "import" parameter SOURCE requires an argument',
    "import tables d": 'Command "import" parameter --out requires an argument',
    "check": 'Command "check" parameter DATA requires an argument',
    "check d e": "Unused Tokens: ['e']",
    "check d --jso f": "Unknown option: --jso. Did you mean --json?; see `recsys check --help`",
    "tune d": 'Command "tune" parameter --out requires an argument',
    "tune d --out o --trials 0": "Invalid value for --trials: 0 is no number of trials; try 1 or more",
    "tune d --out o --budget long": "Invalid value for --budget: 'long' is not a duration; write a whole number and a unit",
    "train": 'Command "train" parameter DATA requires an argument',
    "train d": 'Command "train" parameter --out requires an argument',
    "train d --out": 'Command "train" parameter --out requires an argument',
    "explain m d": 'Command "explain" parameter --request requires an argument',
    "explain m d --request 1 --users u": "give --users FILE and --at TIME together, or --candidates FILE_OR_DIR",
    "explain m d --request 1 --why a": 'Command "explain" parameter --why requires 2 positional arguments. Only got 1',
    "features d": "give either --out DIR, to write the table, or --request ID, to print one request",
    "features d --out o --request 1": "give either --out DIR, to write the table, or --request ID",
    "evaluate m": 'Command "evaluate" parameter DATA requires an argument',
    "evaluate m d --window tset": 'Invalid value "tset" for --window. Choose from: "text", "ranker", "valid", "test".',
    "compare a b": 'Command "compare" parameter DATA requires an argument',
    "compare a b d --matters x": 'Invalid value for --matters: unable to convert "x" into float',
    "compare a b d --seed 0.5": "Invalid value for --seed: invalid literal for int() with base 10: '0.5'",
    "backtest d": 'Command "backtest" parameter --config requires an argument',
    "backtest d --config c --from noon --nights 1 --out o": "Invalid value for --from: 'noon' is not a time",
    "score m d": 'Command "score" parameter --out requires an argument',
    "score m d --out o --users u": "give --candidates FILE_OR_DIR, or --users FILE and --at TIME",
    "score m d --out o --candidates c --items i": "--candidates comes with neither --users nor --items nor --at",
    "score m d --out o --at noon": "Invalid value for --at: 'noon' is not a time; write it as 2023-05-24T07:00:00Z",
    "score m d --out o --top few": "Invalid value for --top: invalid literal for int() with base 10: 'few'",
}


@pytest.mark.parametrize("words", WRONG_WORDS)
def test_wrong_words_are_wrong_use_and_said_in_one_line(words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == WRONG_USE
    captured = capsys.readouterr()
    assert captured.err.startswith(f"recsys: {WRONG_WORDS[words]}")
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not list(tmp_path.iterdir())


def test_every_verb_has_a_wrong_use() -> None:
    assert {words.split()[0] for words in WRONG_WORDS if words} >= set(VERBS)


def test_words_may_come_in_any_order_and_values_may_look_like_words(tmp_path, capsys) -> None:
    (tmp_path / "[1].csv").write_text("a,b\n1.5,x y\n")
    (tmp_path / "--b.csv").write_text("a,b\n1.5,x y\n")
    files = [str(tmp_path / "[1].csv"), str(tmp_path / "--b.csv")]
    assert main(["init", *files, "--out", "unused", "--out", str(tmp_path / "project")]) == NO
    assert "There are [1].csv: a, b; --b.csv: a, b" in capsys.readouterr().err
    assert main(["features", "none", "--request=-5"]) == NO
    assert "none is not a folder" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_fault_of_ours(line) -> None:
    command = [sys.executable, "-m", "recsys.cli", "check", str(line.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 128 + signal.SIGPIPE
    assert not said


def test_a_reader_that_leaves_the_help_is_none_either() -> None:
    command = [sys.executable, "-m", "recsys.cli", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 128 + signal.SIGPIPE
    assert not said


def test_a_closed_output_is_no_fault_and_a_full_one_is_said_in_one_line(line) -> None:
    words = [sys.executable, "-m", "recsys.cli", "check", str(line.data)]
    closed = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], check=False, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (FINE, "")
    full = subprocess.run(
        ["sh", "-c", 'exec "$@" >/dev/full', "sh", *words], check=False, capture_output=True, text=True
    )
    assert full.returncode == FAILED
    assert full.stderr.startswith(
        "recsys: there is no room left to write ([Errno 28] No space left on device); make room"
    )
    assert "Traceback" not in full.stderr


SMALL_DISK = 'mount -t tmpfs -o size="$0" tmpfs "$1" && shift && "$@"; status=$?; ls -A "$OUT"; exit $status'


@pytest.mark.parametrize(
    ("size", "words", "left"),
    [
        ("100k", "train {data} --config {config} --out {out}/model", ["model.training"]),
        ("40k", "features {data} --config {config} --out {out}/table", []),
        ("40k", "world --out {out}/world --items 150 --users 50 --requests 600 --days 5", []),
        ("40k", "score {model} {data} --candidates {data}/requests.parquet --out {out}/answer", []),
        ("4k", "evaluate {model} {data} --json {out}/a.json", []),
        ("8k", "compare popularity {model} {data} --html {out}/page.html", []),
        ("40k", "init {data}/items.parquet {data}/events.parquet --out {out}/project", []),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_a_full_disk_ends_every_verb_in_one_line_and_leaves_nothing_half_written(
    line, config, tmp_path, size, words, left
) -> None:
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    disk = tmp_path / "disk"
    disk.mkdir()
    places = {"data": line.data, "model": line.model, "config": config, "out": disk}
    command = [sys.executable, "-m", "recsys.cli", *words.format(**places).split()]
    small = ["unshare", "-rm", "sh", "-c", SMALL_DISK, size, str(disk), *command]
    environment = os.environ | {"OUT": str(disk)}
    done = subprocess.run(small, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == FAILED, done.stderr
    said = [each for each in done.stderr.splitlines() if each.startswith("recsys: ")]
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert str(disk) in said[0]
    assert "Traceback" not in done.stderr
    assert done.stdout.split("\n")[-len(left) - 1 :] == [*left, ""]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "m", "d", "--candidates", "", "--out", "o"], "the word after --candidates is empty"),
        (["check", ""], "the word after check is empty"),
        (["train", "d", "--config=", "--out", "o"], "the word --config= is empty"),
        (["init", "a.csv", "", "--out", "o"], "the word after a.csv is empty"),
    ],
)
def test_an_empty_word_is_no_path_to_the_working_folder(words, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == WRONG_USE
    assert f"recsys: {said}; write what it shall be, or leave it out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_messages_stand_above_a_bar_that_is_being_drawn(monkeypatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = _AboveBars(terminal)
    with progress(2, "waving", "hand"):
        handler.emit(logging.LogRecord("recsys", logging.INFO, "", 0, "one hand", (), None))
    first, rest = terminal.getvalue().split("\n")
    drawn, cleared, message = first.strip("\r").split("\r")
    assert drawn.startswith("waving   0% |")
    assert not cleared.strip()
    assert message == "one hand"
    assert rest.strip("\r").startswith("waving   0% |")
