"""Nights that are killed end as unbroken ones, and the gate lets clean ones through."""

from pathlib import Path

import pytest

from pipelines import nights
from recsys.world import WorldSettings

pytestmark = pytest.mark.slow

SMALL = WorldSettings(seed=3, items=100, users=50, days=8, requests=600)


def test_a_night_is_killed_gone_on_with_and_read_all_along(tiny_encoder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(nights, "WORLD", SMALL)
    found = nights.killed(tmp_path / "kills", 1, 1, str(tiny_encoder))
    assert (found.nights, found.faults) == (1, [])
    assert found.stopped == sum(found.steps.values()) > 0
    assert found.reads > 2
    assert {path.name for path in (tmp_path / "kills").iterdir()} == {"first", "whole"}


def test_a_difference_of_a_byte_and_a_reader_who_finds_half_are_faults(tiny_encoder: Path, tmp_path: Path) -> None:
    job = tmp_path / "job"
    (job / "nights/lists/a/rankings").mkdir(parents=True)
    (job / "nights/live").symlink_to("lists/a")
    found = nights.Found()
    with nights._reader(job, found):
        for _ in range(10**8):  # of looks at what shall come
            if found.faults:
                break
    assert "a reader of a failed: " in found.faults[0]
    assert nights._bytes(job) == {"live": b"lists/a"}


def test_clean_nights_are_published(tiny_encoder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(nights, "CLEAN", SMALL.model_copy(update={"days": 12, "requests": 900}))
    monkeypatch.setattr(nights, "HISTORY", 8)
    found = nights.clean(tmp_path / "clean", 2, 4, str(tiny_encoder))
    assert (found.nights, len(found.seconds), found.faults) == (2, 2, [])
