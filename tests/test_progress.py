"""A person sees a bar, a log sees a line a minute, and short steps say nothing."""

import io
import logging
import sys

import pytest

import recsys.progress
from recsys.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_that_is_gone_in_the_end(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with caplog.at_level(logging.INFO), progress(200, "encode", "text") as advance:
        advance(150)
        advance(50)
    written = sys.stderr.getvalue()
    assert "encode" in written
    assert written.endswith("\r")
    assert not caplog.messages


@pytest.mark.parametrize(
    ("every", "said"), [(0.0, ["encode: 150 of 200 texts", "encode: 200 of 200 texts"]), (60.0, [])]
)
def test_elsewhere_a_line_is_logged_now_and_then(monkeypatch, caplog, capsys, every, said):
    monkeypatch.setattr(recsys.progress, "EVERY", every)
    with caplog.at_level(logging.INFO), progress(200, "encode", "text") as advance:
        advance(150)
        advance(50)
    assert [message.rpartition(" in ")[0] for message in caplog.messages] == said
    assert capsys.readouterr() == ("", "")


def test_one_unit_is_no_plural(monkeypatch, caplog):
    monkeypatch.setattr(recsys.progress, "EVERY", 0.0)
    with caplog.at_level(logging.INFO), progress(1, "grow", "tree") as advance:
        advance(1)
    assert caplog.messages == ["grow: 1 of 1 tree in 0 s"]
