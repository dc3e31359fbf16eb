"""The LightGBM ranker and its feature contract: the only home of LightGBM."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from recsys.errors import DataError, ModelError, SettingsError
from recsys.features.columns import plain_name
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.files import open_plain
from recsys.progress import progress
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples
from recsys.ranking.positions import UNBIASED, PositionBias
from recsys.ranking.settings import RankerSettings
from recsys.ranking.tree_text import averaged, check_trees
from recsys.shown import counted, did_you_mean

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

LARGEST_LABEL = 30
"""LightGBM's gains reach up to 2^30 - 1."""
LARGEST_LIST = 10_000
"""LightGBM ranks no longer lists."""

_SCORED = 100_000
"""So many rows of a table are scored at once."""

_LARGE = 2**28
"""More numbers lie by columns alone: by rows, which is faster, LightGBM holds them twice more, of up to 4 bytes."""

_FEW = 10_000
"""Fewer rows are scored by one thread: starting others costs more than it saves, and parts run in threads."""

_FEW_EXPLAINED = 4
"""Fewer rows are explained by one thread: each takes as long as some hundred scores."""

_APART = 10_007
"""Between seeds of rankers that are averaged: whoever asks for seed after seed grows none of them twice."""

_CHUNK = 4_096
"""So many rows of a table are turned into what LightGBM reads at once."""


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

    def score(self, table: FeatureRows | FeatureTable) -> Floats:
        """Score features, shape [rows]; each row's score depends on that row alone.

        Raises
        ------
        ModelError
            When the table breaks the contract.
        """
        if isinstance(table, FeatureRows):
            return np.concatenate([self._predict(self.contract.matrix(part)) for part in table.tables(_SCORED)])
        return self._predict(self.contract.matrix(table))

    def _predict(self, matrix: npt.NDArray[np.float32]) -> Floats:
        if len(matrix) == 0:
            return np.empty(0)
        threads = 1 if len(matrix) < _FEW else 0
        return np.asarray(self.booster.predict(matrix, num_threads=threads, raw_score=True), dtype=np.float64)

    def contributions(self, table: FeatureTable, rows: npt.NDArray[np.integer[Any]]) -> Floats:
        """Say what each feature adds to the scores of some rows.

        These are the exact Shapley values of the trees (Lundberg et al. 2020, "From local explanations to global
        understanding with explainable AI for trees"): what a feature changes on average, over all orders in which
        features may become known, where those that are not take the branches that what was learnt from took.

        Parameters
        ----------
        table
            Features.
        rows
            Which of its rows, shape [K].

        Returns
        -------
        One number per feature and, last, what all rows have in common, shape [K, features + 1]; a row's sum is its
        score.

        Raises
        ------
        ModelError
            When the table breaks the contract.
        """
        matrix = self.contract.matrix(table)[rows]
        if len(matrix) == 0:
            return np.empty((0, len(self.contract.names) + 1))
        threads = 1 if len(matrix) < _FEW_EXPLAINED else 0
        return np.asarray(self.booster.predict(matrix, num_threads=threads, pred_contrib=True), dtype=np.float64)

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
            if check_trees(text) != feature_names(contract):
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
    watch: Callable[[int, float], None] | None = None,
    bias: PositionBias = UNBIASED,
) -> TreeRanker:
    """Grow a ranker.

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
        Number of trees, those of all bags together, when there is no `valid`; the settings' when left out.
    watch
        Told after each tree how many there are and the nDCG@10 on `valid`; growth ends with what it raises.
    bias
        What is done about clicks of `train` that fell where people looked.

    Raises
    ------
    DataError
        When no request holds a click that counts, or a label is out of range.
    """
    be_quiet()
    train, valid = learnable(train, valid, settings, seed)
    parameters = parameters_of(settings, seed, contract, len(train.labels))
    dataset = _dataset(train, contract, parameters, bias=bias)
    valid_sets = [] if valid is None else [_dataset(valid, contract, parameters, dataset)]
    _weigh(dataset, valid_sets, bias.counts(train, settings.half_life))
    size = settings.rounds if valid is not None or rounds is None else max(1, round(rounds / settings.bags))
    grown = []
    with progress(size * settings.bags, "trees", "tree") as advance:
        for bag in range(settings.bags):
            callbacks: list[Callable[..., Any]] = [lambda _: advance(1)]
            if valid is not None:
                callbacks.append(lightgbm.early_stopping(settings.patience, verbose=False))
                if watch is not None:
                    callbacks.append(lambda so_far: watch(so_far.iteration + 1, so_far.evaluation_result_list[0][2]))
            own = parameters | {"seed": bag_seed(seed, bag)}
            booster = lightgbm.train(own, dataset, num_boost_round=size, valid_sets=valid_sets, callbacks=callbacks)
            best = booster.best_iteration if valid is not None else size
            grown.append(booster.model_to_string(num_iteration=best))
    return TreeRanker(lightgbm.Booster(model_str=averaged(grown)), contract)


