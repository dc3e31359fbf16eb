"""Contributions in words: what each family is about, and why one candidate stands above another."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from recsys.explaining.explain import Explained
    from recsys.features.plan import PlannedColumn

SPEAKS_OF = {
    "popularity": "how popular it is",
    "trend": "whether it is on the rise",
    "freshness": "how new it is",
    "activity": "how active the user is",
    "affinity": "what the user likes",
    "exposure": "what the user has seen of it",
    "transitions": "what follows the last click",
    "context": "how it fares in this context",
    "values": "how long, or for how much, it is used",
    "field": "where it stands in the whole field",
    "factors": "what users alike clicked",
    "declarations": "features of your own",
    "scores": "scores that came with it",
    "request": "the list and its hour",
    "text": "what its text says",
    "text neighbours": "how similar texts fare",
    "categories": "what kind it is",
}
"""What families of features are about, in the order of the catalogue."""

_UNLIKELY = 0.5
"""Whoever had its place with a lower probability has it by chance."""

_ROUNDED = 1e-9
"""Scores that differ by no more are the same: what families add is summed in another order than trees."""

_ASIDE = 0.1
"""What speaks for the other side is named from this share on of what speaks for the upper one."""


def why(explained: "Explained", upper: int, lower: int, name: Callable[[object], str]) -> str:
    """Say in one sentence why one ranked candidate stands above another one of its list.

    Parameters
    ----------
    explained
        The ranked candidates.
    upper, lower
        Places of the two among the explained.
    name
        Gives what people call an item.
    """
    of, items = explained.contributions, explained.ranked["item_id"]
    differs = of.told[upper] - of.told[lower]
    ahead = float(differs.sum())
    ahead = ahead if abs(ahead) > _ROUNDED else 0.0
    families = np.array([column.family for column in of.columns])
    by_family = {family: float(differs[families == family].sum()) for family in of.families}
    begin = f'"{name(items[upper])}" stands above "{name(items[lower])}"'
    if ruled := _by_rule(explained, upper, lower, ahead):
        return f"{begin} {ruled}."
    boost = float(explained.ruled.boosts[upper] - explained.ruled.boosts[lower])
    if boost:
        begin += f", by {ahead + boost:.3f} with a boost of {boost:+.3f} ([rules] boosts), its score by {ahead:.3f}"
    else:
        begin += f", by {ahead:.3f}"
    best, most = max(by_family.items(), key=lambda pair: pair[1])
    inside = np.where(families == best, differs, -np.inf)
    column = of.columns[int(np.argmax(inside))]
    said = (
        f"{begin}, most of all for {SPEAKS_OF[best]} (+{most:.3f}): {column.told.meaning} "
        f"({_pair(explained, column, upper, lower)})"
    )
    worst, least = min(by_family.items(), key=lambda pair: pair[1])
    if -least >= _ASIDE * most:
        said += f"; {SPEAKS_OF[worst]} speaks for the other one ({least:.3f})"
    return f"{said}."


def _by_rule(explained: "Explained", upper: int, lower: int, ahead: float) -> str:
    """Say by which rule, or chance, a candidate stands above another one whose score is so far below; if by any."""
    ruled, boost = explained.ruled, float(explained.ruled.boosts[upper] - explained.ruled.boosts[lower])
    side = "higher" if ahead > 0 else "lower"
    scores = f"its score is {abs(ahead):.3f} {side}" if ahead else "their scores are the same"
    if ruled.fixed[upper]:
        return f"because a rule fixes it to place {explained.ranked['rank'][upper]} ([rules] fixed): {scores}"
    if ahead + boost > 0:
        return "" if ahead > 0 else f"by a boost of {boost:+.3f} ([rules] boosts): {scores}"
    if ahead == boost == 0:
        return f"by chance: {scores}"
    if ruled.fixed[lower]:
        return f"because a rule fixes the other one to its place ([rules] fixed): {scores}"
    if "propensity" in explained.ranked.columns and (likely := explained.ranked["propensity"][upper]) < _UNLIKELY:
        return f"by chance ([rules] exploration, with a probability of {likely:.3g}): {scores}"
    boosted = f", and with boosts it is {-ahead - boost:.3f} behind" if boost else ""
    named = f" ([rules] {' or '.join(ruled.others)})" if ruled.others else ""
    return f"by a rule{named}: {scores}{boosted}"


def _pair(explained: "Explained", column: "PlannedColumn", upper: int, lower: int) -> str:
    first, second = (_value(explained, column.name, int(explained.rows[each])) for each in (upper, lower))
    return f"{first} in both" if first == second else f"{first} against {second}"


def _value(explained: "Explained", name: str, row: int) -> str:
    """Write what a feature of a candidate is."""
    table = explained.table
    for category in table.categories:
        if category.name == name:
            value = category.part(row, row + 1).values()[0]
            return "nothing" if value is None else str(value)
    number = float(table.numbers[table.names.index(name), row])
    if np.isnan(number):
        return "not known"
    return f"{number + 0.0:,.0f}" if number.is_integer() and abs(number) < 1e9 else f"{number:.3g}"
