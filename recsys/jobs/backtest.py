"""Backtest: how a configuration would have done, night after night, had it known no more than was known then."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.data.clock import SHOWN_UNTIL, TimeSettings, format_duration
from recsys.data.cut import known_before
from recsys.data.tables import Dataset
from recsys.encoders.sources import encoder_hash
from recsys.errors import DataError, SettingsError
from recsys.evaluation.evaluation import POPULARITY
from recsys.evaluation.nights import JudgedNight, Night, judge_night
from recsys.evaluation.plan import DEFAULT_PLAN
from recsys.evaluation.reports.backtest_report import nights_to_html, nights_to_text
from recsys.files import new_folder, write_whole
from recsys.jobs.nights import DAY, Nights, moved, refuse_unfit
from recsys.jobs.score import score
from recsys.jobs.train import train
from recsys.jobs.work import filled_again, library_versions
from recsys.manifest import read_manifest, write_manifest
from recsys.model.prepared import fingerprint, prepare
from recsys.schema import AFTER_THE_LIST
from recsys.settings import Settings
from recsys.shown import counted
from recsys.sources.finding import first_rows

if TYPE_CHECKING:
    from recsys.jobs.compare import Compared

logger = logging.getLogger(__name__)

Lists = Mapping[int, pl.DataFrame]

_WORDS = {"a": "--against", "b": "--config"}
"""What whoever asks calls the sides."""

_ALIKE = ("top", "time", "made", "candidates", "windows", "half_life")
"""What the rankings of all nights share of what `score` writes of them."""


@dataclass(frozen=True)
class Backtested:
    """Nights, and the verdict of all of them.

    Attributes
    ----------
    nights
        What each night says.
    compared
        What `compare` says of the rankings of all nights.
    facts
        What was asked for, the configurations and tables aside.
    """

    nights: tuple[JudgedNight, ...]
    compared: "Compared"
    facts: Mapping[str, object]

    def to_text(self, width: int = 120) -> str:
        """Write it for a terminal of at least 80 characters a line: the nights, then the verdict."""
        return f"{nights_to_text(self.nights, self.compared.comparison, width)}\n{self.compared.to_text(width)}"

    def to_html(self) -> str:
        """Write it as one page that needs neither network nor script."""
        return nights_to_html(self.nights, self.compared.comparison, self.compared.exhibits, self.facts)

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`; what is not a number is None."""
        return {**self.facts, "each": [each.to_json() for each in self.nights], "pooled": self.compared.to_json()}


def backtest(
    dataset: Dataset,
    config: Settings,
    begin: datetime,
    nights: int,
    out: str | Path,
    against: Settings | None = None,
    retrain: timedelta = DAY,
    warm: bool = False,
) -> Backtested:
    """Train, rank and judge night after night, each time from what was known before the night alone.

    B is `config`, A is `against`, or what is popular. A night's model is what `train` makes of the tables cut at its
    beginning; it ranks the lists of the day that follows, from tables cut at the day's end, so that each list knows
    what its freshness allows. Where no lists were logged and a side has sources, it makes the lists for the moments of
    the choices; a side without sources ranks all items then. Writes into `out`: `models/<date>-<side>`,
    `nights/<date>/<side>` as `score` writes, the rankings of all nights in `a` and `b`, `backtest.json`,
    `backtest.html` and a manifest. The same call, made again after a kill, goes on where it was.

    Parameters
    ----------
    dataset
        Tables that reach over all nights.
    config
        Settings to judge. `[windows] cuts` move with the night, so that valid ends where it begins.
    begin
        When the first night begins; without a zone it is UTC. Days are those of `[time] zone`.
    nights
        How many, at least 1.
    out
        Folder to write, or to go on with.
    against
        Settings to hold them against; when left out, popularity.
    retrain
        Whole days between two trainings; in between the last model ranks, with the behaviour of today.
    warm
        Whether the encoder of each training goes on from that of the training before, see `train`.

    Raises
    ------
    DataError
        When the tables have faults, nothing can be learnt before a night, no list of any night was shown and clicked,
        or `out` holds something else or what was asked for otherwise.
    SettingsError
        When the configurations are the same or cannot be held against each other, or there is no night.
    """
    dataset, out = dataset.plain(), Path(out)
    sides = {"b": config} if against is None else {"a": against, "b": config}
    plan = Nights.of(begin, nights, config.time.zone, retrain)
    made = refuse_unfit({_WORDS[side]: settings for side, settings in sides.items()}, plan.every, warm)
    lists = _lists_of(dataset, plan, made or TimeSettings(), any(each.candidates.sources for each in sides.values()))
    facts = {
        "from": plan.first.isoformat(),
        "nights": nights,
        "zone": plan.zone,
        "retrain": format_duration(retrain),
        "warm": warm,
    }
    with filled_again(out, {**facts, **_deciding(dataset, config, against)}):
        return _Replay(out, dataset, plan, lists, warm).run(sides, facts)


