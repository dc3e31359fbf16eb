"""Find candidates: each source ranks the field for a user and a moment, and their best are merged into one list."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.features.field import Field, fields_of, half_lives, usual_half_life
from recsys.features.settings import FeatureSettings
from recsys.past.clicks import READ, Clicks
from recsys.past.factors import need_implicit
from recsys.past.field import rows_of
from recsys.past.streams import CLICK, Ints
from recsys.progress import progress
from recsys.sources.index import Index, need_faiss
from recsys.sources.merging import EVEN, Merging, Ranked, merge
from recsys.sources.ranking import Asking, rank_field
from recsys.sources.settings import CandidateSettings, SourceName

if TYPE_CHECKING:
    from recsys.past.log import Log
    from recsys.vectors.reader import Reader

Flags = npt.NDArray[np.bool_]

_CELLS = 4_000_000
"""Users times items that are held against each other at once; any other number finds the same."""


def check_extras(settings: CandidateSettings, features: FeatureSettings) -> None:
    """Refuse what could not be found in the end.

    Raises
    ------
    ModelError
        When an extra is not installed.
    """
    if "factors" in (*settings.sources, *features.families):
        need_implicit()
    if settings.index == "faiss":
        need_faiss()


@dataclass(frozen=True, eq=False)
class Finder:
    """What finds candidates.

    Attributes
    ----------
    settings
        Which sources, and how many candidates.
    features
        How the field is counted.
    log, reader
        What is known; without a reader no source reads texts.
    merging
        What is known of the sources.
    index
        What `nearest` looks in where the settings say so; it is kept where later rows are known.
    """

    settings: CandidateSettings
    features: FeatureSettings
    log: "Log"
    reader: "Reader | None"
    merging: Merging = EVEN
    index: Index = field(default_factory=Index)

    @cached_property
    def _done(self) -> tuple[Clicks, ...]:
        """What leaves an item out for its user."""
        return tuple(self.log.clicks if kind == CLICK else rows_of(self.log, kind) for kind in self.settings.once)

    def find(self, requests: pl.DataFrame, size: int | None = None) -> Ranked:
        """Find candidates, of all sources together up to `size` for every request; arguments as of `find_each`."""
        size = self.settings.size if size is None else size
        return merge(self.find_each(requests, size), self.log, size, self.merging)

    def find_each(self, requests: pl.DataFrame, size: int) -> dict[SourceName, Ranked]:
        """Let every source find up to `size` candidates for every request.

        Parameters
        ----------
        requests
            `user_id` and `timestamp` of R requests, each once.
        size
            How many candidates.
        """
        parts: dict[SourceName, list[Ranked]] = {name: [] for name in self.settings.sources}
        with progress(len(requests), "candidates", "list") as advance:
            for rows, asking in self._askings(requests):
                for name, found in parts.items():
                    ranked = rank_field(name, asking, size)
                    found.append(ranked._replace(requests=rows[ranked.requests]))
                advance(len(rows))
        return {name: _joined(found) for name, found in parts.items()}

    def by_half_life(self, requests: pl.DataFrame, size: int) -> dict[timedelta, Ranked]:
        """Let source `popular` find candidates by each half-life; arguments as of `find_each`."""
        parts: dict[timedelta, list[Ranked]] = {life: [] for life in half_lives(self.features)}
        for rows, asking in self._askings(requests):
            for life, found in parts.items():
                ranked = rank_field("popular", replace(asking, half_life=life), size)
                found.append(ranked._replace(requests=rows[ranked.requests]))
        return {life: _joined(found) for life, found in parts.items()}

    def out(self, requests: pl.DataFrame) -> float:
        """Count the items that are out at the moments of requests, on average."""
        out, moments = self.log.register.out_at, requests["timestamp"].dt.epoch("us").to_numpy()
        dated = np.searchsorted(np.sort(out[np.isfinite(out)]), moments, side="right")
        return float(dated.mean() + np.isnan(out).sum()) if len(moments) else 0.0

    def candidates(self, requests: pl.DataFrame, found: Ranked) -> pl.DataFrame:
        """Give what was found as rows of the columns of the requests it was found for, with `item_id` last.

        Nothing is known of `[features] scores`, which a retriever of one's own gives to its candidates alone.
        """
        items = self.log.items.by_code.gather(found.items).alias("item_id")
        rows = requests.drop("item_id", strict=False)[found.requests]
        unknown = [pl.lit(None, rows.schema[name]).alias(name) for name in self.features.scores if name in rows.columns]
        return rows.with_columns(*unknown, items)

    def fits(self, requests: pl.DataFrame, which: Ints, items: Ints) -> Flags:
        """Say which items may be candidates: out, and not left out for their users.

        Parameters
        ----------
        requests
            As of `find_each`.
        which, items
            Places of requests, ascending, and item codes, each of shape [C].
        """
        found = np.zeros(len(which), dtype=bool)
        for rows, asking in self._askings(requests):
            here = np.full(len(requests), -1)
            here[rows] = np.arange(len(rows))
            some = np.flatnonzero(here[which] >= 0)
            found[some] = asking.fits(here[which[some]], items[some])
        return found

    def _askings(self, requests: pl.DataFrame) -> Iterator[tuple[Ints, Asking]]:
        """Cut requests into blocks that know one field, and give their places."""
        moments = requests.select(
            as_of=self.log.time.as_of(pl.col("timestamp")).dt.epoch("us"), timestamp=pl.col("timestamp").dt.epoch("us")
        )
        as_of, timestamp = (moments[name].to_numpy() for name in ("as_of", "timestamp"))
        users = self.log.users.encode(requests["user_id"])
        block = max(1, _CELLS // max(1, len(self.log.items)))
        for known, rows in fields_of(self.log, as_of, self.features):
            for start in range(0, len(rows), block):
                some = rows[start : start + block]
                yield some, self._asking(known, users[some], as_of[some], timestamp[some])

    def _asking(self, known: Field, users: Ints, as_of: Ints, timestamp: Ints) -> Asking:
        half_life = self.merging.half_life or usual_half_life(self.features)
        history = self.log.last_clicks(users, as_of, READ)
        busy = []
        for done in self._done:
            which, places = done.of_users(users, as_of)
            busy.append(which * len(self.log.items) + done.items[places])
        taken = np.unique(np.concatenate(busy)) if busy else np.empty(0, dtype=np.int64)
        index = self.index if self.settings.index == "faiss" else None
        return Asking(self.log, self.reader, known, half_life, users, as_of, timestamp, history, taken, index)


def first_rows(requests: pl.DataFrame) -> pl.DataFrame:
    """Give one row for each request, in their order, with the columns that all its rows share."""
    return requests.unique("request_id", keep="first", maintain_order=True).drop("item_id", strict=False)


def _joined(parts: list[Ranked]) -> Ranked:
    """Put parts together, requests in their order."""
    nothing = np.empty(0, dtype=np.int64)
    requests, items, places = (
        (np.concatenate([nothing, *of]) for of in zip(*parts, strict=True)) if parts else (nothing,) * 3
    )
    order = np.argsort(requests, kind="stable")
    return Ranked(requests[order], items[order], places[order])
