"""What a process is told while it serves: which of it is new, and from when on it counts."""

from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from recsys.data.clock import TimeSettings
from recsys.errors import DataError
from recsys.past.behaviour import CLICKED_AT, EVENT_ID, known_events
from recsys.past.log import Log
from recsys.past.vocabulary import Vocabulary
from recsys.schema import TIME
from recsys.shown import counted

CANDIDATE = ["request_id", "item_id"]
SHOWN_TO = ["user_id", "item_id", "timestamp"]
_CONTENT = ["user_id", "item_id", "event", "value"]


@dataclass(frozen=True)
class Taken:
    """What an update took.

    A batch of the tables before and of all that was taken since knows what the process knows: events as they are, and
    of each candidate the last row, its label 0 where it has none yet.

    Attributes
    ----------
    events
        New events as they were told, with `known_at`: the moment from which they count.
    requests
        Candidates that are new, or that got the label they waited for, as they were told; with `clicked_at` where a
        click counts from another moment on than the click delay says.
    items, users
        Rows that are new or unlike what was known, in the columns that the model keeps.
    ignored
        How many rows were left out because they had been told before, or were known as they were told.
    untexted
        How many of the items have a text that could not be read; a warning in the log says why, and by what they are
        ranked.
    late
        How many events, and candidates of lists, were left out because they became known so long before the state that
        `[time] lateness` does not allow for them; a warning in the log says so.
    unread
        How many of the events are of kinds that the model does not read, which change no ranking; the log names them.
    """

    events: pl.DataFrame
    requests: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    ignored: int
    untexted: int = 0
    unread: int = 0
    late: int = 0

    @property
    def moments(self) -> tuple[pl.Series, pl.Series]:
        """When the events became known, and when the lists were shown."""
        return self.events["known_at"], self.requests["timestamp"]

    def known_from(self, at: datetime, time: TimeSettings) -> "Taken":
        """Let what would have been known before a moment be known from then on; lists stay where they were shown."""
        moment, requests = pl.lit(at, TIME), self.requests
        clicked_at = pl.col(CLICKED_AT) if CLICKED_AT in requests.columns else pl.lit(None, TIME)
        early = pl.coalesce(clicked_at, pl.col("timestamp") + time.clicks_known_after) < moment
        early = (pl.col("label") > 0) & early
        if requests.select(early.any()).item():
            requests = requests.with_columns(clicked_at=pl.when(early).then(moment).otherwise(clicked_at))
        events = self.events.with_columns(known_at=pl.max_horizontal("known_at", moment))
        return replace(self, events=events, requests=requests)


def untold_events(events: pl.DataFrame, log: Log, later: pl.DataFrame) -> pl.DataFrame:
    """Leave out events whose `event_id` was told before, or in an earlier row; those without one all count.

    Parameters
    ----------
    events
        The table of what is told.
    log, later
        What was told before: a log, and events beyond it as `Behaviour` holds them.

    Raises
    ------
    DataError
        When an event is told otherwise than before, or ids are of another kind than those before.
    """
    if EVENT_ID not in events.columns or events[EVENT_ID].null_count() == len(events):
        return events
    told = _comparable(known_events(events)).with_columns(events["timestamp"])
    first = told.drop_nulls(EVENT_ID).unique(EVENT_ID, keep="first", maintain_order=True)
    _refuse_other(told, first, [*_CONTENT, "timestamp"])
    before = _told_before(first[EVENT_ID], log, later)
    _refuse_other(first, before, _CONTENT)
    earlier = first.join(before.select(EVENT_ID, known="known_at"), on=EVENT_ID, maintain_order="left")
    earlier = earlier.filter(pl.col("timestamp") > pl.col("known"))
    if len(earlier):
        raise DataError(
            f"event {earlier[EVENT_ID][0]!r} was told before as known at {earlier['known'][0]}, and now as of "
            f"{earlier['timestamp'][0]}; tell it as it was, or give another event its own {EVENT_ID}"
        )
    new = told[EVENT_ID].is_first_distinct() & ~told[EVENT_ID].is_in(before[EVENT_ID].implode())
    return events.filter(told[EVENT_ID].is_null() | new)


