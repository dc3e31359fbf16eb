"""Files of tables: paths as they are written, and sizes that are asked before anything is read."""

import gzip
import io
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data.importers.foreign import read_file
from recsys.errors import DataError
from recsys.reading import FLOOR, read_bytes, read_parquet
from tests.fixtures.bombs import one_long_text

READ = r"""
import resource, re, sys
from pathlib import Path
from recsys.data.importers.foreign import read_file
from recsys.errors import DataError
try:
    print(read_file(Path(sys.argv[1])).shape)
except DataError as error:
    print(error)
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(int(peak[1]) * 1024)
"""


def many_rows(path: Path) -> None:
    zeros = pa.table({name: np.zeros(2_000_000, np.int64) for name in ("user_id", "item_id", "timestamp")})
    with pq.ParquetWriter(path, zeros.schema, compression="zstd") as file:
        for _ in range(30):
            file.write_table(zeros)


def long_lists(path: Path) -> None:
    lists = pa.ListArray.from_arrays(np.arange(31, dtype=np.int32) * 100_000, np.zeros(3_000_000))
    table = pa.table({"item_id": range(30), "image": lists})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as file:
        for _ in range(60):
            file.write_table(table)


def one_prefix(path: Path) -> None:
    table = pa.table({"title": ["x" * 1_000_000] * 50})
    how = {"use_dictionary": False, "column_encoding": {"title": "DELTA_BYTE_ARRAY"}, "compression": "zstd"}
    with pq.ParquetWriter(path, table.schema, **how) as file:
        for _ in range(30):
            file.write_table(table)


def of_lists_of_texts(path: Path) -> None:
    one_long_text(path, lambda texts: pa.ListArray.from_arrays(np.arange(len(texts) + 1, dtype=np.int32), texts))


def of_records_of_texts(path: Path) -> None:
    one_long_text(path, lambda texts: pa.StructArray.from_arrays([texts], ["text"]))


def long_cells(path: Path) -> None:
    with gzip.open(path, "wb", 1) as file:
        file.write(b"item_id,title\n")
        for number in range(700):
            file.write(b"%d," % number + b"a" * 999_990 + b"\n")


def short_cells(path: Path) -> None:
    path.write_bytes(pa.compress(b"item_id,title\n" + b"1,2\n" * 40_000_000, codec="zstd", asbytes=True))


def two_wrappings(path: Path) -> None:
    packer = zlib.compressobj(9)
    path.write_bytes(b"".join([*(packer.compress(b"1,2\n" * 250_000) for _ in range(160)), packer.flush()]))


def lines_shorter_than_the_first(path: Path) -> None:
    path.write_text(",".join(f"c{number}" for number in range(10_000)) + "\n" + "1\n" * 20_000)


def lines_shorter_than_a_quoted_first(path: Path) -> None:
    path.write_text('"item\nid",' + ",".join(f"c{number}" for number in range(10_000)) + "\n" + "1\n" * 20_000)


def a_name_for_each_object(path: Path) -> None:
    objects = [{f"k{number}": 1} for number in range(15_000)]
    whole = path.suffix == ".json"
    path.write_text(json.dumps(objects) if whole else "".join(json.dumps(each) + "\n" for each in objects))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(many_rows, "rows.parquet", marks=pytest.mark.slow),
        pytest.param(long_lists, "lists.parquet", marks=pytest.mark.slow),
        pytest.param(one_prefix, "prefix.parquet", marks=pytest.mark.slow),
        (one_long_text, "text.parquet"),
        (of_lists_of_texts, "texts.parquet"),
        (of_records_of_texts, "records.parquet"),
        pytest.param(long_cells, "long.csv", marks=pytest.mark.slow),
        (short_cells, "short.csv"),
        pytest.param(two_wrappings, "zlib.csv", marks=pytest.mark.slow),
        (lines_shorter_than_the_first, "first.csv"),
        (lines_shorter_than_a_quoted_first, "quoted.csv"),
        (a_name_for_each_object, "names.json"),
        (a_name_for_each_object, "names.jsonl"),
    ],
)
def test_a_small_file_that_would_fill_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    make(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / name)], capture_output=True, text=True, check=True
    )
    said, most = done.stdout.splitlines()
    assert f"{name} has " in said
    assert "of memory or more" in said
    assert "if it is what you mean, write it unpacked" in said
    assert int(most) < 0.75 * FLOOR


