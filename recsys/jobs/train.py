"""Train: tables and settings in, a model folder out."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.data.labels import refuse_late_clicks, refuse_unseen, refuse_worthless, warn_of_moved
from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS, Window, Windows, place_windows
from recsys.encoders.backends.choice import check_extra
from recsys.encoders.settings import TextSettings
from recsys.encoders.sources import encoder_hash
from recsys.engines.engine import open_engine
from recsys.engines.settings import ONE_PROCESS
from recsys.errors import DataError, SettingsError
from recsys.evaluation.evaluation import AGELESS, PRODUCT
from recsys.features.checks import check_context, check_events, check_query
from recsys.features.columns import FROM_TEXTS
from recsys.features.plan import AGE_COLUMNS, FROM_AGES, feature_names, plan, refuse_doubles
from recsys.features.settings import FAMILIES, FeatureSettings
from recsys.files import new_folder, refuse_existing
from recsys.jobs.blocks import read_blocks
from recsys.jobs.field_lists import judge_field
from recsys.jobs.gains import judged_further
from recsys.jobs.judging import Judgement, LoggedWindow, judge, read_logged
from recsys.jobs.leaks import refuse_leaks
from recsys.jobs.position_bias import check_positions, learn_bias
from recsys.jobs.report import write_report
from recsys.jobs.told import bias_told, lessons_told, rankers_told, trees_told, windows_told
from recsys.jobs.work import library_versions, work_folder
from recsys.manifest import write_manifest
from recsys.memory import give_back
from recsys.model.folder import Model, State, identity
from recsys.model.prepared import Prepared, fingerprint, prepare, warn_of_rules
from recsys.model.ready import Ready
from recsys.past.lookup import Asked
from recsys.past.streams import CLICK
from recsys.progress import Story, progress
from recsys.ranking.calibration import Calibration, Fold
from recsys.ranking.contract import Contract
from recsys.ranking.examples import Examples, check_weight
from recsys.ranking.positions import UNBIASED, PositionBias
from recsys.ranking.trees import TreeRanker, check_monotone, grow, refuse_without_click
from recsys.settings import Settings
from recsys.shown import counted
from recsys.sources.finding import Finder, check_extras
from recsys.sources.merging import Merging
from recsys.vectors.reader import Reader
from recsys.vectors.user_tower import UserTower

if TYPE_CHECKING:
    from recsys.learning.course import TextCourse
    from recsys.learning.text_model import TextModel

logger = logging.getLogger(__name__)

STAGES = 4
"""Stages that a training tells of."""

FEW_LISTS = 100
"""From fewer lists with a click nobody learns an order, nor when to stop."""

_READING = ("encoder", "fields", "template", "query", "max_tokens", "pooling", "layers", "lexicon", "dimension")
"""Settings that say what a text is and what becomes of it; a model can go on learning only under the same."""


@dataclass(frozen=True)
class Grown:
    """A ranker grown without the valid window, and the same size grown with it."""

    chosen: TreeRanker
    final: TreeRanker


def train(
    dataset: Dataset,
    settings: Settings,
    target: str | Path,
    start: str | Path | None = None,
    story: Story | None = None,
) -> Judgement:
    """Train both stages and write a model folder, whole or not at all.

    The encoder learns block after block, from text, ranker and valid; each block is scored by what had learnt from the
    blocks before it alone. LightGBM learns from ranker; it stops early on valid, and is grown once more, to
    that size, with valid too. Click probabilities are learnt from valid and from the later half of ranker, by trees
    that have not learnt from them. Checkpoints lie in `<target>.training`: the same call, made again after a kill, goes
    on from there; only its logs stay.

    Parameters
    ----------
    dataset
        Tables without faults, see `recsys.data.checks`.
    settings
        All settings.
    target
        Folder to write; must not hold anything.
    start
        Model folder whose encoder goes on learning; windows lie after its valid window, and fractions place them there.
    story
        Of a longer work of which this is `STAGES` stages; its own when left out.

    Returns
    -------
    The judgement on the test window, or on valid, by the ranker that has not learnt from it, when test is empty.

    Raises
    ------
    DataError
        When the tables have faults, a feature is a leak, a window is empty or the target exists.
    SettingsError
        When settings name columns or events that are not there, or `start` has learnt from the ranker window.
    ModelError
        When `start` is no whole model or reads texts in another way.
    StorageError
        When trees shall be grown on a cluster that cannot be reached, has no room, or failed.
    """
    refuse_existing(target := Path(target))
    story = story or Story(STAGES)
    story.begin("checking the tables and reading what items say")
    prepared, prints = prepare_to_learn(dataset, settings), fingerprint(dataset)
    older = None if start is None else Model.load(start)
    since = older.windows.learnt_until if older else None
    windows = place_windows(prepared.made.lists, settings.windows, since, prepared.log.time)
    refuse_early(prepared, windows)
    facts = facts_of(settings, windows) | {"data": prints}
    if settings.engine.growers > 1:
        with open_engine(settings.engine) as engine:  # before the encoder has learnt for hours
            engine.refuse_growers(settings.engine.growers)
    before = open_start(older, Path(start), settings.text, windows) if older and start else None
    encoder = encoder_hash(settings.text.encoder) if start is None else identity(Path(start))
    with work_folder(target, {**facts, "encoder": encoder, "versions": library_versions()}) as work:
        return _train_in(work, target, prepared, windows, before, facts, story)


def _train_in(
    work: Path,
    target: Path,
    prepared: Prepared,
    windows: Windows,
    before: "TextModel | None",
    facts: Mapping[str, object],
    story: Story,
) -> Judgement:
    """Train in a working folder, and write the model folder."""
    from recsys.learning.course import TextCourse  # torch takes seconds to load: the data is refused before

    dataset, settings, log = replace(prepared.dataset, requests=prepared.made.lists), prepared.settings, prepared.log
    course = TextCourse(dataset, settings.text, settings.seed, windows, log, before, work)
    story.end(windows_told(windows, dataset))
    logged, finder, reader = _read(course, prepared, windows, work, story)
    untuned = course.untuned_reader(log)
    with open_engine(settings.engine if settings.engine.growers > 1 else ONE_PROCESS):  # one cluster for all trees
        model, rankers, judgement = _learn_to_rank(prepared, windows, logged, finder.merging, reader.tower, story)
    not_out = prepared.not_out(windows, judgement.name)
    judged = windows.of(dataset.requests, judgement.name)  # can be asked of the state again
    made = judge_field(judged, finder, rankers, settings.seed)
    if judgement.name == "test":  # all before was learnt from
        judgement = judgement.with_untuned(untuned, settings.text.query)
    kept = course.trainer.lessons[-1].kept if course.trainer.lessons else ""
    judgement = replace(judgement, sampled=dataset.about.sampled, not_out=not_out, made=made, kept=kept)
    judgement = judged_further(judgement, Ready(model, log, reader), prepared.dataset)
    story.end(rankers_told(judgement.evaluation))
    with new_folder(target) as folder:
        model.save(folder)
        course.trainer.model.save(folder)
        State.of(log, reader).save(folder / "state", folder, settings, log.first_as_of(judged))
        write_report(folder, judgement, model, prepared.dataset)
        lessons = [asdict(lesson) for lesson in course.trainer.lessons]
        grown = {"growers": settings.engine.growers} if settings.engine.growers > 1 else {}
        write_manifest(folder, {**facts, **grown, "lessons": lessons, "position_bias": judgement.bias.to_json()})
    return judgement


def refuse_early(prepared: Prepared, windows: Windows) -> None:
    """Refuse leaks and windows without a click before the encoder has learnt for hours."""
    lists, time, weight = prepared.made.lists, prepared.log.time, prepared.settings.ranker.weight
    if not (lists["label"] > 0).any():
        raise DataError(
            "no list of any window holds a click: label is 0 in every row of requests; name the column that says what "
            "was clicked when the tables are imported, or grade lists by events with [labels] grades"
        )
    for window in WINDOWS[1:3]:
        rows = windows.of(lists, window, time.feedback_delay, time.shown)
        counting = pl.col(weight) > 0 if weight and window == "ranker" else True
        clicked = rows.filter(counting, pl.col("label") > 0)
        refuse_without_click(clicked["label"].to_numpy(), window)
        if (told := clicked["request_id"].n_unique()) < FEW_LISTS:
            logger.warning(
                "the %s window has %s with a click, and an order needs hundreds: what comes of it says little; import "
                "a longer log, or move [windows]",
                *(window, counted(told, "list")),
            )
    refuse_leaks(prepared, windows)


def facts_of(settings: Settings, windows: Windows) -> dict[str, object]:
    """Say what decides the outcome beside data and libraries; other threads give other last bits."""
    from recsys.learning.passes import threads

    return {"settings": settings.model_dump(mode="json"), "windows": windows.to_json(), "threads": threads()}


def of_texts_alone(settings: FeatureSettings) -> bool:
    """Tell whether settings leave no feature but what texts say."""
    return set(feature_names(settings)) <= set(FROM_TEXTS)


def prepare_to_learn(dataset: Dataset, settings: Settings) -> Prepared:
    """Prepare tables; refuse settings that name what is not there or was recorded with the outcome."""
    prepared = prepare(dataset, settings)
    warn_of_rules(prepared.dataset, settings.rules)
    warnings = sum(fault.severity == "warning" for fault in prepared.checked.faults)
    if warnings:
        logger.warning("the table check has %s; `recsys check` says which", counted(warnings, "warning"))
    plain, after = prepared.dataset, dataset.about.recorded_after
    refuse_late_clicks(plain.requests, settings.clock)
    check_context(plain.requests, settings.features, after)
    refuse_doubles(settings.features)
    check_events(dataset, settings.features)
    read = (*settings.features.events, *settings.features.values)
    warn_of_moved(dataset.events, plain.events, settings.labels.grades, read)
    once = [kind for kind in settings.candidates.once if kind != CLICK]
    refuse_unseen(dataset.events, "[candidates] once", once, "; what a list was made of is a 'click', too")
    if settings.text.weigh:
        refuse_worthless(plain.events, "[text] weigh", settings.text.weigh)
    check_query(plain.requests, settings.text.query, after)
    names = feature_names(settings.features)
    left_out = set(feature_names(settings.features.model_copy(update={"without": (), "families": FAMILIES}))) - {*names}
    categories = [column.name for column in plan(settings.features) if column.family == "categories"]
    check_monotone(names, categories, settings.ranker.monotone, left_out)
    if of_texts_alone(settings.features):
        raise SettingsError("[features] leaves no feature of behaviour; name a family, or fewer features in without")
    check_weight(plain.requests, settings.ranker.weight)
    check_positions(prepared.made.lists, settings.ranker, prepared.log.time.nightly, settings.engine.growers)
    check_extra(settings.text.backend)
    check_extras(settings.candidates, settings.features)
    return prepared


def open_start(before: Model, folder: Path, settings: TextSettings, windows: Windows) -> "TextModel":
    """Load the encoder of an earlier model, read from `folder`, to go on from.

    Raises
    ------
    ModelError
        When the folder is no whole model.
    SettingsError
        When the model has learnt from later requests than the new text window's first, or reads texts in another way.
    """
    from recsys.learning.text_model import TextModel

    learnt, begins = before.windows.learnt_until, windows.cuts[0]
    if learnt > begins:
        raise SettingsError(
            f"{folder} has learnt from requests up to {learnt.isoformat()}, after the text window's begin at "
            f"{begins.isoformat()}; its scores would know the answers. Let [windows] cuts begin at "
            f"{learnt.isoformat()} or later, leave them out, so that fractions share out the requests after it, or "
            "start from an older model"
        )
    for name in _READING:
        old, new = getattr(before.settings.text, name), getattr(settings, name)
        if old != new:
            raise SettingsError(f"[text] {name} is {new!r} but {folder} was trained with {old!r}; set it to that")
    before.check_encoder(folder)
    return TextModel.load(folder)


def _read(
    course: "TextCourse", prepared: Prepared, windows: Windows, work: Path, story: Story
) -> tuple[dict[Window, LoggedWindow], Finder, Reader]:
    """Compute the features of each block before the encoder learns from it, and those of test by what it is then."""
    log, settings = prepared.log, prepared.settings
    logged, merging = read_blocks(course, prepared, work, story)
    reader, asked = course.reader(log), Asked.of(windows.of(prepared.made.lists, "test"), log)
    logged["test"] = read_logged(asked, settings.features, reader, folder=work)
    story.end(lessons_told(course.trainer.lessons, settings.text, course.started))
    for layer in log.rows_known:  # trees take the room
        layer.forget()
    give_back()
    return logged, Finder(settings.candidates, settings.features, log, reader, merging), reader


def _learn_to_rank(
    prepared: Prepared,
    windows: Windows,
    logged: Mapping[Window, LoggedWindow],
    merging: Merging,
    tower: UserTower,
    story: Story,
) -> tuple[Model, Mapping[str, TreeRanker], Judgement]:
    """Grow the rankers, calibrate, and judge them on a window they have not learnt from."""
    settings, log = prepared.settings, prepared.log
    ranker, valid, test = (logged[window] for window in WINDOWS[1:])
    left_out = {PRODUCT: (), "behaviour": FROM_TEXTS}
    if _ages_tell_later(prepared):
        left_out[AGELESS] = FROM_AGES
    story.begin("growing trees that weigh what texts say against what people did before")
    grown: dict[str, Grown] = {}
    bias = learn_bias(ranker, valid, settings.ranker, settings.seed, together=settings.engine.growers > 1)
    with progress(len(left_out) + 1, "growing", "ranker") as advance:
        for name, columns in left_out.items():
            shown, held = (window.learnt.without(columns) for window in (ranker, valid))
            grown[name] = grow_with_valid(shown, held, settings, bias)
            advance(1)
        give_back()
        both, behaviour = grown[PRODUCT], grown["behaviour"]
        sampled = prepared.dataset.about.sampled
        calibration = Calibration.unknown() if sampled else _calibrate(both, ranker, valid.examples, settings, bias)
    story.end(f"{trees_told(both.chosen, ranker.learnt)}{bias_told(bias)}")
    ageless = grown[AGELESS].final if AGELESS in grown else None
    known = None if ranker.experience is None else ranker.experience.joined(valid.experience)
    model = Model(settings, windows, both.final, behaviour.final, calibration, tower, ageless, merging, known)
    last = valid if test.requests.is_empty() else test
    story.begin(f"judging on {counted(len(last.examples.starts) - 1, 'list')} that the trees have not learnt from")
    if test.requests.is_empty():
        chosen = {name: grown[name].chosen for name in model.rankers}
        judgement = judge(valid, log, "valid", chosen, settings.seed)
        return model, chosen, replace(judgement, bias=bias)
    judgement = judge(test, log, "test", model.rankers, settings.seed).calibrated(calibration)
    return model, model.rankers, replace(judgement, bias=bias)


def _calibrate(
    grown: Grown, ranker: LoggedWindow, valid: Examples, settings: Settings, bias: PositionBias
) -> Calibration:
    """Learn click probabilities of the final ranker from lists that their own ranker has not learnt from.

    Those are valid, and the later half of the ranker window by trees that were grown on the earlier half, where that
    holds a click: one window alone is too few lists.
    """
    folds = [Fold(grown.chosen.score(valid.table), valid.labels, valid.starts)]
    moments = ranker.requests["timestamp"]
    early = (moments < moments.median()).to_numpy()
    before, after = (ranker.examples.where(rows) for rows in (early, ~early))
    if (before.graded > 0).any():
        contract, size = Contract.of(before.table), grown.chosen.size
        half = _grow(before, None, contract, settings, bias, size)
        folds = [Fold(half.score(after.table), after.labels, after.starts), *folds]
        give_back()
    return Calibration.fit(folds).of_ranker(grown.final.score(valid.table), valid.starts)


def _ages_tell_later(prepared: Prepared) -> bool:
    """Tell whether ages of items are read from first showings that a list which was made earlier could not know."""
    used = AGE_COLUMNS[0] in feature_names(prepared.settings.features)
    return used and prepared.dataset.about.first_shown and prepared.log.time.freshness != "live"


def grow_with_valid(ranker: Examples, valid: Examples, settings: Settings, bias: PositionBias = UNBIASED) -> Grown:
    """Grow a ranker to the size that valid chooses, and once more with valid."""
    # One contract for both windows, so that a category of either has the same code in both growths.
    joined = ranker.joined(valid)
    contract = Contract.of(joined.table)
    chosen = _grow(ranker, valid, contract, settings, bias)
    logger.debug(trees_told(chosen, ranker))
    final = _grow(joined, None, contract, settings, bias, chosen.size)
    return Grown(chosen, final)


def _grow(
    train: Examples,
    valid: Examples | None,
    contract: Contract,
    settings: Settings,
    bias: PositionBias,
    rounds: int | None = None,
) -> TreeRanker:
    """Grow a ranker in this process, or on a cluster where settings say so."""
    engine = settings.engine
    if engine.growers == 1:
        return grow(train, contract, settings.ranker, settings.seed, valid=valid, rounds=rounds, bias=bias)
    from recsys.ranking.together import grow_together  # imports an extra

    return grow_together((train, valid), contract, settings.ranker, settings.seed, engine, bias, rounds)
