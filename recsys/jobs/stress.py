"""What bad days cost: judged lists are ranked again with misspelt texts, with titles alone, and by a stopped feed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys.data.texts import item_texts, own_texts
from recsys.evaluation.measures import ndcg, per_request
from recsys.features.plan import from_features
from recsys.past.behaviour import CLICKED_AT
from recsys.past.log import Log
from recsys.past.lookup import Asked, user_numbers
from recsys.statistics.intervals import Interval, intervals_over_users
from recsys.statistics.numbers import Floats
from recsys.vectors.item_vectors import ItemVectors, text_hashes

if TYPE_CHECKING:
    from recsys.data.tables import Dataset
    from recsys.model.ready import Ready
    from recsys.vectors.reader import Reader

MISSPELT = 0.2
"""Share of the words of a text in which two letters change places."""

_SHORTEST = 4
"""Letters of the shortest word that is misspelt."""


def stress(
    folder: Path, ready: "Ready", asked: Asked, dataset: "Dataset", scores: Floats, begin: datetime
) -> dict[str, Interval]:
    """Say what bad days cost: nDCG@10 of the lists on such a day less that as they are, paired by request.

    Parameters
    ----------
    folder
        Model folder.
    ready
        The model and what it knows.
    asked
        Judged lists, with `label`.
    dataset
        The tables that they are from.
    scores
        Of the product as it is, shape [Q].
    begin
        When the feed of behaviour stops: nothing later is known.
    """
    labels, users = asked.candidates["label"].to_numpy(), user_numbers(asked.candidates, asked.starts)
    settings = ready.model.settings

    def quality(of: Floats) -> Floats:
        found: Floats = per_request((ndcg(10),), labels, of, asked.starts)[0]
        return found

    usual, changes = quality(scores), dict[str, Floats]()
    for name, (lists, reader) in _bad_days(folder, ready, asked, dataset, begin):
        parts = from_features(ready.model.ranker.score, lists, settings.features, reader)
        changes[name] = quality(np.concatenate(parts)) - usual
    intervals = intervals_over_users(np.stack([*changes.values()]), users, seed=settings.seed)
    return dict(zip(changes, intervals, strict=True))


def _bad_days(
    folder: Path, ready: "Ready", asked: Asked, dataset: "Dataset", begin: datetime
) -> Iterator[tuple[str, tuple[Asked, "Reader"]]]:
    text, seed = ready.model.settings.text, ready.model.settings.seed
    rows, texts = own_texts(dataset.items, text.fields, text.template)
    misspelt = [misspell(each, seed) for each in texts]
    yield f"{MISSPELT:.0%} of words misspelt", (asked, _reading(folder, ready, rows, misspelt))
    if len(text.fields) > 1 and not text.template:
        shortened = pl.Series(item_texts(dataset.items, text.fields[:1]), dtype=pl.String)
        told = dataset.items.select(*rows.columns, text=shortened).unique(rows.columns, keep="first")
        short = rows.join(told, on=rows.columns, how="left", nulls_equal=True, maintain_order="left")["text"].to_list()
        yield f"{text.fields[0]} alone to read", (asked, _reading(folder, ready, rows, short))
    known = ready.log.behaviour
    shown = known.showings.filter(pl.col("timestamp") < begin)
    heard = pl.col("timestamp") + ready.log.time.feedback_delay < begin  # what came of the others, nobody heard
    late = [pl.when(heard).then(name).alias(name) for name in ("label", CLICKED_AT) if name in shown.columns]
    showings = shown.with_columns(late)
    events = known.events.filter(pl.col("known_at") < begin)
    stopped = Log(replace(known, showings=showings, events=events), ready.log.time, text.history)
    reader = ready.model.reader(stopped, ready.reader.vectors, folder)
    yield "no behaviour since the first of these lists", (Asked.of(asked.candidates, stopped), reader)


def _reading(folder: Path, ready: "Ready", rows: pl.DataFrame, texts: list[str]) -> "Reader":
    """Read other texts of the same items."""
    encoded = ready.model.text_reader(folder).encode(texts)
    hashes = pl.Series("text_hash", text_hashes(texts), pl.String)
    vectors = ItemVectors.of_texts(rows, hashes, encoded, ready.reader.vectors.encoder)
    return ready.model.reader(ready.log, vectors, folder)


def misspell(text: str, seed: int) -> str:
    """Let two neighbouring letters of some words of a text change places; the same seed and text give the same.

    Examples
    --------
    >>> misspell("a long conversation about bicycles and bread", 1)
    'a long cnoversation about biccyles and bread'
    """
    rng, words = np.random.default_rng([seed, int(text_hashes([text])[0], 16)]), text.split(" ")
    for place, word in enumerate(words):
        if len(word) >= _SHORTEST and rng.random() < MISSPELT:
            at = int(rng.integers(len(word) - 1))
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
