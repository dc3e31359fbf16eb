"""From columns of the catalogue to one text per item."""

import hashlib
import re
from collections.abc import Sequence

import polars as pl

from recsys.errors import SettingsError

LONGEST_TEXT = 8_000
"""Most characters of a text; well above what `max_tokens` lets through, so that a hostile text costs nothing."""

_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff]+")


def item_texts(items: pl.DataFrame, fields: Sequence[str]) -> list[str]:
    """Join the text fields of every item: "title. description".

    White space and control characters become single spaces, empty fields are left out, an item without text gets
    "", and a text is cut to 8,000 characters.

    Parameters
    ----------
    items
        The catalogue; one text per row comes back, in its order.
    fields
        Columns to join, in this order. Numbers and the like are written as polars writes them; a list of strings is
        joined with commas.

    Raises
    ------
    SettingsError
        When the catalogue lacks a field.
    """
    unknown = [name for name in fields if name not in items.columns]
    if unknown:
        raise SettingsError(
            f"[text] fields names {unknown[0]!r}, which items does not have; its columns are {', '.join(items.columns)}"
        )
    columns = [_strings(items[name]).str.head(4 * LONGEST_TEXT).fill_null("").to_list() for name in fields]
    return [_join(parts) for parts in zip(*columns, strict=True)]


def text_hashes(texts: Sequence[str]) -> list[str]:
    """Return the first 16 hexadecimal digits of each text's sha256.

    Examples
    --------
    >>> text_hashes([""])
    ['e3b0c44298fc1c14']
    """
    return [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] for text in texts]


def _strings(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String)).list.join(", ")
    return column.cast(pl.String)


def _join(parts: tuple[str, ...]) -> str:
    cleaned = [_BLANK.sub(" ", part).strip() for part in parts]
    text = ""
    for part in filter(None, cleaned):
        if text:
            text += " " if text[-1] in ".!?:;" else ". "
        text += part
    return text[:LONGEST_TEXT]
