"""Who was forgotten: what a nightly job keeps of them, so that no later import brings them back."""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import polars as pl

from recsys.data.tables import Dataset
from recsys.errors import DataError, ModelError
from recsys.files import read_json, write_whole
from recsys.shown import counted

_BYTES = 16


@dataclass(frozen=True)
class Forgotten:
    """Users who were forgotten, without their ids.

    Attributes
    ----------
    salt
        What their hashes begin from, in hexadecimal digits. It lies beside them: who has both and an id can tell
        whether that was forgotten, as the next import must.
    forms
        By how ids are written, see `recsys.data.importers.form_of`, and by hash: the moment before which nothing
        counts.
    """

    salt: str
    forms: Mapping[str, Mapping[str, datetime]]

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
            forms = {
                str(form): {str(each): datetime.fromisoformat(at).astimezone(UTC) for each, at in until.items()}
                for form, until in told["forgotten"].items()
            }
            return cls(bytes.fromhex(told["salt"]).hex(), forms)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} does not read as a record ({error!r}); {mend}") from error

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        forms = {form: {each: at.isoformat() for each, at in until.items()} for form, until in self.forms.items()}
        write_whole(path, json.dumps({"salt": self.salt, "forgotten": forms}, indent=2) + "\n")

    def also(self, user: str, at: datetime, form: str) -> "Forgotten":
        """Record one more, an id as text in a form, of whom nothing before a moment counts."""
        until = {**self.forms.get(form, {}), self._hash(user): at}
        return replace(self, forms={**self.forms, form: until})

    def refuse_other_form(self, form: str, path: Path) -> None:
        """Refuse to go on where users were forgotten under ids of another form, in which nobody can find them.

        Raises
        ------
        DataError
            Saying what to do.
        """
        most = max(map(len, self.forms.values()), default=0)
        known = len(self.forms.get(form, {}))
        if known < most:
            raise DataError(
                f"{path} names {counted(most, 'user')} who asked to be forgotten under ids of another form than [ids] "
                f"of the mapping gives now, and {known} under this one: nobody can tell the others; take [ids] back, "
                "or run `recsys forget` for them again"
            )

    def left_out_of(self, dataset: Dataset) -> Dataset:
        """Leave out their events and lists of before, and what is said of those users who did not come back since."""
        tables = [dataset.events, dataset.requests, *([] if dataset.users is None else [dataset.users])]
        until = self._until(pl.concat([table["user_id"].cast(pl.String) for table in tables]))
        if until is None:
            return dataset
        stays = until.is_null() | (pl.col("timestamp") >= until)
        events, requests = dataset.events.filter(stays), dataset.requests.filter(stays)
        left = replace(dataset, events=events, requests=requests)
        return left if dataset.users is None else replace(left, users=self.left_out_of_users(dataset.users, left))

    def left_out_of_users(self, users: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
        """Leave out who was forgotten and did nothing since, of which tables without them tell."""
        until = self._until(users["user_id"].cast(pl.String))
        if until is None:
            return users
        back = [table["user_id"].cast(pl.String) for table in (dataset.events, dataset.requests)]
        return users.filter(until.is_null() | pl.col("user_id").cast(pl.String).is_in(pl.concat(back).implode()))

    def _until(self, users: pl.Series) -> pl.Expr | None:
        """Give the moment before which nothing counts of a user, null of others; None where all are others."""
        known = {code: at for until in self.forms.values() for code, at in until.items()}
        named = users.unique().drop_nulls() if known else users.clear()
        moments = {user: known[code] for user in named if (code := self._hash(user)) in known}
        if not moments:
            return None
        return pl.col("user_id").cast(pl.String).replace_strict(moments, default=None)

    def _hash(self, user: str) -> str:
        return hmac.new(bytes.fromhex(self.salt), user.encode(), sha256).hexdigest()
