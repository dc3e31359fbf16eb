"""Pages that the code itself tells are what it tells today."""

import runpy
from pathlib import Path

import pytest

from recsys.settings import Settings
from recsys.verbs import APP

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    return {name: generate[name]() for name in ("commands", "settings")}


@pytest.mark.parametrize("page", ["commands", "settings"])
def test_a_page_is_what_the_code_says(made, page) -> None:
    assert (DOCS / f"{page}.md").read_text(encoding="utf-8") == made[page], "run `python docs/generate.py`"


def test_every_verb_and_every_setting_has_its_place(made) -> None:
    for verb in (name for name in APP if not name.startswith("-")):
        assert f"## `recsys {verb}`\n\n```text\nUsage: recsys {verb} " in made["commands"]
    for section, content in Settings().model_dump().items():
        for name in content if isinstance(content, dict) else [section]:
            assert f"| `{name}` | " in made["settings"]


def test_types_bounds_and_defaults_are_those_of_the_classes(made) -> None:
    rows = made["settings"].splitlines()
    assert any(row.startswith('| `freshness` | `"live"` or `"1d"` or `"nightly"` | `"live"` | ') for row in rows)
    assert any(row.startswith("| `feature_fraction` | number; above 0; at most 1 | `0.5` | Share of") for row in rows)
    assert any(row.startswith('| `windows` | list of duration | `["1h", "6h", "1d"]` | How far back') for row in rows)
    assert any(row.startswith("| `max_tokens` | whole number; at least 4; at most 512 | `64` | ") for row in rows)
