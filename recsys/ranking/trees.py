"""The LightGBM ranker and its feature contract: the only home of LightGBM."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import DataError, ModelError
from recsys.features.columns import plain_name
from recsys.features.table import FeatureTable
from recsys.files import open_plain
from recsys.past.vocabulary import Vocabulary
from recsys.progress import progress
from recsys.ranking.settings import RankerSettings
from recsys.ranking.tree_text import check_trees

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LARGEST_LABEL = 30
"""LightGBM's gains reach up to 2^30 - 1."""
LARGEST_LIST = 10_000
"""LightGBM's lambdarank refuses longer lists."""


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

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
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
        for place, (values, vocabulary) in enumerate(zip(table.get_columns(), self._vocabularies, strict=True)):
            if vocabulary is None:
                matrix[:, place] = values.to_numpy()
            elif len(vocabulary):
                codes = vocabulary.encode(values)
                matrix[:, place] = np.where(codes < 0, np.nan, codes)
            else:
                matrix[:, place] = np.nan
        return matrix

    def coded(self, table: FeatureTable) -> npt.NDArray[np.float32]:
        """Turn what `compute_features` gives into the same, with the errors of `matrix`."""
        first = len(table.names)
        if table.columns != self.names or self.category_places != list(range(first, len(self.names))):
            self._check(table.frame())
        matrix = np.empty((table.numbers.shape[1], len(self.names)), dtype=np.float32)
        matrix[:, :first] = table.numbers.T
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
                codes[:-1] = vocabulary.encode(known.by_code)
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

    def _check(self, table: pl.DataFrame) -> None:
        schema = table.schema  # which polars makes anew whenever it is asked
        if tuple(schema) != self.names:
            self._refuse_other_columns(schema)
        for column, dtype in zip(self.columns, schema.values(), strict=True):
            if (column.categories is None) != dtype.is_float():
                raise ModelError(
                    f"feature {column.name!r} holds {dtype} values where the ranker was grown on "
                    f"{'numbers' if column.categories is None else 'categories'}; compute it as in training"
                )

    def _refuse_other_columns(self, schema: pl.Schema) -> None:
        names = set(self.names)
        missing = [name for name in self.names if name not in schema]
        extra = [name for name in schema if name not in names]
        if missing or extra:
            raise ModelError(
                f"the feature table does not fit the ranker: missing {missing or 'nothing'}, extra "
                f"{extra or 'nothing'}; compute it with the settings that the model was trained with"
            )
        place = next(place for place, name in enumerate(schema) if name != self.names[place])
        raise ModelError(
            f"the feature table has {list(schema)[place]!r} in place {place + 1} where the ranker was grown on "
            f"{self.names[place]!r}; bring the columns into the order of features.json"
        )


@dataclass(frozen=True)
class Examples:
    """Labelled feature rows.

    Attributes
    ----------
    table
        Feature table, rows of one request together, shape [C, F].
    labels
        Grades, shape [C].
    starts
        First row of each request and, last, the number of rows, shape [R + 1].
    """

    table: pl.DataFrame
    labels: Ints
    starts: Ints

    def with_click(self) -> "Examples":
        """Keep the requests that hold a positive label; the others teach an order nothing."""
        lengths = np.diff(self.starts)
        clicked = np.add.reduceat(self.labels > 0, self.starts[:-1]) > 0 if len(lengths) else np.empty(0, dtype=bool)
        return self.where(np.repeat(clicked, lengths))

    def where(self, rows: npt.NDArray[np.bool_]) -> "Examples":
        """Keep some rows; a request is kept whole or not at all."""
        lengths = np.diff(self.starts)
        kept = rows[self.starts[:-1][lengths > 0]]
        starts = np.concatenate([[0], np.cumsum(lengths[lengths > 0][kept])])
        return Examples(self.table.filter(pl.Series(rows)), self.labels[rows], starts)

    def without(self, names: tuple[str, ...]) -> "Examples":
        """Leave features out."""
        return Examples(self.table.drop(names), self.labels, self.starts)

    def joined(self, later: "Examples") -> "Examples":
        """Append later requests."""
        return Examples(
            pl.concat([self.table, later.table]),
            np.concatenate([self.labels, later.labels]),
            np.concatenate([self.starts, later.starts[1:] + self.starts[-1]]),
        )


