"""Tables that lie elsewhere, in a database or in object storage: fetched into Parquet files before they are read."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.data.databases import Database, expanded, opened
from recsys.errors import SettingsError, StorageError, first_line
from recsys.files import new_folder

if TYPE_CHECKING:
    from recsys.data.importers.mapping import Mapping, TableMapping

_TABLES = ("items", "events", "requests", "users")


def is_remote(mapping: "Mapping | None") -> bool:
    """Tell whether a mapping names a database or files in object storage."""
    if mapping is None:
        return False
    return mapping.database is not None or any("://" in (_of(mapping, name).file or "") for name in _TABLES)


def fetched(mapping: "Mapping", target: Path) -> "Mapping":
    """Fetch what lies elsewhere, all of it or nothing, and say where it lies now.

    Parameters
    ----------
    mapping
        Says where from: a `database` and the `query` of each table, or `file`s that are URLs.
    target
        Folder to write; it does not exist yet.

    Returns
    -------
    The same mapping of local files.

    Raises
    ------
    SettingsError
        When an environment variable that the mapping names is not set, or the database is of no known kind.
    StorageError
        When a database or storage does not answer, refuses, or breaks off.
    ModelError
        When an extra is not installed.
    """
    local: dict[str, TableMapping] = {}
    made = mapping.requests.sampled_from is not None
    fault = (
        "the database did not answer ({}); see that it is there and holds what the mapping says; nothing was imported"
    )
    with new_folder(target) as staging, _opened(mapping.database, fault) as database:
        for name in _TABLES:
            said, path = _of(mapping, name), staging / f"{name}.parquet"
            if "://" in (said.file or ""):
                path = _fetch_file(str(said.file), staging, name)
            elif said.file is None and database is not None and not (name == "requests" and made):
                query = said.query or database.query_of(name)
                if query is None:
                    continue
                _fetch_query(database, query, path, name)
            else:
                continue
            local[name] = said.model_copy(update={"file": str(target.absolute() / path.name), "query": None})
    return mapping.model_copy(update={"database": None, **local})


def _opened(said: str | None, fault: str) -> AbstractContextManager[Database | None]:
    return nullcontext() if said is None else opened(said, fault)


def _fetch_query(database: Database, query: str, path: Path, name: str) -> None:
    writer: Any = None
    try:
        for batch in database.batches(expanded(query)):
            plain = _plain(batch)
            if writer is None:
                writer = pq.ParquetWriter(path, plain.schema)
            writer.write_batch(plain)
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"the database broke off at {name} ({first_line(error)}); nothing was imported") from error
    finally:
        if writer is not None:
            writer.close()


def _fetch_file(url: str, folder: Path, name: str) -> Path:
    """Fetch a file of object storage by polars' own readers; credentials come from the environment."""
    url = expanded(url)
    kind = next((kind for kind in (".parquet", ".csv", ".ndjson") if url.partition("?")[0].endswith(kind)), None)
    if kind is None:
        raise SettingsError(f"the file of [{name}] does not end in .parquet, .csv or .ndjson; name such a URL")
    path = folder / f"{name}{kind}"
    try:
        if kind == ".parquet":
            pl.scan_parquet(url).sink_parquet(path)
        elif kind == ".csv":
            pl.scan_csv(url, infer_schema=False).sink_csv(path)
        else:
            pl.scan_ndjson(url).sink_ndjson(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise StorageError(
            f"the file of [{name}] could not be fetched ({first_line(error)}); see that it is there; "
            "nothing was imported"
        ) from error
    return path


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Let numbers of a database be numbers, and what has no type of its own be text."""
    columns, fields = [], []
    for column, field in zip(batch.columns, batch.schema, strict=True):
        if isinstance(field.type, pa.OpaqueType):
            numeric = field.type.type_name == "numeric"
            column = pc.cast(column.storage, pa.float64()) if numeric else column.storage
        elif pa.types.is_decimal(field.type):
            column = pc.cast(column, pa.float64())
        columns.append(column)
        fields.append(pa.field(field.name, column.type))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _of(mapping: "Mapping", name: str) -> "TableMapping":
    table: TableMapping = getattr(mapping, name)
    return table
