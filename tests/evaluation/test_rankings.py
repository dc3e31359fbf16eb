import ir_measures
import numpy as np
import polars as pl
import pytest
from ir_measures import AP, nDCG

from recsys.errors import DataError
from recsys.evaluation.evaluation import evaluate_rankers
from recsys.evaluation.measures import average_precision, ndcg, per_request
from recsys.evaluation.rankings import read_rankings

ROWS = [(1, 7, 0), (1, 8, 1), (2, 7, 1), (2, 9, 0), (3, 8, 1)]


def requests(ids=pl.Int64):
    frame = pl.DataFrame(ROWS, schema=["request_id", "item_id", "label"], orient="row")
    text = pl.col("request_id", "item_id").cast(pl.String)
    return frame.with_columns(text.cast(ids), user_id=pl.col("request_id"))


def parquet(folder, name="a.parquet", **columns):
    pl.DataFrame(columns).write_parquet(folder / name)
    return folder / name


def run(folder, text):
    (folder / "a.run").write_text(text)
    return folder / "a.run"


RUN = "2 Q0 9 1 0.5 sys\n1 Q0 8 1 1e-1 sys\n1\tQ0  7\t2 0.9 sys\n\n5 Q0 7 1 0.1 sys\n"


def test_a_trec_run_is_ordered_by_its_score_and_matches_integers_by_their_text(tmp_path):
    found = read_rankings(run(tmp_path, RUN)).scores(requests())
    assert found.tolist() == [0.9, 0.1, -np.inf, 0.5, -np.inf]


@pytest.mark.parametrize("ids", [pl.Int64, pl.Int32, pl.UInt16, pl.String, pl.Categorical])
def test_ids_of_any_two_types_match_by_their_text(tmp_path, ids):
    path = parquet(tmp_path, request_id=[1, 1], item_id=[8, 7], rank=[1, 2])
    assert read_rankings(path).scores(requests(ids)).tolist() == [-2.0, -1.0] + [-np.inf] * 3


def test_what_is_not_answered_is_counted(tmp_path):
    found = read_rankings(run(tmp_path, RUN)).align(requests())
    assert (found.unanswered_requests, found.unlisted_candidates, found.outside_requests) == (1, 2, 1)
    assert found.click_probabilities is None


def test_rank_wins_over_score_and_gaps_do_not_matter(tmp_path):
    path = parquet(tmp_path, request_id=[1, 1], item_id=[7, 8], rank=[9, 3], score=[5.0, np.nan])
    assert read_rankings(path).scores(requests())[:2].tolist() == [-9.0, -3.0]


def test_a_score_may_be_a_whole_number_and_the_file_may_hold_more_columns(tmp_path):
    path = parquet(tmp_path, request_id=[1, 1], item_id=[7, 8], score=[3, 3], note=["x", None])
    assert read_rankings(path).scores(requests())[:2].tolist() == [3.0, 3.0]


def test_click_probabilities_come_with_the_ranks(tmp_path):
    path = parquet(tmp_path, request_id=[1, 2], item_id=[8, 7], rank=[1, 1], click_probability=[0.25, 1.0])
    found = read_rankings(path).align(requests()).click_probabilities
    np.testing.assert_array_equal(found, [np.nan, 0.25, 1.0, np.nan, np.nan])


def test_a_click_probability_may_be_empty_and_nothing_else(tmp_path):
    columns = {"request_id": [1, 2], "item_id": [8, 7], "score": [0.5, 1.5], "click_probability": [0.25, None]}
    found = read_rankings(parquet(tmp_path, **columns)).align(requests())
    np.testing.assert_array_equal(found.click_probabilities, [np.nan, 0.25, np.nan, np.nan, np.nan])
    assert found.unlisted_candidates == 3
    none = read_rankings(
        parquet(tmp_path, **columns | {"click_probability": pl.Series([None, None], dtype=pl.Float64)})
    )
    assert np.isnan(none.align(requests()).click_probabilities).all()
    with pytest.raises(DataError, match=r"1 rows lack a value in \['score'\], in requests such as 1; give every row"):
        read_rankings(parquet(tmp_path, **columns | {"score": [None, 1.5]}))


