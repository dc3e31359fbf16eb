"""A small world in which users click on the words that they clicked on before."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from recsys.text.lists import Lists
from recsys.text.settings import TextSettings

TOPICS = ("sea boat fish sail", "code bug test type", "goal ball team cup", "bread salt oven dough")


class World(NamedTuple):
    texts: list[str]
    lists: Lists
    labels: np.ndarray


@pytest.fixture(scope="session")
def tiny_settings(tiny_encoder: Path) -> TextSettings:
    return TextSettings(
        encoder=str(tiny_encoder),
        max_tokens=12,
        lexicon=0,
        epochs=4,
        head_epochs=1,
        requests_per_step=40,
        steps_per_update=1,
        learning_rate=1e-3,
        head_learning_rate=1e-2,
    )


@pytest.fixture(scope="session")
def world() -> World:
    random = np.random.default_rng(5)
    topics = np.arange(40) % len(TOPICS)
    texts = [" ".join(random.choice(TOPICS[topic].split(), 5)) for topic in topics]
    users = random.integers(len(TOPICS), size=300)
    items = np.concatenate([random.choice(40, 6, replace=False) for _ in users]).astype(np.int32)
    liked = topics[items] == np.repeat(users, 6)
    history = np.stack([random.choice(np.flatnonzero(topics == user), 4) for user in users]).astype(np.int32)
    history[::7] = -1
    ages = random.uniform(0, 100, history.shape).astype(np.float32)
    return World(texts, Lists(np.arange(0, len(items) + 1, 6), items, history, ages), liked.astype(np.float32))
