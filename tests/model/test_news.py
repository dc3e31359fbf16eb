"""New and changed rows of items and users, between two nights."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.data.clock import TimeSettings
from recsys.data.texts import own_texts
from recsys.errors import DataError, ModelError, SettingsError
from recsys.features.definitions import Rate, Share
from recsys.features.moments import HoursSince
from recsys.features.plan import build_features
from recsys.model.news import News
from recsys.past import tail as tail_module
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.tail import Tail
from recsys.schema import TIME
from recsys.settings import Settings
from recsys.vectors import neighbours as neighbours_module
from recsys.vectors.encoded import Encoded, round_to_grid
from recsys.vectors.item_vectors import ItemVectors, text_hashes
from recsys.vectors.reader import Reader
from recsys.vectors.user_tower import UserTower
from tests.past.test_tail import MINUTE, SETTINGS, START, Story

FEATURES = SETTINGS.model_copy(
    update={
        "declarations": (
            Share(("last_category", "item"), ("last_category",), 10 * MINUTE),
            Rate(("town", "item"), None, 2.0, (("town", "category"), ("town",))),
            HoursSince("like", ("town", "category")),
        )
    }
)
TOWER = UserTower(
    round_to_grid(np.random.default_rng(1).normal(size=(2, 8))).astype(float),
    *np.array([[1.5, 4.0], [0.3, 0.7], [1.0, 2.0]]),
    np.ones(1),
)
WORDS = ["sea", "sea boat", "bread", "", "goal", "code"]


def read(texts: Sequence[str]) -> Encoded:
    """Vectors that depend on the text alone."""
    drawn = [
        np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)).normal(size=17) for text in texts
    ]
    numbers = np.array(drawn).reshape(-1, 17)
    unit = [
        round_to_grid(part / np.linalg.norm(part, axis=1, keepdims=True)) for part in (numbers[:, :8], numbers[:, 8:16])
    ]
    return Encoded(*unit, numbers[:, 16].astype(np.float32))


@dataclass
class Source:
    """Reads texts, and remembers which; or has no encoder, or not even a lexicon, which knows the letter e."""

    encoder: bool = True
    lexicon: bool = True
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> Encoded:
        if not self.encoder:
            raise ModelError("the encoder is gone")
        self.asked += texts
        return read(texts)

    def encode_lexically(self, texts: Sequence[str]) -> tuple[Encoded, np.ndarray]:
        if not self.lexicon:
            raise ModelError("the lexicon is gone")
        return read([f"letters of {text}" for text in texts]), np.array(["e" in text for text in texts], bool)


def vectors_of(items: pl.DataFrame) -> ItemVectors:
    rows, texts = own_texts(items, ["title"])
    return ItemVectors.of_texts(rows, pl.Series(text_hashes(texts), dtype=pl.String), read(texts), "one")


def reader_of(log: Log, items: pl.DataFrame, source: Source | None = None) -> Reader:
    return Reader.of(log, vectors_of(items), TOWER, 3, texts=source or Source())


SETTINGS_OF_ALL = Settings.model_validate({"text": {"fields": ["title"]}}).model_copy(update={"features": FEATURES})


@dataclass
class Shop:
    """What is told of items and users step by step, beside behaviour; some rows from some moment on, in no order."""

    story: Story
    random: np.random.Generator
    items: pl.DataFrame
    users: pl.DataFrame
    versions: bool = False

    @classmethod
    def of(cls, seed: int, steps: int, texts: bool, versions: bool = False) -> "Shop":
        random = np.random.default_rng(seed)
        story = Story.of(seed, steps, bool(seed % 2), texts)
        items = story.items.with_columns(title=pl.Series(random.choice(WORDS, len(story.items))))
        return cls(story, random, shop_columns(items), story.users.with_columns(known_at=pl.lit(None, TIME)), versions)

    def id(self, number: int) -> int | str:
        return f"é{number}" if self.items.schema["item_id"] == pl.String else number

    def since(self) -> datetime | None:
        """Some moment from which a row is known."""
        moments = [None, *(START + 10 * int(ten) * MINUTE for ten in range(-1, 70, 4))] if self.versions else [None]
        return moments[self.random.integers(len(moments))]

    def rows(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Some items and users, new ones and ones that changed or did not; and know them."""
        pick = self.random.choice
        items = pl.DataFrame(
            [
                {
                    "item_id": self.id(int(number)),
                    "known_at": self.since(),
                    "available_at": pick([None, START - 10 * MINUTE, START, START + 30 * MINUTE, START + 90 * MINUTE]),
                    "category": pick(["sea", "code", None, "opera"]),
                    "price": pick([None, 1.0, float("nan"), 7.5]),
                    "title": str(pick(WORDS)),
                }
                for number in self.random.choice(13, self.random.integers(0, 5), replace=self.versions)
            ],
            schema=self.items.schema,
        ).unique(ITEM, keep="first", maintain_order=True)
        users = pl.DataFrame(
            [
                {"user_id": self.id(int(number)), "town": pick(["a", "b", "c", None]), "known_at": self.since()}
                for number in self.random.choice(8, self.random.integers(0, 3), replace=self.versions)
            ],
            schema=self.users.schema,
        ).unique(USER, keep="first", maintain_order=True)
        if len(self.items) and self.random.random() < 0.5:  # told again alike
            again = self.items[int(self.random.integers(len(self.items)))]
            items = pl.concat([items.join(again, on=ITEM, how="anti", nulls_equal=True), again])
        self.items = pl.concat([self.items.join(items, on=ITEM, how="anti", nulls_equal=True), items])
        self.users = pl.concat([self.users.join(users, on=USER, how="anti", nulls_equal=True), users])
        return (items, users) if self.versions else (items.drop("known_at"), users.drop("known_at"))

    def whole(self, step: int, time: TimeSettings) -> tuple[Log, Reader]:
        story = replace(self.story, items=self.items, users=self.users)
        log = Log(story.behaviour(step), time)
        return log, reader_of(log, self.items)

    def candidates(self) -> pl.DataFrame:
        lists = self.story.candidates()
        items = pl.concat([lists["item_id"].unique(), self.items["item_id"]]).unique().sort().to_frame()
        return lists.drop("item_id").unique(maintain_order=True).join(items, how="cross")


