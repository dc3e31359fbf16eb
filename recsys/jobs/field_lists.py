"""Made lists judged: what sources find and a model orders, beside what was chosen then of all items that were out."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from recsys.evaluation.evaluation import CHOSEN_BEFORE, COVISITATION, POPULARITY, PRODUCT, RECENCY
from recsys.evaluation.field_lists import Choices, OrderedItems, judge_lists
from recsys.evaluation.field_results import ALL_SOURCES, FieldResults
from recsys.jobs.judging import known_to, read_logged, text_alone
from recsys.past.lookup import Asked
from recsys.past.streams import Ints
from recsys.ranking.trees import TreeRanker
from recsys.sources.finding import Finder, first_rows
from recsys.sources.merging import Ranked, merge
from recsys.sources.settings import SourceName
from recsys.statistics.numbers import Floats

_OF_RULES: tuple[SourceName, ...] = ("popular", "recent", "again", "covisited")
"""The sources of simple rules."""

MOST = 2_000
"""Lists that are made and judged at most: first one of every user, then a second one, and so on."""


def judge_field(
    requests: pl.DataFrame, finder: Finder, rankers: Mapping[str, TreeRanker], seed: int
) -> FieldResults | None:
    """Make lists for the moments of logged choices, and hold them against these.

    Parameters
    ----------
    requests
        Rows of the requests table; those with a label above 0 were chosen.
    finder
        What finds candidates.
    rankers
        What orders them.
    seed
        Of the choice of lists and of the intervals.

    Returns
    -------
    None where there are no sources, or nothing was chosen of what may be a candidate.
    """
    if not finder.settings.sources:
        return None
    asked, choices, beside = moments_of(requests, finder, seed)
    if asked.is_empty():
        return None
    ranked = _ranked(finder, asked, (*_OF_RULES, *finder.settings.sources))
    own = {name: ranked[name] for name in finder.settings.sources}
    union = merge(own, finder.log, finder.settings.size, finder.merging)
    single = {str(name): _listed(of) for name, of in own.items()}
    rules = {name: of for name, of in single.items() if name not in _OF_RULES}  # those are baselines
    systems = {
        **_rules(ranked, len(finder.log.items)),
        **rules,
        **_of_rankers(asked, finder, union, rankers),
    }
    table = judge_lists(systems, choices, seed, PRODUCT)
    together = {**single, ALL_SOURCES: _listed(union)}
    return FieldResults(
        lists=len(asked),
        users=int(choices.users.max()) + 1,
        rankers={name: table[name] for name in systems},
        differences={name: row for name, row in table.items() if name not in systems},
        sources=judge_lists(together, choices, seed),
        field=finder.out(asked),
        size=len(union.items) / len(asked),
        choices=len(choices.items),
        not_candidates=beside,
    )


def moments_of(
    requests: pl.DataFrame, finder: Finder, seed: int, most: int | None = MOST
) -> tuple[pl.DataFrame, Choices, int]:
    """Choose moments that lists are made for.

    Parameters
    ----------
    requests, finder, seed
        As of `judge_field`.
    most
        How many; all when None.

    Returns
    -------
    One row for each moment, what was chosen then of what may be a candidate, and how much of what may not.
    """
    chosen = requests.filter(pl.col("label") > 0)
    asked = _spread(first_rows(chosen), seed, most)
    places = asked.select("request_id", which=pl.int_range(pl.len()))
    rows = chosen.select("request_id", "item_id").join(places, on="request_id").sort("which", "item_id")
    which, items = rows["which"].to_numpy(), finder.log.items.encode(rows["item_id"])
    fit = finder.fits(asked, which, items)
    kept, numbers = np.unique(which[fit], return_inverse=True)
    asked = asked[kept]
    users = np.unique(asked["user_id"].to_numpy(), return_inverse=True)[1]
    return asked, Choices(numbers, items[fit], users), int((~fit).sum())


def rule_lists(finder: Finder, asked: pl.DataFrame) -> dict[str, OrderedItems]:
    """Make the lists of simple rules: what is popular or new, or popular behind what was chosen before or with it."""
    return _rules(_ranked(finder, asked, _OF_RULES), len(finder.log.items))


def _ranked(finder: Finder, asked: pl.DataFrame, names: tuple[SourceName, ...]) -> dict[SourceName, Ranked]:
    """Let some sources find candidates, each once."""
    some = replace(finder, settings=finder.settings.model_copy(update={"sources": tuple(dict.fromkeys(names))}))
    return some.find_each(asked, finder.settings.size)


def _rules(ranked: Mapping[SourceName, Ranked], items: int) -> dict[str, OrderedItems]:
    return {
        POPULARITY: _listed(ranked["popular"]),
        RECENCY: _listed(ranked["recent"]),
        CHOSEN_BEFORE: _after(ranked["again"], ranked["popular"], items),
        COVISITATION: _after(ranked["covisited"], ranked["popular"], items),
    }


def _spread(asked: pl.DataFrame, seed: int, most: int | None) -> pl.DataFrame:
    """Choose lists: by a seeded order first one of every user, then a second one, until there are enough."""
    drawn = asked.sort("request_id").with_columns(
        _drawn=pl.Series(np.random.default_rng(seed).permutation(len(asked)), dtype=pl.Int64)
    )
    drawn = drawn.with_columns(_turn=pl.col("_drawn").rank("ordinal").over("user_id"))
    return drawn.sort("_turn", "_drawn")[:most].sort("timestamp", "request_id").drop("_turn", "_drawn")


def _listed(found: Ranked) -> OrderedItems:
    return OrderedItems(found.requests, found.items, -found.places.astype(np.float64))


def _after(first: Ranked, then: Ranked, items: int) -> OrderedItems:
    """Put what the second found behind what the first did."""
    keys = first.requests * items + first.items
    new = ~np.isin(then.requests * items + then.items, keys)
    below = first.places.max(initial=0)
    return OrderedItems(
        np.concatenate([first.requests, then.requests[new]]),
        np.concatenate([first.items, then.items[new]]),
        -np.concatenate([first.places, below + then.places[new]]).astype(np.float64),
    )


def _of_rankers(
    asked: pl.DataFrame, finder: Finder, found: Ranked, rankers: Mapping[str, TreeRanker]
) -> dict[str, OrderedItems]:
    """Order what was found."""
    candidates = finder.candidates(asked, found).with_columns(label=pl.lit(0, pl.Int64))
    logged = read_logged(Asked.of(candidates, finder.log), finder.features, finder.reader)
    places = dict(zip(asked["request_id"], range(len(asked)), strict=True))
    which: Ints = logged.requests["request_id"].replace_strict(places, return_dtype=pl.Int64).to_numpy()
    items, table = finder.log.items.encode(logged.requests["item_id"]), logged.examples.table
    scores: dict[str, Floats] = {"text": text_alone(table)}
    scores |= {name: ranker.score(known_to(ranker, table)) for name, ranker in rankers.items()}
    return {name: OrderedItems(which, items, of) for name, of in scores.items()}
