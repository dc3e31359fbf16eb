"""`Ranker`: a model folder inside somebody's process, without torch."""

from pathlib import Path
from typing import TypeVar

import pandas as pd
import polars as pl
import pyarrow as pa

from recsys.data.checks import check_candidates
from recsys.data.faults import refuse_errors
from recsys.data.tables import in_utc
from recsys.errors import DataError
from recsys.features.builder import check_context
from recsys.features.lookup import Lookup
from recsys.features.settings import declare
from recsys.model import Model, State, check_id_types
from recsys.ranking.scoring import check_top, keep_top, rank_candidates
from recsys.text.queries import check_query

Frame = TypeVar("Frame", pl.DataFrame, pd.DataFrame)


class Ranker:
    """Ranks candidates exactly as `recsys score` does with the same model and state.

    Made by `Ranker.load`. Holds no open files and changes nothing, so threads may share one.
    """

    def __init__(self, model: Model, state: State, folder: Path) -> None:
        self._model = model
        self._behaviour = state.behaviour
        self._log = model.log(state.behaviour)
        self._reader = model.reader(self._log, state.vectors, folder)
        nobody = Lookup.of_nobody(self._log)
        for feature in declare(model.settings.features):
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
        newest = State.load(Path(state) if state is not None else folder / "state", folder)
        return cls(Model.load(folder), newest, folder)

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
        `score`, `click_probability` in (0, 1], `unknown_user`, `unknown_item`.

        Raises
        ------
        DataError
            When the candidates have faults; names all of them.
        SettingsError
            When `top` is below 1, or a context column or the query column is missing.
        """
        check_top(top)
        ranked = keep_top(self._rank(_to_polars(candidates)), top)
        return ranked if isinstance(candidates, pl.DataFrame) else ranked.to_pandas()

    def score(self, candidates: Frame) -> "pl.Series | pd.Series[float]":
        """Score candidates: one number per row, in the order of the rows; arguments and errors as for `rank`."""
        frame = _to_polars(candidates)
        ranked = self._rank(frame).select("request_id", "item_id", "score")
        scores = frame.select("request_id", "item_id").join(
            ranked, on=["request_id", "item_id"], how="left", maintain_order="left"
        )["score"]
        return (
            scores
            if isinstance(candidates, pl.DataFrame)
            else pd.Series(scores.to_numpy(), candidates.index, name="score")
        )

    def _rank(self, candidates: pl.DataFrame) -> pl.DataFrame:
        candidates = in_utc(candidates)
        refuse_errors(check_candidates(candidates))
        check_id_types(candidates, self._behaviour)
        settings = self._model.settings.features
        check_context(candidates, settings, ())
        check_query(candidates, self._model.settings.text.query, ())
        return rank_candidates(
            candidates, self._log, settings, self._reader, self._model.ranker, self._model.calibration
        )


def _to_polars(frame: pl.DataFrame | pd.DataFrame) -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"candidates are a {type(frame).__name__}; pass a polars or pandas DataFrame")
    try:
        return pl.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(
            f"the pandas frame cannot be read ({type(error).__name__}); give each column its own name and one type"
        ) from error
