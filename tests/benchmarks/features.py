"""The behavioural feature table against the same table in pandas."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from recsys.data.importers import read_source
from recsys.data.tables import Dataset
from recsys.features.columns import TEXT_COLUMNS
from recsys.features.plan import build_features
from recsys.model.prepared import behaviour_of
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.settings import Settings, load_settings
from recsys.world import WorldSettings, make_world
from tests.benchmarks.pandas_features import PandasFeatures
from tests.benchmarks.timing import seconds

EBNERD = Path("../shared/data/ebnerd_demo")
CONFIG = "pipelines/ebnerd.toml"
PLAIN = (
    'features.context=["device"]',
    'features.values=["click"]',
    "features.events=[]",
    "features.without=[]",
    "features.declarations=[]",
)
"""What the peer computes, and what a simulated world holds, too."""

RUNS = 3

SIMULATED = WorldSettings(items=5_000, users=5_000, requests=25_000)
"""What is measured where no real log lies beside the checkout."""


def read_logged_requests() -> tuple[str, Dataset]:
    """Read EB-NeRD where it lies beside the checkout, else simulate a world."""
    if EBNERD.is_dir():
        return "EB-NeRD", read_source("ebnerd", EBNERD).plain()
    return "simulated", make_world(SIMULATED).dataset


def bench_features() -> list[dict[str, object]]:
    """Compute every behavioural column of all logged requests, from tables of ids to tables of numbers."""
    name, dataset = read_logged_requests()
    settings = load_settings(CONFIG, PLAIN)
    tables = _pandas_tables(dataset, settings)
    peer = PandasFeatures(**tables)
    mine, theirs = _own(dataset, settings), peer.table()
    order = peer.candidates.sort_values(["request_id", "item_id"]).index
    columns = _hold_equal(mine, theirs.loc[order])
    own_seconds, peer_seconds = seconds(
        lambda: _own(dataset, settings), lambda: PandasFeatures(**tables).table(), runs=RUNS
    )
    note = (
        f"{len(dataset.requests):,} candidate rows of {name}, {columns} columns, all of equal values: "
        f"{own_seconds:.2f} s against {peer_seconds:.2f} s"
    )
    ratio = round(peer_seconds / own_seconds, 1)
    return [{"name": "features", "ratio": ratio, "against": "pandas merge_asof and groupby", "note": note}]


def _own(dataset: Dataset, settings: Settings) -> pl.DataFrame:
    log = Log(behaviour_of(dataset, settings.features.kept), settings.clock, settings.text.history)
    return build_features(Asked.of(dataset.requests, log), settings.features, None)


def _pandas_tables(dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """Hand the same tables to the peer."""
    columns = ["request_id", "user_id", "item_id", "timestamp", "label", *settings.features.context]
    return {
        "items": behaviour_of(dataset, settings.features.kept).items.to_pandas(),
        "events": dataset.events.to_pandas(),
        "requests": dataset.requests.select(columns).to_pandas(),
        "settings": settings.features,
        "delay": settings.labels.clock(settings.time).feedback_delay,
    }


def _hold_equal(own: pl.DataFrame, peer: pd.DataFrame) -> int:
    """Refuse a column that differs or that only one side has; return how many there are."""
    assert {*own.columns} - {*TEXT_COLUMNS} == {*peer.columns}
    for name in peer.columns:
        if own[name].dtype == pl.Float32:
            np.testing.assert_allclose(own[name].to_numpy(), peer[name].to_numpy(), 1e-6, 1e-7, err_msg=name)
        else:
            theirs = [None if pd.isna(value) else value for value in peer[name]]
            assert own[name].to_list() == theirs, name
    return len(peer.columns)
