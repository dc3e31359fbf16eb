from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.checks import check_tables
from recsys.data.importers import read_ebnerd
from recsys.data.importers.ebnerd import without_labelled_clicks
from recsys.errors import DataError

SHIPPED = Path(__file__).parents[4] / "shared" / "data" / "ebnerd_demo"
MORNING = datetime(2023, 5, 18, 8)
CLICK = ["user_id", "item_id", "timestamp"]


def minutes(count: float) -> datetime:
    return MORNING + timedelta(minutes=count)


def behaviors(first_id: int = 1, start: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "impression_id": [first_id + 1, first_id],
            "article_id": [None, 30],
            "impression_time": [minutes(start + 60), minutes(start)],
            "read_time": [11.0, 12.0],
            "scroll_percentage": [None, 50.0],
            "device_type": [1, 2],
            "article_ids_inview": [[10, 20, 10], [20, 30, 40]],
            "article_ids_clicked": [[10], [30, 40]],
            "user_id": [1, 1],
            "gender": [None, 1],
            "age": [40, 30],
            "session_id": [5, 6],
            "next_read_time": [3.0, 4.0],
        },
        schema_overrides={"user_id": pl.UInt32, "impression_id": pl.UInt32},
    )


def history(*clicks: tuple[int, int, float]) -> pl.DataFrame:
    """One row per user out of (user, article, minute)."""
    frame = pl.DataFrame(
        {
            "user_id": [user for user, _, _ in clicks],
            "article_id_fixed": [article for _, article, _ in clicks],
            "impression_time_fixed": [minutes(minute) for _, _, minute in clicks],
            "read_time_fixed": [float(article) for _, article, _ in clicks],
        }
    )
    return frame.group_by("user_id", maintain_order=True).agg(pl.all())


ARTICLES = pl.DataFrame(
    {
        "article_id": [10, 20, 30, 99],
        "title": ["ten", "twenty", "thirty", "never shown"],
        "abstract": ["a", "b", "c", "d"],
        "category": [1, 1, 2, 2],
        "subcategory": ["[5 6]", "[]", "[7]", "[]"],
    }
)


