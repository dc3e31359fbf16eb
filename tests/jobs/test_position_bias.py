from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError, SettingsError
from recsys.evaluation.measures import ndcg, per_request
from recsys.features.rows import FeatureRows
from recsys.features.table import FeatureTable
from recsys.jobs import position_bias as module
from recsys.jobs.judging import LoggedWindow
from recsys.jobs.position_bias import check_positions, examined, learn_bias
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples
from recsys.ranking.positions import UNBIASED, Examination
from recsys.ranking.settings import RankerSettings
from recsys.ranking.trees import grow
from recsys.world.policy import plackett_luce

PLACES = 6
LOOKED = 1 / np.arange(1, PLACES + 1)
SMALL = RankerSettings(rounds=60, patience=20, leaves=7, rows_per_leaf=20, learning_rate=0.2, feature_fraction=1.0)


@cache
def window(looked=tuple(LOOKED), seed=0, requests=3_000, drawn=True):
    """Show lists that put first what is pushed, which nobody likes better for it; both are features."""
    rng = np.random.default_rng(seed)
    wanted, pushed = rng.normal(size=(2, requests, PLACES))
    order, propensity = plackett_luce(3 * pushed, rng)
    wanted, pushed = (np.take_along_axis(each, order, axis=1) for each in (wanted, pushed))
    clicked = rng.random(wanted.shape) < np.array(looked) / (1 + np.exp(2.5 - wanted))
    rows = requests * PLACES
    table = pl.DataFrame({"wanted": wanted.ravel(), "pushed": pushed.ravel()}).cast(pl.Float32)
    examples = replace(
        Examples.alike(
            FeatureRows.of(FeatureTable.of(table)), clicked.astype(int).ravel(), np.arange(0, rows + 1, PLACES)
        ),
        positions=np.tile(np.arange(1, PLACES + 1), requests),
        propensities=propensity.ravel() if drawn else np.full(rows, np.nan),
    )
    users = pl.DataFrame({"user_id": np.repeat(np.arange(requests) // 3, PLACES)})
    return LoggedWindow(users, examples, examples)


def reached(bias, seed=9, settings=SMALL):
    """Learn by a correction, and give the nDCG@10 on lists in which every place is looked at."""
    shown, fair = window().examples, window(tuple(np.ones(PLACES)), seed).examples
    trees = grow(shown, Contract.of(shown.table), settings, seed=1, valid=window(seed=1).examples, bias=bias)
    return np.nanmean(per_request((ndcg(10),), fair.labels, trees.score(fair.table), fair.starts)[0])


@pytest.mark.parametrize("drawn", [True, False])
def test_how_places_are_looked_at_is_learnt_with_and_without_the_probabilities_of_a_draw(drawn):
    found = examined(window(requests=12_000, drawn=drawn).examples, SMALL, seed=1)
    assert found.odds == pytest.approx(LOOKED, rel=0.25)
    assert not found.flat


@pytest.mark.parametrize("drawn", [True, False])
def test_what_is_pushed_is_not_taken_for_what_is_wanted(drawn):
    bias = learn_bias(window(drawn=drawn), window(seed=1, drawn=drawn), SMALL, seed=1)
    assert bias.correction == "examination"
    biased, mended = reached(UNBIASED), reached(bias)
    shown, held = (window(tuple(np.full(PLACES, LOOKED.mean())), seed).examples for seed in (0, 1))
    trees = grow(shown, Contract.of(shown.table), SMALL, seed=1, valid=held)
    fair = window(tuple(np.ones(PLACES)), 9).examples
    best = np.nanmean(per_request((ndcg(10),), fair.labels, trees.score(fair.table), fair.starts)[0])
    assert best - biased > 0.02
    assert mended - biased > 0.6 * (best - biased)


def test_a_correction_that_is_asked_for_is_done():
    plain = reached(UNBIASED)
    for asked in ("examination", "inverse", "additive"):
        settings = SMALL.model_copy(update={"position_bias": asked})
        bias = learn_bias(window(), window(seed=1), settings, seed=1)
        assert bias.correction == asked
        assert reached(bias) > plain + 0.005 if asked != "additive" else reached(bias) != plain
    assert learn_bias(window(), window(seed=1), SMALL.model_copy(update={"position_bias": "none"}), seed=1) is UNBIASED


def test_single_candidates_learn_beside_their_places_too():
    settings = SMALL.model_copy(update={"objective": "binary"})
    bias = learn_bias(window(), window(seed=1), settings, seed=1)
    shown, fair = window().examples, window(tuple(np.ones(PLACES)), 9).examples
    scores = [
        grow(shown, Contract.of(shown.table), settings, seed=1, valid=window(seed=1).examples, bias=each).score(
            fair.table
        )
        for each in (UNBIASED, bias)
    ]
    plain, mended = (np.nanmean(per_request((ndcg(10),), fair.labels, each, fair.starts)[0]) for each in scores)
    assert mended > plain + 0.01


def test_what_gives_unclicked_candidates_a_part_is_corrected_by_weights_and_never_by_odds():
    """Taking off odds turns its order upside down: unclicked candidates have a part whatever their place."""
    settings = SMALL.model_copy(update={"objective": "rank_xendcg"})
    bias = learn_bias(window(), window(seed=1), settings, seed=1)
    assert bias.correction == "inverse"
    plain, weighed, odds = (
        reached(each, settings=settings) for each in (UNBIASED, bias, replace(bias, correction="examination"))
    )
    assert weighed > plain + 0.005
    assert odds < plain
    with pytest.raises(SettingsError, match="that trees learn the order shown upside down; choose 'inverse', or lamb"):
        check_positions(requests([1, 2, 1]), settings.model_copy(update={"position_bias": "examination"}))
    check_positions(requests([1, 2, 1]), settings.model_copy(update={"position_bias": "inverse"}))


def test_where_no_place_matters_nothing_is_done():
    alike = tuple(np.full(PLACES, 0.4))
    assert learn_bias(window(alike), window(alike, 1), SMALL, seed=1) is UNBIASED
    nowhere = replace(window().examples, positions=np.zeros(3_000 * PLACES, np.int64))
    assert examined(nowhere, SMALL, seed=1) is None


def test_another_way_is_chosen_where_it_clearly_explains_more():
    """Here no place matters, and taking off what is not there can only harm."""
    alike = tuple(np.full(PLACES, 0.4))
    wrong = Examination(np.geomspace(1, 1e-6, PLACES), 0.0)
    known = ["examination", "inverse", "none", "additive"]
    chosen = module._preferred(window(alike), window(alike, 1), wrong, known, SMALL, 1)
    assert chosen.correction != "examination"


@pytest.mark.parametrize("together", [False, True])
def test_effects_of_places_are_no_choice_of_several_workers(monkeypatch, together):
    asked = []
    monkeypatch.setattr(module, "_preferred", lambda *given: asked.append(given[3]))
    learn_bias(window(), window(seed=1), SMALL, 1, together)
    assert asked == [["examination", "inverse", "none", *(["additive"] if not together else [])]]


def test_what_is_liked_is_asked_of_trees_that_have_not_seen_the_list(monkeypatch):
    learnt = []

    def growing(examples, *arguments, **options):
        trees = grow(examples, *arguments, **options)
        learnt.append(set(examples.table.column("wanted").tolist()))

        class Watched:
            def score(self, table):
                assert not learnt[-1] & set(table.column("wanted").tolist())
                return trees.score(table)

        return Watched()

    monkeypatch.setattr(module, "grow", growing)
    assert examined(window(drawn=False).examples, SMALL, seed=1) is not None
    assert len(learnt) == 2 * module._TURNS


def test_lists_without_places_and_rows_without_weight_say_nothing_of_places():
    whole, none = window(drawn=False).examples, np.zeros(3_000 * PLACES, np.int64)
    part = np.repeat(np.arange(3_000) % 3 > 0, PLACES)
    expected = examined(whole.where(part), SMALL, seed=1)
    unknown = replace(whole, positions=np.where(part, whole.positions, none))
    silent = replace(whole, weights=part.astype(float), labels=np.where(part, whole.labels, whole.positions == PLACES))
    for examples in (unknown, silent):
        assert examined(examples, SMALL, seed=1).odds == pytest.approx(expected.odds)


@pytest.mark.parametrize(
    ("places", "first", "others"), [(50, 0.2, 0.01), (30, 0.4, 0.02), (24, 0.5, 0.03), (10, 0.3, 0.0)]
)
def test_a_first_place_that_is_clicked_far_more_is_told_in_numbers(places, first, others):
    rng = np.random.default_rng(0)
    place = np.tile(np.arange(places), 2_000)
    clicked = (rng.random(len(place)) < np.where(place == 0, first, others)).astype(float)
    found = module._places_beside(np.zeros(len(place)), place, clicked)
    rates = np.array([clicked[place == each].mean() for each in range(places)])
    odds = (rates + 1e-4) / (1 - rates)
    assert found.odds == pytest.approx(odds / odds[0], rel=0.2, abs=1e-3)
    assert not found.flat


def test_odds_are_against_the_first_place_where_something_stood():
    rng = np.random.default_rng(0)
    place = rng.choice([2, 4, 9], 30_000)  # places count from 0 there
    clicked = (rng.random(len(place)) < 0.3 / (1 + place)).astype(float)
    found = module._places_beside(np.zeros(len(place)), place, clicked)
    odds = [each / (1 - each) for each in (0.1, 0.06, 0.03)]
    assert found.odds[:4] == pytest.approx([1.0] * 4)
    assert found.odds[4:9] == pytest.approx([odds[1] / odds[0]] * 5, rel=0.15)
    assert found.odds[9] == pytest.approx(odds[2] / odds[0], rel=0.15)


def test_that_nothing_can_be_corrected_is_said(caplog):
    settings = SMALL.model_copy(update={"position_bias": "additive"})
    third = replace(window(requests=20).examples, positions=np.full(20 * PLACES, 3))
    lists = replace(window(requests=20), examples=third, learnt=third)
    assert learn_bias(lists, lists, settings, seed=1) is UNBIASED
    assert "position_bias is 'additive', but too few lists or places were clicked to learn" in caplog.text


def requests(positions):
    return pl.DataFrame({"request_id": [7, 7, 8], "item_id": ["a", "b", "a"]}).with_columns(
        position=pl.Series(positions, dtype=pl.Int64)
    )


def test_positions_that_are_missing_in_part_are_refused():
    with pytest.raises(DataError, match="requests.position is empty in 1 of 3 rows, the first in request 8, item 'a'"):
        check_positions(requests([1, 2, None]), RankerSettings())
    check_positions(requests([1, 2, None]), RankerSettings(position_bias="none"))
    check_positions(requests([1, 2, 1]), RankerSettings(position_bias="additive"))
    check_positions(requests([None, None, None]), RankerSettings())


def test_corrections_that_need_what_is_not_there_are_refused():
    for rows in (requests([None, None, None]), requests([1, 2, 1]).drop("position")):
        with pytest.raises(SettingsError, match="position_bias is 'inverse' but requests hold no position; import"):
            check_positions(rows, RankerSettings(position_bias="inverse"))
    with pytest.raises(
        SettingsError, match="freshness is 'nightly', whose lists are made before anything is shown, in no"
    ):
        check_positions(requests([1, 2, 1]), RankerSettings(position_bias="inverse"), nightly=True)
    for objective in ("binary", "rank_xendcg"):  # there LightGBM takes positions and does nothing with them
        with pytest.raises(SettingsError, match=f"knows for lambdarank alone, and objective is '{objective}'; choose"):
            check_positions(requests([1, 2, 1]), RankerSettings(position_bias="additive", objective=objective))


def test_effects_of_places_are_refused_with_several_growers():
    requests, asked = pl.DataFrame({"position": [1, 2]}), SMALL.model_copy(update={"position_bias": "additive"})
    check_positions(requests, asked)
    with pytest.raises(
        SettingsError, match=r"'additive', which one process learns alone, and \[engine\] growers is 2; lea"
    ):
        check_positions(requests, asked, growers=2)
