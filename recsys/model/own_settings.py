"""What can be asked of a model that has settings of its own: where the work is done, and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from recsys.engines.settings import EngineSettings
from recsys.errors import SettingsError
from recsys.model.folder import Model
from recsys.settings import load_settings


def engine_for(model: Path, config: Path | None, changes: Sequence[str] = ()) -> EngineSettings:
    """Read where work with a model is done; the file may be the one that it was trained with.

    Parameters
    ----------
    model
        Its folder.
    config, changes
        As of `recsys.settings.load_settings`.

    Raises
    ------
    DataError, SettingsError
        As of `recsys.settings.load_settings`; or naming sections that say something else than the model's own.
    ModelError
        When the folder is no whole model.
    """
    if config is None and not changes:
        return EngineSettings()
    said, own = load_settings(config, changes), Model.load(model).settings
    others = sorted(name for name in said.model_fields_set - {"engine"} if getattr(said, name) != getattr(own, name))
    if others:
        named = ", ".join("seed" if name == "seed" else f"[{name}]" for name in others)
        raise SettingsError(
            f"{model} has its own settings, and --config or --set says others of {named}; leave these out: [engine] "
            "alone counts here"
        )
    return said.engine
