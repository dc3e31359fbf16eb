"""Sentences say what differs, in words and numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.explaining.explain import Ruled, explain
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


@pytest.mark.parametrize(
    ("ahead", "boosts", "fixed", "propensity", "said"),
    [
        (0.0, (0, 0), (False, False), None, "by chance: their scores are the same."),
        (-1e-17, (0, 0), (False, False), None, "by chance: their scores are the same."),
        (-0.25, (0, 0), (False, False), None, "by a rule ([rules] caps or diversity): its score is 0.250 lower."),
        (-0.25, (0, 0), (True, False), None, "because a rule fixes it to place 1 ([rules] fixed): its score is 0.250 lower."),
        (0.25, (0, 0), (True, False), None, "because a rule fixes it to place 1 ([rules] fixed): its score is 0.250 higher."),
        (-0.25, (0, 0), (False, True), None, "because a rule fixes the other one to its place ([rules] fixed): its score is 0.250 lower."),
        (-0.25, (0.5, 0), (False, False), None, "by a boost of +0.500 ([rules] boosts): its score is 0.250 lower."),
        (0.25, (0, 0.5), (False, False), None, "caps or diversity): its score is 0.250 higher, and with boosts it is 0.250 behind."),
        (-0.25, (0, 0), (False, False), 0.0125, "by chance ([rules] exploration, with a probability of 0.0125): its score is 0.250 lower."),
        (-0.25, (0, 0), (False, False), 0.9, "by a rule ([rules] caps or diversity): its score is 0.250 lower."),
    ],
)  # fmt: skip
def test_rules_and_chance_are_said(explained, ahead, boosts, fixed, propensity, said) -> None:
    of, rows = explained.contributions, len(explained.ranked)
    told = np.zeros_like(of.told)
    told[0, 0] = ahead
    ruled = Ruled(np.zeros(rows), np.zeros(rows, dtype=bool), ("caps", "diversity"))
    ruled.boosts[:2], ruled.fixed[:2] = boosts, fixed
    ranked = explained.ranked
    if propensity is not None:
        ranked = ranked.with_columns(propensity=pl.Series([propensity] + [1.0] * (rows - 1)))
    made = replace(explained, contributions=replace(of, told=told), ruled=ruled, ranked=ranked)
    assert why(made, 0, 1, name).endswith(said)


def test_a_boost_is_told_apart_from_the_score(explained) -> None:
    of, rows = explained.contributions, len(explained.ranked)
    told = np.zeros_like(of.told)
    told[0, 0] = 0.008
    ruled = Ruled(np.zeros(rows), np.zeros(rows, dtype=bool), ())
    ruled.boosts[0] = 0.3
    made = replace(explained, contributions=replace(of, told=told), ruled=ruled)
    assert ", by 0.308 with a boost of +0.300 ([rules] boosts), its score by 0.008, most of all for " in why(
        made, 0, 1, name
    )


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
