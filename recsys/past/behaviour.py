"""The behaviour tables that features read, and the state folder that carries them from batch to serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.errors import SettingsError
from recsys.schema import KNOWN_AT, TIME

SHOWN = ("user_id", "item_id", "timestamp", "label", "list_size")
CLICKED_AT, EVENT_ID = "clicked_at", "event_id"
DONE = ("user_id", "item_id", "event", "known_at", "value")


@dataclass(frozen=True)
class Kept:
    """The columns, beside ids and moments, that features are made of.

    Attributes
    ----------
    affinity, numbers
        Of items: categories, and numbers.
    users
        Of users: categories.
    context
        Of requests: categories.
    rules, user_rules
        Of items and of users: what rules of ranked lists look at, as text where it is none of these.
    """

    affinity: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    user_rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Behaviour:
    """What is kept of the tables to compute features.

    Attributes
    ----------
    items
        `item_id`, `known_at` where the table has any, `available_at` (null where it is not known), the attributes and
        the numbers; one row per version.
    users
        `user_id`, `known_at` where the table has any, and the attributes of users; one row per version.
    showings
        One row per candidate that was shown: `user_id`, `item_id`, `timestamp`, `label`, `list_size`, `clicked_at`
        where the tables hold it, and the context categories.
    events
        `user_id`, `item_id`, `event`, `known_at`, `value` (null where there is none), and `event_id` where the tables
        hold it.
    """

    items: pl.DataFrame
    users: pl.DataFrame
    showings: pl.DataFrame
    events: pl.DataFrame

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the item attributes that are categories."""
        return tuple(name for name in _further(self.items) if is_category(self.items[name]))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the item attributes that are numbers."""
        return tuple(name for name in _further(self.items) if not is_category(self.items[name]))

    @property
    def user_attributes(self) -> tuple[str, ...]:
        """Names of the user attributes."""
        return _further(self.users)

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the context categories."""
        return tuple(name for name in self.showings.columns if name not in (*SHOWN, CLICKED_AT))

    def joined(self, later: "Behaviour") -> "Behaviour":
        """Append later showings and events; items and users stay as they are."""
        showings, events = joined_rows(self.showings, later.showings), joined_rows(self.events, later.events)
        return Behaviour(self.items, self.users, showings, events)


@dataclass(frozen=True)
class Clicked:
    """Clicks on lists.

    Attributes
    ----------
    rows
        Which showings were clicked, sooner or later, shape [N].
    in_time
        Which of all were clicked before all labels of their list are known; this is what rates count, shape [N].
    known_at
        When the clicks of `rows` are known, microseconds, one for each of them.
    """

    rows: npt.NDArray[np.bool_]
    in_time: npt.NDArray[np.bool_]
    known_at: npt.NDArray[np.int64]

    def joined(self, later: "Clicked") -> "Clicked":
        """Append those on later showings."""
        return Clicked(*(np.concatenate(pair) for pair in zip(vars(self).values(), vars(later).values(), strict=True)))

    @classmethod
    def of(cls, showings: pl.DataFrame, time: TimeSettings) -> "Clicked":
        """Read showings under a clock; one with a `clicked_at` was clicked, whatever its label says."""
        moment = pl.col(CLICKED_AT) if CLICKED_AT in showings.columns else pl.lit(None, TIME)
        late = moment > pl.col("timestamp") + time.feedback_delay
        label = pl.col("label").fill_null(0) > 0
        clicked = showings.select(rows=label | moment.is_not_null(), in_time=label & ~late.fill_null(value=False))
        known_at = pl.coalesce(moment, pl.col("timestamp") + time.clicks_known_after).dt.epoch("us")
        known = showings.filter(clicked["rows"]).select(known_at.alias("known_at")).to_series()
        return cls(clicked["rows"].to_numpy(), clicked["in_time"].to_numpy(), known.to_numpy())


def _further(table: pl.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in table.columns[1:] if name not in (KNOWN_AT, "available_at"))


