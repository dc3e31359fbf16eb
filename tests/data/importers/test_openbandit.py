import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys.data.checks import check_tables
from recsys.data.importers import read_openbandit
from recsys.data.tables import Dataset
from recsys.errors import DataError

OBD = Path("../shared/data/obd")
LOG = """\
,timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user-item_affinity_0,user-item_affinity_1,user-item_affinity_2
0,2019-11-24 00:03:13.442536+00:00,2,3,0,0.25,aa,bb,0.0,0.5,1.5
1,2019-11-24 09:03:13+09:00,0,1,1,1.0,aa,cc,2.0,0.0,0.0
2,2019-11-24 00:05:39.519963+00:00,2,1,0,0.000165,aa,bb,0.0,0.0,3.0
"""
ITEMS = """\
,item_id,item_feature_0,item_feature_1
0,0,-0.677,ff
1,1,0.5,ff
2,2,1.25,ee
"""


def write(folder: Path, log: str = LOG, items: str = ITEMS) -> Path:
    (folder / "men.csv").write_text(log)
    (folder / "item_context.csv").write_text(items)
    return folder


def test_a_logged_row_becomes_a_request_of_one_candidate(tmp_path: Path) -> None:
    requests = read_openbandit(write(tmp_path)).requests
    assert requests.columns == [
        "request_id", "user_id", "timestamp", "item_id", "position", "propensity", "label", "affinity", "user_feature_0",
        "user_feature_1",
    ]  # fmt: skip
    assert requests.rows() == [
        (1, 1, datetime(2019, 11, 24, 0, 3, 13, 442536, UTC), 2, 3, 0.25, 0, 1.5, "aa", "bb"),
        (2, 2, datetime(2019, 11, 24, 0, 3, 13, 0, UTC), 0, 1, 1.0, 1, 2.0, "aa", "cc"),
        (3, 3, datetime(2019, 11, 24, 0, 5, 39, 519963, UTC), 2, 1, 0.000165, 0, 3.0, "aa", "bb"),
    ]


def test_items_carry_their_features_and_their_first_showing(tmp_path: Path) -> None:
    items = read_openbandit(write(tmp_path)).items
    assert items.columns == ["item_id", "title", "item_feature_0", "item_feature_1", "available_at"]
    assert items.rows() == [
        (0, "Item 0", -0.677, "ff", datetime(2019, 11, 24, 0, 3, 13, 0, UTC)),
        (1, "Item 1", 0.5, "ff", None),
        (2, "Item 2", 1.25, "ee", datetime(2019, 11, 24, 0, 3, 13, 442536, UTC)),
    ]


def test_the_tables_pass_the_check_and_say_who_the_users_are(tmp_path: Path) -> None:
    data = read_openbandit(write(tmp_path))
    assert check_tables(data).errors == ()
    assert any("user_id is the request" in note for note in data.about.notes)
    assert data.about.first_shown
    data.write(tmp_path / "data")
    assert Dataset.read(tmp_path / "data").requests.equals(data.requests)


def test_a_packed_log_gives_the_same(tmp_path: Path) -> None:
    data = read_openbandit(write(tmp_path))
    (tmp_path / "men.csv").unlink()
    (tmp_path / "men.csv.gz").write_bytes(gzip.compress(LOG.encode()))
    assert read_openbandit(tmp_path).requests.equals(data.requests)


def test_affinities_and_user_features_may_be_missing(tmp_path: Path) -> None:
    short = "\n".join(",".join(line.split(",")[:6]) for line in LOG.splitlines())
    assert read_openbandit(write(tmp_path, short)).requests.columns[-1] == "label"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.25,aa", "0,aa", r"propensity_score is no probability above 0 in 1 of 3 rows, such as '0' \(row 1\); fetch"),
        ("0.25,aa", "1.5,aa", r"propensity_score is no probability above 0 in 1 of 3 rows, such as '1.5' \(row 1\)"),
        (",1.0,aa", ",NaN,aa", r"propensity_score is no probability above 0 in 1 of 3 rows, such as 'NaN' \(row 2\)"),
        ("0.25,aa", ",aa", r"propensity_score is no number in 1 of 3 rows, such as None \(row 1\)"),
        ("3,0,0.25", "3,2,0.25", r"click is neither 0 nor 1 in 1 of 3 rows, such as '2' \(row 1\)"),
        ("2,3,0,", "2,0,0,", r"position is no position; the first is 1 in 1 of 3 rows, such as '0' \(row 1\)"),
        ("2,3,0,", "2.5,3,0,", r"item_id is no whole number in 1 of 3 rows, such as '2.5' \(row 1\)"),
        (".442536+00:00", "", r"timestamp is no moment with a zone, .* in 1 of 3 rows, such as '2019-11-24 00:03:13'"),
        ("2,3,0,", "7,3,0,", r"item_id is not in item_context\.csv in 1 of 3 rows, such as '7' \(row 1\)"),
        ("0.5,1.5", "0.5,x", r"affinity is no number in 1 of 3 rows, such as 'x' \(row 1\)"),
        ("propensity_score", "pscore", r"men\.csv has no column propensity_score \(it has .*\); fetch the file"),
    ],
)  # fmt: skip
def test_refuses_values_that_cannot_be(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert LOG.count(old) >= 1
    with pytest.raises(DataError, match=message):
        read_openbandit(write(tmp_path, LOG.replace(old, new, 1)))


def test_counts_every_wrong_propensity(tmp_path: Path) -> None:
    wrong = LOG.replace("0.25,aa", "0,aa").replace("1.0,aa", "-1,aa").replace("0.000165", "2")
    with pytest.raises(DataError, match=r"in 3 of 3 rows, such as '0', '-1', '2' \(row 1\)"):
        read_openbandit(write(tmp_path, wrong))


def test_refuses_folders_that_hold_no_log_two_or_no_items(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no log such as men\.csv; name the folder <policy>/<campaign>"):
        read_openbandit(tmp_path)
    write(tmp_path)
    (tmp_path / "women.csv").write_text(LOG)
    with pytest.raises(DataError, match=r"holds men\.csv and women\.csv; name the folder"):
        read_openbandit(tmp_path)
    (tmp_path / "women.csv").unlink()
    (tmp_path / "item_context.csv").unlink()
    with pytest.raises(DataError, match=r"holds no item_context\.csv; name the folder"):
        read_openbandit(tmp_path)
    write(tmp_path, items=ITEMS.replace("item_id", "id"))
    with pytest.raises(DataError, match=r"item_context\.csv has no column item_id"):
        read_openbandit(tmp_path)
    write(tmp_path, log="")
    with pytest.raises(DataError, match=r"men\.csv cannot be read as a CSV file \(.*\); fetch the file again"):
        read_openbandit(tmp_path)


@pytest.mark.skipif(not OBD.is_dir(), reason="needs the Open Bandit men's campaign in ../shared/data/obd")
@pytest.mark.parametrize(("policy", "clicks"), [("random", 46), ("bts", 69)])
def test_the_published_logs_pass_the_check(policy: str, clicks: int) -> None:
    data = read_openbandit(OBD / policy / "men")
    assert check_tables(data).errors == ()
    assert (data.requests.height, data.items.height, data.requests["label"].sum()) == (10_000, 34, clicks)
    assert sorted(data.requests["position"].unique()) == [1, 2, 3]
