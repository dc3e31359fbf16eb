"""From the vectors of a text's tokens to one vector, and how a folder says which way."""

import json
import math
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from recsys.errors import ModelError, first_line
from recsys.files import read_json

Pooling = Literal["mean", "cls", "attention"]

_CONFIG = Path("1_Pooling") / "config.json"
_QUERY = "pooling.safetensors"
_KEYS: dict[Pooling, str] = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "attention": "pooling_mode_attention",
}


def pool(hidden: Tensor, real: Tensor, pooling: Pooling, query: Tensor | None = None) -> Tensor:
    """Return unit vectors [B, d] of token vectors [B, T, d].

    `"attention"` weighs a text's tokens by softmax(h . query / sqrt(d)): the scaled dot product of Vaswani et al.
    (2017), "Attention Is All You Need", with one learned query. A query of zeros gives the mean.

    Parameters
    ----------
    hidden
        [B, T, d].
    real
        [B, T] bool; which tokens are no padding, at least one per text.
    pooling
        `"mean"`, `"cls"` (the first token) or `"attention"`.
    query
        [d]; for `"attention"`.

    Examples
    --------
    >>> hidden = torch.tensor([[[2.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])
    >>> pool(hidden, torch.tensor([[True, True, False]]), "attention", torch.tensor([100.0, 0.0]))
    tensor([[1., 0.]])
    """
    if pooling == "cls":
        return normalize(hidden[:, 0].float(), dim=-1)
    if query is None:
        mask = real.unsqueeze(-1).to(hidden.dtype)
        return normalize((hidden * mask).sum(dim=1).float(), dim=-1)
    hidden = hidden.float()
    match = (hidden * query).sum(dim=-1) / math.sqrt(hidden.shape[-1])
    weights = torch.softmax(match.masked_fill(~real, torch.finfo(match.dtype).min), dim=1)
    return normalize((weights.unsqueeze(-1) * hidden).sum(dim=1), dim=-1)


def read_pooling(folder: Path) -> Pooling:
    """Return what an encoder's folder asks for, `"mean"` where it does not say.

    Raises
    ------
    ModelError
        When the folder asks for something that is not known here.
    """
    path = folder / _CONFIG
    if not path.is_file():
        return "mean"
    chosen = [key for key, value in _read_config(path).items() if key.startswith("pooling_mode_") and value is True]
    for pooling, key in _KEYS.items():
        if chosen == [key]:
            return pooling
    raise ModelError(
        f"{path} asks for {', '.join(chosen) or 'no pooling'}; only mean, cls or attention pooling is known here, "
        "choose one of them with [text] pooling"
    )


def read_query(folder: Path, dimension: int) -> Tensor:
    """Return the learned query [d] of attention pooling, zeros where the folder has none yet.

    Raises
    ------
    ModelError
        When the file is damaged, or the folder asks for attention pooling and lacks it.
    """
    path = folder / _QUERY
    if not path.is_file():
        if (folder / _CONFIG).is_file() and _read_config(folder / _CONFIG).get(_KEYS["attention"]) is True:
            raise ModelError(f"{path} is missing, though {folder / _CONFIG} needs it; copy the folder again")
        return torch.zeros(dimension)
    try:
        query = load_file(path)["query"]
    except Exception as error:  # safetensors raises an exception class of its own
        raise ModelError(f"{path} is damaged ({first_line(error)}); copy the folder again") from error
    if query.shape != (dimension,) or not torch.isfinite(query).all():
        raise ModelError(f"{path} holds the shape {tuple(query.shape)}, not {dimension} finite numbers")
    return query.float()


def write_pooling(folder: Path, pooling: Pooling, query: Tensor | None, dimension: int) -> None:
    """Say in the layout of sentence-transformers how a folder's encoder pools, and keep the learned query.

    sentence-transformers has no such attention pooling and refuses a folder that asks for it.
    """
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    described = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(described, indent=2) + "\n")
    wanted = {key: name == pooling for name, key in _KEYS.items() if name != "attention" or query is not None}
    (folder / _CONFIG).parent.mkdir()
    (folder / _CONFIG).write_text(json.dumps({"word_embedding_dimension": dimension, **wanted}, indent=2) + "\n")
    if query is not None:
        save_file({"query": query.detach().cpu().contiguous()}, folder / _QUERY)


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path, "fetch the encoder again")
    if not isinstance(config, dict):
        raise ModelError(f"{path} is damaged (it holds no object); fetch the encoder again")
    return config
