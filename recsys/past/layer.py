"""A layer: some rows of behaviour in codes, on top of others, and what is counted of them."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.errors import DataError
from recsys.past.behaviour import EVENT_ID, Behaviour, Clicked
from recsys.past.counters import Counting, count_few
from recsys.past.field import marks
from recsys.past.reads import READ, Key, Reads
from recsys.past.register import ALWAYS, Changed, Register
from recsys.past.streams import CHANCE, CLICK, LAST, NEVER_FIRST, SHOWING, UNIT, Codes, Ints, Stream
from recsys.past.vocabulary import Vocabulary

if TYPE_CHECKING:
    from recsys.past.parts import Counted

_NOBODY = np.empty((0, 1), dtype=np.int64)

_FEW = 400
"""Up to so many rows are counted under all keys at once."""


class Below(Protocol):
    """What is below a layer: another one, or totals."""

    @property
    def read(self) -> "Counted":
        """What users read, see `Layer.read`."""


@dataclass(eq=False)
class Layer:
    """Some rows of behaviour in codes; what is counted of them is counted when first asked for, and once.

    Attributes
    ----------
    behaviour
        The rows.
    register
        What was known of users and items when the layer was made.
    time
        When rows become known.
    history
        Kinds of events that users read as they read clicks.
    below
        The layers under it, which may hold what a user read last before a click of this one.
    since
        What became known before, microseconds, is counted below; None where nothing is.
    latest
        When the last click became known, microseconds, where that is known beside the rows.
    """

    behaviour: Behaviour
    register: Register
    time: TimeSettings
    history: tuple[str, ...] = ()
    below: "tuple[Below, ...]" = ()
    since: int | None = None
    latest: int | None = None
    _counted: "dict[tuple[Key, ...], Counted]" = field(default_factory=dict)
    _counting: RLock = field(default_factory=RLock)
    _prepared: tuple[Key, ...] | None = None

    @cached_property
    def sizes(self) -> dict[str, int]:
        """How many codes each key column has."""
        sizes = {name: len(of) for name, of in self.register.vocabularies.items()}
        return sizes | {f"{LAST}{name}": sizes[name] for name in ("item", *self.register.items.attributes)}

    def counters(self, keys: tuple[Key, ...]) -> "Counted":
        """Give the counters of some keys; threads may ask."""
        found = self._counted.get(keys)
        if found is not None:
            return found
        with self._counting:
            found = self.counted(keys)
            if found is not None:
                self._counted[keys] = found
                return found
            streams = self.streams(keys)
            if sum(len(stream.moments) for stream in streams.values()) <= _FEW:
                found = self._counted[keys] = count_few(keys, streams, self.sizes)
                return found
            orders = {of: np.argsort(each.moments, kind="stable") for of, each in streams.items()}
            counting = Counting(keys)
            for row, key in enumerate(keys):
                counting.add(row, streams[key.of], self.sizes, orders[key.of])
            found = self._counted[keys] = counting.done()
            return found

    def counted(self, keys: tuple[Key, ...]) -> "Counted | None":
        """Give the counters of some keys where they are counted already."""
        known = (counted for counted in list(self._counted.values()) if set(keys) <= set(counted.keys))
        return next((counted.of(keys) for counted in known), None)

    def streams(self, keys: tuple[Key, ...]) -> dict[str, Stream]:
        """Give the streams that keys count."""
        return {of: self.clicked if of == CLICK else self.stream(of) for of in dict.fromkeys(key.of for key in keys)}

    def add(self, reads: Reads, codes: Ints, bounds: Ints, found: Ints) -> None:
        """Add what is known here, see `recsys.past.counters.Counters.add`."""
        self.counters(reads.keys).add(reads, codes, bounds, found)

    def prepare(self, keys: tuple[Key, ...]) -> None:
        """Count all that will be asked, these keys and what users read, so that nobody who asks waits for it."""
        if self._prepared is keys:
            return
        self.counters(keys)
        self.read.last(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), (_NOBODY, _NOBODY, _NOBODY))
        self._prepared = keys

    def forget(self) -> None:
        """Let go of all that was made of the rows, which takes more room than they do; it is made anew when asked."""
        with self._counting:
            self._counted.clear()
            self._prepared = None
            for name in [name for name, of in vars(type(self)).items() if isinstance(of, cached_property)]:
                self.__dict__.pop(name, None)

    def release(self) -> None:
        """Let go of memory of counters that can be mapped again."""
        for counted in (*self._counted.values(), self.read):
            counted.release()

    def count(self, keys: tuple[Key, ...], counted: "Counted", read: "Counted") -> None:
        """Take what was counted before, of these keys and of what users read."""
        self._counted[keys], self.read = counted, read

    @cached_property
    def read(self) -> "Counted":
        """What users read: by user and moment, its amounts the item of each row and when it happened.

        At one moment they stand in the order of items, and those of one item in the order in which they happened.
        """
        stream = self.history_rows
        items = stream.codes["item"]
        order = np.lexsort((stream.happened, self.register.vocabularies["item"].order[items], stream.moments))
        stream = replace(stream, amounts=(items, stream.happened))
        if len(order) <= _FEW:
            return count_few((READ,), {READ.of: stream.where(order)}, self.sizes, running=False)
        counting = Counting((READ,))
        counting.add(0, stream, self.sizes, order, running=False)
        return counting.done()

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
            last = self.held["item" if name in self.register.items.attributes else "user"]
            here = codes < len(last)
            if (last[codes[here]] > since[here]).any():
                found.add(name)
        return found

    def with_events(self, events: pl.DataFrame, rows: pl.DataFrame, register: Register, ids: Codes) -> "Layer":
        """Put events under its own, both together in `rows`; `ids` are the codes of their users and items."""
        layer = Layer(replace(self.behaviour, events=rows), register, self.time, self.history, self.below, self.since)
        moments = events["known_at"].to_numpy().view(np.int64)
        later = Stream(register.codes(events, moments, ids), moments, moments, in_units(events["value"]))
        layer._events, layer._showings, layer._clicked = self._events.joined(later), self._showings, self._clicked
        numbers, kinds = number_kinds(events["event"], self._kinds[0])
        layer._kinds = numbers, np.append(self._kinds[1], kinds)
        if self.ends_by(moments.min(initial=NEVER_FIRST)):  # what was last before them stays
            new = later.where(layer._of_kinds({CLICK})[len(self._kinds[1]) :])
            layer.clicked = self.clicked.joined(layer._with_last(layer._from_here(new)))
        return layer

    def followed_by(self, later: "Layer") -> "Layer":
        """Put the rows of a layer right above, which fits, into one with these; see `Log.fits`.

        What a user read last before a click is what it was: nothing above comes before a click of these.
        """
        rows = self.behaviour.joined(later.behaviour)
        layer = Layer(rows, later.register, self.time, self.history, self.below, self.since)
        layer._events, layer._showings = self._events.joined(later._events), self._showings.joined(later._showings)
        layer._clicked, layer.clicked = self._clicked.joined(later._clicked), self.clicked.joined(later.clicked)
        numbers, kinds = dict(self._kinds[0]), later._kinds[0]
        own = np.array([numbers.setdefault(kind, len(numbers)) for kind in kinds], dtype=np.int64)
        layer._kinds = numbers, np.concatenate([self._kinds[1], own[later._kinds[1]]])
        return layer

    def ends_by(self, moment: int) -> bool:
        """Tell whether no click here is later than a moment, where that needs no look-up."""
        if "clicked" in vars(self):
            return not (self.clicked.moments > moment).any()
        return self.latest is not None and self.latest <= moment

    @property
    def latest_click(self) -> int | None:
        """When the last click became known, microseconds; None where there is none."""
        if self.latest is None and len(self.clicked.moments):
            return int(self.clicked.moments.max())
        return self.latest

    def recoded(self, register: Register, names: Set[str], below: "tuple[Below, ...]") -> "Layer":
        """Give the same rows under what another register says, whose key columns of these names differ."""
        layer = Layer(self.behaviour, register, self.time, self.history, below, self.since, self.latest)
        layer.sizes = {name: layer.sizes[name] if name in names else size for name, size in self.sizes.items()}
        for counted in list(self._counted.values()):
            keys = tuple(key for key in counted.keys if not names & set(key.per))
            layer._counted[keys] = counted.of(keys)
        layer.read, layer.held, layer._clicked, layer.event_ids = self.read, self.held, self._clicked, self.event_ids
        layer._kinds = self._kinds
        layer._showings, layer._events = (
            replace(stream, codes={**stream.codes, **register.attribute_codes(stream.codes, stream.happened)})
            for stream in (self._showings, self._events)
        )
        return layer

    @cached_property
    def _showings(self) -> Stream:
        shown = self.behaviour.showings
        moments = shown["timestamp"].to_numpy().view(np.int64)
        chance = np.rint(1 / (CHANCE * shown["list_size"].to_numpy())).astype(np.int64)
        codes = self.register.codes(shown, moments)
        return Stream(codes, moments, moments, (self._clicked.in_time.astype(np.int64), chance))

    @cached_property
    def _clicked(self) -> Clicked:
        if self.behaviour.showings.is_empty():
            none, never = np.empty(0, dtype=bool), np.empty(0, dtype=np.int64)
            return Clicked(none, none, never)
        return Clicked.of(self.behaviour.showings, self.time)

    @cached_property
    def _events(self) -> Stream:
        done = self.behaviour.events
        moments = done["known_at"].to_numpy().view(np.int64)
        return Stream(self.register.codes(done, moments), moments, moments, in_units(done["value"]))

    @cached_property
    def event_ids(self) -> Vocabulary:
        """The ids of the layer's events, where they have any."""
        events = self.behaviour.events
        return Vocabulary.of(*(events[name] for name in (EVENT_ID,) if name in events.columns))

    def stream(self, of: str) -> Stream:
        """Give the rows of the lists, or the events of a kind."""
        if of == SHOWING:
            return self._from_here(self._showings)
        return self._from_here(self._events.where(self._of_kinds({of})))

    @cached_property
    def _kinds(self) -> tuple[dict[str, int], Ints]:
        """Numbers of the kinds of events, and that of each event."""
        return number_kinds(self.behaviour.events["event"], {})

    def _of_kinds(self, wanted: Set[str]) -> npt.NDArray[np.bool_]:
        """Say which events are of some kinds."""
        numbers, kinds = self._kinds
        found = np.zeros(len(kinds), dtype=bool)
        for number in (numbers[kind] for kind in wanted if kind in numbers):
            found |= kinds == number
        return found

    def _from_here(self, stream: Stream) -> Stream:
        """Leave out rows that are counted below."""
        return stream if self.since is None else stream.where(stream.moments >= self.since)

    def behaviour_since(self, moment: int) -> Behaviour:
        """Give the rows of which something became known at a moment, microseconds, or later."""
        shown = self._showings.moments >= moment
        shown[np.flatnonzero(self._clicked.rows)[self._clicked.known_at >= moment]] = True
        done = self._events.moments >= moment
        showings, events = self.behaviour.showings, self.behaviour.events
        return replace(
            self.behaviour, showings=showings.filter(pl.Series(shown)), events=events.filter(pl.Series(done))
        )

    @cached_property
    def click_rows(self) -> Stream:
        """Clicks from events and from lists."""
        if self.behaviour.showings.is_empty():
            return self.stream(CLICK)
        shown, nothing = self._showings.where(self._clicked.rows), np.zeros_like(self._clicked.known_at)
        on_lists = replace(shown, moments=self._clicked.known_at, amounts=(nothing, nothing))
        return self.stream(CLICK).joined(self._from_here(on_lists))

    @cached_property
    def click_marks(self) -> tuple[Ints, npt.NDArray[np.uint64]]:
        """When clicks became known, ascending, and before each what tells them from others, shape [N] and [N + 1]."""
        return marks(self.click_rows)

    @cached_property
    def history_rows(self) -> Stream:
        """Clicks, and the events that users read as they read clicks."""
        if not self.history:
            return self.click_rows
        return self.click_rows.joined(self._from_here(self._events.where(self._of_kinds({*self.history}))))

    @cached_property
    def clicked(self) -> Stream:
        """Clicks, with what their user had read last before each."""
        return self._with_last(self.click_rows)

    def _with_last(self, rows: Stream) -> Stream:
        items, _, happened = last_read((*self.below, self), self.register, rows.codes["user"], rows.moments, 1)
        codes = self.register.last_codes(items[:, 0], happened[:, 0])
        return replace(rows, codes={**rows.codes, **codes})


