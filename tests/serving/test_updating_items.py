"""Rankers that are told of new and changed items and users since their state was written."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.data.labels import LabelSettings
from recsys.errors import DataError
from recsys.features.plan import build_features
from recsys.model.folder import Model, State
from recsys.model.prepared import behaviour_of
from recsys.model.ready import Ready, current_vectors
from recsys.past import tail as tail_module
from recsys.schema import TIME
from tests.model.test_ready import with_backend
from tests.serving.test_updating import Day

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(line, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the model with a backend, made once."""
    made: dict[str, Path] = {}

    def give(backend: str) -> Path:
        if backend not in made:
            made[backend] = with_backend(line, backend, tmp_path_factory.mktemp(backend) / "model")
        return made[backend]

    return give


class Night:
    """A catalogue in two versions: what the state holds, and what is published, mended and known in between."""

    def __init__(self, day: Day, folder: Path, seed: int = 1, versions: bool = False) -> None:
        random = np.random.default_rng(seed)
        self.day, self.folder = replace(day, folder=folder), folder
        after = day.dataset.items.sample(fraction=1, shuffle=True, seed=seed)
        changed = pl.Series(random.random(len(after)) < 0.2)
        seen = pl.concat([day.dataset.requests["item_id"], day.dataset.events["item_id"]]).value_counts(sort=True)
        often = after["item_id"].is_in(seen["item_id"].head(15).implode())
        mended = after.with_columns(
            category=pl.when(often).then(pl.lit("opera")).otherwise("category"),
            title=pl.when(changed).then(pl.lit("mended ") + pl.col("title").reverse()).otherwise("title"),
            available_at=pl.when(changed.reverse())
            .then(pl.col("available_at") + timedelta(hours=30))
            .otherwise("available_at"),
        )
        late = pl.Series(random.random(len(after)) < 0.3)
        self.before, self.after = after.filter(~late), mended
        if versions:  # what is mended holds from some moment on, and before the state ends, too
            moments = day.dataset.requests["timestamp"].sample(len(after), with_replacement=True, seed=seed)
            always = after.with_columns(known_at=pl.lit(None, TIME))
            mended = mended.with_columns(known_at=moments).filter(changed | changed.reverse() | often)
            self.after = pl.concat([always, mended])
            told = pl.concat([always.filter(late), mended])
        else:
            told = mended.filter(late | changed | changed.reverse() | often)
        self.told = list(told.sample(fraction=1, shuffle=True, seed=seed).iter_slices(17))

    def ranker(self, items: pl.DataFrame, cut: bool) -> Ranker:
        model = Model.load(self.folder)
        known = State.load(self.folder / "state", self.folder).vectors
        dataset = replace(self.day.dataset, items=items)
        if cut:
            early = pl.col("timestamp") <= self.day.cut
            dataset = replace(dataset, events=dataset.events.filter(early), requests=dataset.requests.filter(early))
        behaviour = behaviour_of(dataset, model.settings.features.kept)
        vectors = current_vectors(model, self.folder, known, items)
        return Ranker(Ready.of(model, State(behaviour, vectors), self.folder))


@pytest.mark.parametrize(
    ("backend", "rows", "seed", "versions"),
    [
        ("onnx", 10_000, 1, False),
        ("static", 60, 2, False),
        ("onnx", 25, 3, False),
        ("static", 10_000, 4, True),
        ("onnx", 60, 5, True),
    ],
)
def test_what_is_told_of_items_ranks_as_if_it_had_been_in_the_tables(
    line, folder, monkeypatch, backend, rows, seed, versions
):
    monkeypatch.setattr(tail_module, "ROWS", rows)
    night = Night(Day.of(line), folder(backend), seed, versions)
    ranker, candidates = night.ranker(night.before, cut=True), night.day.candidates()
    before = ranker.rank(candidates)
    parts = list(night.day.parts(seed, 6, in_order=seed != 3))
    random = np.random.default_rng(seed)
    calls = [dict(zip(("events", "requests"), part, strict=True)) for part in parts]
    places = np.sort(random.integers(0, len(calls) + 1, len(night.told)))
    for place, items in zip(places[::-1], night.told, strict=True):
        calls.insert(int(place), {"items": items if place % 2 else items.to_pandas()})
    for call in calls:
        ranker.update(**call)
        ranker.rank(candidates.head(40))
    after = ranker.rank(candidates)
    assert_frame_equal(after, night.ranker(night.after, cut=False).rank(candidates), check_exact=True)
    assert not after["score"].equals(before["score"])
    assert before["unknown_item"].sum() > after["unknown_item"].sum() > 0


