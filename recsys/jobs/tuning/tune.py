"""Tune: settings of the ranker that suit the tables, found on the valid window alone; the test window is never read."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsys.data.tables import Dataset
from recsys.data.windows import Windows, place_windows
from recsys.encoders.sources import encoder_hash
from recsys.errors import DataError
from recsys.evaluation.measures import ndcg, per_request
from recsys.features.plan import feature_names
from recsys.files import refuse_unwritable
from recsys.jobs.blocks import read_blocks
from recsys.jobs.judging import LoggedWindow, known_to
from recsys.jobs.position_bias import learn_bias
from recsys.jobs.told import lessons_told, windows_told
from recsys.jobs.train import facts_of, of_texts_alone, prepare_to_learn, refuse_early
from recsys.jobs.tuning.budget import Budget, Spent
from recsys.jobs.tuning.history import TrialLog, Tried, refuse_other
from recsys.jobs.tuning.leaving import leave_out
from recsys.jobs.tuning.search import need_optuna, search
from recsys.jobs.tuning.space import Space, Value, applied, space_of, start_of
from recsys.jobs.work import Work, library_versions, work_folder
from recsys.memory import give_back
from recsys.model.prepared import Prepared, fingerprint
from recsys.past.lookup import user_numbers
from recsys.progress import Story, progress
from recsys.ranking.contract import Contract
from recsys.ranking.positions import PositionBias
from recsys.ranking.settings import RankerSettings
from recsys.ranking.trees import TreeRanker, grow
from recsys.settings import Settings
from recsys.shown import counted
from recsys.statistics.intervals import Interval, intervals_over_users

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

TUNING = Work("tuning", "*/lesson.json")

FINALISTS = 3
"""So many of the best trials are grown again, by other seeds: the best of many was lucky, too."""

SEEDS = 3
"""How many seeds settle what is better."""

_MEASURE = ndcg(10)


@dataclass(frozen=True)
class Tuned:
    """What a tuning found.

    Attributes
    ----------
    settings
        The settings that suit.
    others
        Whether other values took the place of those given, but for features that are left out.
    before, after
        nDCG@10 on the valid window with the settings given and with these, means over seeds.
    gain
        Their difference, paired by list, with its interval over users; it flatters, since the window chose.
    trials, given_up
        How many were made, and how many of them were ended early.
    left_out
        Features that earn nothing.
    """

    settings: Settings
    others: bool
    before: float
    after: float
    gain: Interval
    trials: int
    given_up: int
    left_out: tuple[str, ...]

    def in_words(self) -> str:
        """Say what was won on the window that chose."""
        before = f"nDCG@10 on the valid window: {self.before:.4f} with the settings given"
        mean, low, high = self.gain.mean, self.gain.low, self.gain.high
        flatters = "the window that chose flatters them, so `recsys compare` two models on the test window"
        gained = f"{self.after:.4f} ({mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f})"
        if self.others:
            return f"{before}, with those found {gained}; {flatters}"
        none = (
            f"none of {counted(self.trials - 1, 'other trial')} gains clearly more"
            if self.trials > 1
            else "no others were tried"
        )
        stay = f"{before}; {none}, so they stay"
        if not self.left_out:
            return stay
        return f"{stay}, without {counted(len(self.left_out), 'feature')} that earned nothing: {gained}; {flatters}"


@dataclass(frozen=True)
class Bench:
    """What settings are tried on.

    Attributes
    ----------
    settings
        What features were computed with.
    ranker, valid
        What trees learn from, and what says how good they are.
    biases
        What is done about clicks that fell where people looked, for each objective that was tried: not all go with all.
    """

    settings: Settings
    ranker: LoggedWindow
    valid: LoggedWindow
    biases: dict[str, PositionBias] = field(default_factory=dict)

    @cached_property
    def space(self) -> Space:
        """What may be tried."""
        rows = self.ranker.learnt
        clicked = rows.moments[rows.clicked]
        span = timedelta(microseconds=int(clicked.max() - clicked.min()))
        return space_of(self.settings, len(clicked), span)

    def grow(self, settings: Settings, seed: int, watch: Callable[[int, float], None] | None = None) -> TreeRanker:
        """Grow trees by settings whose features are some of the bench's."""
        kept = set(feature_names(settings.features))
        left_out = tuple(name for name in feature_names(self.settings.features) if name not in kept)
        ranker, valid = (window.learnt.without(left_out) for window in (self.ranker, self.valid))
        contract = Contract.of(ranker.joined(valid).table)
        one = settings.ranker.model_copy(update={"bags": 1})  # what is better is not told apart any better by several
        grown = grow(ranker, contract, one, seed, valid=valid, watch=watch, bias=self._bias(one))
        give_back()
        return grown

    def _bias(self, tried: RankerSettings) -> PositionBias:
        """Learn once for each objective how clicks are corrected, by the other settings that were given."""
        if tried.objective not in self.biases:
            given = self.settings.ranker.model_copy(update={"objective": tried.objective})
            self.biases[tried.objective] = learn_bias(self.ranker, self.valid, given, self.settings.seed)
        return self.biases[tried.objective]

    def judged(self, grown: TreeRanker) -> Floats:
        """Give the nDCG@10 of each list of the valid window, NaN without a choice, shape [R]."""
        examples = self.valid.examples
        scores = grown.score(known_to(grown, examples.table))
        reached: Floats = per_request((_MEASURE,), examples.labels, scores, examples.starts)[0]
        return reached

    def gain(self, after: Floats, before: Floats) -> Interval:
        """Give what lists of the valid window gain, [R] each, paired, with its interval over users."""
        users = user_numbers(self.valid.requests, self.valid.examples.starts)
        return intervals_over_users((after - before)[None, :], users, seed=self.settings.seed)[0]

    def of_seeds(self, settings: Settings) -> tuple[Floats, list[TreeRanker]]:
        """Grow by seeds that chose no trial; give the mean of what they reach on each list, shape [R], and them."""
        grown = [self.grow(settings, settings.seed + number) for number in range(1, SEEDS + 1)]
        reached: Floats = np.mean([self.judged(each) for each in grown], axis=0)
        return reached, grown