def untold_candidates(new: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Leave out candidates that were told before, unless they bring the label that was missing.

    Parameters
    ----------
    new
        The table of what is told.
    before
        `request_id`, `user_id`, `item_id`, `timestamp` and `label` of what was told before, each candidate once.

    Raises
    ------
    DataError
        When a list is told again for another user or moment, with further candidates or with other labels.
    """
    _refuse_changed(new, before)
    was = before.select(*CANDIDATE, was="label", there=pl.lit(value=True))
    both = new.select(*CANDIDATE, "label").join(was, on=CANDIDATE, how="left", maintain_order="left")
    other = both.filter(pl.col("label") != pl.col("was"))
    if len(other):
        raise DataError(
            f"{counted(len(other), 'candidate')} added with another label before, such as item "
            f"{other['item_id'][0]!r} of request {other['request_id'][0]!r}, {other['was'][0]} then and "
            f"{other['label'][0]} now; tell each label once, or again as it was"
        )
    brings = pl.col("there").is_null() | (pl.col("was").is_null() & pl.col("label").is_not_null())
    return new.filter(both.select(brings).to_series())


def _comparable(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(pl.col("value").fill_nan(None))


def _told_before(ids: pl.Series, log: Log, later: pl.DataFrame) -> pl.DataFrame:
    """Find the rows with some ids."""
    parts = [(layer.behaviour.events, layer.event_ids) for layer in log.rows_known]
    parts.append((later, Vocabulary.of(*(later[name] for name in (EVENT_ID,) if name in later.columns))))
    found = [
        _comparable(rows.select(EVENT_ID, *_CONTENT, "known_at").filter(pl.col(EVENT_ID).is_in(ids.implode())))
        for rows, known in parts
        if (known.encode(ids) >= 0).any()
    ]
    nothing = log.behaviour.events.clear().select(ids.clear(), *_CONTENT, "known_at")
    return pl.concat([nothing, *found], how="vertical_relaxed")


def _refuse_other(told: pl.DataFrame, before: pl.DataFrame, names: list[str]) -> None:
    """Refuse events that are told otherwise than another row of the same id."""
    again = told.join(before.select(EVENT_ID, *names), on=EVENT_ID, suffix="_before", maintain_order="left")
    for name in names:
        other = again.filter(pl.col(name).ne_missing(pl.col(f"{name}_before"))).head(1)
        if len(other):
            raise DataError(
                f"event {other[EVENT_ID][0]!r} was told before with {name} {_said(other[f'{name}_before'][0])}, and "
                f"now with {_said(other[name][0])}; tell it as it was, or give another event its own {EVENT_ID}"
            )


def _refuse_changed(new: pl.DataFrame, before: pl.DataFrame) -> None:
    """Refuse lists that were added before for another user or moment, or without some of these candidates."""
    was = before.select("request_id", "user_id", "timestamp").unique("request_id")
    again = new.select("request_id", *SHOWN_TO).join(was, on="request_id", suffix="_before", maintain_order="left")
    for name in ("user_id", "timestamp"):
        other = again.filter(pl.col(name) != pl.col(f"{name}_before")).head(1)
        if len(other):
            raise DataError(
                f"request {other['request_id'][0]!r} was added before with {name} {_said(other[f'{name}_before'][0])}, "
                f"and now with {_said(other[name][0])}; repeat its rows as they were, or give another list its own "
                "request_id"
            )
    more = again.join(before, on=CANDIDATE, how="anti", maintain_order="left")
    if len(more):
        raise DataError(
            f"request {more['request_id'][0]!r} was added before without item {more['item_id'][0]!r}; add all "
            "candidates of a list at once, after that only their labels"
        )


def _said(value: object) -> str:
    return str(value) if isinstance(value, datetime) else repr(value)
