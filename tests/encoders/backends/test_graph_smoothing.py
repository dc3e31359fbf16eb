import copy

import numpy as np
import pytest
import torch

from recsys.encoders.backends.graph import smooth
from recsys.encoders.backends.onnx import FILE, export_onnx, open_onnx
from recsys.encoders.backends.tokenizer import TextTokenizer
from recsys.encoders.encoder import Encoder


@pytest.fixture
def uneven(encoder: Encoder) -> Encoder:
    """An encoder with inputs of one feed-forward layer that are a hundred times larger than the rest."""
    made = copy.deepcopy(encoder)
    layer = made.network.encoder.layer[1]
    with torch.no_grad():
        layer.intermediate.dense.weight[:3] *= 100
        layer.output.dense.weight[:, :3] /= 100
    return made


def test_a_smoothed_encoder_gives_the_same(uneven: Encoder, texts: list[str]) -> None:
    tokens = uneven.tokenize(texts, 12)
    before = uneven.embed(tokens)
    smoothed = smooth(uneven, texts, 12)
    assert np.abs(smoothed.embed(tokens) - before).max() < 1e-5
    assert np.array_equal(uneven.embed(tokens), before)  # and the encoder is left as it is


def test_large_inputs_become_smaller(uneven: Encoder, texts: list[str]) -> None:
    def unevenness(encoder: Encoder) -> float:
        seen: list[torch.Tensor] = []
        layer = encoder.network.encoder.layer[1].output.dense
        layer = getattr(layer, "layer", layer)
        layer.register_forward_hook(lambda _, given, __: seen.append(given[0].abs().flatten(0, -2)))
        encoder.embed(encoder.tokenize(texts, 12))
        largest = torch.cat(seen).amax(dim=0)
        return float(largest.max() / largest.median())

    assert unevenness(smooth(uneven, texts, 12)) < unevenness(copy.deepcopy(uneven)) / 5


@pytest.mark.slow
def test_smoothing_brings_8_bits_nearer_to_the_encoder(uneven: Encoder, texts: list[str]) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
    pytest.importorskip("onnx", reason="ONNX is an extra")
    tokenizer = TextTokenizer.of(uneven.tokenizer, 12)
    exact = uneven.embed(uneven.tokenize(texts, 12))

    def distance(read: list[str]) -> float:
        backend = open_onnx(export_onnx(uneven, read, 12)[FILE], tokenizer)
        return float(1 - (backend.embed(texts) * exact).sum(axis=1).mean())

    assert distance(texts) < distance([]) / 2


def test_without_texts_nothing_changes(encoder: Encoder) -> None:
    assert smooth(encoder, [], 12) is encoder
