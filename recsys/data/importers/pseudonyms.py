"""Pseudonyms of users: a keyed hash stands for each id, so that tables and all that comes of them name nobody."""

import hmac
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.data.meeting import alike
from recsys.errors import SettingsError

if TYPE_CHECKING:
    from recsys.data.importers.mapping import Mapping

_LEAST = 16
"""Bytes of a key, at least."""

_LETTERS = 32
"""Letters of a pseudonym: 128 bits, of which no two of a thousand million users share one by chance."""


def read_key(said: str) -> bytes:
    """Read the key of pseudonyms.

    Parameters
    ----------
    said
        `env:NAME`, an environment variable, or the path of a file; blanks around the key do not count.

    Raises
    ------
    SettingsError
        When there is none, or it is shorter than 16 bytes.
    """
    if said.startswith("env:"):
        name = said.removeprefix("env:")
        key = os.environ.get(name, "").strip().encode()
        place = f"the environment variable {name}"
    else:
        place = said
        try:
            key = Path(said).read_bytes().strip()
        except OSError as error:
            raise SettingsError(f"the key of pseudonyms cannot be read from {said} ({error.strerror})") from error
    if len(key) < _LEAST:
        raise SettingsError(
            f"the key of pseudonyms in {place} has {len(key)} bytes; write {_LEAST} or more, such as what `openssl "
            "rand -hex 32` gives, and keep it: another key gives other users"
        )
    return key


def pseudonyms(ids: pl.Series, key: bytes) -> pl.Series:
    """Give the pseudonym of each id: the first 128 bits of HMAC-SHA256 (RFC 2104) of the id as text.

    Examples
    --------
    >>> pseudonyms(pl.Series([7, None]), b"a key of 16 bytes").to_list()[1] is None
    True
    """
    texts = ids.cast(pl.String)
    known = texts.unique().drop_nulls()
    named = [hmac.new(key, each.encode(), sha256).hexdigest()[:_LETTERS] for each in known]
    return texts.replace_strict(known, pl.Series(named, dtype=pl.String), default=None, return_dtype=pl.String)


def user_as_kept(user: str, mapping: "Mapping") -> str:
    """Write the id of a user, as text, as the tables hold it: in one spelling, and as its pseudonym.

    Raises
    ------
    SettingsError
        When the key of pseudonyms cannot be read, or the id is no text.
    """
    if not user.isprintable():
        raise SettingsError("the id of the user is no text that can be printed; write it as the source does")
    ids = pl.Series("user_id", [user])
    if mapping.ids.user_id:
        ids = alike(ids, mapping.ids.user_id)
    if mapping.ids.pseudonyms is not None:
        ids = pseudonyms(ids, read_key(mapping.ids.pseudonyms))
    return str(ids[0])


def form_of(mapping: "Mapping | None") -> str:
    """Tell how a mapping writes the ids of users from other ways: 16 hexadecimal digits, which tell no key.

    Raises
    ------
    SettingsError
        When the key of pseudonyms cannot be read.
    """
    differences, secret = ((), None) if mapping is None else (mapping.ids.user_id, mapping.ids.pseudonyms)
    key = b"" if secret is None else read_key(secret)
    return hmac.new(key, "/".join(differences).encode(), sha256).hexdigest()[:16]