ITEM, USER = ["item_id", "known_at"], ["user_id", "known_at"]


def shop_columns(items: pl.DataFrame) -> pl.DataFrame:
    return items.select("item_id", pl.lit(None, TIME).alias("known_at"), "available_at", "category", "price", "title")


def features_of(candidates: pl.DataFrame, log: Log, reader: Reader) -> pl.DataFrame:
    return build_features(Asked.of(candidates, log), FEATURES, reader)


def tell(
    tail: Tail, reader: Reader, items: pl.DataFrame | None, users: pl.DataFrame | None
) -> tuple[Tail, Reader, News]:
    news = News.of(items, users, SETTINGS_OF_ALL, tail.log, reader)
    tail = tail.told(news.items, news.users)
    return tail, news.known_by(reader, tail.log), news


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.sampled_from([1, 4, 10_000]),
    st.booleans(),
    st.sampled_from([1, 4_000_000]),
    st.booleans(),
)
def test_what_is_told_of_items_and_users_gives_the_features_of_tables_that_hold_it(
    seed, steps, rows, texts, numbers, versions
) -> None:
    shop = Shop.of(seed, steps, texts, versions)
    time = [TimeSettings(), TimeSettings(feedback_delay="0s"), TimeSettings(freshness="1d")][seed % 3]
    tail = Tail.on(Log(replace(shop.story, items=shop.items).behaviour(0), time))
    reader = reader_of(tail.log, shop.items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail_module, "ROWS", rows)
        patch.setattr(neighbours_module, "_COLUMNS", numbers)
        for step in range(1, steps + 3):
            if shop.random.random() < 0.5:
                tail, reader, _ = tell(tail, reader, *shop.rows())
            tail = tail.grown(*shop.story.update(step))
            if shop.random.random() < 0.7:
                tail, reader, _ = tell(tail, reader, *shop.rows())
            candidates = shop.candidates()
            expected = features_of(candidates, *shop.whole(step, time))
            found = features_of(candidates, tail.log, reader)
            assert_frame_equal(found, expected, check_exact=True)


def shop_of(source: Source | None = None) -> tuple[Shop, Tail, Reader]:
    shop = Shop.of(4, 1, texts=False)
    tail = Tail.on(Log(replace(shop.story, items=shop.items).behaviour(3), TimeSettings()))
    features_of(shop.candidates(), tail.log, reader := reader_of(tail.log, shop.items, source))
    return shop, tail, reader


def row(number: int, **values: object) -> pl.DataFrame:
    base = {"item_id": number, "available_at": START, "category": "sea", "price": 1.0, "title": "bread"}
    return pl.DataFrame([base | values], schema_overrides={"available_at": TIME, "price": pl.Float64})


def places_of(tail: Tail, reader: Reader, ids: list[int]) -> np.ndarray:
    """Where the vectors of some items stand."""
    return reader.places[tail.log.register.items.firsts[tail.log.items.encode(pl.Series("item_id", ids))]]


