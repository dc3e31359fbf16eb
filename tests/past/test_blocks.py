import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.errors import ModelError
from recsys.past.blocks import BLOCK, SIZE, Blocks, Writer, hashes_of, map_table

LONG = np.random.default_rng(0).integers(-(2**62), 2**62, 3 * 2**BLOCK + 5)


def write(path, *parts):
    writer = Writer(path)
    begins = [writer.add(part) for part in parts]
    writer.close()
    return begins


@pytest.mark.parametrize("cuts", [[], [1], [5, 2**BLOCK, 2**BLOCK + 1], [2**BLOCK, 2 * 2**BLOCK]])
def test_numbers_come_back_as_they_were_written_in_whatever_pieces(tmp_path, cuts):
    parts = np.split(LONG, cuts)
    begins = write(tmp_path / "a.numbers", *parts)
    assert begins == [0, *cuts]
    blocks = Blocks.mapped(tmp_path / "a.numbers", verify_all=True)
    assert np.array_equal(blocks.data, LONG)
    raw = (tmp_path / "a.numbers").read_bytes()
    expected = b"".join(hashlib.sha256(raw[at : at + SIZE]).digest() for at in range(0, len(raw), SIZE))
    assert hashes_of(tmp_path / "a.numbers").read_bytes() == expected
    with pytest.raises(ValueError, match="read-only"):
        blocks.data[0] = 1


def test_a_changed_block_is_told_when_it_is_read_and_no_other(tmp_path):
    write(path := tmp_path / "a.numbers", LONG)
    raw = bytearray(path.read_bytes())
    raw[SIZE + 3] ^= 1
    path.write_bytes(raw)
    blocks = Blocks.mapped(path)
    assert blocks.careful
    for block in (0, 2, 3):
        blocks.check(block)
    with pytest.raises(ModelError, match=r"a\.numbers was changed after it was written \(block 1 of 4 differs\); copy"):
        blocks.check(1)
    assert blocks.checked.tolist() == [True, False, True, True, False]
    with pytest.raises(ModelError, match="block 1 of 4 differs"):
        Blocks.mapped(path, verify_all=True)


@pytest.mark.parametrize("left", [0, 8, SIZE, len(LONG) * 8 - SIZE])
def test_a_file_that_was_cut_is_refused(tmp_path, left):
    write(path := tmp_path / "a.numbers", LONG)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ModelError, match="was cut or grew after it was written; copy the whole folder again"):
        Blocks.mapped(path)


def test_no_numbers_are_no_block(tmp_path):
    write(path := tmp_path / "a.numbers")
    assert len(Blocks.mapped(path, verify_all=True).data) == 0


def test_what_lies_in_memory_is_never_checked():
    blocks = Blocks.held(LONG.copy())
    assert not blocks.careful
    assert blocks.checked.all()


def test_a_table_is_mapped_and_what_is_none_is_refused(tmp_path):
    table = pl.DataFrame({"a": [1, None], "b": ["x", "y"]})
    table.write_ipc(tmp_path / "t.arrow", compression="uncompressed")
    assert map_table(tmp_path / "t.arrow").equals(table)
    (tmp_path / "t.arrow").write_bytes(b"no table")
    with pytest.raises(ModelError, match=r"t\.arrow cannot be read \(.*\); copy the whole folder again"):
        map_table(tmp_path / "t.arrow")


def test_pages_that_were_let_go_are_mapped_again(tmp_path):
    numbers = np.arange(3 * 2**BLOCK)
    writer = Writer(tmp_path / "a.numbers")
    writer.add(numbers)
    writer.close()
    blocks = Blocks.mapped(tmp_path / "a.numbers", verify_all=True)

    def resident() -> int:
        lines = iter(Path("/proc/self/smaps").read_text().splitlines())
        return next(
            int(next(line for line in lines if line.startswith("Rss:")).split()[1])
            for line in lines
            if "a.numbers" in line
        )

    assert blocks.data.sum() == numbers.sum()
    assert resident() > 0
    blocks.release()
    assert resident() == 0
    assert blocks.checked[:3].all()
    assert np.array_equal(blocks.data, numbers)
    Blocks.held(np.arange(3)).release()
