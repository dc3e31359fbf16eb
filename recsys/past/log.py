"""Behaviour as streams of rows that become known over time, ready for the counting kernel."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from weakref import ReferenceType, ref

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.errors import DataError
from recsys.past.behaviour import EVENT_ID, Behaviour, Clicked
from recsys.past.clicks import Clicks
from recsys.past.counters import Counter, Ints, Timeline
from recsys.past.field import Fields, marks, rows_of
from recsys.past.register import ALWAYS, Changed, Register
from recsys.past.streams import (
    CHANCE,
    CLICK,
    LAST,
    OUTCOME,
    SHOWING,
    Codes,
    Per,
    Rows,
    Stream,
    in_units,
)
from recsys.past.vocabulary import Vocabularies, Vocabulary


@dataclass(eq=False)
class Layer:
    """Some rows of behaviour in codes; counters are built when first asked for.

    Attributes
    ----------
    behaviour
        The rows.
    owner
        The log that holds the layer; not held in turn, so that both are gone as soon as nobody reads the log.
    sizes
        How many codes each key column had when the layer was made.
    """

    behaviour: Behaviour
    owner: "ReferenceType[Log]"
    sizes: dict[str, int]
    _counters: dict[tuple[str, Per], Counter] = field(default_factory=dict)
    _moments: dict[str, Ints] = field(default_factory=dict)

    @property
    def log(self) -> "Log":
        """The log that holds the layer."""
        log = self.owner()
        assert log is not None
        return log

    @cached_property
    def timeline(self) -> Timeline:
        """Every moment at which a row of the layer becomes known."""
        return Timeline.of(self._showings.moments, self._events.moments, self._clicked.known_at)

    def counter(self, of: str, per: Per) -> Counter:
        """Give the sorted rows of one stream per key; an outcome lies at its showing, see `before`."""
        of = SHOWING if of == OUTCOME else of
        if (of, per) not in self._counters:
            stream = self._click_stream if of == CLICK else self.stream(of)
            keys = self.combine(stream.codes, per)
            if of not in self._moments:
                self._moments[of] = self.timeline.places(stream.moments)
            self._counters[of, per] = Counter.build(keys, self._moments[of], self.timeline.width, stream.amounts)
        return self._counters[of, per]

    def before(self, of: str, moments: Ints) -> Ints:
        """Give places in the timeline so that the rows of a stream before them are known before some moments."""
        delay = int(self.log.time.feedback_delay.total_seconds() * 1_000_000)
        return self.timeline.before(moments - delay if of == OUTCOME else moments)

    def combine(self, codes: Codes, per: Per) -> Ints:
        """Make one key of several code columns, -1 where one of them is unknown; no column is one key for all."""
        if not per:
            return np.zeros(len(codes["item"]), dtype=np.int64)
        if math.prod(self.sizes[name] for name in per) >= 2**62:
            raise DataError(f"there are too many pairs of {' and '.join(per)} to number them; count per fewer columns")
        key, unknown = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=bool)
        for name in per:
            column = codes[name]
            key = key * self.sizes[name] + column
            unknown = unknown | (column < 0) | (column >= self.sizes[name])
        return np.where(unknown, -1, key)

    @cached_property
    def history(self) -> tuple[Counter, Ints, Ints]:
        """What users read, by user, the item code of each sorted row, and when it happened.

        At one moment they stand in the order of items, and those of one item in the order in which they happened.
        """
        stream = self.history_rows
        keys, items = self.combine(stream.codes, ("user",)), stream.codes["item"]
        moments = self.timeline.places(stream.moments)
        ties = (stream.happened, self.log.items.order[items])
        counter = Counter.build(keys, moments, self.timeline.width, ties=ties)
        return counter, items[counter.order], stream.happened[counter.order]

    @cached_property
    def held(self) -> Mapping[str, Ints]:
        """When the last row of every user and every item, by code, happened, microseconds, `ALWAYS` without a row."""
        found = {}
        for name in ("user", "item"):
            found[name] = np.full(self.sizes[name], ALWAYS)
            for stream in (self._showings, self._events):
                np.maximum.at(found[name], stream.codes[name], stream.happened)
        return found

    def touched(self, changed: Mapping[str, Changed]) -> set[str]:
        """Name the attributes, of those that changed for these items or users, that are keys of rows since then."""
        found = set()
        for name, (codes, since) in changed.items():
            last = self.held["item" if name in self.log.attributes else "user"]
            here = codes < len(last)
            if (last[codes[here]] > since[here]).any():
                found.add(name)
        return found

    def recoded(self, owner: "Log", names: Set[str]) -> "Layer":
        """Give the same rows in the codes of another log, whose key columns of these names differ."""
        sizes = {name: owner.sizes[name] if name in names else size for name, size in self.sizes.items()}
        kept = {key: counter for key, counter in dict(self._counters).items() if not names & set(key[1])}
        layer = Layer(self.behaviour, ref(owner), sizes, kept, dict(self._moments))
        layer.timeline, layer.history, layer.held = self.timeline, self.history, self.held
        layer._clicked, layer.event_ids = self._clicked, self.event_ids
        layer._showings, layer._events = (
            replace(stream, codes={**stream.codes, **owner.attribute_codes(stream.codes, stream.happened)})
            for stream in (self._showings, self._events)
        )
        return layer

    @cached_property
    def _showings(self) -> Stream:
        shown = self.behaviour.showings
        moments = shown["timestamp"].dt.epoch("us").to_numpy()
        chance = np.rint(1 / (CHANCE * shown["list_size"].to_numpy())).astype(np.int64)
        codes = self.log.codes(shown, moments)
        return Stream(codes, moments, moments, (self._clicked.in_time.astype(np.int8), chance))

    @cached_property
    def _clicked(self) -> Clicked:
        return Clicked.of(self.behaviour.showings, self.log.time)

    @cached_property
    def _events(self) -> Stream:
        done = self.behaviour.events
        moments = done["known_at"].dt.epoch("us").to_numpy()
        return Stream(self.log.codes(done, moments), moments, moments, in_units(done["value"]))

    @cached_property
    def event_ids(self) -> Vocabulary:
        """The ids of the layer's events, where they have any."""
        events = self.behaviour.events
        return Vocabulary.of(*(events[name] for name in (EVENT_ID,) if name in events.columns))

    def stream(self, of: str) -> Stream:
        """Give the rows of the lists, or the events of a kind."""
        if of == SHOWING:
            return self._showings
        return self._events.where((self.behaviour.events["event"] == of).to_numpy())

    @cached_property
    def click_rows(self) -> Stream:
        """Clicks from events and from lists."""
        shown, nothing = self._showings.where(self._clicked.rows), np.zeros_like(self._clicked.known_at)
        return self.stream(CLICK).joined(replace(shown, moments=self._clicked.known_at, amounts=(nothing, nothing)))

    @cached_property
    def click_marks(self) -> tuple[Ints, npt.NDArray[np.uint64]]:
        """When clicks became known, ascending, and before each what tells them from others, shape [N] and [N + 1]."""
        return marks(self.click_rows)

    @cached_property
    def history_rows(self) -> Stream:
        """Clicks, and the events that users read as they read clicks."""
        if not self.log.history:
            return self.click_rows
        read = self.behaviour.events["event"].is_in(self.log.history)
        return self.click_rows.joined(self._events.where(read.to_numpy()))

    @cached_property
    def _click_stream(self) -> Stream:
        """Clicks, with what their user had read last before each."""
        last, _, happened = self.log.last_clicks(self.click_rows.codes["user"], self.click_rows.moments, 1)
        codes = self.log.last_codes(last[:, 0], happened[:, 0])
        return replace(self.click_rows, codes={**self.click_rows.codes, **codes})


