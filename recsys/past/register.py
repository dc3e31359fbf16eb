"""What the tables of items and users say by code and moment: an id is what its last row known before says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import DataError
from recsys.past.kernel import below_each
from recsys.past.streams import LAST, Codes, Ints, pick
from recsys.past.vocabulary import Vocabularies, Vocabulary, in_one_type
from recsys.schema import KNOWN_AT, TIME

if TYPE_CHECKING:
    from recsys.past.behaviour import Behaviour

Kind = Literal["item", "user"]

ALWAYS = int(np.iinfo(np.int64).min)
"""Stands for the moment of a row that was always known."""

Changed = tuple[Ints, Ints]
"""Codes of ids, and from when on what is known of them is another one now, microseconds, each of shape [C]."""


@dataclass(frozen=True, eq=False)
class Entries:
    """One of the two tables, its v rows the versions of n ids.

    Attributes
    ----------
    table
        One row per version, as in `Behaviour`.
    order
        The rows of the table by code and, of each, by the moment they became known, shape [v].
    first
        Where in `order` those of each code begin and, last, v; shape [n + 1].
    since
        When each row of `order` became known, microseconds, `ALWAYS` where it always was, shape [v].
    attributes
        Per attribute its code for every row of the table, -1 where it is not known, shape [v].
    """

    table: pl.DataFrame
    order: Ints
    first: Ints
    since: Ints
    attributes: Mapping[str, Ints]

    @classmethod
    def of(cls, table: pl.DataFrame, names: tuple[str, ...], kind: Kind, vocabularies: Vocabularies) -> "Entries":
        """Encode a table; all its ids are known to the vocabulary."""
        codes, since = vocabularies[kind].encode(table[f"{kind}_id"]), _since(table)
        order = np.lexsort((since, codes)) if KNOWN_AT in table.columns else np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(vocabularies[kind]))
        first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return cls(table, order, first, since[order], {name: vocabularies[name].encode(table[name]) for name in names})

    def at(self, codes: Ints, moments: Ints) -> Ints:
        """Find what is known of ids before some moments: the one place where a version is chosen.

        Parameters
        ----------
        codes
            Codes of ids, -1 for unknown ones.
        moments
            Microseconds, of the same shape.

        Returns
        -------
        Rows of the table, -1 where nothing is known, in that shape.
        """
        if self._always is not None:
            return self._always[codes]
        asked = codes.ravel()
        places = self._below(asked, moments.ravel()) - 1
        return np.where(places >= self.first[asked], pick(self.order, places, -1), -1).reshape(codes.shape)

    @cached_property
    def firsts(self) -> Ints:
        """The row of the first version of every code, -1 where there is none, shape [n]."""
        rows, known = np.full(len(self.first) - 1, -1, dtype=np.int64), np.diff(self.first) > 0
        rows[known] = self.order[self.first[:-1][known]]
        return rows

    @cached_property
    def first_since(self) -> Ints:
        """When every code became known, `ALWAYS` where it always was or never did, shape [n]."""
        since, known = np.full(len(self.first) - 1, ALWAYS), np.diff(self.first) > 0
        since[known] = self.since[self.first[:-1][known]]
        return since

    @cached_property
    def versioned(self) -> npt.NDArray[np.bool_]:
        """Whether there is a row of every code that was not always known, shape [n]."""
        found = np.diff(self.first) > 0
        found[found] = self.since[self.first[1:][found] - 1] > ALWAYS
        return found

    @cached_property
    def keys(self) -> tuple[Ints, Ints]:
        """The code of every row of the table and when it became known, each of shape [v]."""
        codes, since = np.empty_like(self.order), np.empty_like(self.order)
        codes[self.order], since[self.order] = self._codes, self.since
        return codes, since

    @cached_property
    def _always(self) -> Ints | None:
        """The row of every code and, last, -1, where all rows were always known; else None."""
        if np.any(self.since > ALWAYS):
            return None
        rows, known = np.full(len(self.first), -1, dtype=np.int64), np.flatnonzero(np.diff(self.first))
        rows[known] = self.order[self.first[known + 1] - 1]
        return rows

    @cached_property
    def _codes(self) -> Ints:
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def _below(self, codes: Ints, moments: Ints) -> Ints:
        """Count the places in `order` of smaller codes, and of these codes before these moments."""
        if self._always is not None:
            return np.where(codes < 0, 0, self.first[np.where(moments > ALWAYS, codes + 1, codes)])
        return below_each(self.since, self.first, codes, moments)

    def rows_of(self, told: pl.DataFrame, codes: Ints) -> Ints:
        """Find the rows of the same ids, whose codes are given, and moments as told ones, -1 where there are none."""
        since = _since(told)
        places = self._below(codes, since)
        same = (pick(self._codes, places, -1) == codes) & (pick(self.since, places, 0) == since) & (codes >= 0)
        return np.where(same, pick(self.order, places, -1), -1)

    def by_then(self, told: pl.DataFrame, codes: Ints) -> Ints:
        """Find what is known of the ids of told rows, whose codes are given, by then; -1 for nothing."""
        return self.at(codes, _since(told) + 1)

    def padded(self, count: int) -> "Entries":
        """Know nothing of ids that came later, up to so many codes."""
        if count == len(self.first) - 1:
            return self
        later = np.full(count + 1 - len(self.first), len(self.order))
        return Entries(self.table, self.order, np.append(self.first, later), self.since, self.attributes)

    def fitted(self, told: pl.DataFrame) -> pl.DataFrame:
        """Bring told rows to the columns of the table, with `known_at` where one of both has it.

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
        table = dated(self.table) if KNOWN_AT in told.columns else self.table
        told = dated(told) if KNOWN_AT in table.columns else told
        return _plain_table(told.select(table.columns), self.attributes)

    def differ(self, told: pl.DataFrame, codes: Ints) -> npt.NDArray[np.bool_]:
        """Say which fitted rows, whose codes are given, -1 for new ids, are new or unlike those of the table."""
        rows = self.rows_of(told, codes)
        differ: npt.NDArray[np.bool_] = rows < 0
        known = np.flatnonzero(~differ)
        before = _plain_table(self.table[rows[known]], self.attributes)
        for name in (name for name in self.table.columns[1:] if name != KNOWN_AT):
            differ[known] |= before[name].ne_missing(told[name].gather(known)).to_numpy()
        return differ

    def replaced(self, told: pl.DataFrame, kind: Kind, vocabularies: Vocabularies) -> "Entries":
        """Put fitted rows in the place of those of the same id and moment, and new ones behind all."""
        entries, codes = self.padded(len(vocabularies[kind])), vocabularies[kind].encode(told[f"{kind}_id"])
        if told.is_empty():
            return entries
        since, before = _since(told), len(self.table)
        was = entries.rows_of(told, codes)
        new, known = np.flatnonzero(was < 0), np.flatnonzero(was >= 0)
        new = new[np.lexsort((since[new], codes[new]))]
        rows = np.arange(before + len(new))
        rows[was[known]] = before + len(new) + np.arange(len(known))
        table = dated(self.table) if KNOWN_AT in told.columns else self.table
        parts = [_plain_table(table, self.attributes), told[new], told[known]]
        attributes = {}
        for name, of in entries.attributes.items():
            given = vocabularies[name].encode(told[name])
            attributes[name] = np.concatenate([of, given[new], given[known]])[rows]
        places = entries._below(codes[new], since[new])
        return Entries(
            pl.concat(parts, how="vertical_relaxed")[rows],
            np.insert(entries.order, places, before + np.arange(len(new))),
            entries.first + np.searchsorted(codes[new], np.arange(len(entries.first))),
            np.insert(entries.since, places, since[new]),
            attributes,
        )

    def changed(self, after: "Entries", told: pl.DataFrame, codes: Ints) -> dict[str, Changed]:
        """Say for which ids of told rows, whose codes are given, each attribute is another one after them."""
        since, found = _since(told), {}
        was, now = self.padded(len(after.first) - 1).by_then(told, codes), after.rows_of(told, codes)
        for name, of in self.attributes.items():
            others = pick(of, was, -1) != after.attributes[name][now]
            if others.any():
                found[name] = (codes[others], since[others])
        return found