def test_rows_told_again_alike_are_left_out_and_their_texts_not_read() -> None:
    source = Source()
    shop, tail, reader = shop_of(source)
    again, users = shop.items.sample(fraction=1, shuffle=True, seed=1), shop.users
    tail, reader, news = tell(tail, reader, again, users)
    assert (len(news.items), len(news.users), news.alike, source.asked) == (0, 0, len(again) + len(users), [])
    mixed = pl.concat([again.drop("known_at").select(row(1).columns), row(20, title="goal"), row(21, title="sea boat")])
    tail, reader, news = tell(tail, reader, mixed, users.with_columns(town=pl.lit("b")))
    assert news.items["item_id"].to_list() == [20, 21]
    assert news.users["user_id"].to_list() == [1, 5]
    assert news.alike == len(again) + 1
    assert source.asked == ["goal", "sea boat"]
    _, _, news = tell(tail, reader, row(20, title="goal", price=2.0), None)
    assert (len(news.items), source.asked) == (1, ["goal", "sea boat"])


def test_only_what_an_attribute_changes_is_counted_anew() -> None:
    shop, tail, reader = shop_of()
    (layer,) = tail.log.layers
    fresh, _, _ = tell(tail, reader, row(20, category="opera"), pl.DataFrame({"user_id": [70], "town": ["z"]}))
    assert fresh.log.layers == (layer,)
    seen = shop.items.filter(pl.col("item_id").is_in(tail.log.behaviour.showings["item_id"].implode()))[:1]
    fresh, _, _ = tell(tail, reader, seen.with_columns(price=9.0, title=pl.lit("code")), None)
    assert fresh.log.layers == (layer,)
    fresh, fresh_reader, _ = tell(tail, reader, seen.with_columns(category=pl.lit("opera")), None)
    (other,) = fresh.log.layers
    assert other.read is layer.read
    assert other._clicked is layer._clicked
    keys = max(layer._counted, key=len)
    shared = tuple(key for key in keys if not {"category", "last_category"} & set(key.per))
    assert other.counters(shared).blocks.data is layer.counters(keys).blocks.data
    assert other.counters(keys).blocks.data is not layer.counters(keys).blocks.data
    user = tail.log.behaviour.showings["user_id"][0]
    fresh, _, _ = tell(fresh, fresh_reader, None, pl.DataFrame({"user_id": [user], "town": ["new"]}))
    (last,) = fresh.log.layers
    shared = tuple(key for key in keys if "town" not in key.per)
    assert last.counters(shared).blocks.data is other.counters(keys).blocks.data


def test_a_moment_that_is_not_told_stays() -> None:
    _, tail, reader = shop_of()
    told = pl.concat([row(4, category="code"), row(20)]).drop("available_at")
    tail, _, news = tell(tail, reader, told, None)
    assert news.items["available_at"].to_list() == [START, None]
    tail, _, news = tell(tail, reader, row(4, available_at=None, category="code"), None)
    assert news.items["available_at"].to_list() == [None]


def test_without_an_encoder_an_item_is_ranked_by_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(encoder=False)
    shop, tail, reader = shop_of(source)
    told = pl.concat([row(20, title="bread"), row(21, title="goal"), row(4, title="sea sea")])
    appeal = dict(zip(vectors_of(shop.items).item_ids, vectors_of(shop.items).appeal, strict=True))
    by_sea = np.mean([appeal[each] for each in shop.items.filter(pl.col("category") == "sea")["item_id"]])
    with caplog.at_level(logging.WARNING, logger="recsys"):
        tail, reader, news = tell(tail, reader, told, None)
    assert news.texts.untexted == 3
    assert caplog.messages == [
        "the texts of 3 items could not be read (the encoder is gone): 1 are ranked by the text that they had, 1 by "
        "what is known of their letters, 1 by the appeal of their category; tell them again when it can be read"
    ]
    by_id = dict(zip(tail.log.register.items.table["item_id"], reader.places, strict=True))
    places = places_of(tail, reader, [20, 21, 4]).tolist()
    assert (
        reader.vectors.candidate[np.array(places[:1])][0].tolist() == read(["letters of bread"]).candidate[0].tolist()
    )
    assert places[1] == -1
    assert places[2] == by_id[4] == vectors_of(shop.items).item_ids.to_list().index(4)
    signals = features_of(shop.candidates().with_columns(item_id=pl.lit(21)).head(1), tail.log, reader)
    assert signals["appeal"][0] == signals["text_score"][0] == pytest.approx(by_sea)
    assert np.isnan(signals["interest"][0])
    assert reader.guesses is not None
    assert np.isnan(reader.guesses).sum() == len(reader.guesses) - 1
    source.lexicon = False
    tail, reader, news = tell(tail, reader, row(22, title="bread"), None)
    assert news.texts.untexted == 1
    assert places_of(tail, reader, [22]).tolist() == [-1]
    source.encoder = True
    told = pl.concat([told, row(22, title="bread")])
    tail, reader, news = tell(tail, reader, told, None)
    assert (len(news.items), news.alike, news.texts.untexted) == (4, 0, 0)
    places = places_of(tail, reader, told["item_id"].to_list())
    assert np.array_equal(reader.vectors.candidate[places], read(told["title"].to_list()).candidate)


