"""Hour by hour: who visits, which list the policy shows, what is clicked; each hour the policy learns of the last."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.progress import progress
from recsys.world.calendar import DAY, HOUR, READING, draw_moments
from recsys.world.catalogue import Catalogue
from recsys.world.policy import Policy, plackett_luce
from recsys.world.population import Population
from recsys.world.sizes import WorldSettings
from recsys.world.taste import WHIM, examination, sigmoid, utility

SHELF = 8
"""Items that a visit off the lists chooses from."""
OPENS = 0.75
"""Share of the visits off the lists that click what they chose; the others only view it."""


class ShownLists(NamedTuple):
    """Candidates of the lists, in the order of requests and positions; users and items by their place.

    Attributes
    ----------
    request
        Number of the request, 0 = first.
    item, position, propensity, clicked, utility
        One value per candidate; positions from 1, utility with whim.
    """

    request: NDArray[np.int64]
    item: NDArray[np.int32]
    position: NDArray[np.int16]
    propensity: NDArray[np.float64]
    clicked: NDArray[np.bool_]
    utility: NDArray[np.float64]


@dataclass(frozen=True)
class Visits:
    """Visits in order of time: requests, or browsing off the lists.

    Attributes
    ----------
    user
        Place of the user.
    moment
        Seconds.
    """

    user: NDArray[np.int64]
    moment: NDArray[np.int64]

    def part(self, places: NDArray[np.int64]) -> "Visits":
        """Return the visits at these places."""
        return Visits(self.user[places], self.moment[places])


class Browsed(NamedTuple):
    """What was chosen off the lists, one value per visit.

    Attributes
    ----------
    item, opened, utility
        The item chosen, whether it was clicked, and its utility.
    """

    item: NDArray[np.int64]
    opened: NDArray[np.bool_]
    utility: NDArray[np.float64]


@dataclass(frozen=True)
class Simulation:
    """One run of the world.

    Attributes
    ----------
    requests, browsing
        Visits to the lists and off the lists.
    shown
        What the lists held.
    browsed
        What was chosen off the lists.
    """

    requests: Visits
    browsing: Visits
    shown: ShownLists
    browsed: Browsed


def simulate(
    settings: WorldSettings, population: Population, catalogue: Catalogue, rng: np.random.Generator
) -> Simulation:
    """Run the world from the first day of history to the last day of lists."""
    requests, browsing = _draw_visits(settings, population, rng)
    spread = settings.candidates // 3
    sizes = rng.integers(settings.candidates - spread, settings.candidates + spread + 1, size=settings.requests)
    first_random = settings.requests - round(settings.random_tail * settings.requests)
    place = _Place(population, catalogue, Policy(catalogue, settings.users), rng)
    hours = np.arange(-settings.history_days * DAY, settings.days * DAY + 1, HOUR)
    request_ends = np.searchsorted(requests.moment, hours)
    browsing_ends = np.searchsorted(browsing.moment, hours)
    shown, browsed = [], []
    with progress(len(hours) - 1, "simulate", "hour") as advance:
        for hour in range(len(hours) - 1):
            numbers = np.arange(request_ends[hour], request_ends[hour + 1])
            here, there = requests.part(numbers), browsing.part(np.arange(browsing_ends[hour], browsing_ends[hour + 1]))
            lists = place.show(here, sizes[numbers], numbers >= first_random)
            choices = place.browse(there)
            place.policy.learn(
                np.concatenate([here.user[lists.request[lists.clicked]], there.user[choices.opened]]),
                np.concatenate([lists.item[lists.clicked], choices.item[choices.opened]]),
                int(hours[hour + 1]),
            )
            shown.append(lists._replace(request=lists.request + request_ends[hour]))
            browsed.append(choices)
            advance(1)
    return Simulation(
        requests,
        browsing,
        ShownLists(*map(np.concatenate, zip(*shown, strict=True))),
        Browsed(*map(np.concatenate, zip(*browsed, strict=True))),
    )


@dataclass(frozen=True)
class _Place:
    """Where visits are answered."""

    population: Population
    catalogue: Catalogue
    policy: Policy
    rng: np.random.Generator

    def show(self, visits: Visits, sizes: NDArray[np.int64], uniform: NDArray[np.bool_]) -> ShownLists:
        """Show a list for each visit, in uniformly random order where `uniform`; requests are numbered from 0."""
        items = self.policy.retrieve(visits.user, visits.moment, sizes, self.rng)
        scores = self.policy.scores(visits.user, visits.moment, items)
        scores = np.where(items < 0, -np.inf, np.where(uniform[:, None], 0.0, scores))
        order, propensity = plackett_luce(scores, self.rng)
        items = np.take_along_axis(items, order, axis=1)
        request, place = np.nonzero(items >= 0)
        item, position = items[request, place], place + 1
        felt = utility(self.population, self.catalogue, visits.user[request], item, visits.moment[request])
        felt += self.rng.normal(0.0, WHIM, size=felt.shape)
        clicked = self.rng.random(felt.shape) < examination(position) * sigmoid(felt)
        return ShownLists(
            request, item.astype(np.int32), position.astype(np.int16), propensity[request, place], clicked, felt
        )

    def browse(self, visits: Visits) -> Browsed:
        """Let each visit choose an item off the lists, by softmax over utilities."""
        sizes = np.full(len(visits.user), SHELF)
        items = self.policy.retrieve(visits.user, visits.moment, sizes, self.rng)
        felt = utility(self.population, self.catalogue, visits.user[:, None], items, visits.moment[:, None])
        choice = np.argmax(np.where(items < 0, -np.inf, felt + self.rng.gumbel(size=felt.shape)), axis=1)
        rows = np.arange(len(choice))
        return Browsed(items[rows, choice], self.rng.random(len(choice)) < OPENS, felt[rows, choice])


def _draw_visits(settings: WorldSettings, population: Population, rng: np.random.Generator) -> tuple[Visits, Visits]:
    """Draw the visits to the lists and, before and beside them, off the lists."""
    shown_at = draw_moments(settings.requests, (0, settings.days), READING, rng)
    count = round(settings.browsing * settings.users)
    before = draw_moments(count, (-settings.history_days, 0), READING, rng)
    beside = draw_moments(count, (0, settings.days), READING, rng)
    browsed_at = np.concatenate([before, beside])
    return (
        Visits(population.draw_visitors(shown_at, 0.0, rng), shown_at),
        Visits(population.draw_visitors(browsed_at, 0.5, rng), browsed_at),
    )
