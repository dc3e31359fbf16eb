"""What every ranker does alike, whether it learnt or not: one suite for baselines and models."""

import numpy as np
import polars as pl
import pytest

from recsys.evaluation.evaluation import BASELINES
from recsys.jobs.judging import known_to, read_logged, text_alone
from recsys.jobs.sides import Opinion, System
from recsys.jobs.systems import open_system
from recsys.model.folder import Model
from recsys.model.ready import Ready
from recsys.past.lookup import Asked


@pytest.fixture(scope="module", params=[*BASELINES, "text alone", "behaviour alone", "a model"])
def side(request, line):
    """A baseline, a model or a part of one, opened on the line's data."""
    return opened(request.param, line)


def opened(name: str, line) -> System:
    if not name.endswith(" alone"):
        return open_system(line.model if name == "a model" else name, line.dataset, "side", 3)
    ready, _ = Ready.today(line.model, line.dataset)
    ranker = ready.model.rankers["behaviour"]

    def answer(asked: Asked) -> Opinion:
        logged = read_logged(ready.ask(asked.candidates), ready.model.settings.features, ready.reader)
        table = logged.examples.table
        return Opinion(text_alone(table) if name == "text alone" else ranker.score(known_to(ranker, table)))

    return System(name, answer)


@pytest.fixture(scope="module")
def rows(line) -> pl.DataFrame:
    """Some lists of the test window."""
    requests = Model.load(line.model).windows.of(line.dataset.plain().requests, "test")
    some = requests["request_id"].unique().sort()[:12]
    return requests.filter(pl.col("request_id").is_in(some.implode()))


def answers(side, line, rows: pl.DataFrame) -> dict[tuple[object, object], float]:
    """The score of each candidate of each request."""
    asked = Asked.of(rows, line.judgement.log)
    scores = side.answer(asked).scores
    assert scores.shape == (len(rows),)
    assert np.isfinite(scores).all()
    keys = asked.candidates.select("request_id", "item_id").rows()
    return dict(zip(keys, scores.tolist(), strict=True))


def test_the_order_of_rows_changes_no_score(side, line, rows) -> None:
    assert answers(side, line, rows.sample(fraction=1.0, shuffle=True, seed=1)) == answers(side, line, rows)


def test_a_list_has_the_scores_alone_that_it_has_among_others(side, line, rows) -> None:
    alone = [answers(side, line, of) for _, of in rows.group_by("request_id")]
    assert {key: score for one in alone for key, score in one.items()} == answers(side, line, rows)


def test_opened_again_it_says_the_same(side, line, rows, request) -> None:
    again = opened(request.node.callspec.params["side"], line)
    assert answers(again, line, rows) == answers(side, line, rows)


def test_users_and_items_that_nobody_knows_are_ranked_among_the_others(side, line, rows) -> None:
    strangers = rows.with_columns(
        user_id=pl.lit(max(line.dataset.requests["user_id"]) + 1, rows.schema["user_id"]),
        request_id=pl.col("request_id") + 10**6,
    )
    assert len(answers(side, line, strangers)) == len(rows)
    one = rows.filter(pl.col("request_id") == rows["request_id"][0])
    new = one.head(1).with_columns(item_id=pl.lit(max(line.dataset.items["item_id"]) + 1, rows.schema["item_id"]))
    found = answers(side, line, pl.concat([one, new]))
    assert len(found) == len(one) + 1


def test_lists_of_one_and_of_nothing(side, line, rows) -> None:
    assert len(answers(side, line, rows.head(1))) == 1
    assert answers(side, line, rows.clear()) == {}


def test_items_that_are_alike_in_all_have_one_score(side, line, rows, request) -> None:
    """Two items that nobody has seen differ in nothing but their ids."""
    if request.node.callspec.params["side"] == "random":
        pytest.skip("random numbers differ")
    last = max(line.dataset.items["item_id"])
    one = rows.filter(pl.col("request_id") == rows["request_id"][0])
    ids = pl.Series("item_id", [last + 1, last + 2], rows.schema["item_id"])
    twins = one.head(2).with_columns(ids, label=pl.lit(0, rows.schema["label"]))
    first, second = answers(side, line, twins).values()
    assert first == second


def test_the_labels_of_what_is_asked_say_nothing(side, line, rows) -> None:
    other = rows.with_columns(label=(1 - pl.col("label")).cast(rows.schema["label"]))
    assert answers(side, line, other) == answers(side, line, rows)


def test_the_seed_of_a_random_order_is_its_own(line, rows) -> None:
    one, other = (open_system("random", line.dataset, "r", seed) for seed in (3, 4))
    assert answers(one, line, rows) != answers(other, line, rows)