@dataclass(frozen=True, eq=False)
class Register:
    """Ids and values as codes, and what is known of items and users.

    Codes never change, and rows keep their places: later ids, values and versions come after those before.

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
        return cls.knowing(behaviour, found)

    @classmethod
    def knowing(cls, behaviour: "Behaviour", vocabularies: Vocabularies) -> "Register":
        """Know tables whose ids and values, and those of all behaviour, are collected already."""
        return cls(
            vocabularies,
            Entries.of(behaviour.items, behaviour.attributes, "item", vocabularies),
            Entries.of(behaviour.users, behaviour.user_attributes, "user", vocabularies),
        )

    def with_tail(self, tail: "Behaviour") -> "Register":
        """Know the ids and values of later rows, too."""
        found = {
            name: of.extended(*_columns(tail, name)) if _columns(tail, name) else of
            for name, of in self.vocabularies.items()
        }
        if all(of is self.vocabularies[name] for name, of in found.items()):
            return self
        return Register(found, self.items.padded(len(found["item"])), self.users.padded(len(found["user"])))

    def with_events(self, events: pl.DataFrame) -> "tuple[Register, Codes]":
        """Know the ids of later events, too; and give the codes of their users and items."""
        register, codes = self, self._ids(events)
        if any(np.any(of < 0) for of in codes.values()):
            found = dict(self.vocabularies)
            for name in codes:
                found[name] = found[name].extended(events[f"{name}_id"])
            register = Register(found, self.items.padded(len(found["item"])), self.users.padded(len(found["user"])))
            codes = register._ids(events)
        return register, codes

    def _ids(self, table: pl.DataFrame) -> dict[str, Ints]:
        """Give the codes of users and items, -1 where they are not known."""
        return {name: self.vocabularies[name].encode(table[f"{name}_id"]) for name in ("user", "item")}

    def told(self, items: pl.DataFrame, users: pl.DataFrame) -> "tuple[Register, dict[str, Changed]]":
        """Take new and changed rows, each version once, in the columns of the tables, see `Entries.fitted`.

        Returns
        -------
        The register that knows them, and per attribute the items or users for which it is another one now.
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
        of_items = self.items.changed(register.items, items, vocabularies["item"].encode(items["item_id"]))
        of_users = self.users.changed(register.users, users, vocabularies["user"].encode(users["user_id"]))
        return register, of_items | of_users

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the key columns that only requests have."""
        others = ("user", "item", *self.items.attributes, *self.users.attributes)
        return tuple(name for name in self.vocabularies if name not in others)

    def codes(self, table: pl.DataFrame, moments: Ints, ids: Codes | None = None) -> dict[str, Ints]:
        """Turn users, items, what was known of them before some moments, and context categories into codes.

        They are -1 where there is none; `ids` are those of users and items, where they are at hand.
        """
        found = self._ids(table) if ids is None else dict(ids)
        found |= self.attribute_codes(found, moments)
        for name in self.context:
            present = name in table.columns
            found[name] = self.vocabularies[name].encode(table[name]) if present else np.full(len(table), -1)
        return found

    def places(self, texts: pl.DataFrame) -> Ints:
        """Give for every row of the items table the row of its text, -1 where there is none.

        Texts are rows of `item_id` and perhaps `known_at`, see `recsys.data.texts.own_texts`.
        """
        known = np.flatnonzero(self.vocabularies["item"].encode(texts["item_id"]) >= 0)
        found = Entries.of(texts[known], (), "item", self.vocabularies)
        items, since = self.items.keys
        return pick(known, found.at(items, since + 1), -1)

    def attribute_codes(self, codes: Codes, moments: Ints) -> dict[str, Ints]:
        """Give the key columns of what was known before some moments of users and items, of which codes are given."""
        found: dict[str, Ints] = {}
        for kind, entries in (("item", self.items), ("user", self.users)):
            rows = entries.at(codes[kind], moments) if entries.attributes else codes[kind]
            found |= {name: pick(each, rows, -1) for name, each in entries.attributes.items()}
        return found

    def last_codes(self, items: Ints, happened: Ints) -> dict[str, Ints]:
        """Give the key columns of users' last clicks, whose item codes and moments are given."""
        rows = self.items.at(items, happened)
        return {f"{LAST}item": items} | {
            f"{LAST}{name}": pick(each, rows, -1) for name, each in self.items.attributes.items()
        }

    @cached_property
    def available_at(self) -> npt.NDArray[np.float64]:
        """When every item could first be shown, as its first version says, microseconds, NaN where it is not known."""
        moments = self.items.table["available_at"].dt.epoch("us").cast(pl.Float64).fill_null(np.nan).to_numpy()
        return pick(moments, self.items.firsts, np.nan)

    @cached_property
    def out_at(self) -> npt.NDArray[np.float64]:
        """From when on every item can be put into a list, microseconds: once it is out and known.

        NaN where nothing says, which counts as always, infinity where nothing is known of the item; shape [n].
        """
        since = self.items.first_since
        known = np.where(since > ALWAYS, since + 1.0, np.nan)  # from just after its moment on
        found: npt.NDArray[np.float64] = np.fmax(self.available_at, known)
        return np.where(self.items.firsts < 0, np.inf, found)


def dated(table: pl.DataFrame) -> pl.DataFrame:
    """Give a table of items or users the column `known_at`, null where it has none: always known."""
    if KNOWN_AT in table.columns:
        return table
    ids, *others = table.get_columns()
    return pl.DataFrame([ids, pl.Series(KNOWN_AT, [None] * len(table), TIME), *others])


def _since(table: pl.DataFrame) -> Ints:
    """Give when rows became known, microseconds."""
    if KNOWN_AT not in table.columns:
        return np.full(len(table), ALWAYS)
    return table[KNOWN_AT].dt.epoch("us").fill_null(ALWAYS).to_numpy()


def _columns(behaviour: "Behaviour", name: str) -> tuple[pl.Series, ...]:
    """Give the columns of behaviour that hold values of a key column."""
    if name in ("user", "item"):
        return behaviour.showings[f"{name}_id"], behaviour.events[f"{name}_id"]
    return (behaviour.showings[name],) if name in behaviour.context else ()


def _plain_table(table: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """Bring attributes to the types that a vocabulary holds, so that rows can be compared and put below others."""
    return table.with_columns(in_one_type(table[name]).alias(name) for name in names if table.schema[name] != pl.Null)
