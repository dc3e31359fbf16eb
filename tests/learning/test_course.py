import itertools
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from recsys.data.clock import TimeSettings
from recsys.data.texts import item_texts
from recsys.data.windows import Block, Windows
from recsys.encoders.settings import TextSettings
from recsys.errors import SettingsError
from recsys.jobs.train import open_start
from recsys.learning.course import Schedule, TextCourse, TextLog
from recsys.learning.next_clicks import CLICKS_READ
from recsys.learning.training import TextTrainer
from recsys.model.folder import Model
from recsys.model.prepared import behaviour_of
from recsys.past.behaviour import Kept
from recsys.past.log import Log

DELAY = timedelta(hours=2)
CLOCK = TimeSettings(feedback_delay=DELAY)


def shown(line, requests: pl.DataFrame, settings: TextSettings) -> TextLog:
    log = Log(behaviour_of(line.dataset, Kept()), line.settings.time)
    return TextLog.of(requests, log, line.dataset.items.select("item_id"), settings)


@pytest.fixture
def settings(line) -> TextSettings:
    course = {"replay": 0.5, "epochs": 1, "head_epochs": 1, "held_out": 0.0}
    return line.settings.text.model_copy(update=course)


@pytest.fixture
def windows(line) -> Windows:
    times = line.dataset.requests["timestamp"].sort()
    return Windows(tuple(times[int(share * (len(times) - 1))] for share in (0, 0.4, 0.7, 0.9, 1)))


def learn(
    line, settings: TextSettings, windows: Windows, requests: pl.DataFrame, work: Path, freshness: str = "live"
) -> list[tuple[Block, dict]]:
    """Return each block with the weights of the heads before it was learnt from, and at last the final weights."""
    trainer = TextTrainer(item_texts(line.dataset.items, settings.fields), settings, 3, work)
    blocks, clock = windows.blocks(timedelta(days=1)), TimeSettings(freshness=freshness, feedback_delay=DELAY)
    schedule = Schedule(trainer, shown(line, requests, settings), blocks, clock, settings, 3)
    seen = []
    for block in blocks:
        seen.append((block, weights(trainer) if trainer.lessons else {}))
        schedule.learn(block)
    assert freshness == "1d" or len(trainer.lessons) == len(blocks)
    return [*seen, (None, weights(trainer))]


def learn_all(schedule: Schedule) -> None:
    for block in schedule.blocks:
        schedule.learn(block)


def test_a_block_is_read_and_learnt_once_and_in_order(line, settings, windows, tmp_path: Path) -> None:
    log = Log(behaviour_of(line.dataset, Kept()), line.settings.time)
    course = TextCourse(line.dataset, settings, 3, windows, log, None, tmp_path)
    first, second, *_ = course.blocks
    assert not course.knows
    assert course.read(first)["timestamp"].is_between(first.start, first.end, closed="left").all()
    with pytest.raises(ValueError, match=r"the next block is Block\(window='text'.*, not Block\(window='ranker'"):
        course.read(second)
    course.learn(first)
    assert course.knows
    for again in (course.read, course.learn):
        with pytest.raises(ValueError, match="read and learn each block once, in order"):
            again(first)
    assert not course.read(second).is_empty()


def weights(trainer: TextTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.heads.state_dict().items()}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def turned(requests: pl.DataFrame, inside: pl.Expr) -> pl.DataFrame:
    assert requests.filter(inside).height > 20
    return requests.with_columns(label=pl.when(inside).then(1 - pl.col("label")).otherwise("label"))


def test_a_block_is_scored_by_what_was_learnt_before_it(line, settings, windows, tmp_path: Path) -> None:
    requests = line.dataset.requests
    plain = learn(line, settings, windows, requests, tmp_path / "plain")
    assert [block.window for block, _ in plain[:-1]][:2] == ["text", "ranker"]
    assert len(plain) >= 5
    for place in range(1, len(plain) - 1):
        start = plain[place][0].start
        later = turned(requests, pl.col("timestamp") >= start)
        changed = learn(line, settings, windows, later, tmp_path / f"later-{place}")
        for number in range(place + 1):
            assert same(changed[number][1], plain[number][1])
        assert not same(changed[place + 1][1], plain[place + 1][1])


