"""May B replace A? Paired differences of two rankers on the same requests, and a verdict by a rule that is stated."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import DataError, SettingsError
from recsys.evaluation.measures import POOLED, per_request
from recsys.evaluation.plan import DEFAULT_PLAN, Plan
from recsys.evaluation.requests import Requests
from recsys.statistics.intervals import LEVEL, Interval, bootstrap
from recsys.statistics.numbers import Flags, Floats, Scores, plain
from recsys.statistics.p_values import holm, permutation_p_values
from recsys.statistics.paired import Paired, pooled_auc_parts
from recsys.statistics.power import FEWEST_USERS, detectable_effects, effect_sizes
from recsys.statistics.totals import check_lengths
from recsys.statistics.verdict import Verdict, decide


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
        Holm-corrected: on all requests over the other measures than the primary one, whose `p` stands as it is; in a
        segment over all segments, each measure by itself.
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
            "a": plain(self.a),
            "b": plain(self.b),
            "difference": self.interval.to_json(),
            "relative": plain(self.relative),
            "p": plain(self.p),
            "p_adjusted": plain(self.p_adjusted),
            "effect_size": plain(self.effect_size),
            "detectable": plain(self.detectable),
            "verdict": str(self.verdict),
        }


@dataclass(frozen=True)
class Comparison:
    """What a window says about B against A.

    The primary measure on all requests decides. B is better when its 95 % interval lies above 0, worse when it lies
    below; otherwise no difference is shown when the minimum detectable effect is at most `matters`, and the comparison
    is underpowered when it is more. Other measures and segments are better or worse when their Holm-corrected
    p-value is at most 5 %, and otherwise go by the same rule. Fewer than `FEWEST_USERS` users are underpowered whatever
    they say: a few can agree by chance, and then their interval has no width.

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
        if math.isnan(found.interval.mean):
            return f"{self.primary} decides, but is not defined for any request: {self.verdict}."
        said = f"{self.primary} decides: {self.b} minus {self.a} is {found.interval.mean:+.4f}"
        if math.isnan(found.interval.low):
            return f"{said} on fewer than two users, which gives no interval: {self.verdict}."
        said += f", 95 % interval {found.interval.low:+.4f} to {found.interval.high:+.4f}"
        if found.users < FEWEST_USERS:
            return f"{said}, from {found.users} users, and fewer than {FEWEST_USERS} give no verdict: {self.verdict}."
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


def compare_rankers(
    requests: pl.DataFrame,
    a: Scores,
    b: Scores,
    names: tuple[str, str],
    segments: Mapping[str, Flags],
    window: str = "test",
    plan: Plan = DEFAULT_PLAN,
) -> Comparison:
    """Compare the scores of two rankers for the candidates of the same logged requests.

    Parameters
    ----------
    requests
        Candidates with `request_id`, `user_id`, `label`, rows in any order; C rows.
    a, b
        [C] scores in the order of the rows; -inf says that the ranker did not list the candidate.
    names
        Names of A and B.
    segments
        Segment, [C] whether the row's request is in it; the same for all rows of a request.
    window
        Name of the window that the requests come from.
    plan
        What to measure, which measure decides, what matters.

    Raises
    ------
    DataError
        When there is no request, an id or label is missing, a score is NaN or +inf, a length differs, or a
        segment cuts through a request.
    SettingsError
        When A and B have one name, or the primary measure is not among the measures.

    Examples
    --------
    >>> requests = pl.DataFrame({"request_id": [1, 1, 2, 2], "user_id": [1, 1, 2, 2], "label": [0, 1, 1, 0]})
    >>> found = compare_rankers(requests, np.array([2, 1, 2, 1]), np.array([1, 2, 2, 1]), ("old", "new"), {})
    >>> print(f"{found.overall['AUC'].a:g} {found.overall['AUC'].b:g} {found.verdict}")
    0.5 1 underpowered
    """
    _check_any(requests.height, window)
    for name, scores in zip(names, (a, b), strict=True):
        _check_scores(name, scores, requests.height)
    check_lengths(requests.height, segments)
    lists = Requests.of(requests)
    a, b = lists.rows(a), lists.rows(b)
    measured = (per_request(plan.measures, lists.labels, of, lists.starts) for of in (a, b))
    paired = Paired.of(dict(zip(map(str, plan.measures), zip(*measured, strict=True), strict=True)), lists.users)

    def pooled(inside: Flags) -> Paired:
        sizes = np.diff(lists.starts)
        rows, starts = np.repeat(inside, sizes), np.concatenate([[0], np.cumsum(sizes[inside])])
        (of_a, weights), (of_b, _) = (pooled_auc_parts(lists.labels[rows], of[rows], starts) for of in (a, b))
        return paired.where(inside).joined(POOLED, of_a, of_b, weights)

    part = pooled if plan.pooled else paired.where
    inside = {name: lists.flags(name, flags) for name, flags in segments.items()}
    everything = part(np.ones(len(lists.users), dtype=bool))
    return _compare(everything, ((name, part(of)) for name, of in inside.items()), names, window, plan)


