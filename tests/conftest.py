"""A small world and a model trained on it, made once per test process; every library keeps to one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when LightGBM and torch are loaded; two test processes share two cores

from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import settings

from recsys.data.tables import Dataset
from recsys.world import World, WorldSettings, make_world

# Imported by the fixtures that train: torch takes seconds, which processes that train nothing need not wait for.
if TYPE_CHECKING:
    from recsys.jobs.judging import Judgement
    from recsys.settings import Settings

pytest_plugins = [
    "tests.fixtures.behaviour",
    "tests.fixtures.clusters",
    "tests.fixtures.commands",
    "tests.fixtures.shops",
    "tests.fixtures.texts",
]

# The same examples each time: a test that fails tells of a change. `make prove` looks at others each time.
settings.register_profile("same", deadline=None, derandomize=True)  # a busy machine is no fault of an example
settings.register_profile("quick", settings.get_profile("same"), max_examples=10)  # what `make quick` asks for
settings.register_profile("prove", deadline=None, print_blob=True)  # what `make prove` asks for: tests/fuzz/fuzzing.py
settings.load_profile("same")


TRAINED = {"line", "asking", "made_shop"}
"""Fixtures that train a model; what needs one is no quick test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what needs a trained model; other slow modules say so themselves."""
    for item in items:
        if TRAINED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True, repr=False)
class Line:
    """The whole line on a small world: tables, truth, settings, model folder and its judgement."""

    world: World
    data: Path
    settings: "Settings"
    model: Path
    judgement: "Judgement"

    def __repr__(self) -> str:
        """Name the folder: whoever prints the arguments of a test, as hypothesis does, has no use for whole tables."""
        return f"Line({self.model})"

    @property
    def dataset(self) -> Dataset:
        return self.world.dataset

    def candidates(self, requests: int = 40) -> pl.DataFrame:
        """Candidates of the last requests, as a caller would pass them."""
        table = self.dataset.requests.drop("label", "position", "propensity")
        last = table.unique("request_id", keep="first", maintain_order=True).tail(requests)["request_id"]
        return table.filter(pl.col("request_id").is_in(last.implode()))


def write_encoder(folder: Path) -> Path:
    """Write a random three-layer BERT that knows a few words and every letter."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = "sea boat fish sail code bug test type goal ball team cup bread salt oven dough".split()  # noqa: SIM905
    letters = [prefix + letter for letter in "abcdefghijklmnopqrstuvwxyz" for prefix in ("", "##")]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.2, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="session")
def small_settings(tiny_encoder: Path) -> "Settings":
    from recsys.settings import Settings

    return Settings.model_validate(
        {
            "windows": {"fractions": [0.3, 0.35, 0.15, 0.2]},
            "text": {
                "encoder": str(tiny_encoder),
                "max_tokens": 24,
                "epochs": 1,
                "head_epochs": 1,
                "tune": "never",
                "next_click": 0.0,
                "lexicon": 16,
                "requests_per_step": 64,
                "steps_per_update": 2,
            },
            "features": {
                "windows": ["6h", "1d"],
                "affinity": ["category"],
                "events": ["view"],
                "context": ["device"],
                "declarations": [
                    {"kind": "count", "of": "view", "per": ["user", "item"], "window": "1d"},
                    {"kind": "share", "per": ["user", "item"], "within": ["item"]},
                ],
            },
            "ranker": {"rounds": 30, "rows_per_leaf": 20, "patience": 10, "position_bias": "none"},
        }
    )


@pytest.fixture(scope="session")
def small_world() -> World:
    return make_world(WorldSettings(seed=3, items=200, users=60, days=5, history_days=3, requests=700))


@pytest.fixture(scope="session")
def line(small_world: World, small_settings: "Settings", tmp_path_factory: pytest.TempPathFactory) -> Line:
    from recsys.jobs.train import train

    folder = tmp_path_factory.mktemp("line")
    small_world.dataset.write(folder / "data")
    judgement = train(small_world.dataset, small_settings, folder / "model")
    return Line(small_world, folder / "data", small_settings, folder / "model", judgement)


@pytest.fixture(scope="session")
def asking(small_world: World, small_settings: "Settings", tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Train on the same world where three requests of four ask with the title of what is clicked."""
    from recsys.jobs.train import train

    dataset, folder = small_world.dataset, tmp_path_factory.mktemp("asking")
    clicked = dataset.requests.filter(pl.col("label") > 0, pl.col("request_id").cast(pl.Int64) % 4 > 0)
    titles = clicked.join(dataset.items, on="item_id").group_by("request_id").agg(asked=pl.col("title").first())
    requests = dataset.requests.join(titles, on="request_id", how="left", maintain_order="left")
    world = replace(small_world, dataset=replace(dataset, requests=requests))
    world.dataset.write(folder / "data")
    reading = {"query": "asked", "fields": ("title",), "epochs": 3, "head_epochs": 3}
    pace = {"requests_per_step": 8, "head_learning_rate": 2e-2}
    text = small_settings.text.model_copy(update=reading | pace)
    settings = small_settings.model_copy(update={"text": text})
    judgement = train(world.dataset, settings, folder / "model")
    return Line(world, folder / "data", settings, folder / "model", judgement)


@pytest.fixture
def model_copy(line: Line, tmp_path: Path) -> Callable[[], Path]:
    """Copy the model folder, to be damaged."""
    import shutil

    def copy() -> Path:
        return Path(shutil.copytree(line.model, tmp_path / "model"))

    return copy


EMPTY_ELEMENTS = {"meta", "line", "circle", "path", "rect", "polyline"}


class Page(HTMLParser):
    """Checks that elements nest, and keeps their attributes and their text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def read_page():
    """Parse a page; `.text` is what people read, `.all(tag)` the attributes of its elements."""
    return Page
