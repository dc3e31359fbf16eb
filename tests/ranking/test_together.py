from dataclasses import replace

import numpy as np
import pytest

from recsys.engines.on_ray import Worker
from recsys.engines.settings import EngineSettings
from recsys.errors import DataError, StorageError
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.ranking import together
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples
from recsys.ranking.positions import UNBIASED
from recsys.ranking.settings import RankerSettings
from recsys.ranking.together import grow_together, share_out
from recsys.ranking.trees import grow

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]

SETTINGS = RankerSettings(rounds=40, patience=10, rows_per_leaf=20)


def lists(seed: int, count: int = 600, length: int = 8) -> Examples:
    """Lists of which the candidate with the largest sum of two of five numbers is chosen mostly."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(count * length, 5)).astype(np.float32)
    liked = (numbers[:, 0] + numbers[:, 1] + random.normal(size=count * length)).reshape(count, length)
    labels = (liked == liked.max(axis=1, keepdims=True)).astype(np.int64).ravel()
    table = FeatureTable(tuple("abcde"), numbers.T, ())
    return Examples.alike(FeatureRows.of(table), labels, np.arange(0, count * length + 1, length))


def ndcg(examples: Examples, scores: np.ndarray, length: int = 8) -> float:
    order = np.argsort(-scores.reshape(-1, length), axis=1)
    place = np.argmax(np.take_along_axis(examples.labels.reshape(-1, length), order, axis=1), axis=1)
    return float(np.mean(1 / np.log2(2 + place)))


def test_trees_of_two_workers_rank_as_those_of_one_process_and_stop_early(cluster) -> None:
    train, valid, test = lists(1), lists(2, 200), lists(3, 2_000)
    contract = Contract.of(train.table)
    alone = grow(train, contract, SETTINGS, 7, valid=valid)
    engine = EngineSettings(kind="ray", address=cluster.address, growers=2)
    found = [grow_together((train, valid), contract, SETTINGS, 7, engine, UNBIASED) for _ in range(2)]
    assert found[0].booster.model_to_string() == found[1].booster.model_to_string()
    assert ndcg(test, found[0].score(test.table)) == pytest.approx(ndcg(test, alone.score(test.table)), abs=0.01)
    assert ndcg(test, found[0].score(test.table)) > 0.7 > ndcg(test, np.zeros(len(test.labels)))
    assert found[0].size < SETTINGS.rounds


def test_each_worker_learns_from_its_own_whole_lists(cluster, monkeypatch) -> None:
    """Numbers of the list and of the worker are learnt from: what each list weighs says who held it."""
    shares = []
    of = together.Lot.of.__func__
    monkeypatch.setattr(
        together.Lot, "of", classmethod(lambda cls, *given: shares.append(of(cls, *given)) or shares[-1])
    )
    train, engine = lists(1, 100), EngineSettings(kind="ray", address=cluster.address, growers=2)
    train = replace(train, weights=np.random.default_rng(5).uniform(0.5, 2, 800))
    settings = SETTINGS.model_copy(update={"bags": 2})
    assert grow_together((train, None), Contract.of(train.table), settings, 7, engine, UNBIASED, rounds=6).size == 6
    first, second = shares
    assert all((share.lengths == 8).all() and share.labels.sum() == len(share.lengths) for share in shares)
    rows = {row.tobytes() for share in shares for row in share.numbers}
    assert len(rows) == 800 == len(first.numbers) + len(second.numbers)
    assert min(len(first.lengths), len(second.lengths)) > 30
    table = Contract.of(train.table).matrix(next(iter(train.table.tables(800))))
    counts = {row.tobytes(): count for row, count in zip(table, train.weights / train.weights.mean(), strict=True)}
    for share in shares:
        np.testing.assert_allclose(share.counts, [counts[row.tobytes()] for row in share.numbers])


def test_so_few_lists_that_a_worker_would_get_none_are_refused() -> None:
    train, engine = lists(1, 2), EngineSettings(kind="ray", growers=4)
    with pytest.raises(
        DataError, match=r"^2 lists to learn from, shared out by a hash, leave a worker without any: \["
    ):
        grow_together((train, None), Contract.of(train.table), SETTINGS, 7, engine, UNBIASED, 4)


def test_lists_are_shared_out_evenly_and_the_same_way_each_time() -> None:
    of = share_out(10_000, 4)
    assert (np.bincount(of) > 2_300).all()
    assert (share_out(5_000, 4) == of[:5_000]).all()


def test_more_growers_than_there_is_room_for_are_refused(cluster) -> None:
    train, engine = lists(1, 50), EngineSettings(kind="ray", address=cluster.address, growers=9)
    with pytest.raises(StorageError, match=r"growers = 9 find no room at once: the cluster takes 2 such tasks; lower"):
        grow_together((train, None), Contract.of(train.table), SETTINGS, 7, engine, UNBIASED, 4)


def test_a_worker_alone_grows_what_one_process_grows() -> None:
    train = lists(1, 100)
    contract = Contract.of(train.table)
    expected = grow(train, contract, SETTINGS, 7, rounds=5)
    share = together.Lot.of(train, contract, np.ones(len(train.labels)), None)
    given = {"lightgbm": {**together.parameters_of(SETTINGS, 7, contract, 800), "num_threads": 1}, "valid": None}
    given |= {"names": list("abcde"), "categories": [], "seed": 7, "size": 5, "patience": 1, "shares": [share]}
    text = together._grow(given, Worker(0, {}, lambda thing: thing))
    assert text.split("parameters:")[0] == expected.booster.model_to_string().split("parameters:")[0]
