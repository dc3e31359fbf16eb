"""Labelled features of whole lists: what trees learn from, and how much each row counts."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import DataError, SettingsError

if TYPE_CHECKING:
    from recsys.features.rows import FeatureRows

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


_IDS = ("request_id", "user_id", "item_id")


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
    """

    table: "FeatureRows"
    labels: Ints
    starts: Ints
    moments: Ints
    weights: Floats

    @classmethod
    def alike(cls, table: "FeatureRows", labels: Ints, starts: Ints) -> "Examples":
        """Let all rows count alike, as if their lists were shown at one moment."""
        return cls(table, labels, starts, np.zeros(len(labels), np.int64), np.ones(len(labels)))

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
        return Examples(self.table.where(rows), self.labels[rows], starts, self.moments[rows], self.weights[rows])

    def without(self, names: tuple[str, ...]) -> "Examples":
        """Leave features out."""
        return replace(self, table=self.table.without(names))

    def joined(self, later: "Examples") -> "Examples":
        """Append later requests."""
        starts = np.concatenate([self.starts, later.starts[1:] + self.starts[-1]])
        table = self.table.joined_of([self.table, later.table])
        pairs = [(getattr(self, name), getattr(later, name)) for name in ("labels", "moments", "weights")]
        labels, moments, weights = map(np.concatenate, pairs)
        return Examples(table, labels, starts, moments, weights)

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