def be_quiet() -> None:
    """Let LightGBM write to the log: in a terminal nobody who trains a shop's model knows what it speaks of."""
    lightgbm.register_logger(logger, info_method_name="debug", warning_method_name="debug")


def bag_seed(seed: int, bag: int) -> int:
    """Give the seed of one of the rankers that are averaged."""
    return seed + bag * _APART


def learnable(
    train: Examples, valid: Examples | None, settings: RankerSettings, seed: int
) -> tuple[Examples, Examples | None]:
    """Keep the lists that an order can be learnt from, none longer than LightGBM ranks; errors as of `grow`."""
    if settings.negatives is not None:
        train = train.sampled(settings.negatives, seed, settings.objective)
    train = _learnt(train, "ranker", settings.objective == "binary")
    refuse_without_click(train.graded, "ranker")
    return train, None if valid is None else _learnt(valid, "valid")


def refuse_without_click(labels: np.ndarray[tuple[int], np.dtype[np.int64]], window: str) -> None:
    """Refuse a window from which no order can be learnt.

    Raises
    ------
    DataError
        When no label is above 0.
    """
    if not (labels > 0).any():
        raise DataError(f"the {window} window holds no list with a click, so no order can be learnt; move [windows]")


def check_monotone(
    names: Sequence[str], categories: Sequence[str], monotone: Mapping[str, str], without: Collection[str] = ()
) -> None:
    """Refuse directions of features that there are not, or that have none.

    Parameters
    ----------
    names, categories
        Names of all features, and of those that are categories.
    monotone
        What `[ranker] monotone` holds.
    without
        Names of features that there would be if `[features]` left out none of them, nor their families.

    Raises
    ------
    SettingsError
        With the nearest known name of what is no feature, where one is near.
    """
    for name in monotone:
        if name in categories:
            raise SettingsError(
                f"[ranker] monotone names {name!r}, which holds categories without an order; leave it out"
            )
        if name in without:
            raise SettingsError(
                f"[ranker] monotone names {name!r}, which [features] leaves out, by without or families; let it in, or "
                "leave out its direction"
            )
        if name not in names:
            raise SettingsError(
                f"[ranker] monotone names {name!r}, which is no feature; `recsys features` names all of them"
                f"{did_you_mean(name, names)}"
            )


def parameters_of(settings: RankerSettings, seed: int, contract: Contract, rows: int) -> dict[str, Any]:
    """Say in LightGBM's words how trees grow on so many rows; errors as of `check_monotone`."""
    parameters = {
        "objective": settings.objective,
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
        "verbosity": -1,
        "force_col_wise" if rows * len(contract.names) > _LARGE else "force_row_wise": True,
    }
    if directions := _directions(settings, contract):
        parameters["monotone_constraints"] = directions
    return parameters