def write(folder: Path, lists: pl.DataFrame, clicks: pl.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lists.write_parquet(folder / "behaviors.parquet")
    clicks.write_parquet(folder / "history.parquet")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    ARTICLES.write_parquet(tmp_path / "articles.parquet")
    write(tmp_path, behaviors(), history((1, 10, -50), (1, 20, -50), (1, 10, -50), (2, 99, -10)))
    return tmp_path


def test_lists_become_candidates_in_order_of_time(flat: Path) -> None:
    requests = read_ebnerd(flat).requests
    assert requests.select("request_id", "item_id", "label").rows() == [
        (1, 20, 0), (1, 30, 1), (1, 40, 1), (2, 10, 1), (2, 20, 0),
    ]  # fmt: skip
    assert requests["page_item_id"].to_list() == [30, 30, 30, None, None]
    assert requests["page"].to_list() == ["thirty", "thirty", "thirty", None, None]
    assert requests["device"].to_list() == [2, 2, 2, 1, 1]
    assert requests["page_read_time"].to_list() == [12.0, 12.0, 12.0, 11.0, 11.0]
    assert requests.schema["user_id"] == pl.UInt32
    assert "session_id" not in requests.columns


def test_the_page_of_an_unknown_article_has_no_title(flat: Path) -> None:
    lists = behaviors().with_columns(article_id=pl.Series([77.0, 20.0]))
    lists.write_parquet(flat / "behaviors.parquet")
    assert read_ebnerd(flat).requests["page"].to_list() == ["twenty", "twenty", "twenty", None, None]
    assert "page" not in read_ebnerd(flat).about.recorded_after
    ARTICLES.drop("title").write_parquet(flat / "articles.parquet")
    assert "page" not in read_ebnerd(flat).requests.columns
    ARTICLES.write_parquet(flat / "articles.parquet")
    behaviors().drop("article_id").write_parquet(flat / "behaviors.parquet")
    assert "page" not in read_ebnerd(flat).requests.columns


def test_says_what_was_recorded_after_the_list(flat: Path) -> None:
    about = read_ebnerd(flat).about
    assert about.source == "ebnerd"
    assert about.recorded_after == ("next_read_time", "page_read_time", "page_scroll_percentage")
    assert "1 candidates stood twice in their list and are kept once." in about.notes
    assert "1 earlier clicks stood twice (same user, item and moment) and are kept once." in about.notes


def test_history_becomes_clicks_with_seconds_read(flat: Path) -> None:
    events = read_ebnerd(flat).events.filter(pl.col("event") == "click")
    assert sorted(events.select("user_id", "item_id", "event", "value").rows()) == [
        (1, 10, "click", 10.0), (1, 20, "click", 20.0), (2, 99, "click", 99.0),
    ]  # fmt: skip


def test_readings_are_known_when_they_ended(flat: Path) -> None:
    """Of the page at once and after its reading; of a click, which fell within half an hour, as much later."""
    lists = behaviors().with_columns(next_scroll_percentage=pl.Series([80.0, 90.0]))
    lists.write_parquet(flat / "behaviors.parquet")
    events = read_ebnerd(flat).events.filter(~pl.col("event").is_in(["click", "session"]))
    events = events.sort("timestamp", "event", "known_at")
    moment = [pl.col(name).dt.replace_time_zone(None) for name in ("timestamp", "known_at")]
    assert events.select("user_id", "item_id", "event", "value", *moment).rows() == [
        (1, 30, "read", 12.0, minutes(0), minutes(0.2)),
        (1, 30, "scroll", 50.0, minutes(0), minutes(0.2)),
        (1, 30, "view", None, minutes(0), minutes(0)),
        (1, 10, "read", 3.0, minutes(60), minutes(90.05)),
        (1, 10, "scroll", 80.0, minutes(60), minutes(90.05)),
    ]  # of the two clicks of the first list nobody knows which one was read
    behaviors().drop("article_id", "read_time", "next_read_time").write_parquet(flat / "behaviors.parquet")
    data = read_ebnerd(flat)
    assert set(data.events["event"]) == {"click"}
    assert not any("read and scroll" in note for note in data.about.notes)


def test_a_reading_is_told_once_by_the_page_that_the_click_led_to(flat: Path) -> None:
    for minute, late in ((60, 20), (60, 40)):
        led = (
            behaviors()
            .head(1)
            .with_columns(
                impression_id=pl.lit(9, pl.UInt32), article_id=pl.lit(10), impression_time=minutes(minute + late)
            )
        )
        pl.concat(
            [behaviors().with_columns(pl.col("article_id").cast(pl.Int64)), led], how="vertical_relaxed"
        ).with_columns(
            article_ids_clicked=pl.when(pl.col("impression_id") == 9).then(pl.lit([])).otherwise("article_ids_clicked")
        ).write_parquet(flat / "behaviors.parquet")
        events = read_ebnerd(flat).events.filter(pl.col("event") == "read", pl.col("item_id") == 10)
        assert events["value"].to_list() == ([11.0] if late == 20 else [3.0, 11.0])


def test_readings_of_no_possible_length_are_left_out_and_counted(flat: Path) -> None:
    for wrong in (float("nan"), float("inf"), -1.0, 1e15):
        behaviors().with_columns(
            next_read_time=pl.Series([wrong, 4.0]), read_time=pl.Series([11.0, wrong])
        ).write_parquet(flat / "behaviors.parquet")
        data = read_ebnerd(flat)
        assert set(data.events["event"]) == {"click", "view", "session"}
        assert "2 readings of no possible length, such as below 0 seconds, are left out." in data.about.notes
    behaviors().with_columns(
        scroll_percentage=pl.Series([None, float("nan")]), next_read_time=pl.Series([None, None], dtype=pl.Float64)
    ).write_parquet(flat / "behaviors.parquet")
    assert sorted(set(read_ebnerd(flat).events["event"])) == ["click", "read", "session", "view"]


def test_pages_that_are_no_ids_are_refused(flat: Path) -> None:
    behaviors().with_columns(article_id=pl.Series(["x30", None])).write_parquet(flat / "behaviors.parquet")
    with pytest.raises(DataError, match="behaviors.parquet: item_id is String and does not fit the Int64 of the lists"):
        read_ebnerd(flat)


def test_one_reading_is_kept_of_lists_of_one_moment(flat: Path) -> None:
    twice = behaviors().tail(1).with_columns(impression_id=pl.lit(9, pl.UInt32), read_time=pl.lit(40.0))
    pl.concat([behaviors(), twice]).write_parquet(flat / "behaviors.parquet")
    events = read_ebnerd(flat).events.filter(pl.col("item_id") == 30, pl.col("event") != "click")
    assert sorted(events.select("event", "value").rows(), key=str) == [
        ("read", 12.0), ("scroll", 50.0), ("session", 0.0), ("view", None),
    ]  # fmt: skip


def test_a_session_tells_how_many_lists_followed_once_it_is_over(flat: Path) -> None:
    lists = pl.DataFrame(
        {
            "impression_id": [1, 2, 3, 4, 5],
            "article_id": [30, 20, None, 10, 10],
            "impression_time": [minutes(at) for at in (0, 5, 9, 20, 50)],
            "article_ids_inview": [[10, 20]] * 5,
            "article_ids_clicked": [[10]] * 5,
            "user_id": [1, 1, 1, 2, 1],
            "session_id": [6, 6, 6, 6, 7],
        },
        schema_overrides={"user_id": pl.UInt32},
    )
    for order in (lists, lists.reverse()):
        order.write_parquet(flat / "behaviors.parquet")
        data = read_ebnerd(flat)
        found = data.events.filter(pl.col("event") == "session").sort("timestamp")
        moment = [pl.col(name).dt.replace_time_zone(None) for name in ("timestamp", "known_at")]
        assert found.select("user_id", "item_id", "value", *moment).rows() == [
            (1, 30, 2.0, minutes(0), minutes(39)),
            (1, 20, 1.0, minutes(5), minutes(39)),
            (2, 10, 0.0, minutes(20), minutes(50)),
            (1, 10, 0.0, minutes(50), minutes(80)),
        ]
        assert any(note.startswith("4 session events tell how many lists came after an") for note in data.about.notes)
    lists.drop("session_id").write_parquet(flat / "behaviors.parquet")
    assert "session" not in set(read_ebnerd(flat).events["event"])


def test_items_carry_text_codes_and_first_showing(flat: Path) -> None:
    data = read_ebnerd(flat)
    items = data.items
    assert items["description"].to_list() == ["a", "b", "c", "d"]
    assert items["category"].to_list() == ["1", "1", "2", "2"]
    assert items["subcategory"].to_list() == ["5 6", None, "7", None]
    shown = items["available_at"].dt.replace_time_zone(None).to_list()
    assert shown == [minutes(60), minutes(0), minutes(0), None]
    assert any("available_at is the first showing" in note for note in data.about.notes)
    assert data.about.first_shown


def test_users_keep_what_was_last_known(flat: Path) -> None:
    data = read_ebnerd(flat)
    users = data.users
    assert users is not None
    assert "What is known of users comes with their requests, and changes 1 time." in data.about.notes
    just_before = [datetime(2023, 5, 18, hour, tzinfo=UTC) - timedelta(microseconds=1) for hour in (8, 9)]
    assert users.rows(named=True) == [
        {"user_id": 1, "known_at": just_before[0], "gender": 1, "age": 30},
        {"user_id": 1, "known_at": just_before[1], "gender": 1, "age": 40},
    ]
    again = behaviors(7, 90).with_columns(pl.lit(None, pl.Int64).alias("gender"), age=pl.lit(40))
    pl.concat([behaviors(), again], how="vertical_relaxed").write_parquet(flat / "behaviors.parquet")
    assert read_ebnerd(flat).users.equals(users)  # told again alike, or not told
    behaviors().drop("gender", "age").write_parquet(flat / "behaviors.parquet")
    assert read_ebnerd(flat).users is None


def test_publisher_columns_are_used_and_totals_are_not(flat: Path) -> None:
    published = ARTICLES.with_columns(
        subcategory=pl.Series([[5, 6], [], [7], None], dtype=pl.List(pl.Int16)),
        topics=pl.Series([["Politik", "Penge"], [], ["Sport"], []]),
        published_time=minutes(-100),
        category_str=pl.lit("nyheder"),
        total_inviews=9,
        url=pl.lit("x"),
        sentiment_score=0.5,
    )
    published.write_parquet(flat / "articles.parquet")
    data = read_ebnerd(flat)
    assert data.items["subcategory"].to_list() == ["5 6", None, "7", None]
    assert data.items["topics"].to_list()[0] == "Politik Penge"
    assert data.items["available_at"].dt.replace_time_zone(None).to_list() == [minutes(-100)] * 4
    assert set(data.items.columns) == {
        "item_id", "title", "description", "category", "subcategory", "topics", "available_at", "category_name",
        "sentiment_score",
    }  # fmt: skip
    assert "available_at is the article's published_time." in data.about.notes
    assert not data.about.first_shown


def test_a_click_lives_in_one_table_only(tmp_path: Path) -> None:
    ARTICLES.write_parquet(tmp_path / "articles.parquet")
    write(tmp_path / "train", behaviors(), history((1, 20, -50), (2, 10, -40)))
    # The later history repeats the earlier one, and the clicks of the training lists: 30 and 40 at minute 0, 10 at 60.
    later = history((1, 20, -50), (1, 30, 2), (1, 40, 31), (1, 10, 59), (1, 10, 60), (2, 10, -40), (2, 30, 2))
    write(tmp_path / "validation", behaviors(first_id=1, start=10_000), later)
    data = read_ebnerd(tmp_path)
    left = [(row[0], row[1], (row[2].replace(tzinfo=None) - MORNING) / timedelta(minutes=1)) for row in
            data.events.filter(pl.col("event") == "click").select(CLICK).rows()]  # fmt: skip
    assert left == [(1, 20, -50), (2, 10, -40), (2, 30, 2), (1, 40, 31), (1, 10, 59)]
    assert "2 earlier clicks repeat a click of a list and are left out." in data.about.notes
    assert data.requests["request_id"].unique().to_list() == [1, 2, 4, 5]
    assert any("repeats between the parts; 3 is added" in note for note in data.about.notes)
    assert [fault for fault in check_tables(data).errors if fault.column != "item_id"] == []


def test_one_part_of_the_publisher_is_enough(flat: Path, tmp_path: Path) -> None:
    other = tmp_path / "published"
    write(other / "validation", behaviors(), pl.read_parquet(flat / "history.parquet"))
    ARTICLES.write_parquet(other / "articles.parquet")
    assert read_ebnerd(other).requests.equals(read_ebnerd(flat).requests)


MOMENTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), max_size=12)


