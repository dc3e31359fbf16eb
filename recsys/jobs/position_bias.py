"""Position bias of a log: how likely each place is looked at, and which correction the valid window prefers."""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import special

from recsys.errors import DataError, SettingsError
from recsys.jobs.judging import LoggedWindow, known_to
from recsys.past.lookup import user_numbers
from recsys.progress import progress
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples
from recsys.ranking.positions import DEEPEST, UNBIASED, Examination, PositionBias, chance_of, explained, harvest
from recsys.ranking.settings import Correction, RankerSettings
from recsys.ranking.trees import grow
from recsys.statistics.intervals import intervals_over_users

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

_LISTS = 4_000
"""Lists, at most, from whose features it is learnt how places differ."""

_TURNS = 2
"""How often what is liked and what is looked at are learnt in turn; more moves nothing."""

_LIKED = RankerSettings(
    objective="binary", rounds=30, learning_rate=0.1, leaves=15, feature_fraction=0.3, position_bias="none"
)
"""Trees that say what is liked."""

_LEAST = 1e-6
"""Least curvature that a step is divided by."""

_NEWTON = 30
"""Steps of Newton's method, none longer than 1, which has long arrived by then."""


def check_positions(requests: pl.DataFrame, settings: RankerSettings, nightly: bool = False, growers: int = 1) -> None:
    """Refuse positions that are missing in part, and corrections that need what is not there.

    Raises
    ------
    DataError
        When some rows have a position and others have none; names the first.
    SettingsError
        When a correction is asked for and the log holds no positions, lists are made and not shown, the objective
        does not go with it, or several workers grow the trees, who cannot learn it.
    """
    asked = settings.position_bias
    if asked == "none":
        return
    if nightly and asked != "auto":
        raise SettingsError(
            f"[ranker] position_bias is {asked!r} but [time] freshness is 'nightly', whose lists are made before "
            "anything is shown, in no order; leave it out, or set it to 'none'"
        )
    if asked == "additive" and settings.objective != "lambdarank":
        raise SettingsError(
            f"[ranker] position_bias is 'additive', which LightGBM knows for lambdarank alone, and objective is "
            f"{settings.objective!r}; choose 'examination' or 'inverse', or that objective"
        )
    if asked == "examination" and settings.objective == "rank_xendcg":
        raise SettingsError(
            "[ranker] position_bias is 'examination' and objective is 'rank_xendcg', which gives a part of each choice "
            "to what was not chosen, so that trees learn the order shown upside down; choose 'inverse', or lambdarank"
        )
    if asked == "additive" and growers > 1:
        raise SettingsError(
            f"[ranker] position_bias is 'additive', which one process learns alone, and [engine] growers is {growers}; "
            "leave growers out, or choose another correction"
        )
    missing = requests["position"].is_null() if "position" in requests.columns else pl.Series([True])
    if missing.all():
        if asked != "auto":
            raise SettingsError(
                f"[ranker] position_bias is {asked!r} but requests hold no position; import the places in which "
                "candidates were shown as position, or set it to 'none'"
            )
    elif missing.any():
        row = int(missing.arg_true()[0])
        raise DataError(
            f"requests.position is empty in {int(missing.sum()):,} of {len(missing):,} rows, the first in request "
            f"{requests['request_id'][row]!r}, item {requests['item_id'][row]!r}; fill it in, leave the column out, or "
            'set [ranker] position_bias = "none"'
        )


def learn_bias(
    ranker: LoggedWindow, valid: LoggedWindow, settings: RankerSettings, seed: int, together: bool = False
) -> PositionBias:
    """Learn how places differ, and choose what is done about it.

    Parameters
    ----------
    ranker, valid
        What trees learn from, and what says how good they are.
    settings
        How to grow; with `position_bias = "auto"` each correction that goes with the objective is grown once, and the
        odds of examination are taken off (for rank_xendcg, lists weighed) unless what another one, or none, learnt
        clearly explains more of the clicks on valid beside their places.
    seed
        Of trees and intervals.
    together
        Whether several workers grow the trees, who cannot learn additive effects of places.
    """
    if settings.position_bias == "none":
        return UNBIASED
    examination = examined(ranker.examples.joined(valid.examples), settings, seed)
    if examination is None:
        if settings.position_bias != "auto":
            logger.warning(
                "[ranker] position_bias is %r, but too few lists or places were clicked to learn how places differ; "
                "nothing is corrected",
                settings.position_bias,
            )
        return UNBIASED
    if settings.position_bias != "auto":
        return PositionBias(settings.position_bias, examination)
    if examination.flat:
        return UNBIASED
    known: list[Correction] = ["inverse", "none"]
    if settings.objective != "rank_xendcg":  # its targets give unclicked candidates a part, whatever their place
        known.insert(0, "examination")
    if settings.objective == "lambdarank" and not together:
        known.append("additive")
    return _preferred(ranker, valid, examination, known, settings, seed)