def _lists_of(dataset: Dataset, plan: Nights, time: TimeSettings, sources: bool) -> Lists:
    """Give the lists of each night that has any, without what was recorded after them.

    Where lists were drawn and a side has sources, they come without candidates.

    Raises
    ------
    DataError
        When no list was shown before the nights, or none in them, or none of these was clicked.
    """
    lists = prepare(dataset, Settings(time=time)).made.lists
    begins, ends = plan.begins(0), plan.begins(plan.count)
    first, last = lists["timestamp"].sort().dt.to_string("%F %T")[[0, -1]]
    span = f"lists run from {first} to {last} UTC"
    inside = lists.filter(pl.col("timestamp").is_between(begins, ends, closed="left"))
    where = f"the {counted(plan.count, 'night')} from {begins:%F %T} to {ends:%F %T} UTC"
    if inside.is_empty():
        raise DataError(f"no list was shown in {where}; {span}; choose other nights")
    if not (inside["label"] > 0).any():
        raise DataError(f"no list was clicked in {where}, so that nothing can be judged; {span}; choose other nights")
    if lists.filter(pl.col("timestamp") < begins).is_empty():
        raise DataError(
            f"no list was shown before {begins:%F %T} UTC, where the first night begins, so there is nothing to learn "
            f"from; {span}; begin later"
        )
    asked = inside.drop(*AFTER_THE_LIST, SHOWN_UNTIL, strict=False)
    nights = ((night, plan.begins(night), plan.begins(night + 1)) for night in range(plan.count))
    found = {
        night: asked.filter(pl.col("timestamp").is_between(start, end, closed="left")) for night, start, end in nights
    }
    return {
        night: first_rows(own) if sources and dataset.about.sampled else own for night, own in found.items() if len(own)
    }


def _deciding(dataset: Dataset, config: Settings, against: Settings | None) -> dict[str, object]:
    """Say what decides the outcome beside the arguments."""
    from recsys.learning.passes import threads  # torch takes seconds to load: what is wrong is told before

    def told(settings: Settings | None) -> dict[str, object] | None:
        if settings is None:
            return None
        return {**settings.model_dump(mode="json"), "encoder": encoder_hash(settings.text.encoder)}

    return {
        "config": told(config),
        "against": told(against),
        "data": fingerprint(dataset),
        "libraries": library_versions(),
        "threads": threads(),
    }


