"""Kinds of words that verbs take: how each is read, and what is looked at before long work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter


def _can_be_written(_: Any, path: Path | None) -> None:
    from recsys.files import refuse_unwritable

    if path is not None:
        refuse_unwritable(path)


def _moment(_: Any, tokens: Sequence[Any]) -> datetime:
    from recsys.data.clock import utc

    return utc(tokens[0].value)


def _duration(_: Any, tokens: Sequence[Any]) -> timedelta:
    from recsys.data.clock import parse_duration

    return parse_duration(tokens[0].value)


def _spoken(duration: timedelta) -> str:
    from recsys.data.clock import format_duration

    return format_duration(duration)


def _trials(_: Any, tokens: Sequence[Any]) -> int:
    trials = int(tokens[0].value)
    if trials < 1:
        raise ValueError(f"{trials} is no number of trials; try 1 or more")
    return trials


Whole = Annotated[int, Parameter(converter=lambda _, tokens: int(tokens[0].value))]
"""A whole number; 1.5 is none, and is not rounded."""

Moment = Annotated[datetime | None, Parameter(converter=_moment)]
"""A moment; UTC when it names no zone."""

Begin = Annotated[datetime, Parameter(name="--from", converter=_moment)]
"""The moment with which something begins; UTC when it names no zone."""

Span = Annotated[timedelta, Parameter(converter=_duration, show_default=_spoken)]
"""A duration, such as 30m."""

Trials = Annotated[int, Parameter(converter=_trials)]
"""How many trials, at least one."""

Written = Annotated[Path | None, Parameter(validator=_can_be_written)]
"""A file to write; one that cannot be written is refused before anything else is done."""

Changes = Annotated[tuple[str, ...], Parameter(name="--set", show_default=False)]
"""Changes of settings, each section.key=value."""

Verbose = Annotated[bool, Parameter(help="Also tell every pass of the learning, and what it brought.")]
"""Whether messages tell more than the stages of a training."""

Judged = Literal["text", "ranker", "valid", "test"]
"""A window to judge."""


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Where work with a model is done.

    Attributes
    ----------
    config
        TOML settings file whose [engine] says where parts are worked on: in one process when left out. What else it
        says must be the model's own settings.
    changes
        Change one setting of it: engine.key=value; repeat it.
    """

    config: Path | None = None
    changes: Changes = ()


HERE = Where()
"""In this process."""


@Parameter(name="*")
@dataclass(frozen=True)
class MadeLists:
    """Lists that are made for users at a moment.

    Attributes
    ----------
    users
        Parquet file of users to make lists for: user_id and the context columns of the model.
    items
        Parquet file of items to rank for --users; what the model's sources find, or all, when left out.
    at
        Moment for --users, such as 2023-05-24T07:00:00Z; UTC when it names no zone.
    """

    users: Path | None = None
    items: Path | None = None
    at: Moment = None


LOGGED = MadeLists()
"""None are made."""
