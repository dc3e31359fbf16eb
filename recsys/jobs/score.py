"""Score: the nightly batch that turns candidates into ranked lists."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from recsys.data.candidates import every_item
from recsys.data.checks import check_candidates
from recsys.data.cutting import in_parts
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
    candidates: pl.DataFrame | Path,
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
        Whole requests, rows in any order, or a Parquet file or folder of them, which is read part by part where it is
        large; or requests without the column `item_id`, see `recsys.data.candidates.ask`:
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
    with new_folder(out) as staging:
        with in_parts(candidates, staging / "parts", ROWS_PER_PART) as parts:
            for part in parts:
                brought = "item_id" in part.columns
                if brought:
                    refuse_errors(check_candidates(part))  # before new texts are encoded
            ready, _ = Ready.today(folder := Path(folder), dataset)
            night = Scoring(ready, staging / "rankings", top)
            for part in parts:
                night.add(part, _found(ready, part, dataset.items, find))
        scored = night.scored()
        ready.state.save(staging / "state", folder, ready.model.settings, night.first)
        how = _how_made(ready.model, made=not brought)
        write_manifest(staging, {"counts": scored.to_json(), "top": top, **how})
    return scored


class Scoring:
    """What was ranked so far, and what is told of it.

    Parameters
    ----------
    ready
        A model and what it knows.
    folder
        Where rankings are written; it does not exist yet.
    top
        See `score`.
    """

    def __init__(self, ready: Ready, folder: Path, top: int | None) -> None:
        self._ready, self._folder, self._top = ready, folder, top
        self._counts, self._unlike = Counter[str](), Counter[str]()
        self._unknown: tuple[set[object], set[object]] = (set(), set())
        self._not_out: NotOut | None = None
        self._behind = 0.0
        self.first: int | None = None
        folder.mkdir()

    def add(self, asked: pl.DataFrame, listed: pl.DataFrame) -> None:
        """Rank what was listed for those who asked, and write it.

        Raises
        ------
        DataError
            When candidates have faults.
        """
        ready, counts = self._ready, self._counts
        made = ready.made(listed)
        lists, first = Asked.of(made.lists, ready.log), ready.log.first_as_of(made.lists)
        with progress(len(lists.candidates), "score", "row") as advance:
            for part in [*lists.parts(ROWS_PER_PART)] or [lists]:  # nothing is a part, too
                ranked = rank_part(ready, part, self._top)
                ranked.rankings.write_parquet(self._folder / f"part-{counts['files']:05}.parquet")
                counts.update(files=1, rankings=len(ranked.rankings), tied=ranked.tied)
                self._unknown[0].update(ranked.unknown_users)
                self._unknown[1].update(ranked.unknown_items)
                self._unlike += ranked.unlike
                advance(len(part.candidates))
        counts.update(requests=len(lists.lengths), candidates=len(lists.candidates), unlisted=_unlisted(asked, listed))
        if first is not None:
            self.first = first if self.first is None else min(first, self.first)
        self._behind = max(self._behind, _days_behind(ready, lists.candidates))
        if ready.log.time.nightly:
            not_out = NotOut.of(made)
            self._not_out = not_out if self._not_out is None else self._not_out.joined(not_out)

    def scored(self) -> Scored:
        """Say what was done.

        Raises
        ------
        DataError
            When no candidate was out when its list was made.
        """
        counts, known, time = self._counts, self._ready.model.experience, self._ready.log.time
        if self._not_out is not None and self._not_out.candidates and not counts["candidates"]:
            raise DataError(
                f"none of the {self._not_out.candidates:,} candidates was out when its list was made, at "
                f"{time.made_at} {time.zone} before its timestamp: available_at of the items lies later; give the day "
                "that the lists are for as timestamp"
            )
        return Scored(
            **{name: counts[name] for name in ("requests", "candidates", "rankings", "tied", "unlisted")},
            unknown_users=len(self._unknown[0]),
            unknown_items=len(self._unknown[1]),
            unlike=dict(sorted(self._unlike.items())),
            days_behind=self._behind,
            learnt="" if known is None else known.in_words(),
            not_out=self._not_out,
        )


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
