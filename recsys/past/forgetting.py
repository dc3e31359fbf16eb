"""What a log is without some users: their rows, and what was counted of them, are gone; totals of items stay."""

from dataclasses import replace

import numpy as np
import polars as pl

from recsys.past import layout
from recsys.past.counters import Counters, Counting
from recsys.past.layer import Layer
from recsys.past.log import Log
from recsys.past.parts import Counted, Cut, of_users
from recsys.past.reads import Key
from recsys.past.register import Register
from recsys.past.streams import Flags, Ints
from recsys.past.totals import Totals
from recsys.past.vocabulary import Vocabulary


def without_users(log: Log, gone: Flags, keys: tuple[Key, ...]) -> Log:
    """Forget users of a log without a tail.

    What is counted of items and of everybody holds their rows until it is counted anew; nothing tells whose they were.

    Parameters
    ----------
    log
        All behaviour.
    gone
        Whom to forget, by code, shape [users].
    keys
        What is counted.

    Returns
    -------
    A log that answers for all others what this one does, bit by bit, but for what is made of single clicks of all
    users, and for those who are gone as for somebody who was never seen.
    """
    stays = log.users.by_code.filter(pl.Series(~gone))
    forgotten = log.users.by_code.filter(pl.Series(gone)).implode()
    tables = {
        name: getattr(log.behaviour, name).filter(~pl.col("user_id").is_in(forgotten))
        for name in ("users", "showings", "events")
    }
    behaviour = replace(log.behaviour, **tables)
    register = Register.knowing(behaviour, {**log.vocabularies, "user": Vocabulary(stays)})
    layers: tuple[Layer | Totals, ...] = ()
    for layer in log.layers:
        counted, read = layer.counters(keys) if isinstance(layer, Layer) else layer.counted, layer.read
        counted, read = _without(counted, gone, running=True), _without(read, gone, running=False)
        if isinstance(layer, Totals):
            kept = {kind: rows.where(~gone[rows.codes["user"]]) for kind, rows in layer.rows.items()}
            kept = {
                kind: replace(rows, codes={**rows.codes, "user": _codes(gone)[rows.codes["user"]]})
                for kind, rows in kept.items()
            }
            layers = (*layers, Totals(counted, read, kept))
        else:
            new = Layer(behaviour, register, log.time, log.history, layers, layer.since, layer.latest_click)
            new.count(keys, counted, read)
            layers = (*layers, new)
    found = Log(behaviour, log.time, log.history, log.horizon, log.earliest)
    found.register, found.layers = register, layers
    return found


def _codes(gone: Flags) -> Ints:
    """Give the code that each user has when those before who are gone are counted no more."""
    return np.cumsum(~gone) - 1


def _without(counted: Counted, gone: Flags, running: bool) -> Counted:
    if isinstance(counted, Cut):
        own = {part: _own(counters, gone, running) for part, counters in counted.own.items()}
        return replace(counted, own=own, parts=counted.parts[~gone])
    return _own(counted, gone, running)


def _own(counters: Counters, gone: Flags, running: bool) -> Counters:
    """Count the rows of all others again, under their new codes."""
    counting, codes = Counting(counters.keys), _codes(gone)
    for row, key in enumerate(counters.keys):
        told = counters.decoded(key, running)
        rows, listed = np.arange(len(told.moments)), bool(told.of[layout.SPARSE])
        if of_users(key):
            rows = np.flatnonzero(~gone[told.keys[0]])
            told.keys[0] = codes[told.keys[0]]
            if not listed:
                told.of[layout.MANY] = len(codes) - gone.sum()
        counting.add_decoded(row, told, rows, running, listed)
    return counting.done()
