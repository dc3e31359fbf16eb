"""The register: what the tables of items and users say, by code, and how it takes new and changed rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import DataError
from recsys.past.behaviour import Behaviour, as_text
from recsys.past.counters import Ints
from recsys.past.vocabulary import Vocabulary

Kind = Literal["item", "user"]

Vocabularies = Mapping[str, Vocabulary]


@dataclass(frozen=True, eq=False)
class Entries:
    """One of the two tables.

    Attributes
    ----------
    table
        One row per id, as in `Behaviour`.
    rows
        Row in the table of every code; its length where the id is not in it.
    attributes
        Per attribute its code for every code of an id, -1 where it is not known.
    """

    table: pl.DataFrame
    rows: Ints
    attributes: Mapping[str, Ints]

    @classmethod
    def of(cls, table: pl.DataFrame, names: tuple[str, ...], kind: Kind, vocabularies: Vocabularies) -> "Entries":
        """Encode a table."""
        places, count = vocabularies[kind].encode(table[f"{kind}_id"]), len(vocabularies[kind])
        rows = np.full(count, len(table), dtype=np.int64)
        rows[places] = np.arange(len(table))
        attributes = {}
        for name in names:
            attributes[name] = np.full(count, -1, dtype=np.int64)
            attributes[name][places] = vocabularies[name].encode(table[name])
        return cls(table, rows, attributes)

    def padded(self, count: int) -> "Entries":
        """Know nothing of ids that came later, up to so many codes."""
        if count == len(self.rows):
            return self
        later = np.ones(count - len(self.rows), dtype=np.int64)
        attributes = {name: np.concatenate([of, -later]) for name, of in self.attributes.items()}
        return Entries(self.table, np.concatenate([self.rows, len(self.table) * later]), attributes)

    def fitted(self, told: pl.DataFrame) -> pl.DataFrame:
        """Bring told rows to the columns of the table.

        Raises
        ------
        DataError
            When an attribute is a number here and a text there.
        """
        kind = self.table.columns[0].removesuffix("_id")
        for name in self.attributes:
            before, given = self.table.schema[name], told.schema[name]
            if pl.Null not in (before, given) and before.is_integer() != given.is_integer():
                raise DataError(
                    f"{kind}s hold {name} as {given}, and as {before} before; cast the column to the same kind"
                )
        return as_text(told.select(self.table.columns), tuple(self.attributes))

    def differ(self, told: pl.DataFrame, codes: Ints) -> npt.NDArray[np.bool_]:
        """Say which told rows, whose codes are given, -1 for new ids, are new or unlike those of the table."""
        rows = np.append(self.rows, len(self.table))[codes]
        differ = rows == len(self.table)
        known = np.flatnonzero(~differ)
        before = as_text(self.table[rows[known]], tuple(self.attributes))
        for name in self.table.columns[1:]:
            differ[known] |= before[name].ne_missing(told[name].gather(known)).to_numpy()
        return differ

    def replaced(self, told: pl.DataFrame, codes: Ints, vocabularies: Vocabularies) -> "Entries":
        """Put told rows, each with its code, in the place of those that were known, and new ones behind all."""
        before = len(self.table)
        fresh = self.rows[codes] == before
        new, known = np.flatnonzero(fresh), np.flatnonzero(~fresh)
        rows = np.where(self.rows == before, before + len(new), self.rows)
        rows[codes[new]] = before + np.arange(len(new))
        order = np.arange(before + len(new))
        order[rows[codes[known]]] = before + len(new) + np.arange(len(known))
        names = tuple(self.attributes)
        tables = [as_text(self.table, names), told[new], told[known]]
        table = pl.concat(tables, how="vertical_relaxed")[order]
        attributes = {name: of.copy() for name, of in self.attributes.items()}
        for name, of in attributes.items():
            of[codes] = vocabularies[name].encode(told[name])
        return Entries(table, rows, attributes)


@dataclass(frozen=True, eq=False)
class Register:
    """Ids and values as codes, and what is known of items and users.

    Codes never change: later ids and values get later codes.

    Attributes
    ----------
    vocabularies
        The values of every key column.
    items, users
        The two tables.
    """

    vocabularies: Vocabularies
    items: Entries
    users: Entries

    @classmethod
    def of(cls, behaviour: Behaviour) -> "Register":
        """Collect the ids and values of some tables."""
        tables = {"user": behaviour.users, "item": behaviour.items}
        found = {}
        for name in ("user", "item", *behaviour.context):
            listed = (tables[name][f"{name}_id"],) if name in tables else ()
            found[name] = Vocabulary.of(*_columns(behaviour, name), *listed)
        found |= {name: Vocabulary.of(behaviour.items[name]) for name in behaviour.attributes}
        found |= {name: Vocabulary.of(behaviour.users[name]) for name in behaviour.user_attributes}
        return cls(
            found,
            Entries.of(behaviour.items, behaviour.attributes, "item", found),
            Entries.of(behaviour.users, behaviour.user_attributes, "user", found),
        )

    def with_tail(self, tail: Behaviour) -> "Register":
        """Know the ids and values of later rows, too."""
        found = {
            name: of.extended(*_columns(tail, name)) if _columns(tail, name) else of
            for name, of in self.vocabularies.items()
        }
        return Register(found, self.items.padded(len(found["item"])), self.users.padded(len(found["user"])))

    def told(self, items: pl.DataFrame | None, users: pl.DataFrame | None) -> "tuple[Register, dict[str, Ints]]":
        """Take new and changed rows, see `Entries.fitted`.

        Returns
        -------
        The register that knows them, and per attribute the codes of items or users for which it is another one now.
        """
        register, changed = self, dict[str, Ints]()
        for kind, told in (("item", items), ("user", users)):
            if told is not None:
                register = register._told(kind, told)  # type: ignore[arg-type]
        for before, after in ((self.items, register.items), (self.users, register.users)):
            for name, of in before.attributes.items():
                others = np.flatnonzero(of != after.attributes[name][: len(of)])
                if len(others):
                    changed[name] = others
        return register, changed

    def _told(self, kind: Kind, told: pl.DataFrame) -> "Register":
        entries = self.items if kind == "item" else self.users
        names = {f"{kind}_id": kind} | {name: name for name in entries.attributes}
        found = {name: self.vocabularies[name].extended(told[column]) for column, name in names.items()}
        vocabularies = {**self.vocabularies, **found}
        count, codes = len(vocabularies[kind]), vocabularies[kind].encode(told[f"{kind}_id"])
        entries = entries.padded(count).replaced(told, codes, vocabularies)
        if kind == "item":
            return replace(self, vocabularies=vocabularies, items=entries)
        return replace(self, vocabularies=vocabularies, users=entries)

    @cached_property
    def available_at(self) -> npt.NDArray[np.float64]:
        """When every item could first be shown, microseconds, NaN where it is not known."""
        moments = self.items.table["available_at"].dt.epoch("us").cast(pl.Float64).fill_null(np.nan).to_numpy()
        return np.append(moments, np.nan)[self.items.rows]


def _columns(behaviour: Behaviour, name: str) -> tuple[pl.Series, ...]:
    """Give the columns of behaviour that hold values of a key column."""
    if name in ("user", "item"):
        return behaviour.showings[f"{name}_id"], behaviour.events[f"{name}_id"]
    return (behaviour.showings[name],) if name in behaviour.context else ()
