import json
from pathlib import Path

import polars as pl
import pytest

from recsys.errors import ModelError
from recsys.jobs.nightly.gate import ListsProfile, judge_model, lists_drift
from recsys.jobs.nightly.settings import GateSettings


def write(folder: Path, users: int = 100, shift: float = 0.0, unknown: float = 0.0) -> Path:
    folder.mkdir()
    rows = pl.int_range(users * 10, eager=True)
    pl.DataFrame(
        {
            "user_id": rows // 10,
            "score": (rows * 7919 % 1000) / 100 + shift,
            "unknown_item": (rows % 100) < 100 * unknown,
        }
    ).write_parquet(folder / "part-00000.parquet")
    return folder


def drift(tmp_path: Path, model: str = "m", **now: float) -> list[str]:
    before = ListsProfile.of(write(tmp_path / "before"), "m").to_json()
    return lists_drift(before, write(tmp_path / "now", **now), model, GateSettings())


def test_lists_like_those_before_are_let_through(tmp_path: Path) -> None:
    assert drift(tmp_path) == []
    assert lists_drift(None, tmp_path, "m", GateSettings()) == []


def test_lists_of_too_few_users_are_named(tmp_path: Path) -> None:
    assert drift(tmp_path, users=79) == ["lists: 79 users have one, where 100 had one before ([gate] coverage)"]


def test_shifted_scores_are_named_under_the_same_model_alone(tmp_path: Path) -> None:
    (reason,) = drift(tmp_path, shift=8.0)
    assert reason.startswith("scores: they have moved under the same model (stability index ")
    assert reason.endswith("up to 4.00 is usual; [gate] scores)")
    (tmp_path / "other").mkdir()
    assert drift(tmp_path / "other", model="n", shift=8.0) == []


def test_what_is_usual_from_night_to_night_says_how_far_scores_may_move(tmp_path: Path) -> None:
    profile = None
    for night, shift in enumerate((0.0, 0.5, 0.0, 0.5)):
        profile = ListsProfile.of(write(tmp_path / f"{night}", shift=shift), "m", profile)
    assert len(profile.moves) == 3
    assert 0 < max(profile.moves) < 0.5
    near, far = (write(tmp_path / name, shift=shift) for name, shift in (("near", 1.0), ("far", 3.5)))
    assert lists_drift(profile.to_json(), near, "m", GateSettings()) == []
    (reason,) = lists_drift(profile.to_json(), far, "m", GateSettings())
    assert reason.endswith("up to 1.00 is usual; [gate] scores)")


def test_places_of_unknown_items_are_named(tmp_path: Path) -> None:
    told = ["lists: 30% of the places are of unknown items, where 0% were before ([gate] cold)"]
    assert drift(tmp_path, unknown=0.3) == told


def test_a_profile_tells_tenths(tmp_path: Path) -> None:
    profile = ListsProfile.of(write(tmp_path / "lists"), "m")
    assert profile.users == 100
    assert profile.shares == pytest.approx([0.1] * 10, abs=0.02)


@pytest.mark.slow
def test_a_model_is_held_against_another_by_its_interval(line) -> None:
    gate = GateSettings(margin=0.0)
    same = judge_model(line.model, line.model, line.dataset, gate)
    assert same["accepted"]
    assert same["difference"]["mean"] == 0
    assert "not worse by more than 0.0" in same["reason"]
    early = line.dataset.requests.filter(pl.col("timestamp") < pl.col("timestamp").median())
    from dataclasses import replace

    judged = judge_model(line.model, line.model, replace(line.dataset, requests=early), gate)
    assert not judged["accepted"]
    assert judged["reason"].startswith("the new model cannot be held against the live one: ")


def test_a_model_that_shows_a_group_of_items_too_little_is_refused_by_name(line, model_copy) -> None:
    model = model_copy()
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["gains"]["exposure"]
    gap = {"mean": -0.06, "low": -0.08, "high": -0.04}
    short = {"candidates": 0.1, "clicks": 0.1, "shown": 0.04, "gap": gap, "named": True}
    metrics["gains"]["exposure"] = {"no text": short, "category = a": {**short, "named": False}}
    (model / "metrics.json").write_text(json.dumps(metrics))
    found = judge_model(line.model, model, line.dataset, GateSettings(margin=1.0, shortfall=0.5))
    assert found == {
        "accepted": False,
        "reason": "the new model shows some items too little: no text (4.0% of exposure, 10.0% of clicks)",
    }
    for gate in (GateSettings(margin=1.0, shortfall=0.7), GateSettings(margin=1.0)):
        with pytest.raises(ModelError, match="metrics.json was changed after it was written"):  # looked at further
            judge_model(line.model, model, line.dataset, gate)
    assert judge_model(line.model, line.model, line.dataset, GateSettings(margin=1.0, shortfall=0.0))["accepted"]
