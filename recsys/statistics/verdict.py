"""What a comparison may say, and the rule by which it says it."""

from enum import StrEnum


class Verdict(StrEnum):
    """What is said about B."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    UNDERPOWERED = "underpowered"


def decide(clear: bool, difference: float, detectable: float, matters: float) -> Verdict:
    """Say what a difference B minus A means.

    Parameters
    ----------
    clear
        Whether it is more than chance.
    difference
        Its size; above 0 B is better.
    detectable
        Minimum detectable effect, in the same unit; NaN where there is none.
    matters
        The smallest difference that would matter, in the same unit.
    """
    if clear:
        return Verdict.BETTER if difference > 0 else Verdict.WORSE
    return Verdict.NO_DIFFERENCE if detectable <= matters else Verdict.UNDERPOWERED
