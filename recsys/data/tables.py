"""A data folder: the four tables as Parquet files, and what its importer has to say about them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from recsys.errors import DataError
from recsys.files import new_folder
from recsys.schema import EVENTS, ITEMS, REQUESTS, USERS, Table

TIME = pl.Datetime("us", "UTC")
"""The one type of every moment inside the package."""


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
    """

    source: str = "tables"
    notes: tuple[str, ...] = ()
    recorded_after: tuple[str, ...] = ()


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
            items=read_table(folder, ITEMS),
            events=read_table(folder, EVENTS),
            requests=read_table(folder, REQUESTS),
            users=read_table(folder, USERS) if (folder / "users.parquet").exists() else None,
            about=_read_about(folder / "about.json"),
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
            about = {name: getattr(self.about, name) for name in ("source", "notes", "recorded_after")}
            (staging / "about.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def read_table(folder: Path, table: Table) -> pl.DataFrame:
    """Read `folder/<table>.parquet` as it stands, moments brought to UTC (naive ones are taken as UTC)."""
    return read_parquet(folder / f"{table.name}.parquet")


def read_parquet(path: Path) -> pl.DataFrame:
    """Read one Parquet file, moments brought to UTC (naive ones are taken as UTC).

    Raises
    ------
    DataError
        When the file is missing or is not Parquet.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; every data folder holds items, events and requests as Parquet files")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); import the data again") from error
    return in_utc(frame)


def in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """Bring every datetime column to UTC microseconds; naive datetimes are taken as UTC."""
    casts = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime) and dtype != TIME:
            moment = pl.col(name).dt.cast_time_unit("us")
            casts.append(
                moment.dt.replace_time_zone("UTC") if dtype.time_zone is None else moment.dt.convert_time_zone("UTC")
            )
    return frame.with_columns(casts) if casts else frame


def _read_about(path: Path) -> About:
    if not path.exists():
        return About()
    try:
        about = json.loads(path.read_text())
        return About(about["source"], tuple(about["notes"]), tuple(about["recorded_after"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not what an importer writes ({error!r}); delete it or import again") from error
