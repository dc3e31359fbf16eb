"""A world whose last day a serving process is told of."""

import pytest

from pipelines.replay import SETTINGS, replay
from recsys.world import WorldSettings

pytestmark = pytest.mark.slow


def test_a_process_that_was_told_of_a_day_answers_as_batches_of_what_it_took(tiny_encoder, tmp_path):
    world = WorldSettings(seed=3, items=200, users=40, days=3, history_days=3, requests=900, random_tail=0)
    quick = [*SETTINGS, "text.lexicon=0", "text.backend=static", "ranker.rounds=20", f'text.encoder="{tiny_encoder}"']
    found = replay(world, 4, tmp_path / "model", quick)
    assert (found.compared, found.equal) == (4, 4)
    assert found.late > 0 < found.twice
    assert found.lists > 200
