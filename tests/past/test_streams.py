import numpy as np

from recsys.past.streams import CHANCE, UNIT, Stream


def test_rows_of_a_stream_keep_their_codes_moments_and_amounts_together():
    stream = Stream({"user": np.array([3, 4, 5])}, np.array([10, 20, 30]), (np.array([1, 2, 4]),))
    kept = stream.where(np.array([True, False, True]))
    assert kept.codes["user"].tolist() == [3, 5]
    assert kept.moments.tolist() == [10, 30]
    assert kept.amounts[0].tolist() == [1, 4]


def test_a_stream_may_have_nothing_to_add_up():
    assert Stream({}, np.array([1])).where(np.array([False])).amounts == ()


def test_units_are_powers_of_two_so_that_sums_come_back_exactly():
    assert 3 * UNIT + 5 * UNIT == 8 * UNIT
    assert 1 / UNIT == 1024
    assert 1 / CHANCE == 2**32
