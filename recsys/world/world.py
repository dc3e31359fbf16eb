"""The whole world at once: the tables that a log would hold and the truth beside them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.tables import About, Dataset
from recsys.files import new_folder
from recsys.world.aftermath import make_events
from recsys.world.calendar import to_time
from recsys.world.catalogue import Catalogue, make_catalogue
from recsys.world.population import DEVICES, Population, make_population
from recsys.world.simulation import Simulation, simulate
from recsys.world.sizes import WorldSettings
from recsys.world.taste import sigmoid

USUAL_DEVICE = 0.85
"""Share of the requests that come from the user's usual device; the others from any."""


@dataclass(frozen=True)
class World:
    """A simulated world.

    Attributes
    ----------
    dataset
        Tables `items`, `users`, `events` and `requests`, as a log would hold them.
    truth
        One row per row of `dataset.requests`, in the same order: `request_id`, `item_id`, `utility` (log odds of a
        click where it is looked at) and `click_probability_unbiased` (its sigmoid: the chance at position 1).
    facets
        One row per item and facet that its text shows: `item_id`, `facet`.
    """

    dataset: Dataset
    truth: pl.DataFrame
    facets: pl.DataFrame

    def write(self, folder: Path) -> None:
        """Write a data folder, `truth.parquet` beside the tables, whole or not at all.

        Raises
        ------
        DataError
            When the folder exists and is not empty, or cannot be made.
        """
        with new_folder(folder) as staging:
            self.dataset.write(staging)
            self.truth.write_parquet(staging / "truth.parquet")


def make_world(settings: WorldSettings | None = None) -> World:
    """Simulate a world; the same settings give the same tables.

    Parameters
    ----------
    settings
        Its size and seed; that of the demonstration when None.

    Examples
    --------
    >>> world = make_world(WorldSettings(items=100, users=20, days=2, requests=50))
    >>> world.dataset.requests["request_id"].n_unique()
    50
    """
    settings = settings or WorldSettings()
    rng = np.random.default_rng(settings.seed)
    catalogue = make_catalogue(settings, rng)
    population = make_population(settings, rng)
    simulation = simulate(settings, population, catalogue, rng)
    events = make_events(settings, population, catalogue, simulation, rng)
    requests = _make_requests(population, catalogue, simulation, rng)
    truth = pl.DataFrame(
        {
            "request_id": requests["request_id"],
            "item_id": requests["item_id"],
            "utility": simulation.shown.utility,
            "click_probability_unbiased": sigmoid(simulation.shown.utility),
        }
    )
    dataset = Dataset(catalogue.table(), events, requests, population.table(), _about(settings))
    return World(dataset, truth, catalogue.facet_table())


def _make_requests(
    population: Population, catalogue: Catalogue, simulation: Simulation, rng: np.random.Generator
) -> pl.DataFrame:
    """Return the table `requests`, in order of time and then of position."""
    visits, shown = simulation.requests, simulation.shown
    usual = rng.random(len(visits.user)) < USUAL_DEVICE
    any_device = rng.integers(len(DEVICES), size=len(visits.user))
    device = pl.Series(DEVICES).gather(np.where(usual, population.device[visits.user], any_device))
    return pl.DataFrame(
        {
            "request_id": 1 + shown.request,
            "user_id": population.user_ids[visits.user[shown.request]],
            "timestamp": to_time("timestamp", visits.moment[shown.request]),
            "item_id": catalogue.item_ids[shown.item],
            "position": shown.position,
            "propensity": shown.propensity,
            "label": shown.clicked.astype(np.int8),
            "device": device.gather(shown.request),
        }
    )


def _about(settings: WorldSettings) -> About:
    notes = ["Simulated: users, items and clicks were drawn from stated formulas, and nobody's behaviour is in here."]
    if settings.random_tail > 0:
        notes.append(
            f"The last {settings.random_tail:.0%} of the requests show their candidates in uniformly random order."
        )
    return About(source="world", notes=tuple(notes))
