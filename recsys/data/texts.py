"""From columns of the catalogue to one text per item, and to what people call it."""

import html
import logging
import re
import string
import textwrap
from collections.abc import Sequence

import polars as pl

from recsys.errors import SettingsError
from recsys.schema import KNOWN_AT
from recsys.shown import did_you_mean

logger = logging.getLogger(__name__)

LONGEST_TEXT = 8_000
"""Most characters of a text; well above what `max_tokens` lets through, so that a hostile text costs nothing."""

_LONGEST_FIELD = 16 * LONGEST_TEXT
"""Most characters of a field that are read at all, markup included."""

_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff]+")
_CLOSING = ")]}>\"'\u2019\u201d\xbb"
_ENDS = ".!?:;"
_NO_BEGINNING = re.compile(r"^[^\w([{\u201c\xab]+")

_INLINE = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q rp rt ruby s samp small "
    "span strike strong sub sup time tt u var wbr"
)
_BLOCK = (
    "address area article aside audio base blockquote body br button canvas caption center col colgroup dd details "
    "dialog dir div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header "
    "hgroup hr html iframe img input legend li link main map menu meta meter nav noscript object ol optgroup option "
    "output p param picture pre progress script search section select slot source style summary svg table tbody td "
    "template textarea tfoot th thead title tr track ul video"
)
# Nothing here can scan past the next "<" in vain, or go back over what it has read: hostile texts take linear time.
_ATTRIBUTES = r"(?:(?=[\s/>])(?:(?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+')*+|[^<>]*+)>)"
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)"
    rf"|<(script|style){_ATTRIBUTES}.*?(?:</\1\s*>|\Z)"
    r"|<[!?][a-z][^<>]*>"
    rf"|</?(?P<inline>{_INLINE.replace(' ', '|')}){_ATTRIBUTES}"
    rf"|</?(?:{_BLOCK.replace(' ', '|')}|[a-z]+[:-]\w[\w:-]*+){_ATTRIBUTES}",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)


def item_texts(items: pl.DataFrame, fields: Sequence[str], template: str = "") -> list[str]:
    """Turn every item into one text: "title. description", or what a template says.

    HTML is stripped (tags of HTML, comments, scripts and styles; entities become characters) while "a < b", "<3" and
    "x<y" stay, white space and control characters become single spaces, an item without text gets "", and a text is
    cut to 8,000 characters.

    Empty fields are left out. In a template an empty field takes with it the text between the field before it and
    itself, and brackets and quotation marks that close right after it; what then comes first begins with a word
    or an opening bracket.

    Parameters
    ----------
    items
        The catalogue; one text per row comes back, in its order.
    fields
        Columns to join with full stops, in this order, where there is no template. Numbers and the like are written as
        polars writes them; a list of strings is joined with commas.
    template
        Such as `"{category}: {title}. {description}"`: names of columns in braces, doubled braces for braces. Its
        columns are read in place of `fields`.

    Raises
    ------
    SettingsError
        When the catalogue lacks a column, a column holds what is no text, or the template is not of this form.

    Examples
    --------
    >>> items = pl.DataFrame({"title": ["Cats", "Dogs"], "year": [None, 1999], "text": ["They <b>purr</b>", ""]})
    >>> item_texts(items, ["title", "text"])
    ['Cats. They purr', 'Dogs']
    >>> item_texts(items, [], "{title} ({year}): {text}")
    ['Cats: They purr', 'Dogs (1999)']
    """
    literals, names = _parse(template, items.columns) if template else ([], list(fields))
    unknown = [name for name in names if name not in items.columns]
    if unknown:
        raise SettingsError(
            f"[text] {'template' if template else 'fields'} names {unknown[0]!r}, which items does not have; "
            f"its columns are {', '.join(items.columns)}{did_you_mean(unknown[0], items.columns)}"
        )
    for name in names:
        dtype = items.schema[name]
        if not _can_be_read(dtype):
            raise SettingsError(
                f"[text] {'template' if template else 'fields'} names {name!r}, which holds {dtype} values; write them "
                "as text or as lists of text"
            )
    rows = zip(*(_clean_parts(items[name]) for name in names), strict=True)
    if template:
        return [_BLANK.sub(" ", _fill(literals, parts)).strip()[:LONGEST_TEXT] for parts in rows]
    return [_join(parts)[:LONGEST_TEXT] for parts in rows]


def own_texts(items: pl.DataFrame, fields: Sequence[str], template: str = "") -> tuple[pl.DataFrame, list[str]]:
    """Read the texts of a catalogue, of an item in versions those that are unlike the text before.

    Parameters
    ----------
    items, fields, template
        As for `item_texts`, with its errors.

    Returns
    -------
    `item_id` and, where there are versions, `known_at` of n rows, and their n texts.
    """
    texts = item_texts(items, fields, template)
    if KNOWN_AT not in items.columns or items[KNOWN_AT].null_count() == len(items):
        return items.select("item_id"), texts
    rows = items.select("item_id", KNOWN_AT, text=pl.Series(texts, dtype=pl.String)).with_row_index("row")
    rows = rows.sort("item_id", KNOWN_AT)
    before = pl.col("item_id", "text").shift()
    own = pl.any_horizontal(pl.col("item_id", "text").ne_missing(before))
    kept = rows.filter(own)["row"].sort()
    return items.select("item_id", KNOWN_AT)[kept], [texts[row] for row in kept]


