"""Three made shops as their owners would export them: what init, train and evaluate come to as they stand.

python -m pipelines.shops --out build/prove/shops
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.tables import Dataset
from recsys.evaluation.evaluation import CHOSEN_BEFORE, POPULARITY, PRODUCT
from recsys.evaluation.reports.brief import HEADLINE, brief
from recsys.init.project import init_project
from recsys.jobs.train import train
from recsys.settings import load_settings
from recsys.world import World, WorldSettings, make_world

CANCELLED = 0.2
"""Share of further orders that were cancelled: of anything, by anybody."""


@dataclass(frozen=True)
class Outcome:
    """What a shop's model comes to on its test window.

    Attributes
    ----------
    shop
        Name of the shop.
    means
        nDCG@10 of the model ("both"), of popularity and of what was chosen before.
    sentence, warnings
        What the report tells who decides.
    guesses
        What `init` said.
    made
        What lists that the sources made come to, where none were logged.
    """

    shop: str
    means: dict[str, float]
    sentence: str
    warnings: tuple[str, ...]
    guesses: str
    made: dict[str, object] | None = None


def orders_only(world: World, folder: Path, seed: int) -> None:
    """Write orders and nothing else: customer, article, day and time."""
    _orders(world).drop("price").write_csv(folder / "orders.csv")


def with_catalogue(world: World, folder: Path, seed: int) -> None:
    """Write a catalogue, and orders of which some were cancelled."""
    items, orders, random = world.dataset.items, _orders(world), np.random.default_rng(seed)
    many = int(CANCELLED * len(orders))
    customers = orders["customer"].gather(random.integers(0, len(orders), many))
    void = orders[:many].with_columns(
        customer=customers, sku=items["item_id"].cast(pl.String).gather(random.integers(0, len(items), many))
    )
    both = pl.concat([orders.with_columns(status=pl.lit("paid")), void.with_columns(status=pl.lit("cancelled"))])
    both.sort("ordered_at").write_csv(folder / "orders.csv")
    items.select(sku=pl.col("item_id"), name="title", description="description", category="category").write_csv(
        folder / "products.csv"
    )


def with_retrievers(world: World, folder: Path, seed: int) -> None:
    """Write logged lists whose candidates two retrievers scored, one by the truth with noise and one by noise."""
    requests, random = world.dataset.requests, np.random.default_rng(seed)
    utility = world.truth["utility"].to_numpy() + random.normal(0, 2, len(requests))
    lists = requests.select("request_id", "user_id", "timestamp", "item_id", clicked="label")
    lists = lists.with_columns(bm25_score=pl.Series(utility), ann_score=pl.Series(random.random(len(requests))))
    lists.with_columns(pl.col("timestamp").dt.to_string("iso")).write_csv(folder / "lists.csv")
    world.dataset.items.select("item_id", "title", "description", "category").write_csv(folder / "items.csv")


SHOPS: dict[str, Callable[[World, Path, int], None]] = {
    "orders only": orders_only,
    "catalogue and orders, some cancelled": with_catalogue,
    "lists with the scores of two retrievers": with_retrievers,
}


def run(shop: str, world: World, folder: Path, changes: list[str], seed: int = 0) -> Outcome:
    """Write a shop's files, follow `init`, train as it says and judge.

    Parameters
    ----------
    shop
        A name of `SHOPS`.
    world
        Where its customers live.
    folder
        Where all is written; must not exist.
    changes
        Changes to the settings that `init` wrote; none leaves them as they stand.
    seed
        Of what is drawn.
    """
    (folder / "files").mkdir(parents=True)
    SHOPS[shop](world, folder / "files", seed)
    guesses = init_project([folder / "files"], folder / "project")
    settings = load_settings(folder / "project/settings.toml", changes)
    judgement = train(Dataset.read(folder / "project/data"), settings, folder / "model")
    evaluation = judgement.evaluation
    means = {name: evaluation.overall.rankers[name][HEADLINE].mean for name in (PRODUCT, POPULARITY, CHOSEN_BEFORE)}
    said = brief(evaluation)
    made = None if evaluation.made is None else evaluation.made.to_json()
    return Outcome(shop, means, said.sentence, said.warnings, guesses, made)


def _orders(world: World) -> pl.DataFrame:
    """Turn the clicks of a world into orders."""
    bought = world.dataset.requests.filter(pl.col("label") > 0)
    return bought.select(
        customer="user_id",
        sku=pl.col("item_id").cast(pl.String),
        ordered_at=pl.col("timestamp").dt.to_string("%Y-%m-%d %H:%M:%S"),
        price=pl.lit("12.50"),
    )


def main() -> None:
    """Run all shops and write the outcomes as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    world = make_world(WorldSettings(seed=asked.seed, requests=asked.requests))
    outcomes = []
    for number, shop in enumerate(SHOPS):
        outcome = run(shop, world, asked.out / f"shop-{number}", [], asked.seed)
        outcomes.append(asdict(outcome))
        print(f"{shop}: {outcome.means}\n  {outcome.sentence}")
    (asked.out / "shops.json").write_text(json.dumps(outcomes, indent=2) + "\n")


if __name__ == "__main__":
    main()
