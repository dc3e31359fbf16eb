"""Kinds of words: what they are read as, and what is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cyclopts import App, CycloptsError

from recsys.arguments import Moment, Span, Verbose, Whole, Written
from recsys.errors import DataError


def heard(kind: object, *words: str) -> object:
    """Give what a verb with one word of a kind hears."""
    app = App(exit_on_error=False, print_error=False, result_action="return_value")

    def verb(*, word: kind = None) -> object:  # type: ignore[valid-type]
        return word

    app.default(verb)
    return app(words)


def test_a_whole_number_is_not_rounded() -> None:
    assert heard(Whole, "--word", "7") == 7
    for word in ("1.5", "7.0", "seven"):
        with pytest.raises(CycloptsError):
            heard(Whole, "--word", word)


def test_a_moment_without_a_zone_is_utc() -> None:
    assert heard(Moment, "--word", "2025-01-02T03:04:05") == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_span_is_a_duration() -> None:
    assert heard(Span, "--word", "7d") == timedelta(days=7)
    with pytest.raises(CycloptsError, match="'7' is not a duration"):
        heard(Span, "--word", "7")


def test_a_file_that_cannot_be_written_is_refused_and_none_is_none(tmp_path: Path) -> None:
    assert heard(Written) is None
    assert heard(Written, "--word", str(tmp_path / "a.json")) == tmp_path / "a.json"
    with pytest.raises(DataError, match="cannot be written"):
        heard(Written, "--word", str(tmp_path))


def test_verbose_is_given_or_not() -> None:
    assert heard(Verbose, "--word") is True
    with pytest.raises(CycloptsError, match="loud"):
        heard(Verbose, "--word=loud")
