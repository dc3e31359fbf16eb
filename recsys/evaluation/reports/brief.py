"""An evaluation in words: one sentence for who decides, and what makes the figures mean less than they seem."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from recsys.data.tables import SAMPLED
from recsys.evaluation.evaluation import AGELESS, BASELINES, PRODUCT, Evaluation, Results, sides
from recsys.evaluation.field_results import MeasureTable
from recsys.evaluation.plan import DEFAULT_PLAN
from recsys.evaluation.reports.pages import count, number, percent, signed
from recsys.statistics.intervals import Interval
from recsys.statistics.power import FEWEST_USERS
from recsys.statistics.ties import SMALL_SHARE

SECOND = (
    "Lists that the sources made are measured first. The lists of the window, further down, were drawn at random and "
    "not logged: their figures say how well choices are told from random items."
)
"""What reports say of drawn lists where made ones are measured, too."""

_CHANGE = (
    "What may help: ids that meet in all tables and no columns left out (`recsys check`), kinds of events that "
    "count as clicks ([labels] clicks), texts of items, and a longer log."
)

HEADLINE = "nDCG@10"
"""The measure that the page opens with."""


@dataclass(frozen=True)
class Brief:
    """An evaluation in words.

    Attributes
    ----------
    sentence
        Is the product better than the strongest simple rule, by how much, how sure is that, and what to do; empty
        where the evaluation has no product or nothing to hold it against.
    warnings
        What makes the figures mean less than they seem, one sentence each.
    """

    sentence: str
    warnings: tuple[str, ...]


def brief(evaluation: Evaluation) -> Brief:
    """Put an evaluation into words."""
    rules = (*BASELINES, *(evaluation.made.sources if evaluation.made else ()))
    opponent = _strongest(evaluation.first, rules)
    if opponent is None:
        return Brief("", (SAMPLED,) if evaluation.sampled else ())
    is_rule = opponent in rules
    return Brief(_sentence(evaluation, opponent, is_rule), tuple(_warnings(evaluation, opponent, is_rule)))


def _strongest(results: Results, rules: Collection[str]) -> str | None:
    """Name the best of the simple rules, or of all others where there is none; None without a difference."""
    means = {
        name: row[HEADLINE].mean
        for name, row in results.rankers.items()
        if f"{PRODUCT}-{name}" in results.differences and HEADLINE in row and not math.isnan(row[HEADLINE].mean)
    }
    simple = {name: mean for name, mean in means.items() if name in rules} or means
    return max(simple, key=simple.__getitem__, default=None)


def _sentence(evaluation: Evaluation, opponent: str, is_rule: bool) -> str:
    results = evaluation.first
    difference = results.differences[f"{PRODUCT}-{opponent}"][HEADLINE]
    a, b = (results.rankers[name][HEADLINE].mean for name in (opponent, PRODUCT))
    rule = f"the strongest simple rule ({opponent})" if is_rule else opponent
    size = f"{HEADLINE} goes from {number(a)} to {number(b)}, {signed(difference.mean)}"
    if a > 0:
        size += f" or {difference.mean / a:+.1%}".replace("%", " %")
    judged = results.requests - evaluation.left_out.get(HEADLINE, 0)
    some = f"{judged:,} of " if judged < results.requests else ""
    where = f"on {some}{count(results.requests, 'request')} of {count(_users(results), 'user')}"
    if evaluation.made is not None:
        where = f"on {count(results.requests, 'list')} made of the whole field for {count(results.users, 'user')}"
    if _users(results) < FEWEST_USERS:
        return (
            f"It is not known whether the model orders better than {rule}: {size}, {where}, and fewer than "
            f"{FEWEST_USERS} users say nothing sure; evaluate on more users before you decide."
        )
    sure = f"{size}, with 95 % confidence {signed(difference.low)} to {signed(difference.high)}, {where}"
    if difference.low > 0:
        return (
            f"The model orders better than {rule}: {sure}; compare it with what you use today, and let it replace that "
            "only if it wins there too."
        )
    if difference.high < 0:
        return f"The model orders worse than {rule}: {sure}; do not use it."
    if _wide(difference):
        return f"It is not known whether the model orders better than {rule}: {sure}; evaluate on more users first."
    return f"The model orders no better than {rule}: {sure}; the simple rule does as well."


def _warnings(evaluation: Evaluation, opponent: str, is_rule: bool) -> Iterator[str]:
    results, tied = evaluation.first, evaluation.tied.get(PRODUCT, 0.0)
    if evaluation.sampled:
        yield SAMPLED if evaluation.made is None else SECOND
    if AGELESS in results.rankers:
        yield (
            "available_at is the first that the log tells of an item, so that before then nobody could know how old it "
            f'would be: "{AGELESS}" is the same model without ages of items, and the safer figure.'
        )
    if is_rule:
        yield (
            f"{opponent} is a weak opponent, a rule that needs no training: beating it is the least a model must do. "
            "`recsys compare` holds it against what you use today."
        )
    difference = results.differences[f"{PRODUCT}-{opponent}"][HEADLINE]
    if not difference.mean > 0:
        yield _CHANGE
    yield from _worse(results.differences)
    for name, some in evaluation.segments.items():
        yield from _worse(some.differences, f" on {name} ({count(some.requests, 'request')})")
    users = _users(results)
    if users < FEWEST_USERS or _wide(difference):
        yield (
            f"{count(users, 'user')} {'is' if users == 1 else 'are'} few: the difference is known to "
            f"{_half_width(difference)}, and {DEFAULT_PLAN.matters:g} usually matters."
        )
    if tied > SMALL_SHARE:
        yield (
            f"{percent(tied)} of the candidates have the score of another one in their list: nothing that the model "
            "knows tells them apart, and [ranker] ties says what orders them."
        )


def _worse(differences: MeasureTable, where: str = "") -> Iterator[str]:
    """Name what a model is worse at, than whichever rule or part of it."""
    for pair, row in differences.items():
        product, other = sides(pair)
        behind = [f"{measure} ({signed(of.mean)})" for measure, of in row.items() if of.high < 0]
        if behind and product == PRODUCT:
            yield f"By {', '.join(behind)} the model is worse than {other}{where}."


def _users(results: Results) -> int:
    """Count the users who say something about the headline."""
    return results.judged.get(HEADLINE, results.users)


def _wide(difference: Interval) -> bool:
    """Tell whether the interval may hide a difference that usually matters."""
    return not (difference.high - difference.low) / 2 <= DEFAULT_PLAN.matters


def _half_width(difference: Interval) -> str:
    if math.isnan(difference.low):
        return "no interval at all"
    return f"± {number((difference.high - difference.low) / 2)} only"


def bad_days(name: str, stress: Mapping[str, Interval]) -> list[str]:
    """Say what bad days cost a ranker of some name, in lines for a terminal, see `recsys.jobs.stress`."""
    lines = [f"  {day}: {signed(of.mean)} ({signed(of.low)}..{signed(of.high)})" for day, of in stress.items()]
    return [f"On a bad day {HEADLINE} of {name} changes by:", *lines]
