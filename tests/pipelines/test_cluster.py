import polars as pl

from pipelines.cluster import plan, write_lists
from tests.conftest import Line

RUN = {"rows_per_second": 50_000.0, "seconds": 40.0, "own_core_seconds": 36.0, "peak_gib": 0.7, "worker_peak_gib": 0.65}
RATES = {
    "candidates": 2_000_000,
    "events": 1_000_000,
    "users": 10_000,
    "state_bytes": 107_374_182.4,
    "read_bytes": 20_000_000,
    "written_bytes": 40_000_000,
    "moved_bytes_per_row": 100.0,
    "part": 250_000,
    "texts_per_core_second": 100.0,
    "runs": {"0": RUN, "1": {**RUN, "own_core_seconds": 3.6}},
}


def test_what_is_measured_is_multiplied_by_users_and_told_apart() -> None:
    told = plan(RATES, [10_000_000], 1_000_000, 0.1, 10_000.0, 400)
    rows = {cells[0]: cells[1] for line in told.splitlines() if (cells := line.strip("| ").split(" | "))[1:]}
    assert told.startswith("Measured on this machine, 2,000,000 candidates in lists of 500: one process 50,000 ")
    assert rows["candidates"] == "5 billion"
    assert rows["tasks of 250,000"] == "20,000"
    assert rows["core-hours of workers"] == "25"  # 5e9 * 18e-6 / 3600
    assert rows["workers for a night of 4 h"] == "6"
    assert rows["core-hours of the process that cuts, gives out and commits"] == "2.5"
    assert rows["bytes moved, to workers and back"] == "500 GB"
    assert rows["commands side by side for 4 h, each with its share of users"] == "1"
    assert rows["state, with 100 showings and events a user"] == "100 GiB"
    assert rows["memory of a worker, as measured"] == "0.65 GiB"
    assert rows["memory of the one process that makes it, 400 bytes for each (docs/nightly.md)"] == "373 GiB"
    assert rows["of it mapped by a task, what is of 65,536 users"] == "0.66 GiB"  # of 10 KiB each
    assert rows["core-hours to read all texts of 1 million items once"] == "2.8"
    assert rows["GPU-hours to read them instead, at 10,000 a second (assumed)"] == "0.03"
    assert rows["cost at 0.1 a core-hour"] == "3"


def test_lists_are_whole_and_of_users_who_asked(line: Line, tmp_path) -> None:
    write_lists(line.dataset, 3_000, tmp_path / "lists.parquet")
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert lists["request_id"].n_unique() == 6
    assert set(lists.group_by("request_id").len()["len"]) == {200}  # all items that there are
    assert lists.select("request_id", "item_id").is_unique().all()
    assert set(lists["user_id"]) <= set(line.dataset.requests["user_id"])
