"""Score: the nightly batch that turns candidates into ranked lists."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from recsys.arranging.rules import check_top
from recsys.arranging.settings import RuleSettings
from recsys.data.candidates import every_item
from recsys.data.checks import check_candidates
from recsys.data.cutting import Parts, candidate_files, columns_of, in_parts
from recsys.data.faults import refuse_errors
from recsys.data.plain import plain_table
from recsys.data.tables import Dataset
from recsys.engines.engine import HERE, Engine, open_engine
from recsys.engines.settings import ONE_PROCESS, EngineSettings
from recsys.errors import DataError
from recsys.explaining.explain import explain
from recsys.files import link_files, new_folder, refuse_existing
from recsys.jobs.ranked_parts import RankedLists, RankedParts, Scored, rank_lists
from recsys.jobs.work import SCORING, library_versions, work_folder
from recsys.manifest import file_hash, write_manifest
from recsys.model.folder import Model, state_until
from recsys.model.prepared import fingerprint, frame_print
from recsys.model.ready import Ready
from recsys.past.lookup import Asked
from recsys.past.stored import parts_in
from recsys.progress import progress
from recsys.schema import CANDIDATES, TIME

ROWS_EXPLAINED = 20_000
"""Candidates that are explained at once: what the trees say of each feature of each takes room."""

ROWS_PER_PART = 250_000
"""Candidates that are ranked and committed together, all requests of a user; any other number gives the same ranks."""


def score(
    folder: str | Path,
    dataset: Dataset,
    candidates: pl.DataFrame | Path,
    out: str | Path,
    top: int | None = None,
    find: bool = False,
    explained: bool = False,
    engine: EngineSettings = ONE_PROCESS,
) -> Scored:
    """Rank candidates and write the answer, whole or not at all.

    Writes `rankings/part-*.parquet` (see `recsys.schema.RANKINGS`), `state/` for `Ranker.load(folder, state=...)`,
    and a manifest with counts, hashes and until when the model had learnt: `recsys compare` starts there. What is done
    lies in `<out>.scoring` meanwhile: the same call, made again after a kill, ranks only the parts that are not.

    Parameters
    ----------
    folder, dataset
        Of the model, and today's tables: items and the behaviour so far.
    candidates
        Whole requests, rows in any order, or a Parquet file or folder of them, which is read part by part where it is
        large; or requests without the column `item_id`, see `recsys.data.candidates.ask`:
        then the model's sources find them, or all items are. Under nightly each is ranked as the list made for the day
        in which its moment lies, without what was not out then; a `label` only tells how many clicks that costs. Of a
        folder of several files, those that cannot be read or have faults are left out and named.
    out
        Folder to write; must not hold anything.
    top
        Keep the first so many of each request; all when left out.
    find, explained
        Whether the model's sources add to candidates, up to `[candidates] size` for each request, and whether rankings
        also hold what adds to each score, see `recsys.explaining.explain.Explained.frame`.
    engine
        Where parts are ranked and new texts are read, the same everywhere; `StorageError` when it fails.

    Raises
    ------
    DataError
        When a table or the candidates have faults, there are none, `out` exists, or no candidate was out when its list
        was made.
    ModelError
        When the folder is no whole model.
    SettingsError
        When `top` is below 1, or a context column or the query column is missing.
    """
    refuse_existing(out := Path(out))
    asked, model = _prints(candidates), Model.load(folder := Path(folder))
    facts = {"model": model.files, "data": fingerprint(dataset), "candidates": asked} | _wanted(top, find, explained)
    rows, times = _rows(model, candidates, len(dataset.items)), parts_in(folder / "state")
    with (
        work_folder(out, facts, SCORING) as work,
        in_parts(candidates, work / "candidates", rows, times) as parts,
    ):
        state, first = work / "state", _first_as_of(model, parts)  # before new texts are encoded
        ranking = Ranking(folder.absolute(), state, top, find, explained, dataset.about.recorded_after)
        with open_engine(engine) as running:
            if not state.exists():
                write_state(folder, dataset, state, first, engine=running)
            return _ranked(parts, ranking, model, running, work, out)


def score_from(
    state: Path,
    folder: Path,
    candidates: pl.DataFrame | Path,
    out: Path,
    top: int | None = None,
    find: bool = False,
    recorded_after: tuple[str, ...] = (),
    engine: EngineSettings = ONE_PROCESS,
) -> Scored:
    """Rank candidates by a state that is there already; all else is as of `score`.

    Parameters
    ----------
    state
        Written by `write_state`; `earliest` of it is not later than what the candidates ask.
    folder, candidates, out, top, find, engine
        As of `score`.
    recorded_after
        Columns of requests that were recorded after the list, see `recsys.data.tables.About`.
    """
    refuse_existing(out)
    model = Model.load(folder)
    facts = {"model": model.files, "state": file_hash(state / "manifest.json"), "candidates": _prints(candidates)}
    facts |= _wanted(top, find, explained=False)
    state_until(state)  # so that what is no state is told at once
    size = pl.scan_parquet(state / "items.parquet").select(pl.len()).collect().item()
    with (
        work_folder(out, facts, SCORING) as work,
        in_parts(candidates, work / "candidates", _rows(model, candidates, size), parts_in(state)) as parts,
        open_engine(engine) as running,
    ):
        _first_as_of(model, parts)
        ranking = Ranking(folder.absolute(), state.absolute(), top, find, recorded_after=recorded_after)
        return _ranked(parts, ranking, model, running, work, out)


def write_state(
    folder: Path,
    dataset: Dataset,
    target: Path,
    earliest: int | None = None,
    before: Path | None = None,
    rules: RuleSettings | None = None,
    engine: Engine = HERE,
) -> None:
    """Write what a model knows today, whole or not at all.

    Parameters
    ----------
    folder, dataset
        Model and today's tables, as of `score`.
    target
        Folder to write.
    earliest
        The first `as_of` that will be asked, microseconds; see `State.save`.
    before
        An earlier state of the model, whose texts need not be encoded again; that of the training when left out.
    rules
        Of lists that are ranked from it; those of the model when left out.
    engine
        What reads new texts.

    Raises
    ------
    DataError, ModelError, SettingsError
        As of `score`.
    """
    ready, _ = Ready.today(folder, dataset, before, rules, engine)
    with new_folder(target) as staging:
        ready.state.save(staging / "state", folder, ready.model.settings, earliest)
        for path in (staging / "state").iterdir():
            path.rename(staging / path.name)
        (staging / "state").rmdir()


@dataclass(frozen=True)
class Ranking:
    """How lists are ranked: what an engine opens, and does on part after part.

    Attributes
    ----------
    folder, state
        Of the model, and what it knows.
    top, find, explained, recorded_after
        As of `score` and `score_from`.
    """

    folder: Path
    state: Path
    top: int | None = None
    find: bool = False
    explained: bool = False
    recorded_after: tuple[str, ...] = ()

    def __call__(self) -> Callable[[pl.DataFrame], RankedLists]:
        """Load both, and give what ranks the lists of a part."""
        ready = replace(Ready.load(self.folder, self.state), recorded_after=self.recorded_after)

        def why(asked: Asked) -> pl.DataFrame:
            parts = [*asked.parts(ROWS_EXPLAINED)] or [asked]
            return pl.concat([explain(ready, part, self.top).frame() for part in parts])

        def rank(part: pl.DataFrame) -> RankedLists:
            listed = found_by(ready, part, self.find)
            ranked = rank_lists(ready, part, listed, self.top, why if self.explained else None)
            ready.log.release()
            return ranked

        return rank


def _ranked(parts: Parts, ranking: Ranking, model: Model, engine: Engine, work: Path, out: Path) -> Scored:
    """Rank the parts that are not ranked yet, and put all into a folder that appears whole or not at all."""
    ranked = RankedParts(work / "ranked")
    left = [place for place in range(len(parts)) if not ranked.holds(place)]
    with progress(len(parts), "score", "part") as advance:
        advance(len(parts) - len(left))
        for place, done in engine.each(ranking, ((place, parts[place]) for place in left)):
            ranked.commit(place, done)
            advance(1)
    scored = replace(ranked.scored(len(parts), model, state_until(ranking.state)), broken=parts.broken)
    how = _how_made(model, made="item_id" not in parts[0].columns)
    with new_folder(out) as staging:
        link_files(ranking.state.iterdir(), staging / "state")
        link_files((work / "ranked").glob("*.parquet"), staging / "rankings")
        write_manifest(staging, {"counts": scored.to_json(), "top": ranking.top, **how})
    return scored


def _rows(model: Model, candidates: pl.DataFrame | Path, items: int) -> int:
    """Say how many rows make a part: of requests without candidates, so many that about as many will be found."""
    names = candidates.columns if isinstance(candidates, pl.DataFrame) else columns_of(candidates)
    if "item_id" in names:
        return ROWS_PER_PART
    settings = model.settings.candidates
    return max(1, ROWS_PER_PART // max(1, settings.size if settings.sources else items))


def _first_as_of(model: Model, parts: Parts) -> int | None:
    """Check candidates that came in, and give the first moment that any list asks, microseconds."""
    first, rows = [], 0
    for part in parts:
        rows += len(part)
        if "item_id" in part.columns:
            refuse_errors(check_candidates(part))
        if "timestamp" in part.columns:
            moments = plain_table(part.select("timestamp"), CANDIDATES)
            if moments.schema["timestamp"] == TIME:
                first.append(moments.select(model.clock.as_of(pl.col("timestamp").min()).dt.epoch("us")).item())
    if not rows:
        raise DataError("there are no candidates: the files hold no row; name the lists that are to be ranked")
    return min((moment for moment in first if moment is not None), default=None)


def found_by(ready: Ready, candidates: pl.DataFrame, find: bool) -> pl.DataFrame:
    """Let sources find candidates where that is asked for, or there are none."""
    brought = "item_id" in candidates.columns
    if find or (ready.model.settings.candidates.sources and not brought):
        return ready.find(candidates)
    return candidates if brought else every_item(candidates, ready.log.behaviour.items)


def _wanted(top: int | None, find: bool, explained: bool) -> dict[str, object]:
    """Say what is wanted of rankings, and what makes them."""
    check_top(top)
    return {"top": top, "find": find, "explained": explained, "versions": library_versions()}


def _prints(candidates: pl.DataFrame | Path) -> object:
    """Tell candidates apart from others."""
    if isinstance(candidates, pl.DataFrame):
        return frame_print(candidates)
    return [file_hash(file) for file in candidate_files(candidates)]


def _how_made(model: Model, made: bool) -> dict[str, object]:
    """Say what ranked and until when it had learnt, what was known when, and what found candidates, for `compare`.

    `made` says that no candidates came in.
    """
    written = model.settings.model_dump(mode="json")
    half_life = model.merging.to_json()["half_life"]
    found = {
        "candidates": written["candidates"],
        "windows": written["features"]["windows"],
        "half_life": half_life,
    }
    return {
        "ranker": model.files["ranker.txt"],
        "learnt_until": model.windows.learnt_until.isoformat(),
        "time": written["time"],
        "made": made,
        **(found if model.settings.candidates.sources else {}),
    }
