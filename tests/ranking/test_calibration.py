import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from recsys.ranking.calibration import Calibration, Fold


def chance(odds):
    return 1 / (1 + np.exp(-odds))


def make_fold(lists=3000, seed=0, sizes=(5, 8, 20), odds=lambda share, size, level: 0.5 + 1.3 * share, offset=0.0):
    """Lists whose clicks come about with planted log-odds of what a score is within its list; also the chances."""
    random = np.random.default_rng(seed)
    lengths = random.choice(sizes, lists)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    scores = random.normal(size=starts[-1]) + np.repeat(random.normal(size=lists), lengths)
    level = np.log(np.add.reduceat(np.exp(scores), starts[:-1]))
    spread = [np.repeat(each, lengths) for each in (level, lengths)]
    chances = chance(odds(scores - spread[0], spread[1], spread[0] - level.mean()))
    labels = (random.random(len(scores)) < chances).astype(np.int64)
    return Fold(scores + offset, labels, starts), chances


def error(calibration, fold, chances):
    return np.abs(calibration.probability(fold.scores, fold.starts) - chances).mean()


PLANTED = {
    "share": lambda share, size, level: 0.5 + 1.3 * share,
    "bent": lambda share, size, level: 1 + 0.4 * share + 2 * np.minimum(share + 2, 0),
    "size": lambda share, size, level: -2 + 0.8 * np.log(size) + 0.5 * share * np.log(size),
    "level": lambda share, size, level: 0.2 + 1.1 * share + 0.7 * level,
    "none": lambda share, size, level: np.full(len(share), -1.5),
}


@pytest.mark.parametrize("odds", PLANTED.values(), ids=PLANTED)
def test_planted_probabilities_are_found(odds):
    fold, _ = make_fold(odds=odds)
    fresh, chances = make_fold(seed=1, odds=odds)
    assert error(Calibration.fit([fold]), fresh, chances) < 0.01


def test_a_straight_line_agrees_with_scikit_learn():
    fold, _ = make_fold(lists=1000, sizes=(6,))
    lengths = np.diff(fold.starts)
    level = np.repeat(np.log(np.add.reduceat(np.exp(fold.scores), fold.starts[:-1])), lengths)
    columns = np.stack([fold.scores - level, level], axis=1)
    oracle = LogisticRegression(C=1e6).fit(columns, fold.labels).predict_proba(columns)[:, 1]
    found = Calibration.fit([fold]).probability(fold.scores, fold.starts)
    assert np.abs(found - oracle).mean() < 0.01


def test_one_list_size_and_one_share_alone_are_the_rate_of_clicks():
    """Lists of one candidate: all shares are 1. Half a click and half none are added."""
    labels = np.repeat([1, 0], [30, 70])
    found = Calibration.fit([Fold(np.zeros(100), labels, np.arange(101))])
    assert found.probability(np.array([5.0]), np.array([0, 1])) == pytest.approx([30.5 / 101], abs=1e-6)


@pytest.mark.parametrize("label", [0, 1, 3])
def test_a_click_is_neither_impossible_nor_certain(label):
    fold, _ = make_fold(lists=200)
    found = Calibration.fit([Fold(fold.scores, np.full_like(fold.labels, label), fold.starts)])
    extreme = found.probability(np.array([-1e9, -50.0, 0.0, 50.0, 1e9]), np.array([0, 5]))
    assert 0 < extreme.min() <= extreme.max() < 1
    assert ((extreme > 0.9) if label else (extreme < 0.1)).all()


def test_the_last_fold_says_how_many_clicks_there_are_and_all_how_they_depend():
    """The older fold has twice the clicks, and a ranker that adds 40 to every score; the last one is short."""
    steep = {"odds": lambda share, size, level: 1.5 * share + 0.6 * level}
    older, _ = make_fold(seed=2, odds=lambda share, size, level: 0.7 + 1.5 * share + 0.6 * level, offset=40.0)
    last, _ = make_fold(seed=3, lists=300, **steep)
    fresh, chances = make_fold(seed=4, **steep)
    found = Calibration.fit([older, last])
    assert np.ptp(found.levels) < 10
    assert error(found, fresh, chances) < 0.01
    assert error(found, fresh, chances) < error(Calibration.fit([last]), fresh, chances)
    assert error(Calibration.fit([last, older]).of_ranker(last.scores, last.starts), fresh, chances) > 0.02


def test_a_ranker_that_adds_a_number_to_all_scores_gives_the_same_probabilities():
    fold, _ = make_fold(odds=PLANTED["level"])
    found = Calibration.fit([fold])
    moved = found.of_ranker(fold.scores + 7, fold.starts)
    assert not np.allclose(found.probability(fold.scores + 7, fold.starts), found.probability(fold.scores, fold.starts))
    np.testing.assert_allclose(
        moved.probability(fold.scores + 7, fold.starts), found.probability(fold.scores, fold.starts), atol=1e-9
    )


LISTS = st.lists(
    st.lists(st.one_of(st.sampled_from([0.0, 0.5]), st.floats(-40, 40)), min_size=5, max_size=20),
    min_size=1,
    max_size=6,
)
FITTED = Calibration.fit([make_fold(odds=PLANTED["size"])[0]])


def asked(lists):
    return np.concatenate(lists), np.concatenate([[0], np.cumsum([len(each) for each in lists])])


