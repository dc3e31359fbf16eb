"""What is fixed before an experiment, and what its read-out says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from recsys.errors import SettingsError
from recsys.experiment.metrics import Metric
from recsys.experiment.traffic import THRESHOLD, SampleRatio, check_shares
from recsys.statistics.intervals import Interval
from recsys.statistics.numbers import plain
from recsys.statistics.verdict import Verdict


@dataclass(frozen=True)
class ExperimentPlan:
    """What to read and how to decide, fixed before looking.

    Attributes
    ----------
    shares
        The two arms, the present one (A) first, and the share of the users of both that each was to get.
    metrics
        What to measure; the first decides.
    matters
        The smallest relative lift that would matter, as a share of A's value: 0.01 is one percent.
    expected
        Users of both arms together when the experiment is to end, at least 2. With it, the anytime-valid interval
        decides, and the read-out may be looked at every day. Without, the fixed-horizon interval decides, which holds
        for one look at a time fixed beforehand.

    Raises
    ------
    SettingsError
        When there are not two arms, the shares are no split, no metric is named or one is named twice, or a number is
        out of its range.
    """

    shares: Mapping[str, float]
    metrics: tuple[Metric, ...]
    matters: float = 0.01
    expected: int | None = None

    def __post_init__(self) -> None:
        if len(self.shares) != 2:
            raise SettingsError(f"the plan names {len(self.shares)} arms; compare two at a time, the present one first")
        check_shares(self.shares)
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) < len(names):
            raise SettingsError(f"metrics are {names}; name at least one, each once, the one that decides first")
        if not self.matters > 0:
            raise SettingsError(
                f"matters is {self.matters:g}; write the smallest relative lift of interest, such as 0.01"
            )
        if self.expected is not None and self.expected < 2:
            raise SettingsError(f"expected is {self.expected} users; write the planned size of both arms, at least 2")

    @property
    def arms(self) -> tuple[str, str]:
        """Names of A and B."""
        a, b = self.shares
        return a, b


@dataclass(frozen=True)
class Effect:
    """One metric of an experiment, always B minus A; intervals are 95 %.

    Attributes
    ----------
    values
        Arm, its value.
    difference
        Welch's interval, for one look at a fixed time; a ratio by the delta method.
    p
        Two-sided p-value of Welch's test; NaN when all users are alike.
    lift
        (B - A) / A by Fieller's theorem; NaN when A is not clearly above 0.
    cuped
        As `difference`, with what users did before taken out; None when the metric names no past.
    reduction
        Share of the variance that CUPED took out, 0 to 1; None without.
    without_past
        Users of both arms without a past, who took the mean; None without CUPED.
    sequential
        Anytime-valid interval, of the CUPED'd difference where there is one; None when the plan expects no size.
    p_adjusted
        P-value of the interval that decides, Holm-corrected over the secondary metrics; of the first metric as it is.
    detectable
        Minimum detectable effect: the true difference that the interval that decides shows with 80 % power on so many
        users, in units of the metric.
    verdict
        By the rule of `Readout`; None when the split is broken.
    """

    values: Mapping[str, float]
    difference: Interval
    p: float
    lift: Interval
    cuped: Interval | None
    reduction: float | None
    without_past: int | None
    sequential: Interval | None
    p_adjusted: float
    detectable: float
    verdict: Verdict | None

    @property
    def decides(self) -> Interval:
        """The interval that decides: the anytime-valid one, else the CUPED'd one, else the plain one."""
        return self.sequential or self.cuped or self.difference

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {
            "values": {arm: plain(value) for arm, value in self.values.items()},
            "difference": self.difference.to_json(),
            "p": plain(self.p),
            "lift": self.lift.to_json(),
            "cuped": self.cuped and self.cuped.to_json(),
            "reduction": plain(self.reduction),
            "without_past": self.without_past,
            "sequential": self.sequential and self.sequential.to_json(),
            "p_adjusted": plain(self.p_adjusted),
            "detectable": plain(self.detectable),
            "verdict": None if self.verdict is None else str(self.verdict),
        }