def _directions(settings: RankerSettings, contract: Contract) -> list[int]:
    """Say of each feature whether scores may only rise (1) or fall (-1) with it; nothing where none is bound."""
    check_monotone(
        contract.names,
        [contract.names[place] for place in contract.category_places],
        {name: settings.monotone[name] for name in contract.names if name in settings.monotone},
    )
    signs = [{"rising": 1, "falling": -1}.get(settings.monotone.get(name, ""), 0) for name in contract.names]
    return signs if any(signs) else []


def feature_names(contract: Contract) -> list[str]:
    """Name the features as LightGBM takes them."""
    return [plain_name(name) for name in contract.names]


def _learnt(examples: Examples, window: str, every: bool = False) -> Examples:
    """Keep the lists that an order can be learnt from, or every one, none longer than LightGBM ranks."""
    examples, long = examples.dealt(LARGEST_LIST)
    if long:
        logger.warning(
            "%s of the %s window hold more than the %s candidates that LightGBM ranks at most; each is dealt out to "
            "several",
            *(counted(long, "list"), window, f"{LARGEST_LIST:,}"),
        )
    if not every:
        examples = examples.where(examples.clicked)
    labels = examples.labels
    refuse_without_click(labels, window)
    if labels.min() < 0 or labels.max() > LARGEST_LABEL:
        raise DataError(f"labels run from {labels.min()} to {labels.max()}; use grades from 0 to {LARGEST_LABEL}")
    return examples


def _dataset(
    examples: Examples,
    contract: Contract,
    parameters: dict[str, Any],
    reference: lightgbm.Dataset | None = None,
    bias: PositionBias = UNBIASED,
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        _Chunks(examples.table, contract),
        label=examples.labels,
        group=np.diff(examples.starts),
        feature_name=feature_names(contract),
        categorical_feature=contract.category_places,
        init_score=offsets_of(examples, parameters, bias),
        position=bias.places(examples),
        reference=reference,
        params=parameters | {"max_bin": 255},
        free_raw_data=True,
    )


def offsets_of(examples: Examples, parameters: Mapping[str, Any], bias: PositionBias) -> Floats | None:
    """Give the scores that trees go on from, shape [C]; None where they begin by themselves."""
    offsets = bias.offsets(examples)
    if offsets is not None and parameters["objective"] == "binary":  # with offsets LightGBM does not begin at the mean
        chosen = float(np.average(examples.labels > 0, weights=examples.weights))
        offsets = offsets + np.log(chosen / max(1 - chosen, 1 / len(offsets)))
    return offsets


def _weigh(dataset: lightgbm.Dataset, others: Sequence[lightgbm.Dataset], counts: Floats) -> None:
    """Let rows of a set count as much; others, which refer to it, would take over weights, all of them 0."""
    if (counts != counts[0]).any():
        for each in (dataset, *others):
            each.construct()
        dataset.set_weight(counts)


class _Chunks(lightgbm.Sequence):
    """Rows of a feature table in the form that LightGBM bins, some thousand at a time: no second table is made."""

    batch_size = _CHUNK

    def __init__(self, table: FeatureRows, contract: Contract) -> None:
        self._table, self._contract = table, contract
        self._kept: tuple[int, npt.NDArray[np.float32]] = (-1, np.empty((0, 0), np.float32))

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._table)

    def __getitem__(self, place: int | slice | list[int]) -> npt.NDArray[Any]:
        """Give a row, or some; single ones are asked for in their order, to choose the bins by."""
        if isinstance(place, slice):
            return self._contract.matrix(self._table.table(place.start, min(place.stop, len(self))))
        if isinstance(place, list):
            return np.array([self[each] for each in place])
        start = place - place % _CHUNK
        if self._kept[0] != start:
            self._kept = start, self[start : start + _CHUNK]
        row: npt.NDArray[np.float64] = self._kept[1][place - start].astype(np.float64)
        return row