def test_labels_that_are_not_known_when_a_block_ends_are_learnt_from_later(
    line, settings, windows, tmp_path: Path
) -> None:
    requests = line.dataset.requests
    end = windows.cuts[1]
    late = turned(requests, (pl.col("timestamp") >= end - DELAY) & (pl.col("timestamp") < end))
    plain = learn(line, settings.model_copy(update={"replay": 9.0}), windows, requests, tmp_path / "plain")
    changed = learn(line, settings.model_copy(update={"replay": 9.0}), windows, late, tmp_path / "late")
    assert same(changed[1][1], plain[1][1])
    assert not same(changed[2][1], plain[2][1])


def test_lists_are_in_order_of_time_with_the_clicks_before_each(line, settings) -> None:
    found = shown(line, line.dataset.requests.sample(fraction=1, shuffle=True, seed=0), settings)
    assert (np.diff(found.moments.astype(np.int64)) >= 0).all()
    assert len(found.lists) == line.dataset.requests["request_id"].n_unique() == len(found.moments)
    ordered = line.dataset.requests.sort("timestamp", "request_id", "item_id")
    assert found.outcomes.labels.tolist() == ordered["label"].to_list()
    ids = line.dataset.items["item_id"].to_list()
    assert [ids[code] for code in found.lists.items[:50]] == ordered["item_id"].to_list()[:50]
    moment = ordered["timestamp"][500]
    assert len(found.before(moment)) == ordered.filter(pl.col("timestamp") < moment)["request_id"].n_unique()


def test_codes_of_what_requests_ask_with_come_after_the_items(line, settings) -> None:
    ordered = line.dataset.requests.sort("timestamp", "request_id", "item_id")
    first = ordered["request_id"].unique(maintain_order=True)[:5]
    texts = dict(zip(first, ["red", None, "blue", " ", "<i>red</i>"], strict=True))
    asked = ordered.with_columns(words=pl.col("request_id").replace_strict(texts, default="blue"))
    found = shown(line, asked.sample(fraction=1, shuffle=True, seed=1), settings.model_copy(update={"query": "words"}))
    items = len(line.dataset.items)
    assert found.query_texts == ["red", "blue"]
    assert found.lists.queries[:5].tolist() == [items, -1, items + 1, -1, items]
    assert set(found.lists.queries[5:].tolist()) == {items + 1}
    silent = shown(line, ordered, settings)
    assert silent.query_texts == []
    assert set(silent.lists.queries.tolist()) == {-1}


def test_aggregated_logs_give_clicks_and_showings(line, settings) -> None:
    requests = line.dataset.requests.with_columns(views=pl.lit(50), clicks=pl.col("label") * 7)
    found = shown(line, requests, settings)
    assert set(found.outcomes.showings.tolist()) == {50}
    assert set(found.outcomes.labels.tolist()) == {0, 7}
    assert not found.outcomes.popularity.any()


@pytest.mark.parametrize("freshness", ["live", "1d"])
def test_popularity_is_what_click_rates_told_when_the_list_was_shown(line, settings, freshness: str) -> None:
    time = line.settings.time.model_copy(update={"freshness": freshness})
    log = Log(behaviour_of(line.dataset, Kept()), time)
    requests = line.dataset.requests.sort("timestamp", "request_id", "item_id")
    found = TextLog.of(requests, log, line.dataset.items.select("item_id"), settings).outcomes.popularity
    moments = requests["timestamp"] + time.feedback_delay
    known_by = requests.select(time.as_of(pl.col("timestamp")))["timestamp"]
    for row in np.random.default_rng(0).choice(len(requests), 200, replace=False).tolist():
        known = requests.filter(moments < known_by[row])
        own = known.filter(pl.col("item_id") == requests["item_id"][row])
        expected = 0.0
        if known["label"].sum() > 0:
            usual = known["label"].mean()
            expected = np.log((own["label"].sum() + 20 * usual) / (len(own) + 20) / usual)
        assert found[row] == pytest.approx(expected, abs=1e-6)
    assert len(set(found.tolist())) > 50


