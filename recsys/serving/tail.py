"""The tail: behaviour that came in after the state was written, on top of what the batch knew."""

from dataclasses import dataclass, replace

import polars as pl

from recsys.errors import DataError
from recsys.features.behaviour import Behaviour, known_events, shown_candidates
from recsys.features.log import Log

ROWS = 10_000
"""Rows after which a tail is closed and another one begins on top; fewer are counted anew at every update."""

_CANDIDATE = ["request_id", "item_id"]


@dataclass(frozen=True)
class Tail:
    """A log that grows; every step is a new value, so that a reader never sees half of one.

    Closed tails are merged so that each is more than twice as large as the next: a row is counted anew a few times
    only, and a look-up visits a few layers only.

    Attributes
    ----------
    closed
        The batch's log and, on top of it, the closed tails.
    events
        Rows of the open tail.
    requests
        Candidates of the open tail, those among them whose `label` is null waiting for it.
    """

    closed: Log
    events: pl.DataFrame
    requests: pl.DataFrame

    @classmethod
    def on(cls, log: Log) -> "Tail":
        """Begin on top of a log."""
        return cls(log, log.behaviour.events.clear(), log.behaviour.showings.clear().with_columns(request_id=None))

    @property
    def log(self) -> Log:
        """All that is known."""
        if self.events.is_empty() and self.requests.is_empty():
            return self.closed
        return self.closed.with_tail(self._rows(self.requests))

    def grown(self, events: pl.DataFrame | None, requests: pl.DataFrame | None) -> "Tail":
        """Add events, candidates that were shown, and labels of candidates that were added without.

        Raises
        ------
        DataError
            When a candidate is added twice.
        """
        tail = self
        if events is not None:
            tail = replace(tail, events=pl.concat([tail.events, known_events(events)], how="vertical_relaxed"))
        if requests is not None:
            tail = replace(tail, requests=tail._with(requests))
        return tail._settled()

    def _settled(self) -> "Tail":
        """Close the open tail when it is long, and count anew what does not fit on top."""
        top = self.log
        if top is self.closed or (top.fits and len(self.events) + len(self.requests) < ROWS):
            return self
        waits = pl.col("label").is_null()
        waiting, added, below = self.requests.filter(waits), self._rows(self.requests.filter(~waits)), self.closed
        while True:
            log = below.with_tail(added)
            if log.fits and (below.tail is None or _size(below.tail) > 2 * _size(added)):
                return Tail(log, self.events.clear(), waiting)
            if below.base is None or below.tail is None:
                return Tail(Log(below.behaviour.joined(added), below.time), self.events.clear(), waiting)
            added, below = below.tail.joined(added), below.base

    def _rows(self, requests: pl.DataFrame) -> Behaviour:
        known = self.closed.behaviour
        return Behaviour(known.items, known.users, requests.drop("request_id"), self.events)

    def _with(self, new: pl.DataFrame) -> pl.DataFrame:
        """Append candidates, or give a label to those that wait for one."""
        context = self.closed.behaviour.context
        new = pl.concat([new.select("request_id"), shown_candidates(new, context)], how="horizontal")
        if self.requests.is_empty():
            return new
        known = self.requests.join(
            new.select(*_CANDIDATE, said="label"), on=_CANDIDATE, how="left", maintain_order="left"
        )
        again = known.filter(pl.col("label").is_not_null() & pl.col("said").is_not_null())
        if len(again):
            raise DataError(
                f"{len(again)} candidates were added with their label before, such as item {again['item_id'][0]!r} of "
                f"request {again['request_id'][0]!r}; add each once with a label, or first without and then with it"
            )
        known = known.with_columns(label=pl.coalesce("label", "said")).drop("said")
        fresh = new.join(known, on=_CANDIDATE, how="anti", maintain_order="left")
        return pl.concat([known, fresh], how="vertical_relaxed")


def _size(behaviour: Behaviour) -> int:
    return len(behaviour.showings) + len(behaviour.events)
