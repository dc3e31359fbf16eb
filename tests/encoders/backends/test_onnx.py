import logging

import pytest

from recsys.encoders.backends.onnx import FILE, export_onnx
from recsys.encoders.encoder import Encoder

onnx = pytest.importorskip("onnx")


def test_linear_layers_have_8_bits_and_a_scale_for_each_output(encoder: Encoder, texts: list[str]) -> None:
    graph = onnx.load_from_string(export_onnx(encoder, texts, 12)[FILE]).graph
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 3 * 6  # four in attention and two after it, in each of three layers
    stored = {each.name: each for each in graph.initializer}
    for node in products:
        weights = stored[node.input[1]]
        assert weights.data_type == onnx.TensorProto.INT8
        zero = stored[node.input[3]]
        assert list(zero.dims) == [weights.dims[1]]


def test_an_export_says_nothing_of_every_node(
    encoder: Encoder, texts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    with caplog.at_level(logging.INFO):
        export_onnx(encoder, texts, 12)
        assert root.level == logging.INFO
    assert caplog.records == []
