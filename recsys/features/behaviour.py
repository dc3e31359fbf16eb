"""The behaviour tables that features read, and the state folder that carries them from batch to serving."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.data.tables import TIME, Dataset, read_parquet
from recsys.errors import SettingsError

_SHOWINGS = ("user_id", "item_id", "timestamp", "label")
_EVENTS = ("user_id", "item_id", "event", "known_at")


@dataclass(frozen=True)
class Behaviour:
    """What is kept of the tables to compute features.

    Attributes
    ----------
    items
        `item_id`, `available_at` (null where it is not known) and the attributes.
    showings
        One row per candidate that was shown: `user_id`, `item_id`, `timestamp`, `label`.
    events
        `user_id`, `item_id`, `event`, `known_at`.
    """

    items: pl.DataFrame
    showings: pl.DataFrame
    events: pl.DataFrame

    @classmethod
    def of(cls, dataset: Dataset, attributes: tuple[str, ...]) -> "Behaviour":
        """Take from a dataset what features read.

        Raises
        ------
        SettingsError
            When an attribute is not a column of items.
        """
        for name in attributes:
            if name not in dataset.items.columns:
                raise SettingsError(
                    f"[features] affinity names {name!r}, which is not a column of items; "
                    f"its columns are {', '.join(dataset.items.columns)}"
                )
        items = dataset.items
        if "available_at" not in items.columns:
            items = items.with_columns(available_at=pl.lit(None, dtype=TIME))
        known_at = pl.col("timestamp")
        if "known_at" in dataset.events.columns:
            known_at = pl.max_horizontal("known_at", "timestamp")
        return cls(
            items=items.select("item_id", "available_at", *attributes),
            showings=dataset.requests.select(_SHOWINGS),
            events=dataset.events.with_columns(known_at=known_at).select(_EVENTS),
        )

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the item attributes."""
        return tuple(self.items.columns[2:])

    def save(self, folder: Path) -> None:
        """Write the tables into an existing folder."""
        for name in ("items", "showings", "events"):
            getattr(self, name).write_parquet(folder / f"{name}.parquet")

    @classmethod
    def load(cls, folder: Path) -> "Behaviour":
        """Read what `save` wrote."""
        return cls(*(read_parquet(folder / f"{name}.parquet") for name in ("items", "showings", "events")))
