"""May B replace A? Two rankers on the same requests: paired differences, and a verdict by a rule fixed before looking."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from recsys.evaluation.intervals import Interval


class Verdict(StrEnum):
    """What a comparison says about B."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    UNDERPOWERED = "underpowered"


@dataclass(frozen=True)
class Difference:
    """One measure on some requests, always B minus A, paired by request and clustered by user.

    Attributes
    ----------
    requests, users
        How many the measure is defined for.
    a, b
        Means over these requests; NaN when there is none.
    interval
        Mean of B - A with its 95 % interval; the ends are NaN below two users.
    p
        Two-sided permutation p-value, labels A and B swapped per user; NaN below two users.
    p_adjusted
        Holm-corrected over all secondary measures and segments; of the primary measure on all requests `p` itself.
    effect_size
        Mean difference over the standard deviation of what one user adds to it (Cohen's d_z, users as units); NaN
        when all users differ alike.
    detectable
        Minimum detectable effect in units of the measure: the true difference that the two-sided 5 % level finds with
        80 % power on so many users; NaN below two users.
    verdict
        By the rule of `Comparison`.
    """

    requests: int
    users: int
    a: float
    b: float
    interval: Interval
    p: float
    p_adjusted: float
    effect_size: float
    detectable: float
    verdict: Verdict

    @property
    def relative(self) -> float:
        """The mean difference as a share of A's mean; NaN when that is 0."""
        return self.interval.mean / abs(self.a) if self.a else math.nan

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {
            "requests": self.requests,
            "users": self.users,
            "a": _number(self.a),
            "b": _number(self.b),
            "difference": {
                "mean": _number(self.interval.mean),
                "low": _number(self.interval.low),
                "high": _number(self.interval.high),
            },
            "relative": _number(self.relative),
            "p": _number(self.p),
            "p_adjusted": _number(self.p_adjusted),
            "effect_size": _number(self.effect_size),
            "detectable": _number(self.detectable),
            "verdict": str(self.verdict),
        }


@dataclass(frozen=True)
class Comparison:
    """What a window says about B against A.

    The primary measure on all requests decides. B is better when its 95 % interval lies above 0, worse when it lies
    below; otherwise no difference is shown when the minimum detectable effect is at most `matters`, and the comparison
    is underpowered when it is more. Secondary measures and segments are better or worse when their Holm-corrected
    p-value is at most 5 %, and otherwise go by the same rule.

    Attributes
    ----------
    a, b
        Names of the two.
    window
        Name of the window that the requests come from.
    primary
        Name of the measure that decides.
    matters
        The smallest difference that would matter, in units of the measure.
    overall
        Measure, its difference on all requests; the primary one included.
    segments
        Segment, measure, its difference on the requests of the segment.
    left_out
        Measure, how many requests of the window it is not defined for.
    """

    a: str
    b: str
    window: str
    primary: str
    matters: float
    overall: Mapping[str, Difference]
    segments: Mapping[str, Mapping[str, Difference]]
    left_out: Mapping[str, int]

    @property
    def verdict(self) -> Verdict:
        """What the primary measure says on all requests."""
        return self.overall[self.primary].verdict

    @property
    def rule(self) -> str:
        """The rule in one sentence with its numbers."""
        found = self.overall[self.primary]
        said = f"{self.primary} decides: {self.b} minus {self.a} is {found.interval.mean:+.4f}"
        if math.isnan(found.interval.low):
            return f"{said} on fewer than two users, which gives no interval: {self.verdict}."
        said += f", 95 % interval {found.interval.low:+.4f} to {found.interval.high:+.4f}"
        if found.interval.clear:
            return f"{said}, which lies {'above' if found.interval.low > 0 else 'below'} 0: {self.verdict}."
        within = "at most" if found.detectable <= self.matters else "more than"
        return (
            f"{said}, which holds 0, and the smallest difference found with 80 % power, {found.detectable:.4f}, is "
            f"{within} the {self.matters:g} that matters: {self.verdict}."
        )

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {
            "window": self.window,
            "a": self.a,
            "b": self.b,
            "primary": self.primary,
            "matters": self.matters,
            "verdict": str(self.verdict),
            "rule": self.rule,
            "overall": {measure: found.to_json() for measure, found in self.overall.items()},
            "segments": {
                segment: {measure: found.to_json() for measure, found in of.items()}
                for segment, of in self.segments.items()
            },
            "left_out": dict(self.left_out),
        }


def _number(number: float) -> float | None:
    return None if math.isnan(number) else number
