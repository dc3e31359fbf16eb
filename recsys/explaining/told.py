"""One explained list for people and programs: in words, as JSON, as a page."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from recsys.evaluation.reports.pages import render
from recsys.explaining.sentences import SPEAKS_OF

_BAR, _WIDEST = "\N{BLACK SQUARE}", 12
_NAMED = 6
"""Families that the terminal names for each candidate."""


class Part(NamedTuple):
    """What one family adds to a score.

    Attributes
    ----------
    family
        Its name.
    adds
        How much higher the score is for it than that of the others of the list.
    weight
        About how far the score would move if the candidate had another one's values.
    """

    family: str
    adds: float
    weight: float

    @property
    def about(self) -> str:
        """What the family is about."""
        return SPEAKS_OF[self.family]


class Named(NamedTuple):
    """A past click or a word, and how much higher interest is for it."""

    what: str
    adds: float


@dataclass(frozen=True)
class Place:
    """One candidate of an explained list.

    Attributes
    ----------
    item, title
        Its id as text, and what people call it.
    rank, score
        See `recsys.schema.RANKINGS`.
    others
        Mean score of the others that it is compared with.
    parts
        What families add, those that weigh most first; they sum to `score` less `others`.
    clicks
        Titles of past clicks that raise interest most.
    raised
        What the words raise, interest or appeal.
    words
        The words of its text that raise that most.
    boost, fixed
        What rules add to the score that it is ordered by, and whether one fixes it to its place.
    propensity
        How likely it was to stand there given those above, where something is left to chance.
    """

    item: str
    title: str
    rank: int
    score: float
    others: float
    parts: tuple[Part, ...]
    clicks: tuple[Named, ...]
    raised: str
    words: tuple[Named, ...]
    boost: float = 0.0
    fixed: bool = False
    propensity: float | None = None

    @property
    def scores(self) -> str:
        """Say what it is ordered by."""
        said = f"score {self.score:.3f}, others {self.others:.3f}"
        said += f", boosted by {self.boost:+.3f}" if self.boost else ""
        said += ", fixed to its place" if self.fixed else ""
        chance = self.propensity is not None and self.propensity < 1
        return f"{said}, there with a probability of {self.propensity:.3g}" if chance else said


@dataclass(frozen=True)
class ExplainedList:
    """The first places of one list, and why they are theirs.

    Attributes
    ----------
    request, user
        Ids as text.
    timestamp, as_of
        When it was asked for, and the moment after which nothing is known of it, UTC.
    candidates
        How many there are.
    places
        The first of them.
    why
        A sentence for each two.
    left_out
        How many of the candidates rules leave out.
    """

    request: str
    user: str
    timestamp: datetime
    as_of: datetime
    candidates: int
    places: tuple[Place, ...]
    why: tuple[str, ...]
    left_out: int = 0

    def to_json(self) -> dict[str, object]:
        """Write as plain JSON; see `Place`."""
        places = [
            {
                **asdict(each),
                "named_first": each.parts[0].family,
                "parts": [part._asdict() for part in each.parts],
                "clicks": [named._asdict() for named in each.clicks],
                "words": [named._asdict() for named in each.words],
            }
            for each in self.places
        ]
        moments = {"timestamp": self.timestamp.isoformat(), "as_of": self.as_of.isoformat()}
        return {**asdict(self), **moments, "places": places, "why": list(self.why)}

    def to_text(self) -> str:
        """Write for a terminal."""
        lines = [self._head, "What speaks for each is said beside the others of this list, not of all items."]
        if not self.places:
            lines = [self._head, "Nothing is listed: [rules] leave out all candidates."]
        for each in self.places:
            lines += ["", f"{each.rank}. {each.title} (item {each.item}): {each.scores}"]
            for part in each.parts[:_NAMED]:
                bar = _BAR * max(1, round(_WIDEST * abs(part.adds) / self._largest))
                lines.append(f"   {part.adds:+.3f} {part.about} ({part.family}) {bar}")
            rest = sum(part.adds for part in each.parts[_NAMED:])
            lines += [f"   {rest:+.3f} all else"] if each.parts[_NAMED:] else []
            lines += [f"   past clicks that speak for it: {_listed(each.clicks)}"] if each.clicks else []
            lines += [f"   words that raise {each.raised}: {_listed(each.words)}"] if each.words else []
        return "\n".join([*lines, *(["", *self.why] if self.why else [])])

    def to_html(self) -> str:
        """Write one page that needs nothing else: no network, no script."""
        return render("explanation.html.j2", {"head": self._head, "list": self, "largest": self._largest})

    @property
    def _largest(self) -> float:
        """What the longest bar stands for."""
        sizes = (size for each in self.places for part in each.parts for size in (abs(part.adds), part.weight))
        return max(sizes, default=1.0) or 1.0

    @property
    def _head(self) -> str:
        left_out = f", {self.left_out:,} of which rules leave out" if self.left_out else ""
        return (
            f"Request {self.request} of user {self.user}, {self.candidates:,} candidates{left_out}, asked for at "
            f"{self.timestamp:%F %T} UTC, of what was known before {self.as_of:%F %T} UTC"
        )


def _listed(named: tuple[Named, ...]) -> str:
    return ", ".join(f"{each.what} ({each.adds:+.3f})" for each in named)
