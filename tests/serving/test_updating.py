"""Rankers that are told what happened since their state was written."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.data.clock import TimeSettings
from recsys.data.labels import LabelSettings, with_clicks
from recsys.data.tables import Dataset
from recsys.errors import DataError, SettingsError
from recsys.features.columns import TEXT_COLUMNS
from recsys.features.plan import build_features
from recsys.model.folder import Model, State
from recsys.model.prepared import behaviour_of
from recsys.model.ready import Ready
from recsys.past import tail as tail_module
from recsys.vectors.item_vectors import ItemVectors

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Day:
    """A world that is told in parts: what the state holds, what comes later, and lists to rank at the end."""

    dataset: Dataset
    model: Model
    vectors: ItemVectors
    folder: Path
    cut: datetime

    @classmethod
    def of(cls, line, texts: bool = False) -> "Day":
        """After the cut, some users, items and devices are new; their ids lie before, between and behind the others."""
        dataset, state = line.dataset, State.load(line.model / "state", line.model)
        cut = dataset.requests["timestamp"].quantile(0.7)
        late = pl.col("timestamp") > cut

        def strange(table: pl.DataFrame) -> pl.DataFrame:
            columns = [pl.when(late & (pl.col(name) % few == 0)).then(-pl.col(name)).otherwise(name).alias(name)
                       for name, few in (("user_id", 7), ("item_id", 11))]  # fmt: skip
            if "device" in table.columns:
                columns.append(
                    pl.when(late & (pl.col("request_id") % 5 == 0))
                    .then(pl.lit("watch"))
                    .otherwise("device")
                    .alias("device")
                )
            table = table.with_columns(columns)
            return name_ids(table) if texts else table

        items = name_ids(dataset.items) if texts else dataset.items
        dataset = Dataset(items, strange(dataset.events), strange(dataset.requests))
        return cls(dataset, Model.load(line.model), replace(state.vectors, item_ids=items["item_id"]), line.model, cut)

    def ranker(self, until: datetime | None = None) -> Ranker:
        """A ranker whose state holds everything, or what lies before a moment."""
        dataset = self.dataset
        if until is not None:
            early = pl.col("timestamp") <= until
            dataset = replace(dataset, events=dataset.events.filter(early), requests=dataset.requests.filter(early))
        behaviour = behaviour_of(dataset, self.model.settings.features.kept)
        return Ranker(Ready.of(self.model, State(behaviour, self.vectors), self.folder))

    def parts(self, seed: int, steps: int, in_order: bool = True) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Events and lists after the cut, in steps; of half the lists the labels come in later steps, in parts."""
        random = np.random.default_rng(seed)
        late = pl.col("timestamp") > self.cut
        events, shown = (table.filter(late).sort("timestamp") for table in (self.dataset.events, self.dataset.requests))
        lists = shown["request_id"].unique(maintain_order=True)
        first = random.integers(0, steps, len(lists))
        first = pl.DataFrame({"request_id": lists, "told": np.sort(first) if in_order else first})
        step_of_event = random.integers(0, steps, len(events))
        step_of_event = np.sort(step_of_event) if in_order else step_of_event
        later = np.where(random.random(len(shown)) < 0.5, random.integers(0, 3, len(shown)), 0)
        shown = shown.join(first, on="request_id", maintain_order="left").with_columns(
            later=pl.col("told") + pl.Series(later)
        )
        told = [name for name in ("label", "clicked_at") if name in shown.columns]
        for step in range(steps + 2):
            new = shown.filter(pl.col("told") == step).with_columns(
                pl.when(pl.col("later") == step).then(name).alias(name) for name in told
            )
            answers = shown.filter(pl.col("told") < step, pl.col("later") == step)
            yield events.filter(pl.Series(step_of_event == step)), pl.concat([answers, new]).drop("told", "later")

    def with_two_delays(self, freshness: str) -> "Day":
        """The same day where clicks are known after a delay of their own, or at a moment that is logged."""
        seen = (pl.col("label") > 0) & (pl.int_range(pl.len()) % 3 > 0)
        after = pl.duration(seconds=(pl.int_range(pl.len()) * 37) % 30_000)
        requests = self.dataset.requests.with_columns(clicked_at=pl.when(seen).then(pl.col("timestamp") + after))
        time = TimeSettings(freshness=freshness, feedback_delay="6h", click_delay="20m")  # type: ignore[arg-type]
        model = replace(self.model, settings=self.model.settings.model_copy(update={"time": time}))
        return replace(self, dataset=replace(self.dataset, requests=requests), model=model)

    def candidates(self, requests: int = 12) -> pl.DataFrame:
        """The last lists, and the same lists a day later."""
        table = self.dataset.requests.drop("label", "position", "propensity")
        ids = table["request_id"].unique(maintain_order=True).tail(requests)
        last = table.filter(pl.col("request_id").is_in(ids.implode()))
        again = last.with_columns(
            pl.col("timestamp") + timedelta(days=1), pl.concat_str(pl.lit("again"), "request_id").alias("request_id")
        )
        return pl.concat([last.with_columns(pl.col("request_id").cast(pl.String)), again])


