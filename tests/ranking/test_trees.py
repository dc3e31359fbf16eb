import dataclasses
import re
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from recsys.errors import DataError, ModelError, SettingsError
from recsys.evaluation.measures import ndcg, per_request
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.ranking import trees as module
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples
from recsys.ranking.settings import RankerSettings
from recsys.ranking.trees import TreeRanker, check_monotone, grow

SMALL = RankerSettings(rounds=40, patience=10, leaves=7, rows_per_leaf=5, learning_rate=0.2, feature_fraction=1.0)


def make_examples(seed=0, requests=150):
    """Build lists in which clicks follow `match` and the brand "b"; `noise` says nothing."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 9, requests)
    rows = int(lengths.sum())
    match, noise = random.normal(size=(2, rows)).astype(np.float32)
    brand = random.choice(["a", "b", "c"], rows)
    match[random.random(rows) < 0.1] = np.nan
    strength = np.nan_to_num(match) * 2 + 2 * (brand == "b") + random.gumbel(size=rows)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    labels = np.zeros(rows, dtype=np.int64)
    for start, end in pairwise(starts):
        labels[start + strength[start:end].argmax()] = 1
    return Examples.alike(rows_of(pl.DataFrame({"match": match, "noise": noise, "brand": brand})), labels, starts)


def rows_of(frame):
    return FeatureRows.of(FeatureTable.of(frame))


def test_contributions_of_rows_sum_to_their_scores(grown) -> None:
    table = VALID.table.table(0, len(VALID.table))
    rows = np.array([5, 0, 5, 99])
    found = grown.contributions(table, rows)
    assert found.shape == (4, len(CONTRACT.names) + 1)
    assert found.sum(axis=1) == pytest.approx(grown.score(table)[rows], abs=1e-9)
    assert np.array_equal(found[0], found[2])
    assert len(set(found[:, -1])) == 1
    assert grown.contributions(table, rows[:0]).shape == (0, len(CONTRACT.names) + 1)
    with pytest.raises(ModelError, match="the feature table does not fit the ranker: missing"):
        grown.contributions(FeatureTable(("match",), table.numbers[:1], ()), rows)


def renamed(examples, change):
    return dataclasses.replace(examples, table=rows_of(change(examples.table.frame())))


TRAIN, VALID = make_examples(0), make_examples(1)
CONTRACT = Contract.of(TRAIN.table)


@pytest.fixture(scope="module")
def grown():
    return grow(TRAIN, CONTRACT, SMALL, seed=3, valid=VALID)


def text_of(ranker, folder):
    ranker.save(folder / "ranker.txt")
    return (folder / "ranker.txt").read_text()


@pytest.mark.slow
def test_a_planted_signal_is_learnt(grown):
    later = make_examples(2)
    table = later.table.frame()
    match, brand = table["match"].fill_nan(0).to_numpy(), table["brand"].to_numpy()
    reached, possible, noise = (
        np.mean([roc_auc_score(later.labels[start:end], scores[start:end]) for start, end in pairwise(later.starts)])
        for scores in (grown.score(later.table), match + (brand == "b"), table["noise"].to_numpy())
    )
    assert noise < 0.6
    assert reached > possible - 0.05 > 0.75
    assert next(iter(grown.importance())) == "match"
    assert list(grown.importance().values()) == sorted(grown.importance().values(), reverse=True)


def test_a_category_is_learnt_by_its_codes_and_not_by_their_order():
    brand = np.random.default_rng(5).choice(["a", "b", "c"], 1200)
    table = rows_of(pl.DataFrame({"brand": brand}))
    examples = Examples.alike(table, (brand == "b").astype(np.int64), np.arange(0, 1201, 6))
    ranker = grow(examples, Contract.of(table), SMALL, seed=0, rounds=5)
    low, high, other, unseen = ranker.score(FeatureTable.of(pl.DataFrame({"brand": ["a", "b", "c", "new"]})))
    assert high > max(low, other, unseen)


def test_what_lightgbm_says_of_many_words_is_for_those_who_ask():
    """It speaks once in a process, so that each is asked in one of its own."""
    asked = (
        "import logging, sys; logging.basicConfig(level=getattr(logging, sys.argv[1]), stream=sys.stdout)\n"
        "from tests.ranking.test_trees import *\n"
        "words = np.random.default_rng(5).integers(400, size=6000).astype(str)\n"
        "table = rows_of(pl.DataFrame({'word': words}))\n"
        "examples = Examples.alike(table, (words < '2').astype(np.int64), np.arange(0, 6001, 6))\n"
        "grow(examples, Contract.of(table), SMALL, seed=0, rounds=2)\n"
    )
    said = {
        level: subprocess.run([sys.executable, "-c", asked, level], capture_output=True, text=True, check=True).stdout
        for level in ("INFO", "DEBUG")
    }
    assert said["INFO"] == ""
    assert "DEBUG:recsys.ranking.trees:[LightGBM] [Warning] Categorical features with more bins" in said["DEBUG"]


def test_growth_stops_at_the_best_size_on_the_valid_window(grown):
    assert 1 <= grown.size < SMALL.rounds
    stopped = grow(TRAIN, CONTRACT, SMALL.model_copy(update={"rounds": grown.size}), seed=3, valid=VALID)
    np.testing.assert_array_equal(stopped.score(VALID.table), grown.score(VALID.table))


def test_a_given_size_is_kept():
    assert grow(TRAIN, CONTRACT, SMALL, seed=3, rounds=5).size == 5


def test_several_rankers_are_averaged_in_one(tmp_path) -> None:
    several = SMALL.model_copy(update={"bags": 3})
    mean = grow(TRAIN, CONTRACT, several, seed=3, valid=VALID)
    single = [grow(TRAIN, CONTRACT, SMALL, seed=3 + bag * module._APART, valid=VALID) for bag in range(3)]
    assert mean.size == sum(each.size for each in single)
    scores = [each.score(VALID.table) for each in single]
    np.testing.assert_allclose(mean.score(VALID.table), np.mean(scores, axis=0), rtol=1e-12)
    assert len({tuple(each) for each in scores}) == 3
    mean.save(tmp_path / "ranker.txt")
    np.testing.assert_array_equal(
        TreeRanker.load(tmp_path / "ranker.txt", CONTRACT).score(VALID.table), mean.score(VALID.table)
    )
    again = grow(TRAIN, CONTRACT, several, seed=3, rounds=mean.size)
    assert again.size == 3 * max(1, round(mean.size / 3))


def test_the_same_seed_gives_the_same_text(grown, tmp_path: Path):
    again = grow(TRAIN, CONTRACT, SMALL, seed=3, valid=VALID)
    assert text_of(again, tmp_path) == text_of(grown, tmp_path)
    other = grow(TRAIN, CONTRACT, SMALL, seed=4, valid=VALID)
    assert text_of(other, tmp_path) != text_of(grown, tmp_path)


def test_groups_are_the_lengths_of_the_lists():
    """The order of whole lists has no meaning; rows of one list cut into two lists would."""
    plain = SMALL.model_copy(update={"row_fraction": 1.0})
    one = grow(TRAIN, CONTRACT, plain, seed=3, rounds=3)
    halves = Examples.alike(TRAIN.table, TRAIN.labels, np.unique([*TRAIN.starts, *(TRAIN.starts[:-1] + 1)]))
    other = grow(halves, CONTRACT, plain, seed=3, rounds=3)
    assert not np.array_equal(one.score(VALID.table), other.score(VALID.table))
    clicked = TRAIN.where(TRAIN.clicked)
    data = lightgbm.Dataset(
        CONTRACT.matrix(clicked.table.table(0, len(clicked.table))),
        clicked.labels,
        group=np.diff(clicked.starts),
        categorical_feature=[2],
    )
    oracle = lightgbm.train(module.parameters_of(plain, 3, CONTRACT, len(clicked.labels)), data, num_boost_round=3)
    np.testing.assert_array_equal(
        one.score(VALID.table), oracle.predict(CONTRACT.matrix(VALID.table.table(0, len(VALID.table))))
    )


def test_lists_without_a_click_teach_nothing():
    labels = TRAIN.labels.copy()
    silent = np.arange(0, len(TRAIN.starts) - 1, 3)
    for request in silent:
        labels[TRAIN.starts[request] : TRAIN.starts[request + 1]] = 0
    some = Examples.alike(TRAIN.table, labels, TRAIN.starts)
    kept = some.where(some.clicked)
    assert len(kept.starts) - 1 == 150 - len(silent)
    assert kept.labels.sum() == 150 - len(silent)
    assert len(kept.table) == len(kept.labels) == kept.starts[-1]
    expected = [
        row
        for request in range(150)
        if request not in silent
        for row in TRAIN.table.column("noise")[TRAIN.starts[request] : TRAIN.starts[request + 1]].tolist()
    ]
    assert kept.table.column("noise").tolist() == expected
    one, other = (grow(examples, CONTRACT, SMALL, seed=3, rounds=3) for examples in (some, kept))
    np.testing.assert_array_equal(one.score(VALID.table), other.score(VALID.table))


def test_examples_may_be_joined_and_narrowed():
    both = TRAIN.joined(VALID)
    assert both.starts.tolist() == [*TRAIN.starts, *(VALID.starts[1:] + TRAIN.starts[-1])]
    assert both.labels.tolist() == [*TRAIN.labels, *VALID.labels]
    assert both.table.frame().equals(pl.concat([TRAIN.table.frame(), VALID.table.frame()]))
    assert TRAIN.without(("noise",)).table.columns == ("match", "brand")
    empty = Examples.alike(rows_of(TRAIN.table.frame().clear()), TRAIN.labels[:0], TRAIN.starts[:1])
    assert empty.where(empty.clicked).starts.tolist() == [0]
    assert empty.joined(VALID).starts.tolist() == VALID.starts.tolist()


def test_a_score_depends_on_its_row_alone(grown):
    scores = grown.score(VALID.table)
    order, frame = np.random.default_rng(0).permutation(len(scores)), VALID.table.frame()
    np.testing.assert_array_equal(grown.score(rows_of(frame[order])), scores[order])
    np.testing.assert_array_equal([grown.score(rows_of(frame[row]))[0] for row in range(20)], scores[:20])
    many = rows_of(pl.concat([frame] * 3))  # beyond the size from which several threads score
    np.testing.assert_array_equal(grown.score(many), np.tile(scores, 3))
    assert grown.score(rows_of(frame.clear())).shape == (0,)


def test_what_is_saved_is_loaded(grown, tmp_path: Path):
    grown.save(tmp_path / "ranker.txt")
    loaded = TreeRanker.load(tmp_path / "ranker.txt", CONTRACT)
    np.testing.assert_array_equal(loaded.score(VALID.table), grown.score(VALID.table))
    assert loaded.size == grown.size
    assert text_of(loaded, tmp_path) == text_of(grown, tmp_path)


@pytest.mark.parametrize("name", ["page type", 'a"b', "a:b", "[x],{y}", "größe", "a.b-c"])
def test_any_name_of_a_column_is_taken(tmp_path: Path, name):
    examples = renamed(TRAIN, lambda table: table.rename({"brand": name}))
    contract = Contract.of(examples.table)
    ranker = grow(examples, contract, SMALL, seed=3, rounds=2)
    ranker.save(tmp_path / "ranker.txt")
    loaded = TreeRanker.load(tmp_path / "ranker.txt", contract)
    np.testing.assert_array_equal(loaded.score(examples.table), ranker.score(examples.table))
    assert name in loaded.importance()


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["c", "b", "a"])])
def test_categories_of_polars_are_learnt_as_their_words(grown, kind):
    cast = [
        renamed(examples, lambda table: table.with_columns(pl.col("brand").cast(kind))) for examples in (TRAIN, VALID)
    ]
    ranker = grow(cast[0], Contract.of(cast[0].table), SMALL, seed=3, valid=cast[1])
    np.testing.assert_array_equal(ranker.score(cast[1].table), grown.score(VALID.table))


@pytest.mark.parametrize("rate", ["nan", "-", "x"])
def test_parameters_that_lightgbm_cannot_read_back_are_refused(grown, tmp_path: Path, rate: str):
    text = text_of(grown, tmp_path)
    forged = re.sub(r"(?m)^\[learning_rate: .*\]$", f"[learning_rate: {rate}]", text)
    assert forged != text
    (tmp_path / "ranker.txt").write_text(forged)
    with pytest.raises(ModelError, match=r"ranker\.txt cannot be read as a LightGBM model .*train again"):
        TreeRanker.load(tmp_path / "ranker.txt", CONTRACT)


def test_another_file_or_contract_is_refused(grown, tmp_path: Path):
    path = tmp_path / "ranker.txt"
    with pytest.raises(ModelError, match=r"ranker\.txt cannot be read as a LightGBM model .*train again"):
        TreeRanker.load(path, CONTRACT)
    for content in (b"tree\nnot really", b"", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"ranker\.txt cannot be read as a LightGBM model .*train again"):
            TreeRanker.load(path, CONTRACT)
    grown.save(path)
    for contract in (CONTRACT.without(("noise",)), Contract(CONTRACT.columns[::-1])):
        with pytest.raises(ModelError, match=r"was grown on other features than features\.json names; train again"):
            TreeRanker.load(path, contract)


def test_a_table_that_breaks_the_contract_is_refused(grown):
    with pytest.raises(ModelError, match=r"missing \['noise'\]"):
        grown.score(VALID.table.without(["noise"]))


@pytest.mark.parametrize(("label", "span"), [(31, "0 to 31"), (-1, "-1 to 1")])
def test_labels_out_of_range_are_refused(label, span):
    labels = TRAIN.labels.copy()
    labels[labels.argmin()] = label
    with pytest.raises(DataError, match=f"labels run from {span}; use grades from 0 to 30"):
        grow(Examples.alike(TRAIN.table, labels, TRAIN.starts), CONTRACT, SMALL, seed=0, rounds=1)


def test_the_largest_label_is_taken():
    labels = TRAIN.labels * 30
    assert grow(Examples.alike(TRAIN.table, labels, TRAIN.starts), CONTRACT, SMALL, seed=0, rounds=1).size == 1


def test_longer_lists_than_lightgbm_takes_are_dealt_out_and_said(caplog):
    rows = 25_000
    signal = np.random.default_rng(0).normal(size=rows).astype(np.float32)
    labels = (signal > 2).astype(np.int64)
    table = rows_of(pl.DataFrame({"x": signal}))
    examples = Examples.alike(table, labels, np.array([0, rows]))
    ranker = grow(examples, Contract.of(table), SMALL, seed=0, rounds=5)
    assert roc_auc_score(labels, ranker.score(table)) > 0.99
    assert "1 list of the ranker window hold more than the 10,000 candidates that LightGBM ranks at most" in caplog.text


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg", "binary"])
def test_every_objective_learns_the_planted_signal_and_is_read_back(tmp_path: Path, objective):
    settings = SMALL.model_copy(update={"objective": objective})
    ranker = grow(TRAIN, CONTRACT, settings, seed=3, valid=VALID)
    later = make_examples(2)
    scores = ranker.score(later.table)
    aucs = [roc_auc_score(later.labels[start:end], scores[start:end]) for start, end in pairwise(later.starts)]
    assert np.mean(aucs) > 0.8
    ranker.save(tmp_path / "ranker.txt")
    np.testing.assert_array_equal(TreeRanker.load(tmp_path / "ranker.txt", CONTRACT).score(later.table), scores)
    leaves = ranker.booster.predict(CONTRACT.matrix(later.table.table(0, 1)), pred_leaf=True)[0]
    summed = sum(ranker.booster.get_leaf_output(tree, int(leaf)) for tree, leaf in enumerate(leaves))
    assert scores[0] == pytest.approx(summed)  # sums of leaves, which keep apart what a probability rounds to 1


@pytest.mark.parametrize(("direction", "sign"), [("rising", 1), ("falling", -1)])
def test_a_feature_with_a_direction_moves_scores_that_way_alone(tmp_path: Path, direction, sign):
    settings = SMALL.model_copy(update={"monotone": {"noise": direction}})
    ranker = grow(TRAIN, CONTRACT, settings, seed=3, rounds=40)
    free = grow(TRAIN, CONTRACT, SMALL, seed=3, rounds=40)
    frame = VALID.table.frame()[:200]
    steps = np.linspace(-3, 3, 25, dtype=np.float32)
    moved, other = (
        np.array([each.score(rows_of(frame.with_columns(noise=pl.lit(step)))) for step in steps])
        for each in (ranker, free)
    )
    assert (sign * np.diff(moved, axis=0) >= 0).all()
    assert (np.diff(other, axis=0) < 0).any()
    assert (np.diff(other, axis=0) > 0).any()
    ranker.save(tmp_path / "ranker.txt")
    loaded = TreeRanker.load(tmp_path / "ranker.txt", CONTRACT)
    np.testing.assert_array_equal(loaded.score(VALID.table), ranker.score(VALID.table))


def test_directions_of_features_that_are_left_out_bind_nothing():
    settings = SMALL.model_copy(update={"monotone": {"noise": "rising"}})
    without = TRAIN.without(("noise",))
    bound, free = (grow(without, Contract.of(without.table), each, seed=3, rounds=5) for each in (settings, SMALL))
    np.testing.assert_array_equal(bound.score(without.table), free.score(without.table))


def test_a_direction_of_what_has_none_is_refused():
    with pytest.raises(SettingsError, match=r"monotone names 'match_', which is no feature; .*; did you mean match\?"):
        check_monotone(CONTRACT.names, ["brand"], {"match_": "rising"})
    check_monotone(CONTRACT.names, ["brand"], {"match": "rising"})
    with pytest.raises(SettingsError, match="names 'brand', which holds categories without an order; leave it out"):
        grow(TRAIN, CONTRACT, SMALL.model_copy(update={"monotone": {"brand": "rising"}}), seed=3, rounds=1)


def test_what_weighs_nothing_teaches_nothing():
    """Half of the lists say the opposite."""
    flipped = dataclasses.replace(VALID, table=rows_of(VALID.table.frame().with_columns(-pl.col("match"))))
    both = TRAIN.joined(flipped)
    weights = np.repeat([1.0, 0.0], [len(TRAIN.labels), len(VALID.labels)])
    later = make_examples(2)
    plain = SMALL.model_copy(update={"row_fraction": 1.0})
    heavy, even = (
        grow(each, CONTRACT, plain, seed=3, rounds=20).score(later.table)
        for each in (dataclasses.replace(both, weights=weights), both)
    )
    match = np.nan_to_num(later.table.column("match"))
    assert np.corrcoef(heavy, match)[0, 1] > 0.5
    assert abs(np.corrcoef(even, match)[0, 1]) < 0.3


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg", "binary"])
def test_weighted_trees_stop_where_the_valid_window_says(objective):
    """Weights of what is learnt from are none of the valid window, whose nDCG@10 is told tree by tree."""
    told = []
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(TRAIN.labels))
    settings = SMALL.model_copy(update={"objective": objective})
    ranker = grow(
        dataclasses.replace(TRAIN, weights=weights), CONTRACT, settings, seed=3, valid=VALID,
        watch=lambda trees, ndcg: told.append((trees, ndcg)),
    )  # fmt: skip
    assert ranker.size > 2
    best = max(told, key=lambda each: each[1])
    assert best[0] == ranker.size
    reached = per_request((ndcg(10),), VALID.labels, ranker.score(VALID.table), VALID.starts)[0]
    assert best[1] == pytest.approx(np.nanmean(reached), abs=0.01)  # it breaks ties by place
    assert [trees for trees, _ in told] == list(range(1, len(told) + 1))


def test_rows_of_one_list_weigh_alike_where_they_weigh_the_same():
    """Twice the weight for all rows changes nothing; LightGBM's own weights are the oracle of others."""
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(TRAIN.labels))
    weighed = [dataclasses.replace(TRAIN, weights=weights * factor) for factor in (1.0, 2.0, 1e300)]
    scores = [grow(each, CONTRACT, SMALL, seed=3, rounds=5).score(VALID.table) for each in weighed]
    np.testing.assert_allclose(scores[1], scores[0])
    np.testing.assert_allclose(scores[2], scores[0])
    clicked = weighed[0].where(weighed[0].clicked)
    data = lightgbm.Dataset(
        CONTRACT.matrix(clicked.table.table(0, len(clicked.table))),
        clicked.labels,
        group=np.diff(clicked.starts),
        weight=clicked.weights / clicked.weights.mean(),
        categorical_feature=[2],
    )
    oracle = lightgbm.train(module.parameters_of(SMALL, 3, CONTRACT, len(clicked.labels)), data, num_boost_round=5)
    expected = oracle.predict(CONTRACT.matrix(VALID.table.table(0, len(VALID.table))))
    np.testing.assert_allclose(scores[0], expected)


