from pathlib import Path

import numpy as np
import pytest

from recsys.encoders.backends.graph import to_onnx
from recsys.encoders.encoder import Encoder
from recsys.errors import ModelError

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_the_graph_holds_pooling_and_normalisation(tiny_encoder: Path, pooling: str) -> None:
    encoder = Encoder.load(tiny_encoder, pooling)
    if encoder.query is not None:
        encoder.query.data += 1
    session = onnxruntime.InferenceSession(to_onnx(encoder), providers=["CPUExecutionProvider"])
    for text in ("", "sea", "sea boat fish sail code bug test type"):
        tokens = encoder.tokenize([text], 12)
        found = session.run(None, {"ids": tokens.ids[None]})[0]
        assert np.allclose(found, encoder.embed(tokens), atol=1e-5)


def test_a_single_token_can_be_read(encoder: Encoder) -> None:
    session = onnxruntime.InferenceSession(to_onnx(encoder), providers=["CPUExecutionProvider"])
    assert np.isfinite(session.run(None, {"ids": np.array([[5]])})[0]).all()


def test_an_encoder_that_cannot_be_traced_is_refused(tiny_encoder: Path) -> None:
    encoder = Encoder.load(tiny_encoder)
    encoder.network.embeddings = None
    with pytest.raises(ModelError, match=r"BertModel cannot be exported to ONNX \(.*set \[text\] backend = 'torch'"):
        to_onnx(encoder)