def name_ids(table: pl.DataFrame) -> pl.DataFrame:
    ids = [name for name in ("user_id", "item_id") if name in table.columns]
    return table.with_columns((pl.lit("id ") + pl.col(name).cast(pl.String)).alias(name) for name in ids)


@pytest.fixture(scope="module")
def day(line) -> Day:
    return Day.of(line)


@pytest.mark.parametrize(
    ("texts", "rows", "steps", "in_order"),
    [
        (False, 10_000, 1, True),
        (False, 50, 9, True),
        (False, 300, 5, False),
        (True, 100, 5, True),
        (True, 40, 4, False),
    ],
)
def test_what_is_told_in_updates_counts_as_if_it_had_been_in_the_state(
    line, monkeypatch, texts, rows, steps, in_order
) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    day = Day.of(line, texts)
    ranker, candidates = day.ranker(day.cut), day.candidates()
    before = ranker.rank(candidates)
    for events, shown in day.parts(steps, steps, in_order):
        ranker.update(events, shown)
    after = ranker.rank(candidates)
    assert_frame_equal(after, day.ranker().rank(candidates), check_exact=True)
    assert not after["score"].equals(before["score"])
    assert after["unknown_item"].any()


@pytest.mark.parametrize("freshness", ["live", "1d"])
@pytest.mark.parametrize(("rows", "in_order"), [(10_000, True), (60, False)])
def test_with_two_delays_what_is_told_counts_as_if_it_had_been_in_the_state(
    line, monkeypatch, freshness, rows, in_order
) -> None:
    monkeypatch.setattr(tail_module, "ROWS", rows)
    day = Day.of(line).with_two_delays(freshness)
    ranker, candidates = day.ranker(day.cut), day.candidates()
    for events, shown in day.parts(7, 5, in_order):
        ranker.update(events, shown)
    assert_frame_equal(ranker.rank(candidates), day.ranker().rank(candidates), check_exact=True)
    plain = replace(day, model=Model.load(line.model)).ranker().rank(candidates)
    assert not plain["score"].equals(day.ranker().rank(candidates)["score"])


def test_a_click_that_is_told_early_is_not_read_early(line, day) -> None:
    day = day.with_two_delays("live")
    candidates = line.candidates(1).with_columns(user_id=pl.lit(-1, dtype=pl.Int64))
    moment = candidates["timestamp"][0]
    shown = candidates.with_columns(label=1, request_id=pl.lit(-5, dtype=pl.Int64), position=None, propensity=None)
    for ago, clicked_after, known in [
        (timedelta(minutes=20), None, False),
        (timedelta(minutes=20, seconds=1), None, True),
        (timedelta(minutes=10), timedelta(minutes=10), False),
        (timedelta(minutes=10), timedelta(minutes=9), True),
        (timedelta(hours=10), timedelta(hours=10), False),  # too late for a rate, and not known as a click
        (timedelta(hours=10), timedelta(hours=9), True),
    ]:
        ranker, blind = day.ranker(), day.ranker()
        at = pl.col("timestamp") - ago
        told = shown.with_columns(at.alias("timestamp"))
        clicked = told if clicked_after is None else told.with_columns(clicked_at=pl.col("timestamp") + clicked_after)
        ranker.update(requests=clicked)
        blind.update(requests=told.with_columns(label=0))
        asked = [each._ready.ask(candidates) for each in (ranker, blind)]
        for each, clicks in zip(asked, (known, False), strict=True):
            assert (each.lookup.amount("click", ("user",), None) > 0).all() == clicks
        outcomes = [each.lookup.amount("outcome", ("user",), None, 1).sum() for each in asked]
        assert outcomes == [0, 0]
        assert moment == candidates["timestamp"][0]


