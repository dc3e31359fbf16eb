import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.offpolicy.list_log import ListLog, mean_weight, overlap_of_lists, read_lists


def table():
    return pl.DataFrame(
        {
            "request_id": ["b", "a", "b", "a", "a"],
            "user_id": [5, 9, 5, 9, 9],
            "position": [2, 3, 1, 1, 2],
            "label": [0, 1, 3, 0, 0],
            "propensity": [1.0, 1.0, 0.5, 0.25, 0.75],
        }
    )


def test_a_table_becomes_lists_whatever_the_order_of_its_rows():
    log, rows = read_lists(table())
    assert rows.tolist() == [3, 4, 1, 2, 0]
    assert log.reward.tolist() == [0, 0, 1, 1, 0]
    assert log.propensity.tolist() == [0.25, 0.75, 1.0, 0.5, 1.0]
    assert (log.starts.tolist(), log.clusters.tolist(), log.position.tolist()) == ([0, 3, 5], [1, 0], [1, 2, 3, 1, 2])


@pytest.mark.parametrize("positions", [[2, 3, 1, 2, 2], [2, 4, 1, 1, 2], [1, 3, 0, 1, 2], [None, 3, 1, 1, 2]])
def test_lists_with_gaps_or_repeated_places_are_refused(positions):
    with pytest.raises(
        DataError, match=r"the positions of 1 lists are not 1, 2, 3, \.\.\. without a gap, such as those of"
    ):
        read_lists(table().with_columns(position=pl.Series(positions)))


def test_tables_and_arrays_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="requests have no column position; off-policy estimates need what was logged"):
        read_lists(table().drop("position"))
    for name in ("user_id", "label"):
        nobody = table().with_columns(pl.when(pl.int_range(pl.len()) == 2).then(None).otherwise(name).alias(name))
        with pytest.raises(DataError, match=f"1 rows lack a {name}; leave out lists that were not logged whole"):
            read_lists(nobody)
    with pytest.raises(DataError, match=r"the logging propensity is missing in 1 of 5 rows"):
        read_lists(table().with_columns(propensity=pl.Series([1.0, 1.0, 0.5, None, 0.75])))
    with pytest.raises(DataError, match=r"propensities outside \(0, 1\] in 2 of 5 rows: 1\.2 \(row 2\), 0 \(row 4\)"):
        read_lists(table().with_columns(propensity=pl.Series([1.0, 1.0, 0.0, 0.5, 1.2])))
    with pytest.raises(DataError, match="the log holds no list or an empty one"):
        read_lists(table().clear())
    two = np.ones(2)
    with pytest.raises(DataError, match="reward has 2 values for 3 candidates; give one per candidate"):
        ListLog(two, np.ones(3), np.array([0, 3]), np.zeros(1, dtype=int))
    with pytest.raises(DataError, match="clusters has 2 values for 1 lists"):
        ListLog(two, two, np.array([0, 2]), np.zeros(2, dtype=int))
    with pytest.raises(DataError, match="rewards that are not finite"):
        ListLog(two * np.nan, two, np.array([0, 2]), np.zeros(1, dtype=int))


def test_weights_of_rows_are_judged_on_the_scale_of_lists():
    log = ListLog(np.zeros(400), np.full(400, 0.5), np.arange(0, 401, 2), np.arange(200))
    weights = np.tile([1.5, 0.5, 0.5, 1.5], 100)
    found = overlap_of_lists(weights, mean_weight(log, weights, log.counted(None)), log)
    assert found.effective_size == pytest.approx(200 / 1.25)
    assert (found.largest_weight, found.warnings) == (1.5, ())
    assert mean_weight(log, weights, log.counted(1))[:2].tolist() == [1.5, 0.5]
