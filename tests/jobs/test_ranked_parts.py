import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.jobs.ranked_parts import RankedParts, rank_lists
from recsys.model.ready import Ready


@pytest.fixture(scope="module")
def ready(line) -> Ready:
    return Ready.load(line.model, line.model / "state")


def test_a_part_counts_once_its_checksum_is_written(line, ready, tmp_path) -> None:
    parts, lists = RankedParts(tmp_path / "ranked"), line.candidates(4)
    assert not parts.holds(0)
    parts.commit(0, rank_lists(ready, lists, lists, None))
    assert parts.holds(0)
    assert not parts.holds(1)
    written = pl.read_parquet(tmp_path / "ranked/part-00000.parquet")
    assert_frame_equal(written, Ranker.load(line.model).rank(lists), check_exact=True)
    for name in ("part-00000.json", "part-00000.parquet"):
        content = (tmp_path / "ranked" / name).read_bytes()
        for other in (content[:-9], b"", None):
            if other is None:
                (tmp_path / "ranked" / name).unlink()
            else:
                (tmp_path / "ranked" / name).write_bytes(other)
            assert not parts.holds(0), (name, other)
        (tmp_path / "ranked" / name).write_bytes(content)
        assert parts.holds(0)


def test_what_is_told_of_parts_adds_up(line, ready, tmp_path) -> None:
    lists = line.candidates(9)
    strange = lists.head(1).with_columns(request_id=pl.lit(-5, pl.Int64), item_id=pl.lit(-6, pl.Int64))
    lists = pl.concat([lists, strange])
    users = lists["user_id"].unique().sort()
    whole, parts = RankedParts(tmp_path / "whole"), RankedParts(tmp_path / "parts")
    whole.commit(0, rank_lists(ready, lists, lists, 3))
    for place in range(3):
        own = lists.filter(pl.col("user_id").is_in(users.gather_every(3, place).to_list()))
        parts.commit(place, rank_lists(ready, own, own, 3))
    model, until = ready.model, ready.known_until
    assert parts.scored(3, model, until) == whole.scored(1, model, until)
    told = json.loads((tmp_path / "whole/part-00000.json").read_text())["facts"]
    assert told["unknown_items"] == [-6]
    assert told["counts"]["candidates"] == len(lists)
    with pytest.raises(AssertionError, match="a part was changed since it was committed"):
        parts.scored(4, model, until)