def test_a_process_that_is_told_the_same_again_gives_the_same_rankings(day) -> None:
    candidates, answers = day.candidates(), []
    for _ in range(2):
        ranker = day.ranker(day.cut)
        for events, shown in day.parts(1, 4):
            ranker.update(events)
            ranker.update(requests=shown)
        answers.append(ranker.rank(candidates))
    assert_frame_equal(*answers, check_exact=True)


def test_updates_may_be_pandas_and_naive_moments_are_utc(day) -> None:
    told = [day.ranker(day.cut) for _ in range(4)]
    for events, shown in day.parts(2, 3):
        told[0].update(events, shown)
        told[1].update(events.to_pandas(), shown.to_pandas())  # labels beside gaps are floats there
        naive = [frame.with_columns(pl.col("timestamp").dt.replace_time_zone(None)) for frame in (events, shown)]
        told[2].update(*naive)
        narrow = shown.with_columns(pl.col("user_id").cast(pl.Int32), pl.col("device").cast(pl.Categorical))
        elsewhere = events.with_columns(
            pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"), pl.col("event").cast(pl.Categorical)
        )
        told[3].update(elsewhere, narrow)
    first, *others = (ranker.rank(day.candidates()) for ranker in told)
    for other in others:
        assert_frame_equal(other, first, check_exact=True)


def test_lists_need_no_label_column_until_labels_are_known(day) -> None:
    one, other = day.ranker(day.cut), day.ranker(day.cut)
    ((events, shown),) = [part for part in day.parts(0, 1) if len(part[0])]
    one.update(events, shown.drop("label"))
    other.update(events, shown.with_columns(label=None))
    assert_frame_equal(one.rank(day.candidates()), other.rank(day.candidates()), check_exact=True)
    unlabelled = one.rank(day.candidates())
    one.update(requests=day.dataset.requests.filter(pl.col("timestamp") > day.cut))
    assert_frame_equal(one.rank(day.candidates()), day.ranker().rank(day.candidates()), check_exact=True)
    assert not one.rank(day.candidates())["score"].equals(unlabelled["score"])


@pytest.fixture(scope="module")
def ranker(line) -> Ranker:
    return Ranker.load(line.model)


def test_a_user_is_known_once_a_click_was_told(line, ranker) -> None:
    candidates = line.candidates(1).with_columns(user_id=pl.lit(-1, dtype=pl.Int64))
    moment, item = candidates["timestamp"][0], candidates["item_id"][0]
    fresh = Ranker.load(line.model)
    click = pl.DataFrame({"user_id": [-1], "item_id": [item], "timestamp": [moment], "event": ["click"]})
    fresh.update(click)
    assert fresh.rank(candidates)["unknown_user"].all()  # not known before it happened
    fresh.update(click.with_columns(pl.col("timestamp") - timedelta(seconds=1)))
    assert not fresh.rank(candidates)["unknown_user"].any()
    assert ranker.rank(candidates)["unknown_user"].all()
    late = click.with_columns(
        pl.lit(-2, dtype=pl.Int64).alias("user_id"), pl.col("timestamp") - timedelta(hours=1), known_at=moment
    )
    fresh.update(late)
    assert fresh.rank(candidates.with_columns(user_id=pl.lit(-2, dtype=pl.Int64)))["unknown_user"].all()


