"""Text cells as numbers: how each column writes them, guessed from evidence, and nothing that changes its meaning."""

import re
from typing import Literal, NamedTuple, get_args

import polars as pl

Form = Literal["1234.5", "1,234.5", "1234,5", "1.234,5", "1 234,5", "1 234.5", "1'234,5", "1'234.5"]
"""How a column writes a number, by example: what groups the digits, and what stands before the fraction."""

FORMS: tuple[Form, ...] = get_args(Form)
PLAIN: Form = "1234.5"

NOT_KNOWN = ("NULL", "null", "\\N", "nan", "NaN", "NAN", "None", "<NA>")
"""What other tools write where a value is missing, whatever the column."""

NO_NUMBER = (
    *NOT_KNOWN,
    "-",
    "--",
    "?",
    ".",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "none",
    "nil",
    "0000-00-00",
    "0000-00-00 00:00:00",
)
"""The same among numbers, moments and whole ids, where such a cell can mean nothing else."""

WHOLE = r"^(0|-?[1-9]\d{0,18})$"
"""Whole numbers as a machine writes them; the largest of 19 digits do not fit into 64 bits."""
_ANSWERS = (("yes", "no"), ("true", "false"), ("y", "n"), ("t", "f"))
_FLOAT = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_BEGINS = r"^[+-]?[\d.]"
_DIGITS = 17
"""Significant digits that a float keeps at most."""
_NEARLY = 0.8
"""From this share of numbers on, the other cells of a column are named."""


class Values(NamedTuple):
    """A column that was read, and a sentence about what it took or what stood in the way; empty when nothing did."""

    column: pl.Series
    note: str = ""


def plain_values(
    column: pl.Series, decimal: Literal[".", ","] = ".", form: Form | None = None, meant: bool = False
) -> Values:
    """Read a text column as integers, numbers or booleans where every value is one; empty text becomes null.

    A column becomes numbers only if no two of its texts become one number and no digit is lost: `007`, `3.1` beside
    `3.10`, `1E5` and codes of 20 digits stay text. What separates thousands and fractions is guessed from the column.

    Parameters
    ----------
    column
        The texts.
    decimal
        What stands before fractions in this file, for columns that could be read in two ways.
    form
        How numbers are written, where it is known.
    meant
        Whether the column is to hold numbers, as it is with a form: two texts may then be one number, and every other
        cell is an error.

    Raises
    ------
    ValueError
        When a cell of such a column is no number; names the row, counted from 1.

    Examples
    --------
    >>> plain_values(pl.Series(["1", "", "3"])).column.to_list()
    [1, None, 3]
    >>> plain_values(pl.Series(["01", "2"])).column.to_list()
    ['01', '2']
    >>> plain_values(pl.Series(["500", "1,277", "12,054"]))[1]
    "numbers are read as written '1,234.5', such as '12,054' as 12054.0"
    """
    filled = without(column, ("",))
    if filled.null_count() == len(filled):
        return Values(filled)
    if form is None and (whole := _whole(filled)) is not None:
        return Values(whole)
    known = without(filled, NO_NUMBER)
    if known.null_count() == len(known):
        return Values(filled)
    lower = known.str.to_lowercase()
    if lower.is_in(["true", "false"]).all():
        return Values(lower == "true", missing_note(filled, known))
    found = form or number_form(known, decimal)
    if found is None and not meant:
        return Values(filled, _nearly(known, decimal) if known.str.contains(_BEGINS).any() else "")
    read = _read(known, found or PLAIN)
    if form is not None or meant:
        _refuse_others(known, read, found or PLAIN)
    elif lost := _lost(known, read):
        return Values(filled, lost)
    notes = [missing_note(filled, known)]
    if found is not None and found != PLAIN and (grouped := known.filter(known.str.contains(r"[^\d+-]"))).len():
        example = known.str.len_chars() == grouped.str.len_chars().max()
        text, number = known.filter(example)[0], read.filter(example)[0]
        notes.insert(0, f"numbers are read as written {found!r}, such as {text!r} as {number!r}")
    return Values(read, "; ".join(note for note in notes if note))


def number_form(texts: pl.Series, decimal: Literal[".", ","] = ".") -> Form | None:
    """Say how the filled texts of a column write numbers; None when some are none.

    Where a mark may stand before thousands or before a fraction (`1,277`), it stands before thousands if each is
    followed by three digits, no part before it begins with 0, and no number without it has four digits.

    Examples
    --------
    >>> number_form(pl.Series(["1,277", "0,500"])), number_form(pl.Series(["1.234,50", "7"]))
    ('1234,5', '1.234,5')
    """
    texts = texts.drop_nulls()
    if not texts.str.contains(_BEGINS).all():
        return None
    if texts.str.contains(_FLOAT).all():
        return "1.234,5" if decimal == "," and _are_thousands(texts, r"\.") else PLAIN
    fits = [form for form in FORMS if texts.str.contains(_pattern(form)).all()]
    if not texts.str.contains(r"[.,]\d+$|[\x{a0}\x{202f}]").any():
        fits = [form for form in fits if form[1] != " "]  # `105 123` is rather a list of two
    if {"1,234.5", "1234,5"} <= set(fits):
        return "1,234.5" if decimal == "." and _are_thousands(texts, ",") else "1234,5"
    return next(iter(fits), None)


