"""A personalised ranking engine that reads: fine-tuned text and behaviour, weighed by LightGBM."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# OpenMP threads that wait spin by default; on a machine that does anything else besides, LightGBM then trains ten
# times slower. The variable is read when LightGBM and torch are loaded, so it has to be set before; yours wins.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from recsys.batch.comparing import compare
    from recsys.batch.evaluating import evaluate
    from recsys.batch.scoring import score
    from recsys.batch.training import train
    from recsys.data.candidates import cross
    from recsys.data.tables import Dataset
    from recsys.data.world import WorldSettings, make_world
    from recsys.errors import DataError, ModelError, RecsysError, SettingsError
    from recsys.serving.ranker import Ranker
    from recsys.settings import Settings, load_settings

_HOMES = {
    "DataError": "recsys.errors",
    "Dataset": "recsys.data.tables",
    "ModelError": "recsys.errors",
    "Ranker": "recsys.serving.ranker",
    "RecsysError": "recsys.errors",
    "Settings": "recsys.settings",
    "SettingsError": "recsys.errors",
    "WorldSettings": "recsys.data.world",
    "compare": "recsys.batch.comparing",
    "cross": "recsys.data.candidates",
    "evaluate": "recsys.batch.evaluating",
    "load_settings": "recsys.settings",
    "make_world": "recsys.data.world",
    "score": "recsys.batch.scoring",
    "train": "recsys.batch.training",
}
"""Where each public name lives; it is imported when first asked for, so that `import recsys` costs next to nothing."""

__all__ = [
    "DataError",
    "Dataset",
    "ModelError",
    "Ranker",
    "RecsysError",
    "Settings",
    "SettingsError",
    "WorldSettings",
    "compare",
    "cross",
    "evaluate",
    "load_settings",
    "make_world",
    "score",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'recsys' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
