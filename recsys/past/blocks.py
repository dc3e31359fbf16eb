"""Numbers that lie in memory, or mapped from a file of which each block is held against its hash when first read."""

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from recsys.errors import ModelError
from recsys.past.streams import Flags, Ints

BLOCK = 13
"""A block holds `2 ** BLOCK` numbers, 64 kibibytes."""

SIZE = 8 * 2**BLOCK
"""Bytes of a block."""

_HASH = hashlib.sha256().digest_size


@dataclass(frozen=True, eq=False)
class Blocks:
    """Numbers, and which blocks of them were checked.

    Attributes
    ----------
    data
        The numbers, which nobody may change, shape [D].
    checked
        Which blocks were, shape [blocks].
    hashes
        sha256 of each block, shape [blocks, 32]; none of what lies in memory.
    path
        Where they are mapped from; None where they lie in memory.
    """

    data: Ints
    checked: Flags
    hashes: npt.NDArray[np.uint8]
    path: Path | None = None

    @property
    def careful(self) -> bool:
        """Whether some blocks may not be checked."""
        return len(self.hashes) > 0

    @classmethod
    def held(cls, data: Ints) -> "Blocks":
        """Take numbers that lie in memory."""
        data.flags.writeable = False
        checked = np.ones((len(data) >> BLOCK) + 1, dtype=bool)
        return cls(data, checked, np.empty((0, _HASH), dtype=np.uint8))

    @classmethod
    def mapped(cls, path: Path, verify_all: bool = False) -> "Blocks":
        """Map what `save` wrote.

        Parameters
        ----------
        path
            The file; that of its hashes lies beside it.
        verify_all
            Whether every block is checked at once.

        Raises
        ------
        ModelError
            When a file is missing, they do not fit each other or, where all is checked, a block was changed.
        """
        try:
            hashes, size = np.fromfile(hashes_of(path), dtype=np.uint8), path.stat().st_size
        except OSError as error:
            said = f"{path} and its hashes cannot be read ({error.strerror})"
            raise ModelError(f"{said}; copy the whole folder again") from error
        count = len(hashes) // _HASH
        if len(hashes) % _HASH or size % 8 or count != -(-size // SIZE):
            raise ModelError(f"{path} was cut or grew after it was written; copy the whole folder again")
        data = np.memmap(path, dtype=np.int64, mode="r") if size else np.empty(0, dtype=np.int64)
        plain = np.asarray(data)
        plain.flags.writeable = False
        blocks = cls(plain, np.zeros(count + 1, dtype=bool), hashes.reshape(count, _HASH), path)
        if verify_all:
            for block in range(count):
                blocks.check(block)
        return blocks

    def release(self) -> None:
        """Let go of the pages that were read of a file; they are mapped again, and not checked again, when asked."""
        mapped = self.data.base.base if isinstance(self.data.base, np.memmap) else None
        if isinstance(mapped, mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED)

    def check(self, block: int) -> None:
        """Hold a block against its hash.

        Raises
        ------
        ModelError
            When it was changed after it was written, or there is no such block.
        """
        if block < 0:
            raise ModelError(f"{self.path} holds numbers that nobody wrote there; copy the whole folder again")
        if block < len(self.hashes):
            numbers = self.data[block << BLOCK : (block + 1) << BLOCK]
            if hashlib.sha256(numbers.tobytes()).digest() != self.hashes[block].tobytes():
                raise ModelError(
                    f"{self.path} was changed after it was written (block {block} of {len(self.hashes)} differs); "
                    "copy the whole folder again"
                )
        self.checked[block] = True


def hashes_of(path: Path) -> Path:
    """Give the file that holds the hashes of the blocks of another."""
    return path.with_name(f"{path.name}.sha256")


class Writer:
    """Writes numbers behind each other into a new file, and the hashes of its blocks into another.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.room = 0
        self._path, self._file = path, path.open("xb")
        self._hashes, self._left = bytearray(), b""

    def add(self, numbers: Ints) -> int:
        """Write numbers and say where they begin, counted in numbers."""
        begin = self.room
        whole = np.ascontiguousarray(numbers, dtype=np.int64).data.cast("B")
        self._file.write(whole)
        start = 0
        if self._left:
            start = min(SIZE - len(self._left), len(whole))
            self._left += bytes(whole[:start])
        while len(self._left) == SIZE or len(whole) - start >= SIZE:
            if self._left:
                self._hashes += hashlib.sha256(self._left).digest()
                self._left = b""
            else:
                self._hashes += hashlib.sha256(whole[start : start + SIZE]).digest()
                start += SIZE
        self._left += bytes(whole[start:])
        self.room += len(numbers)
        return begin

    def close(self) -> None:
        """Write what is left."""
        if self._left:
            self._hashes += hashlib.sha256(self._left).digest()
        self._file.close()
        hashes_of(self._path).write_bytes(self._hashes)


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table so that it can be mapped: the same bytes for the same rows."""
    plain = table.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    arrays = [_without_traces(column.combine_chunks()) for column in plain.columns]
    whole = pa.Table.from_arrays(arrays, names=plain.column_names)
    with path.open("xb") as file, pa.ipc.new_file(file, whole.schema) as written:
        written.write_table(whole)


def _without_traces(values: pa.Array) -> pa.Array:
    """Write nothing where nothing is known: what an array holds there may be anything."""
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if not values.null_count or not (pa.types.is_primitive(values.type)):
        return pa.concat_arrays([values])
    known = values.is_valid().to_numpy(zero_copy_only=False)
    numbers = values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values
    filled = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(filled, numbers.type, mask=~known).cast(values.type)


def map_table(path: Path) -> pl.DataFrame:
    """Map a table that `write_log` wrote; its pages are shared by all processes that read it.

    Raises
    ------
    ModelError
        When it is no such table.
    """
    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        return pl.DataFrame(pl.from_arrow(table, rechunk=False))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy the whole folder again") from error
