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
        with pytest.raises(DataError, match=rf"a\.{suffix} cannot be read as {suffix} \(.*; write the file again"):
            read_file(path)
    else:
        with pytest.raises(DataError, match="cannot be read"):
            read_file(written(path, "{"))
