"""Items that are published while a process serves: told beside many others and ranked with their texts, without torch."""

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys import Ranker, train
from recsys.model.folder import State
from recsys.settings import load_settings
from recsys.world import WorldSettings, make_world
from tests.benchmarks.timing import timed

CONFIG = "pipelines/world.toml"
ITEMS, TOLD, LIMIT = 100_000, 30, 1.0
"""Items that the process knows, items that it is told of one by one, and seconds that one may take to be ranked."""


def bench_news() -> list[dict[str, object]]:
    """Train on a small world, let its state hold many items, and tell a fresh process of new ones."""
    world = make_world(WorldSettings(seed=1, items=400, users=100, days=4, requests=1_000))
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        settings = load_settings(CONFIG, ["text.epochs=0", "text.backend=onnx", "ranker.rounds=60"])
        train(world.dataset, settings, folder / "model")
        state = State.load(folder / "model/state", folder / "model")
        _grown(state, ITEMS).save(folder / "state", folder / "model", settings)
        world.dataset.requests.drop("label").write_parquet(folder / "requests.parquet")
        world.dataset.items.write_parquet(folder / "items.parquet")
        command = [sys.executable, "-m", "tests.benchmarks.news", str(folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    note = (
        f"an item told and ranked beside {ITEMS:,}: first {found['first']:.2f} s, then {found['next']:.3f} s, no torch"
    )
    return [{"name": "item-told", "ratio": round(found["first"] / LIMIT, 2), "against": f"{LIMIT:g} s", "note": note}]


def _grown(state: State, count: int) -> State:
    """Add items that are like those there are, under other ids."""
    items, vectors = state.behaviour.items, state.vectors
    rows = np.random.default_rng(1).integers(len(vectors), size=count - len(items))
    ids = pl.Series("item_id", int(items["item_id"].max()) + 1 + np.arange(len(rows)))  # type: ignore[arg-type]
    known = items[np.random.default_rng(1).integers(len(items), size=len(rows))].with_columns(ids)
    grown = replace(
        vectors,
        item_ids=pl.concat([vectors.item_ids, ids.cast(vectors.item_ids.dtype)]),
        text_hashes=pl.concat([vectors.text_hashes, vectors.text_hashes[rows]]),
        candidate=np.concatenate([vectors.candidate, vectors.candidate[rows]]),
        history=np.concatenate([vectors.history, vectors.history[rows]]),
        appeal=np.concatenate([vectors.appeal, vectors.appeal[rows]]),
    )
    behaviour = replace(state.behaviour, items=pl.concat([items, known.cast(dict(items.schema))]))
    return replace(state, behaviour=behaviour, vectors=grown, log=None, neighbours=None)


def _measure(folder: Path) -> dict[str, float]:
    ranker = Ranker.load(folder / "model", folder / "state")
    requests, items = (pl.read_parquet(folder / f"{name}.parquet") for name in ("requests", "items"))
    asked = requests.filter(pl.col("request_id") == requests["request_id"][-1])
    moment = asked["timestamp"][0] + timedelta(hours=1)
    ranker.rank(asked)
    times = []
    for number in range(TOLD):
        new = items[number : number + 1].with_columns(
            pl.lit(10**9 + number).cast(items.schema["item_id"]).alias("item_id"),
            pl.concat_str(pl.lit(f"news {number}: "), "title").alias("title"),
            pl.lit(moment).cast(items.schema["available_at"]).alias("available_at"),
        )
        candidates = pl.concat([asked, asked[:1].with_columns(new["item_id"])])
        candidates = candidates.with_columns(pl.lit(moment + timedelta(minutes=1)).alias("timestamp"))
        times.append(timed(lambda new=new, candidates=candidates: _told(ranker, new, candidates))[0])
    assert "torch" not in sys.modules
    return {"first": times[0], "next": statistics.median(times[1:])}


def _told(ranker: Ranker, new: pl.DataFrame, candidates: pl.DataFrame) -> None:
    taken, ranked = ranker.update(items=new), ranker.rank(candidates)
    assert taken.untexted == 0
    assert not ranked.filter(pl.col("item_id") == new["item_id"][0])["unknown_item"].any()


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]))))
