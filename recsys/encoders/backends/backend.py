"""What every backend does, and the choice between them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.encoders.backends.extras import need
from recsys.encoders.backends.tokenizer import TextTokenizer
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError, first_line

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder


class Backend(Protocol):
    """Turns texts into embeddings."""

    @property
    def dimension(self) -> int:
        """d, the length of an embedding."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit embeddings [n, d] of n texts, in their order; each distinct text is encoded once."""
        ...


def make_backend(encoder: "Encoder", settings: TextSettings, texts: Sequence[str]) -> tuple[Backend, dict[str, bytes]]:
    """Make the backend that the settings ask for.

    Parameters
    ----------
    encoder
        What it shall do; left as it is.
    settings
        `backend` and `max_tokens`.
    texts
        The catalogue's; what the static backend is fitted to, and the numbers of ONNX Runtime are scaled by.

    Returns
    -------
    The backend, and the files that it needs beside the encoder's own, by their paths in the encoder's folder.

    Raises
    ------
    ModelError
        When an extra is not installed, the encoder cannot be exported or has no tokenizer.json, or there is no text to
        fit the static backend to.
    """
    name, most = settings.backend, settings.max_tokens
    if name in ("torch", "bf16"):
        from recsys.encoders.backends.torch import TorchBackend

        return TorchBackend(encoder, most, half=name == "bf16"), {}
    tokenizer = TextTokenizer.of(encoder.tokenizer, most)
    files = _export(name, encoder, texts, tokenizer, most)
    return _open(name, files.__getitem__, tokenizer), files


def load_backend(folder: Path, settings: TextSettings) -> Backend:
    """Load a backend from an encoder's folder; torch is imported for `"torch"` and `"bf16"` alone.

    Raises
    ------
    ModelError
        When an extra is not installed, or a file is missing or damaged.
    """
    name, most = settings.backend, settings.max_tokens
    if name in ("torch", "bf16"):
        from recsys.encoders.backends.torch import TorchBackend
        from recsys.encoders.encoder import Encoder

        return TorchBackend(Encoder.load(folder), most, half=name == "bf16")

    def read(file: str) -> bytes:
        if not (folder / file).is_file():
            raise ModelError(f"{folder / file} is missing, which backend = {name!r} needs; copy the model folder again")
        return (folder / file).read_bytes()

    tokenizer = TextTokenizer.load(folder, most)
    try:
        return _open(name, read, tokenizer)
    except ModelError:
        raise
    except Exception as error:  # every runtime raises exception classes of its own
        raise ModelError(f"{folder / name} is damaged ({first_line(error)}); copy the model folder again") from error


def check_extra(name: str) -> None:
    """Refuse a backend that could not be made in the end.

    Raises
    ------
    ModelError
        When its extra is not installed.
    """
    match name:
        case "onnx":
            need("onnx", "onnx")
            need("onnxruntime.quantization", "onnx")
        case "openvino":
            from recsys.encoders.backends.openvino import import_openvino

            import_openvino()
        case _:
            pass


def _export(
    name: str, encoder: "Encoder", texts: Sequence[str], tokenizer: TextTokenizer, max_tokens: int
) -> dict[str, bytes]:
    match name:
        case "onnx":
            from recsys.encoders.backends.onnx import export_onnx

            return export_onnx(encoder, texts, max_tokens)
        case "openvino":
            from recsys.encoders.backends.openvino import export_openvino

            return export_openvino(encoder)
        case _:
            from recsys.encoders.backends.static import distil

            return distil(encoder, texts, tokenizer)


def _open(name: str, read: Callable[[str], bytes], tokenizer: TextTokenizer) -> Backend:
    match name:
        case "onnx":
            from recsys.encoders.backends.onnx import FILE, OnnxBackend

            return OnnxBackend(read(FILE), tokenizer)
        case "openvino":
            from recsys.encoders.backends.openvino import GRAPH, WEIGHTS, OpenvinoBackend

            return OpenvinoBackend(read(GRAPH), read(WEIGHTS), tokenizer)
        case _:
            from recsys.encoders.backends.static import TABLE, StaticBackend

            return StaticBackend(read(TABLE), tokenizer)
