from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.made import Made
from recsys.data.tables import SAMPLED
from recsys.evaluation.rankings import Rankings
from recsys.jobs.exhibits import collect_exhibits
from recsys.jobs.sides import Opinion, Sides
from recsys.jobs.systems import open_system
from recsys.schema import TIME


@pytest.fixture
def sides(line) -> Sides:
    requests = line.dataset.plain().requests.sort("request_id", "item_id")
    systems = (open_system("random", line.dataset, "old", 0), open_system("random", line.dataset, "new", 0))
    rng = np.random.default_rng(5)
    probability = rng.random(len(requests))
    probability[:7] = np.nan
    answers = (Opinion(rng.random(len(requests)), probability), Opinion(rng.random(len(requests)), notes=("a note",)))
    made = Made(line.dataset.requests, line.dataset.requests.clear())
    return Sides(requests, line.dataset.plain(), made, systems, answers, seed=3)


def test_click_probabilities_are_judged_where_they_are_given(sides) -> None:
    found = collect_exhibits(sides, "nDCG@10")
    assert found.reliability_b is None
    assert found.reliability_a is not None
    assert sum(part.count for part in found.reliability_a.bins) == len(sides.requests) - 7
    assert found.reliability_a.unknown == 7
    assert sum(part.count for part in found.reliability_a.by_size.values()) == len(sides.requests) - 7
    labels, given = (sides.requests["label"] > 0).to_numpy()[7:], sides.answers[0].probability[7:]
    assert found.reliability_a.brier == pytest.approx(np.mean((given - labels) ** 2), abs=1e-12)


def test_a_side_that_gives_no_probability_to_any_of_these_lists_is_not_judged(sides) -> None:
    scores = sides.answers[0].scores
    silent = replace(sides, answers=(Opinion(scores, np.full(len(scores), np.nan)), sides.answers[1]))
    assert collect_exhibits(silent, "nDCG@10").reliability_a is None


def test_what_cannot_be_measured_is_said(sides) -> None:
    found = collect_exhibits(
        replace(sides, dataset=replace(sides.dataset, items=sides.dataset.items.drop("available_at"))), "nDCG@10"
    )
    names = [of.name for of in found.label_free]
    assert not any(name.startswith(("age", "diversity")) for name in names)
    assert found.notes[:2] == [
        "Freshness is left out: items have no available_at.",
        "Diversity is left out: neither side is a model, whose encoder would say how far items are apart.",
    ]
    assert "a note" in found.warnings


def test_novelty_counts_what_was_clicked_before_the_first_request(sides, line) -> None:
    """One list, one place, recomputed from the raw tables."""
    last = sides.requests.filter(pl.col("timestamp") == sides.requests["timestamp"].max())
    scores = np.arange(len(last), dtype=np.float64) * 100
    own = replace(sides, requests=last, answers=(Opinion(scores), Opinion(-scores)))
    novelty = next(of for of in collect_exhibits(own, "nDCG@10").label_free if of.name.startswith("novelty"))
    before = pl.col("timestamp") < last["timestamp"][0]
    past = [
        line.dataset.events.filter(before, pl.col("item_id") == item).height
        + line.dataset.requests.filter(before, pl.col("item_id") == item, pl.col("label") > 0).height
        for item in last["item_id"]
    ]
    bits = -np.log2((np.array(past) + 1) / (sum(past) + len(past)))
    shown = np.argsort(-scores)[:10]
    assert novelty.a == pytest.approx(bits[shown].mean(), abs=1e-9)


def test_unlisted_items_have_no_place_in_an_example(sides) -> None:
    labels = sides.lists.labels
    scores = np.where(labels > 0, -np.inf, sides.answers[1].scores)
    found = collect_exhibits(replace(sides, answers=(sides.answers[0], Opinion(scores))), "nDCG@10")
    for example in found.examples:
        assert all(of.b is None for of in example.listed if of.label)
        assert all(of.a is not None for of in example.listed)
    assert found.examples


def test_drawn_lists_and_a_weak_a_stand_beside_the_verdict(sides) -> None:
    about = replace(sides.dataset.about, sampled=True)
    sampled = replace(sides, dataset=replace(sides.dataset, about=about))
    found = collect_exhibits(sampled, "nDCG@10")
    assert found.warnings[0] == SAMPLED
    assert found.warnings[1].startswith(
        "old is a weak opponent, a rule that needs no training: beating it is the least"
    )
    assert SAMPLED not in found.notes
    old, new = sides.systems
    ranked = replace(old, rankings=Rankings("old", sides.requests.select("request_id", "item_id", score=1.0)))
    for words in collect_exhibits(replace(sides, systems=(ranked, new)), "nDCG@10").warnings:
        assert "weak" not in words
        assert words != SAMPLED


def test_versions_of_items_change_no_measure_but_by_their_first_moment_and_last_title(sides, line) -> None:
    items = line.dataset.plain().items
    later = items.with_columns(
        title=pl.lit("mended"),
        available_at=pl.col("available_at") + timedelta(days=9),
        known_at=pl.lit(items["available_at"].max(), TIME),
    )
    dated = pl.concat([later, items.with_columns(known_at=pl.lit(None, TIME))])
    plain = collect_exhibits(sides, "nDCG@10")
    found = collect_exhibits(replace(sides, dataset=replace(sides.dataset, items=dated)), "nDCG@10")
    assert [(of.name, of.a, of.b) for of in found.label_free] == [(of.name, of.a, of.b) for of in plain.label_free]
    assert found.facts["Data"] == plain.facts["Data"]
    assert {of.title for example in found.examples for of in example.listed} == {"mended"}
    said = "There is no known_at in {}: "
    assert any(note.startswith(said.format("items and users")) for note in plain.notes)
    assert any(note.startswith(said.format("users")) for note in found.notes)
