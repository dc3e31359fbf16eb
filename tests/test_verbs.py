"""The verbs: what they print and write; every kind of bad input in one sentence, nothing half-written."""

import json
import shutil
from inspect import signature
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.cli import FAILED, FINE, NO, WRONG_USE, main
from recsys.data.tables import Dataset
from recsys.evaluation.plan import MEASURES
from recsys.verbs import APP
from recsys.world import WorldSettings, make_world
from tests.fixtures.bombs import one_long_text

SAMPLE = Path(__file__).parent.parent / "data" / "sample"


def test_check_lists_faults_and_says_no(line, tmp_path, capsys) -> None:
    assert main(["check", str(line.data), "--json", str(tmp_path / "faults.json")]) == FINE
    assert json.loads((tmp_path / "faults.json").read_text())
    assert "0 errors" in capsys.readouterr().out
    shutil.copytree(line.data, tmp_path / "broken")
    broken = line.dataset.requests.with_columns(label=pl.lit(-3))
    broken.write_parquet(tmp_path / "broken/requests.parquet")
    assert main(["check", str(tmp_path / "broken")]) == NO
    assert "requests.label" in capsys.readouterr().out


def test_train_evaluate_and_score_do_what_the_library_does(line, config, tmp_path, capsys, caplog) -> None:
    model = tmp_path / "model"
    assert main(["train", str(line.data), "--config", str(config), "--out", str(model)]) == FINE
    assert "both minus it" in capsys.readouterr().out
    told = [line for line in caplog.messages if "an order needs hundreds" not in line]
    assert [line[:4] for line in told] == [words for stage in "1234" for words in (f"{stage}/4 ", "    ")]
    assert (model / "ranker.txt").read_bytes() == (line.model / "ranker.txt").read_bytes()
    assert main(["evaluate", str(model), str(line.data), "--json", str(tmp_path / "deep/figures.json")]) == FINE
    figures = json.loads((tmp_path / "deep/figures.json").read_text())
    assert figures == line.judgement.evaluation.to_json()
    assert main(["evaluate", str(model), str(line.data), "--window", "valid"]) == FINE
    assert "the model has learnt from the valid window: these figures flatter it" in capsys.readouterr().out
    (tmp_path / "lists").mkdir()
    for number, part in enumerate(line.candidates(6).partition_by("user_id")):
        part.write_parquet(tmp_path / f"lists/{number}.parquet")
    words = ["score", str(model), str(line.data), "--candidates", str(tmp_path / "lists"), "--top", "2"]
    assert main([*words, "--out", str(tmp_path / "out")]) == FINE
    assert "12 rankings of 6 requests written to" in capsys.readouterr().out
    users = line.candidates(1).select("user_id", "device").head(1)
    users.write_parquet(tmp_path / "users.parquet")
    moment = line.dataset.requests["timestamp"].max().isoformat()
    words = ["score", str(model), str(line.data), "--users", str(tmp_path / "users.parquet"), "--at", moment]
    assert main([*words, "--out", str(tmp_path / "crossed")]) == FINE
    said = capsys.readouterr().out
    assert "of 1 request written to" in said
    of = (
        pl.read_parquet(tmp_path / "crossed/rankings")
        .group_by("request_id", "score")
        .len()
        .filter(pl.col("len") > 1)["len"]
        .sum()
    )
    assert (f"{of} of " in said and "have the score of another one in their list; [ranker] ties" in said) is (of > 0)


def test_compare_prints_the_verdict_and_writes_numbers_and_a_page(line, tmp_path, capsys) -> None:
    words = ["compare", "popularity", str(line.model), str(line.data), "--measures", "AUC,nDCG@10,hit@3"]
    files = ["--json", str(tmp_path / "deep/c.json"), "--html", str(tmp_path / "c.html")]
    assert main([*words, "--segment", "category", *files]) == FINE
    written = json.loads((tmp_path / "deep/c.json").read_text())
    assert list(written["overall"]) == ["nDCG@10", "AUC", "hit@3", "AUC pooled"]
    assert any(name.startswith("clicked items' category = ") for name in written["segments"])
    assert capsys.readouterr().out.startswith(written["verdict"].upper())
    page = (tmp_path / "c.html").read_text().replace("&#39;", "'").replace("\N{NO-BREAK SPACE}", " ")
    assert written["rule"] in page
    assert main([*words, "--seed", "5", "--matters", "0.3", "--json", str(tmp_path / "again.json")]) == FINE
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["overall"]["AUC"]["difference"]["mean"] == written["overall"]["AUC"]["difference"]["mean"]
    assert again["overall"]["AUC"]["difference"]["low"] != written["overall"]["AUC"]["difference"]["low"]
    assert again["matters"] == 0.3
    capsys.readouterr()
    for more, said in [
        (["--primary", "map"], "MAP"),
        (["--matters", "0"], "matters is 0; write the smallest difference that would matter, a number above 0"),
        (["--measures", "nDGC@10"], "nDCG"),
        (["--segment", "colour"], "no table has a column 'colour' to group by"),
    ]:
        assert main([*words, *more]) == WRONG_USE, more
        assert said in capsys.readouterr().err
    assert main(["compare", "popular", str(line.model), str(line.data)]) == NO
    assert "popular does not exist and is no baseline" in capsys.readouterr().err


