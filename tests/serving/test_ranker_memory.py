"""What a serving process holds does not grow with what it has answered and been told."""

import subprocess
import sys

ROUNDS = """
import os, sys
from datetime import timedelta
from pathlib import Path
import polars as pl
from recsys import Ranker

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

ranker, asked = Ranker.load(sys.argv[1]), pl.read_parquet(sys.argv[2])
moment = ranker.known_until
for number in range(1, 401):
    moment += timedelta(seconds=1)
    ranker.rank(asked.with_columns(timestamp=pl.lit(moment)))
    told = asked.head(1).select("user_id", "item_id", event=pl.lit("view"), timestamp=pl.lit(moment))
    ranker.update(told)
    if number in (100, 400):
        print(resident())
"""


def test_memory_is_flat_after_warm_up(line, tmp_path) -> None:
    line.candidates(1).write_parquet(tmp_path / "asked.parquet")
    words = [sys.executable, "-c", ROUNDS, str(line.model), str(tmp_path / "asked.parquet")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    warm, later = map(float, done.stdout.split())
    assert later - warm < 12  # MiB; a log held for every update takes twice that
