"""What the fuzzers share: how long they look, and what counts as an answer."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import RecsysError

MINUTES = 10
"""How long `make prove` looks at each property; the tests look at a few examples."""

PROVING = settings.get_current_profile_name() == "prove"
_FEW = settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=500, suppress_health_check=list(HealthCheck))


def fuzzed(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a test of a property: 20 examples, each time the same, or as many as `MINUTES` allow where something is to be proven.

    Hypothesis knows no span of time, so rounds of 500 examples, each with a seed of its own, follow each other until
    the time is over; the last round ends as it is.
    """

    def made(holds: Callable[..., None]) -> Callable[..., None]:
        one_round = (_MANY if PROVING else _FEW)(given(**strategies)(holds))

        @wraps(one_round)
        def rounds(*arguments: Any, **fixtures: Any) -> None:
            end = time.monotonic() + 60 * MINUTES * PROVING
            one_round(*arguments, **fixtures)
            while time.monotonic() < end:
                one_round(*arguments, **fixtures)

        return rounds

    return made


def answer(ask: Callable[[], Any]) -> Any:
    """Give what a call answers, None when it refuses with an error of ours; any other error is a fault."""
    try:
        return ask()
    except RecsysError:
        return None
    except pl.exceptions.PanicException as panic:  # no Exception, so that hypothesis would not look for a smaller one
        raise AssertionError(f"polars panics: {panic}") from panic


def asking_all(candidates: pl.DataFrame) -> pl.DataFrame:
    """Give every request of a model that reads a query a text, so that its encoder is loaded."""
    return candidates.with_columns(pl.col("^asked$").fill_null("bread and salt"))
