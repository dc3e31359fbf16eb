"""What is asked of one table by itself: its columns, their types and values, its texts, its requests."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from difflib import get_close_matches

import polars as pl

from recsys.data.faults import CheckedRows, Fault, Rule, broken, whole
from recsys.data.plain import EXACT, known_number
from recsys.schema import CANDIDATES, EVENTS, ITEMS, KNOWN_AT, REQUESTS, Column, Kind, Table

_MOST_CANDIDATES = 10_000
_MUCH, _FAR, _SEVERAL = 0.2, 3, 5
"""A user stands out with this share of the rows, so many times the mean, among so many users."""
_LARGEST_VALUE = 1_000_000_000
"""Values are added up exactly, which four million numbers of this size can be in one log."""
FIRST_MOMENT, LAST_MOMENT = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Between these lie the moments of requests; what is logged is no later than now, and items may be out at any time."""
_LONGEST_ID = 1_000
_LONGEST_TEXT = 1_000_000
_TYPES: dict[Kind, tuple[str, Callable[[pl.DataType], bool]]] = {
    "id": ("integers or text", lambda dtype: dtype in (pl.Int64, pl.String)),
    "time": ("moments", lambda dtype: isinstance(dtype, pl.Datetime)),
    "text": ("text", lambda dtype: dtype in (pl.String, pl.Categorical, pl.Enum)),
    "number": ("numbers", lambda dtype: dtype.is_numeric()),
    "grade": ("whole numbers", lambda dtype: dtype.is_integer()),
    "count": ("whole numbers", lambda dtype: dtype.is_integer()),
    "probability": ("numbers", lambda dtype: dtype.is_numeric()),
    "position": ("whole numbers", lambda dtype: dtype.is_integer()),
    "flag": ("true or false", lambda dtype: dtype == pl.Boolean),
}
_UNIT = "mind the unit: seconds, milliseconds or microseconds since 1970"
_Values = tuple[tuple[Rule, Callable[[pl.Expr], pl.Expr]], ...]
_VALUES: dict[Kind, _Values] = {
    "time": (
        (
            Rule("error", f"moments before {FIRST_MOMENT.year}", _UNIT),
            lambda moment: moment < FIRST_MOMENT,
        ),
    ),
    "number": (
        (
            Rule("error", "numbers that are not finite", "leave them empty (null)"),
            lambda number: ~number.cast(pl.Float64).is_finite(),
        ),
        (
            Rule(
                "error",
                f"numbers outside -{_LARGEST_VALUE:,} to {_LARGEST_VALUE:,}",
                "write them in a larger unit, or leave them empty (null)",
            ),
            lambda number: number.cast(pl.Float64).is_finite() & (number.cast(pl.Float64).abs() > _LARGEST_VALUE),
        ),
    ),
    "grade": (
        (
            Rule("error", "labels below 0", "write 0 for nothing, 1 for a click, more for better"),
            lambda grade: grade < 0,
        ),
        (Rule("error", "labels above 30", "map the grades to 0..30, best to 0..4"), lambda grade: grade > 30),
    ),
    "count": ((Rule("error", "counts below 0", "write how often it happened"), lambda count: count < 0),),
    "probability": (
        (
            Rule("error", "probabilities outside (0, 1]", "write the probability with which the item was shown"),
            lambda probability: ~((probability > 0) & (probability <= 1)),
        ),
    ),
    "position": ((Rule("error", "positions below 1", "count positions from 1"), lambda position: position < 1),),
}
_ID_TEXTS: _Values = (
    (Rule("error", "empty ids", "fill in the id or remove the rows"), lambda text: text == ""),
    (
        Rule("warning", "ids with control characters or undecodable bytes", "clean the ids in all tables alike"),
        lambda text: text.str.contains(r"[\p{Cc}\x{FFFD}]"),
    ),
    (
        Rule("warning", f"ids longer than {_LONGEST_ID} bytes", "see whether a text stands in the place of the id"),
        lambda text: text.str.len_bytes() > _LONGEST_ID,
    ),
)


