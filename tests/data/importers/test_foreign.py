import re
from pathlib import Path

import polars as pl
import pytest

from recsys.data.importers.foreign import read_file
from recsys.errors import DataError


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_text_stays_as_it_is_written(tmp_path: Path) -> None:
    frame = read_file(written(tmp_path / "a.csv", "id;name\n007;Käse\n"), delimiter=";")
    assert frame.rows() == [("007", "Käse")]
    assert read_file(written(tmp_path / "a.tsv", "id\tname\n1\tx\n")).rows() == [("1", "x")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_reads_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path / "a.csv", "Straße,Größe\nWeg,3\n", encoding)
    assert read_file(path, encoding=encoding).to_dict(as_series=False) == {
        "Straße": ["Weg"],
        "Größe": ["3"],
    }


def test_json_is_lines_or_one_list(tmp_path: Path) -> None:
    lines = read_file(written(tmp_path / "a.jsonl", '{"id": 1, "t": "x"}\n{"id": 2}\n'))
    one_list = read_file(written(tmp_path / "a.json", '[{"id": 1, "t": "x"}, {"id": 2}]'))
    assert lines.rows() == one_list.rows() == [(1, "x"), (2, None)]


@pytest.mark.parametrize("name", ["[1].csv", "*.tsv", "[1].jsonl", "?.json", "[1].parquet"])
def test_names_are_taken_as_they_are_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".parquet":
        pl.DataFrame({"id": ["1"]}).write_parquet(path)
    else:
        written(
            path, "id\n1\n" if path.suffix in (".csv", ".tsv") else '[{"id": "1"}]' if "?" in name else '{"id": "1"}'
        )
    assert read_file(path).to_dict(as_series=False) == {"id": ["1"]}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "ndjson", "json", "parquet"])
def test_what_cannot_be_read_is_named(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"a.{suffix}", "")
    if suffix not in ("jsonl", "ndjson"):
        with pytest.raises(DataError, match=rf"a\.{suffix} cannot be read as (?i:{suffix}) \(.*; write the file again"):
            read_file(path)
    else:
        with pytest.raises(DataError, match="cannot be read"):
            read_file(written(path, "{"))


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.tsv", 'id\tt\n1\t"Best of\n2\tof the year"\n', [("1", '"Best of'), ("2", 'of the year"')]),
        ("a.tsv", 'id\tt\n1\t"Smart" lamp\n', [("1", '"Smart" lamp')]),
        ("a.csv", 'id,t\n1,12" pipe\n2,"in" inch\n', [("1", '12" pipe'), ("2", '"in" inch')]),
        ("a.csv", 'id,t\n1,"a, b"\n2,"c ""d"""\n', [("1", "a, b"), ("2", 'c "d"')]),
        ("a.csv", 'id,t\n1,"two\nlines"\n', [("1", "two\nlines")]),
        ("a.tsv", 'id\tt\n"1"\t"x"\n', [("1", "x")]),
    ],
)
def test_quotes_hold_fields_together_only_where_lines_need_them(tmp_path, name, text, rows) -> None:
    assert read_file(written(tmp_path / name, text)).rows() == rows


def test_lines_that_are_too_long_and_bytes_of_another_encoding_are_named_with_their_line(tmp_path) -> None:
    long = written(tmp_path / "a.csv", "id,t\n1,x\n\n2,a, b\n3,c, d\n")
    with pytest.raises(DataError, match=r"line 4 has 3 fields where the first one has 2, as do 1 more; quote fields"):
        read_file(long)
    latin = written(tmp_path / "b.csv", "id,t\n1,x\n2,Käse\n", "cp1252")
    with pytest.raises(DataError, match=r"line 3 holds the byte 0xe4, which is no utf-8; .* encoding = \"cp1252\""):
        read_file(latin)


@pytest.mark.parametrize("name", ["^.*$", "^item.*$", "^$"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_names_that_are_patterns_are_refused(tmp_path: Path, name: str, suffix: str) -> None:
    path, frame = tmp_path / f"items.{suffix}", pl.DataFrame({"item_id": [1], name: [2]})
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](path)
    with pytest.raises(DataError, match=re.escape(f"has a column {name!r}; names from ^ to $ are patterns in polars")):
        read_file(path)
