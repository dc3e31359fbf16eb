"""A personalised ranking engine that reads: fine-tuned text and behaviour, weighed by LightGBM."""

import os
from typing import TYPE_CHECKING

from recsys.lazy import exports

# OpenMP threads that wait spin by default; on a machine that does anything else besides, LightGBM then trains ten
# times slower. The variable is read when LightGBM and torch are loaded, so it has to be set before; yours wins.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from recsys.data.candidates import cross
    from recsys.data.tables import Dataset
    from recsys.errors import DataError, ModelError, RecsysError, SettingsError
    from recsys.jobs.backtest import backtest
    from recsys.jobs.compare import compare
    from recsys.jobs.evaluate import evaluate
    from recsys.jobs.score import score
    from recsys.jobs.train import train
    from recsys.serving.ranker import Ranker
    from recsys.settings import Settings, load_settings
    from recsys.world.sizes import WorldSettings
    from recsys.world.world import make_world

_HOMES = {
    "DataError": "recsys.errors",
    "Dataset": "recsys.data.tables",
    "ModelError": "recsys.errors",
    "Ranker": "recsys.serving.ranker",
    "RecsysError": "recsys.errors",
    "Settings": "recsys.settings",
    "SettingsError": "recsys.errors",
    "WorldSettings": "recsys.world.sizes",
    "backtest": "recsys.jobs.backtest",
    "compare": "recsys.jobs.compare",
    "cross": "recsys.data.candidates",
    "evaluate": "recsys.jobs.evaluate",
    "load_settings": "recsys.settings",
    "make_world": "recsys.world.world",
    "score": "recsys.jobs.score",
    "train": "recsys.jobs.train",
}
"""Where each public name lives."""

__all__ = [
    "DataError",
    "Dataset",
    "ModelError",
    "Ranker",
    "RecsysError",
    "Settings",
    "SettingsError",
    "WorldSettings",
    "backtest",
    "compare",
    "cross",
    "evaluate",
    "load_settings",
    "make_world",
    "score",
    "train",
]


__getattr__, __dir__ = exports(__name__, _HOMES)
