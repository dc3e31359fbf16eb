import subprocess
import sys

import pytest
from pydantic import ValidationError

from recsys.encoders.settings import TextSettings


def test_refuses_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="epoch\n"):
        TextSettings.model_validate({"epoch": 3})


@pytest.mark.parametrize(
    "wrong",
    [
        {"held_out": -0.1},
        {"held_out": 1},
        {"epochs": -1},
        {"fields": ()},
        {"precision": "64"},
        {"lexicon": -1},
        {"block": "soon"},
        {"layer_decay": 0},
        {"warm_up": 1},
        {"loss": "l2"},
        {"max_tokens": 3},
        {"dimension": 2**31 - 1},
        {"devices": 65},
        {"learning_rate": 1e300},
        {"head_learning_rate": 1.5},
        {"weight_decay": 1e300},
    ],
)
def test_refuses_values_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TextSettings.model_validate(wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"weigh": "view", "history": ("like",)},
            "weigh names 'view', which users do not read; write 'click', or name it in",
        ),
        (
            {"held_out": 0},
            'tune = "auto" compares on held-out requests at first, and held_out is 0; write tune = "always"',
        ),
        ({"tune": "always", "trainable_layers": 0}, 'tune = "always" and nothing of the encoder may learn'),
        ({"tune": "sometimes"}, "Input should be 'auto', 'always' or 'never'"),
    ],
)
def test_refuses_a_decision_that_cannot_be_made(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TextSettings.model_validate(wrong)


def test_what_is_not_learnt_or_compared_needs_nothing_for_it() -> None:
    for right in (
        {"held_out": 0, "epochs": 0},
        {"held_out": 0, "tune": "never"},
        {"tune": "never", "trainable_layers": 0},
    ):
        TextSettings.model_validate(right)


def test_survives_json() -> None:
    settings = TextSettings(fields=("title",), epochs=0)
    assert TextSettings.model_validate_json(settings.model_dump_json()) == settings


def test_every_field_is_documented() -> None:
    for name in TextSettings.model_fields:
        assert f"\n    {name}\n" in (TextSettings.__doc__ or "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "modules",
    ["vectors.reader, recsys.vectors.item_tower", "encoders.text_reader", "encoders.backends.onnx", "learning"],
)
def test_what_serving_imports_loads_no_torch(modules: str) -> None:
    heavy = "{'torch', 'transformers', 'pytorch_lightning'}"
    code = f"import sys, recsys.{modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
