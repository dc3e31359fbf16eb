"""Totals in the place of old rows: whoever asks no sooner than they allow gets the bits of a log that holds all."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.features.plan import build_features, counted_keys
from recsys.features.settings import FAMILIES
from recsys.past.field import rows_of
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.totals import Keeping

pytestmark = pytest.mark.slow

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
KEPT = Keeping(rows_for=DAY, read=20, clicks_for=1000 * DAY)


def cases(tools):
    """Give small shops with some later moment, and how far back is counted."""
    for seed in range(6):
        for horizon in (None, DAY, 2 * DAY):
            for freshness in ("live", "1d"):
                yield tools.full_case(seed, freshness=freshness, feedback_delay="10m"), horizon


def asked_from(case, log, earliest):
    """Give the candidates of requests that ask no sooner than some moment."""
    rows = log.rows(case.candidates)
    return case.candidates.filter(pl.Series(rows.as_of >= earliest))


def moments(log, case):
    """Give moments that requests ask, the middle one and the last."""
    known = np.unique(log.rows(case.candidates).as_of)
    return known[[len(known) // 2, -1]].tolist()


@pytest.mark.parametrize("families", [FAMILIES[:-2], FAMILIES[:-1]])
def test_features_over_totals_are_those_over_all_rows(tools, families):
    settings = tools.settings.model_copy(update={"families": families})
    for case, horizon in cases(tools):
        whole = Log(case.log.behaviour, case.time, case.history, horizon)
        for earliest in moments(whole, case):
            for rows_for in (DAY, 3 * HOUR):
                settings = settings.model_copy(update={"windows": (HOUR, 2 * HOUR), "declarations": ()})
                kept = Keeping(rows_for=rows_for, read=20, clicks_for=1000 * DAY)
                log = whole.compacted(earliest, kept, counted_keys(settings))
                asked = asked_from(case, whole, earliest)
                found, expected = (build_features(Asked.of(asked, each), settings, None) for each in (log, whole))
                assert tools.bits(found) == tools.bits(expected)


def test_rows_become_totals(tools):
    case = tools.full_case(3, feedback_delay="10m")
    earliest = moments(case.log, case)[-1]
    log = case.log.compacted(earliest, KEPT, counted_keys(tools.settings))
    rows, whole = log.rows_known[0].behaviour, case.log.behaviour
    assert 0 < len(rows.showings) < len(whole.showings)
    assert len(rows.events) < len(whole.events)
    assert (
        log.layers[0].counted.blocks.data.nbytes
        < case.log.layers[0].counters(counted_keys(tools.settings)).blocks.data.nbytes
    )


def test_under_a_horizon_totals_hold_no_day_that_nobody_may_ask_of(tools):
    """So a state that is written night after night does not grow with the log."""
    case = tools.full_case(3, feedback_delay="10m")
    log = Log(case.log.behaviour, case.time, case.history, DAY)
    moments_of = np.concatenate([log.layers[0].stream("showing").moments, log.layers[0].click_rows.moments])
    earliest = int(moments_of.max()) + 3 * 86_400_000_000
    keys = counted_keys(tools.settings)
    kept = Keeping(rows_for=HOUR, read=20)
    whole = Log(case.log.behaviour, case.time, case.history)
    rows = [
        sum(len(totals.decoded(key, running=True).moments) for key in keys)
        for totals in (each.compacted(earliest, kept, keys).layers[0].counted for each in (log, whole))
    ]
    assert rows[0] == 0 < rows[1]


@pytest.mark.parametrize("kinds", [("click",), ("like",), ("click", "like")])
def test_rows_that_sources_read_are_kept_for_ever(tools, kinds):
    """Bought once is bought: clicks on lists among them, however long ago."""
    for case, _ in cases(tools):
        earliest = moments(case.log, case)[-1]
        kept = Keeping(rows_for=HOUR, read=1, clicks_for=timedelta(0), kinds=kinds)
        log = case.log.compacted(earliest, kept, counted_keys(tools.settings))
        for kind in kinds:
            found, expected = (rows_of(each, kind) for each in (log, case.log))
            assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    assert len(expected.users)


def test_a_moment_before_the_first_is_refused_by_name(tools):
    case = tools.full_case(3, feedback_delay="10m")
    earliest = moments(case.log, case)[-1]
    log = case.log.compacted(earliest, KEPT, counted_keys(tools.settings))
    with pytest.raises(DataError, match=r"the state answers for what was known at .* or later, and a request asks for"):
        log.rows(case.candidates)
    assert len(log.rows(asked_from(case, case.log, earliest)).as_of)


def test_a_key_that_was_not_counted_is_no_answer(tools):
    case = tools.full_case(3, feedback_delay="10m")
    log = case.log.compacted(moments(case.log, case)[-1], KEPT, counted_keys(tools.settings)[:1])
    asked = asked_from(case, case.log, log.earliest)
    with pytest.raises(ValueError, match="not in tuple"):
        build_features(Asked.of(asked, log), tools.settings, None)
