import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS
from recsys.errors import DataError, SettingsError
from recsys.features.columns import TEXT_COLUMNS
from recsys.features.plan import feature_names
from recsys.jobs import features
from recsys.jobs.features import show_features, write_features
from recsys.jobs.judging import read_logged
from recsys.manifest import read_manifest
from recsys.model.folder import Model
from recsys.model.ready import Ready
from recsys.past.lookup import Asked
from recsys.settings import Settings

HEAD = ["request_id", "user_id", "item_id", "timestamp", "window", "label"]
START = datetime(2024, 1, 1, tzinfo=UTC)


def parts(out) -> list[pl.DataFrame]:
    return [pl.read_parquet(path) for path in sorted((out / "features").glob("*.parquet"))]


def changed(settings: Settings, **sections: dict[str, object]) -> Settings:
    made = {name: getattr(settings, name).model_copy(update=update) for name, update in sections.items()}
    return settings.model_copy(update=made)


@pytest.fixture(scope="module")
def written(line, tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "out"
    write_features(line.dataset, line.settings, out)
    return out


def expected_table(line, reader) -> pl.DataFrame:
    (today, prepared), windows = Ready.today(line.model, line.dataset), Model.load(line.model).windows
    tables = []
    for window in WINDOWS:
        rows = windows.of(prepared.dataset.requests, window)
        logged = read_logged(Asked.of(rows, today.log), line.settings.features, today.reader if reader else None)
        head = logged.requests.with_columns(window=pl.lit(window)).select(HEAD)
        tables.append(pl.concat([head, logged.examples.table.frame()], how="horizontal"))
    return pl.concat(tables).sort("timestamp", "request_id", "item_id")


def test_the_files_hold_what_training_reads_without_the_text_columns(line, written) -> None:
    table = pl.concat(parts(written))
    assert table.columns == [
        *HEAD,
        *(name for name in feature_names(line.settings.features) if name not in TEXT_COLUMNS),
    ]
    assert_frame_equal(table, expected_table(line, reader=False).drop(TEXT_COLUMNS), check_exact=True)
    assert set(table["window"]) == set(WINDOWS)


def test_with_a_model_its_windows_are_used_and_the_text_columns_are_there(line, tmp_path) -> None:
    done = write_features(line.dataset, line.model, tmp_path / "out")
    table = pl.concat(parts(tmp_path / "out"))
    assert table.columns == [*HEAD, *feature_names(line.settings.features)]
    assert done.features == len(table.columns) - len(HEAD)
    assert_frame_equal(table, expected_table(line, reader=True), check_exact=True)
    assert table["interest"].is_not_nan().any()
    page = (tmp_path / "out/catalogue.html").read_text(encoding="utf-8")
    assert "learnt from the windows text, ranker and valid" in page
    assert json.loads((tmp_path / "out/manifest.json").read_text())["model"]


def test_requests_that_ask_are_read_with_what_they_ask(asking, tmp_path) -> None:
    write_features(asking.dataset, asking.model, tmp_path / "out")
    match = pl.concat(parts(tmp_path / "out")).group_by("request_id").agg(pl.col("query_match").is_nan().all())
    silent = asking.dataset.requests.group_by("request_id").agg(pl.col("asked").is_null().all())
    assert_frame_equal(match, silent.rename({"asked": "query_match"}), check_row_order=False)
    bare = replace(asking.dataset, requests=asking.dataset.requests.drop("asked"))
    with pytest.raises(SettingsError, match="query names 'asked', which is not a column of the requests"):
        write_features(bare, asking.model, tmp_path / "other")


def test_parts_hold_whole_requests_and_their_size_changes_no_row(line, written, tmp_path, monkeypatch) -> None:
    computed = []
    build = features.build_features
    monkeypatch.setattr(features, "ROWS_PER_PART", 97)
    monkeypatch.setattr(
        features, "build_features", lambda asked, *rest: computed.append(len(asked.candidates)) or build(asked, *rest)
    )
    done = write_features(line.dataset, line.settings, tmp_path / "out")
    found = parts(tmp_path / "out")
    assert len(found) == done.parts > 20
    longest = line.dataset.requests.group_by("request_id").len()["len"].max()
    assert computed == [len(part) for part in found]
    assert all(97 <= len(part) < 97 + longest for part in found[:-1])
    ids = [request for part in found for request in part["request_id"].unique()]
    assert len(ids) == len(set(ids)) == done.requests
    assert pl.concat([part.select("timestamp") for part in found])["timestamp"].is_sorted()
    assert_frame_equal(pl.concat(found), pl.concat(parts(written)), check_exact=True)


def test_the_manifest_counts_and_the_catalogue_names_every_feature(line, written) -> None:
    manifest = read_manifest(written, "written by `recsys features`")
    table = pl.concat(parts(written))
    requests = line.dataset.requests["request_id"].n_unique()
    assert manifest["counts"] == {
        "requests": requests,
        "rows": len(table),
        "features": len(table.columns) - len(HEAD),
        "parts": 1,
        "outside": 0,
    }
    assert manifest["features"] == table.columns[len(HEAD) :]
    assert manifest["windows"] == Model.load(line.model).windows.to_json()
    page = (written / "catalogue.html").read_text(encoding="utf-8")
    named = re.findall(r'<th scope="row"><code>(\w+)</code>', page)
    assert set(named) >= {name for name in table.columns[len(HEAD) :] if not re.search(r"_(rank|share|gap)$", name)}
    assert "The text columns are not in this table" in page


def test_the_clock_of_the_settings_counts(line, written, tmp_path) -> None:
    write_features(line.dataset, changed(line.settings, time={"freshness": "1d"}), tmp_path / "daily")
    live, daily = (pl.concat(parts(out))["showing_count_item"] for out in (written, tmp_path / "daily"))
    assert (daily <= live).all()
    assert (daily < live).any()


def test_requests_outside_the_windows_are_left_out_and_counted(line, tmp_path) -> None:
    cuts = list(Model.load(line.model).windows.cuts)
    cuts[0] += timedelta(hours=12)
    cuts[4] -= timedelta(hours=12)
    settings = changed(line.settings, windows={"cuts": tuple(cuts), "fractions": None})
    done = write_features(line.dataset, settings, tmp_path / "out")
    moments = pl.concat(parts(tmp_path / "out"))["timestamp"]
    assert cuts[0] <= moments.min() < moments.max() < cuts[4]
    assert done.outside == line.dataset.requests["request_id"].n_unique() - done.requests > 0
    early = line.dataset.requests.filter(pl.col("timestamp") < cuts[0])["request_id"][0]
    assert "window none: it lies outside of them" in show_features(line.dataset, settings, str(early))


def test_ids_come_back_in_the_type_they_came_in(line, tmp_path) -> None:
    narrow = [pl.col(name).cast(pl.UInt32) for name in ("request_id", "user_id")]
    dataset = replace(line.dataset, requests=line.dataset.requests.with_columns(narrow))
    write_features(dataset, line.settings, tmp_path / "out")
    assert parts(tmp_path / "out")[0].select("request_id", "user_id").dtypes == [pl.UInt32, pl.UInt32]


def tiny(request_ids=(1, 2, 3, 4)) -> tuple[Dataset, Settings]:
    """Four lists of the same two items, six hours apart; item 7 is clicked in the first two."""
    hours = [0, 6, 12, 18]
    moments = [START + timedelta(hours=hour) for hour in hours]
    rows = [
        (request, 5, moment, item, int(item == 7 and number < 2), "\x1b[31mred")
        for number, (request, moment) in enumerate(zip(request_ids, moments, strict=True))
        for item in (7, 8)
    ]
    schema = ["request_id", "user_id", "timestamp", "item_id", "label", "device"]
    requests = pl.DataFrame(rows, schema=schema, orient="row")
    items = pl.DataFrame({"item_id": [7, 8], "title": ["seven", "eight"]})
    events = pl.DataFrame({"user_id": [5], "item_id": [8], "timestamp": [START], "event": ["view"]})
    settings = Settings.model_validate(
        {
            "windows": {"cuts": [*moments, START + timedelta(days=1)]},
            "features": {"windows": ["1d"], "context": ["device"], "events": ["view"]},
        }
    )
    return Dataset(items, events, requests), settings


def lines_of(shown: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in (line.split() for line in shown.splitlines()) if words}


def test_a_request_is_shown_with_the_value_of_every_candidate() -> None:
    dataset, settings = tiny()
    shown = show_features(dataset, changed(settings, time={"freshness": "live"}), "3")
    assert shown.splitlines()[:4] == [
        "request 3 of user 5, 2 candidates",
        "moment 2024-01-01T12:00:00+00:00, as_of 2024-01-01T12:00:00+00:00 (freshness live)",
        "window valid",
        "The text columns are not in this table: they need an encoder; give --model MODEL instead of --config.",
    ]
    found = lines_of(shown)
    assert found["item_id"] == ["7", "8"]
    assert found["label"] == ["0", "0"]
    assert found["showing_count_item"] == ["2", "2"]
    assert found["click_count_item"] == ["2", "0"]
    assert found["click_count_item_share"] == ["1", "0"]
    assert found["view_count_item"] == ["0", "1"]
    # Four showings and two clicks make one half; 20 showings of it are the prior.
    assert found["click_rate_item"] == [f"{(2 + 10) / 22:.4g}", f"{(0 + 10) / 22:.4g}"]
    assert found["hours_since_click_item"] == [f"{6 - 1 / 6:.4g}", "-"]
    assert found["item_age_hours"] == ["-", "-"]
    assert found["list_size"] == ["2", "2"]
    assert found["device"] == ["?[31mred"] * 2
    names = [name for name in feature_names(settings.features) if name not in TEXT_COLUMNS]
    assert list(found)[4:] == ["item_id", "label", *names]


def test_under_the_daily_clock_the_last_midnight_is_named() -> None:
    dataset, settings = tiny()
    shown = show_features(dataset, changed(settings, time={"freshness": "1d"}), "4")
    assert "moment 2024-01-01T18:00:00+00:00, as_of 2024-01-01T00:00:00+00:00 (freshness 1d)" in shown
    assert lines_of(shown)["showing_count_item"] == ["0", "0"]


def test_with_a_model_a_request_is_shown_with_its_text_columns(line) -> None:
    request = line.dataset.requests["request_id"][-1]
    shown = show_features(line.dataset, line.model, str(request), 10_000)
    found = lines_of(shown)
    assert "they look better than they are" in shown
    expected = expected_table(line, reader=True).filter(pl.col("request_id") == request)
    assert [*map(float, found["appeal"])] == pytest.approx(expected["appeal"].to_list(), rel=1e-3)
    assert found["item_id"] == [str(item) for item in expected["item_id"]]


@pytest.mark.parametrize("width", [40, 100, 10_000])
def test_long_lists_are_wrapped_and_show_every_candidate_once(line, width) -> None:
    lists = line.dataset.requests.group_by("request_id", maintain_order=True).len().sort("len")
    request, size = lists.row(-1)
    shown = show_features(line.dataset, line.settings, str(request), width)
    for name in ("item_id", "click_rate_user"):
        rows = [row.split()[1:] for row in shown.splitlines() if row.split()[:1] == [name]]
        assert sum(map(len, rows)) == size
    assert (len(rows) == 1) == (width == 10_000) == (f" of {size}\n" not in shown)
    if width == 100:
        assert max(map(len, shown.splitlines())) <= width


def test_ids_of_text_are_found_and_unknown_ones_are_refused() -> None:
    dataset, settings = tiny(("r-1", "r-2", "r-3", "r-4"))
    assert show_features(dataset, settings, "r-2").startswith("request r-2 of user 5")
    with pytest.raises(DataError, match="request '2' is not in the table of requests, which holds r-1, r-2, r-3 and"):
        show_features(dataset, settings, "2")
    for unknown in ("5", "01", "3.0", "-1", "10000000000000000000000", ""):
        with pytest.raises(DataError, match=f"request '{unknown}' is not in .* 1, 2, 3 and others; give one of these"):
            show_features(*tiny(), unknown)


def test_what_cannot_be_a_table_is_refused_and_leaves_nothing(line, tmp_path) -> None:
    out = tmp_path / "out"
    faulty = replace(line.dataset, requests=line.dataset.requests.with_columns(label=pl.lit(-3)))
    with pytest.raises(DataError, match="requests.label"):
        write_features(faulty, line.settings, out)
    for update, words in [
        ({"context": ("tablet",)}, "context names 'tablet', which is not a column of the candidates"),
        ({"context": ("position",)}, "recorded with or after the list"),
        ({"events": ("viewed",)}, "counts 'viewed', an event that never occurs"),
        ({"affinity": ("author",)}, "affinity names 'author', which is not a column of items"),
        ({"affinity": ("id",)}, "makes a feature called 'item_id', as a column beside it; rename the column"),
        ({"context": ("window",)}, "makes a feature called 'window', as a column beside it; rename the column"),
    ]:
        dataset = replace(
            line.dataset,
            items=line.dataset.items.with_columns(id=pl.lit("x")),
            requests=line.dataset.requests.with_columns(window=pl.lit("x")),
        )
        with pytest.raises(SettingsError, match=words):
            write_features(dataset, changed(line.settings, features=update), out)
    later = line.dataset.requests.with_columns(pl.col("timestamp") + timedelta(days=90))
    with pytest.raises(DataError, match="no request lies in the windows, .* give the data of these days"):
        write_features(replace(line.dataset, requests=later), line.model, out)
    assert not list(tmp_path.iterdir())


def test_an_existing_target_is_refused_before_any_work(line, written, monkeypatch) -> None:
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    monkeypatch.setattr(features, "prepare", None)
    with pytest.raises(DataError, match="already exists and is not empty"):
        write_features(line.dataset, line.settings, written)
    assert before == {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}


def test_a_failure_half_way_leaves_nothing(line, tmp_path, monkeypatch) -> None:
    build, calls = features.build_features, []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            assert len(list(tmp_path.glob(".out.*/features/part-*.parquet"))) == 2
            raise KeyboardInterrupt
        return build(*arguments)

    monkeypatch.setattr(features, "ROWS_PER_PART", 97)
    monkeypatch.setattr(features, "build_features", fail)
    with pytest.raises(KeyboardInterrupt):
        write_features(line.dataset, line.settings, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_kill_half_way_leaves_nothing_that_can_be_mistaken_for_a_table(line, tmp_path) -> None:
    program = (
        "import sys\nfrom recsys.jobs import features\nfrom recsys.data.tables import Dataset\n"
        "from recsys.settings import Settings\n"
        "features.ROWS_PER_PART = 20\n"
        "features.write_features(Dataset.read(sys.argv[1]), Settings.model_validate_json(sys.argv[2]), sys.argv[3])\n"
    )
    words = [str(line.data), line.settings.model_dump_json(), str(tmp_path / "out")]
    process = subprocess.Popen([sys.executable, "-c", program, *words])
    while process.poll() is None and not list(tmp_path.glob(".out.*/features/part-00003.parquet")):
        pass
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    write_features(line.dataset, line.settings, tmp_path / "out")
    assert read_manifest(tmp_path / "out", "written by `recsys features`")
