"""The table check: one call that lists every fault of a data set at once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recsys.data.faults import CheckedRows, CheckReport, Fault, Rule, broken, report, whole
from recsys.data.meeting import alike, apart
from recsys.data.plain import is_pattern, plain_table
from recsys.data.rules import fits, table_faults
from recsys.data.tables import ALWAYS_KNOWN, About, Dataset, always_known, one_version, read_about
from recsys.data.telling import clicks_told_twice, telling_columns
from recsys.errors import DataError, first_line
from recsys.reading import read_parquet
from recsys.schema import CANDIDATES, EVENTS, ITEMS, KNOWN_AT, REQUESTS, USERS, Table

_TABLES = (ITEMS, EVENTS, REQUESTS, USERS)
_MOST_UNKNOWN = 0.05
_UNKNOWN = "items that the table of items does not hold"

Frames = dict[str, pl.DataFrame]


def check_tables(dataset: Dataset, now: datetime | None = None) -> CheckReport:
    """Check the tables of a data set and whether they agree.

    Parameters
    ----------
    dataset
        The tables; they are not changed.
    now
        Nothing logged may be later; without it, the moment of the call.

    Returns
    -------
    CheckReport
        Every fault; the check never stops at the first.
    """
    frames = {
        "items": dataset.items,
        "events": dataset.events,
        "requests": dataset.requests,
        **({} if dataset.users is None else {"users": dataset.users}),
    }
    return _check(frames, [], now or datetime.now(UTC), dataset.about)


def check_folder(folder: str | Path, now: datetime | None = None) -> CheckReport:
    """Check a data folder, as `check_tables`; a file that is missing or broken is one fault among the others.

    Raises
    ------
    DataError
        When there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; write one with `recsys import` or `recsys demo`")
    frames: Frames = {}
    faults: list[Fault] = []
    for table in _TABLES:
        path = folder / f"{table.name}.parquet"
        if path.is_file():
            try:
                frames[table.name] = read_parquet(path, "", "")
            except DataError as error:
                cause = error.__cause__  # none where it can be read, and would be too large
                what = f"{path.name} cannot be read as Parquet" if cause else str(error)
                rule = Rule("error", what, "import the data again")
                faults.append(whole(rule, table.name, values=(first_line(cause),) if cause else ()))
        elif table is not USERS or path.exists():
            what = "is no file" if path.exists() else "is missing"
            fix = "import the data with `recsys import`, or begin with `recsys init` and your own files"
            faults.append(whole(Rule("error", f"{path.name} {what}", fix), table.name))
    about = About()
    try:
        about = read_about(folder / "about.json")
    except DataError as error:
        faults.append(whole(Rule("error", str(error), "see above"), "about"))
    return _check(frames, faults, now or datetime.now(UTC), about)


def check_candidates(candidates: pl.DataFrame, items: pl.DataFrame | None = None) -> CheckReport:
    """Check rows that a caller wants scored: as `requests`, but without a label and at any moment.

    Parameters
    ----------
    candidates
        One row per candidate: `request_id`, `user_id`, `timestamp`, `item_id` and any context.
    items
        The catalogue; candidates that it does not hold are a warning, however many they are.
    """
    frame = plain_table(candidates, CANDIDATES)
    faults = [
        *_zones({"candidates": candidates}),
        *_patterns({"candidates": candidates}),
        *table_faults(CANDIDATES, frame, None, wide=True),
    ]
    if items is not None:
        both = {"items": items, "candidates": frame}
        faults += [*_id_types(both), *_unknown_items(both), *apart(both)]
    return report(faults, {"candidates": frame})


