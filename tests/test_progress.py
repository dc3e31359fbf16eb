"""A person sees one bar, a log sees a line a minute, short steps say nothing; stages are told in words."""

import io
import logging
import sys

import pytest

import recsys.progress
from recsys.progress import Story, progress


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


def in_three_steps():
    with progress(4, "learning", "period") as advance:
        for _ in range(4):
            with progress(20, "passes", "update") as inner:
                with progress(300, "encode", "text") as innermost:
                    innermost(300)
                inner(20)
            with progress(7, "features", "row") as inner:
                inner(7)
            advance(1)


def test_a_step_inside_another_has_no_bar_but_is_named_beside_that_of_the_outer_one(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(recsys.progress, "_REDRAWN", 0.0)
    in_three_steps()
    drawn = [each.rstrip() for each in sys.stderr.getvalue().split("\r") if each.strip()]
    assert all(each.startswith("learning ") for each in drawn)
    assert any(" 1 of 4 periods, " in each and each.endswith(" to go, passes: 20 of 20 updates") for each in drawn)
    assert any(each.endswith(" to go, features: 7 of 7 rows") for each in drawn)
    assert not any("encode" in each for each in drawn)


def test_a_line_says_what_is_done_inside_and_what_is_left_going_by_what_was_done(monkeypatch, caplog) -> None:
    monkeypatch.setattr(recsys.progress, "EVERY", 0.0)
    with caplog.at_level(logging.INFO):
        in_three_steps()
    assert caplog.messages[0] == "learning: 0 of 4 periods in 0 s; passes: 20 of 20 updates"
    assert caplog.messages[3] == "learning: 1 of 4 periods in 0 s, about 0 s to go; passes: 20 of 20 updates"
    assert caplog.messages[-1] == "learning: 4 of 4 periods in 0 s"


def test_what_takes_longer_counts_for_more_of_the_bar_and_of_what_is_left(monkeypatch, caplog) -> None:
    monkeypatch.setattr(recsys.progress, "EVERY", 0.0)
    clock = iter([0.0, 60.0, 72.0, 84.0])
    monkeypatch.setattr(recsys.progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress(3, "learning", "period", worth=[5.0, 1.0, 1.0]) as advance:
        for _ in range(3):
            advance(1)
    assert caplog.messages == [
        "learning: 1 of 3 periods in 60 s, about 24 s to go",
        "learning: 2 of 3 periods in 72 s, about 12 s to go",
        "learning: 3 of 3 periods in 84 s",
    ]


def test_a_bar_shows_units_and_the_share_of_the_time(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(recsys.progress, "_REDRAWN", 0.0)
    with progress(3, "learning", "period", worth=[8.0, 1.0, 1.0]) as advance:
        advance(1)
        with progress(2, "passes", "update") as inner:
            inner(1)
    assert "learning  80% |" in sys.stderr.getvalue()
    assert "| 1 of 3 periods, " in sys.stderr.getvalue()


def test_a_step_that_fails_makes_room_for_the_next(monkeypatch, caplog) -> None:
    monkeypatch.setattr(recsys.progress, "EVERY", 0.0)
    with (
        pytest.raises(ValueError, match="no"),
        progress(2, "learning", "period"),
        progress(3, "encode", "text"),
    ):
        raise ValueError("no")
    with caplog.at_level(logging.INFO), progress(1, "grow", "tree") as advance:
        advance(1)
    assert caplog.messages == ["grow: 1 of 1 tree in 0 s"]


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (119.4, "119 s"), (150.0, "2 min"), (5_400.0, "90 min")])
def test_a_story_numbers_its_stages_and_says_what_came_of_each_and_in_what_time(
    monkeypatch, caplog, seconds, said
) -> None:
    moments = iter([1_000.0, 1_000.0 + seconds, 9_000.0])
    monkeypatch.setattr(recsys.progress.time, "monotonic", lambda: next(moments))
    story = Story(2)
    with caplog.at_level(logging.INFO):
        story.begin("reading")
        story.end("all was read")
        story.begin("learning")
    assert caplog.messages == ["1/2 reading", f"    all was read ({said})", "2/2 learning"]
