from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from recsys.errors import SettingsError
from recsys.validation import validate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: int = Field(default=1, ge=1)
    words: tuple[str, ...] = ()

    @field_validator("words")
    @classmethod
    def _check(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if "bad" in words:
            raise ValueError("bad is not a good word")
        return words


@dataclass(config=ConfigDict(extra="forbid"))
class Tree:
    height: int
    kind: Literal["tree"] = "tree"


@dataclass(config=ConfigDict(extra="forbid"))
class Bush:
    width: int
    kind: Literal["bush"] = "bush"


class Middle(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner = Inner()


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    middle: Middle = Middle()
    grades: dict[str, int] = {}
    plants: tuple[Annotated[Tree | Bush, Field(discriminator="kind")], ...] = ()


def test_right_content_becomes_settings():
    assert validate(Outer, {"middle": {"inner": {"depth": 3}}}, "a.toml").middle.inner.depth == 3
    assert validate(Outer, {}, "a.toml") == Outer()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"midle": 1}, "a.toml: midle is not known; did you mean middle? Known are middle, grades, plants"),
        ({"middle": {"iner": {}}}, "a.toml: middle.iner is not known; did you mean inner? Known are inner"),
        (
            {"middle": {"inner": {"words_": 1}}},
            "a.toml: middle.inner.words_ is not known; did you mean words? Known are depth, words",
        ),
        (
            {"middle": {"inner": {"depth": 0}}},
            "a.toml: middle.inner.depth = 0 does not fit: Input should be greater than or equal to 1",
        ),
        (
            {"middle": {"inner": {"words": ["bad"]}}},
            "a.toml: middle.inner.words = ['bad'] does not fit: bad is not a good word",
        ),
        (
            {"middle": {"inner": {"words": ["a", 1]}}},
            "a.toml: middle.inner.words.1 = 1 does not fit: Input should be a valid string",
        ),
        (
            {"grades": {"click": "x"}},
            "a.toml: grades.click = 'x' does not fit: Input should be a valid integer, "
            "unable to parse string as an integer",
        ),
        (
            {"middle": {"inner": {"words": {"a": 1}}}},
            'a.toml: middle.inner.words does not fit: write a list, such as ["one", "other"]',
        ),
        (
            {"middle": {"inner": {"words": "one"}}},
            """a.toml: middle.inner.words = 'one' does not fit: write a list, such as ["one", "other"]""",
        ),
        ({"grades": "click"}, "a.toml: grades = 'click' does not fit: write a table, such as { name = value }"),
        ({"middle": 3}, "a.toml: middle = 3 does not fit: write a table, such as { name = value }"),
        ({"plants": [{"kind": "bush"}]}, "a.toml: plants.0.bush.width is missing"),
        ({"plants": [{"width": 1}]}, "a.toml: plants.0.kind is missing"),
        (
            {"plants": [{"kind": "bushes", "width": 1}]},
            "a.toml: plants.0.kind = 'bushes' does not fit: Input should be 'tree', 'bush'; did you mean 'bush'?",
        ),
        (
            {"plants": [{"kind": "oak", "width": 1}]},
            "a.toml: plants.0.kind = 'oak' does not fit: Input should be 'tree', 'bush'",
        ),
        (
            {"plants": [{"kind": "bush", "width": 1, "widht": 1}]},
            "a.toml: plants.0.bush.widht is unknown; did you mean width?",
        ),
        (
            {"plants": [{"kind": "bush", "width": 1, "zzz": 1}]},
            "a.toml: plants.0.bush.zzz is unknown; known are width, kind",
        ),
    ],
)
def test_each_fault_is_one_line(content, line):
    with pytest.raises(SettingsError) as fault:
        validate(Outer, content, "a.toml")
    assert str(fault.value) == line


def test_a_name_is_offered_even_where_none_is_near():
    with pytest.raises(
        SettingsError, match=r"inner\.zzz is not known; did you mean (depth|words)\? Known are depth, words"
    ):
        validate(Outer, {"middle": {"inner": {"zzz": 1}}}, "a.toml")


def test_all_faults_are_named_at_once():
    with pytest.raises(SettingsError) as fault:
        validate(Outer, {"midle": 1, "middle": {"inner": {"depth": 0, "word": 1}}}, "a.toml")
    lines = str(fault.value).split("\n")
    assert len(lines) == 3
    assert all(line.startswith("a.toml: ") for line in lines)