def check_update(
    events: pl.DataFrame | None, requests: pl.DataFrame | None, now: datetime | None = None
) -> CheckReport:
    """Check rows that come in after a batch: events, and candidates whose label may be null or absent.

    Parameters
    ----------
    events, requests
        As the tables of these names.
    now
        Nothing may be later; without it, the moment of the call.
    """
    now, faults, frames = now or datetime.now(UTC), list[Fault](), Frames()
    if events is not None:
        frames["events"] = events = plain_table(events, EVENTS)
        faults += table_faults(EVENTS, events, now)
    if requests is not None:
        frames["requests"] = requests = plain_table(requests, REQUESTS)
        shown = requests.drop("label", strict=False)
        faults += [replace(fault, table="requests") for fault in table_faults(CANDIDATES, shown, now)]
        if "label" in requests.columns:
            told = [name for name in ("label", "clicked_at") if name in requests.columns]
            labelled = requests.filter(pl.any_horizontal(pl.col(told).is_not_null()))
            faults += [fault for fault in table_faults(REQUESTS, labelled, now) if fault.column in told]
    return report(faults, frames)


def check_entries(items: pl.DataFrame | None, users: pl.DataFrame | None, now: datetime | None = None) -> CheckReport:
    """Check rows of items and of users that come in after a batch; a few items need not have a text among them.

    Parameters
    ----------
    items, users
        As the tables of these names.
    now
        Moments that are later are a warning; without it, the moment of the call.
    """
    now, faults, frames = now or datetime.now(UTC), list[Fault](), Frames()
    for table, rows in ((ITEMS, items), (USERS, users)):
        if rows is not None:
            frames[table.name] = frame = plain_table(rows, table)
            faults += [fault for fault in table_faults(table, frame, now) if fault.column]
    return report(faults, frames)


def _check(raw: Frames, faults: list[Fault], now: datetime, about: About) -> CheckReport:
    frames, faults = Frames(), [*faults, *_zones(raw), *_patterns(raw)]
    for table in (table for table in _TABLES if table.name in raw):
        try:
            frames[table.name] = plain_table(raw[table.name], table)
        except DataError as error:
            rule = Rule("error", str(error), "until then nothing else of the table can be checked")
            faults.append(whole(rule, table.name))
    for table in _TABLES:
        if table.name in frames:
            faults += table_faults(table, frames[table.name], now)
    faults += [
        *_id_types(frames),
        *_unknown_items(frames),
        *apart(frames),
        *_kinds_apart(frames),
        *_shown_before_available(frames),
        *_events_twice(frames),
        *_always_known(frames),
    ]
    faults += _outcomes(frames, about)
    return report(faults, frames)


def _zones(raw: Frames) -> Iterator[Fault]:
    """Look at the moments that are read: with a zone here and without one there, they cannot be compared."""
    moments = [
        (table.name, column.name, dtype.time_zone)
        for table in (*_TABLES, CANDIDATES)
        for column in table.columns
        if table.name in raw and isinstance(dtype := raw[table.name].schema.get(column.name), pl.Datetime)
    ]
    aware = [f"{table}.{column}" for table, column, zone in moments if zone is not None]
    for table, column, zone in moments:
        if zone is None and aware:
            rule = Rule("error", f"moments without a zone, but {aware[0]} has one", "write every moment in UTC")
            yield whole(rule, table, column)
        elif zone is None:
            yield whole(Rule("note", "moments without a zone", "they are taken as UTC"), table, column)


def _patterns(raw: Frames) -> Iterator[Fault]:
    rule = Rule(
        "warning", "polars takes such names (* and ^...$) for patterns: the column is left out", "give it another name"
    )
    for table, frame in raw.items():
        yield from (whole(rule, table, name) for name in frame.columns if is_pattern(name))


def _id_types(frames: Frames) -> Iterator[Fault]:
    """Look for an id that is an integer in one table and text in another."""
    for name in ("user_id", "item_id"):
        types = {table: frame.schema[name] for table, frame in frames.items() if name in frame.columns}
        integers = [table for table, dtype in types.items() if dtype.is_integer()]
        for table in (table for table, dtype in types.items() if dtype == pl.String and integers):
            rule = Rule(
                "error", f"ids are text here and integers in {integers[0]}", "write them in one type everywhere"
            )
            yield whole(rule, table, name, tuple(frames[table][name].drop_nulls().head(3).to_list()))


