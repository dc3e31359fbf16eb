"""What the README says can be run as it stands."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from recsys.jobs.demo import run_demo
from recsys.settings import Settings
from recsys.verbs import APP
from recsys.world import WorldSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, flags=re.DOTALL)
    assert found
    return found[1]


def test_the_set_up_is_two_commands_that_the_makefile_knows() -> None:
    first = re.search(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert first
    assert first[1].split("\n") == ["make demo", "make test", ""]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_example_runs_after_the_demonstration(small_settings, tmp_path, monkeypatch, capsys) -> None:
    run_demo(tmp_path / "build/demo", WorldSettings(items=200, users=60, days=5, requests=500), small_settings)
    monkeypatch.chdir(tmp_path)
    assert len([line for line in block("example").splitlines() if line]) == 5
    exec(compile(block("example"), "README.md", "exec"), {})
    assert "score" in capsys.readouterr().out


def test_the_settings_file_holds_every_section_and_is_valid() -> None:
    content = tomllib.loads(block("settings"))
    settings = Settings.model_validate(content)
    assert set(content) == set(Settings.model_fields)
    assert settings.time == Settings().time
    assert settings.text == Settings().text
    assert settings.labels == Settings().labels


@pytest.mark.parametrize("line", re.findall(r"^recsys .*", README, flags=re.MULTILINE))
def test_every_command_line_is_understood(line: str) -> None:
    words = shlex.split(line.split("#")[0])[1:]
    verb, given, _ = APP.parse_args(words)
    verb_of = next(word for word in words if word in APP)
    assert verb.__name__.rstrip("_") == verb_of
    assert set(given.arguments) <= set(given.signature.parameters)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
