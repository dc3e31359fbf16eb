import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from recsys.data.texts import item_texts
from recsys.encoders.backends.backend import Backend
from recsys.encoders.encoder import Encoder
from recsys.encoders.lexicon import Lexicon
from recsys.encoders.settings import TextSettings
from recsys.encoders.text_reader import LateReader, TextReader, load_lexical, load_settings, read_identity
from recsys.errors import ModelError
from recsys.learning.heads import ItemHead
from recsys.learning.text_model import TextModel
from recsys.vectors.encoded import Encoded
from recsys.vectors.item_tower import ItemTower
from recsys.vectors.item_vectors import ItemVectors
from recsys.vectors.user_tower import UserTower

NO_LEXICON = Lexicon.fit([], 0, 0)


class CountingBackend:
    """Embeds a text by its first letters and remembers what it was asked for."""

    dimension = 4

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def embed(self, texts: list[str]) -> np.ndarray:
        self.asked.append(list(texts))
        found = np.array([[len(text) + 1, *text[:3].ljust(3).encode()] for text in texts], np.float64).reshape(-1, 4)
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def backend() -> CountingBackend:
    return CountingBackend()


@pytest.fixture
def reader(backend: CountingBackend) -> TextReader:
    heads = ItemHead(4)
    heads.empty.data += torch.tensor([0.0, 0.0, 0.0, 1.0])
    state = {name: value.numpy() for name, value in heads.state_dict().items()}
    return TextReader(backend, NO_LEXICON, ItemTower.of(state), TextSettings(fields=("title",)), "one")


def catalogue(**titles: str | None) -> pl.DataFrame:
    return pl.DataFrame({"item_id": list(titles), "title": list(titles.values())}).cast(pl.String)


def encode(reader: TextReader, items: pl.DataFrame, seen: ItemVectors | None = None) -> ItemVectors:
    known = ItemVectors.of_nothing(reader.identity, 4) if seen is None else seen
    return known.update(items.select("item_id"), item_texts(items, ["title"]), reader.encode)


def test_items_without_text_have_the_learned_vector(reader: TextReader) -> None:
    found = reader.encode(["sea", "", "boat"])
    assert found.candidate[1].tolist() == [0, 0, 0, 1]
    assert (found.candidate[[0, 2]] != found.candidate[1]).any(axis=1).all()


def test_the_lexical_part_follows_the_embedding(backend: CountingBackend) -> None:
    lexicon = Lexicon.fit(["sea boat", "sea fish", "sea salt", "bread boat", "salt boat"], 2, 0)
    state = {name: value.numpy() for name, value in ItemHead(6).state_dict().items()}
    reader = TextReader(backend, lexicon, ItemTower.of(state), TextSettings(), "one")
    found = reader.encode(["sea boat"]).candidate[0]
    expected = np.concatenate([backend.embed(["sea boat"])[0], lexicon.embed(["sea boat"])[0]]) / np.sqrt(2)
    assert found == pytest.approx(expected, abs=1e-3)


def test_each_distinct_text_is_encoded_once(reader: TextReader, backend: CountingBackend) -> None:
    items = catalogue(a="sea", b="boat", c="sea")
    vectors = encode(reader, items)
    assert backend.asked == [["sea", "boat"]]
    assert vectors.item_ids.to_list() == ["a", "b", "c"]
    assert np.array_equal(vectors.candidate[0], vectors.candidate[2])
    assert vectors.encoder == "one"


def test_a_night_encodes_only_texts_that_were_never_seen(
    reader: TextReader, backend: CountingBackend, caplog: pytest.LogCaptureFixture
) -> None:
    before = catalogue(a="sea", b="boat", c="fish")
    vectors = encode(reader, before)
    backend.asked.clear()
    with caplog.at_level(logging.DEBUG, logger="recsys"):
        after = encode(reader, catalogue(new="sea", c="bread", b="boat", d="bread"), vectors)
    assert backend.asked == [["bread"]]
    assert "4 items, 1 of their texts are new" in caplog.text
    assert "bread" not in caplog.text
    expected = reader.encode(["sea", "bread", "boat", "bread"])
    for name in Encoded._fields:
        assert np.array_equal(getattr(after, name), getattr(expected, name))
    assert after.item_ids.to_list() == ["new", "c", "b", "d"]


def test_a_query_has_the_vector_of_a_click_on_its_text(reader: TextReader) -> None:
    other = replace(reader, tower=replace(reader.tower, history_map=-reader.tower.history_map))
    assert other.encode_query("boat").tolist() == other.encode(["sea", "boat"]).history[1].tolist()
    assert other.encode_query("boat").tolist() == (-other.encode(["boat"]).candidate[0]).tolist()


