"""May B replace A? A comparison in words: the answer, how sure it is, and what to do next."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from recsys.evaluation.comparison import Comparison, Difference
from recsys.evaluation.reports.pages import chance, count, number, signed
from recsys.shown import short
from recsys.statistics.intervals import LEVEL
from recsys.statistics.power import FEWEST_USERS
from recsys.statistics.verdict import Verdict

_OUT_OF_SIGHT = 1e5  # times what matters: so little is known that a number of users would be made up
_NAMED = 3  # exceptions named in one sentence


MADE_LISTS = "made lists"
"""Name of the window of lists that two sides made of the whole field."""


@dataclass(frozen=True)
class Answer:
    """A comparison in words.

    Attributes
    ----------
    verdict
        The verdict of the primary measure on all requests.
    headline
        May B replace A, in one sentence.
    finding
        By how much, how sure, on how many requests and users; why an interval that leaves out 0 is not enough.
    warnings
        What else makes the verdict mean less than it seems: that users are few.
    next_step
        What to do now.
    exceptions
        Secondary measures and segments that say otherwise, one sentence for each direction, and those whose interval
        leaves out 0 without being enough, each with the reason.
    """

    verdict: Verdict
    headline: str
    finding: str
    warnings: tuple[str, ...]
    next_step: str
    exceptions: tuple[str, ...]


def answer(comparison: Comparison) -> Answer:
    """Put a comparison into words."""
    found = comparison.overall[comparison.primary]
    a, b = short(comparison.a), short(comparison.b)
    headlines = {
        Verdict.BETTER: f"Yes: {b} orders better than {a}.",
        Verdict.WORSE: f"No: {b} orders worse than {a}.",
        Verdict.NO_DIFFERENCE: f"Nothing speaks for it: no difference between {b} and {a} is shown.",
        Verdict.UNDERPOWERED: "Not known yet: there are too few users to tell.",
    }
    return Answer(
        verdict=found.verdict,
        headline=headlines[found.verdict],
        finding=_finding(comparison, found),
        warnings=_warnings(comparison, found),
        next_step=_next_step(comparison, found, a, b),
        exceptions=_exceptions(comparison),
    )


def users_needed(difference: Difference, matters: float) -> int | None:
    """Return how many users make a difference of `matters` detectable with 80 % power; None when that is not known.

    It is not known from hardly any users, where the detectable effect is 100,000 times what matters or more.

    The minimum detectable effect falls with the square root of the users: where 1,000 users show 0.02, 4,000 show
    0.01.
    """
    if math.isnan(difference.detectable) or matters <= 0:
        return None
    ratio = difference.detectable / matters
    if ratio > _OUT_OF_SIGHT:
        return None
    return math.ceil(difference.users * ratio**2)


def _finding(comparison: Comparison, found: Difference) -> str:
    where = f"on {count(found.requests, 'request')} of {count(found.users, 'user')} ({comparison.window} window)"
    size = f"{comparison.primary} goes from {number(found.a)} to {number(found.b)}, {signed(found.interval.mean)}"
    if not math.isnan(found.relative):
        size += f" or {found.relative:+.1%}".replace("%", " %")
    if math.isnan(found.interval.low):
        return f"{size}, {where}. Fewer than two users give no interval."
    sure = f"95 % interval {signed(found.interval.low)} to {signed(found.interval.high)}, p {_equal(chance(found.p))}"
    return f"{size} ({sure}), {where}{_why_not_enough(found, comparison.matters)}."


def _why_not_enough(found: Difference, matters: float) -> str:
    """Say why a difference whose interval leaves out 0 is underpowered all the same; nothing where it is not."""
    if found.verdict is not Verdict.UNDERPOWERED or not found.interval.clear:
        return ""
    aside = f": the interval lies {'above' if found.interval.low > 0 else 'below'} 0, but"
    if found.users < FEWEST_USERS:
        missing = count(FEWEST_USERS - found.users, "more user")
        return f"{aside} {count(found.users, 'user')} may agree by chance, a verdict takes {FEWEST_USERS}: {missing}"
    needed = users_needed(found, matters)
    more = "more users" if needed is None else f"about {count(max(needed - found.users, 1), 'more user')}"
    return (
        f"{aside} p, corrected for all that is looked at, is {chance(found.p_adjusted)} and not at most {LEVEL:g}, and "
        f"the size to show a difference of {matters:g} is not reached ({count(found.users, 'user')} show "
        f"{number(found.detectable)}): {more}"
    )


def _warnings(comparison: Comparison, found: Difference) -> tuple[str, ...]:
    """Say that users are few where a difference that matters may have been missed, or overstated."""
    if found.detectable <= comparison.matters:
        return ()
    known = f", the smallest difference they show with 80 % power is {number(found.detectable)}"
    return (
        f"{count(found.users, 'user')} {'is' if found.users == 1 else 'are'} few: intervals are wide"
        f"{'' if math.isnan(found.detectable) else known}, and {comparison.matters:g} matters.",
    )


def _next_step(comparison: Comparison, found: Difference, a: str, b: str) -> str:
    matters = f"{comparison.matters:g}"
    if found.verdict is Verdict.BETTER:
        if found.interval.mean < comparison.matters:
            return f"The gain is real but smaller than the {matters} that matters: weigh it against what {b} costs."
        worse = [name for name, of in _beside(comparison) if of.verdict is Verdict.WORSE]
        first = f"See first to {', '.join(map(short, worse[:_NAMED]))}, where it is worse. " if worse else ""
        return f"{first}Let {b} replace {a}, by an online experiment first where one is possible."
    if found.verdict is Verdict.WORSE:
        return f"Keep {a}."
    if found.verdict is Verdict.NO_DIFFERENCE:
        return (
            f"A true difference of {matters} would have shown with at least 80 % power. Keep {a}, or choose by cost "
            "and by the measures that need no label."
        )
    if 1 < found.users < FEWEST_USERS:
        return f"Compare them on more users: fewer than {FEWEST_USERS} give no verdict."
    needed = users_needed(found, comparison.matters)
    if needed is None:
        return "Compare them on more users."
    return (
        f"Compare them on about {count(max(needed - found.users, 1), 'more user')} "
        f"({needed:,} in all): so many show a difference of {matters} with 80 % power, the present "
        f"{count(found.users, 'user')} only one of {number(found.detectable)}."
    )


def _exceptions(comparison: Comparison) -> tuple[str, ...]:
    """Name what goes against the answer or, where there is no clear one, what is clear all the same."""
    others, sentences = _beside(comparison), []
    for verdict in (Verdict.WORSE, Verdict.BETTER):
        names = [(name, found) for name, found in others if found.verdict is verdict]
        if names and comparison.verdict is not verdict:
            sentences.append(f"{verdict.capitalize()} for {_listed(names)}.")
    unsure = [(name, why) for name, found in others if (why := _why_not_enough(found, comparison.matters))]
    sentences += [f"Underpowered for {short(name)}{why}." for name, why in unsure[:_NAMED]]
    if len(unsure) > _NAMED:
        sentences.append(f"{len(unsure) - _NAMED} more are underpowered for the same reasons.")
    return tuple(sentences)


def _beside(comparison: Comparison) -> list[tuple[str, Difference]]:
    """Give the differences that do not decide: other measures, and segments."""
    others = [(name, found) for name, found in comparison.overall.items() if name != comparison.primary]
    segments = comparison.segments.items()
    return others + [(name, of[comparison.primary]) for name, of in segments if comparison.primary in of]


def _listed(names: Iterable[tuple[str, Difference]]) -> str:
    largest = sorted(names, key=lambda named: -abs(named[1].interval.mean))
    said = [f"{short(name)} ({signed(found.interval.mean)})" for name, found in largest[:_NAMED]]
    more = len(largest) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")


def _equal(chance: str) -> str:
    return chance if chance.startswith("<") else f"= {chance}"


def second_in_words(second: Comparison) -> str:
    """Say which lists come second."""
    if second.window == MADE_LISTS:
        return "Second, and deciding nothing: lists that both make of the whole field, against what was chosen of it"
    return "Second, and deciding nothing: the lists that were drawn at random around what was chosen"
