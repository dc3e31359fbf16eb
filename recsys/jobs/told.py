"""What a training tells of its stages, in words that a newcomer knows."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS, Windows
from recsys.encoders.settings import TextSettings
from recsys.evaluation.evaluation import PRODUCT, TEXT, UNTUNED, Evaluation
from recsys.evaluation.measures import AUC
from recsys.evaluation.reports.brief import HEADLINE
from recsys.evaluation.reports.pages import number
from recsys.ranking.examples import Examples
from recsys.ranking.positions import PositionBias
from recsys.ranking.trees import TreeRanker
from recsys.shown import counted

if TYPE_CHECKING:
    from recsys.learning.lessons import Lesson

_BESIDE = ("behaviour", TEXT, UNTUNED, "random")
"""Rankers that are named beside the product."""

_PLACE = 10
"""The place, if lists are so long, of which it is said how often it is looked at."""


def windows_told(windows: Windows, dataset: Dataset) -> str:
    """Say what each window of time is for."""
    texts, ranker, valid, test = (windows.of(dataset.requests, name)["request_id"].n_unique() for name in WINDOWS)
    return (
        f"{counted(dataset.items['item_id'].n_unique(), 'item')}; lists in order of time: {texts:,} for texts alone, "
        f"{ranker:,} for trees too, {valid:,} to say how many trees, {test:,} kept to judge on"
    )


_KEPT = {
    "published": "texts are read by the encoder {as_it_was}: nothing that was learnt reads better",
    "heads": "texts are read by the encoder {as_it_was}, with a part on top that learnt from clicks",
    "tuned": "texts are read by an encoder that learnt from clicks, fine-tuned",
}
"""What a lesson kept, in words."""


def lessons_told(lessons: Sequence["Lesson"], settings: TextSettings, started: bool) -> str:
    """Say what came of learning from texts, perhaps started from an earlier model."""
    if not lessons or not settings.epochs:
        return "nothing was learnt from texts; they are compared as they are"
    last, judged = lessons[-1], sum(lesson.judged for lesson in lessons)
    as_it_was = "as the earlier model had it" if started else "as it was published"
    words = _KEPT[last.kept].format(as_it_was=as_it_was)
    if settings.tune != "auto" and last.kept != "published":
        words += f', as [text] tune = "{settings.tune}" asks'
    elif last.kept == "tuned":
        since = next(place for place, each in enumerate(lessons, 1) if each.kept == "tuned")
        words += f" (from period {since} of {len(lessons)} on)" if since > 1 else ""
    told = []
    for said, name in ((as_it_was, "published"), ("with the part on top", "heads"), ("fine-tuned", "tuned")):
        known = [(getattr(each, name), each.judged) for each in lessons if getattr(each, name) is not None]
        if known:
            told.append(f"{said} {sum(auc * count for auc, count in known) / sum(count for _, count in known):.1%}")
    if told:
        words += (
            f"; on {counted(judged, 'list')} that it had not learnt from, it put the clicked item of a pair first: "
            + ", ".join(told)
            + " (chance: 50%)"
        )
    if last.gain is not None:
        mean, low, high = (math.nan if each is None else each for each in last.gain)
        words += f"; tuning gains {_points(mean, low, high, AUC)}"
        if settings.tune == "auto" and last.kept == "tuned" and not low > 0:
            words += "; more than one standard error, so it stays"
    return words


def _points(mean: float, low: float, high: float, measure: object) -> str:
    """Write a gain in a measure as points of a hundred, and say where its sign is not certain."""
    sure = "" if low > 0 or high < 0 else ", not certain"
    return f"{100 * mean:+.1f} points of {measure}{sure} (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"


def trees_told(trees: TreeRanker, examples: Examples) -> str:
    """Say how large a ranker is, and what it has learnt from."""
    return f"{counted(trees.size, 'tree')} on {counted(len(examples.starts) - 1, 'list')}"


def bias_told(bias: PositionBias) -> str:
    """Say what was done about clicks that fell where people looked; nothing where nothing was."""
    if bias.correction == "none":
        return ""
    if bias.correction == "additive":
        return "; clicks are corrected for their places, by effects that LightGBM learnt"
    odds = bias.examination.odds
    place = min(len(odds), _PLACE)
    looked = f"{odds[place - 1]:.2f} times those at the first"
    way = "the odds are taken off" if bias.correction == "examination" else "rare places count more"
    return f"; clicks are corrected for their places ({way}): at place {place} the odds of a click are {looked}"


def rankers_told(evaluation: Evaluation) -> str:
    """Say how well the rankers order lists."""
    rows = evaluation.first.rankers
    told = [f"{name} {number(rows[name][HEADLINE].mean)}" for name in (PRODUCT, *_BESIDE) if name in rows]
    words = f"{HEADLINE}, 1 at best: {', '.join(told)}"
    difference = evaluation.overall.differences.get(f"{TEXT}-{UNTUNED}")
    if difference is None or math.isnan(difference[str(AUC)].low):
        return words
    gains = [(difference[measure], measure) for measure in (HEADLINE, str(AUC)) if measure in difference]
    told = [_points(gain.mean, gain.low, gain.high, measure) for gain, measure in gains]
    return f"{words}; here tuning gains texts {' and '.join(told)}"
