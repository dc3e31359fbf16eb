"""How the LightGBM ranker is grown."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from recsys.data.clock import Duration

Objective = Literal["lambdarank", "rank_xendcg", "binary"]
Correction = Literal["none", "examination", "inverse", "additive"]
"""Ways to learn from clicks that fell where people looked."""


class RankerSettings(BaseModel):
    """How LightGBM ranks, in its own words, and what orders equal scores.

    Attributes
    ----------
    objective
        What trees learn: `"lambdarank"`, pairs of a list by what their exchange changes of nDCG; `"rank_xendcg"`, the
        cross entropy of whole lists; `"binary"`, each candidate alone, chosen or not, whatever its grade, also in lists
        of which nothing was chosen.
    monotone
        Features that may only raise a score (`"rising"`) or lower it (`"falling"`) as they grow, whatever was learnt.
    negatives
        Candidates that were not chosen, at most, of each list, drawn by the seed, that trees learn from; what is
        kept counts for what is left out. All when left out; see `docs/cluster.md` for what it costs.
    half_life
        Age at which a list counts half as much as the newest one that is learnt from; all count alike when left out.
    weight
        Column of requests that says how much each row counts, 0 or more; all count alike when empty.
    position_bias
        What is done about clicks that fell where people looked, on logs that hold `position`: `"examination"`, trees
        learn what is left of a click's odds when those of its place are taken off, but by rank_xendcg; `"inverse"`,
        lists count by how rarely the places of their clicks are looked at, at most 10 times as much as one;
        `"additive"`, LightGBM learns an effect of each place beside the trees of lambdarank; `"none"`, nothing;
        `"auto"`, what the valid window prefers, and nothing where no place matters. Serving never sees a position.
    bags
        Rankers that are grown by seeds of their own, and averaged: steadier, and so many times as long to grow and ask.
    rounds
        Largest number of trees of each.
    patience
        Trees without a better nDCG@10 on the valid window before growth stops.
    learning_rate
        Weight of each tree.
    leaves
        Leaves of a tree.
    rows_per_leaf
        Fewest candidates in a leaf.
    feature_fraction
        Share of the features that each tree may look at.
    row_fraction
        Share of the candidates that each tree is grown on.
    l2
        Penalty on leaf values.
    truncation
        lambdarank looks at pairs with at least one candidate in this many first places.
    ties
        What orders candidates of one list with equal scores: `"hash"`, a hash of `request_id` and `item_id`, so that no
        id is favoured; `"item"`, the smaller `item_id` first. Both are the same on every machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    objective: Objective = "lambdarank"
    monotone: dict[str, Literal["rising", "falling"]] = Field(default_factory=dict)
    negatives: int | None = Field(default=None, ge=1)
    half_life: Annotated[Duration, Field(gt=timedelta(0))] | None = None
    weight: str = ""
    position_bias: Literal["auto", Correction] = "auto"
    bags: int = Field(default=1, ge=1, le=100)
    rounds: int = Field(default=800, ge=1)
    patience: int = Field(default=60, ge=1)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    leaves: int = Field(default=31, ge=2, le=131_072)  # LightGBM takes no more
    rows_per_leaf: int = Field(default=100, ge=1)
    feature_fraction: float = Field(default=0.5, gt=0, le=1)
    row_fraction: float = Field(default=0.8, gt=0, le=1)
    l2: float = Field(default=5.0, ge=0)
    truncation: int = Field(default=30, ge=1)
    ties: Literal["hash", "item"] = "hash"
