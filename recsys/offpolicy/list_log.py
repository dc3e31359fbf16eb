"""Logs of lists, and how far their weights support an estimate."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import DataError, SettingsError
from recsys.offpolicy.estimate import Overlap, check_probabilities, effective_size, judge, refuse_bad
from recsys.statistics.numbers import Floats, Integers

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ListLog:
    """Logged lists: C rows by request and then by position, R requests.

    Attributes
    ----------
    reward
        [C] finite, such as 1 for a click.
    propensity
        [C] the logging policy's probability of the item at its position given those above, above 0, at most 1.
    starts
        [R + 1] the list of request r is rows `starts[r]` up to `starts[r + 1]`, position 1 first; none is empty.
    clusters
        [R] the user of each request, numbered from 0.

    Raises
    ------
    DataError
        When there is no list, lengths differ or a number is impossible; with counts and examples.
    """

    reward: Floats
    propensity: Floats
    starts: Integers
    clusters: Integers

    def __post_init__(self) -> None:
        if len(self.starts) < 2 or not (np.diff(self.starts) > 0).all():
            raise DataError("the log holds no list or an empty one; every request needs the candidates it showed")
        rows, lists = int(self.starts[-1]), len(self.starts) - 1
        for name, column in {"reward": self.reward, "propensity": self.propensity}.items():
            if len(column) != rows:
                raise DataError(f"{name} has {len(column)} values for {rows} candidates; give one per candidate")
        if len(self.clusters) != lists:
            raise DataError(f"clusters has {len(self.clusters)} values for {lists} lists; give one per list")
        refuse_bad(self.reward, ~np.isfinite(self.reward), "rewards that are not finite", "write 0 for nothing")
        check_probabilities(self.propensity, np.zeros(rows))

    @property
    def position(self) -> Integers:
        """[C] place in the list, 1 = first."""
        return np.arange(1, len(self.reward) + 1) - np.repeat(self.starts[:-1], np.diff(self.starts))

    def total(self, values: Floats) -> Floats:
        """Sum `values` [C] over each list: [R]."""
        return np.add.reduceat(values, self.starts[:-1])

    def counted(self, top: int | None) -> Flags:
        """[C] whether the position is among the first `top`, or any when None.

        Raises
        ------
        SettingsError
            When `top` is below 1.
        """
        if top is not None and top < 1:
            raise SettingsError(f"top is {top}, which counts no position; write 1 or more")
        return np.ones(len(self.reward), dtype=bool) if top is None else self.position <= top


def read_lists(requests: pl.DataFrame) -> tuple[ListLog, Integers]:
    """Make a log of lists from a table of requests.

    Parameters
    ----------
    requests
        `request_id`, `user_id`, `position`, `label` (above 0 is a click) and `propensity`, rows in any order.

    Returns
    -------
    tuple
        The log, and [C] the row of the table that each row of the log comes from: bring scores into the log's order
        by `scores[rows]`.

    Raises
    ------
    DataError
        When a column is missing, the positions of a list are not 1, 2, 3, ..., or as in `ListLog`.
    """
    names = ("request_id", "user_id", "position", "label", "propensity")
    missing = [name for name in names if name not in requests.columns]
    if missing:
        raise DataError(
            f"requests have no column {', '.join(missing)}; off-policy estimates need what was "
            "logged; in lists shown in random order the propensity is 1 / (candidates - position + 1)"
        )
    for name in ("user_id", "label"):
        if requests[name].null_count():
            raise DataError(
                f"{requests[name].null_count()} rows lack a {name}; leave out lists that were not logged whole"
            )
    rows = requests.select(names).with_row_index("row").sort("request_id", "position")
    expected = pl.int_range(1, pl.len() + 1).over("request_id")
    wrong = rows.filter(pl.col("position").ne_missing(expected))["request_id"].unique().sort()
    if len(wrong):
        raise DataError(
            f"the positions of {len(wrong)} lists are not 1, 2, 3, ... without a gap, such as those of request "
            f"{wrong[0]}; log whole lists"
        )
    lists = rows.group_by("request_id", maintain_order=True).agg(pl.len(), pl.col("user_id").first())
    log = ListLog(
        reward=(rows["label"] > 0).cast(pl.Float64).to_numpy(),
        propensity=rows["propensity"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        starts=np.concatenate([[0], np.cumsum(lists["len"].to_numpy(), dtype=np.int64)]),
        clusters=(lists["user_id"].rank("dense") - 1).cast(pl.Int64).to_numpy(),
    )
    return log, rows["row"].to_numpy().astype(np.int64)


def mean_weight(log: ListLog, weights: Floats, counted: Flags) -> Floats:
    """Return [R] the mean weight of each list's counted positions."""
    return log.total(weights * counted) / log.total(counted.astype(np.float64))


def overlap_of_lists(weights: Floats, normaliser: Floats, log: ListLog) -> Overlap:
    """Judge weights of rows, brought to the scale of lists."""
    lists = len(log.starts) - 1
    largest = float(weights.max())
    heaviest = largest / max(float(np.abs(weights).sum()), np.finfo(float).tiny)
    found = Overlap(effective_size(weights) / len(weights) * lists, largest)
    return judge(found, heaviest, normaliser, log.clusters)
