"""A state without a user is a whole state of its model, and holds nothing of the user."""

import json
import shutil

import polars as pl
import pytest

from recsys import Ranker
from recsys.errors import ModelError
from recsys.manifest import read_manifest
from recsys.model.folder import State
from recsys.model.forgetting import Forgetting

pytestmark = pytest.mark.slow


def test_a_state_without_a_user_ranks_as_before_and_keeps_its_facts(line, tmp_path):
    model, dataset = line.model, line.dataset
    user = dataset.requests["user_id"][0]
    found = Forgetting.of(model / "state", model, {str(user)})
    assert found.needed
    assert not Forgetting.of(model / "state", model, {"nobody of this name"}).needed
    found.write(tmp_path / "state")
    before, after = (read_manifest(folder, "") for folder in (model / "state", tmp_path / "state"))
    assert {key: before[key] for key in before if key != "files"} == {
        key: after[key] for key in after if key != "files"
    }
    assert before["files"].keys() == after["files"].keys()
    state = State.load(tmp_path / "state", model, verify_all=True)
    assert user not in state.log.users.by_code.to_list()
    assert not Forgetting.of(tmp_path / "state", model, {str(user)}).needed
    others = dataset.requests.filter(pl.col("user_id") != user).drop("label")
    for asked, unknown in ((dataset.requests.head(1).drop("label"), True), (others.tail(1), False)):
        asked = asked.with_columns(timestamp=others["timestamp"].max())
        ranked = Ranker.load(model, tmp_path / "state").rank(asked)
        assert ranked["unknown_user"].to_list() == [unknown]


def test_a_damaged_state_is_refused_before_anything_is_written(line, tmp_path):
    shutil.copytree(line.model / "state", tmp_path / "state")
    manifest = json.loads((tmp_path / "state/manifest.json").read_text())
    (tmp_path / "state/manifest.json").write_text(json.dumps(manifest | {"known_until": None}))
    with pytest.raises(ModelError, match="was changed after it was written"):
        Forgetting.of(tmp_path / "state", line.model, {"1"})
