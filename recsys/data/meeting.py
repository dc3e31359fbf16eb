"""Ids that should meet: whether those of one table are those of another, and what keeps them apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import polars as pl

from recsys.data.faults import Fault, cut
from recsys.errors import DataError

Difference = Literal["blanks", "case", "unicode", "zeros", "decimals"]
"""What two spellings of one id may differ in: blanks around it, capitals, composed letters, zeros before it, `.0`."""

DIFFERENCES: tuple[Difference, ...] = get_args(Difference)

_BLANK = r"[\s\x{200b}-\x{200d}\x{2060}\x{feff}]"
"""Blanks, and what takes no room at all, as copied text and the first cell of a file hold it."""

_PAIRS = (
    ("item_id", "events", "items"),
    ("item_id", "requests", "items"),
    ("item_id", "candidates", "items"),
    ("user_id", "requests", "events"),
    ("user_id", "requests", "users"),
    ("user_id", "events", "users"),
)
"""Tables whose ids must meet: those of the first in the second."""

_MANY, _MOST = 0.05, 0.9
"""From the first share of the ids that do not meet on, it is no chance; of these, the fewest differences mend most."""

_FEW = 0.5
"""Below this share of the smaller table's ids that meet, nobody can have meant it."""


@dataclass(frozen=True)
class Meeting:
    """How the ids of one table meet those of another.

    Attributes
    ----------
    met, ids
        How many distinct ids the other table holds, and of how many.
    would
        How many of the others it would hold but for `differences`.
    differences
        What keeps them apart; empty when nothing that is known of does.
    pairs
        Up to three of them as they are spelt here and there.
    """

    met: int
    ids: int
    would: int = 0
    differences: tuple[Difference, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


def meet(ids: pl.Series, others: pl.Series) -> Meeting:
    """Compare two columns of ids, as they are spelt.

    The differences are the fewest that make nearly all of those meet that all differences do.
    """
    own, known = _spelt(ids), _spelt(others)
    unmet = own.filter(~own.is_in(known.implode()))
    none = Meeting(len(own) - len(unmet), len(own))
    if unmet.is_empty() or known.is_empty():
        return none
    every = _would(unmet, known, DIFFERENCES, none)
    if every.would < _MANY * len(unmet):
        return none
    smaller = (each for count in range(1, len(DIFFERENCES)) for each in combinations(DIFFERENCES, count))
    as_good = (found for each in smaller if (found := _would(unmet, known, each, none)).would >= _MOST * every.would)
    return next(as_good, every)


def alike(ids: pl.Series, differences: tuple[Difference, ...]) -> pl.Series:
    """Spell ids so that they no longer differ in some things.

    Examples
    --------
    >>> alike(pl.Series([" A7", "007", "12.0"]), ("blanks", "case", "zeros", "decimals")).to_list()
    ['a7', '7', '12']
    """
    spelt = ids.cast(pl.String)
    if "blanks" in differences:
        spelt = spelt.str.replace_all(rf"^{_BLANK}+|{_BLANK}+$", "")
    if "unicode" in differences:
        spelt = spelt.str.normalize("NFC")
    if "case" in differences:
        spelt = spelt.str.to_lowercase()
    if "decimals" in differences:
        spelt = spelt.str.replace(r"^(-?\d+)\.0+$", "$1")
    return spelt.str.replace(r"^0+(\d+)$", "$1") if "zeros" in differences else spelt


def apart(frames: Mapping[str, pl.DataFrame]) -> Iterator[Fault]:
    """Give a fault for each two tables whose ids do not meet, or would if they were spelt alike."""
    for column, here, there in _PAIRS:
        if not all(column in frames.get(table, pl.DataFrame()).columns for table in (here, there)):
            continue
        ids, others = frames[here][column], frames[there][column]
        if any(each.dtype not in (pl.Int64, pl.String) for each in (ids, others)):
            continue  # no ids, and a fault of their own
        found = meet(ids, others)
        if found.would:
            yield _spelt_apart(column, here, there, found)
        elif column == "user_id" and found.ids and found.met < _FEW * min(found.ids, others.n_unique()):
            what = f"users of whom hardly any is in {there} ({found.met} of {found.ids})"
            fix = (
                f"see whether both are the same kind of id, such as {_examples(ids)} here and {_examples(others)} there"
            )
            yield Fault(here, column, "warning", what, 0, 0.0, (), fix)


def refuse_other_spellings(added: pl.Series, known: pl.Series) -> None:
    """Refuse to add items that are there under another spelling: they would have no text, and nobody would know why.

    Raises
    ------
    DataError
        Naming some of them in both spellings, and the line of the mapping that mends it.
    """
    found = meet(added, known)
    if found.would:
        fault = _spelt_apart("item_id", "events or requests", "items", found)
        raise DataError(f"item_id: of those that items does not hold, {fault.what}; {fault.fix}")


def _spelt_apart(column: str, here: str, there: str, found: Meeting) -> Fault:
    grave = 2 * found.would >= found.ids
    what = (
        f"{found.would} of {found.ids} ids would be ids of {there} but for {' and '.join(found.differences)}: "
        + ", ".join(f"{own} here is {other} there" for own, other in found.pairs)
    )
    fix = f"write them alike, or import with `[ids] {column} = {list(found.differences)}` in the mapping".replace(
        "'", '"'
    )
    return Fault(here, column, "error" if grave else "warning", what, 0, 0.0, (), fix)


def _spelt(ids: pl.Series) -> pl.Series:
    return ids.drop_nulls().unique().cast(pl.String).alias("id").sort()


def _would(unmet: pl.Series, known: pl.Series, differences: tuple[Difference, ...], none: Meeting) -> Meeting:
    here = pl.DataFrame({"here": unmet, "alike": alike(unmet, differences)})
    there = pl.DataFrame({"there": known, "alike": alike(known, differences)}).unique("alike", maintain_order=True)
    both = here.join(there, on="alike", maintain_order="left")
    pairs = tuple((cut([own])[0], cut([other])[0]) for own, other in both.select("here", "there").head(3).rows())
    return Meeting(none.met, none.ids, len(both), differences, pairs) if len(both) else none


def _examples(ids: pl.Series) -> str:
    return " and ".join(cut(ids.drop_nulls().unique().sort().head(2).to_list()))
