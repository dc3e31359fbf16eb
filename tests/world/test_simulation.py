import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recsys.world import taste
from recsys.world.facets import FACETS


def per_request_auc(shown, rows, score):
    """Mean share of the pairs of a click and none, in one request, that the score orders rightly."""
    places = np.nonzero(rows)[0]
    shares = []
    for request in np.split(places, np.nonzero(np.diff(shown.request[places]))[0] + 1):
        clicked = shown.clicked[request]
        if clicked.any() and not clicked.all():
            won = score[request][clicked][:, None] - score[request][~clicked]
            shares.append(np.mean((won > 0) + 0.5 * (won == 0)))
    assert len(shares) > 1_000
    return np.mean(shares)


@pytest.fixture(scope="module")
def signals(parts):
    """Parts of the utility of every candidate, by name."""
    shown, catalogue, population = parts.simulation.shown, parts.catalogue, parts.population
    user, moment = parts.simulation.requests.user[shown.request], parts.simulation.requests.moment[shown.request]
    facets = catalogue.facets[shown.item]
    facet_appeal = np.array([*(facet.appeal for facet in FACETS), 0.0])[facets].sum(axis=1)
    return {
        "freshness": taste.freshness(moment - catalogue.published[shown.item]),
        "appeal": catalogue.appeal[shown.item],
        "facet appeal": facet_appeal,
        "topics": population.topic_interest[user, catalogue.topic[shown.item]],
        "facets": population.facet_interest[user[:, None], facets].sum(axis=1),
    }


@pytest.fixture(scope="module")
def tail(parts):
    return parts.simulation.shown.request >= parts.settings.requests // 2


def test_clicks_come_as_often_as_the_formula_says(parts):
    shown = parts.simulation.shown
    chance = taste.examination(shown.position) * taste.sigmoid(shown.utility)
    bands = np.searchsorted(np.quantile(chance, np.linspace(0.1, 0.9, 9)), chance)
    for group in (bands, 100 + shown.position):
        for value in np.unique(group):
            rows = group == value
            error = np.sqrt((chance[rows] * (1 - chance[rows])).sum())
            assert abs(shown.clicked[rows].sum() - chance[rows].sum()) < 4 * error


def test_whim_is_what_the_utility_adds_to_its_parts(parts, signals):
    whim = parts.simulation.shown.utility - taste.BASE
    whim = whim - sum(signals[name] for name in ("freshness", "appeal", "topics", "facets"))
    assert abs(whim.mean()) < 4 * taste.WHIM / np.sqrt(len(whim))
    assert whim.std() == pytest.approx(taste.WHIM, rel=0.03)


def test_click_rates_are_those_of_a_real_log(parts):
    shown = parts.simulation.shown
    assert 0.08 < shown.clicked.mean() < 0.12
    clicks = np.bincount(shown.request[shown.clicked], minlength=parts.settings.requests)
    assert 0.7 < clicks.mean() < 1.4
    assert 0.15 < (clicks == 0).mean() < 0.5


def test_lists_are_as_long_as_asked_with_positions_from_one(parts):
    shown = parts.simulation.shown
    sizes = np.bincount(shown.request, minlength=parts.settings.requests)
    assert set(sizes) == set(range(8, 17))
    assert sizes.mean() == pytest.approx(12, abs=0.15)
    assert (shown.position == np.concatenate([np.arange(1, size + 1) for size in sizes])).all()


def test_tail_is_ordered_by_chance_alone(parts, tail, signals):
    shown = parts.simulation.shown
    sizes = np.bincount(shown.request)
    uniform = 1 / (sizes[shown.request] - shown.position + 1)
    assert (shown.propensity[tail] == uniform[tail]).all()
    assert not np.isclose(shown.propensity[~tail], uniform[~tail]).all()
    assert abs(np.corrcoef(shown.position[tail], signals["freshness"][tail])[0, 1]) < 0.02
    assert np.corrcoef(shown.position[~tail], signals["freshness"][~tail])[0, 1] < -0.1


def test_last_position_is_certain_given_those_above(parts):
    shown = parts.simulation.shown
    last = np.append(np.diff(shown.request) > 0, True)
    assert shown.propensity[last] == pytest.approx(1.0)
    assert (shown.propensity > 0).all()


def test_nothing_is_shown_or_browsed_before_it_is_published(parts):
    run, published = parts.simulation, parts.catalogue.published
    assert (published[run.shown.item] <= run.requests.moment[run.shown.request]).all()
    assert (published[run.browsed.item] <= run.browsing.moment).all()


def test_most_users_have_clicks_before_the_first_list(parts):
    run = parts.simulation
    before = run.browsed.opened & (run.browsing.moment < 0)
    clicks = np.bincount(run.browsing.user[before], minlength=parts.settings.users)
    early = parts.population.joined < 0
    assert (clicks[early] >= 3).mean() > 0.8
    assert (clicks[~early] == 0).all()


def test_browsing_prefers_what_is_liked(parts):
    run = parts.simulation
    assert run.browsed.utility.mean() > run.shown.utility.mean() + 1


def test_behaviour_explains_a_good_part_facets_a_good_part_more(parts, tail, signals):
    shown = parts.simulation.shown
    seen = signals["freshness"] + signals["appeal"] + signals["topics"]
    chance = np.random.default_rng(0).random(len(seen))
    measured = {
        "random": per_request_auc(shown, tail, chance),
        "freshness and appeal": per_request_auc(shown, tail, signals["freshness"] + signals["appeal"]),
        "behaviour": per_request_auc(shown, tail, seen),
        "both": per_request_auc(shown, tail, seen + signals["facets"]),
        "optimum": per_request_auc(shown, tail, shown.utility),
    }
    assert measured["random"] == pytest.approx(0.5, abs=0.02)
    assert 0.60 < measured["freshness and appeal"] < measured["behaviour"] < 0.72
    assert measured["both"] > measured["behaviour"] + 0.08
    assert 0.78 < measured["optimum"] < 0.88


def test_text_explains_most_where_items_have_few_showings(parts, tail, signals):
    shown = parts.simulation.shown
    order = np.lexsort((shown.request, shown.item))
    first = np.searchsorted(shown.item[order], shown.item[order])
    showings = np.empty(len(order), dtype=np.int64)
    showings[order] = np.arange(len(order)) - first
    cold = tail & (showings < 20)
    assert cold.sum() > 2_000
    text = signals["facets"] + signals["facet appeal"]
    assert roc_auc_score(shown.clicked[cold], text[cold]) > 0.65