def table_faults(table: Table, frame: pl.DataFrame, now: datetime | None, wide: bool = False) -> Iterator[Fault]:
    """Give every fault of one table, moments in UTC.

    Parameters
    ----------
    table
        What the table should be.
    frame
        What it is.
    now
        Nothing logged may be later; None when the rows are not a log.
    wide
        Whether ids may be integers beyond 63 bits, which nothing that is known can be.
    """
    if frame.is_empty() and table in (ITEMS, REQUESTS):
        yield whole(Rule("error", "the table holds no row", "import the data again"), table.name)
    wrong = set()
    for column in table.columns:
        if column.name not in frame.columns:
            if column.required:
                yield _missing(table, column, frame)
        elif not fits(column.kind, frame.schema[column.name]) and not (
            wide and column.kind == "id" and frame.schema[column.name].is_integer()
        ):
            wrong.add(column.name)
            yield _ill_typed(table, column, frame)
        else:
            yield from _column_faults(table, column, frame, now)
    usable = frame.drop(wrong)
    yield from _other_columns(table, usable)
    yield from _repeats(table, usable)
    if table in (EVENTS, REQUESTS) and "user_id" in usable.columns:
        yield from _one_for_many(table, usable)
    if table is ITEMS:
        yield from _texts(usable)
        yield from _available_otherwise(usable)
    if table is EVENTS and {"timestamp", "known_at"} <= set(usable.columns):
        rule = Rule("error", "known before it happened", "write the later moment into known_at, or leave it empty")
        yield from broken(rule, CheckedRows("events", "known_at", usable), pl.col("known_at") < pl.col("timestamp"))
    if table is REQUESTS and {"timestamp", "label", "clicked_at"} <= set(usable.columns):
        yield from _click_moment_faults(usable)
    if table is REQUESTS and "position" in usable.columns and not usable["position"].is_null().all():
        rule = Rule("warning", "empty (null) where other rows have one", "fill it in, or leave the column out")
        yield from broken(rule, CheckedRows("requests", "position", usable), pl.col("position").is_null())
    if table is REQUESTS and not wrong & {"views", "clicks"}:
        yield from _aggregate_faults(usable)
    if table in (REQUESTS, CANDIDATES) and "request_id" in usable.columns:
        yield from _request_faults(table, usable)


def fits(kind: Kind, dtype: pl.DataType) -> bool:
    """Say whether values of a type can be of a kind; a column of nothing but nulls fits all."""
    return dtype == pl.Null or _TYPES[kind][1](dtype)


def _missing(table: Table, column: Column, frame: pl.DataFrame) -> Fault:
    near = get_close_matches(column.name, [name for name in frame.columns if table.column(name) is None], n=1)
    what = f"the column is missing ({column.meaning})"
    fix = f"rename {near[0]!r}, if that is it" if near else f"add it; the table has {', '.join(frame.columns)}"
    return whole(Rule("error", what, fix), table.name, column.name)


def _ill_typed(table: Table, column: Column, frame: pl.DataFrame) -> Fault:
    """Say what a column holds that `plain_table` could not bring to its type."""
    values, (words, _) = frame[column.name], _TYPES[column.kind]
    rule = Rule("error", f"the column is {values.dtype}, not {words}", f"write it as {words}")
    if column.kind == "id" and values.dtype.is_integer():
        rule = Rule("error", "ids of 2**63 or more", "write them as text, in every table")
        values = values.filter(values.cast(pl.Int64, strict=False).is_null())
    elif values.dtype.is_float() and _TYPES[column.kind][1](pl.Int64()):
        exact = values.is_finite() & (values == values.round()) & (values.abs() <= EXACT)
        values = values.filter(~exact)
    return whole(rule, table.name, column.name, tuple(values.drop_nulls().head(3).to_list()))


def _column_faults(table: Table, column: Column, frame: pl.DataFrame, now: datetime | None) -> Iterator[Fault]:
    """Look at the values of a column with a fixed meaning and a fitting type."""
    rows = CheckedRows(table.name, column.name, frame)
    values = pl.col(column.name)
    dtype = frame.schema[column.name]
    if column.required:
        fix = "fill them in or remove the rows"
        if column.name == "user_id":
            fix += "; guests need an id each, such as that of their session (one for all, or NULL, is one person)"
        empty = values.is_null()
        if (table, column.name) == (REQUESTS, "label"):
            waiting, fix = _waiting(frame), f"{fix}; only lists after the last label of 0 may wait for theirs"
            rule = Rule("note", "labels that are not known yet", "their lists are neither learnt from nor judged")
            yield from broken(rule, rows, empty & waiting)
            empty &= ~waiting
        yield from broken(Rule("error", "empty values (null)", fix), rows, empty)
    if dtype == pl.Null:
        return
    for rule, bad in _VALUES.get(column.kind, ()):
        yield from broken(rule, rows, bad(values))
    if column.kind == "id" and dtype == pl.String:
        for rule, bad in _ID_TEXTS:
            yield from broken(rule, rows, bad(values))
    if column.kind == "text":
        blank = values.cast(pl.String).str.strip_chars() == ""
        yield from broken(Rule("error", "empty texts", "name the kind: click, view, read, ..."), rows, blank)
    if column.kind == "time" and now is None:
        yield from broken(Rule("error", f"moments in {LAST_MOMENT.year} or later", _UNIT), rows, values >= LAST_MOMENT)
    if column.kind == "time" and now is not None:
        logged = column.name != "available_at"
        fix = "mind the zone and the unit" if logged else "see whether the item is really to be shown only then"
        rule = Rule("error" if logged else "warning", f"moments later than now, {now.isoformat()}", fix)
        yield from broken(rule, rows, values > now)


