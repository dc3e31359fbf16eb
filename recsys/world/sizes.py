"""How large the simulated world is."""

from pydantic import BaseModel, ConfigDict, Field


class WorldSettings(BaseModel):
    """Size and seed of a simulated world; the defaults make the one of the demonstration.

    Attributes
    ----------
    seed
        Everything follows from it: the same settings give the same tables, byte for byte.
    items
        Number of items, those published before the first request included.
    users
        Number of users, those who join after the first request included.
    days
        Days over which lists are shown; `history_days` with browsing only come before.
    history_days
        Days of browsing before the first list.
    requests
        Number of lists shown.
    candidates
        Mean number of candidates in a list; lists hold a third fewer to a third more.
    browsing
        Mean number of visits a user makes off the lists before the first list, and again as many, spread over
        `days`, after it.
    random_tail
        Share of the requests, the last ones, shown in uniformly random order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=1, ge=0, lt=2**63)
    items: int = Field(default=2_500, ge=100, le=1_000_000)
    users: int = Field(default=1_500, ge=10, le=1_000_000)
    days: int = Field(default=20, ge=1, le=3_650)
    history_days: int = Field(default=10, ge=1, le=3_650)
    requests: int = Field(default=16_000, ge=1, le=10_000_000)
    candidates: int = Field(default=12, ge=3, le=30)
    browsing: float = Field(default=12.0, ge=0, le=10_000)
    random_tail: float = Field(default=0.2, ge=0, le=1)
