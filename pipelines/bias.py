"""What position bias costs and what correcting it brings back, on worlds whose lists are looked at in known ways.

Lists of a simulated world are put into an order that misleads, old before new, and clicked anew: as each family of
examination says, or looked at alike everywhere as often. Behaviour alone learns from either, and is judged on later
lists with clicks that no place had a part in.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.families import read
from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS
from recsys.evaluation.measures import ndcg, per_request
from recsys.features.columns import FROM_TEXTS
from recsys.jobs.position_bias import learn_bias
from recsys.jobs.train import grow_with_valid
from recsys.model.prepared import prepare
from recsys.settings import Settings, load_settings
from recsys.world import WorldSettings, make_world
from recsys.world.policy import plackett_luce
from recsys.world.world import World

Floats = npt.NDArray[np.float64]
Lists = npt.NDArray[np.float64]
"""One row per list, one column per place; -inf or 0 where a list is shorter."""

Clicks = Callable[[Lists, np.random.Generator], npt.NDArray[np.bool_]]
"""From the chances of a click where it is looked at, in the order shown, to clicks."""

SURE = 8.0
"""How much more likely, in log odds, what is old stands above what is new."""
DRAWS = 20
"""How often clicks of the judged lists are drawn."""
_MEASURE = ndcg(10)


def power(steepness: float) -> Clicks:
    """Look at place k with probability k ** -steepness."""

    def click(chances: Lists, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        looked = np.arange(1, chances.shape[1] + 1) ** -steepness
        return np.asarray(rng.random(chances.shape) < looked * chances)

    return click


def cascade(chances: Lists, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Look from the top down, go on with probability 0.7, after a click with probability 0.2."""
    clicked = np.zeros(chances.shape, bool)
    looking = np.ones(len(chances), bool)
    for place in range(chances.shape[1]):
        clicked[:, place] = looking & (rng.random(len(chances)) < chances[:, place])
        looking &= rng.random(len(chances)) < np.where(clicked[:, place], 0.2, 0.7)
    return clicked


def trust(chances: Lists, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Look at place k with probability 1 / k, and click what is not liked there with probability 0.25 / k."""
    place = np.arange(1, chances.shape[1] + 1)
    believed = chances + np.where(chances > 0, (1 - chances) * 0.25 / place, 0.0)
    return np.asarray(rng.random(chances.shape) < believed / place)


FAMILIES: dict[str, Clicks] = {
    "power 0.5": power(0.5),
    "power 1": power(1.0),
    "power 1.5": power(1.5),
    "power 2": power(2.0),
    "cascade": cascade,
    "trust": trust,
    "none": power(0.0),
}
"""How lists are looked at."""


def main() -> None:
    """Print a line per world, and what all of them that bias costs enough say together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML settings file")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value", help="change one setting")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lists", type=int, default=16_000)
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=[*FAMILIES])
    parser.add_argument("--without-propensity", action="store_true", help="logs do not say how lists were drawn")
    parser.add_argument("--costs", type=float, default=0.02, help="worlds that bias costs less are not pooled")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    settings = load_settings(options.config, options.set)
    worlds = {}
    for seed in range(1, 1 + options.seeds):
        world = make_world(WorldSettings(seed=seed, requests=options.lists))
        for family in options.families:
            name = f"{family}, seed {seed}"
            worlds[name] = judge(world, FAMILIES[family], settings, seed, options.without_propensity)
            print(name, json.dumps(worlds[name][0]), flush=True)
    pooled = [reached for found, reached in worlds.values() if found["cost"] >= options.costs]
    told = {name: found for name, (found, _) in worlds.items()} | {"recovered": recovered(pooled) if pooled else None}
    options.out.write_text(json.dumps(told, indent=2) + "\n")
    print(f"recovered over {len(pooled)} worlds: {told['recovered']}")


def judge(
    world: World, click: Clicks, settings: Settings, seed: int, without_propensity: bool
) -> tuple[dict[str, object], pl.DataFrame]:
    """Say what bias costs in one world and what is done about it; and nDCG@10 by list of each log and correction."""
    biased, chances = shown(world, click, seed)
    rate = biased.requests["label"].mean() / chances.mean()
    looked_alike, _ = shown(world, lambda of, rng: rng.random(of.shape) < rate * of, seed)
    if without_propensity:
        biased = replace(biased, requests=biased.requests.drop("propensity"))
    settings = settings.model_copy(update={"seed": seed})
    _, users, (fair,) = reach(looked_alike, chances, settings, ["none"])
    by, _, (plain, mended) = reach(biased, chances, settings, ["none", settings.ranker.position_bias])
    # no draw of a list may hold a click
    reached = pl.DataFrame({"user_id": users, "fair": fair, "plain": plain, "mended": mended}).fill_nan(None)
    mean = {name: float(reached[name].mean()) for name in ("fair", "plain", "mended")}  # type: ignore[arg-type]
    found = mean | {"cost": mean["fair"] - mean["plain"], "won": mean["mended"] - mean["plain"], "by": by}
    return {name: round(of, 4) if isinstance(of, float) else of for name, of in found.items()}, reached


