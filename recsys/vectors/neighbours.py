"""The items with the nearest texts among those that were there before: found in blocks, kept with the vectors."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.compiled import borrowing
from recsys.errors import ModelError
from recsys.files import read_json, write_json
from recsys.past.blocks import Blocks, Writer
from recsys.past.streams import Ints, Singles, pick
from recsys.progress import progress

if TYPE_CHECKING:
    from recsys.past.log import Log
    from recsys.vectors.item_vectors import ItemVectors

COUNT = 10
"""How many neighbours an item has, at most."""

FILE = "neighbours.numbers"

_ABOUT = "neighbours.json"

_AGE = 2**16
"""Dated items of an age: neighbours are looked for among those of an item's own age and of the one before it."""

_ROWS, _COLUMNS = 512, 8192
"""Rows whose products with so many others are held at once."""

_DIGITS = 8
"""Hexadecimal digits of a hash that tell items of one date apart."""

_NONE, _UNKNOWN = -1, -2
"""What stands where there is no further neighbour, and where neighbours were not looked for."""


class Ages(NamedTuple):
    """Ages of the catalogue of a model: each begins with a dated item, and holds what came until the next one.

    They bound what is compared with an item, so that a catalogue ten times as large takes ten times as long. Of items
    of one date the hash of their text says which is first, so that one date may be cut, too.

    Attributes
    ----------
    moments, hashes
        `available_at` of the first item of each age but the first, microseconds, ascending, and the hash of its text.
    """

    moments: npt.NDArray[np.float64]
    hashes: Ints

    @classmethod
    def of(cls, moments: npt.NDArray[np.float64], hashes: Ints) -> "Ages":
        """Cut dated items, each of shape [D], into ages of so many."""
        order = np.lexsort((hashes, moments))[_AGE::_AGE]
        return cls(moments[order], hashes[order])

    def find(self, moments: npt.NDArray[np.float64], hashes: Ints) -> Ints:
        """Give the ages of dated items, each of shape [D]."""
        found = np.zeros(len(moments), dtype=np.int64)
        for moment, hashed in zip(self.moments, self.hashes, strict=True):
            found += (moments > moment) | ((moments == moment) & (hashes >= hashed))
        return found