def test_the_help_of_compare_names_the_measures_that_are_compared(capsys) -> None:
    assert main(["compare", "--help"]) == FINE
    assert "".join(map(str, MEASURES)).replace(" ", "") in "".join(capsys.readouterr().out.split()).replace(",", "")


def test_world_writes_tables_and_the_truth_that_no_reader_of_tables_sees(tmp_path, capsys) -> None:
    data = tmp_path / "deep/data"
    words = ["--seed", "5", "--items", "120", "--users", "30", "--requests", "80", "--days", "2"]
    assert main(["world", "--out", str(data), *words]) == FINE
    made = make_world(WorldSettings(seed=5, items=120, users=30, requests=80, days=2))
    said = f"80 requests, {len(made.dataset.requests)} candidate rows, 120 items, {len(made.dataset.events):,} events"
    assert capsys.readouterr().out == f"{said} written to {data}; the truth is in {data / 'truth.parquet'}\n"
    assert_frame_equal(pl.read_parquet(data / "truth.parquet"), made.truth)
    read = Dataset.read(data)
    assert_frame_equal(read.requests, made.dataset.requests)
    assert read.about == made.dataset.about
    assert main(["check", str(data)]) == FINE
    assert "truth" not in capsys.readouterr().out
    assert main(["world", "--out", str(data)]) == NO
    assert "already exists and is not empty" in capsys.readouterr().err


def test_world_has_the_sizes_of_the_library_where_none_are_given() -> None:
    parameters = signature(APP["world"].default_command).parameters
    sizes = {name: each.default for name, each in parameters.items() if name != "out"}
    assert sizes == WorldSettings().model_dump(include=set(sizes))


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (["--items", "0"], "items = 0 does not fit: Input should be greater than or equal to 100"),
        (["--users", "-5"], "users = -5 does not fit: Input should be greater than or equal to 10"),
        (["--requests", "99999999999"], "requests = 99999999999 does not fit: Input should be less than or equal to"),
        (["--days", "1000000"], "days = 1000000 does not fit: Input should be less than or equal to 3650"),
        (["--seed", "-1"], "seed = -1 does not fit: Input should be greater than or equal to 0"),
    ],
)
def test_a_world_of_an_impossible_size_is_wrong_use(size, said, tmp_path, capsys) -> None:
    assert main(["world", "--out", str(tmp_path / "data"), *size]) == WRONG_USE
    assert capsys.readouterr().err.startswith(f"recsys: the world: {said}")
    assert not list(tmp_path.iterdir())


def test_features_writes_a_table_or_prints_one_request(line, config, tmp_path, capsys, monkeypatch) -> None:
    out = tmp_path / "table"
    assert main(["features", str(line.data), "--config", str(config), "--out", str(out)]) == FINE
    said = capsys.readouterr().out
    table = pl.concat([pl.read_parquet(path) for path in (out / "features").glob("*.parquet")])
    requests = table["request_id"].n_unique()
    assert f"{len(table.columns) - 6} features of {len(table):,} candidates of {requests:,} requests written to" in said
    assert "text columns are left out: they need an encoder; give --model MODEL" in said
    assert (out / "catalogue.html").exists()
    monkeypatch.setenv("COLUMNS", "90")
    words = ["features", str(line.data), "--model", str(line.model), "--request", str(table["request_id"][0])]
    assert main(words) == FINE
    said = capsys.readouterr().out
    assert said.startswith(f"request {table['request_id'][0]} of user")
    assert "\nappeal_rank " in said
    assert max(map(len, said.splitlines())) <= 90
    words = ["features", str(line.data), "--config", str(config), "--set", 'time.freshness="1d"', "--request"]
    assert main([*words, str(table["request_id"][0])]) == FINE
    assert "(freshness 1d)" in capsys.readouterr().out
    assert main([*words, "none"]) == NO
    assert "request 'none' is not in the table of requests, which holds 1, 2, 3" in capsys.readouterr().err


