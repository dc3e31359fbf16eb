"""Which ranking users prefer, read from the clicks on interleaved lists."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.errors import DataError, SettingsError
from recsys.experiment.interleaving import STEEPNESS
from recsys.statistics.intervals import Interval, bootstrap
from recsys.statistics.numbers import Floats, plain
from recsys.statistics.p_values import permutation_p_values
from recsys.statistics.power import FEWEST_USERS, detectable_effects
from recsys.statistics.totals import UserTotals
from recsys.statistics.verdict import Verdict, decide

EVEN = 0.5
"""The share of wins when users prefer neither ranking."""


@dataclass(frozen=True)
class Preference:
    """What the clicks on interleaved lists say about B against A.

    A request is won by the ranking that earned more of its clicks; a tie is half a win for each. The 95 % interval of
    B's share of wins decides: better when it lies above one half, worse when it lies below; otherwise no difference is
    shown when `detectable` is at most `matters`, and the log is underpowered when it is more, or when fewer than
    `FEWEST_USERS` users clicked.

    Attributes
    ----------
    requests, users
        Requests with at least one click, and their users; the only ones that say anything.
    without_click
        Requests without a click, which are left out.
    wins, ties, losses
        Requests that B won, tied and lost; expected numbers where a click is shared.
    interval
        B's share of wins, ties split, mean over requests, with a 95 % interval by bootstrap over users.
    p
        Two-sided permutation p-value, labels A and B swapped per user; NaN below two users.
    detectable
        Minimum detectable effect: the distance from one half that the two-sided 5 % level finds with 80 % power on so
        many users; NaN below two users.
    matters
        The smallest distance from one half that would matter.
    """

    requests: int
    users: int
    without_click: int
    wins: float
    ties: float
    losses: float
    interval: Interval
    p: float
    detectable: float
    matters: float

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        if self.users < FEWEST_USERS:
            return Verdict.UNDERPOWERED
        clear = self.interval.low > EVEN or self.interval.high < EVEN
        return decide(clear, self.interval.mean - EVEN, self.detectable, self.matters)

    @property
    def rule(self) -> str:
        """The rule in one sentence with its numbers."""
        said = f"B wins {self.interval.mean:.1%} of {self.requests:,} requests with a click"
        if math.isnan(self.interval.low):
            return f"{said}, from fewer than two users, which gives no interval: {self.verdict}."
        said += f", 95 % interval {self.interval.low:.1%} to {self.interval.high:.1%}"
        if self.users < FEWEST_USERS:
            return f"{said}, from {self.users} users, and fewer than {FEWEST_USERS} give no verdict: {self.verdict}."
        if self.verdict in (Verdict.BETTER, Verdict.WORSE):
            return f"{said}, which lies {'above' if self.interval.low > EVEN else 'below'} 50 %: {self.verdict}."
        within = "at most" if self.detectable <= self.matters else "more than"
        return (
            f"{said}, which holds 50 %, and the smallest distance found with 80 % power, {self.detectable:.1%}, is "
            f"{within} the {self.matters:.1%} that matters: {self.verdict}."
        )

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        counts = {"requests": self.requests, "users": self.users, "without_click": self.without_click}
        numbers = {
            "wins": self.wins,
            "ties": self.ties,
            "losses": self.losses,
            "share": self.interval.mean,
            "low": self.interval.low,
            "high": self.interval.high,
            "p": self.p,
            "detectable": self.detectable,
            "matters": self.matters,
        }
        return {
            **counts,
            **{name: plain(number) for name, number in numbers.items()},
            "verdict": str(self.verdict),
            "rule": self.rule,
        }


def read_preference(
    log: pl.DataFrame, matters: float = 0.01, resamples: int = 2000, permutations: int = 10_000, seed: int = 0
) -> Preference:
    """Read which ranking users prefer from interleaved lists that were shown.

    Parameters
    ----------
    log
        One row per shown item, in any order: `request_id`, `user_id`, `item_id`, `label` (above 0 is a click) and
        either `team` (`"A"` or `"B"`) or `credit_b`, B's share of a click from 0 to 1, which stands in for `team` where
        both are there. `credit_from_ranks` finds it from the two rankings.
    matters
        The smallest distance from one half that would matter, as a share of wins.
    resamples
        Resamples of the bootstrap over users.
    permutations
        Permutations of the test.
    seed
        Seed of both; the answer does not depend on the order of the rows.

    Raises
    ------
    DataError
        When the log is empty, a column or value is missing, a team is unknown, a credit is outside 0 to 1, a request
        repeats an item or belongs to two users.
    SettingsError
        When `matters` is not above 0.

    Examples
    --------
    >>> log = pl.DataFrame({"request_id": [1, 1, 2], "user_id": [7, 7, 8], "item_id": [3, 4, 3],
    ...                     "team": ["A", "B", "B"], "label": [0, 1, 1]})
    >>> read_preference(log).interval.mean
    1.0
    """
    if not 0 < matters < EVEN:
        raise SettingsError(f"matters is {matters:g}; write a distance from one half, above 0 and below 0.5")
    log = _checked(log)
    clicks = log.filter(pl.col("label") > 0).sort("request_id", "item_id")
    won, tied = _outcomes(clicks)
    user_of = clicks.select(pl.col("request_id", "user_id")).unique("request_id", maintain_order=True)["user_id"]
    users = (user_of.rank("dense") - 1).cast(pl.Int64).to_numpy()
    shares = UserTotals.of((won + tied / 2)[None], users)
    leads = UserTotals.of((won + tied / 2)[None] - EVEN, users)
    return Preference(
        requests=len(won),
        users=int(shares.users[0]),
        without_click=log["request_id"].n_unique() - len(won),
        wins=float(won.sum()),
        ties=float(tied.sum()),
        losses=float((1 - won - tied).sum()),
        interval=bootstrap(shares, resamples, seed)[0],
        p=float(permutation_p_values(leads, permutations, seed)[0]),
        detectable=float(detectable_effects(leads)[0]),
        matters=matters,
    )


def credit_from_ranks(log: pl.DataFrame) -> pl.DataFrame:
    """Add `credit_b` to lists shown by probabilistic interleaving: the probability that B gave the item.

    This marginalises over who gave what (Hofmann, Whiteson and de Rijke 2011), so no team need have been logged.

    Parameters
    ----------
    log
        One row per item of either ranking, in any order: `request_id`, `item_id`, `rank_a` and `rank_b` (1 = first,
        null where that ranking does not hold the item) and `position` (1 = first, null where it was not shown).

    Returns
    -------
    pl.DataFrame
        The shown rows with `credit_b`, in the order of `log`.

    Raises
    ------
    DataError
        When a column is missing or a shown item stands in neither ranking.
    """
    _check_columns(log, ("request_id", "item_id", "rank_a", "rank_b", "position"))
    lost = log.filter(pl.col("position").is_not_null() & pl.col("rank_a").is_null() & pl.col("rank_b").is_null())
    if lost.height:
        raise DataError(
            f"{lost.height} shown items stand in neither ranking, such as {lost['item_id'][0]!r} in request "
            f"{lost['request_id'][0]!r}; leave out what was not interleaved"
        )
    place = pl.col("position").cast(pl.Int64).fill_null(2**62)
    chances = []
    for name in ("rank_a", "rank_b"):
        weight = pl.when(pl.col(name).is_not_null()).then(pl.col(name).cast(pl.Float64).pow(-STEEPNESS)).otherwise(0.0)
        left = weight.cum_sum(reverse=True).over(
            "request_id", order_by=place
        )  # of this item and all that were not yet shown
        chances.append(pl.when(left > 0).then(weight / left).otherwise(0.0))
    return log.with_columns(credit_b=chances[1] / (chances[0] + chances[1])).filter(pl.col("position").is_not_null())


def _outcomes(clicks: pl.DataFrame) -> tuple[Floats, Floats]:
    """Give the probability that B won and that it tied, for each request in the order of the rows.

    Who gave one item does not depend on who gave another, so B's number of clicks is a sum of independent draws.
    """
    request = (clicks["request_id"].rle_id()).to_numpy().astype(np.int64)
    requests = int(request.max(initial=-1)) + 1
    counts = np.bincount(request, minlength=requests)
    most = int(counts.max(initial=0))
    place = np.arange(len(request)) - np.repeat(np.cumsum(counts) - counts, counts)
    credit = np.zeros((requests, most))
    credit[request, place] = clicks["credit_b"].to_numpy()
    chance = np.zeros((requests, most + 1))  # that B has so many of the clicks so far
    chance[:, 0] = 1.0
    for click in range(most):  # missing clicks have credit 0 and change nothing
        given = credit[:, click, None]
        moved = chance[:, :-1] * given
        chance *= 1 - given
        chance[:, 1:] += moved
    lead = 2 * np.arange(most + 1) - counts[:, None]
    won: Floats = (chance * (lead > 0)).sum(axis=1)
    tied: Floats = (chance * (lead == 0)).sum(axis=1)
    return won, tied


def _checked(log: pl.DataFrame) -> pl.DataFrame:
    """Return the log with `credit_b`, or say what is wrong with it."""
    credit = "credit_b" if "credit_b" in log.columns else "team"
    _check_columns(log, ("request_id", "user_id", "item_id", "label", credit))
    if log.is_empty():
        raise DataError("the log of interleaved lists is empty; pass at least one shown list")
    missing = [name for name in ("request_id", "user_id", "item_id", "label", credit) if log[name].null_count()]
    if missing:
        raise DataError(f"interleaved lists lack values in {missing}; log every shown item in full")
    if credit == "team":
        unknown = log.filter(~pl.col("team").is_in(["A", "B"]))["team"].unique().sort().to_list()
        if unknown:
            raise DataError(f"team holds {unknown[:3]}; write 'A' or 'B' for the ranking that gave the item")
        log = log.with_columns(credit_b=(pl.col("team") == "B").cast(pl.Float64))
    outside = log.filter(~pl.col("credit_b").is_between(0, 1))["credit_b"].to_list()
    if outside:
        raise DataError(f"credit_b holds {outside[:3]}; it is B's share of a click, from 0 to 1")
    repeated = log.filter(pl.struct("request_id", "item_id").is_duplicated()).sort("request_id", "item_id")
    if repeated.height:
        request, item = repeated.select("request_id", "item_id").row(0)
        raise DataError(f"request {request!r} shows item {item!r} twice; keep one row per shown item")
    shared = log.group_by("request_id").agg(pl.col("user_id").n_unique()).filter(pl.col("user_id") > 1)["request_id"]
    if len(shared):
        raise DataError(f"request {shared.sort()[0]!r} belongs to two users; give every list its own request_id")
    return log


def _check_columns(log: pl.DataFrame, needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in log.columns]
    if missing:
        raise DataError(f"interleaved lists lack {missing}; they have {log.columns}, so rename or add the columns")