def test_what_counts_as_history_is_read_once_it_was_told_and_does_not_count(line, day) -> None:
    text = day.model.settings.text.model_copy(update={"history": ("order",)})
    model = replace(day.model, settings=day.model.settings.model_copy(update={"text": text}))
    state = replace(State.load(line.model / "state", line.model), log=None)
    reads, blind = (Ranker(Ready.of(each, state, line.model)) for each in (model, day.model))
    candidates = line.candidates(1).with_columns(user_id=pl.lit(-1, dtype=pl.Int64))
    moment, item = candidates["timestamp"][0] - timedelta(hours=1), candidates["item_id"][0]
    order = pl.DataFrame({"user_id": [-1], "item_id": [item], "timestamp": [moment], "event": ["order"]})
    for ranker in (reads, blind):
        ranker.update(order)
    assert not reads.rank(candidates)["unknown_user"].any()
    assert blind.rank(candidates)["unknown_user"].all()
    told = [
        build_features(each.ask(candidates), each.model.settings.features, each.reader)
        for each in (reads._ready, blind._ready)
    ]
    same = {name for name in told[0].columns if told[0][name].equals(told[1][name], null_equal=True)}
    assert {"click_count_item_1d", "hours_since_click_user", "click_rate_item_1d"} & set(told[0].columns) <= same
    assert set(TEXT_COLUMNS) - same
    assert "click_count_last_item_item" not in same


def test_every_answer_beside_an_update_is_of_one_version(day, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "ROWS", 100)
    candidates, parts = day.candidates(4), list(day.parts(3, 6, in_order=False))
    alone = day.ranker(day.cut)
    versions = [alone.score(candidates).to_list()]
    for part in parts:
        alone.update(*part)
        versions.append(alone.score(candidates).to_list())
    shared, begin = day.ranker(day.cut), Barrier(5)

    def read(_: int) -> list[list[float]]:
        begin.wait()
        return [shared.score(candidates).to_list() for _ in range(12)]

    with ThreadPoolExecutor(4) as pool:
        reading = pool.map(read, range(4))
        begin.wait()
        for part in parts:
            shared.update(*part)
        answers = list(reading)
    for each in answers:
        seen = [versions.index(scores) for scores in each]
        assert seen == sorted(seen)
    assert shared.score(candidates).to_list() == versions[-1]


def test_updates_from_many_threads_are_all_kept(day) -> None:
    parts = [part for part in day.parts(4, 8) if len(part[0]) + len(part[1])]
    shown = day.dataset.requests.filter(pl.col("timestamp") > day.cut).partition_by("request_id")
    shared, begin = day.ranker(day.cut), Barrier(4)

    def tell(number: int) -> None:
        begin.wait()
        for events, _ in parts[number::4]:
            shared.update(events)
        for some in (shown[number::8], shown[number + 4 :: 8]):
            shared.update(requests=pl.concat(some))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tell, range(4)))
    assert_frame_equal(shared.rank(day.candidates()), day.ranker().rank(day.candidates()), check_exact=True)


def test_an_update_with_a_fault_adds_nothing(day) -> None:
    ranker, candidates = day.ranker(day.cut), day.candidates()
    ((events, shown),) = [part for part in day.parts(0, 1) if len(part[0])]
    ranker.update(requests=shown)
    before = ranker.rank(candidates)
    for bad in (
        shown.with_columns(label=1 - pl.col("label")),
        shown.with_columns(user_id=pl.lit("x")),
        shown.with_columns(device=pl.lit(1)),
        shown.drop("device"),
    ):
        with pytest.raises((DataError, SettingsError)):
            ranker.update(events, bad)
    ranker.update()
    ranker.update(None, None)
    ranker.update(events.clear(), shown.clear())
    assert_frame_equal(ranker.rank(candidates), before, check_exact=True)
    ranker.update(events)
    assert not ranker.rank(candidates)["score"].equals(before["score"])