def test_features_says_what_it_cannot_do(line, config, tmp_path, capsys) -> None:
    data, out = str(line.data), str(tmp_path / "out")
    for words, status, said in [
        (["--config", str(config), "--out", data], NO, "already exists and is not empty"),
        (["--config", str(config), "--set", "features.prior=-1", "--out", out], WRONG_USE, "features.prior = -1"),
        (["--config", str(config), "--set", 'features.events=["sold"]', "--out", out], WRONG_USE, "never occurs"),
        (
            ["--model", str(line.model), "--set", "seed=1", "--out", out],
            WRONG_USE,
            "says others of seed; leave these out: [engine] alone",
        ),
        (["--model", out, "--out", out], NO, "holds no manifest.json"),
    ]:
        assert main(["features", data, *words]) == status, words
        assert said in capsys.readouterr().err
        assert not Path(out).exists()


def test_set_changes_one_setting(line, config, tmp_path) -> None:
    words = ["train", str(line.data), "--config", str(config), "--out", str(tmp_path / "daily")]
    assert main([*words, "--set", 'time.freshness="1d"', "--set", "ranker.rounds=5"]) == FINE
    settings = json.loads((tmp_path / "daily/manifest.json").read_text())["settings"]
    assert settings["time"]["freshness"] == "1d"
    assert settings["ranker"]["rounds"] == 5


def test_import_says_what_came_in(tmp_path, capsys) -> None:
    assert main(["import", "tables", str(SAMPLE), "--out", str(tmp_path / "data")]) == FINE
    requests = pl.read_parquet(SAMPLE / "requests.parquet")
    said = capsys.readouterr().out
    assert f"{requests['request_id'].n_unique():,} requests, {len(requests):,} candidate rows" in said
    assert main(["check", str(tmp_path / "data")]) == FINE


def test_init_says_what_is_wrong_with_a_file(tmp_path, capsys) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1.5,x y\n")
    assert main(["init", str(tmp_path / "a.csv"), "--out", str(tmp_path / "project")]) == NO
    assert "no file says who did what and when" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "none.csv"), "--out", str(tmp_path / "project")]) == NO
    assert "none.csv does not exist" in capsys.readouterr().err
    assert not (tmp_path / "project").exists()


def spoil(source: Path, target: Path, table: str, frame: pl.DataFrame) -> Path:
    shutil.copytree(source, target)
    frame.write_parquet(target / f"{table}.parquet")
    return target


BROKEN_TABLES = {
    "a label below 0": ("requests", pl.col("label") - 5, "requests.label"),
    "a user without a name": ("requests", pl.lit(None, dtype=pl.Int64).alias("user_id"), "requests.user_id"),
    "times as text": ("requests", pl.lit("noon").alias("timestamp"), "requests.timestamp"),
    "times in seconds read as microseconds": (
        "events",
        pl.from_epoch(pl.lit(1_700_000), time_unit="s").dt.replace_time_zone("UTC").alias("timestamp"),
        "events.timestamp",
    ),
    "a propensity above 1": ("requests", pl.lit(1.5).alias("propensity"), "requests.propensity"),
    "position 0": ("requests", pl.lit(0).alias("position"), "requests.position"),
    "the same item twice": ("items", pl.lit(1).alias("item_id"), "items.item_id"),
    "no text at all": ("items", [pl.lit("").alias("title"), pl.lit("").alias("description")], "items"),
    "items that nobody knows": ("requests", pl.col("item_id") + 10**9, "requests.item_id"),
    "ids as text in one table": ("events", pl.col("item_id").cast(pl.String), "item_id"),
}


@pytest.mark.parametrize("kind", BROKEN_TABLES)
def test_a_broken_table_is_refused_by_check_and_by_train(line, config, tmp_path, capsys, kind) -> None:
    table, change, place = BROKEN_TABLES[kind]
    frame = getattr(line.dataset, table).with_columns(change)
    data = spoil(line.data, tmp_path / "data", table, frame)
    assert main(["check", str(data)]) == NO
    said = capsys.readouterr().out
    assert any(row.startswith("error") and place in row for row in said.splitlines()), said
    assert main(["train", str(data), "--config", str(config), "--out", str(tmp_path / "model")]) == NO
    assert place in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))


