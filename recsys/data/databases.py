"""Databases that tables are read from and lists are written to: Postgres by ADBC, and DuckDB."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from recsys.errors import SettingsError, StorageError, first_line
from recsys.lazy import need

_ROWS = 2**17
"""Rows that are fetched at once."""

_STAGING = "recsys_staging"

_LIBRARIES = ("adbc_driver_manager", "_duckdb", "duckdb")


def expanded(text: str) -> str:
    """Put environment variables, written as `${NAME}`, into a text.

    Raises
    ------
    SettingsError
        When one is not set.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise SettingsError(f"the environment variable {found[1]}, which the configuration names, is not set")
        return os.environ[found[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)


def located(database: str, root: Path) -> str:
    """Give the URL of a database, or the path of its file, which starts from a folder; errors as of `expanded`."""
    url = expanded(database)
    return url if "://" in url else str(root / url)


class Database:
    """A database, by one connection.

    Parameters
    ----------
    url
        `postgresql://...`, or the path of a DuckDB file.
    writes
        Whether it is written, too.
    """

    def __init__(self, url: str, writes: bool = False) -> None:
        self._postgres = url.startswith(("postgresql://", "postgres://"))
        if self._postgres:
            self._connection = need("adbc_driver_postgresql.dbapi", "databases", "database").connect(url)
        elif url.endswith((".duckdb", ".db")):
            self._connection = need("duckdb", "databases", "database").connect(url, read_only=not writes)
        else:
            raise SettingsError("database is neither postgresql://... nor the path of a .duckdb file; write one")

    def close(self) -> None:
        """Leave it."""
        self._connection.close()

    def query_of(self, name: str) -> str | None:
        """Ask for all of a table, where there is one of this name."""
        asked = f"SELECT table_name FROM information_schema.tables WHERE table_name = '{name}'"  # noqa: S608
        there = sum(len(batch) for batch in self.batches(asked))
        return f'SELECT * FROM "{name}"' if there else None  # noqa: S608

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Ask, and give the answer in batches; the last one may hold no row."""
        if self._postgres:
            with self._connection.cursor() as cursor:
                cursor.execute(query)
                reader = cursor.fetch_record_batch()
                yield from reader
                yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        else:
            reader = self._connection.sql(query).to_arrow_reader(_ROWS)
            yield from reader
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)

    def upsert(self, table: str, rows: pa.RecordBatchReader) -> None:
        """Put rows into a table, which is made where it is not there, in one transaction.

        Rows of the same `request_id` are replaced, all others stay.
        """
        names = ", ".join(f'"{name}"' for name in rows.schema.names)
        statements = (
            f'CREATE TABLE IF NOT EXISTS "{table}" AS SELECT * FROM {_STAGING} WHERE FALSE',  # noqa: S608
            f'DELETE FROM "{table}" WHERE request_id IN (SELECT request_id FROM {_STAGING})',  # noqa: S608
            f'INSERT INTO "{table}" ({names}) SELECT {names} FROM {_STAGING}',  # noqa: S608
        )
        if self._postgres:
            with self._connection.cursor() as cursor:
                cursor.adbc_ingest(_STAGING, rows, mode="create", temporary=True)
                for statement in statements:
                    cursor.execute(statement)
        else:
            self._connection.begin()
            self._connection.register("recsys_rows", rows)
            self._connection.execute(f"CREATE TEMP TABLE {_STAGING} AS SELECT * FROM recsys_rows")  # noqa: S608
            for statement in statements:
                self._connection.execute(statement)
        self._connection.commit()

    def remove(self, table: str, user: str) -> int:
        """Remove the rows of a `user_id`, an id as text, from a table, and say how many; none where it is not there."""
        asked = self.query_of(table)
        if asked is None:
            return 0
        own = f'"{table}" WHERE CAST(user_id AS VARCHAR) = $1'
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {own}", (user,))  # noqa: S608
            (count,) = cursor.fetchone()
            cursor.execute(f"DELETE FROM {own}", (user,))  # noqa: S608
            if self._postgres:
                self._connection.commit()
        return int(count)


@contextmanager
def opened(said: str, fault: str, writes: bool = False) -> Iterator[Database]:
    """Open a database, and tell what it complains of without its URL, which may hold a password.

    Parameters
    ----------
    said
        Its URL or path, with environment variables.
    fault
        What is said before and after its complaint, with `{}` where that stands.
    writes
        Whether it is written, too.

    Raises
    ------
    SettingsError
        When it is of no known kind, or an environment variable is not set.
    StorageError
        When it does not answer, refuses, or breaks off.
    ModelError
        When the extra is not installed.
    """
    url, database = expanded(said), None
    try:
        database = Database(url, writes)
        yield database
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _LIBRARIES:
            raise
        raise StorageError(fault.format(first_line(error).replace(url, "..."))) from error
    finally:
        if database is not None:
            database.close()
