"""Who gains and who loses: quality by group of lists, and how much groups of items are shown and clicked."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from recsys.shown import plain as on_one_line
from recsys.shown import short
from recsys.statistics.intervals import Interval, intervals_over_users
from recsys.statistics.numbers import Flags, Floats, Integers, plain
from recsys.statistics.power import FEWEST_USERS

FIRST = 10
"""Places that are looked at."""

NOTABLE = 0.2
"""A group's exposure that is so far from its clicks, or from what it was, as a share of them, is named where chance
does not explain it."""


class Group(NamedTuple):
    """Lists that are held against others.

    Attributes
    ----------
    inside, beside
        Which, and which others, each of shape [R].
    others
        What the others are called.
    """

    inside: Flags
    beside: Flags
    others: str = "others"


class Quality(NamedTuple):
    """How well lists of a group are ordered.

    Attributes
    ----------
    lists
        How many that nDCG@10 is defined for.
    mean
        nDCG@10.
    gap
        That less the mean of the lists that they are held against.
    others
        What those are called.
    named
        Whether chance does not explain the gap, all groups that are held against such considered; never of fewer than
        `FEWEST_USERS` users on either side, who may agree by chance.
    """

    lists: int
    mean: float
    gap: Interval
    others: str
    named: bool


class Exposure(NamedTuple):
    """What a group of items gets.

    Attributes
    ----------
    candidates, clicks, shown
        Its shares of all candidates, of clicks, and of exposure: places 1 to 10 of the ranked lists, place k counting
        1 / log2(k + 1).
    gap
        `shown` less `clicks`.
    named
        Whether the gap is notable, and chance does not explain it, all groups considered.
    """

    candidates: float
    clicks: float
    shown: float
    gap: Interval
    named: bool


class Shift(NamedTuple):
    """What a group of items gets by B where it got something else by A.

    Attributes
    ----------
    candidates, clicks
        Its shares of all candidates and of clicks, NaN where there is none.
    a, b
        Its shares of exposure, see `Exposure`.
    change
        `b` less `a`.
    named
        Whether the change is notable as a share of `a`, and chance does not explain it, all groups considered.
    """

    candidates: float
    clicks: float
    a: float
    b: float
    change: Interval
    named: bool

    def to_json(self) -> dict[str, object]:
        """Write as plain JSON."""
        return {**self._asdict(), "clicks": plain(self.clicks), "change": self.change.to_json()}

    def in_words(self, name: str) -> str:
        """Write it in a line, for a terminal or a page."""
        side = "less" if self.change.mean < 0 else "more"
        shares = f"{self.b:.1%} of exposure, {self.a:.1%} by A ({_points(self.change)})"
        clicks = "" if math.isnan(self.clicks) else f", {self.clicks:.1%} of clicks"
        return f"items with {_named(name)} are shown {side} by B: {shares}{clicks}"


class HowPopular(NamedTuple):
    """How popular items are, mean of log(1 + clicks so far), by what is done with them.

    Attributes
    ----------
    candidates, clicked, shown
        Of all candidates, of what was clicked, and of what is shown, by exposure.
    gap
        `shown` less `clicked`: above 0 lists hold more popular items than are clicked.
    """

    candidates: float
    clicked: float
    shown: float
    gap: Interval


@dataclass(frozen=True)
class Gains:
    """Who gains and who loses by the lists of a ranker.

    Attributes
    ----------
    quality
        By group of lists.
    exposure
        By group of items.
    popularity
        Of what is shown.
    """

    quality: Mapping[str, Quality]
    exposure: Mapping[str, Exposure]
    popularity: HowPopular

    def to_json(self) -> dict[str, object]:
        """Write as plain JSON."""
        quality = {
            name: {**of._asdict(), "mean": plain(of.mean), "gap": of.gap.to_json()} for name, of in self.quality.items()
        }
        exposure = {name: {**of._asdict(), "gap": of.gap.to_json()} for name, of in self.exposure.items()}
        return {
            "quality": quality,
            "exposure": exposure,
            "popularity": {**self.popularity._asdict(), "gap": self.popularity.gap.to_json()},
        }

    def in_words(self) -> list[str]:
        """Name who gains and who loses, in lines for a terminal."""
        lines = []
        for name, of in sorted(self.exposure.items(), key=lambda pair: pair[1].gap.mean):
            if of.named:
                side = "less" if of.gap.mean < 0 else "more"
                shares = f"{of.shown:.1%} of exposure, {of.clicks:.1%} of clicks ({_points(of.gap)})"
                lines.append(f"  items with {_named(name)} are shown {side} than they are clicked: {shares}")
        for name, by in sorted(self.quality.items(), key=lambda pair: pair[1].gap.mean):
            if by.named and by.gap.mean < 0:
                gap = f"{by.gap.mean:+.4f} ({by.gap.low:+.4f}..{by.gap.high:+.4f})"
                lines.append(
                    f"  lists with {_named(name)} are ordered worse than {by.others}: nDCG@10 {by.mean:.4f}, {gap}"
                )
        if self.popularity.gap.clear:
            more = "more" if self.popularity.gap.mean > 0 else "less"
            lines.append(
                f"  lists hold {more} popular items than are clicked: {self.popularity.shown:.2f} against "
                f"{self.popularity.clicked:.2f}, means of log(1 + clicks so far)"
            )
        return ["Who gains, who loses:", *lines] if lines else []


def exposure_of(order: Integers, starts: Integers) -> Floats:
    """Say how much each candidate is seen, shape [C]: 1 / log2(place + 1) at the first ten places, else nothing.

    Parameters
    ----------
    order
        Rows by request and then from the first place to the last, shape [C].
    starts
        Of each request, shape [R + 1].
    """
    lengths = np.diff(starts)
    place = np.arange(len(order)) - np.repeat(starts[:-1], lengths)
    seen = np.zeros(len(order))
    seen[order] = np.where(place < FIRST, 1 / np.log2(place + 2), 0.0)
    return seen


def gains(
    lists: tuple[Floats, Mapping[str, Group]],
    items: tuple[Floats, Flags, Mapping[str, Flags]],
    popularity: Floats,
    starts: Integers,
    users: Integers,
    seed: int = 0,
) -> Gains:
    """Say who gains and who loses.

    Parameters
    ----------
    lists
        nDCG@10 of each list, NaN where it is not defined, shape [R]; and groups of them.
    items
        Exposure of each candidate, whether it was clicked, and groups of candidates, each of shape [C].
    popularity
        Of each candidate, shape [C].
    starts, users
        Of each request, shapes [R + 1] and [R].
    seed
        Of the intervals.
    """
    (quality, groups), (seen, clicked, kinds) = lists, items

    def share_gap(weight: Floats) -> tuple[float, float, Floats]:
        """Give means of candidates by exposure and by clicks, and what each request adds to their difference."""
        (on, adds_on), (by, adds_by) = (_share(weight, of, starts) for of in (seen, clicked.astype(np.float64)))
        return on, by, adds_on - adds_by

    found = {name: share_gap(flags.astype(np.float64)) for name, flags in kinds.items()}
    apart = {name: _apart(quality, group) for name, group in groups.items()}
    popular = share_gap(np.asarray(popularity, dtype=np.float64))
    rows = np.stack([*(of[2] for of in found.values()), *(of[1] for of in apart.values()), popular[2]])
    intervals = intervals_over_users(rows, users, seed=seed)
    exposure = {
        name: Exposure(
            float(kinds[name].mean()), on, by, gap, abs(gap.mean) >= NOTABLE * on and _certain(gap, len(found))
        )
        for (name, (by, on, _)), gap in zip(found.items(), intervals, strict=False)
    }
    alike = Counter(group.others for group in groups.values())
    ordered, known = dict[str, Quality](), ~np.isnan(quality)
    for (name, group), gap in zip(groups.items(), intervals[len(found) :], strict=False):
        inside, beside = (side & known for side in (group.inside, group.beside))
        enough = min(len(np.unique(users[side])) for side in (inside, beside)) >= FEWEST_USERS
        named = enough and _certain(gap, alike[group.others])
        ordered[name] = Quality(int(inside.sum()), apart[name][0], gap, group.others, named)
    return Gains(ordered, exposure, HowPopular(float(popularity.mean()), popular[1], popular[0], intervals[-1]))


def shifts(
    seen: tuple[Floats, Floats],
    clicked: Flags,
    kinds: Mapping[str, Flags],
    starts: Integers,
    users: Integers,
    seed: int = 0,
) -> dict[str, Shift]:
    """Say what groups of items get by A and by B.

    Parameters
    ----------
    seen
        Exposure of each candidate by A and by B, each of shape [C], see `exposure_of`.
    clicked, kinds
        Whether each candidate was clicked, and groups of candidates, each of shape [C].
    starts, users
        Of each request, shapes [R + 1] and [R].
    seed
        Of the intervals.
    """
    if not kinds:
        return {}
    of_clicks, weights = clicked.astype(np.float64), {name: flags.astype(np.float64) for name, flags in kinds.items()}
    (a, b) = ({name: _share(of, side, starts) for name, of in weights.items()} for side in seen)
    changes = intervals_over_users(np.stack([b[name][1] - a[name][1] for name in kinds]), users, seed=seed)
    found = dict[str, Shift]()
    for name, change in zip(kinds, changes, strict=True):
        named = abs(change.mean) >= NOTABLE * a[name][0] and _certain(change, len(kinds))
        clicks = _share(weights[name], of_clicks, starts)[0] if clicked.any() else float("nan")
        found[name] = Shift(float(kinds[name].mean()), clicks, a[name][0], b[name][0], change, named)
    return found


def _share(weight: Floats, of: Floats, starts: Integers) -> tuple[float, Floats]:
    """Give the mean weight of what is counted, and what each request adds to it, whose mean it is."""
    part, whole = np.add.reduceat(weight * of, starts[:-1]), np.add.reduceat(of, starts[:-1])
    mean = float(part.sum() / max(whole.sum(), 1e-12))
    return mean, (part - mean * whole) / max(whole.mean(), 1e-12) + mean


def _apart(quality: Floats, group: Group) -> tuple[float, Floats]:
    """Give the mean of a group, and what each request adds to its difference to the others."""
    known = ~np.isnan(quality)
    adds, means = np.full(len(quality), np.nan), []
    adds[known] = 0.0
    for flags, sign in ((group.inside & known, 1.0), (group.beside & known, -1.0)):
        mean = float(quality[flags].mean()) if flags.any() else float("nan")
        adds[flags] += sign * (quality[flags] - mean) * known.sum() / max(flags.sum(), 1)
        means.append(mean)
    return means[0], adds + means[0] - means[1]


def _certain(gap: Interval, many: int) -> bool:
    """Tell whether chance does not explain a gap where so many are looked at (Bonferroni)."""
    error = (gap.high - gap.low) / (2 * stats.norm.ppf(0.975))
    return bool(error > 0 and abs(gap.mean) > error * stats.norm.ppf(1 - 0.025 / max(many, 1)))


def _named(group: str) -> str:
    """Write the name of a group, which values of tables are in, so that it stays on its line."""
    return short(on_one_line(group))


def _points(gap: Interval) -> str:
    return f"{100 * gap.mean:+.1f} points, {100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
