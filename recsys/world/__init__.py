"""The simulated world: items with texts, users with tastes, and what a production-like policy logged.

Appeal and interests are planted, so that what a model should find is known. The tables hold what a real log would
hold; the truth is beside them and never among them.

    utility = base + interest(user, topic) + interest(user, facets) + appeal(item) + freshness(age) + whim
    P(click) = examination(position) * sigmoid(utility)

Facets (how-to, funny, for parents, cheap, in Japan, ...) show in the texts only, each in several phrasings; they
carry interests and a part of appeal. The rest of appeal shows nowhere but in behaviour. `recsys.world.taste`
has the formula in full.
"""

from typing import TYPE_CHECKING

from recsys.lazy import exports

if TYPE_CHECKING:
    from recsys.world.sizes import WorldSettings
    from recsys.world.world import World, make_world

_HOMES = {
    "World": "recsys.world.world",
    "WorldSettings": "recsys.world.sizes",
    "make_world": "recsys.world.world",
}

__all__ = [
    "World",
    "WorldSettings",
    "make_world",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
