"""What candidates are compared with: the others of their list, or items of the field that are asked along with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.features.within_list import Floats, WithinList, compare_rows, divide
from recsys.past.lookup import Asked
from recsys.past.streams import Ints, Singles, pick


@dataclass(frozen=True, eq=False)
class ComparedWith:
    """Candidates, and what they are compared with.

    Attributes
    ----------
    asked
        The candidates, P rows; where they are compared with the field, its items follow those of each request.
    among
        Where they are: the rows of those items, -1 where there are fewer, shape [R, K]; None where each candidate is
        compared with its list.
    candidates
        Which rows are candidates, shape [P]; None where all are.
    """

    asked: Asked
    among: Ints | None = None
    candidates: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, asked: Asked, codes: Ints, scores: Sequence[str]) -> "ComparedWith":
        """Ask items along with candidates, of the same user and moment.

        Parameters
        ----------
        asked
            The candidates.
        codes
            Codes of the items for each request, -1 where there are fewer, shape [R, K].
        scores
            Columns of the candidates that say nothing of other items.
        """
        few = (codes >= 0).sum(axis=1)
        request, place = np.nonzero(codes >= 0)
        first = pl.Series(asked.starts[:-1])
        told = asked.candidates[first.gather(request)].with_columns(
            asked.log.items.by_code.gather(codes[request, place])
            .cast(asked.candidates.schema["item_id"])
            .alias("item_id")
        )
        unknown = [pl.lit(None, asked.candidates.schema[name]).alias(name) for name in scores]
        whole = pl.concat([asked.candidates, told.with_columns(unknown)])
        lengths = asked.lengths
        starts = np.concatenate([[0], np.cumsum(lengths + few)])
        owner = np.concatenate([np.repeat(np.arange(len(lengths)), lengths), request])
        order = np.argsort(owner, kind="stable")
        among = np.full(codes.shape, -1)
        among[request, place] = (starts[1:] - few)[request] + place
        return cls(Asked(whole[order], starts, asked.log), among, order < len(asked.candidates))

    def compare(self, table: Singles, rows: Ints, logits: bool, deviations: bool) -> None:
        """Compare some rows of a table, each a column of P features; what comes of it goes to the rows after."""
        if self.among is None:
            compare_rows(table, rows, self.asked.starts, logits, deviations)
            return
        for row in rows:
            within = self._compared(table[row], logits)
            table[row + 1], table[row + 2], table[row + 3] = within.rank, within.share, within.gap
            if deviations:
                table[row + 4] = self._deviations(table[row])

    def _deviations(self, values: Singles) -> Floats:
        """Say how many standard deviations values lie above the mean of the field's items of their request."""
        assert self.among is not None
        field = np.sort(pick(values, self.among, np.float32(np.nan)).astype(np.float64), axis=1)  # NaN last
        known = np.maximum((~np.isnan(field)).sum(axis=1), 1)
        mean = np.nansum(field, axis=1) / known
        spread = np.sqrt(np.nansum((field - mean[:, None]) ** 2, axis=1) / known)
        mean[np.isnan(field).all(axis=1)] = np.nan
        request = np.repeat(np.arange(len(self.among)), self.asked.lengths)
        away = values - mean[request]
        return np.where(spread[request] > 0, divide(away, spread[request]), away * 0)

    def _compared(self, values: Singles, logits: bool) -> WithinList:
        """Compare values with those of the field's items of their request; nothing else that is asked counts."""
        assert self.among is not None
        request = np.repeat(np.arange(len(self.among)), self.asked.lengths)
        field = pick(values, self.among, np.float32(np.nan))  # [R, K]
        some = ~np.isnan(field).all(axis=1)
        largest = np.full(len(field), np.nan, np.float32)
        largest[some] = np.nanmax(field[some], axis=1)
        above = np.zeros(len(values))
        for each in field.T:
            above += (each[request] > values) + (each[request] == values) / 2
        top = np.fmax(largest[request], values) if logits else np.float32(0)
        parts, sums = _share(values, top, logits), np.zeros(len(values))
        for each in np.sort(field, axis=1).T:  # added in the order of their size
            sums += np.nan_to_num(_share(each[request], top, logits), nan=0.0)
        share = divide(parts, sums + np.nan_to_num(parts, nan=0.0))
        rank = np.where(np.isnan(values), np.nan, above + 1)
        return WithinList(rank.astype(np.float32), share.astype(np.float32), values - largest[request])

    def own(self, numbers: Singles) -> Singles:
        """Keep the columns' values of the candidates; shape [K, Q]."""
        return numbers if self.candidates is None else np.ascontiguousarray(numbers[:, self.candidates])

    def own_series(self, values: pl.Series) -> pl.Series:
        """Keep a column's values of the candidates."""
        return values if self.candidates is None else values.filter(pl.Series(self.candidates))

    def own_codes(self, codes: Ints) -> Ints:
        """Keep a column's codes of the candidates, shape [Q]."""
        return codes if self.candidates is None else codes[self.candidates]


def _share(values: Singles, top: Singles | np.float32, logits: bool) -> Floats:
    """Give what each value adds to a sum: itself where it is above 0, or its power."""
    found: Floats = (np.exp(values - top) if logits else np.maximum(values, 0)).astype(np.float64)
    return found
