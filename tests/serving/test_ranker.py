import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from recsys import Ranker
from recsys.errors import DataError, ModelError, SettingsError
from recsys.model.folder import Model
from recsys.model.ready import Ready


@pytest.fixture(scope="module")
def ranker(line) -> Ranker:
    return Ranker.load(line.model)


def test_scores_stand_in_the_order_of_the_rows(line, ranker) -> None:
    candidates = line.candidates(8).sample(fraction=1, shuffle=True, seed=4)
    scores = ranker.score(candidates)
    ranked = ranker.rank(candidates)
    for row, score in zip(candidates.iter_rows(named=True), scores, strict=True):
        own = (pl.col("request_id") == row["request_id"]) & (pl.col("item_id") == row["item_id"])
        assert ranked.filter(own)["score"].item() == score


def test_pandas_in_pandas_out_with_the_same_numbers_and_id_types(line, ranker) -> None:
    candidates = line.candidates(5)
    frame = candidates.to_pandas()
    ranked = ranker.rank(frame)
    assert isinstance(ranked, pd.DataFrame)
    assert_frame_equal(pl.from_pandas(ranked), ranker.rank(candidates), check_dtypes=False, check_exact=True)
    assert ranked["item_id"].dtype == frame["item_id"].dtype
    shuffled = frame.sample(frac=1, random_state=1)
    scores = ranker.score(shuffled)
    assert scores.index.equals(shuffled.index)
    assert scores.sort_index().tolist() == ranker.score(candidates).to_list()


def test_ids_come_back_in_the_type_they_came_in(line, ranker) -> None:
    narrow = line.candidates(3).with_columns(pl.col("item_id").cast(pl.Int32), pl.col("user_id").cast(pl.UInt32))
    ranked = ranker.rank(narrow)
    assert ranked.schema["item_id"] == pl.Int32
    assert ranked.schema["user_id"] == pl.UInt32
    wide = ranker.rank(line.candidates(3))
    assert ranked["score"].equals(wide["score"])


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32, pl.Decimal(20, 2), pl.UInt64, pl.Int16])
@pytest.mark.parametrize("name", ["item_id", "user_id", "request_id"])
def test_scores_are_the_same_for_ids_of_any_type(line, ranker, name: str, kind: pl.DataType) -> None:
    candidates = line.candidates(3)
    assert ranker.score(candidates.with_columns(pl.col(name).cast(kind))).equals(ranker.score(candidates))


@pytest.mark.parametrize("number", ["1E+40", "1E-40", "9" * 39, "sNaN", "-sNaN12"])
@pytest.mark.parametrize("name", ["item_id", "device"])
def test_decimals_that_polars_does_not_have_are_refused(line, ranker, name: str, number: str) -> None:
    frame = line.candidates(1).to_pandas()
    frame[name] = pd.Series([Decimal(number)] * len(frame), dtype=object)
    with pytest.raises(DataError, match=f"candidates.{name}: the pandas column of object cannot be read"):
        ranker.rank(frame)


def test_naive_moments_are_utc_and_other_zones_are_converted(line, ranker) -> None:
    candidates = line.candidates(4)
    expected = ranker.rank(candidates)
    naive = candidates.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    elsewhere = candidates.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"))
    for frame in (naive, elsewhere):
        assert_frame_equal(ranker.rank(frame), expected, check_exact=True)


HALF_PAST = timezone(timedelta(hours=5, minutes=30))
OFFSETS = {
    "column": lambda moments: moments.dt.tz_convert(HALF_PAST),
    "arrow": lambda moments: moments.astype(pd.ArrowDtype(pa.timestamp("us", tz="+05:30"))),
    "objects": lambda moments: pd.Series(
        [each.astimezone(HALF_PAST) for each in moments.dt.to_pydatetime()], dtype=object
    ),
    "two": lambda moments: pd.Series(
        [each.tz_convert("-08:00" if row % 2 else HALF_PAST) for row, each in enumerate(moments)], dtype=object
    ),
    "timestamps": lambda moments: pd.Series([each.tz_convert(HALF_PAST) for each in moments], dtype=object),
}


@pytest.mark.parametrize("way", OFFSETS)
def test_moments_of_pandas_may_have_offsets(line, way: str) -> None:
    def told(change) -> Ranker:
        ranker = Ranker.load(line.model)
        event = candidates.head(4)[["user_id", "item_id", "timestamp"]].assign(event="view")
        moments = event["timestamp"] + timedelta(days=1)
        ranker.update(event.assign(timestamp=change(moments), known_at=change(moments)))
        return ranker

    candidates = line.candidates(3).to_pandas()
    moments = candidates["timestamp"]
    expected = told(lambda moments: moments).score(candidates.assign(timestamp=moments + timedelta(days=3)))
    change = OFFSETS[way]
    later = candidates.assign(timestamp=change(moments + timedelta(days=3)))
    assert told(change).score(later).tolist() == expected.tolist()
    if way != "column":
        gap = later.assign(timestamp=later["timestamp"].where(later.index > 0, None))
        with pytest.raises(DataError, match=r"candidates.timestamp: empty values \(null\) in 1 "):
            told(change).rank(gap)


