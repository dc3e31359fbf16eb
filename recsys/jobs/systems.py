"""What can be compared: a model, rankings that anything wrote, or a baseline."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl
from pydantic import BaseModel

from recsys.data.clock import Duration, TimeSettings
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.evaluation.evaluation import BASELINES, RANDOM
from recsys.evaluation.rankings import KEY, Aligned, Rankings, read_rankings
from recsys.features.settings import FeatureSettings
from recsys.jobs.baselines import baseline_scores
from recsys.jobs.field_lists import rule_lists
from recsys.jobs.gains import model_kinds
from recsys.jobs.judging import ROWS_PER_BATCH, read_logged
from recsys.jobs.sides import Opinion, System
from recsys.jobs.stress import stress
from recsys.manifest import read_manifest
from recsys.model.ready import Ready
from recsys.past.lookup import Asked
from recsys.sources.finding import Finder
from recsys.sources.merging import EVEN
from recsys.sources.settings import CandidateSettings
from recsys.statistics.intervals import Interval
from recsys.statistics.numbers import Flags, Floats

Source = str | Path | pl.DataFrame


def open_system(source: Source, dataset: Dataset, name: str, seed: int) -> System:
    """Open one side of a comparison.

    Parameters
    ----------
    source
        A model folder; a ranking file or table (`recsys.evaluation.rankings.read_rankings`) or a folder that
        `recsys score` wrote; one of `recsys.evaluation.evaluation.BASELINES`, see `recsys.jobs.baselines` (write
        `./random` for a file of that name).
    dataset
        Tables that a model reads.
    name
        What people call it.
    seed
        Seed of the random order.

    Raises
    ------
    DataError
        When it is none of these, or the tables or rankings have faults.
    ModelError
        When a model folder is damaged.
    """
    if isinstance(source, pl.DataFrame):
        return _of_rankings(name, Rankings.of(source, name))
    if source in BASELINES:
        return _of_rule(name, str(source), seed)
    path = Path(source)
    if (path / "rankings").is_dir():
        how = _how_made(path)
        merging = replace(EVEN, half_life=how.half_life)
        finder = partial(Finder, how.candidates, FeatureSettings(windows=how.windows), reader=None, merging=merging)
        read = _of_rankings(name, read_rankings(path / "rankings"))
        return replace(read, learnt_until=how.learnt_until, time=how.time, made=how.made, finder=finder)
    if (path / "manifest.json").is_file():
        return _of_model(name, path, dataset)
    if path.exists():
        return _of_rankings(name, read_rankings(path))
    raise DataError(
        f"{source} does not exist and is no baseline ({', '.join(map(repr, BASELINES))}); name a folder that "
        "`recsys train` or `recsys score` wrote, a Parquet file or a TREC run"
    )


def _of_model(name: str, folder: Path, dataset: Dataset) -> System:
    ready, prepared = Ready.today(folder, dataset)
    model = ready.model

    def answer(asked: Asked) -> Opinion:
        logged = read_logged(ready.ask(asked.candidates), model.settings.features, ready.reader)
        scores = model.ranker.score(logged.examples.table)
        return Opinion(scores, model.calibration.probability(scores, logged.examples.starts))

    def lists(asked: pl.DataFrame, finder: Finder) -> pl.DataFrame:
        found = ready.ask(ready.find(asked.drop("label", strict=False)))
        parts = [ready.rank(part).select(*KEY, "score") for part in found.parts(ROWS_PER_BATCH)]
        return pl.concat(parts) if parts else ready.rank(found).select(*KEY, "score")

    def kinds(asked: Asked) -> dict[str, Flags]:
        return model_kinds(ready, ready.ask(asked.candidates))

    def stressed(asked: Asked, scores: Floats, begin: datetime) -> dict[str, Interval]:
        return stress(folder, ready, ready.ask(asked.candidates), prepared.dataset, scores, begin)

    system = System(
        name,
        answer,
        prepared,
        ready.reader.vectors,
        learnt_until=model.windows.learnt_until,
        time=model.settings.time,
        kinds=kinds,
        stressed=stressed,
    )
    return replace(system, finder=lambda _: ready.finder, lists=lists) if model.settings.candidates.sources else system


def _of_rule(name: str, rule: str, seed: int) -> System:
    def lists(asked: pl.DataFrame, finder: Finder) -> pl.DataFrame:
        found, items = rule_lists(finder, asked)[rule], finder.log.items.by_code
        return pl.DataFrame(
            [
                asked["request_id"].gather(found.requests),
                items.gather(found.items).alias("item_id"),
                pl.Series("score", found.scores),
            ]
        )

    def answer(asked: Asked) -> Opinion:
        return Opinion(baseline_scores(rule, asked, seed))

    return System(name, answer, lists=None if rule == RANDOM else lists)


class _HowMade(BaseModel):
    """What `recsys score` writes of how rankings were made."""

    learnt_until: datetime
    time: TimeSettings = TimeSettings()
    made: bool | None = None
    candidates: CandidateSettings = CandidateSettings()
    windows: tuple[Duration, ...] = FeatureSettings().windows
    half_life: Duration | None = None


def _how_made(folder: Path) -> _HowMade:
    """Read until when the model behind rankings had learnt, what it knew when, and what found candidates."""
    written = read_manifest(folder, "written by `recsys score`")
    if "learnt_until" not in written:
        raise DataError(f"{folder} does not say until when its model had learnt; run `recsys score` again")
    return _HowMade.model_validate({name: of for name, of in written.items() if name in _HowMade.model_fields})


def _of_rankings(name: str, rankings: Rankings) -> System:
    def answer(asked: Asked) -> Opinion:
        found = rankings.align(asked.candidates)
        return Opinion(found.scores, found.click_probabilities, tuple(_missing(name, found)))

    def lists(asked: pl.DataFrame, finder: Finder) -> pl.DataFrame:
        return rankings.lists(asked["request_id"], finder.log.items.by_code)

    default = partial(Finder, CandidateSettings(), FeatureSettings(), reader=None)
    return System(name, answer, rankings=rankings, finder=default, lists=lists)


def _missing(name: str, found: Aligned) -> Iterator[str]:
    """Say what rankings leave out and how that counts."""
    if found.unanswered_requests:
        yield (
            f"{name} does not answer {found.unanswered_requests:,} of the requests; each counts as 0, in AUC as one "
            "half."
        )
    if found.unlisted_candidates:
        yield (
            f"{name} does not list {found.unlisted_candidates:,} candidates, those of unanswered requests included; "
            "they earn nothing and stand last in AUC."
        )
    if found.outside_requests:
        yield f"{name} ranks {found.outside_requests:,} more requests, which are not compared here."