def test_a_folder_of_parts_is_read_as_one_table(tmp_path):
    parquet(tmp_path, "part-0.parquet", request_id=[1], item_id=[8], rank=[1])
    parquet(tmp_path, "part-1.parquet", request_id=[2], item_id=[7], rank=[1])
    assert read_rankings(tmp_path).align(requests()).unanswered_requests == 1


def test_rows_of_requests_may_come_in_any_order(tmp_path):
    rankings, order = read_rankings(run(tmp_path, RUN)), [3, 0, 4, 2, 1]
    assert rankings.scores(requests()[order]).tolist() == rankings.scores(requests())[order].tolist()


def test_measures_of_a_run_file_equal_those_of_ir_measures(tmp_path):
    random = np.random.default_rng(0)
    names = [(f"q{request}", f"d{item}") for request in range(40) for item in range(12)]
    labels, listed = random.integers(0, 2, len(names)), random.random(len(names)) < 0.6
    listed[:24] = False  # two requests are not answered
    numbers = random.permutation(len(names))
    lines = [f"{r} Q0 {i} 0 {n} s" for (r, i), n, there in zip(names, numbers, listed, strict=True) if there]
    path = run(tmp_path, "\n".join(lines))
    frame = pl.DataFrame(names, schema=["request_id", "item_id"], orient="row")
    found = per_request(
        [average_precision(), ndcg(5)], labels, read_rankings(path).scores(frame), np.arange(0, len(names) + 1, 12)
    )
    known = [ir_measures.Qrel(*name, int(label)) for name, label in zip(names, labels, strict=True)]
    answers = {
        (one.query_id, one.measure): one.value
        for one in ir_measures.iter_calc([AP, nDCG @ 5], known, ir_measures.read_trec_run(str(path)))
    }
    for ours, measure in zip(found, (AP, nDCG @ 5), strict=True):
        assert ours.tolist() == pytest.approx([answers[f"q{request}", measure] for request in range(40)], abs=1e-12)


def test_a_request_that_is_not_answered_counts_as_nothing_in_an_evaluation(tmp_path):
    scores = read_rankings(run(tmp_path, "1 Q0 8 1 9 s\n")).scores(requests())
    found = evaluate_rankers(requests(), {"other": scores}, {}, "test", resamples=10).overall
    assert found.requests == 3
    assert found.rankers["other"]["MRR"].mean == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"item_id": [7], "rank": [1]}, "a.parquet lacks request_id; write request_id, item_id and rank or score"),
        ({"request_id": [1]}, "a.parquet lacks item_id and rank or score; write request_id, item_id and rank or score"),
        ({"request_id": [], "item_id": [], "score": []}, "ranks nothing; write one row per ranked item"),
        (
            {"request_id": [1, 2], "item_id": [None, 7], "rank": [1, 1]},
            r"1 rows lack a value in \['item_id'\], in requests such as 1; give every row",
        ),
        ({"request_id": [1], "item_id": [7], "rank": [None]}, "rank is Null in .*a.parquet; write whole numbers"),
        (
            {"request_id": [1, 2], "item_id": [7, 7], "rank": [None, 2]},
            r"1 rows lack a value in \['rank'\], in requests such as 1",
        ),
        (
            {"request_id": [1, 2], "item_id": [7, 7], "score": [0.1, None]},
            r"1 rows lack a value in \['score'\], in requests such as 2",
        ),
        (
            {"request_id": [1, 2], "item_id": [7, 7], "score": [0.1, np.nan]},
            "1 rows have no finite score, in requests such as 2; give every item a number",
        ),
        (
            {"request_id": [1, 2], "item_id": [7, 7], "score": [np.inf, -np.inf]},
            "2 rows have no finite score, in requests such as 1, 2; give",
        ),
        (
            {"request_id": ["r"] * 2, "item_id": [7, 7], "rank": [1, 2]},
            "2 rows repeat an item of their request, in requests such as 'r'; rank each item once",
        ),
        ({"request_id": ["r"] * 2, "item_id": [7, 7], "rank": [1, 1]}, "2 rows repeat an item of their request"),
        (
            {"request_id": [1, 1], "item_id": [7, 8], "rank": [2, 2]},
            "2 rows share a rank with another item of their request, in requests such as 1; give every item",
        ),
        (
            {"request_id": [1, 1], "item_id": [7, 8], "rank": [0, 1]},
            "1 rows have a rank below 1, in requests such as 1; 1 is the first place",
        ),
        ({"request_id": [1], "item_id": [7], "rank": [1.5]}, "rank is Float64 in .*a.parquet; write whole numbers"),
        (
            {"request_id": [1.0], "item_id": [7], "rank": [1]},
            "request_id is Float64 in .*a.parquet; write integers or text",
        ),
        (
            {"request_id": [1], "item_id": [7], "rank": [1], "click_probability": ["x"]},
            "click_probability is String in .*; write numbers",
        ),
        ({"request_id": [1], "item_id": [7], "score": ["high"]}, "score is String in .*a.parquet; write numbers"),
        (
            {"request_id": [1], "item_id": [7], "rank": [1], "click_probability": [1.5]},
            "1 rows have a click_probability outside 0 to 1, in requests such as 1; give calibrated",
        ),
        (
            {"request_id": [1], "item_id": [7], "rank": [1], "click_probability": [np.nan]},
            "1 rows have a click_probability outside 0 to 1",
        ),
    ],
)
def test_faults_of_a_table_are_told(tmp_path, columns, words):
    with pytest.raises(DataError, match=words):
        read_rankings(parquet(tmp_path, **columns))


