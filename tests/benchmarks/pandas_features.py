"""The behavioural feature table as one writes it in pandas: merge_asof on running counts, groupby for the lists."""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from recsys.features.definitions import SKIP, Count, Lift, Mean, Rate, Share, Trend
from recsys.features.feature import Feature
from recsys.features.moments import Age, HoursSince, Pace, Same
from recsys.features.settings import FeatureSettings, declare
from recsys.past.streams import CLICK, OUTCOME, SHOWING

HOUR = pd.Timedelta(hours=1)
LAST = "last_"
CHANCES = 2**32
"""1 / list size is added up in whole multiples of one over this."""

UNITS = 2**10
"""Values of events are added up in whole multiples of one over this."""

Key = tuple[str, ...]
_COLUMNS = {"user": "user_id", "item": "item_id"}


@dataclass
class PandasFeatures:
    """All behavioural features of logged requests, live; keys are integers, -1 where not known.

    Attributes
    ----------
    items
        `item_id`, `available_at`, and the attributes.
    events
        `user_id`, `item_id`, `timestamp`, `event`, `value`.
    requests
        One row per candidate: `request_id`, `user_id`, `item_id`, `timestamp`, `label`, and the context.
    settings
        Which features.
    delay
        How long after a list its labels are known.
    """

    items: pd.DataFrame
    events: pd.DataFrame
    requests: pd.DataFrame
    settings: FeatureSettings
    delay: timedelta
    _found: dict[tuple[str, Key, timedelta], pd.DataFrame] = field(default_factory=dict)
    _running: dict[tuple[str, Key], pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Number the context, whatever it holds."""
        named = {f"{name}_value": self.requests[name] for name in self._context}
        codes = {name: pd.factorize(self.requests[name])[0] for name in self._context}
        self.requests = self.requests.assign(**named, **codes)

    def table(self) -> pd.DataFrame:
        """Compute every column, rows as `candidates`."""
        compared, plain = {}, {}
        for feature in self._features:
            kept = compared if self._differs(feature) else plain
            kept[feature.name] = self._values(feature).astype(np.float32)
        local = self.candidates["timestamp"].dt
        plain |= {"list_size": self.candidates["list_size"], "hour": local.hour, "weekday": local.day_of_week + 1}
        plain |= {f"item_{name}": self.candidates[f"{name}_value"] for name in self.settings.affinity}
        plain |= {name: self.candidates[f"{name}_value"] for name in self.settings.context}
        values = pd.DataFrame(compared)
        lists = values.groupby(self.candidates["request_id"], sort=False)
        counted = values.clip(lower=0)
        totals = counted.groupby(self.candidates["request_id"], sort=False).transform("sum")
        parts = [
            pd.DataFrame(plain),
            values,
            lists.rank(ascending=False).add_suffix("_rank"),
            (counted / totals.where(totals > 0)).add_suffix("_share"),
            (values - lists.transform("max")).add_suffix("_gap"),
        ]
        return pd.concat(parts, axis=1)

    @cached_property
    def _features(self) -> tuple[Feature, ...]:
        return declare(self.settings)

    def _differs(self, feature: Feature) -> bool:
        return any(name in ("item", *self.settings.affinity) for name in feature.per)

    @cached_property
    def _described(self) -> pd.DataFrame:
        """Items with their attributes as integers."""
        codes = {name: pd.factorize(self.items[name])[0] for name in self.settings.affinity}
        values = {f"{name}_value": self.items[name] for name in self.settings.affinity}
        return self.items[["item_id", "available_at"]].assign(**codes, **values)

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """Candidates in order of time with all their keys; the log of showings too."""
        rows = self._described_rows(self.requests.sort_values("timestamp", kind="stable", ignore_index=True))
        rows["clicks"] = (rows["label"] > 0).astype(np.int64)
        rows["list_size"] = rows.groupby("request_id")["item_id"].transform("size")
        rows["chance"] = (CHANCES / rows["list_size"]).round()
        firsts = rows.drop_duplicates("request_id", ignore_index=True)
        firsts = self._with_last(firsts)[["request_id", *map(self._last, ("item", *self.settings.affinity))]]
        return rows.merge(firsts, on="request_id", how="left")

    @cached_property
    def _requests(self) -> tuple[pd.DataFrame, np.ndarray]:
        """One row per request, for keys that all its candidates share, and the request of each candidate."""
        firsts = self.candidates.drop_duplicates("request_id", ignore_index=True)
        place = pd.Index(firsts["request_id"]).get_indexer(self.candidates["request_id"])
        return firsts, place

    @cached_property
    def _clicks(self) -> pd.DataFrame:
        """Clicks from events and from lists in order of time, without what was clicked before."""
        done = self.events.loc[self.events["event"] == CLICK, ["user_id", "item_id", "timestamp", "value"]]
        shown = self.requests.loc[self.requests["label"] > 0, ["user_id", "item_id", "timestamp", *self._context]]
        shown = shown.assign(timestamp=shown["timestamp"] + self.delay)
        both = pd.concat([done, shown])
        both["valued"] = both["value"].notna().astype(np.int64)
        both["total"] = (both["value"].fillna(0) * UNITS).round()
        return self._described_rows(both.sort_values(["timestamp", "item_id"], ignore_index=True))

    @property
    def _context(self) -> tuple[str, ...]:
        return self.settings.context

    def _log(self, stream: str) -> pd.DataFrame:
        return self._clicks_with_last if stream == CLICK else self.candidates

    @cached_property
    def _clicks_with_last(self) -> pd.DataFrame:
        return self._with_last(self._clicks)

    def _described_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.merge(self._described, on="item_id", how="left")
        return _as_keys(rows, [*self.settings.affinity, *self._context])

    def _with_last(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Add what the user clicked last before each row; of clicks at one moment the larger item comes later."""
        names = {_column(name): self._last(name) for name in ("item", *self.settings.affinity)}
        clicks = self._clicks[["user_id", "timestamp", *names]].rename(columns=names)
        found = pd.merge_asof(rows, clicks, on="timestamp", by="user_id", allow_exact_matches=False)
        return _as_keys(found, list(names.values()))

    @staticmethod
    def _last(name: str) -> str:
        return f"{LAST}{_column(name)}"

    def _count_up(self, stream: str, key: Key) -> pd.DataFrame:
        """Give the running counts of a stream per key, in order of time."""
        if (stream, key) not in self._running:
            log, names = self._log(stream), _columns(key)
            if key:
                log = log[(log[names] >= 0).all(axis=1)]
            groups = log.groupby(names, sort=False) if key else log.groupby(np.zeros(len(log)))
            counts = log[[*names, "timestamp"]].assign(rows=groups.cumcount() + 1)
            if stream == SHOWING:
                counts["clicks"] = groups["clicks"].cumsum()
            if stream == SHOWING and any(isinstance(each, Lift) and each.per == key for each in self._features):
                counts["chance"] = groups["chance"].cumsum()
            if any(isinstance(each, Mean) and key in ((), each.per) for each in self._features) and stream == CLICK:
                counts["valued"], counts["total"] = groups["valued"].cumsum(), groups["total"].cumsum()
            if any(self._asks_first(each, stream, key) for each in self._features):
                counts["first"] = groups["timestamp"].transform("first")
            self._running[stream, key] = counts
        return self._running[stream, key]

    @staticmethod
    def _asks_first(feature: Feature, stream: str, key: Key) -> bool:
        asks = isinstance(feature, Pace) or (isinstance(feature, HoursSince) and feature.first)
        return asks and (feature.of, feature.per) == (stream, key)

    def _before(self, stream: str, key: Key, back: timedelta) -> pd.DataFrame:
        """Look up the running counts of each candidate's key as they stood `back` before its request."""
        if (stream, key, back) not in self._found:
            asked, place = self.candidates, None
            if not any(name in ("item", *self.settings.affinity) for name in key):
                asked, place = self._requests
            names = _columns(key)
            wanted = asked[names].assign(at=asked["timestamp"] - back)
            found = pd.merge_asof(
                wanted,
                self._count_up(stream, key),
                left_on="at",
                right_on="timestamp",
                by=names or None,
                allow_exact_matches=False,
            ).drop(columns=[*names, "at"])
            counts = [name for name in ("rows", "clicks", "chance", "valued", "total") if name in found]
            found[counts] = found[counts].fillna(0)
            self._found[stream, key, back] = found if place is None else found.take(place).reset_index(drop=True)
        return self._found[stream, key, back]

    def _amount(self, of: str, key: Key, window: timedelta | None, amount: str = "rows") -> pd.Series:
        """Add up a stream over a window."""
        stream, delay = (SHOWING, self.delay) if of == OUTCOME else (of, timedelta(0))
        now = self._before(stream, key, delay)[amount]
        return now if window is None else now - self._before(stream, key, delay + window)[amount]

    def _values(self, feature: Feature) -> pd.Series:
        """Compute one feature."""
        match feature:
            case Count(of=of, per=per, window=window) if of == SKIP:
                return self._amount(OUTCOME, per, window) - self._amount(OUTCOME, per, window, "clicks")
            case Count(of=of, per=per, window=window):
                return self._amount(of, per, window)
            case Rate():
                return self._rate(feature)
            case Lift(per=per, window=window, prior=prior):
                chance = self._amount(OUTCOME, per, window, "chance") / CHANCES
                return (self._amount(OUTCOME, per, window, "clicks") + prior) / (chance + prior)
            case Share(per=per, within=whole, window=window, of=of):
                total = self._amount(of, whole, window)
                return self._amount(of, per, window) / total.where(total > 0)
            case Trend(per=per, short=short, long=long):
                recent = (self._amount(CLICK, per, short) + 1) / short.total_seconds()
                return recent / ((self._amount(CLICK, per, long) + 1) / long.total_seconds())
            case HoursSince(of=of, per=per, first=first):
                moment = self._before(of, per, timedelta(0))["first" if first else "timestamp"]
                return (self.candidates["timestamp"] - moment) / HOUR
            case Pace(of=of, per=per):
                found = self._before(of, per, timedelta(0))
                return (found["timestamp"] - found["first"]) / HOUR / (found["rows"] - 1).where(found["rows"] > 1)
            case Same(attribute=name):
                own, last = self.candidates[_column(name)], self.candidates[self._last(name)]
                return (own == last).astype(float).where((own >= 0) & (last >= 0))
            case Mean(per=per, window=window, prior=prior):
                usual = self._amount(CLICK, (), None, "total") / self._amount(CLICK, (), None, "valued")
                total = self._amount(CLICK, per, window, "total")
                return (total + prior * usual) / UNITS / (self._amount(CLICK, per, window, "valued") + prior)
            case Age():
                return (self.candidates["timestamp"] - self.candidates["available_at"]) / HOUR
        raise TypeError(f"{feature.name} is not written in pandas")

    def _rate(self, feature: Rate) -> pd.Series:
        shown = self._amount(OUTCOME, (), None)
        rate = self._amount(OUTCOME, (), None, "clicks") / shown.where(shown > 0)
        for key in (*reversed(feature.backoff), feature.per):
            shown = self._amount(OUTCOME, key, feature.window)
            clicks = self._amount(OUTCOME, key, feature.window, "clicks")
            rate = (clicks + feature.prior * rate) / (shown + feature.prior)
        return rate


def _as_keys(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    return rows.assign(**{name: rows[name].fillna(-1).astype(np.int64) for name in names})


def _column(name: str) -> str:
    if name.startswith(LAST):
        return f"{LAST}{_column(name.removeprefix(LAST))}"
    return _COLUMNS.get(name, name)


def _columns(key: Key) -> list[str]:
    return [_column(name) for name in key]
