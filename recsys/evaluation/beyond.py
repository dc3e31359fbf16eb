"""What a system shows, measured without labels: coverage, evenness, novelty, diversity, age, and whether it answers."""

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import DataError, SettingsError
from recsys.evaluation.ordered_lists import blocks, check_scores
from recsys.statistics.numbers import Floats, Integers, Scores, divide

_BLOCK_NUMBERS = 1 << 22  # numbers of vectors held at once


@dataclass(frozen=True)
class Shown:
    """What a system shows in the first k places of R requests: the candidates that may stand there.

    Attributes
    ----------
    k
        Places that are shown.
    requests
        How many requests, R, those that show nothing included.
    items
        How many items there were to show, I.
    row
        [S] row of the candidate.
    request
        [S] its request, never falling.
    item
        [S] its item, 0 up to I - 1.
    share
        [S] probability that it is shown, above 0; it is 1 unless a tie is cut by k.
    drawn
        [S] whether it is shown when ties are broken by the seeded draw.
    """

    k: int
    requests: int
    items: int
    row: Integers
    request: Integers
    item: Integers
    share: Floats
    drawn: NDArray[np.bool_]

    @property
    def showings(self) -> Floats:
        """Showings of every item in expectation: [I]."""
        return np.bincount(self.item, self.share, self.items).astype(np.float64, copy=False)

    def mean(self, values: Floats) -> Floats:
        """Mean of `values` [S] over what each request shows, those that are NaN left out: [R], NaN for nothing."""
        known = ~np.isnan(values)
        request, share = self.request[known], self.share[known]
        summed = np.bincount(request, share * values[known], self.requests)
        return divide(summed, np.bincount(request, share, self.requests))


def show(scores: Scores, item: Integers, starts: Integers, items: int, k: int, seed: int = 0) -> Shown:
    """Tell what a system shows in the first k places of each request.

    Parameters
    ----------
    scores
        [C] any numbers but NaN; higher is better, -inf is a candidate that is not listed and never shown.
    item
        [C] the item of each candidate, 0 up to `items` - 1; no item twice in a request.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`; `starts[R]` is C.
    items
        How many items there were to show, those that are no candidate included.
    k
        Places that are shown, at least 1; a shorter list is shown whole.
    seed
        Seed of the draw that breaks ties: every item gets a number, the lower goes first, in any order of the rows.

    Raises
    ------
    DataError
        When a score is NaN or an item is not one of `items`.
    SettingsError
        When k is below 1.

    Examples
    --------
    >>> show(np.array([0.1, 0.9, 0.1]), np.array([5, 6, 7]), np.array([0, 3]), items=8, k=2).share.tolist()
    [1.0, 0.5, 0.5]
    """
    if k < 1:
        raise SettingsError(f"k is {k}, which shows nothing; write 1 or more")
    check_scores(scores, starts)
    if len(item) and not 0 <= item.min() <= item.max() < items:
        raise DataError(f"items are numbered {item.min()} to {item.max()} but there are {items}; number them from 0")
    turn = np.random.default_rng(seed).permutation(items)
    parts = [
        _first_places(
            scores[starts[first] : starts[last]], turn[item[starts[first] : starts[last]]], starts[first : last + 1], k
        )
        for first, last in [(0, 0), *blocks(starts)]  # one block at least
    ]
    row, share, drawn = map(np.concatenate, zip(*parts, strict=True))
    request = np.searchsorted(starts, row, "right") - 1
    return Shown(k, len(starts) - 1, items, row, request, item[row].astype(np.int64), share, drawn)


def coverage(shown: Shown) -> float:
    """Return catalogue coverage@k: the share of all items that are shown at least once (Ge et al. 2010).

    Under ties it is the expected share: an item is missed with the product of 1 - its probability of being shown.
    NaN when there is no item.
    """
    missed = np.ones(shown.items)
    np.multiply.at(missed, shown.item, 1 - shown.share)
    return float(1 - missed.mean()) if shown.items else float("nan")


def gini(shown: Shown) -> float:
    """Return Gini@k of the expected showings of all items, those never shown included: 0 is even, 1 is one item only.

    With showings x in rising order it is sum((2 i - I - 1) x_i) / ((I - 1) sum(x)), i from 1 to I (Castells, Hurley
    and Vargas 2022). NaN with fewer than two items or when nothing is shown.
    """
    showings = np.sort(shown.showings)
    if shown.items < 2 or not showings.any():
        return float("nan")
    weights = 2 * np.arange(1, shown.items + 1) - shown.items - 1
    return float(weights @ showings / ((shown.items - 1) * showings.sum()))


