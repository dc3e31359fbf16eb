"""Parts of users: the same everywhere, and a part alone answers as the whole does, for its users."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.features.plan import build_features
from recsys.past import parts
from recsys.past.lookup import Asked
from recsys.past.parts import parts_for
from recsys.statistics.hashes import hash_ids, part_of
from tests.past.test_stored import KEPT, counted_keys, load, written

pytestmark = pytest.mark.slow


def test_a_user_is_of_one_part_whatever_stands_beside_and_however_ids_are_kept() -> None:
    users = pl.Series([5, 7, 5, 2**40, -3])
    assert part_of(users, 16).tolist() == [int(hashed % np.uint64(16)) for hashed in hash_ids(users)]
    assert part_of(users.reverse(), 16).tolist() == part_of(users, 16).tolist()[::-1]
    assert part_of(users.gather([0, 1]).cast(pl.UInt16), 16).tolist() == part_of(users, 16).tolist()[:2]
    assert part_of(pl.Series(["é", ""]), 7).tolist() == [part_of(pl.Series([each]), 7)[0] for each in ("é", "")]
    assert part_of(pl.Series([1, 2, 3, 10**12]), 8).tolist() == [1, 6, 5, 0]  # for ever
    assert [parts_for(users) for users in (0, 65_535, 65_536, 1_000_000)] == [1, 1, 2, 16]
    shares = np.bincount(part_of(pl.Series(range(80_000)), 8), minlength=8) / 10_000
    assert (np.abs(shares - 1) < 0.05).all()


@pytest.mark.parametrize("compact", [False, True])
def test_one_part_alone_answers_for_its_users_and_refuses_others(tools, tmp_path, monkeypatch, compact):
    monkeypatch.setattr(parts, "USERS", 2)
    case = tools.full_case(11, feedback_delay="10m")
    settings = tools.settings.model_copy(update={"windows": (timedelta(hours=2),)})
    log = case.log
    first = int(np.median(log.rows(case.candidates).as_of))
    kept = log.compacted(first, KEPT, counted_keys(settings)) if compact else log
    folder = written(kept, tmp_path / "log", settings)
    asked = case.candidates.filter(pl.Series(log.rows(case.candidates).as_of >= first)) if compact else case.candidates
    count = parts_for(len(log.vocabularies["user"]))
    assert count > 1
    apart = part_of(asked["user_id"], count)
    expected = build_features(Asked.of(asked, log), settings, None)
    by_part = []
    for part in range(count):
        own = asked.filter(pl.Series(apart == part))
        mapped = load(folder, log, part=part)
        if own.is_empty():
            continue
        by_part.append(tools.bits(build_features(Asked.of(own, mapped), settings, None)))
        rows = np.flatnonzero(part_of(Asked.of(asked, log).candidates["user_id"], count) == part)
        assert by_part[-1] == tools.bits(expected[rows])
        others = [user for user in log.vocabularies["user"].values if part_of(pl.Series([user]), count)[0] != part]
        known = asked.filter(pl.col("user_id").is_in(others))
        with pytest.raises(DataError, match=rf"a user of part \d of {count} is asked, where only part {part} of the"):
            build_features(Asked.of(known, mapped), settings, None)
    assert len(by_part) > 1
