"""The encoder in OpenVINO with 8-bit weights and activations; needs no torch."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.compiled import thread_count
from recsys.encoders.backends.backend import Backend, need_backend, one_by_one
from recsys.encoders.backends.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder

GRAPH = "openvino/model.xml"
WEIGHTS = "openvino/model.bin"

_GROUP = 128
"""Neighbouring activations that share a scale."""


def open_openvino(graph: bytes, weights: bytes, tokenizer: TextTokenizer) -> Backend:
    """Run each text by itself, several at a time.

    Parameters
    ----------
    graph, weights
        What `export_openvino` wrote.
    tokenizer
        The encoder's.
    """
    openvino = import_openvino()
    core = openvino.Core()
    # Full precision outside the linear layers, so that every processor gives nearly the same.
    config = {
        "INFERENCE_NUM_THREADS": thread_count(),
        "NUM_STREAMS": thread_count(),
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
    }
    graph_and_weights = core.read_model(graph, openvino.Tensor(np.frombuffer(weights, np.uint8)))
    model = core.compile_model(graph_and_weights, "CPU", config)
    dimension = int(model.output(0).partial_shape[1].get_length())
    return one_by_one(dimension, tokenizer, lambda ids: model.create_infer_request().infer([ids])[0][0])


def export_openvino(encoder: "Encoder") -> dict[str, bytes]:
    """Return the files that `open_openvino` reads: linear layers in 8 bits, the same bytes for the same weights.

    Each output of a layer has a scale of its own.

    Raises
    ------
    ModelError
        When the extra is not installed or the encoder cannot be exported.
    """
    openvino = import_openvino()
    from recsys.encoders.backends.graph import to_onnx

    model = openvino.Core().read_model(to_onnx(encoder))
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.input_value(1).get_node().get_type_name() == "Constant":
            node.input(1).replace_source_output(_in_8_bits(node).output(0))
    for number, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(str(number))  # else names count every node that the process ever made
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.xml"
        openvino.save_model(model, target, compress_to_fp16=False)
        return {GRAPH: target.read_bytes(), WEIGHTS: target.with_suffix(".bin").read_bytes()}


def import_openvino() -> Any:
    """Import OpenVINO without openvino_telemetry, in whose place it then takes a stand-in that sends nothing."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return need_backend("openvino", "openvino")


def _in_8_bits(product: Any) -> Any:
    """Return the weights of a product as 8-bit numbers times a scale for each output."""
    operators = need_backend("openvino.opset13", "openvino")
    weights = product.input_value(1).get_node().get_data()
    inputs = 1 if product.get_attributes()["transpose_b"] else 0
    scale = np.maximum(np.abs(weights).max(axis=inputs, keepdims=True), np.finfo(np.float32).tiny) / 127
    numbers = operators.constant(np.round(weights / scale).astype(np.int8))
    return operators.multiply(operators.convert(numbers, "f32"), operators.constant(scale.astype(np.float32)))
