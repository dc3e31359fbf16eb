"""The feature contract: which columns a ranker was grown on, in which order, with which category codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import ModelError
from recsys.past.vocabulary import Vocabulary


@dataclass(frozen=True)
class FeatureColumn:
    """One feature.

    Attributes
    ----------
    name
        Column of the feature table.
    categories
        Values of a category in the order of their codes; None for a number.
    """

    name: str
    categories: tuple[int | str, ...] | None = None


@dataclass(frozen=True)
class Contract:
    """The features of a ranker in the order in which LightGBM, which only knows places, was given them.

    Attributes
    ----------
    columns
        The features.
    """

    columns: tuple[FeatureColumn, ...]

    @classmethod
    def of(cls, table: pl.DataFrame) -> "Contract":
        """Take down the columns of a training table: floats are numbers, integers and strings are categories."""
        return cls(
            tuple(
                FeatureColumn(name, None if dtype.is_float() else tuple(Vocabulary.of(table[name]).values.to_list()))
                for name, dtype in table.schema.items()
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def category_places(self) -> list[int]:
        """Places of the columns that hold category codes."""
        return [place for place, column in enumerate(self.columns) if column.categories is not None]

    def matrix(self, table: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Turn a feature table into what LightGBM reads, shape [rows, features].

        Values of a category that were not seen in training become NaN: not known.

        Raises
        ------
        ModelError
            When columns are missing, extra, in another order or of another kind, by name.
        """
        self._check(table)
        matrix = np.empty((len(table), len(self.columns)), dtype=np.float32)
        for place, column in enumerate(self.columns):
            values = table[column.name]
            if column.categories is None:
                matrix[:, place] = values.to_numpy()
            elif column.categories:
                codes = Vocabulary(pl.Series(column.name, column.categories)).encode(values)
                matrix[:, place] = np.where(codes < 0, np.nan, codes)
            else:
                matrix[:, place] = np.nan
        return matrix

    def without(self, names: tuple[str, ...]) -> "Contract":
        """Leave columns out."""
        return Contract(tuple(column for column in self.columns if column.name not in names))

    def to_json(self) -> list[dict[str, Any]]:
        """Write as plain JSON."""
        return [
            {"name": column.name}
            if column.categories is None
            else {"name": column.name, "categories": list(column.categories)}
            for column in self.columns
        ]

    @classmethod
    def from_json(cls, columns: list[dict[str, Any]]) -> "Contract":
        """Read what `to_json` wrote."""
        return cls(
            tuple(
                FeatureColumn(column["name"], tuple(column["categories"]) if "categories" in column else None)
                for column in columns
            )
        )

    def _check(self, table: pl.DataFrame) -> None:
        missing = [name for name in self.names if name not in table.columns]
        extra = [name for name in table.columns if name not in self.names]
        if missing or extra:
            raise ModelError(
                f"the feature table does not fit the ranker: missing {missing or 'nothing'}, extra "
                f"{extra or 'nothing'}; compute it with the settings that the model was trained with"
            )
        if tuple(table.columns) != self.names:
            place = next(place for place, name in enumerate(table.columns) if name != self.names[place])
            raise ModelError(
                f"the feature table has {table.columns[place]!r} in place {place + 1} where the ranker was grown on "
                f"{self.names[place]!r}; bring the columns into the order of features.json"
            )
        for column in self.columns:
            if (column.categories is None) != table.schema[column.name].is_float():
                raise ModelError(
                    f"feature {column.name!r} holds {table.schema[column.name]} values where the ranker was grown on "
                    f"{'numbers' if column.categories is None else 'categories'}; compute it as in training"
                )
