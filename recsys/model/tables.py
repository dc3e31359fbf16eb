"""The tables of a state folder, held against what is written there before anything reads them."""

from pathlib import Path

import polars as pl

from recsys.data.plain import in_utc
from recsys.data.tables import read_table
from recsys.errors import DataError, ModelError
from recsys.past.behaviour import CLICKED_AT, DONE, EVENT_ID, SHOWN, Behaviour, Kept
from recsys.past.blocks import map_table
from recsys.schema import KNOWN_AT, TIME, Stored, misfit

_IDS = Stored("integers or text", lambda dtype: dtype.is_signed_integer() or dtype in (pl.String, pl.Null))
"""A table without rows may have ids of no type; ids have 63 bits at most."""
_MOMENTS = Stored("moments", lambda dtype: dtype == TIME)
_FIXED = {
    "item_id": _IDS,
    "user_id": _IDS,
    "available_at": Stored("moments", lambda dtype: dtype == TIME, gaps=True),
    "timestamp": _MOMENTS,
    KNOWN_AT: _MOMENTS,
    "event": Stored("text", lambda dtype: dtype == pl.String),
    "value": Stored("numbers of 64 bits", lambda dtype: dtype == pl.Float64, gaps=True),
    "label": Stored("whole numbers", lambda dtype: dtype.is_integer(), gaps=True),
    "list_size": Stored("whole numbers of 32 bits", lambda dtype: dtype == pl.Int32),
    CLICKED_AT: Stored("moments", lambda dtype: dtype == TIME, gaps=True, absent=True),
    EVENT_ID: Stored(_IDS.words, _IDS.fits, gaps=True, absent=True),
}
_NUMBERS = Stored("numbers of 64 bits", lambda dtype: dtype == pl.Float64, gaps=True)
_CATEGORIES = Stored(
    "whole numbers or text",
    lambda dtype: dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null),
    gaps=True,
)


_MAPPED = ("showings", "events", "item_vectors")
"""Tables that are mapped, so that processes share them."""


def read_behaviour(folder: Path, kept: Kept) -> Behaviour:
    """Read the tables of a state folder.

    Parameters
    ----------
    folder
        A state folder.
    kept
        The columns that features are made of, beside those that every state has.

    Raises
    ------
    ModelError
        Naming folder, table and column, when a table is missing, is not Parquet, or holds other columns, kinds or
        values than are written.
    """
    columns = {
        "items": _versions("item_id") | _columns(("available_at",), kept.affinity),
        "users": _versions("user_id") | _columns((), kept.users),
        "showings": _columns((*SHOWN, CLICKED_AT), kept.context),
        "events": _columns((*DONE, EVENT_ID)),
    }
    columns["users"] |= dict.fromkeys(kept.user_rules, _CATEGORIES)
    columns["items"] |= dict.fromkeys(kept.rules, _CATEGORIES) | dict.fromkeys(kept.numbers, _NUMBERS)
    tables = {}
    for name, expected in columns.items():
        try:
            tables[name] = in_utc(map_table(folder / _file(name))) if name in _MAPPED else read_table(folder, name)
        except DataError as error:
            raise ModelError(f"{folder} is no whole state ({error}); copy the whole folder again") from error
        fault = misfit(tables[name], expected)
        if fault is not None:
            _refuse(folder, name, fault)
    behaviour = Behaviour(**tables)
    if not (behaviour.showings["list_size"] >= 1).all():
        _refuse(folder, "showings", "column list_size holds a list of less than one candidate")
    return behaviour


def refuse_mixed_ids(folder: Path, behaviour: Behaviour, vectors: pl.Series) -> None:
    """Refuse ids that are integers in one table of a state and text in another; `vectors` are the ids of the vectors.

    Raises
    ------
    ModelError
        Naming folder, tables and column.
    """
    for name in ("user_id", "item_id"):
        found = {table: of[name].dtype for table, of in vars(behaviour).items() if name in of.columns and len(of)}
        if name == "item_id" and len(vectors):
            found["item_vectors"] = vectors.dtype
        for table, dtype in found.items():
            first, known = next(iter(found.items()))
            if dtype.is_integer() != known.is_integer():
                _refuse(folder, table, f"column {name} holds {dtype} values where {first} holds {known}")


def _file(table: str) -> str:
    return f"{table}.arrow" if table in _MAPPED else f"{table}.parquet"


def _columns(fixed: tuple[str, ...], categories: tuple[str, ...] = ()) -> dict[str, Stored]:
    return {name: _FIXED[name] for name in fixed} | dict.fromkeys(categories, _CATEGORIES)


def _versions(name: str) -> dict[str, Stored]:
    return {name: _IDS, KNOWN_AT: Stored("moments", lambda dtype: dtype == TIME, gaps=True, absent=True)}


def _refuse(folder: Path, table: str, fault: str) -> None:
    raise ModelError(f"{folder} is no state of this model: {_file(table)}: {fault}; copy the whole folder again")