def test_three_examples_are_enough(tmp_path):
    path = parquet(tmp_path, request_id=[1, 2, 3, 4], item_id=[7] * 4, rank=[0] * 4)
    with pytest.raises(DataError, match="4 rows have a rank below 1, in requests such as 1, 2, 3; 1 is"):
        read_rankings(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a.run ranks nothing; write one row per ranked item"),
        ("\n \n", "a.run ranks nothing; write one row per ranked item"),
        (
            "1 Q0 7 1 0.5 s\n\n1 Q0 8 0.5 s\n",
            "a.run is no TREC run: 1 lines, the first of them line 3, are not `request Q0 item",
        ),
        (
            "1 Q0 7 1 0.5 s x\n1 Q0 8\n",
            "a.run is no TREC run: 2 lines, the first of them line 1, are not `request Q0 item",
        ),
        (
            "1 Q0 7 1 high s\n",
            "1 lines, the first of them line 1, are not `request Q0 item rank score tag` with a number",
        ),
        ("1 Q0 7 1 nan s\n", "1 rows have no finite score, in requests such as '1'; give every item a number"),
        ("1 Q0 7 1 inf s\n", "1 rows have no finite score"),
        ("1 Q0 7 1 2 s\n1 Q0 7 2 1 s\n", "2 rows repeat an item of their request, in requests such as '1'"),
    ],
)
def test_faults_of_a_run_are_told(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read_rankings(run(tmp_path, text))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(
        DataError, match="b.run is missing; name a TREC run, a Parquet file or a folder of Parquet files"
    ):
        read_rankings(tmp_path / "b.run")


def test_what_is_no_parquet_file_is_told(tmp_path):
    (tmp_path / "a.parquet").write_text(RUN)
    with pytest.raises(DataError, match=r"a.parquet cannot be read as Parquet \(.*\); write it again"):
        read_rankings(tmp_path / "a.parquet")


def test_parquet_under_another_name_is_told(tmp_path):
    path = parquet(tmp_path, "a.bin", request_id=[200], item_id=[255], score=[-0.1])
    with pytest.raises(DataError, match=r"a.bin cannot be read as text \(.*\); Parquet files need a name in .parquet"):
        read_rankings(path)


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="holds no Parquet file; name the folder that holds the rankings"):
        read_rankings(tmp_path)


def test_an_extra_candidate_is_refused(tmp_path):
    with pytest.raises(
        DataError,
        match="1 rows rank an item that is not a candidate of its request, in requests such as '1'; rank only the logged lists",
    ):
        read_rankings(run(tmp_path, RUN + "1 Q0 9 3 0.2 s\n")).align(requests())


def test_rankings_of_other_requests_are_refused(tmp_path):
    with pytest.raises(
        DataError,
        match="ranks none of the requests; its request ids are like 'a', those asked are like '1', '2', '3'. Rank the requests",
    ):
        read_rankings(run(tmp_path, "a Q0 7 1 2 s\n")).align(requests())