def _kinds_apart(frames: Frames) -> Iterator[Fault]:
    """Look for kinds of events that are one to a person and several to whoever counts them."""
    kinds = frames.get("events", pl.DataFrame()).to_dict().get("event")
    if kinds is None or kinds.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return
    spelt = kinds.drop_nulls().cast(pl.String).unique().sort()
    spelt = spelt.filter(alike(spelt, ("blanks", "case", "unicode")).is_duplicated())
    if len(spelt):
        rule = Rule(
            "warning",
            "kinds that differ in blanks, case or Unicode form alone",
            "write them alike, or each counts by itself",
        )
        yield whole(rule, "events", "event", tuple(spelt.to_list()))


def _unknown_items(frames: Frames) -> Iterator[Fault]:
    known = frames.get("items", pl.DataFrame()).to_dict().get("item_id")
    for table in ("events", "requests", "candidates"):
        ids = frames.get(table, pl.DataFrame()).to_dict().get("item_id")
        if known is None or ids is None or not _comparable(known.dtype, ids.dtype):
            continue
        unknown = ids.is_not_null() & ~ids.is_in(known.drop_nulls().implode())
        grave = table != "candidates" and int(unknown.sum()) > _MOST_UNKNOWN * len(ids)
        rule = Rule("error" if grave else "warning", _UNKNOWN, "add them, or go on without their text")
        yield from broken(rule, CheckedRows(table, "item_id", frames[table]), unknown)


def _comparable(one: pl.DataType, other: pl.DataType) -> bool:
    return (one.is_integer() and other.is_integer()) or one == other == pl.String


def _shown_before_available(frames: Frames) -> Iterator[Fault]:
    items, requests = frames.get("items", pl.DataFrame()), frames.get("requests", pl.DataFrame())
    if not ({"item_id", "available_at"} <= set(items.columns) and {"item_id", "timestamp"} <= set(requests.columns)):
        return
    moments = (items.schema["available_at"], requests.schema["timestamp"])
    if not all(isinstance(dtype, pl.Datetime) for dtype in moments):
        return
    if not _comparable(items.schema["item_id"], requests.schema["item_id"]):
        return
    first = requests.group_by("item_id").agg(pl.col("timestamp").min().alias("first"))
    items = one_version(items, "item_id", "first")
    shown = items.select("item_id", "available_at").drop_nulls().join(first, on="item_id", maintain_order="left")
    rule = Rule(
        "warning", "items available only after they were first shown", "mind the zones, or use the first showing"
    )
    rows = CheckedRows("items", "available_at", shown)
    yield from broken(rule, rows, pl.col("available_at") > pl.col("first"), pl.col("item_id"))


def _always_known(frames: Frames) -> Iterator[Fault]:
    rule = Rule(
        "note", f"there is no such column: {ALWAYS_KNOWN}", "tell versions of the rows, or leave such columns out"
    )
    for table in always_known({name: frames.get(name) for name in ("items", "users")}):
        yield whole(rule, table, KNOWN_AT)


def _events_twice(frames: Frames) -> Iterator[Fault]:
    """Look for events of one id, which a process that serves counts once."""
    events = frames.get("events", pl.DataFrame())
    if "event_id" not in events.columns:
        return
    rule = Rule(
        "error", "the same event_id again", "keep one row of each event, or rename the column if it is no id of events"
    )
    again = pl.col("event_id").is_not_null() & ~pl.col("event_id").is_first_distinct()
    yield from broken(rule, CheckedRows("events", "event_id", events), again)


def _outcomes(frames: Frames, about: About) -> Iterator[Fault]:
    """Look for the outcome where it should not be, in tables whose columns can be read at all."""
    events, requests = frames.get("events", pl.DataFrame()), frames.get("requests", pl.DataFrame())
    if _readable(REQUESTS, requests):
        yield from telling_columns(requests, about.recorded_after, about.sampled)
        ids = ("user_id", "item_id")
        if _readable(EVENTS, events) and all(_comparable(events.schema[n], requests.schema[n]) for n in ids):
            yield from clicks_told_twice(events, requests)


def _readable(table: Table, frame: pl.DataFrame) -> bool:
    """Say whether all required columns are there and of their types, not of nothing but nulls."""
    types = [(column.kind, frame.schema.get(column.name, pl.Null())) for column in table.columns if column.required]
    return all(dtype != pl.Null and fits(kind, dtype) for kind, dtype in types)
