"""What a check has to say: faults, each with its place, its size, examples and what to do, and the report of all."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import polars as pl

from recsys.errors import DataError
from recsys.shown import counted

Severity = Literal["error", "warning", "note"]
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")
_LONGEST = 60


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a table.

    Attributes
    ----------
    table
        Name of the table, which is the stem of its file.
    column
        Name of the column; several are joined with " + ", and a fault of the whole table has "".
    severity
        `error`: the table cannot be used; `warning`: it can, but look at it; `note`: good to know.
    what
        What is wrong.
    rows
        How many rows it concerns; requests where `what` speaks of requests, 0 where the file or column is missing.
    share
        That number divided by all rows (requests) of the table, 0 to 1.
    examples
        Up to three values, as Python writes them, cut to 60 characters.
    fix
        What to do.
    leak
        Whether the column may hold the outcome, so that a model must not use it.
    """

    table: str
    column: str
    severity: Severity
    what: str
    rows: int
    share: float
    examples: tuple[str, ...]
    fix: str
    leak: bool = False

    def __str__(self) -> str:
        """Write the fault as one line."""
        place = f"{self.table}.{self.column}" if self.column else self.table
        size = f" in {self.rows} ({_percent(self.share)})" if self.rows else ""
        examples = f", such as {', '.join(self.examples)}" if self.examples else ""
        return f"{self.severity}: {place}: {self.what}{size}{examples}; {self.fix}"


@dataclass(frozen=True)
class CheckReport:
    """All faults of the tables that were looked at, gravest first.

    Attributes
    ----------
    faults
        Errors, then warnings, then notes.
    rows
        Rows of each table that could be read.
    first, last
        The span of all `timestamp` columns; None when there is none.
    """

    faults: tuple[Fault, ...]
    rows: dict[str, int]
    first: datetime | None = None
    last: datetime | None = None

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that forbid the use of the tables."""
        return tuple(fault for fault in self.faults if fault.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether the tables can be used."""
        return not self.errors

    def to_json(self) -> str:
        """Return the report as JSON: `ok`, `rows`, `first`, `last` and `faults`."""
        moments = {name: moment and moment.isoformat() for name, moment in (("first", self.first), ("last", self.last))}
        faults = [asdict(fault) for fault in self.faults]
        return json.dumps({"ok": self.ok, "rows": self.rows, **moments, "faults": faults}, indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """Return the report as plain lines: the size of the tables, every fault, and the sum."""
        lines = [", ".join(f"{name}: {counted(rows, 'row')}" for name, rows in self.rows.items())] if self.rows else []
        if self.first and self.last:
            lines.append(f"from {self.first.isoformat()} to {self.last.isoformat()}")
        counts = [sum(fault.severity == severity for fault in self.faults) for severity in _ORDER]
        summary = ", ".join(counted(count, severity) for count, severity in zip(counts, _ORDER, strict=True))
        return "\n".join([*lines, *map(str, self.faults), summary if any(counts) else "no faults"])


class Rule(NamedTuple):
    """What is said of rows that break a rule: see `Fault`."""

    severity: Severity
    what: str
    fix: str


class CheckedRows(NamedTuple):
    """The rows of a table that a rule looks at, and the column that it is about."""

    table: str
    column: str
    frame: pl.DataFrame


def broken(rule: Rule, rows: CheckedRows, bad: pl.Expr | pl.Series, shown: pl.Expr | None = None) -> Iterator[Fault]:
    """Give a fault when a row is bad.

    Parameters
    ----------
    rule
        What to say.
    rows
        Where to look.
    bad
        Boolean per row; null is not bad.
    shown
        What the examples show, by default the column.
    """
    frame = rows.frame
    marked = frame.select(bad.alias("bad")).to_series()
    count = int(marked.sum() or 0)
    if count:
        places = marked.arg_true().head(100)
        examples = (frame.get_column(rows.column) if shown is None else frame.select(shown).to_series())[places]
        yield Fault(
            rows.table,
            rows.column,
            rule.severity,
            rule.what,
            count,
            count / frame.height,
            cut(examples.drop_nulls().to_list()),
            rule.fix,
        )


def whole(rule: Rule, table: str, column: str = "", values: tuple[object, ...] = ()) -> Fault:
    """Give the fault of a whole column or table, with no count of rows."""
    return Fault(table, column, rule.severity, rule.what, 0, 0.0, cut(list(values)), rule.fix)


def report(faults: list[Fault], frames: dict[str, pl.DataFrame]) -> CheckReport:
    """Put the faults in order of gravity and add the size and the span of the tables."""
    spans = [
        (frame["timestamp"].min(), frame["timestamp"].max())
        for frame in frames.values()
        if isinstance(frame.schema.get("timestamp"), pl.Datetime)
    ]
    firsts = [first for first, _ in spans if isinstance(first, datetime)]
    lasts = [last for _, last in spans if isinstance(last, datetime)]
    return CheckReport(
        tuple(sorted(faults, key=lambda fault: _ORDER.index(fault.severity))),
        {name: frame.height for name, frame in frames.items()},
        min(firsts, default=None),
        max(lasts, default=None),
    )


def cut(values: list[object]) -> tuple[str, ...]:
    """Write the first three different values as Python does, each cut to 60 characters; moments as ISO text."""
    texts = [value.isoformat() if isinstance(value, datetime) else repr(value) for value in values]
    return tuple(dict.fromkeys(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..." for text in texts))[:3]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def refuse_errors(report: CheckReport) -> None:
    """Stop when a report holds errors.

    Raises
    ------
    DataError
        With every fault of the report.
    """
    if not report.ok:
        raise DataError(report.to_text())
