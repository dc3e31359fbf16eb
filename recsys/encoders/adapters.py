"""Few weights that learn in place of the whole encoder: methods of the library peft, put on and merged back."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recsys.errors import ModelError, SettingsError, first_line
from recsys.files import read_json

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder

_FOLDER = "adapter"
_WEIGHTS = "adapter.safetensors"
_TASK = "FEATURE_EXTRACTION"
_KEPT: dict[str, Callable[[Any], bool]] = {
    "peft_type": lambda value: value == "PREFIX_TUNING",
    "task_type": lambda value: value == _TASK,
    "peft_version": lambda value: isinstance(value, str),
    "init_weights": lambda value: value == "zero",
    "prefix_projection": lambda value: isinstance(value, bool),
    "inference_mode": lambda value: isinstance(value, bool),
}
"""Keys of the configuration of what stays beside an encoder, and whether a value fits; null always does."""
_SIZES = "num_virtual_tokens num_layers token_dim num_attention_heads num_transformer_submodules encoder_hidden_size"
_KEPT |= dict.fromkeys(_SIZES.split(), lambda value: type(value) is int and value > 0)
_CHOICES = "choose LORA, ADALORA, IA3 or PREFIX_TUNING"


def add_adapter(encoder: "Encoder", config: dict[str, Any], updates: int, seed: int) -> None:
    """Put an adapter on an encoder; from then on its weights alone learn, beside the query of attention pooling.

    Dropout of an adapter stays off, as all dropout does. An adapter that the encoder came with goes on learning.

    Parameters
    ----------
    encoder
        Its network is changed in place and may get a wrapper of peft.
    config
        What peft's configuration class for `peft_type` takes, such as `{"peft_type": "LORA", "r": 8}`. Where peft has
        no `target_modules` of its own for an architecture, all linear layers are adapted.
    updates
        Planned updates of the encoder; the `total_step` of AdaLoRA unless `config` says another.
    seed
        Draws the first weights.

    Raises
    ------
    SettingsError
        When peft does not know the method, a key or a value, or the result could neither be merged into the encoder
        nor kept beside it.
    """
    chosen = _configuration(config, updates)
    if _is_wrapped(encoder.network):
        _go_on(encoder.network, chosen)
        return
    try:
        network = _wrap(encoder.network, chosen, seed)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise SettingsError(f"[text] peft = {config} does not fit this encoder: {first_line(error)}") from error
    if not _stays_beside(chosen) and not _can_merge(network):
        raise SettingsError(f"[text] peft: {chosen.peft_type.value} cannot be merged into an encoder; {_CHOICES}")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise SettingsError(f"[text] peft = {config} leaves nothing that learns; take inference_mode out")
    encoder.network = network.eval()


def check_adapter(config: dict[str, Any]) -> None:
    """Refuse what `add_adapter` would refuse of any encoder, with its errors."""
    _configuration(config, updates=10**9)  # few updates are told of when they are counted


def after_update(encoder: "Encoder", update: int) -> None:
    """Let AdaLoRA share out its ranks anew; nothing to do for other methods.

    Zhang et al. (2023), "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning". Ranks are judged by the
    gradients, so this belongs after the optimizer's step and before the gradients are cleared.

    Parameters
    ----------
    encoder
        With or without an adapter.
    update
        How many updates the encoder has had, this one included: 1, 2, ...
    """
    if _is_adalora(encoder.network):
        for parameter in encoder.network.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)  # peft takes gradients for granted
        encoder.network.base_model.update_and_allocate(update)


def adapter_penalty(encoder: "Encoder") -> Tensor:
    """Return what AdaLoRA adds to the loss of an update, a scalar; 0 for other methods.

    Mean distance of its factors from orthogonal ones times `orth_reg_weight`, equation (4) of Zhang et al. (2023);
    peft itself adds it only where the network computes the loss.
    """
    penalty = torch.zeros((), device=encoder.device)
    if not _is_adalora(encoder.network):
        return penalty
    weights = dict(encoder.network.named_parameters())
    factors = [weights[name] for name in weights if "lora_A" in name]
    factors += [weights[name].T for name in weights if "lora_B" in name]
    for factor in factors:
        products = factor @ factor.T
        penalty = penalty + torch.linalg.matrix_norm(products - torch.eye(len(products), device=products.device))
    share: float = encoder.network.active_peft_config.orth_reg_weight
    return share * penalty / len(factors)


def merge_adapter(encoder: "Encoder") -> None:
    """Merge an adapter into the plain weights, which then stay as they are; a prefix stays beside them.

    Raises
    ------
    ModelError
        When the adapter holds weights that are not numbers.
    """
    network = encoder.network
    if _is_wrapped(network) and not _stays_beside(network.active_peft_config):
        try:
            network = network.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise ModelError(
                f"the adapter cannot be merged ({first_line(error)}); lower [text] learning_rate and train again"
            ) from error
    encoder.network = network.eval().requires_grad_(False)


def save_network(network: Any, folder: Path) -> None:
    """Write a network's weights, and a prefix that learned beside them, as safetensors.

    Raises
    ------
    ModelError
        When it has an adapter that must be merged first.
    """
    if not _is_wrapped(network):
        network.save_pretrained(folder)
        return
    config = network.active_peft_config
    if not _stays_beside(config):
        raise ModelError(f"the encoder has a {config.peft_type.value} adapter; merge_adapter comes before save")
    network.get_base_model().save_pretrained(folder)
    config.base_model_name_or_path = None  # a path of the machine that trained
    config.save_pretrained(folder / _FOLDER)
    save_file(network.prompt_encoder.state_dict(), folder / _FOLDER / _WEIGHTS)


def load_adapter(network: Any, folder: Path) -> Any:
    """Put the prefix that `save_network` kept, if there is one, back on a network.

    Raises
    ------
    ModelError
        When its files are damaged, say more than `save_network` writes, or belong to a network with other layers.
    """
    inside = folder / _FOLDER
    if not inside.exists():
        return network
    import peft

    described = read_json(inside / "adapter_config.json", "copy the folder again")
    try:
        if described["peft_type"] != "PREFIX_TUNING":
            raise ValueError(f"peft_type is {described['peft_type']!r}, only PREFIX_TUNING stays beside an encoder")
        _refuse_more(described)
        # Made here of known keys: peft's own reading takes the class, and what it loads, from the file.
        given = {name: described[name] for name in described if name in _KEPT.keys() - {"peft_type", "peft_version"}}
        config = peft.PrefixTuningConfig(**given)
        weights = load_file(inside / _WEIGHTS)
        if config.num_layers != network.config.num_hidden_layers:
            raise ValueError(f"{config.num_layers} layers, the encoder has {network.config.num_hidden_layers}")
        _check_sizes(config, weights)
        wrapped = _wrap(network, config, seed=0)
        wrapped.prompt_encoder.load_state_dict(weights)
    except Exception as error:  # safetensors raises an exception class of its own
        raise ModelError(
            f"{inside} does not fit its encoder ({first_line(error)}); copy the folder again, and leave [text] layers "
            "as it was"
        ) from error
    return wrapped


def _refuse_more(described: Mapping[str, Any]) -> None:
    """Refuse a configuration of a prefix that says more than its sizes, with a ValueError."""
    for name, value in described.items():
        if value is not None and not _KEPT.get(name, lambda _: False)(value):
            raise ValueError(f"{name} = {value!r} is not for a prefix")


def _check_sizes(config: Any, weights: Mapping[str, Tensor]) -> None:
    """Hold sizes against the weights, which lie there, before room is made for them."""
    rows, columns = weights["default.embedding.weight"].shape
    wide = config.token_dim if config.prefix_projection else 2 * config.num_layers * config.token_dim
    hidden = len(weights["default.transform.0.weight"]) if config.prefix_projection else config.encoder_hidden_size
    if (rows, columns, hidden) != (config.num_virtual_tokens, wide, config.encoder_hidden_size):
        raise ValueError(f"weights of {rows} tokens and {columns} numbers, the configuration says others")


def _configuration(config: dict[str, Any], updates: int) -> Any:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CLASSES

    classes = {kind.value: described for kind, described in CLASSES.items()}
    if "peft_type" not in config:
        raise SettingsError(f"[text] peft = {config} lacks peft_type; {_CHOICES}")
    name = str(config["peft_type"])
    if name not in classes:
        raise SettingsError(f"[text] peft: peft_type = {name!r} is not known; {_advice(name.upper(), list(classes))}")
    given = {"task_type": _TASK} | config
    if name == "ADALORA":
        given = {"total_step": updates} | given
    kind = classes[name]
    keys = [field.name for field in fields(kind)]
    for key in given:
        if key not in keys:
            raise SettingsError(f"[text] peft: {key} is not a key of {name}; {_advice(key, keys)}")
    if given["task_type"] != _TASK:
        raise SettingsError(f"[text] peft: task_type = {given['task_type']!r} is not for encoders; leave it out")
    try:
        chosen = kind(**given)
    except (TypeError, ValueError, KeyError) as error:
        raise SettingsError(f"[text] peft = {config} does not fit: {first_line(error)}") from error
    if _stays_beside(chosen):
        try:
            _refuse_more(chosen.to_dict())
        except ValueError as error:
            raise SettingsError(f"[text] peft: {error}; leave it out") from error
    if chosen.is_prompt_learning and not _stays_beside(chosen):
        raise SettingsError(f"[text] peft: {name} is not for encoders; {_CHOICES}")
    return chosen


def _wrap(network: Any, config: Any, seed: int) -> Any:
    import peft

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # peft still asks transformers for a name that it has given up.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(seed)
        try:
            return peft.get_peft_model(network, config)
        except ValueError as error:
            if "specify `target_modules`" not in str(error) or config.peft_type == "LN_TUNING":
                raise
            config.target_modules = "all-linear"
            if hasattr(config, "feedforward_modules"):
                config.feedforward_modules = set()
            return peft.get_peft_model(network, config)


def _can_merge(network: Any) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    changed = [module for module in network.modules() if isinstance(module, BaseTunerLayer)]
    return hasattr(network.base_model, "merge_and_unload") and all(
        type(module).merge is not BaseTunerLayer.merge for module in changed
    )


def _go_on(network: Any, config: Any) -> None:
    before = network.active_peft_config
    if before.peft_type != config.peft_type or before.num_virtual_tokens != config.num_virtual_tokens:
        raise SettingsError(
            f"[text] peft: the encoder comes with {before.peft_type.value} of {before.num_virtual_tokens} virtual "
            "tokens; give the same, or start from another encoder"
        )
    network.prompt_encoder.requires_grad_(True)


def _is_wrapped(network: Any) -> bool:
    return hasattr(network, "active_peft_config")


def _is_adalora(network: Any) -> bool:
    return _is_wrapped(network) and network.active_peft_config.peft_type == "ADALORA"


def _stays_beside(config: Any) -> bool:
    return bool(config.peft_type == "PREFIX_TUNING")


def _advice(name: str, known: list[str]) -> str:
    nearest = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"did you mean {nearest}? Known are {', '.join(known)}"
