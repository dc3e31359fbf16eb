"""Who gains and who loses by a model: judged lists and their items in groups."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys.arranging.rules import texts_of
from recsys.evaluation.evaluation import PRODUCT
from recsys.evaluation.gains import Gains, Group, Shift, exposure_of, gains, shifts
from recsys.evaluation.measures import ndcg, per_request
from recsys.jobs.baselines import random
from recsys.jobs.prices import price_rules
from recsys.jobs.segments import group_items, segment_requests
from recsys.past.lookup import Asked, user_numbers
from recsys.past.streams import Ints
from recsys.statistics.numbers import Flags, Floats

if TYPE_CHECKING:
    from recsys.data.tables import Dataset
    from recsys.jobs.judging import Judgement
    from recsys.jobs.sides import Sides
    from recsys.model.ready import Ready

_OF_LISTS = ("list size = ", "hour = ")
"""Segments that say nothing of users and items."""

NO_TEXT, _READ = "no text", "those on such items with a text"

FEWEST = 30
"""Lists of a group, and of those that it is held against, that something is said of."""

ATTRIBUTES, VALUES, LEAST = 2, 12, 0.005
"""So many attributes of items make groups, of so many of their most frequent values that so large a share of candidates
has at least."""


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
    users = user_numbers(asked.candidates, asked.starts)
    quality = per_request((ndcg(10),), labels, scores, asked.starts)[0]
    known = dataset.users
    columns = [name for name in ready.model.settings.features.users if known is not None and name in known.columns]
    found = segment_requests(asked, dataset, columns)
    inside = {name: flags[first] for name, flags in found.items() if not name.startswith(_OF_LISTS)}
    groups = {name: Group(flags, ~flags) for name, flags in inside.items()}
    kinds, clicked = model_kinds(ready, asked), labels > 0
    groups |= _unread(kinds, clicked, first)
    popularity = np.log1p(asked.lookup.ever[2].astype(np.float64))
    items = (exposure_of(order, asked.starts), clicked, kinds)
    return gains((quality, groups), items, popularity, asked.starts, users, ready.model.settings.seed)


def _unread(kinds: dict[str, Flags], clicked: Flags, first: Ints) -> dict[str, Group]:
    """Hold lists with a click on items without a text against those with a click on items of the kind that have one."""
    found, untexted = dict[str, Group](), kinds.get(NO_TEXT)
    if untexted is None:
        return found
    for name, flags in {"": np.ones(len(clicked), dtype=bool), **kinds}.items():
        inside, beside = (np.logical_or.reduceat(flags & clicked & side, first) for side in (untexted, ~untexted))
        if NO_TEXT not in name and inside.sum() >= FEWEST and beside.sum() >= FEWEST:
            found[f"clicks on items with {f'{name} and ' if name else ''}{NO_TEXT}"] = Group(inside, beside, _READ)
    return found


def judged_further(judgement: "Judgement", ready: "Ready", dataset: "Dataset") -> "Judgement":
    """Say of a judgement who gains and who loses, and what rules cost; of lists that were drawn nobody can tell."""
    if judgement.sampled:
        return judgement
    asked = Asked(judgement.window.requests, judgement.window.examples.starts, ready.log)
    scores = judgement.scores[PRODUCT]
    who, priced = judge_gains(ready, asked, dataset, scores), price_rules(ready, asked, scores)
    return replace(judgement, gains=who, priced=priced)


def model_kinds(ready: "Ready", asked: Asked) -> dict[str, Flags]:
    """Group candidates by what their items are, and by whether there is a text to read.

    Returns
    -------
    Name such as `"category = home"`, which candidates, shape [C]; a group of all, or of hardly any, is left out.
    """
    texted = np.append(ready.reader.vectors.texted, False)[ready.reader.texts_of(asked.lookup.items)]
    found = {NO_TEXT: ~texted}
    for name in ready.model.settings.features.affinity[:ATTRIBUTES]:
        values = texts_of(asked, name)
        often = values.alias("value").drop_nulls().value_counts(sort=True).head(VALUES)
        for value in often.filter(pl.col("count") >= LEAST * len(values)).to_series().sort():
            of = (values == value).fill_null(value=False).to_numpy()
            found[f"{name} = {value}"] = of
            found[f"{name} = {value} and {NO_TEXT}"] = of & ~texted
    return {name: flags for name, flags in found.items() if flags.mean() >= LEAST and not flags.all()}


def judge_shifts(sides: "Sides", asked: Asked, columns: Sequence[str]) -> dict[str, Shift]:
    """Say what groups of items get by either side of a comparison.

    Parameters
    ----------
    sides
        The two, and what they say of the lists.
    asked
        These lists.
    columns
        Columns of items to group by, beside those of the first side that is a model.
    """
    model = next((side for side in sides.systems if side.kinds is not None), None)
    kinds = {} if model is None or model.kinds is None else dict(model.kinds(asked))
    others = [column for column in columns if not any(name.startswith(f"{column} = ") for name in kinds)]
    kinds |= group_items(asked, sides.dataset, others)
    request, seen = np.repeat(np.arange(len(asked.lengths)), asked.lengths), list[Floats]()
    turn = random(asked.candidates, sides.seed)
    for scores in sides.scores:
        exposure = exposure_of(np.lexsort((turn, -scores, request)), asked.starts)
        seen.append(np.where(scores > -np.inf, exposure, 0.0))
    users = user_numbers(asked.candidates, asked.starts)
    clicked = asked.candidates["label"].to_numpy() > 0
    return shifts((seen[0], seen[1]), clicked, kinds, asked.starts, users, sides.seed)
