from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys.data.tables import About, Dataset
from recsys.features.settings import FOR_MADE
from recsys.init.lists import candidate_section, field_entries
from recsys.schema import TIME

START = datetime(2024, 1, 1, tzinfo=UTC)


def shop(repeats: int, sampled: bool = True, kind: str = "purchase") -> Dataset:
    """A hundred choices of users 0 to 9, the last `repeats` of them choices of the same item again."""
    rows = [(n, n % 10, START + timedelta(hours=n), n // 10 if n < 100 - repeats else 0, 1) for n in range(100)]
    schema = {"request_id": pl.Int64, "user_id": pl.Int64, "timestamp": TIME, "item_id": pl.Int64, "label": pl.Int64}
    requests = pl.DataFrame(rows, schema=schema, orient="row")
    events = requests.head(3).select(pl.col("user_id") + 50, "item_id", "timestamp", event=pl.lit(kind))
    return Dataset(pl.DataFrame({"item_id": range(10)}), events, requests, about=About(sampled=sampled))


def values(sections):
    return {entry.key: entry.value for section in sections for entry in section.entries}


def test_logged_lists_need_no_sources():
    assert candidate_section(shop(0, sampled=False), says_nothing=False) == []
    assert field_entries(shop(0, sampled=False)) == ()


@pytest.mark.parametrize(
    ("repeats", "kind", "once"),
    [
        (1, "purchase", ["click", "purchase"]),
        (1, "rating", ["click", "rating"]),
        (1, "view", ["click"]),
        (9, "purchase", None),
    ],
)
def test_what_is_hardly_chosen_twice_is_no_candidate_again(repeats, kind, once):
    found = values(candidate_section(shop(repeats, kind=kind), says_nothing=False))
    assert found.get("once") == once
    assert ("again" in found["sources"]) == (once is None)
    assert "nearest" in found["sources"]
    assert "nearest" not in values(candidate_section(shop(repeats), says_nothing=True))["sources"]


def test_features_of_made_lists_are_those_of_the_field():
    found = {entry.key: entry.value for entry in field_entries(shop(0))}
    assert found == {"families": list(FOR_MADE), "compared": "field"}
