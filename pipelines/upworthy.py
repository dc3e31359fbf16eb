"""Headline tests: how often the fine-tuned appeal picks the better of two headlines.

Five folds of tests. Counted are pairs of headlines of one test whose click rates differ at |z| > 1.96 (two proportions,
pooled variance). Some headlines were tried in several tests; how the pairs fare of which neither headline was learnt
from is told beside. DATA is what `recsys import upworthy` writes.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.tables import Dataset
from recsys.data.texts import item_texts
from recsys.encoders.settings import TextSettings
from recsys.learning.blocks import Outcomes
from recsys.learning.training import fit_text
from recsys.vectors.coded_lists import CodedLists

FOLDS = 5
SETTINGS = TextSettings(
    fields=("title",),
    max_tokens=48,
    lexicon=0,
    trainable_layers=6,
    tune="always",
    epochs=2,
    head_epochs=0,
    teacher_epochs=0,
    requests_per_step=24,
    steps_per_update=1,
    learning_rate=5e-5,
    head_learning_rate=1e-3,
    held_out=0.0,
    precision="bf16-mixed",
)


def lists_of(requests: pl.DataFrame, codes: pl.DataFrame) -> tuple[CodedLists, Outcomes]:
    """Return the tests as lists of users without history, and the clicks and views of their headlines."""
    requests = requests.sort("timestamp", "request_id", maintain_order=True).join(
        codes, on="item_id", maintain_order="left"
    )
    lengths = requests.group_by("request_id", maintain_order=True).len()["len"].to_numpy()
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    nobody = np.full((len(lengths), 1), -1, np.int32)
    lists = CodedLists(starts, requests["code"].to_numpy(), nobody, np.zeros(nobody.shape, np.float32))
    clicks, views = (requests[name].cast(pl.Float32).to_numpy() for name in ("clicks", "views"))
    return lists, Outcomes(labels=clicks, showings=views)


def clear_pairs(requests: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of headlines of one test whose click rates clearly differ: `winner`, `loser`."""
    other = requests.select("request_id", pl.col("item_id", "views", "clicks").name.suffix("_b"))
    pooled = (pl.col("clicks") + pl.col("clicks_b")) / (pl.col("views") + pl.col("views_b"))
    error = (pooled * (1 - pooled) * (1 / pl.col("views") + 1 / pl.col("views_b"))).sqrt()
    gain = pl.col("clicks") / pl.col("views") - pl.col("clicks_b") / pl.col("views_b")
    clear = requests.join(other, on="request_id").filter(gain > 1.96 * error)
    return clear.select(pl.col("item_id").alias("winner"), pl.col("item_id_b").alias("loser"))


def right_pairs(pairs: pl.DataFrame, appeal: pl.DataFrame) -> NDArray[np.float64]:
    """Return 1 for each pair whose winner has the higher `appeal`, 0.5 for a tie, else 0."""
    winner = pairs.join(appeal, left_on="winner", right_on="item_id", maintain_order="left")["appeal"].to_numpy()
    loser = pairs.join(appeal, left_on="loser", right_on="item_id", maintain_order="left")["appeal"].to_numpy()
    right: NDArray[np.float64] = (np.sign(winner - loser) + 1) / 2
    return right


def main(folder: Path) -> None:
    """Fine-tune on four folds, judge on the fifth, five times."""
    dataset = Dataset.read(folder)
    texts = item_texts(dataset.items, SETTINGS.fields)
    codes = dataset.items.select("item_id", pl.int_range(pl.len(), dtype=pl.Int32).alias("code"))
    tests = dataset.requests["request_id"].unique().sort()
    folds = np.random.default_rng(0).permutation(len(tests)) % FOLDS
    found, fresh = [], []
    for fold in range(FOLDS):
        held_out = pl.col("request_id").is_in(tests.filter(folds == fold).implode())
        learnt = dataset.requests.filter(~held_out)
        lists, outcomes = lists_of(learnt, codes)
        model = fit_text(texts, lists, outcomes, SETTINGS, seed=fold)
        shown = dataset.items["item_id"].is_in(dataset.requests.filter(held_out)["item_id"].implode())
        ids = dataset.items.select("item_id").filter(shown)
        vectors = model.vectors(ids, [text for text, use in zip(texts, shown, strict=True) if use])
        appeal = pl.DataFrame({"item_id": vectors.item_ids, "appeal": vectors.appeal})
        pairs = clear_pairs(dataset.requests.filter(held_out))
        found.append(right_pairs(pairs, appeal))
        fresh.append(
            pairs.select(~pl.any_horizontal(pl.all().is_in(learnt["item_id"].implode()))).to_series().to_numpy()
        )
        print(f"fold {fold + 1}: {found[-1].mean():.1%} of {len(found[-1])} pairs", flush=True)
    every, unseen = np.concatenate(found), np.concatenate(fresh)
    print(f"all: {every.mean():.1%} of {len(every)} pairs of {len(tests)} tests")
    print(f"headlines that were not learnt from: {every[unseen].mean():.1%} of {unseen.sum()} pairs")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python pipelines/upworthy.py DATA")
    main(Path(sys.argv[1]))