def novelty(shown: Shown, past: Integers | Floats) -> Floats:
    """Return novelty@k per request: mean of -log2 of the share that each shown item had of the past (Zhou et al. 2010).

    Parameters
    ----------
    shown
        What is shown.
    past
        [I] showings or clicks of every item before. Its share is (past + 1) / (sum(past) + I), so that an item without
        a past has a finite novelty.

    Returns
    -------
    Floats
        [R] bits, NaN where nothing is shown.

    Raises
    ------
    DataError
        When there is not one count of at least 0 per item.
    """
    if len(past) != shown.items or not np.all(past >= 0):
        raise DataError(f"past holds {len(past)} counts for {shown.items} items; give each one of at least 0")
    bits = -np.log2((past + 1) / (past.sum() + shown.items))
    return shown.mean(bits[shown.item])


def diversity(shown: Shown, vectors: Floats | NDArray[np.float32]) -> tuple[Floats, int]:
    """Return intra-list diversity ILD@k per request: mean of 1 - cosine over pairs of shown items.

    Ties are broken by the seeded draw. The sum of cosines over pairs of m unit vectors is (|sum|^2 - m) / 2, so no
    pair is looked at (Ziegler et al. 2005, whose intra-list similarity is 1 - this).

    Parameters
    ----------
    shown
        What is shown.
    vectors
        [I, D] one vector per item; an item whose vector holds NaN or is zero has none.

    Returns
    -------
    tuple[Floats, int]
        [R] 0 to 2, NaN where fewer than two shown items have a vector; and how many showings had none and were left
        out.

    Raises
    ------
    DataError
        When there is not one vector per item.
    """
    if vectors.ndim != 2 or len(vectors) != shown.items:
        raise DataError(f"vectors have the shape {vectors.shape} for {shown.items} items; give one row per item")
    item, request = shown.item[shown.drawn], shown.request[shown.drawn]
    lengths = np.linalg.norm(vectors, axis=1)
    has = (lengths > 0)[item]
    item, request = item[has], request[has]
    cosines = np.zeros(shown.requests)
    size = np.bincount(request, minlength=shown.requests)
    starts = np.concatenate([[0], np.cumsum(size)])
    for first, last in blocks(starts, max(1, _BLOCK_NUMBERS // max(1, vectors.shape[1]))):
        rows = slice(starts[first], starts[last])
        units = vectors[item[rows]].astype(np.float64) / lengths[item[rows], None]
        begins = starts[first:last][size[first:last] > 0] - starts[first]
        summed = np.add.reduceat(units, begins) if len(begins) else units
        cosines[first:last][size[first:last] > 0] = np.square(summed).sum(axis=1)
    pairs = size * (size - 1)
    return 1 - divide(cosines - size, pairs), int(np.count_nonzero(~has))


def personalisation(shown: Shown, users: Integers) -> float:
    """Return personalisation@k: 1 - the mean overlap of lists of two different users (Zhou et al. 2010).

    The overlap of two lists is the number of items in both over k, even where a list is shorter; the mean is over all
    pairs of requests of different users that show something. It comes from counts: sum over items of (showings^2 minus
    the squared showings to each user), over k times the number of ordered pairs. 0 when all users see the same, 1 when
    no two users share an item.

    Parameters
    ----------
    shown
        What is shown.
    users
        [R] the user of each request, numbered from 0.

    Returns
    -------
    float
        0 to 1, NaN when fewer than two users are shown anything.
    """
    answered = np.unique(shown.request)
    lists = np.bincount(users[answered]).astype(np.float64)
    pairs = lists.sum() ** 2 - np.square(lists).sum()
    if not pairs:
        return float("nan")
    user_and_item = users[shown.request] * shown.items + shown.item
    to_user = np.bincount(np.unique(user_and_item, return_inverse=True)[1], shown.share)
    common = np.square(shown.showings).sum() - np.square(to_user).sum()
    return float(1 - common / (shown.k * pairs))


def freshness(shown: Shown, ages: Floats) -> Floats:
    """Return freshness@k per request: mean age of the shown items when they were asked for; lower is fresher.

    Parameters
    ----------
    shown
        What is shown.
    ages
        [C] hours from the item's publication to the request, per candidate; NaN is an unknown age and left out.

    Returns
    -------
    Floats
        [R] hours, NaN where no shown item has a known age. A tie cut by k weighs each known age by its probability of
        being shown.
    """
    return shown.mean(ages[shown.row])


def _first_places(
    scores: Scores, turns: Integers, starts: Integers, k: int
) -> tuple[Integers, Floats, NDArray[np.bool_]]:
    """Give rows that may stand in the first k places in the order of their lists, how probably, and whether drawn."""
    request = np.repeat(np.arange(len(starts) - 1, dtype=np.uint16), np.diff(starts))
    order = np.lexsort((turns, -scores, request))
    scores, request = scores[order], request[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (scores[1:] != scores[:-1]) | (request[1:] != request[:-1])
    first = np.flatnonzero(begins)
    size = np.diff(first, append=len(order))
    above = first - (starts - starts[0])[request[first]]
    share = np.clip(k - above, 0, size) / size
    listed = scores[first] > -np.inf
    share = np.repeat(np.where(listed, share, 0.0), size)
    place = np.arange(len(order)) - (starts - starts[0])[request]
    held = np.flatnonzero(share)
    return order[held] + starts[0], share[held], place[held] < k


@dataclass(frozen=True)
class OutputQuality:
    """What was asked for and what came; only candidates of a request count as its items.

    Attributes
    ----------
    k
        Items that a request needs.
    requests, answered
        Requests that were asked, and how many of them have an item.
    too_few
        Answered requests with fewer different items than k, or than they have candidates where those are fewer.
    repeated
        Rows that repeat an item of their request.
    not_candidates
        Rows of asked requests whose item is not one of its candidates.
    not_asked
        Requests in the rankings that were not asked.
    users, users_covered
        Users who asked, and how many of them have at least one answered request.
    """

    k: int
    requests: int
    answered: int
    too_few: int
    repeated: int
    not_candidates: int
    not_asked: int
    users: int
    users_covered: int

    def to_json(self) -> dict[str, int]:
        """Return plain objects for `json.dumps`."""
        return asdict(self)


def output_quality(rankings: pl.DataFrame, candidates: pl.DataFrame, k: int) -> OutputQuality:
    """Compare rankings with the candidates that they were asked to order.

    Parameters
    ----------
    rankings
        `request_id`, `item_id`, one row per ranked item.
    candidates
        `request_id`, `user_id`, `item_id`, one row per candidate, ids in the types of the rankings.
    k
        Items that a request needs, at least 1.

    Raises
    ------
    DataError
        When a column is missing or ids of the two tables have different types.
    SettingsError
        When k is below 1.
    """
    if k < 1:
        raise SettingsError(f"k is {k}, which asks for nothing; write 1 or more")
    key = ["request_id", "item_id"]
    _check(rankings, candidates, key)
    asked = candidates.lazy().unique(["request_id", "item_id"])
    given = rankings.lazy().select(key)
    known = given.join(asked.select("request_id").unique(), on="request_id", how="semi")
    items = given.unique().join(asked, on=key, how="semi").group_by("request_id").agg(pl.len().alias("given"))
    needed = asked.group_by("request_id").agg(pl.len().clip(upper_bound=k).alias("needed"), pl.col("user_id").first())
    answered = pl.col("given").is_not_null()
    of_requests = needed.join(items, on="request_id", how="left").select(
        requests=pl.len(),
        answered=answered.sum(),
        too_few=(pl.col("given") < pl.col("needed")).sum(),
        users=pl.col("user_id").n_unique(),
        users_covered=pl.col("user_id").filter(answered).n_unique(),
    )
    of_rows = known.join(asked.select(*key, candidate=True), on=key, how="left")
    counts = pl.collect_all(
        [
            of_requests,
            of_rows.select(
                repeated=pl.len() - pl.struct(key).n_unique(), not_candidates=pl.col("candidate").is_null().sum()
            ),
            given.join(asked, on="request_id", how="anti").select(not_asked=pl.col("request_id").n_unique()),
        ]
    )
    return OutputQuality(
        k=k, **{name: int(value) for table in counts for name, value in table.row(0, named=True).items()}
    )


def _check(rankings: pl.DataFrame, candidates: pl.DataFrame, key: list[str]) -> None:
    for name, table, columns in (("rankings", rankings, key), ("candidates", candidates, [*key, "user_id"])):
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise DataError(f"{name} lack the columns {missing}; add them")
    for column in key:
        types = [str(table.schema[column]) for table in (rankings, candidates)]
        if types[0] != types[1]:
            raise DataError(f"{column} is {types[0]} in rankings and {types[1]} in candidates; cast one to the other")
