"""Whether the family named first moves scores most is judged by exchanging values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.explained import judge, judged, plant
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


@pytest.mark.slow
def test_in_a_planted_world_the_family_named_first_always_moves_the_score_most(line) -> None:
    ready = Ready.load(line.model, Path(line.model) / "state")
    asked = ready.ask(line.candidates(60))
    ranker, total = plant(ready, asked, np.random.default_rng(1))
    planted = replace(ready, model=replace(ready.model, ranker=ranker))
    assert judged(planted, asked, np.random.default_rng(2))["named first moves it most"] == 1.0
    of_sum = judged(planted, asked, np.random.default_rng(2), total)
    assert of_sum["named first moves it most"] > 0.4


def test_a_planted_sum_counts_one_feature_of_each_family(line) -> None:
    ready = Ready.load(line.model, Path(line.model) / "state")
    asked = ready.ask(line.candidates(40))
    _, total = plant(ready, asked, np.random.default_rng(1))
    width = len(ready.model.ranker.contract.names)
    high = np.full((1, width), np.inf, np.float32)
    alone = np.repeat(-high, width, axis=0)
    np.fill_diagonal(alone, np.inf)
    adds = total(alone) - total(-high)
    counted = np.flatnonzero(adds)
    assert 3 <= len(counted) <= 12
    assert np.abs(adds[counted]).max() <= 4
    assert total(high)[0] == pytest.approx(total(-high)[0] + adds.sum())
