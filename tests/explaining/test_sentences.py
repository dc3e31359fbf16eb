"""Sentences say what differs, in words and numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.explaining.explain import explain
from recsys.explaining.sentences import SPEAKS_OF, why
from recsys.features.plan import plan
from recsys.features.settings import FAMILIES, FeatureSettings
from recsys.model.ready import Ready


def name(item: object) -> str:
    return f"item {item}"


@pytest.fixture(scope="module")
def explained(line):
    ready = Ready.load(line.model, Path(line.model) / "state")
    return explain(ready, ready.ask(line.candidates(1)))


def test_every_family_has_words() -> None:
    settings = FeatureSettings.model_validate(
        {
            "families": FAMILIES,
            "affinity": ["category"],
            "context": ["device"],
            "scores": ["found"],
            "values": ["read"],
            "declarations": [{"kind": "count", "of": "view", "per": ["user", "item"], "window": "1d"}],
        }
    )
    assert {column.family for column in plan(settings)} == set(SPEAKS_OF)


def test_a_sentence_names_both_the_family_and_the_feature_that_says_most(explained) -> None:
    items, of = explained.ranked["item_id"], explained.contributions
    said = why(explained, 0, 1, name)
    gap = explained.ranked["score"][0] - explained.ranked["score"][1]
    assert said.startswith(f'"item {items[0]}" stands above "item {items[1]}", by {gap:.3f}, most of all for ')
    differs = of.by_family[0] - of.by_family[1]
    families = np.array([column.family for column in of.columns])
    told = {family: (of.told[0] - of.told[1])[families == family].sum() for family in of.families}
    best = max(told, key=lambda family: told[family])
    assert f"most of all for {SPEAKS_OF[best]} (+{told[best]:.3f}): " in said
    assert any(column.told.meaning in said for column in of.columns if column.family == best)
    assert sum(told.values()) == pytest.approx(gap, abs=1e-9)
    assert len(differs) == len(of.families)


def test_values_of_the_feature_stand_in_it(explained) -> None:
    of = explained.contributions
    column = next(place for place, each in enumerate(of.columns) if each.name == "click_count_item")
    told = np.zeros_like(of.told)
    told[0, column] = 1.0
    made = replace(explained, contributions=replace(of, told=told))
    row = explained.table.names.index("click_count_item")
    first, second = (explained.table.numbers[row, explained.rows[place]] for place in (0, 1))
    said = why(made, 0, 1, name)
    assert (
        said.endswith(
            f"by 1.000, most of all for how popular it is (+1.000): click rows of the item so far ({first:,.0f} "
            + (f"against {second:,.0f})." if first != second else "in both).")
        )
        or f"({first:,.0f} in both)" in said
    )
    told[0, of.families.index("popularity")] = 0.0
    against = told.copy()
    fresh = next(place for place, each in enumerate(of.columns) if each.family == "freshness")
    against[0, fresh] = -0.5
    made = replace(explained, contributions=replace(of, told=against))
    assert why(made, 0, 1, name).endswith("; how new it is speaks for the other one (-0.500).")


def test_equal_scores_and_rules_are_said(explained) -> None:
    of = explained.contributions
    alike = replace(explained, contributions=replace(of, told=np.zeros_like(of.told)))
    assert why(alike, 0, 1, name).endswith("by chance: their scores are the same.")
    told = np.zeros_like(of.told)
    told[1, 0] = 0.25
    lower = replace(explained, contributions=replace(of, told=told))
    assert why(lower, 0, 1, name).endswith("by a rule: its score is 0.250 lower.")


def test_a_category_and_what_is_not_known_are_written_as_words(explained) -> None:
    of, table = explained.contributions, explained.table
    category = next(place for place, each in enumerate(of.columns) if each.name == "item_category")
    told = np.zeros_like(of.told)
    told[0, category] = 1.0
    values = table.categories[0].values().gather(pl.Series(explained.rows))
    said = why(replace(explained, contributions=replace(of, told=told)), 0, 1, name)
    assert "for what kind it is (+1.000): " in said
    assert str(values[0]) in said
    unknown = np.zeros_like(of.told)
    age = next(place for place, each in enumerate(of.columns) if each.name == "item_age_hours")
    unknown[0, age] = 1.0
    numbers = table.numbers.copy()
    numbers[table.names.index("item_age_hours"), explained.rows[1]] = np.nan
    made = replace(explained, contributions=replace(of, told=unknown), table=replace(table, numbers=numbers))
    assert " against not known)." in why(made, 0, 1, name)
