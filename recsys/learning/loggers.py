"""Where losses, AUCs and token counts go while training."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from recsys.errors import SettingsError

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}


def open_logger(name: Literal["csv", "tensorboard", "wandb"], folder: Path) -> Logger:
    """Return one of Lightning's loggers.

    Parameters
    ----------
    name
        See `TextSettings.logger`.
    folder
        Where it writes: a folder `log-0` in it, `log-1` after training was resumed, and so on.

    Raises
    ------
    SettingsError
        When its package is not installed.
    """
    package = _PACKAGES.get(name)
    if package and find_spec(package) is None:
        raise SettingsError(f"[text] logger is {name!r}, which is not installed; type: pip install {package}")
    version = f"log-{len(list(folder.glob('log-*')))}"
    if name == "tensorboard":
        return TensorBoardLogger(folder, name="", version=version)
    if name == "wandb":
        return WandbLogger(save_dir=folder, project="recsys", name=folder.name)
    return CSVLogger(folder, name="", version=version)