def without(column: pl.Series, missing: tuple[str, ...]) -> pl.Series:
    """Read some texts, blanks around them apart, as missing."""
    text = pl.col(
        "text"
    )  # one expression: files may have thousands of columns, and each costs what polars takes to begin
    known = pl.when(text.str.strip_chars().is_in(missing)).then(None).otherwise(text)
    return column.alias("text").to_frame().select(known.alias("text")).to_series().alias(column.name)


def yes_as_one(texts: pl.Series) -> pl.Series:
    """Write yes and no, true and false, or y and n as 1 and 0; a column that holds anything else is given back."""
    said = texts.str.strip_chars().str.to_lowercase()
    for yes, no in _ANSWERS:
        if set(said.drop_nulls()) == {yes, no}:
            return said.replace({yes: "1", no: "0"})
    return texts


def missing_note(filled: pl.Series, known: pl.Series) -> str:
    """Say which cells are read as missing; empty when none is."""
    read = filled.filter(known.is_null() & filled.is_not_null())
    if not len(read):
        return ""
    return f"{len(read)} cells such as {read[0]!r} are read as missing"


def _pattern(form: Form) -> str:
    """Give the regular expression of a form: up to billions if grouped, with a fraction or not."""
    group, point = form[1] if form[1] in ",. '" else "", form[-2]
    whole = r"\d+" if not group else rf"\d{{1,3}}([{_class(group)}]\d{{3}}){{0,3}}"
    return rf"^[+-]?{whole}({re.escape(point)}\d+)?$"


def _class(group: str) -> str:
    return r" \x{a0}\x{202f}" if group == " " else r"'\x{2019}" if group == "'" else re.escape(group)


def _are_thousands(texts: pl.Series, mark: str) -> bool:
    marked = texts.str.contains(mark)
    grouped = texts.filter(marked).str.contains(rf"^[+-]?[1-9]\d{{0,2}}({mark}\d{{3}})+$").all()
    return bool(marked.any() and grouped and (texts.filter(~marked).str.len_chars() <= 3).all())


def _read(texts: pl.Series, form: Form) -> pl.Series:
    """Read texts of a form; null where one is of another form."""
    if form == PLAIN:
        if (whole := _whole(texts)) is not None:
            return whole
        return texts.set(~texts.str.contains(_FLOAT), None).cast(pl.Float64)
    group = form[1] if form[1] in ",. '" else ""
    fitting = texts.set(~texts.str.contains(_pattern(form)), None)
    bare = fitting.str.replace_all(f"[{_class(group)}]", "") if group else fitting
    return bare.str.replace(form[-2], ".", literal=True).cast(pl.Float64)


def _whole(texts: pl.Series) -> pl.Series | None:
    """Read texts that are all whole numbers within 64 bits; None when one is not."""
    if not texts.str.contains(WHOLE).all():
        return None
    numbers = texts.cast(pl.Int64, strict=False)
    return numbers if numbers.null_count() == texts.null_count() else None


def _lost(texts: pl.Series, numbers: pl.Series) -> str:
    """Say why texts cannot become numbers, if something were lost."""
    if numbers.dtype == pl.Int64:
        return ""
    bare = texts.str.replace(r"[eE].*$", "").str.replace(r"([.,]\d*?)0+$", "$1").str.replace_all(r"\D", "")
    long = texts.filter(bare.str.strip_chars_start("0").str.len_chars() > _DIGITS)
    if len(long):
        return f"it stays text: as a number {long[0]!r} would lose digits"
    zeros = texts.filter(texts.str.contains(r"^[+-]?0\d"))
    if len(zeros):
        return f"it stays text: {zeros[0]!r} begins with 0"
    codes = texts.filter(texts.str.contains(r"^\d+[eE]\d+$"))
    if len(codes) and not texts.str.contains(".", literal=True).any():
        return f"it stays text: {codes[0]!r} may be a code"
    pairs = pl.DataFrame({"text": texts, "number": numbers}).drop_nulls().unique(maintain_order=True)
    twice = pairs.filter(pl.col("number").is_duplicated()).sort("number", maintain_order=True)
    if len(twice):
        one, other = twice["text"][0], twice["text"][1]
        return (
            f"it stays text: {one!r} and {other!r} would be one number; where they are one, name the column with the "
            f'form of its numbers, such as "{PLAIN}", under numbers in the mapping'
        )
    return ""


def _nearly(texts: pl.Series, decimal: Literal[".", ","]) -> str:
    """Name the cells that keep a column from being numbers, where nearly all are."""
    filled = texts.drop_nulls()
    best = max(
        (filled.str.contains(_FLOAT), *(filled.str.contains(_pattern(form)) for form in FORMS)), key=pl.Series.sum
    )
    if best.all() or best.sum() < _NEARLY * len(filled) or number_form(filled.filter(best), decimal) is None:
        return ""
    others = filled.filter(~best)
    row = int((texts == others[0]).fill_null(value=False).arg_true()[0]) + 1
    return (
        f"it stays text, since {len(others)} of {len(filled)} cells are no numbers, such as {others[0]!r} in row "
        f"{row}; mend them, or name them under missing in the mapping"
    )


def _refuse_others(texts: pl.Series, numbers: pl.Series, form: Form) -> None:
    wrong = (texts.is_not_null() & numbers.is_null()).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"row {row + 1}: {texts[row]!r} is no number written as {form!r}")
