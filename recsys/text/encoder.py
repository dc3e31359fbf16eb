"""The text encoder: found on disk, loaded without running anybody's code, pooled to one unit vector per text."""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize
from tqdm import tqdm

from recsys.errors import ModelError
from recsys.text.sources import find_encoder, first_line
from recsys.text.tokens import Tokens, tokenize

TOKENS_PER_BATCH = 8_192
"""Padded tokens that are encoded together; bounds the memory of a batch."""


class Encoder(nn.Module):
    """A transformer, its tokenizer and its pooling.

    Attributes
    ----------
    network
        A model of transformers, in evaluation mode: no dropout, so that training repeats itself exactly.
    tokenizer
        The tokenizer that belongs to it.
    pooling
        `"mean"` of the tokens' vectors, or `"cls"`: the first token's vector.
    """

    def __init__(self, network: Any, tokenizer: Any, pooling: str) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.pooling = pooling

    @classmethod
    def load(cls, name: str | Path) -> "Encoder":
        """Load an encoder by name or from a folder (see `recsys.text.sources.find_encoder`).

        Raises
        ------
        ModelError
            When there is no such encoder, it has no safetensors weights, its tokenizer has no padding token, or it
            pools in a way that is not known here.
        """
        folder = find_encoder(str(name))
        pooling = _read_pooling(folder)
        try:
            with _quiet():
                network = transformers.AutoModel.from_pretrained(
                    folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, dtype=torch.float32
                )
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False
                )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise ModelError(
                f"{folder} cannot be loaded as an encoder ({first_line(error)}); it needs config.json, a tokenizer and "
                "model.safetensors, written by save_pretrained(..., safe_serialization=True)"
            ) from error
        if tokenizer.pad_token_id is None:
            raise ModelError(f"the tokenizer in {folder} has no padding token; set pad_token in tokenizer_config.json")
        if getattr(network, "pooler", None) is not None:
            network.pooler = None  # its output is not used, and where the weights lack it, it would be random
        return cls(network, tokenizer, pooling)

    def save(self, folder: Path) -> None:
        """Write a folder that `load`, transformers and sentence-transformers can read."""
        with _quiet():
            self.network.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        described = [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (path, kind) in enumerate(modules)
        ]
        pooling = {
            "word_embedding_dimension": self.dimension,
            "pooling_mode_cls_token": self.pooling == "cls",
            "pooling_mode_mean_tokens": self.pooling == "mean",
        }
        (folder / "modules.json").write_text(json.dumps(described, indent=2) + "\n")
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=2) + "\n")

    @property
    def dimension(self) -> int:
        """d, the length of an embedding."""
        return int(self.network.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.network.device
        return device

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> Tokens:
        """Turn texts into tokens."""
        return tokenize(self.tokenizer, texts, max_tokens)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        """Return unit embeddings [B, d] of tokens [B, T], of which those where `real` is true count."""
        return self.pool(self.network(input_ids=ids, attention_mask=real.long()).last_hidden_state, real)

    def pool(self, hidden: Tensor, real: Tensor) -> Tensor:
        """Return unit embeddings [B, d] of token vectors [B, T, d]."""
        if self.pooling == "cls":
            return normalize(hidden[:, 0].float(), dim=-1)
        mask = real.unsqueeze(-1).to(hidden.dtype)
        return normalize((hidden * mask).sum(dim=1).float(), dim=-1)

    @torch.no_grad()
    def embed(self, tokens: Tokens) -> NDArray[np.float32]:
        """Return unit embeddings [n, d], without a gradient, in batches of similar length."""
        found = np.empty((len(tokens), self.dimension), np.float32)
        with tqdm(total=len(tokens), desc="encode", unit="text", disable=None, leave=False) as progress:
            for rows in tokens.batches(np.arange(len(tokens)), TOKENS_PER_BATCH):
                ids, real = tokens.batch(rows)
                found[rows] = self(ids.to(self.device), real.to(self.device)).cpu().numpy()
                progress.update(len(rows))
        return found

    def top_layers(self, count: int) -> nn.ModuleList:
        """Return the `count` layers next to the output.

        Raises
        ------
        ModelError
            When the network is not built as one list of layers, or has fewer.
        """
        if count == 0:
            return nn.ModuleList()
        _, layers = self._layers()
        if count > len(layers):
            raise ModelError(f"[text] trainable_layers is {count} but the encoder has {len(layers)} layers")
        return layers[len(layers) - count :]

    def split(self, ids: Tensor, real: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return what enters the top `count` layers, [B, T, d], and the embeddings, [B, d]."""
        found = self.network(input_ids=ids, attention_mask=real.long(), output_hidden_states=True)
        return found.hidden_states[-1 - count], self.pool(found.last_hidden_state, real)

    def finish(self, entering: Tensor, real: Tensor, count: int) -> Tensor:
        """Return embeddings [B, d] from what enters the top `count` layers, [B, T, d]."""
        top = self._top(count)
        return self.pool(top(inputs_embeds=entering, attention_mask=real.long()).last_hidden_state, real)

    @torch.no_grad()
    def top_runs_alone(self, count: int) -> bool:
        """Tell whether `finish` gives what the whole network gives, tried on a few tokens."""
        ids = torch.arange(12).reshape(2, 6).to(self.device)
        real = torch.ones(2, 6, dtype=torch.bool)
        real[1, 4:] = False
        try:
            entering, whole = self.split(ids, real.to(self.device), count)
            return torch.allclose(self.finish(entering, real.to(self.device), count), whole, atol=1e-5)
        except (AttributeError, TypeError, ValueError, RuntimeError):
            return False

    def _top(self, count: int) -> Any:
        """Return a network that shares the top layers and takes `inputs_embeds` as what enters them."""
        path, _ = self._layers()
        *parents, name = path.split(".")
        top = holder = _shallow_copy(self.network)
        top._modules["embeddings"] = _PassThrough()
        for parent in parents:
            holder._modules[parent] = _shallow_copy(holder._modules[parent])
            holder = holder._modules[parent]
        holder._modules[name] = self.top_layers(count)
        return top

    def _layers(self) -> tuple[str, nn.ModuleList]:
        for path, module in self.network.named_modules():
            if isinstance(module, nn.ModuleList) and len(module) == self.network.config.num_hidden_layers:
                return path, module
        raise ModelError(
            f"{type(self.network).__name__} is not built as one list of layers; set [text] trainable_layers = 0 or "
            "choose another encoder"
        )


def _shallow_copy(module: Any) -> Any:
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


class _PassThrough(nn.Module):
    """Stands in for the token embeddings where the vectors are at hand already."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Tensor:
        return inputs_embeds


def _read_pooling(folder: Path) -> str:
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); fetch the encoder again") from error
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if chosen == ["pooling_mode_cls_token"]:
        return "cls"
    if chosen == ["pooling_mode_mean_tokens"]:
        return "mean"
    raise ModelError(f"{path} asks for {', '.join(chosen) or 'no pooling'}; only mean or cls pooling is known here")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and load reports off the terminal."""
    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