def test_columns_of_pandas_that_lie_in_levels_or_are_called_by_numbers_are_named(line, ranker) -> None:
    frame = line.candidates(1).to_pandas()
    for tail, level in ((("",), "2 levels"), ((), "1 level")):
        levels = frame.set_axis(pd.MultiIndex.from_tuples([(name, *tail) for name in frame.columns]), axis=1)
        words = rf"frame of candidates has columns in {level}, such as \('request_id',.*; give each column one name"
        with pytest.raises(DataError, match=words):
            ranker.rank(levels)
    numbered = pd.concat([frame, pd.Series(1, frame.index, name=7)], axis=1)
    assert ranker.score(numbered).tolist() == ranker.score(frame).tolist()
    with pytest.raises(
        DataError, match=r"candidates.item_id: the column is missing \(what\); add it; the table has req"
    ):
        ranker.rank(numbered.drop(columns="item_id"))


def test_a_frame_of_names_alone_is_one_without_candidates(line, ranker) -> None:
    names = line.candidates(1).columns
    for empty in (
        pd.DataFrame(columns=names),
        pl.DataFrame(schema=names),
        line.candidates(1).to_pandas()[:0].astype(str),
    ):
        ranked = ranker.rank(empty)
        assert type(ranked) is type(empty)
        assert len(ranked) == len(ranker.score(empty)) == 0
        taken = ranker.update(empty.assign(event=[]) if isinstance(empty, pd.DataFrame) else empty, empty)
        assert len(taken.events) == len(taken.requests) == taken.ignored == 0


@pytest.mark.parametrize("make", [list, tuple, np.array], ids=["lists", "tuples", "arrays"])
def test_lists_in_a_context_of_pandas_are_refused_by_the_name_of_the_setting(line, ranker, make) -> None:
    frame = line.candidates(1).to_pandas()
    lists = frame.assign(device=pd.Series([make([each]) for each in frame["device"]], dtype=object))
    words = (
        r"\[features\] context names 'device', which holds List\(String\) values; write one value a row, such as the"
    )
    for ask in (lambda: ranker.rank(lists), lambda: ranker.score(lists), lambda: ranker.update(requests=lists)):
        with pytest.raises(SettingsError, match=words):
            ask()
    assert ranker.score(frame.assign(tags=lists["device"])).tolist() == ranker.score(frame).tolist()


def test_sparse_columns_of_pandas_are_their_values(line, ranker) -> None:
    frame = line.candidates(2).to_pandas()
    sparse = frame.assign(
        **{name: pd.Series(pd.arrays.SparseArray(frame[name])) for name in ("item_id", "user_id", "request_id")}
    )
    assert ranker.score(sparse).tolist() == ranker.score(frame).tolist()


def test_threads_may_share_one_ranker(line, ranker) -> None:
    parts = line.candidates(40).partition_by("request_id")
    alone = [ranker.rank(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ranker.rank, parts))
    for one, other in zip(alone, together, strict=True):
        assert_frame_equal(one, other, check_exact=True)


def test_declarations_of_ones_own_are_in_the_contract_and_come_back_with_the_model(line, ranker) -> None:
    model = Model.load(line.model)
    declarations = line.settings.features.declarations
    assert len(declarations) == 2
    assert model.settings.features.declarations == declarations
    contract = (line.model / "features.json").read_text()
    assert all(f'"{feature.name}"' in contract for feature in declarations)
    assert ranker.rank(line.candidates(2))["score"].is_finite().all()


def test_no_candidates_give_no_rankings(line, ranker) -> None:
    empty = ranker.rank(line.candidates(1).clear())
    assert empty.is_empty()
    assert empty.schema == ranker.rank(line.candidates(1)).schema
    assert len(ranker.score(line.candidates(1).clear())) == 0


def test_a_request_without_context_or_history_still_gets_an_order(line, ranker) -> None:
    stranger = line.candidates(1).with_columns(user_id=pl.lit(-1, dtype=pl.Int64), device=pl.lit(None, dtype=pl.String))
    ranked = ranker.rank(stranger)
    assert ranked["unknown_user"].all()
    assert ranked["rank"].to_list() == list(range(1, len(stranger) + 1))


def test_a_request_may_ask_with_a_text_or_without(asking) -> None:
    ranker = Ranker.load(asking.model)
    candidates = asking.candidates(2)
    words = [ranker.rank(candidates.with_columns(asked=pl.lit(text))) for text in ("sea boat", "", " <br> ", None)]
    assert not words[0]["score"].equals(words[1]["score"])
    for other in words[2:]:
        assert_frame_equal(other, words[1], check_exact=True)
    pandas = ranker.rank(candidates.with_columns(asked=pl.lit("sea boat")).to_pandas())
    assert pandas["score"].tolist() == words[0]["score"].to_list()
    with pytest.raises(SettingsError, match="query names 'asked', which is not a column of the requests"):
        ranker.rank(candidates.drop("asked"))
    with pytest.raises(SettingsError, match="query names 'asked', which holds Int32, not texts"):
        ranker.rank(candidates.with_columns(asked=pl.lit(1)))