def test_tokens_that_the_weights_do_not_know_are_named(tiny_encoder: Path, reader: TextReader) -> None:
    encoder = Encoder.load(tiny_encoder)
    encoder.tokenizer.add_tokens(["boat" * 3])
    backend = Backend(4, lambda texts: encoder.tokenize(texts, 8), encoder.embed)
    with pytest.raises(
        ModelError, match=r"cannot read 1 texts \(IndexError: index out of range.*; copy the model folder"
    ):
        replace(reader, backend=backend).encode(["boat" * 3])


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = Encoder.load(tiny_encoder)
    tower = UserTower(np.zeros((4, 32)), *np.ones((3, 4)), np.ones(1))
    settings = TextSettings(backend="onnx", fields=("title",), max_tokens=12)
    folder = tmp_path_factory.mktemp("model")
    model = TextModel(encoder, ItemHead(32), tower, settings)
    model.vectors(pl.DataFrame({"item_id": ["a", "b"]}), ["sea boat", ""])
    model.save(folder)
    return folder


@pytest.mark.slow
def test_what_is_loaded_reads_as_what_was_saved(folder: Path) -> None:
    loaded = TextReader.load(folder)
    assert loaded.settings == load_settings(folder / "encoder")
    assert loaded.settings.backend == "onnx"
    assert loaded.identity == read_identity(folder / "encoder")
    assert len(loaded.identity) == 64
    model = TextModel.load(folder)
    one, other = loaded.encode(["sea boat", ""]), model.vectors(pl.DataFrame({"item_id": ["a", "b"]}), ["sea boat", ""])
    assert loaded.identity == other.encoder
    for name in Encoded._fields:
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_missing_and_damaged_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder is missing; .* is not a model folder"):
        TextReader.load(tmp_path)
    for name in (
        "text.json",
        "identity.json",
        "heads.safetensors",
        "lexicon.safetensors",
        "tokenizer.json",
        "onnx/model.onnx",
    ):
        copy = Path(shutil.copytree(folder, tmp_path / name.replace("/", "-")))
        (copy / "encoder" / name).write_text("[1")
        with pytest.raises(ModelError, match=r"(damaged|not a lexicon) \(.*copy the model folder again"):
            TextReader.load(copy)
        (copy / "encoder" / name).unlink()
        with pytest.raises(ModelError, match="copy the model folder again"):
            TextReader.load(copy)
    copy = Path(shutil.copytree(folder, tmp_path / "mixed"))
    Lexicon.fit(["sea boat"] * 3 + ["salt"] * 3, 1, 0).save(copy / "encoder" / "lexicon.safetensors")
    with pytest.raises(ModelError, match="gives embeddings of length 33 where its heads read 32; copy the model"):
        TextReader.load(copy)
    (copy / "encoder" / "identity.json").write_text(json.dumps({"md5": 1}))
    with pytest.raises(ModelError, match="identity.json is damaged"):
        read_identity(copy / "encoder")


def broken() -> TextReader:
    raise ModelError("there is no encoder")


def test_a_late_reader_loads_once_and_reads_long_lists_in_parts(reader: TextReader, backend: CountingBackend) -> None:
    loaded = []

    def load() -> TextReader:
        loaded.append(1)
        return reader

    late = LateReader(load, lambda: (NO_LEXICON, reader.tower))
    assert not loaded
    texts = [f"text {number}" for number in range(70)]
    found, expected = late.encode(texts), reader.encode(texts)
    for name in Encoded._fields:
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert [len(asked) for asked in backend.asked] == [32, 32, 6, 70]
    assert late.encode_query("boat").tolist() == reader.encode_query("boat").tolist()
    assert loaded == [1]


def test_a_late_reader_tries_again_to_load(reader: TextReader) -> None:
    there = [broken, lambda: reader]
    late = LateReader(lambda: there.pop(0)(), lambda: (NO_LEXICON, reader.tower))
    for _ in range(1):
        with pytest.raises(ModelError, match="there is no encoder"):
            late.encode(["sea"])
    assert np.array_equal(late.encode(["sea"]).candidate, reader.encode(["sea"]).candidate)


def test_without_an_encoder_letters_tell_which_texts_are_alike() -> None:
    texts = ["sea boat", "sea fish", "sea salt", "bread boat", "salt boat"]
    lexicon = Lexicon.fit(texts, 3, 0)
    heads = ItemHead(4 + lexicon.dimension)
    heads.center.data += 0.25
    tower = ItemTower.of({name: value.numpy() for name, value in heads.state_dict().items()})
    found, known = LateReader(broken, lambda: (lexicon, tower)).encode_lexically(["sea boat", "boat sea", "xyz", ""])
    assert known.tolist() == [True, True, False, False]
    assert np.array_equal(found.candidate[0], found.candidate[1])
    assert np.allclose(found.candidate[:, :4], 0)
    assert np.linalg.norm(found.candidate[0]) == pytest.approx(1, abs=1e-2)


@pytest.mark.slow
def test_the_lexical_part_is_read_from_the_folder(folder: Path, tmp_path: Path) -> None:
    lexicon, tower = load_lexical(folder / "encoder")
    assert lexicon.dimension + 32 == len(tower.center)
    with pytest.raises(ModelError, match="lexicon"):
        load_lexical(tmp_path)
