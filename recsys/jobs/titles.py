"""What people call an item: one short line for pages."""

import textwrap
from collections.abc import Sequence

import polars as pl

from recsys.data.texts import item_texts

LONGEST_TITLE = 120
"""Characters of a title that a page shows."""

_LONGEST_READ = 1_000
NO_TEXT = "(no text)"
"""What an item without a title is called."""


def item_titles(items: pl.DataFrame, fields: Sequence[str] = ()) -> dict[object, str]:
    """Give each item its `title` or, where there is no such column, the first of `fields` or its first text.

    Titles are as they stand, markup included: a page shows it as text. Items without one are called `NO_TEXT`.
    """
    texts = [name for name, dtype in items.schema.items() if dtype == pl.String and name != "item_id"]
    name = "title" if "title" in items.columns else next(iter((*fields, *texts)), None)
    if name is None:
        return dict.fromkeys(items["item_id"].to_list(), NO_TEXT)
    column = items[name].fill_null("") if items[name].dtype == pl.String else item_texts(items, [name])
    titles = [textwrap.shorten(text[:_LONGEST_READ], LONGEST_TITLE, placeholder=" ...") for text in column]
    return dict(zip(items["item_id"].to_list(), [title or NO_TEXT for title in titles], strict=True))
