"""Lists block by block: the features of each are computed before the encoder learns from it."""

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.data.clock import format_duration
from recsys.data.windows import Window
from recsys.jobs.judging import LoggedWindow, read_logged
from recsys.model.prepared import Prepared
from recsys.past.lookup import Asked
from recsys.progress import Story, progress
from recsys.ranking.experience import Kind
from recsys.shown import counted
from recsys.sources.finding import Finder
from recsys.sources.lists import found_lists, learn_merging
from recsys.sources.merging import EVEN, Merging

if TYPE_CHECKING:
    from recsys.learning.course import TextCourse

logger = logging.getLogger(__name__)


MANY = 100
"""Blocks beyond which a longer one is named."""

_FEW = 12
"""Blocks that the longer one would make."""


def read_blocks(
    course: "TextCourse", prepared: Prepared, work: Path, story: Story
) -> tuple[dict[Window, LoggedWindow], Merging]:
    """Let the encoder learn block after block, and read each that trees learn from before it does.

    Parameters
    ----------
    course
        What learns.
    prepared
        The tables, the settings and the log.
    work
        Folder where features are kept.
    story
        Whose next stage begins here; who calls ends it.

    Returns
    -------
    What was read of the windows ranker and valid, and how what sources find is merged.
    """
    log, settings = prepared.log, prepared.settings
    merging = EVEN
    logged: dict[Window, LoggedWindow] = {}
    periods, length = len(course.blocks), settings.text.block
    first = ", the first of which takes longest" if periods > 1 else ""
    doing = "learning what texts say about clicks" if settings.text.epochs else "reading texts as they are"
    story.begin(f"{doing}, in {counted(periods, 'period')} of time{first}")
    if periods > MANY:
        longer = max(1, periods * length // timedelta(days=_FEW))
        logger.warning(
            "[text] block = %s cuts the log into %s, each of which is read and learnt from by itself; with block = %s "
            "it is done in a fraction of the time",
            *(format_duration(length), counted(periods, "period"), f'"{longer}d"'),
        )
    with progress(len(course.blocks), "learning", "period", course.worth) as advance:
        for block in course.blocks:
            if block.window != "text":
                finder = Finder(settings.candidates, settings.features, log, course.reader(log), merging)
                requests = course.read(block)
                if settings.candidates.sources and merging is EVEN:
                    merging = learn_merging(requests, finder, settings.seed)
                part = _read_block(requests, replace(finder, merging=merging), prepared, work)
                logged[block.window] = logged[block.window].joined(part) if block.window in logged else part
            course.learn(block)
            advance(1)
    return logged, merging


def _read_block(requests: pl.DataFrame, finder: Finder, prepared: Prepared, work: Path) -> LoggedWindow:
    """Compute the features of logged requests and of lists that candidate sources make in their place.

    Where the logged ones were drawn, those that sources made are learnt from alone; where they were shown, both are.
    """
    sampled, settings = prepared.dataset.about.sampled, prepared.settings

    def read(rows: pl.DataFrame, kind: Kind) -> LoggedWindow:
        asked, weight = Asked.of(rows, finder.log), settings.ranker.weight
        return read_logged(asked, finder.features, finder.reader, kind, work, weight)

    part = read(requests, "drawn" if sampled else "logged")
    if not finder.settings.sources:
        return part
    found = read(found_lists(requests, finder, settings.seed), "found")
    asked, made = (counted(len(each.examples.starts) - 1, "list") for each in (part, found))
    if found.experience is None:
        logger.warning("no source found what was chosen in %s; they are learnt from as they are", asked)
        return part
    logger.debug("sources found what was chosen in %s of %s, and make them anew", made, asked)
    if sampled:
        return replace(part, learnt=found.learnt, experience=found.experience)
    known = found.experience.joined(part.experience)
    return replace(part, learnt=part.learnt.joined(found.learnt), experience=known)
