"""When the nights of a backtest begin, which of them train, and under which settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from recsys.data.clock import TimeSettings, format_duration, utc
from recsys.errors import SettingsError
from recsys.jobs.sides import one_making
from recsys.settings import Settings

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Nights:
    """Nights that begin at the same time of day, one after the other.

    Attributes
    ----------
    first
        When the first one begins, UTC.
    count
        How many there are.
    zone
        Whose days they are: where clocks are moved, a night is longer or shorter.
    every
        Models are trained in the first night and in each that comes so many days after a training.
    """

    first: datetime
    count: int
    zone: str = "UTC"
    every: int = 1

    @classmethod
    def of(cls, begin: datetime, nights: int, zone: str, retrain: timedelta) -> "Nights":
        """Read what a caller asks for; a moment without a zone is UTC.

        Raises
        ------
        SettingsError
            When there is no night, or models are to be trained in between.
        """
        if nights < 1:
            raise SettingsError(f"nights is {nights}; a backtest takes one night at least")
        if retrain < DAY or retrain % DAY:
            raise SettingsError(
                f"retrain is {format_duration(retrain)}; nights come once a day, so write whole days, such as 1d or 7d"
            )
        return cls(utc(begin.isoformat()), nights, zone, retrain // DAY)

    def begins(self, night: int) -> datetime:
        """Return when a night begins, UTC; night `count` is where the last one ends."""
        return self._local(night).astimezone(UTC)

    def name(self, night: int) -> str:
        """Return the date on which a night begins."""
        return f"{self._local(night):%Y-%m-%d}"

    def trained(self, night: int) -> int:
        """Return the night whose training a night ranks with."""
        return night - night % self.every

    def _local(self, night: int) -> datetime:
        return self.first.astimezone(ZoneInfo(self.zone)) + night * DAY  # what clocks show, whatever their leaps


def moved(settings: Settings, moment: datetime) -> Settings:
    """Move `[windows] cuts` so that valid ends at a moment; fractions share out whatever lies before it."""
    cuts = settings.windows.cuts
    if cuts is None:
        return settings
    windows = settings.windows.model_copy(update={"cuts": tuple(cut + (moment - cuts[3]) for cut in cuts)})
    return settings.model_copy(update={"windows": windows})


def refuse_unfit(sides: Mapping[str, Settings], every: int, warm: bool) -> TimeSettings | None:
    """Refuse configurations that cannot be held against each other, before anything is learnt.

    Parameters
    ----------
    sides
        One configuration or two, by the words that name them.
    every
        Days between two trainings.
    warm
        Whether each training goes on from the model before.

    Returns
    -------
    The clock of the lists that are made for one of them; None where all are asked as logged.

    Raises
    ------
    SettingsError
        When they are the same, learn different labels, or mean other days or lists.
    """
    (one, first), *_, (other, last) = [*sides.items(), *sides.items()]
    if len(sides) > 1 and first == last:
        raise SettingsError(f"{one} and {other} hold the same settings, so that nothing could differ; change one")
    if first.labels != last.labels:
        raise SettingsError(
            f"{one} and {other} learn different labels ([labels] {first.labels.model_dump(mode='json')} and "
            f"{last.labels.model_dump(mode='json')}); give both the same"
        )
    if first.time.zone != last.time.zone:
        raise SettingsError(
            f"{one} and {other} have days of different zones ([time] zone {first.time.zone!r} and "
            f"{last.time.zone!r}), and a night is a day of one; give both the same"
        )
    made = one_making({name: settings.time for name, settings in sides.items()})
    for name, settings in sides.items():
        for setting, column in settings.of_requests if made else ():
            raise SettingsError(
                f"{name} reads {column!r} of requests ({setting}), and the nightly lists of the other side are made "
                "before anybody asks; leave it out, or backtest against a configuration of its own freshness"
            )
        cuts = settings.windows.cuts
        if warm and cuts is not None and cuts[3] - cuts[0] > every * DAY:
            raise SettingsError(
                f"{name} has [windows] cuts over {cuts[3] - cuts[0]} up to the end of valid, and a training that goes "
                f"on from the model before may learn from the {every} days since then alone; shorten them, train more "
                "seldom, or do without going on"
            )
    return made