FAULTS = {
    "no user of an event": ("events", lambda frame: frame.drop("user_id"), r"error: events.user_id: the column is missing"),
    "no kind of event": ("events", lambda frame: frame.drop("event"), r"error: events.event: the column is missing"),
    "no moment of a list": ("requests", lambda frame: frame.drop("timestamp"), r"error: requests.timestamp: the column is missing"),
    "no request": ("requests", lambda frame: frame.drop("request_id"), r"error: requests.request_id: the column is missing"),
    "ids of another kind in events": (
        "events", lambda frame: name_ids(frame), "^events hold user_id as String, the model's data as Int64; cast the column to the same kind"),
    "ids of another kind in lists": (
        "requests", lambda frame: frame.with_columns(pl.col("item_id").cast(pl.String)), "^requests hold item_id as String, the model's data"),
    "ids beyond 63 bits": (
        "events", lambda frame: frame.with_columns(item_id=pl.lit(2**63, dtype=pl.UInt64)), r"events\.item_id: ids of 2\*\*63 or more, such as 9223372036854775808; write them as text"),
    "an event to come": (
        "events", lambda frame: frame.with_columns(timestamp=datetime(2999, 1, 1, tzinfo=UTC)), r"events.timestamp: .*moments later than now"),
    "an event that will be known": (
        "events", lambda frame: frame.with_columns(known_at=datetime(2999, 1, 1, tzinfo=UTC)), r"events.known_at: .*moments later than now"),
    "a list to come": (
        "requests", lambda frame: frame.with_columns(timestamp=datetime(2999, 1, 1)), r"requests.timestamp: .*moments later than now"),
    "labels below 0": ("requests", lambda frame: frame.with_columns(label=-1), r"requests.label: .*labels below 0"),
    "labels above 30": ("requests", lambda frame: frame.with_columns(label=31.0), r"requests.label: .*labels above 30"),
    "a click before its list": (
        "requests", lambda frame: frame.with_columns(label=1, clicked_at=pl.col("timestamp") - timedelta(1)), r"requests.clicked_at: clicked before the list was shown in 40"),
    "the moment of no click": (
        "requests", lambda frame: frame.with_columns(label=None, clicked_at="timestamp"), r"requests.clicked_at: the moment of a click where label says there was none"),
    "a click at no moment": (
        "requests", lambda frame: frame.with_columns(label=1, clicked_at=pl.lit("noon")), r"requests.clicked_at: the column is String, not moments, such as 'noon'"),
    "a click to come": (
        "requests", lambda frame: frame.with_columns(label=1, clicked_at=datetime(2999, 1, 1, tzinfo=UTC)), r"requests.clicked_at: moments later than now"),
    "labels in parts": ("requests", lambda frame: frame.with_columns(label=0.5), r"requests.label: .*is Float64, not whole numbers"),
    "endless labels": ("requests", lambda frame: frame.with_columns(label=1e30), r"requests.label: .*is Float64, not whole numbers"),
    "a candidate twice": ("requests", lambda frame: pl.concat([frame, frame[:1]]), "requests.request_id . item_id: .*again"),
    "a list of two users": ("requests", lambda frame: frame.with_columns(user_id=pl.int_range(pl.len())), "requests.user_id: .*requests with two users"),
    "a device of another kind": ("requests", lambda frame: frame.with_columns(device=1), "requests hold device as Int32, and as String before"),
    "a dictionary": ("events", lambda frame: frame.to_dict(), "^events are a dict; pass a polars or pandas DataFrame"),
    "a list of rows": ("requests", lambda frame: frame.to_dicts(), "^requests are a list; pass a polars or pandas DataFrame"),
    "a plan": ("events", lambda frame: frame.lazy(), "^events are a LazyFrame; pass a polars or pandas DataFrame"),
    "a number": ("requests", lambda frame: 7, "^requests are a int; pass a polars or pandas DataFrame"),
    "an empty list": ("events", lambda frame: [], "^events are a list; pass a polars or pandas DataFrame"),
    "columns of one name": (
        "events", lambda frame: frame.to_pandas().set_axis(["item_id"] * len(frame.columns), axis=1), "the pandas frame of events holds 'item_id' 5 times; keep one of them"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_updates_name_the_table_and_the_value(line, ranker, fault) -> None:
    name, change, words = FAULTS[fault]
    table = line.dataset.events if name == "events" else line.dataset.requests
    with pytest.raises(DataError, match=words):
        ranker.update(**{name: change(table[:40])})


def test_a_missing_context_column_and_graded_labels_are_refused(line, day, ranker) -> None:
    shown = line.dataset.requests[:40]
    with pytest.raises(SettingsError, match="context names 'device', which is not a column of the requests; add it"):
        ranker.update(requests=shown.drop("device"))
    labels = LabelSettings(grades={"share": 3})
    model = replace(day.model, settings=day.model.settings.model_copy(update={"labels": labels}))
    graded = Ranker(Ready.of(model, State.load(line.model / "state", line.model), line.model))
    words = r"grades labels from events \(\[labels\] grades names \['share'\]\).*run `recsys score` with newer tables"
    with pytest.raises(SettingsError, match=words):
        graded.update(requests=shown)


def test_scores_of_a_retrieval_are_needed_of_candidates_alone(line, day) -> None:
    features = day.model.settings.features.model_copy(update={"scores": ("retrieval",)})
    model = replace(day.model, settings=day.model.settings.model_copy(update={"features": features}))
    ranker = Ranker(Ready.of(model, State.load(line.model / "state", line.model), line.model))
    ranker.update(requests=line.dataset.requests[:40].with_columns(pl.col("timestamp") + timedelta(days=30)))
    with pytest.raises(SettingsError, match="scores names 'retrieval', which is not a column of the candidates"):
        ranker.rank(line.candidates(1))


def test_a_candidate_is_labelled_once(line, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "ROWS", 5)
    ranker, shown = Ranker.load(line.model), line.dataset.requests[:1].with_columns(label=1)
    shown = shown.with_columns(pl.col("timestamp") + timedelta(days=30))
    assert ranker.update(requests=shown).ignored == 0
    item, request = shown["item_id"][0], shown["request_id"][0]
    words = f"1 candidate added with another label before, such as item {item} of request {request}, 1 then and 0"
    for _ in range(2):
        with pytest.raises(DataError, match=words):
            ranker.update(requests=shown.with_columns(label=0))
        assert ranker.update(requests=shown).ignored == 1
        ranker.update(line.dataset.events[:5])  # closes the tail


def with_ids(day: Day) -> Day:
    return replace(day, dataset=replace(day.dataset, events=day.dataset.events.with_row_index("event_id")))


def test_what_was_told_before_is_left_out_and_counted(day, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "ROWS", 60)
    day = with_ids(day)
    ranker, candidates = day.ranker(day.cut), day.candidates()
    for events, shown in day.parts(5, 4):
        taken = ranker.update(events, shown)
        assert (len(taken.events), len(taken.requests), taken.ignored) == (len(events), len(shown), 0)
        again = ranker.update(pl.concat([events, events[:3]]), shown)
        assert again.ignored == len(events) + min(3, len(events)) + len(shown)
        assert (len(again.events), len(again.requests)) == (0, 0)
    assert_frame_equal(ranker.rank(candidates), day.ranker().rank(candidates), check_exact=True)
    early = pl.col("timestamp") <= day.cut  # what the state held
    held = day.dataset.requests.filter(early).tail(400)
    lists = day.dataset.requests.filter(pl.col("request_id").is_in(held["request_id"].implode()), early)
    for labels in (lists, lists.drop("label"), lists.to_pandas()):
        taken = ranker.update(day.dataset.events.filter(early), labels)
        assert taken.ignored == len(day.dataset.events.filter(early)) + len(lists)
    assert_frame_equal(ranker.rank(candidates), day.ranker().rank(candidates), check_exact=True)


def test_events_without_an_id_count_each_time(day) -> None:
    ranker = day.ranker(day.cut)
    events = day.dataset.events.filter(pl.col("timestamp") > day.cut)[:20]
    for ids in (events, events.with_columns(event_id=pl.lit(None))):
        assert (len(ranker.update(ids).events), ranker.update(ids).ignored) == (20, 0)


def test_an_event_of_an_id_is_told_as_it_was(day) -> None:
    day = with_ids(day)
    ranker = day.ranker(day.cut)
    early, late = (
        day.dataset.events.filter(side)[:9] for side in (pl.col("timestamp") <= day.cut, pl.col("timestamp") > day.cut)
    )
    ranker.update(late)
    for told in (early, late):
        number, kind = told["event_id"][4], told["event"][4]
        words = f"event {number} was told before with event '{kind}', and now with 'sale'; tell it as it was, or give"
        with pytest.raises(DataError, match=words):
            ranker.update(told[4:5].with_columns(event=pl.lit("sale")))
        with pytest.raises(DataError, match="column event_id holds String values here and Int64 values elsewhere"):
            ranker.update(told.with_columns(pl.col("event_id").cast(pl.String)))
    fault = "events.event_id: the column is Float64, not integers or text, such as 0.5"
    with pytest.raises(DataError, match=fault):
        ranker.update(late.with_columns(event_id=0.5))


def test_an_event_that_counts_as_a_click_too_has_one_id(line, day) -> None:
    labels = LabelSettings(clicks=("view",))
    model = replace(day.model, settings=day.model.settings.model_copy(update={"labels": labels}))
    day = replace(with_ids(day), model=model)
    everything = replace(day, dataset=replace(day.dataset, events=with_clicks(day.dataset.events, labels)))
    ranker = everything.ranker(day.cut)
    for _ in range(2):
        taken = ranker.update(day.dataset.events)
        assert "click" in taken.events["event"].to_list() or taken.events.is_empty()
    assert taken.ignored == len(day.dataset.events)
    late = day.dataset.requests.filter(pl.col("timestamp") > day.cut)
    ranker.update(requests=late)
    assert_frame_equal(ranker.rank(day.candidates()), everything.ranker().rank(day.candidates()), check_exact=True)


def test_what_comes_late_changes_no_answer_of_before(day) -> None:
    ranker, at = day.ranker(day.cut), day.dataset.requests["timestamp"].max() + timedelta(hours=3)
    late = pl.col("timestamp") > day.cut
    candidates = day.candidates().filter(pl.col("timestamp") <= at)
    clicks = day.dataset.requests.filter(late, pl.col("label") > 0)
    before = ranker._ready.ask(candidates).lookup
    taken = ranker.update(day.dataset.events.filter(late), day.dataset.requests.filter(late), at=at.isoformat())
    assert (taken.events["known_at"] == at).all()
    assert taken.requests["clicked_at"].drop_nulls().to_list() == [at] * len(clicks)
    after = ranker._ready.ask(candidates).lookup
    for stream in ("click", "view"):
        assert (before.amount(stream, ("item",), None) == after.amount(stream, ("item",), None)).all()
    later = day.candidates().filter(pl.col("timestamp") > at)
    (found, known) = (each._ready.ask(later).lookup.amount("click", (), None) for each in (ranker, day.ranker(day.cut)))
    assert (found > known).all()
    naive = day.ranker(day.cut)
    again = naive.update(day.dataset.events.filter(late), day.dataset.requests.filter(late), at=at.replace(tzinfo=None))
    assert_frame_equal(again.events, taken.events)
    assert_frame_equal(again.requests, taken.requests)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("soon", "^at: 'soon' is not a time; write it as 2023-05-24T07:00:00Z"),
        (1_700_000_000, "^at: 1700000000 is not a time"),
        (pd.NaT, "^at: NaT is not a time"),
        (datetime(2999, 1, 1, tzinfo=UTC), "^at: 2999-01-01T00:00:00.00:00 lies in the future; give the moment from"),
    ],
)
def test_a_moment_that_is_none_or_to_come_is_refused_and_nothing_is_added(day, at, words) -> None:
    ranker, event = day.ranker(day.cut), day.dataset.events.tail(1)
    before = ranker.rank(day.candidates(2))
    with pytest.raises(DataError, match=words):
        ranker.update(event, at=at)
    assert_frame_equal(ranker.rank(day.candidates(2)), before, check_exact=True)


