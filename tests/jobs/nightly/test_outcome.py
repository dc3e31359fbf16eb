from datetime import UTC, datetime
from pathlib import Path

from recsys.jobs.nightly.home import Published
from recsys.jobs.nightly.outcome import NightDone

LISTS = Published("monday", datetime(2025, 1, 6, tzinfo=UTC), "first", None)


def test_a_night_says_what_readers_find_now() -> None:
    home = Path("nights")
    assert NightDone(LISTS).in_words(home) == "lists of monday, ranked by the model first, are live in nights/live"
    assert (
        NightDone(LISTS, nothing=True).in_words(home).startswith("nothing to do: nights/live holds the lists of monday")
    )
    behind = NightDone(LISTS, notes=("nights/live stays with the later lists of friday",), live=False).in_words(home)
    assert behind.splitlines() == [
        "nights/live stays with the later lists of friday",
        "lists of monday are made, and lie in nights/lists/monday",
    ]
    refused = NightDone(None, ("lists: 3 users have one",))
    assert not refused.good
    assert refused.in_words(home).splitlines() == [
        "refused: lists: 3 users have one",
        "nothing was published; the lists of before stay in nights/live",
    ]
