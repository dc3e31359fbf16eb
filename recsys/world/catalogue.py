"""The items of the simulated world: topic, facets, text, invisible quality and when they are published."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.world.calendar import PUBLISHING, draw_moments, to_time
from recsys.world.facets import FACETS, GROUPS
from recsys.world.grammar import compose
from recsys.world.sizes import WorldSettings
from recsys.world.topics import TOPICS

CATEGORIES = tuple(TOPICS)
TOPIC_NAMES = tuple(topic for topics in TOPICS.values() for topic in topics)
TOPIC_CATEGORY = np.array([place for place, topics in enumerate(TOPICS.values()) for _ in topics])
"""Category of each topic."""
NO_FACET = len(FACETS)
"""Stands for a facet where an item has none of a group."""

ARCHIVE_SHARE = 0.3
ARCHIVE_DAYS = 60
"""Share of the items published in that many days before the first event."""
HIDDEN_QUALITY = 0.5
"""Standard deviation of the part of an item's appeal that its text does not show."""


@dataclass(frozen=True)
class Catalogue:
    """Items in order of publication; an item's place is its number inside the simulation.

    Attributes
    ----------
    published
        Moment of each, shape (items,), never falling.
    topic
        Place in `TOPIC_NAMES`, shape (items,).
    category
        Place in `CATEGORIES`, shape (items,).
    facets
        Places in `FACETS`, or `NO_FACET`, shape (items, groups).
    appeal
        What everybody feels, in log odds, shape (items,): the facets' own appeal and hidden quality.
    texts
        Title and description of each.
    """

    published: NDArray[np.int64]
    topic: NDArray[np.int64]
    category: NDArray[np.int64]
    facets: NDArray[np.int64]
    appeal: NDArray[np.float64]
    texts: tuple[tuple[str, str], ...]

    @property
    def item_ids(self) -> NDArray[np.int64]:
        """The number that the tables give to each item."""
        return 10_001 + np.arange(len(self.published))

    def table(self) -> pl.DataFrame:
        """Return the table `items`: nothing in it but the text tells of facets."""
        return pl.DataFrame(
            {
                "item_id": self.item_ids,
                "title": [title for title, _ in self.texts],
                "description": [description for _, description in self.texts],
                "category": pl.Series(CATEGORIES).gather(self.category),
                "subcategory": pl.Series(TOPIC_NAMES).gather(self.topic),
                "available_at": to_time("available_at", self.published),
            }
        )

    def facet_table(self) -> pl.DataFrame:
        """Return one row per item and facet that its text shows: `item_id`, `facet`."""
        items, groups = np.nonzero(self.facets != NO_FACET)
        names = pl.Series([facet.name for facet in FACETS])
        return pl.DataFrame({"item_id": self.item_ids[items], "facet": names.gather(self.facets[items, groups])})


def make_catalogue(settings: WorldSettings, rng: np.random.Generator) -> Catalogue:
    """Draw every item."""
    count = settings.items
    topic = rng.integers(len(TOPIC_NAMES), size=count)
    facets = _draw_facets(count, rng)
    facet_appeal = np.array([*(facet.appeal for facet in FACETS), 0.0])
    return Catalogue(
        published=_draw_publication(settings, rng),
        topic=topic,
        category=TOPIC_CATEGORY[topic],
        facets=facets,
        appeal=facet_appeal[facets].sum(axis=1) + rng.normal(0.0, HIDDEN_QUALITY, count),
        texts=_write_texts(topic, facets, rng),
    )


def _draw_publication(settings: WorldSettings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw an archive from before the first event and then a steady flow; never falling."""
    archive = round(ARCHIVE_SHARE * settings.items)
    first = -settings.history_days
    return np.concatenate(
        [
            draw_moments(archive, (first - ARCHIVE_DAYS, first), PUBLISHING, rng),
            draw_moments(settings.items - archive, (first, settings.days), PUBLISHING, rng),
        ]
    )


def _draw_facets(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    columns = []
    for group, share in GROUPS.items():
        members = np.array([place for place, facet in enumerate(FACETS) if facet.group == group])
        facet = members[rng.integers(len(members), size=count)]
        columns.append(np.where(rng.random(count) < share, facet, NO_FACET))
    return np.stack(columns, axis=1)


def _write_texts(
    topic: NDArray[np.int64], facets: NDArray[np.int64], rng: np.random.Generator
) -> tuple[tuple[str, str], ...]:
    """Compose every text; a title that exists already is written anew, a few times at most."""
    things = [things for topics in TOPICS.values() for things in topics.values()]
    texts: dict[int, tuple[str, str]] = {}
    titles: set[str] = set()
    for item in range(len(topic)):
        shown = tuple(FACETS[facet] for facet in facets[item] if facet != NO_FACET)
        for _ in range(10):
            texts[item] = compose(things[topic[item]], shown, rng)
            if texts[item][0] not in titles:
                break
        titles.add(texts[item][0])
    return tuple(texts.values())
