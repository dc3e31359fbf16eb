"""A record of who was forgotten leaves their rows out of tables, and holds no id."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys.data.tables import Dataset
from recsys.errors import ModelError
from recsys.jobs.nightly.forgotten import Forgotten

AT = datetime(2025, 1, 2, tzinfo=UTC)


def made(users: list[object], hours: list[int]) -> pl.DataFrame:
    moments = pl.Series([AT + timedelta(hours=hour) for hour in hours], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"user_id": users, "timestamp": moments})


@pytest.mark.parametrize(("one", "other"), [("ann", "bob"), (7, 77), ("7", "77")])
def test_rows_before_the_moment_are_left_out_and_all_others_stay(tmp_path: Path, one: object, other: object) -> None:
    record = tmp_path / "forgotten.json"
    Forgotten.read(record).also(str(one), AT, "plain").write(record)
    forgotten = Forgotten.read(record)
    assert str(one) not in forgotten.forms["plain"]
    events, requests = made([one, other, one], [-1, -1, -2]), made([other, one], [-5, -1])
    users = pl.DataFrame({"user_id": [one, other]})
    items = pl.DataFrame({"item_id": [1]})
    left = forgotten.left_out_of(Dataset(items, events, requests, users))
    assert left.events.equals(events.filter(pl.col("user_id") == other))
    assert left.requests.equals(requests.filter(pl.col("user_id") == other))
    assert left.users is not None
    assert left.users["user_id"].to_list() == [other]
    back = forgotten.left_out_of(Dataset(items, made([one, one, other], [-1, 0, 0]), requests, users))
    assert back.events["timestamp"].to_list() == [AT, AT]
    assert back.users is not None
    assert back.users["user_id"].to_list() == [one, other]
    whole = Dataset(items, made([other], [-1]), made([other], [-1]), None)
    assert forgotten.left_out_of(whole) is whole
    assert Forgotten.read(tmp_path / "none.json").left_out_of(back) is back


@pytest.mark.parametrize(
    "text", ["{}", '{"salt": "no digits", "forgotten": {}}', '{"salt": "ab", "forgotten": {"a": {"b": 3}}}']
)
def test_a_damaged_record_is_refused_for_it_would_bring_users_back(tmp_path: Path, text: str) -> None:
    (tmp_path / "forgotten.json").write_text(text)
    with pytest.raises(ModelError, match="take it from a copy: without it the next import brings back who was forgot"):
        Forgotten.read(tmp_path / "forgotten.json")