def test_the_torch_backend_reads_alone_what_it_reads_in_a_batch_within_rounding(line) -> None:
    """Its embeddings change with their batch by 1e-6, which may move a component of a vector by one step of the grid."""
    night = Night(Day.of(line), line.model)
    ranker, candidates = night.ranker(night.before, cut=True), night.day.candidates()
    for items in night.told:
        ranker.update(items=items)
    whole = night.ranker(night.after, cut=True)
    one, other = ranker._ready.reader, whole._ready.reader
    ids = night.after["item_id"]
    rows = [
        each.reader.places[each.log.register.items.firsts[each.log.items.encode(ids)]]
        for each in (ranker._ready, whole._ready)
    ]
    for name in ("candidate", "history"):
        moved = np.abs(getattr(one.vectors, name)[rows[0]] - getattr(other.vectors, name)[rows[1]])
        assert moved.max() <= 2**-11
    appeal = one.vectors.appeal[rows[0]] - other.vectors.appeal[rows[1]]
    assert np.abs(appeal).max() < 1e-5
    names = ["interest", "appeal", "text_score"]
    found, expected = (
        build_features(each.ask(candidates), each.model.settings.features, each.reader).select(names)
        for each in (ranker._ready, whole._ready)
    )
    for name in names:
        assert found[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=1e-3, nan_ok=True)


def test_an_update_says_what_it_took(line, folder) -> None:
    ranker, items = Ranker.load(folder("static")), line.dataset.items
    nothing = ranker.update()
    assert (len(nothing.items), len(nothing.users), nothing.ignored, nothing.untexted) == (0, 0, 0, 0)
    assert ranker.update(items=items).ignored == len(items)
    new = items[:2].with_columns(item_id=pl.Series([-5, items["item_id"][1]], dtype=pl.Int64), category=pl.lit("opera"))
    taken = ranker.update(items=pl.concat([new, items[5:8]]), users=pl.DataFrame({"user_id": [1, -3]}))
    assert taken.items["item_id"].to_list() == new["item_id"].to_list()
    assert taken.items["category"].to_list() == ["opera"] * 2
    assert taken.users["user_id"].to_list() == [-3]  # the model uses no attribute of users, so 1 is known alike
    assert taken.ignored == 4
    assert ranker.update(items=items.clear(), users=pl.DataFrame({"user_id": []})).ignored == 0
    candidates = line.candidates(1)
    fresh = candidates.with_columns(item_id=pl.when(pl.int_range(pl.len()) == 0).then(-5).otherwise("item_id"))
    assert not ranker.rank(fresh)["unknown_item"].any()
    assert Ranker.load(folder("static")).rank(fresh)["unknown_item"].sum() == 1


def test_an_item_is_known_from_just_after_its_moment_on(line, folder) -> None:
    ranker, candidates = Ranker.load(folder("static")), line.candidates(1)
    moment = candidates["timestamp"][0]
    new = line.dataset.items[:1].with_columns(item_id=pl.lit(-5, pl.Int64), known_at=pl.lit(moment, TIME))
    taken = ranker.update(items=new.to_pandas())
    assert taken.items["known_at"].to_list() == [moment]
    now = candidates.with_columns(item_id=pl.when(pl.int_range(pl.len()) == 0).then(-5).otherwise("item_id"))
    for after, unknown in ((timedelta(0), 1), (timedelta(microseconds=1), 0), (timedelta(days=1), 0)):
        assert ranker.rank(now.with_columns(pl.col("timestamp") + after))["unknown_item"].sum() == unknown
    with pytest.raises(DataError, match="^item -5 has versions, and is told without known_at; say in known_at from"):
        ranker.update(items=new.drop("known_at"))
    taken = ranker.update(items=new, at=moment + timedelta(days=1))
    assert taken.items["known_at"].to_list() == [moment + timedelta(days=1)]


def test_an_update_with_a_fault_adds_neither_items_nor_events(line, folder) -> None:
    ranker, candidates = Ranker.load(folder("static")), line.candidates(3)
    before, items = ranker.rank(candidates), line.dataset.items.with_columns(category=pl.lit("opera"))
    moment = pl.col("timestamp") + timedelta(days=30)
    events, shown = line.dataset.events[:5], line.dataset.requests[:40].with_columns(moment)
    held = line.dataset.requests.sort("timestamp").tail(3)  # of a list that the state holds as rows
    for fault, words in (
        ({"items": pl.concat([items, items[:1]])}, "items.item_id: the same item_id again"),
        ({"users": pl.DataFrame({"user_id": ["x"]})}, "users hold user_id as String, the model's data as Int64"),
        ({"requests": held}, "candidates are already in the state"),
        ({"items": items.to_dicts()}, "items are a list; pass a polars or pandas DataFrame"),
    ):
        with pytest.raises(DataError, match=words):
            ranker.update(**{"events": events, "requests": shown, "items": items} | fault)
    assert_frame_equal(ranker.rank(candidates), before, check_exact=True)
    ranker.update(events, shown, items)
    assert not ranker.rank(candidates)["score"].equals(before["score"])


def test_a_model_that_grades_labels_takes_items(line, folder) -> None:
    model = Model.load(folder("static"))
    labels = LabelSettings(grades={"share": 3})
    model = replace(model, settings=model.settings.model_copy(update={"labels": labels}))
    ranker = Ranker(Ready.of(model, State.load(folder("static") / "state", folder("static")), folder("static")))
    assert len(ranker.update(items=line.dataset.items[:1].with_columns(item_id=pl.lit(-5, pl.Int64))).items) == 1