def examined(examples: Examples, settings: RankerSettings, seed: int) -> Examination | None:
    """Learn how places differ: from orders that were drawn where they were, and else by what is liked elsewhere.

    None where nobody wrote down more than one place, or too little was clicked.
    """
    known = np.minimum.reduceat(examples.positions, examples.starts[:-1]) > 0
    shown = examples.where(np.repeat(known, np.diff(examples.starts)) & (examples.weights > 0))
    if len(np.unique(shown.positions)) < 2:
        return None
    return harvest(shown) or _regressed(shown, settings, seed)


def _regressed(shown: Examples, settings: RankerSettings, seed: int) -> Examination | None:
    """Learn in turn what is liked, by trees and for lists that those have not seen, and how places differ beside that.

    This is the logistic form of regression-based expectation maximisation (Wang et al., Position Bias Estimation for
    Unbiased Learning to Rank in Personal Search, 2018). None where there are too few lists.
    """
    lists = np.arange(len(shown.starts) - 1)
    some = np.isin(lists, np.linspace(0, len(lists) - 1, min(_LISTS, len(lists))).astype(np.int64))
    shown = shown.where(np.repeat(some, np.diff(shown.starts)))
    half = np.repeat(np.arange(len(shown.starts) - 1) % 2 == 0, np.diff(shown.starts))
    halves = [(shown.where(half), ~half), (shown.where(~half), half)]
    if not all((part.graded > 0).any() for part, _ in halves):
        return None
    contract = Contract.of(shown.table)
    liked = _LIKED.model_copy(update={"rows_per_leaf": settings.rows_per_leaf, "l2": settings.l2})
    place = np.minimum(shown.positions, DEEPEST) - 1
    clicked = (shown.labels > 0).astype(np.float64)
    found = _places_beside(np.zeros(len(place)), place, clicked)
    score = np.empty(len(place))
    with progress(_TURNS, "learning how places are looked at", "turn") as advance:
        for _ in range(_TURNS):
            for part, rest in halves:
                bias = PositionBias("examination", found)
                trees = grow(part, contract, liked, seed, rounds=liked.rounds, bias=bias)
                score[rest] = trees.score(shown.table.where(rest))
            found = _places_beside(score, place, clicked)
            advance(1)
    return found


def _places_beside(score: Floats, place: npt.NDArray[np.int64], clicked: Floats) -> Examination:
    """Fit log odds of a click by a score and an effect of each place, by maximum likelihood.

    Each place has one row more, clicked as often as all are: what was shown rarely is thought to be like the others.
    Places where nothing stood are like the one above, and odds are those against the first where something did.
    """
    size = int(place.max()) + 1
    rows = np.bincount(place, minlength=size)
    usual = float(np.mean(clicked))
    effect = np.full(size, np.log(usual / (1 - usual)) if 0 < usual < 1 else 0.0)
    for _ in range(_NEWTON):
        chance, prior = special.expit(score + effect[place]), special.expit(effect)
        slope = np.bincount(place, clicked - chance, size) + usual - prior
        told = np.bincount(place, chance * (1 - chance), size) + prior * (1 - prior)
        effect += np.clip(slope / np.maximum(told, _LEAST), -1, 1)
    seen = np.flatnonzero(rows)
    distances = (effect - np.average(effect[seen], weights=told[seen])) ** 2 * told
    nearest = seen[np.maximum(np.searchsorted(seen, np.arange(size), side="right") - 1, 0)]  # above it, of what is seen
    odds = np.exp(effect - effect[seen[0]])[nearest]
    return Examination(odds, chance_of(float(distances[seen].sum()), len(seen) - 1))


def _preferred(
    ranker: LoggedWindow,
    valid: LoggedWindow,
    examination: Examination,
    known: Sequence[Correction],
    settings: RankerSettings,
    seed: int,
) -> PositionBias:
    """Grow by each correction that is known, and keep the first unless another is clearly better on valid."""
    contract, one = Contract.of(ranker.learnt.joined(valid.learnt).table), settings.model_copy(update={"bags": 1})
    judged = valid.examples
    offsets = np.log(examination.of(judged.positions))
    users = user_numbers(valid.requests, judged.starts)
    reached = dict[Correction, Floats]()
    with progress(len(known), "correcting for places", "way") as advance:
        for each in known:
            bias = PositionBias(each, examination)
            trees = grow(ranker.learnt, contract, one, seed, valid=valid.learnt, bias=bias)
            scores = trees.score(known_to(trees, judged.table))
            reached[each] = explained(scores, offsets, judged.labels, judged.starts)
            advance(1)
    better = {each: reached[each] - reached[known[0]] for each in known[1:]}
    gains = dict(zip(better, intervals_over_users(np.stack([*better.values()]), users, seed=seed), strict=True))
    logger.debug("log-likelihood of a valid list's clicks against that by %s: %s", known[0], gains)
    clear = [each for each, gain in gains.items() if gain.low > 0]
    return PositionBias(max(clear, key=lambda each: gains[each].mean, default=known[0]), examination)
