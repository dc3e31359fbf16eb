"""What a training tells is true of what came of it, in words without jargon."""

from recsys.jobs.told import lessons_told
from recsys.learning.lessons import Lesson


def test_what_texts_taught_is_told_from_all_lessons() -> None:
    taught = [
        Lesson(90, 10, 0.5, 0.6, 0.5, (-0.1, -0.3, 0.1), "heads", 1.0, None, None),
        Lesson(80, 30, 0.54, 0.64, 0.74, (0.05, 0.02, 0.08), "tuned", 0.75, 0.5, 0.5),
    ]
    assert lessons_told(taught, started=False) == (
        "texts are read by an encoder that learnt from clicks; on 40 lists that it had not learnt from, it put the "
        "clicked item of a pair first: as it was published 53.0%, with the part on top 63.0%, fine-tuned 68.0% (chance: 50%); tuning gains "
        "+5.0 points (+2.0 to +8.0)"
    )
    nothing = Lesson(9, 0, None, None, None, None, "published", 0.0, None, None)
    assert lessons_told([nothing], started=False) == (
        "texts are read by the encoder as it was published: nothing that was learnt reads better"
    )
    assert lessons_told([], started=False) == "nothing was learnt from texts; they are compared as they are"


def test_what_an_earlier_model_knew_is_not_called_published() -> None:
    nothing = Lesson(9, 4, 0.618, 0.6, None, None, "published", 0.0, None, None)
    assert lessons_told([nothing], started=True) == (
        "texts are read by the encoder as the earlier model had it: nothing that was learnt reads better; on 4 lists that "
        "it had not learnt from, it put the clicked item of a pair first: as the earlier model had it 61.8%, with the part "
        "on top 60.0% (chance: 50%)"
    )
