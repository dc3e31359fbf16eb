"""Score: the nightly batch that turns candidates into ranked lists."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tqdm import tqdm

from recsys.data.checks import check_candidates
from recsys.data.faults import refuse_errors
from recsys.data.tables import Dataset, in_utc
from recsys.features.builder import check_context, sort_candidates
from recsys.files import new_folder, refuse_existing
from recsys.model.folder import check_id_types, read_manifest, write_manifest
from recsys.model.ready import Today, open_model
from recsys.model.scoring import batches, check_top, keep_top, rank_candidates
from recsys.vectors.queries import check_query

ROWS_PER_PART = 250_000
"""Candidates whose rankings go into one file, whole requests together; any other number gives the same rankings."""


@dataclass(frozen=True)
class Scored:
    """What a batch did.

    Attributes
    ----------
    requests, candidates, rankings
        Requests and candidates that came in, rows that were written.
    unknown_users, unknown_items
        Distinct users without behaviour and distinct items that are not in the items table; both were scored.
    """

    requests: int
    candidates: int
    rankings: int
    unknown_users: int
    unknown_items: int


def score(
    folder: str | Path, dataset: Dataset, candidates: pl.DataFrame, out: str | Path, top: int | None = None
) -> Scored:
    """Rank candidates and write the answer, whole or not at all.

    Writes `rankings/part-*.parquet` (see `recsys.schema.RANKINGS`), `state/` for `Ranker.load(folder, state=...)`,
    and a manifest with counts, hashes and until when the model had learnt: `recsys compare` starts there.

    Parameters
    ----------
    folder
        Model folder.
    dataset
        Today's tables: items and the behaviour so far.
    candidates
        Whole requests, rows in any order.
    out
        Folder to write; must not hold anything.
    top
        Keep the first so many of each request; all when left out.

    Raises
    ------
    DataError
        When a table or the candidates have faults, or `out` exists.
    ModelError
        When the folder is no whole model.
    SettingsError
        When `top` is below 1, or a context column or the query column is missing.
    """
    folder, out = Path(folder), Path(out)
    refuse_existing(out)
    check_top(top)
    candidates = in_utc(candidates)
    refuse_errors(check_candidates(candidates))
    today = open_model(folder, dataset)
    check_context(candidates, today.model.settings.features, dataset.about.recorded_after)
    check_query(candidates, today.model.settings.text.query, dataset.about.recorded_after)
    check_id_types(candidates, today.log.behaviour)
    with new_folder(out) as staging:
        (staging / "rankings").mkdir()
        scored = _write_rankings(today, sort_candidates(candidates), staging / "rankings", top)
        today.state.save(staging / "state", folder)
        model_files = read_manifest(folder, "written by `recsys train`")["files"]
        facts = {"ranker": model_files["ranker.txt"], "learnt_until": today.learnt_until.isoformat()}
        write_manifest(staging, {"counts": vars(scored), "top": top, **facts})
    return scored


def _write_rankings(today: Today, candidates: pl.DataFrame, folder: Path, top: int | None) -> Scored:
    model, rankings = today.model, 0
    unknown_users: set[object] = set()
    unknown_items: set[object] = set()
    with tqdm(total=len(candidates), desc="score", unit="row", disable=None, leave=False) as bar:
        for number, batch in enumerate(batches(candidates, ROWS_PER_PART)):
            ranked = rank_candidates(
                batch, today.log, model.settings.features, today.reader, model.ranker, model.calibration
            )
            unknown_users.update(ranked.filter("unknown_user")["user_id"].unique())
            unknown_items.update(ranked.filter("unknown_item")["item_id"].unique())
            ranked = keep_top(ranked, top)
            ranked.write_parquet(folder / f"part-{number:05}.parquet")
            rankings += len(ranked)
            bar.update(len(batch))
    requests = candidates["request_id"].n_unique()
    return Scored(requests, len(candidates), rankings, len(unknown_users), len(unknown_items))
