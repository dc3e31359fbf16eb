"""What a training tells is true of what came of it, in words without jargon."""

import numpy as np
import pytest

from recsys.encoders.settings import TextSettings
from recsys.evaluation.evaluation import Evaluation, Results
from recsys.jobs.told import bias_told, lessons_told, rankers_told
from recsys.learning.lessons import Lesson
from recsys.ranking.positions import UNBIASED, Examination, PositionBias
from recsys.statistics.intervals import Interval


def test_what_texts_taught_is_told_from_all_lessons() -> None:
    taught = [
        Lesson(90, 10, 0.5, 0.6, 0.5, (-0.1, -0.3, 0.1), "heads", 1.0, None, None),
        Lesson(80, 30, 0.54, 0.64, 0.74, (0.05, 0.02, 0.08), "tuned", 0.75, 0.5, 0.5),
    ]
    assert lessons_told(taught, TextSettings(), started=False) == (
        "texts are read by an encoder that learnt from clicks, fine-tuned (from period 2 of 2 on); on 40 lists that it had not learnt from, it put the "
        "clicked item of a pair first: as it was published 53.0%, with the part on top 63.0%, fine-tuned 68.0% (chance: 50%); tuning gains "
        "+5.0 points of AUC (95 % interval +2.0 to +8.0)"
    )
    nothing = Lesson(9, 0, None, None, None, None, "published", 0.0, None, None)
    assert lessons_told([nothing], TextSettings(), started=False) == (
        "texts are read by the encoder as it was published: nothing that was learnt reads better"
    )
    assert (
        lessons_told([], TextSettings(), started=False)
        == "nothing was learnt from texts; they are compared as they are"
    )


def test_what_an_earlier_model_knew_is_not_called_published() -> None:
    nothing = Lesson(9, 4, 0.618, 0.6, None, None, "published", 0.0, None, None)
    assert lessons_told([nothing], TextSettings(), started=True) == (
        "texts are read by the encoder as the earlier model had it: nothing that was learnt reads better; on 4 lists that "
        "it had not learnt from, it put the clicked item of a pair first: as the earlier model had it 61.8%, with the part "
        "on top 60.0% (chance: 50%)"
    )


@pytest.mark.parametrize(
    ("tune", "kept", "begin"),
    [
        ("always", "tuned", "texts are read by an encoder that learnt from clicks, fine-tuned"),
        (
            "never",
            "heads",
            "texts are read by the encoder as it was published, with a part on top that learnt from clicks",
        ),
    ],
)
def test_what_was_asked_for_is_told_as_such_and_what_is_not_certain_too(tune, kept, begin) -> None:
    lesson = Lesson(90, 10, 0.5, 0.6, 0.61, (0.01, -0.02, 0.04), kept, 1.0, None, None)
    said = lessons_told([lesson], TextSettings(tune=tune), started=False)
    assert said.startswith(f'{begin}, as [text] tune = "{tune}" asks; ')
    assert said.endswith("tuning gains +1.0 points of AUC, not certain (95 % interval -2.0 to +4.0)")


def test_what_stays_although_it_is_not_certain_is_told_with_the_reason() -> None:
    lesson = Lesson(90, 10, 0.5, 0.6, 0.61, (0.01, -0.002, 0.022), "tuned", 1.0, None, None)
    assert lessons_told([lesson], TextSettings(), started=False).endswith(
        "tuning gains +1.0 points of AUC, not certain (95 % interval -0.2 to +2.2); more than one standard error, so it stays"
    )


def test_where_nothing_shall_be_learnt_nothing_is_said_to_have_been() -> None:
    lesson = Lesson(90, 10, 0.5, None, None, None, "published", 0.0, None, None)
    assert (
        lessons_told([lesson], TextSettings(epochs=0, head_epochs=0), started=False)
        == "nothing was learnt from texts; they are compared as they are"
    )


def test_what_tuning_gained_on_the_judged_window_is_told_in_the_measure_of_the_line_and_of_the_trial() -> None:
    rows = {"both": {"nDCG@10": Interval(0.7, 0.6, 0.8)}, "text": {"nDCG@10": Interval(0.6, 0.5, 0.7)}}
    found = {"text-untuned text": {"AUC": Interval(0.008, 0.001, 0.015), "nDCG@10": Interval(0.004, -0.002, 0.01)}}
    evaluation = Evaluation("test", Results(10, 8, rows, found), {}, {})
    assert rankers_told(evaluation) == (
        "nDCG@10, 1 at best: both 0.7000, text 0.6000; here tuning gains texts +0.4 points of nDCG@10, not certain "
        "(95 % interval -0.2 to +1.0) and +0.8 points of AUC (95 % interval +0.1 to +1.5)"
    )


def test_a_correction_of_places_is_told_by_a_place_that_lists_have() -> None:
    odds = 1 / np.arange(1, 21)
    told = bias_told(PositionBias("examination", Examination(odds, 0.0)))
    assert told == (
        "; clicks are corrected for their places (the odds are taken off): at place 10 the odds of a click are 0.10 times "
        "those at the first"
    )
    weighed = bias_told(PositionBias("inverse", Examination(odds[:3], 0.0)))
    assert weighed.endswith(
        "(rare places count more): at place 3 the odds of a click are 0.33 times those at the first"
    )
    assert "by effects that LightGBM learnt" in bias_told(PositionBias("additive", Examination(odds, 0.0)))
    assert bias_told(UNBIASED) == ""
