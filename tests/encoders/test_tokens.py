from pathlib import Path

import numpy as np
import pytest

from recsys.encoders.encoder import Encoder
from recsys.encoders.tokens import Tokens, tokenize


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> Encoder:
    return Encoder.load(tiny_encoder)


def ids(tokens: Tokens, row: int) -> list[int]:
    return tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].tolist()


def test_tokens_are_the_tokenizers(encoder: Encoder) -> None:
    tokens = encoder.tokenize(["sea boat", "", "code"], 12)
    words = encoder.tokenizer.convert_ids_to_tokens
    assert [words(ids(tokens, row)) for row in range(3)] == [
        ["[CLS]", "sea", "boat", "[SEP]"],
        ["[CLS]", "[SEP]"],
        ["[CLS]", "code", "[SEP]"],
    ]
    assert tokens.lengths.tolist() == [4, 2, 3]


def test_long_texts_are_cut_special_tokens_included(encoder: Encoder) -> None:
    tokens = encoder.tokenize(["sea " * 500], 5)
    assert encoder.tokenizer.convert_ids_to_tokens(ids(tokens, 0)) == ["[CLS]", "sea", "sea", "sea", "[SEP]"]


def test_emoji_and_other_scripts_are_unknown_words(encoder: Encoder) -> None:
    words = encoder.tokenizer.convert_ids_to_tokens(ids(encoder.tokenize(["🎉 海"], 12), 0))
    assert set(words[1:-1]) == {"[UNK]"}


def test_half_a_surrogate_pair_is_a_question_mark(encoder: Encoder) -> None:
    tokens = encoder.tokenize(["sea \ud83d boat", "sea ? boat", "\udc00"], 12)
    assert ids(tokens, 0) == ids(tokens, 1)
    assert len(ids(tokens, 2)) == 3


def test_control_characters_are_no_words(encoder: Encoder) -> None:
    tokens = encoder.tokenize(["\x00sea\x1b \x7fboat\u200b", "sea boat"], 12)
    assert ids(tokens, 0) == ids(tokens, 1)


@pytest.mark.slow
def test_a_text_of_a_megabyte_is_cut(encoder: Encoder) -> None:
    assert encoder.tokenize(["sea " * 250_000, "x" * 1_000_000], 8).lengths.tolist() == [8, 3]


def test_no_texts_give_no_tokens(encoder: Encoder) -> None:
    assert len(encoder.tokenize([], 5)) == 0


def test_texts_without_any_token_become_padding() -> None:
    class Bare:
        pad_token_id = 7

        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [[] for _ in texts]}

    assert tokenize(Bare(), ["", ""], 5).ids.tolist() == [7, 7]


def test_batch_pads_at_the_end() -> None:
    tokens = Tokens(np.array([0, 2, 3]), np.array([5, 6, 8]), padding=0)
    batch, real = tokens.batch(np.array([1, 0]))
    assert batch.tolist() == [[8, 0], [5, 6]]
    assert real.tolist() == [[True, False], [True, True]]


def test_batches_hold_every_row_once_and_keep_to_the_size() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 200)
    tokens = Tokens(np.concatenate([[0], np.cumsum(lengths)]), np.zeros(lengths.sum(), np.int64), 0)
    rows = np.arange(0, 200, 2)
    batches = list(tokens.batches(rows, 100))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(rows)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[rows[batch]].max() <= 100
    padded = sum(len(batch) * lengths[rows[batch]].max() for batch in batches)
    assert padded < 1.2 * lengths[rows].sum()


def test_a_text_longer_than_a_batch_has_one_of_its_own() -> None:
    tokens = Tokens(np.array([0, 50, 100]), np.zeros(100, np.int64), 0)
    assert [batch.tolist() for batch in tokens.batches(np.arange(2), 10)] == [[0], [1]]
