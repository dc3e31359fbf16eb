"""Lists that are learnt from, made as they will be made for those who have none."""

from dataclasses import replace

import numpy as np
import polars as pl

from recsys.features.field import usual_half_life
from recsys.past.streams import Ints
from recsys.sources.finding import Finder, first_rows
from recsys.sources.merging import Merging, Ranked

_UNIFORM = 5
"""For so many items that sources found one more is drawn from all there are."""

_MOST = 2_000
"""Requests, at most, that say how often what a source finds is chosen."""


def learn_merging(requests: pl.DataFrame, finder: Finder, seed: int) -> Merging:
    """Learn how often what sources find is chosen, from some of the requests, see `found_lists`.

    Before that, which half-life puts choices furthest up among what is popular, by their sum of 1 / log2(1 + place).
    """
    chosen = requests.filter(pl.col("label") > 0)
    asked = first_rows(chosen)
    asked = asked.sample(min(_MOST, len(asked)), seed=seed, shuffle=True).sort("timestamp", "request_id")
    places = asked.select("request_id", which=pl.int_range(pl.len()))
    rows = chosen.select("request_id", "item_id").join(places, on="request_id")
    choices = (rows["which"].to_numpy(), finder.log.items.encode(rows["item_id"]))
    count = len(finder.log.items)
    found = finder.by_half_life(asked, finder.settings.size)
    usual = usual_half_life(finder.features)  # of equal ones
    half_life = max((usual, *found), key=lambda life: _worth_of(found[life], choices, count))
    finder = replace(finder, merging=replace(finder.merging, half_life=half_life))
    ranked = finder.find_each(asked, finder.settings.size)
    return Merging.learn(ranked, choices, count, finder.out(asked), half_life)


def _worth_of(found: Ranked, choices: tuple[Ints, Ints], items: int) -> float:
    """Say how far up choices stand, the sum of 1 / log2(1 + place)."""
    hit = np.isin(found.requests * items + found.items, choices[0] * items + choices[1])
    return float(np.sum(1 / np.log2(1 + found.places[hit])))


def found_lists(requests: pl.DataFrame, finder: Finder, seed: int) -> pl.DataFrame:
    """Make a list of what sources find by the moment of each request: what was chosen of it, and some of the others.

    The others are drawn evenly from all that was found, so that what stands far down is no rarer in lists that are
    learnt from than in those that are made; drawn from the top alone, they would teach that the top is not chosen. A
    request of which no choice was found makes no list, for the same reason. A fifth more are drawn evenly from all
    items that may be candidates, so that something is known of what no source finds.

    Parameters
    ----------
    requests
        Rows of the requests table, requests whole.
    finder
        What finds candidates; its settings say how many others a list holds.
    seed
        Of the draw.

    Returns
    -------
    Rows of the same columns.
    """
    chosen = requests.filter(pl.col("label") > 0)
    asked = first_rows(chosen)
    found = finder.candidates(asked, finder.find(asked)).with_columns(
        pl.col("item_id").cast(requests.schema["item_id"]), label=pl.lit(0, requests.schema["label"])
    )
    rng = np.random.default_rng(seed)
    labels = chosen.select("request_id", "item_id", "label")
    found = found.update(labels, on=["request_id", "item_id"]).with_columns(
        _drawn=pl.Series(rng.permutation(len(found)), dtype=pl.Int64)
    )
    some = pl.when(pl.col("label") > 0).then(-1).otherwise("_drawn").rank("ordinal").over("request_id")
    positives = (pl.col("label") > 0).sum().over("request_id")
    kept = (positives > 0) & (some <= positives + finder.settings.learnt)
    lists = found.filter(kept).select(requests.columns)
    return pl.concat([lists, _uniform(lists, chosen, finder, rng)])


def _uniform(lists: pl.DataFrame, chosen: pl.DataFrame, finder: Finder, rng: np.random.Generator) -> pl.DataFrame:
    """Draw further items for lists, which were not chosen."""
    asked = first_rows(lists)
    which = np.repeat(np.arange(len(asked)), max(1, finder.settings.learnt // _UNIFORM))
    items = _ever_out(finder, asked)
    items = items[rng.integers(0, max(1, len(items)), len(which))] if len(items) else which[:0]
    which = which[: len(items)]
    fit = finder.fits(asked, which, items)
    rows = finder.candidates(asked, Ranked(which[fit], items[fit], which[fit]))
    drawn = rows.with_columns(pl.col("item_id").cast(lists.schema["item_id"])).select(lists.columns)
    key = ["request_id", "item_id"]
    return (
        drawn.unique(key, keep="first", maintain_order=True)
        .join(pl.concat([lists, chosen]), on=key, how="anti", maintain_order="left")
        .with_columns(label=pl.lit(0, lists.schema["label"]))
    )


def _ever_out(finder: Finder, asked: pl.DataFrame) -> Ints:
    """Give the items that are out at the last of some moments, so that what comes later changes no draw."""
    moments = asked["timestamp"].dt.epoch("us").to_numpy()
    return np.flatnonzero(~(finder.log.register.out_at > moments.max(initial=np.iinfo(np.int64).min)))
