"""The feature contract: names, order, kinds and categories of what a ranker was grown on."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import ModelError
from recsys.past.vocabulary import Vocabulary

if TYPE_CHECKING:
    from recsys.features.rows import FeatureRows
    from recsys.features.table import FeatureTable


_TURNED = 256
"""Rows that are turned from columns at once, so few that both lie near the processor."""


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
    def of(cls, table: "FeatureRows") -> "Contract":
        """Take down the columns of what is learnt from, and the values that categories have there."""
        categories = [FeatureColumn(each.name, tuple(each.occurring())) for each in table.categories]
        return cls((*map(FeatureColumn, table.names), *categories))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def category_places(self) -> list[int]:
        """Places of the columns that hold category codes."""
        return [place for place, column in enumerate(self.columns) if column.categories is not None]

    def matrix(self, table: "FeatureTable") -> npt.NDArray[np.float32]:
        """Turn a feature table into what LightGBM reads, shape [rows, features].

        Values of a category that were not seen in training become NaN: not known.

        Raises
        ------
        ModelError
            When columns are missing, extra, in another order or of another kind, by name.
        """
        first = len(table.names)
        if table.columns != self.names or self.category_places != list(range(first, len(self.names))):
            self._refuse(table)
        matrix = np.empty((table.numbers.shape[1], len(self.names)), dtype=np.float32)
        for start in range(0, len(matrix), _TURNED):
            matrix[start : start + _TURNED, :first] = table.numbers[:, start : start + _TURNED].T
        for place, category in enumerate(table.categories, first):
            matrix[:, place] = self._own_codes(place, category.vocabulary)[category.codes]
        return matrix

    def _own_codes(self, place: int, known: Vocabulary) -> npt.NDArray[np.float32]:
        """Give the code here of every code there and, last, NaN; so are values that were not seen in training."""
        kept = self._translated.get(place)
        if kept is None or kept[0] is not known:
            vocabulary = self._vocabularies[place]
            codes = np.full(len(known) + 1, -1)
            if vocabulary is not None and len(vocabulary):
                codes[:-1] = vocabulary.encode(known.by_code.alias(self.columns[place].name))
            kept = self._translated[place] = known, np.where(codes < 0, np.nan, codes).astype(np.float32)
        return kept[1]

    @cached_property
    def _translated(self) -> dict[int, tuple[Vocabulary, npt.NDArray[np.float32]]]:
        """What codes of a vocabulary are here, of the one that was asked last."""
        return {}

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
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it is something else.
        """
        if not isinstance(columns, list):
            raise TypeError("the features are no list")
        return cls(tuple(_feature_column(column) for column in columns))

    @cached_property
    def _vocabularies(self) -> tuple[Vocabulary | None, ...]:
        """The categories of every column, None for a number."""
        return tuple(
            None if column.categories is None else Vocabulary(pl.Series(column.name, column.categories))
            for column in self.columns
        )

    def _refuse(self, table: "FeatureTable") -> None:
        """Say what of a table is not as it was when the ranker was grown."""
        names, given = set(self.names), set(table.columns)
        missing = [name for name in self.names if name not in given]
        extra = [name for name in table.columns if name not in names]
        if missing or extra:
            raise ModelError(
                f"the feature table does not fit the ranker: missing {missing or 'nothing'}, extra "
                f"{extra or 'nothing'}; compute it with the settings that the model was trained with"
            )
        numbers = {*table.names}
        for column in self.columns:
            if (column.categories is None) != (column.name in numbers):
                kinds = ("categories", "numbers") if column.categories is None else ("numbers", "categories")
                raise ModelError(
                    f"feature {column.name!r} holds {kinds[0]} where the ranker was grown on {kinds[1]}; compute it as "
                    "in training"
                )
        place = next(place for place, name in enumerate(table.columns) if name != self.names[place])
        raise ModelError(
            f"the feature table has {table.columns[place]!r} in place {place + 1} where the ranker was grown on "
            f"{self.names[place]!r}; bring the columns into the order of features.json"
        )


def _feature_column(column: dict[str, Any]) -> FeatureColumn:
    """Read a feature and hold its categories against what a vocabulary is; raises KeyError, TypeError, ValueError."""
    name, categories = column["name"], column.get("categories")
    if not isinstance(name, str) or not isinstance(categories, list | None):
        raise TypeError(f"a feature is called {name!r} and has the categories {categories!r}")
    known: list[Any] = categories or []
    kinds = {type(value) for value in known}
    if len(kinds) > 1 or kinds - {int, str} or sorted(set(known)) != known:
        raise ValueError(f"the categories of {name} are not different texts or whole numbers that rise")
    if kinds == {int} and not -(2**63) <= known[0] <= known[-1] < 2**63:
        raise ValueError(f"the categories of {name} are whole numbers beyond 64 bits")
    if kinds == {str}:
        "".join(known).encode()  # a UnicodeEncodeError, which is a ValueError, where half a pair stands alone
    return FeatureColumn(name, None if categories is None else tuple(categories))
