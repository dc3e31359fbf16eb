import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.tables import Dataset
from recsys.schema import EVENTS, ITEMS, REQUESTS, TIME, USERS
from recsys.world import World, WorldSettings, make_world

SAMPLE = WorldSettings(seed=7, items=120, users=40, days=4, history_days=3, requests=250, browsing=6)
TINY = WorldSettings(items=100, users=10, days=2, requests=40)
ROOT = Path(__file__).parents[2]


def frames(world: World) -> dict[str, pl.DataFrame]:
    data = world.dataset
    assert data.users is not None
    tables = {"items": data.items, "events": data.events, "requests": data.requests, "users": data.users}
    return tables | {"truth": world.truth, "facets": world.facets}


def test_tables_have_their_columns_and_moments_are_utc(world):
    data = world.dataset
    for table, frame in ((ITEMS, data.items), (EVENTS, data.events), (REQUESTS, data.requests), (USERS, data.users)):
        assert set(table.required) <= set(frame.columns)
        if table.key:
            assert frame.select(table.key_of(frame.columns)).is_unique().all()
        for column in table.columns:
            if column.kind == "time" and column.name in frame.columns:
                assert frame.schema[column.name] == TIME
    assert data.requests.columns == [
        *("request_id", "user_id", "timestamp", "item_id", "position", "propensity", "label", "device")
    ]


def test_tables_hold_together(world):
    data = world.dataset
    for frame in (data.events, data.requests):
        assert frame.join(data.items, on="item_id", how="anti").is_empty()
        assert frame.join(data.users, on="user_id", how="anti").is_empty()
        assert (
            frame.join(data.items, on="item_id")["available_at"] <= frame.join(data.items, on="item_id")["timestamp"]
        ).all()


def test_request_has_one_user_one_moment_one_device(world):
    requests = world.dataset.requests
    assert requests["timestamp"].is_sorted()
    assert requests["request_id"].is_sorted()
    for column in ("user_id", "timestamp", "device"):
        assert requests.select("request_id", column).n_unique() == requests["request_id"].n_unique() == 6_000


def test_device_is_mostly_the_usual_one(world):
    visits = world.dataset.requests.unique("request_id").group_by("user_id", "device").len()
    usual = visits.group_by("user_id").agg(pl.col("len").max() / pl.col("len").sum(), visits=pl.col("len").sum())
    assert 0.8 < usual.filter(pl.col("visits") >= 20)["len"].mean() < 0.98


def test_truth_is_aligned_with_requests_and_not_in_the_tables(world):
    assert_frame_equal(
        world.truth.select("request_id", "item_id"), world.dataset.requests.select("request_id", "item_id")
    )
    utility = world.truth["utility"].to_numpy()
    assert world.truth["click_probability_unbiased"].to_numpy() == pytest.approx(1 / (1 + np.exp(-utility)))
    tables = [frame for name, frame in frames(world).items() if name not in ("truth", "facets")]
    assert not {"utility", "click_probability_unbiased", "facet"} & {name for frame in tables for name in frame.columns}


def test_tail_is_announced_only_where_there_is_one():
    assert "The last 20%" in make_world(TINY).dataset.about.notes[1]
    without = make_world(TINY.model_copy(update={"random_tail": 0.0}))
    assert len(without.dataset.about.notes) == 1


def test_same_settings_give_the_same_frames_and_another_seed_others(world):
    first, second = frames(make_world(TINY)), frames(make_world(TINY))
    other = frames(make_world(TINY.model_copy(update={"seed": 2})))
    for name, frame in first.items():
        assert_frame_equal(frame, second[name])
        assert not frame.equals(other[name])


@pytest.mark.slow
def test_number_of_threads_changes_nothing():
    program = (
        "from recsys.world import *; import polars, sys;"
        f"world = make_world(WorldSettings(**{TINY.model_dump()}));"
        "rows = [f.write_csv() for f in (world.dataset.events, world.dataset.requests, world.truth)];"
        "sys.stdout.write(''.join(rows))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 10_000


def test_smallest_world_with_much_browsing_still_works():
    world = make_world(WorldSettings(items=100, users=10, days=2, requests=30, browsing=80, candidates=3))
    assert world.dataset.requests["request_id"].n_unique() == 30


def test_committed_sample_is_what_the_code_makes():
    committed, made = Dataset.read(ROOT / "data" / "sample"), make_world(SAMPLE).dataset
    for name in ("items", "users", "events", "requests"):
        assert_frame_equal(getattr(committed, name), getattr(made, name))
    assert committed.about == made.about


def test_committed_sample_is_small():
    assert sum(path.stat().st_size for path in (ROOT / "data" / "sample").iterdir()) <= 300_000
