"""Ids and attribute values as small integers, and what the tables of items and users say by these."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import DataError
from recsys.past.counters import Ints, search

if TYPE_CHECKING:
    from recsys.past.behaviour import Behaviour

FEW = 10_000
"""Up to so many strings are searched one by one; for more of them, a join over the whole vocabulary is faster."""

SPARSE = 16
"""Integers are looked up in a table of all numbers between them unless it were so many times as long as they are."""


@dataclass(frozen=True)
class Vocabulary:
    """Distinct values in ascending order; the code of a value is its place, unless `codes` says another one.

    Attributes
    ----------
    values
        The values, without nulls, sorted, shape [n]. Integers of any width are held as Int64.
    later
        Values that came later, whose codes come after those of `values`; None when there are none.
    codes
        Code of each of `values`, shape [n], where they came in several steps; None where it is the place.
    """

    values: pl.Series
    later: "Vocabulary | None" = None
    codes: Ints | None = None

    @classmethod
    def of(cls, *columns: pl.Series) -> "Vocabulary":
        """Collect the distinct values of columns that hold the same kind of value.

        Raises
        ------
        DataError
            When one column holds integers and another one strings.
        """
        common = [_plain(column) for column in columns if column.null_count() < len(column)]
        if not common:
            return cls(pl.Series("value", [], dtype=pl.Int64))
        name, dtype = columns[0].name, common[0].dtype
        for column in common:
            _same_kind(name, dtype, column.dtype)
        return cls(pl.concat(common).drop_nulls().unique().sort())

    def __len__(self) -> int:
        """Count the distinct values."""
        return len(self.values) + (0 if self.later is None else len(self.later))

    def extended(self, *columns: pl.Series) -> "Vocabulary":
        """Add the values of columns that are not known yet; the codes of all others stay.

        Raises
        ------
        DataError
            When one column holds integers and another one strings.
        """
        new = Vocabulary.of(*columns).values.alias(columns[0].name)
        new = new.filter(pl.Series(self.encode(new) < 0))
        return self._followed_by(Vocabulary(new.alias("value"))) if len(new) else self

    def _followed_by(self, new: "Vocabulary") -> "Vocabulary":
        return Vocabulary(self.values, new if self.later is None else self.later._grown(new), self.codes)

    def _grown(self, new: "Vocabulary") -> "Vocabulary":
        """Append values; what was appended before is merged so that each part is more than twice as large as the next.

        Thousands of steps so leave a few parts to look in.
        """
        grown = self._followed_by(new)
        rest = grown.later
        assert rest is not None
        if rest.later is not None or len(self.values) > 2 * len(rest.values):
            return grown
        values = pl.concat([self.values, rest.values])
        order = values.arg_sort().to_numpy()
        return Vocabulary(values.gather(order), codes=np.concatenate([part for _, part in grown._parts()])[order])

    @cached_property
    def order(self) -> Ints:
        """Place of every code in the ascending order of all values, shape [n]."""
        places = np.arange(len(self))
        parts = [part for part in self._parts() if len(part[0])]  # values of no kind cannot stand beside others
        if parts:
            values, codes = pl.concat([values for values, _ in parts]), np.concatenate([codes for _, codes in parts])
            places[codes[values.arg_sort().to_numpy()]] = np.arange(len(self))
        return places

    def _parts(self, start: int = 0) -> list[tuple[pl.Series, Ints]]:
        """Give the values of every part with their codes, those of this one counted from `start`."""
        own = (self.values, start + (np.arange(len(self.values)) if self.codes is None else self.codes))
        return [own] if self.later is None else [own, *self.later._parts(start + len(self.values))]

    def encode(self, column: pl.Series) -> Ints:
        """Turn values into codes, shape [len(column)]; unknown values and nulls become -1.

        Raises
        ------
        DataError
            When the column holds integers and the vocabulary strings, or the other way round.
        """
        codes = self._places(column)
        if self.codes is not None:
            codes = np.append(self.codes, -1)[codes]
        if self.later is None:
            return codes
        newer = self.later.encode(column)
        return np.where(newer >= 0, newer + len(self.values), codes)

    def _places(self, column: pl.Series) -> Ints:
        """Find values among `values`, -1 where they are not."""
        plain = _plain(column)
        if len(self.values) == 0 or plain.null_count() == len(plain):
            return np.full(len(plain), -1, dtype=np.int64)
        _same_kind(column.name, self.values.dtype, plain.dtype)
        if plain.dtype == pl.Int64:
            wanted, known = plain.fill_null(0).to_numpy(), plain.is_not_null().to_numpy()
            if self._table is not None:
                known = known & (wanted >= self._numbers[0]) & (wanted <= self._numbers[-1])
                return np.where(known, self._table[np.where(known, wanted, self._numbers[0]) - self._numbers[0]], -1)
            places = np.minimum(search(self._numbers, wanted), len(self.values) - 1)
            return np.where(known & (self._numbers[places] == wanted), places, -1)
        if len(plain) < FEW:
            filled = plain.fill_null("") if plain.null_count() else plain
            places = np.minimum(self.values.search_sorted(filled).to_numpy(), len(self.values) - 1)
            same = (self.values.gather(places) == filled).to_numpy()
            if filled is not plain:
                same = same & plain.is_not_null().to_numpy()
            return np.where(same, places.astype(np.int64), -1)
        table = pl.DataFrame({"value": self.values, "code": np.arange(len(self.values), dtype=np.int64)})
        joined = plain.to_frame().join(table, on="value", how="left", maintain_order="left")
        return joined["code"].fill_null(-1).to_numpy()

    @cached_property
    def _numbers(self) -> Ints:
        return self.values.to_numpy()

    @cached_property
    def _table(self) -> Ints | None:
        """Code of every number from the smallest to the largest, -1 where there is none; None where most have none."""
        span = int(self._numbers[-1]) - int(self._numbers[0]) + 1
        if span > SPARSE * len(self._numbers):
            return None
        table = np.full(span, -1, dtype=np.int64)
        table[self._numbers - self._numbers[0]] = np.arange(len(self._numbers))
        return table


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
        return _plain_table(told.select(self.table.columns), self.attributes)

    def differ(self, told: pl.DataFrame, codes: Ints) -> npt.NDArray[np.bool_]:
        """Say which told rows, whose codes are given, -1 for new ids, are new or unlike those of the table."""
        rows = np.append(self.rows, len(self.table))[codes]
        differ: npt.NDArray[np.bool_] = rows == len(self.table)
        known = np.flatnonzero(~differ)
        before = _plain_table(self.table[rows[known]], self.attributes)
        for name in self.table.columns[1:]:
            differ[known] |= before[name].ne_missing(told[name].gather(known)).to_numpy()
        return differ

    def replaced(self, told: pl.DataFrame, kind: Kind, vocabularies: Vocabularies) -> "Entries":
        """Put told rows in the place of those that were known, and new ones behind all."""
        entries, codes = self.padded(len(vocabularies[kind])), vocabularies[kind].encode(told[f"{kind}_id"])
        if told.is_empty():
            return entries
        before = len(self.table)
        fresh = entries.rows[codes] == before
        new, known = np.flatnonzero(fresh), np.flatnonzero(~fresh)
        rows = np.where(entries.rows == before, before + len(new), entries.rows)
        rows[codes[new]] = before + np.arange(len(new))
        order = np.arange(before + len(new))
        order[rows[codes[known]]] = before + len(new) + np.arange(len(known))
        parts = [_plain_table(self.table, self.attributes), told[new], told[known]]
        table = pl.concat(parts, how="vertical_relaxed")[order]
        attributes = {name: of.copy() for name, of in entries.attributes.items()}
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
    def of(cls, behaviour: "Behaviour") -> "Register":
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

    def with_tail(self, tail: "Behaviour") -> "Register":
        """Know the ids and values of later rows, too."""
        found = {
            name: of.extended(*_columns(tail, name)) if _columns(tail, name) else of
            for name, of in self.vocabularies.items()
        }
        return Register(found, self.items.padded(len(found["item"])), self.users.padded(len(found["user"])))

    def told(self, items: pl.DataFrame, users: pl.DataFrame) -> "tuple[Register, dict[str, Ints]]":
        """Take new and changed rows, each id once, in the columns of the tables, see `Entries.fitted`.

        Returns
        -------
        The register that knows them, and per attribute the codes of items or users for which it is another one now.
        """
        vocabularies = dict(self.vocabularies)
        for kind, told, entries in (("item", items, self.items), ("user", users, self.users)):
            for name, column in ((kind, f"{kind}_id"), *((name, name) for name in entries.attributes)):
                vocabularies[name] = vocabularies[name].extended(told[column])
        register = Register(
            vocabularies,
            self.items.replaced(items, "item", vocabularies),
            self.users.replaced(users, "user", vocabularies),
        )
        changed = {}
        for before, after in ((self.items, register.items), (self.users, register.users)):
            for name, of in before.attributes.items():
                others = np.flatnonzero(of != after.attributes[name][: len(of)])
                if len(others):
                    changed[name] = others
        return register, changed

    @cached_property
    def available_at(self) -> npt.NDArray[np.float64]:
        """When every item could first be shown, microseconds, NaN where it is not known."""
        moments = self.items.table["available_at"].dt.epoch("us").cast(pl.Float64).fill_null(np.nan).to_numpy()
        return np.append(moments, np.nan)[self.items.rows]


def _columns(behaviour: "Behaviour", name: str) -> tuple[pl.Series, ...]:
    """Give the columns of behaviour that hold values of a key column."""
    if name in ("user", "item"):
        return behaviour.showings[f"{name}_id"], behaviour.events[f"{name}_id"]
    return (behaviour.showings[name],) if name in behaviour.context else ()


def _plain_table(table: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """Bring attributes to the types that a vocabulary holds, so that rows can be compared and put below others."""
    return table.with_columns(_plain(table[name]).alias(name) for name in names if table.schema[name] != pl.Null)


def _plain(column: pl.Series) -> pl.Series:
    """Bring a column to one of the two types that a vocabulary holds: integers or strings."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False).alias("value")  # beyond 63 bits nothing is known
    if column.dtype in (pl.Boolean, pl.Categorical, pl.Enum) or column.dtype == pl.String:
        return column.cast(pl.String).alias("value")
    if column.dtype == pl.Null:
        return column.cast(pl.Int64).alias("value")
    raise DataError(
        f"column {column.name} holds {column.dtype} values; ids and attributes are integers or strings: cast it first"
    )


def _same_kind(name: str, known: pl.DataType, given: pl.DataType) -> None:
    if known != given:
        raise DataError(
            f"column {name} holds {given} values here and {known} values elsewhere; "
            "write the same ids as integers or as strings in every table"
        )
