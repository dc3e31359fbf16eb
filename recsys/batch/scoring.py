"""Score: the nightly batch that turns candidates into ranked lists."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tqdm import tqdm

from recsys.batch.vectors import current_vectors
from recsys.data.checks import check_candidates, check_tables
from recsys.data.faults import refuse_errors
from recsys.data.labels import grade_labels
from recsys.data.tables import Dataset, in_utc
from recsys.errors import SettingsError
from recsys.features.behaviour import Behaviour
from recsys.features.builder import check_context, sort_candidates
from recsys.files import new_folder, refuse_existing
from recsys.model import Model, State, check_id_types, read_manifest, write_manifest
from recsys.ranking.scoring import batches, rank_candidates

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
    and a manifest with counts and hashes.

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
        When `top` is below 1 or a context column is missing.
    """
    folder, out = Path(folder), Path(out)
    refuse_existing(out)
    if top is not None and top < 1:
        raise SettingsError(f"top = {top}; keep at least 1 candidate per request")
    model = Model.load(folder)
    refuse_errors(check_tables(dataset))
    candidates = in_utc(candidates)
    refuse_errors(check_candidates(candidates))
    check_context(candidates, model.settings.features, dataset.about.recorded_after)
    dataset = grade_labels(dataset, model.settings.labels)
    behaviour = Behaviour.of(dataset, model.settings.features.affinity)
    check_id_types(candidates, behaviour)
    log = model.log(behaviour)
    vectors = current_vectors(model, folder, State.load(folder / "state").vectors, dataset.items)
    reader = model.reader(log, vectors)
    candidates = sort_candidates(candidates)
    unknown_users: set[object] = set()
    unknown_items: set[object] = set()
    written = 0
    with new_folder(out) as staging, tqdm(total=len(candidates), desc="score", unit="row", disable=None) as bar:
        (staging / "rankings").mkdir()
        for number, batch in enumerate(batches(candidates, ROWS_PER_PART)):
            ranked = rank_candidates(batch, log, model.settings.features, reader, model.ranker, model.calibration)
            unknown_users.update(ranked.filter("unknown_user")["user_id"].unique())
            unknown_items.update(ranked.filter("unknown_item")["item_id"].unique())
            ranked = ranked if top is None else ranked.filter(pl.col("rank") <= top)
            ranked.write_parquet(staging / "rankings" / f"part-{number:05}.parquet")
            written += len(ranked)
            bar.update(len(batch))
        State(behaviour, vectors).save(staging / "state")
        requests = candidates["request_id"].n_unique()
        scored = Scored(requests, len(candidates), written, len(unknown_users), len(unknown_items))
        model_files = read_manifest(folder, "written by `recsys train`")["files"]
        write_manifest(staging, {"counts": vars(scored), "top": top, "ranker": model_files["ranker.txt"]})
    return scored