@dataclass(eq=False)
class Neighbours:
    """The nearest older items of every item.

    Older are items whose `available_at` is not after the item's own, so that the answer stays when newer items come.
    An item without `available_at` has no neighbours and is nobody's: nothing tells what was there before it. Of an item
    in versions the first one counts, and only items that became known no later are older. Where a catalogue is large,
    see `Ages`, those that came long before are not compared.

    Attributes
    ----------
    vectors
        Vectors of the items, of n rows.
    places
        Row of them of every row of the log's items table, -1 where there is none.
    codes
        Item code of each row, -1 where it is not that of an item's first version, shape [n].
    available, since
        When the item was out and when it became known, microseconds, each of shape [n].
    later
        Of two equally near items that with the larger one is nearer, shape [n].
    ages
        Of the catalogue.
    found, similarity
        Rows of the neighbours, nearest first, -1 where there is none, and dot products with them, 0 there, each of
        shape [n, `COUNT`]; -2 where nobody looked yet.
    """

    vectors: "ItemVectors"
    places: Ints
    codes: Ints
    available: npt.NDArray[np.float64]
    since: Ints
    later: Ints
    ages: Ages
    found: Ints = field(repr=False)
    similarity: Singles = field(repr=False)

    @classmethod
    def of(
        cls, log: "Log", vectors: "ItemVectors", ages: Ages | None = None, places: Ints | None = None
    ) -> "Neighbours":
        """Look for nobody yet.

        Parameters
        ----------
        log
            Knows `available_at`.
        vectors
            Vectors of the items.
        ages
            Of the catalogue that the model learnt from; made of this one when left out.
        places
            Where they are known, see `recsys.past.register.Register.places`.
        """
        count, codes = len(vectors), np.full(len(vectors), -1)
        places = log.register.places(vectors.texts) if places is None else places
        first = pick(places, log.register.items.firsts, -1)
        codes[first[first >= 0]] = np.flatnonzero(first >= 0)
        available = pick(log.available_at, codes, np.nan)
        since = pick(log.register.items.first_since, codes, 0)
        later = len(log.items) - 1 - pick(log.items.order, codes, -1)  # of two equally near, the smaller id
        if ages is None:
            dated = np.flatnonzero(~np.isnan(available))
            ages = Ages.of(available[dated], _hashed(vectors, dated) if len(dated) > _AGE else np.zeros_like(dated))
        nobody, nothing = np.full((count, COUNT), _UNKNOWN), np.zeros((count, COUNT), np.float32)
        return cls(vectors, places, codes, available, since, later, ages, nobody, nothing)

    def items(self, rows: Ints) -> tuple[Ints, Singles]:
        """Give neighbours that were found.

        Parameters
        ----------
        rows
            Rows of the vectors, -1 for unknown items, shape [U].

        Returns
        -------
        Item codes in the log, nearest first, -1 where there is none, and dot products, 0 there, each [U, `COUNT`].
        """
        items, similarity = np.full((len(rows), COUNT), -1), np.zeros((len(rows), COUNT), np.float32)
        known = pick(self.codes, rows, -1) >= 0
        items[known] = pick(self.codes, self.found[rows[known]], -1)
        similarity[known] = self.similarity[rows[known]]
        return items, similarity

    def find(self, rows: Ints | None = None) -> None:
        """Look for the neighbours of some rows, -1 for unknown ones, or of all, where nobody looked yet.

        Who shares these with other threads has looked for all before.
        """
        asked = np.arange(len(self.codes)) if rows is None else rows
        waiting = pick(self.found[:, 0], asked, _NONE) == _UNKNOWN
        if not waiting.any():
            return
        wanted, dated = np.unique(asked[waiting]), (self.codes >= 0) & ~np.isnan(self.available)
        self.found[wanted[~dated[wanted]]] = _NONE
        wanted = wanted[dated[wanted]]
        wanted = wanted[np.argsort(self.available[wanted], kind="stable")]
        ages = self._age_of[wanted]
        with progress(len(wanted), "text neighbours", "item") as advance:
            for age in np.unique(ages):
                among = self._dated[np.isin(self._age_of[self._dated], (age - 1, age))]
                self._search(wanted[ages == age], among, advance)

    def _search(self, rows: Ints, among: Ints, advance: Callable[[int], None]) -> None:
        """Look for the neighbours of some rows among others, both in order of their dates."""
        history, dates = self.vectors.history, self.available[among]
        for begin in range(0, len(rows), _ROWS):
            block = rows[begin : begin + _ROWS]
            own, found = history[block], np.full((len(block), COUNT), _NONE)
            similarity = np.zeros((len(block), COUNT), np.float32)
            older = int(np.searchsorted(dates, self.available[block[-1]], side="right"))
            for start in range(0, older, _COLUMNS):
                others = among[start : min(start + _COLUMNS, older)]
                products = own @ history[others].T
                keep_nearest(products, block, others, self.available, self.since, self.later, found, similarity)
            self.similarity[block], self.found[block] = similarity, found
            advance(len(block))

    @cached_property
    def _dated(self) -> Ints:
        """Rows of dated items, in order of their dates."""
        dated = np.flatnonzero((self.codes >= 0) & ~np.isnan(self.available))
        return dated[np.argsort(self.available[dated], kind="stable")]

    @cached_property
    def _age_of(self) -> Ints:
        """The age of each row, 0 for those without a date too, shape [n]."""
        ages, dated = np.zeros(len(self.codes), dtype=np.int64), self._dated
        if len(self.ages.moments):
            ages[dated] = self.ages.find(self.available[dated], _hashed(self.vectors, dated))
        return ages

    def carried_to(self, log: "Log", vectors: "ItemVectors", known: "Log") -> "Neighbours":
        """Keep what today's catalogue does not change.

        Parameters
        ----------
        log, vectors
            Of today.
        known
            The log of these neighbours.
        """
        new, places = Neighbours.of(log, vectors, self.ages), np.full(len(self.codes), -1)
        held, rows = np.flatnonzero(self.codes >= 0), np.full(len(known.items), -1)
        rows[self.codes[held]] = held
        own = np.flatnonzero(new.codes >= 0)
        was = pick(rows, known.items.encode(vectors.item_ids.gather(own)), -1)
        own, was = own[was >= 0], was[was >= 0]
        same = (vectors.text_hashes.gather(own) == self.vectors.text_hashes.gather(was)).to_numpy()
        places[was[same]] = own[same]
        return new._after(self, places)

    def told(self, log: "Log", vectors: "ItemVectors", places: Ints) -> "Neighbours":
        """Know new and changed items, see `of`; rows of vectors were appended only. Neighbours of all are found."""
        told = Neighbours.of(log, vectors, self.ages, places)._after(self, np.arange(len(self.codes)))
        told.find()
        return told

    def _after(self, before: "Neighbours", places: Ints) -> "Neighbours":
        """Take the lists of rows before, which stand at some places now, -1 for nowhere, unless others change them."""
        old = np.flatnonzero((before.codes >= 0) & (pick(self.codes, places, -1) >= 0))
        new = places[old]
        dates = (before.available[old], self.available[new])
        same = (dates[0] == dates[1]) | (np.isnan(dates[0]) & np.isnan(dates[1]))
        same &= before.since[old] == self.since[new]
        old, new = old[same], new[same]
        stay = np.full(len(before.codes) + 2, _UNKNOWN)  # -1 and -2, which are no rows, find the last elements
        stay[-1], stay[old] = _NONE, new
        found = stay[before.found[old]]
        lost = (found == _UNKNOWN).any(axis=1)
        new, found, similarity = new[~lost], found[~lost], before.similarity[old[~lost]]
        self.found[new], self.similarity[new] = found, similarity
        came = np.ones(len(self.codes), dtype=bool)
        came[places[old]] = False
        self._forget_entered(new, np.flatnonzero(came & (self.codes >= 0) & ~np.isnan(self.available)))
        return self

    def _forget_entered(self, rows: Ints, came: Ints) -> None:
        """Forget the lists of some rows that others, which came, may enter."""
        if not len(came) or not len(rows):
            return
        rows = rows[self.available[rows] >= self.available[came].min()]
        history, ages = self.vectors.history, self._age_of
        for begin in range(0, len(rows), _ROWS):
            block = rows[begin : begin + _ROWS]
            own, enters = history[block], np.zeros(len(block), dtype=bool)
            farthest = np.where(self.found[block, -1] >= 0, self.similarity[block, -1], -np.inf)
            for start in range(0, len(came), _COLUMNS):
                others = came[start : start + _COLUMNS]
                near = own @ history[others].T >= farthest[:, None]
                near &= self.available[block][:, None] >= self.available[others]
                near &= (ages[block][:, None] - ages[others]) <= 1
                enters |= near.any(axis=1)
            self.found[block[enters], 0] = _UNKNOWN

    def save(self, folder: Path) -> None:
        """Write what was found of all, and the ages, into a folder."""
        self.find()
        writer = Writer(folder / FILE)
        writer.add(self.found.ravel())
        writer.add(self.similarity.ravel().view(np.int64))
        writer.close()
        ages = {"moments": self.ages.moments.tolist(), "hashes": self.ages.hashes.tolist()}
        write_json(folder / _ABOUT, ages)

    @classmethod
    def load(cls, folder: Path, log: "Log", vectors: "ItemVectors") -> "Neighbours":
        """Read what `save` wrote of these vectors.

        Raises
        ------
        ModelError
            When it was changed, or does not fit them.
        """
        path, about = folder / FILE, read_json(folder / _ABOUT, "copy the whole folder again")
        numbers, room = Blocks.mapped(path, verify_all=True).data, len(vectors) * COUNT
        try:
            ages = Ages(np.array(about["moments"], dtype=np.float64), np.array(about["hashes"], dtype=np.int64))
            if ages.moments.ndim != 1 or ages.moments.shape != ages.hashes.shape or len(numbers) != room + room // 2:
                raise ValueError(f"{len(numbers)} numbers for {len(vectors)} items")
            found = numbers[:room].reshape(len(vectors), COUNT)
            if found.min(initial=0) < _NONE or found.max(initial=0) >= max(1, len(vectors)):
                raise ValueError("a neighbour is no item")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            said = f"{path} does not fit the item vectors ({type(error).__name__}: {error})"
            raise ModelError(f"{said}; copy the whole folder again") from error
        similarity = numbers[room:].view(np.float32).reshape(len(vectors), COUNT)
        return replace(cls.of(log, vectors, ages), found=found, similarity=similarity)


