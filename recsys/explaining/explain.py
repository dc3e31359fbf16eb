"""Ranked lists with what speaks for each place: the same scores as a ranking, and where they come from."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from recsys.arranging.rules import boosts_of, fixed_places
from recsys.arranging.settings import RuleSettings
from recsys.explaining.contributions import Contributions, contributions, of_each
from recsys.explaining.reading import Attended, Spoken
from recsys.features.plan import compute_features, plan
from recsys.features.table import FeatureTable
from recsys.past.lookup import Asked
from recsys.past.streams import Flags, Ints
from recsys.statistics.numbers import Floats

if TYPE_CHECKING:
    from recsys.model.ready import Ready

CLICKS = 3
"""So many past clicks, at most, are named for each candidate."""


def contribution_column(family: str) -> str:
    """Name the column that says what a family adds to a score."""
    return f"contribution_{family.replace(' ', '_')}"


class Ruled(NamedTuple):
    """What rules did to K ranked candidates.

    Attributes
    ----------
    boosts
        What they add to the score that each is ordered by, shape [K].
    fixed
        Whether each has its place because it is fixed to it, shape [K].
    others
        What else moves candidates, of `"caps"`, `"diversity"` and `"exploration"`.
    """

    boosts: Floats
    fixed: Flags
    others: tuple[str, ...]

    @classmethod
    def of(cls, asked: Asked, rules: RuleSettings, rows: Ints, rank: Ints) -> "Ruled":
        """Read what rules say of ranked candidates, by their rows and ranks, each of shape [K]."""
        caps = any(of.caps for of, _ in rules.of_lists)
        moving = {"caps": caps, "diversity": rules.diversity is not None, "exploration": rules.exploration is not None}
        fixed = fixed_places(asked, rules)[rows] == rank - 1
        return cls(boosts_of(asked, rules)[rows], fixed, tuple(name for name, moves in moving.items() if moves))


@dataclass(frozen=True, eq=False)
class Explained:
    """Ranked candidates, and what speaks for each.

    Attributes
    ----------
    ranked
        See `recsys.schema.RANKINGS`, K rows.
    asked
        All candidates that were asked.
    rows
        The row of each ranked one among these, shape [K].
    contributions
        What adds to the score of each.
    table
        The features of all that were asked.
    clicks
        The past clicks that raise interest in each most.
    ruled
        What rules did to each.
    listed
        How many of those that were asked no rule leaves out.
    """

    ranked: pl.DataFrame
    asked: Asked
    rows: Ints
    contributions: Contributions
    table: FeatureTable
    clicks: tuple[list[Spoken], ...]
    ruled: Ruled
    listed: int

    def frame(self) -> pl.DataFrame:
        """Give the ranked candidates with what adds to each score.

        Returns
        -------
        Beside what a ranking holds `others`, the mean score of the others of the list that a candidate is compared with
        (at most 20); `boost`, what rules add to the score that it is ordered by; a column `contribution_<family>` for
        each family, whose sum is `score` less `others`;
        `named_first`, the family that moves the score most; and `clicks`, the items that the user clicked and that
        raise interest most.
        """
        of, items = self.contributions, self.asked.log.items.by_code
        kind = self.ranked.schema["item_id"]
        named = items.gather([int(spoken.what) for each in self.clicks for spoken in each]).cast(kind).to_list()
        ends = np.cumsum([0, *map(len, self.clicks)]).tolist()
        clicks = [named[begin:end] for begin, end in pairwise(ends)]
        return self.ranked.with_columns(
            pl.Series("others", of.others),
            pl.Series("boost", self.ruled.boosts),
            *(
                pl.Series(contribution_column(family), adds)
                for family, adds in zip(of.families, of.by_family.T, strict=True)
            ),
            pl.Series("named_first", [of.families[each] for each in of.first[:, 0]], pl.String),
            pl.Series("clicks", clicks, pl.List(kind)),
        )


def explain(ready: "Ready", asked: Asked, top: int | None = None, also: Collection[str] = ()) -> Explained:
    """Rank candidates, and say what speaks for those of the first places.

    Parameters
    ----------
    ready
        The model and what it knows.
    asked
        What `Ready.ask` gave.
    top
        Explain the first so many of each request; all when left out.
    also
        Ids, as text, of items that are explained wherever they stand.
    """
    columns = plan(ready.model.settings.features)
    table = compute_features(asked, ready.model.settings.features, ready.reader)
    scores = ready.model.ranker.score(table)
    listed = ready.ranked(asked, scores)
    row = asked.candidates.select("request_id", "item_id").with_row_index("row")
    found_rows = listed.join(row, on=["request_id", "item_id"], how="left", maintain_order="left")["row"]
    all_rows: Ints = found_rows.cast(pl.Int64).to_numpy()
    wanted = np.ones(len(listed), dtype=bool)
    if top is not None:
        also_wanted = pl.col("item_id").cast(pl.String).is_in([*also])
        wanted = listed.select((pl.col("rank") <= top) | also_wanted).to_series().to_numpy()
    ranked, rows = listed.filter(pl.Series(wanted)), all_rows[wanted]
    request = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
    order = ready.order(asked.candidates, scores, request)
    stays = np.zeros(len(order), dtype=bool)
    stays[all_rows] = True
    order = order[stays[order]]  # nobody is held against what rules leave out
    starts = np.searchsorted(request[order], np.arange(len(asked.lengths) + 1))
    found = contributions(ready.model.ranker, table, columns, (order, starts), rows, request[rows])
    ruled = Ruled.of(asked, ready.model.settings.rules, rows, ranked["rank"].cast(pl.Int64).to_numpy())
    return Explained(ranked, asked, rows, found, table, _clicks(ready, asked, rows, request[rows]), ruled, len(listed))


def _clicks(ready: "Ready", asked: Asked, rows: Ints, request: Ints) -> tuple[list[Spoken], ...]:
    """Name the past clicks that raise interest in each of some candidates."""
    texts, found = ready.reader.texts_of(asked.lookup.items[rows]), [list[Spoken]() for _ in rows]
    for which, of_request in of_each(request):
        own = of_request[texts[of_request] >= 0]
        vectors = ready.reader.vectors.candidate[texts[own]]
        for place, spoken in zip(own, Attended.of(ready.reader, asked, which).spoke_for(vectors, CLICKS), strict=True):
            found[place] = spoken
    return tuple(found)
