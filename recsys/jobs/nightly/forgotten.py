"""Who was forgotten: what a nightly job keeps of them, so that no later import brings them back."""

import hmac
import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from recsys.data.tables import Dataset
from recsys.errors import ModelError
from recsys.files import read_json, write_whole

_BYTES = 16


@dataclass(frozen=True)
class Forgotten:
    """Users who were forgotten, without their ids.

    Attributes
    ----------
    salt
        What their hashes begin from, in hexadecimal digits. It lies beside them: who has both and an id can tell
        whether that was forgotten, as the next import must.
    until
        By hash, the moment before which nothing counts.
    """

    salt: str
    until: dict[str, datetime]

    @classmethod
    def read(cls, path: Path) -> "Forgotten":
        """Read the record; a new one where there is none.

        Raises
        ------
        ModelError
            When it is damaged.
        """
        if not path.is_file():
            return cls(secrets.token_hex(_BYTES), {})
        mend = "take it from a copy: without it the next import brings back who was forgotten"
        told = read_json(path, mend)
        try:
            until = {str(each): datetime.fromisoformat(at).astimezone(UTC) for each, at in told["forgotten"].items()}
            return cls(bytes.fromhex(told["salt"]).hex(), until)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} does not read as a record ({error!r}); {mend}") from error

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        write_whole(path, json.dumps(self.to_json(), indent=2) + "\n")

    def to_json(self) -> dict[str, Any]:
        """Return plain objects for `json.dumps`."""
        return {"salt": self.salt, "forgotten": {each: at.isoformat() for each, at in self.until.items()}}

    def also(self, user: str, at: datetime) -> "Forgotten":
        """Record one more, an id as text, of whom nothing before a moment counts."""
        return replace(self, until={**self.until, self._hash(user): at})

    def left_out_of(self, dataset: Dataset) -> Dataset:
        """Leave out their events and lists of before, and what is said of those users who did not come back since."""
        if not self.until:
            return dataset
        tables = [dataset.events, dataset.requests, *([] if dataset.users is None else [dataset.users])]
        ids = pl.concat([table["user_id"].cast(pl.String) for table in tables]).unique()
        moments = {
            user: self.until[code] for user in ids if user is not None and (code := self._hash(user)) in self.until
        }
        if not moments:
            return dataset
        until = pl.col("user_id").cast(pl.String).replace_strict(moments, default=None)
        stays = until.is_null() | (pl.col("timestamp") >= until)
        events, requests = dataset.events.filter(stays), dataset.requests.filter(stays)
        users = dataset.users
        if users is not None:
            back = pl.concat([events["user_id"], requests["user_id"]]).unique().implode()
            users = users.filter(until.is_null() | pl.col("user_id").is_in(back))
        return replace(dataset, events=events, requests=requests, users=users)

    def _hash(self, user: str) -> str:
        return hmac.new(bytes.fromhex(self.salt), user.encode(), sha256).hexdigest()
