"""A data folder: the four tables as Parquet files, and what its importer has to say about them."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import polars as pl

from recsys.data.plain import in_utc, plain_table
from recsys.errors import DataError
from recsys.files import new_folder, open_plain
from recsys.reading import read_parquet
from recsys.schema import EVENTS, ITEMS, KNOWN_AT, REQUESTS, USERS
from recsys.shown import counted

SAMPLED = (
    "The lists are sampled, not logged: beside what a user chose each holds items drawn at random from those that were "
    "out. Figures say how well choices are told from random items; expect lower ones on lists that were really shown."
)
"""What every report says of such lists."""

ALWAYS_KNOWN = (
    "what a row says counts as known at all times, so that a column written back after the click, such as a flag for "
    "what sells best, makes every figure too good"
)
"""What check and report say of a table of items or users without `known_at`."""


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
    first_shown
        Whether `available_at` is the first that the log tells of an item, where nobody says when it came out: before
        that moment nobody could know it.
    """

    source: str = "tables"
    notes: tuple[str, ...] = ()
    recorded_after: tuple[str, ...] = ()
    sampled: bool = False
    first_shown: bool = False


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
        ).plain()

    def in_words(self) -> str:
        """Count the rows, for the terminal."""
        return (
            f"{counted(self.requests['request_id'].n_unique(), 'request')}, "
            f"{counted(len(self.requests), 'candidate row')}, "
            f"{counted(self.items['item_id'].n_unique(), 'item')}, {counted(len(self.events), 'event')}"
        )

    def notes(self) -> Iterator[str]:
        """Say what a reader of a report must know of the tables."""
        yield from self.about.notes
        undated = " and ".join(always_known({"items": self.items, "users": self.users}))
        if undated:
            yield f"There is no {KNOWN_AT} in {undated}: {ALWAYS_KNOWN}."

    def plain(self, categories: Collection[str] = ()) -> "Dataset":
        """Bring every table to the types of the package, see `plain_table`; `categories` are columns of requests."""
        return replace(
            self,
            items=plain_table(self.items, ITEMS),
            events=plain_table(self.events, EVENTS),
            requests=plain_table(self.requests, REQUESTS, categories),
            users=None if self.users is None else plain_table(self.users, USERS),
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
            about = json.dumps(vars(self.about), indent=2, ensure_ascii=False)
            (staging / "about.json").write_text(f"{about}\n")


def one_version(table: pl.DataFrame, key: str, which: Literal["first", "last"]) -> pl.DataFrame:
    """Keep the first or the last version of each id of a table of items or users, whose ids are in the column `key`."""
    if KNOWN_AT not in table.columns:
        return table
    return table.sort(KNOWN_AT, maintain_order=True).unique(key, keep=which, maintain_order=True)


def always_known(tables: Mapping[str, pl.DataFrame | None]) -> list[str]:
    """Name the tables, of those of items and users, whose rows say something and not from when on."""
    fixed = ("item_id", "user_id", "available_at", KNOWN_AT)
    return [
        name
        for name, table in tables.items()
        if table is not None
        and {*table.columns} - {*fixed}
        and (KNOWN_AT not in table.columns or 0 < table.height == table[KNOWN_AT].null_count())
    ]


def read_table(folder: Path, name: str) -> pl.DataFrame:
    """Read `folder/<name>.parquet` as it stands, moments brought to UTC (naive ones are taken as UTC).

    Raises
    ------
    DataError
        When the file is missing or is not Parquet.
    """
    path, missing = folder / f"{name}.parquet", "every data folder holds items, events and requests as Parquet files"
    if not path.is_file():
        if (folder / "manifest.json").is_file():
            missing = f"{folder} is a model folder, and stands where the data folder should"
        raise DataError(f"{path} {'is no file' if path.exists() else 'is missing'}; {missing}")
    return in_utc(read_parquet(path, missing, "import the data again"))


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
        with open_plain(path) as file:
            about = json.loads(file.read())
        lists = [about["notes"], about["recorded_after"]]
        if not all(isinstance(each, list) and all(isinstance(word, str) for word in each) for each in lists):
            raise TypeError("notes and recorded_after are lists of texts")
        flags = [about.get(name, False) for name in ("sampled", "first_shown")]
        if not all(isinstance(flag, bool) for flag in flags):
            raise TypeError("sampled and first_shown are true or false")
        return About(str(about["source"]), tuple(about["notes"]), tuple(about["recorded_after"]), *flags)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{path} is not what an importer writes ({error!r}); delete it or import again") from error