def compare_values(
    values: Mapping[str, tuple[Floats, Floats]],
    users: NDArray[np.generic],
    names: tuple[str, str],
    segments: Mapping[str, Flags],
    window: str = "test",
    plan: Plan = DEFAULT_PLAN,
) -> Comparison:
    """Compare two systems by any values per request, with or without labels.

    Parameters
    ----------
    values
        Measure, A's and B's values [R] per request; NaN where it is not defined. A request counts where both are.
    users
        [R] the user of each request.
    names
        Names of A and B.
    segments
        Segment, [R] whether the request is in it.
    window
        Name of the window that the requests come from.
    plan
        Which measure decides, what matters; its `measures` are not computed, `values` holds the measures.

    Raises
    ------
    DataError
        When there is no request, a length differs or a value is infinite.
    SettingsError
        When A and B have one name or the primary measure is not among the measures.

    Examples
    --------
    >>> values = {"novelty": (np.array([3.0, 5, 4, 6, 2, 4]), np.array([3.5, 5.5, 4.5, 6, 3, 4.5]))}
    >>> compare_values(values, np.array(list("uvwxyz")), ("old", "new"), {}, plan=Plan(primary="novelty")).verdict
    <Verdict.BETTER: 'better'>
    """
    _check_any(len(users), window)
    check_lengths(len(users), segments, "requests")
    paired = Paired.of(values, np.unique(users, return_inverse=True)[1])
    parts = ((name, paired.where(flags)) for name, flags in segments.items())
    return _compare(paired, parts, names, window, plan)


def _compare(
    everything: Paired, segments: Iterable[tuple[str, Paired]], names: tuple[str, str], window: str, plan: Plan
) -> Comparison:
    if names[0] == names[1]:
        raise SettingsError(f"A and B are both named {names[0]!r}; give them two names")
    if plan.primary not in everything.measures:
        known = ", ".join(everything.measures)
        raise SettingsError(f"primary is {plan.primary!r}, which is not among the measures {known}; name one of them")
    overall = _differences(everything, plan)
    within = {name: _differences(part, plan) for name, part in segments}
    families = [[(overall, measure) for measure in overall if measure != plan.primary]]
    families += [[(part, measure) for part in within.values()] for measure in overall]
    for family in families:
        corrected = holm(np.array([part[measure].p for part, measure in family]))
        for (part, measure), p in zip(family, corrected.tolist(), strict=True):
            part[measure] = _as_secondary(part[measure], p, plan.matters)
    return Comparison(
        a=names[0],
        b=names[1],
        window=window,
        primary=plan.primary,
        matters=plan.matters,
        overall=overall,
        segments=within,
        left_out={name: len(everything.users) - found.requests for name, found in overall.items()},
    )


def _differences(paired: Paired, plan: Plan) -> dict[str, Difference]:
    """Test every measure as if it were the one that decides."""
    a, b, differences = paired.totals()
    columns = zip(
        paired.measures,
        paired.requests.tolist(),
        differences.users.tolist(),
        a.means.tolist(),
        b.means.tolist(),
        bootstrap(differences, plan.resamples, plan.seed),
        permutation_p_values(differences, plan.permutations, plan.seed).tolist(),
        effect_sizes(differences).tolist(),
        detectable_effects(differences).tolist(),
        strict=True,
    )
    return {
        name: Difference(
            requests=requests,
            users=users,
            a=mean_a,
            b=mean_b,
            interval=interval,
            p=p,
            p_adjusted=p,
            effect_size=effect_size,
            detectable=detectable,
            verdict=_verdict(interval.clear, interval.mean, users, detectable, plan.matters),
        )
        for name, requests, users, mean_a, mean_b, interval, p, effect_size, detectable in columns
    }


def _as_secondary(found: Difference, p: float, matters: float) -> Difference:
    verdict = _verdict(p <= LEVEL, found.interval.mean, found.users, found.detectable, matters)
    return replace(found, p_adjusted=p, verdict=verdict)


def _verdict(clear: bool, mean: float, users: int, detectable: float, matters: float) -> Verdict:
    if users < FEWEST_USERS:
        return Verdict.UNDERPOWERED
    return decide(clear, mean, detectable, matters)


def _check_scores(name: str, scores: Scores, rows: int) -> None:
    check_lengths(rows, {name: scores})
    wrong = np.isnan(scores) | np.isposinf(scores)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{wrong.sum()} of {len(scores)} scores of {name!r} are NaN or inf, the first {scores[row]} in row "
            f"{row + 1}; give every candidate a number, or -inf where it is not listed"
        )


def _check_any(requests: int, window: str) -> None:
    if not requests:
        raise DataError(f"the {window} window holds no request to compare; move [windows] cuts or name another window")
