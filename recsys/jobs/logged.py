"""Logged requests with their features: what the ranker learns from and is judged on."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from tqdm import tqdm

from recsys.features.builder import Reader, build_features, request_starts, sort_candidates
from recsys.features.settings import FeatureSettings
from recsys.model.scoring import batches
from recsys.past.log import Log
from recsys.ranking.trees import Examples

ROWS_PER_BATCH = 250_000
"""Rows whose features are computed at once; any other number gives the same answers."""


@dataclass(frozen=True)
class LoggedWindow:
    """Requests and their features, each part that was read at once in the order of `sort_candidates`.

    Attributes
    ----------
    requests
        Rows of the requests table.
    examples
        Feature rows, labels and request starts of the same rows.
    """

    requests: pl.DataFrame
    examples: Examples

    def where(self, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> "LoggedWindow":
        """Keep some rows; a request is kept whole or not at all."""
        return LoggedWindow(self.requests.filter(pl.Series(rows)), self.examples.where(rows))

    def joined(self, later: "LoggedWindow") -> "LoggedWindow":
        """Append later requests."""
        return LoggedWindow(pl.concat([self.requests, later.requests]), self.examples.joined(later.examples))


def read_logged(requests: pl.DataFrame, log: Log, settings: FeatureSettings, reader: Reader | None) -> LoggedWindow:
    """Compute the features of logged requests.

    Parameters
    ----------
    requests
        Rows of the requests table, requests whole.
    log, settings, reader
        What features are computed from; without a reader the text columns are NaN.
    """
    chosen = sort_candidates(requests)
    tables = []
    with tqdm(total=len(chosen), desc="features", unit="row", disable=None, leave=False) as bar:
        for batch in batches(chosen, ROWS_PER_BATCH):
            tables.append(build_features(batch, log, settings, reader))
            bar.update(len(batch))
    table = pl.concat(tables) if tables else build_features(chosen, log, settings, reader)
    labels = chosen["label"].cast(pl.Int64).to_numpy()
    return LoggedWindow(chosen, Examples(table, labels, request_starts(chosen)))
