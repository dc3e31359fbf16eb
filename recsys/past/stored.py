"""A log in a folder: tables and counters as arrays that are mapped, so that processes share what they read of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from recsys.data.clock import TimeSettings
from recsys.errors import ModelError
from recsys.past.behaviour import Behaviour
from recsys.past.blocks import Blocks, Writer
from recsys.past.counters import Counters
from recsys.past.layer import Layer
from recsys.past.log import Log
from recsys.past.reads import Key
from recsys.past.register import Register
from recsys.past.streams import Ints, Stream
from recsys.past.totals import Totals
from recsys.past.vocabulary import Vocabulary

_LAYOUT = "counters.json"


@dataclass(frozen=True)
class Clock:
    """How a log reads behaviour: when rows are known, which kinds are history, and how far back all else counts."""

    time: TimeSettings
    history: tuple[str, ...]
    horizon: timedelta | None


def write_log(folder: Path, log: Log, keys: tuple[Key, ...]) -> None:
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
        _write_table(folder / f"vocabulary-{place}.arrow", vocabulary.values.to_frame("value"))
    for name in ("showings", "events"):
        _write_table(folder / f"{name}.arrow", getattr(layer.behaviour, name))
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


def read_log(folder: Path, behaviour: Behaviour, clock: Clock, verify_all: bool = False) -> Log:
    """Map what `write_log` wrote.

    Parameters
    ----------
    folder
        Where it lies; its small files are those that were written.
    behaviour
        The tables, see `read_rows`.
    clock
        How behaviour is read; as it was when the log was written.
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
        log = Log(behaviour, clock.time, clock.history, clock.horizon, layout["earliest"])
        log.register = Register.knowing(behaviour, known)
        keys = tuple(Key(of, tuple(per)) for of, per in layout["keys"])
        counters = {
            name: Counters(
                Blocks.mapped(folder / f"{name}.numbers", verify_all),
                np.array(where, dtype=np.int64),
                keys if not name.endswith("-read") else (READ_BY,),
            )
            for name, where in layout["where"].items()
        }
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ModelError(f"{folder} is no state of this version ({error!r}); copy the whole folder again") from error
    below: tuple[Totals, ...] = ()
    if "totals" in counters:
        kept = _kept(folder / "kept.numbers", layout["kept"], verify_all)
        below = (Totals(counters["totals"], counters["totals-read"], kept),)
    layer = Layer(behaviour, log.register, clock.time, clock.history, below, layout["since"])
    layer.count(keys, counters["rows"], counters["rows-read"])
    log.layers = (*below, layer)
    return log


def map_table(path: Path) -> pl.DataFrame:
    """Map a table that `write_log` wrote; its pages are shared by all processes that read it.

    Raises
    ------
    ModelError
        When it is no such table.
    """
    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        return pl.DataFrame(pl.from_arrow(table, rechunk=False))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy the whole folder again") from error


READ_BY = Key("click", ("user",))
"""What is counted of what users read."""


def _write_table(path: Path, table: pl.DataFrame) -> None:
    table.rechunk().write_ipc(path, compression="uncompressed")


def _write_numbers(path: Path, *parts: Ints) -> None:
    writer = Writer(path)
    for part in parts:
        writer.add(part)
    writer.close()


def _parts(rows: Stream) -> tuple[Ints, ...]:
    return rows.codes["user"], rows.codes["item"], rows.moments, rows.happened


def _kept(path: Path, counts: Mapping[str, int], verify_all: bool) -> dict[str, Stream]:
    """Read rows that are kept beside totals."""
    blocks, begin, found = Blocks.mapped(path, verify_all), 0, {}
    for kind, count in counts.items():
        user, item, moments, happened = (blocks.data[begin + count * part :][:count] for part in range(4))
        found[kind] = Stream({"user": user, "item": item}, moments, happened)
        begin += 4 * count
    return found
