"""The choice between backends: made of an encoder that has learnt, or loaded from its folder."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.encoders.backends.backend import Backend, need_backend
from recsys.encoders.backends.tokenizer import TextTokenizer
from recsys.encoders.settings import TextSettings
from recsys.errors import ModelError, first_line

if TYPE_CHECKING:
    from recsys.encoders.encoder import Encoder


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
        return _in_torch(encoder, settings), {}
    tokenizer = TextTokenizer.of(encoder.tokenizer, most)
    files = _export(name, encoder, texts, tokenizer, most)
    return _open(name, files.__getitem__, tokenizer), files


def load_backend(folder: Path, settings: TextSettings) -> Backend:
    """Load a backend from an encoder's folder; torch is imported for `"torch"` and `"bf16"` alone.

    Raises
    ------
    ModelError
        When torch or an extra is not installed, or a file is missing or damaged.
    """
    name, most = settings.backend, settings.max_tokens
    if name in ("torch", "bf16"):
        try:
            from recsys.encoders.encoder import Encoder
        except ImportError as error:
            raise ModelError(
                f"[text] backend = {name!r} needs torch ({first_line(error)}); install this package with all that it "
                "depends on, or train with [text] backend = 'onnx' or 'static'"
            ) from error
        return _in_torch(Encoder.load(folder), settings)

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
            need_backend("onnx", "onnx")
            need_backend("onnxruntime.quantization", "onnx")
        case "openvino":
            from recsys.encoders.backends.openvino import import_openvino

            import_openvino()


def _in_torch(encoder: "Encoder", settings: TextSettings) -> Backend:
    """Run the encoder in batches of texts of similar length, or a copy of it in half precision.

    An embedding changes with its batch by what rounding leaves: about 1e-6 in full precision, 1e-3 in bfloat16, which
    is twice as fast where the processor has instructions for it.
    """
    run = copy.deepcopy(encoder).bfloat16() if settings.backend == "bf16" else encoder
    return Backend(run.dimension, lambda texts: run.tokenize(texts, settings.max_tokens), run.embed)


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
            from recsys.encoders.backends.onnx import FILE, open_onnx

            return open_onnx(read(FILE), tokenizer)
        case "openvino":
            from recsys.encoders.backends.openvino import GRAPH, WEIGHTS, open_openvino

            return open_openvino(read(GRAPH), read(WEIGHTS), tokenizer)
        case _:
            from recsys.encoders.backends.static import TABLE, open_static

            return open_static(read(TABLE), tokenizer)
