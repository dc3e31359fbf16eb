"""Score: the nightly batch that turns candidates into ranked lists."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from recsys.data.candidates import every_item
from recsys.data.checks import check_candidates
from recsys.data.faults import refuse_errors
from recsys.data.made import NotOut
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.files import new_folder, refuse_existing
from recsys.manifest import write_manifest
from recsys.model.folder import Model
from recsys.model.ready import Ready, check_top, rank_part
from recsys.past.lookup import Asked
from recsys.progress import progress
from recsys.shown import counted

ROWS_PER_PART = 250_000
"""Candidates whose rankings go into one file, whole requests together; any other number gives the same rankings."""


@dataclass(frozen=True)
class Scored:
    """What a batch did.

    Attributes
    ----------
    requests, candidates, rankings
        Requests and candidates that were ranked, rows that were written.
    unknown_users, unknown_items
        Distinct users without behaviour and distinct items that are not in the items table; both were scored.
    tied
        Candidates that have the score of another one of their request.
    unlisted
        Requests for which the sources found nothing; they have no list.
    unlike
        Why lists are unlike all that the model has learnt from, and how many are.
    days_behind
        By how many days the first list is later than all behaviour, where that is more than the longest window.
    learnt
        The lists that it has learnt from, in words.
    not_out
        Candidates that came in but were not out when nightly lists were made, and what was clicked of them where the
        candidates have labels; None where lists are not made.
    """

    requests: int
    candidates: int
    rankings: int
    unknown_users: int
    unknown_items: int
    tied: int
    unlisted: int = 0
    unlike: Mapping[str, int] = field(default_factory=dict)
    days_behind: float = 0.0
    learnt: str = ""
    not_out: NotOut | None = None

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`."""
        return {name: each for name, each in vars(self).items() if name not in ("learnt", "not_out")} | (
            {} if self.not_out is None else {"not_out": self.not_out.to_json()}
        )

    def in_words(self, out: Path) -> str:
        """Say what was written to a folder, for the terminal."""
        said = (
            f"{counted(self.rankings, 'ranking')} of {counted(self.requests, 'request')} written to {out}; nothing was "
            f"known of {counted(self.unknown_users, 'user')} at some request; "
            f"{counted(self.unknown_items, 'unknown item')}"
        )
        if self.tied:
            said += (
                f"\n{self.tied:,} of {self.candidates:,} candidates have the score of another one in their list; "
                "[ranker] ties says what orders them"
            )
        if self.unlisted:
            said += f"\nno list for {counted(self.unlisted, 'request')}: the sources of the model found nothing there"
        if self.unlike:
            why = ", ".join(f"{counted(many, 'list')} by {reason}" for reason, many in self.unlike.items())
            said += f"\nunlike any list that the model has learnt from: {why}; it has learnt from {self.learnt}"
        if self.days_behind:
            said += (
                f"\nthe last behaviour in the tables is {self.days_behind:,.1f} days older than the first of these "
                "lists: nothing that happened since is known; give newer tables, or an earlier moment"
            )
        if self.not_out is not None:
            said += f"\n{self.not_out.in_words()}"
        return said


def score(
    folder: str | Path,
    dataset: Dataset,
    candidates: pl.DataFrame,
    out: str | Path,
    top: int | None = None,
    find: bool = False,
) -> Scored:
    """Rank candidates and write the answer, whole or not at all.

    Writes `rankings/part-*.parquet` (see `recsys.schema.RANKINGS`), `state/` for `Ranker.load(folder, state=...)`,
    and a manifest with counts, hashes and until when the model had learnt: `recsys compare` starts there.

    Parameters
    ----------
    folder
        Model folder.
    dataset
        Today's tables: items and the behaviour so far.
    candidates
        Whole requests, rows in any order; or requests without the column `item_id`, see `recsys.data.candidates.ask`:
        then the model's sources find them, or all items are. Under nightly each is ranked as the list made for the day
        in which its moment lies, without what was not out then; a `label` only tells how many clicks that costs.
    out
        Folder to write; must not hold anything.
    top
        Keep the first so many of each request; all when left out.
    find
        Whether the model's sources add to candidates, up to `[candidates] size` for each request.

    Raises
    ------
    DataError
        When a table or the candidates have faults, `out` exists, or no candidate was out when its list was made.
    ModelError
        When the folder is no whole model.
    SettingsError
        When `top` is below 1, or a context column or the query column is missing.
    """
    refuse_existing(out := Path(out))
    check_top(top)
    if "item_id" in candidates.columns:
        refuse_errors(check_candidates(candidates))  # before new texts are encoded
    ready, _ = Ready.today(folder := Path(folder), dataset)
    listed, time = _found(ready, candidates, dataset.items, find), ready.log.time
    made = ready.made(listed)
    if len(made.left_out) and made.lists.is_empty():
        raise DataError(
            f"none of the {len(made.left_out):,} candidates was out when its list was made, at {time.made_at} "
            f"{time.zone} before its timestamp: available_at of the items lies later; give the day that the lists are "
            "for as timestamp"
        )
    with new_folder(out) as staging:
        scored = _write_rankings(ready, Asked.of(made.lists, ready.log), staging / "rankings", top)
        not_out = NotOut.of(made) if time.nightly else None
        scored = replace(scored, unlisted=_unlisted(candidates, listed), not_out=not_out)
        ready.state.save(staging / "state", folder, ready.model.settings, ready.log.first_as_of(made.lists))
        how = _how_made(ready.model, made="item_id" not in candidates.columns)
        write_manifest(staging, {"counts": scored.to_json(), "top": top, **how})
    return scored


