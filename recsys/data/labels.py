"""Event kinds as graded labels, and as clicks: a purchase within a day of the list counts more than a click."""

import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from recsys.data.clock import Duration, TimeSettings, format_duration
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.shown import counted, did_you_mean

logger = logging.getLogger(__name__)

_MOST_LATE = 0.01
"""Share of the clicks of known moment that may come after all labels of their list are known."""


class LabelSettings(BaseModel):
    """Which events grade a candidate, and which count as clicks.

    Attributes
    ----------
    grades
        Grade from 1 to 30 per event kind, such as `{like = 1, purchase = 3}`; a label becomes the largest of its own,
        that was logged, and these, and events that grade are no events any more. None leaves labels as logged.
    least
        Smallest `value` from which on an event of a graded kind grades, such as `{read = 30}` for 30 seconds; those
        below it, and those without a value, stay events.
    attribution
        How long after its list was shown an event still grades the candidate.
    clicks
        Kinds of events that count as clicks, too, such as `("purchase",)` where lists were logged and orders were not
        shown in them: in what users read and like, and in every rate and count of clicks. They are no labels. `[text]
        history` names kinds that are read and not counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    grades: dict[str, Annotated[int, Field(ge=1, le=30)]] = Field(default_factory=dict)
    least: dict[str, float] = Field(default_factory=dict)
    attribution: Duration = timedelta(days=1)
    clicks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _graded(self) -> "LabelSettings":
        for kind in self.least:
            if kind not in self.grades:
                raise ValueError(f"least names {kind!r}, which grades does not; give it a grade there")
        return self

    @field_validator("clicks")
    @classmethod
    def _not_clicks(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if "click" in kinds:
            raise ValueError("clicks names 'click', which is one already; leave it out")
        return kinds

    def clock(self, time: TimeSettings) -> TimeSettings:
        """Give the clock under which graded labels are known: not before the attribution window has passed."""
        if not self.grades:
            return time
        delays = {"feedback_delay": time.feedback_delay, "click_delay": time.click_delay}
        later = {name: max(delay, self.attribution) for name, delay in delays.items() if delay is not None}
        return time.model_copy(update=later)


def grade_labels(dataset: Dataset, settings: LabelSettings) -> Dataset:
    """Move graded events into the labels of the lists that led to them.

    An event goes to the latest showing of the same item to the same user (of two at one moment, to the larger
    `request_id`), if that lies at most `attribution` before the moment the event became known; the candidate's label
    becomes the largest of its own and its events' grades. Moved events leave `events`, so that every outcome stands in
    one table only.

    Raises
    ------
    SettingsError
        When an event kind of the settings never occurs, or has no value where `least` asks for one.
    """
    logged = "; clicks on lists keep the labels that they have: leave click out" if "click" in settings.grades else ""
    refuse_unseen(dataset.events, "[labels] grades", settings.grades, logged)
    for kind in settings.least:
        refuse_worthless(dataset.events, "[labels] least", kind)
    refuse_unseen(dataset.events, "[labels] clicks", settings.clicks)
    if not settings.grades:
        return replace(dataset, events=with_clicks(dataset.events, settings)) if settings.clicks else dataset
    events, requests = dataset.events, dataset.requests
    moved = _moved(events, requests, settings)
    best = moved.group_by("row").agg(pl.col("grade").max())
    labels = requests.select("label", row=pl.int_range(pl.len()))
    labels = labels.join(best, on="row", how="left", maintain_order="left")
    labels = labels.select(label=pl.max_horizontal("label", pl.col("grade").cast(requests.schema["label"])))
    stays = ~pl.int_range(len(events), eager=True).is_in(moved["event"].implode())
    left = with_clicks(events.filter(stays), settings)
    return replace(dataset, requests=requests.with_columns(labels["label"]), events=left)


def warn_of_moved(before: pl.DataFrame, after: pl.DataFrame, grades: Iterable[str], read: Iterable[str]) -> None:
    """Say of which events that features read few or none are left, for lists led to them and are graded by them.

    Parameters
    ----------
    before, after
        Events as they were and as `grade_labels` left them.
    grades, read
        Kinds that grade, and those that features name.
    """
    for kind in sorted({*grades} & {*read}):
        many, left = (int((events["event"] == kind).sum()) for events in (before, after))
        logger.warning(
            "[labels] grades takes %s of %s for outcomes of lists, and [features] reads %s from the others alone; "
            "leave the kind out of one of them where that is not meant",
            *(f"{many - left:,}", counted(many, f"{kind!r} event"), f"{kind!r}"),
        )


def labels_in_time(requests: pl.DataFrame, time: TimeSettings) -> pl.DataFrame:
    """Take back the labels of clicks that came after all of their list counts as known; `clicked_at` keeps them.

    Whoever learns or counts at that moment knows them as not clicked. As clicks of their user they are known from
    `clicked_at` on.

    Parameters
    ----------
    requests
        The table; as it is where it holds no `clicked_at`.
    time
        The clock of the labels.
    """
    taken, late = _late(requests, time)
    if not late.any():
        return requests
    logger.warning(
        "%s: they are read as clicks from then on and count in no rate and no label; [time] feedback_delay = %s holds "
        "all",
        *(_late_in_words(taken, late, time), _in_seconds(taken[-1])),
    )
    return requests.with_columns(label=pl.when(late).then(0).otherwise("label").cast(requests.schema["label"]))


def refuse_late_clicks(requests: pl.DataFrame, time: TimeSettings) -> None:
    """Refuse to learn where many clicks came after the feedback delay, which is then hardly meant.

    Raises
    ------
    DataError
        When more than 1 % of the clicks whose moment is known came so late. Names the shortest delay that holds 99 % of
        them, and the one that holds all.
    """
    taken, late = _late(requests, time)
    enough = math.ceil((1 - _MOST_LATE) * len(taken))
    if int(late.sum()) > len(taken) - enough:
        raise DataError(
            f"{_late_in_words(taken, late, time)}, when it counts as known with all its labels; set [time] "
            f"feedback_delay to {_in_seconds(taken[enough - 1])}, which holds {1 - _MOST_LATE:.0%} of them, or to "
            f"{_in_seconds(taken[-1])}, which holds all"
        )


def fully_labelled(requests: pl.DataFrame) -> pl.DataFrame:
    """Keep the lists of which every label is known: from others nothing can be learnt, nor can they be judged."""
    if not requests["label"].null_count():
        return requests
    return requests.filter(pl.col("label").is_not_null().all().over("request_id"))


def _late(requests: pl.DataFrame, time: TimeSettings) -> tuple[pl.Series, pl.Series]:
    """Give how long clicks took whose moment is known, sorted, and which rows were clicked after the delay."""
    if "clicked_at" not in requests.columns:
        return pl.Series(dtype=pl.Duration), pl.Series(dtype=pl.Boolean)
    taken = requests.select(pl.col("clicked_at") - pl.col("timestamp")).to_series()
    return taken.drop_nulls().sort(), (taken > time.feedback_delay).fill_null(value=False)


def _late_in_words(taken: pl.Series, late: pl.Series, time: TimeSettings) -> str:
    return (
        f"{int(late.sum()):,} of {len(taken):,} clicks have a clicked_at more than "
        f"{format_duration(time.feedback_delay)} after their list"
    )


def _in_seconds(taken: timedelta) -> str:
    return format_duration(timedelta(seconds=math.ceil(taken / timedelta(seconds=1))))


def with_clicks(events: pl.DataFrame, settings: LabelSettings) -> pl.DataFrame:
    """Add a click for every event of a kind that counts as one; it carries no value and no id of its own."""
    if not settings.clicks:
        return events
    events = events.with_columns(pl.col("event").cast(pl.String))
    also = events.filter(pl.col("event").is_in(settings.clicks)).with_columns(event=pl.lit("click"))
    own = [name for name in ("value", "event_id") if name in events.columns]
    also = also.with_columns(pl.lit(None, events.schema[name]).alias(name) for name in own)
    return pl.concat([events, also])


def refuse_unseen(events: pl.DataFrame, setting: str, named: Iterable[str], hint: str = "") -> None:
    """Refuse kinds that never occur: most likely they are misspelt.

    Raises
    ------
    SettingsError
        Naming the setting, the kind, and those that occur.
    """
    kinds = sorted(set(events["event"].unique()))
    for kind in named:
        if kind not in kinds:
            raise SettingsError(
                f"{setting} names {kind!r}, an event that never occurs; events holds {', '.join(kinds) or 'none'}{hint}"
                f"{did_you_mean(kind, kinds)}"
            )


def refuse_worthless(events: pl.DataFrame, setting: str, kind: str) -> None:
    """Refuse to read the values of a kind of events of which none has one.

    Raises
    ------
    SettingsError
        Naming the setting and the kind.
    """
    refuse_unseen(events, setting, [kind])
    if "value" not in events.columns or events.filter(pl.col("event") == kind)["value"].is_null().all():
        raise SettingsError(f"{setting} names {kind!r}, and no such event has a `value`; leave it out")


def _moved(events: pl.DataFrame, requests: pl.DataFrame, settings: LabelSettings) -> pl.DataFrame:
    """Find events that lists led to: their row in `event`, that of the candidate in `row`, and their `grade`.

    Only columns that are needed come along, so that no column of the data meets one of these names.
    """
    known_at = pl.max_horizontal("known_at", "timestamp") if "known_at" in events.columns else pl.col("timestamp")
    value = pl.col("value") if settings.least else None
    graded = events.select(
        "user_id", "item_id", at="timestamp", known_at=known_at, kind="event", event=pl.int_range(pl.len()), value=value
    ).filter(_grading(settings))
    grade = pl.col("kind").replace_strict(settings.grades, return_dtype=pl.Int64)
    showings = (
        requests.select("user_id", "item_id", "timestamp", "request_id", row=pl.int_range(pl.len()))
        .sort("timestamp", "request_id")
        .drop("request_id")
    )
    return (
        graded.with_columns(grade=grade)
        .sort("at")
        .join_asof(showings, left_on="at", right_on="timestamp", by=["user_id", "item_id"], check_sortedness=False)
        .filter(pl.col("known_at") - pl.col("timestamp") <= settings.attribution)
        .select("event", "row", "grade")
    )


def _grading(settings: LabelSettings) -> pl.Expr:
    """Tell which events grade: those of graded kinds, less what is below the least value of its kind."""
    least = pl.col("kind").replace_strict(settings.least, default=None, return_dtype=pl.Float64)
    enough = (pl.col("value") >= least).fill_null(value=False) if settings.least else pl.lit(value=True)
    return pl.col("kind").is_in(list(settings.grades)) & (least.is_null() | enough)
