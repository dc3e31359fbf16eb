import pytest

from pipelines.shops import SHOPS, run

pytestmark = pytest.mark.slow

QUICK = ["text.epochs=0", "text.lexicon=0", "ranker.rounds=40"]


@pytest.mark.parametrize("shop", SHOPS)
def test_a_shop_is_guessed_and_trained_as_it_stands_and_told_what_the_model_is_worth(
    shop, small_world, tiny_encoder, tmp_path
):
    outcome = run(shop, small_world, tmp_path / "shop", [*QUICK, f'text.encoder="{tiny_encoder}"'])
    best = max(mean for name, mean in outcome.means.items() if name != "both")
    if outcome.means["both"] <= best:
        assert "The model orders better" not in outcome.sentence
        assert any(warning.startswith("What may help: ids that meet") for warning in outcome.warnings)
    if "cancelled" in shop:
        assert "rows whose status is not paid are left out" in outcome.guesses
        assert "holds 100% of the items" in outcome.guesses
    if "retrievers" in shop:
        assert "features.scores = ['bm25_score', 'ann_score']" in outcome.guesses
