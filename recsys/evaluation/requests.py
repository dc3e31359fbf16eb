"""Requests with their candidates in neighbouring rows, whatever the order of the table."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.statistics.numbers import Flags, Integers

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Requests:
    """Requests numbered in the order of their ids, each with its candidates in neighbouring rows: C rows, R requests.

    Attributes
    ----------
    order
        [C] the row of the table that each row comes from.
    labels
        [C] graded outcomes.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`.
    users
        [R] the user of each request, numbered from 0 in the order of their ids.
    """

    order: Integers
    labels: Integers
    starts: Integers
    users: Integers

    @classmethod
    def of(cls, table: pl.DataFrame) -> "Requests":
        """Bring the rows of each request together.

        Parameters
        ----------
        table
            Candidates with `request_id`, `user_id` and `label`, rows in any order.

        Raises
        ------
        DataError
            When an id or a label is missing.
        """
        missing = [name for name in ("request_id", "user_id", "label") if table[name].null_count()]
        if missing:
            raise DataError(f"requests lack values in {missing}; run `recsys check` on the folder")
        of_request = table.lazy().group_by("request_id").agg(pl.len().alias("size"), pl.col("user_id").first())
        of_request = of_request.sort("request_id").with_row_index("request")
        sizes, users = of_request.select("size", pl.col("user_id").rank("dense") - 1).collect()
        request = table.lazy().select("request_id").join(of_request, on="request_id", maintain_order="left")
        order = np.argsort(request.select("request").collect().to_series().to_numpy(), kind="stable")
        return cls(
            order=order,
            labels=table["label"].to_numpy()[order].astype(np.int64),
            starts=np.concatenate([[0], np.cumsum(sizes.to_numpy(), dtype=np.int64)]),
            users=users.to_numpy().astype(np.int64),
        )

    def rows(self, values: NDArray[Value]) -> NDArray[Value]:
        """Bring values [C] per row of the table into the order of the requests."""
        return values[self.order]

    def flags(self, name: str, flags: Flags) -> Flags:
        """Turn the flags [C] of segment `name` per row of the table into flags [R] per request.

        Raises
        ------
        DataError
            When the rows of a request differ.
        """
        flags = self.rows(flags)
        inside = np.logical_and.reduceat(flags, self.starts[:-1])
        cut = np.count_nonzero(inside != np.logical_or.reduceat(flags, self.starts[:-1]))
        if cut:
            raise DataError(f"segment {name!r} holds {cut} requests in part; flag all rows of a request alike")
        return inside
