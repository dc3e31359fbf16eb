from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys.errors import DataError
from recsys.init.columns import find_roles
from recsys.init.samples import read_samples, time_formats


def one(path: Path, content: bytes | str, name: str = "a.csv"):
    (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_samples([path / name])[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_what_gives_rows_of_one_width(tmp_path: Path, delimiter: str) -> None:
    rows = [["id", "name"], ["1", '"a, b; c|d"'], ["2", "x"]]
    sample = one(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    assert sample.settings.delimiter == delimiter
    assert sample.frame.rows() == [(1, "a, b; c|d"), (2, "x")]


def test_decimal_commas_and_other_encodings_are_seen(tmp_path: Path) -> None:
    sample = one(tmp_path, "id;größe\n1;1.234,5\n2;7\n".encode("cp1252"))
    assert (sample.settings.encoding, sample.settings.decimal) == ("cp1252", ",")
    assert sample.frame["größe"].to_list() == [1234.5, 7.0]
    assert one(tmp_path, "id,n\n1,ä\n".encode("utf-16")).frame["n"].to_list() == ["ä"]
    assert one(tmp_path, "id;n\n1;2.5\n").settings.decimal == "."


def test_ids_keys_and_moments(tmp_path: Path) -> None:
    sample = one(
        tmp_path, "id,who,when,name\n" + "".join(f"{n},u{n % 3},2024-01-0{n} 10:00,a b {n}\n" for n in range(1, 9))
    )
    assert (sample.ids, sample.keys, sample.stamps) == (["id", "who"], ["id"], {"when"})
    assert sample.values("who").sort().to_list() == ["u0", "u1", "u2"]


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["2024-01-02T03:04:05Z"], ["iso"]),
        (["2024-01-02"], ["iso"]),
        (["31.12.2024"], ["%d.%m.%Y"]),
        (["31/12/2024 08:00:01"], ["%d/%m/%Y %H:%M:%S"]),
        (["12/31/2024 8:00"], ["%m/%d/%Y %H:%M"]),
        (["01/02/2024"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["12/31/2024 08:00 PM"], ["%m/%d/%Y %I:%M %p"]),
        (["2019-10-01 00:00:00 UTC"], ["iso"]),
        (["2025-03-01 08:00:00+00", "2025-03-01 09:00:00.25+01"], ["iso"]),
        (["2025-03-01T08:00Z"], ["iso"]),
        (["2025-03-01 08:00:00,123"], ["iso"]),
        (["01/Mar/2025:08:00:00 +0100"], ["%d/%b/%Y:%H:%M:%S %z"]),
        (["Sat Mar 01 2025 08:00:00 GMT+0100 (Central European Standard Time)"], ["%a %b %d %Y %H:%M:%S GMT%z"]),
        (["Sat, 01 Mar 2025 08:00:00 GMT"], ["%a, %d %b %Y %H:%M:%S GMT"]),
        (["3/14/2025, 8:00:00 AM"], ["%m/%d/%Y, %I:%M:%S %p"]),
        ([45717.25, 45718.5], ["days"]),
        ([45717, 45718], []),
        ([1_700_000_000_000_000_000], ["nanoseconds"]),
        ([1_700_000_000], ["seconds"]),
        ([1_700_000_000.5], ["seconds"]),
        ([1_700_000_000_000], ["milliseconds"]),
        ([1_700_000_000_000_000], ["microseconds"]),
        ([20240131], ["%Y%m%d"]),
        ([datetime(2024, 1, 1)], ["iso"]),
        ([date(2024, 1, 1)], ["iso"]),
        ([1, 2, 3], []),
        ([4.5], []),
        (["soon"], []),
        (["a long title of a film", "another"], []),
        ([timedelta(1)], []),
        ([None], []),
        ([True], []),
    ],
)
def test_every_way_to_write_a_moment_is_found(values: list[object], formats: list[str]) -> None:
    assert time_formats(pl.Series([*values, None])) == formats


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    for name in ("b.csv", "a.tsv"):
        (tmp_path / name).write_text("a,b\tc\n1,2\t3\n")
    (tmp_path / "README.txt").write_text("words")
    assert [sample.name for sample in read_samples([tmp_path, tmp_path / "b.csv"])] == ["a.tsv", "b.csv"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv is empty; leave it out"),
        ("a.csv", "id,name\n", r"a\.csv holds no row; leave it out"),
        ("a.csv", "id\n1\n", r"a\.csv has one column, 'id', which is no table of this project; leave it out, or write"),
        (
            "a.csv",
            "196,242,3,881250949\n1,2,3,4\n",
            r"a\.csv begins with a row of numbers; write the names of the columns",
        ),
        ("a.xlsx", "PK", r"a\.xlsx does not end in \.parquet, \.csv, .*; write it as one of these"),
        ("a.parquet", "no", r"a\.parquet cannot be read as Parquet"),
        ("a.jsonl", "{", r"a\.jsonl cannot be read as jsonl"),
        ("a.csv", "id,name\n1,2,3\n", r"a\.csv cannot be read as csv"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        one(tmp_path, content, name)


def test_missing_files_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist; name files ending in"):
        read_samples([tmp_path / "none.csv"])
    with pytest.raises(DataError, match=r"holds no file ending in .*; name the files themselves"):
        read_samples([tmp_path])


def test_columns_of_objects_are_left_out_before_anything_is_guessed(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1, 2], "name": ["a", "b"]})
    frame.with_columns(title=pl.struct("id", "name"), tags=pl.concat_list(pl.struct("id"))).write_parquet(
        tmp_path / "a.parquet"
    )
    assert read_samples([tmp_path / "a.parquet"])[0].frame.columns == ["id", "name"]


@pytest.mark.parametrize("head", ["id,name,", ",id,name"])
def test_a_column_without_a_name_is_a_column(tmp_path: Path, head: str) -> None:
    sample = one(tmp_path, f"{head}\n1,2,3\n4,5,6\n")
    assert sample.frame.columns == sample.written.columns == head.split(",")


def test_the_schema_is_not_made_anew_for_every_column(tmp_path: Path, monkeypatch) -> None:
    asked, schema = [], pl.DataFrame.schema
    monkeypatch.setattr(pl.DataFrame, "schema", property(lambda frame: asked.append(frame.width) or schema.fget(frame)))

    def guess(columns: int) -> int:
        head = ",".join(f"c{number}" for number in range(columns))
        rows = [",".join(f"w{row * number % 7}" for number in range(columns)) for row in range(20)]
        sample = one(tmp_path, "\n".join([head, *rows]), f"{columns}.csv")
        asked.clear()
        find_roles(sample)
        return len(asked)

    assert guess(80) == guess(20)
