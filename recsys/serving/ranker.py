"""`Ranker`: a model folder inside somebody's process, without torch."""

from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TypeVar

import pandas as pd
import polars as pl
import pyarrow as pa

from recsys.data.checks import check_update
from recsys.data.faults import refuse_errors
from recsys.data.tables import in_utc, plain_ids
from recsys.errors import DataError, SettingsError
from recsys.features.checks import check_context, check_id_types
from recsys.features.settings import declare
from recsys.model.ready import Ready, check_top, keep_top
from recsys.past.lookup import Lookup
from recsys.past.tail import Tail

Frame = TypeVar("Frame", pl.DataFrame, pd.DataFrame)


class Ranker:
    """Ranks candidates exactly as `recsys score` does with the same model and state.

    Made by `Ranker.load`. Holds no open files; threads may share one, and a ranking that has begun sees no later
    `update`.
    """

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._tail = Tail.on(ready.log)
        self._growing = Lock()
        known = ready.log.behaviour
        moments = (known.showings["timestamp"], known.events["known_at"])
        self._known_until = pl.select(pl.max_horizontal(*(pl.lit(each).max() for each in moments))).item()
        nobody = Lookup.of_nobody(ready.log)
        for feature in declare(ready.model.settings.features):
            feature.values(nobody)  # so that loading takes the time, and not the first request

    @classmethod
    def load(cls, folder: str | Path, state: str | Path | None = None) -> "Ranker":
        """Read a model folder; needs neither torch nor a network.

        Where requests have a text of their own, the first of them loads the encoder from the folder, which must still
        be there; a backend other than torch needs no torch for that either.

        Parameters
        ----------
        folder
            Written by `recsys train`.
        state
            Newer behaviour and vectors: the `state` folder that `recsys score` wrote; the model's own when left out.

        Raises
        ------
        ModelError
            When a folder is not whole, or the state was made with another model.
        """
        folder = Path(folder)
        return cls(Ready.load(folder, folder / "state" if state is None else Path(state)))

    @property
    def known_until(self) -> datetime | None:
        """The latest moment (UTC) of a showing or of an event becoming known in the state; None when it has none."""
        known: datetime | None = self._known_until
        return known

    def rank(self, candidates: Frame, top: int | None = None) -> Frame:
        """Order the candidates of every request.

        Parameters
        ----------
        candidates
            polars or pandas frame of whole requests, rows in any order: `request_id`, `user_id`, `timestamp` (naive
            ones are UTC), `item_id`, the context columns and the query column of the model.
        top
            Keep the first so many of each request; all when left out.

        Returns
        -------
        A frame of the same kind, sorted by request and rank: `request_id`, `user_id`, `item_id`, `rank` (1 = first),
        `score`, `click_probability` in (0, 1), `unknown_user`, `unknown_item`.

        Raises
        ------
        DataError
            When the candidates have faults; names all of them.
        SettingsError
            When `top` is below 1, or a context column or the query column is missing.
        """
        check_top(top)
        ready = self._ready  # an update that comes meanwhile gives others another one
        ranked = keep_top(ready.rank(ready.ask(_to_polars(candidates))), top)
        return ranked if isinstance(candidates, pl.DataFrame) else ranked.to_pandas()

    def score(self, candidates: Frame) -> "pl.Series | pd.Series[float]":
        """Score candidates: one number per row, in the order of the rows; arguments and errors as for `rank`."""
        frame, ready = _to_polars(candidates), self._ready
        ranked = ready.rank(ready.ask(frame)).select("request_id", "item_id", "score")
        scores = frame.select("request_id", "item_id").join(
            ranked, on=["request_id", "item_id"], how="left", maintain_order="left"
        )["score"]
        return (
            scores
            if isinstance(candidates, pl.DataFrame)
            else pd.Series(scores.to_numpy(), candidates.index, name="score")
        )

    def update(
        self, events: pl.DataFrame | pd.DataFrame | None = None, requests: pl.DataFrame | pd.DataFrame | None = None
    ) -> None:
        """Add what happened since: rankings from now on know it as if it had been in the state.

        What is added is known to this process alone and gone with it; a process that is started again with the same
        state, and told the same, gives the same rankings. Items and users keep the texts and attributes of the state.

        Tell each row once, and only what is newer than the state; `known_until` says how far the state goes. An event
        that is told twice counts twice: two alike may both have happened, so none is refused. Lists are told whole.

        Parameters
        ----------
        events
            Rows of the table of events: `user_id`, `item_id`, `timestamp`, `event`, `value`?, `known_at`?. A click on a
            list that is in `requests` is no event.
        requests
            Candidates of lists that were shown, whole requests: `request_id`, `user_id`, `timestamp`, `item_id`, the
            context columns, and `label`, null or absent as long as it is not known. A candidate that was added without
            a label is added again with it. Until then it counts as shown and, after the feedback delay, as not clicked.

        Raises
        ------
        DataError
            When rows have faults, names all of them; when a candidate is added twice or is in the state already, or a
            list is told again with another user, moment or more candidates. Nothing is then added.
        SettingsError
            When a context column is missing, or the model grades labels from events, which only a batch can do.
        """
        settings, known = self._ready.model.settings, self._ready.log.behaviour
        grades = settings.labels.grades
        if grades:
            raise SettingsError(
                f"this model grades labels from events ([labels] grades names {sorted(grades)}), which needs the lists "
                "before them; run `recsys score` with newer tables and load the state that it writes"
            )
        done = None if events is None else in_utc(_to_polars(events, "events"))
        shown = None if requests is None else _with_labels(in_utc(_to_polars(requests, "requests")))
        refuse_errors(check_update(done, shown))
        if done is not None:
            check_id_types(done, known, "events")
            done = plain_ids("events", done)
        if shown is not None:
            check_id_types(shown, known, "requests")
            unscored = settings.features.model_copy(update={"scores": ()})  # only who is ranked needs them
            check_context(shown, unscored, (), "requests")
            shown = plain_ids("requests", shown)
        with self._growing:
            tail = self._tail.grown(done, shown)
            self._ready, self._tail = self._ready.knowing(tail.log), tail


def _to_polars(frame: pl.DataFrame | pd.DataFrame, called: str = "candidates") -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{called} are a {type(frame).__name__}; pass a polars or pandas DataFrame")
    try:
        return pl.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(
            f"the pandas frame of {called} cannot be read ({type(error).__name__}); give each column its own name and "
            "one type"
        ) from error


def _with_labels(requests: pl.DataFrame) -> pl.DataFrame:
    """Add labels that are not known; whole numbers that are floats, as pandas has them beside gaps, become integers."""
    if "label" not in requests.columns:
        return requests.with_columns(label=pl.lit(None, dtype=pl.Int64))
    label = requests["label"]
    if label.dtype.is_float() and ((label == label.round()) & (label.abs() < 2**31)).all():
        return requests.with_columns(label=label.cast(pl.Int64))
    return requests
