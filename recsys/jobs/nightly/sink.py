"""Rankings into a table of a database, upserted whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.databases import opened

_ROWS = 2**17


def upsert(database: str, table: str, rankings: Path, night: str) -> None:
    """Write rankings in one transaction: lists of the same requests are replaced, those of others stay.

    Parameters
    ----------
    database
        `postgresql://...`, or the path of a DuckDB file; `${NAME}` stands for an environment variable.
    table
        Name of the table, which is made where it is not there; its columns are those of `recsys.schema.RANKINGS` and
        `night`.
    rankings
        Folder of Parquet files.
    night
        Name of the lists.

    Raises
    ------
    SettingsError
        When the database is of no known kind, or an environment variable is not set.
    StorageError
        When the database does not answer, or refuses; it is then as it was.
    ModelError
        When an extra is not installed.
    """
    files = sorted(rankings.glob("*.parquet"))
    schema = pq.read_schema(files[0]).append(pa.field("night", pa.string()))
    with opened(database, _fault(table), writes=True) as there:
        there.upsert(table, pa.RecordBatchReader.from_batches(schema, _batches(files, schema, night)))


def leave_out(database: str, table: str, user: str) -> int:
    """Remove the rows of a user, an id as text, and say how many; errors as of `upsert`."""
    with opened(database, _fault(table), writes=True) as there:
        return there.remove(table, user)


def _fault(table: str) -> str:
    return f"the table {table} of [sink] could not be written ({{}}); it is as it was; see that the database is there"


def _batches(files: list[Path], schema: pa.Schema, night: str) -> Iterator[pa.RecordBatch]:
    for file in files:
        with pq.ParquetFile(file) as read:
            for batch in read.iter_batches(_ROWS):
                named = pa.array([night] * len(batch), pa.string())
                yield pa.RecordBatch.from_arrays([*batch.columns, named], schema=schema)