@given(MOMENTS, MOMENTS)
def test_each_labelled_click_accounts_for_one_event(
    events: list[tuple[int, int]], clicks: list[tuple[int, int]]
) -> None:
    events = list(dict.fromkeys(events))
    left = list(events)
    for item, shown in sorted(clicks, key=lambda click: click[1]):
        near = [event for event in left if event[0] == item and shown <= event[1] <= shown + 3]
        if near:
            left.remove(min(near, key=lambda event: event[1]))

    def frame(rows: list[tuple[int, int]]) -> pl.DataFrame:
        items = pl.Series([item for item, _ in rows], dtype=pl.Int64)
        times = pl.Series([minutes(10 * at) for _, at in rows], dtype=pl.Datetime("us"))
        return pl.DataFrame({"item_id": items, "timestamp": times}).with_columns(user_id=pl.lit(1))

    kept = without_labelled_clicks(frame(events), frame(clicks))
    assert kept.equals(frame(left))


def test_refuses_what_is_not_there(flat: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"empty holds no behaviors\.parquet, neither itself nor in train/"):
        read_ebnerd(tmp_path / "empty")
    behaviors().drop("article_ids_clicked").write_parquet(flat / "behaviors.parquet")
    with pytest.raises(
        DataError, match=r"behaviors\.parquet has no column article_ids_clicked .*whose clicks are known"
    ):
        read_ebnerd(flat)
    (flat / "articles.parquet").unlink()
    with pytest.raises(DataError, match=r"articles\.parquet is missing; name the folder"):
        read_ebnerd(flat)


