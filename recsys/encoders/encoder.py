"""The text encoder: found on disk, loaded without running anybody's code, pooled to one unit vector per text."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from recsys.encoders.adapters import load_adapter, save_network
from recsys.encoders.layers import find_layers, keep_first, top_of
from recsys.encoders.pooling import Pooling, pool, read_pooling, read_query, write_pooling
from recsys.encoders.sources import find_encoder
from recsys.encoders.tokens import TOKENS_PER_BATCH, Tokens, tokenize
from recsys.errors import ModelError, first_line
from recsys.files import read_json
from recsys.progress import progress

_SIZE = re.compile("size|dim|positions|embeddings")
"""What the keys of a configuration hold that say how large a weight is."""


_MANY = 256
"""Texts for which moving the weights to an accelerator pays."""


class Encoder(nn.Module):
    """A transformer, its tokenizer and its pooling.

    Attributes
    ----------
    network
        A model of transformers, in evaluation mode: no dropout, so that training repeats itself exactly.
    tokenizer
        The tokenizer that belongs to it.
    pooling
        `"mean"` of the tokens' vectors, `"cls"`: the first token's vector, or `"attention"`: a learned mean, see
        `recsys.encoders.pooling.pool`.
    query
        [d], learns; of attention pooling, None without it.
    """

    def __init__(self, network: Any, tokenizer: Any, pooling: Pooling, query: Tensor | None = None) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.query = None if query is None else nn.Parameter(query)

    @classmethod
    def load(cls, name: str | Path, pooling: Pooling | Literal["auto"] = "auto", layers: int = 0) -> "Encoder":
        """Load an encoder.

        Parameters
        ----------
        name
            Name or folder, see `recsys.encoders.sources.find_encoder`.
        pooling
            `"mean"`, `"cls"`, `"attention"` (starts as the mean where the folder has not learned it), or `"auto"`:
            what the folder says.
        layers
            Keep only the first so many layers; 0 keeps all.

        Raises
        ------
        ModelError
            When there is no such encoder, it has no safetensors weights or fewer layers, its tokenizer has no padding
            token, or it pools in a way that is not known here.
        """
        folder = find_encoder(str(name))
        pooling = read_pooling(folder) if pooling == "auto" else pooling
        if (folder / "adapter_config.json").is_file():
            raise ModelError(f"{folder} holds an adapter of peft; merge it with merge_and_unload() and save the result")
        try:
            _refuse_more_than_weights(folder)
            with _quiet(), _offline():
                network, report = transformers.AutoModel.from_pretrained(
                    folder,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False
                )
        except Exception as error:  # transformers, tokenizers and safetensors have no class of errors in common
            raise ModelError(
                f"{folder} cannot be loaded as an encoder ({first_line(error)}); it needs config.json, a tokenizer and "
                "model.safetensors, written by save_pretrained(..., safe_serialization=True)"
            ) from error
        missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise ModelError(f"the weights in {folder} lack {missing[0]} and {len(missing) - 1} more; fetch it again")
        names = tokenizer.vocab_files_names.values()
        if names and not any((folder / each).is_file() for each in names):  # else every word would be unknown
            raise ModelError(f"{folder} lacks the tokenizer's words ({' or '.join(names)}); fetch or copy it again")
        if tokenizer.pad_token_id is None:
            raise ModelError(f"the tokenizer in {folder} has no padding token; set pad_token in tokenizer_config.json")
        if getattr(network, "pooler", None) is not None:
            network.pooler = None  # its output is not used, and often the weights lack it
        if layers:
            keep_first(network, layers)
        query = read_query(folder, network.config.hidden_size) if pooling == "attention" else None
        with _offline():
            network = load_adapter(network, folder)
        return cls(network, tokenizer, pooling, query)

    def save(self, folder: Path) -> None:
        """Write a folder that `load`, transformers and, but for attention pooling, sentence-transformers can read.

        Raises
        ------
        ModelError
            When an adapter has not been merged.
        """
        with _quiet():
            save_network(self.network, folder)
            self.tokenizer.save_pretrained(folder)
        write_pooling(folder, self.pooling, self.query, self.dimension)

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
        return pool(hidden, real, self.pooling, self.query)

    @contextmanager
    def at_work(self, texts: int) -> Iterator[None]:
        """Encode so many texts on the accelerator, where there is one and they are many; the weights come back."""
        before = self.device
        moves = texts >= _MANY and before.type == "cpu" and torch.accelerator.is_available()
        if moves:
            self.to(torch.accelerator.current_accelerator())
        try:
            yield
        finally:
            if moves:
                self.to(before)

    @torch.no_grad()
    def embed(self, tokens: Tokens) -> NDArray[np.float32]:
        """Return unit embeddings [n, d], without a gradient, in batches of similar length."""
        found = np.empty((len(tokens), self.dimension), np.float32)
        with self.at_work(len(tokens)), progress(len(tokens), "encode", "text") as advance:
            for rows in tokens.batches(np.arange(len(tokens)), TOKENS_PER_BATCH):
                ids, real = tokens.batch(rows)
                found[rows] = self(ids.to(self.device), real.to(self.device)).cpu().numpy()
                advance(len(rows))
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
        _, layers = find_layers(self.network)
        if count > len(layers):
            raise ModelError(f"[text] trainable_layers is {count} but the encoder has {len(layers)} layers")
        return layers[len(layers) - count :]

    def split(self, ids: Tensor, real: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return what enters the top `count` layers, [B, T, d], and the embeddings, [B, d]."""
        entering: list[Tensor] = []

        def watch(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            entering.append(positional[0] if positional else named["hidden_states"])

        # Not by output_hidden_states: transformers would leave hooks behind that cannot be sent to other processes.
        watched = self.top_layers(count)[0].register_forward_pre_hook(watch, with_kwargs=True)
        try:
            found = self.network(input_ids=ids, attention_mask=real.long())
        finally:
            watched.remove()
        return entering[0], self.pool(found.last_hidden_state, real)

    def finish(self, entering: Tensor, real: Tensor, count: int) -> Tensor:
        """Return embeddings [B, d] from what enters the top `count` layers, [B, T, d]."""
        top = top_of(self.network, count)
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


def _refuse_more_than_weights(folder: Path) -> None:
    """Hold layers and sizes of a configuration against the weights, which lie there, before room is made for them.

    Raises
    ------
    ValueError, ModelError, SafetensorError
        Naming the key, or where a file is damaged.
    """
    shapes = list[list[int]]()
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, "pt") as weights:
            shapes += [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    if not shapes or not (folder / "config.json").is_file():
        return  # transformers says what is missing
    numbers = sum(math.prod(shape) for shape in shapes)
    waiting = [read_json(folder / "config.json", "fetch or copy it again")]
    while waiting:
        config = waiting.pop()
        for name, value in config.items() if isinstance(config, dict) else ():
            most = len(shapes) if "layer" in name else numbers if _SIZE.search(name) else math.inf
            if isinstance(value, int) and value > most:
                raise ValueError(f"config.json says {name} = {str(value)[:20]}, more than the weights hold")
            waiting.append(value)


@contextmanager
def _offline() -> Iterator[None]:
    """Let nothing be fetched that the files of a folder name, such as the pretrained backbone of another model."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


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