def test_a_file_that_does_not_fit_into_the_memory_that_is_left_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": np.random.default_rng(0).random(40_000_000)}).write_parquet(tmp_path / "a.parquet")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 * 10**8 + used(), -1))\n"
    used = "def used(): return int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
    program = READ.replace("try:", used + limited + "try:", 1)
    command = [sys.executable, "-c", program, str(tmp_path / "a.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.parquet has 301 MB and would take 320 MB of memory or more, and this machine has" in done.stdout
    assert "left; leave out columns or days, or take a larger machine" in done.stdout


def test_the_parts_of_a_folder_count_together_and_with_the_columns_that_they_lack(tmp_path: Path) -> None:
    for part in range(40):
        names = (f"c{part}-{number}" for number in range(250))
        zeros = pa.table({name: pa.nulls(2_000, pa.int8()) for name in names})
        pq.write_table(zeros, tmp_path / f"{part}.parquet", compression="zstd")
    with pytest.raises(DataError, match=rf"{tmp_path.name} has [\d.]+ MB and would take 6\.3\d GB of memory or more"):
        read_parquet(tmp_path, "", "")


@pytest.mark.parametrize("kind", ["Int64", "String"])
def test_a_long_log_with_columns_that_hardly_vary_is_read(tmp_path: Path, kind: str) -> None:
    value = {"Int64": 1, "String": "view"}[kind]
    pl.select(event=pl.repeat(value, 20_000_000)).write_parquet(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    assert read_parquet(tmp_path / "a.parquet", "", "").height == 20_000_000


def test_quotes_that_hold_lines_together_count_as_one_row(tmp_path: Path) -> None:
    lines = "\n" * 30_000
    rows = "".join(f'{number},"{lines}"' + "," * 98 + "\n" for number in range(30))
    (tmp_path / "a.csv").write_text(",".join(f"c{number}" for number in range(100)) + "\n" + rows)
    assert read_file(tmp_path / "a.csv").shape == (30, 100)


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, zlib.compress, lambda text: pa.compress(text, codec="zstd", asbytes=True)],
    ids=["plain", "gzip", "zlib", "zstd"],
)
def test_packed_text_is_unpacked_wherever_text_is_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    text = b'a;b\n"x;y";2\n'
    (tmp_path / "a.csv").write_bytes(pack(text))
    assert read_bytes(tmp_path / "a.csv") == text
    assert read_file(tmp_path / "a.csv", ";").rows() == [("x;y", "2")]


@pytest.mark.parametrize(
    "pack", [gzip.compress, zlib.compress, lambda text: pa.compress(text, codec="zstd", asbytes=True)]
)
def test_half_a_packed_file_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(bytes(range(256)) * 40)
    (tmp_path / "a.csv").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"a\.csv cannot be read as csv \(.*\); write the file again"):
        read_file(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["model[1]", "*", "a?", "{a,b}"])
def test_paths_of_parquet_files_are_taken_as_they_are_written(tmp_path: Path, name: str) -> None:
    for folder, value in (("model1", 0), ("ab", 0), (name, 1)):
        (tmp_path / folder).mkdir(exist_ok=True)
        pl.DataFrame({"a": [value]}).write_parquet(tmp_path / folder / f"{folder}.parquet")
    for path in (tmp_path / name / f"{name}.parquet", tmp_path / name):
        assert read_parquet(path, "", "").rows() == [(1,)]


@pytest.mark.parametrize("name", ["~", "s3:", "file:"])
def test_a_path_that_begins_as_a_home_or_an_address_is_a_path(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, value in (("home", 0), (name, 1)):
        Path(folder).mkdir()
        (tmp_path / folder / "a.parquet").write_bytes(_parquet(value))
    assert read_parquet(Path(name, "a.parquet"), "", "").rows() == [(1,)]
    assert read_parquet(Path(name), "", "").rows() == [(1,)]


def _parquet(value: int) -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"a": [value]}).write_parquet(file)
    return file.getvalue()


def test_what_cannot_be_read_as_parquet_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet is missing; import it"):
        read_parquet(tmp_path / "a.parquet", "import it", "write it again")
    with pytest.raises(DataError, match=r"holds no Parquet file; import it"):
        read_parquet(tmp_path, "import it", "write it again")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet \(.*\); write it again"):
        read_parquet(tmp_path / "a.parquet", "import it", "write it again")


def test_a_folder_that_is_called_like_a_file_gives_its_rows_once(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet" / "part-0.parquet")
    assert read_parquet(tmp_path, "", "").rows() == [(1,)]
