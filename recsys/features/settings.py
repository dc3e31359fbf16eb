"""Which behavioural features are computed."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.data.clock import Duration, format_duration
from recsys.features.definitions import Age, Count, Feature, HoursSince, Rate, Share, Trend

_TAKEN = {
    "affinity": ("user", "item", "item_id", "available_at"),
    "events": ("click", "showing", "outcome"),
    "context": ("request_id", "user_id", "item_id", "timestamp"),
}
"""Names that mean something else where features are computed."""


class FeatureSettings(BaseModel):
    """The families of behavioural features.

    Attributes
    ----------
    windows
        How far back counts and rates look, beside without limit; ascending.
    affinity
        Item columns for which user affinities and rates are computed; also categories of their own.
    events
        Event kinds beside `click` that are counted per item.
    context
        Columns of requests that are categories known before the list is shown, such as the device.
    vouched
        Columns that look like leaks and are used all the same, `item_id` and computed features among them: you say that
        they are known before the list is shown. Where that is wrong, every figure of the model is too good and the
        ranker fails where it serves. What an importer declares to be recorded after the list is refused nevertheless.
    prior
        Strength of the overall click rate in smoothed rates, in showings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    windows: tuple[Duration, ...] = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
    affinity: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    vouched: tuple[str, ...] = ()
    prior: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "FeatureSettings":
        if list(self.windows) != sorted(set(self.windows)) or timedelta(0) in self.windows:
            written = [format_duration(window) for window in self.windows]
            raise ValueError(f"windows {written} must be above 0s and ascend without a repeat")
        for setting, taken in _TAKEN.items():
            names: tuple[str, ...] = getattr(self, setting)
            for name in names:
                if name in taken:
                    raise ValueError(f"{setting} names {name!r}, which has a meaning of its own here; leave it out")
                if names.count(name) > 1:
                    raise ValueError(f"{setting} names {name!r} more than once")
        return self


def declare(settings: FeatureSettings) -> tuple[Feature, ...]:
    """List the features that the settings ask for, in the order of the feature table."""
    item, user, both = ("item",), ("user",), ("user", "item")
    features: list[Feature] = [Age()]
    for window in (*settings.windows, None):
        features += [Rate(item, window, settings.prior), Count("showing", item, window), Count("click", item, window)]
        features += [Count(kind, item, window) for kind in settings.events]
    features += [Trend(item, short, long) for short, long in zip(settings.windows, settings.windows[1:], strict=False)]
    features += [HoursSince("showing", item), HoursSince("click", item)]
    features += [Rate(user, None, settings.prior), HoursSince("showing", user), HoursSince("click", user)]
    features += [Count(of, user, window) for of in ("showing", "click") for window in (*settings.windows[-1:], None)]
    features += [Count("showing", both), HoursSince("showing", both), Count("click", both), HoursSince("click", both)]
    for attribute in settings.affinity:
        key = ("user", attribute)
        features += [Rate((attribute,), window, settings.prior) for window in (*settings.windows[-1:], None)]
        features += [Share(key, user), Rate(key, None, settings.prior), Count("click", key), HoursSince("click", key)]
    return tuple(features)
