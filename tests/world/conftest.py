from dataclasses import dataclass

import numpy as np
import pytest

from recsys.world.catalogue import Catalogue, make_catalogue
from recsys.world.population import Population, make_population
from recsys.world.simulation import Simulation, simulate
from recsys.world.sizes import WorldSettings
from recsys.world.world import World, make_world

SMALL = WorldSettings(seed=3, items=800, users=300, days=8, history_days=5, requests=6_000, random_tail=0.5)


@dataclass(frozen=True)
class Parts:
    """What a world is made of, before it becomes tables."""

    settings: WorldSettings
    catalogue: Catalogue
    population: Population
    simulation: Simulation


@pytest.fixture(scope="session")
def parts() -> Parts:
    rng = np.random.default_rng(SMALL.seed)
    catalogue = make_catalogue(SMALL, rng)
    population = make_population(SMALL, rng)
    return Parts(SMALL, catalogue, population, simulate(SMALL, population, catalogue, rng))


@pytest.fixture(scope="session")
def world() -> World:
    return make_world(SMALL)