def tune(
    dataset: Dataset, settings: Settings, target: str | Path, trials: int = 40, budget: timedelta = timedelta(hours=1)
) -> Tuned:
    """Find settings of the ranker and features that suit.

    The encoder learns once, as in a training. Then trees are grown by many settings, each chosen by what the ones
    before it brought, and given up where others had done better by then. The best ones are grown again by other seeds,
    and features that earn nothing are left out. Every trial stands in `<target>.history.jsonl` as soon as it is made;
    the same call, made again after a kill, goes on from there.

    Parameters
    ----------
    dataset
        Tables without faults, see `recsys.data.checks`.
    settings
        Where it starts; others take its place only where what they gain on the valid window is clear.
    target
        Settings file that the caller writes; must not be there.
    trials
        How many settings are tried, the given ones among them, at least 1.
    budget
        Time for all that follows the encoder's learning: half of it for trials, a quarter to grow the best again, a
        quarter to leave features out. Each stage ends what it began, and does its first step however little is left.

    Raises
    ------
    DataError
        When the tables have faults, a window is empty, the target exists, or its history is of another tuning.
    SettingsError
        When settings name columns or events that are not there.
    ModelError
        When the extra `tune` is not installed.
    """
    refuse_unwritable(target := Path(target))
    refuse_unwritable(path := target.with_name(f"{target.name}.history.jsonl"))
    if target.exists():
        raise DataError(f"{target} already exists; choose another file, or remove it first")
    need_optuna()
    story = Story(4)
    story.begin("checking the tables and reading what items say")
    prepared, prints = prepare_to_learn(dataset, settings), fingerprint(dataset)
    windows = place_windows(prepared.made.lists, settings.windows, None, prepared.log.time)
    refuse_early(prepared, windows)
    facts = {
        **facts_of(settings, windows),
        "data": prints,
        "encoder": encoder_hash(settings.text.encoder),
        "versions": library_versions() | {"optuna": version("optuna")},
    }
    refuse_other(path, facts)  # before what was left of the other tuning goes
    with work_folder(target, facts, TUNING) as work:
        bench = _read(prepared, windows, work, story)
        return _tune_on(bench, TrialLog(path, facts, bench.space), trials, Budget(budget), story)


