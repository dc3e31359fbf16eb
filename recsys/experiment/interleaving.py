"""Two rankings in one shown list: team-draft and probabilistic interleaving, drawn for a request or simulated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from recsys.errors import DataError, SettingsError
from recsys.statistics.numbers import Floats, Integers, Scores

Seed = int | np.random.Generator
ItemId = int | str

STEEPNESS = 3.0
"""Power of the rank in probabilistic interleaving: an item at rank r is drawn in proportion to 1 / r^3."""


@dataclass(frozen=True)
class Interleaved:
    """One shown list made of two rankings; N places.

    Attributes
    ----------
    items
        [N] what is shown, first place first; no item twice.
    teams
        [N] the ranking that gave the item, `"A"` or `"B"`.
    credit_b
        [N] the share of a click that B earns, 0 to 1; A earns the rest. Team draft gives all to the team. Probabilistic
        interleaving gives the probability that the item came from B, whatever team was drawn.
    """

    items: tuple[ItemId, ...]
    teams: tuple[str, ...]
    credit_b: tuple[float, ...]


Interleave = Callable[[Sequence[ItemId], Sequence[ItemId], int, Seed], Interleaved]


def team_draft(a: Sequence[ItemId], b: Sequence[ItemId], k: int, seed: Seed = 0) -> Interleaved:
    """Interleave two rankings as two captains pick teams (Radlinski, Kurup and Joachims 2008).

    In every round both rankings give their best item that is not yet shown; a coin says which goes first. The list ends
    at `k` places, or once all items of one ranking are shown, because the other would then go on without a rival.

    Parameters
    ----------
    a, b
        Items of one request, best first; one ranking may hold items that the other does not.
    k
        Most places to fill, at least 1.
    seed
        Seed of the coins, or a generator to draw them from.

    Raises
    ------
    DataError
        When a ranking is empty or repeats an item.
    SettingsError
        When `k` is below 1.

    Examples
    --------
    >>> team_draft(["x", "y", "z"], ["z", "y", "x"], k=2, seed=0)
    Interleaved(items=('z', 'x'), teams=('B', 'A'), credit_b=(1.0, 0.0))
    """
    _check(a, b, k)
    random = np.random.default_rng(seed)
    left = {"A": list(a), "B": list(b)}
    items: list[ItemId] = []
    teams: list[str] = []
    turns = ""  # who is still to pick in this round
    while len(items) < k and all(left.values()):
        turns = turns or ["AB", "BA"][random.integers(2)]
        team, turns = turns[0], turns[1:]
        items.append(left[team][0])
        teams.append(team)
        left = {name: [item for item in ranking if item != items[-1]] for name, ranking in left.items()}
    return Interleaved(tuple(items), tuple(teams), tuple(float(team == "B") for team in teams))


def probabilistic(a: Sequence[ItemId], b: Sequence[ItemId], k: int, seed: Seed = 0) -> Interleaved:
    """Interleave two rankings by drawing from both (Hofmann, Whiteson and de Rijke 2011).

    At every place a coin chooses a ranking, which draws one of its items not yet shown in proportion to 1 / rank^3, the
    rank being that of the whole ranking. Every order of the items is possible, and a click earns each ranking the
    probability that it gave the item: less noise than the coin that fell. The list ends as in `team_draft`.

    Parameters
    ----------
    a, b
        Items of one request, best first; one ranking may hold items that the other does not.
    k
        Most places to fill, at least 1.
    seed
        Seed of the draws, or a generator to draw from.

    Raises
    ------
    DataError
        When a ranking is empty or repeats an item.
    SettingsError
        When `k` is below 1.

    Examples
    --------
    >>> shown = probabilistic(["x", "y"], ["y", "x"], k=2, seed=1)
    >>> shown.items, [round(credit, 3) for credit in shown.credit_b]
    (('y', 'x'), [0.889, 0.5])
    """
    _check(a, b, k)
    random = np.random.default_rng(seed)
    pool = list(dict.fromkeys([*a, *b]))
    weights = np.stack([_weights(ranking, pool) for ranking in (a, b)])  # [2, items], 0 once shown
    items: list[ItemId] = []
    teams: list[str] = []
    credit: list[float] = []
    while len(items) < k and weights.any(axis=1).all():
        chances = weights / weights.sum(axis=1, keepdims=True)
        team = int(random.integers(2))
        drawn = int(random.choice(len(pool), p=chances[team]))
        items.append(pool[drawn])
        teams.append("AB"[team])
        credit.append(float(chances[1, drawn] / chances[:, drawn].sum()))
        weights[:, drawn] = 0.0
    return Interleaved(tuple(items), tuple(teams), tuple(credit))


@dataclass(frozen=True)
class PositionBased:
    """Clicks by place and label: the user sees place p with probability (1 / p)^fall and then clicks by the label.

    The position-based model of Richardson, Dominowska and Ragno (2007), attention falling as in Joachims, Swaminathan
    and Schnabel (2017).

    Attributes
    ----------
    clicks
        Probability of a click on a seen item, by label 0, 1, ...; higher labels click as the last.
    fall
        How fast attention falls with the place; 0 sees everything.
    """

    clicks: tuple[float, ...] = (0.05, 0.6)
    fall: float = 1.0

    def __post_init__(self) -> None:
        if not self.clicks or not all(0 <= click <= 1 for click in self.clicks):
            raise SettingsError(f"clicks is {self.clicks}; give one probability from 0 to 1 for each label")
        if not self.fall >= 0:
            raise SettingsError(f"fall is {self.fall}; write 0 (everything is seen) or more")

    def probabilities(self, positions: Integers, labels: Integers) -> Floats:
        """Give the probability of a click for each [N] position, 1 = first, and label."""
        seen: Floats = (1.0 / positions) ** self.fall
        clicks: Floats = np.asarray(self.clicks)[np.minimum(labels, len(self.clicks) - 1)]
        return seen * clicks


def simulate_interleaving(
    requests: pl.DataFrame,
    a: Scores,
    b: Scores,
    k: int = 10,
    method: Interleave = team_draft,
    clicks: PositionBased | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Show every logged request once as an interleaved list and draw clicks: a log that `read_preference` reads.

    Parameters
    ----------
    requests
        Candidates with `request_id`, `user_id`, `item_id`, `label`, rows in any order; C rows.
    a, b
        [C] scores of the two rankers, higher is better; candidates of equal score stand in random order, and one of
        score -inf is not listed.
    k
        Places to fill.
    method
        `team_draft` or `probabilistic`.
    clicks
        How users click; `PositionBased()` when not given.
    seed
        Seed of lists and clicks; the answer does not depend on the order of the rows.

    Returns
    -------
    pl.DataFrame
        One row per place: `request_id`, `user_id`, `item_id`, `position` (1 = first), `team`, `credit_b` and `label`
        (1 for a drawn click).

    Raises
    ------
    DataError
        When there is no request, a length differs, a score is NaN, a ranker lists nothing for a request, a label is
        negative or missing, or a request repeats an item.
    SettingsError
        When `k` is below 1.
    """
    table, starts = _by_request(requests, a, b)
    random = np.random.default_rng(seed)
    request = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    rankings = []  # of a and of b, one list of rows of the table per request
    for scores in (table["a"].to_numpy(), table["b"].to_numpy()):
        order = np.lexsort((random.random(table.height), -scores, request))
        listed = [order[first:last] for first, last in pairwise(starts)]
        rankings.append([rows[scores[rows] > -np.inf].tolist() for rows in listed])
    drawn = [method(of_a, of_b, k, random) for of_a, of_b in zip(*rankings, strict=True)]
    log = _log(table, drawn)
    chances = (clicks or PositionBased()).probabilities(log["position"].to_numpy(), log["label"].to_numpy())
    return log.with_columns(pl.Series("label", (random.random(log.height) < chances).astype(np.int64)))