def test_what_was_taken_has_its_columns_where_nothing_was_told(day) -> None:
    taken = day.ranker(day.cut).update()
    assert taken.ignored == 0
    assert taken.events.is_empty()
    assert {"user_id", "item_id", "timestamp", "event", "known_at"} == set(taken.events.columns)
    assert {"request_id", "user_id", "timestamp", "item_id", "label", "device"} == set(taken.requests.columns)


def test_the_state_tells_how_far_it_goes(day) -> None:
    behaviour = day.ranker(day.cut)._ready.log.behaviour
    shown, done = behaviour.showings["timestamp"].max(), behaviour.events["known_at"].max()
    assert day.ranker(day.cut).known_until == max(shown, done)
    nothing = replace(behaviour, showings=behaviour.showings.clear(), events=behaviour.events.clear())
    shown_only, done_only = replace(nothing, showings=behaviour.showings), replace(nothing, events=behaviour.events)
    for kept, moment in ((nothing, None), (shown_only, shown), (done_only, done)):
        assert Ranker(Ready.of(day.model, State(kept, day.vectors), day.folder)).known_until == moment
    assert day.ranker(day.cut).known_until.utcoffset() == timedelta(0)


def test_what_the_state_holds_is_not_told_again(day) -> None:
    ranker, candidates = day.ranker(day.cut), day.candidates(2)
    until, before = ranker.known_until, ranker.rank(candidates)
    held = day.dataset.requests.filter(pl.col("timestamp") <= day.cut).tail(3)
    with pytest.raises(DataError, match="3 candidates are already in the state, such as item .* of request"):
        ranker.update(requests=held)
    assert_frame_equal(ranker.rank(candidates), before, check_exact=True)
    ranker.update(requests=day.dataset.requests.filter(pl.col("timestamp") > day.cut))
    assert ranker.known_until == until