FAULTS = {
    "no id": (row(20).drop("item_id"), DataError, r"error: items.item_id: the column is missing"),
    "no attribute": (row(20).drop("category"), SettingsError, "affinity names 'category', which is not a column of items"),
    "no number": (row(20).drop("price"), SettingsError, "numbers names 'price', which is not a column of items"),
    "no text": (row(20).drop("title"), SettingsError, r"\[text\] fields names 'title', which items does not have"),
    "twice": (pl.concat([row(20), row(20)]), DataError, "items.item_id: the same item_id again in 1"),
    "an id of another kind": (
        row(20).with_columns(item_id=pl.lit("x")), DataError, "^items hold item_id as String, the model's data as Int64; cast"),
    "an empty id": (row(20, item_id=None), DataError, r"items.item_id: empty values \(null\) in 1"),
    "an attribute of another kind": (row(20, category=3), DataError, "^items hold category as Int64, and as String before"),
    "an attribute that is none": (row(20, category=[1.5]), SettingsError, r"affinity names 'category', which holds List"),
    "a number that is none": (row(20).with_columns(price=pl.lit("x")), SettingsError, "numbers names 'price', a column of items that holds String"),
    "a text that is none": (
        row(20).with_columns(title=pl.lit(b"\xff")), SettingsError, r"\[text\] fields names 'title', which holds Binary values; write them as text"),
    "a moment that is none": (
        row(20).with_columns(available_at=pl.lit("now")), DataError, r"items.available_at: the column is String, not moments"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_items_name_the_column_and_the_value(fault: str) -> None:
    told, kind, words = FAULTS[fault]
    _, tail, reader = shop_of()
    with pytest.raises(kind, match=words):
        tell(tail, reader, told, None)


def test_faults_of_users_are_named_beside_those_of_items() -> None:
    _, tail, reader = shop_of()
    users = pl.DataFrame({"user_id": [1, 1], "town": ["a", "b"]})
    with pytest.raises(DataError, match=r"(?s)items.item_id: empty values.*users.user_id: the same user_id again"):
        tell(tail, reader, row(20, item_id=None), users)
    with pytest.raises(
        SettingsError,
        match="users names 'town', which is not a column of users; add it, with nulls where it is not known; its columns are user_id",
    ):
        tell(tail, reader, None, users[:1].drop("town"))
    with pytest.raises(DataError, match="^users hold town as Int64, and as String before; cast the column"):
        tell(tail, reader, None, users[:1].with_columns(town=pl.lit(1, pl.Int64)))


def test_a_few_rows_need_hold_neither_texts_nor_numbers() -> None:
    _, tail, reader = shop_of()
    told = pl.DataFrame({"item_id": [20], "category": [None], "price": [None], "title": [None]})
    _, reader, news = tell(tail, reader, told, pl.DataFrame({"user_id": [9], "town": [None]}))
    assert news.items.row(0) == (20, None, None, None)
    assert news.users.row(0) == (9, None)
    assert news.texts.untexted == 0
    assert np.array_equal(reader.vectors.candidate[np.array([len(reader.vectors) - 1])][0], read([""]).candidate[0])


def test_items_told_between_single_events_are_known_at_once() -> None:
    """The rows that wait to be closed have grown by then."""
    shop, tail, reader = shop_of()
    events = shop.story.behaviour(3).events.tail(1)
    moment = max(events["known_at"][0], tail.last)
    for hour in (1, 2, 3):
        event = pl.DataFrame({"user_id": [1], "item_id": [2], "event": ["click"]})
        event = event.with_columns(timestamp=pl.lit(moment + timedelta(days=30, hours=hour), TIME))
        tail = tail.grown(event, None)
        if hour == 2:
            assert tail.open is not None
            tail, reader, news = tell(tail, reader, row(20, category="land"), None)
            assert len(news.items) == 1
            assert tail.log.register.items.firsts[tail.log.items.encode(pl.Series("item_id", [20]))] >= 0
            assert len(tail.log.top.behaviour.events) == 2
    assert len(tail.log.top.behaviour.events) == 3
