"""Which sources find candidates, and how many."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

SourceName = Literal["popular", "recent", "covisited", "nearest", "again", "factors"]
SOURCES: tuple[SourceName, ...] = get_args(SourceName)


class CandidateSettings(BaseModel):
    """How lists are made for users who have none.

    Attributes
    ----------
    sources
        What finds candidates: `"popular"` items, by clicks that count half after a half-life, which training chooses
        between a sixteenth of the longest of `[features] windows` and four times it; `"recent"` ones, which came out
        last; those that were `"covisited"`: clicked by the same users soon before or after what this one clicked last;
        the `"nearest"` to it by text; what the user clicked before, `"again"`; and `"factors"`: items whose factors
        match what the user clicked last, which take the extra `factors`. None: lists come with whoever asks, or hold
        all items.
    index
        What source `"nearest"` looks in: `"exact"`, all items; or `"faiss"`, an index, which is faster among a hundred
        thousand items and more, misses some, and takes the extra `ann`.
    size
        How many candidates a list has at most. Where sources find more together, those that stand near the top of
        several stay.
    learnt
        How many of them, at most, stand in each list that is learnt from, beside what was chosen and what an importer
        drew.
    once
        Kinds of events, such as `"click"` or `"purchase"`, after which an item is no candidate for the same user again.
        A click on a list is a `"click"`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[SourceName, ...] = ()
    index: Literal["exact", "faiss"] = "exact"
    size: Annotated[int, Field(ge=1, le=10_000)] = 200
    learnt: Annotated[int, Field(ge=1, le=1_000)] = 40
    once: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "CandidateSettings":
        for name in self.sources:
            if self.sources.count(name) > 1:
                raise ValueError(f"sources names {name!r} more than once")
        if self.once and not self.sources:
            raise ValueError(
                "once has a meaning with sources alone, which leave such items out; name some, or remove it"
            )
        if self.sources == ("again",) and self.once:
            raise ValueError('sources = ["again"] finds what once leaves out; name another source, or empty once')
        return self
