"""How far B moves items against A on the same requests: first places, the top of the list, ranks and scores."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from recsys.errors import DataError, SettingsError
from recsys.statistics.numbers import Flags, Floats, Integers, Scores, divide, plain

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Which quantiles of the scores are given."""


@dataclass(frozen=True)
class Moves:
    """Candidates that B places so many places higher or lower than A.

    Attributes
    ----------
    low, high
        Places up from A to B, both ends included; negative numbers are places down, 0 stays.
    candidates
        How many.
    """

    low: int
    high: int
    candidates: int


@dataclass(frozen=True)
class Movement:
    """What changes in the lists when B takes the place of A.

    Attributes
    ----------
    requests
        Requests in which A or B lists a candidate; the others are left out.
    first_changed
        Share of them whose first place changes; NaN when there is none.
    k
        Length of the top that `overlap` looks at.
    overlap
        Mean share of the top k that A and B have in common.
    tau
        Mean over requests of Kendall's tau-b: 1 is the same order, 0 no relation, -1 the reverse.
    ordered
        Requests that tau is defined for: A and B each tell at least two candidates apart.
    moves
        Histogram of the places moved by candidates that both list, from the most down to the most up.
    entered, dropped
        Candidates that only B and only A lists.
    scores_a, scores_b
        Quantile, score at it, over the candidates that the system lists; NaN when there is none.
    """

    requests: int
    first_changed: float
    k: int
    overlap: float
    tau: float
    ordered: int
    moves: tuple[Moves, ...]
    entered: int
    dropped: int
    scores_a: Mapping[float, float]
    scores_b: Mapping[float, float]

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        numbers = {"first_changed": self.first_changed, "overlap": self.overlap, "tau": self.tau}
        return {
            "requests": self.requests,
            "k": self.k,
            **{name: plain(of) for name, of in numbers.items()},
            "moves": [asdict(moves) for moves in self.moves],
            "entered": self.entered,
            "dropped": self.dropped,
        }


def movement(scores_a: Scores, scores_b: Scores, starts: Integers, k: int = 10) -> Movement:
    """Compare the orders that two systems give to the same lists; labels are not looked at.

    A score of -inf means that the system does not list the candidate. Ties share their places evenly: of m candidates
    tied for the first place each holds 1 / m of it, and all of them stand at the mean of their ranks. So nothing
    depends on the order of the rows, and equal scores never move.

    The overlap of two tops is the sum over candidates of the smaller of the two shares in the top k, over k or the
    length of the longer list; one less the overlap at k = 1 is the share of changed first places. tau-b is Kendall's
    (1945) over the candidates that A or B lists, one that a system does not list standing tied last with it.

    Parameters
    ----------
    scores_a, scores_b
        [C] any numbers but NaN; higher is better.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`; `starts[R]` is C.
    k
        Length of the top, at least 1.

    Raises
    ------
    DataError
        When lengths differ, scores are unsigned, or a score is NaN.
    SettingsError
        When `k` is below 1.

    Examples
    --------
    >>> found = movement(np.array([3.0, 2.0, 1.0]), np.array([3.0, 1.0, 2.0]), np.array([0, 3]))
    >>> found.first_changed, round(found.tau, 4)
    (0.0, 0.3333)
    >>> [(moves.low, moves.candidates) for moves in found.moves]
    [(-1, 1), (0, 1), (1, 1)]
    """
    if k < 1:
        raise SettingsError(f"k is {k}, and the top of a list has at least 1 place; write 10")
    _check(scores_a, scores_b, starts)
    listed = (scores_a > -np.inf) | (scores_b > -np.inf)
    request = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[listed]
    a, b = _Places.of(scores_a[listed], request), _Places.of(scores_b[listed], request)
    requests = len(starts) - 1
    tau = _kendall(a, b, request, requests)
    return Movement(
        requests=len(np.unique(request)),
        first_changed=1 - _overlap(a, b, request, requests, 1),
        k=k,
        overlap=_overlap(a, b, request, requests, k),
        tau=_mean(tau),
        ordered=int(np.count_nonzero(~np.isnan(tau))),
        moves=_histogram((a.rank - b.rank)[a.listed & b.listed]),
        entered=int(np.count_nonzero(b.listed & ~a.listed)),
        dropped=int(np.count_nonzero(a.listed & ~b.listed)),
        scores_a=_quantiles(scores_a),
        scores_b=_quantiles(scores_b),
    )