def test_a_block_without_a_click_teaches_nothing(line, settings, windows, tmp_path: Path) -> None:
    trainer = TextTrainer(item_texts(line.dataset.items, settings.fields), settings, 3, tmp_path)
    start, end = windows.bounds("valid")
    silent = pl.when(pl.col("timestamp").is_between(start - DELAY, end)).then(0).otherwise("label")
    requests = line.dataset.requests.with_columns(label=silent)
    blocks = windows.blocks(timedelta(days=30))
    assert len(blocks) == 3
    learn_all(Schedule(trainer, shown(line, requests, settings), blocks, CLOCK, settings, 3))
    assert len(trainer.lessons) == 2


def test_under_daily_knowledge_no_label_after_midnight_is_learnt_from(line, settings, windows, tmp_path: Path) -> None:
    requests = line.dataset.requests
    plain = learn(line, settings, windows, requests, tmp_path / "plain", "1d")
    learnt_later = []
    for place in range(1, len(plain) - 1):
        start = plain[place][0].start
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        unknown = (pl.col("timestamp") >= midnight - DELAY) & (pl.col("timestamp") < start)
        if requests.filter(unknown).height <= 20:
            continue
        changed = learn(line, settings, windows, turned(requests, unknown), tmp_path / f"changed-{place}", "1d")
        assert same(changed[place][1], plain[place][1])
        learnt_later.append(not same(changed[-1][1], plain[-1][1]))
    assert any(learnt_later)


def test_labels_that_take_as_long_as_a_block_are_learnt_from_all_the_same(
    line, settings, windows, tmp_path: Path
) -> None:
    trainer = TextTrainer(item_texts(line.dataset.items, settings.fields), settings, 3, tmp_path)
    slow = TimeSettings(feedback_delay=timedelta(days=1))
    blocks = windows.blocks(timedelta(days=1))
    found = shown(line, line.dataset.requests, settings)
    learn_all(Schedule(trainer, found, blocks, slow, settings.model_copy(update={"replay": 0.0}), 3))
    assert len(trainer.lessons) >= len(blocks) - 1
    assert sum(each.requests for each in trainer.lessons) == len(found.before(blocks[-1].end - slow.feedback_delay))


