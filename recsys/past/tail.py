"""The tail: behaviour that came in after the state was written, on top of what the batch knew."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from recsys.data.clock import format_duration
from recsys.errors import DataError
from recsys.past.behaviour import CLICKED_AT, Behaviour, as_text, joined_rows, known_events, latest, shown_candidates
from recsys.past.log import Log
from recsys.past.told import CANDIDATE, SHOWN_TO, Taken, untold_candidates, untold_events
from recsys.schema import TIME
from recsys.shown import counted

logger = logging.getLogger(__name__)

ROWS = 100
"""Rows after which a tail is closed and another one begins on top; fewer are counted anew at every update."""


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
        `request_id`, `user_id`, `item_id`, `timestamp` and `label` of the candidates of closed tails.
    in_state
        How many showings, the first of the lowest log, were there before the first tail.
    last
        Moment of the latest of these.
    blank
        No candidate, in the columns of those that are told.
    open
        The log of all of it, where that is at hand.
    """

    closed: Log
    events: pl.DataFrame
    requests: pl.DataFrame
    settled: pl.DataFrame
    in_state: int
    last: datetime | None
    blank: pl.DataFrame
    open: Log | None = None

    @classmethod
    def on(cls, log: Log) -> "Tail":
        """Begin on top of a log."""
        shown = log.behaviour.showings
        requests = shown.clear().select(pl.lit(None).alias("request_id"), pl.all())
        settled = requests.select("request_id", *SHOWN_TO, "label")
        last = shown.select(pl.col("timestamp").max()).item()
        return cls(log, log.behaviour.events.clear(), requests, settled, len(shown), last, requests.drop("list_size"))

    @cached_property
    def log(self) -> Log:
        """All that is known."""
        if self.open is not None:
            return self.open
        if self.events.is_empty() and self.requests.is_empty():
            return self.closed
        return self.closed.with_tail(self._rows(self.requests))

    def untold(self, events: pl.DataFrame | None, requests: pl.DataFrame | None) -> Taken:
        """Leave out what was told before, or is in the state: lists alike, and events of a known `event_id`.

        Raises
        ------
        DataError
            When a list or an event is told again otherwise, a list is added in pieces, or some candidates of one are in
            the state already; when values are of another kind than those before.
        """
        known = self.closed.behaviour
        if events is None:
            ids = {name: known.events.schema[name] for name in ("user_id", "item_id")}
            new = pl.DataFrame(schema={**ids, "timestamp": TIME, "event": pl.String, "known_at": TIME})
        else:
            new = untold_events(events, self.closed, self.events)
            if "known_at" in new.columns:
                new = new.with_columns(latest(new["known_at"], new["timestamp"]))
            else:
                new = new.hstack([new["timestamp"].alias("known_at")])
        shown = self.blank if requests is None else self._untold(requests)
        told = sum(len(each) for each in (events, requests) if each is not None)
        return Taken(new, shown, known.items.clear(), known.users.clear(), told - len(new) - len(shown))

    def in_time(self, taken: Taken) -> Taken:
        """Leave out what came too late: the state holds no rows of then, but totals."""
        earliest, lateness = self.closed.earliest, self.closed.time.lateness
        if earliest is None:
            return taken
        bound = earliest - lateness // timedelta(microseconds=1)
        if all(not len(each) or each.to_numpy().view(np.int64).min() >= bound for each in taken.moments):
            return taken
        first = pl.lit(earliest, pl.Int64).cast(TIME) - lateness
        events, requests = (
            taken.events.filter(pl.col("known_at") >= first),
            taken.requests.filter(pl.col("timestamp").min().over("request_id") >= first),
        )
        late = len(taken.events) - len(events) + len(taken.requests) - len(requests)
        if late:
            logger.warning(
                "%s came more than %s (lateness of [time]) before the first moment that the state answers for, and %s "
                "left out; score the tables with them for a newer state",
                counted(late, "row"),
                format_duration(lateness),
                "is" if late == 1 else "are",
            )
        return replace(taken, events=events, requests=requests, late=late)

    def grown(self, events: pl.DataFrame | None, requests: pl.DataFrame | None) -> "Tail":
        """Add what `untold` left: events, candidates that were shown, and labels of candidates that wait for them."""
        tail = self
        if events is not None and len(events):
            known = known_events(events)
            rows = joined_rows(tail.events, known)
            log = self.log.with_events(known, rows) if self.log is not self.closed else None
            tail = replace(tail, events=rows, open=log)
        if requests is not None and len(requests):
            tail = replace(tail, requests=tail._with(requests), open=None)
        return tail._settled()

    def told(self, items: pl.DataFrame, users: pl.DataFrame) -> "Tail":
        """Know new and changed rows of items and users, see `Log.told`."""
        if items.is_empty() and users.is_empty():
            return self
        return replace(self, closed=self.closed.told(items, users), open=None)

    def _settled(self) -> "Tail":
        """Close the open tail when it is long, and count anew what does not fit on top."""
        top = self.log
        if top is self.closed or (top.fits and len(self.events) + len(self.requests) < ROWS):
            return self
        labelled = pl.col("label").is_not_null()
        done = self.requests.filter(labelled)
        settled = joined_rows(self.settled, done.select("request_id", *SHOWN_TO, "label"))
        rest = replace(
            self, events=self.events.clear(), requests=self.requests.filter(~labelled), settled=settled, open=None
        )
        below = self.closed
        log = top if len(done) == len(self.requests) else below.with_tail(self._rows(done))
        while True:
            (*others, highest), fits, added = below.rows_known, log.fits, log.top
            if fits and (not others or _size(highest.behaviour) > 2 * _size(added.behaviour)):
                return replace(rest, closed=log)
            if not others:
                return replace(rest, closed=log.in_one())
            below = below.lower()
            if fits:
                log = below.with_layer(highest.followed_by(added))
            else:
                log = below.with_tail(highest.behaviour.joined(added.behaviour))

    def _rows(self, requests: pl.DataFrame) -> Behaviour:
        known = self.closed.behaviour
        return Behaviour(known.items, known.users, requests.drop("request_id"), self.events)

    def _with(self, new: pl.DataFrame) -> pl.DataFrame:
        """Append candidates, or give a label to those that wait for one."""
        new = pl.concat(
            [new.select("request_id"), shown_candidates(new, self.closed.behaviour.context)], how="horizontal"
        )
        if self.requests.is_empty():
            return new
        known = self._labelled(new)
        return joined_rows(known, new.join(known, on=CANDIDATE, how="anti"))

    def _untold(self, new: pl.DataFrame) -> pl.DataFrame:
        """Leave out candidates that were told before or are in the state; a label is told with the context before."""
        new = as_text(new, self.closed.behaviour.context)
        self._check_kinds(new)
        if self.requests.is_empty() and self.settled.is_empty():
            return self._not_in_state(new)
        settled = self.settled.filter(pl.col("request_id").is_in(new["request_id"].implode()))
        before = pl.concat([settled, self.requests.select(settled.columns)], how="vertical_relaxed")
        untold = untold_candidates(new, before)
        added = self._not_in_state(untold.join(before, on="request_id", how="anti"))
        labels = untold.join(self.requests, on=CANDIDATE, how="semi")
        if labels.is_empty():
            return added
        names = self.closed.behaviour.context
        context = self.requests.select(*CANDIDATE, *names)
        labels = labels.drop(names).join(context, on=CANDIDATE, how="left", maintain_order="left")
        return pl.concat([added, labels.select(added.columns)], how="vertical_relaxed")

    def _labelled(self, new: pl.DataFrame) -> pl.DataFrame:
        """Give the candidates of the open tail the labels that they waited for, with the moments of clicks."""
        told = [name for name in ("label", CLICKED_AT) if name in new.columns]
        known = pl.concat([self.requests, new.select(told).clear()], how="diagonal_relaxed")
        said = new.select(*CANDIDATE, *(pl.col(name).alias(f"{name} said") for name in told))
        both = known.select(*CANDIDATE, *told).join(said, on=CANDIDATE, how="left", maintain_order="left")
        return known.with_columns(both.select(pl.coalesce(name, f"{name} said").alias(name) for name in told))

    def _not_in_state(self, new: pl.DataFrame) -> pl.DataFrame:
        """Leave out lists that the state holds, and refuse such in part; those after its last showing cost nothing."""
        if self.last is None or new.is_empty() or new.select(pl.col("timestamp").min()).item() > self.last:
            return new
        moments, key = new["timestamp"], [*SHOWN_TO, "list_size"]
        state = self.closed.behaviour.showings.head(self.in_state)
        state = state.filter(pl.col("timestamp").is_between(moments.min(), moments.max()))
        late = pl.col(CLICKED_AT).is_not_null() if CLICKED_AT in state.columns else pl.lit(value=False)
        state = state.select(*key, held="label", late=late & (pl.col("label") == 0))  # whose label was taken back
        size = pl.len().over("request_id").cast(pl.Int32).alias("list_size")
        told = new.select("request_id", *SHOWN_TO, "label", size).join(state, on=key)
        same = (
            pl.col("label").is_null() | (pl.col("label") == pl.col("held")) | (pl.col("late") & (pl.col("label") > 0))
        )
        alike = told.filter(same).unique(CANDIDATE)
        whole = alike.filter(pl.len().over("request_id") == pl.col("list_size"))["request_id"]
        new = new.filter(~pl.col("request_id").is_in(whole.unique().implode()))
        twice = new.join(state, on=SHOWN_TO, how="semi", maintain_order="left")
        if len(twice):
            raise DataError(
                f"{len(twice)} candidates are already in the state, such as item {twice['item_id'][0]!r} of request "
                f"{twice['request_id'][0]!r}, shown to user {twice['user_id'][0]!r} at {twice['timestamp'][0]}; add "
                f"only lists that are newer than the state, which goes until {self.last}, or whole ones as they were"
            )
        return new

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


def _size(behaviour: Behaviour) -> int:
    return len(behaviour.showings) + len(behaviour.events)
