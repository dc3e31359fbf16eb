"""Any folder of CSV, JSON lines or Parquet tables, with a mapping where its names are not ours."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from recsys.data.importers.columns import id_texts, moments, refuse_absent, same_ids, whole_numbers, zone_note
from recsys.data.importers.foreign import SUFFIXES, TEXT_FILES, is_record, read_tables, table_files
from recsys.data.importers.mapping import (
    EventsMapping,
    IdsMapping,
    ItemsMapping,
    Mapping,
    RequestsMapping,
    TableMapping,
)
from recsys.data.importers.numbers import NO_NUMBER, Form, Values, missing_note, plain_values, without, yes_as_one
from recsys.data.importers.pseudonyms import pseudonyms, read_key
from recsys.data.importers.remote import fetched, is_remote
from recsys.data.importers.sampled import sample_lists
from recsys.data.meeting import Difference, alike, refuse_other_spellings
from recsys.data.rules import reads_like_text
from recsys.data.tables import SAMPLED, About, Dataset
from recsys.errors import DataError, SettingsError
from recsys.schema import EVENTS, ITEMS, REQUESTS, TIME, USERS, Table
from recsys.validation import read_toml, validate

_IDS = ("request_id", "user_id", "item_id")
_WHOLE = ("grade", "count", "position")


@dataclass(frozen=True)
class _ForeignColumn:
    """Where a column stands: its table, how that is written, the zone of its moments, and its name for messages."""

    table: Table
    settings: TableMapping
    zone: str
    name: str


@dataclass(frozen=True)
class _Foreign:
    """A table under our names, its ids not yet typed.

    Attributes
    ----------
    frame
        The rows.
    loose
        Columns out of text, where an integer and a word look alike.
    """

    frame: pl.DataFrame
    loose: frozenset[str]


def read_mapped(folder: Path, mapping: Mapping | None = None) -> Dataset:
    """Read a folder of tables; without a mapping, `items.*`, `events.*`, `requests.*`, `users.*` under our names.

    Columns that have no fixed meaning pass through: numbers stay numbers, text stays text. `events` may be absent
    when the requests carry labels, and labels may be absent when there are events: they are then 0.

    Raises
    ------
    DataError
        When a table or a required column is missing, or a value cannot be read; the message says which and where.
    """
    mapping = mapping or Mapping()
    if is_remote(mapping):
        with TemporaryDirectory() as work:
            return read_mapped(folder, fetched(mapping, Path(work) / "fetched"))
    notes: list[str] = []
    tables = {
        table.name: foreign
        for table, settings in _described(mapping)
        if (foreign := _read(folder, table, settings, mapping, notes)) is not None
    }
    sampled = mapping.requests.sampled_from is not None
    if not sampled:
        _give_labels(tables, notes)
    if "events" not in tables:
        notes.append("There is no table of events; what users did is known from the labels alone.")
    frames = _with_ids(tables, mapping.id_type == "string", mapping.ids)
    if mapping.items.from_ids:
        frames["items"] = _with_all_ids(frames, notes)
    first_shown = False
    if sampled:
        lists = sample_lists(frames["items"], frames.get("events"), mapping.requests)
        frames |= {"items": lists.items, "events": lists.events, "requests": lists.requests}
        notes += [SAMPLED, *lists.notes]
        first_shown = lists.first_shown
    events = frames.get("events", _no_events(frames["requests"]))
    about = About("tables", tuple(notes), sampled=sampled, first_shown=first_shown)
    return Dataset(frames["items"], events, frames["requests"], frames.get("users"), about)


def files_read(folder: Path, mapping: Mapping | None = None) -> list[Path]:
    """Name the files of a folder that `read_mapped` reads.

    Raises
    ------
    DataError
        When a file is missing.
    """
    found = (_find(folder, table, settings) for table, settings in _described(mapping or Mapping()))
    return [file for path in found if path is not None for file in table_files(path)]


def read_mapping(path: Path) -> Mapping:
    """Read a mapping from a TOML file.

    Raises
    ------
    SettingsError
        When the file is missing, is not TOML, or holds a key or value that is not known.
    """
    return validate(Mapping, read_toml(path, "a TOML mapping file, such as data/tables.example.toml"), str(path))


def _described(mapping: Mapping) -> list[tuple[Table, TableMapping]]:
    return [(ITEMS, mapping.items), (EVENTS, mapping.events), (REQUESTS, mapping.requests), (USERS, mapping.users)]


def _read(folder: Path, table: Table, settings: TableMapping, mapping: Mapping, notes: list[str]) -> _Foreign | None:
    path = _find(folder, table, settings)
    if path is None:
        return None
    frame = read_tables(path, settings.delimiter, settings.encoding)
    loose = set(frame.columns) if table_files(path)[0].suffix in TEXT_FILES else set[str]()
    refuse_absent(settings.columns.values(), frame.columns, path.name)
    refuse_absent([*settings.without, *settings.where], frame.columns, path.name)
    frame = _left(_wanted(frame, settings, path.name, notes), settings.without)
    if not settings.others:
        frame = frame[list(dict.fromkeys([*settings.columns.values(), *_list_columns(settings)]))]
    frame = _without_records(frame, table, notes)
    frame, loose = _renamed(frame, settings, loose, path.name)
    lists = _list_columns(settings)
    refuse_absent(lists, frame.columns, path.name)
    if isinstance(settings, EventsMapping) and settings.event is not None and "event" not in frame.columns:
        frame = frame.with_columns(event=pl.lit(settings.event))
    forms = _forms(settings, frame.columns)
    read: list[pl.Series] = []
    for column in (column for column in frame.get_columns() if column.name not in lists):
        place = _ForeignColumn(table, settings, mapping.zone, f"{path.name}, column {column.name}")
        values, note = _typed(column, place, forms.get(column.name), column.name in loose)
        read.append(values)
        if note:
            notes.append(f"{place.name}: {note}.")
    frame = frame.with_columns(read)
    if lists:
        frame, loose = _one_row_per_candidate(frame, settings, loose, notes)
    required = [name for name in table.required if name != "label"]
    refuse_absent(required, frame.columns, path.name)
    if mapping.tidy:
        frame = _tidied(frame, table, required, notes)
    return _Foreign(frame, frozenset(loose))


def _wanted(frame: pl.DataFrame, settings: TableMapping, place: str, notes: list[str]) -> pl.DataFrame:
    """Keep the rows whose columns hold what the mapping asks for, as text; how many go is noted."""
    for name, values in settings.where.items():
        texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
        kept = frame.filter(frame[name].cast(pl.String).str.strip_chars().is_in(texts))
        if kept.is_empty():
            raise DataError(
                f"{place}: no row has {' or '.join(map(repr, texts))} in {name}, as `where` in the mapping asks; it "
                f"holds {', '.join(map(repr, frame[name].drop_nulls().unique().sort().head(5).to_list()))}"
            )
        if len(kept) < len(frame):
            notes.append(
                f"{place}: {len(frame) - len(kept)} rows whose {name} is not {' or '.join(texts)} are left out."
            )
        frame = kept
    return frame


def _tidied(frame: pl.DataFrame, table: Table, required: list[str], notes: list[str]) -> pl.DataFrame:
    """Leave out what `recsys check` would refuse: rows without a required value, and all but the first of a key."""
    whole = frame.drop_nulls(required)
    if table is EVENTS:
        whole = whole.filter(pl.col("event").cast(pl.String).str.strip_chars() != "")
    key = table.key_of(whole.columns)
    distinct = whole.unique(key, keep="first", maintain_order=True) if key else whole
    if len(whole) < len(frame):
        notes.append(f"{len(frame) - len(whole)} rows of {table.name} lack {' or '.join(required)} and are left out.")
    if len(distinct) < len(whole):
        again = " and ".join(key)
        notes.append(f"{len(whole) - len(distinct)} rows of {table.name} repeat {again}; the first of each is kept.")
    return distinct


def _without_records(frame: pl.DataFrame, table: Table, notes: list[str]) -> pl.DataFrame:
    """Leave out columns of JSON objects, which no stage reads."""
    records = [name for name, dtype in frame.schema.items() if is_record(dtype)]
    if records:
        notes.append(f"{table.name} holds objects in {', '.join(records)}; these columns are left out.")
    return _left(frame, records)


def _left(frame: pl.DataFrame, without: Collection[str | None]) -> pl.DataFrame:
    """Leave out columns; in contrast to polars, a name such as `*` is a name, and no pattern."""
    return frame.select(column for column in frame.get_columns() if column.name not in without)


def _list_columns(settings: TableMapping) -> list[str]:
    if not isinstance(settings, RequestsMapping):
        return []
    return [name for name in (settings.candidates, settings.clicked) if name is not None]


def _forms(settings: TableMapping, columns: list[str]) -> dict[str, Form]:
    """Say under our names how numbers are written."""
    ours = {theirs: name for name, theirs in settings.columns.items()}
    named = {ours.get(theirs, theirs): form for theirs, form in settings.numbers.items()}
    refuse_absent(named, columns, "the table of numbers in the mapping")
    return named


def _typed(values: pl.Series, place: _ForeignColumn, form: Form | None, loose: bool) -> Values:
    """Bring one column to its type: ids stay as they are written, until all tables are read."""
    column = place.table.column(values.name)
    kind = column.kind if column else None
    missing = place.settings.missing
    if kind == "time" or isinstance(values.dtype, pl.Datetime):
        known = without(values, (*NO_NUMBER, *missing)) if values.dtype == pl.String else values
        stamps = moments(known, place.settings.time_format, place.zone, place.name)
        told_zone = zone_note(known, place.settings.time_format, place.zone)
        return Values(stamps, "; ".join(filter(None, (missing_note(values, known), told_zone))))
    told = "missing" in place.settings.model_fields_set  # what other tools write is looked for in text files alone
    if values.dtype != pl.String or not (loose or told or form):
        whole = kind in _WHOLE or (values.name in _IDS and values.dtype != pl.String)
        return Values(whole_numbers(values, place.name) if whole else values)
    if values.name in _IDS:
        if loose:
            return id_texts(values, missing)
        known = without(values, missing)
        return Values(known, missing_note(values, known))
    values = without(values, ("",))
    known = without(values, missing)
    if not (kind or told) and known.null_count() == values.null_count() + 1 and reads_like_text(known):
        known = values  # among texts that differ, one that is "None" is a title
    if not (loose or form):
        return Values(known, missing_note(values, known))
    if kind in ("text", "id"):
        return Values(known, missing_note(values, known))
    known = yes_as_one(known) if values.name == "label" else known
    try:
        read = plain_values(known, place.settings.decimal, form, meant=kind is not None)
    except ValueError as error:
        raise DataError(f"{place.name}, {error}; mend the row, or name it under missing in the mapping") from error
    note = "; ".join(filter(None, (missing_note(values, known), read.note)))
    return Values(whole_numbers(read.column, place.name) if kind in _WHOLE else read.column, note)


def _find(folder: Path, table: Table, settings: TableMapping) -> Path | None:
    if isinstance(settings, RequestsMapping) and settings.sampled_from is not None:
        return None
    if settings.file is not None:
        path = folder / settings.file
        if (path.is_file() and path.suffix in SUFFIXES) or (path.is_dir() and table_files(path)):
            return path
        fault = f"not a file ending in {', '.join(SUFFIXES)}, nor a folder of such" if path.exists() else "not there"
        raise DataError(
            f"{path}, the file of [{table.name}], is {fault}; correct file under [{table.name}] in the mapping"
        )
    found = [path for suffix in SUFFIXES if (path := folder / f"{table.name}{suffix}").is_file()]
    if len(found) > 1:
        raise DataError(
            f"{folder} holds {' and '.join(path.name for path in found)}; "
            f"say which one with [{table.name}] file in the mapping"
        )
    made = isinstance(settings, ItemsMapping) and settings.from_ids
    if not found and table in (ITEMS, REQUESTS) and not made:
        raise DataError(
            f"{folder} holds no {table.name} ({', '.join(table.name + suffix for suffix in SUFFIXES)}); "
            f"name the file with [{table.name}] file in the mapping"
        )
    return found[0] if found else None


def _renamed(frame: pl.DataFrame, settings: TableMapping, loose: set[str], place: str) -> tuple[pl.DataFrame, set[str]]:
    """Give the columns our names; a column may stand under two of our names."""
    theirs = set(settings.columns.values())
    kept = [name for name in frame.columns if name not in theirs]
    taken = [name for name in settings.columns if name in kept]
    if taken:
        raise DataError(
            f"{place} has a column {taken[0]} of its own besides {settings.columns[taken[0]]}, which the mapping "
            f'calls {taken[0]}; give its own a new name, such as {taken[0]}_2 = "{taken[0]}"'
        )
    named = [frame[foreign].alias(ours) for ours, foreign in settings.columns.items()]
    now_loose = {ours for ours, foreign in settings.columns.items() if foreign in loose} | (loose & set(kept))
    return frame.select(*named, *(frame[name] for name in kept)), now_loose


def _one_row_per_candidate(
    frame: pl.DataFrame, settings: TableMapping, loose: set[str], notes: list[str]
) -> tuple[pl.DataFrame, set[str]]:
    """Turn rows of whole lists into rows of candidates, in the order shown."""
    assert isinstance(settings, RequestsMapping)
    if settings.candidates is None:
        raise SettingsError("[requests] names clicked without candidates; name the column of the shown items as well")
    if settings.clicked is None and "clicked_at" in frame.columns:
        raise SettingsError(
            "the lists hold clicked_at, but not which of their items was clicked; name that column as clicked under "
            "[requests], or leave clicked_at out"
        )
    lists = frame.with_row_index("_list")
    for name in _list_columns(settings):
        if lists.schema[name] == pl.String:
            ids = lists[name].str.split(settings.separator)
            lists = lists.with_columns(ids.list.eval(pl.element().str.strip_chars()))
            loose = loose | {"item_id"}
        elif not isinstance(lists.schema[name], pl.List):
            raise DataError(
                f"column {name} of the requests is {lists.schema[name]}, neither text nor a list; "
                "leave candidates and clicked out of [requests] when a row is one candidate"
            )
    rows = _exploded(_left(lists, [settings.clicked]), settings.candidates)
    if settings.clicked is not None:
        clicks = _exploded(lists[["_list", settings.clicked]], settings.clicked).unique()
        clicks = clicks.cast({"item_id": rows.schema["item_id"]}).with_columns(label=pl.lit(1, pl.Int32))
        outside = clicks.join(rows, on=["_list", "item_id"], how="anti").height
        if outside:
            notes.append(f"{outside} clicks on items that their list does not hold are left out.")
        rows = rows.join(clicks, on=["_list", "item_id"], how="left", maintain_order="left")
        rows = rows.with_columns(pl.col("label").fill_null(0))
        moments = [pl.when(pl.col("label") > 0).then(name).alias(name) for name in rows.columns if name == "clicked_at"]
        rows = rows.with_columns(moments)
    if "request_id" not in rows.columns:
        notes.append("The lists carry no id; request_id is their row number.")
        return rows.with_columns(request_id=pl.col("_list").cast(pl.Int64) + 1).drop("_list"), loose
    return rows.drop("_list"), loose


def _exploded(lists: pl.DataFrame, column: str) -> pl.DataFrame:
    rows = lists.rename({column: "item_id"}).explode("item_id").drop_nulls("item_id")
    return rows.filter(pl.col("item_id") != "") if rows.schema["item_id"] == pl.String else rows


def _give_labels(tables: dict[str, _Foreign], notes: list[str]) -> None:
    requests = tables["requests"]
    if "label" in requests.frame.columns:
        return
    if "clicked_at" in requests.frame.columns:
        notes.append("The requests carry no label: what has a clicked_at was clicked.")
        clicked = pl.col("clicked_at").is_not_null().cast(pl.Int32)
        tables["requests"] = _Foreign(requests.frame.with_columns(label=clicked), requests.loose)
        return
    if "events" not in tables:
        raise DataError(
            "the requests carry no label and there is no table of events, so nothing says what users chose; "
            "name the label column in the mapping or add events"
        )
    notes.append("The requests carry no label: labels come from the events, through [labels] in the settings.")
    zero = requests.frame.with_columns(pl.lit(0, pl.Int32).alias("label"))
    tables["requests"] = _Foreign(zero, requests.loose)


def _with_ids(tables: dict[str, _Foreign], as_text: bool, ids: IdsMapping) -> dict[str, pl.DataFrame]:
    """Give each id one type across all tables, and one spelling where the mapping says so."""
    frames = {name: foreign.frame for name, foreign in tables.items()}
    for key in _IDS:
        differences: tuple[Difference, ...] = getattr(ids, key)
        holders = [name for name, frame in frames.items() if key in frame.columns]
        columns = [(frames[name][key], key in tables[name].loose) for name in holders]
        if differences:
            columns = [(alike(column, differences), True) for column, _ in columns]
        for name, column in zip(holders, same_ids(columns, as_text), strict=True):
            frames[name] = frames[name].with_columns(column)
    if ids.pseudonyms is not None:
        secret = read_key(ids.pseudonyms)
        users = [name for name, frame in frames.items() if "user_id" in frame.columns]
        frames |= {name: frames[name].with_columns(pseudonyms(frames[name]["user_id"], secret)) for name in users}
    return frames


def _with_all_ids(frames: dict[str, pl.DataFrame], notes: list[str]) -> pl.DataFrame:
    """Add the items that only behaviour holds; without any title, the id is the title."""
    ids = [frames[name]["item_id"] for name in ("events", "requests") if name in frames]
    seen = pl.concat(ids).drop_nulls().unique().sort().to_frame()
    if "items" not in frames:
        notes.append("There is no table of items; it is made of the ids that were seen, and holds no text.")
    items = frames.get("items", seen.clear())
    added = seen.join(items, on="item_id", how="anti")
    refuse_other_spellings(added["item_id"], items["item_id"])
    if 0 < len(added) < len(seen):
        notes.append(f"{len(added)} items are seen in behaviour only; they are added without text.")
    items = pl.concat([items, added.sort("item_id")], how="diagonal")
    return items if "title" in items.columns else items.with_columns(title=pl.col("item_id").cast(pl.String))


def _no_events(requests: pl.DataFrame) -> pl.DataFrame:
    ids = {name: requests.schema[name] for name in ("user_id", "item_id")}
    return pl.DataFrame(schema={**ids, "timestamp": TIME, "event": pl.String})
