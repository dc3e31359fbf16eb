"""The users of the simulated world: when they join, how much they read, and what they like."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.world.calendar import DAY
from recsys.world.catalogue import CATEGORIES, TOPIC_CATEGORY, TOPIC_NAMES
from recsys.world.facets import FACETS
from recsys.world.sizes import WorldSettings

DEVICES = ("mobile", "desktop", "tablet")
AGE_GROUPS = ("under 30", "30 to 59", "60 and over")
PERSONAS = 4
LATE_SHARE = 0.15
"""Share of the users who join after the first list was shown."""

LIKED_CATEGORY, LIKED_TOPIC = 0.9, 0.9
"""What a liked category or topic adds to the utility; every user likes two categories and four topics."""
PERSONA_TASTE, OWN_TASTE = 1.7, 0.2
"""What a liked facet adds and a disliked one takes away: by the persona, and by the user alone."""
LIKED_FACETS = 8
"""How many facets a persona, and again a user alone, likes; as many are disliked."""


@dataclass(frozen=True)
class Population:
    """Users in the order in which they join; a user's place is their number inside the simulation.

    Attributes
    ----------
    joined
        Moment of joining, shape (users,), never falling.
    activity
        How often each visits, to a factor, shape (users,); like Zipf's law.
    topic_interest
        Log odds, shape (users, topics).
    facet_interest
        Log odds, shape (users, facets + 1); the last column is 0, for no facet.
    device
        Usual place in `DEVICES`, shape (users,).
    age_group
        Place in `AGE_GROUPS`, shape (users,); it goes with the persona.
    """

    joined: NDArray[np.int64]
    activity: NDArray[np.float64]
    topic_interest: NDArray[np.float64]
    facet_interest: NDArray[np.float64]
    device: NDArray[np.int64]
    age_group: NDArray[np.int64]

    @property
    def user_ids(self) -> NDArray[np.int64]:
        """The number that the tables give to each user."""
        return 1 + np.arange(len(self.joined))

    def table(self) -> pl.DataFrame:
        """Return the table `users`."""
        return pl.DataFrame(
            {
                "user_id": self.user_ids,
                "age_group": pl.Series(AGE_GROUPS).gather(self.age_group),
            }
        )

    def draw_visitors(self, moments: NDArray[np.int64], evenness: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw who visits at each moment, among those who have joined, by activity mixed with a share of equality."""
        weights = (1 - evenness) * self.activity + evenness * self.activity.mean()
        total = np.cumsum(weights)
        present = np.searchsorted(self.joined, moments, side="right")
        drawn = np.searchsorted(total, rng.random(len(moments)) * total[present - 1], side="right")
        return np.asarray(np.minimum(drawn, present - 1))


def make_population(settings: WorldSettings, rng: np.random.Generator) -> Population:
    """Draw every user."""
    count = settings.users
    late = round(LATE_SHARE * count)
    first = -settings.history_days * DAY
    joined = np.concatenate([np.full(count - late, first), rng.integers(0, settings.days * DAY, size=late)])
    persona = rng.integers(PERSONAS, size=count)
    persona_taste = _draw_likes(PERSONAS, len(FACETS), LIKED_FACETS, LIKED_FACETS, rng)
    own_taste = _draw_likes(count, len(FACETS), LIKED_FACETS, LIKED_FACETS, rng)
    taste = PERSONA_TASTE * persona_taste[persona] + OWN_TASTE * own_taste
    age_odds = rng.dirichlet(np.full(len(AGE_GROUPS), 0.7), size=PERSONAS)
    return Population(
        joined=np.sort(joined),
        activity=np.power(rng.permutation(count) + 0.02 * count, -0.8),
        topic_interest=_draw_topic_interest(count, rng),
        facet_interest=np.column_stack([taste, np.zeros(count)]),
        device=rng.choice(len(DEVICES), size=count, p=(0.6, 0.3, 0.1)),
        age_group=(rng.random((count, 1)) > np.cumsum(age_odds, axis=1)[persona, :-1]).sum(axis=1),
    )


def _draw_topic_interest(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    categories = _draw_likes(count, len(CATEGORIES), 2, 1, rng)
    topics = _draw_likes(count, len(TOPIC_NAMES), 4, 0, rng)
    return LIKED_CATEGORY * categories[:, TOPIC_CATEGORY] + LIKED_TOPIC * topics


def _draw_likes(rows: int, columns: int, likes: int, dislikes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw rows with `likes` times 1 and `dislikes` times -1 in random columns, 0 elsewhere."""
    place = np.argsort(rng.random((rows, columns)), axis=1)
    return (place < likes).astype(np.float64) - (place >= columns - dislikes)
