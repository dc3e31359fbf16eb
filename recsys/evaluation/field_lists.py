"""Lists made from the field of all items, held against what was chosen next: the answer for who has no lists."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.evaluation.field_results import MeasureTable
from recsys.evaluation.measures import per_request
from recsys.evaluation.plan import OF_FIELD
from recsys.statistics.intervals import intervals_over_users
from recsys.statistics.numbers import Floats, Integers


@dataclass(frozen=True)
class OrderedItems:
    """One system's lists.

    Attributes
    ----------
    requests, items
        Which request, and which item, numbered from 0, each of shape [F].
    scores
        Higher stands further up, shape [F].
    """

    requests: Integers
    items: Integers
    scores: Floats


@dataclass(frozen=True)
class Choices:
    """What users chose of the field.

    Attributes
    ----------
    requests, items
        Which request, and which item, as of `OrderedItems`, shape [C]; each of R requests has one at least.
    users
        The user of each request, numbered from 0, shape [R].
    """

    requests: Integers
    items: Integers
    users: Integers


def judge_lists(systems: Mapping[str, OrderedItems], choices: Choices, seed: int, product: str = "") -> MeasureTable:
    """Measure made lists against what was chosen, with intervals over users.

    Parameters
    ----------
    systems
        Lists of every system.
    choices
        What was chosen.
    seed
        Of the bootstrap over users.
    product
        The system that differences to all others are added of, as `<product>-<other>`; none when left out.
    """
    values = {name: _values(listed, choices) for name, listed in systems.items()}
    if product:
        values |= {f"{product}-{name}": values[product] - values[name] for name in systems if name != product}
    intervals = iter(intervals_over_users(np.concatenate(list(values.values())), choices.users, seed=seed))
    return {name: {str(measure): next(intervals) for measure in OF_FIELD} for name in values}


def _values(listed: OrderedItems, choices: Choices) -> Floats:
    """Measure one system's lists; what was chosen and is not listed stands below them, [M, R]."""
    items = 1 + int(max(listed.items.max(initial=0), choices.items.max(initial=0)))
    chosen = np.unique(choices.requests * items + choices.items)
    keys = listed.requests * items + listed.items
    every = np.concatenate([keys, np.setdiff1d(chosen, keys)])
    scores = np.concatenate([listed.scores, np.full(len(every) - len(keys), -np.inf)])
    order = np.argsort(every // items, kind="stable")
    starts = np.searchsorted(every[order] // items, np.arange(len(choices.users) + 1))
    labels = np.isin(every[order], chosen).astype(np.int64)
    return per_request(OF_FIELD, labels, scores[order], starts)
