"""What README and docs say is run as it stands, block after block, in a folder that holds the files that they name."""

import ast
import importlib.util
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import tomlkit

from recsys.cli import main
from recsys.jobs.score import score
from recsys.model.folder import Model
from recsys.settings import Settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
QUICK = ["--set", "text.epochs=0", "--set", "text.lexicon=0", "--set", "ranker.rounds=10"]
"""What a test adds to the training of a project whose settings were guessed: nobody waits for its figures."""


def generated() -> dict[str, Callable[[], str]]:
    """The pages that the code tells, and what writes each."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of every code block of a page."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The words of every command of a block."""
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.strip()]


def write_settings(path: Path, settings: Settings, **sections: dict) -> None:
    path.write_text(tomlkit.dumps(settings.model_dump(mode="json", exclude_none=True) | sections))


@pytest.fixture(scope="session")
def shelf(line, tmp_path_factory) -> Path:
    """Everything that the pages name: a shop's exports, a data folder, models, candidates, rankings of another system."""
    shelf = tmp_path_factory.mktemp("shelf")
    shutil.copytree(line.data, shelf / "data")
    shutil.copytree(line.data, shelf / "more")
    shutil.copytree(line.model, shelf / "model")
    (shelf / "build/demo").mkdir(parents=True)
    shutil.copytree(line.data, shelf / "build/demo/data")
    shutil.copytree(line.model, shelf / "build/demo/model")
    write_settings(shelf / "settings.toml", line.settings)
    test = Model.load(line.model).windows.of(line.dataset.requests, "test")
    moments = test["timestamp"].unique().sort()
    cuts = [moments[int(share * (len(moments) - 1))].isoformat() for share in (0, 0.4, 0.7, 1)] + [
        "2026-01-01T00:00:00"
    ]
    write_settings(shelf / "later.toml", line.settings, windows={"cuts": cuts})
    line.candidates().write_parquet(shelf / "tonight.parquet")
    people = line.dataset.requests["user_id"].unique().sort().head(5)
    pl.DataFrame({"user_id": people, "device": ["mobile"] * len(people)}).write_parquet(shelf / "users.parquet")
    later = line.dataset.events.tail(20).with_columns(pl.col("timestamp") + pl.duration(days=1))
    later.drop("known_at", strict=False).write_parquet(shelf / "happened.parquet")
    published = line.dataset.items.head(3).with_columns(pl.col("item_id") + 1_000_000)
    published.write_parquet(shelf / "published.parquet")
    run = test.with_columns(place=pl.int_range(1, pl.len() + 1).over("request_id"))
    rows = run.select("request_id", "item_id", "place").iter_rows()
    (shelf / "old.run").write_text(
        "".join(f"{request} Q0 {item} {place} {-place} old\n" for request, item, place in rows)
    )
    score(line.model, line.dataset, test.drop("label"), shelf / "scored")
    clicks = line.dataset.requests.filter(pl.col("label") > 0).head(400)
    orders = clicks.select(order="request_id", customer="user_id", product="item_id", bought_at="timestamp")
    products = line.dataset.items.select("title", "description", "category", product="item_id")
    for folder in (shelf, shelf / "my_files"):
        folder.mkdir(exist_ok=True)
        orders.with_columns(pl.col("bought_at").dt.to_string("%F %T")).write_csv(folder / "orders.csv")
        products.write_csv(folder / "products.csv")
    assert main(["init", str(shelf / "my_files"), "--out", str(shelf / "guessed")]) == 0
    shutil.copy(shelf / "guessed/mapping.toml", shelf / "mapping.toml")
    shutil.rmtree(shelf / "guessed")
    return shelf


def quicken(path: Path, tiny_encoder: Path) -> None:
    content = tomlkit.parse(path.read_text())
    content["text"] |= {"epochs": 0, "lexicon": 0, "encoder": str(tiny_encoder)}
    content["ranker"] |= {"rounds": 10}
    path.write_text(tomlkit.dumps(content))


def run_command(words: list[str], tiny_encoder: Path) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), words
        return
    assert words[0] == "recsys"
    guessed = words[1] == "train" and any(word.startswith("project") for word in words)
    if words[1] == "nightly" and "--plan" not in words:
        quicken(Path(words[3]).parent / "settings.toml", tiny_encoder)
    given = [*words[1:], *QUICK, "--set", f'text.encoder="{tiny_encoder}"'] if guessed else words[1:]
    assert main(given) == 0, words


@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks(page))], ids=lambda page: page.name)
def test_every_block_of_a_page_runs(
    page: Path, shelf: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, text in blocks(page):
        match language:
            case "sh":
                for words in commands(text):
                    run_command(words, tiny_encoder)
            case "python":
                exec(compile(text, page.name, "exec"), names)
            case "toml":
                assert Settings.model_validate(tomllib.loads(text))
            case _:
                assert language == "text", f"{page.name} holds a block of {language}, which nothing runs"


def test_the_readme_opens_with_two_commands_and_stays_short() -> None:
    assert next(blocks(README)) == ("sh", "make demo\nmake test\n")
    assert len(README.read_bytes()) <= 9_000
    assert (
        len([each for each in next(text for kind, text in blocks(README) if kind == "python").splitlines() if each])
        == 5
    )


def test_what_the_pages_import_is_exported() -> None:
    packages = {
        "recsys",
        "recsys.evaluation",
        "recsys.experiment",
        "recsys.features",
        "recsys.offpolicy",
        "recsys.world",
    }
    notebooks = "\n".join(path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb"))
    used = set(re.findall(r"from (recsys[\w.]*) import", notebooks))
    for page in [*PAGES, ROOT / "data/README.md"]:
        for language, text in blocks(page):
            if language == "python":
                used |= {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert {name for name in used if name.startswith("recsys")} <= packages


def test_the_settings_file_of_the_pages_holds_every_section_and_the_defaults() -> None:
    content = next(tomllib.loads(text) for kind, text in blocks(ROOT / "docs/training.md") if kind == "toml")
    settings = Settings.model_validate(content)
    assert set(content) == set(Settings.model_fields)
    assert settings.time == Settings().time
    assert settings.text == Settings().text
    assert settings.labels == Settings().labels


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_make_targets_that_are_named_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"`make (\w+)`", page.read_text()):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_pages_that_the_code_tells_are_as_the_code_tells_them() -> None:
    for name, page in generated().items():
        assert (ROOT / "docs" / name).read_text() == page(), f"python docs/generate.py writes {name} anew"