@dataclass(frozen=True)
class _Replay:
    """The log, told night after night; each folder that a night writes is there whole or not at all."""

    out: Path
    dataset: Dataset
    plan: Nights
    lists: Lists
    warm: bool

    def run(self, sides: Mapping[str, Settings], facts: Mapping[str, object]) -> Backtested:
        """Do what is not done yet, and judge it."""
        for place, night in enumerate(self.lists, 1):
            logger.info("night %s, %d of %d that have lists", self.plan.name(night), place, len(self.lists))
            for side, settings in sides.items():
                self._rank(night, side, settings)
        for side in sides:
            self._join(side)
        found = self._judged([*sides], facts)
        write_whole(self.out / "backtest.json", json.dumps(found.to_json(), indent=2) + "\n")
        write_whole(self.out / "backtest.html", found.to_html())
        (self.out / "manifest.json").unlink(missing_ok=True)
        write_manifest(self.out, dict(facts))
        return found

    def _rank(self, night: int, side: str, settings: Settings) -> None:
        """Rank the lists of a night by the model that it has, which is trained where it is not there yet."""
        target = self.out / "nights" / self.plan.name(night) / side
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            model = self._model(self.plan.trained(night), side, settings)
            score(model, self._known(night + 1, settings), self.lists[night], target)

    def _model(self, night: int, side: str, settings: Settings) -> Path:
        folder = self._folder(night, side)
        folder.parent.mkdir(exist_ok=True)
        if not folder.exists():
            before = (self._folder(each, side) for each in range(night - 1, -1, -1))
            start = next((each for each in before if each.exists()), None) if self.warm else None
            moment = self.plan.begins(night)
            try:
                train(self._known(night, settings), moved(settings, moment), folder, start)
            except (DataError, SettingsError) as error:
                raise type(error)(
                    f"{side.upper()} cannot be trained for the night of {self.plan.name(night)}, on what was known "
                    f"before {moment:%F %T} UTC: {error}; or begin later"
                ) from error
        shutil.rmtree(folder.with_name(f"{folder.name}.training"), ignore_errors=True)  # logs of no further use
        return folder

    def _folder(self, night: int, side: str) -> Path:
        return self.out / "models" / f"{self.plan.name(night)}-{side}"

    def _known(self, night: int, settings: Settings) -> Dataset:
        """Give the tables as they were when a night began, by the clock of a configuration."""
        return known_before(self.dataset, self.plan.begins(night), settings.clock)

    def _join(self, side: str) -> None:
        """Write the rankings of all nights into one folder, which `compare` reads."""
        if (self.out / side).exists():
            return
        parts, facts = [], dict[str, object]()
        for night in self.lists:
            folder = self.out / "nights" / self.plan.name(night) / side
            written = read_manifest(folder, "written by `recsys backtest`")
            facts |= {name: written[name] for name in _ALIKE if name in written}
            parts += sorted((folder / "rankings").iterdir())
        with new_folder(self.out / side) as staging:
            (staging / "rankings").mkdir()
            for number, part in enumerate(parts):
                shutil.copyfile(part, staging / f"rankings/part-{number:05}.parquet")
            nights = [self.plan.name(night) for night in self.lists]
            write_manifest(staging, {**facts, "nights": nights, "learnt_until": self.plan.begins(0).isoformat()})

    def _nights(self, sides: list[str]) -> list[Night]:
        """Name all nights, those without lists too."""
        return [
            Night(
                self.plan.name(night),
                self.plan.begins(night),
                self.plan.begins(night + 1),
                {side: self.plan.name(self.plan.trained(night)) for side in sides if night in self.lists},
            )
            for night in range(self.plan.count)
        ]

    def _judged(self, sides: list[str], facts: Mapping[str, object]) -> Backtested:
        """Compare the rankings of all nights, and judge each night by the answers that were compared."""
        from recsys.jobs.compare import compare  # imports as deep as they may be

        a, names = (self.out / "a", ("A", "B")) if "a" in sides else (POPULARITY, (POPULARITY, "B"))
        compared = compare(a, self.out / "b", self.dataset, DEFAULT_PLAN, names=names)
        requests, scores = compared.sides.requests, compared.sides.scores
        plan = DEFAULT_PLAN.of_field() if compared.sides.of_field else DEFAULT_PLAN
        nights = (judge_night(night, requests, scores, names, plan) for night in self._nights(sides))
        return Backtested(tuple(nights), compared, facts)
