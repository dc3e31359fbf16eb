from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from recsys.offpolicy.list_log import ListLog
from recsys.offpolicy.policies import ListPolicy

# Ten rows: lists of 2, 3, 3 and 2 candidates, logged in uniformly random order.
STARTS = np.array([0, 2, 5, 8, 10])
CLICKS = [1, 0, 0, 1, 1, 1, 0, 0, 0, 1]
UNIFORM = [Fraction(1, 2), 1, Fraction(1, 3), Fraction(1, 2), 1, Fraction(1, 3), Fraction(1, 2), 1, Fraction(1, 2), 1]
GIVEN_ABOVE = [
    Fraction(3, 4),
    1,
    Fraction(1, 2),
    Fraction(1, 4),
    1,
    Fraction(1, 6),
    Fraction(3, 4),
    1,
    Fraction(1, 4),
    1,
]
# products of w down to each place: 3/2 3/2, 3/2 3/4 3/4, 1/2 3/4 3/4, 1/2 1/2
PLACEMENTS = [
    [Fraction(3, 4), Fraction(1, 4), 0],
    [Fraction(1, 4), Fraction(3, 4), 0],
    [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
    [Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)],
    [Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)],
    [Fraction(1, 6), Fraction(1, 2), Fraction(1, 3)],
    [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
    [Fraction(1, 3), Fraction(1, 4), Fraction(5, 12)],
    [Fraction(1, 4), Fraction(3, 4), 0],
    [Fraction(3, 4), Fraction(1, 4), 0],
]


def floats(values):
    return np.array(values, dtype=float)


@pytest.fixture(scope="session")
def ten():
    """The example that is worked out by hand."""
    return SimpleNamespace(
        log=ListLog(floats(CLICKS), floats(UNIFORM), STARTS, np.arange(4)),
        target=ListPolicy(floats(GIVEN_ABOVE), floats(PLACEMENTS)),
        logging=ListPolicy.plackett_luce(np.zeros(10), STARTS),
        placements=PLACEMENTS,
    )


@pytest.fixture
def random_log():
    """Six hundred lists of eight in random order, and a generator for more."""
    lists, seed = 600, 0
    random = np.random.default_rng(seed)
    starts = np.arange(lists + 1) * 8
    clicks = (random.random(lists * 8) < 0.2).astype(float)
    return ListLog(clicks, np.tile(1 / np.arange(8.0, 0, -1), lists), starts, np.arange(lists)), random
