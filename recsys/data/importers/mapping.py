"""The mapping file: where a foreign folder keeps each table and what it calls the columns."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from recsys.data.clock import TimeSettings
from recsys.errors import SettingsError
from recsys.validation import validate


def _known_zone(zone: str) -> str:
    return TimeSettings(zone=zone).zone


class TableMapping(BaseModel):
    """Where one table lies and how it is written.

    Attributes
    ----------
    file
        File name inside the folder (.csv, .tsv, .jsonl, .ndjson or .parquet); without it, the file named after the
        table is looked for.
    columns
        Our name = their name. Columns that are not named keep their names.
    delimiter
        What separates the fields of a CSV file; without it, a comma, or a tab in a .tsv file.
    time_format
        How moments are written where they are text or numbers: `"iso"`, `"seconds"` or `"milliseconds"` since 1970,
        or a strftime pattern such as `"%d/%m/%Y %H:%M"`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str | None = None
    columns: dict[str, str] = {}
    delimiter: str | None = None
    time_format: str = "iso"


class RequestsMapping(TableMapping):
    """Where the logged lists lie; one row may be a candidate or, with `candidates`, a whole list.

    Attributes
    ----------
    file, columns, delimiter, time_format
        As for every table.
    candidates
        Their name of the column that holds all item ids of a list, in the order shown.
    clicked
        Their name of the column that holds the clicked item ids of a list; they get label 1, the others 0.
    separator
        What stands between the ids in `candidates` and `clicked` where they are text.
    """

    candidates: str | None = None
    clicked: str | None = None
    separator: str = " "


class Mapping(BaseModel):
    """How a foreign folder becomes our tables.

    Attributes
    ----------
    zone
        Time zone of moments that are written without one.
    id_type
        `"auto"`: ids in text files that are plain whole numbers in every table become integers, all others stay
        text; `"string"`: every id is text.
    items, events, requests, users
        The tables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    id_type: Literal["auto", "string"] = "auto"
    items: TableMapping = TableMapping()
    events: TableMapping = TableMapping()
    requests: RequestsMapping = RequestsMapping()
    users: TableMapping = TableMapping()


def read_mapping(path: Path) -> Mapping:
    """Read a mapping from a TOML file.

    Raises
    ------
    SettingsError
        When the file is missing, is not TOML, or holds a key or value that is not known.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error}); name a TOML file with --mapping") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}; see data/tables.example.toml") from error
    return validate(Mapping, content, str(path))