@settings(max_examples=100, deadline=None)
@given(lists=LISTS, seed=st.integers(0, 99))
def test_neither_other_lists_nor_the_order_of_rows_change_a_bit(lists, seed):
    whole = FITTED.probability(*asked(lists))
    alone = [FITTED.probability(*asked([each])) for each in lists]
    assert np.concatenate(alone).tobytes() == whole.tobytes()
    orders = [np.random.default_rng(seed).permutation(len(each)) for each in lists]
    shuffled = [np.array(each)[order] for each, order in zip(lists, orders, strict=True)]
    again = np.concatenate([each[order] for each, order in zip(alone, orders, strict=True)])
    assert FITTED.probability(*asked(shuffled)).tobytes() == again.tobytes()


@settings(max_examples=100, deadline=None)
@given(lists=LISTS, seed=st.integers(0, 20))
def test_a_higher_score_is_never_less_likely_within_a_list(lists, seed):
    """Also where clicks fall on what is scored lowest."""
    random = np.random.default_rng(seed)
    odds = [lambda share, size, level: -3 - share, PLANTED["bent"], PLANTED["none"]][seed % 3]
    found = Calibration.fit([make_fold(lists=50, seed=random.integers(99), odds=odds)[0]])
    for each in lists:
        ordered = found.probability(*asked([np.sort(each)]))
        assert (np.diff(ordered) >= 0).all()


def test_a_list_among_thousands_has_the_bits_it_has_alone():
    fold, _ = make_fold(seed=5)
    whole = FITTED.probability(fold.scores, fold.starts)
    for first, last in zip(fold.starts[:200], fold.starts[1:201], strict=True):
        alone = FITTED.probability(fold.scores[first:last], np.array([0, last - first]))
        assert alone.tobytes() == whole[first:last].tobytes()


def test_beyond_what_was_seen_the_line_is_flat():
    above = np.linspace(0, 2, 19)
    low = [FITTED.probability(*asked([[least, *above]]))[0] for least in (-15.0, -20.0, -1000.0)]
    assert low == pytest.approx([low[0]] * 3, rel=1e-9)
    high = [FITTED.probability(*asked([above + by])) for by in (20.0, 1000.0)]
    np.testing.assert_allclose(*high, rtol=1e-9)


def test_of_a_size_that_was_not_seen_nothing_is_said():
    sizes = (4, 5, 12, 20, 21)
    found = FITTED.probability(*asked([np.arange(float(size)) for size in sizes]))
    assert [bool(np.isnan(part).all()) for part in np.split(found, np.cumsum(sizes)[:-1])] == [True, *3 * [False], True]
    assert np.isnan(found).sum() == 25
    assert len(FITTED.probability(np.empty(0), np.array([0]))) == 0


def test_who_knows_nothing_says_nothing():
    unknown = Calibration.unknown()
    assert np.isnan(unknown.probability(*asked([[1.0, 2.0], [3.0]]))).all()
    assert Calibration.from_json(json.loads(json.dumps(unknown.to_json()))).to_json() == unknown.to_json()


@pytest.mark.parametrize("sizes", [(1,), (7,), (2, 3), (5, 8, 20)])
def test_what_is_written_is_read(sizes):
    fold, _ = make_fold(lists=100, sizes=sizes)
    calibration = Calibration.fit([fold])
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again.to_json() == calibration.to_json()
    found = again.probability(fold.scores, fold.starts)
    assert found.tobytes() == calibration.probability(fold.scores, fold.starts).tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [1, 2]}, "sizes of the calibration is no list of numbers"),
        ({"base": ["1", "2"]}, "base of the calibration is no list of numbers"),
        ({"knots": [10**400]}, "knots of the calibration is no list of numbers"),
        ({"slopes": [[1.0]]}, "slopes of the calibration is no list of numbers"),
        ({"levels": 1.0}, "levels of the calibration is no list of numbers"),
        ({"lift": True}, "lift of the calibration is no list of numbers"),
        ({"lift": math.nan}, "lift of the calibration holds a number that no fit gives"),
        ({"base": [1.0, math.inf, 0.0]}, "base of the calibration holds a number that no fit gives"),
        ({"base": [1.0]}, "not one base and one steepness for each size"),
        ({"steepness": [1.0] * 4}, "not one base and one steepness for each size"),
        ({"levels": [0.0]}, "not three levels and some knots"),
        ({"knots": [], "slopes": []}, "not three levels and some knots"),
        ({"sizes": [], "base": [], "steepness": []}, "not three levels and some knots"),
        ({"slopes": [1.0]}, "not one slope between each two knots"),
        ({"sizes": [5.0, 20.0, 8.0]}, "do not rise, or a size is below 1"),
        ({"sizes": [0.0, 8.0, 20.0]}, "do not rise, or a size is below 1"),
        ({"knots": [-5.0, -4.0, -4.0, -2.0, -1.0, -0.5]}, "do not rise"),
        ({"levels": [2.0, 1.0, 3.0]}, "levels of the calibration fall"),
        ({"slopes": [1.0, 1.0, -0.1, 1.0, 1.0]}, "slope or steepness of the calibration is below 0"),
        ({"steepness": [1.0, -0.1, 1.0]}, "slope or steepness of the calibration is below 0"),
        ({"more": 1.0}, "holds more than sizes, base"),
    ],
)
def test_what_no_fit_gives_is_refused(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Calibration.from_json(FITTED.to_json() | change)
