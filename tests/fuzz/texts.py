"""Small files as people export them, of plain and of nasty text."""

import csv
import io
import json
from pathlib import Path

from hypothesis import strategies as st

NASTY = st.sampled_from(
    ["", " ", '"', '""', 'a"b', ",", ";", "\t", "|", "a\nb", "\r", "\x00", "\ufeff", "\ud7ff", "\u202e", "NA", "nan", "-", "inf", "-0",
     "1e999", "1,5", "1.234,5", "0x10", "9" * 30, "007", "1_000", "12:30", "24:00", "2024-02-30", "0000-00-00", "31.12.2024", "true",
     "[1, 2]", "{}", "null", "=1+1", "💥", "é", "*", "^.*$", "x" * 400, "1700000000", "1700000000000", "1e18", "-5", "0.5", "%"]
)  # fmt: skip
CELLS = NASTY | st.text(max_size=6)
NUMBERS = st.integers(0, 8).map(str)
PLAIN = {
    "request_id": NUMBERS,
    "user_id": NUMBERS | st.sampled_from(["u1", "u2"]),
    "item_id": NUMBERS,
    "timestamp": st.integers(10, 28).map(lambda day: f"2024-03-{day}T08:00:00Z")
    | st.integers(1700000000, 1700090000).map(str),
    "known_at": st.integers(10, 28).map(lambda day: f"2024-04-{day}"),
    "available_at": st.integers(10, 28).map(lambda day: f"{day}.01.2024"),
    "event": st.sampled_from(["view", "click"]),
    "value": st.sampled_from(["1", "2.5", "3,5"]),
    "label": st.sampled_from(["0", "1"]),
    "position": NUMBERS,
    "views": NUMBERS,
    "clicks": NUMBERS,
    "title": st.sampled_from(["sea boat", "code bug", "goal ball team", ""]),
    "price": st.sampled_from(["1", "2.5", "1.000,5", "$3"]),
    "category": st.sampled_from(["a", "b"]),
    "shown": st.lists(NUMBERS, max_size=4).map(" ".join),
    "clicked": NUMBERS,
}
TABLES = {
    "items": ["item_id", "title", "price", "category", "available_at"],
    "events": ["user_id", "item_id", "timestamp", "event", "value", "known_at"],
    "requests": ["request_id", "user_id", "timestamp", "item_id", "label", "position"],
    "users": ["user_id", "category"],
    "orders": ["user_id", "item_id", "timestamp", "title", "price"],
    "lists": ["user_id", "timestamp", "shown", "clicked"],
}
"""Names of files, and the columns that each should have."""


@st.composite
def _rows(draw: st.DrawFn, names: list[str], spoilt: bool) -> list[list[str]]:
    if draw(st.integers(0, 5)) == 0:
        names = [*names, draw(st.sampled_from(sorted(PLAIN)) | CELLS)]
    if draw(st.integers(0, 7)) == 0:
        names = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    rows = [[draw(PLAIN.get(name, CELLS)) for name in names] for _ in range(draw(st.integers(0, 12)))]
    for _ in range(draw(st.integers(0, 4)) * spoilt):
        if rows:
            row, column = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(names) - 1))
            rows[row][column] = draw(CELLS)
    return [names, *rows]


def _as_csv(rows: list[list[str]], mark: str, quoted: bool, end: str) -> str:
    if not quoted:
        return "".join(mark.join(row) + end for row in rows)
    text = io.StringIO()
    csv.writer(text, delimiter=mark, lineterminator=end).writerows(rows)
    return text.getvalue()


def _plainer(text: str) -> object:
    """Read a cell as JSON where it is, so that numbers are numbers."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _as_json(rows: list[list[str]], lines: bool, typed: bool) -> str:
    names, *cells = rows
    objects = [
        {name: _plainer(cell) if typed else cell for name, cell in zip(names, row, strict=True)} for row in cells
    ]
    return "\n".join(map(json.dumps, objects)) if lines else json.dumps(objects)


@st.composite
def _content(draw: st.DrawFn, suffix: str, names: list[str]) -> bytes:
    rows = draw(_rows(names, spoilt=draw(st.booleans())))
    if suffix in (".csv", ".tsv"):
        mark = (
            draw(st.sampled_from([",", "\t", ";", "|"])) if draw(st.booleans()) else {".csv": ",", ".tsv": "\t"}[suffix]
        )
        text = _as_csv(rows, mark, draw(st.booleans()), draw(st.sampled_from(["\n", "\r\n", "\r"])))
    else:
        text = _as_json(rows, suffix == ".jsonl", draw(st.booleans()))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    raw = text.encode(encoding, errors="replace")
    return draw(spoilt_bytes(raw)) if draw(st.integers(0, 4)) == 0 else raw


@st.composite
def spoilt_bytes(draw: st.DrawFn, raw: bytes) -> bytes:
    """Draw bytes that were cut, doubled, swapped, or changed in one place."""
    one, other = sorted(draw(st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)))))
    way = draw(st.sampled_from(["cut", "end", "twice", "swap", "new", "flip"]))
    if way == "cut":
        return raw[:one] + raw[other:]
    if way == "end":
        return raw[:one]
    if way == "twice":
        return raw[:other] + raw[one:]
    if way == "swap":
        return raw[other:] + raw[one:other] + raw[:one]
    if way == "flip":
        return raw[:one] + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in raw[one : one + 1]) + raw[one + 1 :]
    return raw[:one] + draw(st.binary(max_size=4)) + raw[one:]


@st.composite
def folders(draw: st.DrawFn, *needed: str) -> dict[str, bytes]:
    """Draw the files of a folder: their names and what they hold."""
    further = draw(st.lists(st.sampled_from([name for name in TABLES if name not in needed]), max_size=2, unique=True))
    kept = [name for name in needed if draw(st.integers(0, 9))]
    files = {}
    for name in [*kept, *further]:
        suffix = draw(st.sampled_from([".csv", ".csv", ".tsv", ".jsonl", ".json"]))
        files[name + suffix] = draw(_content(suffix, TABLES[name]))
    return files


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a new folder."""
    folder.mkdir()
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return folder
