"""What people do after a click: read for some seconds, like, share and comment."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.world.calendar import DAY, HOUR, to_time
from recsys.world.catalogue import Catalogue
from recsys.world.population import Population
from recsys.world.simulation import Simulation
from recsys.world.sizes import WorldSettings
from recsys.world.taste import sigmoid

VIEWED = 0.7
"""Share of the clicks whose reading time is recorded, as a `view` once it has ended."""
DWELL_SECONDS = (2.0, 900.0)
GLANCE = 0.35
"""A view without a click is that much shorter."""
REACTIONS = {"like": (-2.6, HOUR / 6), "share": (-3.8, HOUR), "comment": (-4.2, 3 * HOUR)}
"""For each: log odds after a click of utility 0, and the mean of its delay after the reading, in seconds."""

EVENTS = ("view", "click", *REACTIONS)


def make_events(
    settings: WorldSettings,
    population: Population,
    catalogue: Catalogue,
    simulation: Simulation,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return the table `events`, in order of time.

    Clicks off the lists are `click` events; clicks on lists are labels in `requests` and not repeated. Events that
    would come after the last day are not there.
    """
    browsing, browsed, shown = simulation.browsing, simulation.browsed, simulation.shown
    clicked = np.nonzero(shown.clicked)[0]
    request = shown.request[clicked]
    on_list = simulation.requests.moment[request] + 1 + rng.exponential(8.0, len(clicked)).astype(np.int64)
    user = np.concatenate([browsing.user, simulation.requests.user[request]])
    item = np.concatenate([browsed.item, shown.item[clicked]])
    moment = np.concatenate([browsing.moment, on_list])
    felt = np.concatenate([browsed.utility, shown.utility[clicked]])
    opened = np.concatenate([browsed.opened, np.ones(len(clicked), dtype=np.bool_)])

    dwell = _draw_dwell(felt, opened, rng)
    viewed = ~opened | (rng.random(len(felt)) < VIEWED)
    reading_ends = moment + np.ceil(dwell).astype(np.int64)
    rows = [
        (np.nonzero(browsed.opened)[0], "click", browsing.moment[browsed.opened]),
        (np.nonzero(viewed)[0], "view", reading_ends[viewed]),
    ]
    for event, (log_odds, delay) in REACTIONS.items():
        done = np.nonzero(opened & (rng.random(len(felt)) < sigmoid(log_odds + 0.8 * felt)))[0]
        rows.append((done, event, reading_ends[done] + rng.exponential(delay, len(done)).astype(np.int64)))
    place = np.concatenate([places for places, _, _ in rows])
    kind = np.concatenate([np.full(len(places), EVENTS.index(event)) for places, event, _ in rows])
    when = np.concatenate([moments for _, _, moments in rows])
    order = np.lexsort((kind, item[place], user[place], when))
    order = order[when[order] < settings.days * DAY]
    place, kind, when = place[order], kind[order], when[order]
    return pl.DataFrame(
        {
            "user_id": population.user_ids[user[place]],
            "item_id": catalogue.item_ids[item[place]],
            "timestamp": to_time("timestamp", when),
            "event": pl.Series(EVENTS).gather(kind),
            "value": pl.Series(np.where(kind == 0, dwell[place], np.nan)).fill_nan(None),
        }
    )


def _draw_dwell(felt: NDArray[np.float64], opened: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw seconds of reading, longer the more an item is liked, to a tenth of a second."""
    seconds = np.exp(3.9 + 0.3 * felt + rng.normal(0.0, 0.7, len(felt))) * np.where(opened, 1.0, GLANCE)
    return np.asarray(np.round(np.clip(seconds, *DWELL_SECONDS), 1))
