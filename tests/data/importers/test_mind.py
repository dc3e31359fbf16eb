from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.data.checks import check_tables
from recsys.data.importers import read_mind
from recsys.errors import DataError

NEWS = [
    'N1\tsport\tgolf\tA "quoted title\tabstract one\thttps://x\t[]\t[]',
    "N2\tnews\tworld\ttwo\t\thttps://x\t[]\t[]",
    "N3\tnews\tworld\tthree\tabstract three\thttps://x\t[]\t[]",
    "N4\tnews\tlocal\tfour\tabstract four\thttps://x\t[]\t[]",
    "N5\tnews\tlocal\tfive\tabstract five\thttps://x\t[]\t[]",
]
LISTS = [
    "2\tU1\t11/15/2019 12:22:32 PM\tN1 N2 N1 N3 N5\tN3-0 N4-1",
    "1\tU1\t11/15/2019 10:22:32 AM\tN1 N2 N1\tN3-1 N4-0",
    "3\tU2\t11/14/2019 9:02:32 PM\t\tN3-1 N4-0 N4-1",
]
EVENING = datetime(2019, 11, 14, 21, 2, 32, tzinfo=UTC)
FORENOON = datetime(2019, 11, 15, 10, 22, 32, tzinfo=UTC)
NOON = datetime(2019, 11, 15, 12, 22, 32, tzinfo=UTC)


def write(folder: Path, lists: list[str], news: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "behaviors.tsv").write_text("\n".join(lists) + "\n")
    (folder / "news.tsv").write_text("\n".join(news) + "\n")
    return folder


def test_lists_become_candidates_with_labels(tmp_path: Path) -> None:
    data = read_mind(write(tmp_path, LISTS, NEWS))
    assert data.requests.rows() == [
        (3, "U2", EVENING, "N3", 1), (3, "U2", EVENING, "N4", 1),
        (1, "U1", FORENOON, "N3", 1), (1, "U1", FORENOON, "N4", 0),
        (2, "U1", NOON, "N3", 0), (2, "U1", NOON, "N4", 1),
    ]  # fmt: skip
    assert "1 candidates stood twice in their list and are kept once." in data.about.notes
    assert data.about.first_shown
    assert check_tables(data).ok


def test_news_keep_their_quotes_and_get_their_first_showing(tmp_path: Path) -> None:
    items = read_mind(write(tmp_path, LISTS, NEWS)).items
    assert items.columns == ["item_id", "category", "subcategory", "title", "description", "available_at"]
    assert items["title"][0] == 'A "quoted title'
    assert items["description"].to_list()[:2] == ["abstract one", None]
    assert items["available_at"].to_list() == [None, None, EVENING, EVENING, None]


def test_history_ends_a_second_before_the_list_that_first_names_it(tmp_path: Path) -> None:
    events = read_mind(write(tmp_path, LISTS, NEWS)).events
    second = timedelta(seconds=1)
    # N1 counts where it stood last; N3 is the click of the first list; only N5 is new at noon.
    assert events.rows() == [
        ("U1", "N2", FORENOON - 2 * second, "click"),
        ("U1", "N1", FORENOON - second, "click"),
        ("U1", "N5", NOON - second, "click"),
    ]


def test_no_list_knows_more_than_its_own_history_and_earlier_clicks(tmp_path: Path) -> None:
    data = read_mind(write(tmp_path, LISTS, NEWS))
    for line in LISTS:
        number, user, _, history, _ = line.split("\t")
        moment = data.requests.filter(request_id=int(number))["timestamp"][0]
        before = {"user_id": user}
        events = data.events.filter(**before).filter(data.events.filter(**before)["timestamp"] < moment)
        clicks = data.requests.filter(user_id=user, label=1)
        known = set(events["item_id"]) | set(clicks.filter(clicks["timestamp"] < moment)["item_id"])
        assert known == set(history.split())


def test_parts_get_distinct_request_ids_and_share_their_news(tmp_path: Path) -> None:
    write(tmp_path / "train", LISTS, NEWS)
    write(tmp_path / "dev", ["1\tU1\t11/16/2019 10:22:32 AM\tN1 N2 N1 N3 N5\tN3-1 N4-0"], NEWS[2:])
    data = read_mind(tmp_path)
    assert data.requests["request_id"].unique().sort().to_list() == [1, 2, 3, 5]
    assert any("request_id repeats between the parts; 4 is added" in note for note in data.about.notes)
    assert data.items["item_id"].to_list() == ["N1", "N2", "N3", "N4", "N5"]
    assert data.events.height == 3


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (["1\tU1\t11/15/2019 10:22:32 AM\tN1\tN3 N4"], "line 1: the list carries no labels .*leave that part out"),
        ([LISTS[0], "7\tU1\t11/15/2019 10:22:32 AM\tN1\t"], "line 2: the list carries no labels"),
        ([LISTS[0], "7\tU1\t2019-11-15\tN1\tN3-1"], r"line 2: timestamp '2019-11-15' cannot be read; lines must look"),
        (["x\tU1\t11/15/2019 10:22:32 AM\tN1\tN3-1"], "line 1: request_id 'x' cannot be read"),
        (["1\tU1\t11/15/2019 10:22:32 AM\tN1"], "has 4 columns instead of 5; fetch the file again"),
        ([LISTS[0], LISTS[0]], "request_id 2 stands for several lists"),
        ([LISTS[0], LISTS[0] + "\tmore"], "cannot be read as tab-separated text"),
    ],
)
def test_refuses_lists_that_are_not_as_published(tmp_path: Path, lists: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_mind(write(tmp_path, lists, NEWS))


def test_refuses_a_folder_without_the_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no behaviors\.tsv, neither itself nor in train/ or dev/"):
        read_mind(tmp_path)
    write(tmp_path, LISTS, NEWS)
    (tmp_path / "news.tsv").unlink()
    with pytest.raises(DataError, match=r"news\.tsv is missing; name the folder"):
        read_mind(tmp_path)
