"""Parts of rankings: each is committed whole with its checksum, so that what a killed run ranked need not be again."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from recsys.data.made import NotOut
from recsys.errors import DataError, ModelError
from recsys.files import read_json, unfinished, write_json
from recsys.manifest import file_hash
from recsys.past.lookup import Asked
from recsys.shown import counted

if TYPE_CHECKING:
    from recsys.model.folder import Model
    from recsys.model.ready import Ready

ROWS_AT_ONCE = 250_000
"""Candidates that are ranked at once, where sources found more for a part; any other number gives the same rankings."""


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
    left_out
        Candidates that the rules left out.
    broken
        Files of candidates that were left out, by name, and why.
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
    left_out: int = 0
    broken: Mapping[str, str] = field(default_factory=dict)

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
        if self.left_out:
            said += f"\n{counted(self.left_out, 'candidate')} left out by [rules]"
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
        for name, why in self.broken.items():
            said += f"\nbroken, and left out: {name}: {why}"
        return said


@dataclass(frozen=True)
class PartFacts:
    """What is told of a ranked part.

    Attributes
    ----------
    counts
        `requests`, `candidates`, `rankings`, `tied`, `left_out`, `unlisted` and `unknown_users`; whoever is in
        a part is in no other.
    unknown_items
        Items, in order, which may be in other parts, too.
    unlike
        How many lists are unlike all that was learnt from, by reason.
    first
        The moment of the first list, ISO; None where there is none.
    not_out
        See `Scored`.
    """

    counts: Mapping[str, int]
    unknown_items: tuple[int | str, ...]
    unlike: Mapping[str, int]
    first: str | None
    not_out: NotOut | None

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> "PartFacts":
        """Read what `dataclasses.asdict` gave, after JSON."""
        lost = content["not_out"]
        return cls(
            **{
                **content,
                "unknown_items": tuple(content["unknown_items"]),
                "not_out": None if lost is None else NotOut(**lost),
            }
        )


class RankedLists(NamedTuple):
    """Rankings of a part and what is told of it."""

    rankings: pl.DataFrame
    facts: PartFacts


def rank_lists(
    ready: "Ready",
    asked: pl.DataFrame,
    listed: pl.DataFrame,
    top: int | None,
    explained: Callable[[Asked], pl.DataFrame] | None = None,
) -> RankedLists:
    """Rank what was listed for those who asked; where `explained` is given, what it makes of them.

    Raises
    ------
    DataError
        When candidates have faults.
    """
    made = ready.made(listed)
    lists = Asked.of(made.lists, ready.log)
    counts, unlike, unknown, users = Counter[str](), Counter[str](), set[Any](), set[object]()
    rankings = []
    for some in [*lists.parts(ROWS_AT_ONCE)] or [lists]:  # nothing is a part, too
        ranked = ready.rank_part(some, top)
        rankings.append(ranked.rankings if explained is None else explained(some))
        counts.update(tied=ranked.tied, left_out=ranked.left_out)
        users |= ranked.unknown_users
        unknown |= ranked.unknown_items
        unlike += ranked.unlike
    whole = pl.concat(rankings)
    counts.update(
        requests=len(lists.lengths),
        candidates=len(lists.candidates),
        rankings=len(whole),
        unlisted=_unlisted(asked, listed),
        unknown_users=len(users),
    )
    first, not_out = lists.candidates["timestamp"].min(), NotOut.of(made) if ready.log.time.nightly else None
    facts = PartFacts(
        dict(counts),
        tuple(sorted(unknown)),
        dict(sorted(unlike.items())),
        first.isoformat() if isinstance(first, datetime) else None,
        not_out,
    )
    return RankedLists(whole, facts)


@dataclass(frozen=True)
class RankedParts:
    """A folder of rankings in parts, each with what is told of it and its checksum in a file beside it.

    Attributes
    ----------
    folder
        Made where it is not there yet; nobody else writes into it meanwhile.
    """

    folder: Path

    def holds(self, place: int) -> bool:
        """Tell whether a part is there as it was written."""
        return self._facts(place) is not None

    def commit(self, place: int, part: RankedLists) -> None:
        """Write rankings and then, in one step, what makes them count."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part.rankings.rechunk().write_parquet(self._path(place))  # one piece, wherever they were made
        with unfinished(self.folder, self._mark(place).name, Path.touch) as mark:
            write_json(mark, {"sha256": file_hash(self._path(place)), "facts": asdict(part.facts)})
            mark.replace(self._mark(place))

    def _path(self, place: int) -> Path:
        return self.folder / f"part-{place:05}.parquet"

    def _mark(self, place: int) -> Path:
        return self._path(place).with_suffix(".json")

    def _facts(self, place: int) -> PartFacts | None:
        try:
            written = read_json(self._mark(place), "rank it again")
            if file_hash(self._path(place)) == written["sha256"]:
                return PartFacts.of_json(written["facts"])
        except (ModelError, KeyError, TypeError):
            pass  # which is how a part looks that was not ranked to its end
        return None

    def scored(self, count: int, model: "Model", known_until: datetime | None) -> Scored:
        """Say what was done in so many parts, all of which are there, by a model that knows until a moment.

        Raises
        ------
        DataError
            When no candidate was out when its list was made.
        """
        parts = [facts for place in range(count) if (facts := self._facts(place)) is not None]
        assert len(parts) == count, "a part was changed since it was committed"
        counts, known, time = Counter[str](), model.experience, model.clock
        unlike = Counter[str]()
        for part in parts:
            counts.update(part.counts)
            unlike.update(part.unlike)
        lost = [part.not_out for part in parts if part.not_out is not None]
        not_out = reduce(NotOut.joined, lost) if lost else None
        if not_out is not None and not_out.candidates and not counts["candidates"]:
            raise DataError(
                f"none of the {not_out.candidates:,} candidates was out when its list was made, at "
                f"{time.made_at} {time.zone} before its timestamp: available_at of the items lies later; give the day "
                "that the lists are for as timestamp"
            )
        firsts = [datetime.fromisoformat(part.first) for part in parts if part.first is not None]
        return Scored(
            requests=counts["requests"],
            candidates=counts["candidates"],
            rankings=counts["rankings"],
            unknown_users=counts["unknown_users"],
            unknown_items=len({item for part in parts for item in part.unknown_items}),
            tied=counts["tied"],
            unlisted=counts["unlisted"],
            left_out=counts["left_out"],
            unlike=dict(sorted(unlike.items())),
            days_behind=_days_behind(model, known_until, min(firsts, default=None)),
            learnt="" if known is None else known.in_words(),
            not_out=not_out,
        )


def _unlisted(asked: pl.DataFrame, listed: pl.DataFrame) -> int:
    """Count the requests for which no candidate was found."""
    return asked["request_id"].n_unique() - listed["request_id"].n_unique() if "request_id" in asked.columns else 0


def _days_behind(model: "Model", last: datetime | None, first: datetime | None) -> float:
    """Say by how many days the first list is later than all behaviour; 0 within the longest window, or a day."""
    if last is None or first is None:
        return 0.0
    longest = max((*model.settings.features.windows, timedelta(days=1)))
    return (first - last) / timedelta(days=1) if first - last > longest else 0.0