def _log(table: pl.DataFrame, drawn: Sequence[Interleaved]) -> pl.DataFrame:
    """Write shown lists of rows of the table as one row per place."""
    rows = [int(row) for shown in drawn for row in shown.items]
    return table[rows].select(
        "request_id",
        "user_id",
        "item_id",
        pl.Series("position", [place + 1 for shown in drawn for place in range(len(shown.items))]),
        pl.Series("team", [team for shown in drawn for team in shown.teams]),
        pl.Series("credit_b", [credit for shown in drawn for credit in shown.credit_b]),
        "label",
    )


def _by_request(requests: pl.DataFrame, a: Scores, b: Scores) -> tuple[pl.DataFrame, Integers]:
    """Bring the rows of each request together in an order that the ids alone decide, with their scores."""
    if requests.is_empty():
        raise DataError("there is no request to interleave; pass at least one candidate")
    for name, scores in (("a", a), ("b", b)):
        if len(scores) != requests.height:
            raise DataError(f"{name} has {len(scores)} scores for {requests.height} candidates; give one per row")
        if np.isnan(scores).any():
            raise DataError(f"{name} holds {np.isnan(scores).sum()} scores that are NaN; give every candidate a number")
    if requests["label"].null_count() or (requests["label"] < 0).any():
        raise DataError("labels are missing or below 0; give every candidate a grade, 0 where nothing happened")
    columns = requests.select("request_id", "user_id", "item_id", "label")
    table = columns.with_columns(a=pl.Series(a), b=pl.Series(b)).sort("request_id", "item_id")
    repeated = table.filter(pl.struct("request_id", "item_id").is_duplicated())
    if repeated.height:
        request, _, item, *_ = repeated.row(0)
        raise DataError(f"request {request!r} holds item {item!r} twice; keep one row per item of a request")
    for name in ("a", "b"):
        silent = table.group_by("request_id").agg(pl.col(name).max()).filter(pl.col(name) == -np.inf)["request_id"]
        if len(silent):
            raise DataError(
                f"{name} lists nothing for {len(silent)} requests, such as {silent.sort()[0]!r}; leave out requests "
                "that only one ranker answers"
            )
    sizes = table["request_id"].rle().struct.field("len").to_numpy()
    return table, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def _weights(ranking: Sequence[ItemId], pool: Sequence[ItemId]) -> Floats:
    """Weigh every item of the pool by its rank in a ranking, 0 where it is not listed."""
    rank = {item: place for place, item in enumerate(ranking, start=1)}
    return np.array([rank[item] ** -STEEPNESS if item in rank else 0.0 for item in pool])


def _check(a: Sequence[ItemId], b: Sequence[ItemId], k: int) -> None:
    if k < 1:
        raise SettingsError(f"k is {k}; show at least 1 item")
    for name, ranking in (("A", a), ("B", b)):
        if not len(ranking):
            raise DataError(f"ranking {name} is empty; both rankings need at least one item of the request")
        if len(set(ranking)) < len(ranking):
            repeated = next(item for place, item in enumerate(ranking) if item in ranking[:place])
            raise DataError(f"ranking {name} holds item {repeated!r} twice; rank every item once")
