"""All behaviour in codes: layers of rows that become known over time, and what is known of users and items."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings, daily_cuts
from recsys.errors import DataError
from recsys.past.behaviour import Behaviour
from recsys.past.clicks import Clicks
from recsys.past.field import Fields, rows_of
from recsys.past.layer import Layer, last_read
from recsys.past.reads import Key, Reads
from recsys.past.register import Register
from recsys.past.streams import CLICK, LAST, NEVER_FIRST, NEVER_LAST, Ints, Moment, Rows
from recsys.past.totals import Keeping, Totals
from recsys.past.vocabulary import Vocabularies, Vocabulary


@dataclass(eq=False)
class Log:
    """All behaviour in codes: what the batch knew, and what came later in layers on top of it.

    Attributes
    ----------
    behaviour
        The tables; of showings and events those of the lowest layer.
    time
        When rows become known.
    history
        Kinds of events that users read as they read clicks; they are no clicks in what is counted.
    horizon
        How far back what has no window counts: to the daily cut before; None where it counts all there is. What users
        read last is not bounded by it.
    earliest
        The first `as_of`, microseconds, that may be asked; None where all may.
    fields
        What was counted of all items last.
    """

    behaviour: Behaviour
    time: TimeSettings
    history: tuple[str, ...] = ()
    horizon: timedelta | None = None
    earliest: int | None = None
    fields: Fields = field(default_factory=Fields)

    @cached_property
    def register(self) -> Register:
        """What is known of items and users, by code."""
        return Register.of(self.behaviour)

    @cached_property
    def layers(self) -> tuple[Layer | Totals, ...]:
        """The rows of the batch, and above them what came later; each is counted apart."""
        return (Layer(self.behaviour, self.register, self.time, self.history),)

    @property
    def rows_known(self) -> tuple[Layer, ...]:
        """The layers of which rows are known: all but totals, which lie below."""
        return tuple(layer for layer in self.layers if isinstance(layer, Layer))

    def _of(self, register: Register, layers: tuple[Layer | Totals, ...]) -> "Log":
        tables = replace(self.behaviour, items=register.items.table, users=register.users.table)
        log = Log(tables, self.time, self.history, self.horizon, self.earliest, self.fields)
        log.register, log.layers = register, layers
        return log

    def with_tail(self, tail: Behaviour) -> "Log":
        """Put later rows on top of a log; every feature is the same as of one log of all rows.

        What users read on top must not come before a click of the same user below, see `fits`.
        """
        register, below = self.register.with_tail(tail), self.layers
        return self._of(register, (*below, Layer(tail, register, self.time, self.history, below)))

    def with_events(self, events: pl.DataFrame, rows: pl.DataFrame) -> "Log":
        """Put events, in the columns of `Behaviour`, into the highest layer, which then has these rows."""
        *below, top = self.layers
        assert isinstance(top, Layer)
        register, ids = self.register.with_events(events)
        return self._of(register, (*below, top.with_events(events, rows, register, ids)))

    @property
    def top(self) -> Layer:
        """The highest layer."""
        return self.rows_known[-1]

    def with_layer(self, layer: Layer) -> "Log":
        """Put a layer on top, which lay there before or higher."""
        return self._of(layer.register, (*self.layers, layer))

    def lower(self) -> "Log":
        """Leave the highest layer away."""
        return self._of(self.register, self.layers[:-1])

    def in_one(self) -> "Log":
        """Count all rows together, anew, over what stands for older ones; codes stay, so that what reads texts fits."""
        totals = tuple(layer for layer in self.layers if isinstance(layer, Totals))
        lowest, *others = self.rows_known
        rows = lowest.behaviour
        for later in others:
            rows = rows.joined(later.behaviour)
        layer = Layer(rows, self.register, self.time, self.history, totals, lowest.since)
        log = self._of(self.register, (*totals, layer))
        log.behaviour = replace(rows, items=self.behaviour.items, users=self.behaviour.users)
        return log

    def compacted(self, earliest: int, keep: Keeping, keys: tuple[Key, ...]) -> "Log":
        """Let totals stand for all rows that need not be told apart by who asks no sooner than some moment.

        Parameters
        ----------
        earliest
            The first `as_of` that may still be asked, microseconds.
        keep
            How much of the past is kept as rows.
        keys
            What is counted; nothing else can be asked.

        Returns
        -------
        A log that answers what this one does, bit by bit. What was known of items and users by now is what older rows
        are counted under for ever.
        """
        (layer,) = self.layers
        assert isinstance(layer, Layer)
        since = earliest - keep.rows_for // timedelta(microseconds=1)
        edge = self.edge(np.array([earliest]))
        totals = Totals.of(layer, since, keep, keys, self._days, None if edge is None else int(edge[0]))
        log = Log(layer.behaviour_since(since), self.time, self.history, self.horizon, earliest, self.fields)
        log.register = self.register
        log.layers = (totals, Layer(log.behaviour, self.register, self.time, self.history, (totals,), since))
        return log

    def release(self) -> None:
        """Let go of memory of counters that can be mapped again: what one part of users asked, the next does not."""
        for layer in self.layers:
            layer.release()

    def first_as_of(self, candidates: pl.DataFrame) -> int | None:
        """Give the first moment that candidates ask, microseconds; None where there are none."""
        return int(self._as_of(candidates).min()) if len(candidates) else None

    def _as_of(self, candidates: pl.DataFrame) -> Ints:
        if self.time.freshness == "live":
            return _microseconds(candidates.get_column("timestamp"))
        return _microseconds(candidates.select(self.time.as_of(pl.col("timestamp"))).to_series())

    def edge(self, as_of: Ints) -> Ints | None:
        """Give the moments before which nothing counts, microseconds, shape [Q]; None where there is no horizon."""
        if self.horizon is None:
            return None
        return daily_cuts(as_of - self.horizon // timedelta(microseconds=1), self.time.zone)

    def _days(self, moments: Ints) -> Ints:
        """Give the day of each row that totals tell apart, as its first moment; one for all without a horizon."""
        return np.zeros_like(moments) if self.horizon is None else daily_cuts(moments, self.time.zone)

    def told(self, items: pl.DataFrame, users: pl.DataFrame) -> "Log":
        """Know new and changed rows of items and users, see `Register.told`; behaviour counts under what they say.

        Counted anew is only what is kept per an attribute that is another one now, in layers with rows of such an item
        or user that happened since; the rest is shared.
        """
        register, changed = self.register.told(items, users)
        layers: tuple[Layer | Totals, ...] = ()
        last = set[str]()  # what users read last before a row may lie in any layer below
        for layer in self.layers:
            names = layer.touched(changed)
            last |= {f"{LAST}{name}" for name in names}
            layers = (*layers, layer.recoded(register, names | last, layers) if names | last else layer)
        return self._of(register, layers)

    @property
    def fits(self) -> bool:
        """Whether nothing read in the highest layer would have been the last before a click that is counted below."""
        *lower, top = self.rows_known  # what totals stand for came long before
        rows = top.history_rows
        lower = [layer for layer in lower if len(rows.moments) and not layer.ends_by(rows.moments.min())]
        if not lower:
            return True
        reads = Reads.of((Moment(CLICK, ("user",)),), self.time.feedback_delay)
        last, ever = np.full((1, len(rows.moments)), NEVER_LAST), np.full((1, len(rows.moments)), NEVER_FIRST)
        for layer in lower:
            layer.add(reads, rows.codes["user"][None], ever, last)
        return not np.any(last > rows.moments)

    @property
    def users(self) -> Vocabulary:
        """Every user with behaviour or attributes."""
        return self.vocabularies["user"]

    @property
    def items(self) -> Vocabulary:
        """Every item of the catalogue and every item with behaviour."""
        return self.vocabularies["item"]

    @property
    def vocabularies(self) -> Vocabularies:
        """The values of every key column."""
        return self.register.vocabularies

    @property
    def attributes(self) -> Mapping[str, Ints]:
        """Per item attribute its code for every row of the items table, -1 where it is not known."""
        return self.register.items.attributes

    @property
    def user_attributes(self) -> Mapping[str, Ints]:
        """Per user attribute its code for every row of the users table, -1 where it is not known."""
        return self.register.users.attributes

    @property
    def available_at(self) -> npt.NDArray[np.float64]:
        """When every item could first be shown, microseconds, NaN where it is not known."""
        return self.register.available_at

    def rows(self, candidates: pl.DataFrame) -> Rows:
        """Encode candidates and give each the moment after which no behaviour may be known."""
        timestamp, as_of = _microseconds(candidates.get_column("timestamp")), self._as_of(candidates)
        if self.earliest is not None and len(as_of) and as_of.min() < self.earliest:
            raise DataError(_too_early(int(as_of.min()), self.earliest))
        return Rows(codes=self.register.codes(candidates, timestamp), as_of=as_of, timestamp=timestamp)

    @cached_property
    def clicks(self) -> Clicks:
        """All clicks of all layers."""
        return rows_of(self, CLICK)

    def last_clicks(self, users: Ints, as_of: Ints, length: int) -> tuple[Ints, Ints, Ints]:
        """Look up what users read before a moment, most recent first: clicks, and events of the kinds in `history`.

        Of those that became known at one moment, the one on the larger item id counts as later, and of two on one item
        the one that happened later.

        Parameters
        ----------
        users
            User codes, -1 for unknown ones, shape [R].
        as_of
            Microseconds, shape [R].
        length
            Number of clicks H.

        Returns
        -------
        Item codes, -1 where there is no further click, when each became known, and when it happened, microseconds, each
        of shape [R, H].
        """
        return last_read(self.layers, self.register, users, as_of, length)


def _too_early(as_of: int, earliest: int) -> str:
    first, asked = (datetime.fromtimestamp(moment / 1_000_000, UTC).isoformat() for moment in (earliest, as_of))
    return (
        f"the state answers for what was known at {first} or later, and a request asks for {asked}: older behaviour is "
        "kept as totals only; ask a state of that day, or score the tables with `recsys score`"
    )


def _microseconds(moments: pl.Series) -> Ints:
    return moments.to_numpy().view(np.int64)
