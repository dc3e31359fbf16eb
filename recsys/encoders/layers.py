"""Layers of a transformer: found, cut down to the first few, and the top ones run by themselves."""

import copy
from typing import Any

from torch import Tensor, nn

from recsys.errors import ModelError


def find_layers(network: Any) -> tuple[str, nn.ModuleList]:
    """Return where a network keeps its layers, a dotted path, and the layers, from input to output.

    Parameters
    ----------
    network
        A model of transformers, possibly inside a wrapper of peft.

    Raises
    ------
    ModelError
        When the network is not built as one list of layers.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == network.config.num_hidden_layers:
            return path, module
    raise ModelError(
        f"{type(network).__name__} is not built as one list of layers; set [text] trainable_layers = 0, layers = 0 and "
        "layer_decay = 1, or choose another encoder"
    )


def keep_first(network: Any, count: int) -> None:
    """Drop all but the first `count` layers, in the configuration as well, so that a saved network stays short.

    Raises
    ------
    ModelError
        When the network has fewer layers, or is not built as one list of them.
    """
    path, layers = find_layers(network)
    if count > len(layers):
        raise ModelError(f"[text] layers is {count} but the encoder has {len(layers)} layers")
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, layers[:count])
    if isinstance(getattr(network.config, "layer_types", None), list):  # one entry per layer, and checked on loading
        network.config.layer_types = network.config.layer_types[:count]
    network.config.num_hidden_layers = count


def top_of(network: Any, count: int) -> Any:
    """Return a network that shares the top `count` layers and takes, as `inputs_embeds`, what enters them."""
    plain = network.get_base_model() if hasattr(network, "get_base_model") else network  # out of peft's wrapper
    path, layers = find_layers(plain)
    *parents, name = path.split(".")
    top = holder = _shallow_copy(plain)
    top._modules["embeddings"] = _PassThrough()
    for parent in parents:
        holder._modules[parent] = _shallow_copy(holder._modules[parent])
        holder = holder._modules[parent]
    holder._modules[name] = layers[len(layers) - count :]
    return top


def _shallow_copy(module: Any) -> Any:
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


class _PassThrough(nn.Module):
    """Stands in for the token embeddings where the vectors are at hand already."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Tensor:
        return inputs_embeds