def _waiting(requests: pl.DataFrame) -> pl.Expr:
    """Tell the rows at the end of a log, later than all that is known not to be clicked."""
    if not isinstance(requests.schema.get("timestamp"), pl.Datetime):
        return pl.lit(value=False)
    known = pl.col("timestamp").filter(pl.col("label") == 0).max()
    return (pl.col("timestamp") > known).fill_null(value=False)


def _other_columns(table: Table, frame: pl.DataFrame) -> Iterator[Fault]:
    """Look at all columns for emptiness, and at those without a fixed meaning for numbers that are not finite."""
    rule = Rule(
        "warning", "numbers that are not finite or too large, which count as not known", "leave them empty (null)"
    )
    nothing = Rule("warning", "the column holds nothing but nulls", "fill it or leave it out")
    for values in frame.get_columns():  # names such as `*` are names, and no patterns
        name, dtype = values.name, values.dtype
        column = table.column(name)
        if frame.height and values.null_count() == frame.height and not (column and column.required):
            yield whole(nothing, table.name, name)
        if column is None and dtype.is_float():
            lost = known_number(values).is_null() & values.is_not_null()
            yield from broken(rule, CheckedRows(table.name, name, frame), lost)
        inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
        if isinstance(inner, pl.DataType) and inner.is_float():
            finite = values.cast(pl.List(inner)).list.eval(pl.element().is_finite()).list.all()
            yield from broken(rule, CheckedRows(table.name, name, frame), ~finite)


def _available_otherwise(items: pl.DataFrame) -> Iterator[Fault]:
    """Look for versions of an item that say otherwise than its first when it could be shown."""
    if not {"item_id", KNOWN_AT, "available_at"} <= set(items.columns):
        return
    rule = Rule("warning", "another moment than in the item's first version", "the first counts; write it in all")
    first = pl.col("available_at").sort_by(KNOWN_AT).first().over("item_id")
    rows = CheckedRows("items", "available_at", items)
    yield from broken(rule, rows, pl.col("available_at").ne_missing(first), pl.col("item_id"))


def _one_for_many(table: Table, frame: pl.DataFrame) -> Iterator[Fault]:
    """Look for a user who holds so much of a log that the id may stand for many people, such as guests."""
    rows = frame["user_id"].drop_nulls().value_counts(sort=True)
    if len(rows) < _SEVERAL or rows["count"][0] <= max(_MUCH * frame.height, _FAR * frame.height / len(rows)):
        return
    rule = Rule(
        "warning", "one user holds a large part of the rows", "see whether the id stands for guests, who differ"
    )
    yield from broken(rule, CheckedRows(table.name, "user_id", frame), frame["user_id"] == rows["user_id"][0])


def _click_moment_faults(requests: pl.DataFrame) -> Iterator[Fault]:
    """Look at the moments of clicks: each belongs to a click on its list, and none comes before it."""
    rows, moment = CheckedRows("requests", "clicked_at", requests), pl.col("clicked_at")
    rule = Rule("error", "clicked before the list was shown", "mind the zones, or leave it empty (null)")
    yield from broken(rule, rows, moment < pl.col("timestamp"))
    rule = Rule("error", "the moment of a click where label says there was none", "write the label, or leave it empty")
    yield from broken(rule, rows, moment.is_not_null() & (pl.col("label").fill_null(0) <= 0))


def _aggregate_faults(requests: pl.DataFrame) -> Iterator[Fault]:
    """Look at rows that stand for many showings: `views` and `clicks` go together, and a click needs a view."""
    there = [name for name in ("views", "clicks") if name in requests.columns]
    if len(there) == 1:
        rule = Rule("error", "views and clicks go together, the other column is missing", "add it, or leave both out")
        yield whole(rule, "requests", there[0])
    if len(there) < 2:
        return
    rows = CheckedRows("requests", "views + clicks", requests)
    shown = pl.concat_str(pl.col(there).cast(pl.String).fill_null("null"), separator=" + ")
    rule = Rule("error", "one is empty (null) and the other is not", "fill in both, or leave both empty")
    yield from broken(rule, rows, pl.col("views").is_null() != pl.col("clicks").is_null(), shown)
    rule = Rule("error", "more clicks than views", "count a showing once, and at most one click for it")
    yield from broken(rule, rows, pl.col("clicks") > pl.col("views"), shown)


