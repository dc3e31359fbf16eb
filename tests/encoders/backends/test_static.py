import numpy as np
import pytest
from safetensors.numpy import load

from recsys.encoders.backends.static import TABLE, distil, open_static
from recsys.encoders.backends.tokenizer import TextTokenizer
from recsys.encoders.encoder import Encoder
from recsys.errors import ModelError


@pytest.fixture(scope="module")
def tokenizer(encoder: Encoder) -> TextTokenizer:
    return TextTokenizer.of(encoder.tokenizer, 12)


def test_a_text_is_the_mean_of_its_tokens(encoder: Encoder, tokenizer: TextTokenizer, texts: list[str]) -> None:
    files = distil(encoder, texts, tokenizer)
    table = load(files[TABLE])["table"].astype(np.float64)
    many = texts * 1 + [f"{one} {two}" for one in texts for two in texts[:8]]  # more than one block
    found = open_static(files[TABLE], tokenizer).embed(many)
    for text, embedding in zip(many, found, strict=True):
        mean = table[tokenizer([text]).ids].mean(axis=0)
        assert embedding == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_the_fit_solves_its_ridge_regression(encoder: Encoder, tokenizer: TextTokenizer, texts: list[str]) -> None:
    """The dual answer equals the primal one, over weights of tokens and of the encoder's own token vectors."""
    tokens = tokenizer(list(dict.fromkeys(texts)))
    target = encoder.embed(tokens).astype(np.float64)
    own = encoder.network.get_input_embeddings().weight.detach().double().numpy()
    own = own - own.mean(axis=0)
    shares = np.zeros((len(tokens), len(own)))
    for row in range(len(tokens)):
        ids = tokens.ids[tokens.starts[row] : tokens.starts[row + 1]]
        np.add.at(shares[row], ids, 1 / len(ids))
    parts = [shares, shares @ own]
    scales = [np.sqrt(len(tokens) / (part**2).sum()) for part in parts]
    x = np.hstack([scale * part for scale, part in zip(scales, parts, strict=True)])
    weights = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ (target - target.mean(axis=0)))
    expected = target.mean(axis=0) + np.hstack([scales[0] * np.eye(len(own)), scales[1] * own]) @ weights
    table = load(distil(encoder, texts, tokenizer)[TABLE])["table"]
    assert table == pytest.approx(expected, abs=2e-3)


def test_the_fit_is_nearer_to_the_encoder_than_its_token_embeddings(
    encoder: Encoder, tokenizer: TextTokenizer, texts: list[str]
) -> None:
    known, new = texts[:45], texts[45:]
    exact = encoder.embed(encoder.tokenize(new, 12))
    fitted = open_static(distil(encoder, known, tokenizer)[TABLE], tokenizer).embed(new)
    untrained = encoder.embed(encoder.tokenize([" ".join(sorted(text.split())[:1]) for text in new], 12))
    assert (fitted * exact).sum(axis=1).mean() > (untrained * exact).sum(axis=1).mean() + 0.02


def test_many_texts_are_thinned_out(
    encoder: Encoder, tokenizer: TextTokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.encoders.backends.static._MOST_TEXTS", 3)
    different = list(dict.fromkeys(texts))
    thinned = [different[0], different[round((len(different) - 1) / 2)], different[-1]]
    assert distil(encoder, texts, tokenizer) == distil(encoder, thinned, tokenizer)


def test_nothing_to_fit_to_is_refused(encoder: Encoder, tokenizer: TextTokenizer) -> None:
    with pytest.raises(ModelError, match="'static' is fitted to the catalogue; encode items with texts before saving"):
        distil(encoder, ["", ""], tokenizer)
