"""The encoder, pooling and normalisation included, as an ONNX graph that reads one text."""

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recsys.errors import ModelError, first_line

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder

_OPSET = 18


class _OneText(nn.Module):
    """An encoder that reads a text by itself: nothing is padded, every token is real."""

    def __init__(self, encoder: "Encoder") -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.encoder.network(input_ids=ids).last_hidden_state
        return self.encoder.pool(hidden, torch.ones_like(ids, dtype=torch.bool))


@torch.no_grad()
def to_onnx(encoder: "Encoder") -> bytes:
    """Return the ONNX graph of an encoder: `ids`, int64 [1, T], in; `embedding`, float32 [1, d], out.

    The exporter that traces is taken, since it needs no further package and writes the same bytes for the same weights.

    Raises
    ------
    ModelError
        When torch cannot trace the encoder.
    """
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            target = Path(folder) / "model.onnx"
            warnings.simplefilter("ignore")  # traced branches depend on shapes that are fixed here
            torch.onnx.export(
                _OneText(encoder).eval(),
                (torch.ones(1, 7, dtype=torch.int64),),
                target,
                input_names=["ids"],
                output_names=["embedding"],
                dynamic_axes={"ids": {1: "tokens"}},
                opset_version=_OPSET,
                dynamo=False,
            )
            return target.read_bytes()
    except Exception as error:  # the exporter has a class for every way to fail
        raise ModelError(
            f"{type(encoder.network).__name__} cannot be exported to ONNX ({first_line(error)}); "
            "set [text] backend = 'torch', 'bf16' or 'static'"
        ) from error
