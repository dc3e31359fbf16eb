import numpy as np

from recsys.vectors.room import Room


def arrays(rows: int, start: float = 0) -> tuple[np.ndarray, np.ndarray]:
    numbers = start + np.arange(rows, dtype=np.float32)
    return np.stack([numbers, -numbers], axis=1), numbers


def test_rows_are_appended_in_place_and_what_was_given_stays() -> None:
    first = arrays(3)
    room = Room(first, 2)
    given = [room.filled(arrays(1, 3)), room.filled(arrays(2, 4)), room.filled(arrays(0))]
    for found, length in zip(given, (4, 6, 6), strict=True):
        for one, other in zip(found, arrays(length), strict=True):
            assert np.array_equal(one, other)
            assert np.shares_memory(one, given[0][0 if one.ndim == 2 else 1])
            assert not any(np.shares_memory(one, each) for each in first)


def test_rows_fit_behind_the_last_ones_alone_and_as_long_as_there_is_room() -> None:
    room = Room(arrays(8), 5_000)
    assert room.fits(8, 5_000)
    assert not room.fits(8, 5_001)
    room.filled(arrays(10))
    assert not room.fits(8, 1)
    assert room.fits(18, 4_990)
    assert not room.fits(18, 4_991)


def test_there_is_room_for_many_rows_where_there_are_many() -> None:
    assert Room(arrays(100_000), 1).fits(100_000, 25_000)
    assert Room(arrays(0), 0).fits(0, 1_000)
