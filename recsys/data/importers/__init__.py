"""Foreign data in: one function per source, and the only place that knows foreign column names."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from recsys.data.importers.ebnerd import read_ebnerd
from recsys.data.importers.mapped import files_read, read_mapped, read_mapping
from recsys.data.importers.mapping import Mapping
from recsys.data.importers.mind import read_mind
from recsys.data.importers.movielens import read_movielens
from recsys.data.importers.openbandit import read_openbandit
from recsys.data.importers.pseudonyms import form_of, user_as_kept
from recsys.data.importers.remote import fetched, is_remote
from recsys.data.importers.upworthy import read_upworthy
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError

SOURCES: dict[str, Callable[[Path], Dataset]] = {
    "tables": read_mapped,
    "ebnerd": read_ebnerd,
    "mind": read_mind,
    "movielens": read_movielens,
    "openbandit": read_openbandit,
    "upworthy": read_upworthy,
}
"""What `recsys import` can read: the name of the source and its function."""

__all__ = [
    "SOURCES",
    "Mapping",
    "fetched",
    "files_read",
    "form_of",
    "is_remote",
    "read_ebnerd",
    "read_mapped",
    "read_mapping",
    "read_mind",
    "read_movielens",
    "read_openbandit",
    "read_source",
    "read_upworthy",
    "refuse_unknown",
    "user_as_kept",
]


def refuse_unknown(source: str) -> None:
    """Refuse a source that is not known.

    Raises
    ------
    SettingsError
        With the nearest known name.
    """
    if source not in SOURCES:
        nearest = get_close_matches(source, SOURCES, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{source!r} is no source; did you mean {nearest}? Known are {', '.join(SOURCES)}")


def read_source(source: str, folder: str | Path, mapping: str | Path | None = None) -> Dataset:
    """Read a foreign folder.

    Parameters
    ----------
    source
        A name of `SOURCES`.
    folder
        Where the files lie.
    mapping
        TOML file with the names of files and columns; for `tables` only.

    Raises
    ------
    SettingsError
        When the source is not known, or the mapping is wrong or has no use.
    DataError
        When the folder does not hold what the source says.
    """
    refuse_unknown(source)
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name the folder that holds the files of {source}")
    if mapping is None:
        return SOURCES[source](folder)
    if source != "tables":
        raise SettingsError(f"{mapping}: a mapping has no use with {source}; leave it out or import with `tables`")
    return read_mapped(folder, read_mapping(Path(mapping)))
