from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.features.declared import values_of
from recsys.features.moments import Age, HoursSince, Number, Pace, Same

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
KEYS = [(), ("user",), ("item",), ("user", "item"), ("user", "category"), ("item", "device"), ("category", "age_group")]
LAST = [("last_item", "item"), ("last_category", "category"), ("last_category", "item")]

EXACT = [
    *(HoursSince(of, per, first) for of in ("showing", "click", "like") for per in KEYS for first in (False, True)),
    *(HoursSince("click", per, first) for per in LAST for first in (False, True)),
    HoursSince("never", ("item",)),
    Age(),
    Same("item"),
    Same("category"),
    Number("price"),
]
ROUNDED = [
    *(Pace(of, per) for of in ("showing", "click", "like") for per in KEYS),
    *(Pace("click", per) for per in LAST),
]


def check(tools, exact, rounded, case):
    for feature in exact:
        found = values_of(feature, case.lookup)
        np.testing.assert_array_equal(found, tools.expected(feature, case), err_msg=str(feature))
    for feature in rounded:
        found = values_of(feature, case.lookup)
        np.testing.assert_allclose(found, tools.expected(feature, case), rtol=1e-12, err_msg=str(feature))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_moments_are_those_of_a_plain_loop(tools, data):
    exact = data.draw(st.lists(st.sampled_from(EXACT), min_size=8, max_size=8))
    rounded = data.draw(st.lists(st.sampled_from(ROUNDED), min_size=4, max_size=4))
    check(tools, exact, rounded, data.draw(tools.case()))


@pytest.mark.parametrize("versions", [False, True])
@pytest.mark.parametrize("freshness", ["live", "1d"])
def test_every_moment_of_a_full_log_is_that_of_a_plain_loop(tools, freshness, versions):
    case = tools.full_case(7, freshness=freshness, versions=versions, feedback_delay="6h", zone="Africa/Cairo")
    check(tools, EXACT, ROUNDED, case)


def small(tools, asked, clicks, **time):
    """Make a log of clicks, and candidates of user 1 at noon."""
    case = tools.full_case(8, **time)
    events = tools.events([(1, item, "click", NOON - timedelta(hours=hours), timedelta(0)) for item, hours in clicks])
    items = pl.DataFrame(
        {"item_id": [1, 2, 3], "category": ["x", "x", None], "available_at": [NOON, None, None], "price": [2, None, 3]},
        schema=case.dataset.items.schema,
    )
    dataset = type(case.dataset)(items, events, case.dataset.requests.clear(), case.dataset.users)
    return type(case)(dataset, case.time, tools.candidates([(1, NOON, dict.fromkeys(asked, 0))]))


def test_hours_pass_since_the_last_click_and_since_the_first(tools):
    lookup = small(tools, [1], [(1, 2), (2, 3), (2, 7)]).lookup
    assert values_of(HoursSince("click", ("user",)), lookup).tolist() == [2.0]
    assert values_of(HoursSince("click", ("user",), first=True), lookup).tolist() == [7.0]
    assert values_of(Pace("click", ("user",)), lookup).tolist() == [2.5]


def test_one_click_has_no_pace(tools):
    lookup = small(tools, [1, 2, 3], [(1, 2), (2, 3), (2, 7)]).lookup
    np.testing.assert_array_equal(values_of(Pace("click", ("item",)), lookup), [np.nan, 4.0, np.nan])
    assert values_of(Pace("click", ("item",)), small(tools, [1], [(1, 2), (1, 2)]).lookup).tolist() == [0.0]


def test_the_age_counts_to_the_request_and_not_to_the_last_midnight(tools):
    lookup = small(tools, [1, 2, 9], [], freshness="1d").lookup
    np.testing.assert_array_equal(values_of(Age(), lookup), [0.0, np.nan, np.nan])


def test_what_is_not_known_is_not_the_same(tools):
    lookup = small(tools, [1, 2, 3, 9], [(1, 2), (2, 3)]).lookup
    assert values_of(Same("item"), lookup).tolist() == [1.0, 0.0, 0.0, 0.0]
    np.testing.assert_array_equal(values_of(Same("category"), lookup), [1.0, 1.0, np.nan, np.nan])
    assert np.isnan(values_of(Same("item"), small(tools, [1], []).lookup)).all()


def test_a_number_is_that_of_the_table_of_items(tools):
    lookup = small(tools, [1, 2, 3, 9], [(9, 2)]).lookup
    np.testing.assert_array_equal(values_of(Number("price"), lookup), [2.0, np.nan, 3.0, np.nan])


@pytest.mark.parametrize("feature", [*EXACT[::6], *ROUNDED[::6], Age(), Same("item"), Number("price")])
def test_the_catalogue_has_words_for_every_kind(feature):
    assert all(feature.told)
    assert feature.name.isidentifier()
