from datetime import timedelta

import pytest

from recsys.jobs.tuning.space import FAMILY, NEVER, OneOf, Range, applied, space_of, start_of
from recsys.settings import Settings, load_settings

DAYS = timedelta(days=9)


def test_the_start_lies_in_every_range_and_changes_nothing() -> None:
    settings = load_settings(
        None, ["ranker.l2=5000.0", "ranker.leaves=3", "ranker.half_life=5h", "ranker.objective=binary"]
    )
    space = space_of(settings, 1000, DAYS)
    start = start_of(settings, space)
    assert start.keys() == space.keys()
    for name, each in space.items():
        if isinstance(each, Range):
            assert each.low <= float(start[name]) <= each.high
        else:
            assert start[name] in each.values
    assert applied(settings, start) == settings


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ({}, ("lambdarank", "rank_xendcg")),
        ({"position_bias": "inverse"}, ("lambdarank", "rank_xendcg")),
        ({"position_bias": "examination"}, ("lambdarank",)),
        ({"position_bias": "examination", "objective": "binary"}, ("lambdarank", "binary")),
        ({"position_bias": "additive"}, ("lambdarank",)),
    ],
)
def test_objectives_are_tried_that_go_with_the_correction(given, tried) -> None:
    assert space_of(Settings(ranker=given), 1000, DAYS)["objective"] == OneOf(tried)


def test_half_lives_are_shares_of_the_window_that_is_learnt_from() -> None:
    assert space_of(Settings(), 1000, DAYS)["half_life"] == OneOf((NEVER, "9d", "3d", "1d"))
    assert space_of(Settings(), 1000, timedelta(minutes=5))["half_life"] == OneOf((NEVER, "1h"))


def test_leaves_hold_no_more_than_a_twentieth_of_the_rows() -> None:
    assert space_of(Settings(), 100_000, DAYS)["rows_per_leaf"] == Range(10, 5000, whole=True)
    assert space_of(Settings(), 60, DAYS)["rows_per_leaf"] == Range(10, 100, whole=True)  # where it starts


def test_values_are_put_into_settings_to_three_figures() -> None:
    settings = Settings()
    values = start_of(settings, space_of(settings, 1000, DAYS))
    values |= {"learning_rate": 0.0123456, "half_life": "3d", "leaves": 9, f"{FAMILY}trend": False}
    found = applied(settings, values)
    assert found.ranker.learning_rate == 0.0123
    assert found.ranker.half_life == timedelta(days=3)
    assert found.ranker.leaves == 9
    assert found.features.families == tuple(name for name in settings.features.families if name != "trend")


def test_what_is_left_out_already_stays_so_unless_its_family_goes() -> None:
    settings = load_settings(None, ['features.without=["item_age_hours", "click_rate_user"]'])
    values = start_of(settings, space_of(settings, 1000, DAYS)) | {f"{FAMILY}freshness": False}
    assert applied(settings, values).features.without == ("click_rate_user",)


def test_one_family_alone_is_not_tried_without() -> None:
    settings = load_settings(None, ['features.families=["popularity"]'])
    assert not [name for name in space_of(settings, 1000, DAYS) if name.startswith(FAMILY)]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_range_by_logarithms_that_shall_hold_0_is_even(value: float) -> None:
    assert Range(0.1, 1.0).holding(value) == Range(value, 1.0, log=False)


def test_what_settings_say_of_a_family_goes_with_it() -> None:
    settings = load_settings(
        None,
        [
            'ranker.monotone={item_age_hours="falling", hour="rising"}',
            'features.vouched=["item_age_hours_rank", "price"]',
        ],
    )
    values = start_of(settings, space_of(settings, 1000, DAYS))
    found = applied(settings, values | {f"{FAMILY}freshness": False})
    assert found.ranker.monotone == {"hour": "rising"}
    assert found.features.vouched == ("price",)
    assert applied(settings, values) == settings
