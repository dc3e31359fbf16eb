"""One preparation of tables for every job: checked, ids plain, labels graded, behaviour under the clock."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from recsys.data.checks import check_tables
from recsys.data.faults import CheckReport, refuse_errors
from recsys.data.labels import grade_labels
from recsys.data.tables import Dataset
from recsys.errors import SettingsError
from recsys.past.behaviour import (
    Behaviour,
    Kept,
    known_events,
    refuse_lost_categories,
    refuse_no_categories,
    shown_candidates,
)
from recsys.past.log import Log
from recsys.schema import TIME
from recsys.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """Tables that jobs read.

    Attributes
    ----------
    dataset
        The tables without faults: in the types of the package, labels graded.
    settings
        Under which they are read.
    checked
        What the table check said.
    """

    dataset: Dataset
    settings: Settings
    checked: CheckReport

    @cached_property
    def log(self) -> Log:
        """The behaviour, known under the clock of the settings.

        Raises
        ------
        SettingsError
            When settings name a column that the tables do not hold, or of which no feature can be made.
        """
        clock = self.settings.labels.clock(self.settings.time)
        return Log(behaviour_of(self.dataset, self.settings.features.kept), clock)


def prepare(dataset: Dataset, settings: Settings) -> Prepared:
    """Check tables and bring them into the form that jobs read.

    Raises
    ------
    DataError
        When the tables have faults; names all of them.
    SettingsError
        When labels are graded from an event that never occurs.
    """
    checked = check_tables(dataset)
    refuse_errors(checked)
    return Prepared(grade_labels(dataset.plain(settings.features.context), settings.labels), settings, checked)


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Describe the data a model saw: rows and sha256 of the columns' names, types and row hashes of every table."""
    tables = {name: getattr(dataset, name) for name in ("items", "events", "requests", "users")}
    found = {}
    for name, table in tables.items():
        if table is not None:
            seen = hashlib.sha256(repr(table.schema).encode())
            seen.update(table.hash_rows(0).to_numpy().tobytes())
            found[name] = {"rows": len(table), "sha256": seen.hexdigest()}
    return found


def behaviour_of(dataset: Dataset, kept: Kept) -> Behaviour:
    """Take from a dataset what features read.

    Raises
    ------
    SettingsError
        When an attribute is not a column of its table, or is of a kind that no feature can be made of.
    """
    items, users = dataset.items, dataset.users
    if "available_at" not in items.columns:
        items = items.with_columns(available_at=pl.lit(None, dtype=TIME))
    if users is None:
        users = dataset.requests.select("user_id").clear()
    _refuse_absent("affinity", kept.affinity, items, "items")
    _refuse_absent("numbers", kept.numbers, items, "items")
    _refuse_absent("users", kept.users, users, "users")
    _refuse_absent("context", kept.context, dataset.requests, "requests")
    for setting, names, table in (
        ("affinity", kept.affinity, items),
        ("users", kept.users, users),
        ("context", kept.context, dataset.requests),
    ):
        refuse_no_categories(setting, names, table.schema)
        refuse_lost_categories(setting, names, table)
    for name in kept.numbers:
        dtype = items.schema[name]
        if not dtype.is_numeric():
            mend = "write one number a row" if dtype.is_nested() else "name it in affinity, or write it as a number"
            raise SettingsError(
                f"[features] numbers names {name!r}, a column of items that holds {dtype} values; {mend}"
            )
    numbers = [pl.col(name).cast(pl.Float64) for name in kept.numbers]
    return Behaviour(
        items=items.select("item_id", "available_at", *kept.affinity, *numbers),
        users=users.select("user_id", *kept.users),
        showings=shown_candidates(dataset.requests, kept.context),
        events=known_events(dataset.events),
    )


def _refuse_absent(setting: str, names: tuple[str, ...], table: pl.DataFrame, called: str) -> None:
    for name in names:
        if name not in table.columns:
            raise SettingsError(
                f"[features] {setting} names {name!r}, which is not a column of {called}; "
                f"its columns are {', '.join(table.columns)}"
            )