def test_what_is_kept_to_measure_forgetting_is_never_read_again(
    line, settings, windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"replay": 99.0, "held_out": 0.25})
    trainer = TextTrainer(item_texts(line.dataset.items, settings.fields), settings, 3, tmp_path)
    found = shown(line, line.dataset.requests, settings)
    taken: list[np.ndarray] = []
    take = TextLog.take
    monkeypatch.setattr(TextLog, "take", lambda self, requests: taken.append(requests) or take(self, requests))
    learn_all(Schedule(trainer, found, windows.blocks(timedelta(days=1)), CLOCK, settings, 3))
    first, *later = taken
    assert first.tolist() == list(range(len(first)))
    kept = first[len(first) - -(-len(first) // 4) :]
    read, judged = later[::2], later[1::2]
    assert all(each.tolist() == kept.tolist() for each in judged)
    assert len(read) == len(judged) > 1
    for each in read:
        assert not np.isin(each, kept).any()
    assert len(read[-1]) == read[-1].max() + 1 - len(kept)  # all others are


@pytest.mark.parametrize(
    "name", ["encoder", "fields", "template", "query", "pooling", "layers", "lexicon", "dimension"]
)
def test_an_earlier_model_that_reads_otherwise_is_refused(line, name: str) -> None:
    other = {
        "encoder": "elsewhere",
        "fields": ("title",),
        "template": "{title}!",
        "query": "words",
        "pooling": "cls",
        "layers": 1,
        "lexicon": 7,
        "dimension": 8,
    }
    settings = Model.load(line.model).settings.text.model_copy(update={name: other[name]})
    later = Windows(tuple(Model.load(line.model).windows.learnt_until + timedelta(days=number) for number in range(5)))
    with pytest.raises(SettingsError, match=rf"\[text\] {name} is .* but .* was trained with .*; set it to that"):
        open_start(Model.load(line.model), line.model, settings, later)


def test_past_clicks_are_those_that_no_list_holds_each_after_what_its_user_read_before(line) -> None:
    told = line.settings.text.model_copy(update={"next_click": 0.3})
    found = shown(line, line.dataset.requests, told)
    events = line.dataset.events.filter(pl.col("event") == "click").sort("timestamp", "user_id", "item_id")
    items = {item: row for row, item in enumerate(line.dataset.items["item_id"])}
    assert [items.get(item, -1) for item in events["item_id"]] == found.clicks.items.tolist()
    assert found.clicked.tolist() == events["timestamp"].dt.replace_time_zone(None).to_list()
    listed = line.dataset.requests.filter(pl.col("label") > 0).select(
        "user_id", "item_id", at=pl.col("timestamp") + line.settings.time.clicks_known_after
    )
    read = pl.concat(
        [events.select("user_id", "item_id", at="timestamp"), listed.cast({"at": events.schema["timestamp"]})]
    )
    for row in range(0, len(events), 17):
        user, moment = events["user_id"][row], events["timestamp"][row]
        before = read.filter((pl.col("user_id") == user) & (pl.col("at") < moment))
        history = [code for code in found.clicks.history[row].tolist() if code >= 0]
        assert len(history) == min(len(before), CLICKS_READ)
        assert set(history) <= {items[item] for item in before["item_id"]}


def test_past_clicks_between_moments_are_those_known_from_one_until_before_the_other(line) -> None:
    told = line.settings.text.model_copy(update={"next_click": 0.3})
    found = shown(line, line.dataset.requests, told)
    first, last = (found.clicked[place].astype("datetime64[us]").item() for place in (10, 20))
    assert len(found.clicks_between(None, first)[0]) == int((found.clicked < found.clicked[10]).sum())
    inside = (found.clicked >= found.clicked[10]) & (found.clicked < found.clicked[20])
    lists, values = found.clicks_between(first, last)
    assert lists.items.tolist() == found.clicks.items[inside].tolist()
    assert len(values) == len(lists)


def test_what_was_recorded_of_past_clicks_is_read_where_it_is_asked_for(line) -> None:
    events = line.dataset.events.with_columns(value=pl.int_range(pl.len()).cast(pl.Float64))
    valued = replace(line, world=replace(line.world, dataset=replace(line.dataset, events=events)))
    told = line.settings.text.model_copy(update={"next_click": 0.3})
    clicks = events.filter(pl.col("event") == "click").sort("timestamp", "user_id", "item_id")
    read = shown(valued, line.dataset.requests, told.model_copy(update={"weigh": "click"}))
    assert read.values.tolist() == clicks["value"].to_list()
    assert np.isnan(shown(valued, line.dataset.requests, told).values).all()


def test_clicks_that_are_not_known_by_the_end_of_a_block_are_not_learnt_from(
    line, settings: TextSettings, windows: Windows, tmp_path: Path
) -> None:
    """Browsing after a block's end is moved to another item: what was learnt by then stays as it was."""
    learning = settings.model_copy(update={"next_click": 1.0})
    end = windows.blocks(timedelta(days=1))[0].end
    late = pl.col("timestamp") >= end
    moved = line.dataset.events.with_columns(item_id=pl.when(late).then(pl.lit(line.dataset.items["item_id"][0])).otherwise("item_id"))  # fmt: skip
    assert line.dataset.events.filter(late, pl.col("event") == "click").height > 20
    first, other = (
        learn(replace(line, world=replace(line.world, dataset=replace(line.dataset, events=events))), learning, windows, line.dataset.requests, tmp_path / name)
        for name, events in (("as-it-was", line.dataset.events), ("moved", moved))
    )  # fmt: skip
    after_first, after_last = ([of[place][1] for of in (first, other)] for place in (1, -1))
    assert all(torch.equal(after_first[0][name], after_first[1][name]) for name in after_first[0])
    assert not all(torch.equal(after_last[0][name], after_last[1][name]) for name in after_last[0])


def test_what_is_read_again_does_not_judge(line, settings: TextSettings, windows: Windows, tmp_path: Path) -> None:
    """Lessons after the first are judged on all new requests with both outcomes, and on no others."""
    learning = settings.model_copy(update={"replay": 1.0, "next_click": 0.0, "held_out": 0.2})
    found = shown(line, line.dataset.requests, learning)
    trainer = TextTrainer(item_texts(line.dataset.items, learning.fields), learning, 3, tmp_path)
    blocks = windows.blocks(timedelta(days=1))
    learn_all(Schedule(trainer, found, blocks, CLOCK, learning, 3))
    known = [len(found.before(CLOCK.labelled_until(block.end))) for block in blocks]
    wins = np.add.reduceat(found.outcomes.labels > 0, found.lists.starts[:-1])
    both = (wins > 0) & (wins < found.lists.lengths)
    expected = [int(both[first:last].sum()) for first, last in itertools.pairwise(known)]
    assert [lesson.judged for lesson in trainer.lessons[1:]] == expected
    assert min(expected) > 0


@pytest.mark.parametrize(("share", "replay"), [(0.3, 0.0), (0.6, 1.0), (0.99, 0.0)])
def test_past_clicks_of_the_time_of_held_out_requests_wait_for_the_next_block(
    line,
    settings: TextSettings,
    windows: Windows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    replay: float,
) -> None:
    """What was held out is judged without what it could not know, and each click is learnt from once."""
    learning = settings.model_copy(update={"next_click": 0.3, "held_out": share, "replay": replay})
    found, given = shown(line, line.dataset.requests, learning), []
    real = TextTrainer.learn

    def watched(trainer: TextTrainer, name: str, *learnt: object, **more: object) -> None:
        given.append(more["clicks"][0])
        real(trainer, name, *learnt, **more)

    monkeypatch.setattr(TextTrainer, "learn", watched)
    trainer = TextTrainer(item_texts(line.dataset.items, learning.fields), learning, 3, tmp_path)
    blocks = windows.blocks(timedelta(days=1))
    schedule = Schedule(trainer, found, blocks, CLOCK, learning, 3)
    learn_all(schedule)
    known = found.before(CLOCK.labelled_until(blocks[0].end))
    first = found.moments[known[len(known) - math.ceil(share * len(known))]]
    assert len(given[0]) == int((found.clicked < first).sum()) > 0
    told = np.concatenate([clicks.items for clicks in given])
    assert told.tolist() == found.clicks.items[: len(told)].tolist()


@pytest.mark.parametrize("tune", ["always", "never"])
def test_blocks_in_which_the_encoder_learns_are_known_before_to_take_longer(
    line, settings, windows, tmp_path, tune
) -> None:
    settings = settings.model_copy(update={"tune": tune, "epochs": 2, "block": timedelta(days=1)})
    log = Log(behaviour_of(line.dataset, Kept()), line.settings.time)
    course = TextCourse(line.dataset, settings, 3, windows, log, None, tmp_path)
    worth = course.worth
    for block in course.blocks:
        course.learn(block)
    learnt = [lesson.share > 0 for lesson in course.trainer.lessons]
    assert [each > 1 for each in worth] == learnt
    assert any(learnt) == (tune == "always")
    assert not all(learnt)
    if tune == "always":
        assert worth[0] == max(worth)
