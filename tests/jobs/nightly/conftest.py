"""A nightly job on a small world, and its first night, which is made once."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.init.toml import Entry, Section, write_toml
from recsys.jobs.nightly.job import run_night
from recsys.jobs.nightly.night import NightDone
from recsys.jobs.nightly.settings import Configured, read_nightly
from recsys.world import WorldSettings, make_world

FIRST, SECOND = datetime(2025, 3, 9, 4, tzinfo=UTC), datetime(2025, 3, 10, 4, tzinfo=UTC)
"""Moments of two nights."""


class Job:
    """A folder with a source, a configuration and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def config(self) -> Path:
        return self.folder / "night.toml"

    @property
    def configured(self) -> Configured:
        return read_nightly(self.config)

    @property
    def home(self) -> Path:
        return self.folder / "nights"

    def run(self, at: datetime | None = FIRST) -> NightDone:
        return run_night(self.configured, at)

    def change(self, before: str, after: str) -> None:
        text = self.config.read_text()
        assert before in text
        self.config.write_text(text.replace(before, after))

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"source/{name}.parquet")

    def rewrite(self, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        change(self.table(name)).write_parquet(self.folder / f"source/{name}.parquet")

    def lists(self) -> pl.DataFrame:
        return pl.read_parquet(self.home / "live/rankings/*.parquet").sort("request_id", "rank")

    def files(self) -> dict[str, bytes]:
        """What readers and the next night find, without logs."""
        found = [*(self.home / "lists").rglob("*"), *(self.home / "models").rglob("*")]
        return {str(path.relative_to(self.home)): path.read_bytes() for path in found if path.is_file()}


def write_job(folder: Path, encoder: Path, **more: Section) -> Job:
    world = make_world(WorldSettings(seed=5, items=200, users=150, days=9, history_days=3, requests=1_800))
    world.dataset.write(folder / "source")
    sections = [
        Section((), (Entry("home", "nights"),)),
        Section(("source",), (Entry("folder", "source"),)),
        Section(("lists",), (Entry("top", 5), Entry("context", {"device": "mobile"}))),
        Section(("settings", "windows"), (Entry("fractions", [0.3, 0.35, 0.15, 0.2]),)),
        Section(
            ("settings", "text"),
            (Entry("encoder", str(encoder)), Entry("max_tokens", 24), Entry("epochs", 1), Entry("teacher_epochs", 0)),
        ),
        Section(
            ("settings", "features"),
            (Entry("windows", ["6h", "1d"]), Entry("affinity", ["category"]), Entry("context", ["device"])),
        ),
        Section(("settings", "candidates"), (Entry("sources", ["popular", "recent"]), Entry("size", 30))),
        Section(("settings", "ranker"), (Entry("rounds", 20), Entry("rows_per_leaf", 20))),
        *more.values(),
    ]
    (folder / "night.toml").write_text(write_toml("A small nightly job.", sections))
    return Job(folder)


@pytest.fixture(scope="session")
def first_night(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job after its first night; copy it before anything is changed."""
    job = write_job(tmp_path_factory.mktemp("job") / "job", tiny_encoder)
    assert job.run().good
    return job


@pytest.fixture
def job(first_night: Job, tmp_path: Path) -> Job:
    """A job of one's own after its first night."""
    shutil.copytree(first_night.folder, tmp_path / "job", symlinks=True)
    return Job(tmp_path / "job")
