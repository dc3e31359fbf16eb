"""A state without some user."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.features.plan import counted_keys
from recsys.files import link_files
from recsys.manifest import read_manifest, write_manifest
from recsys.model.folder import Model, State
from recsys.past.forgetting import without_users
from recsys.past.log import Log
from recsys.past.parts import Cut
from recsys.past.stored import write_log
from recsys.past.streams import Flags


@dataclass(frozen=True)
class Forgetting:
    """A state of which somebody is to be forgotten.

    Attributes
    ----------
    folder, model
        Where the state and its model lie.
    state
        What lies there.
    log
        Its behaviour.
    gone
        Who is to be forgotten, by the code of the user, shape [users].
    """

    folder: Path
    model: Path
    state: State
    log: Log
    gone: Flags

    @classmethod
    def of(cls, folder: Path, model: Path, ids: Collection[str]) -> "Forgetting":
        """Look for a user, by ids as text, in a state.

        Raises
        ------
        ModelError
            When the state or the model is damaged.
        """
        state = State.load(folder, model, verify_all=True)
        assert state.log is not None
        gone = state.log.users.by_code.cast(pl.String).is_in(list(ids)).to_numpy().astype(bool)
        return cls(folder, model, state, state.log, gone)

    @property
    def needed(self) -> bool:
        """Whether anything is known of the user."""
        return bool(self.gone.any())

    def write(self, target: Path) -> None:
        """Write the state as it is without the user into a folder, which is made."""
        settings = Model.load(self.model).settings
        asks = settings.rules.asks if self.state.rules is None else self.state.rules.asks
        keys = counted_keys(settings.features, asks)
        target.mkdir()
        read = self.log.top.read
        parts = read.count if isinstance(read, Cut) else 1
        write_log(target, without_users(self.log, self.gone, keys), keys, parts)
        written = {path.name for path in target.iterdir()}
        link_files((path for path in self.folder.iterdir() if path.name not in written), target)
        manifest = read_manifest(self.folder, "written by `recsys train` or `recsys score`")
        (target / "manifest.json").unlink()  # the bytes of the other state, too
        write_manifest(target, {key: told for key, told in manifest.items() if key not in ("format", "files")})
