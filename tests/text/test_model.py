import shutil
import socket
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.errors import ModelError
from recsys.text.encoder import Encoder
from recsys.text.fields import item_texts, text_hashes
from recsys.text.model import TextModel
from recsys.text.settings import TextSettings
from recsys.text.training import fit_text
from recsys.text.vectors import ItemVectors, round_to_grid

NAMES = ("candidate", "history", "appeal")


@pytest.fixture(scope="module")
def model(world, tiny_settings: TextSettings) -> TextModel:
    return fit_text(world.texts, world.lists, world.labels, tiny_settings.model_copy(update={"epochs": 2}), 0)


def catalogue(*titles: str | None) -> pl.DataFrame:
    ids = [f"i{place}" for place in range(len(titles))]
    return pl.DataFrame({"item_id": ids, "title": titles, "description": [None] * len(titles)}).cast(pl.String)


def encode(model: TextModel, items: pl.DataFrame) -> ItemVectors:
    return model.encode_items(items, item_texts(items, model.settings.fields))


def test_vectors_lie_on_the_grid_with_length_one(model: TextModel) -> None:
    vectors = encode(model, catalogue("sea boat", "code", None, "sea boat"))
    for matrix in (vectors.candidate, vectors.history):
        assert matrix.dtype == np.float32
        assert np.array_equal(matrix, round_to_grid(matrix))
        assert np.linalg.norm(matrix, axis=1) == pytest.approx(np.ones(4), abs=0.01)
    assert vectors.item_ids.to_list() == ["i0", "i1", "i2", "i3"]
    assert vectors.text_hashes.to_list() == text_hashes(["sea boat", "code", "", "sea boat"])


def test_equal_texts_have_equal_vectors(model: TextModel) -> None:
    vectors = encode(model, catalogue("sea boat", "code", "sea  boat\n"))
    assert not np.array_equal(vectors.candidate[0], vectors.candidate[1])
    for name in NAMES:
        assert np.array_equal(getattr(vectors, name)[0], getattr(vectors, name)[2])


def test_an_empty_catalogue_has_no_vectors(model: TextModel) -> None:
    vectors = encode(model, catalogue())
    assert vectors.candidate.shape == (0, model.encoder.dimension)
    assert len(vectors) == 0


def test_update_encodes_only_new_and_changed_texts(model: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    before = encode(model, catalogue("sea", "code", "goal"))
    now = catalogue("sea", "bread", "goal", "salt")[[3, 2, 1, 0]]
    seen: list[str] = []
    tokenize = Encoder.tokenize
    monkeypatch.setattr(
        Encoder, "tokenize", lambda self, texts, most: seen.extend(texts) or tokenize(self, texts, most)
    )
    after = model.update(before, now)
    assert seen == ["salt", "bread"]
    expected = encode(model, now)
    assert after.item_ids.to_list() == now["item_id"].to_list()
    assert after.text_hashes.to_list() == expected.text_hashes.to_list()
    for name in NAMES:
        assert getattr(after, name) == pytest.approx(getattr(expected, name), abs=1e-3)
        assert np.array_equal(getattr(after, name)[[1, 3]], getattr(before, name)[[2, 0]])


def test_saved_model_gives_the_same_vectors_without_a_network(
    model: TextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = catalogue("sea boat", "code", None)
    model.save(tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    loaded = TextModel.load(tmp_path)
    assert loaded.settings == model.settings
    for name in NAMES:
        assert np.array_equal(getattr(encode(loaded, items), name), getattr(encode(model, items), name))
    for name in ("sharpness", "forgetting", "scale"):
        assert np.array_equal(getattr(loaded.tower, name), getattr(model.tower, name))


def test_saves_plain_files_alone(model: TextModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    found = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert found <= {".safetensors", ".json", ".txt"}
    assert (tmp_path / "user_tower.safetensors").is_file()


def test_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder is missing; .* is not a model folder"):
        TextModel.load(tmp_path)


@pytest.mark.parametrize("name", ["text.json", "heads.safetensors"])
def test_damaged_files_are_refused(model: TextModel, tmp_path: Path, name: str) -> None:
    model.save(tmp_path)
    (tmp_path / "encoder" / name).write_text("{")
    with pytest.raises(ModelError, match=r"encoder is damaged .*copy the model folder again"):
        TextModel.load(tmp_path)
    shutil.rmtree(tmp_path / "encoder")
