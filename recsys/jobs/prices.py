"""Prices of rules: judged lists are arranged under each rule, and held against the order of scores."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys.arranging.arrange import arranged
from recsys.arranging.settings import RuleSettings
from recsys.evaluation.gains import FIRST
from recsys.evaluation.measures import ndcg, per_request
from recsys.evaluation.priced import Price, Prices, Weighed
from recsys.past.lookup import Asked, user_numbers
from recsys.past.streams import Ints
from recsys.statistics.intervals import intervals_over_users
from recsys.statistics.numbers import Floats

if TYPE_CHECKING:
    from recsys.model.ready import Ready

MOST = 10_000
"""Of more lists than these some are arranged, evenly over them: each is arranged a dozen times."""

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Weights of the curve, beside the chosen one."""

_LEAVING = ("chosen", "seen", "available", "newest", "unavailable")


def price_rules(ready: "Ready", asked: Asked, scores: Floats) -> Prices | None:
    """Say what the rules of a model cost on judged lists; None where there are none.

    Parameters
    ----------
    ready
        The model and what it knows.
    asked
        The lists, with `label`.
    scores
        Of the product, shape [Q].
    """
    rules = ready.model.settings.rules
    if not rules:
        return None
    asked, scores = _some(asked, scores)
    judge, lists = _Arranger(ready, asked, scores), len(asked.lengths)
    bare = judge.judged(RuleSettings())
    prices = {name: judge.price(judge.judged(alone), bare) for name, alone in _alone(rules)}
    if len(prices) > 1:
        prices["all"] = judge.price(judge.judged(rules), bare)
    if rules.diversity is None:
        return Prices(prices, lists)
    chosen, curve = rules.diversity.weight, list[Weighed]()
    for weight in sorted({*WEIGHTS, chosen}):
        diverse = rules.diversity.model_copy(update={"weight": weight})
        quality, unlike, _ = judge.judged(rules.model_copy(update={"diversity": diverse}))
        curve.append(Weighed(weight, float(np.nanmean(quality)), float(np.nanmean(unlike))))
    return Prices(prices, lists, tuple(curve), chosen)


def _some(asked: Asked, scores: Floats) -> tuple[Asked, Floats]:
    """Keep no more lists than are arranged, and the scores of their candidates."""
    lists = len(asked.lengths)
    if lists <= MOST:
        return asked, scores
    chosen = np.isin(np.arange(lists), np.linspace(0, lists - 1, MOST).astype(np.int64))
    rows, starts = np.repeat(chosen, asked.lengths), np.concatenate([[0], np.cumsum(asked.lengths[chosen])])
    return Asked(asked.candidates.filter(pl.Series(rows)), starts, asked.log), scores[rows]


def _alone(rules: RuleSettings) -> Iterator[tuple[str, RuleSettings]]:
    """Give each rule by itself, as if there were no other."""
    nothing = RuleSettings()
    apart = ("boosts", "fixed", "caps", "segments", "diversity", "exploration")
    names = {"left out": _LEAVING, **{name: (name,) for name in apart}}
    for name, fields in names.items():
        alone = nothing.model_copy(update={each: getattr(rules, each) for each in fields})
        if alone:
            yield name, alone


class _Arranger:
    """Lists that are arranged and judged again and again."""

    def __init__(self, ready: "Ready", asked: Asked, scores: Floats) -> None:
        self._ready, self._asked, self._scores = ready, asked, scores
        self._request = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
        self._users = user_numbers(asked.candidates, asked.starts)
        self._labels = asked.candidates["label"].to_numpy()

    def judged(self, rules: RuleSettings) -> tuple[Floats, Floats, Ints]:
        """Arrange the lists.

        Returns
        -------
        nDCG@10 and how unlike the first ten are, NaN where that is not defined, each of shape [R]; and the rows at the
        first ten places, -1 where there is none, shape [R, 10].
        """
        by_score = partial(self._ready.order, self._asked.candidates, request=self._request)
        rows, lengths, _ = arranged(self._asked, self._scores, by_score, rules, self._ready.reader)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        standing = np.full(len(self._scores), -np.inf)
        standing[rows] = -place.astype(np.float64)
        quality = per_request((ndcg(FIRST),), self._labels, standing, self._asked.starts)[0]
        tops = np.full((len(lengths), FIRST), -1)
        first = place < FIRST
        tops[self._request[rows[first]], place[first]] = rows[first]
        return quality, self._unlike(tops), tops

    def price(self, of: tuple[Floats, Floats, Ints], bare: tuple[Floats, Floats, Ints]) -> Price:
        """Hold arranged lists against bare ones."""
        changes = np.stack([of[0] - bare[0], of[1] - bare[1]])
        cost, unlike = intervals_over_users(changes, self._users, seed=self._ready.model.settings.seed)
        there = bare[2] >= 0
        return Price(cost, unlike, float((of[2] != bare[2])[there].mean()))

    def _unlike(self, tops: Ints) -> Floats:
        """Say how unlike the items of each list are, NaN where less than two have a text, shape [R]."""
        vectors = self._ready.reader.vectors.candidate
        texts = self._ready.reader.texts_of(self._asked.lookup.items)
        found = np.full(len(tops), np.nan)
        for request, own in enumerate(tops):
            known = texts[own[own >= 0]]
            known = known[known >= 0]
            if len(known) > 1:
                rows = vectors[known].astype(np.float64)
                total = float((rows.sum(axis=0) ** 2).sum() - (rows**2).sum())
                found[request] = 1 - total / (len(known) * (len(known) - 1))
        return found
