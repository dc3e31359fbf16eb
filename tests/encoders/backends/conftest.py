"""A tiny encoder behind every backend, made once and saved once."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from recsys.encoders.backends.backend import Backend
from recsys.encoders.backends.choice import load_backend
from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings
from recsys.learning.heads import ItemHead
from recsys.learning.text_model import TextModel
from recsys.vectors.user_tower import UserTower

NAMES = ("torch", "bf16", "onnx", "openvino", "static")

WORDS = "sea boat fish sail code bug test type goal ball team cup bread salt oven dough".split()  # noqa: SIM905


class Saved(NamedTuple):
    folder: Path
    """The encoder's folder of a model."""
    settings: TextSettings
    model: TextModel


@pytest.fixture(scope="session")
def texts() -> list[str]:
    random = np.random.default_rng(2)
    return [" ".join(random.choice(WORDS, random.integers(1, 9))) for _ in range(60)]


@pytest.fixture(scope="session")
def encoder(tiny_encoder: Path) -> Encoder:
    return Encoder.load(tiny_encoder)


@pytest.fixture(scope="session")
def saved(encoder: Encoder, texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Saved]:
    """Give the folder of a model with a backend."""
    done: dict[str, Saved] = {}
    heads = ItemHead(encoder.dimension)
    tower = UserTower(np.zeros((4, 32)), *np.ones((3, 4)), np.ones(1))

    def save(name: str) -> Saved:
        if name == "openvino":
            pytest.importorskip("openvino", reason="OpenVINO is an extra")
        if name not in done:
            settings = TextSettings(backend=name, max_tokens=12)
            model = TextModel(encoder, heads, tower, settings)
            model._make(texts)
            folder = tmp_path_factory.mktemp(name)
            model.save(folder)
            done[name] = Saved(folder / "encoder", settings, model)
        return done[name]

    return save


@pytest.fixture(scope="session", params=NAMES)
def each(saved: Callable[[str], Saved], request: pytest.FixtureRequest) -> Saved:
    return saved(request.param)


@pytest.fixture(scope="session")
def backend(each: Saved) -> Backend:
    return load_backend(each.folder, each.settings)
