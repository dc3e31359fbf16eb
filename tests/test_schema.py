import polars as pl
import pytest

from recsys.schema import AFTER_THE_LIST, CANDIDATES, EVENTS, ITEMS, RANKINGS, REQUESTS, USERS
from recsys.serving.ranker import Ranker

TABLES = (ITEMS, USERS, EVENTS, REQUESTS, CANDIDATES, RANKINGS)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_names_each_column_once_and_its_key_among_them(table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert {*table.required, *table.key} <= {*names}
    assert table.key_of(names) == [*table.key]
    assert [*table.key_of(table.required)] == [name for name in table.key if name in table.required]
    assert not table.key or table.key_of(table.required)
    assert table.column(names[0]).name == names[0]
    assert table.column("no such column") is None


def test_a_column_means_the_same_in_every_table() -> None:
    kinds: dict[str, str] = {}
    for table in TABLES:
        for column in table.columns:
            assert kinds.setdefault(column.name, column.kind) == column.kind


def test_requests_are_candidates_with_a_label() -> None:
    extra = set(REQUESTS.columns) - set(CANDIDATES.columns)
    assert {column.name for column in extra} == {"label", "clicked_at", "views", "clicks"}
    assert {column.name for column in CANDIDATES.columns} & set(AFTER_THE_LIST) == {"position", "propensity"}


def test_rankings_are_what_the_ranker_answers(line) -> None:
    answer = Ranker.load(line.model).rank(line.candidates(1))
    assert tuple(answer.columns) == RANKINGS.required
    assert answer.schema["unknown_user"] == pl.Boolean


def test_the_tables_of_a_world_hold_every_required_column(line) -> None:
    for table in (ITEMS, USERS, EVENTS, REQUESTS):
        assert set(table.required) <= set(getattr(line.dataset, table.name).columns)