def text_columns(fields: Sequence[str], template: str = "") -> tuple[str, ...]:
    """Name the columns that `item_texts` reads.

    Examples
    --------
    >>> text_columns(["title"], "{category}: {title}"), text_columns(["title", "text"])
    (('category', 'title'), ('title', 'text'))
    """
    return tuple(_parse(template, ())[1] if template else fields)


def clean_texts(column: pl.Series) -> list[str]:
    """Clean and cut texts as `item_texts` does with an item whose only field they are; a null becomes "".

    Examples
    --------
    >>> clean_texts(pl.Series(["red<br>shoes", None]))
    ['red shoes', '']
    """
    return [part[:LONGEST_TEXT] for part in _clean_parts(column)]


def warn_of_empty(texts: Sequence[str]) -> None:
    """Log one warning when items have no text at all: they share one vector."""
    empty = sum(not text for text in texts)
    if empty:
        logger.warning(
            "%d of %d items (%.1f %%) have no text and share one vector; see [text] fields and template",
            empty,
            len(texts),
            100 * empty / len(texts),
        )


def _parse(template: str, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the n names of a template and the n + 1 texts around them."""
    known = f"write names of columns in braces, such as {{title}}; the columns are {', '.join(columns)}"
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise SettingsError(f"[text] template = {template!r} cannot be read ({error}); {known}") from error
    literals, names = [""], []
    for literal, name, form, conversion in parsed:
        literals[-1] += literal
        if name is None:
            continue
        if not name or form or conversion:
            bad = f"{{{name}{'!' + conversion if conversion else ''}{':' + form if form else ''}}}"
            raise SettingsError(f"[text] template holds {bad!r}, but only names may stand in braces; {known}")
        names.append(name)
        literals.append("")
    if not names:
        raise SettingsError(f"[text] template = {template!r} names no column; {known}")
    return literals, names


def _can_be_read(dtype: pl.DataType) -> bool:
    """Tell whether values, or lists of them, are written as people read them; bytes and structs are not."""
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    return inner not in (pl.Binary, pl.Object, pl.Duration) and not inner.is_nested()


def _strings(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String)).list.join(", ")
    return column.cast(pl.String)


def _clean_parts(column: pl.Series) -> list[str]:
    return [_clean(part) for part in _strings(column).str.head(_LONGEST_FIELD).fill_null("").to_list()]


def _clean(part: str) -> str:
    if "<" in part:
        part = _MARKUP.sub(lambda found: "" if found["inline"] else " ", part)
    if "&" in part:
        part = _ENTITY.sub(lambda found: html.unescape(found[0]), part)
    return _BLANK.sub(" ", part).strip()


def _join(parts: Sequence[str]) -> str:
    text = ""
    for part in filter(None, parts):
        if text:
            text += " " if text[-1] in _ENDS else ". "
        text += part
    return text


def _fill(literals: list[str], parts: Sequence[str]) -> str:
    if not any(parts):
        return ""
    text = literals[0] + parts[0] if parts[0] else ""
    for before, literal, part in zip(parts, literals[1:], [*parts[1:], None], strict=True):
        rest = literal.lstrip(_CLOSING)
        if before:
            text += literal[: len(literal) - len(rest)]
        if part == "":
            continue
        if not text:
            rest = _NO_BEGINNING.sub("", rest)
        elif text[-1] in _ENDS:
            rest = rest.removeprefix(".")
        text += rest + (part or "")
    return text


LONGEST_TITLE = 120
"""Characters of a title that a page shows."""

_LONGEST_READ = 1_000
NO_TEXT = "(no text)"
"""What an item without a title is called."""


def item_titles(items: pl.DataFrame, fields: Sequence[str] = ()) -> dict[object, str]:
    """Give each item its `title` or, where there is no such column, the first of `fields` or its first text.

    Items are told once each, see `recsys.data.tables.one_version`.

    Titles are as they stand, markup included: a page shows it as text. Items without one are called `NO_TEXT`.
    """
    texts = [name for name, dtype in items.schema.items() if dtype == pl.String and name != "item_id"]
    readable = [name for name, dtype in items.schema.items() if _can_be_read(dtype)]
    name = next((name for name in ("title", *fields, *texts) if name in readable), None)
    if name is None:
        return dict.fromkeys(items["item_id"].to_list(), NO_TEXT)
    column = items[name].fill_null("") if items[name].dtype == pl.String else item_texts(items, [name])
    titles = [textwrap.shorten(text[:_LONGEST_READ], LONGEST_TITLE, placeholder=" ...") for text in column]
    return dict(zip(items["item_id"].to_list(), [title or NO_TEXT for title in titles], strict=True))
