"""Ranked lists with what speaks for each place: the same scores as a ranking, and where they come from."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys.explaining.contributions import Contributions, contributions, of_each
from recsys.explaining.reading import Attended, Spoken
from recsys.features.plan import compute_features, plan
from recsys.features.table import FeatureTable
from recsys.past.lookup import Asked
from recsys.past.streams import Ints

if TYPE_CHECKING:
    from recsys.model.ready import Ready

CLICKS = 3
"""So many past clicks, at most, are named for each candidate."""


def contribution_column(family: str) -> str:
    """Name the column that says what a family adds to a score."""
    return f"contribution_{family.replace(' ', '_')}"


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
    """

    ranked: pl.DataFrame
    asked: Asked
    rows: Ints
    contributions: Contributions
    table: FeatureTable
    clicks: tuple[list[Spoken], ...]

    def frame(self) -> pl.DataFrame:
        """Give the ranked candidates with what adds to each score.

        Returns
        -------
        Beside what a ranking holds `others`, the mean score of the others of the list that a candidate is compared with
        (at most 20); a column `contribution_<family>` for each family, whose sum is `score` less `others`;
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
    ranked = ready.ranked(asked, scores)
    if top is not None:
        ranked = ranked.filter((pl.col("rank") <= top) | pl.col("item_id").cast(pl.String).is_in([*also]))
    row = asked.candidates.select("request_id", "item_id").with_row_index("row")
    found_rows = ranked.join(row, on=["request_id", "item_id"], how="left", maintain_order="left")["row"]
    rows: Ints = found_rows.cast(pl.Int64).to_numpy()
    request = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
    order = ready.order(asked.candidates, scores, request)
    found = contributions(ready.model.ranker, table, columns, order, asked.starts, rows)
    return Explained(ranked, asked, rows, found, table, _clicks(ready, asked, rows, request[rows]))


def _clicks(ready: "Ready", asked: Asked, rows: Ints, request: Ints) -> tuple[list[Spoken], ...]:
    """Name the past clicks that raise interest in each of some candidates."""
    texts, found = ready.reader.texts_of(asked.lookup.items[rows]), [list[Spoken]() for _ in rows]
    for which, of_request in of_each(request):
        own = of_request[texts[of_request] >= 0]
        vectors = ready.reader.vectors.candidate[texts[own]]
        for place, spoken in zip(own, Attended.of(ready.reader, asked, which).spoke_for(vectors, CLICKS), strict=True):
            found[place] = spoken
    return tuple(found)
