import numpy as np
import torch

from recsys.encoders.backends.torch import TorchBackend
from recsys.encoders.encoder import Encoder


def test_half_precision_leaves_the_encoder_as_it_is(encoder: Encoder, texts: list[str]) -> None:
    whole = TorchBackend(encoder, 12, half=False).embed(texts)
    half = TorchBackend(encoder, 12, half=True).embed(texts)
    assert {each.dtype for each in encoder.state_dict().values() if each.is_floating_point()} == {torch.float32}
    assert not np.array_equal(whole, half)
    assert np.array_equal(whole, TorchBackend(encoder, 12, half=False).embed(texts))


def test_longer_texts_are_cut(encoder: Encoder) -> None:
    backend = TorchBackend(encoder, 4, half=False)
    short, long, other = backend.embed(["sea boat", "sea boat fish", "sea fish boat"])
    assert np.allclose(short, long, atol=1e-6)
    assert not np.allclose(short, other, atol=1e-3)
