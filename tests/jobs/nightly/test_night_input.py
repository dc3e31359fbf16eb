"""Input that nobody hoped for: clear words, and the lists of before stay."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from recsys.errors import DataError, ModelError
from recsys.files import write_json
from recsys.jobs.nightly.history import history
from recsys.jobs.nightly.home import Home
from recsys.manifest import read_manifest, write_manifest
from tests.jobs.nightly.conftest import SECOND, Job

pytestmark = pytest.mark.slow


def asked(job: Job, rows: int) -> pl.DataFrame:
    lists = pl.read_parquet(job.home / "work/candidates-*/asked.parquet").head(rows)
    items = job.table("items").head(8).select("item_id")
    return lists.join(items, how="cross").with_columns(timestamp=pl.lit(SECOND).cast(pl.Datetime("us", "UTC")))


def refused(job: Job, error: type[Exception], words: str, at: datetime | None = SECOND) -> None:
    before, live = job.files(), (job.home / "live").resolve()
    with pytest.raises(error, match=words):
        job.run(at)
    assert job.files() == before
    assert (job.home / "live").resolve() == live


def test_no_candidates_are_told(job: Job) -> None:
    asked(job, 0).write_parquet(job.folder / "tonight.parquet")
    job.change("[lists]", '[lists]\ncandidates = "tonight.parquet"')
    refused(job, DataError, "there are no candidates: the files hold no row; name the lists that are to be ranked")


def test_nobody_to_make_lists_for_is_told(job: Job) -> None:
    asked(job, 1).select("user_id", "device").head(0).write_parquet(job.folder / "users.parquet")
    job.change("[lists]", '[lists]\nusers = "users.parquet"')
    refused(job, DataError, "there is nobody to make lists for; name users in")


def test_items_without_text_and_items_that_nobody_knows_are_ranked_and_flagged(job: Job) -> None:
    item = job.table("items")["item_id"][0]
    bare = pl.when(pl.col("item_id") == item).then(None).otherwise(pl.col("title")).alias("title")
    job.rewrite("items", lambda items: items.with_columns(bare, description=pl.lit("")))
    rows = asked(job, 150)
    stranger = (
        rows.group_by("request_id", maintain_order=True)
        .first()
        .with_columns(item_id=pl.lit(10**6, rows.schema["item_id"]))
    )
    pl.concat([rows, stranger.select(rows.columns)]).write_parquet(job.folder / "tonight.parquet")
    job.change("[lists]", '[gate]\nscores = 100\ncold = 1\nnulls = 1\n\n[lists]\ncandidates = "tonight.parquet"')
    job.change("top = 5", "top = 20")
    assert job.run(SECOND).good
    lists = job.lists()
    assert lists.filter(pl.col("unknown_item"))["item_id"].unique().to_list() == [10**6]
    assert len(lists.filter(pl.col("item_id") == item)) == 150
    assert lists["score"].is_finite().all()


def test_a_model_whose_place_another_one_took_is_told(job: Job) -> None:
    """One of other settings: its state and that of the lists mean nothing to it."""
    job.change("rounds = 20", "rounds = 5")
    job.change("[settings.windows]", '[training]\nevery = "1d"\n\n[settings.windows]')
    assert job.run(SECOND).good
    first, second = sorted(
        path for path in (job.home / "models").iterdir() if path.is_dir() and "training" not in path.name
    )
    first.rename(job.home / "other")
    second.rename(first)
    (job.home / "other").rename(second)
    before = job.files()
    with pytest.raises(ModelError, match="was made with another model than .*; score with this model once, or train"):
        job.run(SECOND + timedelta(hours=1))
    assert job.files() == before


def test_a_model_of_settings_that_are_none_is_told(job: Job) -> None:
    (model,) = (path for path in (job.home / "models").iterdir() if (path / "manifest.json").is_file())
    manifest = read_manifest(model, "trained")
    (model / "manifest.json").unlink()
    facts = {key: told for key, told in manifest.items() if key not in ("format", "files")}
    write_manifest(model, facts | {"settings": {"seed": "seven"}})
    refused(job, ModelError, "does not read as a model of this version")
    write_json(model / "manifest.json", {})
    refused(job, ModelError, "manifest.json is damaged")


def test_whoever_is_not_there_is_told_of_every_failure(job: Job) -> None:
    job.change("[lists]", '[alert]\nfile = "alert.txt"\nprometheus = "recsys.prom"\n\n[lists]')
    alert, figures = job.folder / "alert.txt", job.folder / "recsys.prom"
    (job.home / "work/night.json").write_text("{}")
    refused(job, DataError, "night.json holds no moment of a night", at=None)
    assert "night.json holds no moment of a night" in alert.read_text()
    assert "recsys_nightly_published 0.0" in figures.read_text()
    (job.home / "work/night.json").unlink()
    live, away = (job.home / "live").resolve(), job.home / "away"
    live.rename(away)
    with pytest.raises(DataError, match="which is not there"):
        job.run(None)
    assert "which is not there" in alert.read_text()
    away.rename(live)
    assert job.run(SECOND).good
    assert not alert.exists()


def test_ids_stay_out_of_records_and_alerts(job: Job) -> None:
    job.change("[lists]", '[alert]\nfile = "alert.txt"\n\n[lists]')
    job.rewrite("users", lambda users: pl.concat([users, users.filter(pl.col("user_id") == 137)]))
    done = job.run(SECOND)
    assert "users.user_id" in done.refused[0]
    assert "`recsys check " in done.refused[-1]
    records = [path.read_text() for path in (job.home / "log").iterdir()]
    assert not [text for text in (*done.refused, *records, (job.folder / "alert.txt").read_text()) if "such as" in text]


def test_a_model_of_which_nobody_knows_how_it_came_to_be_ranks_on(job: Job) -> None:
    (facts,) = (job.home / "models").glob("*.json")
    facts.unlink()
    assert job.run(SECOND).good
    assert "learnt from" in history(Home(job.home)).to_text()
    facts.write_text("{}")
    with pytest.raises(ModelError, match="does not say how a model came to be .*; take it from a copy, or remove the"):
        job.run(SECOND)


def test_a_model_that_was_accepted_and_never_ranked_is_trained_anew(job: Job) -> None:
    """So that the night that goes another way after all has its model, and nobody waits for a week."""
    job.change(
        "[settings.windows]", '[training]\nevery = "1d"\n\n[gate]\ncoverage = 1\nmargin = 1\n\n[settings.windows]'
    )
    home, users = (
        Home(job.home),
        job.lists().select("user_id").unique().sort("user_id").with_columns(device=pl.lit("mobile")),
    )
    users.head(20).write_parquet(job.folder / "users.parquet")
    job.change("[lists]", '[lists]\nusers = "users.parquet"')
    assert not job.run(SECOND).good
    (made,) = set(home.trained()) - {home.live.model}
    assert home.facts(made)["gate"]["accepted"]
    job.change('users = "users.parquet"', "")
    job.rewrite("events", lambda events: events.slice(1))
    done = job.run(SECOND)
    assert done.good
    assert done.published.model not in (made, home.read(done.published.after).model)
