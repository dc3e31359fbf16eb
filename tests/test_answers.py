import json
import logging
from pathlib import Path

import pytest

from recsys.answers import say, tell, write
from recsys.errors import DataError


def test_what_comes_from_the_data_commands_no_terminal(capsys) -> None:
    say("a\x1b[31mred")
    assert "\x1b" not in capsys.readouterr().out


def test_texts_are_written_as_they_are_and_anything_else_as_json(tmp_path: Path) -> None:
    write(None, "nowhere")
    write(tmp_path / "deep/page.html", "<p>")
    write(tmp_path / "deep/numbers.json", {"a": [1]})
    assert (tmp_path / "deep/page.html").read_text() == "<p>"
    assert json.loads((tmp_path / "deep/numbers.json").read_text()) == {"a": [1]}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/page.html cannot be written \(.*\); choose another file"):
        write(tmp_path / "file/page.html", "<p>")


def test_everything_is_told_where_it_is_asked_for_and_not_after() -> None:
    heard = logging.getLogger("recsys.learning")
    tell(verbose=True)
    assert heard.isEnabledFor(logging.DEBUG)
    tell(verbose=False)
    assert heard.isEnabledFor(logging.INFO)
    assert not heard.isEnabledFor(logging.DEBUG)
