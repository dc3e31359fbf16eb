"""How fast each weight learns, and when."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from recsys.encoders.layers import find_layers
from recsys.encoders.settings import TextSettings

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder


def open_optimizers(
    encoder: "Encoder", heads: Sequence[nn.Parameter], settings: TextSettings
) -> list[torch.optim.Optimizer]:
    """Return AdamW for the encoder, where it learns, with falling rates from layer to layer, and AdamW for the heads.

    Weight decay is for matrices alone.
    """
    parts = layer_rates(encoder, settings.learning_rate, settings.layer_decay), [(heads, settings.head_learning_rate)]
    optimizers: list[torch.optim.Optimizer] = []
    for part in parts:
        groups = [
            {"params": group, "weight_decay": decay, "lr": rate, "full_rate": rate}
            for parameters, rate in part
            for group, decay in (
                ([each for each in parameters if each.ndim > 1], settings.weight_decay),
                ([each for each in parameters if each.ndim <= 1], 0.0),
            )
            if group
        ]
        if groups:
            optimizers.append(torch.optim.AdamW(groups))
    return optimizers


def shared_step(module: lightning.LightningModule, optimizer: Any, clip: float) -> None:
    """Take a step with the gradients of all devices, none longer than `clip`."""
    if module.trainer.world_size > 1:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = module.trainer.strategy.reduce(own, reduce_op="mean")
    module.clip_gradients(optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
    optimizer.step()


def learning(encoder: "Encoder") -> list[nn.Parameter]:
    """Return the weights of an encoder that learn."""
    return [each for each in encoder.parameters() if each.requires_grad]


@torch.no_grad()
def draw_back(weights: Sequence[nn.Parameter], published: Sequence[Tensor], strength: float) -> None:
    """Add to gradients what draws weights back to the published ones: that of strength / 2 times the squared distance.

    L2-SP of Li et al. (2018), "Explicit Inductive Bias for Transfer Learning with Convolutional Networks".
    """
    for weight, before in zip(weights, published, strict=True):
        if weight.grad is not None:
            weight.grad.add_(weight - before, alpha=strength)


def set_rates(optimizer: Any, done: float, warm_up: float) -> None:
    """Let rates rise over the warm-up, a share of the training, and then fall to 0, by how much of it is done."""
    factor = done / warm_up if done < warm_up else (1 - done) / (1 - warm_up)
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor


def layer_rates(encoder: "Encoder", learning_rate: float, decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Return the encoder's learning weights with their learning rates, the fastest first.

    A layer learns at `decay` times the rate of the layer above it: discriminative fine-tuning of Howard and Ruder
    (2018), "Universal Language Model Fine-tuning for Text Classification". An adapter inside a layer learns as the
    layer would. What comes before the layers counts as one layer more below; what comes after them, the query of
    attention pooling and a prefix learn as the top layer does.

    Parameters
    ----------
    encoder
        Weights that need no gradient are left out.
    learning_rate
        Of the top layer.
    decay
        Above 0, at most 1, which gives everything the same rate.

    Raises
    ------
    ModelError
        When `decay` is below 1 and the network is not built as one list of layers.
    """
    rates: dict[float, list[nn.Parameter]] = {}
    depths = _depths(encoder) if decay < 1 else {}
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            rates.setdefault(learning_rate * decay ** depths.get(parameter, 0), []).append(parameter)
    return sorted(((parameters, rate) for rate, parameters in rates.items()), key=lambda group: -group[1])


def _depths(encoder: "Encoder") -> dict[nn.Parameter, int]:
    """Return how many layers lie above each weight of the network that is not above all of them."""
    _, layers = find_layers(encoder.network)
    first = next(layers[0].parameters())
    depths = {}
    for parameter in encoder.network.parameters():
        if parameter is first:
            break
        depths[parameter] = len(layers)
    for place, layer in enumerate(layers):
        depths.update(dict.fromkeys(layer.parameters(), len(layers) - 1 - place))
    return depths