def shown(world: World, click: Clicks, seed: int) -> tuple[Dataset, Floats]:
    """Order the lists of a world anew, what is old first, and click them.

    Returns
    -------
    The tables, and the chance of a click of each row of requests where it is looked at.
    """
    rng = np.random.default_rng(seed)
    requests, items = world.dataset.requests, world.dataset.items
    rows = requests.with_columns(chance=world.truth["click_probability_unbiased"]).join(
        items.select("item_id", "available_at"), on="item_id", maintain_order="left"
    )
    days = (rows["timestamp"] - rows["available_at"]).dt.total_seconds().to_numpy() / 86_400
    first = requests["request_id"].rle_id().to_numpy()
    starts = np.searchsorted(first, np.arange(first[-1] + 2))
    lengths = np.diff(starts)
    row = np.repeat(np.arange(len(lengths)), lengths)
    column = np.arange(len(rows)) - np.repeat(starts[:-1], lengths)
    scores = np.full((len(lengths), lengths.max()), -np.inf)
    scores[row, column] = -SURE * np.exp(-np.maximum(days, 0.0))
    chances = np.zeros(scores.shape)
    chances[row, column] = rows["chance"].to_numpy()
    order, propensity = plackett_luce(scores, rng)
    clicked = click(np.take_along_axis(chances, order, axis=1), rng)
    place = np.argsort(order, axis=1)
    given: dict[str, npt.NDArray[np.generic]] = {
        "position": 1 + place[row, column],
        "propensity": np.take_along_axis(propensity, place, axis=1)[row, column],
        "label": np.take_along_axis(clicked, place, axis=1)[row, column].astype(np.int8),
    }
    told = requests.with_columns(**{name: pl.Series(values) for name, values in given.items()})
    return replace(world.dataset, requests=told), chances[row, column]


def reach(
    dataset: Dataset, chances: Floats, settings: Settings, corrections: list[str]
) -> tuple[str, pl.Series, list[Floats]]:
    """Learn from a log by each of some corrections.

    Returns
    -------
    What was done about places by the last one, the users of the judged lists, and by each correction the lists' nDCG@10
    with clicks that are drawn by the chances alone, the mean of several draws.
    """
    windows = read(prepare(dataset, settings))
    ranker, valid, test = (
        replace(of, examples=of.examples.without(FROM_TEXTS), learnt=of.learnt.without(FROM_TEXTS))
        for of in (windows[name] for name in WINDOWS[1:])
    )
    known = dataset.requests.select("request_id", "item_id", chance=pl.Series(chances))
    chance = test.requests.join(known, on=["request_id", "item_id"], how="left", maintain_order="left")["chance"]
    starts, found = test.examples.starts, list[Floats]()
    for correction in corrections:
        asked = settings.ranker.model_copy(update={"position_bias": correction})
        bias = learn_bias(ranker, valid, asked, settings.seed)
        scores = grow_with_valid(ranker.examples, valid.examples, settings, bias).final.score(test.examples.table)
        rng = np.random.default_rng(settings.seed)
        drawn = [
            per_request((_MEASURE,), (rng.random(len(chance)) < chance.to_numpy()).astype(np.int64), scores, starts)[0]
            for _ in range(DRAWS)
        ]
        found.append(np.nanmean(drawn, axis=0))
    return bias.correction, test.requests["user_id"].gather(starts[:-1]), found


def recovered(worlds: list[pl.DataFrame], resamples: int = 1000) -> dict[str, float]:
    """Give the share of what bias costs that was won back, all worlds together, with a 95 % interval over users."""
    rng, shares = np.random.default_rng(0), []
    sums = [world.drop_nulls().group_by("user_id").agg(pl.exclude("user_id").sum()).sort("user_id") for world in worlds]
    tables = [(of["mended"] - of["plain"]).to_numpy() / len(w) for of, w in zip(sums, worlds, strict=True)]
    costs = [(of["fair"] - of["plain"]).to_numpy() / len(w) for of, w in zip(sums, worlds, strict=True)]
    for _ in range(resamples):
        draws = [np.bincount(rng.integers(len(of), size=len(of)), minlength=len(of)) for of in tables]
        won, cost = (sum(float(d @ of) for d, of in zip(draws, each, strict=True)) for each in (tables, costs))
        shares.append(won / cost)
    share = sum(of.sum() for of in tables) / sum(of.sum() for of in costs)
    low, high = np.quantile(shares, [0.025, 0.975])
    return {"share": round(float(share), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


if __name__ == "__main__":
    main()
