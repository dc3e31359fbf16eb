"""One preparation of tables for every job: checked, ids plain, labels graded, behaviour under the clock."""

import hashlib
import logging
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import polars as pl

from recsys.arranging.rules import as_texts, unmatched
from recsys.arranging.settings import RuleSettings
from recsys.data.checks import check_tables
from recsys.data.faults import CheckReport, refuse_errors
from recsys.data.labels import fully_labelled, grade_labels, labels_in_time, refuse_unseen
from recsys.data.made import Made, Moments, NotOut, made_lists
from recsys.data.plain import known_number
from recsys.data.tables import Dataset
from recsys.data.windows import Window, Windows
from recsys.errors import DataError, SettingsError
from recsys.past.behaviour import (
    Behaviour,
    Kept,
    known_events,
    refuse_lost_categories,
    refuse_no_categories,
    shown_candidates,
)
from recsys.past.log import Log
from recsys.past.streams import CLICK, pick
from recsys.schema import KNOWN_AT, TIME
from recsys.settings import Settings
from recsys.shown import did_you_mean

logger = logging.getLogger(__name__)


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
        kept = behaviour_of(self.dataset, self.settings.kept)
        return Log(kept, self.settings.clock, self.settings.text.history, self.settings.features.horizon)

    @cached_property
    def made(self) -> Made:
        """What is learnt and judged from: the logged requests, or the lists that were made in their place.

        Lists that wait for a label, at the end of a log, are not among them.

        Raises
        ------
        DataError
            When no candidate was out when its list was made, or every list waits for a label.
        """
        requests = self.dataset.requests
        made = made_lists(requests, partial(available_at, self.log), self.log.time)
        if made.lists.is_empty() and len(requests):
            raise DataError(
                f"of {len(requests):,} candidates of requests none was out when its list was made, at "
                f"{self.log.time.made_at} {self.log.time.zone}: available_at of every item lies later; mind its zone, "
                "or leave the column out where it is not known"
            )
        known = fully_labelled(made.lists)
        if known.is_empty() and len(requests):
            raise DataError(
                f"of {made.lists['request_id'].n_unique():,} lists none has all its labels, so there is nothing to "
                "learn from or to judge; import a longer log, or write 0 where it is known that nothing was clicked"
            )
        return replace(made, lists=known)

    def not_out(self, windows: Windows, window: Window) -> NotOut | None:
        """Count what the made lists of a window leave out; None where lists are not made."""
        if not self.log.time.nightly:
            return None
        return NotOut.of(Made(*(windows.of(part, window) for part in (self.made.lists, self.made.left_out))))


def prepare(dataset: Dataset, settings: Settings) -> Prepared:
    """Check tables and bring them into the form that jobs read.

    Raises
    ------
    DataError
        When the tables have faults; names all of them.
    SettingsError
        When a kind of events that the settings name never occurs.
    """
    checked = check_tables(dataset)
    refuse_errors(checked)
    refuse_unseen(dataset.events, "[text] history", settings.text.history)
    plain = dataset.plain(settings.features.context)
    requests = labels_in_time(plain.requests, settings.clock)
    return Prepared(grade_labels(replace(plain, requests=requests), settings.labels), settings, checked)


def available_at(log: Log, items: pl.Series) -> Moments:
    """Give when each of some items could first be put into a list, microseconds, NaN where it is not known.

    That is no sooner than anything was known of it, and never (infinity) where nothing is.
    """
    found: Moments = pick(log.register.out_at, log.items.encode(items), np.inf)
    return found


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Describe the data a model saw: rows and sha256 of the columns' names, types and row hashes of every table."""
    tables = {name: getattr(dataset, name) for name in ("items", "events", "requests", "users")}
    found = {}
    for name, table in tables.items():
        if table is not None:
            found[name] = frame_print(table)
    return found


