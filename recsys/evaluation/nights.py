"""Nights of a backtest: what each of them says about B against A, and all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from recsys.evaluation.comparison import Difference, compare_rankers
from recsys.evaluation.plan import Plan
from recsys.statistics.numbers import Scores


@dataclass(frozen=True)
class Night:
    """A day of lists that models ranked which knew what was known when it began.

    Attributes
    ----------
    name
        Its date in the zone of the clock.
    begins, ends
        UTC; lists from the first moment up to, not including, the second.
    trained
        Side, `a` or `b`, the name of the night whose model ranked; baselines have none.
    """

    name: str
    begins: datetime
    ends: datetime
    trained: Mapping[str, str]


@dataclass(frozen=True)
class JudgedNight:
    """What one night says.

    Attributes
    ----------
    night
        Which one.
    requests, clicked, users
        Lists that were ranked, those among them with a click, and who asked for them.
    overall
        Measure, the difference B - A on these lists; none where no list was shown.
    """

    night: Night
    requests: int
    clicked: int
    users: int
    overall: Mapping[str, Difference]

    @property
    def note(self) -> str:
        """Say why a night says nothing; empty where it does."""
        if not self.requests:
            return "no list was shown"
        return "" if self.clicked else "no list was clicked"

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {
            "night": self.night.name,
            "begins": self.night.begins.isoformat(),
            "ends": self.night.ends.isoformat(),
            "trained": dict(self.night.trained),
            "requests": self.requests,
            "clicked": self.clicked,
            "users": self.users,
            "note": self.note,
            "overall": {measure: found.to_json() for measure, found in self.overall.items()},
        }


def judge_night(
    night: Night, requests: pl.DataFrame, scores: tuple[Scores, Scores], names: tuple[str, str], plan: Plan
) -> JudgedNight:
    """Judge one night of many.

    Parameters
    ----------
    night
        Which one.
    requests
        Candidates of all nights with `request_id`, `user_id`, `timestamp`, `label`; C rows.
    scores
        A's and B's, each [C] in the order of the rows; -inf where an item is not listed.
    names
        Names of A and B.
    plan
        What to measure.
    """
    inside = requests.select(pl.col("timestamp").is_between(night.begins, night.ends, closed="left")).to_series()
    own, rows = requests.filter(inside), inside.to_numpy()
    if own.is_empty():
        return JudgedNight(night, 0, 0, 0, {})
    a, b = (np.asarray(of)[rows] for of in scores)
    found = compare_rankers(own, a, b, names, {}, night.name, plan)
    clicked = own.filter(pl.col("label") > 0)["request_id"].n_unique()
    return JudgedNight(night, own["request_id"].n_unique(), clicked, own["user_id"].n_unique(), found.overall)