def number_kinds(events: pl.Series, known: dict[str, int]) -> tuple[dict[str, int], Ints]:
    """Give kinds of events numbers, those that are known their own, and say which each event has."""
    kinds = events.cast(pl.String)
    numbers = dict(known)
    if len(kinds) <= _FEW:
        each = [numbers.setdefault(kind, len(numbers)) for kind in kinds.to_list()]
        return numbers, np.array(each, dtype=np.int64)
    found = np.empty(len(kinds), dtype=np.int64)
    for kind in kinds.unique().to_list():
        found[(kinds == kind).to_numpy()] = numbers.setdefault(kind, len(numbers))
    return numbers, found


def last_read(
    layers: "tuple[Below, ...]", register: Register, users: Ints, as_of: Ints, length: int
) -> tuple[Ints, Ints, Ints]:
    """Look up what users read before a moment, most recent first, see `Log.last_clicks`."""
    order = register.vocabularies["item"].order
    items, moments = np.full((len(users), length), -1), np.full((len(users), length), np.iinfo(np.int64).min // 2)
    happened = moments.copy()
    for layer in layers:
        layer.read.last(users, as_of, order, (items, moments, happened))
    return items, moments, happened


def in_units(values: pl.Series) -> tuple[Ints, Ints]:
    """Write values of events in whole `UNIT`s, 0 where there is none, and say where there is one, each of shape [N].

    Raises
    ------
    DataError
        When they are too large to be added up exactly.
    """
    numbers = values.to_numpy()
    there = ~np.isnan(numbers)
    units = np.rint(np.where(there, numbers, 0.0) / UNIT)
    if np.abs(units).sum() >= 2**62:
        raise DataError(
            f"values of events reach {np.abs(units).max() * UNIT:g}, too large to be added up exactly; "
            "write them in a larger unit"
        )
    return units.astype(np.int64), there
