"""Behaviour into numbers: declarations, one counting kernel, histories, the builder and its state."""

from typing import TYPE_CHECKING

from recsys.lazy import exports

if TYPE_CHECKING:
    from recsys.features.definitions import Count, Lift, Mean, Rate, Share, Trend
    from recsys.features.moments import Age, HoursSince, Number, Pace, Same
    from recsys.features.settings import FeatureSettings

_HOMES = {
    "Age": "recsys.features.moments",
    "Count": "recsys.features.definitions",
    "FeatureSettings": "recsys.features.settings",
    "HoursSince": "recsys.features.moments",
    "Lift": "recsys.features.definitions",
    "Mean": "recsys.features.definitions",
    "Number": "recsys.features.moments",
    "Pace": "recsys.features.moments",
    "Rate": "recsys.features.definitions",
    "Same": "recsys.features.moments",
    "Share": "recsys.features.definitions",
    "Trend": "recsys.features.definitions",
}

__all__ = [
    "Age",
    "Count",
    "FeatureSettings",
    "HoursSince",
    "Lift",
    "Mean",
    "Number",
    "Pace",
    "Rate",
    "Same",
    "Share",
    "Trend",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
