"""Rules against a plain reading of them, list by list."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.arranging.rules import as_text, as_texts, placed
from recsys.arranging.settings import RuleSettings
from recsys.errors import SettingsError
from recsys.jobs.score import write_state

DAY = timedelta(days=1)


def plainly(order: list[int], fixed: dict[int, int], values: list[list[int]], caps: list[tuple[int, int]]) -> list[int]:
    """Place after place: what is fixed there, else the best that no cap holds back, else the best."""
    pinned = {place: row for row, place in fixed.items() if row in order and place < len(order)}
    left, found = [row for row in order if row not in pinned.values()], dict(pinned)
    for place in range(len(order)):
        if place in pinned:
            continue

        def free(row: int, place: int = place) -> bool:
            for (most, first), of in zip(caps, values, strict=True):
                if place < first and of[row] >= 0:
                    others = [found[each] for each in range(min(first, len(order))) if each in found]
                    if sum(of[other] == of[row] for other in others) >= most:
                        return False
            return True

        best = next((row for row in left if free(row)), left[0])
        found[place] = best
        left.remove(best)
    return [found[place] for place in range(len(order))]


@settings(max_examples=200)
@given(st.data())
def test_places_are_those_of_a_plain_reading(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    rows = sum(lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    orders = [data.draw(st.permutations(range(start, end))) for start, end in pairwise(starts)]
    caps = data.draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 8)), max_size=2))
    values = [data.draw(st.lists(st.integers(-1, 2), min_size=rows, max_size=rows)) for _ in caps]
    fixed = np.full(rows, -1, dtype=np.int64)
    for start, length in zip(starts, lengths, strict=False):
        for place, row in enumerate(data.draw(st.permutations(range(length)))[:2]):
            fixed[start + row] = data.draw(st.sampled_from([-1, 2 * place, 8 + place]))
    kept = np.array([row for order in orders for row in order], dtype=np.int64)
    table = np.array(values, dtype=np.int64).reshape(len(caps), rows)
    found = placed(kept, starts, fixed, table, np.array(caps, dtype=np.int64).reshape(len(caps), 2))
    for order, (start, end) in zip(orders, pairwise(starts), strict=True):
        of_list = {row: int(fixed[row]) for row in order if fixed[row] >= 0}
        assert found[start:end].tolist() == plainly(list(order), of_list, values, caps)


@pytest.fixture(scope="module")
def ranked_by(line, tmp_path_factory):
    """Rank the same lists under rules: a state that was written for them, and the ranker of it."""

    def ranker(**rules: object) -> Ranker:
        state = tmp_path_factory.mktemp("ruled") / "state"
        given = RuleSettings.model_validate(rules)
        first = line.candidates()["timestamp"].min()
        write_state(line.model, line.dataset, state, int(first.timestamp() * 1e6), rules=given)
        return Ranker.load(line.model, state=state)

    return ranker


@pytest.mark.slow
def test_what_was_chosen_or_seen_is_left_out_for_so_long(line, ranked_by) -> None:
    lists = line.candidates()
    bare = Ranker.load(line.model).rank(lists)
    asked = lists.select("request_id", "user_id", "item_id", as_of="timestamp")
    delay, known = line.settings.clock.feedback_delay, line.dataset
    clicked = known.requests.filter(pl.col("label") > 0).select(
        "user_id", "item_id", at=pl.col("timestamp") + line.settings.clock.clicks_known_after
    )
    opened = known.events.filter(pl.col("event") == "click").select("user_id", "item_id", at="timestamp")
    shown = known.requests.select("user_id", "item_id", at="timestamp")
    assert delay > timedelta(0)
    for rules, rows, reach in [
        ({"chosen": {"click": "always"}}, pl.concat([clicked, opened]), 10_000 * DAY),
        ({"chosen": {"click": "1d"}}, pl.concat([clicked, opened]), DAY),
        ({"seen": "6h"}, shown, timedelta(hours=6)),
    ]:
        gone = asked.join(rows, on=["user_id", "item_id"]).filter(
            pl.col("at") < pl.col("as_of"), pl.col("at") >= pl.col("as_of") - reach
        )
        gone = gone.select("request_id", "item_id").unique()
        assert 0 < len(gone) < len(lists)
        expected = bare.join(gone, on=["request_id", "item_id"], how="anti", maintain_order="left").drop("rank")
        found = ranked_by(**rules).rank(lists)
        assert_frame_equal(found.drop("rank"), expected, check_exact=True)
        assert (
            found["rank"].to_list()
            == found.select(pl.int_range(1, pl.len() + 1).over("request_id")).to_series().to_list()
        )


@pytest.mark.slow
def test_values_and_places_and_caps_of_attributes(line, ranked_by) -> None:
    lists, items = line.candidates(), line.dataset.items
    kinds = lists.join(items.select("item_id", "category"), on="item_id", how="left")
    out = kinds["category"].mode()[0]
    pinned = lists["item_id"].mode()[0]
    ranker = ranked_by(
        unavailable={"category": [out]}, fixed={3: int(pinned)}, caps=[{"attribute": "category", "most": 1, "first": 2}]
    )
    found = ranker.rank(lists).join(
        items.select("item_id", "category"), on="item_id", how="left", maintain_order="left"
    )
    assert out not in set(found["category"])
    assert {*found["item_id"]} == {*kinds.filter(pl.col("category") != out)["item_id"]}
    whole = found.filter(pl.len().over("request_id") >= 3)
    pins = whole.filter(pl.col("item_id") == pinned)
    assert len(pins) > 0 or kinds.filter(pl.col("item_id") == pinned)["category"][0] == out
    assert set(pins["rank"]) <= {3}
    pairs = (
        found.filter(pl.col("rank") <= 2)
        .group_by("request_id")
        .agg(pl.col("category").n_unique().alias("kinds"), pl.len().alias("places"))
    )
    many = found.group_by("request_id").agg(pl.col("category").n_unique().alias("of"))
    assert (
        pairs.join(many, on="request_id").filter((pl.col("kinds") < pl.col("places")) & (pl.col("of") > 1)).is_empty()
    )


@pytest.mark.slow
def test_items_that_nobody_knows_are_left_out_where_only_available_ones_may_stay(line, ranked_by) -> None:
    lists = line.candidates(5)
    strange = lists.with_columns(item_id=pl.col("item_id") + 10**6).group_by("request_id").head(1).select(lists.columns)
    found = ranked_by(available=True).rank(pl.concat([lists, strange]))
    assert not found["unknown_item"].any()
    assert {*found["request_id"]} <= {*lists["request_id"]}


@pytest.mark.slow
def test_scores_are_of_all_candidates_whatever_the_rules(line, ranked_by) -> None:
    lists = line.candidates(5)
    ranker = ranked_by(seen="always", available=True)
    scores = ranker.score(lists)
    assert scores.null_count() == 0
    assert scores.equals(Ranker.load(line.model).score(lists))


@pytest.mark.slow
def test_an_attribute_that_is_no_column_is_named(line, ranked_by) -> None:
    with pytest.raises(SettingsError, match=r"\[rules\] names 'stock', which is not a column of items; add it"):
        ranked_by(unavailable={"stock": [0]})


def test_values_are_written_alike_whatever_their_type() -> None:
    assert (
        as_texts(pl.Series([0.0, 1.0, None])).to_list()
        == ["0", "1", None]
        == as_texts(pl.Series([0, 1, None])).to_list()
    )
    assert as_texts(pl.Series([True, False])).to_list() == [as_text(True), as_text(False)] == ["true", "false"]
    assert as_texts(pl.Series([0.5])).to_list() == ["0.5"]
    assert as_text(3) == "3"
