"""A log in a folder: tables and counters as arrays that are mapped, so that processes share what they read of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recsys.data.clock import TimeSettings
from recsys.errors import ModelError
from recsys.past.behaviour import Behaviour
from recsys.past.blocks import Blocks, Writer, map_table, write_table
from recsys.past.counters import Counters
from recsys.past.layer import Layer
from recsys.past.reads import READ, Key
from recsys.past.register import Register
from recsys.past.streams import Ints, Stream
from recsys.past.totals import Totals
from recsys.past.vocabulary import Vocabulary

if TYPE_CHECKING:
    from recsys.past.log import Log

_LAYOUT = "counters.json"


class Mapped(NamedTuple):
    """What `write_log` wrote, mapped: what a log is made of, see `recsys.past.log.Log`."""

    register: Register
    layers: tuple[Layer | Totals, ...]
    earliest: int | None


def write_log(folder: Path, log: "Log", keys: tuple[Key, ...]) -> None:
    """Write what is known, and what is counted of these keys, into an existing folder.

    Parameters
    ----------
    folder
        Where to.
    log
        A log without a tail, of all rows or of totals and rows.
    keys
        What is counted.
    """
    (layer,) = log.rows_known
    layout: dict[str, Any] = {"earliest": log.earliest, "since": layer.since, "keys": [[*key] for key in keys]}
    layout["vocabularies"] = list(log.vocabularies)
    for place, vocabulary in enumerate(log.vocabularies.values()):
        write_table(folder / f"vocabulary-{place}.arrow", vocabulary.values.to_frame("value"))
    for name in ("showings", "events"):
        write_table(folder / f"{name}.arrow", getattr(layer.behaviour, name))
    for name in ("items", "users"):
        getattr(log.behaviour, name).write_parquet(folder / f"{name}.parquet")
    written = {"rows": layer.counters(keys), "rows-read": layer.read}
    for totals in (each for each in log.layers if isinstance(each, Totals)):
        written |= {"totals": totals.counted, "totals-read": totals.read}
        layout["kept"] = {kind: len(rows.moments) for kind, rows in totals.rows.items()}
        _write_numbers(folder / "kept.numbers", *(part for rows in totals.rows.values() for part in _parts(rows)))
    layout["where"] = {name: counters.where.tolist() for name, counters in written.items()}
    for name, counters in written.items():
        _write_numbers(folder / f"{name}.numbers", counters.blocks.data)
    (folder / _LAYOUT).write_text(json.dumps(layout) + "\n")


def read_log(
    folder: Path, behaviour: Behaviour, time: TimeSettings, history: tuple[str, ...], verify_all: bool = False
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
        register, earliest, since = Register.knowing(behaviour, known), layout["earliest"], layout["since"]
        keys = tuple(Key(of, tuple(per)) for of, per in layout["keys"])
        counters = {
            name: Counters(
                Blocks.mapped(folder / f"{name}.numbers", verify_all),
                np.array(where, dtype=np.int64),
                keys if not name.endswith("-read") else (READ,),
            )
            for name, where in layout["where"].items()
        }
        for each in counters.values():
            each.refuse_misfit()
    except (KeyError, TypeError, ValueError, OSError, OverflowError) as error:
        said = f"{folder} is no state of this version ({type(error).__name__}: {error})"
        raise ModelError(f"{said}; copy the whole folder again") from error
    below: tuple[Totals, ...] = ()
    if "totals" in counters:
        sizes = {name: len(known[name]) for name in ("user", "item")}
        kept = _kept(folder / "kept.numbers", layout["kept"], sizes)
        below = (Totals(counters["totals"], counters["totals-read"], kept),)
    layer = Layer(behaviour, register, time, history, below, since)
    layer.count(keys, counters["rows"], counters["rows-read"])
    return Mapped(register, (*below, layer), earliest)


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
