"""The encoder, pooling and normalisation included, made ready for 8 bits and as an ONNX graph that reads one text."""

import copy
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
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


if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder

_READ = 256
"""Texts that tell how large activations are."""

_SHARE = 0.8
"""Part of the unevenness of activations that moves into the weights."""


class _Smoothed(nn.Module):
    """A linear layer that gives the same, with inputs divided by `scale`, [inputs], and weights multiplied by it."""

    def __init__(self, layer: nn.Linear, scale: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.layer.weight.mul_(scale)
        self.inverse: Tensor
        self.register_buffer("inverse", 1 / scale)

    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = self.layer(values * self.inverse)
        return found


@torch.no_grad()
def smooth(encoder: "Encoder", texts: Sequence[str], max_tokens: int) -> "Encoder":
    """Return an encoder that gives the same and loses less in 8 bits.

    A few inputs of the feed-forward layers are many times larger than the rest, which then share what is left of
    8 bits. Part of a large input's size moves into its weights (Xiao et al. 2023, "SmoothQuant"):

        scale[j] = max |input[j]| ** 0.8 / max |weight[:, j]| ** 0.2

    with inputs no larger than the median taken as that large.

    Parameters
    ----------
    encoder
        Left as it is.
    texts
        What inputs are measured on: of more than 256, so many at even steps. Without any, nothing changes.
    max_tokens
        Most tokens per text.
    """
    chosen = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), _READ)).round().astype(np.int64))
    if not len(chosen):
        return encoder
    encoder = copy.deepcopy(encoder)
    largest: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def remember(_: nn.Module, given: tuple[Tensor], __: Tensor) -> None:
            found = given[0].abs().flatten(0, -2).amax(dim=0)
            largest[name] = torch.maximum(largest.get(name, found), found)

        return remember

    layers = {
        name: layer
        for name, layer in encoder.network.named_modules()
        if isinstance(layer, nn.Linear) and layer.in_features != layer.out_features
    }
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    encoder.embed(encoder.tokenize([texts[place] for place in chosen], max_tokens))
    for hook in hooks:
        hook.remove()
    for name, size in largest.items():
        parent, _, own = name.rpartition(".")
        weight = layers[name].weight.abs().amax(dim=0).clamp(min=1e-6)
        scale = size.clamp(min=float(size.median()) or 1.0) ** _SHARE / weight ** (1 - _SHARE)
        setattr(encoder.network.get_submodule(parent), own, _Smoothed(layers[name], scale / scale.mean()))
    return encoder