def test_old_lists_fade_by_their_half_life():
    """The older half of the lists says the opposite, 30 days before."""
    day = 86_400_000_000
    flipped = dataclasses.replace(VALID, table=rows_of(VALID.table.frame().with_columns(-pl.col("match"))))
    both = flipped.joined(dataclasses.replace(TRAIN, moments=TRAIN.moments + 30 * day))
    later = make_examples(2)
    match = np.nan_to_num(later.table.column("match"))
    fading = SMALL.model_copy(update={"half_life": timedelta(days=2)})
    new, even = (grow(both, CONTRACT, each, seed=3, rounds=20).score(later.table) for each in (fading, SMALL))
    assert np.corrcoef(new, match)[0, 1] > 0.5
    assert abs(np.corrcoef(even, match)[0, 1]) < 0.3


def test_windows_without_a_click_are_refused():
    silent = dataclasses.replace(TRAIN, labels=TRAIN.labels * 0)
    with pytest.raises(DataError, match="the ranker window holds no list with a click, so no order can be learnt"):
        grow(silent, CONTRACT, SMALL, seed=0, rounds=1)
    with pytest.raises(DataError, match="the valid window holds no list with a click"):
        grow(TRAIN, CONTRACT, SMALL, seed=0, valid=silent)


@pytest.mark.parametrize(
    ("line", "forged"),
    [
        ("left_child=.*", "left_child=0"),
        ("num_leaves=.*", "num_leaves=2000000000"),
        ("leaf_value=.*", "leaf_value=nan"),
    ],
)
def test_lightgbm_sees_no_byte_of_a_forged_file(grown, tmp_path: Path, line, forged):
    path = tmp_path / "ranker.txt"
    path.write_text(re.sub(line, forged, text_of(grown, tmp_path), count=1))
    with pytest.raises(ModelError, match=r"ranker\.txt cannot be read as a LightGBM model \(tree 0: .*\); train again"):
        TreeRanker.load(path, CONTRACT)
