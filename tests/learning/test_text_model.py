import copy
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from recsys.data.texts import item_texts
from recsys.encoders.encoder import Encoder
from recsys.encoders.lexicon import Lexicon
from recsys.encoders.settings import Backend, TextSettings
from recsys.encoders.text_reader import TextReader
from recsys.errors import ModelError
from recsys.learning.heads import ItemHead, UserHead
from recsys.learning.text_model import TextModel
from recsys.vectors.encoded import round_to_grid
from recsys.vectors.item_vectors import ItemVectors, text_hashes

NAMES = ("candidate", "history", "appeal")


@pytest.fixture(scope="module")
def model(world, tiny_settings: TextSettings) -> TextModel:
    encoder = Encoder.load(tiny_settings.encoder)
    lexicon = Lexicon.fit(world.texts, 8, 0)
    generator = torch.Generator().manual_seed(6)
    heads = ItemHead(encoder.dimension + lexicon.dimension, 24)
    for value in heads.state_dict().values():
        value += 0.1 * torch.randn(value.shape, generator=generator)
    return TextModel(encoder, heads, UserHead(24).tower(), tiny_settings, lexicon)


def catalogue(*titles: str | None) -> pl.DataFrame:
    ids = [f"i{place}" for place in range(len(titles))]
    return pl.DataFrame({"item_id": ids, "title": titles, "description": [None] * len(titles)}).cast(pl.String)


def encode(model: TextModel, items: pl.DataFrame) -> ItemVectors:
    return model.vectors(items.select("item_id"), item_texts(items, model.settings.fields))


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
    assert vectors.candidate.shape == (0, 24)
    assert len(vectors) == 0


def test_the_weights_and_the_backend_make_the_identity(model: TextModel) -> None:
    items = catalogue("sea boat", "code")
    assert encode(replace(model), items).encoder == encode(model, items).encoder
    for change in ({"backend": "bf16"}, {"backend": "static"}, {"max_tokens": 11}):
        other = replace(model, settings=model.settings.model_copy(update=change))
        assert encode(other, items).encoder != encode(model, items).encoder
    for part, parameter in (("heads", "appeal_map.bias"), ("encoder", "network.embeddings.LayerNorm.bias")):
        changed = copy.deepcopy(getattr(model, part))
        changed.get_parameter(parameter).data[0] += 1
        assert encode(replace(model, **{part: changed}), items).encoder != encode(model, items).encoder
    static = replace(model, settings=model.settings.model_copy(update={"backend": "static"}))
    assert encode(static, items).encoder != encode(replace(static), catalogue("sea boat", "bread")).encoder
    lexicon = replace(model.lexicon, rarity=model.lexicon.rarity * 2)
    assert encode(replace(model, lexicon=lexicon), items).encoder != encode(model, items).encoder


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "bf16", "onnx", "static"])
def test_training_and_serving_see_the_same_vectors(model: TextModel, tmp_path: Path, backend: Backend) -> None:
    settings = model.settings.model_copy(update={"backend": backend})
    trained = replace(model, settings=settings)
    items = catalogue("sea boat", "code", None, "bread")
    seen = encode(trained, items)
    trained.save(tmp_path)
    reader = TextReader.load(tmp_path)
    served = reader.encode(item_texts(items, settings.fields))
    assert reader.identity == seen.encoder
    for name in NAMES:
        assert np.array_equal(getattr(served, name), getattr(seen, name))
    assert np.array_equal(reader.encode_query("salt boat"), trained.encode_query("salt boat"))


def test_embeddings_at_hand_are_taken_where_the_backend_would_give_the_same(model: TextModel) -> None:
    items = catalogue("sea boat", "code", None, "sea boat")
    texts = item_texts(items, model.settings.fields)
    tokens = model.encoder.tokenize(texts, model.settings.max_tokens)
    embeddings = np.concatenate([model.encoder.embed(tokens), model.lexicon.embed(texts)], axis=1)
    expected = encode(model, items)
    found = model.vectors(items.select("item_id"), texts, embeddings)
    assert found.encoder == expected.encoder
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-3)
    taken = model.vectors(items.select("item_id"), texts, -embeddings)
    assert (taken.candidate[[0, 1, 3]] != expected.candidate[[0, 1, 3]]).any(axis=1).all()
    assert np.array_equal(taken.candidate[2], expected.candidate[2])  # the learned vector of no text
    other = replace(model, settings=model.settings.model_copy(update={"backend": "onnx"}))
    read = other.vectors(items.select("item_id"), texts, -embeddings)
    for name in NAMES:
        assert np.array_equal(getattr(read, name), getattr(encode(other, items), name))


def test_a_static_backend_needs_the_catalogue_before_it_is_saved(model: TextModel, tmp_path: Path) -> None:
    settings = model.settings.model_copy(update={"backend": "static"})
    with pytest.raises(ModelError, match="'static' is fitted to the catalogue; encode items with texts before saving"):
        replace(model, settings=settings).save(tmp_path)
    assert not list(tmp_path.iterdir())


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
    assert (tmp_path / "encoder" / "identity.json").is_file()
    assert (tmp_path / "user_tower.safetensors").is_file()


def test_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder is missing; .* is not a model folder"):
        TextModel.load(tmp_path)


@pytest.mark.parametrize("name", ["text.json", "heads.safetensors"])
def test_damaged_files_are_refused(model: TextModel, tmp_path: Path, name: str) -> None:
    model.save(tmp_path)
    (tmp_path / "encoder" / name).write_text("{")
    with pytest.raises(ModelError, match=rf"encoder/{name} is damaged .*copy the model folder again"):
        TextModel.load(tmp_path)
    shutil.rmtree(tmp_path / "encoder")
