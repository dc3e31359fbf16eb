"""The tables of the project: which columns they have and what each column means."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

TIME = pl.Datetime("us", "UTC")
"""The one type of every moment inside the package."""

KNOWN_AT = "known_at"
"""The column that says from when on a row is known, and so tells the versions of an item or of a user apart."""

LARGEST_NUMBER = 1e30
"""Numbers of items, and scores, beyond it count as not known: differences between larger ones may overflow."""

Kind = Literal["id", "time", "text", "number", "grade", "count", "probability", "position", "flag"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name
        Name in the table; one name per meaning across all tables.
    kind
        What values it may hold: `id` integers or strings, `time` datetimes, `text` strings, `number` finite
        numbers, `grade` and `count` integers of at least 0, `probability` above 0 and at most 1, `position` integers
        of at least 1, `flag` true or false.
    required
        Whether the table is refused without it.
    meaning
        One line for people.
    """

    name: str
    kind: Kind
    required: bool
    meaning: str


@dataclass(frozen=True)
class Table:
    """One table: its name (also its file name), its columns and the columns that identify a row.

    Attributes
    ----------
    name
        Name of the table and stem of its file.
    columns
        The columns with a fixed meaning; a table may hold more.
    key
        Columns that together may not repeat, those that a table may lack as far as it has them; empty when rows may
        repeat.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def column(self, name: str) -> Column | None:
        """Return the column of that name, or None when the name has no fixed meaning here."""
        return next((column for column in self.columns if column.name == name), None)

    def key_of(self, columns: Collection[str]) -> list[str]:
        """Return the key of a table of this kind that has these columns."""
        missing = {column.name for column in self.columns if not column.required} - {*columns}
        return [name for name in self.key if name not in missing]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that the table is refused without."""
        return tuple(column.name for column in self.columns if column.required)


_USER = Column("user_id", "id", True, "who")
_ITEM = Column("item_id", "id", True, "what")
_REQUEST = Column("request_id", "id", True, "one user, one moment, one list of candidates")
_SHOWN_AT = Column("timestamp", "time", True, "when the list was asked for")
_CONTEXT = (
    Column("position", "position", False, "place in the list as shown, 1 = first; never a feature"),
    Column("propensity", "probability", False, "probability of this item at this position; never a feature"),
)

_VERSION = "from when on the {0} is what the row says, where it has several rows; empty where it always was"

ITEMS = Table(
    "items",
    (
        _ITEM,
        Column(KNOWN_AT, "time", False, _VERSION.format("item")),
        Column("available_at", "time", False, "when the item could first be shown; of versions, the first counts"),
    ),
    ("item_id", KNOWN_AT),
)
USERS = Table("users", (_USER, Column(KNOWN_AT, "time", False, _VERSION.format("user"))), ("user_id", KNOWN_AT))
EVENTS = Table(
    "events",
    (
        _USER,
        _ITEM,
        Column("timestamp", "time", True, "when it happened"),
        Column("event", "text", True, "its kind: view, click, like, comment, share, purchase, read, ..."),
        Column("value", "number", False, "seconds read, price, ..."),
        Column(KNOWN_AT, "time", False, "when it became known, where that was later than `timestamp`"),
        Column(
            "event_id", "id", False, "which event it is, so that one that is told twice counts once; never a feature"
        ),
    ),
    (),
)
CANDIDATES = Table("candidates", (_REQUEST, _USER, _SHOWN_AT, _ITEM, *_CONTEXT), ("request_id", "item_id"))
REQUESTS = Table(
    "requests",
    (
        *CANDIDATES.columns,
        Column("label", "grade", True, "graded outcome of the candidate: 0 nothing, 1 click, more is better"),
        Column("clicked_at", "time", False, "when it was clicked, where that is known; never a feature"),
        Column("views", "count", False, "how many showings this row stands for (aggregated logs); never a feature"),
        Column("clicks", "count", False, "how many of them were clicked; never a feature"),
    ),
    ("request_id", "item_id"),
)
RANKINGS = Table(
    "rankings",
    (
        _REQUEST,
        _USER,
        _ITEM,
        Column("rank", "position", True, "place in its request, 1 = first"),
        Column("score", "number", True, "the ranker's number; only its order inside a request has a meaning"),
        Column(
            "click_probability", "probability", True, "calibrated probability of a click; empty where it is not known"
        ),
        Column("unknown_user", "flag", True, "whether nothing is known of the user"),
        Column("unknown_item", "flag", True, "whether the item is not in the items table"),
        Column(
            "unlike", "text", True, "why the list is unlike all that the model has learnt from; empty where it is not"
        ),
    ),
    ("request_id", "item_id"),
)

AFTER_THE_LIST = ("label", "clicked_at", "views", "clicks", "position", "propensity")
"""Columns of `requests` that are recorded with or after the list; they are never features."""


@dataclass(frozen=True)
class Stored:
    """What a column holds in a file that this package wrote.

    Attributes
    ----------
    words
        For people, in the plural.
    fits
        Whether values of a type are such.
    gaps
        Whether there may be nulls among them.
    absent
        Whether the column may be missing.
    """

    words: str
    fits: Callable[[pl.DataType], bool]
    gaps: bool = False
    absent: bool = False


def misfit(frame: pl.DataFrame, columns: Mapping[str, Stored]) -> str | None:
    """Say what in a frame is not as it was written; None when it has these columns alone, in their order and kinds.

    Examples
    --------
    >>> misfit(pl.DataFrame({"appeal": [0.5, None]}), {"appeal": Stored("numbers", lambda dtype: dtype.is_float())})
    'column appeal holds 1 nulls'
    """
    for name in columns:
        if name not in frame.columns and not columns[name].absent:
            return f"column {name} is missing"
    for name, dtype in frame.schema.items():
        if name not in columns:
            return f"column {name} does not belong to it"
        if not columns[name].fits(dtype):
            return f"column {name} holds {dtype} values, not {columns[name].words}"
        if not columns[name].gaps and frame.get_column(name).null_count():
            return f"column {name} holds {frame.get_column(name).null_count()} nulls"
    order = [name for name in columns if name in frame.columns]
    if frame.columns != order:
        return f"its columns stand in the order {', '.join(frame.columns)}, not {', '.join(order)}"
    return None
