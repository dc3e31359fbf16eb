"""Forget a user: in what a nightly job works on, in its models' states, and in all that it published."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recsys.data.databases import located
from recsys.data.importers import Mapping, form_of, user_as_kept
from recsys.errors import DataError, ModelError
from recsys.files import exchange, link_files, new_folder, read_json, remove, write_json
from recsys.jobs.nightly.forgotten import Forgotten
from recsys.jobs.nightly.gate import PROFILE
from recsys.jobs.nightly.home import Home
from recsys.jobs.nightly.night import CLOCK
from recsys.jobs.nightly.settings import Configured
from recsys.jobs.nightly.sink import leave_out
from recsys.manifest import read_manifest, write_manifest
from recsys.model.folder import Model
from recsys.model.forgetting import Forgetting
from recsys.shown import counted

_ORIGIN = "written by `recsys nightly`"


@dataclass(frozen=True)
class Gone:
    """What was removed of a user.

    Attributes
    ----------
    states
        States of models and of lists that knew the user.
    rankings
        Rows of published lists.
    rows
        Rows of the table that the lists go into.
    """

    states: int
    rankings: int
    rows: int

    def in_words(self, home: Home) -> str:
        """Say what was removed and what stays, for the terminal."""
        lines = [
            f"forgotten: {counted(self.rankings, 'row')} of published lists, what {counted(self.states, 'state')} knew"
            + (f", {counted(self.rows, 'row')} of the table of [sink]" if self.rows else "")
            + ", and all that was imported, which the next night imports again"
        ]
        if not (self.states or self.rankings or self.rows):
            lines = [
                "no state and no list knows this user (any more); what was imported is removed, and the next night "
                "imports it again. Where that is a surprise, see that the id is written as the source writes it"
            ]
        lines.append(
            f"{home.record} holds no id; later imports leave out what the source still has of the time before: remove "
            "it there, too, and from folders that `init` or `import` wrote beside it"
        )
        models = home.trained()
        if models:
            lines.append(
                "what stays: how often items were shown and chosen, without by whom, until the next night; what trees "
                f"and weights learnt, until they are trained anew: {', '.join(models)}"
            )
        return "\n".join(lines)


def forget(configured: Configured, user: str) -> Gone:
    """Forget a user of a nightly job; the same command, given again after a kill, does what is left.

    Parameters
    ----------
    configured
        See `recsys.jobs.nightly.settings.read_nightly`.
    user
        The id as the source writes it; where users have pseudonyms, that of the id is forgotten, too.

    Raises
    ------
    DataError
        When the job has no folder yet, or another process is at work.
    ModelError
        When the record is damaged; or a model or published lists are, which then are named and left as they are.
    SettingsError
        When the id is no text, or there are pseudonyms whose key cannot be read.
    StorageError
        When there is no room, or the database does not answer.
    """
    home, mapping = Home(configured.home), configured.mapping or Mapping()
    if not home.models.is_dir():
        raise DataError(f"{home.folder} holds no nightly job yet; run `recsys nightly` first")
    ids = {user, user_as_kept(user, mapping)}  # what was written before there were pseudonyms holds the id itself
    with home.locked():
        Forgotten.read(home.record).also(user_as_kept(user, mapping), datetime.now(UTC), form_of(mapping)).write(
            home.record
        )
        for path in (*home.left_behind(), *(path for path in home.work.iterdir() if path.name != CLOCK)):
            remove(path)
        states, rankings, damaged = 0, 0, list[str]()
        for folder, model in _holding(home):
            try:
                state, rows = _leave_out(folder, model, ids)
                states, rankings = states + state, rankings + rows
            except ModelError as error:
                damaged.append(f"{folder} may still hold the user ({error})")
        sink = configured.nightly.sink
        removed = 0
        if sink.database is not None:
            removed = sum(leave_out(located(sink.database, configured.root), sink.table, each) for each in ids)
    if damaged:
        raise ModelError("\n".join([*damaged, "all else is done; remove these folders, or mend them and forget again"]))
    return Gone(states, rankings, removed)


def _holding(home: Home) -> Iterator[tuple[Path, Path]]:
    """Give the folders that hold a state, each with that of its model."""
    for name in home.trained():
        yield home.models / name, home.models / name
    for lists in home.published():
        yield home.lists / lists.name, home.models / lists.model


def _leave_out(folder: Path, model: Path, ids: Collection[str]) -> tuple[bool, int]:
    """Put a folder without a user in the place of one with; say whether its state knew the user, and count rows."""
    manifest = read_manifest(folder, _ORIGIN)
    state = Forgetting.of(folder / "state", model, ids)
    own = pl.col("user_id").cast(pl.String).is_in(list(ids))
    parts = {
        path: pl.scan_parquet(path, glob=False).filter(own).select("user_id", "request_id").collect()
        for path in sorted((folder / "rankings").glob("*.parquet"))
    }
    gone = pl.concat(parts.values()) if parts else pl.DataFrame()
    if not (state.needed or len(gone)):
        return False, 0
    replacement = folder.with_name(f".{folder.name}.ready")
    with new_folder(replacement) as staging:
        _link_all(folder, staging, {"state"} if state.needed else set())
        if state.needed:
            state.write(staging / "state")
        for path in (path for path, rows in parts.items() if len(rows)):
            target = staging / path.relative_to(folder)
            target.unlink()
            pl.read_parquet(path, glob=False).remove(own).write_parquet(target)
        if folder == model and Model.load(model).settings.report.histories:
            (staging / "report.html").unlink(missing_ok=True)
        facts = {key: told for key, told in manifest.items() if key not in ("format", "files")}
        if len(gone):
            _count_out(staging, facts, gone)
        (staging / "manifest.json").unlink()
        write_manifest(staging, facts)
    exchange(folder, replacement)
    remove(replacement)
    return state.needed, len(gone)


def _count_out(folder: Path, facts: dict[str, object], gone: pl.DataFrame) -> None:
    """Let what is told of lists count those that are there."""
    lists, counts = gone["request_id"].n_unique(), facts["counts"]
    if isinstance(counts, dict):
        facts["counts"] = counts | {
            "rankings": counts["rankings"] - len(gone),
            "requests": counts["requests"] - lists,
        }
    path = folder / PROFILE
    if path.is_file():
        profile = read_json(path, "publish again")
        path.unlink()
        users, places = profile["users"] - gone["user_id"].n_unique(), profile["places"] - len(gone)
        write_json(path, profile | {"users": users, "places": places})


def _link_all(folder: Path, target: Path, without: set[str]) -> None:
    """Put all files of a folder into another one, but for those of some folders in it."""
    inside = [path for path in folder.iterdir() if path.name not in without]
    link_files((path for path in inside if path.is_file()), target)
    for path in (path for path in inside if path.is_dir()):
        _link_all(path, target / path.name, set())
