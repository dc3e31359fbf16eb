"""Whatever became of a file of a model folder: an error says what is wrong, or it does no harm."""

import hashlib
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from recsys import Ranker
from recsys.manifest import file_hash
from recsys.model.folder import identity
from tests.fuzz.columns import frames
from tests.fuzz.fuzzing import answer, asking_all, fuzzed
from tests.fuzz.texts import spoilt_bytes

SMALL = st.none() | st.booleans() | st.integers(-2, 9) | st.integers() | st.floats() | st.text(max_size=3)
VALUES = SMALL | st.lists(SMALL, max_size=2) | st.dictionaries(st.text(max_size=3), SMALL, max_size=2)


def _altered(data: st.DataObject, content: Any) -> Any:
    """Draw JSON in which one value is another one, or is gone."""
    if not isinstance(content, dict | list) or not content or data.draw(st.integers(0, 9)) == 0:
        return data.draw(VALUES)
    places = list(content) if isinstance(content, dict) else list(range(len(content)))
    place = data.draw(st.sampled_from(places))
    if data.draw(st.integers(0, 9)) == 0:
        del content[place]
    else:
        content[place] = _altered(data, content[place])
    return content


def _damage(data: st.DataObject, path: Path) -> None:
    if path.suffix == ".json" and data.draw(st.integers(0, 3)):
        path.write_text(json.dumps(_altered(data, json.loads(path.read_text()))))
    elif path.suffix == ".parquet" and data.draw(st.integers(0, 3)):
        frame = data.draw(frames(pl.read_parquet(path.read_bytes())))
        frame.select(
            values for values in frame.get_columns() if values.dtype != pl.Object and values.dtype != pl.Struct({})
        ).write_parquet(path)
    else:
        path.write_bytes(data.draw(spoilt_bytes(path.read_bytes())))


@fuzzed(data=st.data())
def test_any_damage_to_a_file_of_a_model_folder_is_named(line, asking, data) -> None:
    used = data.draw(st.sampled_from([line, asking]))
    with TemporaryDirectory() as place:
        folder = Path(shutil.copytree(used.model, Path(place) / "model"))
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        name = data.draw(st.sampled_from(names))
        before = (folder / name).read_bytes()
        _damage(data, folder / name)
        changed = (folder / name).read_bytes() != before
        ranked = answer(lambda: Ranker.load(folder).rank(asking_all(used.candidates(2))))
        if ranked is not None:
            assert np.isfinite(ranked["score"].to_numpy()).all()
            assert not changed or _same_json(folder / name, before)


@fuzzed(data=st.data())
def test_any_damage_that_the_manifests_agree_with_is_named_or_does_no_harm(line, asking, data) -> None:
    used = data.draw(st.sampled_from([line, asking]))
    with TemporaryDirectory() as place:
        folder = Path(shutil.copytree(used.model, Path(place) / "model"))
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        name = data.draw(st.sampled_from(names))
        _damage(data, folder / name)
        if name != "state/manifest.json":
            _hash_anew(folder / "state", model=identity(folder))
        _hash_anew(folder / "state")
        _hash_anew(folder)
        ranked = answer(lambda: Ranker.load(folder).rank(asking_all(used.candidates(2))))
        if ranked is not None:
            assert np.isfinite(ranked["score"].to_numpy()).all()


def _hash_anew(folder: Path, **facts: str) -> None:
    """Write a manifest as if the files had always been as they are; one that is no object stays."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    if isinstance(manifest, dict):
        files = sorted(each for each in folder.rglob("*") if each.is_file() and each != path)
        hashes = {each.relative_to(folder).as_posix(): file_hash(each) for each in files}
        manifest = {name: value for name, value in manifest.items() if name != "sha256"} | {"files": hashes} | facts
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps(manifest | {"sha256": digest}))


def _same_json(path: Path, before: bytes) -> bool:
    """Tell whether two manifests say the same: spaces are not hashed."""
    return path.name == "manifest.json" and json.loads(path.read_bytes()) == json.loads(before)
