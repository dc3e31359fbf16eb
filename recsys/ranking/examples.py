"""Labelled features of whole lists: what trees learn from, and how much each row counts."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import DataError, SettingsError
from recsys.ranking.settings import Objective

if TYPE_CHECKING:
    from recsys.features.rows import FeatureRows

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


_IDS = ("request_id", "user_id", "item_id")
_OF_ROWS = ("labels", "moments", "weights", "positions", "propensities")


@dataclass(frozen=True)
class Examples:
    """Labelled feature rows.

    Attributes
    ----------
    table
        Features of C candidates, rows of one request together.
    labels
        Grades, shape [C].
    starts
        First row of each request and, last, the number of rows, shape [R + 1].
    moments
        When each row's list was shown, in microseconds since 1970, shape [C].
    weights
        How much each row counts beside its age, 0 or more, shape [C].
    positions
        Where each row stood in its list as shown, 1 = first, 0 where nobody wrote it down, shape [C].
    propensities
        With which probability it was drawn for that position, given those above; NaN where not known, shape [C].
    """

    table: "FeatureRows"
    labels: Ints
    starts: Ints
    moments: Ints
    weights: Floats
    positions: Ints
    propensities: Floats

    @classmethod
    def alike(cls, table: "FeatureRows", labels: Ints, starts: Ints) -> "Examples":
        """Let all rows count alike, as if their lists were shown at one moment in nobody knows which order."""
        nothing, rows = np.zeros(len(labels), np.int64), len(labels)
        return cls(table, labels, starts, nothing, np.ones(rows), nothing, np.full(rows, np.nan))

    @classmethod
    def of(cls, table: "FeatureRows", starts: Ints, rows: pl.DataFrame, weight: str = "") -> "Examples":
        """Take labels and what else counts from rows of the requests table, weights from a column that is named."""
        alike = cls.alike(table, rows["label"].cast(pl.Int64).to_numpy(), starts)
        given: dict[str, Any] = {"moments": rows["timestamp"].dt.epoch("us").to_numpy()}
        if weight:
            given["weights"] = rows[weight].cast(pl.Float64).to_numpy()
        if "position" in rows.columns:
            given["positions"] = rows["position"].cast(pl.Int64).fill_null(0).to_numpy()
        if "propensity" in rows.columns:
            given["propensities"] = rows["propensity"].cast(pl.Float64).to_numpy()
        return replace(alike, **given)

    @property
    def clicked(self) -> Flags:
        """Which rows are of requests that hold a positive label, shape [C]; the others teach an order nothing."""
        lengths = np.diff(self.starts)
        clicked = np.add.reduceat(self.labels > 0, self.starts[:-1]) > 0 if len(lengths) else np.empty(0, dtype=bool)
        return np.repeat(clicked, lengths)

    @property
    def graded(self) -> Ints:
        """The grades of rows that count, 0 for the others, shape [C]: an order can be learnt where one is above 0."""
        return np.where(self.weights > 0, self.labels, 0)

    def lengths_of(self, rows: Flags) -> Ints:
        """Give how many of some rows each request has that has any."""
        lengths = np.diff(self.starts)
        request = np.repeat(np.arange(len(lengths)), lengths)
        counts: Ints = np.bincount(request[rows], minlength=len(lengths))
        return counts[counts > 0]

    def where(self, rows: Flags) -> "Examples":
        """Keep some rows; a request of which none is kept goes."""
        starts = np.concatenate([[0], np.cumsum(self.lengths_of(rows))])
        return Examples(self.table.where(rows), starts=starts, **{name: getattr(self, name)[rows] for name in _OF_ROWS})

    def without(self, names: tuple[str, ...]) -> "Examples":
        """Leave features out."""
        return replace(self, table=self.table.without(names))

    def joined(self, later: "Examples") -> "Examples":
        """Append later requests."""
        starts = np.concatenate([self.starts, later.starts[1:] + self.starts[-1]])
        table = self.table.joined_of([self.table, later.table])
        rows = {name: np.concatenate([getattr(self, name), getattr(later, name)]) for name in _OF_ROWS}
        return Examples(table, starts=starts, **rows)

    def sampled(self, negatives: int, seed: int, objective: Objective) -> "Examples":
        """Keep of each list what was chosen and at most so many candidates, drawn evenly, that were not.

        What is kept counts for what is not, as far as the objective sees it: by `"binary"` each of the others as many
        times as there were of them; by `"lambdarank"` the list `log2(1 + pairs)` of all against that of the kept, as
        which LightGBM lets a list's gradient grow with its pairs of a chosen and another candidate; by
        `"rank_xendcg"`, for which each list weighs the same, no more.
        """
        lengths = np.diff(self.starts)
        request, other = np.repeat(np.arange(len(lengths)), lengths), self.labels <= 0
        turn = np.random.default_rng(seed).random(len(request))
        order = np.lexsort((turn, ~other, request))  # the others of each list first, shuffled
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - np.repeat(self.starts[:-1], lengths)
        many = np.bincount(request[other], minlength=len(lengths))
        kept, chosen = np.minimum(many, negatives), lengths - many
        times = np.ones(len(request))
        if objective == "binary":
            times[other] = (many / np.maximum(kept, 1))[request[other]]
        elif objective == "lambdarank":
            pairs, of_kept = many * chosen, kept * chosen
            times = (np.log1p(pairs) / np.log1p(np.maximum(of_kept, 1)))[request]
            times[(pairs == of_kept)[request]] = 1.0
        return replace(self, weights=self.weights * times).where(~other | (place < negatives))

    def dealt(self, most: int) -> tuple["Examples", int]:
        """Deal longer lists out, like cards, to lists of at most `most` rows, and count how many were longer.

        What is dealt stands behind the lists that were short enough, the first hand of each before the second.
        """
        lengths = np.diff(self.starts)
        hands = -(-lengths // most)
        if not (hands > 1).any():
            return self, 0
        place = np.arange(len(self.labels)) - np.repeat(self.starts[:-1], lengths)
        hand = np.where(np.repeat(hands, lengths) > 1, 1 + place % np.repeat(hands, lengths), 0)
        first, *others = (self.where(hand == number) for number in np.unique(hand))
        for other in others:
            first = first.joined(other)
        return first, int((hands > 1).sum())

    def counts(self, half_life: timedelta | None) -> Floats:
        """Say how much each row counts, 1 on average, shape [C]; half as much with every half-life of age.

        Age is that against the newest row of these that has a weight; there is one.
        """
        counts: Floats = self.weights / self.weights.max()
        if half_life is not None:
            ages = self.moments[self.weights > 0].max() - self.moments
            counts[self.weights > 0] *= np.exp2(-ages[self.weights > 0] / (half_life / timedelta(microseconds=1)))
        counts /= counts.mean()
        return counts


def check_weight(requests: pl.DataFrame, column: str) -> None:
    """Refuse a column of weights that is missing or holds something else than numbers from 0 on.

    Parameters
    ----------
    requests
        The table.
    column
        What `[ranker] weight` names; nothing is asked when empty.

    Raises
    ------
    SettingsError
        When there is no such column of numbers.
    DataError
        When a weight is missing, negative or not finite; names the first.
    """
    if not column:
        return
    if column not in requests.columns or not requests.schema[column].is_numeric():
        found = f"holds {requests.schema[column]}" if column in requests.columns else "is no column of the requests"
        raise SettingsError(
            f"[ranker] weight names {column!r}, which {found}; name a column of numbers from 0 on, or none; "
            f"columns are {', '.join(requests.columns)}"
        )
    if column in ("label", *_IDS):
        raise SettingsError(f"[ranker] weight names {column!r}, which says something else; name a column of its own")
    weights = requests[column].cast(pl.Float64)
    wrong = ~(weights.is_finite() & (weights >= 0)).fill_null(value=False)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{int(wrong.sum())} weights in requests.{column} are no numbers from 0 on, the first {weights[row]} in "
            f"request {requests['request_id'][row]!r}; write how much each row counts, such as 1"
        )
