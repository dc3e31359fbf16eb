"""Models that believe that a click is known soon, where it is and where it is not."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys.data.tables import Dataset
from recsys.jobs.evaluate import evaluate
from recsys.jobs.train import train
from recsys.settings import Settings
from tests.jobs.test_train import changed

pytestmark = pytest.mark.slow


def clicked_after(dataset: Dataset, delay: timedelta) -> Dataset:
    """Let every click come some time after its list."""
    clicked = pl.when(pl.col("label") > 0).then(pl.col("timestamp") + delay)
    return replace(dataset, requests=dataset.requests.with_columns(clicked_at=clicked))


def judged(dataset: Dataset, settings: Settings, folder: Path) -> object:
    train(dataset, settings, folder)
    return evaluate(folder, dataset).to_json()["rankers"]


def test_no_gain_is_told_where_clicks_come_later_than_the_delay_says(small_world, small_settings, tmp_path) -> None:
    """A click has its own moment: believing that clicks are known after a minute makes none known before it came."""
    after_nine = clicked_after(small_world.dataset, timedelta(minutes=9))
    soon, late = (changed(small_settings, time={"click_delay": delay}) for delay in ("1m", "10m"))
    found = [judged(after_nine, each, tmp_path / f"nine-{number}") for number, each in enumerate((soon, late))]
    assert found[0] == found[1]
    assert (tmp_path / "nine-0/ranker.txt").read_bytes() == (tmp_path / "nine-1/ranker.txt").read_bytes()
    untold = [
        judged(small_world.dataset, each, tmp_path / f"untold-{number}") for number, each in enumerate((soon, late))
    ]
    assert untold[0] != untold[1]  # where no moment is logged, the delay is believed
