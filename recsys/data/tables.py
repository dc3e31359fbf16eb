"""A data folder: the four tables as Parquet files, and what its importer has to say about them."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recsys.errors import DataError
from recsys.files import new_folder, read_parquet
from recsys.schema import EVENTS, ITEMS, REQUESTS, TIME, USERS

SAMPLED = (
    "The lists are sampled, not logged: beside what a user chose each holds items drawn at random from those that were "
    "out. Figures say how well choices are told from random items; expect lower ones on lists that were really shown."
)
"""What every report says of such lists."""

_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_CALENDAR = tuple(int(end.replace(tzinfo=UTC).timestamp()) for end in (datetime.min, datetime.max))
"""The first and the last second of the years 1 to 9999, since 1970."""


@dataclass(frozen=True)
class About:
    """What an importer says about the tables that it wrote.

    Attributes
    ----------
    source
        Name of the importer.
    notes
        Sentences for the reader of a report, such as where `available_at` comes from.
    recorded_after
        Columns of `requests` that were recorded after the list was shown; they are refused as features.
    sampled
        Whether the lists were drawn by the importer instead of logged, see `SAMPLED`.
    """

    source: str = "tables"
    notes: tuple[str, ...] = ()
    recorded_after: tuple[str, ...] = ()
    sampled: bool = False


@dataclass(frozen=True)
class Dataset:
    """The tables of one catalogue and its behaviour, all moments as UTC microseconds.

    Attributes
    ----------
    items, events, requests, users
        See `recsys.schema`; `users` may be missing.
    about
        What the importer says.
    """

    items: pl.DataFrame
    events: pl.DataFrame
    requests: pl.DataFrame
    users: pl.DataFrame | None = None
    about: About = field(default_factory=About)

    @classmethod
    def read(cls, folder: str | Path) -> "Dataset":
        """Read a data folder.

        Raises
        ------
        DataError
            When the folder or a required table is missing or is not Parquet.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder; write one with `recsys import` or `recsys demo`")
        return cls(
            items=read_table(folder, "items"),
            events=read_table(folder, "events"),
            requests=read_table(folder, "requests"),
            users=read_table(folder, "users") if (folder / "users.parquet").exists() else None,
            about=read_about(folder / "about.json"),
        )

    def in_words(self) -> str:
        """Count the rows, for the terminal."""
        return (
            f"{self.requests['request_id'].n_unique():,} requests, {len(self.requests):,} candidate rows, "
            f"{len(self.items):,} items, {len(self.events):,} events"
        )

    def with_plain_ids(self) -> "Dataset":
        """Bring integer ids of any width to Int64, so that tables can be joined.

        Raises
        ------
        DataError
            When an id is 2**63 or more.
        """
        return replace(
            self,
            items=plain_ids("items", self.items),
            events=plain_ids("events", self.events),
            requests=plain_ids("requests", self.requests),
            users=None if self.users is None else plain_ids("users", self.users),
        )

    def write(self, folder: str | Path) -> None:
        """Write every table and the importer's words into `folder`, which must not hold tables yet.

        Raises
        ------
        DataError
            When the folder exists and is not empty.
        """
        with new_folder(folder) as staging:
            for table in (ITEMS, EVENTS, REQUESTS, USERS):
                frame: pl.DataFrame | None = getattr(self, table.name)
                if frame is not None:
                    frame.write_parquet(staging / f"{table.name}.parquet")
            about = {name: getattr(self.about, name) for name in ("source", "notes", "recorded_after", "sampled")}
            (staging / "about.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def read_table(folder: Path, name: str) -> pl.DataFrame:
    """Read `folder/<name>.parquet` as it stands, moments brought to UTC (naive ones are taken as UTC).

    Raises
    ------
    DataError
        When the file is missing or is not Parquet.
    """
    path, missing = folder / f"{name}.parquet", "every data folder holds items, events and requests as Parquet files"
    if not path.is_file():
        raise DataError(f"{path} is missing; {missing}")
    return in_utc(read_parquet(path, missing, "import the data again"))


def in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """Bring every datetime column to UTC microseconds; naive datetimes are taken as UTC.

    Raises
    ------
    DataError
        When a moment lies outside the years 1 to 9999, as where its unit was mistaken.
    """
    casts = []
    for name, dtype in frame.schema.items():
        if not isinstance(dtype, pl.Datetime):
            continue
        _refuse_beyond_calendar(frame[name], dtype)
        if dtype != TIME:
            moment = pl.col(name).dt.cast_time_unit("us")
            casts.append(
                moment.dt.replace_time_zone("UTC") if dtype.time_zone is None else moment.dt.convert_time_zone("UTC")
            )
    return frame.with_columns(casts) if casts else frame


def _refuse_beyond_calendar(moments: pl.Series, dtype: pl.Datetime) -> None:
    """Refuse moments outside the years 1 to 9999, which Python and polars cannot show."""
    numbers, per_second = moments.to_physical(), _PER_SECOND[dtype.time_unit]
    for number in (numbers.min(), numbers.max()):
        if isinstance(number, int) and not _CALENDAR[0] <= number // per_second <= _CALENDAR[1]:
            raise DataError(
                f"column {moments.name!r} holds the moment {number} {dtype.time_unit} since 1970, which lies outside "
                "the calendar; moments of events and requests lie between 1990 and 2100: mind the unit"
            )


def plain_ids(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Bring the integer ids of a table to Int64, see `Dataset.with_plain_ids`."""
    wide = [column for column in ("request_id", "user_id", "item_id") if column in frame.columns]
    wide = [column for column in wide if frame.schema[column].is_integer()]
    try:
        return frame.with_columns(pl.col(wide).cast(pl.Int64))
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(f"{name} holds ids of 2**63 or more in {' or '.join(wide)}; write them as text") from error


def read_about(path: Path) -> About:
    """Read what the importer said; nothing was said where there is no file.

    Raises
    ------
    DataError
        When the file is not what an importer writes.
    """
    if not path.exists():
        return About()
    try:
        about = json.loads(path.read_text())
        lists = [about["notes"], about["recorded_after"]]
        if not all(isinstance(each, list) and all(isinstance(word, str) for word in each) for each in lists):
            raise TypeError("notes and recorded_after are lists of texts")
        sampled = about.get("sampled", False)
        if not isinstance(sampled, bool):
            raise TypeError("sampled is true or false")
        return About(str(about["source"]), tuple(about["notes"]), tuple(about["recorded_after"]), sampled)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{path} is not what an importer writes ({error!r}); delete it or import again") from error