def _repeats(table: Table, frame: pl.DataFrame) -> Iterator[Fault]:
    key = table.key_of(frame.columns) or ["user_id", "item_id", "timestamp", "event"]
    if not set(key) <= set(frame.columns):
        return
    what = "the same " + " and ".join(key) + " again"
    rule = (
        Rule("error", what, "keep one row of each")
        if table.key
        else Rule("warning", what, "see whether a log was read twice")
    )
    rows = CheckedRows(table.name, " + ".join(key), frame)
    repeated = ~(pl.struct(key) if len(key) > 1 else pl.col(key[0])).is_first_distinct()
    shown = pl.concat_str(pl.col(key).cast(pl.String), separator=" + ", ignore_nulls=True)
    told = [name for name in key if name != KNOWN_AT]  # a row that was always known has no moment
    yield from broken(rule, rows, repeated & ~pl.any_horizontal(pl.col(told).is_null()), shown)


def reads_like_text(values: pl.Series) -> bool:
    """Tell whether the filled texts of a column mostly differ or are several words."""
    filled = values.drop_nulls()
    several = (filled.str.count_matches(r"\s") >= 2).sum()
    return len(filled) > 0 and 2 * max(filled.n_unique(), int(several)) >= len(filled)


def _texts(items: pl.DataFrame) -> Iterator[Fault]:
    """Look at the columns that read like text: those whose values mostly differ or are several words, and lists."""
    blank = {
        name: items[name].str.strip_chars().fill_null("") == ""
        for name, dtype in items.schema.items()
        if dtype == pl.String and name != "item_id"
    }
    texts = [name for name, dtype in items.schema.items() if isinstance(dtype, pl.List) and dtype.inner == pl.String]
    for name, empty in blank.items():
        filled = items.height - int(empty.sum())
        values = items[name].filter(~empty)
        if reads_like_text(values):
            texts.append(name)
            fix = "write a text, or rely on the other columns"
            yield from broken(Rule("warning", "empty texts", fix), CheckedRows("items", name, items), empty)
            long = items[name].str.len_bytes() > _LONGEST_TEXT
            rule = Rule("warning", "texts longer than a megabyte", "cut them; only their beginning is read")
            yield from broken(rule, CheckedRows("items", name, items), long)
        elif filled == 0 and items[name].null_count() < items.height:
            yield whole(
                Rule("warning", "the column holds nothing but empty texts", "fill it or leave it out"), "items", name
            )
    if items.height and not texts:
        yield whole(Rule("error", "no item has any text", "add a column of text, such as title"), "items")


def _request_faults(table: Table, frame: pl.DataFrame) -> Iterator[Fault]:
    """Look at whole requests: one user, one moment, a list that can be ranked and, in a log, a positive."""
    columns = [name for name in ("user_id", "timestamp", "label") if name in frame.columns and table.column(name)]
    bounds = [pl.col(columns).min().name.suffix("_min"), pl.col(columns).max().name.suffix("_max")]
    requests = frame.drop_nulls("request_id").group_by("request_id", maintain_order=True).agg(pl.len(), *bounds)
    for name, words in (("user_id", "users"), ("timestamp", "moments")):
        if name in columns:
            rule = Rule("error", f"requests with two {words}", "give every list its own request_id")
            bad = pl.col(f"{name}_min") != pl.col(f"{name}_max")
            yield from broken(rule, CheckedRows(table.name, name, requests), bad, pl.col("request_id"))
    rows = CheckedRows(table.name, "request_id", requests)
    if table is REQUESTS:  # nothing is learnt from candidates to score, so a whole catalogue may be one list
        fix = "cut the lists, or split them into several requests"
        rule = Rule("error", f"requests of more than {_MOST_CANDIDATES} candidates", fix)
        yield from broken(rule, rows, pl.col("len") > _MOST_CANDIDATES)
    rule = Rule(
        "warning",
        "requests of one candidate",
        "nothing can be ranked; log whole lists, shown items without a click too",
    )
    yield from broken(rule, rows, pl.col("len") == 1)
    if "label" in columns:
        rule = Rule("note", "requests without a positive", "they count in the measures that need none")
        yield from broken(
            rule, CheckedRows(table.name, "label", requests), pl.col("label_max") <= 0, pl.col("request_id")
        )
