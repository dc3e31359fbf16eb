"""Rankings into a table of a database, upserted whole or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.importers.remote import expanded
from recsys.errors import SettingsError, StorageError, first_line
from recsys.lazy import need

_STAGING = "recsys_staging"

_ROWS = 2**17


def upsert(database: str, table: str, rankings: Path, night: str) -> None:
    """Write rankings in one transaction: lists of the same requests are replaced, those of others stay.

    Parameters
    ----------
    database
        `postgresql://...`, or the path of a DuckDB file; `${NAME}` stands for an environment variable.
    table
        Name of the table, which is made where it is not there; its columns are those of
        `recsys.schema.RANKINGS` and `night`.
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
    url = expanded(database)
    files = sorted(rankings.glob("*.parquet"))
    schema = pq.read_schema(files[0]).append(pa.field("night", pa.string()))
    reader = pa.RecordBatchReader.from_batches(schema, _batches(files, schema, night))
    postgres = url.startswith(("postgresql://", "postgres://"))
    if not postgres and not url.endswith((".duckdb", ".db")):
        raise SettingsError("[sink] database is neither postgresql://... nor the path of a .duckdb file; write one")
    library = need("adbc_driver_postgresql.dbapi" if postgres else "duckdb", "databases", "[sink] database")
    try:
        (_postgres if postgres else _duckdb)(library, url, table, reader)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("adbc_driver_manager", "_duckdb", "duckdb"):
            raise
        raise StorageError(
            f"the table {table} of [sink] could not be written ({first_line(error).replace(url, '...')}); it is as it "
            "was; see that the database can be reached and written"
        ) from error


def _batches(files: list[Path], schema: pa.Schema, night: str) -> Iterator[pa.RecordBatch]:
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(_ROWS):
                yield pa.RecordBatch.from_arrays(
                    [*batch.columns, pa.array([night] * len(batch), pa.string())], schema=schema
                )


def _statements(table: str) -> list[str]:
    return [
        f'CREATE TABLE IF NOT EXISTS "{table}" AS SELECT * FROM {_STAGING} WHERE FALSE',  # noqa: S608
        f'DELETE FROM "{table}" WHERE request_id IN (SELECT request_id FROM {_STAGING})',  # noqa: S608
        f'INSERT INTO "{table}" SELECT * FROM {_STAGING}',  # noqa: S608
    ]


def _postgres(library: Any, url: str, table: str, reader: pa.RecordBatchReader) -> None:
    with library.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(_STAGING, reader, mode="create", temporary=True)
        for statement in _statements(table):
            cursor.execute(statement)
        connection.commit()


def _duckdb(library: Any, url: str, table: str, reader: pa.RecordBatchReader) -> None:
    with library.connect(url) as connection:
        connection.begin()
        connection.register("recsys_reader", reader)
        connection.execute(f"CREATE TEMP TABLE {_STAGING} AS SELECT * FROM recsys_reader")  # noqa: S608
        for statement in _statements(table):
            connection.execute(statement)
        connection.commit()
