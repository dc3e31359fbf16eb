"""Foreign tables that hold several versions of an id."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.data.checks import check_tables
from recsys.data.importers import read_mapped
from tests.data.importers.test_mapped import EVENTS, REQUESTS, mapping


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "requests.csv").write_text(REQUESTS)
    return tmp_path


def test_versions_of_items_and_users_come_with_their_moments(folder: Path) -> None:
    (folder / "items.csv").write_text(
        "item_id,title,valid_from\n1,one,\n1,uno,01/03/2024 10:00\n2,two,NULL\n1,eins,01/03/2024 09:00\n"
    )
    (folder / "users.csv").write_text("user_id,plan,since\n7,free,1709200000\n7,paid,1709290000\n8,free,\n")
    data = read_mapped(
        folder,
        mapping(
            items={"columns": {"known_at": "valid_from"}, "time_format": "%d/%m/%Y %H:%M"},
            users={"columns": {"known_at": "since"}, "time_format": "seconds"},
        ),
    )
    ten = datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert data.items["known_at"].to_list() == [None, ten, None, ten - timedelta(hours=1)]
    assert data.users is not None
    assert data.users["known_at"].dt.epoch("s").to_list() == [1709200000, 1709290000, None]
    report = check_tables(data)
    assert report.ok
    assert not [fault for fault in report.faults if fault.column == "known_at"]


def test_a_tidy_import_keeps_one_row_of_each_version(folder: Path) -> None:
    (folder / "items.csv").write_text(
        "item_id,title,known_at\n1,one,\n1,again,\n1,uno,2024-03-01T10:00:00Z\n1,due,2024-03-01T10:00:00Z\n2,two,\n"
    )
    data = read_mapped(folder, mapping(tidy=True))
    assert data.items["title"].to_list() == ["one", "uno", "two"]
    assert "2 rows of items repeat item_id and known_at; the first of each is kept." in data.about.notes
    assert check_tables(data).ok
