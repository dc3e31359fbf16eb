"""A log without a user answers for all others as before, and for the user as for nobody."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from recsys.features.plan import build_features, counted_keys
from recsys.features.settings import Declaration
from recsys.past import parts
from recsys.past.blocks import map_table
from recsys.past.forgetting import without_users
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.parts import Cut
from recsys.past.stored import write_log
from tests.past.test_stored import DAY, KEPT, load
from tests.past.test_stored import written as write

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("users", [2, 2**16])
@pytest.mark.parametrize("compact", [False, True])
def test_others_are_answered_as_before_and_who_is_gone_as_somebody_new(tools, tmp_path, monkeypatch, compact, users):
    monkeypatch.setattr(parts, "USERS", users)
    case, families = tools.full_case(7, feedback_delay="10m"), ("popularity", "affinity", "transitions")
    written = {"kind": "count", "of": "click", "per": ["item", "user"]}  # in whatever order: users are told apart
    declared = (*tools.settings.declarations, TypeAdapter(Declaration).validate_python(written))
    settings = tools.settings.model_copy(
        update={"families": families, "windows": (timedelta(hours=2),), "declarations": declared}
    )
    keys, log = counted_keys(settings), Log(case.log.behaviour, case.time, case.history, 2 * DAY)
    as_of = log.rows(case.candidates).as_of
    first = int(np.median(as_of))
    kept = log.compacted(first, KEPT, keys) if compact else log
    before = load(write(kept, tmp_path / "log", settings), log)
    user = before.users.by_code[1]
    gone = (before.users.by_code == user).to_numpy()
    read = before.top.read
    (tmp_path / "without").mkdir()
    write_log(tmp_path / "without", without_users(before, gone, keys), keys, read.count if isinstance(read, Cut) else 1)
    assert user not in map_table(tmp_path / "without/vocabulary-0.arrow")["value"].to_list()
    after = load(tmp_path / "without", log)
    asked = case.candidates.filter(pl.Series(as_of >= first)) if compact else case.candidates
    others, own = asked.filter(pl.col("user_id") != user), asked.filter(pl.col("user_id") == user)
    assert len(own)
    found, expected = (build_features(Asked.of(others, each), settings, None) for each in (after, before))
    assert tools.bits(found) == tools.bits(expected)
    stranger = own.with_columns(pl.lit("nobody" if own["user_id"].dtype == pl.String else -5).alias("user_id"))
    found, expected = (
        build_features(Asked.of(each, of), settings, None) for each, of in ((own, after), (stranger, before))
    )
    assert tools.bits(found) == tools.bits(expected)
    for name in ("users", "showings", "events"):
        assert user not in getattr(after.behaviour, name)["user_id"].to_list()