def test_every_answer_beside_updates_of_items_is_of_one_version(line, folder) -> None:
    night = Night(Day.of(line), folder("static"))
    candidates = night.day.candidates(4)
    calls = [call for part, items in zip(night.day.parts(3, 6), night.told, strict=False)
             for call in ({"events": part[0], "requests": part[1]}, {"items": items})]  # fmt: skip
    alone = night.ranker(night.before, cut=True)
    versions = [alone.score(candidates).to_list()]
    for call in calls:
        alone.update(**call)
        versions.append(alone.score(candidates).to_list())
    shared, begin = night.ranker(night.before, cut=True), Barrier(4)

    def read(_: int) -> list[list[float]]:
        begin.wait()
        return [shared.score(candidates).to_list() for _ in range(12)]

    with ThreadPoolExecutor(3) as pool:
        reading = pool.map(read, range(3))
        begin.wait()
        for call in calls:
            shared.update(**call)
        answers = list(reading)
    for each in answers:
        seen = [versions.index(scores) for scores in each]
        assert seen == sorted(seen)
    assert shared.score(candidates).to_list() == versions[-1]


def test_updates_of_items_from_many_threads_are_all_kept(line, folder) -> None:
    night = Night(Day.of(line), folder("static"))
    parts, shared, begin = list(night.day.parts(4, 8)), night.ranker(night.before, cut=True), Barrier(4)

    def tell(number: int) -> None:
        begin.wait()
        for items in night.told[number::4]:
            shared.update(items=items)
        for events, _ in parts[number::4]:
            shared.update(events)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tell, range(4)))
    expected = night.ranker(night.after, cut=True)
    for events, _ in parts:
        expected.update(events)
    candidates = night.day.candidates()
    assert_frame_equal(shared.rank(candidates), expected.rank(candidates), check_exact=True)


def test_items_are_ranked_by_what_is_left_where_the_model_folder_is_gone(line, folder, tmp_path, caplog) -> None:
    model = Path(shutil.copytree(folder("static"), tmp_path / "model"))
    ranker, candidates = Ranker.load(model), line.candidates(2)
    new = line.dataset.items[:1].with_columns(item_id=pl.lit(-5, pl.Int64))
    asked = candidates.with_columns(item_id=pl.when(pl.int_range(pl.len()) == 0).then(-5).otherwise("item_id"))
    shutil.move(model, tmp_path / "elsewhere")
    taken = ranker.update(items=new)
    assert (len(taken.items), taken.untexted) == (1, 1)
    assert "the texts of 1 items could not be read (" in caplog.text
    row = ranker.rank(asked).filter(pl.col("item_id") == -5)
    assert row["score"].is_finite().all()
    assert not row["unknown_item"].any()
    shutil.move(tmp_path / "elsewhere", model)
    assert ranker.update(items=new).untexted == 0
    other = Ranker.load(model)
    other.update(items=new)
    assert_frame_equal(ranker.rank(asked), other.rank(asked), check_exact=True)


PROGRAM = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'transformers', 'pytorch_lightning', 'lightning', 'peft'):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from pathlib import Path
import polars as pl
from recsys import Ranker
folder = Path(sys.argv[2])
ranker = Ranker.load(sys.argv[1])
taken = ranker.update(items=pl.read_parquet(folder / 'items.parquet'))
ranker.rank(pl.read_parquet(folder / 'candidates.parquet')).write_parquet(folder / 'ranked.parquet')
print(len(taken.items), taken.untexted)
"""


@pytest.mark.parametrize("backend", ["onnx", "static", "torch"])
def test_a_process_without_torch_reads_new_items_with_a_backend_that_needs_none(
    line, folder, tmp_path, backend
) -> None:
    model = line.model if backend == "torch" else folder(backend)
    new = line.dataset.items[:3].with_columns(pl.col("item_id") + 10**6, title=pl.lit("bread and salt"))
    candidates = line.candidates(4).with_columns(
        item_id=pl.when(pl.int_range(pl.len()) == 0).then(new["item_id"][0]).otherwise("item_id")
    )
    new.write_parquet(tmp_path / "items.parquet")
    candidates.write_parquet(tmp_path / "candidates.parquet")
    command = [sys.executable, "-c", PROGRAM, str(model), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    ranked = pl.read_parquet(tmp_path / "ranked.parquet")
    if backend == "torch":
        assert done.stdout.split() == ["3", "3"]
        assert "could not be read ([text] backend = 'torch' needs torch (" in done.stderr
        assert "3 by what is known of their letters" in done.stderr
        assert ranked["score"].is_finite().all()
        return
    assert done.stdout.split() == ["3", "0"]
    ranker = Ranker.load(model)
    ranker.update(items=new)
    assert_frame_equal(ranked, ranker.rank(candidates), check_exact=True)
    assert not ranked["unknown_item"].any()
