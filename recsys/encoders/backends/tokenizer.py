"""Texts into the tokens that the encoder was trained on, by the library `tokenizers` alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from recsys.encoders.tokens import Tokens, pack, plain
from recsys.errors import ModelError, first_line
from recsys.files import read_json


class TextTokenizer:
    """Gives the same tokens as `recsys.encoders.tokens.tokenize`, without transformers.

    Parameters
    ----------
    tokenizer
        As in tokenizer.json; its own padding and truncation are replaced.
    padding
        Number of the padding token.
    max_tokens
        Most tokens per text, special tokens included.
    side
        Which end of a longer text is cut off, `"right"` or `"left"`.
    """

    def __init__(self, tokenizer: Tokenizer, padding: int, max_tokens: int, side: str) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens, direction=side)
        self._tokenizer = tokenizer
        self._padding = padding

    @classmethod
    def of(cls, tokenizer: Any, max_tokens: int) -> "TextTokenizer":
        """Copy a tokenizer of transformers.

        Raises
        ------
        ModelError
            When it is written in Python, so that there is no tokenizer.json.
        """
        inner = getattr(tokenizer, "backend_tokenizer", None)
        if inner is None:
            raise ModelError(
                f"{type(tokenizer).__name__} has no tokenizer.json, which reading without transformers needs; "
                "set [text] backend = 'torch' or 'bf16'"
            )
        copy = Tokenizer.from_str(inner.to_str())
        return cls(copy, int(tokenizer.pad_token_id), max_tokens, tokenizer.truncation_side)

    @classmethod
    def load(cls, folder: Path, max_tokens: int) -> "TextTokenizer":
        """Read tokenizer.json and tokenizer_config.json.

        Raises
        ------
        ModelError
            When a file is missing or damaged.
        """
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if not (folder / name).is_file():
                raise ModelError(
                    f"{folder / name} is missing, which reading without transformers needs; copy the model folder "
                    "again, or train with [text] backend = 'torch'"
                )
        config = read_json(folder / "tokenizer_config.json", "copy the model folder again")
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            token = config["pad_token"]
            padding = tokenizer.token_to_id(token["content"] if isinstance(token, dict) else token)
            if padding is None:
                raise ValueError(f"the padding token {token!r} has no number")
            return cls(tokenizer, padding, max_tokens, config.get("truncation_side", "right"))
        except Exception as error:  # tokenizers raises plain exceptions
            raise ModelError(
                f"the tokenizer in {folder} is damaged ({first_line(error)}); copy the model folder again"
            ) from error

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Turn texts into tokens."""
        return pack([found.ids for found in self._tokenizer.encode_batch_fast(plain(texts))], self._padding)
