"""Who gains and who loses by a model: judged lists and their items in groups."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recsys.arranging.rules import texts_of
from recsys.evaluation.evaluation import PRODUCT
from recsys.evaluation.gains import Gains, exposure_of, gains
from recsys.evaluation.measures import ndcg, per_request
from recsys.jobs.prices import price_rules
from recsys.jobs.segments import segment_requests
from recsys.past.lookup import Asked
from recsys.past.streams import pick
from recsys.statistics.numbers import Flags, Floats

if TYPE_CHECKING:
    from recsys.data.tables import Dataset
    from recsys.jobs.judging import Judgement
    from recsys.model.ready import Ready

_OF_LISTS = ("list size", "hour")
"""Segments that say nothing of users and items."""

ATTRIBUTES, LEAST = 2, 0.005
"""So many attributes of items make groups, of values that so large a share of candidates has at least."""


def judge_gains(ready: "Ready", asked: Asked, dataset: "Dataset", scores: Floats) -> Gains:
    """Say who gains and who loses by the order of scores.

    Parameters
    ----------
    ready
        The model and what it knows.
    asked
        Judged lists, with `label`.
    dataset
        The tables that they are from.
    scores
        Of the product, shape [Q].
    """
    request = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
    order, labels = ready.order(asked.candidates, scores, request), asked.candidates["label"].to_numpy()
    first = asked.starts[:-1]
    users = asked.candidates["user_id"].gather(first).rank("dense").to_numpy().astype(np.int64) - 1
    quality = per_request((ndcg(10),), labels, scores, asked.starts)[0]
    known = dataset.users
    columns = [name for name in ready.model.settings.features.users if known is not None and name in known.columns]
    found = segment_requests(asked, dataset, columns)
    groups = {name: flags[first] for name, flags in found.items() if not name.startswith(_OF_LISTS)}
    popularity = np.log1p(asked.lookup.ever[2].astype(np.float64))
    items = (exposure_of(order, asked.starts), labels > 0, _kinds(ready, asked))
    return gains((quality, groups), items, popularity, asked.starts, users, ready.model.settings.seed)


def judged_further(judgement: "Judgement", ready: "Ready", dataset: "Dataset") -> "Judgement":
    """Say of a judgement who gains and who loses, and what rules cost; of lists that were drawn nobody can tell."""
    if judgement.sampled:
        return judgement
    asked = Asked(judgement.window.requests, judgement.window.examples.starts, ready.log)
    scores = judgement.scores[PRODUCT]
    who, priced = judge_gains(ready, asked, dataset, scores), price_rules(ready, asked, scores)
    return replace(judgement, gains=who, priced=priced)


def _kinds(ready: "Ready", asked: Asked) -> dict[str, Flags]:
    """Group candidates by what their items are, and by whether there is a text to read."""
    places = pick(ready.reader.places, asked.lookup.items, -1)
    texted = np.append(ready.reader.vectors.texted, False)[places]
    found = {"no text": ~texted}
    for name in ready.model.settings.features.affinity[:ATTRIBUTES]:
        values = texts_of(asked, name)
        for value in values.drop_nulls().unique().sort():
            of = (values == value).fill_null(value=False).to_numpy()
            found[f"{name} = {value}"] = of
            found[f"{name} = {value} and no text"] = of & ~texted
    return {name: flags for name, flags in found.items() if flags.mean() >= LEAST and not flags.all()}
