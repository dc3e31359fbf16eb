"""The tail: behaviour that came in after the state was written, on top of what the batch knew."""

from dataclasses import dataclass, replace
from functools import cached_property

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
    settled
        `request_id` and `item_id` of the candidates of closed tails.
    """

    closed: Log
    events: pl.DataFrame
    requests: pl.DataFrame
    settled: pl.DataFrame

    @classmethod
    def on(cls, log: Log) -> "Tail":
        """Begin on top of a log."""
        requests = log.behaviour.showings.clear().select(pl.lit(None).alias("request_id"), pl.all())
        return cls(log, log.behaviour.events.clear(), requests, requests.select(_CANDIDATE))

    @cached_property
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
            When a candidate is added with a label twice, or values are of another kind than those before.
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
        labelled = pl.col("label").is_not_null()
        done = self.requests.filter(labelled)
        settled = pl.concat([self.settled, done.select(_CANDIDATE)], how="vertical_relaxed")
        rest = replace(self, events=self.events.clear(), requests=self.requests.filter(~labelled), settled=settled)
        added, below = self._rows(done), self.closed
        while True:
            log = below.with_tail(added)
            if log.fits and (below.tail is None or _size(below.tail) > 2 * _size(added)):
                return replace(rest, closed=log)
            if below.base is None or below.tail is None:
                return replace(rest, closed=_counted_anew(log))
            added, below = below.tail.joined(added), below.base

    def _rows(self, requests: pl.DataFrame) -> Behaviour:
        known = self.closed.behaviour
        return Behaviour(known.items, known.users, requests.drop("request_id"), self.events)

    def _with(self, new: pl.DataFrame) -> pl.DataFrame:
        """Append candidates, or give a label to those that wait for one."""
        context = self.closed.behaviour.context
        new = pl.concat([new.select("request_id"), shown_candidates(new, context)], how="horizontal")
        self._check_kinds(new)
        if self.requests.is_empty() and self.settled.is_empty():
            return new
        settled = self.settled.filter(pl.col("request_id").is_in(new["request_id"].implode()))
        labelled = self.requests.filter(pl.col("label").is_not_null()).select(_CANDIDATE)
        labelled = pl.concat([settled, labelled], how="vertical_relaxed")
        again = new.filter(pl.col("label").is_not_null()).join(labelled, on=_CANDIDATE, how="semi")
        if len(again):
            raise DataError(
                f"{len(again)} candidates were added with their label before, such as item {again['item_id'][0]!r} of "
                f"request {again['request_id'][0]!r}; add each once with a label, or first without and then with it"
            )
        said = new.select(*_CANDIDATE, said="label")
        known = self.requests.join(said, on=_CANDIDATE, how="left", maintain_order="left")
        known = known.with_columns(label=pl.coalesce("label", "said")).drop("said")
        fresh = new.join(known, on=_CANDIDATE, how="anti").join(labelled, on=_CANDIDATE, how="anti")
        return pl.concat([known, fresh], how="vertical_relaxed")

    def _check_kinds(self, new: pl.DataFrame) -> None:
        """Refuse request ids and context categories that are numbers here and texts there."""
        known = self.closed.behaviour
        for name in ("request_id", *known.context):
            before = known.showings.schema[name] if name in known.context else self.requests.schema[name]
            given = new.schema[name]
            if pl.Null not in (before, given) and before.is_integer() != given.is_integer():
                raise DataError(
                    f"requests hold {name} as {given}, and as {before} before; cast the column to the same kind"
                )


def _counted_anew(log: Log) -> Log:
    """Give one log without a tail of all rows of a log and its tail; codes stay, so that readers of texts fit it."""
    assert log.tail is not None
    anew = Log(log.behaviour.joined(log.tail), log.time)
    anew.vocabularies = log.vocabularies
    return anew


def _size(behaviour: Behaviour) -> int:
    return len(behaviour.showings) + len(behaviour.events)
