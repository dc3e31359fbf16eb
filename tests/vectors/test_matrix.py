from pathlib import Path

import numpy as np
import pytest

from recsys.errors import ModelError
from recsys.past.blocks import SIZE
from recsys.vectors.matrix import Matrix


def drawn(rows: int, length: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, length)).astype(np.float32)


def saved(path: Path, numbers: np.ndarray) -> Matrix:
    Matrix.of(numbers).save(path)
    return Matrix.mapped(path, numbers.shape)


@pytest.mark.parametrize(("rows", "length"), [(0, 4), (1, 1), (3, 5), (300, 512), (2, 40_000), (5, 0)])
def test_rows_are_those_that_were_written(rows: int, length: int, tmp_path: Path) -> None:
    numbers = drawn(rows, length)
    found = saved(tmp_path / "a.numbers", numbers)
    assert found.shape == numbers.shape
    assert np.array_equal(np.asarray(found), numbers)
    wanted = np.random.default_rng(0).integers(0, max(1, rows), (2, 3 if rows else 0))
    assert np.array_equal(found[wanted], numbers[wanted])
    assert np.array_equal(np.asarray(found, np.float64), numbers.astype(np.float64))


def test_rows_that_came_later_follow_the_first(tmp_path: Path) -> None:
    numbers, later = drawn(40, 6), drawn(7, 6)
    for first in (Matrix.of(numbers), saved(tmp_path / "a.numbers", numbers)):
        both, expected = first.followed_by(later), np.concatenate([numbers, later])
        wanted = np.array([[0, 46, 39], [40, 3, 45]])
        assert np.array_equal(both[wanted], expected[wanted])
        assert np.array_equal(np.asarray(both), expected)
        assert len(first) == 40
    again = saved(tmp_path / "b.numbers", np.asarray(both))
    assert np.array_equal(np.asarray(again), expected)
    alone = Matrix.of(numbers[:0]).followed_by(later)
    assert np.array_equal(alone[np.array([3])], later[[3]])


def spoil(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_row_is_held_against_its_hash_when_it_is_first_read(tmp_path: Path) -> None:
    numbers, path = drawn(100, 512), tmp_path / "a.numbers"
    Matrix.of(numbers).save(path)
    spoil(path, SIZE + 5)  # the second block: rows 32 to 63 of 2,048 bytes each
    found = Matrix.mapped(path, numbers.shape)
    assert np.array_equal(found[np.array([0, 31, 64, -1])], numbers[[0, 31, 64, -1]])
    for rows in ([40], [0, 40], [-1, 33]):
        with pytest.raises(ModelError, match=r"a\.numbers was changed after it was written \(block 1 of 4 differs\)"):
            found[np.array(rows)]
    with pytest.raises(ModelError, match="was changed"):
        np.asarray(found)
    with pytest.raises(ModelError, match="was changed"):
        Matrix.mapped(path, numbers.shape, verify_all=True)


def test_a_row_over_many_blocks_is_checked_in_all_of_them(tmp_path: Path) -> None:
    numbers, path = drawn(2, 50_000), tmp_path / "a.numbers"
    Matrix.of(numbers).save(path)
    spoil(path, SIZE + 5)  # neither the first nor the last block of row 0
    found = Matrix.mapped(path, numbers.shape)
    with pytest.raises(ModelError, match="was changed"):
        found[np.array([0])]


@pytest.mark.parametrize("shape", [(9, 8), (11, 8), (10, 7), (80, -1)])
def test_a_file_of_other_rows_is_refused(shape: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.numbers"
    Matrix.of(drawn(10, 8)).save(path)
    with pytest.raises(ModelError, match=rf"does not hold {shape[0]} rows of {shape[1]} numbers; copy the whole"):
        Matrix.mapped(path, shape)