@dataclass(frozen=True)
class TreeRanker:
    """A grown ranker and the features it was grown on.

    Attributes
    ----------
    booster
        LightGBM's model.
    contract
        Its features.
    """

    booster: lightgbm.Booster
    contract: Contract

    def score(self, table: pl.DataFrame | FeatureTable) -> Floats:
        """Score a feature table, shape [rows]; each row's score depends on that row alone.

        Raises
        ------
        ModelError
            When the table breaks the contract.
        """
        matrix = self.contract.matrix(table) if isinstance(table, pl.DataFrame) else self.contract.coded(table)
        if len(matrix) == 0:
            return np.empty(0)
        threads = 1 if len(matrix) < 1000 else 0  # starting threads costs more than a short list
        return np.asarray(self.booster.predict(matrix, num_threads=threads), dtype=np.float64)

    @property
    def size(self) -> int:
        """Number of trees."""
        return int(self.booster.num_trees())

    def importance(self) -> dict[str, float]:
        """Total gain of each feature, largest first."""
        gains = self.booster.feature_importance("gain")
        return dict(sorted(zip(self.contract.names, gains.tolist(), strict=True), key=lambda pair: -pair[1]))

    def save(self, path: Path) -> None:
        """Write LightGBM's text format."""
        path.write_text(self.booster.model_to_string(num_iteration=-1))

    @classmethod
    def load(cls, path: Path, contract: Contract) -> "TreeRanker":
        """Read LightGBM's text format.

        Raises
        ------
        ModelError
            When the file is no LightGBM model of a ranker or names other features than the contract.
        """
        try:
            with open_plain(path) as file:
                text = file.read().decode()
            if check_trees(text) != _feature_names(contract):
                raise ModelError(f"{path} was grown on other features than features.json names; train again")
            return cls(lightgbm.Booster(model_str=text), contract)
        except (OSError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise ModelError(f"{path} cannot be read as a LightGBM model ({error}); train again") from error


def grow(
    train: Examples,
    contract: Contract,
    settings: RankerSettings,
    seed: int,
    valid: Examples | None = None,
    rounds: int | None = None,
) -> TreeRanker:
    """Grow a lambdarank ranker.

    Parameters
    ----------
    train
        What to learn from.
    contract
        Features and category codes of `train` and `valid`.
    settings
        How to grow.
    seed
        Same seed, same trees.
    valid
        When given, growth stops early on its nDCG@10 and the best size is kept.
    rounds
        Number of trees when there is no `valid`; the settings' when left out.

    Raises
    ------
    DataError
        When no request holds a click, a label is out of range or a list is too long.
    """
    dataset = _dataset(train, contract, "ranker")
    parameters = _parameters(settings, seed)
    callbacks: list[Callable[..., Any]] = []
    valid_sets = []
    if valid is not None:
        valid_sets = [_dataset(valid, contract, "valid", dataset)]
        callbacks.append(lightgbm.early_stopping(settings.patience, verbose=False))
    size = settings.rounds if valid is not None or rounds is None else rounds
    with progress(size, "trees", "tree") as advance:
        callbacks.append(lambda _: advance(1))
        booster = lightgbm.train(parameters, dataset, num_boost_round=size, valid_sets=valid_sets, callbacks=callbacks)
    best = booster.best_iteration if valid is not None else size
    return TreeRanker(lightgbm.Booster(model_str=booster.model_to_string(num_iteration=best)), contract)


def refuse_without_click(labels: np.ndarray[tuple[int], np.dtype[np.int64]], window: str) -> None:
    """Refuse a window from which no order can be learnt.

    Raises
    ------
    DataError
        When no label is above 0.
    """
    if not (labels > 0).any():
        raise DataError(f"the {window} window holds no list with a click, so no order can be learnt; move [windows]")


def _parameters(settings: RankerSettings, seed: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "lambdarank_truncation_level": settings.truncation,
        "label_gain": [2**label - 1 for label in range(LARGEST_LABEL + 1)],
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.rows_per_leaf,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.row_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


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


def _feature_names(contract: Contract) -> list[str]:
    return [plain_name(name) for name in contract.names]


def _dataset(
    examples: Examples, contract: Contract, window: str, reference: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    examples = examples.with_click()
    refuse_without_click(examples.labels, window)
    sizes = np.diff(examples.starts)
    if sizes.max() > LARGEST_LIST:
        raise DataError(f"a list of {sizes.max()} candidates is longer than LightGBM's limit {LARGEST_LIST}; cut it")
    if examples.labels.min() < 0 or examples.labels.max() > LARGEST_LABEL:
        raise DataError(
            f"labels run from {examples.labels.min()} to {examples.labels.max()}; use grades from 0 to {LARGEST_LABEL}"
        )
    return lightgbm.Dataset(
        contract.matrix(examples.table),
        label=examples.labels,
        group=sizes,
        feature_name=_feature_names(contract),
        categorical_feature=contract.category_places,
        reference=reference,
        params={"verbosity": -1, "max_bin": 255},
        free_raw_data=True,
    )
