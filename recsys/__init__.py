"""A personalised ranking engine that reads: fine-tuned text and behaviour, weighed by LightGBM."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# OpenMP threads that wait spin by default; on a machine that does anything else besides, LightGBM then trains ten
# times slower. The variable is read when LightGBM and torch are loaded, so it has to be set before; yours wins.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from recsys.data.candidates import cross
    from recsys.data.tables import Dataset
    from recsys.errors import DataError, ModelError, RecsysError, SettingsError
    from recsys.jobs.compare import compare
    from recsys.jobs.evaluate import evaluate
    from recsys.jobs.score import score
    from recsys.jobs.train import train
    from recsys.serving.ranker import Ranker
    from recsys.settings import Settings, load_settings
    from recsys.world import WorldSettings, make_world

_HOMES = {
    "DataError": "recsys.errors",
    "Dataset": "recsys.data.tables",
    "ModelError": "recsys.errors",
    "Ranker": "recsys.serving.ranker",
    "RecsysError": "recsys.errors",
    "Settings": "recsys.settings",
    "SettingsError": "recsys.errors",
    "WorldSettings": "recsys.world",
    "compare": "recsys.jobs.compare",
    "cross": "recsys.data.candidates",
    "evaluate": "recsys.jobs.evaluate",
    "load_settings": "recsys.settings",
    "make_world": "recsys.world",
    "score": "recsys.jobs.score",
    "train": "recsys.jobs.train",
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