@dataclass(eq=False)
class Log:
    """All behaviour in codes: what the batch knew, and perhaps a tail of what came later.

    Attributes
    ----------
    behaviour
        The tables, without the tail.
    time
        When rows become known.
    tail
        Later showings and events, counted apart, so that adding them costs what they are and not what all is.
    base
        The log below the tail; it may have a tail of its own.
    history
        Kinds of events that users read as they read clicks; they are no clicks in what is counted.
    origin
        The log that owns the top layer, where this one has it from another.
    fields
        What was counted of all items last.
    """

    behaviour: Behaviour
    time: TimeSettings
    tail: Behaviour | None = None
    base: "Log | None" = None
    history: tuple[str, ...] = ()
    origin: "Log | None" = None
    fields: Fields = field(default_factory=Fields)

    def with_tail(self, tail: Behaviour) -> "Log":
        """Put later rows on top of a log; every feature is the same as of one log of all rows.

        What users read on top must not come before a click of the same user below, see `fits`.
        """
        return Log(self.behaviour, self.time, tail, self, self.history, fields=self.fields)

    def told(self, items: pl.DataFrame, users: pl.DataFrame) -> "Log":
        """Know new and changed rows of items and users, see `Register.told`; behaviour counts under what they say.

        Counted anew is only what is kept per an attribute that is another one now, in layers with rows of such an item
        or user that happened since; the rest is shared.
        """
        return self._under(*self.register.told(items, users))

    def _under(self, register: Register, changed: Mapping[str, Changed]) -> "Log":
        base = None if self.base is None else self.base._under(register, changed)
        behaviour = replace(self.behaviour, items=register.items.table, users=register.users.table)
        log = Log(behaviour, self.time, self.tail, base, self.history, fields=self.fields)
        log.register = register
        top = self.layers[-1]  # what users read last before a row of it may lie in any layer below
        names = top.touched(changed) | {f"{LAST}{name}" for layer in self.layers for name in layer.touched(changed)}
        log.origin = None if names else top.log
        top = top.recoded(log, names) if names else top
        log.layers = (top,) if base is None else (*base.layers, top)
        return log

    @property
    def fits(self) -> bool:
        """Whether nothing read in the tail would have been the last before a click that is already counted."""
        *lower, top = self.layers
        users, moments = top.history_rows.codes["user"], top.history_rows.moments
        for layer in lower:
            counter = layer.counter(CLICK, ("user",))
            keys = layer.combine({"user": users}, ("user",))
            until, every = layer.timeline.before(moments + 1), np.full(len(keys), layer.timeline.width - 1)
            if np.any(counter.before(keys, until) < counter.before(keys, every)):
                return False
        return True

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The rows of the batch, and above them those of the tail."""
        if self.base is None or self.tail is None:
            return (Layer(self.behaviour, ref(self), self.sizes),)
        return (*self.base.layers, Layer(self.tail, ref(self), self.sizes))

    @property
    def sizes(self) -> dict[str, int]:
        """How many codes each key column has."""
        sizes = {name: len(of) for name, of in self.vocabularies.items()}
        return sizes | {f"{LAST}{name}": sizes[name] for name in ("item", *self.behaviour.attributes)}

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

    @cached_property
    def register(self) -> Register:
        """What is known of items and users, by code."""
        if self.base is not None and self.tail is not None:
            return self.base.register.with_tail(self.tail)
        return Register.of(self.behaviour)

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
        moments = candidates.select(
            pl.col("timestamp").dt.epoch("us").alias("timestamp"),
            self.time.as_of(pl.col("timestamp")).dt.epoch("us").alias("as_of"),
        )
        as_of, timestamp = moments["as_of"].to_numpy(), moments["timestamp"].to_numpy()
        return Rows(codes=self.codes(candidates, timestamp), as_of=as_of, timestamp=timestamp)

    def codes(self, table: pl.DataFrame, moments: Ints) -> dict[str, Ints]:
        """Turn users, items, what was known of them before some moments, and context categories into codes.

        They are -1 where there is none.
        """
        users, items = self.users.encode(table["user_id"]), self.items.encode(table["item_id"])
        found = {"user": users, "item": items}
        found |= self.attribute_codes(found, moments)
        for name in self.behaviour.context:
            present = name in table.columns
            found[name] = self.vocabularies[name].encode(table[name]) if present else np.full(len(table), -1)
        return found

    def attribute_codes(self, codes: Codes, moments: Ints) -> dict[str, Ints]:
        """Give the key columns of what was known before some moments of users and items, of which codes are given."""
        items = self.register.items.at(codes["item"], moments)
        users = self.register.users.at(codes["user"], moments)
        found = {name: _of(each, items) for name, each in self.attributes.items()}
        return found | {name: _of(each, users) for name, each in self.user_attributes.items()}

    def last_codes(self, items: Ints, happened: Ints) -> dict[str, Ints]:
        """Give the key columns of users' last clicks, whose item codes and moments are given."""
        rows = self.register.items.at(items, happened)
        return {f"{LAST}item": items} | {f"{LAST}{name}": _of(each, rows) for name, each in self.attributes.items()}

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
        found = [self._last_clicks(layer, users, as_of, length) for layer in self.layers]
        if len(found) == 1:
            return found[0]
        items, moments, happened = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        order = np.lexsort((-happened, -_of(self.items.order, items), -moments), axis=1)[:, :length]
        last, known_at, since = (np.take_along_axis(of, order, 1) for of in (items, moments, happened))
        return last, known_at, since

    def _last_clicks(self, layer: Layer, users: Ints, as_of: Ints, length: int) -> tuple[Ints, Ints, Ints]:
        counter, clicked, when = layer.history
        keys = layer.combine({"user": users}, ("user",))
        places = counter.before(keys, layer.timeline.before(as_of))[:, None] - 1 - np.arange(length)
        known = places >= counter.first(keys)[:, None]
        items, moments = np.full(places.shape, -1), np.full(places.shape, np.iinfo(np.int64).min // 2)
        happened = moments.copy()
        items[known], happened[known] = clicked[places[known]], when[places[known]]
        moments[known] = layer.timeline.moments[counter.moment(places[known])]
        return items, moments, happened


def _of(values: Ints, places: Ints) -> Ints:
    """Read values at places, -1 where these are -1."""
    return np.append(values, -1)[places]
