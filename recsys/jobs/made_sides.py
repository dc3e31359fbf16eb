"""Made lists compared: what two systems list for moments of logged choices, of all items that were out then."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recsys.errors import DataError
from recsys.evaluation.rankings import KEY
from recsys.jobs.field_lists import MOST, moments_of
from recsys.jobs.sides import Opinion, System
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.sources.finding import Finder


@dataclass(frozen=True)
class MadeSides:
    """The lists of two systems.

    Attributes
    ----------
    asked
        A row for whatever one of them lists, or was chosen, at each moment; `label` is above 0 where it was chosen.
    answers
        What each says of these rows; what it does not list earns nothing.
    """

    asked: Asked
    answers: tuple[Opinion, Opinion]


def make_lists(sides: tuple[System, System], requests: pl.DataFrame, log: Log, seed: int) -> MadeSides:
    """Let two systems make lists for the moments of logged choices; one of them has candidates of its own.

    Parameters
    ----------
    sides
        A and B. Who has no candidates of its own orders those of the other.
    requests
        Rows of the requests table; those with a label above 0 were chosen.
    log
        The behaviour before them.
    seed
        Of the choice of moments, see `recsys.jobs.field_lists.moments_of`.

    Raises
    ------
    DataError
        When nothing was chosen that could have been a candidate, or neither side lists anything.
    """
    finder = _common(sides, log)
    written = all(side.prepared is None for side in sides)  # then nothing is computed anew
    asked, choices, beside = moments_of(requests, finder, seed, None if written else MOST)
    if asked.is_empty():
        raise DataError(
            "nothing was chosen that could have been a candidate, so that made lists cannot be judged; import later "
            "requests, or empty [candidates] once"
        )
    own = [None if side.lists is None else side.lists(asked, finder) for side in sides]
    listed = pl.concat([each.select(KEY) for each in own if each is not None]).unique(maintain_order=True)
    if listed.is_empty():
        raise DataError(f"neither {sides[0].name} nor {sides[1].name} lists anything for what was chosen; see both")
    chosen = pl.DataFrame(
        [asked["request_id"].gather(choices.requests), log.items.by_code.gather(choices.items).alias("item_id")]
    )
    rows = Asked.of(_as_requests(listed, chosen, asked, requests), log)
    known = rows.candidates.select(KEY)
    answers = []
    for side, table, other in zip(sides, own, own[::-1], strict=True):
        if table is None and other is not None:
            scores = np.where(_scores(other, known) > -np.inf, side.answer(rows).scores, -np.inf)
            words = f"{side.name} finds no candidates itself: it orders what the other side lists."
            answers.append(Opinion(scores, notes=(words,)))
        elif table is not None:
            answers.append(Opinion(_scores(table, known)))
    if beside:
        note = f"{beside:,} more choices were not out, or left out by [candidates] once."
        answers[0] = Opinion(answers[0].scores, notes=(*answers[0].notes, note))
    return MadeSides(rows, (answers[0], answers[1]))


def _common(sides: tuple[System, System], log: Log) -> Finder:
    """Give what finds the candidates of simple rules, and says what may be one: what either side may list."""
    finders = [side.finder(log) for side in sides if side.finder is not None]
    known = [finder for finder in finders if finder.settings.sources] or finders
    once = [kind for kind in known[-1].settings.once if all(kind in finder.settings.once for finder in known)]
    return replace(known[-1], settings=known[-1].settings.model_copy(update={"once": tuple(once)}))


def has_candidates(side: System, requests: pl.DataFrame) -> bool:
    """Say whether a side lists the whole field: its sources find what, or its rankings do not hold the candidates."""
    if side.rankings is None:
        return side.finder is not None
    return side.rankings.of_field(requests) if side.made is None else side.made


def _as_requests(
    listed: pl.DataFrame, chosen: pl.DataFrame, asked: pl.DataFrame, requests: pl.DataFrame
) -> pl.DataFrame:
    """Write lists as rows of the requests table."""
    every = pl.concat([listed, chosen]).unique(maintain_order=True)
    labelled = every.join(chosen.with_columns(label=pl.lit(1)), on=KEY, how="left", maintain_order="left")
    labels = labelled["label"].fill_null(0).cast(requests.schema["label"])
    rows = labelled.drop("label").join(asked.drop("label"), on="request_id", how="left", maintain_order="left")
    return rows.with_columns(labels).select(requests.columns)


def _scores(table: pl.DataFrame, rows: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Bring scores into the order of rows, -inf for what is not listed."""
    found = rows.join(table, on=KEY, how="left", maintain_order="left")["score"]
    return found.fill_null(-np.inf).to_numpy()
