"""Whether the family named first moves scores most is judged by exchanging values."""

from pathlib import Path

import numpy as np

from pipelines.explained import judge
from recsys.model.ready import Ready


def test_the_family_named_first_mostly_moves_the_score_most(line) -> None:
    ready = Ready.load(line.model, Path(line.model) / "state")
    asked = ready.ask(line.candidates(60))
    rng = np.random.default_rng(0)
    lists = [which for which, length in enumerate(asked.lengths) if length > 1]
    found = [judge(ready, asked.some(which, which + 1), rng) for which in lists]
    named, _, clear, _ = zip(*found, strict=True)
    assert np.mean(named) > 0.6
    assert any(clear)