def shown_candidates(requests: pl.DataFrame, context: Sequence[str]) -> pl.DataFrame:
    """Bring a table of requests to the columns of `Behaviour.showings`; requests are whole."""
    size = pl.len().over("request_id").cast(pl.Int32).alias("list_size")
    known = [name for name in (CLICKED_AT,) if name in requests.columns]
    return as_text(requests.with_columns(size).select(*SHOWN, *known, *context), context)


def joined_rows(rows: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Put rows below others, in one piece: thousands of small pieces cost far more than what they hold."""
    if rows.dtypes == later.dtypes and rows.columns == later.columns:
        return rows.vstack(later).rechunk()
    return pl.concat([rows, later], how="diagonal_relaxed", rechunk=True)


def known_events(events: pl.DataFrame) -> pl.DataFrame:
    """Bring a table of events to the columns of `Behaviour.events`; known when they happened, or later."""
    known_at = events["timestamp"].alias("known_at")
    if "known_at" in events.columns:
        known_at = latest(events["known_at"], events["timestamp"])
    if "value" in events.columns:
        value = events["value"].cast(pl.Float64)
    else:
        value = pl.Series("value", [None], pl.Float64).new_from_index(0, len(events))
    known = [events[name] for name in (EVENT_ID,) if name in events.columns]
    ids = [events[name] for name in ("user_id", "item_id", "event")]
    return as_text(pl.DataFrame([*ids, known_at, value, *known]), ("event",))


def latest(known_at: pl.Series, timestamp: pl.Series) -> pl.Series:
    """Give the later of two moments row by row, the second where there is no first one, as `known_at`."""
    if not known_at.null_count() and (known_at.to_numpy() >= timestamp.to_numpy()).all():
        return known_at
    both = pl.DataFrame([known_at.alias("known_at"), timestamp.alias("timestamp")])
    return both.select(pl.max_horizontal("known_at", "timestamp").alias("known_at")).to_series()


def as_text(table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Write categories and flags as text, so that tables can be joined whatever categories each of them knows."""
    other = [name for name in names if table[name].dtype in (pl.Categorical, pl.Enum, pl.Boolean)]
    return table.with_columns(pl.col(other).cast(pl.String)) if other else table


def is_category(column: pl.Series) -> bool:
    """Tell whether a column holds categories; floats are numbers."""
    return not column.dtype.is_float()


def refuse_no_categories(setting: str, names: Sequence[str], schema: Mapping[str, pl.DataType]) -> None:
    """Refuse columns of which no categories can be made: fractions, lists, moments.

    Raises
    ------
    SettingsError
        Naming the setting, the column and what to do.
    """
    for name in names:
        dtype = schema[name]
        if dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null):
            continue
        instead = {"affinity": "numbers", "context": "scores"}.get(setting)
        mend = f"name it in {instead}, or write" if dtype.is_float() and instead else "write"
        what = "one value a row, such as the first, " if dtype.is_nested() else "it "
        raise SettingsError(
            f"[features] {setting} names {name!r}, which holds {dtype} values; {mend} {what}as whole numbers or text"
        )


def refuse_lost_categories(setting: str, names: Sequence[str], table: pl.DataFrame) -> None:
    """Refuse columns whose values would be no categories although their type is right.

    Raises
    ------
    SettingsError
        When lists are written as text, or whole numbers are beyond 63 bits; names the setting, the column and a value.
    """
    for name in names:
        values = table[name].drop_nulls()
        if are_written_lists(values):
            raise SettingsError(
                f"[features] {setting} names {name!r}, which holds lists written as text, such as {values[0]!r}; "
                "write one value a row, such as the first, as whole numbers or text"
            )
        if values.dtype.is_integer() and (lost := values.filter(values.cast(pl.Int64, strict=False).is_null())).len():
            raise SettingsError(
                f"[features] {setting} names {name!r}, which holds whole numbers beyond 63 bits, such as {lost[0]}; "
                "write them as text"
            )


def are_written_lists(values: pl.Series) -> bool:
    """Tell whether all filled texts of a column stand in brackets, as JSON and Python write lists."""
    if values.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return False
    filled = values.drop_nulls().unique().cast(pl.String).str.strip_chars()
    return len(filled) > 0 and bool((filled.str.starts_with("[") & filled.str.ends_with("]")).all())