BROKEN_SETTINGS = {
    "an unknown key": (["text.epoch=3"], "text.epoch is not known; did you mean epochs?"),
    "an unknown section": (["rankers.rounds=3"], "rankers is not known; did you mean ranker?"),
    "a duration without a unit": (['time.feedback_delay="10"'], "'10' is not a duration; write a whole number and a unit"),
    "an unknown zone": (['time.zone="Mars/Base"'], "'Mars/Base' is not a time zone"),
    "an unknown freshness": (['time.freshness="weekly"'], "time.freshness = 'weekly'"),
    "fractions beyond 1": (["windows.fractions=[0.5, 0.5, 0.5, 0.1]"], "must be at least 0 and add up to 1"),
    "cuts out of order": (
        ["windows.cuts=[2024-01-05T00:00:00Z, 2024-01-04T00:00:00Z, 2024-01-06T00:00:00Z, 2024-01-07T00:00:00Z, "
         "2024-01-08T00:00:00Z]"],
        "cuts are not in order of time",
    ),
    "a list without quotes": (["features.events=[view]"], "is not a TOML value"),
    "no equals sign": (["seed"], "is not section.key=value"),
    "a negative prior": (["features.prior=-1"], "features.prior = -1"),
    "an unknown text field": (['text.fields=["headline"]'], "headline"),
    "an unknown attribute": (['features.affinity=["author"]'], "affinity names 'author', which is not a column of items"),
    "a column recorded after the list": (['features.context=["position"]'], "recorded with or after the list"),
    "an event kind that is not counted": (['features.events=["viewed"]'], "counts 'viewed', an event that never occurs"),
    "a zone that only some know": (['time.zone="Factory"'], "'Factory' is not a time zone"),
    "a time before the calendar": (
        ["windows.cuts=[0001-01-01T00:00:00+05:00, 2024-01-04T00:00:00Z, 2024-01-06T00:00:00Z, 2024-01-07T00:00:00Z, "
         "2024-01-08T00:00:00Z]"],
        "lies outside the years 1 to 9999",
    ),
    "an event that never occurs": (["labels.grades={refund = 2}"], "an event that never occurs"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN_SETTINGS)
def test_a_broken_setting_is_wrong_use_and_says_what_to_write(line, config, tmp_path, capsys, kind) -> None:
    changes, words = BROKEN_SETTINGS[kind]
    arguments = ["train", str(line.data), "--config", str(config), "--out", str(tmp_path / "model")]
    assert main([*arguments, *(word for change in changes for word in ("--set", change))]) == WRONG_USE
    assert words in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_paths_that_are_not_there_are_named(line, config, tmp_path, capsys) -> None:
    missing, out = str(tmp_path / "missing"), str(tmp_path / "out")
    for words, status, said in [
        (["check", missing], NO, "missing is not a folder; write one with `recsys import` or `recsys demo`"),
        (["train", missing, "--config", str(config), "--out", out], NO, "missing is not a folder"),
        (["train", str(line.data), "--config", missing, "--out", out], NO, "missing does not exist; give the path"),
        (
            ["train", str(line.data), "--config", str(config), "--out", str(line.data)],
            NO,
            "already exists and is not empty",
        ),
        (["evaluate", missing, str(line.data)], NO, "holds no manifest.json; give a folder written by `recsys train`"),
        (
            ["score", str(line.model), str(line.data), "--candidates", missing, "--out", out],
            NO,
            "missing is missing; give a Parquet file or a folder of them",
        ),
        (
            ["score", str(line.model), str(line.data), "--out", out],
            WRONG_USE,
            "give --candidates FILE_OR_DIR, or --users",
        ),
        (["import", "ebnert", str(tmp_path), "--out", out], WRONG_USE, "'ebnert' is no source; did you mean ebnerd?"),
    ]:
        assert main(words) == status, words
        assert said in capsys.readouterr().err
        assert not Path(out).exists()


MISSING = {
    "init none --out o": "none does not exist; name files ending in",
    "import tables none --out o": "none is not a folder; name the folder that holds the files of tables",
    "import mind none --out o": "none is not a folder; name the folder that holds the files of mind",
    "import tables DATA --mapping none --out o": "none does not exist; give the path of a TOML mapping file",
    "check none": "none is not a folder; write one with",
    "train none --out o": "none is not a folder; write one with",
    "train DATA --config none --out o": "none does not exist; give the path of a TOML settings file",
    "train DATA --from none --out o": "none holds no manifest.json",
    "features none --out o": "none is not a folder; write one with",
    "features DATA --config none --out o": "none does not exist; give the path of a TOML settings file",
    "features DATA --model none --out o": "none holds no manifest.json",
    "evaluate none DATA": "none holds no manifest.json",
    "evaluate MODEL none": "none is not a folder; write one with",
    "compare none random DATA": "none does not exist and is no baseline",
    "compare random none DATA": "none does not exist and is no baseline",
    "compare random popularity none": "none is not a folder; write one with",
    "score none DATA --candidates DATA/requests.parquet --out o": "none holds no manifest.json",
    "score MODEL none --candidates DATA/requests.parquet --out o": "none is not a folder; write one with",
    "score MODEL DATA --candidates none --out o": "none is missing; give a Parquet file",
    "score MODEL DATA --users none --at 2024-01-01 --out o": "none is missing; give a Parquet file",
    "score MODEL DATA --users DATA/users.parquet --items none --at 2024-01-01 --out o": "none is missing; give a",
}


@pytest.mark.parametrize("words", MISSING)
def test_a_path_that_is_not_there_ends_every_verb_alike(line, tmp_path, monkeypatch, capsys, words) -> None:
    monkeypatch.chdir(tmp_path)
    Path("DATA").symlink_to(line.data)
    Path("MODEL").symlink_to(line.model)
    assert main(words.split()) == NO
    said = capsys.readouterr().err
    assert MISSING[words] in said
    assert said.startswith("recsys: ")
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DATA", "MODEL"]


def test_a_broken_parquet_file_and_a_broken_toml_file_are_named(line, tmp_path, capsys) -> None:
    shutil.copytree(line.data, tmp_path / "data")
    whole = (tmp_path / "data/items.parquet").read_bytes()
    (tmp_path / "data/items.parquet").write_bytes(whole[: len(whole) // 2])
    assert main(["check", str(tmp_path / "data")]) == NO
    assert "items.parquet cannot be read as Parquet" in capsys.readouterr().out
    (tmp_path / "broken.toml").write_text("[time\n")
    words = ["train", str(line.data), "--config", str(tmp_path / "broken.toml"), "--out", str(tmp_path / "model")]
    assert main(words) == WRONG_USE
    assert "broken.toml cannot be read as TOML" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["import", "tables", "files", "--out", "out"],
        ["init", "files", "--out", "out"],
        ["check", "files"],
        ["train", "files", "--out", "out"],
        ["score", "model", "data", "--candidates", "files/items.parquet", "--out", "out"],
        ["score", "model", "data", "--candidates", "parts", "--out", "out"],
        ["score", "model", "data", "--users", "files/items.parquet", "--at", "2025-01-01", "--out", "out"],
        ["compare", "random", "parts/0.parquet", "data"],
    ],
    ids=" ".join,
)
def test_a_small_file_that_would_fill_the_memory_stops_at_every_door(tmp_path, monkeypatch, capsys, words) -> None:
    monkeypatch.chdir(tmp_path)
    world = make_world(WorldSettings(items=100, users=20, requests=50, days=5)).dataset
    world.write("data")
    shutil.copytree("data", "files")
    Path("parts").mkdir()
    for path in ("files/items.parquet", "parts/0.parquet"):
        one_long_text(Path(path))
    assert main(words) == NO
    said = "".join(capsys.readouterr())
    assert "kB and would take 3 GB of memory or more" in said
    assert "if it is what you mean, write it unpacked" in said
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["check", "data", "--json", "data"],
        ["evaluate", "model", "data", "--json", "data"],
        ["compare", "random", "popularity", "data", "--html", "/proc/page.html"],
        ["score", "model", "data", "--candidates", "none", "--out", "/proc/out"],
    ],
    ids=" ".join,
)
def test_where_the_answer_goes_is_looked_at_before_anything_is_read(tmp_path, monkeypatch, capsys, words) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()  # which no verb could read
    assert main(words) in (NO, FAILED)
    assert f"{words[-1]} cannot be " in capsys.readouterr().err