def frame_print(table: pl.DataFrame) -> dict[str, Any]:
    """Tell a table from others: rows and sha256 of the columns' names, types and row hashes."""
    seen = hashlib.sha256(repr(table.schema).encode())
    seen.update(table.hash_rows(0).to_numpy().tobytes())
    return {"rows": len(table), "sha256": seen.hexdigest()}


def warn_of_rules(dataset: Dataset, rules: RuleSettings) -> None:
    """Tell of rules that name what is not in the tables."""
    if rules:
        kinds = {CLICK, *dataset.events["event"].unique().cast(pl.String).to_list()}
        for words in unmatched(rules, dataset.items, dataset.users, kinds):
            logger.warning("%s", words)


def behaviour_of(dataset: Dataset, kept: Kept) -> Behaviour:
    """Take from a dataset what features read.

    Raises
    ------
    SettingsError
        When an attribute is not a column of its table, or is of a kind that no feature can be made of.
    """
    users = dataset.requests.select("user_id").clear() if dataset.users is None else dataset.users
    items, users = kept_items(dataset.items, kept), kept_users(users, kept)
    _refuse_absent("context", kept.context, dataset.requests, "requests")
    _refuse_no_categories("context", kept.context, dataset.requests)
    return Behaviour(
        items=items,
        users=users,
        showings=shown_candidates(dataset.requests, kept.context),
        events=known_events(dataset.events),
    )


def kept_items(items: pl.DataFrame, kept: Kept) -> pl.DataFrame:
    """Bring a table of items to the columns of `Behaviour.items`, with the errors of `behaviour_of`."""
    if "available_at" not in items.columns:
        items = items.with_columns(available_at=pl.lit(None, dtype=TIME))
    _refuse_absent("affinity", kept.affinity, items, "items")
    _refuse_absent("numbers", kept.numbers, items, "items")
    _refuse_absent("rules", kept.rules, items, "items")
    _refuse_no_categories("affinity", kept.affinity, items)
    for name in kept.numbers:
        dtype = items.schema[name]
        if not dtype.is_numeric():
            mend = "write one number a row" if dtype.is_nested() else "name it in affinity, or write it as a number"
            raise SettingsError(
                f"[features] numbers names {name!r}, a column of items that holds {dtype} values; {mend}"
            )
    numbers = [known_number(items[name]) for name in kept.numbers]
    others = [as_texts(items[name]) for name in kept.rules if name not in (*kept.affinity, *kept.numbers)]
    return items.select("item_id", *_versions(items), "available_at", *kept.affinity, *numbers, *others)


def kept_users(users: pl.DataFrame, kept: Kept) -> pl.DataFrame:
    """Bring a table of users to the columns of `Behaviour.users`, with the errors of `behaviour_of`."""
    _refuse_absent("users", kept.users, users, "users")
    _refuse_absent("rules", kept.user_rules, users, "users")
    _refuse_no_categories("users", kept.users, users)
    others = [as_texts(users[name]) for name in kept.user_rules if name not in kept.users]
    return users.select("user_id", *_versions(users), *kept.users, *others)


def _versions(table: pl.DataFrame) -> list[str]:
    """Name the column that tells versions apart, where there is one and it says anything."""
    return [name for name in table.columns if name == KNOWN_AT and table[name].null_count() < len(table)]


def _refuse_no_categories(setting: str, names: tuple[str, ...], table: pl.DataFrame) -> None:
    refuse_no_categories(setting, names, table.schema)
    refuse_lost_categories(setting, names, table)


def _refuse_absent(setting: str, names: tuple[str, ...], table: pl.DataFrame, called: str) -> None:
    place = "[rules]" if setting == "rules" else f"[features] {setting}"
    for name in names:
        if name not in table.columns:
            raise SettingsError(
                f"{place} names {name!r}, which is not a column of {called}; add it, with nulls where "
                f"it is not known; its columns are {', '.join(table.columns)}{did_you_mean(name, table.columns)}"
            )
