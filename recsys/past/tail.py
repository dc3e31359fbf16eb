"""The tail: behaviour that came in after the state was written, on top of what the batch knew."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import polars as pl

from recsys.errors import DataError
from recsys.past.behaviour import Behaviour, known_events, shown_candidates
from recsys.past.log import Log

ROWS = 10_000
"""Rows after which a tail is closed and another one begins on top; fewer are counted anew at every update."""

_CANDIDATE = ["request_id", "item_id"]
_SHOWN = ["user_id", "item_id", "timestamp"]


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
        `request_id`, `user_id`, `item_id` and `timestamp` of the candidates of closed tails.
    in_state
        How many showings, the first of the lowest log, were there before the first tail.
    last
        Moment of the latest of these.
    """

    closed: Log
    events: pl.DataFrame
    requests: pl.DataFrame
    settled: pl.DataFrame
    in_state: int
    last: datetime | None

    @classmethod
    def on(cls, log: Log) -> "Tail":
        """Begin on top of a log."""
        shown = log.behaviour.showings
        requests = shown.clear().select(pl.lit(None).alias("request_id"), pl.all())
        settled = requests.select("request_id", *_SHOWN)
        last = shown.select(pl.col("timestamp").max()).item()
        return cls(log, log.behaviour.events.clear(), requests, settled, len(shown), last)

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
            When a candidate is added with a label twice, a list is added in pieces, told again otherwise or in the
            state already, or values are of another kind than those before.
        """
        tail = self
        if events is not None:
            tail = replace(tail, events=_appended(tail.events, known_events(events)))
        if requests is not None:
            tail = replace(tail, requests=tail._with(requests))
        return tail._settled()

    def told(self, items: pl.DataFrame, users: pl.DataFrame) -> "Tail":
        """Know new and changed rows of items and users, see `Log.told`."""
        if items.is_empty() and users.is_empty():
            return self
        return replace(self, closed=self.closed.told(items, users))

    def _settled(self) -> "Tail":
        """Close the open tail when it is long, and count anew what does not fit on top."""
        top = self.log
        if top is self.closed or (top.fits and len(self.events) + len(self.requests) < ROWS):
            return self
        labelled = pl.col("label").is_not_null()
        done = self.requests.filter(labelled)
        settled = _appended(self.settled, done.select("request_id", *_SHOWN))
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
            self._refuse_in_state(new)
            return new
        settled = self.settled.filter(pl.col("request_id").is_in(new["request_id"].implode()))
        labelled = self.requests.filter(pl.col("label").is_not_null()).select("request_id", *_SHOWN)
        labelled = pl.concat([settled, labelled], how="vertical_relaxed")
        before = pl.concat([settled, self.requests.select("request_id", *_SHOWN)], how="vertical_relaxed")
        _refuse_changed(new, before)
        self._refuse_in_state(new.join(before, on="request_id", how="anti"))
        again = new.filter(pl.col("label").is_not_null()).join(labelled, on=_CANDIDATE, how="semi")
        if len(again):
            raise DataError(
                f"{len(again)} candidates were added with their label before, such as item {again['item_id'][0]!r} of "
                f"request {again['request_id'][0]!r}; add each once with a label, or first without and then with it"
            )
        said = new.select(*_CANDIDATE, said="label")
        labels = self.requests.select(*_CANDIDATE, "label").join(said, on=_CANDIDATE, how="left", maintain_order="left")
        known = self.requests.with_columns(labels.select(label=pl.coalesce("label", "said")).to_series())
        fresh = new.join(known, on=_CANDIDATE, how="anti").join(labelled, on=_CANDIDATE, how="anti")
        return _appended(known, fresh)

    def _refuse_in_state(self, new: pl.DataFrame) -> None:
        """Refuse lists that the state holds; those after its last showing, as most are, cost nothing."""
        if self.last is None or new.is_empty() or new.select(pl.col("timestamp").min()).item() > self.last:
            return
        moments = new["timestamp"]
        state = self.closed.behaviour.showings.head(self.in_state).select(_SHOWN)
        state = state.filter(pl.col("timestamp").is_between(moments.min(), moments.max()))
        twice = new.join(state, on=_SHOWN, how="semi", maintain_order="left")
        if len(twice):
            raise DataError(
                f"{len(twice)} candidates are already in the state, such as item {twice['item_id'][0]!r} of request "
                f"{twice['request_id'][0]!r}, shown to user {twice['user_id'][0]!r} at {twice['timestamp'][0]}; add "
                f"only lists that are newer than the state, which goes until {self.last}"
            )

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


def _refuse_changed(new: pl.DataFrame, before: pl.DataFrame) -> None:
    """Refuse lists that were added before for another user or moment, or without some of these candidates."""
    was = before.select("request_id", "user_id", "timestamp").unique("request_id")
    again = new.select("request_id", *_SHOWN).join(was, on="request_id", suffix="_before", maintain_order="left")
    for name in ("user_id", "timestamp"):
        other = again.filter(pl.col(name) != pl.col(f"{name}_before")).head(1)
        if len(other):
            raise DataError(
                f"request {other['request_id'][0]!r} was added before with {name} {_said(other[f'{name}_before'][0])}, "
                f"and now with {_said(other[name][0])}; repeat its rows as they were, or give another list its own "
                "request_id"
            )
    more = again.join(before, on=_CANDIDATE, how="anti", maintain_order="left")
    if len(more):
        raise DataError(
            f"request {more['request_id'][0]!r} was added before without item {more['item_id'][0]!r}; add all "
            "candidates of a list at once, after that only their labels"
        )


def _appended(rows: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Put rows below others, in one piece: thousands of small pieces cost far more than what they hold."""
    return pl.concat([rows, later], how="vertical_relaxed", rechunk=True)


def _said(value: object) -> str:
    return str(value) if isinstance(value, datetime) else repr(value)


def _counted_anew(log: Log) -> Log:
    """Give one log without a tail of all rows of a log and its tail; codes stay, so that readers of texts fit it."""
    assert log.tail is not None
    anew = Log(log.behaviour.joined(log.tail), log.time)
    anew.register = log.register
    return anew


def _size(behaviour: Behaviour) -> int:
    return len(behaviour.showings) + len(behaviour.events)
