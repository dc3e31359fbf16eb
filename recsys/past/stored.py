"""A log in a folder: tables and counters as arrays that are mapped, so that processes share what they read of them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from recsys.data.clock import TimeSettings
from recsys.errors import ModelError
from recsys.past.behaviour import Behaviour
from recsys.past.blocks import Blocks, Writer, map_table, write_table
from recsys.past.counters import Counters, Counting, width_of
from recsys.past.layer import Layer
from recsys.past.parts import Counted, Cut, count_pieces, in_pieces, of_users, parts_for
from recsys.past.reads import READ, Key
from recsys.past.register import Register
from recsys.past.streams import Ints, Stream
from recsys.past.totals import Old, Totals
from recsys.past.vocabulary import Vocabulary
from recsys.statistics.hashes import part_of

if TYPE_CHECKING:
    from recsys.past.log import Log

_LAYOUT, _USERS = "counters.json", "user_parts.arrow"

_READS = ("rows-read", "totals-read")
"""Counters of what users read."""


class Mapped(NamedTuple):
    """What `write_log` wrote, mapped: what a log is made of, see `recsys.past.log.Log`."""

    register: Register
    layers: tuple[Layer | Totals, ...]
    earliest: int | None


def write_log(folder: Path, log: "Log", keys: tuple[Key, ...], parts: int | None = None) -> None:
    """Write what is known, and what is counted of these keys, into an existing folder.

    Parameters
    ----------
    folder
        Where to.
    log
        A log without a tail, of all rows or of totals and rows.
    keys
        What is counted.
    parts
        Of users; so many as there are users for when left out. What is cut already stays as it is.
    """
    (layer,) = log.rows_known
    layout: dict[str, Any] = {"earliest": log.earliest, "since": layer.since, "keys": [[*key] for key in keys]}
    layout |= {"latest": layer.latest_click, "vocabularies": list(log.vocabularies)}
    for place, vocabulary in enumerate(log.vocabularies.values()):
        write_table(folder / f"vocabulary-{place}.arrow", vocabulary.values.to_frame("value"))
    for name in ("showings", "events"):
        write_table(folder / f"{name}.arrow", getattr(layer.behaviour, name))
    for name in ("items", "users"):
        getattr(log.behaviour, name).write_parquet(folder / f"{name}.parquet")
    written: dict[str, Layer | Totals] = {"rows": layer}
    for totals in (each for each in log.layers if isinstance(each, Totals)):
        written["totals"] = totals
        layout["kept"] = {kind: len(rows.moments) for kind, rows in totals.rows.items()}
        _write_numbers(folder / "kept.numbers", *(part for rows in totals.rows.values() for part in _parts(rows)))
    count = layout["parts"] = parts_for(len(log.vocabularies["user"])) if parts is None else parts
    users = part_of(log.vocabularies["user"].by_code, count)
    write_table(folder / _USERS, pl.DataFrame({"part": users.astype(np.uint32)}))
    layout["where"] = {}
    for name, of in written.items():
        for which, pieces in (
            (name, _pieces(of, keys, users, count)),
            (f"{name}-read", in_pieces(of.read, users, count, running=False)),
        ):
            layout["where"][which] = []
            for piece, counters in enumerate(pieces):
                layout["where"][which].append(counters.where.tolist())
                _write_numbers(folder / _file(which, piece), counters.blocks.data)
        layer.forget()  # of which nothing is needed in memory any more
    (folder / _LAYOUT).write_text(json.dumps(layout) + "\n")


def parts_in(folder: Path) -> int:
    """Say into how many parts of users what `write_log` wrote is cut.

    Raises
    ------
    ModelError
        When nothing is there that it wrote.
    """
    try:
        return int(json.loads((folder / _LAYOUT).read_text())["parts"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        said = f"{folder} is no state of this version ({type(error).__name__}: {error})"
        raise ModelError(f"{said}; copy the whole folder again") from error


def read_log(
    folder: Path,
    behaviour: Behaviour,
    time: TimeSettings,
    history: tuple[str, ...],
    verify_all: bool = False,
    part: int | None = None,
) -> Mapped:
    """Map what `write_log` wrote.

    Parameters
    ----------
    folder
        Where it lies; its small files are those that were written.
    behaviour
        The tables.
    time, history
        As of the log that was written.
    verify_all
        Whether every block of numbers is checked at once, and not when it is first read.
    part
        Of users, the one that will be asked, see `recsys.past.parts`; all when left out.

    Raises
    ------
    ModelError
        When the files do not fit each other.
    """
    try:
        layout = json.loads((folder / _LAYOUT).read_text())
        known = {
            name: Vocabulary(map_table(folder / f"vocabulary-{place}.arrow")["value"])
            for place, name in enumerate(layout["vocabularies"])
        }
        register = Register.knowing(behaviour, known)
        earliest, since, latest = (_moment(layout[name]) for name in ("earliest", "since", "latest"))
        keys = tuple(Key(of, tuple(per)) for of, per in layout["keys"])
        users, count = map_table(folder / _USERS)["part"].to_numpy().astype(np.int64), int(layout["parts"])
        if len(users) != len(known["user"]) or users.max(initial=0) >= count:
            raise ValueError("users are of parts that are not there")
        counters = {
            name: _mapped(folder, name, wheres, (READ,) if name in _READS else keys, (users, count, part), verify_all)
            for name, wheres in layout["where"].items()
        }
        counts = {str(kind): int(many) for kind, many in layout.get("kept", {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError, OSError, OverflowError) as error:
        said = f"{folder} is no state of this version ({type(error).__name__}: {error})"
        raise ModelError(f"{said}; copy the whole folder again") from error
    below: tuple[Totals, ...] = ()
    if "totals" in counters:
        sizes = {name: len(known[name]) for name in ("user", "item")}
        kept = _kept(folder / "kept.numbers", counts, sizes)
        below = (Totals(counters["totals"], counters["totals-read"], kept),)
    layer = Layer(behaviour, register, time, history, below, since, latest)
    layer.count(keys, counters["rows"], counters["rows-read"])
    return Mapped(register, (*below, layer), earliest)


def _moment(said: object) -> int | None:
    """Read a moment, microseconds, or none."""
    if said is not None and (isinstance(said, bool) or not (isinstance(said, int) and abs(said) < 2**62)):
        raise ValueError(f"{said!r} is no moment")
    return said


def _pieces(layer: Layer | Totals, keys: tuple[Key, ...], users: Ints, count: int) -> Iterator[Counters]:
    """Give the counters of a layer in pieces, see `in_pieces`; what was not counted yet is not kept, only written."""
    if isinstance(layer, Totals):
        old = layer.made
        if isinstance(old, Old):
            return count_pieces(keys, old.streams(), old.add, users, count)
        return in_pieces(old, users, count)
    counted, sizes = layer.counted(keys), layer.sizes
    if counted is not None:
        return in_pieces(counted, users, count)

    def add(counting: Counting, row: int, stream: Stream, listed: bool) -> None:
        counting.add(row, stream, sizes, np.arange(len(stream.moments)), listed=listed)

    return count_pieces(keys, {of: each.by_moment for of, each in layer.streams(keys).items()}, add, users, count)


def _file(name: str, piece: int) -> str:
    """Name the file of counters: of those that are shared, or of all where there is one part, or of a part."""
    return f"{name}-{piece - 1}.numbers" if piece else f"{name}.numbers"


def _mapped(
    folder: Path,
    name: str,
    wheres: list[list[list[int]]],
    keys: tuple[Key, ...],
    parts: tuple[Ints, int, int | None],
    verify_all: bool,
) -> Counted:
    """Map counters that were written in pieces, of all parts or of one."""
    users, count, part = parts
    own, shared = (tuple(key for key in keys if of_users(key) == apart) for apart in (True, False))
    found = {}
    for piece, where in enumerate(wheres):
        if piece == 0 or part is None or piece == part + 1:
            blocks = Blocks.mapped(folder / _file(name, piece), verify_all)
            of = keys if count == 1 else own if piece else shared
            found[piece] = Counters(blocks, np.array(where, dtype=np.int64).reshape(len(of), width_of(of)), of)
            found[piece].refuse_misfit()
    if count == 1:
        return found[0]
    if len(wheres) != count + 1:
        raise ValueError(f"{len(wheres) - 1} parts of {name}, not {count}")
    return Cut(keys, found.pop(0), {piece - 1: counters for piece, counters in found.items()}, users, count)


def _write_numbers(path: Path, *parts: Ints) -> None:
    writer = Writer(path)
    for part in parts:
        writer.add(part)
    writer.close()


def _parts(rows: Stream) -> tuple[Ints, ...]:
    return rows.codes["user"], rows.codes["item"], rows.moments, rows.happened


def _kept(path: Path, counts: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, Stream]:
    """Read rows that are kept beside totals; all of them are looked at."""
    blocks, begin, found = Blocks.mapped(path, verify_all=True), 0, {}
    for kind, count in counts.items():
        user, item, moments, happened = (blocks.data[begin + count * part :][:count] for part in range(4))
        for codes, name in ((user, "user"), (item, "item")):
            if len(codes) != count or (count and not 0 <= codes.min() <= codes.max() < sizes[name]):
                raise ModelError(f"{path} holds {name}s that nobody knows; copy the whole folder again")
        found[kind] = Stream({"user": user, "item": item}, moments, happened)
        begin += 4 * count
    return found