@dataclass(frozen=True)
class _Places:
    """Where one system puts each candidate: C rows."""

    listed: Flags
    above: Integers  # candidates of the request with a higher score
    size: Integers  # candidates with the same score, itself among them

    @classmethod
    def of(cls, scores: Scores, request: Integers) -> "_Places":
        order = np.lexsort((-scores, request))
        ordered = scores[order]  # every request stays in its own rows
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (request[1:] != request[:-1]) | (ordered[1:] != ordered[:-1])
        first = np.flatnonzero(begins)
        run = np.cumsum(begins) - 1
        above, size = np.empty_like(order), np.empty_like(order)
        above[order] = (first - np.searchsorted(request, request[first]))[run]
        size[order] = np.diff(first, append=len(order))[run]
        return cls(scores > -np.inf, above, size)

    @property
    def rank(self) -> Floats:
        """Mean rank over the orders of a tie, 1 = first."""
        return self.above + (self.size + 1) / 2

    def top(self, k: int) -> Floats:
        """Share of each candidate in the first k places."""
        share: Floats = np.clip((k - self.above) / self.size, 0.0, 1.0)
        return np.where(self.listed, share, 0.0)


def _overlap(a: _Places, b: _Places, request: Integers, requests: int, k: int) -> float:
    def total(values: Floats) -> Floats:
        return np.bincount(request, weights=values, minlength=requests).astype(np.float64)

    of_a, of_b = a.top(k), b.top(k)
    overlap = divide(total(np.minimum(of_a, of_b)), np.maximum(total(of_a), total(of_b)))
    return _mean(overlap)


def _mean(values: Floats) -> float:
    """Mean of the values that are numbers, NaN when none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _kendall(a: _Places, b: _Places, request: Integers, requests: int) -> Floats:
    """tau-b of each request [R], NaN where A or B ties everything."""

    def pairs(group: Integers) -> Floats:
        """Pairs of candidates of one group, summed over the groups of each request."""
        _, first, sizes = np.unique(group, return_index=True, return_counts=True)
        return np.bincount(request[first], weights=sizes * (sizes - 1) / 2, minlength=requests).astype(np.float64)

    longest = int(max(a.above.max(initial=0), b.above.max(initial=0))) + 1
    whole, tied_a, tied_b = pairs(request), pairs(request * longest + a.above), pairs(request * longest + b.above)
    tied_both = pairs((request * longest + a.above) * longest + b.above)
    order = np.lexsort((b.above, a.above, request))
    discordant = _inversions(b.above[order], request[order], requests)
    agreement = whole - tied_a - tied_b + tied_both - 2 * discordant
    return divide(agreement, np.sqrt((whole - tied_a) * (whole - tied_b)))


def _inversions(values: Integers, request: Integers, requests: int) -> Floats:
    """Pairs of rows of one request whose earlier row holds the larger value: [R], from one pass per bit of a value.

    Two values differ first at one bit. Rows alike in all higher bits stand together, in the order they came in, so the
    rows with a 0 at this bit have as many inversions as rows with a 1 stand before them.
    """
    found = np.zeros(requests)
    group = request
    for bit in reversed(range(int(values.max(initial=0)).bit_length())):
        one = values >> bit & 1
        before = np.cumsum(one) - one
        before -= before[np.searchsorted(group, group)]
        found += np.bincount(request, weights=before * (1 - one), minlength=requests)
        group = 2 * group + one
        order = np.argsort(group, kind="stable")
        group, values, request = group[order], values[order], request[order]
    return found


def _histogram(up: Floats) -> tuple[Moves, ...]:
    """Count places moved in steps that double; the half places of ties count as whole ones."""
    up = np.sign(up) * np.ceil(np.abs(up))
    furthest = int(np.abs(up).max(initial=1))
    ends = [0, *(2**power for power in range(furthest.bit_length() + 1) if 2**power < 2 * furthest)]
    steps = [(low + 1, high) for low, high in pairwise(ends)]
    steps = [*((-high, -low) for low, high in reversed(steps)), (0, 0), *steps]
    return tuple(Moves(low, high, int(np.count_nonzero((up >= low) & (up <= high)))) for low, high in steps)


def _quantiles(scores: Scores) -> dict[float, float]:
    listed = scores[scores > -np.inf]
    if not len(listed):
        return dict.fromkeys(QUANTILES, float("nan"))
    return dict(zip(QUANTILES, np.quantile(listed, QUANTILES, method="inverted_cdf").tolist(), strict=True))


def _check(scores_a: Scores, scores_b: Scores, starts: Integers) -> None:
    for name, scores in (("A", scores_a), ("B", scores_b)):
        if scores.dtype.kind in "ub":
            raise DataError(f"scores of {name} are {scores.dtype}, which cannot be turned around; give floats")
        if len(scores) != starts[-1]:
            raise DataError(f"{name} has {len(scores)} scores for {starts[-1]} candidates; give one per candidate")
        missing = int(np.count_nonzero(np.isnan(scores)))
        if missing:
            raise DataError(f"{missing} of {len(scores)} scores of {name} are NaN; give every candidate a number")
