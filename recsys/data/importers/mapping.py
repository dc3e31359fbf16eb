"""The mapping file: where a foreign folder keeps each table and what it calls the columns."""

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from recsys.data.clock import known_zone
from recsys.data.importers.numbers import NOT_KNOWN, Form
from recsys.data.meeting import Difference

_CLICK = "click"
"""The kind of events that labels count as, see `recsys.past.streams.CLICK`."""


def _known_encoding(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError("Python knows no such encoding; write a name such as 'utf-8' or 'cp1252'") from error


class TableMapping(BaseModel):
    r"""Where one table lies and how it is written.

    Attributes
    ----------
    file
        Path inside the folder, or an absolute one (.csv, .tsv, .jsonl, .ndjson, .json or .parquet), or a folder of such
        files, which are one table; or a URL of object storage, such as `s3://bucket/orders.parquet`. Without it, the
        file named after the table is looked for.
    query
        What is asked of the database for this table; all of the table of this name when left out.
    columns
        Our name = their name. Columns that are not named keep their names.
    delimiter
        What separates the fields of a CSV file; without it, a comma, or a tab in a .tsv file.
    time_format
        How moments are written where they are text or numbers: `"iso"`, `"seconds"`, `"milliseconds"`,
        `"microseconds"` or `"nanoseconds"` since 1970, `"days"` as spreadsheets count them, or a strftime pattern such
        as `"%d/%m/%Y %H:%M"`.
    decimal
        What stands before the fraction of numbers in a text file where a column leaves it open: `"."`, or `","` as in
        `1.234,50`. Each column is read as it is evidently written.
    numbers
        Their names of columns that are numbers, with the way in which they are written, by example: `"1234.5"`,
        `"1,234.5"`, `"1234,5"`, `"1.234,5"`, `"1 234,5"`, `"1 234.5"`, `"1'234,5"` or `"1'234.5"`.
    missing
        Texts that stand for a missing value, instead of those that other tools write (`NULL`, `\N`, `nan`, `None`).
    encoding
        Of a text file, such as `"cp1252"`.
    others
        Whether columns that are not named come along.
    without
        Their names of columns that are left out, such as e-mail addresses.
    where
        Rows that come along: their name of a column and the values it may have, such as `status = ["paid"]`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str | None = None
    query: str | None = None
    columns: dict[str, str] = {}
    delimiter: str | None = None
    time_format: str = "iso"
    decimal: Literal[".", ","] = "."
    numbers: dict[str, Form] = {}
    missing: tuple[str, ...] = NOT_KNOWN
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    others: bool = True
    without: tuple[str, ...] = ()
    where: dict[str, tuple[str | int | float | bool, ...]] = {}


class ItemsMapping(TableMapping):
    """Where the items lie.

    Attributes
    ----------
    file, query, columns, delimiter, time_format, decimal, numbers, missing, encoding, others, without, where
        As for every table.
    from_ids
        Items that only events or requests hold are added, all of them where there is no file; where the table has no
        `title`, it is the id as text.
    """

    from_ids: bool = False


class EventsMapping(TableMapping):
    """Where the events lie.

    Attributes
    ----------
    file, query, columns, delimiter, time_format, decimal, numbers, missing, encoding, others, without, where
        As for every table.
    event
        Kind of all events where no column says it, such as `"purchase"`.
    """

    event: Annotated[str, Field(min_length=1)] | None = None


class RequestsMapping(TableMapping):
    """Where the logged lists lie, or which events become lists; one row may be a candidate or a whole list.

    Attributes
    ----------
    file, query, columns, delimiter, time_format, decimal, numbers, missing, encoding, others, without, where
        As for every table.
    candidates
        Their name of the column that holds all item ids of a list, in the order shown.
    clicked
        Their name of the column that holds the clicked item ids of a list; they get label 1, the others 0.
    separator
        What stands between the ids in `candidates` and `clicked` where they are text.
    sampled_from
        Kind of the events that become lists where none were logged, see `recsys.data.importers.sampled`; there is then
        no file.
    least
        Smallest `value` of such an event, such as the stars of a rating; those below it stay events, so not of clicks.
    negatives
        How many items are drawn into each list.
    seed
        Of the draw.
    context
        Columns of the events that say something about the request, such as the device; they come with its list.
    """

    candidates: str | None = None
    clicked: str | None = None
    separator: str = " "
    sampled_from: str | None = None
    least: float | None = None
    negatives: Annotated[int, Field(ge=1, le=1000)] = 20
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    context: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "RequestsMapping":
        if self.sampled_from is not None and (self.file or self.candidates or self.clicked):
            raise ValueError("sampled_from draws lists from events, file names logged ones; keep one of them")
        if self.sampled_from == _CLICK and self.least is not None:
            raise ValueError(
                f"least leaves events below it as {_CLICK!r} events, which count as clicks; give the events another "
                "kind and name it in sampled_from, or drop least"
            )
        return self


class IdsMapping(BaseModel):
    """What does not tell ids apart.

    Attributes
    ----------
    request_id, user_id, item_id
        Differences in spite of which two spellings are one id, in all tables: `"blanks"` around them, `"case"`,
        `"unicode"` (composed and decomposed letters), `"zeros"` before a number, `"decimals"` as in `12.0`.
    pseudonyms
        Where the key lies by which each user gets a pseudonym, in all tables: `"env:NAME"`, an environment variable, or
        the path of a file. The key is written nowhere; whoever has it can tell which pseudonym an id has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: tuple[Difference, ...] = ()
    user_id: tuple[Difference, ...] = ()
    item_id: tuple[Difference, ...] = ()
    pseudonyms: str | None = None


class Mapping(BaseModel):
    """How a foreign folder becomes our tables.

    Attributes
    ----------
    zone
        Time zone of moments that are written without one.
    id_type
        `"auto"`: ids in text files that are plain whole numbers in every table become integers, all others stay
        text; `"string"`: every id is text.
    tidy
        Leave out rows that lack an id, a moment or an event kind, and of items, users and candidates that repeat all
        but the first; how many is noted. Otherwise they stay, and `recsys check` lists them.
    ids
        What does not tell ids apart.
    database
        Where tables without a file lie: `postgresql://user:${PASSWORD}@host/name`, or the path of a DuckDB file
        (.duckdb, .db). `${NAME}` stands for an environment variable. It takes the extra `databases`.
    items, events, requests, users
        The tables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: Annotated[str, AfterValidator(known_zone)] = "UTC"
    id_type: Literal["auto", "string"] = "auto"
    tidy: bool = False
    ids: IdsMapping = IdsMapping()
    database: str | None = None
    items: ItemsMapping = ItemsMapping()
    events: EventsMapping = EventsMapping()
    requests: RequestsMapping = RequestsMapping()
    users: TableMapping = TableMapping()
