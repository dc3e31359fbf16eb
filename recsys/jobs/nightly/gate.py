"""The gate: whether a new model or new lists may take the place of what is live, with reasons in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.evaluation.plan import Plan
from recsys.files import read_json
from recsys.jobs.nightly.settings import GateSettings
from recsys.statistics.numbers import Floats
from recsys.statistics.stability import stability

PROFILE = "profile.json"
"""The file, among published lists, that says what they are like."""

_BINS = 10

_NIGHTS, _FEWEST, _UNHEARD_OF = 14, 3, 4.0
"""Nights that say how much scores usually move, how many of them at least, and what is too much without them: about a
shift by two standard deviations."""


def judge_model(champion: Path, challenger: Path, dataset: Dataset, gate: GateSettings) -> dict[str, Any]:
    """Say whether a new model may replace the one that is live: it must not be worse by more than a margin.

    Parameters
    ----------
    champion, challenger
        Model folders.
    dataset
        Tables that hold requests which neither has learnt from.
    gate
        By which measure, and the margin: the lower end of the 95 % interval of the difference, paired over users, must
        not lie below minus this (non-inferiority).

    Returns
    -------
    `accepted`, the `reason` in words, and the `difference`, None where it could not be measured.
    """
    if losers := _losers(challenger, gate):
        return {"accepted": False, "reason": f"the new model shows some items too little: {losers}"}
    from recsys.jobs.compare import compare  # imports as deep as they may be

    try:
        plan = Plan.of(gate.measure, [])
        found = compare(champion, challenger, dataset, plan, names=("live", "new")).comparison
    except (DataError, SettingsError) as error:
        return {"accepted": False, "reason": f"the new model cannot be held against the live one: {error}"}
    difference = found.overall[found.primary]
    mean, low, high = difference.interval.mean, difference.interval.low, difference.interval.high
    told = (
        f"{gate.measure} of the new model minus the live one {mean:+.4f} ({low:+.4f} to {high:+.4f}) on "
        f"{difference.requests:,} requests of {difference.users:,} users"
    )
    accepted = bool(low >= -gate.margin)
    found_so = "not worse by more than" if accepted else "it may lose more than"
    reason = f"{told}; {found_so} {gate.margin}"
    return {"accepted": accepted, "reason": reason, "difference": difference.interval.to_json()}


def _losers(model: Path, gate: GateSettings) -> str:
    """Name the groups of items that a new model shows far less than they were clicked, as its training measured it."""
    if gate.shortfall is None:
        return ""
    told = read_json(model / "metrics.json", "train again").get("gains") or {"exposure": {}}
    return ", ".join(
        f"{name} ({of['shown']:.1%} of exposure, {of['clicks']:.1%} of clicks)"
        for name, of in told["exposure"].items()
        if of["named"] and of["shown"] < (1 - gate.shortfall) * of["clicks"]
    )


@dataclass(frozen=True)
class ListsProfile:
    """What published lists are like.

    Attributes
    ----------
    model
        Name of what ranked them.
    users
        How many users have a list.
    cold
        Share of places of items that the tables do not hold, 0 to 1.
    edges
        Scores that cut all places into tenths.
    shares
        Share of the places between them.
    places
        How many places there are.
    moves
        By how much scores moved from night to night under this model, the last nights last: stability indexes.
    """

    model: str
    users: int
    cold: float
    edges: list[float]
    shares: list[float]
    places: int
    moves: list[float]

    @classmethod
    def of(cls, rankings: Path, model: str, before: "ListsProfile | None" = None) -> "ListsProfile":
        """Look at rankings.

        Parameters
        ----------
        rankings
            Folder of Parquet files.
        model
            Name of what ranked them.
        before
            What the lists of the night before were like; None where there are none.
        """
        read = pl.scan_parquet(sorted(rankings.glob("*.parquet")), glob=False)
        told = read.select(
            pl.col("user_id").n_unique().alias("users"), pl.col("unknown_item").mean().alias("cold"), pl.len()
        ).collect()
        users, cold, places = told.row(0)
        scores = read.select("score").collect().to_series().to_numpy()
        edges = np.unique(np.quantile(scores, np.arange(1, _BINS) / _BINS)).tolist() if places else []
        moves = list[float]()
        if before is not None and before.model == model:
            moves = [*before.moves, before.moved(scores)][-_NIGHTS:]
        return cls(model, users, cold or 0.0, edges, _between(edges, scores), places, moves)

    def moved(self, scores: Floats) -> float:
        """Give the stability index of other scores."""
        was, are = (
            {str(place): share for place, share in enumerate(of)} for of in (self.shares, _between(self.edges, scores))
        )
        return stability(was, are) if self.places and len(scores) else 0.0

    @property
    def allowed(self) -> float:
        """The stability index that is usual from night to night; far more while too few nights say what is."""
        return 2 * max(self.moves) if len(self.moves) >= _FEWEST else _UNHEARD_OF

    def to_json(self) -> dict[str, Any]:
        """Return plain objects."""
        return asdict(self)


def lists_drift(before: Mapping[str, Any] | None, rankings: Path, model: str, gate: GateSettings) -> list[str]:
    """Say in words in what new lists are unlike those that are live; nothing where they are like them.

    Scores are held against those of the same model alone, for others may count in other units.

    Parameters
    ----------
    before
        `ListsProfile.to_json` of the live lists; None where there are none.
    rankings
        Folder of the new ones.
    model
        Name of what ranked them.
    gate
        How much is too much.
    """
    if before is None:
        return []
    then = ListsProfile(**before)
    now = ListsProfile.of(rankings, model, then)
    reasons = []
    if now.users < gate.coverage * then.users:
        reasons.append(f"lists: {now.users:,} users have one, where {then.users:,} had one before ([gate] coverage)")
    if now.cold - then.cold > gate.cold:
        reasons.append(
            f"lists: {now.cold:.0%} of the places are of unknown items, where {then.cold:.0%} were before ([gate] cold)"
        )
    if then.model == model and now.moves[-1] > (allowed := max(gate.scores, then.allowed)):
        reasons.append(
            f"scores: they have moved under the same model (stability index {now.moves[-1]:.2f}, up to {allowed:.2f} "
            "is usual; [gate] scores)"
        )
    return reasons


def _between(edges: list[float], scores: Floats) -> list[float]:
    """Give the share of scores below, between and above some."""
    counts = np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
    shares: list[float] = (counts / max(len(scores), 1)).tolist()
    return shares