def test_counts_clicks_outside_their_list_and_empty_lists(flat: Path) -> None:
    lists = behaviors().with_columns(
        article_ids_inview=pl.Series([[10, None], []], dtype=pl.List(pl.Int64)),
        article_ids_clicked=pl.Series([[10, 77], None], dtype=pl.List(pl.Int64)),
    )
    lists.write_parquet(flat / "behaviors.parquet")
    data = read_ebnerd(flat)
    assert data.requests.select("item_id", "label").rows() == [(10, 1)]
    assert "1 lists without an article are left out." in data.about.notes
    assert "1 clicks on articles that their list does not hold are left out." in data.about.notes


@pytest.mark.slow
def test_demo_bundle_has_the_figures_of_its_publisher() -> None:
    if not SHIPPED.is_dir():
        pytest.skip("the EB-NeRD demo bundle is not here")
    data = read_ebnerd(SHIPPED)
    raw = pl.read_parquet(SHIPPED / "behaviors.parquet")
    labels: Counter[int] = Counter()
    for shown, clicked in raw.select("article_ids_inview", "article_ids_clicked").iter_rows():
        labels.update(int(article in clicked) for article in shown)
    assert Counter(data.requests["label"].to_list()) == labels
    assert (data.requests["request_id"].n_unique(), data.requests.height, data.items.height) == (24_724, 278_139, 5_279)
    kinds = Counter(data.events["event"].to_list())
    assert kinds["click"] == 258_318 - 49
    seen = raw.drop_nulls("article_id").unique(["user_id", "article_id", "impression_time"])
    assert kinds["view"] == seen.height
