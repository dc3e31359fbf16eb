"""What is asked of columns of requests before features are made of them."""

from collections.abc import Sequence

import polars as pl

from recsys.data.labels import refuse_worthless
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.features.settings import FeatureSettings
from recsys.past.behaviour import Behaviour, refuse_no_categories
from recsys.schema import AFTER_THE_LIST


def check_context(
    candidates: pl.DataFrame, settings: FeatureSettings, recorded_after: tuple[str, ...], called: str = "candidates"
) -> None:
    """Refuse context columns and scores that are missing, named as a feature, or recorded with or after the list.

    Raises
    ------
    SettingsError
        Naming the column and what to do.
    """
    for setting, names in (("context", settings.context), ("scores", settings.scores)):
        for name in names:
            if name in AFTER_THE_LIST or name in recorded_after:
                declared = ", as its importer declares" if name in recorded_after else ""
                raise SettingsError(
                    f"[features] {setting} names {name!r}, which is recorded with or after the list{declared}, so it "
                    "would tell the outcome; remove it"
                )
            if name not in candidates.columns:
                raise SettingsError(
                    f"[features] {setting} names {name!r}, which is not a column of the {called}; add it, with nulls "
                    f"where it is not known; their columns are {', '.join(candidates.columns)}"
                )
    for name in settings.scores:
        if not candidates.schema[name].is_numeric() and candidates.schema[name] != pl.Null:
            nested = candidates.schema[name].is_nested()
            mend = "write one number a row" if nested else "write them as numbers, or name the column in context"
            raise SettingsError(
                f"[features] scores names {name!r}, which holds {candidates.schema[name]} values; {mend}"
            )
    refuse_no_categories("context", settings.context, candidates.schema)


def check_query(requests: pl.DataFrame, column: str, recorded_after: Sequence[str]) -> None:
    """Refuse a query column that is missing, holds no texts, or was recorded with or after the list.

    Parameters
    ----------
    requests
        Requests or candidates.
    column
        Name of the column; empty when requests have no text.
    recorded_after
        Further columns that were recorded after the list.

    Raises
    ------
    SettingsError
        Naming the column and what to do.
    """
    if not column:
        return
    if column in AFTER_THE_LIST or column in recorded_after:
        declared = ", as its importer declares" if column in recorded_after else ""
        raise SettingsError(
            f"[text] query names {column!r}, which is recorded with or after the list{declared}, so it would tell the "
            "outcome; name another column, or none"
        )
    if column not in requests.columns:
        raise SettingsError(
            f"[text] query names {column!r}, which is not a column of the requests; add it, with nulls where a request "
            f"has no text; their columns are {', '.join(requests.columns)}"
        )
    kind = requests.schema[column]
    if kind not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise SettingsError(f"[text] query names {column!r}, which holds {kind}, not texts; name a column of strings")


def check_events(dataset: Dataset, settings: FeatureSettings) -> None:
    """Refuse event kinds that never occur: most likely they are misspelt.

    Raises
    ------
    SettingsError
        Naming the kind and those that occur, or one whose values are read and that has none.
    """
    kinds = dataset.events["event"].unique().sort().to_list()
    for kind in settings.kinds:
        if kind not in kinds:
            raise SettingsError(f"[features] counts {kind!r}, an event that never occurs; events holds {kinds}")
    for kind in settings.values:
        refuse_worthless(dataset.events, "[features] values", kind)


def check_id_types(frame: pl.DataFrame, behaviour: Behaviour, called: str = "candidates") -> None:
    """Refuse rows whose ids are of another kind than those of the model's data.

    Raises
    ------
    DataError
        Naming the column and both types.
    """
    for column in ("user_id", "item_id"):
        known = behaviour.showings.schema[column]
        given = frame.schema.get(column, pl.Null())
        nothing = column not in frame.columns or frame[column].null_count() == len(frame)
        if known.is_integer() != given.is_integer() and not nothing:
            raise DataError(
                f"{called} hold {column} as {given}, the model's data as {known}; cast the column to the same kind"
            )
