"""What a comparison shows beside its measures: movement, reliability, exposure, bad days, example lists, facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recsys.evaluation.comparison import Comparison
from recsys.evaluation.gains import Shift
from recsys.evaluation.movement import Movement
from recsys.evaluation.reliability import ListReliability
from recsys.statistics.intervals import Interval
from recsys.statistics.numbers import plain


@dataclass(frozen=True)
class Placed:
    """One candidate of an example list.

    Attributes
    ----------
    title
        What the item says, as people would read it.
    a, b
        Rank by each, 1 = first; None when it does not list the item.
    label
        What happened: 0 nothing, 1 click, more is better.
    """

    title: str
    a: int | None
    b: int | None
    label: int


@dataclass(frozen=True)
class PairedLists:
    """One request, ordered by A and by B.

    Attributes
    ----------
    request
        Its name.
    about
        A sentence on who asked and when; may be empty.
    listed
        Its candidates, in any order.
    """

    request: str
    about: str
    listed: tuple[Placed, ...]


@dataclass(frozen=True)
class LabelFree:
    """What each system shows, measured without a label: coverage, novelty, repeats and the like.

    Attributes
    ----------
    name
        Name of the measure.
    a, b
        Its value for each: a whole number is a count; NaN when there is none.
    meaning
        What it says and which way is better, in one sentence.
    interval
        B - A with its 95 % interval where the measure is a mean over requests.
    """

    name: str
    a: float
    b: float
    meaning: str
    interval: Interval | None = None

    @property
    def difference(self) -> float:
        """B - A."""
        return self.b - self.a if self.interval is None else self.interval.mean

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        ends = {} if self.interval is None else {"low": self.interval.low, "high": self.interval.high}
        numbers = {"a": self.a, "b": self.b, "difference": self.difference, **ends}
        return {name: plain(of) for name, of in numbers.items()}


@dataclass(frozen=True)
class Exhibits:
    """What a page shows beside the comparison itself; whatever is left out has no section.

    Attributes
    ----------
    movement
        How far B moves items against A.
    reliability_a, reliability_b
        Whether click probabilities mean what they say, for each that gives them.
    label_free
        Measures that need no label.
    examples
        A few requests to look at.
    warnings
        Sentences that belong beside the verdict, such as how many requests one of them does not answer.
    facts
        What was compared and on what, as name and value: data, window, seed.
    notes
        Sentences for the reader, such as what the importer had to say.
    second
        The same two on another kind of lists, which decides nothing.
    exposure
        Group of items, what it gets by A and by B.
    stress
        By side that is a model, A or B, what nDCG@10 loses on bad days, see `recsys.jobs.stress`; empty where nobody
        asked.
    """

    movement: Movement | None = None
    reliability_a: ListReliability | None = None
    reliability_b: ListReliability | None = None
    label_free: Sequence[LabelFree] = ()
    examples: Sequence[PairedLists] = ()
    warnings: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    second: Comparison | None = None
    exposure: Mapping[str, Shift] = field(default_factory=dict)
    stress: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`, the examples aside."""
        curves = {"a": self.reliability_a, "b": self.reliability_b}
        return {
            "movement": None if self.movement is None else self.movement.to_json(),
            "reliability": {side: curve.to_json() for side, curve in curves.items() if curve is not None},
            "without_labels": {measure.name: measure.to_json() for measure in self.label_free},
            "exposure": {name: of.to_json() for name, of in self.exposure.items()},
            "stress": {side: {name: of.to_json() for name, of in days.items()} for side, days in self.stress.items()},
            "warnings": list(self.warnings),
            "facts": dict(self.facts),
            "notes": list(self.notes),
            **({} if self.second is None else {"second": self.second.to_json()}),
        }
