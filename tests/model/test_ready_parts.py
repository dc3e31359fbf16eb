import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.errors import DataError
from recsys.jobs.score import score
from recsys.model.ready import Ready
from recsys.past import parts
from recsys.past.parts import cut_candidates


@pytest.fixture
def cut(line, tmp_path, monkeypatch):
    """A state of several parts, and the rankings of all candidates together."""
    monkeypatch.setattr(parts, "USERS", 20)
    score(line.model, line.dataset, line.candidates(), tmp_path / "out")
    files = sorted((tmp_path / "out" / "rankings").glob("*.parquet"))
    return tmp_path / "out" / "state", pl.concat([pl.read_parquet(path) for path in files])


def test_parts_ranked_one_by_one_are_the_whole_night(line, cut) -> None:
    state, expected = cut
    candidates, found = line.candidates(), []
    count = parts.parts_for(len(Ready.load(line.model, state).log.vocabularies["user"]))
    for part, own in cut_candidates(candidates, count):
        ready = Ready.load(line.model, state, part=part)
        found.append(ready.rank_part(ready.ask(own)))
    assert len(found) > 2
    whole = pl.concat([each.rankings for each in found]).sort("request_id", "rank")
    assert_frame_equal(whole, expected, check_exact=True)
    ready = Ready.load(line.model, state)
    every = ready.rank_part(ready.ask(candidates))
    assert every.tied == sum(each.tied for each in found)
    assert every.unknown_users == set().union(*(each.unknown_users for each in found))
    assert every.unknown_items == set().union(*(each.unknown_items for each in found))
    assert_frame_equal(Ranker.load(line.model, state).rank(candidates), expected, check_exact=True)
    assert ready.rank_part(ready.ask(candidates), top=2).rankings["rank"].max() == 2


def test_a_user_of_another_part_is_refused(line, cut) -> None:
    state, _ = cut
    count = parts.parts_for(len(Ready.load(line.model, state).log.vocabularies["user"]))
    (part, _), (_, others), *_ = cut_candidates(line.candidates(), count)
    ready = Ready.load(line.model, state, part=part)
    with pytest.raises(
        DataError, match=rf"a user of part \d+ of {count} is asked, where only part {part} of the state"
    ):
        ready.rank_part(ready.ask(others))
