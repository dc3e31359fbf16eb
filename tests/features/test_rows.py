"""Feature rows in memory and in a file are those of the tables they were made of."""

import gc
import os

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.features.rows import FeatureRows, StoredRows
from recsys.features.table import FeatureTable


def make_frame(rows: int, seed: int, kinds: str = "abc") -> pl.DataFrame:
    random = np.random.default_rng(seed)
    numbers = {name: random.normal(size=rows).astype(np.float32) for name in ("one", "two", "three")}
    words = [[*kinds, None][place] for place in random.integers(0, len(kinds) + 1, rows)]
    whole = pl.Series(random.integers(0, 4, rows), dtype=pl.Int64)
    return pl.DataFrame({**numbers, "kind": pl.Series(words, dtype=pl.String), "size": whole})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 999), st.booleans(), st.sampled_from([1, 3, 50])
)
def test_rows_are_those_of_the_tables(tmp_path_factory, lengths: list[int], seed: int, stored: bool, at_once: int):
    folder = tmp_path_factory.mktemp("rows") if stored else None
    frames = [make_frame(length, seed + place, "abcd"[place:]) for place, length in enumerate(lengths)]
    rows = FeatureRows.joined_of([FeatureRows.of(FeatureTable.of(frame), folder) for frame in frames])
    whole = pl.concat(frames)
    assert rows.columns == tuple(whole.columns)
    assert len(rows) == len(whole)
    assert_frame_equal(rows.frame(), whole)
    keep = np.random.default_rng(seed).random(len(whole)) < 0.6
    some = rows.where(keep)
    expected = whole.filter(pl.Series(keep))
    assert_frame_equal(some.frame(), expected)
    assert_frame_equal(pl.concat([table.frame() for table in some.tables(at_once)]), expected)
    again = np.arange(len(expected)) % 2 == 0
    fewer = some.where(again).without(["two", "kind"])
    assert_frame_equal(fewer.frame(), expected.filter(pl.Series(again)).drop("two", "kind"))
    assert np.array_equal(some.column("three"), expected["three"].to_numpy())
    assert_frame_equal(FeatureRows.joined_of([some, rows]).frame(), pl.concat([expected, whole]))
    if stored:
        assert list(folder.iterdir()) == []  # files have no names: nothing is left, whatever happens


def test_a_file_is_closed_with_the_last_who_reads_it(tmp_path):
    numbers = np.arange(6, dtype=np.float32).reshape(3, 2)
    rows = StoredRows(tmp_path, numbers)
    file = rows._file
    assert np.array_equal(rows[1:3], numbers[1:3])
    assert rows[2:2].shape == (0, 2)
    os.fstat(file)
    del rows
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_categories_of_one_vocabulary_stay_as_they_are():
    table = FeatureTable.of(make_frame(5, 1))
    rows = FeatureRows.of(table)
    assert FeatureRows.joined_of([rows, rows]).categories[0].vocabulary is table.categories[0].vocabulary