def _found(ready: Ready, candidates: pl.DataFrame, items: pl.DataFrame, find: bool) -> pl.DataFrame:
    """Let sources find candidates where that is asked for, or there are none."""
    brought = "item_id" in candidates.columns
    if find or (ready.model.settings.candidates.sources and not brought):
        return ready.find(candidates)
    return candidates if brought else every_item(candidates, items)


def _unlisted(asked: pl.DataFrame, listed: pl.DataFrame) -> int:
    """Count the requests for which no candidate was found."""
    return asked["request_id"].n_unique() - listed["request_id"].n_unique() if "request_id" in asked.columns else 0


def _days_behind(ready: Ready, lists: pl.DataFrame) -> float:
    """Say by how many days the first list is later than all behaviour; 0 within the longest window, or a day."""
    behaviour = ready.log.behaviour
    known = (behaviour.showings["timestamp"].max(), behaviour.events["known_at"].max(), lists["timestamp"].min())
    *ends, first = (moment if isinstance(moment, datetime) else None for moment in known)
    last = max((moment for moment in ends if moment is not None), default=None)
    if last is None or first is None:
        return 0.0
    longest = max((*ready.model.settings.features.windows, timedelta(days=1)))
    return (first - last) / timedelta(days=1) if first - last > longest else 0.0


def _how_made(model: Model, made: bool) -> dict[str, object]:
    """Say what ranked and until when it had learnt, what was known when, and what found candidates, for `compare`.

    `made` says that no candidates came in.
    """
    written = model.settings.model_dump(mode="json")
    half_life = model.merging.to_json()["half_life"]
    found = {
        "candidates": written["candidates"],
        "windows": written["features"]["windows"],
        "half_life": half_life,
    }
    return {
        "ranker": model.files["ranker.txt"],
        "learnt_until": model.windows.learnt_until.isoformat(),
        "time": written["time"],
        "made": made,
        **(found if model.settings.candidates.sources else {}),
    }


def _write_rankings(ready: Ready, asked: Asked, folder: Path, top: int | None) -> Scored:
    folder.mkdir()
    rankings = tied = 0
    unknown_users: set[object] = set()
    unknown_items: set[object] = set()
    unlike = Counter[str]()
    with progress(len(asked.candidates), "score", "row") as advance:
        for number, part in enumerate([*asked.parts(ROWS_PER_PART)] or [asked]):  # nothing is a part, too
            ranked = rank_part(ready, part, top)
            ranked.rankings.write_parquet(folder / f"part-{number:05}.parquet")
            rankings, tied = rankings + len(ranked.rankings), tied + ranked.tied
            unknown_users |= ranked.unknown_users
            unknown_items |= ranked.unknown_items
            unlike += ranked.unlike
            advance(len(part.candidates))
    known = ready.model.experience
    return Scored(
        requests=len(asked.lengths),
        candidates=len(asked.candidates),
        rankings=rankings,
        unknown_users=len(unknown_users),
        unknown_items=len(unknown_items),
        tied=tied,
        unlike=dict(sorted(unlike.items())),
        days_behind=_days_behind(ready, asked.candidates),
        learnt="" if known is None else known.in_words(),
    )
