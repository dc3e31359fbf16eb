"""Forget a user: in what a nightly job works on, in its models' states, and in all that it published."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recsys.data.databases import located
from recsys.data.importers import user_as_kept
from recsys.errors import DataError
from recsys.files import link_files, new_folder
from recsys.jobs.nightly.forgotten import Forgotten
from recsys.jobs.nightly.home import Home
from recsys.jobs.nightly.settings import Configured
from recsys.jobs.nightly.sink import leave_out
from recsys.manifest import read_manifest, write_manifest
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
        models = home.trained()
        lines = [
            f"forgotten: {counted(self.rankings, 'row')} of published lists, what {counted(self.states, 'state')} knew"
            + (f", {counted(self.rows, 'row')} of the table of [sink]" if self.rows else "")
            + ", and all that was imported, which the next night imports again"
        ]
        if not (self.states or self.rankings or self.rows):
            lines = ["nothing was known of this user; see that the id is written as the source writes it"]
        lines.append(
            f"{home.record} holds no id; later imports leave out what the source still has of the time before: remove "
            "it there, too"
        )
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
        The id as the source writes it; where users have pseudonyms, that of the id is forgotten.

    Raises
    ------
    DataError
        When the job has no folder yet, or another process is at work.
    ModelError
        When a model, published lists or the record are damaged.
    SettingsError
        When there are pseudonyms whose key cannot be read.
    StorageError
        When there is no room, or the database does not answer.
    """
    home = Home(configured.home)
    if not home.models.is_dir():
        raise DataError(f"{home.folder} holds no nightly job yet; run `recsys nightly` first")
    known_as = user if configured.mapping is None else user_as_kept(user, configured.mapping)
    with home.locked():
        Forgotten.read(home.record).also(known_as, datetime.now(UTC)).write(home.record)
        states = rankings = 0
        for folder, model in _holding(home):
            state, rows = _leave_out(home, folder, model, known_as)
            states, rankings = states + state, rankings + rows
        for path in home.work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        sink = configured.nightly.sink
        removed = 0
        if sink.database is not None:
            removed = leave_out(located(sink.database, configured.root), sink.table, known_as)
    return Gone(states, rankings, removed)


def _holding(home: Home) -> Iterator[tuple[Path, Path]]:
    """Give the folders that hold a state, each with that of its model."""
    for name in home.trained():
        yield home.models / name, home.models / name
    for lists in home.published():
        yield home.lists / lists.name, home.models / lists.model


def _leave_out(home: Home, folder: Path, model: Path, user: str) -> tuple[bool, int]:
    """Put a folder without the user in the place of one with; say whether its state knew the user, and count rows."""
    manifest = read_manifest(folder, _ORIGIN)
    state = Forgetting.of(folder / "state", model, user)
    own = pl.col("user_id").cast(pl.String) == user
    parts = {path: pl.read_parquet(path) for path in sorted((folder / "rankings").glob("*.parquet"))}
    rows = {path: len(part.filter(own)) for path, part in parts.items()}
    if not (state.needed or any(rows.values())):
        return False, 0
    with new_folder(home.replacement(folder)) as staging:
        _link_all(folder, staging, {"state"} if state.needed else set())
        if state.needed:
            state.write(staging / "state")
        for path in (path for path, many in rows.items() if many):
            target = staging / path.relative_to(folder)
            target.unlink()
            parts[path].remove(own).write_parquet(target)
        (staging / "manifest.json").unlink()
        facts = {key: told for key, told in manifest.items() if key not in ("format", "files")}
        write_manifest(staging, facts)
    home.settle()
    return state.needed, sum(rows.values())


def _link_all(folder: Path, target: Path, without: set[str]) -> None:
    """Put all files of a folder into another one, but for those of some folders in it."""
    inside = [path for path in folder.iterdir() if path.name not in without]
    link_files((path for path in inside if path.is_file()), target)
    for path in (path for path in inside if path.is_dir()):
        _link_all(path, target / path.name, set())
