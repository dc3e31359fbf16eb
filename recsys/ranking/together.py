"""Trees that several workers of a cluster grow together, each on lists of its own: LightGBM's data-parallel learner.

Every worker finds the bins of some features and sums up its own rows; the sums are added before each split (Meng et al.
2016, "A communication-efficient parallel algorithm for decision tree"). All workers end with the same trees.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import numpy.typing as npt

from recsys.engines.on_ray import Worker, open_ray
from recsys.engines.settings import EngineSettings
from recsys.errors import DataError
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples, Floats, Ints
from recsys.ranking.positions import PositionBias
from recsys.ranking.settings import RankerSettings
from recsys.ranking.tree_text import averaged
from recsys.ranking.trees import (
    TreeRanker,
    bag_seed,
    be_quiet,
    feature_names,
    learnable,
    offsets_of,
    parameters_of,
)
from recsys.shown import counted
from recsys.statistics.hashes import mix

_AT_ONCE = 100_000
"""So many rows are turned into numbers at once."""

_PLACES = ("[machines:", "[local_listen_port:")
"""Where workers were, which a model does not say: the same trees are the same file."""


class Lot(NamedTuple):
    """Whole lists, as LightGBM takes them.

    Attributes
    ----------
    numbers
        Features, float32 [C, K].
    labels, lengths
        Grades [C], and how many rows each list has, [R].
    counts
        How much each row counts, [C].
    offsets
        Scores that trees go on from, [C]; None where they begin by themselves.
    """

    numbers: npt.NDArray[np.float32]
    labels: Ints
    lengths: Ints
    counts: Floats
    offsets: Floats | None

    @classmethod
    def of(cls, examples: Examples, contract: Contract, counts: Floats, offsets: Floats | None) -> "Lot":
        """Read the features of some lists."""
        numbers = np.concatenate([contract.matrix(table) for table in examples.table.tables(_AT_ONCE)])
        return cls(numbers, examples.labels, np.diff(examples.starts), counts, offsets)

    def dataset(self, parameters: Mapping[str, Any], reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        """Make what LightGBM learns from, or is held against."""
        return lightgbm.Dataset(
            self.numbers,
            label=self.labels,
            group=self.lengths,
            weight=self.counts,
            init_score=self.offsets,
            feature_name=parameters["names"],
            categorical_feature=parameters["categories"],
            reference=reference,
            params=parameters["lightgbm"] | {"max_bin": 255},
        )


def share_out(lists: int, workers: int) -> Ints:
    """Say which worker each list belongs to, by a hash of its place, so that all get lists of all times, shape [R].

    Examples
    --------
    >>> share_out(6, 2).tolist()
    [1, 1, 0, 1, 0, 0]
    """
    return (mix(np.arange(lists, dtype=np.uint64)) % np.uint64(workers)).astype(np.int64)


def grow_together(
    examples: tuple[Examples, Examples | None],
    contract: Contract,
    settings: RankerSettings,
    seed: int,
    engine: EngineSettings,
    bias: PositionBias,
    rounds: int | None = None,
) -> TreeRanker:
    """Grow a ranker on a cluster; whole lists lie with one worker.

    Parameters
    ----------
    examples
        What to learn from, and what growth stops on early, which every worker holds; see `recsys.ranking.trees.grow`.
    contract, settings, seed, rounds
        As of `recsys.ranking.trees.grow`.
    bias
        As of `recsys.ranking.trees.grow`, but for `"additive"`, whose effects each worker would learn apart.
    engine
        `growers` of it workers, each with `cpus` processors.

    Raises
    ------
    DataError
        As of `recsys.ranking.trees.grow`, and when a worker would get no list.
    StorageError
        When the cluster failed.
    """
    train, valid = learnable(*examples, settings, seed)
    parameters = parameters_of(settings, seed, contract, len(train.labels) // engine.growers)
    own = {"tree_learner": "data", "pre_partition": True, "num_threads": max(1, int(engine.cpus))}
    size = settings.rounds if valid is not None or rounds is None else max(1, round(rounds / settings.bags))
    given: dict[str, Any] = {
        "lightgbm": parameters | own,
        "names": feature_names(contract),
        "categories": contract.category_places,
        "size": size,
        "patience": settings.patience,
    }
    counts, offsets = bias.counts(train, settings.half_life), offsets_of(train, parameters, bias)
    worker_of = _worker_of(train, engine.growers)
    with open_ray(engine) as running:
        shares = []
        for worker in range(engine.growers):
            rows = worker_of == worker
            part = Lot.of(train.where(rows), contract, counts[rows], None if offsets is None else offsets[rows])
            shares.append(running.put(part))
        held = None if valid is None else running.put(Lot.of(valid, contract, np.ones(len(valid.labels)), None))
        given |= {"shares": shares, "valid": held}
        grown = [  # workers of their own for each: LightGBM takes a port once in a process
            running.together(_grow, given | {"seed": bag_seed(seed, bag)}, engine.growers)
            for bag in range(settings.bags)
        ]
    return TreeRanker(lightgbm.Booster(model_str=averaged(grown)), contract)


def _worker_of(train: Examples, growers: int) -> Ints:
    """Say which worker each row belongs to, shape [C]; refuse so few lists that one would get none."""
    lists_of = share_out(len(train.starts) - 1, growers)
    if len(np.unique(lists_of)) < growers:
        raise DataError(
            f"{counted(len(lists_of), 'list')} to learn from, shared out by a hash, leave a worker without any: "
            f"[engine] growers is {growers}; set it lower, for one process grows so few at once"
        )
    return np.repeat(lists_of, np.diff(train.starts))


def _grow(given: Mapping[str, Any], worker: Worker) -> str:
    """Grow trees in one of the workers, together with the others; all give the same."""
    be_quiet()
    own, held = worker.get(given["shares"][worker.rank]), given["valid"]
    dataset = own.dataset(given)
    valid_sets = [] if held is None else [worker.get(held).dataset(given, dataset)]
    callbacks: list[Any] = [lightgbm.early_stopping(given["patience"], verbose=False)] if valid_sets else []
    parameters, size = {**given["lightgbm"], **worker.network, "seed": given["seed"]}, given["size"]
    booster = lightgbm.train(parameters, dataset, num_boost_round=size, valid_sets=valid_sets, callbacks=callbacks)
    text = booster.model_to_string(num_iteration=booster.best_iteration if valid_sets else size)
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_PLACES))