def _read(prepared: Prepared, windows: Windows, work: Path, story: Story) -> Bench:
    """Let the encoder learn, and read what trees are grown on."""
    from recsys.learning.course import TextCourse  # torch takes seconds to load

    settings, lists = prepared.settings, replace(prepared.dataset, requests=prepared.made.lists)
    course = TextCourse(lists, settings.text, settings.seed, windows, prepared.log, None, work)
    story.end(windows_told(windows, lists))
    logged, _ = read_blocks(course, prepared, work, story)
    story.end(lessons_told(course.trainer.lessons, settings.text, course.started))
    for layer in prepared.log.rows_known:  # trees take the room
        layer.forget()
    give_back()
    return Bench(settings, logged["ranker"], logged["valid"])


def _tune_on(bench: Bench, history: TrialLog, trials: int, budget: Budget, story: Story) -> Tuned:
    settings = bench.settings
    story.begin(f"growing trees by {counted(trials, 'choice')} of settings")
    space = bench.space

    def grows(values: dict[str, Value], watch: Callable[[int, float], None]) -> tuple[float, int]:
        tried = applied(settings, values)
        grown = bench.grow(tried, settings.seed, watch)
        return float(np.nanmean(bench.judged(grown))), grown.size

    search(grows, space, start_of(settings, space), history, settings.seed, trials, budget)
    given_up = sum(trial.given_up for trial in history.trials)
    best, before, (after, grown) = _final(bench, history.trials, budget)
    story.end(
        f"{counted(len(history.trials), 'trial')}, {given_up} of them given up early; nDCG@10 on the valid window "
        f"{np.nanmean(before):.4f} with the settings given, {np.nanmean(after):.4f} with those that stay"
    )
    story.begin("leaving out features that earn nothing")
    left = leave_out(bench, best, after, grown, budget)
    names = f": {', '.join(left.features)}" if left.features else ""
    story.end(f"{counted(len(left.features), 'feature')} left out{names}")
    return Tuned(
        left.settings,
        best != settings,
        float(np.nanmean(before)),
        float(np.nanmean(left.ndcg)),
        bench.gain(left.ndcg, before),
        len(history.trials),
        given_up,
        left.features,
    )


def _final(
    bench: Bench, trials: list[Tried], budget: Budget
) -> tuple[Settings, Floats, tuple[Floats, list[TreeRanker]]]:
    """Grow the start and the best trials again by several seeds, the best first, and others while there is time.

    Returns
    -------
    The best settings, what the start reaches on every list, and what the best ones do, with their trees; the start
    where no gain is clear, for a window that holds too few lists to tell picks the lucky ones.
    """
    settings = bench.settings
    whole = sorted((trial for trial in trials[1:] if not trial.given_up), key=lambda trial: -trial.ndcg)
    others = [applied(settings, trial.values) for trial in whole]
    tried = [settings, *[each for each in others if not of_texts_alone(each.features)][:FINALISTS]]
    with progress(len(tried), "growing the best again", "choice") as advance:
        found = list[tuple[Floats, list[TreeRanker]]]()
        for each in tried:
            if len(found) > 1 and budget.spent(Spent.AGAIN):
                logger.info("    no time to grow %s again", counted(len(tried) - len(found), "more choice"))
                break
            found.append(bench.of_seeds(each))
            advance(1)
    best = int(np.argmax([np.nanmean(reached) for reached, _ in found]))
    kept = best if bench.gain(found[best][0], found[0][0]).low > 0 else 0
    return tried[kept], found[0][0], found[kept]