WRONG_UNIT = pl.lit(1_700_000_000_000_000).cast(pl.Datetime("ms", "UTC"))


@pytest.mark.parametrize(
    "moment", [WRONG_UNIT, pl.lit(2**63 - 1).cast(pl.Datetime("us", "UTC"))], ids=["ms", "largest"]
)
def test_moments_of_another_unit_are_refused_by_name_where_they_are_read(line, moment) -> None:
    ranker, candidates, column = Ranker.load(line.model), line.candidates(2), "timestamp"
    ranker.rank(candidates.with_columns(seen_at=moment))
    broken = candidates.with_columns(moment.alias(column))
    event = (
        candidates.head(1)
        .select("user_id", "item_id", "timestamp", event=pl.lit("view"))
        .with_columns(moment.alias(column))
    )
    for ask in (lambda: ranker.rank(broken), lambda: ranker.update(event), lambda: ranker.update(requests=broken)):
        with pytest.raises(DataError, match=f"column '{column}' holds the moment .* lie between 1990 and 2100"):
            ask()


def test_events_of_huge_values_are_refused_and_leave_the_state_as_it_was(line) -> None:
    ranker, candidates = Ranker.load(line.model), line.candidates(3)
    before = ranker.rank(candidates)
    event = candidates.head(2).select("user_id", "item_id", "timestamp", event=pl.lit("view"))
    for value in (3e15, -1e300, 2**62):
        with pytest.raises(DataError, match=r"events.value: numbers outside -1,000,000,000 to 1,000,000,000 in 2"):
            ranker.update(event.with_columns(value=pl.lit(value)))
    assert_frame_equal(ranker.rank(candidates), before, check_exact=True)
    for _ in range(3):
        ranker.update(event.with_columns(value=pl.lit(1e9)))
    ranker.rank(candidates)


def test_kinds_that_the_model_does_not_read_are_named_once(day, caplog) -> None:
    ranker = day.ranker(day.cut)
    events = day.dataset.events.head(2).with_columns(timestamp=pl.lit(day.cut), event=pl.Series(["kauf", "click"]))
    for told in (events, events):
        assert ranker.update(events=told.drop("known_at", strict=False)).unread == 1
    (told,) = [record.getMessage() for record in caplog.records if "kinds that this model" in record.getMessage()]
    assert told.startswith("events of kinds that this model does not read change no ranking: kauf; it reads click")
