"""The encoder in ONNX Runtime with 8-bit weights and activations; needs no torch."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.encoders.backends.backend import Backend, need_backend, one_by_one
from recsys.encoders.backends.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder

FILE = "onnx/model.onnx"


def open_onnx(model: bytes, tokenizer: TextTokenizer) -> Backend:
    """Run each text by itself, several at a time.

    Parameters
    ----------
    model
        What `export_onnx` wrote.
    tokenizer
        The encoder's.
    """
    runtime = need_backend("onnxruntime", "onnx")
    runtime.disable_telemetry_events()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    dimension = int(session.get_outputs()[0].shape[-1])
    return one_by_one(dimension, tokenizer, lambda ids: session.run(None, {"ids": ids})[0][0])


def export_onnx(encoder: "Encoder", texts: Sequence[str], max_tokens: int) -> dict[str, bytes]:
    """Return the file that `open_onnx` reads: linear layers in 8 bits, the same bytes for the same weights and texts.

    Each output of a layer has a scale of its own, and large inputs are made smaller before (see
    `recsys.encoders.backends.graph.smooth`). The mean cosine to the encoder in full precision is 0.997; without
    smoothing it was 0.993, with one scale for a whole layer 0.93.

    Parameters
    ----------
    encoder
        Left as it is.
    texts
        The catalogue's, on which inputs are measured.
    max_tokens
        Most tokens per text.

    Raises
    ------
    ModelError
        When the extra is not installed or the encoder cannot be exported.
    """
    onnx = need_backend("onnx", "onnx")
    quantization = need_backend("onnxruntime.quantization", "onnx")
    from recsys.encoders.backends.graph import smooth, to_onnx

    model = onnx.load_from_string(to_onnx(smooth(encoder, texts, max_tokens)))
    quantization.quant_utils.add_pre_process_metadata(model)  # else a warning advises to optimise the graph first
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "model.onnx"
        quantization.quantize_dynamic(
            model,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            reduce_range=True,  # sums of 8-bit products overflow where a processor has no instruction for them (VNNI)
            extra_options={"MatMulConstBOnly": True},
        )
        return {FILE: target.read_bytes()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what ONNX Runtime says about every node of the graph out of the log; it says it to the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
