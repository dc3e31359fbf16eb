"""The whole line on the simulated world: tables, model, evaluation beside the best possible, rankings, report."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from recsys.evaluation.evaluation import BEST_POSSIBLE
from recsys.evaluation.reports.evaluation_report import to_text
from recsys.files import new_folder, refuse_existing
from recsys.jobs.judging import Judgement
from recsys.jobs.report import make_page
from recsys.jobs.score import score
from recsys.jobs.train import STAGES, train
from recsys.model.folder import Model
from recsys.progress import Story
from recsys.settings import Settings
from recsys.shown import counted
from recsys.world.sizes import WorldSettings
from recsys.world.world import World, make_world


def demo_settings(world: WorldSettings) -> Settings:
    """Choose settings for a simulated world: the test window is its tail of lists in random order."""
    tail = world.random_tail
    return Settings.model_validate(
        {
            "windows": {"fractions": [0.2, 0.5, round(0.3 - tail, 9), tail]},
            # Short English texts and few requests: quick steps with high rates learn most in a few minutes.
            "text": {
                "block": "5d",
                "lexicon": 256,
                "dimension": 256,
                "trainable_layers": 1,
                "epochs": 3,
                "head_epochs": 3,
                "requests_per_step": 256,
                "steps_per_update": 1,
                "learning_rate": 1e-3,
                "head_learning_rate": 3e-3,
            },
            "features": {
                "windows": ["1h", "6h", "1d", "7d"],
                "affinity": ["category", "subcategory"],
                "events": ["view", "like", "share", "comment"],
                "context": ["device"],
            },
        }
    )


def run_demo(out: str | Path, world: WorldSettings | None = None, settings: Settings | None = None) -> str:
    """Make a world, train on it, evaluate, score the lists of its last day, and say how it went.

    Parameters
    ----------
    out
        Folder to write: `data/`, `truth.parquet`, `model/`, `scored/`, `report.html`, `metrics.json`.
    world, settings
        Size of the world and settings of the model; those of the demonstration when left out.

    Returns
    -------
    The table of rankers and what was written, for the terminal.

    Raises
    ------
    DataError
        When `out` holds anything.
    """
    out = Path(out)
    refuse_existing(out)
    world = world or WorldSettings()
    story = Story(2 + STAGES)
    people = counted(world.users, "user")
    story.begin(f"simulating {people} who see {counted(world.requests, 'list')} of {counted(world.items, 'item')}")
    made = make_world(world)
    shown = made.dataset.requests
    clicks = counted(shown.filter(pl.col("label") > 0).height, "click")
    story.end(f"{clicks} on {counted(shown.height, 'candidate')}; all that follows goes to {out}")
    with new_folder(out) as staging:
        made.dataset.write(staging / "data")
        made.truth.write_parquet(staging / "truth.parquet")
        judgement = train(made.dataset, settings or demo_settings(world), staging / "model", story=story)
        judgement = judgement.beside(BEST_POSSIBLE, _true_utility(made, judgement))
        requests = judgement.window.requests
        last_day = requests.filter(pl.col("timestamp") >= pl.col("timestamp").max().dt.truncate("1d"))
        story.begin("ranking the lists of the last day, as a nightly batch does")
        scored = score(staging / "model", made.dataset, last_day.drop("label"), staging / "scored")
        page = make_page(judgement, Model.load(staging / "model"), made.dataset)
        (staging / "report.html").write_text(page)
        (staging / "metrics.json").write_text(json.dumps(judgement.evaluation.to_json(), indent=2) + "\n")
        story.end(f"{counted(scored.requests, 'list')} ranked, and a report of all of it written")
    return (
        f"{to_text(judgement.evaluation)}\n"
        f"the last day's {scored.requests:,} lists, {scored.rankings:,} candidates, are ranked in {out / 'scored'}\n"
        f"tables: {out / 'data'}   model: {out / 'model'}   report: {out / 'report.html'}"
    )


def _true_utility(made: World, judgement: Judgement) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    keys = judgement.window.requests.select("request_id", "item_id")
    joined = keys.join(made.truth, on=["request_id", "item_id"], how="left", maintain_order="left")
    return joined["utility"].to_numpy()