@borrowing
def keep_nearest(
    products: Singles,
    rows: Ints,
    others: Ints,
    available: npt.NDArray[np.float64],
    since: Ints,
    later: Ints,
    found: Ints,
    similarity: Singles,
) -> None:
    """Put others among the nearest of some rows, best first; -1 where there is none yet.

    Parameters
    ----------
    products
        Of each row with each other one, shape [B, C].
    rows, others
        Rows of the vectors, of shapes [B] and [C].
    available, since, later
        See `Neighbours`.
    found, similarity
        The nearest so far, shape [B, K].
    """
    count = found.shape[1]
    for place in range(len(rows)):
        row = rows[place]
        for which in range(len(others)):
            product, other = products[place, which], others[which]
            if found[place, count - 1] >= 0 and product < similarity[place, count - 1]:
                continue
            if other == row or not available[other] <= available[row] or since[other] > since[row]:
                continue
            slot = count
            while slot > 0:
                held = found[place, slot - 1]
                nearer = product > similarity[place, slot - 1]
                if held >= 0 and not nearer and (product < similarity[place, slot - 1] or later[other] < later[held]):
                    break
                slot -= 1
            for behind in range(count - 1, slot, -1):
                found[place, behind] = found[place, behind - 1]
                similarity[place, behind] = similarity[place, behind - 1]
            if slot < count:
                found[place, slot], similarity[place, slot] = other, product


def _hashed(vectors: "ItemVectors", rows: Ints) -> Ints:
    """Give some rows numbers by the hashes of their texts."""
    digits = vectors.text_hashes.gather(rows).str.head(_DIGITS)
    return digits.str.to_integer(base=16, strict=False).fill_null(-1).to_numpy().astype(np.int64)