@dataclass(frozen=True)
class Readout:
    """What an experiment says about B against A.

    The first metric decides. B is better when the interval that decides lies above 0, worse when it lies below;
    otherwise no difference is shown when the minimum detectable effect is at most `matters` times A's value, and the
    experiment is underpowered when it is more. Other metrics are better or worse when their Holm-corrected p-value is
    at most 5 %, and otherwise go by the same rule. A broken split gives no verdict.

    Attributes
    ----------
    plan
        What was fixed beforehand.
    sample_ratio
        Users of each arm against their shares.
    effects
        Metric, what it says; in the order of the plan.
    """

    plan: ExperimentPlan
    sample_ratio: SampleRatio
    effects: Mapping[str, Effect]

    @property
    def primary(self) -> str:
        """Name of the metric that decides."""
        return self.plan.metrics[0].name

    @property
    def verdict(self) -> Verdict | None:
        """What the first metric says; None when the split is broken."""
        return self.effects[self.primary].verdict

    @property
    def rule(self) -> str:
        """The rule in one sentence with its numbers."""
        if self.sample_ratio.mismatch:
            return (
                f"No verdict: the split is broken, {self.sample_ratio}, below the threshold of {THRESHOLD:g}; find "
                "where users were lost or added before reading any difference."
            )
        (a, b), found = self.plan.arms, self.effects[self.primary]
        kind = "anytime-valid 95 % interval" if found.sequential else "95 % interval for one look"
        said = (
            f"{self.primary} decides: {b} minus {a} is {found.decides.mean:+.4g}, {kind}"
            f"{' with CUPED' if found.cuped else ''} {found.decides.low:+.4g} to {found.decides.high:+.4g}"
        )
        if found.decides.clear:
            return f"{said}, which lies {'above' if found.decides.low > 0 else 'below'} 0: {found.verdict}."
        enough = abs(found.values[a]) * self.plan.matters
        within = "at most" if found.detectable <= enough else "more than"
        return (
            f"{said}, which holds 0, and the smallest difference found with 80 % power, {found.detectable:.4g}, is "
            f"{within} the {enough:.4g} that matters ({self.plan.matters:.1%} of {a}): {found.verdict}."
        )

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {
            "arms": list(self.plan.arms),
            "primary": self.primary,
            "matters": self.plan.matters,
            "expected": self.plan.expected,
            "users": dict(self.sample_ratio.users),
            "sample_ratio": {
                "expected": dict(self.sample_ratio.expected),
                "p": self.sample_ratio.p,
                "mismatch": self.sample_ratio.mismatch,
            },
            "verdict": None if self.verdict is None else str(self.verdict),
            "rule": self.rule,
            "metrics": {name: effect.to_json() for name, effect in self.effects.items()},
        }

    def to_text(self) -> str:
        """Write the read-out for a terminal: a few lines per metric, the verdict last."""
        lines = [f"Sample ratio: {self.sample_ratio}."]
        for name, effect in self.effects.items():
            values = ", ".join(f"{arm} {value:.4g}" for arm, value in effect.values.items())
            verdict = "" if effect.verdict is None else f": {effect.verdict}"
            lines += ["", f"{name}{verdict}", _line("value", values)]
            lines.append(_line("difference", f"{_range(effect.difference)}, p = {effect.p:.3g}"))
            lines.append(_line("lift", _range(effect.lift, "+.2%")))
            if effect.cuped:
                took = f"variance {-(effect.reduction or 0):.1%}, {effect.without_past:,} users without a past"
                lines.append(_line("CUPED", f"{_range(effect.cuped)} ({took})"))
            if effect.sequential:
                lines.append(_line("anytime-valid", _range(effect.sequential)))
            lines.append(_line("detectable", f"{effect.detectable:.4g} with 80 % power"))
        return "\n".join([*lines, "", self.rule]) + "\n"


def _line(name: str, text: str) -> str:
    return f"  {name:<14}{text}"


def _range(interval: Interval, form: str = "+.4g") -> str:
    if math.isnan(interval.mean):
        return "\N{EN DASH}"
    return f"{interval.mean:{form}} ({interval.low:{form}} to {interval.high:{form}})"