def test_threads_may_share_the_encoder_of_what_requests_ask_with(asking) -> None:
    parts = [part.with_columns(asked=pl.lit(f"boat {part['request_id'][0]}")) for part in
             asking.candidates(12).partition_by("request_id")]  # fmt: skip
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(Ranker.load(asking.model).rank, parts))
    alone = Ranker.load(asking.model)
    for part, found in zip(parts, together, strict=True):
        assert_frame_equal(found, alone.rank(part), check_exact=True)


def test_an_encoder_that_was_replaced_meanwhile_is_refused(asking, line, tmp_path) -> None:
    folder = shutil.copytree(asking.model, tmp_path / "model")
    ranker = Ranker.load(folder)
    shutil.rmtree(folder / "encoder")
    shutil.copytree(line.model / "encoder", folder / "encoder")
    candidates = asking.candidates(1)
    ranker.rank(candidates.with_columns(asked=pl.lit(None)))
    with pytest.raises(ModelError, match=r"encoder/heads\.safetensors was changed after it was written"):
        ranker.rank(candidates.with_columns(asked=pl.lit("sea")))


def test_what_happens_later_changes_no_earlier_answer(line, ranker) -> None:
    """An earlier moment knows less: the same list at two moments is scored on what was known at each."""
    candidates = line.candidates(2)
    earlier = candidates.with_columns(pl.col("timestamp") - timedelta(days=2))
    with pytest.raises(DataError, match="the state answers for what was known at .* or later, and a request asks for"):
        ranker.rank(earlier)
    whole = Ranker(Ready.today(line.model, line.dataset)[0])
    assert not whole.rank(candidates)["score"].equals(whole.rank(earlier)["score"])


def test_bad_candidates_are_refused_with_every_fault(line, ranker) -> None:
    candidates = line.candidates(2)
    with pytest.raises(DataError, match=r"(?s)candidates.user_id: .*candidates.timestamp"):
        ranker.rank(candidates.drop("user_id").with_columns(timestamp=pl.lit("yesterday")))
    with pytest.raises(SettingsError, match="context names 'device', which is not a column of the candidates"):
        ranker.rank(candidates.drop("device"))
    for top in (-1, 2.5, "3", True):
        with pytest.raises(SettingsError, match=f"top = {top!r}; keep at least 1 candidate per request, as a whole"):
            ranker.rank(candidates, top=top)
    with pytest.raises(DataError, match="candidates are a list; pass a polars or pandas DataFrame"):
        ranker.rank(candidates.to_dicts())
    mixed = candidates.to_pandas().assign(device=lambda frame: [1, *["phone"] * (len(frame) - 1)])
    with pytest.raises(DataError, match=r"candidates\.device: the pandas column of object cannot be read \(Arrow"):
        ranker.rank(mixed)


def test_ids_of_any_width_are_looked_up(line, ranker) -> None:
    huge = line.candidates(1).with_columns(item_id=pl.col("item_id").cast(pl.UInt64) + 2**63)
    ranked = ranker.rank(huge)
    assert ranked["unknown_item"].all()
    assert ranked.schema["item_id"] == pl.UInt64


def test_a_serving_process_without_torch_gives_the_scores_of_this_one(line, ranker, tmp_path) -> None:
    candidates = line.candidates(10)
    candidates.write_parquet(tmp_path / "candidates.parquet")
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'pytorch_lightning'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import polars as pl\n"
        "from recsys import Ranker\n"
        "ranked = Ranker.load(sys.argv[1]).rank(pl.read_parquet(sys.argv[2]))\n"
        "ranked.write_parquet(sys.argv[3])\n"
    )
    arguments = [str(line.model), str(tmp_path / "candidates.parquet"), str(tmp_path / "ranked.parquet")]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    assert_frame_equal(pl.read_parquet(tmp_path / "ranked.parquet"), ranker.rank(candidates), check_exact=True)


def test_a_state_may_be_checked_at_once(line, tmp_path) -> None:
    folder = Path(shutil.copytree(line.model, tmp_path / "model"))
    candidates = line.candidates(2)
    expected = Ranker.load(folder).rank(candidates)
    assert_frame_equal(Ranker.load(folder, verify="all").rank(candidates), expected, check_exact=True)
    path = folder / "state/rows.numbers"
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ModelError, match=r"rows\.numbers was changed after it was written"):
        Ranker.load(folder, verify="all")
    with pytest.raises(SettingsError, match='verify = \'al\'; write "touched", or "all"'):
        Ranker.load(folder, verify="al")


def test_loading_ranks_a_list_so_that_no_other_waits_for_what_comes_with_the_first(line, monkeypatch) -> None:
    ranked, rank = list[int](), Ready.rank
    monkeypatch.setattr(Ready, "rank", lambda ready, asked: ranked.append(len(asked.candidates)) or rank(ready, asked))
    Ranker.load(line.model)
    assert ranked == [2]
